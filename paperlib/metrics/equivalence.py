"""Are two methods equivalent within a margin? Two one-sided t tests (TOST), for repeated trainings. NumPy and SciPy.

"Without quality drops" is a claim of equality, which a test that finds no difference cannot support. TOST turns the
burden round: the null hypothesis is a difference of the margin or more, and it must be rejected on both sides.

The values are one per repeat (a training with its own seed). Repeats that share a test set tell how trainings vary, not
how other pictures would: pair with intervals over pictures (`paperlib.metrics.perturbation.srocc_curve_bootstrap`).
"""

import math
from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

MARGIN = 0.01
"""Of SROCC or PLCC: what a reader of the third decimal would call no drop."""


class Equivalence(TypedDict):
    """Outcome of `tost`; differences are first minus second.

    `low` and `high` bound the interval of confidence 1 - 2 alpha, which lies inside the margin exactly where the
    verdict is "equivalent". `p` is the larger of `p_lower` (null hypothesis: the difference is -margin or less; small
    means "no worse") and `p_upper` (it is margin or more). `verdict` is "equivalent"; "lower" or "higher" where the
    interval lies beyond the margin; else "inconclusive".
    """

    difference: float
    low: float
    high: float
    p: float
    p_lower: float
    p_upper: float
    df: float
    margin: float
    verdict: str


def tost(first: ArrayLike, second: ArrayLike, margin: float = MARGIN, alpha: float = 0.05) -> Equivalence:
    """Two one-sided t tests of the mean of paired differences (Schuirmann 1987; Lakens 2017).

    Args:
        first, second: (n,) values of two methods, one per repeat; value i of both shares the repeat's seed and split.
        margin: differences smaller than this count as none.
        alpha: chance to call two methods equivalent that differ by the margin.

    Returns:
        See `Equivalence`. Without any spread p is 0 for differences inside the margin and 1 on it or beyond.

    Raises:
        ValueError: fewer than two values, other shapes, NaN or infinite values, unequal counts of paired values, a
            margin that is not positive, alpha outside (0, .5).
    """
    from scipy.special import stdtrit

    one, two = _values(first, "first"), _values(second, "second")
    if not (0 < margin < math.inf and 0 < alpha < 0.5):
        raise ValueError(f"expected margin > 0 and alpha in (0, .5), got {margin} and {alpha}")
    if one.size != two.size:
        raise ValueError(f"paired values: expected as many of both, got {one.size} and {two.size}")
    difference, df = float((one - two).mean()), one.size - 1.0
    error = float((one - two).std(ddof=1)) / math.sqrt(one.size)
    p_lower, p_upper = _upper_tail(difference + margin, error, df), _upper_tail(margin - difference, error, df)
    reach = float(stdtrit(df, 1 - alpha)) * error
    low, high = difference - reach, difference + reach
    p = max(p_lower, p_upper)
    verdict = "equivalent" if p < alpha else "lower" if high < -margin else "higher" if low > margin else "inconclusive"
    return Equivalence(
        difference=difference,
        low=low,
        high=high,
        p=p,
        p_lower=p_lower,
        p_upper=p_upper,
        df=df,
        margin=margin,
        verdict=verdict,
    )


def _values(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or array.size < 2 or not np.isfinite(array).all():
        raise ValueError(f"{name}: expected at least 2 finite values of shape (n,), got shape {array.shape}: {array}")
    return array


def _upper_tail(distance: float, error: float, df: float) -> float:
    """P(T >= distance / error) of Student's t."""
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    from scipy.special import stdtr

    return float(stdtr(df, -distance / error))
