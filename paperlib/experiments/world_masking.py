"""Masked pictures of the micro-world: the units behind Figure 2 of the demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paperlib.engine.units import Inputs, Result, Unit
from paperlib.experiments.masked_scores import (
    HALF_IMAGE_FILL,
    UNMASKED,
    all_masks,
    control_maps,
    curve_rows,
    half_rank,
    half_rank_row,
    masked_scores,
    masking_params,
    network_score,
    whole_scores,
)
from paperlib.experiments.networks import VARIANTS, load_network, load_world, network_unit, world_unit
from paperlib.experiments.world_maps import smoothed_maps, smoothing_params
from paperlib.maps.fills import PAPER_FILLS
from paperlib.maps.half_image import leave_one_out

if TYPE_CHECKING:
    from paperlib.profiles import Profile

NETWORKS = ("baseline", "uniform_observers", "unpretrained")
"""The network under test; the other two are the controls: another world's observers, and no pretraining."""

BATCH = 100


def units(profile: "Profile") -> list[Unit]:
    """All units of Figure 2; the network without pretraining runs in the first `n_control_seeds` repeats only."""
    counts = {"unpretrained": profile.n_control_seeds}
    return [
        masking_unit(profile, network, seed)
        for network in NETWORKS
        for seed in profile.seeds[: counts.get(network, len(profile.seeds))]
    ]


def masking_unit(profile: "Profile", network: str, seed: int) -> Unit:
    """All curves of one network in repeat `seed`: all fills for the Baseline, the paper's for the controls."""
    settings = profile.masking
    params = masking_params(settings)
    if network != "baseline":
        params["fills"] = [name for name in settings.fills if name in PAPER_FILLS] or settings.fills
    return Unit.of(
        "masking",
        f"{network}/seed{seed}",
        "paperlib.experiments.world_masking:measure",
        cost=25.0,
        needs=[world_unit(profile, "world/test", seed), network_unit(profile, network, seed)],
        network=network,
        seed=seed,
        observers=VARIANTS[network].get("observers", profile.observers),
        n_masked=settings.n_masked,
        n_halves=settings.n_halves if network == "baseline" and seed == profile.seeds[0] else 0,
        **params,
        **smoothing_params(profile),
    )


def measure(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `masking_unit`: rows of `masked_scores.curve_rows`, and `half_rank` where asked for."""
    world, network = (load(inputs[name]) for load, name in zip((load_world, load_network), inputs, strict=True))
    world = world.head(params["n_masked"])
    mos = world.mos[params["observers"]]
    rng = np.random.default_rng([params["seed"], 23])
    score, images = network_score(network, BATCH), world.images

    maps = {"saliency": world.density, "gradcam": smoothed_maps(params, network, images)}
    maps |= control_maps(*world.density.shape, rng)
    importance = leave_one_out(score, images, HALF_IMAGE_FILL)
    masks = all_masks(maps, importance, params)
    scores = {UNMASKED: whole_scores(score, images, "cpu")}
    scores |= masked_scores(score, images, masks, params["fills"], "cpu", BATCH)
    rows = list(curve_rows(params["network"], scores, mos, rng))
    if n := params["n_halves"]:
        ranks = half_rank(score, images[:n], importance[:n], "cpu", BATCH)
        rows.append(half_rank_row(params["network"], ranks))
    common = {"experiment": "masking", "dataset": world.name, "seed": params["seed"]}
    return Result(rows=pd.DataFrame(rows).assign(**common))
