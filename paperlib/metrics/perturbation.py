"""What masking curves say in one number: AOPC, the area between LeRF and MoRF, and their intervals. NumPy only.

A curve gives a value y for every fraction of masked pixels: the score of one image, or the SROCC over all of them
(Figure 2). Curves run along the last axis and everything broadcasts over the others.

Where y is a score per image, `aopc` and `area_between` give one number per image, and `paperlib.metrics.resampling` has
the intervals and tests. Where y is a SROCC there is one number for all images, and the images have to be drawn again:
`srocc_curve_bootstrap` draws them for all curves at once, so that whatever is computed from several curves is paired.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperlib.metrics.correlation import srocc, srocc_resamples


def aopc(curve: ArrayLike) -> Any:
    """Area over the perturbation curve: 1 / (L + 1) times the sum over k = 0 ... L of y_0 - y_k.

    Samek et al., "Evaluating the visualization of what a deep neural network has learned", IEEE TNNLS 28, 2017. Both
    ends count: the unmasked image, whose term is 0, and the last step. Steps weigh alike wherever their fractions lie.

    Args:
        curve: (..., L + 1) values after 0 ... L steps, the first without any masking.

    Returns:
        A float for one curve, else an array of the leading axes: how far masking lowers y on average. NaN where a
        value is.

    Raises:
        ValueError: fewer than two values per curve.
    """
    values = _curves(curve, "curve")
    if values.shape[-1] < 2:
        raise ValueError(f"curve: expected the unmasked value and at least one step, got shape {values.shape}")
    return (values[..., :1] - values).mean(axis=-1)[()]


def area_between(lerf: ArrayLike, morf: ArrayLike, fractions: ArrayLike) -> Any:
    """Area between the LeRF and the MoRF curve over fractions 0 to 1, by the trapezoid rule.

    At fractions 0 and 1 both strategies show the same picture, so their difference there is 0. Both ends are included
    with that 0, whether `fractions` names them or not; values given for them are not looked at (the SROCC of fully
    masked images, all alike, is undefined).

    Args:
        lerf, morf: (..., k) values at the fractions, least and most relevant pixels masked first.
        fractions: (k,) ascending, 0 to 1.

    Returns:
        A float for one pair of curves, else an array of the leading axes: positive where masking irrelevant regions
        leaves y higher than masking relevant ones, in units of y. NaN where a value inside is.

    Raises:
        ValueError: fractions that do not ascend in [0, 1] or do not fit the curves.
    """
    at = np.asarray(fractions, np.float64)
    if at.ndim != 1 or at.size == 0 or (np.diff(at) <= 0).any() or not (at[0] >= 0 and at[-1] <= 1):
        raise ValueError(f"fractions: expected ascending shares from 0 to 1, got {fractions!r}")
    least, most = _curves(lerf, "lerf"), _curves(morf, "morf")
    if least.shape[-1] != at.size or most.shape[-1] != at.size:
        raise ValueError(f"lerf {least.shape}, morf {most.shape}: expected (..., {at.size}) for {at.size} fractions")
    inside = (at > 0) & (at < 1)
    difference = (least - most)[..., inside]
    ends = np.zeros((*difference.shape[:-1], 1))
    closed = np.concatenate([ends, difference, ends], axis=-1)
    return np.trapezoid(closed, np.r_[0, at[inside], 1], axis=-1)[()]


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """A statistic of all images, and of the same resamples of the images for every entry.

    Attributes:
        value: (...) of the images themselves.
        draws: (n_boot, ...) of the resamples; NaN where undefined.
    """

    value: NDArray[np.float64]
    draws: NDArray[np.float64]

    def apply(self, function: Callable[[NDArray[np.float64]], ArrayLike]) -> "Bootstrapped":
        """A function of the statistic, on the images and on every resample; it takes (..., axes of `value`) with any
        leading axes, so it counts axes from the last."""
        return Bootstrapped(np.asarray(function(self.value)), np.asarray(function(self.draws)))

    def interval(self, confidence: float = 0.95) -> tuple[Any, Any]:
        """Percentile bootstrap interval: (low, high), each of `value`'s shape, enclose this share of the resamples.

        Resamples that are NaN are left out; NaN where all are.

        Raises:
            ValueError: confidence outside (0, 1).
        """
        if not 0 < confidence < 1:
            raise ValueError(f"confidence: expected a share in (0, 1), got {confidence}")
        ends = np.full((2, *self.value.shape), np.nan)
        defined = ~np.isnan(self.draws).all(axis=0)
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        ends[:, defined] = np.nanquantile(self.draws[:, defined], tails, axis=0)
        return ends[0][()], ends[1][()]

    def p(self) -> Any:
        """Two-sided p of "the value is 0": twice the share of resamples on the rarer side of 0; a 0 is on both sides.

        As a test of "no difference" apply a difference first. The observed sample counts as one more resample on each
        side, so that p is never 0 (Davison and Hinkley 1997, Bootstrap Methods, 4.4); at most 1. It says "0 lies
        outside the interval of confidence 1 - p". NaN where the value or every resample is.
        """
        below, above = (self.draws <= 0).sum(axis=0), (self.draws >= 0).sum(axis=0)
        count = (~np.isnan(self.draws)).sum(axis=0)
        shares = np.minimum(1, 2 * (np.minimum(below, above) + 1) / (count + 1))
        return np.where((count > 0) & ~np.isnan(self.value), shares, np.nan)[()]


def srocc_curve_bootstrap(
    predicted: ArrayLike, mos: ArrayLike, rng: np.random.Generator | int, n_boot: int = 1000
) -> Bootstrapped:
    """SROCC of any number of curves, with joint resamples of the images: curves of one call are paired.

    The area between the curves of several maps, and how the first differs from the second:

        curves = srocc_curve_bootstrap(scores, mos, rng)  # scores (maps, LeRF and MoRF, fractions, images)
        areas = curves.apply(lambda y: area_between(y[..., 0, :], y[..., 1, :], fractions))
        difference = areas.apply(lambda area: area[..., 0] - area[..., 1])
        difference.value, difference.interval(), difference.p()

    Args:
        predicted: (..., n) scores of the n images at each point of each curve.
        mos: (n,) mean opinion scores.
        rng, n_boot: as `paperlib.metrics.correlation.srocc_resamples`, which also says what is refused.

    Returns:
        The SROCC, `value` (...) and `draws` (n_boot, ...); NaN where all scores are equal.
    """
    return Bootstrapped(np.asarray(srocc(predicted, mos)), srocc_resamples(predicted, mos, rng, n_boot))


def _curves(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values)
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers of shape (..., k), got {array.dtype} of shape {array.shape}")
    return array.astype(np.float64)
