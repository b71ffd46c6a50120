"""The engine under accidents: kills, damaged files, and several runs on one folder."""

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from paperlib.engine import store
from paperlib.engine.local import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Unit
from paperlib.errors import ComputationError
from tests.damage import empty, flip, put_a_folder, put_a_link, truncate
from tests.engine_samples import (
    PATIENCE,
    STEPS,
    assert_same,
    assert_tidy,
    lines,
    make,
    results,
    starts,
    toys,
    wait_for,
    wait_for_silence,
)

__all__ = ["make", "results", "toys"]  # fixtures


@pytest.fixture
def units(make: Callable[..., Unit]) -> list[Unit]:
    """Three units, and three that need them."""
    below = [make(f"below{number}", function="walk") for number in range(3)]
    return [*below, *(make(f"above{number}", function="walk", needs=below[: number + 1]) for number in range(3))]


def start(units: list[Unit], store: ResultStore, workers: int) -> BaseProcess:
    """A run in a process of its own, forked so that it starts at once."""
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(units, store), kwargs={"workers": workers, "title": "t"}
    )
    process.start()
    return process


# ------------------------------------------------------------------------------------------------------------- kills


@pytest.mark.parametrize(("workers", "kills", "seed"), [(1, 16, 0), (2, 2, 1)])
def test_a_killed_run_ends_with_the_rows_of_an_undisturbed_one(
    workers: int, kills: int, seed: int, units: list[Unit], results: ResultStore, tmp_path: Path
) -> None:
    expected = run(units, ResultStore(tmp_path / "undisturbed"), workers=1, title="t")
    (tmp_path / "diary").unlink()
    moments = random.Random(seed)
    hits = 0
    for _ in range(kills):
        process = start(units, results, workers)
        steps = len(lines(tmp_path)) + moments.randint(0, STEPS)
        wait_for(lambda steps=steps, process=process: len(lines(tmp_path)) >= steps or not process.is_alive())
        time.sleep(moments.uniform(0.0, 0.03))
        hits += process.is_alive()
        process.kill()
        process.join()
    assert hits >= 2
    assert_same(run(units, results, workers=1, title="t"), expected)
    assert len(lines(tmp_path)) <= len(units) * STEPS + hits * workers, "checkpoints were lost"
    assert_tidy(results, units)


def test_what_a_kill_left_after_the_commit_goes_with_the_next_look(units: list[Unit], results: ResultStore) -> None:
    run(units[:1], results, workers=1, title="t")
    (results.scratch(units[0]) / "checkpoint").write_bytes(b"old")
    (results.root / "toys" / f"{units[0].identity}-0123456789abcdef.npz").write_bytes(b"an older version")
    run(units[:1], results, workers=1, title="t")
    assert_tidy(results, units[:1])


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(
    blow: signal.Signals, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    process = start([make("next", needs=[make("endless", function="beat")])], results, 2)
    wait_for(lambda: lines(tmp_path))
    os.kill(process.pid, blow)
    process.join(PATIENCE)
    assert process.exitcode
    wait_for_silence(tmp_path)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_result_counts_only_when_it_is_whole(
    write: int, units: list[Unit], results: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at its first, second or third file, over the remains of an earlier attempt."""
    unit = units[0]
    expected = run([unit], results, workers=1, title="t")
    (results.root / "toys" / f"{unit.key}.parquet").write_bytes(b"")
    whole, count = store.atomic_write, iter(range(1, 9))

    def stop(path: Path, mode: str = "wb") -> object:
        if next(count) == write:
            raise KeyboardInterrupt
        return whole(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(store, "atomic_write", stop)
        with pytest.raises(KeyboardInterrupt):
            run([unit], results, workers=1, title="t")
    assert results.load(unit) is None
    (results.root / "toys" / f".{unit.key}.npz.abc.part").write_bytes(b"left by a kill")
    assert_same(run([unit], results, workers=1, title="t"), expected)
    assert len(lines(tmp_path)) == 2 * STEPS, "the checkpoint of the stopped attempt was lost"
    assert_tidy(results, [unit])


# ------------------------------------------------------------------------------------------------------ damaged files


@pytest.mark.parametrize("damage", [flip, truncate, empty, put_a_link, Path.unlink])
@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".json"])
def test_damage_is_named_and_computed_again(
    suffix: str, damage: Callable[[Path], None], units: list[Unit], results: ResultStore, capfd: pytest.CaptureFixture
) -> None:
    unit, other = units[:2]
    expected = run([unit, other], results, workers=1, title="t")
    path = results.root / "toys" / f"{unit.key}{suffix}"
    damage(path)
    capfd.readouterr()
    assert_same(run([unit, other], results, workers=1, title="t"), expected)
    said = capfd.readouterr().err.splitlines()
    assert said[-1].startswith(f"t: 1/2 units from {results.root}, 1 to compute (")
    if suffix == ".json" and damage in (Path.unlink, put_a_link):
        assert said[-1].endswith("(new)")
    else:
        assert said[0].startswith(f"{path} is ")
        assert said[0].endswith("the result of toys 'below0' will be computed again")
        assert f"(damaged: {path} is " in said[-1]
    assert_tidy(results, [unit, other])


@pytest.mark.parametrize("damage", [put_a_folder, put_a_link])
@pytest.mark.parametrize(
    "place", ["toys/{key}.parquet", "toys/{key}.json", "locks/{identity}.lock", "scratch/{key}", "toys"]
)
def test_what_stands_in_the_way_is_named_and_left_alone(
    place: str, damage: Callable[[Path], None], units: list[Unit], results: ResultStore
) -> None:
    path = results.root / place.format(key=units[0].key, identity=units[0].identity)
    if damage is put_a_folder and path.name in ("toys", units[0].key):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("keep me")
    else:
        damage(path)
    if damage is put_a_link and path.suffix in (".parquet", ".json"):
        run(units[:1], results, workers=1, title="t")
        assert_tidy(results, units[:1])
        return
    with pytest.raises(ComputationError, match=r"cannot be used \(a (link to|folder where|file where)") as told:
        run(units[:1], results, workers=1, title="t")
    assert f"{path} cannot be used" in str(told.value) and "Error" not in str(told.value)
    assert path.is_symlink() or "keep me" in (path / "theirs.txt" if path.is_dir() else path).read_text()


def test_a_damaged_input_is_computed_again(units: list[Unit], results: ResultStore, tmp_path: Path) -> None:
    expected = run(units, results, workers=1, title="t")
    flip(results.root / "toys" / f"{units[0].key}.parquet")
    results.forget(units[3])
    assert_same(run(units[3:4], results, workers=1, title="t"), {"above0": expected["above0"]})
    assert starts(tmp_path)["below0"] == 2 * STEPS


def test_results_of_other_units_are_not_taken(units: list[Unit], results: ResultStore, capfd: pytest.CaptureFixture) -> None:
    run(units[:1], results, workers=1, title="t")
    for path in (results.root / "toys").iterdir():
        path.rename(path.with_name(path.name.replace(units[0].key, units[1].key)))
    assert results.load(units[1]) is None
    assert f"{units[1].key}.json belongs to another result" in capfd.readouterr().err


# ----------------------------------------------------------------------------------------------------- runs at once


def test_runs_at_once_share_the_work(units: list[Unit], results: ResultStore, tmp_path: Path) -> None:
    """Two runs that compute in their own process and one that has workers."""
    expected = run(units, ResultStore(tmp_path / "alone"), workers=1, title="t")
    (tmp_path / "diary").unlink()
    processes = [start(units, results, workers) for workers in (2, 1, 1)]
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert starts(tmp_path) == {unit.name: STEPS for unit in units}, "a unit was computed twice"
    assert_same(run(units, results, workers=1, title="t"), expected)
    assert_tidy(results, units)
