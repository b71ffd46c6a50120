"""The frame of the benchmarks (no timing is asserted): found by file, told in one form, a missing peer told aloud."""

import math

import pytest

from tests import benchmarks
from tests.benchmarks.timing import compare

COLUMNS = ["name", "peer", "ours_ms", "peer_ms", "ratio", "goal", "met"]


def test_a_row_holds_times_per_item_and_the_verdict() -> None:
    calls = []
    row = compare("sums", "slower sums", lambda: calls.append(0), lambda: sum(range(200_000)), goal=2, rounds=3, per=4)
    assert list(row) == COLUMNS
    assert row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"], rel=0.1) or row["ours_ms"] < 0.001
    assert row["met"] is True
    assert len(calls) > 3
    assert compare("a", "b", lambda: sum(range(20_000)), lambda: None, goal=1e9, rounds=1)["met"] is False


def test_a_missing_peer_gives_a_row_without_a_verdict() -> None:
    def without_peer() -> None:
        raise ModuleNotFoundError("no peer", name="peerlib")

    row = benchmarks._row(without_peer)
    assert list(row) == COLUMNS
    assert row["peer"] == "not installed: peerlib"
    assert row["met"] is None


def test_every_file_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib
    from pathlib import Path

    files = sorted(path.stem for path in Path(benchmarks.__file__).parent.glob("bench_*.py"))
    assert "bench_saliency_metrics" in files
    count = 0
    for file in files:
        module = importlib.import_module(f"tests.benchmarks.{file}")
        assert module.BENCHMARKS
        count += len(module.BENCHMARKS)
        monkeypatch.setattr(module, "BENCHMARKS", [lambda: dict.fromkeys(COLUMNS, math.nan)] * len(module.BENCHMARKS))
    assert len(benchmarks.run_all()) == count
