"""Agreement of many methods at once, beside loops over SciPy's functions, and by hand."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, rankdata, spearmanr

from paperlib.metrics.agreement import Agreement, per_image, rank_intervals, summarise

MEASURES = ("srocc", "plcc", "fraccp", "fraccp_at_rates")
RATES = np.repeat([0.08, 0.12, 0.16], 4)
METHODS, IMAGES = 5, 7


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(IMAGES, 12))


@pytest.fixture(scope="module")
def scores(truth: np.ndarray) -> np.ndarray:
    """From good to bad; the third method is rounded, so that it has ties."""
    noise = np.random.default_rng(2).normal(size=(METHODS, IMAGES, 12))
    scores = truth + noise * np.array([0.2, 0.5, 1, 2, 8])[:, None, None]
    scores[2] = np.round(scores[2])
    return scores


@pytest.fixture(scope="module")
def found(scores: np.ndarray, truth: np.ndarray) -> Agreement:
    return per_image(scores, truth, RATES)


def looped(scores: np.ndarray, truth: np.ndarray, statistic: Callable) -> np.ndarray:
    return np.array([[statistic(*pair) for pair in zip(method, truth, strict=True)] for method in scores])


def concordant(x: np.ndarray, y: np.ndarray) -> float:
    pairs = [(i, j) for i, j in combinations(range(len(x)), 2) if y[i] != y[j]]
    return float(np.mean([np.sign(x[i] - x[j]) == np.sign(y[i] - y[j]) for i, j in pairs]))


# ---- per image ------------------------------------------------------------------------------------------------------
def test_correlations_are_scipys(found: Agreement, scores: np.ndarray, truth: np.ndarray) -> None:
    np.testing.assert_allclose(found.srocc, looped(scores, truth, lambda x, y: spearmanr(x, y)[0]), atol=1e-12)
    np.testing.assert_allclose(found.plcc, looped(scores, truth, lambda x, y: pearsonr(x, y)[0]), atol=1e-12)


def test_concordant_pairs_by_loops(found: Agreement, scores: np.ndarray, truth: np.ndarray) -> None:
    for place, rate in enumerate((0.08, 0.12, 0.16)):
        chosen = rate == RATES
        expected = looped(scores[..., chosen], truth[:, chosen], concordant)
        np.testing.assert_allclose(found.fraccp_at_rates[..., place], expected, atol=1e-12)
        tau = looped(scores[:2, :, chosen], truth[:, chosen], lambda x, y: kendalltau(x, y)[0])
        np.testing.assert_allclose(found.fraccp_at_rates[:2, :, place], (tau + 1) / 2, atol=1e-12)  # without ties
    np.testing.assert_allclose(found.fraccp, found.fraccp_at_rates.mean(axis=-1), atol=1e-12)


def test_versions_may_come_in_any_order(found: Agreement, scores: np.ndarray, truth: np.ndarray) -> None:
    order = np.random.default_rng(3).permutation(12)
    again = per_image(scores[..., order], truth[:, order], RATES[order])
    for name in MEASURES:
        np.testing.assert_allclose(getattr(again, name), getattr(found, name), atol=1e-12)
    alone = per_image(np.broadcast_to(RATES, truth.shape), truth, RATES)
    assert (alone.fraccp == 0).all() and alone.srocc.shape == (1, IMAGES), "the rate orders no pair of its own group"


def test_equal_subjective_scores_are_left_out() -> None:
    truth = np.array([[1.0, 1, 2, 3], [2, 2, 2, 2]])
    found = per_image(np.array([[[5.0, 6, 7, 8]] * 2]), truth, [1, 1, 2, 2])
    np.testing.assert_array_equal(found.fraccp_at_rates[0], [[np.nan, 1], [np.nan, np.nan]])
    np.testing.assert_array_equal(found.fraccp[0], [1, np.nan])
    np.testing.assert_array_equal(np.isnan(found.srocc[0]), [False, True])


def test_a_method_without_some_images_speaks_of_the_others(scores: np.ndarray, truth: np.ndarray) -> None:
    holes = scores.copy()
    holes[1, 2, 5] = np.nan
    holes[1, 4] = np.nan
    found, rest = per_image(holes, truth, RATES), [0, 1, 3, 5, 6]
    alone = per_image(scores[1, rest], truth[rest], RATES)
    for name in MEASURES:
        values = getattr(found, name)
        np.testing.assert_array_equal(values[1, rest], getattr(alone, name)[0])
        assert np.isnan(values[1, [2, 4]]).all() and not np.isnan(np.delete(values, 1, axis=0)).any()
    shown = summarise(list("abcde"), found.srocc)
    assert [row["n"] for row in shown] == [7, 5, 7, 7, 7]
    assert shown[1] == summarise(["b"], alone.srocc)[0]


def test_signs_stay_unless_dropped(scores: np.ndarray, truth: np.ndarray, found: Agreement) -> None:
    turned = per_image(-scores, truth, RATES)
    np.testing.assert_allclose(turned.srocc, -found.srocc, atol=1e-12)
    dropped = per_image(-scores, truth, RATES, drop_sign=True)
    np.testing.assert_allclose(dropped.srocc, abs(found.srocc), atol=1e-12)
    np.testing.assert_allclose(dropped.plcc, abs(found.plcc), atol=1e-12)
    np.testing.assert_array_equal(dropped.fraccp, turned.fraccp)


@pytest.mark.parametrize(
    ("scores", "truth", "rates"),
    [
        (np.ones((2, 3, 5)), np.ones((3, 4)), np.ones(4)),
        (np.ones((3, 4)), np.ones((3, 4)), np.ones(3)),
        (np.ones(4), np.ones(4), np.ones(4)),
        (np.ones((3, 4)), np.ones((3, 4)), [1, 1, 1, 2]),
        (np.full((3, 4), np.inf), np.ones((3, 4)), np.ones(4)),
        (np.ones((3, 4)), np.full((3, 4), np.nan), np.ones(4)),
        (np.ones((3, 2)), np.ones((3, 2)), np.ones(2)),
    ],
)
def test_per_image_refuses(scores: np.ndarray, truth: np.ndarray, rates: list[int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        per_image(scores, truth, rates)


# ---- over images ----------------------------------------------------------------------------------------------------
def test_means_and_deviations(found: Agreement) -> None:
    shown = summarise(list("abcde"), found.plcc, n_resamples=500)
    for row, values in zip(shown, found.plcc, strict=True):
        assert row["value"] == pytest.approx(values.mean()) and row["sd"] == pytest.approx(values.std(ddof=1))
        assert row["low"] < row["value"] < row["high"] and row["n"] == IMAGES


def test_a_method_without_images_or_with_one() -> None:
    nothing, single = summarise(["a", "b"], [[np.nan] * 3, [np.nan, 0.5, np.nan]])
    assert nothing["n"] == 0 and np.isnan(nothing["value"])
    assert single["n"] == 1 and single["value"] == 0.5 and np.isnan([single["sd"], single["low"]]).all()


# ---- ranks ----------------------------------------------------------------------------------------------------------
def test_ranks_beside_a_loop(found: Agreement) -> None:
    seed, n = 5, 300
    result = rank_intervals(found.srocc, n, seed=seed)
    counts = np.random.default_rng(seed).multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), n)
    drawn = [np.repeat(np.arange(IMAGES), row) for row in counts]
    expected = np.array([rankdata(-found.srocc[:, images].mean(axis=1)) for images in drawn])
    np.testing.assert_array_equal(result.rank, rankdata(-found.srocc.mean(axis=1)))
    np.testing.assert_allclose([result.low, result.high], np.quantile(expected, [0.025, 0.975], axis=0))
    np.testing.assert_allclose(result.first, (expected == 1).mean(axis=0))
    assert result.images == IMAGES


def test_ranks_that_are_certain_and_ranks_that_are_not() -> None:
    same = np.random.default_rng(0).normal(size=30)
    result = rank_intervals([same + 9, same, same, np.random.default_rng(1).permutation(same)], 400)
    assert (result.rank[0], result.low[0], result.high[0], result.first[0]) == (1, 1, 1, 1)
    assert (result.low[3], result.high[3]) == (2, 4) and result.rank[1] == result.rank[2]


def test_ranks_are_taken_on_common_images() -> None:
    values = np.array([[9.0, 9, 0, 0, 0], [np.nan, np.nan, 1, 1, 1], [np.nan] * 5])
    result = rank_intervals(values, 50)
    np.testing.assert_array_equal(result.rank, [2, 1, np.nan])
    assert result.images == 3 and np.isnan(result.first[2]) and result.first[1] == 1


def test_what_cannot_be_ranked_or_compared() -> None:
    values = np.array([[1.0, np.nan, 2], [np.nan, 1, 2]])
    for attempt in (
        lambda: rank_intervals(values),
        lambda: rank_intervals([[np.nan] * 3]),
        lambda: rank_intervals([1.0, 2]),
        lambda: rank_intervals(np.ones((2, 3)), 0),
        lambda: rank_intervals(np.ones((2, 3)), confidence=1),
        lambda: rank_intervals(np.full((2, 3), np.inf)),
        lambda: summarise(["a"], values),
        lambda: summarise(["a", "a"], values),
    ):
        with pytest.raises(ValueError, match="expected"):
            attempt()
