"""Computes on a Ray cluster what the store lacks, with the results of a run on this machine.

The driver, which is the process that calls `run`, keeps the plan, the store and its locks. A worker gets a unit and the
results that it needs as objects, and hands its result back as one; so no disk need be shared. A unit is computed with
one thread, by the code of the driver or not at all: the worker compares the unit's key. What dies takes along only the
unit that it was computing, which the driver sends out again; Ray's own retries are off, since they could not tell a
process that the unit kills from a node that is lost.
"""

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from copy import deepcopy
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

from filelock import BaseFileLock, Timeout

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
from paperlib.engine.store import NUMERICAL, ResultStore, installed_versions, loaded_versions
from paperlib.engine.units import Result, Unit
from paperlib.errors import PaperlibError
from paperlib.settings import Settings, current, in_use

_ANSWER_WITHIN = 10.0
"""Seconds that a cluster has to answer a first call."""
_LOSSES = {"process": 2, "node": 10}
"""A unit is given up when its process died, or its node was lost, this many times."""
_QUEUED = 16
"""Units handed to Ray beyond those that run at once: no worker waits for the driver, an autoscaler sees demand."""
_AT_ONCE = 512
"""Most units in Ray's hands at a time; each holds a lock and so an open file."""
_LOOK_AGAIN = 5.0
_HOMELESS = 600.0
"""Seconds between two looks at the nodes, and until a unit that fits none of them is given up."""
_QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


def run(
    units: Sequence[Unit], store: ResultStore, *, address: str | None = None, title: str,
    gpu_share: float = 1.0, ship_code: bool = False, workers: int | None = None,
) -> dict[str, Result]:  # fmt: skip
    """The results of `units` by name, from the store where they are there, else computed on Ray and stored.

    Order, messages, failures and results are those of `paperlib.engine.local.run`. A unit gets the `resources` that it
    asks for; GPUs only where the cluster has some when the run starts, and else a CPU alone. A unit that lost its node
    or its process is computed again (see `_LOSSES`), from its checkpoints where the worker reaches the store's folder;
    one that fails by itself is not. Ctrl-C stops the units under way and keeps what is finished. Manifests name
    the host and the versions of libraries that computed a unit; versions that are not this process's are told once.

    Args:
        units: what is asked for; names must differ. Their `places` must lie at the same paths on every node.
        store: where results are looked up and kept; only this process needs it.
        address: `"HOST:PORT"` of a cluster that this machine is a node of, `"auto"` for the one that runs on this
            machine or that `$RAY_ADDRESS` names, `"local"` to start one here for this run, None for "auto" or else
            "local". A connection that the caller has made is used, whatever the address.
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


def _ray() -> ModuleType:
    try:
        import ray
    except ImportError as error:
        raise PaperlibError(
            "computing on a cluster needs Ray; install the cluster extra: pip install 'paperlib[cluster]'"
        ) from error
    return ray


@contextmanager
def _connected(address: str | None, ship_code: bool, cpus: int) -> Iterator[ModuleType]:
    """Ray with a connection, which is closed afterwards unless the caller had made it."""
    ray = _ray()
    if ray.is_initialized():
        if ship_code:
            raise ValueError("code is sent along only over a connection that the run makes: call ray.shutdown() first")
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    handler = signal.getsignal(signal.SIGTERM)
    if re.search(r"\s", sys.executable):
        raise PaperlibError(
            f"Ray cannot start workers of a Python whose path holds a space: {sys.executable}; move this "
            "project, or its environment, to a path without one, or run without --ray-address"
        )
    with _environment(_QUIET), tempfile.TemporaryDirectory() as folder:
        if ship_code:
            options["runtime_env"] = {"working_dir": _packed(Path(folder))}
        found = _found(address)
        if found == "local":
            options |= {"num_cpus": cpus, "include_dashboard": False}
        try:
            ray.init(found, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise PaperlibError(_refusal(found, f"{type(error).__name__}: {error}")) from error
    try:
        yield ray
    finally:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own there


def _packed(folder: Path) -> str:
    """A folder with the package alone. As a working directory it comes before what the nodes have at the same paths."""
    package = Path(__file__).resolve().parents[1]
    shutil.copytree(package, folder / "code" / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    return str(folder / "code")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_TRIAL = """
import json, logging, sys
import ray
print("loaded", flush=True)
try:
    ray.init(sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
    answer = {}
except Exception as error:
    answer = {"error": f"{type(error).__name__}: {error}"}
print("answer", json.dumps(answer), flush=True)
"""


def _found(address: str | None) -> str:
    """What to connect to: the address, after something answered there, or "local".

    Another process tries it first: where nobody answers, `ray.init` waits for more than a minute and then ends its own
    process.
    """
    if address == "local":
        return address
    if address not in (None, "auto"):
        _require_listener(address)
    error = _tried(address or "auto")
    if address is None and "Could not find any running Ray" in (error or ""):
        return "local"
    if error is not None:
        raise PaperlibError(_refusal(address or "auto", error))
    return address or "auto"


def _require_listener(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise PaperlibError(
            f"--ray-address must be HOST:PORT, auto or local, got {address!r}; for a cluster elsewhere, start the "
            "command on one of its nodes (`ray job submit`)"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_WITHIN / 2).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise PaperlibError(_silence(address, str(error))) from error


def _tried(address: str) -> str | None:
    """What Ray says against `address`, "" where nothing came, None where it connects; tried by another process."""
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _TRIAL, address], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, start_new_session=True, bufsize=0,
    ) as process:  # fmt: skip
        try:
            process.stdout.readline()  # Ray is loaded; from now on the time is the cluster's
            said = process.communicate(timeout=_ANSWER_WITHIN)[0]
        except subprocess.TimeoutExpired as error:
            said = error.output or b""
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    answers = [line for line in said.splitlines() if line.startswith(b"answer ")]
    return json.loads(answers[-1].partition(b" ")[2]).get("error") if answers else ""


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
    return _silence(address, error.partition("\n")[0])


def _silence(address: str, cause: str) -> str:
    because = f" ({cause})" if cause else f" within {_ANSWER_WITHIN:.0f} s"
    return (
        f"no Ray cluster answered at {address}{because}; expected the HOST:PORT that `ray start --head` printed, "
        "this machine to be one of the cluster's nodes, and RAY_AUTH_MODE=token where the cluster asks for a token"
    )


# ---------------------------------------------------------------------------------------------------------- the driver


@dataclass
class _Flight:
    """A unit in Ray's hands."""

    unit: Unit
    demand: tuple[tuple[str, float], ...]
    lock: BaseFileLock
    homeless_since: float | None = None


class _Run:
    """One run's units on their way to Ray and back."""

    def __init__(self, ray: ModuleType, plan: Plan, store: ResultStore, title: str, gpu_share: float) -> None:
        self.ray, self.plan, self.store, self.title = ray, plan, store, title
        self.gpu_share = gpu_share if ray.cluster_resources().get("GPU") else 0.0
        self.serve = ray.remote(_serve)
        self.flights: dict[Any, _Flight] = {}
        self.losses = {"process": Counter[str](), "node": Counter[str]()}
        self.readers = Counter(need.key for unit in plan.units for need in unit.needs)
        self.handed: dict[str, Any] = {}
        self.nodes: list[dict[str, float]] = []
        self.looked = float("-inf")
        self.versions = installed_versions(NUMERICAL)
        self.warned = False
        self.token = ""

    def go(self) -> None:
        """Empty the plan."""
        self._look()
        cpus, gpus = (sum(node.get(name, 0.0) for node in self.nodes) for name in ("CPU", "GPU"))
        say(f"{self.title}: on Ray (nodes: {len(self.nodes)}, CPUs: {cpus:g}, GPUs: {gpus:g})")
        with _token(self.store) as self.token:
            try:
                while True:
                    busy = self._launch()
                    if self.flights:
                        self._land()
                    elif busy:
                        time.sleep(PATIENCE)
                    else:
                        return
            except KeyboardInterrupt:
                finished, _ = self.ray.wait(list(self.flights), num_returns=len(self.flights), timeout=0)
                for ref in finished:
                    self._take_in(ref)
                raise
            finally:
                self._abandon()

    def _launch(self) -> bool:
        """Hand over what is ready, up to some more than can run; whether another run is at work on ready units."""
        if time.monotonic() - self.looked > _LOOK_AGAIN:
            self._look()
        flying = Counter(flight.demand for flight in self.flights.values())
        busy, later = [], []
        while unit := self.plan.take():
            demand = self._demand(unit)
            if len(self.flights) >= _AT_ONCE or flying[demand] >= self._slots(demand) + _QUEUED:
                later.append(unit)
            elif self._start(unit, demand):
                flying[demand] += 1
            else:
                busy.append(unit)
        for unit in later:
            self.plan.put_back(unit, last=False)
        for unit in busy:
            self.plan.put_back(unit, last=True)
        return bool(busy)

    def _start(self, unit: Unit, demand: tuple[tuple[str, float], ...]) -> bool:
        """Send a unit out, or settle it; False where another run holds it."""
        lock = None
        try:
            lock = self.store.lock(unit)
            lock.acquire(timeout=0)
            if self.store.load(unit) is None:
                ref = self._sent(unit, dict(demand))
                self.flights[ref] = _Flight(unit, demand, lock)
                self.plan.bar.set_postfix_str(unit.name)
                return True
            outcome = Outcome("done")
        except Timeout:
            return False
        except Exception as error:
            outcome = Outcome("failed", reason(error, unit, self.store, traceback.format_exc()))
        self._settle(unit, outcome, lock)
        return True

    def _sent(self, unit: Unit, demand: dict[str, float]) -> Any:
        expected = [name for name, path in unit.places if Path(path).exists() and not self._made_by_units(path)]
        options = {
            "num_cpus": demand["CPU"], "num_gpus": demand.get("GPU", 0), "memory": demand.get("memory"),
            "max_retries": 0, "runtime_env": {"env_vars": _worker_environment("GPU" in demand)}, "name": unit.name,
        }  # fmt: skip
        inputs = {need.name: self._hand(need) for need in unit.needs}
        orders = _Orders(unit, unit.key, unit.modules, tuple(expected), self.store.root, self.token, current().for_worker())
        return self.serve.options(**options).remote(orders, inputs)

    def _made_by_units(self, path: str) -> bool:
        """Whether a place lies in the store's folder, like a cache that units fill."""
        return Path(path).resolve().is_relative_to(self.store.root)

    def _hand(self, need: Unit) -> Any:
        """The result as an object of Ray's, put there once for all that need it."""
        if need.key not in self.handed:
            self.handed[need.key] = self.ray.put(stored(need, self.store))
        return self.handed[need.key]

    def _land(self) -> None:
        """Wait for a moment for a unit to come back."""
        finished, _ = self.ray.wait(list(self.flights), num_returns=1, timeout=PATIENCE)
        for ref in finished:
            self._take_in(ref)
        if not finished:
            self._find_homes()

    def _take_in(self, ref: Any) -> None:
        flight = self.flights.pop(ref)
        unit, errors = flight.unit, self.ray.exceptions
        try:
            answer = self.ray.get(ref)
            if answer.result is not None:
                self._compare(answer)
                self.store.save(
                    unit, answer.result, answer.seconds, answer.device, versions=answer.versions, host=answer.host
                )
                outcome = Outcome("done")
            else:
                log = logged(unit, self.store, answer.details) if answer.details else ""
                outcome = Outcome("failed", answer.reason + log)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            outcome = Outcome("failed", _unable(error) + logged(unit, self.store, str(error)))
        except errors.RayError as error:
            outcome = self._lost(unit, error)
        except Exception as error:
            outcome = Outcome("failed", reason(error, unit, self.store, traceback.format_exc()))
        except BaseException:
            flight.lock.release()
            raise
        self._settle(unit, outcome, flight.lock)

    def _compare(self, answer: "_Answer") -> None:
        """Say, once in a run, that a node has other versions of libraries than this process."""
        ours = self.versions
        other = [name for name, version in answer.versions.items() if ours.get(name, version) != version]
        if not other or self.warned:
            return
        self.warned = True
        theirs, here = (", ".join(f"{name} {some[name]}" for name in other) for some in (answer.versions, ours))
        say(
            f"{self.title}: node {answer.host} has {theirs}, this process {here}: results may differ in last digits "
            "from those of a run here; manifests name the versions that computed them"
        )

    def _lost(self, unit: Unit, error: Exception) -> Outcome | None:
        """Make the unit ready again, or give it up when that happened too often."""
        errors = self.ray.exceptions
        what = "process" if isinstance(error, errors.WorkerCrashedError | errors.OutOfMemoryError) else "node"
        cause = {"process": "its process died", "node": "its node was lost"}[what]
        self.losses[what][unit.key] += 1
        times = self.losses[what][unit.key]
        if times >= _LOSSES[what]:
            hint = " (often a lack of memory)" if what == "process" else ""
            return Outcome("failed", f"{cause} {times} times{hint}{logged(unit, self.store, str(error))}")
        say(f"{self.title}: {unit.experiment} {unit.name!r} is computed again, {cause}")
        self.plan.put_back(unit, last=False)
        return None

    def _settle(self, unit: Unit, outcome: Outcome | None, lock: BaseFileLock | None) -> None:
        if lock is not None:
            lock.release()
        if outcome is None:
            return
        self.plan.settle(unit, outcome)
        for need in unit.needs:
            self.readers[need.key] -= 1
            if not self.readers[need.key]:
                self.handed.pop(need.key, None)

    def _abandon(self) -> None:
        for ref, flight in self.flights.items():
            with suppress(Exception):
                self.ray.cancel(ref, force=True)
            flight.lock.release()

    # ------------------------------------------------------------------------------------------------- what fits where

    def _demand(self, unit: Unit) -> tuple[tuple[str, float], ...]:
        """What the unit occupies, by Ray's names."""
        asked = {"cpus": 1.0} | dict(unit.resources)
        gpus = asked.get("gpus", 0.0) * self.gpu_share
        amounts = {"CPU": asked["cpus"], "GPU": gpus if gpus <= 1 else ceil(gpus)}
        amounts["memory"] = asked.get("memory", 0.0) * 2**30
        return tuple((name, amount) for name, amount in amounts.items() if amount or name == "CPU")

    def _look(self) -> None:
        self.nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        self.looked = time.monotonic()

    def _slots(self, demand: tuple[tuple[str, float], ...]) -> int:
        """How many units of this demand the nodes hold at once."""
        asked = {name: amount for name, amount in demand if amount}
        fits = (min((node.get(name, 0.0) // asked[name] for name in asked), default=1) for node in self.nodes)
        return int(sum(fits))

    def _find_homes(self) -> None:
        """Tell which units fit no node, and give them up when that lasts."""
        if time.monotonic() - self.looked < min(_LOOK_AGAIN, _HOMELESS):
            return
        self._look()
        now = time.monotonic()
        for ref, flight in list(self.flights.items()):
            if self._slots(flight.demand):
                flight.homeless_since = None
                continue
            unit, asked = flight.unit, _in_words(flight.demand)
            if flight.homeless_since is None:
                flight.homeless_since = now
                say(f"{self.title}: {unit.experiment} {unit.name!r} waits for a node with {asked}")
            elif now - flight.homeless_since > _HOMELESS:
                del self.flights[ref]
                self.ray.cancel(ref, force=True)
                self._settle(unit, Outcome("failed", f"no node of the cluster has {asked}"), flight.lock)


def _in_words(demand: tuple[tuple[str, float], ...]) -> str:
    parts = [f"{amount / 2**30:g} GiB" if name == "memory" else f"{amount:g} {name}" for name, amount in demand]
    return ", ".join(parts)


@contextmanager
def _token(store: ResultStore) -> Iterator[str]:
    """The name of a file beside the locks: who sees it there has the store's disk."""
    path = store.root / "locks" / f"cluster-{uuid.uuid4().hex}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    try:
        yield path.name
    finally:
        path.unlink(missing_ok=True)


def _worker_environment(gpu: bool) -> dict[str, str]:
    """The environment of a worker: one thread, this process's modules, no GPU that was not asked for."""
    prefixes = [Path(prefix).resolve() for prefix in {sys.prefix, sys.base_prefix}]
    folders = [Path(entry).resolve() for entry in sys.path]
    folders = [folder for folder in folders if not any(folder.is_relative_to(prefix) for prefix in prefixes)]
    modules = {"PYTHONPATH": os.pathsep.join(map(str, folders))}
    return ONE_THREAD | modules | ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})


def _unable(error: Exception) -> str:
    """Why a worker could not even begin."""
    last = str(error).strip().splitlines()[-1]
    return (
        f"a worker could not load it ({last}); paperlib and what it needs must be installed on every node, or be sent "
        "along with PAPERLIB_RAY_SHIP_CODE=1"
    )


# ---------------------------------------------------------------------------------------------------------- the worker


@dataclass(frozen=True)
class _Orders:
    """What a worker is told: the unit, the code that it must have, the places that it must find, the store, the settings."""

    unit: Unit
    key: str
    modules: dict[str, str]
    places: tuple[str, ...]
    root: Path
    token: str
    settings: Settings


@dataclass(frozen=True)
class _Answer:
    """What comes back: the result and by what it was computed, or why there is none."""

    result: Result | None = None
    seconds: float = 0.0
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    host: str = ""
    reason: str = ""
    details: str = ""


def _serve(orders: _Orders, inputs: dict[str, Any]) -> _Answer:
    """Compute one unit on a node of the cluster."""
    node = socket.gethostname()
    try:
        obstacle = _obstacle(orders, node)
        if obstacle:
            return _Answer(reason=obstacle)
        with in_use(orders.settings), _scratch(orders) as scratch, one_thread(), redirect_stdout(sys.stderr):
            result, seconds = call(orders.unit, OnDemand(inputs, lambda name: deepcopy(_ray().get(inputs[name]))), scratch)
        return _Answer(result, seconds, device(), loaded_versions(), node)
    except (Exception, SystemExit) as error:
        return _Answer(reason=sentence(error, f"node {node}"), details=f"on node {node}\n{traceback.format_exc()}")


def _obstacle(orders: _Orders, node: str) -> str:
    """Why this process cannot do what the driver would, or ""."""
    unit = orders.unit
    if unit.key != orders.key:
        names = sorted({name for name, _ in unit.modules.items() ^ orders.modules.items()})
        return (
            f"node {node} has another version of {', '.join(names[:3])} than the process that started the run: start "
            "again if it was edited meanwhile, else install the same code on every node or set PAPERLIB_RAY_SHIP_CODE=1"
        )
    missing = [f"{name} ({path})" for name, path in unit.places if name in orders.places and not Path(path).exists()]
    if missing:
        return (
            f"node {node} does not have {', '.join(missing)}: the files must lie at the same path on every node, on a "
            "shared disk or as copies"
        )
    return ""


@contextmanager
def _scratch(orders: _Orders) -> Iterator[Path]:
    """The unit's folder in the store where this node reaches it, else one on this node that goes with the result."""
    store = ResultStore(orders.root)
    if (store.root / "locks" / orders.token).is_file() and os.access(store.root, os.W_OK):
        yield store.scratch(orders.unit)
        return
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir(), f"paperlib-scratch-{user}-{orders.unit.key}")
    folder.mkdir(exist_ok=True, mode=0o700)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
