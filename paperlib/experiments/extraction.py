"""Section III-A: do maps of IQA networks show where people look? Table I, Figure 1 and their controls.

The demo measures maps of the micro-world (`paperlib.experiments.world_maps`), the other profiles maps of photographs with
eye tracking (`paperlib.experiments.photo_maps`); both give the same rows, and everything here is made of them.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from paperlib import paper
from paperlib.engine.units import Result, Unit
from paperlib.experiments import photo_maps, world_maps
from paperlib.experiments.artefacts import Column, Figure1Data, TableData
from paperlib.experiments.image_values import differences_unit
from paperlib.experiments.networks import load_network, load_world, network_unit, world_unit
from paperlib.experiments.over_seeds import summarise
from paperlib.maps import other_cams
from paperlib.maps.hirescam import extract
from paperlib.metrics.saliency import evaluate

if TYPE_CHECKING:
    from paperlib.profiles import Profile

WORLD_ROWS = (
    "center_prior",
    "baseline",
    "saliency_net",
    "noise_map",
    "shuffled_map",
    "center_only",
    "edge_energy",
    "pretrained_activation",
    "random_head",
    "frozen_backbone",
    "unpretrained",
    "baseline_centered",
    "uniform_observers",
)
"""Methods of Table I that run in the micro-world."""

SLOW_CONTROLS = ("frozen_backbone", "unpretrained", "baseline_centered")
SUPERVISED = ("saliency_net", "transalnet", "msinet", "transalnet_res")
FIGURE_IMAGES = 6

ALPHA = 0.05
"""A difference from the centre prior survives when its corrected p lies below."""


@dataclass(frozen=True)
class _Measure:
    """A column of the table: `variant` and `metric` of the rows, and what it is called."""

    key: str
    variant: str
    metric: str
    direction: int
    heading: str


MEASURES = (
    _Measure("NSS", "fitted", "NSS", +1, "NSS ↑"),
    _Measure("SIM", "fitted", "SIM", +1, "SIM ↑"),
    _Measure("CC", "fitted", "CC", +1, "CC ↑"),
    _Measure("KLD", "fitted", "KLD", -1, "KLD ↓"),
    _Measure("NSS_fix", "fitted", "NSS_fix", +1, "NSS at fixations ↑"),
    _Measure("CC_on_test", "fitted_on_test", "CC", +1, "CC, fitted on evaluation ↑"),
    _Measure("KLD_on_test", "fitted_on_test", "KLD", -1, "KLD, fitted on evaluation ↓"),
    _Measure("CC_raw", "raw", "CC", +1, "CC, raw map ↑"),
    _Measure("KLD_raw", "raw", "KLD", -1, "KLD, raw map ↓"),
)


# -------------------------------------------------------------------------------------------------------------- units


def units(profile: "Profile") -> list[Unit]:
    """All units of Table I and Figure 1."""
    if profile.photographs.datasets:
        return photo_maps.units(profile)
    measured = [
        world_maps.map_unit(profile, method, "world", seed)
        for position, seed in enumerate(profile.seeds)
        for method in WORLD_ROWS
        if method != "shuffled_map" and not (method in SLOW_CONTROLS and position >= profile.n_control_seeds)
    ]
    return [*measured, differences_unit("extraction", "world", measured, profile.extraction.n_resamples)]


# -------------------------------------------------------------------------------------------------------------- table


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table I from the rows of `units`, with the paper's numbers beside ours."""
    datasets = profile.photographs.datasets or ("world",)
    columns = tuple(
        Column(dataset, measure.key, measure.direction, measure.heading) for dataset in datasets for measure in MEASURES
    )
    found = summarise(rows, ["dataset", "method", "variant", "metric"]).set_index(["dataset", "method", "variant", "metric"])
    spans = rows[rows["seed"] < 0].set_index(["dataset", "method", "variant", "metric"])
    cells = [
        _cell(section, method, dataset, measure, found, spans)
        for section, methods in _sections(rows, with_paper="own" not in datasets).items()
        for method in methods
        for dataset in datasets
        for measure in MEASURES
    ]
    notes = (*NOTES, ALIKE_NOTE) if any(cell["alike"] for cell in cells) else NOTES
    return TableData(
        "table1", "Table I: saliency maps against gaze", _caption(rows, profile), columns, pd.DataFrame(cells), notes
    )


def _cell(
    section: str, method: str, dataset: str, measure: _Measure, found: pd.DataFrame, spans: pd.DataFrame
) -> dict[str, Any]:
    """One cell: mean and spread over repeats, interval and corrected p over images, whether that p leaves it alike to
    the centre prior, the paper's number."""

    def pooled(kind: str, column: str) -> float:
        key = (dataset, method, f"{kind}/{measure.variant}", measure.metric)
        return float(spans.loc[key, column]) if key in spans.index else math.nan

    key = (dataset, method, measure.variant, measure.metric)
    value, sd, n = found.loc[key] if key in found.index else (math.nan, math.nan, 0)
    published = paper.published(1, method, "salicon", measure.key) if dataset in ("salicon", "world") else None
    p_holm = pooled("p_holm", "value")
    return {
        "section": section,
        "method": method,
        "dataset": dataset,
        "metric": measure.key,
        "value": value,
        "sd": sd,
        "low": pooled("interval", "low"),
        "high": pooled("interval", "high"),
        "n": int(n),
        "p_holm": p_holm,
        "alike": p_holm >= ALPHA,
        "published": math.nan if published is None else published,
        "ranked": section != "Control",
    }


def _sections(rows: pd.DataFrame, with_paper: bool) -> dict[str, list[str]]:
    """Methods by section: the paper's sections, with all of its rows, computed or not, if asked; then what else there is."""
    sections: dict[str, list[str]] = {}
    computed = [method for method in dict.fromkeys(rows["method"]) if method != "gaze"]
    for line in paper.TABLE1:
        if with_paper or line.method in computed:
            sections.setdefault(line.section, []).append(line.method)
    for method in (*WORLD_ROWS, *computed):
        if method in computed and method not in sum(sections.values(), []):
            section = "SOTA SP" if method in SUPERVISED else paper.section(1, method)
            sections.setdefault(section, []).append(method)
    return dict(sorted(sections.items(), key=lambda item: item[0] == "Control"))


def _caption(rows: pd.DataFrame, profile: "Profile") -> str:
    how = (
        "after map transforms fitted on other images unless the heading says otherwise; in brackets 95 % bootstrap "
        "intervals over images"
    )
    if not profile.photographs.datasets:
        world = profile.world
        return (
            f"Ours: micro-world, a simulation ({world.n_test} images of {world.height}x{world.width}, "
            f"{len(profile.seeds)} repeats, mean ± sd over repeats, {profile.observers} observers), {how}. Paper: SALICON "
            "validation. The two are different worlds: compare the order of the rows, not the values."
        )
    counts = rows[(rows["method"] == "gaze") & (rows["metric"] == "pictures")].set_index("dataset")["value"]
    data = ", ".join(f"{paper.DATASETS.get(name, name)}: {count:.0f} images" for name, count in counts.items())
    rehearsal = (
        "Rehearsal: generated pictures and random weights, the numbers mean nothing. " if _is_rehearsal(profile) else ""
    )
    return f"{rehearsal}Ours: {data}, {how}. Paper: SALICON validation, fitted on the evaluation images."


def _is_rehearsal(profile: "Profile") -> bool:
    return profile.evidence == "stand-ins"


NOTES = (
    "NSS as in the paper's table: mean z-score over pixels with positive density. NSS at fixations is the field's.",
    "Controls take no part in the ranking.",
)
ALIKE_NOTE = f"† not different from the centre prior (paired test over images, Holm, p ≥ {ALPHA})."


def differences(rows: pd.DataFrame, metric: str = "CC", variant: str = "fitted", dataset: str | None = None) -> pd.DataFrame:
    """By how much each method's maps are better than the centre prior's, image by image.

    Args:
        rows: of `units`.
        metric: `"NSS"`, `"SIM"`, `"CC"`, `"KLD"` or `"NSS_fix"`; KLD counts downwards, so positive is better.
        variant: as in the rows.
        dataset: the first of the rows when None.

    Returns:
        Per method: `difference` (mean over images), `low` and `high` (95 % bootstrap interval), `p_holm` (paired
        sign-flip test, Holm-corrected over the methods), and `survives` (p_holm below `ALPHA`).
    """
    pooled = rows[(rows["seed"] < 0) & (rows["metric"] == metric)]
    dataset = pooled["dataset"].iloc[0] if dataset is None else dataset
    pooled = pooled[pooled["dataset"] == dataset].set_index("method")
    frame = pooled.loc[pooled["variant"] == f"difference/{variant}", ["value", "low", "high"]]
    frame = frame.rename(columns={"value": "difference"})
    frame["p_holm"] = pooled.loc[pooled["variant"] == f"p_holm/{variant}", "value"]
    return frame.assign(survives=frame["p_holm"] < ALPHA)


def headline(rows: pd.DataFrame, controls: Iterable[str] = ()) -> list[str]:
    """The methods to look at: those that are ranked in Table I, then `controls`; of both what the rows hold."""
    computed = set(rows["method"])
    sections = _sections(rows, with_paper=False)
    ranked = [method for section, methods in sections.items() if section != "Control" for method in methods]
    return [*ranked, *(method for method in controls if method in computed)]


def side_by_side(
    rows: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], variants: Sequence[str]
) -> pd.DataFrame:
    """Means over repeats: a row per method, a column per metric and variant.

    Methods, metrics and variants that the rows lack are left out; with more than one data set each has rows of its own.
    """
    chosen = rows[rows["method"].isin(methods) & rows["metric"].isin(metrics) & rows["variant"].isin(variants)]
    datasets = list(dict.fromkeys(rows["dataset"]))
    index = ["dataset", "method"] if len(datasets) > 1 else "method"
    columns = ["metric", "variant"] if len(metrics) > 1 else "variant"
    wide = chosen.pivot_table(index=index, columns=columns, values="value")
    order = {name: place for names in (datasets, methods, metrics, variants) for place, name in enumerate(names)}

    def place(key: str | tuple[str, ...]) -> list[int]:
        return [order[name] for name in ([key] if isinstance(key, str) else key)]

    return wide.loc[sorted(wide.index, key=place), sorted(wide.columns, key=place)]


def above_the_prior(rows: pd.DataFrame, methods: Iterable[str], metric: str = "CC", variant: str = "plain") -> str:
    """One sentence: whose maps lie above the centre prior on the first data set of the rows, by means over repeats."""
    first = rows[(rows["dataset"] == rows["dataset"].iloc[0]) & (rows["metric"] == metric)]
    means = first.groupby(["method", "variant"])["value"].mean()
    prior = means.get(("center_prior", "raw"), math.nan)
    known = {paper.look(method).label: means[method, variant] for method in methods if (method, variant) in means.index}
    words = {
        side: ", ".join(f"{label} {mean:.3f}" for label, mean in known.items() if (mean > prior) == above) or "none"
        for side, above in (("above", True), ("not above", False))
    }
    return (
        f"{metric} of the centre prior: {prior:.3f}. {variant} maps above it: {words['above']}. "
        f"Not above it: {words['not above']}."
    )


# ------------------------------------------------------------------------------------------------------ live examples


@dataclass(frozen=True)
class Examples:
    """A few images, of one size or of different sizes, with what is needed to look into one network live.

    Attributes:
        images: (h, w, 3) uint8 each.
        density: (h, w) float32 each, gaze density.
        network: an IQA network in evaluation mode.
        layer: its feature layer.
        maps: label -> (h, w) for each image, stored maps of Figure 1.
        captions: one per image.
        published: (h, w) each, the density maps as a data set publishes them, by whose positive pixels the paper's NSS
            is measured; `density` itself when None.
    """

    images: Sequence[np.ndarray]
    density: Sequence[np.ndarray]
    network: nn.Module
    layer: nn.Module
    maps: dict[str, Sequence[np.ndarray]]
    captions: tuple[str, ...] = ()
    published: Sequence[np.ndarray] | None = None

    def extract(self, **how: Any) -> list[np.ndarray]:
        """Maps of the images by `paperlib.maps.hirescam.extract`, (h, w) float32 in [0, 1] each."""
        return [extract(self.network, image[None], layer=self.layer, **how)[0] for image in self.images]

    def agreement(self, index: int, saliency: np.ndarray) -> dict[str, float]:
        """NSS, SIM, CC and KLD of a map (h, w) of one image, as it is, against gaze."""
        truth = self.density if self.published is None else self.published
        found = evaluate(saliency[None], self.density[index][None])
        found |= {"NSS": evaluate(saliency[None], truth[index][None])["NSS"]}
        return {name: float(value[0]) for name, value in found.items()}


def figure_units(profile: "Profile") -> dict[str, Unit]:
    """What `examples` needs, by role."""
    if profile.photographs.datasets:
        return photo_maps.figure_units(profile, FIGURE_IMAGES)
    seed = profile.seeds[0]
    maps = {method: world_maps.map_unit(profile, method, "world", seed) for method in MAP_LABELS}
    network = network_unit(profile, "baseline", seed)
    return {"world": world_unit(profile, "world/test", seed), "network": network} | maps


MAP_LABELS = {"saliency_net": "Saliency net", "baseline": "GradCAM (Baseline)"}


def examples(results: dict[str, Result], profile: "Profile") -> Examples:
    """The first test images, unselected, from the results of `figure_units`: a network, and the maps of a supervised net
    and of the IQA network."""
    if profile.photographs.datasets:
        return Examples(**photo_maps.examples(results, profile, FIGURE_IMAGES))
    world = load_world(results["world"]).head(FIGURE_IMAGES)
    network = load_network(results["network"])
    captions = tuple(
        f"{family}, {'subject' if at_subject > around else 'surround'} worse"
        for family, (at_subject, around) in zip(world.family, world.levels, strict=True)
    )
    maps = {label: results[method].arrays["maps"].astype(np.float32) for method, label in MAP_LABELS.items()}
    published = world.published_density()
    return Examples(world.images, world.density, network, network.last_features, maps, captions, published)


def figure(shown: Examples) -> Figure1Data:
    """Figure 1: images, where people look, and the maps of a supervised net and of an IQA network."""
    rows = {"Gaze density": shown.density} | shown.maps
    stretched = {name: [_stretched(one) for one in maps] for name, maps in rows.items()}
    return Figure1Data(shown.images, stretched, shown.captions)


def _stretched(saliency: np.ndarray) -> np.ndarray:
    return saliency / max(saliency.max(), 1e-9)


def smoothing_steps(shown: Examples, profile: "Profile") -> Figure1Data:
    """The network's maps of the example images on their way from one pass to the smoothed map."""
    settings = profile.extraction
    rotated = {"smoothing": "rotations", "n_passes": settings.n_passes, "max_angle": settings.max_angle}
    steps = {
        "one pass, channel sum": {"smoothing": "none", "principal_component": False},
        "rotations, channel sum": rotated | {"principal_component": False},
        "one pass, first component": {"smoothing": "none"},
        "rotations, first component": rotated,
    }
    return Figure1Data(shown.images, {name: shown.extract(**how) for name, how in steps.items()}, ())


CAMS = ("hirescam", "gradcam", "gradcam++", "layercam", "eigengradcam", "scorecam", "randomcam")


LARGE_IMAGE = 100_000
LARGE_LAYER = 10_000
"""Places (h x w) of a feature layer; EigenGradCAM of pytorch-grad-cam takes a matrix of all places by all places."""


def compare_cams(shown: Examples, methods: tuple[str, ...] | None = None) -> tuple[Figure1Data, pd.DataFrame]:
    """One-pass maps of the example images by several class activation methods, and how they agree with gaze.

    Args:
        shown: images and network.
        methods: names of `paperlib.maps.hirescam.METHODS` or `paperlib.maps.other_cams.METHODS`; `CAMS` when None, for
            large images without Score-CAM, which needs a forward pass per channel.

    Returns:
        The maps, and per method the mean CC and NSS over the images, raw maps. A method that needs more memory than
        there is, and EigenGradCAM on a layer of more than `LARGE_LAYER` places, have NaN and no map.
    """
    if methods is None:
        large = shown.images[0].size > LARGE_IMAGE
        methods = tuple(method for method in CAMS if not (large and method == "scorecam"))
    maps = {}
    for method in methods:
        if method == "eigengradcam" and _places(shown) > LARGE_LAYER:
            continue
        ours = {} if method in other_cams.METHODS else {"principal_component": False}
        with suppress(MemoryError):
            maps[method] = shown.extract(method=method, smoothing="none", **ours)
    found = {
        method: pd.DataFrame([shown.agreement(index, one) for index, one in enumerate(some)]).mean()
        for method, some in maps.items()
    }
    agreement = pd.DataFrame(found).loc[["CC", "NSS"]].T.reindex(methods)
    return Figure1Data(shown.images, maps, ()), agreement.rename_axis("method")


def _places(shown: Examples) -> int:
    """Height times width of the feature layer's output for the largest image."""
    found: list[int] = []
    hook = shown.layer.register_forward_hook(lambda module, given, output: found.append(output.shape[-2:].numel()))
    try:
        largest = max(shown.images, key=lambda image: image.size)
        extract(
            shown.network, largest[None], layer=shown.layer, method="gradcam", smoothing="none", principal_component=False
        )
    finally:
        hook.remove()
    return max(found)
