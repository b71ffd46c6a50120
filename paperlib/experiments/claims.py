"""The paper's claims, tested here: a number per repeat, its interval over repeats, and a verdict."""

import math
from typing import TYPE_CHECKING

import pandas as pd

from paperlib import paper
from paperlib.experiments.artefacts import ClaimResult
from paperlib.experiments.statistics import Parts, interval

if TYPE_CHECKING:
    from paperlib.profiles import Profile

HOLDS, FAILS, UNTESTED = "holds", "does not hold", "not testable"
SROCC_MARGIN = 0.02
CC_GAIN = 0.1


def _slack(id: str, parts: Parts) -> dict[str, float]:
    """By how much the mean of each part exceeds what the claim needs. Controls take no part in it."""
    means = {label: float(series.mean()) for label, series in parts.items() if not label.startswith("control")}
    needed = {label: (CC_GAIN if label.startswith("CC") else -SROCC_MARGIN) if id == "C3" else 0.0 for label in means}
    return {label: value - needed[label] for label, value in means.items()}


def verdict(id: str, parts: Parts) -> str:
    """Whether the means of all parts satisfy the claim."""
    slack = _slack(id, parts)
    if not slack or any(math.isnan(value) for value in slack.values()):
        return UNTESTED
    return FAILS if any(value <= 0 for value in slack.values()) else HOLDS


def headline(id: str, parts: Parts) -> str:
    """The part that a claim's single number shows: the first that fails, else the first."""
    slack = _slack(id, parts)
    return next((label for label, value in slack.items() if value <= 0), next(iter(slack)))


def against_needs(id: str, parts: Parts) -> pd.DataFrame:
    """Per part of a claim `mean`, `sd` and `n` over repeats, and `needed`, what the mean must exceed (NaN for controls)."""
    frame = spread({id: parts}).set_index("quantity")[["mean", "sd", "n"]]
    slack = pd.Series(_slack(id, parts), dtype=float)
    return frame.assign(needed=frame["mean"] - slack.reindex(frame.index))


NOTABLE = 0.02
"""A control shows the effect of a claim when its mean lies above."""


def controls_in_words(parts: dict[str, Parts]) -> list[str]:
    """One sentence per claim that has controls: which of them show the claim's effect as well, and which do not."""
    sentences = []
    for id, quantities in parts.items():
        means = {
            label.removeprefix("control, "): series.mean()
            for label, series in quantities.items()
            if label.startswith("control")
        }
        shown = [label for label, mean in means.items() if mean > NOTABLE]
        others = [label for label in means if label not in shown]
        if means:
            sentences.append(
                f"{id}. Shown by these controls as well: {'; '.join(shown) or 'none'}. "
                f"Not shown by: {'; '.join(others) or 'none'}."
            )
    return sentences


def results(parts: dict[str, Parts], profile: "Profile") -> list[ClaimResult]:
    """One result per claim; its value is the headline part's mean over repeats with a 95 % t interval."""
    out = []
    for id, quantities in parts.items():
        label = headline(id, quantities)
        repeats = list(quantities[label])
        value, low, high = interval(repeats) if repeats else (math.nan, math.nan, math.nan)
        outcome = UNTESTED if profile.evidence == "stand-ins" else verdict(id, quantities)
        out.append(
            ClaimResult(
                id,
                paper.CLAIMS[id].text,
                value,
                low,
                high,
                len(repeats),
                outcome,
                profile.name,
                label,
                {name: float(series.mean()) for name, series in quantities.items()},
            )
        )
    return out


def spread(parts: dict[str, Parts]) -> pd.DataFrame:
    """Mean, standard deviation and number of repeats of every part: what README shows."""
    return pd.DataFrame(
        [
            {
                "claim": id,
                "quantity": label,
                "mean": series.mean(),
                "sd": series.std(),
                "n": len(series),
                "verdict": "" if label.startswith("control") else verdict(id, quantities),
            }
            for id, quantities in parts.items()
            for label, series in quantities.items()
        ]
    )
