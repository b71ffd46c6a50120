"""The frame of the benchmarks (no timing is asserted): found by file, told in one form, a missing peer told aloud."""

from pathlib import Path

import pytest

from tests import benchmarks
from tests.benchmarks.timing import BENCHMARKS, Benchmark

COLUMNS = ["name", "peer", "ours_ms", "peer_ms", "ratio", "goal", "met"]


def test_a_row_holds_times_per_item_and_the_verdict() -> None:
    calls = []
    sides = lambda: calls.append(0), lambda: sum(range(200_000))
    row = Benchmark("sums", "slower sums", lambda: sides, goal=2, rounds=3, per=4).row()
    assert list(row) == COLUMNS
    assert row["ratio"] == pytest.approx(row["peer_ms"] / row["ours_ms"], rel=0.1) or row["ours_ms"] < 0.001
    assert row["met"] is True and len(calls) > 3
    slow = Benchmark("a", "b", lambda: (lambda: sum(range(20_000)), lambda: None), goal=1e9, rounds=1)
    assert slow.row()["met"] is False
    told = Benchmark("a", "a goal of 1 s", lambda: (lambda: None, 1000.0), goal=1, rounds=1).row()
    assert told["peer_ms"] == 1000 and told["met"] is True


def test_a_missing_peer_gives_a_row_without_a_verdict() -> None:
    def without_peer() -> None:
        raise ModuleNotFoundError("no peer", name="peerlib")

    row = Benchmark("a", "b", without_peer, goal=1).row()
    assert list(row) == COLUMNS
    assert row["peer"] == "not installed: peerlib" and row["met"] is None


def test_every_file_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Benchmark, "row", lambda benchmark: {"name": benchmark.name, "peer": benchmark.peer})
    rows = benchmarks.run_all()
    assert len(rows) == len(BENCHMARKS) == len({tuple(row.values()) for row in rows})
    files = {path.stem for path in Path(benchmarks.__file__).parent.glob("bench_*.py")}
    assert {benchmark.sides.func.__module__.rpartition(".")[2] for benchmark in BENCHMARKS} == files
