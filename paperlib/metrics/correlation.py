"""How well scores agree with subjective scores: SROCC, PLCC, FracCP, and their bootstrap intervals. NumPy only.

All measures work along the last axis and broadcast over the others, so that 50 methods on 60 images of 12 versions each
are one call with scores of shape (50, 60, 12) and subjective scores of shape (60, 12).
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK_VALUES = 2_000_000
_ROUNDING = 1e-14


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks 1..n along the last axis; equal values share the mean of their ranks.

    Args:
        values: (..., n), finite.

    Returns:
        (..., n) ranks.

    Raises:
        ValueError: no axis, NaN or infinite values.
    """
    return _ranks(_finite(values, "values"))


def plcc(x: ArrayLike, y: ArrayLike) -> Any:
    """Pearson's linear correlation coefficient along the last axis, no logistic mapping before it.

    Args:
        x: (..., n) scores.
        y: (..., n) subjective scores; both broadcast against each other.

    Returns:
        A float for (n,) inputs, else an array of the leading axes. NaN where x or y is constant.

    Raises:
        ValueError: n < 3, lengths that differ, NaN or infinite values.
    """
    return _scalar_or_array(_pearson(*_pair(x, y)))


def srocc(x: ArrayLike, y: ArrayLike) -> Any:
    """Spearman's rank-order correlation coefficient along the last axis; ties get average ranks.

    Args:
        x: (..., n) scores.
        y: (..., n) subjective scores; both broadcast against each other.

    Returns:
        A float for (n,) inputs, else an array of the leading axes. NaN where x or y is constant.

    Raises:
        ValueError: n < 3, lengths that differ, NaN or infinite values.
    """
    first, second = _pair(x, y)
    return _scalar_or_array(_pearson(_ranks(first), _ranks(second)))


def fraccp(scores: ArrayLike, subjective: ArrayLike, groups: ArrayLike | None = None) -> Any:
    """Fraction of concordant pairs: share of the pairs that the scores order as the subjective scores do.

    Pairs with equal subjective scores have no order and are left out. Pairs with equal `scores` are not concordant: a
    method that cannot tell two versions apart earns nothing. Without any tie FracCP is (Kendall's tau + 1) / 2 and
    chance is 0.5. Higher scores must mean better quality: negate those of a distance.

    The paper's numbers are only possible with pairs inside one image and one bit-rate (6 pairs of 4 presets), so its
    FracCP is the mean over those groups.

    Args:
        scores: (..., n) scores, higher is better.
        subjective: (n,) or (..., n) subjective scores, higher is better.
        groups: (n,) labels; pairs are taken inside a group and the groups' fractions are averaged. None: all pairs.

    Returns:
        A float for (n,) inputs, else an array of the leading axes, in [0, 1]. NaN where no pair has an order; groups
        without an ordered pair are left out of the mean.

    Raises:
        ValueError: n < 2, lengths that differ, NaN or infinite values.
    """
    method, truth = _pair(scores, subjective, least=2)
    if groups is None:
        return _scalar_or_array(_concordant_share(method, truth))
    labels = _labels(groups, method.shape[-1])
    shares = [_concordant_share(method[..., members], truth[..., members]) for members in _members_by_size(labels)]
    # equally large groups come as one block (..., groups, size)
    return _scalar_or_array(_mean_of_defined(np.concatenate(shares, axis=-1)))


def group_means(values: ArrayLike, groups: ArrayLike) -> tuple[NDArray, NDArray[np.float64]]:
    """Mean of the values in each group.

    Args:
        values: (..., n), finite.
        groups: (n,) labels.

    Returns:
        The sorted labels (g,) and the means (..., g).

    Raises:
        ValueError: lengths that differ, NaN or infinite values.
    """
    array = _finite(values, "values")
    labels, index = np.unique(_labels(groups, array.shape[-1]), return_inverse=True)
    sums = np.zeros((*array.shape[:-1], labels.size))
    np.add.at(sums, (..., index), array)
    return labels, sums / np.bincount(index)


def bootstrap_interval(
    values: ArrayLike,
    rng: np.random.Generator | int,
    statistic: Callable[..., Any] = np.mean,
    n_boot: int = 1000,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic over images (or seeds).

    Args:
        values: (n,) one value per image, finite.
        rng: generator or seed.
        statistic: called as `statistic(resamples, axis=-1)` with resamples of shape (draws, n).
        n_boot: number of resamples.
        confidence: share of the resampled statistics that lies inside.

    Returns:
        (low, high).

    Raises:
        ValueError: other shapes, n < 2, NaN or infinite values, n_boot < 1, confidence outside (0, 1).
    """
    array = _finite(values, "values")
    if array.ndim != 1 or array.size < 2:
        raise ValueError(f"values: expected at least 2 values of shape (n,), got shape {array.shape}")
    resampled = [
        np.asarray(statistic(array[rows], axis=-1)) for rows in _resamples(array.size, n_boot, confidence, rng)
    ]
    return _percentiles(np.concatenate(resampled), confidence)


def srocc_interval(
    x: ArrayLike, y: ArrayLike, rng: np.random.Generator | int, n_boot: int = 1000, confidence: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of SROCC over the n pairs (images).

    Resamples never get sorted: the rank of an item follows from how often the items below it were drawn, so the cost is
    one cumulative sum per resample.

    Args:
        x: (n,) scores.
        y: (n,) subjective scores.
        rng: generator or seed.
        n_boot: number of resamples; those in which x or y is constant are left out.
        confidence: share of the resampled values that lies inside.

    Returns:
        (low, high); NaN where x or y is constant.

    Raises:
        ValueError: other shapes, n < 3, NaN or infinite values, n_boot < 1, confidence outside (0, 1).
    """
    first, second = _pair(x, y)
    if first.ndim != 1:
        raise ValueError(f"x, y: expected shape (n,), got {first.shape}; call once per method")
    n = first.size
    rankings = [_Ranking(first), _Ranking(second)]
    values = []
    for rows in _resamples(n, n_boot, confidence, rng):
        offsets = n * np.arange(len(rows))[:, None]
        counts = np.bincount((rows + offsets).ravel(), minlength=rows.size).reshape(rows.shape).astype(np.float64)
        values.append(_weighted_pearson(*(ranking.of(counts) for ranking in rankings), counts))
    return _percentiles(np.concatenate(values), confidence)


# ---- the computations -----------------------------------------------------------------------------------------------
def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(values, axis=-1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=-1)
    positions = np.broadcast_to(np.arange(values.shape[-1]), values.shape)
    opens = np.ones(values.shape, bool)
    opens[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    closes = np.ones(values.shape, bool)
    closes[..., :-1] = opens[..., 1:]
    first = np.maximum.accumulate(np.where(opens, positions, 0), axis=-1)
    last = np.where(closes, positions, values.shape[-1])
    last = np.minimum.accumulate(last[..., ::-1], axis=-1)[..., ::-1]
    result = np.empty(values.shape)
    np.put_along_axis(result, order, (first + last) / 2 + 1, axis=-1)
    return result


def _pearson(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = _varies(x) & _varies(y)
    x, y = _centred(x), _centred(y)
    scale = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    correlation = (x * y).sum(axis=-1) / np.where(defined, scale, 1)
    return np.where(defined, np.clip(correlation, -1.0, 1.0), np.nan)


def _varies(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return values.min(axis=-1) < values.max(axis=-1)


def _centred(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations from the mean, the largest scaled to 1, so that squares neither overflow nor vanish."""
    largest = np.abs(values).max(axis=-1, keepdims=True)
    scaled = values / np.where(largest > 0, largest, 1)
    centred = scaled - scaled.mean(axis=-1, keepdims=True)
    deviation = np.abs(centred).max(axis=-1, keepdims=True)
    return centred / np.where(deviation > 0, deviation, 1)


def _concordant_share(scores: NDArray[np.float64], subjective: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share along the last axis, from all pairs (i, i + lag), one lag at a time; NaN where no pair is ordered."""
    axes = max(scores.ndim, subjective.ndim)
    x, y = _items_first(scores, axes), _items_first(subjective, axes)
    concordant = np.zeros(np.broadcast_shapes(x.shape[1:], y.shape[1:]), np.int64)
    ordered = np.zeros(y.shape[1:], np.int64)
    for lag in range(1, len(x)):
        rises, falls = y[lag:] > y[:-lag], y[lag:] < y[:-lag]
        agree = ((x[lag:] > x[:-lag]) & rises) | ((x[lag:] < x[:-lag]) & falls)
        concordant += np.count_nonzero(agree, axis=0)
        ordered += np.count_nonzero(rises | falls, axis=0)
    return np.where(ordered > 0, concordant / np.maximum(ordered, 1), np.nan)


def _items_first(values: NDArray[np.float64], axes: int) -> NDArray[np.float64]:
    """(..., n) -> contiguous (n, ...) of `axes` axes in all, ready to broadcast."""
    padded = values.reshape((1,) * (axes - values.ndim) + values.shape)
    return np.ascontiguousarray(np.moveaxis(padded, -1, 0))


def _members_by_size(labels: NDArray) -> list[NDArray[np.intp]]:
    """Indices of the groups' members, groups of one size stacked to (groups, size); single members have no pair."""
    _, index, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    order, starts = np.argsort(index, kind="stable"), np.cumsum(sizes) - sizes
    stacks = [order[starts[sizes == size][:, None] + np.arange(size)] for size in np.unique(sizes).tolist() if size > 1]
    return stacks or [np.empty((0, 2), np.intp)]


def _mean_of_defined(values: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(values)
    count = defined.sum(axis=-1)
    total = np.where(defined, values, 0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


class _Ranking:
    """Average ranks of (n,) values inside resamples that are given as counts per item."""

    def __init__(self, values: NDArray[np.float64]):
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        opens = np.r_[True, ordered[1:] != ordered[:-1]]
        self.starts = np.flatnonzero(opens)
        self.run = np.empty(values.size, np.intp)
        self.run[self.order] = np.cumsum(opens) - 1

    def of(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """(draws, n) counts -> (draws, n) ranks; an item that was not drawn has no rank, and no weight."""
        per_run = np.add.reduceat(counts[:, self.order], self.starts, axis=1)
        mean_rank = np.cumsum(per_run, axis=1) - (per_run - 1) / 2
        return mean_rank[:, self.run]


def _weighted_pearson(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(draws, n) each -> (draws,); NaN where x or y does not vary."""
    total = weights.sum(axis=1, keepdims=True)
    x = x - (x * weights).sum(axis=1, keepdims=True) / total
    y = y - (y * weights).sum(axis=1, keepdims=True) / total
    weighted = weights * x
    covariance, x_variance = (weighted * y).sum(axis=1), (weighted * x).sum(axis=1)
    scale = np.sqrt(x_variance * (weights * y * y).sum(axis=1))
    defined = scale > _ROUNDING * total[:, 0] ** 3
    return np.where(defined, covariance / np.where(defined, scale, 1), np.nan)


def _resamples(n: int, n_boot: int, confidence: float, rng: np.random.Generator | int) -> Iterator[NDArray[np.int64]]:
    """Index arrays (draws, n) with n_boot draws in all, in chunks of bounded memory."""
    if n_boot < 1:
        raise ValueError(f"n_boot: expected at least 1 resample, got {n_boot}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: expected a share in (0, 1), got {confidence}")
    generator = np.random.default_rng(rng)
    step = max(1, _CHUNK_VALUES // n)
    for start in range(0, n_boot, step):
        yield generator.integers(0, n, size=(min(step, n_boot - start), n))


def _percentiles(statistics: NDArray[np.float64], confidence: float) -> tuple[float, float]:
    defined = statistics[~np.isnan(statistics)]
    if defined.size == 0:
        return np.nan, np.nan
    low, high = np.quantile(defined, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


# ---- checks ---------------------------------------------------------------------------------------------------------
def _finite(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise ValueError(f"{name}: expected real numbers of shape (..., n), got {array.dtype} of shape {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite values, got NaN or infinity; leave those items out first")
    return array


def _pair(x: ArrayLike, y: ArrayLike, least: int = 3) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = _finite(x, "scores"), _finite(y, "subjective scores")
    if first.shape[-1] != second.shape[-1] or first.shape[-1] < least:
        raise ValueError(
            f"expected scores and subjective scores of one length n >= {least} along the last axis, "
            f"got shapes {first.shape} and {second.shape}"
        )
    try:
        np.broadcast_shapes(first.shape, second.shape)
    except ValueError:
        raise ValueError(f"expected shapes that broadcast, got {first.shape} and {second.shape}") from None
    return first, second


def _labels(groups: ArrayLike, n: int) -> NDArray:
    labels = np.asarray(groups)
    if labels.shape != (n,):
        raise ValueError(f"groups: expected one label per item, shape ({n},), got {labels.shape}")
    return labels


def _scalar_or_array(values: NDArray[np.float64]) -> Any:
    return float(values) if values.ndim == 0 else values
