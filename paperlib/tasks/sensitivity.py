"""How much of Table II hangs on what the paper leaves open: the saliency loss, its weight, and how losses are weighed.

In the micro-world, one choice at a time around the standard one, on repeats that no table uses.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.dual_task.plan import sets_to_test_on, units_that_test
from paperlib.experiments.running import compute
from paperlib.experiments.sets.plan import WORLDS
from paperlib.experiments.statistics import summarise
from paperlib.experiments.training.plan import trainings
from paperlib.models.saliency_losses import SALIENCY_LOSSES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

VARIANTS = ("baseline_sal_loss", "baseline_gradcam_loss")
FIRST_SEED, N_SEEDS = 10, 2
"""Repeats from 10 to 12 are those on which the standard choice was made."""

WEIGHTS = (0.1, 0.3, 1.0, 3.0)
LEARNED = ("mse", "kld")
"""Losses that are also tried with learned weights."""

METRICS = ("SROCC", "CC", "NSS")
COLUMNS = ("variant", "loss", "weight", *(f"{metric}{suffix}" for metric in METRICS for suffix in ("", "_sd")), "n")


def choices(profile: "Profile") -> Iterator["Profile"]:
    """`profile` with every loss, then with every other weight of its own loss, then with learned weights."""
    own = profile.training
    for loss in SALIENCY_LOSSES:
        yield _with(profile, loss, own.saliency_weight, "fixed")
    for weight in WEIGHTS:
        if weight != own.saliency_weight:
            yield _with(profile, own.saliency_loss, weight, "fixed")
    for loss in LEARNED:
        yield _with(profile, loss, own.saliency_weight, "uncertainty")


def _with(profile: "Profile", loss: str, weight: float, weighting: str) -> "Profile":
    training = replace(profile.training, saliency_loss=loss, saliency_weight=weight)
    return replace(profile, training=training, dual_task=replace(profile.dual_task, weighting=weighting))


def measure(profile: "Profile", n_seeds: int | None = None) -> pd.DataFrame:
    """SROCC with MOS, and CC and NSS of the maps of Table II, at home: mean and sd over repeats.

    Args:
        profile: one of the micro-world.
        n_seeds: number of repeats, from `FIRST_SEED` on; `N_SEEDS` when None.

    Returns:
        `COLUMNS`, one row per variant and choice after that of the Baseline; `weight` is a number or `"learned"`.

    Raises:
        PaperlibError: the profile trains on photographs.
    """
    if profile.dual_task.training_set not in WORLDS:
        raise PaperlibError(f"profile {profile.name!r} trains on photographs; the study is one of the micro-world: demo")
    profile = _on_own_repeats(profile, n_seeds)
    found = [_measured(profile, ("baseline",)).assign(loss="none", weight="")]
    for choice in choices(profile):
        training, is_fixed = choice.training, choice.dual_task.weighting == "fixed"
        weight = f"{training.saliency_weight:g}" if is_fixed else "learned"
        found.append(_measured(choice, VARIANTS).assign(loss=training.saliency_loss, weight=weight))
    table = pd.concat(found, ignore_index=True)[list(COLUMNS)]
    order = ("baseline", *VARIANTS)
    return table.sort_values("variant", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)


def planned(profile: "Profile") -> list[Unit]:
    """The units of `measure` with its own number of repeats."""
    profile = _on_own_repeats(profile)
    tested = [unit for choice in choices(profile) for unit in _units(choice, VARIANTS)]
    return [*_units(profile, ("baseline",)), *tested]


def _on_own_repeats(profile: "Profile", n_seeds: int | None = None) -> "Profile":
    return replace(profile, seeds=tuple(range(FIRST_SEED, FIRST_SEED + (n_seeds or N_SEEDS))))


def _units(profile: "Profile", variants: tuple[str, ...]) -> list[Unit]:
    home = profile.dual_task.gaze_sets[0]
    sets = sets_to_test_on(profile, [home], [home])
    wanted = [one for one in trainings(profile) if one.network.method in variants]
    return [unit for one in wanted for unit in units_that_test(profile, one, *sets)]


def _measured(profile: "Profile", variants: tuple[str, ...]) -> pd.DataFrame:
    """One row per variant: `variant`, and each metric with its sd and the number of repeats."""
    training = profile.training
    title = f"{training.saliency_loss} x {training.saliency_weight:g}, {profile.dual_task.weighting}"
    rows = pd.concat([result.rows for result in compute(_units(profile, variants), profile, title).values()])
    shown = rows["variant"].isin(["quality", "fitted"]) & rows["metric"].isin(METRICS) & rows["method"].isin(variants)
    home = summarise(rows[shown & (rows["dataset"] == "world")], ["method", "metric"])
    wide = home.pivot(index="method", columns="metric", values=["value", "sd"]).loc[list(variants)]
    columns = {
        f"{metric}{suffix}": wide[kind, metric] for metric in METRICS for kind, suffix in (("value", ""), ("sd", "_sd"))
    }
    return pd.DataFrame(columns).assign(n=int(home["n"].min())).rename_axis("variant").reset_index()
