"""The paper's claims, tested here: effects with intervals, controls judged by the same criterion, and a verdict."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pandas as pd

from paperlib import paper
from paperlib.experiments.artefacts import ClaimResult
from paperlib.experiments.statistics import MEASURED, interval

if TYPE_CHECKING:
    from paperlib.profiles import Profile

HOLDS, UNDECIDED, FAILS, UNTESTED = "holds", "not decided", "does not hold", "not testable"

PICTURE, ATTENTION = "the picture", "attention in the opinions"
LACKS: Mapping[str, str] = {
    "pretrained_activation": "quality training",
    "pretrained_norm": "quality training",
    "random_head": "quality training",
    "frozen_backbone": "quality training of the features",
    "unpretrained": "pretraining",
    "uniform_observers": ATTENTION,
    "shuffled_map": "the right picture",
    "center_only": PICTURE,
    "noise_map": PICTURE,
    "edge_energy": "a network",
}
"""What a control goes without, by its method."""

_TIE = 1e-12
"""Differences below are rounding."""


@dataclass(frozen=True)
class Part:
    """One quantity of a claim, which wants it above `needed`.

    `values` are those of the repeats, or of the pictures; `low` and `high` are the ends of the 95 % interval of their mean,
    NaN where there is none, over `n` of what `over` says.
    """

    label: str
    values: pd.Series
    low: float
    high: float
    n: int
    over: str
    needed: float = 0.0

    @classmethod
    def of(cls, label: str, measured: pd.DataFrame, needed: float = 0.0, over: str = "repeats") -> "Part":
        """Several values get a t interval, a single one keeps its own over pictures.

        Args:
            label: what it is.
            measured: `paperlib.experiments.statistics.MEASURED`; those without a value do not count.
            needed: what the mean must exceed.
            over: what the rows are, `"repeats"` or `"pictures"`.
        """
        known = measured.reindex(columns=MEASURED).dropna(subset="value")
        if len(known) == 1 and known["low"].notna().all():
            _, low, high, n = (float(number) for number in known.iloc[0])
            return cls(label, known["value"], low, high, int(n), "pictures", needed)
        _, low, high = interval(list(known["value"])) if len(known) else (math.nan,) * 3
        return cls(label, known["value"], low, high, len(known), over, needed)

    @property
    def value(self) -> float:
        """The mean; NaN without any value."""
        return float(self.values.mean())

    @property
    def outcome(self) -> str:
        """Whether mean and interval exceed what is needed."""
        if math.isnan(self.value):
            return UNTESTED
        if self.value <= self.needed + _TIE:
            return FAILS
        return HOLDS if self.low > self.needed + _TIE else UNDECIDED


@dataclass(frozen=True)
class Control:
    """What goes without something (`lacks`) that the reading of a claim takes for its cause; its parts are the claim's."""

    label: str
    lacks: str
    parts: tuple[Part, ...]

    @property
    def outcome(self) -> str:
        """As `judge`."""
        return judge(self.parts)


@dataclass(frozen=True)
class ClaimParts:
    """All that a claim rests on: the parts that must hold, controls, and parts that stand `beside` and decide nothing.

    `elsewhere` are the same parts on further sets, by what the set is called: the verdict tells how they end there. `home`
    is then the name of the set that decides.
    """

    subject: tuple[Part, ...]
    controls: tuple[Control, ...] = ()
    beside: tuple[Part, ...] = ()
    home: str = ""
    elsewhere: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)


def by_set(found: Mapping[str, tuple[Part, ...]]) -> dict[str, tuple[Part, ...]]:
    """Parts by the key of a set, now by what the set is called; sets on which nothing was measured are left out."""
    return {paper.DATASETS.get(key, key): parts for key, parts in found.items() if any(part.n for part in parts)}


def judge(parts: Iterable[Part]) -> str:
    """The worst outcome of the parts: all of them must hold. Nothing is testable where there are none."""
    found = {part.outcome for part in parts}
    return next((outcome for outcome in (UNTESTED, FAILS, UNDECIDED, HOLDS) if outcome in found), UNTESTED)


def verdict(parts: ClaimParts) -> str:
    """The outcome of a claim on each of its sets, and which controls meet its criterion as well."""
    outcome = judge(parts.subject)
    where = "".join(f", {judge(some)} ({name})" for name, some in parts.elsewhere.items())
    told = f"{outcome} ({parts.home}){where}" if where else outcome
    found = {word: [one for one in parts.controls if one.outcome == word] for word in (HOLDS, UNDECIDED, FAILS)}
    shown, unsure = found[HOLDS], found[UNDECIDED]
    if outcome != HOLDS:
        also = [f"{_named(shown)} hold{'' if len(shown) > 1 else 's'}"] if shown and outcome != UNTESTED else []
        return "; ".join([told, *also])
    also = [f"so {'do' if len(shown) > 1 else 'does'} {_named(shown)}"] if shown else []
    also += [f"not decided for {_named(unsure)}"] if unsure else []
    return "; ".join([told, *(also or ["no control does" if found[FAILS] else "no control was measured"])])


def _named(controls: Iterable[Control]) -> str:
    """ "the controls without X (A, B), without Y (C)"."""
    by_lack: dict[str, list[str]] = {}
    for one in controls:
        by_lack.setdefault(one.lacks, []).append(one.label)
    several = sum(map(len, by_lack.values())) > 1
    lacking = (f"without {lacks} ({'; '.join(labels)})" for lacks, labels in by_lack.items())
    return f"the control{'s' if several else ''} {', '.join(lacking)}"


def headline(parts: Iterable[Part]) -> Part | None:
    """The part that a claim's single number shows: the first that has the claim's outcome; None where there are no parts."""
    known = list(parts)
    return next((part for part in known if part.outcome == judge(known)), None)


def frame(parts: ClaimParts) -> pd.DataFrame:
    """All quantities of a claim, below them those of the controls, then what stands beside and the further sets.

    Returns:
        Columns `role` (`"claim"`, `"control"` or `"beside"`), `control` and `lacks` (empty but for controls), `quantity`,
        `value` (mean), `low` and `high` (its 95 % interval, NaN where there is none), `n`, `over` (`"repeats"` or
        `"pictures"`), `needed` (what mean and interval must exceed) and `outcome`.
    """
    groups = [("claim", "", "", parts.subject)]
    groups += [("control", one.label, one.lacks, one.parts) for one in parts.controls]
    beside = [*parts.beside]
    for name, some in parts.elsewhere.items():
        beside += [replace(part, label=f"{name}, {part.label}") for part in some]
    rows = [
        (*names, part.label, part.value, part.low, part.high, part.n, part.over, part.needed, part.outcome)
        for *names, some in (*groups, ("beside", "", "", beside))
        for part in some
    ]
    columns = ["role", "control", "lacks", "quantity", "value", "low", "high", "n", "over", "needed", "outcome"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(["value", "low", "high", "needed"], float) | {"n": int})


def results(parts: Mapping[str, ClaimParts], profile: "Profile") -> list[ClaimResult]:
    """One result per claim, its numbers those of the headline part; stand-ins test nothing."""
    return [_result(id, one, profile) for id, one in parts.items()]


def _result(id: str, parts: ClaimParts, profile: "Profile") -> ClaimResult:
    tested = profile.evidence != "stand-ins"
    shown = headline(parts.subject) or Part.of("", pd.DataFrame(columns=["value"]))
    return ClaimResult(
        id=id,
        text=paper.CLAIMS[id].text,
        value=shown.value,
        low=shown.low,
        high=shown.high,
        n=shown.n,
        over=shown.over,
        outcome=judge(parts.subject) if tested else UNTESTED,
        verdict=verdict(parts) if tested else UNTESTED,
        profile=profile.name,
        detail=shown.label,
        parts=frame(parts) if tested else frame(parts).assign(outcome=UNTESTED),
    )
