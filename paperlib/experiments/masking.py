"""Section III-B: which regions does an IQA network need? Masking by maps, Figure 2 and its controls."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pandas as pd

from paperlib.datasets.records import ImageSet
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.experiments.artefacts import Figure2Data
from paperlib.experiments.networks import VARIANTS, load_network, load_world, network_unit, scores, world_unit
from paperlib.experiments.world_maps import smoothed_maps, smoothing_params
from paperlib.maps import masking
from paperlib.metrics.correlation import srocc, srocc_interval
from paperlib.models.baseline import Baseline
from paperlib.vocabulary import STRATEGIES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

MAPS = ("saliency", "gradcam", "random", "center")
"""Relevance maps: gaze density, the network's own GradCAM, blobs of noise, distance from the centre."""

NETWORKS = ("baseline", "uniform_observers", "unpretrained")
"""The network under test; the other two are the controls: another world's observers, and no pretraining."""

NOISE_GRID = (8, 12)
N_BOOT = 300


def masking_unit(profile: "Profile", network: str, seed: int) -> Unit:
    """All curves of one network in repeat `seed`."""
    settings = profile.masking
    return Unit.of(
        "masking", f"{network}/seed{seed}", "paperlib.experiments.masking:measure", cost=20.0,
        needs=[world_unit(profile, "world/test", seed), network_unit(profile, network, seed)],
        network=network, seed=seed, observers=VARIANTS[network].get("observers", profile.observers),
        fractions=settings.fractions, n_masked=settings.n_masked, blur_sigma=settings.blur_sigma,
        **smoothing_params(profile),
    )


def units(profile: "Profile") -> list[Unit]:
    """All units of Figure 2; the network without pretraining runs in the first `n_control_seeds` repeats only."""
    counts = {"unpretrained": profile.n_control_seeds}
    return [
        masking_unit(profile, network, seed)
        for network in NETWORKS for seed in profile.seeds[: counts.get(network, len(profile.seeds))]
    ]


def measure(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `masking_unit`: SROCC against MOS for each fill, map, strategy and fraction, with bootstrap intervals.

    `method` of a row is the map, `variant` is network/fill/strategy/fraction; the unmasked SROCC has method `none`.
    """
    world, network = (load(inputs[name]) for load, name in zip((load_world, load_network), inputs, strict=True))
    world = world.head(params["n_masked"])
    mos = world.mos[params["observers"]]
    rng = np.random.default_rng([params["seed"], 23])

    def row(method: str, variant: str, images: np.ndarray) -> dict[str, Any]:
        predicted = scores(network, images)
        low, high = srocc_interval(predicted, mos, rng=rng, n_boot=N_BOOT)
        return {
            "experiment": "masking", "method": method, "dataset": world.name, "metric": "SROCC", "seed": params["seed"],
            "variant": f"{params['network']}/{variant}", "value": float(srocc(predicted, mos)), "low": low, "high": high,
            "n": len(world),
        }

    rows = [row("none", "none/none/0", world.images)]
    for label, maps in _relevance(params, network, world, rng).items():
        rank = masking.ranks(masking.blur(maps, params["blur_sigma"]))
        for strategy in STRATEGIES:
            for fraction in params["fractions"]:
                mask = masking.masked(rank, fraction, strategy)
                for colour in masking.FILL_COLOURS:
                    images = masking.fill(world.images, mask, colour)
                    rows.append(row(label, f"{colour}/{strategy}/{fraction}", images))
    return Result(rows=pd.DataFrame(rows))


def _relevance(params: dict[str, Any], network: Baseline, world: ImageSet, rng: np.random.Generator) -> dict[str, np.ndarray]:
    n, height, width = world.density.shape
    noise = rng.random((n, *NOISE_GRID), dtype=np.float32)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot((rows + 0.5) / height - 0.5, (columns + 0.5) / width - 0.5)
    return {
        "saliency": world.density,
        "gradcam": smoothed_maps(params, network, world.images),
        "random": np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in noise]),
        "center": np.broadcast_to(-distance, (n, height, width)),
    }


def curves(rows: pd.DataFrame) -> Figure2Data:
    """Figure 2 from the rows of `units`: means over repeats; the ends of intervals are averaged too."""
    tidy = _with_variant_columns(rows).rename(columns={"dataset": "world", "method": "map", "value": "srocc"})
    keys = ["world", "network", "fill", "map", "strategy", "fraction"]
    means = tidy.groupby(keys, sort=False).agg(
        srocc=("srocc", "mean"), low=("low", "mean"), high=("high", "mean"), n=("n", "sum")
    ).reset_index()
    unmasked = means[means["map"] == "none"]
    return Figure2Data(means[means["map"] != "none"].reset_index(drop=True),
                       unmasked[["world", "network", "srocc", "low", "high", "n"]].reset_index(drop=True))


def gap_per_fraction(rows: pd.DataFrame) -> pd.DataFrame:
    """LeRF minus MoRF in SROCC: one row per `network`, `fill`, `map`, `seed` and `fraction`, the difference in `gap`."""
    tidy = _with_variant_columns(rows[rows["method"] != "none"]).rename(columns={"method": "map"})
    keys = ["network", "fill", "map", "seed", "fraction"]
    wide = tidy.pivot_table(index=keys, columns="strategy", values="value")
    return (wide["LeRF"] - wide["MoRF"]).rename("gap").reset_index()


def gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """LeRF minus MoRF averaged over the fractions (`gap`), and the share of fractions at which LeRF is above (`above`):
    one row per `network`, `fill`, `map` and `seed`."""
    grouped = gap_per_fraction(rows).groupby(["network", "fill", "map", "seed"])["gap"]
    return grouped.agg(gap="mean", above=lambda values: float((values > 0).mean())).reset_index()


def _with_variant_columns(rows: pd.DataFrame) -> pd.DataFrame:
    names = ["network", "fill", "strategy", "fraction"]
    parts = rows["variant"].str.split("/", expand=True).set_axis(names, axis=1).astype({"fraction": float})
    return pd.concat([rows, parts], axis=1)


def example(images: np.ndarray, maps: dict[str, np.ndarray], fraction: float, blur_sigma: float) -> dict[str, np.ndarray]:
    """What the network is shown: images masked by each of `maps` in both orders, filled with black."""
    rows = {"unmasked": images}
    for name, values in maps.items():
        rank = masking.ranks(masking.blur(values, blur_sigma))
        for strategy in STRATEGIES:
            rows[f"{name}, {strategy}"] = masking.fill(images, masking.masked(rank, fraction, strategy), "black")
    return rows
