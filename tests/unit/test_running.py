"""Which stored results are forgotten, so that they are tried again."""

import os
from pathlib import Path
from typing import Any

import pytest

from paperlib import profiles
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.experiments.running import compute, try_again

BROKEN = "TEST_RUNNING_BROKEN"
"""Environment variable with the name of the method that fails now."""


def score(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """A method: the row of a failure, or of a score."""
    metric = "failure" if params["method"] == os.environ.get(BROKEN) else "score"
    return Result(rows=[{"method": params["method"], "metric": metric}])


def agree(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """A poll: the rows of its methods."""
    return Result(rows=[{"metric": inputs[name].rows["metric"].iloc[0], "method": name} for name in inputs])


@pytest.fixture
def profile(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path))
    return profiles.load("demo", seeds=1)


@pytest.fixture
def polls() -> list[Unit]:
    """Two polls over the same two methods."""
    methods = [Unit.of("trial", name, f"{__name__}:score", method=name) for name in ("fine", "broken")]
    return [Unit.of("trial", f"poll{number}", f"{__name__}:agree", needs=methods, number=number) for number in range(2)]


def metrics(results: dict[str, Result]) -> dict[str, list[str]]:
    return {name: sorted(result.rows["metric"]) for name, result in results.items()}


def test_every_poll_is_told_anew_once_its_method_works(profile, polls, monkeypatch):
    monkeypatch.setenv(BROKEN, "broken")
    assert metrics(compute(polls, profile, "trial")) == dict.fromkeys(("poll0", "poll1"), ["failure", "score"])
    monkeypatch.delenv(BROKEN)
    try_again(polls, profile, "failure")
    assert metrics(compute(polls, profile, "trial")) == dict.fromkeys(("poll0", "poll1"), ["score", "score"])


def test_what_told_no_failure_stays(profile, polls):
    compute(polls, profile, "trial")
    before = {path: path.stat().st_mtime_ns for path in profile.store_root.rglob("*.parquet")}
    try_again(polls, profile, "failure")
    assert before == {path: path.stat().st_mtime_ns for path in profile.store_root.rglob("*.parquet")}
