"""Statistics over images: intervals of a mean, paired tests of differences, and Holm's correction. NumPy only.

The image is the unit everywhere: metrics of one image are one value, images are drawn or flipped as a whole. A NaN is
an image without a value (NSS at fixations of an image that has none): it is left out of its row before anything else,
so that every result is the one of the remaining images alone.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK_VALUES = 1_000_000
_EXACT_IMAGES = 15
_TIE = 1e-12


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
    """Percentile bootstrap interval of a mean over images (Efron 1979; method "percentile" of scipy.stats.bootstrap).

    All rows of one call see the same resamples of the images, and a row alone gives the same interval as among others.

    Args:
        values: (N,) one value per image, or (K, N) for K methods; NaN marks an image without a value.
        n_resamples: number of resamples.
        confidence: share of the resampled means that lies inside.
        seed: of the resamples.

    Returns:
        (low, high): floats for (N,), else arrays (K,). NaN where fewer than two images have a value.

    Raises:
        ValueError: other shapes, infinite values, n_resamples < 1, confidence outside (0, 1).
    """
    rows = _rows(values, "values")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a share inside (0, 1), got {confidence}")
    _check_resamples(n_resamples)
    tails = [0.5 - confidence / 2, 0.5 + confidence / 2]

    def intervals(complete: NDArray[np.float64]) -> NDArray[np.float64]:
        if complete.shape[1] < 2:
            return np.full((len(complete), 2), np.nan)
        return np.quantile(_resampled_means(complete, n_resamples, seed), tails, axis=0).T

    ends = _without_missing(rows, intervals, width=2)
    return _like(values, ends[:, 0]), _like(values, ends[:, 1])


def paired_p(differences: ArrayLike, n_resamples: int = 10_000, seed: int = 0) -> Any:
    """Two-sided sign-flip test of a mean difference over images (Fisher 1935; Good, Permutation Tests, 2000).

    Under the null hypothesis the two methods are exchangeable on every image, so that each difference could as well
    have the other sign. p is the share of sign patterns whose |mean| is at least the observed one: over all 2^N
    patterns up to 15 images, else over random ones with the observed pattern counted, (count + 1) / (n_resamples + 1),
    which is never 0 (Phipson and Smyth 2010).

    Args:
        differences: (N,) one difference per image, or (K, N) for K pairs of methods; NaN marks an image without one.
        n_resamples: number of random patterns.
        seed: of the random patterns.

    Returns:
        p in (0, 1]: a float for (N,), else an array (K,). NaN where no image has a difference.

    Raises:
        ValueError: other shapes, infinite values, n_resamples < 1.
    """
    rows = _rows(differences, "differences")
    _check_resamples(n_resamples)

    def p_values(complete: NDArray[np.float64]) -> NDArray[np.float64]:
        images = complete.shape[1]
        if images == 0:
            return np.full((len(complete), 1), np.nan)
        threshold = np.abs(complete.sum(axis=1)) - _TIE * np.abs(complete).sum(axis=1)
        exact = images <= _EXACT_IMAGES
        patterns = _all_signs(images) if exact else _random_signs(images, n_resamples, seed)
        counts, tried = np.zeros(len(complete)), 0
        for signs in patterns:
            counts += (np.abs(signs @ complete.T) >= threshold).sum(axis=0)
            tried += len(signs)
        return (counts / tried if exact else (counts + 1) / (tried + 1))[:, None]

    return _like(differences, _without_missing(rows, p_values, width=1)[:, 0])


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
        n_resamples: random sign patterns of the test, and resamples of the interval.
        seed: of both.

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
    low, high = bootstrap_mean(differences, n_resamples, 1 - alpha, seed)
    p = paired_p(differences, n_resamples, seed)
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


def _resampled_means(rows: NDArray[np.float64], n_resamples: int, seed: int) -> NDArray[np.float64]:
    """(n_resamples, K) means: how often each image was drawn, times the values."""
    images = rows.shape[1]
    rng = np.random.default_rng(seed)
    offset = rows[:, :1]  # means of differences from one image: rows of huge equal values keep their digits
    centred = (rows - offset).T
    means = np.empty((n_resamples, len(rows)))
    step = max(1, _CHUNK_VALUES // images)
    for start in range(0, n_resamples, step):
        draws = rng.integers(0, images, (min(step, n_resamples - start), images))
        draws += images * np.arange(len(draws))[:, None]
        counts = np.bincount(draws.reshape(-1), minlength=draws.size).reshape(draws.shape)
        means[start : start + len(draws)] = counts.astype(np.float64) @ centred
    return means / images + offset.T


def _all_signs(images: int) -> Iterator[NDArray[np.floating]]:
    """All sign patterns with the last sign positive: the other half mirrors them and has the same |mean|."""
    numbers = np.arange(2 ** (images - 1))[:, None]
    yield 1.0 - 2.0 * (numbers >> np.arange(images) & 1)


def _random_signs(images: int, n_resamples: int, seed: int) -> Iterator[NDArray[np.floating]]:
    """Chunks of random sign patterns, together (n_resamples, images), the same for every size of chunk."""
    rng = np.random.default_rng(seed)
    words = -(-images // 64)
    step = max(1, _CHUNK_VALUES // images)
    for start in range(0, n_resamples, step):
        count = min(step, n_resamples - start)
        words_drawn = rng.integers(0, 2**64, (count, words), np.uint64).astype("<u8", copy=False)
        yield 1.0 - 2.0 * np.unpackbits(words_drawn.view(np.uint8), axis=1)[:, :images]


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


def _check_resamples(count: int) -> None:
    if count < 1:
        raise ValueError(f"n_resamples: expected at least 1, got {count}")
