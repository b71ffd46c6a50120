"""The paper's claims, tested here: a number per repeat, its interval over repeats, and a verdict."""

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from paperlib import paper
from paperlib.experiments import compression, masking
from paperlib.experiments.artefacts import ClaimResult
from paperlib.experiments.extraction import SUPERVISED
from paperlib.experiments.over_seeds import interval
from paperlib.maps.fills import PAPER_FILLS

if TYPE_CHECKING:
    from paperlib.profiles import Profile

HOLDS, FAILS, UNTESTED = "holds", "does not hold", "not testable"
SROCC_MARGIN = 0.02
CC_GAIN = 0.1

Parts = dict[str, pd.Series]
"""Named quantities of a claim, each a series over seeds."""


def _by_seed(rows: pd.DataFrame, method: str, metric: str, variant: str = "fitted", dataset: str = "world") -> pd.Series:
    chosen = rows[
        (rows["method"] == method) & (rows["metric"] == metric) & (rows["variant"] == variant) & (rows["dataset"] == dataset)
    ]
    return chosen.set_index("seed")["value"]


def extraction_parts(rows: pd.DataFrame) -> Parts:
    """C1. Advantages in CC and KLD, each positive when the claim holds: of the Baseline's maps over the centre prior, of a
    supervised net over the Baseline; and, as controls, of the raw maps and of the uniform observers' Baseline."""
    computed = rows[rows["method"] == "center_prior"]
    value = partial(_by_seed, rows, dataset=computed["dataset"].iloc[0])
    supervised = next((method for method in SUPERVISED if method in set(rows["method"])), SUPERVISED[0])
    parts = {
        "CC: Baseline − centre prior": value("baseline", "CC") - value("center_prior", "CC"),
        "KLD: centre prior − Baseline": value("center_prior", "KLD") - value("baseline", "KLD"),
        "CC: saliency net − Baseline": value(supervised, "CC") - value("baseline", "CC"),
        "KLD: Baseline − saliency net": value("baseline", "KLD") - value(supervised, "KLD"),
        "control, raw one-pass maps, CC: Baseline − centre prior": value("baseline", "CC", "plain")
        - value("center_prior", "CC", "raw"),
        "control, uniform observers, CC: Baseline − centre prior": value("uniform_observers", "CC")
        - value("center_prior", "CC"),
        "control, noise map, CC: noise − centre prior": value("noise_map", "CC") - value("center_prior", "CC"),
    }
    return {label: series for label, series in parts.items() if len(series) or not label.startswith("control")}


def masking_parts(rows: pd.DataFrame) -> Parts:
    """C2. SROCC of LeRF minus MoRF for saliency and GradCAM, averaged over fractions and the paper's fills and at the worst
    of them, for the Baseline or else the first network; and the averages of the controls."""
    gaps = masking.gap_per_fraction(rows)
    paper_fills = gaps["fill"].isin(PAPER_FILLS)
    grouped = (gaps[paper_fills] if paper_fills.any() else gaps).groupby(["network", "map", "seed"], sort=False)["gap"]
    average, worst = grouped.mean(), grouped.min()
    known = average.index.droplevel("seed")
    subject = "baseline" if "baseline" in known.get_level_values("network") else known[0][0]
    maps = {name: key for name, key in (("saliency", "saliency"), ("GradCAM", "gradcam")) if (subject, key) in known}
    parts = {f"LeRF − MoRF, {name}": average.loc[subject, key] for name, key in maps.items()}
    parts |= {f"LeRF − MoRF at the worst fraction, {name}": worst.loc[subject, key] for name, key in maps.items()}
    controls = {
        "control, HalfImage": (subject, "half_image"),
        "control, saliency per cell": (subject, "saliency_grid"),
        "control, random map": (subject, "random"),
        "control, centre map": (subject, "center"),
        "control, uniform observers, saliency": ("uniform_observers", "saliency"),
        "control, uniform observers, GradCAM": ("uniform_observers", "gradcam"),
        "control, unpretrained net, GradCAM": ("unpretrained", "gradcam"),
    }
    return parts | {label: average.loc[key] for label, key in controls.items() if key in known}


def dual_task_parts(rows: pd.DataFrame) -> Parts:
    """C3. Change of SROCC (claim: no loss beyond 0.02) and of CC (claim: at least +0.1) from the Baseline; the CC against
    the Baseline's one-pass map stands beside it."""
    parts = {}
    there = set(rows["dataset"])
    scored, gazed = ("world", "world") if "world" in there else ("koniq10k", "salicon")
    value = partial(_by_seed, rows, dataset=gazed)
    for method in ("baseline_sal_loss", "baseline_gradcam_loss"):
        label = paper.METHODS[method].label.removeprefix("Baseline-")
        parts[f"SROCC: {label} − Baseline"] = _by_seed(rows, method, "SROCC", "quality", scored) - _by_seed(
            rows, "baseline", "SROCC", "quality", scored
        )
        parts[f"CC: {label} − Baseline"] = value(method, "CC") - value("baseline", "CC")
        one_pass = value("baseline", "CC", "plain_fitted")
        own = "plain_fitted" if method == "baseline_gradcam_loss" else "fitted"
        parts[f"control, one-pass maps, CC: {label} − Baseline"] = value(method, "CC", own) - one_pass
    return parts


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


PARTS: dict[str, tuple[str, Callable[[pd.DataFrame], Parts]]] = {
    "C1": ("extraction", extraction_parts),
    "C2": ("masking", masking_parts),
    "C3": ("dual_task", dual_task_parts),
    "C4": ("compression", compression.claim_parts),
}
"""Per claim, the section whose rows decide it, and how."""


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
