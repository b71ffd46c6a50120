"""Statistics over images: intervals of a mean, paired tests of differences, and Holm's correction. NumPy and SciPy only.

The image is the unit everywhere: metrics of one image are one value, images are drawn as a whole. A NaN is an image
without a value (NSS at fixations of an image that has none): it is left out of its row before anything else, so that
every result is the one of the remaining images alone.

Interval and test are one thing seen from two sides. Percentiles of resampled means are too narrow for ten or twenty
images, Student's t is wrong where values are skewed, and the bootstrap of Student's ratio where their tails are heavy;
the wider of the last two, end by end, covers the mean of 10 to 300 images in 93 to 97 of 100 samples
(tests/unit/test_resampling.py, with its exceptions).
"""

from collections.abc import Callable, Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

_CHUNK_VALUES = 1_000_000
_TIE = 1e-12
_SMALLEST_ERROR = 0.2  # of the sample's: a resample of nearly equal values does not know how far they spread


class Comparison(TypedDict):
    """One method beside the reference; `difference` is the method's mean minus the reference's, image by image."""

    name: str
    images: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    survives: bool


def bootstrap_mean(values: ArrayLike, n_resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> tuple[Any, Any]:
    """Interval of a mean over images: the wider of Student's t and of the studentized bootstrap, end by end.

    The studentized bootstrap (bootstrap-t; Efron 1982; Davison and Hinkley 1997, Bootstrap Methods, 5.2.1) takes the
    quantiles of t* = (m* - m) / e*, with mean m* and standard error e* of each resample, where Student's interval has
    those of a normal population. All rows of one call see the same resamples of the images, and a row alone gives the
    same interval as among others. It may end beyond the smallest and the largest value.

    Args:
        values: (N,) one value per image, or (K, N) for K methods; NaN marks an image without a value.
        n_resamples: number of resamples.
        confidence: chance that the interval covers the mean of the population.
        seed: of the resamples.

    Returns:
        (low, high): floats for (N,), else arrays (K,). NaN where fewer than two images have a value.

    Raises:
        ValueError: other shapes, infinite values, n_resamples < 1, confidence outside (0, 1).
    """
    rows = _rows(values, "values")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a share inside (0, 1), got {confidence}")
    found = _inference(rows, n_resamples, confidence, seed)
    return _like(values, found[:, 0]), _like(values, found[:, 1])


def paired_p(differences: ArrayLike, n_resamples: int = 10_000, seed: int = 0) -> Any:
    """Two-sided test of a mean difference over images: the larger p of Student's t and of the studentized bootstrap.

    It rejects at alpha where 0 lies outside the interval of `bootstrap_mean` with confidence 1 - alpha. The bootstrap's
    p counts the observed sample as one more resample, so that it is never 0 (Phipson and Smyth 2010). Where all
    differences are the same, and their spread is unknown, p is the sign test's, 2^(1 - N).

    Args:
        differences: (N,) one difference per image, or (K, N) for K pairs of methods; NaN marks an image without one.
        n_resamples: number of resamples.
        seed: of the resamples.

    Returns:
        p in (0, 1]: a float for (N,), else an array (K,). 1 for a single image, NaN where no image has a difference.

    Raises:
        ValueError: other shapes, infinite values, n_resamples < 1.
    """
    return _like(differences, _inference(_rows(differences, "differences"), n_resamples, 0.5, seed)[:, 2])


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm's step-down adjustment of p-values (Holm 1979, Scandinavian Journal of Statistics 6, 65-70).

    The smallest of m p-values is multiplied by m, the next by m - 1, and so on; none may fall below the one before.
    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection at most alpha.

    Args:
        p_values: (m,), each in [0, 1]; a NaN stays NaN and does not count as a test.

    Returns:
        (m,) adjusted values in [0, 1], in the order given.

    Raises:
        ValueError: other shapes, values outside [0, 1].
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or (p < 0).any() or (p > 1).any():
        raise ValueError(f"p_values: expected values in [0, 1] of shape (m,), got shape {p.shape}: {p}")
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    adjusted = np.full(p.shape, np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1)
    return adjusted


def compare_with(
    reference: ArrayLike, others: Mapping[str, ArrayLike], alpha: float = 0.05, n_resamples: int = 10_000, seed: int = 0
) -> list[Comparison]:
    """Which methods differ from a reference (the centre prior, say), image by image, after Holm's correction.

    Args:
        reference: (N,) one value per image.
        others: (N,) values of each other method on the same images, by name.
        alpha: chance of any false rejection among all comparisons of this call.
        n_resamples, seed: of the resamples, which interval and test share.

    Returns:
        One record per method, in the order given. `low` and `high` enclose the mean difference with confidence
        1 - alpha (`bootstrap_mean`, not corrected), `p` is `paired_p`, `p_holm` its adjusted value, `survives` says
        p_holm <= alpha. Images where either value is NaN are left out of that comparison; `images` counts the rest.

    Raises:
        ValueError: no method, shapes that differ, infinite values, alpha outside (0, 1), n_resamples < 1.
    """
    base = _rows(reference, "reference")
    if np.ndim(reference) != 1:
        raise ValueError(f"reference: expected one value per image, shape (N,), got {np.shape(reference)}")
    if not others:
        raise ValueError("others: expected at least one method to compare, got none")
    for name, values in others.items():
        if np.shape(values) != np.shape(reference):
            raise ValueError(f"{name}: expected the reference's shape {np.shape(reference)}, got {np.shape(values)}")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha: expected a chance inside (0, 1), got {alpha}")
    differences = np.stack([_rows(values, name)[0] for name, values in others.items()]) - base
    images = (~np.isnan(differences)).sum(axis=1)
    means = np.nansum(differences, axis=1) / np.where(images, images, np.nan)
    low, high, p = _inference(differences, n_resamples, 1 - alpha, seed).T
    adjusted = holm(p)
    return [
        Comparison(
            name=name,
            images=int(images[k]),
            difference=float(means[k]),
            low=float(low[k]),
            high=float(high[k]),
            p=float(p[k]),
            p_holm=float(adjusted[k]),
            survives=bool(adjusted[k] <= alpha),
        )
        for k, name in enumerate(others)
    ]


def _inference(rows: NDArray[np.float64], n_resamples: int, confidence: float, seed: int) -> NDArray[np.float64]:
    """(K, 3): low, high, p of each row's mean."""
    if n_resamples < 1:
        raise ValueError(f"n_resamples: expected at least 1, got {n_resamples}")
    tails = np.array([0.5 - confidence / 2, 0.5 + confidence / 2])

    def of_complete(complete: NDArray[np.float64]) -> NDArray[np.float64]:
        images = complete.shape[1]
        if images < 2:
            return np.tile([np.nan, np.nan, 1.0 if images else np.nan], (len(complete), 1))
        mean, error, ratios = _studentized(complete, n_resamples, seed)
        student = stdtrit(images - 1, tails)
        below, above = np.quantile(ratios, tails, axis=0)
        low, high = mean - error * np.maximum(above, student[1]), mean - error * np.minimum(below, student[0])
        observed = mean / np.where(error > 0, error, np.inf)
        tie = _TIE * np.abs(observed)
        rarer = np.minimum((ratios <= observed + tie).sum(axis=0), (ratios >= observed - tie).sum(axis=0))
        p = np.maximum(2 * (rarer + 1) / (n_resamples + 1), 2 * stdtr(images - 1, -np.abs(observed)))
        p = np.where(error > 0, np.minimum(p, 1), np.where(mean == 0, 1, 2.0 ** (1 - images)))
        return np.stack([low, high, p], axis=1)

    return _without_missing(rows, of_complete, width=3)


def _studentized(
    rows: NDArray[np.float64], n_resamples: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Means and standard errors (K,), and t* (n_resamples, K) of the resamples: how often each image was drawn, times the
    values and times their squares."""
    images = rows.shape[1]
    offset = rows[:, 0]  # values as differences from one image: rows of huge equal values keep their digits
    centred = rows - offset[:, None]
    mean = centred.mean(axis=1)
    centred = centred - mean[:, None]
    error = np.sqrt((centred**2).sum(axis=1) / (images - 1) / images)
    error = np.where(error > _TIE * np.abs(rows).max(axis=1), error, 0)
    units = (centred / np.where(error > 0, error, np.inf)[:, None]).T
    squares = units**2
    rng = np.random.default_rng(seed)
    ratios = np.empty((n_resamples, len(rows)))
    step = max(1, _CHUNK_VALUES // images)
    for start in range(0, n_resamples, step):
        draws = rng.integers(0, images, (min(step, n_resamples - start), images))
        draws += images * np.arange(len(draws))[:, None]
        counts = np.bincount(draws.reshape(-1), minlength=draws.size).reshape(draws.shape).astype(np.float64)
        means = counts @ units / images
        variance = np.maximum(counts @ squares / images - means**2, 0) / (images - 1)
        ratios[start : start + len(draws)] = means / np.maximum(np.sqrt(variance), _SMALLEST_ERROR)
    return mean + offset, error, ratios


def _without_missing(
    rows: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]], width: int
) -> NDArray[np.float64]:
    """(K, width): the statistic of rows without NaN, called once for all rows that lack the same images."""
    result = np.empty((len(rows), width))
    patterns, members = np.unique(np.isnan(rows), axis=0, return_inverse=True)
    for number, missing in enumerate(patterns):
        chosen = np.flatnonzero(members.reshape(-1) == number)
        result[chosen] = statistic(rows[np.ix_(chosen, ~missing)])
    return result


def _rows(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim not in (1, 2) or array.size == 0 or array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers of shape (N,) or (K, N), got {array.dtype} {array.shape}")
    array = np.atleast_2d(array.astype(np.float64))
    if np.isinf(array).any():
        raise ValueError(f"{name}: expected finite values, or NaN for images without one, got infinity")
    return array


def _like(values: ArrayLike, column: NDArray[np.float64]) -> Any:
    return float(column[0]) if np.ndim(values) == 1 else column
