"""The cluster executor without accidents: results of a run on this machine, resources, addresses, and what is told."""

import json
import os
import platform
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest

from paperlib.engine import cluster, local
from paperlib.engine.cluster import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Unit
from paperlib.errors import ComputationError, PaperlibError
from paperlib.experiments import running
from paperlib.settings import Settings, in_use
from tests.engine_samples import (
    REPOSITORY,
    TOY,
    assert_same,
    assert_same_files,
    assert_tidy,
    folder_of,
    lines,
    make,
    results,
    starts,
    toys,
    unit_maker,
)
from tests.ray_samples import nodes, require_ray

__all__ = ["make", "nodes", "results", "toys"]  # fixtures


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that looks again soon."""
    monkeypatch.setattr(cluster, "PATIENCE", 0.1)


# ----------------------------------------------------------------------------------------------------------- results


def test_results_are_those_of_a_run_on_this_machine(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    a, b = make("a"), make("b")
    c = make("c", needs=[a, b])
    wanted = [make("d", needs=[c, a]), a, make("e")]
    got = run(wanted, results, title="table9")
    words = [line for line in capfd.readouterr().err.splitlines() if line.startswith("table9")]
    assert words == [
        f"table9: 0/5 units from {results.root}, 5 to compute (new)",
        "table9: on Ray (nodes: 2, CPUs: 2, GPUs: 0)",
    ]
    assert starts(tmp_path) == dict.fromkeys("abcde", 1)
    order, places, processes = zip(*lines(tmp_path), strict=True)
    assert max(map(order.index, "ab")) < order.index("c") < order.index("d")
    assert set(places) <= {node.node_id for node in (nodes.head_node, *nodes.worker_nodes)}
    assert str(os.getpid()) not in processes
    alone = ResultStore(tmp_path / "alone")
    expected = local.run(wanted, alone, workers=1, title="t")
    assert_same(got, expected)
    assert_same_files([a, b, c, *wanted], results, alone)
    assert_tidy(results, [a, b, c, wanted[0], wanted[2]])


def test_what_is_stored_is_not_computed_again(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = make("a")
    expected = local.run([a], results, workers=1, title="t")
    got = run([make("b", needs=[a]), a], results, title="t")
    assert starts(tmp_path) == {"a": 1, "b": 1}
    assert_same({"a": got["a"]}, expected)
    monkeypatch.setattr(cluster, "_connected", None)
    assert list(run([a], results, title="t")) == ["a"]


def test_a_unit_in_another_run_is_waited_for(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, impatient: None
) -> None:
    unit = make("a")
    held = filelock.FileLock(results.lock(unit).lock_file, thread_local=False)
    held.acquire()
    threading.Timer(0.5, held.release).start()
    begin = time.monotonic()
    run([unit], results, title="t")
    assert time.monotonic() - begin > 0.5
    assert_tidy(results, [unit])


def test_manifests_name_the_host_and_the_libraries_of_the_worker(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:  # fmt: skip
    """This process says that it has others, once in a run; a run of its own tells what the worker must have."""
    alone, host, version = ResultStore(tmp_path / "alone"), socket.gethostname(), metadata.version
    local.run([make("a")], alone, workers=1, title="t")
    run([make("z")], results, title="t")
    assert "this process" not in capfd.readouterr().err
    monkeypatch.setattr(platform, "python_version", lambda: "3.0.0")
    monkeypatch.setattr(metadata, "version", lambda name: "0.1" if name == "numpy" else version(name))
    run([make("a"), make("b")], results, title="t")
    real = {"python": ".".join(map(str, sys.version_info[:3])), "numpy": np.__version__}
    ours, theirs = (manifest(store, make("a")) for store in (alone, results))
    assert real.items() <= ours["versions"].items() and real.items() <= theirs["versions"].items()
    assert theirs["host"] == host and "host" not in ours
    said = [line for line in capfd.readouterr().err.splitlines() if "this process" in line]
    words = f"t: node {host} has python {real['python']}, numpy {real['numpy']}, this process python 3.0.0, numpy 0.1: "
    assert len(said) == 1 and said[0].startswith(words)


def manifest(store: ResultStore, unit: Unit) -> dict[str, Any]:
    return json.loads((store.root / unit.experiment / f"{unit.key}.json").read_text())


# ---------------------------------------------------------------------------------------------------------- failures


def test_failures_are_told_as_in_a_run_on_this_machine(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    bad = make("bad", function="fail")
    wanted = [bad, make("above", needs=[bad]), make("good")]
    with pytest.raises(ComputationError) as failure:
        run(wanted, results, title="table9")
    assert starts(tmp_path) == {"bad": 1, "good": 1}, "a unit that fails by itself is not tried again"
    assert "Traceback" in results.log(bad).read_text()
    assert "second line" in results.log(bad).read_text()
    with pytest.raises(ComputationError) as here:
        local.run(wanted, results, workers=1, title="table9")
    assert str(failure.value).replace("1 of 3 units", "1 of 2 units") == str(here.value), "good is stored by now"


def test_a_place_that_a_node_does_not_have_is_named(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    """A file descriptor of this process is a path that its workers do not have."""
    os.dup2(0, 77)
    try:
        unit = make("a", places={"photographs": "/dev/fd/77", "cache": results.root / "cache", "other": tmp_path})
        with pytest.raises(ComputationError, match=r"does not have photographs \(/dev/fd/77\): the files must lie at"):
            run([unit], results, title="t")
    finally:
        os.close(77)
    assert not lines(tmp_path)


def test_a_place_in_the_store_need_not_be_on_the_node(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    """Units make it where it is missing; what this process does not have either is the unit's affair."""
    (results.root / "scores").mkdir(parents=True)
    unit = make("a", places={"cache": results.root / "scores", "optional": tmp_path / "absent"})
    assert list(run([unit], results, title="t")) == ["a"]


def test_other_code_on_a_worker_is_refused(nodes: Any, toys: str, results: ResultStore, tmp_path: Path) -> None:
    module = folder_of(toys) / "toys_edited.py"
    module.write_text(TOY)
    unit = unit_maker("toys_edited", tmp_path)("a")
    assert unit.key
    module.write_text(TOY + "\nX = 1\n")
    with pytest.raises(ComputationError, match=r"another version of toys_edited than .* PAPERLIB_RAY_SHIP_CODE=1"):
        run([unit], results, title="t")
    assert not lines(tmp_path)
    assert results.load(unit) is None


def test_a_full_disk_is_one_clear_sentence(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("paperlib.engine.store.atomic_write", full)
    with pytest.raises(ComputationError, match=r"the disk of .*results is full: free some space and run again$"):
        run([make("a")], results, title="t")


# ------------------------------------------------------------------------------------------- resources, surroundings


def test_workers_see_one_thread_the_settings_and_no_gpu(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    wanted = make("a", function="look", resources={"cpus": 1, "gpus": 1, "memory": 0.1})
    settings = Settings(data_root=tmp_path, ray_address="auto", workers=2)
    with in_use(settings):
        seen = run([wanted], results, title="t")["a"]
    assert list(seen.rows["n"]) == [1]
    assert str(seen.arrays["settings"]) == repr(settings.for_worker())
    assert str(seen.arrays["CUDA_VISIBLE_DEVICES"]) == ""
    assert str(seen.arrays["scratch"]) == str(results.root / "scratch" / wanted.key)


def test_scratch_lies_on_the_node_where_the_store_is_not_reached(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ResultStore, "scratch", lambda store, unit: Path("/nowhere", unit.key))
    unit = make("a", function="look")
    scratch = Path(str(run([unit], results, title="t")["a"].arrays["scratch"]))
    assert scratch.name.endswith(unit.key)
    assert not scratch.is_relative_to(results.root)
    assert not scratch.exists(), "it goes with the result"


def test_a_unit_that_fits_no_node_is_given_up(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, impatient: None, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(cluster, "_HOMELESS", 0.3)
    wanted = [make("big", function="look", resources={"cpus": 3, "memory": 2}), make("a")]
    with pytest.raises(ComputationError, match=r"1 of 2 units failed.*'big': no node of the cluster has 3 CPU, 2 GiB$"):
        run(wanted, results, title="t")
    assert "t: toys 'big' waits for a node with 3 CPU, 2 GiB" in capfd.readouterr().err
    assert results.load(wanted[1]) is not None


@pytest.mark.parametrize(
    ("resources", "share", "expected"),
    [
        ({}, 1.0, {"CPU": 1}),
        ({"gpus": 1}, 1.0, {"CPU": 1, "GPU": 1}),
        ({"gpus": 1}, 0.5, {"CPU": 1, "GPU": 0.5}),
        ({"gpus": 3}, 0.5, {"CPU": 1, "GPU": 2}),
        ({"gpus": 1}, 0.0, {"CPU": 1}),
        ({"cpus": 4, "memory": 10}, 1.0, {"CPU": 4, "memory": 10 * 2**30}),
    ],
)
def test_what_a_unit_asks_of_ray(
    resources: dict[str, float], share: float, expected: dict[str, float], make: Callable[..., Unit]
) -> None:
    assert dict(cluster.demand(make("a", resources=resources), share)) == expected


def test_resources_are_no_part_of_a_unit_s_identity(make: Callable[..., Unit]) -> None:
    assert make("a", resources={"gpus": 1}) == make("a")
    assert make("a", resources={"gpus": 1}).key == make("a").key
    with pytest.raises(ValueError, match="named out of .*'gpu'"):
        make("a", resources={"gpu": 1})
    with pytest.raises(ValueError, match="0 or more"):
        make("a", resources={"gpus": -1})


def test_options_are_checked(results: ResultStore) -> None:
    with pytest.raises(ValueError, match=r"gpu_share must lie in \(0, 1\]"):
        run([], results, title="t", gpu_share=0)


def test_code_is_not_sent_over_a_connection_of_the_caller(
    nodes: Any, make: Callable[..., Unit], results: ResultStore
) -> None:
    with pytest.raises(ValueError, match=r"call ray.shutdown\(\) first"):
        run([make("a")], results, title="t", ship_code=True)


# --------------------------------------------------------------------------------------------------------- addresses


def test_a_run_connects_and_sends_its_code(nodes: Any, toys: str, make: Callable[..., Unit], results: ResultStore) -> None:
    """Another process, which finds the cluster by its address and sends `paperlib` along."""
    unit = make("a", function="look")
    script = f"""
        import signal, sys
        sys.path[:0] = [{str(REPOSITORY)!r}, {str(folder_of(toys))!r}]
        from paperlib.engine.cluster import run
        from paperlib.engine.store import ResultStore
        from paperlib.engine.units import Unit
        unit = Unit({unit.experiment!r}, {unit.name!r}, {unit.compute!r}, {unit.params!r})
        before = signal.getsignal(signal.SIGTERM)
        result = run([unit], ResultStore({str(results.root)!r}), address={nodes.address!r}, title="t", ship_code=True)["a"]
        assert signal.getsignal(signal.SIGTERM) is before
        import ray
        assert not ray.is_initialized()
        print(result.arrays["package"])
    """
    ran = subprocess.run([sys.executable, "-"], input=textwrap.dedent(script), capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    package = Path(ran.stdout.strip())
    assert package.parts[-2:] == ("paperlib", "__init__.py"), ran.stdout
    assert not package.is_relative_to(REPOSITORY)


@pytest.fixture
def unconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if this process had no connection."""
    ray = require_ray()
    monkeypatch.setattr(ray, "is_initialized", lambda: False)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:9", r"no Ray cluster answered at 127.0.0.1:9 \(.*refused\)"),
        ("nosuchhost.invalid:6379", "no Ray cluster answered at nosuchhost.invalid:6379"),
        ("head", "--ray-address must be HOST:PORT, auto or local, got 'head'"),
        ("ray://head:10001", "--ray-address must be HOST:PORT, auto or local, got 'ray://head:10001'"),
        ("127.0.0.1:99999", "no Ray cluster answered at 127.0.0.1:99999"),
    ],
)
def test_addresses_without_a_cluster_are_told_at_once(
    address: str, words: str, unconnected: None, make: Callable[..., Unit], results: ResultStore
) -> None:
    begin = time.monotonic()
    with pytest.raises(PaperlibError, match=words):
        run([make("a")], results, address=address, title="t")
    assert time.monotonic() - begin < 10


def test_a_listener_that_keeps_silent_is_no_cluster(
    unconnected: None, make: Callable[..., Unit], results: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_ANSWER_WITHIN", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(PaperlibError, match=f"no Ray cluster answered at {address} within 5 s; expected the HOST"):
            run([make("a")], results, address=address, title="t")


def test_other_versions_are_named(
    nodes: Any, unconnected: None, make: Callable[..., Unit], results: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    other = "import ray\nray.__version__ = '2.1.0'\n"
    monkeypatch.setattr(cluster, "_TRIAL", other + cluster._TRIAL)
    python = ".".join(map(str, sys.version_info[:3]))
    words = f"runs Ray {ray.__version__} with Python {python}, this process Ray 2.1.0 with Python {python}"
    with pytest.raises(PaperlibError, match=words):
        run([make("a")], results, address=nodes.address, title="t")


def test_a_python_in_a_path_with_a_space_is_refused_at_once(
    unconnected: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/a folder/bin/python")
    with pytest.raises(PaperlibError, match="path holds a space: /a folder/bin/python; move this"):
        cluster.run(
            [Unit.of("toys", "one", "paperlib.experiments.training.compute:train")],
            ResultStore(tmp_path),
            address="local",
            title="t",
        )


def test_no_cluster_on_this_machine_is_told() -> None:
    assert "`ray start --head`" in cluster._refusal("auto", "Could not find any running Ray instance. …")


def test_a_cluster_of_this_machine_is_as_large_as_workers_are_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = require_ray()
    calls = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **options: calls.append((address, options)))
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    with cluster._connected("local", False, 3) as connected:
        assert connected is ray
        assert len(calls) == 1
    (address, options), end = calls
    assert (address, options["num_cpus"], options["include_dashboard"], end) == ("local", 3, False, "shutdown")


def test_a_missing_ray_is_told(make: Callable[..., Unit], results: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PaperlibError, match=r"needs Ray; install the cluster extra: pip install 'paperlib\[cluster\]'"):
        run([make("a")], results, title="t")


@pytest.mark.parametrize("address", [None, "head:6379"])
def test_experiments_compute_where_they_are_told_to(
    address: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(running, "run", lambda units, store, **options: calls.append(options) or {})
    monkeypatch.setattr(cluster, "run", lambda units, store, **options: calls.append(options) or {})
    profile = type("Profile", (), {"store_root": tmp_path})
    with in_use(Settings(ray_address=address, workers=2, ship_code=True, gpu_share=0.5)):
        assert running.compute([], profile, "t") == {}
    there = {"address": address, "ship_code": True, "gpu_share": 0.5} if address else {}
    assert calls == [{"title": "t", "workers": 2} | there]
