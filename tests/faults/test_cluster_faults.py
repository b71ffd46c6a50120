"""The cluster executor under accidents: a killed worker, a killed node, an interrupted driver."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paperlib.engine import local
from paperlib.engine.cluster import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Unit
from paperlib.errors import ComputationError
from tests.engine_samples import (
    PATIENCE,
    REPOSITORY,
    assert_same,
    assert_tidy,
    folder_of,
    lines,
    make,
    results,
    starts,
    toys,
    wait_for,
    wait_for_silence,
)
from tests.ray_samples import NODE, nodes

__all__ = ["make", "nodes", "results", "toys"]  # fixtures


def waiting(make: Callable[..., Unit], folder: Path, number: int) -> list[Unit]:
    """Units that end once the file `gate` is there, and one that needs them all."""
    held = [make(f"held{i}", function="wait", gate=str(folder / "gate"), cost=9.0 - i) for i in range(number)]
    return [*held, make("last", needs=held)]


def accident(folder: Path, happen: Callable[[list[list[str]]], None]) -> threading.Thread:
    """Lets something happen once two units have begun, and opens the gate afterwards."""

    def watch() -> None:
        try:
            wait_for(lambda: len(lines(folder)) >= 2)
            happen(lines(folder))
        finally:
            (folder / "gate").touch()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_a_killed_worker_costs_its_unit_alone(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    units = waiting(make, tmp_path, 3)
    victims = []

    def happen(begun: list[list[str]]) -> None:
        victims.append(begun[0][0])
        os.kill(int(begun[0][2]), signal.SIGKILL)
        wait_for(lambda: len(lines(tmp_path)) >= 3)

    thread = accident(tmp_path, happen)
    got = run(units, results, title="t")
    thread.join()
    assert starts(tmp_path) == {unit.name: 1 + (unit.name in victims) for unit in units}
    assert_same(got, local.run(units, ResultStore(tmp_path / "alone"), workers=1, title="t"))
    assert_tidy(results, units)


def test_a_unit_that_kills_its_worker_is_given_up(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    once = make("once", function="die", times=1)
    often = make("often", function="die", times=9, needs=[once])
    with pytest.raises(
        ComputationError, match=r"1 of 2 units failed.*'often': its process or its node was lost too many times"
    ):
        run([often], results, title="t")
    assert starts(tmp_path) == {"once": 2, "often": 4}
    assert list(results.load(once).rows["value"]) == [1.0], "the scratch folder outlived the worker"
    assert "died" in results.log(often).read_text()


DRIVER = """
    import sys
    sys.path[:0] = {path!r}
    from paperlib.engine.cluster import run
    from paperlib.engine.store import ResultStore
    from paperlib.engine.units import Unit
    units = [Unit("toys", name, compute, params) for name, compute, params in {units!r}]
    run(units, ResultStore({root!r}), address={address!r}, title="t")
"""


@pytest.mark.parametrize("blow", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_driver_keeps_what_is_finished(
    blow: signal.Signals, nodes: Any, toys: str, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    units = [make("endless", function="beat", cost=5.0), make("a"), make("b")]
    path = [str(REPOSITORY), str(folder_of(toys))]
    said = [(unit.name, unit.compute, unit.params) for unit in units]
    script = textwrap.dedent(DRIVER.format(path=path, units=said, root=str(results.root), address=nodes.address))
    driver = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    with driver:
        wait_for(
            lambda: (
                (starts(tmp_path)["endless"] and all(results.load(unit) is not None for unit in units[1:]))
                or driver.poll() is not None
            )
        )
        assert driver.poll() is None, driver.stderr.read()
        driver.send_signal(blow)
        error = driver.stderr.read().decode()
        assert driver.wait(PATIENCE) != 0
    assert ("KeyboardInterrupt" in error) is (blow == signal.SIGINT)
    wait_for_silence(tmp_path)
    assert starts(tmp_path)["endless"] > 0
    run(units[1:], results, title="t")
    assert (starts(tmp_path)["a"], starts(tmp_path)["b"]) == (1, 1)
    with results.lock(units[0]).acquire(timeout=0):
        assert results.load(units[0]) is None


def test_a_killed_node_costs_the_units_that_it_had(
    nodes: Any, make: Callable[..., Unit], results: ResultStore, tmp_path: Path
) -> None:
    """The cluster, which other tests use as well, gets a new node for it."""
    import ray

    def alive() -> int:
        return sum(node["Alive"] for node in ray.nodes())

    units = waiting(make, tmp_path, 3)
    (doomed,) = nodes.worker_nodes
    victims = []

    def happen(begun: list[list[str]]) -> None:
        victims.extend(words[0] for words in begun if words[1] == doomed.node_id)
        nodes.remove_node(doomed, allow_graceful=False)
        wait_for(lambda: alive() == 1)

    thread = accident(tmp_path, happen)
    try:
        got = run(units, results, title="t")
    finally:
        thread.join()
        nodes.add_node(**NODE)
        wait_for(lambda: alive() == 2)
    assert len(victims) == 1
    assert starts(tmp_path) == {unit.name: 1 + (unit.name in victims) for unit in units}
    assert_same(got, local.run(units, ResultStore(tmp_path / "alone"), workers=1, title="t"))
    assert_tidy(results, units)
