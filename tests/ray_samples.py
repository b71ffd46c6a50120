"""A Ray cluster of two nodes on this machine; the cluster itself, which all its tests use, is one of `tests/conftest.py`."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
SYSTEM = {
    "health_check_initial_delay_ms": 0, "health_check_period_ms": 300, "health_check_failure_threshold": 5,
    "num_workers_soft_limit": 8, "prestart_worker_first_driver": False,  # no worker starts in vain, none ends early
}  # fmt: skip


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
