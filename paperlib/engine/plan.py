"""What every executor of units shares: what is missing, in which order it comes, one unit's computation, what is told.

An executor is a function that empties a `Plan`: it takes units, computes and stores them, and settles each with its
`Outcome`. Where that happens, here, in worker processes or on a cluster, decides nothing about the results.
"""

import errno
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from paperlib.engine.progress import progress, say
from paperlib.engine.store import ResultStore, short
from paperlib.engine.units import Result, Unit, check_unchanged
from paperlib.errors import ComputationError, PaperlibError

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
"""Environment in which numerical libraries use one thread, whoever loads them."""
PATIENCE = 1.0
"""Seconds to wait for a unit that another run is computing before turning to other units."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 3
"""How many failures or reasons a message names."""


def completed(
    units: Sequence[Unit], store: ResultStore, title: str, execute: Callable[["Plan", Any], None]
) -> dict[str, Result]:
    """The results of `units` by name, from the store where they are there, else made by `execute`.

    Args:
        units: what is asked for; names must differ.
        store: where results are looked up and kept.
        title: what is being made ("table1"), for messages.
        execute: called as `execute(plan, bar)` where something is missing; leaves no unit in the plan that could still
            be computed.

    Raises:
        ValueError: two different units have the same name.
        ComputationError: units failed; the message names them, the reason and the log.
    """
    wanted = {unit.name: unit for unit in units}
    if any(wanted[unit.name].key != unit.key for unit in units):
        raise ValueError("units that run together must have different names: two of these share one")
    results, missing, total = _survey(wanted, store)
    say(_headline(title, store, missing, total))
    if missing:
        plan = Plan(missing)
        with progress(total=len(missing), desc=title) as bar:
            execute(plan, bar)
        plan.raise_failures(title)
        results |= {name: _stored(unit, store) for name, unit in wanted.items() if name not in results}
    return {name: results[name] for name in wanted}


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


class Plan:
    """Which units are ready, and what became of the others."""

    def __init__(self, units: list[Unit]) -> None:
        self.units = units
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

    def __len__(self) -> int:
        """The number of units that were missing."""
        return len(self.units)

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
        failed = f"{len(failures)} of {len(self.units)} units failed"
        raise ComputationError(f"{title}: {failed}, finished results are kept. {'; '.join(parts)}")


# --------------------------------------------------------------------------------------------------------- one unit


@dataclass(frozen=True)
class Outcome:
    """What became of a unit: "done", "failed" with a reason, or "busy" in another run."""

    status: str
    reason: str = ""


def settle(plan: Plan, unit: Unit, outcome: Outcome, bar: Any) -> None:
    """Tell the plan and the progress bar what became of a unit."""
    if outcome.status == "busy":
        plan.put_back(unit, last=True)
        return
    bar.update()
    if outcome.status == "done":
        plan.done(unit)
    else:
        plan.failed(unit, outcome.reason)


def call(unit: Unit, inputs: Mapping[str, Result], scratch: Path) -> tuple[Result, float]:
    """What the unit's function returns, and its wall time in seconds.

    Raises:
        TypeError: it returned no `Result`.
        PaperlibError: code behind the unit was edited meanwhile.
        Exception: whatever the function raises.
    """
    module, _, name = unit.compute.partition(":")
    function = getattr(import_module(module), name)
    begin = time.perf_counter()
    result = function(unit.arguments, inputs, scratch)
    seconds = time.perf_counter() - begin
    if not isinstance(result, Result):
        raise TypeError(f"{unit.compute} must return a paperlib.engine.units.Result, got {type(result).__name__}")
    check_unchanged(unit)
    return result, seconds


def device() -> str:
    """What a unit of this process ran on: "cpu", or the GPU that PyTorch has used."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return "cpu"
    return f"cuda ({torch.cuda.get_device_name()})"


def sentence(error: BaseException, disk: object) -> str:
    """One line about a failure; `disk` says whose disk it is that may be full."""
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        return f"the disk of {disk} is full: free some space and run again"
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, PaperlibError) else f"{type(error).__name__}: {text}".removesuffix(": ")


def reason(error: BaseException, unit: Unit, store: ResultStore, details: str) -> str:
    """One line about a failure, with the log that holds the details; a full disk needs, and gets, no log."""
    full = isinstance(error, OSError) and error.errno in _DISK_FULL
    return sentence(error, store) + ("" if full else logged(unit, store, details))


def logged(unit: Unit, store: ResultStore, details: str) -> str:
    """Writes the unit's log and returns the words that point to it; nothing where it cannot be written."""
    path = store.log(unit)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(details, encoding="utf-8")
    except OSError:
        return ""
    return f" (log: {short(path)})"


# ---------------------------------------------------------------------------------------------------- cores and threads


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_thread() -> Iterator[None]:
    """Numerical libraries use one thread inside the block, also those that are first loaded there."""
    from threadpoolctl import threadpool_limits

    environment = {name: os.environ[name] for name in ONE_THREAD if name in os.environ}
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else usable_cores()
    os.environ.update(ONE_THREAD)
    try:
        with threadpool_limits(1):
            if torch:
                torch.set_num_threads(1)
            yield
    finally:
        for name in ONE_THREAD:
            del os.environ[name]
        os.environ.update(environment)
        if torch := sys.modules.get("torch"):
            torch.set_num_threads(threads)
