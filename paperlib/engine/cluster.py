"""Computes on a Ray cluster what the store lacks, with the results of a run on this machine.

The driver, which is the process that calls `run`, keeps the plan, the store and its locks. A worker gets a unit and the
results that it needs as objects, and hands its result back as one; so no disk need be shared. A unit is computed with
one thread, by the code of the driver or not at all: the worker compares the unit's key. Ray computes a unit again whose
process or node was lost; nothing else is lost with them.
"""

import logging
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import Timeout

from paperlib.engine.plan import (
    ONE_THREAD,
    PATIENCE,
    OnDemand,
    Outcome,
    Plan,
    call,
    completed,
    device,
    logged,
    one_thread,
    reason,
    sentence,
    stored,
    usable_cores,
)
from paperlib.engine.progress import say
from paperlib.engine.store import ResultStore, installed_versions, loaded_versions
from paperlib.engine.units import Result, Unit
from paperlib.errors import PaperlibError
from paperlib.paths import temporary_folder
from paperlib.settings import Settings, current, in_use

_RETRIES = 3
"""How often Ray computes a unit again whose process or node was lost."""
_ANSWER_WITHIN = 60.0
"""Seconds that a cluster has to answer a first call, with those in which Ray is loaded."""
_QUEUED = 16
"""Units handed to Ray beyond one for each CPU: no worker waits for the driver, an autoscaler sees demand."""
_AT_ONCE = 512
"""Most units in Ray's hands at a time; each holds a lock and so an open file."""
_HOMELESS = 600.0
"""Seconds until a unit that fits no node is given up."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}

Demand = tuple[tuple[str, float], ...]
"""What a unit occupies, by Ray's names."""


def run(
    units: Sequence[Unit], store: ResultStore, *, address: str = "auto", title: str,
    gpu_share: float = 1.0, ship_code: bool = False, workers: int | None = None,
) -> dict[str, Result]:  # fmt: skip
    """The results of `units` by name, from the store where they are there, else computed on Ray and stored.

    Order, messages, failures and results are those of `paperlib.engine.local.run`. A unit gets the `resources` that it
    asks for; GPUs only where the cluster has some when the run starts, and else a CPU alone. A unit that lost its node
    or its process is computed again, up to three times, from its checkpoints where the worker reaches the store's
    folder; one that fails by itself is not. Ctrl-C stops the units under way and keeps what is finished. Manifests name
    the host and the versions of libraries that computed a unit; versions that are not this process's are told once.

    Args:
        units: what is asked for; names must differ. Their `places` must lie at the same paths on every node.
        store: where results are looked up and kept; only this process needs it.
        address: `"HOST:PORT"` of a cluster that this machine is a node of, `"auto"` for the one that runs on this
            machine or that `$RAY_ADDRESS` names, `"local"` to start one here for this run. A connection that the caller
            has made is used, whatever the address.
        title: what is being made ("table1"), for messages.
        gpu_share: factor on the GPUs that units ask for: 0.5 lets two of them share one.
        ship_code: send the package `paperlib` to the workers instead of expecting it there.
        workers: CPUs of a cluster that is started here; by default the usable cores.

    Raises:
        ValueError: two different units have the same name, or `gpu_share` is not in (0, 1].
        PaperlibError: Ray is not installed, or the cluster cannot be reached or has other versions.
        ComputationError: units failed; the others are computed and stored first.
    """
    if not 0 < gpu_share <= 1:
        raise ValueError(f"gpu_share must lie in (0, 1], got {gpu_share}")

    def execute(plan: Plan) -> None:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):  # where Ray prints what befalls its nodes
            with _connected(address, ship_code, workers or usable_cores()) as ray:
                _Run(ray, plan, store, title, gpu_share).go()

    return completed(units, store, title, execute)


# ---------------------------------------------------------------------------------------------------- the connection


@contextmanager
def _connected(address: str, ship_code: bool, cpus: int) -> Iterator[ModuleType]:
    """Ray with a connection, which is closed afterwards unless the caller had made it."""
    try:
        import ray
    except ImportError as error:
        raise PaperlibError(
            "computing on a cluster needs Ray; install the cluster extra: pip install 'paperlib[cluster]'"
        ) from error
    if ray.is_initialized():
        if ship_code:
            raise ValueError("code is sent along only over a connection that the run makes: call ray.shutdown() first")
        yield ray
        return
    if re.search(r"\s", sys.executable):
        raise PaperlibError(
            f"Ray cannot start workers of a Python whose path holds a space: {sys.executable}; move this "
            "project, or its environment, to a path without one, or run without --ray-address"
        )
    os.environ.update(_QUIET)
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == "local":
        options |= {"num_cpus": cpus, "include_dashboard": False}
    else:
        _require_cluster(address)
    handler = signal.getsignal(signal.SIGTERM)
    with temporary_folder() as folder:
        if ship_code:  # as a working directory it comes before what the nodes have at the same paths
            package = Path(__file__).resolve().parents[1]
            shutil.copytree(package, folder / "code" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
            options["runtime_env"] = {"working_dir": f"{folder}/code"}
        try:
            ray.init(address, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PaperlibError(_refusal(address, f"{type(error).__name__}: {error}")) from error
    try:
        yield ray
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there


_TRIAL = """
import logging, sys
import ray
try:
    ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
except Exception as error:
    sys.exit(f"refused: {type(error).__name__}: {error}")
"""


def _require_cluster(address: str) -> None:
    """Raises PaperlibError unless a cluster answers.

    Another process tries it first: where nobody answers, `ray.init` waits for more than a minute and then ends its own
    process.
    """
    if address != "auto":
        _require_listener(address)
    try:
        trial = subprocess.run(
            [sys.executable, "-P", "-c", _TRIAL, address],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=_ANSWER_WITHIN,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PaperlibError(_silence(address, f" within {_ANSWER_WITHIN:.0f} s")) from error
    if trial.returncode:
        raise PaperlibError(_refusal(address, trial.stderr.partition("refused: ")[2]))


def _require_listener(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise PaperlibError(
            f"--ray-address must be HOST:PORT, auto or local, got {address!r}; for a cluster elsewhere, start the "
            "command on one of its nodes (`ray job submit`)"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise PaperlibError(_silence(address, f" ({error})")) from error


def _refusal(address: str, error: str) -> str:
    versions = re.findall(r"Ray: (\S+)\s+Python: (\S+)", error)
    if "Version mismatch" in error and len(versions) == 2:
        (ray, python), (our_ray, our_python) = versions
        return (
            f"the Ray cluster runs Ray {ray} with Python {python}, this process Ray {our_ray} with Python "
            f"{our_python}: start it again with the same versions on every node"
        )
    if "Could not find any running Ray" in error:
        return (
            "no Ray cluster runs on this machine; start one with `ray start --head`, name another with "
            "--ray-address HOST:PORT, or start one for this run with --ray-address local"
        )
    cause = error.partition("\n")[0]
    return _silence(address, f" ({cause})" if cause else "")


def _silence(address: str, cause: str) -> str:
    return (
        f"no Ray cluster answered at {address}{cause}; expected the HOST:PORT that `ray start --head` printed, "
        "this machine to be one of the cluster's nodes, and RAY_AUTH_MODE=token where the cluster asks for a token"
    )


# ---------------------------------------------------------------------------------------------------------- the driver


def demand(unit: Unit, gpu_share: float = 1.0) -> Demand:
    """What the unit occupies; `gpu_share` is the factor on its GPUs, 0 where there are none.

    Returns:
        Pairs of Ray's names and amounts: whole GPUs above 1, memory in bytes.
    """
    asked = {"cpus": 1.0} | dict(unit.resources)
    gpus = asked.get("gpus", 0.0) * gpu_share
    amounts = {"CPU": asked["cpus"], "GPU": gpus if gpus <= 1 else ceil(gpus), "memory": asked.get("memory", 0.0) * 2**30}
    return tuple((name, amount) for name, amount in amounts.items() if amount or name == "CPU")


@dataclass
class _Flight:
    """A unit in Ray's hands; its lock is released where `held` is left."""

    unit: Unit
    demand: Demand
    held: ExitStack
    homeless_since: float | None = None


class _Run:
    """One run's units on their way to Ray and back."""

    def __init__(self, ray: ModuleType, plan: Plan, store: ResultStore, title: str, gpu_share: float) -> None:
        self.ray, self.plan, self.store, self.title = ray, plan, store, title
        self.gpu_share = gpu_share if ray.cluster_resources().get("GPU") else 0.0
        self.serve = ray.remote(_serve)
        self.flights: dict[Any, _Flight] = {}
        self.readers = Counter(need.key for unit in plan.units for need in unit.needs)
        self.handed: dict[str, Any] = {}
        self.warned = False

    def go(self) -> None:
        """Empty the plan."""
        cpus, gpus = (sum(node.get(name, 0.0) for node in self._nodes()) for name in ("CPU", "GPU"))
        say(f"{self.title}: on Ray (nodes: {len(self._nodes())}, CPUs: {cpus:g}, GPUs: {gpus:g})")
        try:
            while True:
                busy = self._launch()
                if self.flights:
                    if not self._land(1, timeout=PATIENCE):
                        self._find_homes()
                elif busy:
                    time.sleep(PATIENCE)
                else:
                    return
        except KeyboardInterrupt:
            if self.flights:
                self._land(len(self.flights), timeout=0)
            raise
        finally:
            for ref, flight in self.flights.items():
                with flight.held, suppress(Exception):
                    self.ray.cancel(ref, force=True)

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self.ray.nodes() if node["Alive"]]

    def _launch(self) -> bool:
        """Hand over ready units, of each demand some more than there are CPUs; whether another run is at work on some."""
        room = int(self.ray.cluster_resources().get("CPU", 0)) + _QUEUED
        flying = Counter(flight.demand for flight in self.flights.values())
        busy, later = [], []
        while unit := self.plan.take():
            asked = demand(unit, self.gpu_share)
            if len(self.flights) >= _AT_ONCE or flying[asked] >= room:
                later.append(unit)
            elif self._start(unit, asked):
                flying[asked] += 1
            else:
                busy.append(unit)
        for unit in later:
            self.plan.put_back(unit, last=False)
        for unit in busy:
            self.plan.put_back(unit, last=True)
        return bool(busy)

    def _start(self, unit: Unit, asked: Demand) -> bool:
        """Send a unit out, or settle it; False where another run holds it."""
        with ExitStack() as held:
            try:
                held.enter_context(self.store.lock(unit).acquire(timeout=0))
                if self.store.load(unit) is None:
                    ref = self._sent(unit, dict(asked))
                    self.flights[ref] = _Flight(unit, asked, held.pop_all())
                    self.plan.bar.set_postfix_str(unit.name)
                    return True
                outcome = Outcome("done")
            except Timeout:
                return False
            except Exception as error:
                outcome = Outcome("failed", reason(error, unit, self.store, traceback.format_exc()))
        self._settle(unit, outcome)
        return True

    def _sent(self, unit: Unit, asked: dict[str, float]) -> Any:
        expected = [
            name
            for name, path in unit.places
            if Path(path).exists() and not Path(path).resolve().is_relative_to(self.store.root)  # units fill caches there
        ]
        serve = self.serve.options(
            name=unit.name,
            num_cpus=asked["CPU"],
            num_gpus=asked.get("GPU", 0),
            memory=asked.get("memory"),
            max_retries=_RETRIES,
            runtime_env={"env_vars": _worker_environment("GPU" in asked)},
        )
        inputs = {need.name: self._hand(need) for need in unit.needs}
        scratch = self.store.scratch(unit)
        return serve.remote(unit, unit.key, unit.modules, expected, scratch, current().for_worker(), inputs)

    def _hand(self, need: Unit) -> Any:
        """The result as an object of Ray's, put there once for all that need it."""
        if need.key not in self.handed:
            self.handed[need.key] = self.ray.put(stored(need, self.store))
        return self.handed[need.key]

    def _land(self, number: int, timeout: float) -> bool:
        """Take in up to so many units that came back, or come within the seconds; whether any did."""
        finished, _ = self.ray.wait(list(self.flights), num_returns=number, timeout=timeout)
        for ref in finished:
            flight = self.flights.pop(ref)
            with flight.held:
                outcome = self._outcome(flight.unit, ref)
            self._settle(flight.unit, outcome)
        return bool(finished)

    def _outcome(self, unit: Unit, ref: Any) -> Outcome:
        """What became of a unit that came back; its result is stored."""
        errors = self.ray.exceptions
        try:
            answer: _Answer = self.ray.get(ref)
            if answer.result is None:
                return Outcome("failed", answer.reason + logged(unit, self.store, answer.details))
            self._compare(answer)
            self.store.save(unit, answer.result, answer.seconds, answer.device, versions=answer.versions, host=answer.host)
            return Outcome("done")
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            cause = (
                f"a worker could not load it ({str(error).strip().splitlines()[-1]}); paperlib and what it needs must be "
                "installed on every node, or be sent along with PAPERLIB_RAY_SHIP_CODE=1"
            )
            return Outcome("failed", cause + logged(unit, self.store, str(error)))
        except errors.RayError as error:
            cause = "its process or its node was lost too many times (often a lack of memory)"
            return Outcome("failed", cause + logged(unit, self.store, str(error)))
        except Exception as error:
            return Outcome("failed", reason(error, unit, self.store, traceback.format_exc()))

    def _settle(self, unit: Unit, outcome: Outcome) -> None:
        self.plan.settle(unit, outcome)
        for need in unit.needs:
            self.readers[need.key] -= 1
            if not self.readers[need.key]:
                self.handed.pop(need.key, None)

    def _compare(self, answer: "_Answer") -> None:
        """Say, once in a run, that a node has other versions of libraries than this process."""
        ours = {} if self.warned else installed_versions(answer.versions)
        other = [name for name, version in ours.items() if answer.versions[name] != version]
        if other:
            self.warned = True
            theirs, here = (", ".join(f"{name} {some[name]}" for name in other) for some in (answer.versions, ours))
            say(
                f"{self.title}: node {answer.host} has {theirs}, this process {here}: results may differ in last digits "
                "from those of a run here; manifests name the versions that computed them"
            )

    def _find_homes(self) -> None:
        """Tell which units fit no node, and give them up when that lasts."""
        nodes = self._nodes()
        for ref, flight in list(self.flights.items()):
            unit = flight.unit
            if any(all(node.get(name, 0.0) >= amount for name, amount in flight.demand) for node in nodes):
                flight.homeless_since = None
            elif flight.homeless_since is None:
                flight.homeless_since = time.monotonic()
                say(f"{self.title}: {unit.experiment} {unit.name!r} waits for a node with {_in_words(flight.demand)}")
            elif time.monotonic() - flight.homeless_since > _HOMELESS:
                with self.flights.pop(ref).held:
                    self.ray.cancel(ref, force=True)
                self._settle(unit, Outcome("failed", f"no node of the cluster has {_in_words(flight.demand)}"))


def _in_words(asked: Demand) -> str:
    parts = [f"{amount / 2**30:g} GiB" if name == "memory" else f"{amount:g} {name}" for name, amount in asked]
    return ", ".join(parts)


def _worker_environment(gpu: bool) -> dict[str, str]:
    """The environment of a worker: one thread, this process's modules, no GPU that was not asked for."""
    prefixes = [Path(prefix).resolve() for prefix in {sys.prefix, sys.base_prefix}]
    folders = [Path(entry).resolve() for entry in sys.path]
    folders = [folder for folder in folders if not any(folder.is_relative_to(prefix) for prefix in prefixes)]
    modules = {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    return ONE_THREAD | modules | ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})


# ---------------------------------------------------------------------------------------------------------- the worker


@dataclass(frozen=True)
class _Answer:
    """What comes back: the result and by what it was computed, or why there is none."""

    host: str
    result: Result | None = None
    seconds: float = 0.0
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""
    details: str = ""


def _serve(
    unit: Unit, key: str, modules: dict[str, str], expected: list[str], scratch: Path, settings: Settings,
    inputs: dict[str, Any],
) -> _Answer:  # fmt: skip
    """Compute one unit on a node of the cluster.

    Args:
        unit: what to compute.
        key, modules: those of the unit in the driver's process.
        expected: names of the unit's places that must be there.
        scratch: the unit's folder in the driver's store.
        settings: the driver's.
        inputs: references to the results that the unit needs, by name.
    """
    import ray

    node = socket.gethostname()
    try:
        _require_equal_footing(unit, key, modules, expected, node)
        fetched = OnDemand(inputs, lambda name: deepcopy(ray.get(inputs[name])))
        with in_use(settings), _scratch(scratch) as folder, one_thread(), redirect_stdout(sys.stderr):
            result, seconds = call(unit, fetched, folder)
        return _Answer(node, result, seconds, device(), loaded_versions())
    except (Exception, SystemExit) as error:
        details = f"on node {node}\n{traceback.format_exc()}"
        return _Answer(node, reason=sentence(error, f"node {node}"), details=details)


def _require_equal_footing(unit: Unit, key: str, modules: dict[str, str], expected: list[str], node: str) -> None:
    """Raises PaperlibError where this process has other code than the driver's, or lacks places that the driver has."""
    if unit.key != key:
        names = sorted({name for name, _ in unit.modules.items() ^ modules.items()})
        raise PaperlibError(
            f"node {node} has another version of {', '.join(names[:3])} than the process that started the run: start "
            "again if it was edited meanwhile, else install the same code on every node or set PAPERLIB_RAY_SHIP_CODE=1"
        )
    missing = [f"{name} ({path})" for name, path in unit.places if name in expected and not Path(path).exists()]
    if missing:
        raise PaperlibError(
            f"node {node} does not have {', '.join(missing)}: the files must lie at the same path on every node, on a "
            "shared disk or as copies"
        )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """The folder in the store where this node reaches it, else one on this node that goes with the result."""
    if folder.is_dir() and os.access(folder, os.W_OK):
        yield folder
        return
    own = Path(tempfile.gettempdir(), f"paperlib-scratch-{os.getuid()}-{folder.name}")
    own.mkdir(exist_ok=True, mode=0o700)
    status = own.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:  # another user's
        own = Path(tempfile.mkdtemp(prefix="paperlib-scratch-"))
    yield own
    shutil.rmtree(own, ignore_errors=True)
