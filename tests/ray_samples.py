"""A Ray cluster of two nodes on this machine, and small units for it: shared by the tests of the cluster executor."""

import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from paperlib.engine.store import ResultStore
from paperlib.engine.units import Result, Unit

PATIENCE = 60.0

TOY = '''
import os
import sys
import time
from pathlib import Path
import numpy as np
from paperlib.engine.units import Result

def note(params, *words):
    with Path(params["diary"]).open("a") as diary:
        diary.write(" ".join(map(str, (params["label"], *words))) + "\\n")

def node():
    """The node of the cluster that it runs on, or "here"."""
    ray = sys.modules.get("ray")
    return ray.get_runtime_context().get_node_id() if ray and os.environ.get("PAPERLIB_WORKERS") == "1" else "here"

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

def wait(params, inputs, scratch):
    """`draw`, once the file `gate` is there; says when it starts."""
    note(params, node(), os.getpid())
    while not Path(params["gate"]).exists():
        time.sleep(0.02)
    generator = np.random.default_rng(params["seed"])
    return Result([{"method": params["label"], "value": generator.random()}], {"map": generator.random((4, 3))})

def beat(params, inputs, scratch):
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
        os.kill(os.getpid(), 9)
    return Result([{"value": float(deaths)}])

def look(params, inputs, scratch):
    """What the worker sees around it."""
    from threadpoolctl import threadpool_info
    import paperlib
    environment = {name: np.str_(value) for name, value in os.environ.items() if name.isidentifier()}
    around = {"scratch": scratch, "package": paperlib.__file__}
    threads = max(library["num_threads"] for library in threadpool_info())
    return Result([{"n": threads}], environment | {name: np.str_(value) for name, value in around.items()})
'''


@contextmanager
def two_nodes() -> Iterator[Any]:
    """A cluster of two nodes with one CPU each, to which this process is connected."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-")  # short: the paths of sockets are
    ours = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0", "RAY_AUTH_MODE": "disabled"}
    ours["RAY_TMPDIR"] = folder  # where Ray also notes the latest cluster of this machine: not ours
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    common = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    fast = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 5}
    cluster = Cluster(shutdown_at_exit=False)
    try:
        cluster.add_node(**common, include_dashboard=False, no_monitor=True, _system_config=fast)
        cluster.add_node(**common)
        ray.init(cluster.address, log_to_driver=False, logging_level="CRITICAL")
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def toy_module(folder: Path, name: str) -> Iterator[str]:
    """A module of small units that can be imported; shared by tests, since workers that know its folder are shared."""
    (folder / f"{name}.py").write_text(TOY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.delenv("PAPERLIB_QUIET", raising=False)
        yield name


def unit_maker(module: str, folder: Path) -> Callable[..., Unit]:
    """`make("a", function="draw", seed=3, needs=[...])`: a unit of `module` that writes its diary into `folder`."""

    def make(label: str, *, function: str = "draw", **fields: object) -> Unit:
        common = {"diary": str(folder / "diary"), "label": label, "seed": sum(map(ord, label))}
        return Unit.of("toys", label, f"{module}:{function}", **(common | fields))

    return make


def lines(folder: Path) -> list[list[str]]:
    """The words of each line that units wrote."""
    path = folder / "diary"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def starts(folder: Path) -> Counter[str]:
    """How often each unit was begun."""
    return Counter(words[0] for words in lines(folder))


def wait_for(condition: Callable[[], Any]) -> Any:
    """What the condition returns, once that is true."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)
    return value


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


def assert_tidy(results: ResultStore, units: list[Unit]) -> None:
    """The store holds whole results and locks that nobody holds, and no other trace of a run."""
    assert {path.name.partition(".")[0] for path in (results.root / "toys").iterdir()} == {unit.key for unit in units}
    assert all(results.load(unit) is not None for unit in units)
    assert not list((results.root / "scratch").iterdir())
    assert not list((results.root / "locks").glob("cluster-*"))
    for unit in units:
        with results.lock(unit).acquire(timeout=0):
            pass
