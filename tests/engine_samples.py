"""Small units, and what the tests of the engine share: fixtures, which they import, and helpers."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paperlib.engine.store import ResultStore
from paperlib.engine.units import Result, Unit

REPOSITORY = Path(__file__).resolve().parents[1]
PATIENCE = 60.0
STEPS = 5

TOY = '''
import json
import os
import sys
import time
from pathlib import Path
import numpy as np
from paperlib.engine.units import Result
from paperlib.paths import atomic_write

def note(params, *words):
    with Path(params["diary"]).open("a") as diary:
        diary.write(" ".join(map(str, (params["label"], *words))) + "\\n")

def node():
    """The node of the cluster that it runs on, or "here"."""
    ray = sys.modules.get("ray")
    inside = ray and ray.is_initialized() and ray.get_runtime_context().get_task_id()
    return ray.get_runtime_context().get_node_id() if inside else "here"

def draw(params, inputs, scratch):
    """Numbers that depend on the seed and on the inputs, which it changes in place, as it may."""
    note(params, node(), os.getpid())
    print("chatter")
    below = 0.0
    for result in inputs.values():
        below += float(result.rows["value"].sum())
        result.arrays["map"][:] = 0
        result.rows.loc[0, "value"] = 0.0
    assert all(result.arrays["map"].any() for result in inputs.values())
    generator = np.random.default_rng(params["seed"])
    rows = [{"method": params["label"], "value": below + generator.random(), "n": 7} for _ in range(3)]
    maps = generator.random((4, 3))
    return Result(rows, {"map": maps, "turned": maps.T, "small": maps.astype(">f4"), "none": np.zeros((0, 2))})

def walk(params, inputs, scratch):
    """A sum in five steps that goes on from its checkpoint; every step leaves a line in the diary."""
    checkpoint = scratch / "checkpoint.json"
    state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {"step": 0, "sum": 0.0}
    for step in range(state["step"], 5):
        note(params, step)
        time.sleep(0.01)
        state = {"step": step + 1, "sum": state["sum"] + np.random.default_rng([params["seed"], step]).random()}
        with atomic_write(checkpoint, "w") as file:
            json.dump(state, file)
    below = sum(float(result.rows["value"].sum()) for result in inputs.values())
    noise = np.random.default_rng(params["seed"]).random((4, 5))
    return Result([{"method": params["label"], "value": below + state["sum"], "n": 3}], {"noise": noise})

def wait(params, inputs, scratch):
    """`draw` without inputs, once the file `gate` is there; says when it starts."""
    note(params, node(), os.getpid())
    while not Path(params["gate"]).exists():
        time.sleep(0.02)
    generator = np.random.default_rng(params["seed"])
    return Result([{"method": params["label"], "value": generator.random()}], {"map": generator.random((4, 3))})

def beat(params, inputs, scratch):
    """Never ends, and shows that it lives."""
    while True:
        note(params, "beat")
        time.sleep(0.02)

def fail(params, inputs, scratch):
    note(params)
    raise RuntimeError("no such luck\\nsecond line")

def die(params, inputs, scratch):
    """Dies as often as `times` says, counted in its scratch folder."""
    deaths = len(list(scratch.iterdir()))
    note(params)
    if deaths < params["times"]:
        (scratch / str(deaths)).touch()
        os.write(2, b"last words")
        os.kill(os.getpid(), 9)
    return Result([{"value": float(deaths)}])

def look(params, inputs, scratch):
    """What the worker sees around it."""
    from threadpoolctl import threadpool_info
    import paperlib
    from paperlib.settings import current
    environment = {name: np.str_(value) for name, value in os.environ.items() if name.isidentifier()}
    around = {"scratch": scratch, "package": paperlib.__file__, "settings": repr(current())}
    threads = max(library["num_threads"] for library in threadpool_info())
    return Result([{"n": threads}], environment | {name: np.str_(value) for name, value in around.items()})

def threads(params, inputs, scratch):
    """Threads of the loaded libraries, and of PyTorch, perhaps first imported here."""
    import torch
    from threadpoolctl import threadpool_info
    counts = [library["num_threads"] for library in threadpool_info()] + [torch.get_num_threads()]
    return Result([{"value": max(counts), "n": len(counts)}])

def nothing(params, inputs, scratch):
    return None
'''


@pytest.fixture(scope="module")
def toys(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The module of small units; the same for all tests of a file, so that workers, which know its folder, are too."""
    name, folder = f"toys_of_{request.module.__name__.rpartition('.')[2]}", tmp_path_factory.mktemp("toys")
    (folder / f"{name}.py").write_text(TOY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delenv("PAPERLIB_QUIET", raising=False)
        yield name


@pytest.fixture
def make(toys: str, tmp_path: Path) -> Callable[..., Unit]:
    """`make("a", function="draw", seed=3, needs=[...])`: a unit of `toys` that writes its diary into `tmp_path`."""
    return unit_maker(toys, tmp_path)


@pytest.fixture
def results(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "results")


def unit_maker(module: str, folder: Path) -> Callable[..., Unit]:
    """The `make` of any module and folder."""

    def make(label: str, *, function: str = "draw", **fields: object) -> Unit:
        common = {"diary": str(folder / "diary"), "label": label, "seed": sum(map(ord, label))}
        return Unit.of("toys", label, f"{module}:{function}", **(common | fields))

    return make


def folder_of(module: str) -> Path:
    """Where a module lies."""
    return Path(find_spec(module).origin).parent


def lines(folder: Path) -> list[list[str]]:
    """The words of each line that units wrote."""
    path = folder / "diary"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def labels(folder: Path) -> list[str]:
    """Which units were begun, in their order; of `walk` for every step, of `beat` all the time."""
    return [words[0] for words in lines(folder)]


def starts(folder: Path) -> Counter[str]:
    """How often each unit was begun."""
    return Counter(labels(folder))


def wait_for(condition: Callable[[], Any]) -> Any:
    """What the condition returns, once that is true."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.005)
    return value


def wait_for_silence(folder: Path) -> None:
    """Until units write no more."""

    def silent() -> bool:
        before = len(lines(folder))
        time.sleep(0.4)
        return len(lines(folder)) == before

    wait_for(silent)


def assert_same(got: dict[str, Result], expected: dict[str, Result]) -> None:
    """Equal to the last bit, but for the time that it took."""
    assert list(got) == list(expected)
    for name, result in expected.items():
        rows, others = (some.rows.drop(columns="seconds") for some in (got[name], result))
        pd.testing.assert_frame_equal(rows, others, check_exact=True)
        assert got[name].arrays.keys() == result.arrays.keys()
        for key, array in result.arrays.items():
            assert (got[name].arrays[key].dtype, got[name].arrays[key].tobytes()) == (array.dtype, array.tobytes())
            np.testing.assert_array_equal(got[name].arrays[key], array)


def assert_same_files(units: list[Unit], *stores: ResultStore) -> None:
    """The arrays lie in the same bytes."""
    for unit in units:
        assert len({(store.root / "toys" / f"{unit.key}.npz").read_bytes() for store in stores}) == 1


def assert_tidy(results: ResultStore, units: list[Unit]) -> None:
    """The store holds the whole results of `units`, which have arrays, and locks that nobody holds: no other trace."""
    names = {path.name for path in (results.root / "toys").iterdir()}
    assert names == {f"{unit.key}{suffix}" for unit in units for suffix in (".parquet", ".npz", ".json")}
    assert not list((results.root / "scratch").iterdir())
    for unit in units:
        assert results.load(unit) is not None
        with results.lock(unit).acquire(timeout=0):
            pass
