"""Computes on this machine what the store lacks: in this process, or in worker processes.

Workers are started as plain `python -c` processes and spoken to through pipes, and not through a process pool of the
standard library, whose children import the caller's `__main__` again: that fails for a script on stdin and reruns a
careless one. It also lets the parent set their number of threads before NumPy and PyTorch are loaded, stop them at
once on Ctrl-C, and lose one unit instead of the whole pool when one of them is killed. Results travel through the
store alone, so they are the same however many workers there are.
"""

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
from collections.abc import Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import BinaryIO, cast

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
    stored,
    usable_cores,
)
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Result, Unit
from paperlib.settings import Settings, current, in_use

_MOMENT = 2.0
"""Seconds, fewer than the way out of an interruption may take."""


def run(units: Sequence[Unit], store: ResultStore, *, workers: int | None = None, title: str) -> dict[str, Result]:
    """The results of `units` by name, from the store where they are there, else computed and stored.

    Units run after those they need, long ones first, each with one thread. One line on stderr tells what is taken from
    the store, what is computed, and why. Needed units whose results no missing unit asks for are left alone. Runs that
    share a store share the work: a unit that another run is computing is waited for and loaded.

    Args:
        units: what is asked for; names must differ.
        store: where results are looked up and kept.
        workers: number of processes; by default one for each usable core. A single unit or `workers=1` is computed in
            this process. Results do not depend on it.
        title: what is being made ("table1"), for messages.

    Raises:
        ValueError: two different units have the same name, or `workers` is not positive.
        ComputationError: units failed; the others are computed and stored first. The message names the failed ones, the
            reason and the log.
    """
    workers = usable_cores() if workers is None else workers
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")

    def execute(plan: Plan) -> None:
        number = min(workers, len(plan.units))
        if number == 1:
            _run_here(plan, store)
        else:
            _run_in_workers(plan, store, number)

    return completed(units, store, title, execute)


# --------------------------------------------------------------------------------------------------------- one unit


def _attempt(unit: Unit, store: ResultStore) -> Outcome:
    needs = {need.name: need for need in unit.needs}
    try:
        try:
            held = store.lock(unit).acquire(timeout=PATIENCE)
        except Timeout:
            return Outcome("busy")
        with held:
            if store.load(unit) is None:
                inputs = OnDemand(needs, lambda name: stored(needs[name], store))
                result, seconds = call(unit, inputs, store.scratch(unit))
                store.save(unit, result, seconds, device())
        return Outcome("done")
    except (Exception, SystemExit) as error:
        return Outcome("failed", reason(error, unit, store, traceback.format_exc()))


# ------------------------------------------------------------------------------------------------------ this process


def _run_here(plan: Plan, store: ResultStore) -> None:
    with one_thread(), redirect_stdout(sys.stderr):  # as in a worker: stdout belongs to the caller's data
        while unit := plan.take():
            plan.bar.set_postfix_str(unit.name)
            plan.settle(unit, _attempt(unit, store))


# --------------------------------------------------------------------------------------------------- worker processes


def _run_in_workers(plan: Plan, store: ResultStore, number: int) -> None:
    idle: list[_Worker] = []
    busy: list[_Worker] = []
    lost: set[str] = set()
    try:
        while True:
            while (idle or len(busy) < number) and (unit := plan.take()):
                worker = idle.pop() if idle else _Worker()
                busy.append(worker)
                worker.send(unit, store)
                plan.bar.set_postfix_str(unit.name)
            if not busy:
                return
            for worker in _with_news(busy):
                busy.remove(worker)
                unit, outcome = worker.unit, worker.receive()
                if outcome is not None:
                    idle.append(worker)
                    plan.settle(unit, outcome)
                elif unit.key not in lost:
                    lost.add(unit.key)
                    plan.put_back(unit, last=False)
                else:
                    plan.settle(unit, Outcome("failed", worker.epitaph(store)))
    except KeyboardInterrupt:
        _interrupt(busy)
        raise
    finally:
        for worker in idle + busy:
            worker.kill()


def _interrupt(workers: list["_Worker"]) -> None:
    """Give them a moment to take back what they are writing."""
    end = time.monotonic() + _MOMENT
    for worker in workers:
        with suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGINT)
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(max(0.0, end - time.monotonic()))


def _with_news(workers: list["_Worker"]) -> list["_Worker"]:
    """Waits until at least one of the workers has answered or died."""
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            selector.register(worker.answers, selectors.EVENT_READ, worker)
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
            env=os.environ | ONE_THREAD,
            start_new_session=True,
        )
        self.tasks = cast(BinaryIO, self.process.stdin)
        self.answers = cast(BinaryIO, self.process.stdout)

    def send(self, unit: Unit, store: ResultStore) -> None:
        self.unit = unit
        os.lseek(self._errors.fileno(), 0, os.SEEK_SET)  # the process shares the position: its words start afresh
        os.ftruncate(self._errors.fileno(), 0)
        with suppress(BrokenPipeError):  # it died; `receive` will notice
            pickle.dump((unit, unit.key, store.root, current().for_worker()), self.tasks)
            self.tasks.flush()

    def receive(self) -> Outcome | None:
        """The outcome of the unit that was sent, or None if the process died over it."""
        try:
            return cast(Outcome, pickle.load(self.answers))
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
        for file in (self.tasks, self.answers, self._errors):
            with suppress(BrokenPipeError):
                file.close()

    def epitaph(self, store: ResultStore) -> str:
        """Why the process died, as far as it can be known, with the log that holds its last words."""
        code = self.process.returncode
        cause = f"signal {-code}, often a lack of memory" if code < 0 else f"exit code {code}"
        return f"its process died twice ({cause}){logged(self.unit, store, self._last_words)}"


def serve() -> None:
    """The life of a worker process: units come through stdin, outcomes go through stdout; ends with stdin.

    What units print goes to stderr. A thread watches stdin, so that the process ends with its parent even in the midst
    of a unit, and takes the processes that it started along.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    tasks: queue.SimpleQueue[tuple[Unit, str, Path, Settings]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, tasks), daemon=True).start()
    while True:
        unit, key, root, settings = tasks.get()
        if unit.key == key:
            with in_use(settings):
                outcome = _attempt(unit, ResultStore(root))
        else:
            outcome = Outcome("failed", "its code was edited while the run was going on: start again")
        pickle.dump(outcome, answers)
        answers.flush()


def _listen(stream: BinaryIO, tasks: "queue.SimpleQueue[tuple[Unit, str, Path, Settings]]") -> None:
    try:
        while True:
            tasks.put(pickle.load(stream))
    finally:
        os.killpg(0, signal.SIGKILL)
