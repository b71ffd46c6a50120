"""Two one-sided tests: equal to SciPy's t tests of shifted values, and of the right size on simulated data."""

import numpy as np
import pytest
from scipy import stats

from paperlib.metrics.equivalence import tost

RNG = np.random.default_rng(0)
FIRST, SECOND = 0.91 + 0.004 * RNG.normal(size=10), 0.909 + 0.006 * RNG.normal(size=10)


@pytest.mark.parametrize("margin", [0.002, 0.01, 0.1])
def test_equals_scipys_t_tests_of_shifted_values(margin: float) -> None:
    found = tost(FIRST, SECOND, margin)
    lower = stats.ttest_rel(FIRST + margin, SECOND, alternative="greater")
    upper = stats.ttest_rel(FIRST - margin, SECOND, alternative="less")
    assert (found["p_lower"], found["p_upper"]) == pytest.approx((lower.pvalue, upper.pvalue), rel=1e-9)
    assert found["p"] == max(found["p_lower"], found["p_upper"]) and found["df"] == pytest.approx(lower.df)
    interval = stats.ttest_rel(FIRST, SECOND).confidence_interval(0.9)
    assert (found["low"], found["high"]) == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_by_hand() -> None:
    """Differences 1, 2, 3: mean 2, standard error 1/sqrt 3; t of 2 df is distributed as 1/2 + t / (2 sqrt(2 + t^2))."""
    found = tost([1.0, 2, 3], [0.0, 0, 0], margin=5)
    t_upper = (5 - 2) * np.sqrt(3)
    assert found["p"] == found["p_upper"] == pytest.approx(0.5 - t_upper / (2 * np.sqrt(2 + t_upper**2)))
    assert found["verdict"] == "equivalent" and found["difference"] == 2


@pytest.mark.parametrize(
    ("shift", "verdict"), [(0.0, "equivalent"), (-0.05, "lower"), (0.05, "higher"), (0.009, "inconclusive")]
)
def test_verdicts(shift: float, verdict: str) -> None:
    noise = 0.002 * np.random.default_rng(3).normal(size=10)
    noise -= noise.mean()
    assert tost(0.9 + shift + noise, np.full(10, 0.9))["verdict"] == verdict


def test_without_spread_the_difference_decides() -> None:
    assert tost([0.5] * 3, [0.5] * 3, 0.25)["p"] == 0
    assert tost([0.75] * 3, [0.5] * 3, 0.25)["p"] == 1
    assert tost([1.0] * 3, [0.5] * 3, 0.25)["verdict"] == "higher"


@pytest.mark.parametrize("side", [-1, 1])
def test_size_at_the_border_is_alpha(side: int) -> None:
    """With a true difference of the margin, 5 % of verdicts are "equivalent", give or take simulation."""
    rng, runs = np.random.default_rng(11), 2000
    draws = 0.002 * rng.normal(size=(runs, 2, 10))
    wrong = sum(tost(a + side * 0.01, b)["verdict"] == "equivalent" for a, b in draws)
    assert abs(wrong / runs - 0.05) < 3 * np.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("first", "second", "options"),
    [
        ([0.9], [0.9], {}),
        ([0.9, 0.8], [0.9, 0.8, 0.7], {}),
        ([0.9, np.nan], [0.9, 0.8], {}),
        ([[0.9, 0.8]], [[0.9, 0.8]], {}),
        ([0.9, 0.8], [0.9, 0.8], {"margin": 0}),
        ([0.9, 0.8], [0.9, 0.8], {"alpha": 0.5}),
    ],
)
def test_refusals(first: list, second: list, options: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        tost(first, second, **options)
