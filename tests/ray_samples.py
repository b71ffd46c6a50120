"""A Ray cluster of two nodes on this machine, small units for it, and the fixtures that tests of the executor share.

They import the fixtures; only the cluster itself, which all of them use, is one of `tests/conftest.py`.
"""

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
SYSTEM = {
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 5,
    "num_workers_soft_limit": 8, "prestart_worker_first_driver": False,  # no worker starts in vain, none ends early
}  # fmt: skip

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
    return ray.get_runtime_context().get_node_id() if ray and ray.get_runtime_context().get_task_id() else "here"

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
    from paperlib.settings import current
    environment = {name: np.str_(value) for name, value in os.environ.items() if name.isidentifier()}
    around = {"scratch": scratch, "package": paperlib.__file__, "settings": repr(current())}
    threads = max(library["num_threads"] for library in threadpool_info())
    return Result([{"n": threads}], environment | {name: np.str_(value) for name, value in around.items()})
'''


def require_ray() -> Any:
    """Ray, where it is installed and can start workers of this Python."""
    if " " in sys.executable:
        pytest.skip("Ray cannot start workers of a Python whose path holds a space")
    return pytest.importorskip("ray", reason="ray is not installed")


@contextmanager
def started() -> Iterator[Any]:
    """A cluster of two nodes with one CPU each, to which nobody is connected."""
    require_ray()
    from ray.cluster_utils import Cluster

    folder = tempfile.mkdtemp(prefix="ray-")  # short: the paths of sockets are
    cluster = Cluster(shutdown_at_exit=False)
    try:
        with surroundings(folder):
            cluster.add_node(**NODE, include_dashboard=False, no_monitor=True, _system_config=SYSTEM)
            cluster.add_node(**NODE)
        yield cluster
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def surroundings(folder: str) -> Iterator[None]:
    """What Ray reads from the environment; in `folder` it also notes the latest cluster of this machine: not ours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_TMPDIR", folder)
        patch.setenv("RAY_raylet_start_wait_time_s", "120")  # on a busy machine Ray's own 30 are short
        yield


@pytest.fixture(scope="module")
def nodes(two_nodes: Any) -> Iterator[Any]:
    """The cluster of the session, to which this process is connected as long as a module's tests run."""
    import ray

    with surroundings(str(Path(two_nodes.head_node.get_temp_dir_path()).parent)):
        ray.init(two_nodes.address, log_to_driver=False, logging_level="CRITICAL")
        yield two_nodes
        ray.shutdown()


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
