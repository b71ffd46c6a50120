"""The engine under accidents: kills, damaged files, and several runs on one folder."""

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paperlib.engine import store
from paperlib.engine.local import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Result, Unit

STEPS = 5
PATIENCE = 60.0  # seconds after which a test gives up waiting

TOY = '''
import json
import time
from pathlib import Path
import numpy as np
from paperlib.engine.units import Result
from paperlib.paths import atomic_write

def note(params, line):
    with Path(params["diary"]).open("a") as diary:
        diary.write(line + "\\n")

def walk(params, inputs, scratch):
    """A sum in steps that goes on from its checkpoint; every step leaves a line in the diary."""
    checkpoint = scratch / "checkpoint.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "sum": 0.0}
    for step in range(state["step"], params["steps"]):
        note(params, f"{params['label']}:{step}")
        time.sleep(0.01)
        state = {"step": step + 1, "sum": state["sum"] + np.random.default_rng([params["seed"], step]).random()}
        with atomic_write(checkpoint, "w") as file:
            json.dump(state, file)
    below = sum(float(result.rows["value"].sum()) for result in inputs.values())
    noise = np.random.default_rng(params["seed"]).random((4, 5))
    return Result([{"method": params["label"], "value": below + state["sum"], "n": 3}], {"noise": noise})

def beat(params, inputs, scratch):
    """Never ends, and shows that it lives."""
    while True:
        note(params, "beat")
        time.sleep(0.01)
'''


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    return tmp_path / "diary"


@pytest.fixture
def make(tmp_path: Path, diary: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Unit]:
    """`make("a", needs=[...], seed=3)`: a unit of a small module that no other test uses."""
    module = f"toy_{tmp_path.name}"
    (tmp_path / f"{module}.py").write_text(TOY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("PAPERLIB_QUIET", raising=False)

    def make_unit(label: str, *, function: str = "walk", **fields: object) -> Unit:
        common = {"diary": str(diary), "label": label, "steps": STEPS, "seed": sum(map(ord, label))}
        return Unit.of("toys", label, f"{module}:{function}", **(common | fields))

    return make_unit


@pytest.fixture
def units(make: Callable[..., Unit]) -> list[Unit]:
    """Three units, and three that need them."""
    below = [make(f"below{number}") for number in range(3)]
    return [*below, *(make(f"above{number}", needs=below[: number + 1]) for number in range(3))]


def start(units: list[Unit], root: Path, workers: int) -> BaseProcess:
    """A run in a process of its own, forked so that it starts at once."""
    process = multiprocessing.get_context("fork").Process(
        target=run, args=(units, ResultStore(root)), kwargs={"workers": workers, "title": "t"}
    )
    process.start()
    return process


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.002)


def wait_for_steps(steps: int, diary: Path, process: BaseProcess) -> None:
    """Until so many more steps are in the diary, or the process has ended."""
    target = len(lines(diary)) + steps
    wait_for(lambda: len(lines(diary)) >= target or not process.is_alive())


def outcome(results: dict[str, Result]) -> pd.DataFrame:
    """All rows, but for the time that they took."""
    return pd.concat([result.rows for result in results.values()], ignore_index=True).drop(columns="seconds")


def assert_same(got: dict[str, Result], expected: dict[str, Result]) -> None:
    pd.testing.assert_frame_equal(outcome(got), outcome(expected), check_exact=True)
    for name, result in expected.items():
        np.testing.assert_array_equal(got[name].arrays["noise"], result.arrays["noise"])


def assert_tidy(root: Path, units: list[Unit]) -> None:
    """Nothing but whole results lies in the store."""
    names = {path.name for path in (root / "toys").iterdir()}
    assert names == {f"{unit.key}{suffix}" for unit in units for suffix in (".parquet", ".npz", ".json")}
    assert list((root / "scratch").iterdir()) == []


# ------------------------------------------------------------------------------------------------------------- kills


@pytest.mark.parametrize(("workers", "kills", "seed"), [(1, 16, 0), (2, 2, 1)])
def test_a_killed_run_ends_with_the_rows_of_an_undisturbed_one(
    workers: int, kills: int, seed: int, units: list[Unit], diary: Path, tmp_path: Path
) -> None:
    expected = run(units, ResultStore(tmp_path / "undisturbed"), workers=1, title="t")
    diary.unlink()
    root = tmp_path / "disturbed"
    moments = random.Random(seed)
    hits = 0
    for _ in range(kills):
        process = start(units, root, workers)
        wait_for_steps(moments.randint(0, STEPS), diary, process)
        time.sleep(moments.uniform(0.0, 0.03))
        hits += process.is_alive()
        process.kill()
        process.join()
    assert hits >= 2
    assert_same(run(units, ResultStore(root), workers=1, title="t"), expected)
    assert len(lines(diary)) <= len(units) * STEPS + hits * workers, "checkpoints were lost"
    assert_tidy(root, units)


def test_what_a_kill_left_after_the_commit_goes_with_the_next_look(units: list[Unit], tmp_path: Path) -> None:
    root = tmp_path / "results"
    run(units[:1], ResultStore(root), workers=1, title="t")
    (root / "scratch" / units[0].key).mkdir()
    (root / "scratch" / units[0].key / "checkpoint").write_bytes(b"old")
    (root / "toys" / f"{units[0].identity}-0123456789abcdef.npz").write_bytes(b"an older version")
    run(units[:1], ResultStore(root), workers=1, title="t")
    assert_tidy(root, units[:1])


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(blow: signal.Signals, make: Callable[..., Unit], diary: Path, tmp_path: Path) -> None:
    process = start([make("next", needs=[make("endless", function="beat")])], tmp_path / "results", 2)
    wait_for(lambda: "beat" in lines(diary))
    os.kill(process.pid, blow)
    process.join(PATIENCE)
    assert process.exitcode

    def stopped() -> bool:
        before = len(lines(diary))
        time.sleep(0.5)
        return len(lines(diary)) == before

    wait_for(stopped)


@pytest.mark.parametrize("write", [1, 2, 3])
def test_a_result_counts_only_when_it_is_whole(
    write: int, units: list[Unit], diary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at its first, second or third file, over the remains of an earlier attempt."""
    unit, root = units[0], tmp_path / "results"
    expected = run([unit], ResultStore(root), workers=1, title="t")
    (root / "toys" / f"{unit.key}.parquet").write_bytes(b"")
    whole, count = store.atomic_write, iter(range(1, 9))

    def stop(path: Path, mode: str = "wb") -> object:
        if next(count) == write:
            raise KeyboardInterrupt
        return whole(path, mode)

    with monkeypatch.context() as patch:
        patch.setattr(store, "atomic_write", stop)
        with pytest.raises(KeyboardInterrupt):
            run([unit], ResultStore(root), workers=1, title="t")
    assert ResultStore(root).load(unit) is None
    (root / "toys" / f".{unit.key}.npz.abc.part").write_bytes(b"left by a kill")
    assert_same(run([unit], ResultStore(root), workers=1, title="t"), expected)
    assert len(lines(diary)) == 2 * STEPS, "the checkpoint of the stopped attempt was lost"
    assert_tidy(root, [unit])


# ------------------------------------------------------------------------------------------------------ damaged files


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("damage", [flip, truncate, Path.unlink])
@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".json"])
def test_damage_is_named_and_computed_again(
    suffix: str, damage: Callable[[Path], None], units: list[Unit], tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    unit, other = units[:2]
    results = ResultStore(tmp_path / "results")
    expected = run([unit, other], results, workers=1, title="t")
    path = results.root / "toys" / f"{unit.key}{suffix}"
    damage(path)
    capfd.readouterr()
    assert_same(run([unit, other], results, workers=1, title="t"), expected)
    said = capfd.readouterr().err.splitlines()
    assert said[-1].startswith(f"t: 1/2 units from {results.root}, 1 to compute (")
    if suffix == ".json" and damage is Path.unlink:
        assert said[-1].endswith("(new)")
    else:
        assert said[0].startswith(f"{path} is ")
        assert said[0].endswith("the result of toys 'below0' will be computed again")
        assert f"(damaged: {path} is " in said[-1]
    assert_tidy(results.root, [unit, other])


def test_a_damaged_input_is_computed_again(units: list[Unit], diary: Path, tmp_path: Path) -> None:
    results = ResultStore(tmp_path / "results")
    expected = run(units, results, workers=1, title="t")
    flip(results.root / "toys" / f"{units[0].key}.parquet")
    (results.root / "toys" / f"{units[3].key}.json").unlink()
    assert_same(run(units[3:4], results, workers=1, title="t"), {"above0": expected["above0"]})
    assert Counter(line.partition(":")[0] for line in lines(diary))["below0"] == 2 * STEPS


def test_results_of_other_units_are_not_taken(units: list[Unit], tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    results = ResultStore(tmp_path / "results")
    run(units[:1], results, workers=1, title="t")
    for path in (results.root / "toys").iterdir():
        path.rename(path.with_name(path.name.replace(units[0].key, units[1].key)))
    assert results.load(units[1]) is None
    assert f"{units[1].key}.json belongs to another result" in capfd.readouterr().err


# ----------------------------------------------------------------------------------------------------- runs at once


def test_runs_at_once_share_the_work(units: list[Unit], diary: Path, tmp_path: Path) -> None:
    """Two runs that compute in their own process and one that has workers."""
    expected = run(units, ResultStore(tmp_path / "alone"), workers=1, title="t")
    diary.unlink()
    root = tmp_path / "shared"
    processes = [start(units, root, workers) for workers in (2, 1, 1)]
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert set(Counter(lines(diary)).values()) == {1}, "a unit was computed twice"
    assert len(lines(diary)) == len(units) * STEPS
    assert_same(run(units, ResultStore(root), workers=1, title="t"), expected)
    assert_tidy(root, units)
