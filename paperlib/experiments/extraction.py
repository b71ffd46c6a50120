"""Section III-A: do maps of IQA networks show where people look? Table I, Figure 1 and their controls."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from paperlib import paper
from paperlib.datasets.records import ImageSet
from paperlib.engine.units import Result, Unit
from paperlib.experiments.artefacts import Column, Figure1Data, TableData
from paperlib.experiments.networks import load_network, load_world, network_unit, world_unit
from paperlib.experiments.over_seeds import summarise
from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.controls import activation_maps, noise_maps, shuffled_maps
from paperlib.maps.hirescam import BATCH, extract, resize
from paperlib.maps.transform import MapTransform
from paperlib.metrics.saliency import evaluate
from paperlib.models.baseline import Baseline, to_unit_range

if TYPE_CHECKING:
    from paperlib.profiles import Profile

ROWS = {
    "Dummy": ("center_prior",),
    "GradCAM from IQA": ("baseline",),
    "SOTA SP": ("saliency_net",),
    "Control": (
        "noise_map", "shuffled_map", "pretrained_activation", "frozen_backbone", "unpretrained", "baseline_centered",
        "uniform_observers",
    ),
}
"""Rows of Table I that run here, in order. The paper's other rows are shown with its numbers alone."""

SOURCES = {
    "center_prior": "center_prior", "noise_map": "noise", "saliency_net": "decoder", "baseline_sal_loss": "decoder",
    "pretrained_activation": "activation",
}
"""Where a method's maps come from, when not from the score of its network."""

SMOOTHING = ("smoothing", "n_passes", "max_angle", "principal_component")
SLOW_CONTROLS = ("frozen_backbone", "unpretrained", "baseline_centered")
FIGURE_IMAGES = 6
MAP_LABELS = {"saliency_net": "Saliency net", "baseline": "GradCAM (Baseline)"}
COLUMNS = (
    Column("world", "NSS", +1, "NSS ↑"), Column("world", "SIM", +1, "SIM ↑"), Column("world", "CC", +1, "CC ↑"),
    Column("world", "KLD", -1, "KLD ↓"), Column("world", "NSS_fix", +1, "NSS at fixations ↑"),
    Column("world", "CC_raw", +1, "CC, raw map ↑"), Column("world", "KLD_raw", -1, "KLD, raw map ↓"),
)
NOT_FROM_FITTED = {"CC_raw": "CC", "KLD_raw": "KLD"}


def smoothing_params(profile: "Profile") -> dict[str, Any]:
    """The profile's arguments of `paperlib.maps.hirescam.extract`, as parameters of a unit."""
    settings = profile.extraction
    return {name: getattr(settings, name) for name in SMOOTHING}


def smoothed_maps(params: dict[str, Any], network: Baseline, images: np.ndarray) -> np.ndarray:
    """Maps (n, h, w) of a network under the `smoothing_params` of a unit."""
    return extract(network, images, **{name: params[name] for name in SMOOTHING})


def map_unit(profile: "Profile", method: str, dataset: str, seed: int) -> Unit:
    """Evaluation of one method's maps on the test images of `dataset` in repeat `seed`.

    Args:
        method: a key of `paperlib.paper.METHODS` that is `center_prior`, `noise_map` or a network of
            `paperlib.experiments.networks.VARIANTS`. The Baseline's unit also yields `shuffled_map`.
        dataset: `"world"` or `"world_shifted"`.
    """
    source = SOURCES.get(method, "score")
    needs = [world_unit(profile, f"{dataset}/test", seed)]
    if source not in ("center_prior", "noise"):
        needs.append(network_unit(profile, method, seed))
    smoothing = smoothing_params(profile) if source == "score" else {}
    return Unit.of(
        "extraction", f"{method}/{dataset}/seed{seed}", "paperlib.experiments.extraction:measure", needs=needs, cost=8.0,
        method=method, dataset=dataset, source=source, seed=seed, n_test=profile.world.n_test, **smoothing,
    )


def units(profile: "Profile") -> list[Unit]:
    """All units of Table I and Figure 1."""
    out = []
    for position, seed in enumerate(profile.seeds):
        for method in sum(ROWS.values(), ()):
            is_slow = method in SLOW_CONTROLS and position >= profile.n_control_seeds
            if method != "shuffled_map" and not is_slow:
                out.append(map_unit(profile, method, "world", seed))
    return out


def measure(params: dict[str, Any], inputs: dict[str, Result], scratch: Path) -> Result:
    """Compute of `map_unit`: metrics of the raw maps, and after map transforms fitted on other images and on the same.

    Variants of the rows: `raw`; `fitted` (transform fitted on images that are not evaluated); `fitted_on_test` (as the
    paper does); `plain` and `plain_fitted` (one pass, no principal component).
    """
    world_name = next(name for name in inputs if name.startswith("world"))
    everything = load_world(inputs.pop(world_name), params["dataset"])
    network = load_network(next(iter(inputs.values()))) if inputs else None
    rng = np.random.default_rng([params["seed"], 17])
    judge = _Judge(everything, params["n_test"])

    maps = _maps(params, network, everything, judge.center_prior, rng)
    rows = judge.rows(params["method"], maps)
    arrays = {"maps": maps[:FIGURE_IMAGES].astype(np.float16)}
    if params["source"] == "score":
        plain = _maps(params | {"smoothing": "none", "principal_component": False}, network, everything,
                      judge.center_prior, rng)
        rows += judge.rows(params["method"], plain, {"raw": "plain", "fitted": "plain_fitted"})
    if params["method"] == "baseline":
        rows += judge.rows("shuffled_map", shuffled_maps(maps, rng))
    common = {"experiment": "extraction", "dataset": params["dataset"], "seed": params["seed"], "n": params["n_test"]}
    return Result(rows=pd.DataFrame([row | common for row in rows]), arrays=arrays)


class _Judge:
    """Measures maps against the gaze of one world: the first `n_test` images count, the others serve to fit."""

    def __init__(self, world: ImageSet, n_test: int):
        self.test, self.fit = slice(0, n_test), slice(n_test, len(world))
        self.density = world.density
        self.fixations = world.fixation_maps()[self.test]
        self.published = world.head(n_test).published_density()
        self.center_prior = gaussian_center_prior(world.density[self.fit])

    def rows(self, method: str, maps: np.ndarray, names: dict[str, str] | None = None) -> list[dict[str, Any]]:
        """Mean of each metric per variant; `names` picks and renames variants."""
        tested = maps[self.test]
        variants = {"raw": lambda: tested, "fitted": lambda: self._transformed(self.fit, maps),
                    "fitted_on_test": lambda: self._transformed(self.test, maps)}
        chosen = names or {name: name for name in variants}
        out = []
        for variant, label in chosen.items():
            for metric, values in self._metrics(variants[variant]()).items():
                out.append({"method": method, "variant": label, "metric": metric, "value": float(np.mean(values))})
        return out

    def _transformed(self, part: slice, maps: np.ndarray) -> np.ndarray:
        return MapTransform.fit(maps[part], self.density[part], self.center_prior).transform(maps[self.test])

    def _metrics(self, maps: np.ndarray) -> dict[str, np.ndarray]:
        values = evaluate(maps, self.density[self.test], self.fixations)
        return values | {"NSS": evaluate(maps, self.published)["NSS"]}


def _maps(
    params: dict[str, Any], network: Baseline | None, world: ImageSet, center_prior: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Maps (n, h, w) of all images of `world`, by the unit's source."""
    source, images = params["source"], world.images
    if source == "center_prior":
        return np.broadcast_to(center_prior.astype(np.float32), world.density.shape)
    if source == "noise":
        return noise_maps(*world.density.shape, rng)
    if source == "activation":
        return activation_maps(network, images)
    if source == "score":
        return smoothed_maps(params, network, images)
    with torch.no_grad():
        starts = range(0, len(images), BATCH)
        grids = [network.decode(network.features(to_unit_range(images[start:start + BATCH]))) for start in starts]
    return resize(torch.cat(grids), images.shape[1:3]).numpy()


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table I from the rows of `units`, with the paper's numbers beside ours."""
    ours = rows[rows["dataset"] == "world"]
    fitted = ours[ours["variant"] == "fitted"]
    raw = ours[(ours["variant"] == "raw") & ours["metric"].isin(NOT_FROM_FITTED.values())]
    raw = raw.assign(metric=raw["metric"] + "_raw")
    found = summarise(pd.concat([fitted, raw]), ["method", "metric"]).set_index(["method", "metric"])
    cells = []
    for section, methods in _all_rows().items():
        for method in methods:
            for column in COLUMNS:
                value, sd, n = (
                    found.loc[(method, column.metric)] if (method, column.metric) in found.index else (math.nan, math.nan, 0)
                )
                published = paper.published(1, method, "salicon", column.metric)
                cells.append({
                    "section": section, "method": method, "dataset": column.dataset, "metric": column.metric,
                    "value": value, "sd": sd, "low": math.nan, "high": math.nan, "n": int(n),
                    "published": math.nan if published is None else published, "ranked": section != "Control",
                })
    return TableData(
        "table1", "Table I: saliency maps against gaze", _caption(profile), COLUMNS, pd.DataFrame(cells), NOTES
    )


def _all_rows() -> dict[str, tuple[str, ...]]:
    """Our rows, each section followed by the paper's rows that this profile does not run."""
    rows = dict(ROWS)
    for line in paper.TABLE1:
        if line.method not in sum(rows.values(), ()):
            rows[line.section] = (*rows.get(line.section, ()), line.method)
    return rows


def _caption(profile: "Profile") -> str:
    world = profile.world
    return (
        f"Ours: micro-world, a simulation ({world.n_test} images of {world.height}x{world.width}, "
        f"{len(profile.seeds)} repeats, mean ± sd over repeats, {profile.observers} observers), after map transforms "
        "fitted on other images unless the heading says raw. Paper: SALICON validation. The two are different worlds: "
        "compare the order of the rows, not the values."
    )


NOTES = (
    "NSS as in the paper's table: mean z-score over pixels with positive density. NSS at fixations is the field's.",
    "Controls take no part in the ranking.",
)


def figure_units(profile: "Profile") -> dict[str, Unit]:
    """What Figure 1 and `smoothing_steps` are drawn from: the first repeat's test images (`world`), the maps of two
    networks, and the Baseline itself (`network`)."""
    seed = profile.seeds[0]
    maps = {method: map_unit(profile, method, "world", seed) for method in MAP_LABELS}
    network = network_unit(profile, "baseline", seed)
    return {"world": world_unit(profile, "world/test", seed), "network": network} | maps


def figure(results: dict[str, Result]) -> Figure1Data:
    """Figure 1 from the results of `figure_units`: the first test images, unselected, where people look, and the maps of
    a supervised net and of an IQA network."""
    world = load_world(results["world"]).head(FIGURE_IMAGES)
    rows = {"Gaze density": world.density}
    for method, label in MAP_LABELS.items():
        rows[label] = results[method].arrays["maps"].astype(np.float32)
    stretched = {name: values / values.max((1, 2), keepdims=True).clip(1e-9) for name, values in rows.items()}
    captions = tuple(
        f"{family}, {'subject' if at_subject > around else 'surround'} worse"
        for family, (at_subject, around) in zip(world.family, world.levels, strict=True)
    )
    return Figure1Data(world.images, stretched, captions)


def smoothing_steps(results: dict[str, Result], profile: "Profile") -> Figure1Data:
    """The Baseline's maps of a few test images on their way from one pass to the smoothed map, from the results of
    `figure_units`."""
    world = load_world(results["world"]).head(FIGURE_IMAGES)
    network = load_network(results["network"])
    settings = profile.extraction
    rotated = {"smoothing": "rotations", "n_passes": settings.n_passes, "max_angle": settings.max_angle}
    steps = {
        "one pass, channel sum": {"smoothing": "none", "principal_component": False},
        "rotations, channel sum": rotated | {"principal_component": False},
        "one pass, first component": {"smoothing": "none"},
        "rotations, first component": rotated,
    }
    return Figure1Data(world.images, {name: extract(network, world.images, **how) for name, how in steps.items()}, ())
