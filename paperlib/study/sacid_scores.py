"""What SACID's subjective scores say before any picture is looked at: rows that Table III of the paper lacks.

The bit-rate alone, and a fixed order of the presets learned on the other photographs, are methods that see no picture.
A metric has to beat the first in SROCC and PLCC, and the second in FracCP, before it has shown that it sees anything.
"""

from typing import Any, TypedDict

import numpy as np

from paperlib.datasets.files import listing
from paperlib.datasets.sacid import ScoreTable
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.compute import preset_order
from paperlib.metrics.agreement import per_image, summarise
from paperlib.metrics.correlation import group_means


class SacidScores(TypedDict):
    """Numbers of a table of scores; every `<metric>_interval` is a 95 % bootstrap interval (low, high) over images.

    `bitrate_only`: means over images of `srocc` and `plcc`, and `n` images. `preset_order`: agreement of a preset's mean
    over the other images as `fraccp` inside (image, bit-rate) groups, `n` images, `groups`, and the presets in `order` of
    their mean over all images, worst first. `preset_means`: bits per 100 pixels -> preset -> mean score over images.
    """

    images: int
    versions: int
    bitrate_only: dict[str, Any]
    preset_order: dict[str, Any]
    preset_means: dict[str, dict[str, float]]


def analyse(scores: ScoreTable, n_resamples: int = 2000, seed: int = 0) -> SacidScores:
    """Agreement of bit-rate and preset with subjective scores.

    Args:
        scores: of at least two sequences, two bit-rates, and two presets at each.
        n_resamples: resamples of the images for the intervals.
        seed: of the resamples.

    Raises:
        PaperlibError: fewer sequences, bit-rates or presets.
        ValueError: n_resamples < 1.
    """
    bpps, presets, truth = scores.bpps, scores.presets, scores.subjective
    rates, kinds = set(bpps.tolist()), set(presets.tolist())
    if len(truth) < 2 or min(len(rates), len(kinds)) < 2 or len(scores.versions) != len(rates) * len(kinds):
        raise PaperlibError(
            "expected scores of at least 2 sequences and 2 bit-rates, each with the same 2 or more presets, got "
            f"{len(truth)} sequences with the versions {listing(version.test_case for version in scores.versions)}"
        )
    methods = np.stack([np.broadcast_to(bpps, truth.shape), preset_order(truth, presets)])
    found = per_image(methods, truth, bpps)

    def told(metric: str, values: np.ndarray) -> dict[str, Any]:
        (one,) = summarise([metric], values, n_resamples, seed=seed)
        return {metric: one["value"], f"{metric}_interval": (one["low"], one["high"])}

    def counted(values: np.ndarray) -> int:
        return int((~np.isnan(values)).sum())

    names, by_preset = group_means(truth.mean(axis=0), presets)
    order = {"groups": counted(found.fraccp_at_rates[1]), "order": names[np.argsort(by_preset)].tolist()}
    means: dict[str, dict[str, float]] = {}
    for version, mean in zip(scores.versions, truth.mean(axis=0).tolist(), strict=True):
        means.setdefault(str(version.bpp100), {})[version.preset] = mean
    return SacidScores(
        images=len(truth),
        versions=len(scores.versions),
        bitrate_only=told("srocc", found.srocc[:1]) | told("plcc", found.plcc[:1]) | {"n": counted(found.srocc[0])},
        preset_order=told("fraccp", found.fraccp[1:]) | {"n": counted(found.fraccp[1])} | order,
        preset_means=means,
    )
