"""Intervals, paired tests and Holm's correction: SciPy's results, a plain second implementation, coverage by simulation,
missing and degenerate input."""

import math
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from paperlib.metrics.resampling import bootstrap_mean, compare_with, holm, paired_p


def values(images: int = 40, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 1.0, images) - 1.5


# ---- interval -------------------------------------------------------------------------------------------------------
def plain(sample: np.ndarray, n_resamples: int, confidence: float, seed: int) -> tuple[float, float, float]:
    """Low, high and p, resample by resample."""
    rng = np.random.default_rng(seed)
    n, mean, error = len(sample), sample.mean(), stats.sem(sample)
    ratios = []
    for _ in range(n_resamples):
        drawn = sample[rng.integers(0, n, n)]
        ratios.append((drawn.mean() - mean) / max(stats.sem(drawn), error / 5))
    below, above = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    student = stats.ttest_1samp(sample, 0)
    low, high = student.confidence_interval(confidence)
    rarer = min(np.sum(np.array(ratios) <= mean / error), np.sum(np.array(ratios) >= mean / error))
    p = max(student.pvalue, min(1, 2 * (rarer + 1) / (n_resamples + 1)))
    return min(low, mean - above * error), max(high, mean - below * error), p


@pytest.mark.parametrize("images", [2, 7, 64, 1500])
@pytest.mark.parametrize("confidence", [0.95, 0.8])
def test_interval_and_p_are_those_of_the_plain_way(images: int, confidence: float) -> None:
    sample = values(images)
    low, high, p = plain(sample, 399, confidence, seed=3)
    assert bootstrap_mean(sample, 399, confidence, seed=3) == pytest.approx((low, high), rel=1e-9)
    assert paired_p(sample, 399, seed=3) == pytest.approx(p, rel=1e-9)


def test_of_normal_values_it_is_students() -> None:
    """Quantiles of a normal population: nothing is skewed, no tail is heavy, and only chance of the resamples remains."""
    sample = stats.norm.ppf((np.arange(40) + 0.5) / 40) + 0.2
    student = stats.ttest_1samp(sample, 0)
    assert bootstrap_mean(sample, 20_000) == pytest.approx(tuple(student.confidence_interval()), abs=0.02)
    assert paired_p(sample, 20_000) == pytest.approx(student.pvalue, abs=0.01)


DRAWN: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], np.ndarray], float]] = {
    "normal": (lambda rng, size: rng.normal(0, 1, size), 0),
    "exponential": (lambda rng, size: rng.exponential(1, size), 1),
    "gamma, shape 1/2": (lambda rng, size: rng.gamma(0.5, 1, size), 0.5),
    "log-normal, sigma 1/2": (lambda rng, size: rng.lognormal(0, 0.5, size), math.exp(0.125)),
    "beta near its end": (lambda rng, size: rng.beta(5, 1, size), 5 / 6),
    "Laplace": (lambda rng, size: rng.laplace(0, 1, size), 0),
    "pairs right of 18": (lambda rng, size: rng.binomial(18, 0.89, size) / 18, 0.89),
}


@pytest.mark.parametrize("images", [10, 20, 40, 300])
@pytest.mark.parametrize("population", DRAWN)
def test_the_interval_covers_and_the_test_holds_its_size(population: str, images: int) -> None:
    """2,000 samples; allowed on top of .93-.97 and .06: three standard errors of a share of 2,000."""
    draw, mean = DRAWN[population]
    samples = draw(np.random.default_rng(11), (2000, images)) - mean
    low, high = bootstrap_mean(samples, 1000)
    covered = np.mean((low <= 1e-12) & (high >= -1e-12))
    rejected = np.mean(paired_p(samples, 1000) <= 0.05)
    chance = 3 * math.sqrt(0.05 * 0.95 / 2000)
    assert 0.93 - chance <= covered <= 0.97 + chance
    assert rejected <= 0.06 + chance


def test_rows_equal_one_by_one_and_images_without_a_value_are_left_out() -> None:
    table = np.stack([values(30, seed) for seed in range(5)])
    table[1, [3, 8]] = np.nan
    table[3, [3, 8]] = np.nan
    table[4, 5:] = np.nan
    low, high = bootstrap_mean(table, 300)
    p = paired_p(table, 2000)
    for k, row in enumerate(table):
        present = row[~np.isnan(row)]
        assert (low[k], high[k]) == pytest.approx(bootstrap_mean(present, 300), rel=1e-12)
        assert p[k] == paired_p(present, 2000) == paired_p(row, 2000)


def test_too_few_images_have_no_interval_and_equal_ones_no_width() -> None:
    for short in ([1.5], [np.nan, 1.5], [np.nan]):
        assert all(math.isnan(end) for end in bootstrap_mean(short))
    low, high = bootstrap_mean([[1.0, np.nan], [1.0, 3.0]])
    assert np.isnan(low[0]) and np.isnan(high[0])
    assert (low[1], high[1]) == pytest.approx(tuple(stats.ttest_1samp([1, 3], 0).confidence_interval()))
    assert bootstrap_mean([1e9 + 0.1] * 9) == (1e9 + 0.1, 1e9 + 0.1), "equal values: no width"


# ---- test -----------------------------------------------------------------------------------------------------------
def test_p_of_few_of_equal_and_of_no_images() -> None:
    assert paired_p([5]) == paired_p([0, 0, 0]) == paired_p(np.zeros(40), 99) == 1
    assert paired_p([2.5] * 4) == paired_p([-2.5] * 4) == 1 / 8, "the sign test: 2 of 16 patterns are as one-sided"
    assert math.isnan(paired_p([np.nan, np.nan]))
    assert paired_p(np.linspace(1, 2, 40), 999) == 2 / 1000, "the observed sample counts among the resamples"


@pytest.mark.parametrize("images", [5, 12, 60])
def test_p_is_where_the_interval_reaches_nothing(images: int) -> None:
    sample = values(images, 4) + 0.3
    p = paired_p(sample, 5000)
    for confidence, outside in ((1 - 1.1 * p, True), (1 - 0.9 * p, False)):
        low, high = bootstrap_mean(sample, 5000, confidence)
        assert (low > 0 or high < 0) == outside


# ---- many images ----------------------------------------------------------------------------------------------------
def test_memory_stays_bounded_and_rows_do_not_see_each_other() -> None:
    table = np.random.default_rng(0).normal(0.02, 1, (3, 5000))
    tracemalloc.start()
    interval, p = bootstrap_mean(table, 1000), paired_p(table, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40e6  # all resamples at once would be 40 MB each for draws and counts
    for row, low, high, one in zip(table, *interval, p, strict=True):
        assert bootstrap_mean(row, 1000) == pytest.approx((low, high), abs=1e-15) and paired_p(row, 1000) == one


# ---- Holm -----------------------------------------------------------------------------------------------------------
def test_holm_by_hand() -> None:
    # four p-values times 4, 3, 2, 1 in rising order: .005*4, .01*3, .03*2, then .04*1 is lifted to .06
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02], rtol=1e-12)
    np.testing.assert_allclose(holm([0.02]), [0.02])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1, 1])
    assert holm([]).shape == (0,)
    np.testing.assert_allclose(holm([np.nan, 0.01, np.nan, 0.02]), [np.nan, 0.02, np.nan, 0.02])


def test_holm_rejects_step_by_step() -> None:
    """Against the procedure as Holm wrote it: go up while p <= alpha / (tests left), stop at the first that is not."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        p, alpha = rng.random(rng.integers(1, 9)) ** 3, 0.1
        rejected = np.zeros(p.size, bool)
        for step, index in enumerate(np.argsort(p)):
            if p[index] > alpha / (p.size - step):
                break
            rejected[index] = True
        np.testing.assert_array_equal(holm(p) <= alpha, rejected)


# ---- comparison -----------------------------------------------------------------------------------------------------
def test_comparison_with_the_reference() -> None:
    rng = np.random.default_rng(0)
    prior = rng.normal(0.5, 0.2, 60)
    others = {
        "better": prior + rng.normal(0.05, 0.02, 60),
        "noise": prior + rng.normal(0, 0.02, 60),
        "same": prior.copy(),
        "empty": np.full(60, np.nan),
    }
    others["better"][7] = np.nan
    records = {record["name"]: record for record in compare_with(prior, others, n_resamples=2000)}
    assert list(records) == list(others)
    better = records["better"]
    kept = np.delete(others["better"] - prior, 7)
    assert better["images"] == 59
    assert better["difference"] == pytest.approx(kept.mean())
    assert (better["low"], better["high"]) == pytest.approx(bootstrap_mean(kept, 2000))
    assert better["p"] == paired_p(kept, 2000) == 2 / 2001
    assert better["p_holm"] == pytest.approx(3 * better["p"])  # "empty" is no test
    assert better["survives"] is True
    assert not records["noise"]["survives"]
    nothing = dict.fromkeys(("difference", "low", "high"), 0)
    assert records["same"] == {"name": "same", "images": 60, **nothing, "p": 1, "p_holm": 1, "survives": False}
    assert math.isnan(records["empty"]["difference"]) and math.isnan(records["empty"]["p_holm"])
    assert records["empty"]["images"] == 0 and records["empty"]["survives"] is False


def test_correction_takes_the_weak_differences_back() -> None:
    rng = np.random.default_rng(1)
    reference = np.zeros(12)
    weak = np.linspace(-0.5, 1.5, 12)
    alone = compare_with(reference, {"weak": weak})[0]
    assert alone["survives"]
    among = compare_with(reference, {"weak": weak} | {f"none {k}": rng.normal(size=12) for k in range(9)})
    assert among[0]["p"] == alone["p"] and not among[0]["survives"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_mean([]), "values: expected real numbers"),
        (lambda: bootstrap_mean(np.ones((2, 2, 2))), "values: expected real numbers"),
        (lambda: bootstrap_mean([1.0, np.inf]), "got infinity"),
        (lambda: bootstrap_mean(["a"]), "real numbers"),
        (lambda: bootstrap_mean([1, 2], 0), "n_resamples"),
        (lambda: bootstrap_mean([1, 2], confidence=1.0), "confidence"),
        (lambda: paired_p([1, -np.inf]), "differences: .*infinity"),
        (lambda: paired_p([1, 2], 0), "n_resamples"),
        (lambda: holm([0.5, 1.5]), "p_values"),
        (lambda: holm([[0.5]]), "p_values"),
        (lambda: compare_with([1, 2], {}), "at least one method"),
        (lambda: compare_with([1, 2], {"a": [1, 2, 3]}), "a: expected the reference's shape"),
        (lambda: compare_with([[1, 2]], {"a": [[1, 2]]}), "reference"),
        (lambda: compare_with([1, 2], {"a": [1, 2]}, alpha=0), "alpha"),
        (lambda: compare_with([1, 2], {"a": [1, np.inf]}), "a: .*infinity"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
