"""Computes on this machine what the store lacks: in this process, or in worker processes.

Workers are started as plain `python -c` processes and spoken to through pipes, and not through a process pool of the
standard library, whose children import the caller's `__main__` again: that fails for a script on stdin and reruns a
careless one. It also lets the parent set their number of threads before NumPy and PyTorch are loaded, stop them at
once on Ctrl-C, and lose one unit instead of the whole pool when one of them is killed. Results travel through the
store alone, so they are the same however many workers there are.
"""

import errno
import json
import os
import pickle
import queue
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from filelock import Timeout

from paperlib.engine.progress import progress, say
from paperlib.engine.store import ResultStore, short
from paperlib.engine.units import Result, Unit, check_unchanged
from paperlib.errors import ComputationError, PaperlibError

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
_PATIENCE = 1.0
"""Seconds to wait for a unit that another run is computing before turning to other units."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 3
"""How many failures or reasons a message names."""


def run(units: Sequence[Unit], store: ResultStore, *, workers: int | None = None, title: str) -> dict[str, Result]:
    """The results of `units` by name, from the store where they are there, else computed and stored.

    Units run after those they need, long ones first, each with one thread. One line on stderr tells what is taken from
    the store, what is computed, and why. Needed units whose results no missing unit asks for are left alone. Runs that
    share a store share the work: a unit that another run is computing is waited for and loaded.

    Args:
        units: what is asked for; names must differ.
        store: where results are looked up and kept.
        workers: number of processes; by default `$PAPERLIB_WORKERS`, else the number of usable cores. A single unit or
            `workers=1` is computed in this process. Results do not depend on it.
        title: what is being made ("table1"), for messages.

    Raises:
        ValueError: two different units have the same name, or `workers` is not positive.
        ComputationError: units failed; the others are computed and stored first. The message names the failed ones, the
            reason and the log.
    """
    workers = _usable_workers() if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    wanted = {unit.name: unit for unit in units}
    if any(wanted[unit.name].key != unit.key for unit in units):
        raise ValueError("units that run together must have different names: two of these share one")
    results, missing, total = _survey(wanted, store)
    say(_headline(title, store, missing, total))
    if missing:
        plan = _Plan(missing)
        with progress(total=len(missing), desc=title) as bar:
            if workers == 1 or len(missing) == 1:
                _run_here(plan, store, bar)
            else:
                _run_in_workers(plan, store, bar, min(workers, len(missing)))
        plan.raise_failures(title)
        results |= {name: _stored(unit, store) for name, unit in wanted.items() if name not in results}
    return {name: results[name] for name in wanted}


def _usable_workers() -> int:
    text = os.environ.get("PAPERLIB_WORKERS", "")
    if not text:
        return _usable_cores()
    if not text.isdecimal() or int(text) < 1:
        raise PaperlibError(f"PAPERLIB_WORKERS must be a positive whole number, got {text!r}")
    return int(text)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _survey(wanted: dict[str, Unit], store: ResultStore) -> tuple[dict[str, Result], list[Unit], int]:
    """The results at hand, the units to compute (needed ones first), and the number of units looked at."""
    loaded = {name: store.load(unit) for name, unit in wanted.items()}
    results = {name: result for name, result in loaded.items() if result is not None}
    at_hand = {wanted[name].key for name in results}
    missing: dict[str, Unit] = {}

    def visit(unit: Unit) -> None:
        for need in unit.needs:
            if need.key in at_hand or need.key in missing:
                continue
            if store.load(need) is not None:
                at_hand.add(need.key)
            else:
                visit(need)
        missing.setdefault(unit.key, unit)

    for name, result in loaded.items():
        if result is None:
            visit(wanted[name])
    return results, list(missing.values()), len(at_hand) + len(missing)


def _stored(unit: Unit, store: ResultStore) -> Result:
    result = store.load(unit)
    if result is None:
        raise PaperlibError(
            f"the result of {unit.experiment} {unit.name!r} vanished from {store} right after it was stored: run "
            "again, and let no other version of the code use the same folder meanwhile"
        )
    return result


def _headline(title: str, store: ResultStore, missing: list[Unit], total: int) -> str:
    text = f"{title}: {total - len(missing)}/{total} units from {store}"
    if not missing:
        return text
    reasons = Counter(store.why_missing(unit) for unit in missing).most_common()
    parts = [f"{count} {reason}" if len(reasons) > 1 else reason for reason, count in reasons[:_SHOWN]]
    more = ["…"] if len(reasons) > _SHOWN else []
    return f"{text}, {len(missing)} to compute ({'; '.join(parts + more)})"


# ---------------------------------------------------------------------------------------------------------- the plan


class _Plan:
    """Which units are ready, and what became of the others."""

    def __init__(self, units: list[Unit]) -> None:
        self._units = units
        keys = {unit.key for unit in units}
        self._waiting = {unit.key: {need.key for need in unit.needs} & keys for unit in units}
        self._urgency: dict[str, float] = {}
        self._failures: dict[str, tuple[Unit, str]] = {}
        self._dependents: dict[str, list[Unit]] = {key: [] for key in keys}
        for unit in reversed(units):  # whatever needs a unit is seen before it
            following = (self._urgency[other.key] for other in self._dependents[unit.key])
            self._urgency[unit.key] = unit.cost + max(following, default=0.0)
            for need in self._waiting[unit.key]:
                self._dependents[need].append(unit)
        self._ready = [unit for unit in units if not self._waiting[unit.key]]

    def take(self) -> Unit | None:
        """The ready unit at the head of the longest chain of work, or None while there is none."""
        if not self._ready:
            return None
        unit = max(self._ready, key=lambda unit: self._urgency[unit.key])
        self._ready.remove(unit)
        return unit

    def put_back(self, unit: Unit, last: bool) -> None:
        """Make a unit ready again, where wanted behind all others."""
        if last:
            self._urgency[unit.key] = min(self._urgency.values()) - 1
        self._ready.append(unit)

    def done(self, unit: Unit) -> None:
        for other in self._dependents[unit.key]:
            self._waiting[other.key].discard(unit.key)
            if not self._waiting[other.key]:
                self._ready.append(other)

    def failed(self, unit: Unit, reason: str) -> None:
        self._failures[unit.key] = unit, reason

    def raise_failures(self, title: str) -> None:
        if not self._failures:
            return
        failures = list(self._failures.values())
        parts = [f"{unit.experiment} {unit.name!r}: {reason}" for unit, reason in failures[:_SHOWN]]
        if len(failures) > _SHOWN:
            parts.append(f"and {len(failures) - _SHOWN} more")
        stranded = sum(bool(keys) for keys in self._waiting.values())
        if stranded:
            parts.append(f"not tried, as they need these: {stranded}")
        failed = f"{len(failures)} of {len(self._units)} units failed"
        raise ComputationError(f"{title}: {failed}, finished results are kept. {'; '.join(parts)}")


# --------------------------------------------------------------------------------------------------------- one unit


@dataclass(frozen=True)
class _Outcome:
    """What became of a unit: "done", "failed" with a reason, or "busy" in another run."""

    status: str
    reason: str = ""


def _attempt(unit: Unit, store: ResultStore) -> _Outcome:
    try:
        try:
            held = store.lock(unit).acquire(timeout=_PATIENCE)
        except Timeout:
            return _Outcome("busy")
        with held:
            if store.load(unit) is None:
                _compute(unit, store)
        return _Outcome("done")
    except (Exception, SystemExit) as error:
        return _Outcome("failed", _reason(error, unit, store, traceback.format_exc()))


def _compute(unit: Unit, store: ResultStore) -> None:
    module, _, name = unit.compute.partition(":")
    function = getattr(import_module(module), name)
    begin = time.perf_counter()
    result = function(unit.arguments, _Inputs(unit, store), store.scratch(unit))
    seconds = time.perf_counter() - begin
    if not isinstance(result, Result):
        raise TypeError(f"{unit.compute} must return a paperlib.engine.units.Result, got {type(result).__name__}")
    check_unchanged(unit)
    store.save(unit, result, seconds, _device())


class _Inputs(Mapping[str, Result]):
    """The results that a unit needs, by name, read from the store whenever one is asked for."""

    def __init__(self, unit: Unit, store: ResultStore):
        self.units = {need.name: need for need in unit.needs}
        self.store = store

    def __getitem__(self, name: str) -> Result:
        result = self.store.load(self.units[name])
        if result is None:
            raise PaperlibError(f"its input {name!r} was damaged or removed meanwhile; run again")
        return result

    def __iter__(self) -> Iterator[str]:
        return iter(self.units)

    def __len__(self) -> int:
        return len(self.units)


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return "cpu"
    return f"cuda ({torch.cuda.get_device_name()})"


def _reason(error: BaseException, unit: Unit, store: ResultStore, details: str) -> str:
    """One line about a failure, with the log that holds the details."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return f"the disk of {store} is full: free some space and run again"
    text = str(error).strip().partition("\n")[0]
    line = text if isinstance(error, PaperlibError) else f"{type(error).__name__}: {text}".removesuffix(": ")
    return f"{line}{_logged(unit, store, details)}"


def _logged(unit: Unit, store: ResultStore, details: str) -> str:
    path = store.log(unit)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(details, encoding="utf-8")
    except OSError:
        return ""
    return f" (log: {short(path)})"


# ------------------------------------------------------------------------------------------------------ this process


def _run_here(plan: _Plan, store: ResultStore, bar: Any) -> None:
    with _one_thread(), redirect_stdout(sys.stderr):  # as in a worker: stdout belongs to the caller's data
        while unit := plan.take():
            bar.set_postfix_str(unit.name)
            _settle(plan, unit, _attempt(unit, store), bar)


def _settle(plan: _Plan, unit: Unit, outcome: _Outcome, bar: Any) -> None:
    if outcome.status == "busy":
        plan.put_back(unit, last=True)
        return
    bar.update()
    if outcome.status == "done":
        plan.done(unit)
    else:
        plan.failed(unit, outcome.reason)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Numerical libraries use one thread inside the block, also those that are first loaded there."""
    from threadpoolctl import threadpool_limits

    environment = {name: os.environ[name] for name in _ONE_THREAD if name in os.environ}
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else _usable_cores()
    os.environ.update(_ONE_THREAD)
    try:
        with threadpool_limits(1):
            if torch:
                torch.set_num_threads(1)
            yield
    finally:
        for name in _ONE_THREAD:
            del os.environ[name]
        os.environ.update(environment)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)


# --------------------------------------------------------------------------------------------------- worker processes


def _run_in_workers(plan: _Plan, store: ResultStore, bar: Any, number: int) -> None:
    idle: list[_Worker] = []
    busy: list[_Worker] = []
    lost: set[str] = set()
    try:
        while True:
            while (idle or len(busy) < number) and (unit := plan.take()):
                worker = idle.pop() if idle else _Worker()
                busy.append(worker)
                worker.send(unit, store)
                bar.set_postfix_str(unit.name)
            if not busy:
                return
            for worker in _with_news(busy):
                busy.remove(worker)
                unit, outcome = worker.unit, worker.receive()
                if outcome is not None:
                    idle.append(worker)
                    _settle(plan, unit, outcome, bar)
                elif unit.key not in lost:
                    lost.add(unit.key)
                    plan.put_back(unit, last=False)
                else:
                    _settle(plan, unit, _Outcome("failed", worker.epitaph(store)), bar)
    finally:
        for worker in idle + busy:
            worker.kill()


def _with_news(workers: list["_Worker"]) -> list["_Worker"]:
    """Waits until at least one of the workers has answered or died."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.process.stdout, selectors.EVENT_READ, worker)
        return [key.data for key, _ in selector.select()]


class _Worker:
    """A process that computes one unit after the other; the parent's end."""

    _CODE = """
import json, sys
sys.path[:] = json.loads(sys.argv.pop())
from paperlib.engine.local import serve
serve()
"""

    def __init__(self) -> None:
        self.unit: Unit
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", self._CODE, json.dumps([str(entry) for entry in sys.path])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | _ONE_THREAD | {"PAPERLIB_QUIET": "1", "PAPERLIB_WORKERS": "1"},
            start_new_session=True,
        )

    def send(self, unit: Unit, store: ResultStore) -> None:
        self.unit = unit
        os.lseek(self._errors.fileno(), 0, os.SEEK_SET)  # the process shares the position: its words start afresh
        os.ftruncate(self._errors.fileno(), 0)
        with suppress(BrokenPipeError):  # it died; `receive` will notice
            pickle.dump((unit, unit.key, store.root), self.process.stdin)
            self.process.stdin.flush()

    def receive(self) -> _Outcome | None:
        """The outcome of the unit that was sent, or None if the process died over it."""
        try:
            return pickle.load(self.process.stdout)
        except (EOFError, pickle.UnpicklingError):
            self.kill()
            return None

    def kill(self) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        size = os.fstat(self._errors.fileno()).st_size
        self._last_words = os.pread(self._errors.fileno(), 20_000, max(0, size - 20_000)).decode(errors="replace")
        for file in (self.process.stdin, self.process.stdout, self._errors):
            with suppress(BrokenPipeError):
                file.close()

    def epitaph(self, store: ResultStore) -> str:
        """Why the process died, as far as it can be known, with the log that holds its last words."""
        code = self.process.returncode
        cause = f"signal {-code}, often a lack of memory" if code < 0 else f"exit code {code}"
        return f"its process died twice ({cause}){_logged(self.unit, store, self._last_words)}"


def serve() -> None:
    """The life of a worker process: units come through stdin, outcomes go through stdout; ends with stdin.

    What units print goes to stderr. A thread watches stdin, so that the process ends with its parent even in the midst
    of a unit, and takes the processes that it started along.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    tasks: queue.SimpleQueue[tuple[Unit, str, Path]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, tasks), daemon=True).start()
    while True:
        unit, key, root = tasks.get()
        store = ResultStore(root)
        if unit.key == key:
            outcome = _attempt(unit, store)
        else:
            outcome = _Outcome("failed", "its code was edited while the run was going on: start again")
        pickle.dump(outcome, answers)
        answers.flush()


def _listen(stream: BinaryIO, tasks: queue.SimpleQueue) -> None:
    try:
        while True:
            tasks.put(pickle.load(stream))
    finally:
        os.killpg(0, signal.SIGKILL)
