"""How well scores agree with subjective scores: SROCC, PLCC, FracCP, and SROCC in bootstrap resamples. NumPy only.

All measures work along the last axis and broadcast over the others, so that 50 methods on 60 images of 12 versions each
are one call with scores of shape (50, 60, 12) and subjective scores of shape (60, 12).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

_CHUNK_VALUES = 2_000_000
_BLOCK_DRAWS = 32
_BLOCK_VALUES = 32_768
_FEW = 64
"""Items that are ranked by comparing all pairs; more are sorted."""


def ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks 1..n of (..., n) along the last axis; equal values share the mean of their ranks.

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
    """Spearman's rank-order correlation coefficient along the last axis; ties get average ranks. Otherwise as `plcc`."""
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
    """The sorted labels (g,) of groups, from one label per item (n,), and the means (..., g) of values (..., n) in each.

    Raises:
        ValueError: lengths that differ, NaN or infinite values.
    """
    array = _finite(values, "values")
    labels, index = np.unique(_labels(groups, array.shape[-1]), return_inverse=True)
    sums = np.zeros((*array.shape[:-1], labels.size))
    np.add.at(np.moveaxis(sums, -1, 0), index, np.moveaxis(array, -1, 0))
    return labels, sums / np.bincount(index)


def srocc_resamples(x: ArrayLike, y: ArrayLike, rng: np.random.Generator | int, n_boot: int = 1000) -> NDArray[np.float64]:
    """SROCC in bootstrap resamples of the n pairs (images), all rows of x in the same resamples.

    Resamples never get sorted: the rank of an item follows from how often the items below it were drawn, so the cost is
    one cumulative sum per resample and row.

    Args:
        x: (..., n) scores.
        y: (n,) subjective scores.
        rng: generator or seed.
        n_boot: number of resamples.

    Returns:
        (n_boot, ...); NaN where a resample of x or y is constant.

    Raises:
        ValueError: other shapes, n < 3, NaN or infinite values, n_boot < 1.
    """
    first, second = _pair(x, y)
    if second.ndim != 1:
        raise ValueError(f"y: expected subjective scores of shape (n,), got {second.shape}")
    n = second.size
    truth, rankings = _Ranking(second), [_Ranking(row) for row in first.reshape(-1, n)]
    result = np.empty((n_boot, len(rankings)))
    start = 0
    for counts in _counts_of_resamples(n, n_boot, rng):
        block = result[start : start + counts.shape[1]]
        start += len(block)
        weighted, spread = counts * truth.deviations(counts), truth.spread(counts)
        for column, ranking in zip(block.T, rankings, strict=True):
            column[:] = ranking.correlation(counts, weighted, spread)
    return result.reshape(n_boot, *first.shape[:-1])


# ---- the computations -----------------------------------------------------------------------------------------------
def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return _ranks_of_few(values) if values.shape[-1] <= _FEW else _ranks_by_sorting(values)


def _ranks_of_few(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """From comparisons of all pairs: for few items far faster than many short sorts."""
    items = _items_first(values, values.ndim)
    doubled = np.full(items.shape, len(items) + 1, np.int16)
    for rows in _rows_at_once(items):
        sign = (items[rows, None] > items).view(np.int8) - (items[rows, None] < items).view(np.int8)
        doubled[rows] += sign.sum(axis=1, dtype=np.int16)
    return np.moveaxis(doubled, 0, -1) / 2


def _ranks_by_sorting(values: NDArray[np.float64]) -> NDArray[np.float64]:
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
    axes = max(x.ndim, y.ndim)
    x, y = _items_first(x, axes), _items_first(y, axes)
    defined = _varies(x) & _varies(y)
    x, y = _centred(x), _centred(y)
    scale = np.sqrt(_dot(x, x) * _dot(y, y))
    correlation = _dot(x, y) / np.where(defined, scale, 1)
    return np.where(defined, np.clip(correlation, -1.0, 1.0), np.nan)


def _dot(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.einsum("i...,i...->...", x, y)


def _varies(items: NDArray[np.float64]) -> NDArray[np.bool_]:
    return items.min(axis=0) < items.max(axis=0)


def _centred(items: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations from the mean along the first axis, the largest scaled to 1, so that squares neither overflow nor
    vanish."""
    largest = np.abs(items).max(axis=0)
    centred = items / np.where(largest > 0, largest, 1)
    centred -= centred.mean(axis=0)
    deviation = np.abs(centred).max(axis=0)
    centred /= np.where(deviation > 0, deviation, 1)
    return centred


def _concordant_share(scores: NDArray[np.float64], subjective: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share along the last axis, each pair seen from its better item; NaN where no pair is ordered."""
    axes = max(scores.ndim, subjective.ndim)
    x, y = _items_first(scores, axes), _items_first(subjective, axes)
    concordant = np.zeros(np.broadcast_shapes(x.shape[1:], y.shape[1:]), np.int64)
    ordered = np.zeros(y.shape[1:], np.int64)
    for rows in _rows_at_once(x):
        better = y[rows, None] > y
        concordant += np.count_nonzero((x[rows, None] > x) & better, axis=(0, 1))
        ordered += np.count_nonzero(better, axis=(0, 1))
    return np.where(ordered > 0, concordant / np.maximum(ordered, 1), np.nan)


def _rows_at_once(items: NDArray[np.float64]) -> Iterator[slice]:
    """Slices of the first axis, so many items each that their comparisons with all stay in the processor's cache."""
    step = max(1, _BLOCK_VALUES // max(1, items.size))
    yield from (slice(start, start + step) for start in range(0, len(items), step))


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
    """Average ranks of (n,) values inside resamples, which are given as counts per item, (n, draws)."""

    def __init__(self, values: NDArray[np.float64]):
        self.order = np.argsort(values, kind="stable")
        ordered = values[self.order]
        opens = np.r_[True, ordered[1:] != ordered[:-1]]
        self.starts = np.flatnonzero(opens)
        self.run = np.empty(values.size, np.intp)
        self.run[self.order] = np.cumsum(opens) - 1

    def per_run(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums over the items of equal value, ascending: (n, draws) -> (runs, draws)."""
        ordered = weights[self.order]
        return ordered if len(self.starts) == len(ordered) else np.add.reduceat(ordered, self.starts)

    def deviations(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, draws): each item's rank minus the mean rank; an item that was not drawn has no rank, and no weight."""
        return _run_deviations(self.per_run(counts))[self.run]

    def spread(self, counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """(draws,): sum of squared deviations, by the formula for ties."""
        return _spread(self.per_run(counts))

    def correlation(
        self, counts: NDArray[np.float64], weighted: NDArray[np.float64], spread: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """(draws,): Pearson's correlation with ranks whose deviations times counts are `weighted`; NaN if undefined."""
        drawn = self.per_run(counts)
        product = np.einsum("rd,rd->d", _run_deviations(drawn), self.per_run(weighted))
        scale = np.sqrt(_spread(drawn) * spread)
        return np.where(scale > 0, product / np.where(scale > 0, scale, 1), np.nan)


def _run_deviations(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """(runs, draws): items drawn of each run -> average rank of the run minus the mean rank."""
    ranks_of_runs = np.cumsum(drawn, axis=0)
    middle = ranks_of_runs[-1] / 2
    ranks_of_runs -= drawn / 2
    ranks_of_runs -= middle
    return ranks_of_runs


def _spread(drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """(draws,): (n^3 - n - sum over runs of t^3 - t) / 12, exact below 200,000 items."""
    total = drawn.sum(axis=0)
    return (total**3 - np.einsum("rd,rd,rd->d", drawn, drawn, drawn)) / 12


def _counts_of_resamples(n: int, n_boot: int, rng: np.random.Generator | int) -> Iterator[NDArray[np.float64]]:
    """How often each item is drawn, (n, draws) in blocks that stay in the processor's cache; n_boot draws in all."""
    if n_boot < 1:
        raise ValueError(f"n_boot: expected at least 1 resample, got {n_boot}")
    generator = np.random.default_rng(rng)
    step = max(1, _CHUNK_VALUES // n)
    for first in range(0, n_boot, step):
        rows = generator.integers(0, n, size=(min(step, n_boot - first), n))
        for start in range(0, len(rows), _BLOCK_DRAWS):
            block = rows[start : start + _BLOCK_DRAWS]
            offsets = n * np.arange(len(block))[:, None]
            counts = np.bincount((block + offsets).ravel(), minlength=block.size).reshape(block.shape)
            yield np.ascontiguousarray(counts.T, np.float64)


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
