"""What SACID's subjective scores say before any picture is looked at: rows that Table III of the paper lacks.

The bit-rate alone, and a fixed order of the presets learned on the other photographs, are methods that see no picture.
A metric has to beat the first in SROCC and PLCC, and the second in FracCP, before it has shown that it sees anything.
"""

from typing import TypedDict

import numpy as np

from paperlib.datasets.files import listing
from paperlib.datasets.sacid import ScoreTable
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.compute import preset_order
from paperlib.metrics.agreement import Summary, per_image, summarise
from paperlib.metrics.correlation import group_means

Interval = tuple[float, float]


class BitrateOnly(TypedDict):
    """Agreement of the bit-rate alone: means over images, 95 % bootstrap intervals over images, number of images."""

    srocc: float
    srocc_interval: Interval
    plcc: float
    plcc_interval: Interval
    n: int


class PresetOrder(TypedDict):
    """Agreement of a preset's mean over the other images: FracCP inside (image, bit-rate) groups, its interval over
    images, and the presets by their mean over all images, worst first."""

    fraccp: float
    fraccp_interval: Interval
    n: int
    groups: int
    order: list[str]


class SacidScores(TypedDict):
    """Numbers of a table of scores. `preset_means`: bits per 100 pixels -> preset -> mean score over images."""

    images: int
    versions: int
    bitrate_only: BitrateOnly
    preset_order: PresetOrder
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
    rate = {
        name: summarise(["bitrate_only"], values[:1], n_resamples, seed=seed)[0]
        for name, values in (("srocc", found.srocc), ("plcc", found.plcc))
    }
    fixed = summarise(["preset_order"], found.fraccp[1:], n_resamples, seed=seed)[0]
    names, by_preset = group_means(truth.mean(axis=0), presets)
    means = truth.mean(axis=0)
    return SacidScores(
        images=len(truth),
        versions=len(scores.versions),
        bitrate_only=BitrateOnly(
            srocc=rate["srocc"]["value"],
            srocc_interval=_interval(rate["srocc"]),
            plcc=rate["plcc"]["value"],
            plcc_interval=_interval(rate["plcc"]),
            n=rate["srocc"]["n"],
        ),
        preset_order=PresetOrder(
            fraccp=fixed["value"],
            fraccp_interval=_interval(fixed),
            n=fixed["n"],
            groups=int((~np.isnan(found.fraccp_at_rates[1])).sum()),
            order=names[np.argsort(by_preset)].tolist(),
        ),
        preset_means={
            str(bits): {v.preset: float(means[k]) for k, v in enumerate(scores.versions) if v.bpp100 == bits}
            for bits in sorted({version.bpp100 for version in scores.versions})
        },
    )


def _interval(summary: Summary) -> Interval:
    return summary["low"], summary["high"]
