"""How well methods agree with subjective scores, image by image, for many methods at once (Table III).

    found = per_image(scores, subjective, bpps)            # scores (methods, images, versions)
    summarise(names, found.srocc)                          # mean, sd, bootstrap interval, number of images
    rank_intervals(found.fraccp)                           # how sure the order of the methods is

The image is the unit: subjective scores have one scale per image, so every statistic is taken inside an image first,
and images are resampled as a whole. A NaN is an image without a value (a reference that lacks): a method's
statistics are those of its other images, and say of how many. Scores are oriented: higher means better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperlib.metrics.correlation import fraccp, plcc, ranks, srocc
from paperlib.metrics.resampling import bootstrap_mean

_TIE = 1e-12


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of K methods on N images at R bit-rates; NaN where a method has no score or a measure is undefined.

    Attributes:
        srocc, plcc: (K, N) over all versions of an image, without logistic mapping. Tied scores share the mean of their
            ranks. NaN where a method gives all versions one score.
        fraccp: (K, N) fraction of concordant pairs inside a bit-rate, averaged over the bit-rates. Pairs with equal
            subjective scores are left out; equal scores of a method are not concordant.
        fraccp_at_rates: (K, N, R) the same for each bit-rate, ascending: the paper's (image, bit-rate) groups.
    """

    srocc: NDArray[np.float64]
    plcc: NDArray[np.float64]
    fraccp: NDArray[np.float64]
    fraccp_at_rates: NDArray[np.float64]


class Summary(TypedDict):
    """A method's mean over its images; `low` and `high` enclose it, `sd` divides by n - 1."""

    name: str
    value: float
    sd: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, eq=False)
class RankIntervals:
    """How sure the ranks of K methods are; 1 is the best. NaN for a method without any value.

    Attributes:
        rank: (K,) of the means; equal means share the mean of their ranks.
        low, high: (K,) ends of the percentile bootstrap interval.
        first: (K,) share of resamples in which no other method has a better mean.
        images: number of images: those where every ranked method has a value.
    """

    rank: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    first: NDArray[np.float64]
    images: int


def per_image(scores: ArrayLike, subjective: ArrayLike, rates: ArrayLike, drop_sign: bool = False) -> Agreement:
    """SROCC, PLCC and FracCP of every method on every image.

    Args:
        scores: (K, N, V) scores of K methods for V versions of N images, higher is better; (N, V) for one method. A NaN
            in one version takes the image out for that method.
        subjective: (N, V) subjective scores, higher is better, finite.
        rates: (V,) bit-rate of each version, the same for all images.
        drop_sign: absolute SROCC and PLCC, as in the authors' notebook.

    Raises:
        ValueError: other shapes, V < 3, infinite scores, subjective scores that are not finite, a bit-rate with a
            single version.
    """
    truth = np.asarray(subjective, np.float64)
    values = np.asarray(scores, np.float64)
    values = values[None] if values.ndim == 2 else values
    labels = np.asarray(rates)
    if truth.ndim != 2 or values.ndim != 3 or values.shape[1:] != truth.shape or labels.shape != truth.shape[1:]:
        raise ValueError(
            "expected scores (methods, images, versions), subjective (images, versions) and rates (versions,), got "
            f"{np.shape(scores)}, {truth.shape} and {labels.shape}"
        )
    distinct, sizes = np.unique(labels, return_counts=True)
    if sizes.min(initial=2) < 2:
        raise ValueError(f"rates: expected at least two versions of every bit-rate, got {distinct[sizes < 2]} once")
    missing = np.asarray(np.isnan(values).any(axis=-1))
    filled = np.where(missing[..., None], 0.0, values)

    def known(measured: NDArray[np.float64]) -> NDArray[np.float64]:
        measured[missing] = np.nan
        return measured

    rank, linear = (np.abs(one) if drop_sign else one for one in (srocc(filled, truth), plcc(filled, truth)))
    at_rates = [fraccp(filled[..., labels == rate], truth[:, labels == rate]) for rate in distinct]
    return Agreement(
        known(rank), known(linear), known(fraccp(filled, truth, groups=labels)), known(np.stack(at_rates, axis=-1))
    )


def summarise(
    names: Sequence[str], values: ArrayLike, n_resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> list[Summary]:
    """Mean over images with its bootstrap interval (`paperlib.metrics.resampling.bootstrap_mean`) for every method.

    Args:
        names: of the K methods.
        values: (K, N) one value per method and image, for example `Agreement.srocc`; NaN marks an image without one.
        n_resamples, confidence, seed: of `bootstrap_mean`; resamples are the same for all methods with the same images.

    Returns:
        One record per method, in the order given; `value` is NaN without any image, `low` and `high` below two.

    Raises:
        ValueError: other shapes, infinite values, n_resamples < 1, confidence outside (0, 1).
    """
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or len(names) != len(rows) or len(set(names)) != len(names):
        raise ValueError(
            f"expected values (methods, images) and one unique name per method, got {rows.shape} and {list(names)}"
        )
    low, high = bootstrap_mean(rows, n_resamples, confidence, seed)
    n = (~np.isnan(rows)).sum(axis=1)
    mean = np.nansum(rows, axis=1) / np.where(n > 0, n, np.nan)
    spread = np.sqrt(np.nansum((rows - mean[:, None]) ** 2, axis=1) / np.where(n > 1, n - 1, np.nan))
    return [
        Summary(name=name, value=float(mean[k]), sd=float(spread[k]), low=float(low[k]), high=float(high[k]), n=int(n[k]))
        for k, name in enumerate(names)
    ]


def rank_intervals(values: ArrayLike, n_resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> RankIntervals:
    """Ranks of methods by their mean over images, and how they change when images are resampled.

    Only a comparison on the same images is fair: ranks are taken on the images where every method has a value. Methods
    without any value take no part.

    Args:
        values: (K, N) one value per method and image, higher is better; NaN marks an image without one.
        n_resamples, confidence, seed: of the bootstrap, as in `summarise`.

    Raises:
        ValueError: other shapes, no method with a value, fewer than two common images, infinite values,
            n_resamples < 1, confidence outside (0, 1).
    """
    rows = np.asarray(values, np.float64)
    if rows.ndim != 2 or np.isinf(rows).any():
        raise ValueError(f"values: expected finite numbers or NaN of shape (methods, images), got {rows.shape}")
    if n_resamples < 1 or not 0 < confidence < 1:
        raise ValueError(f"expected n_resamples >= 1 and confidence inside (0, 1), got {n_resamples} and {confidence}")
    ranked = ~np.isnan(rows).all(axis=1)
    common = ~np.isnan(rows[ranked]).any(axis=0)
    images = int(common.sum())
    if not ranked.any() or images < 2:
        raise ValueError(f"values: expected at least 2 images that all methods have, got {images}; leave methods out")
    chosen = rows[np.ix_(ranked, common)]
    counts = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), n_resamples)
    resampled = _ranks_of_means(counts @ chosen.T / images)
    tails = np.quantile(resampled, [0.5 - confidence / 2, 0.5 + confidence / 2], axis=0)
    best = resampled == resampled.min(axis=1, keepdims=True)

    def spread_out(found: NDArray[np.float64]) -> NDArray[np.float64]:
        result = np.full(len(rows), np.nan)
        result[ranked] = found
        return result

    return RankIntervals(
        rank=spread_out(_ranks_of_means(chosen.mean(axis=1))),
        low=spread_out(tails[0]),
        high=spread_out(tails[1]),
        first=spread_out(best.mean(axis=0)),
        images=images,
    )


def _ranks_of_means(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for the largest along the last axis; means that differ by rounding only are equal."""
    scale = np.abs(means).max(axis=-1, keepdims=True)
    return ranks(-np.rint(means / np.where(scale > 0, scale, 1) / _TIE))
