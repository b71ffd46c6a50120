"""What every executor of units shares: what is missing, in which order it comes, one unit's computation, what is told.

An executor is a function that empties a `Plan`: it takes units, computes and stores them, and settles each with its
`Outcome`. Where that happens, here, in worker processes or on a cluster, decides nothing about the results.
"""

import errno
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paperlib.engine.progress import progress, say
from paperlib.engine.store import ResultStore, short
from paperlib.engine.units import Inputs, Result, Unit, check_unchanged, function
from paperlib.errors import ComputationError, PaperlibError
from paperlib.paths import in_the_way, make_writable, writing_to

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"
)
"""Environment in which numerical libraries use one thread, whoever loads them."""
PATIENCE = 1.0
"""Seconds to wait for a unit that another run is computing before turning to other units."""
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_SHOWN = 3
"""How many failures or reasons a message names."""


def completed(units: Sequence[Unit], store: ResultStore, title: str, execute: Callable[["Plan"], None]) -> dict[str, Result]:
    """The results of `units` by name, from the store where they are there, else made by `execute`.

    Args:
        units: what is asked for; names must differ.
        store: where results are looked up and kept.
        title: what is being made ("table1"), for messages.
        execute: called with what is missing, if anything; leaves no unit in the plan that could still be computed.

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
        with writing_to(store.root, "choose another folder with --results DIR"):
            make_writable(store.root)
        with progress(total=len(missing), desc=title) as bar:
            plan = Plan(missing, bar)
            execute(plan)
        plan.raise_failures(title)
    return {name: results.get(name) or stored(unit, store) for name, unit in wanted.items()}


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


def stored(unit: Unit, store: ResultStore) -> Result:
    """The unit's result, which has been stored before. Raises PaperlibError where it is gone."""
    result = store.load(unit)
    if result is None:
        raise PaperlibError(
            f"the result of {unit.experiment} {unit.name!r} in {store} was damaged or removed meanwhile: run again, and "
            "let no other version of the code use the same folder at the same time"
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


@dataclass(frozen=True)
class Outcome:
    """What became of a unit: "done", "failed" with a reason, or "busy" in another run."""

    status: str
    reason: str = ""


class Plan:
    """Which units are ready, and what became of the others; a progress bar shows it.

    Args:
        units: all that are missing, needed ones first.
        bar: a tqdm bar.
    """

    def __init__(self, units: list[Unit], bar: Any) -> None:
        self.units = units
        self.bar = bar
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

    def settle(self, unit: Unit, outcome: Outcome) -> None:
        """Take note of what became of a unit."""
        if outcome.status == "busy":
            self.put_back(unit, last=True)
            return
        self.bar.update()
        if outcome.status == "failed":
            self._failures[unit.key] = unit, outcome.reason
            return
        for other in self._dependents[unit.key]:
            self._waiting[other.key].discard(unit.key)
            if not self._waiting[other.key]:
                self._ready.append(other)

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


class OnDemand(Mapping[str, Result]):
    """The results that a unit needs by name, each fetched anew whenever it is asked for."""

    def __init__(self, names: Iterable[str], fetch: Callable[[str], Result]) -> None:
        self._names = tuple(names)
        self._fetch = fetch

    def __getitem__(self, name: str) -> Result:
        if name not in self._names:
            raise KeyError(name)
        return self._fetch(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def call(unit: Unit, inputs: Inputs, scratch: Path) -> tuple[Result, float]:
    """What the unit's function returns, and its wall time in seconds.

    Raises:
        TypeError: it returned no `Result`.
        PaperlibError: code behind the unit was edited meanwhile.
        Exception: whatever the function raises.
    """
    compute = function(unit.compute)
    begin = time.perf_counter()
    result = compute(unit.arguments, inputs, scratch)
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
    if obstacle := in_the_way(error):
        return obstacle
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
