"""SROCC, PLCC and FracCP: values by hand, ties, groups, degenerate input."""

import math

import numpy as np
import pytest

from paperlib.metrics.correlation import fraccp, group_means, plcc, ranks, srocc


def test_ranks_share_ties() -> None:
    np.testing.assert_array_equal(ranks([10, 30, 20, 20]), [1, 4, 2.5, 2.5])
    np.testing.assert_array_equal(ranks([[5, 5, 5], [3, 2, 1]]), [[2, 2, 2], [3, 2, 1]])
    np.testing.assert_array_equal(ranks([-0.0, 0.0, 1.0]), [1.5, 1.5, 3])


def test_srocc_and_plcc_by_hand() -> None:
    # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = 0, 1, 1, 0
    assert srocc([1, 2, 3, 4], [10, 300, 20, 4000]) == pytest.approx(1 - 6 * 2 / (4 * 15), abs=1e-15)
    assert srocc([1, 2, 3], [3, 2, 1]) == -1
    assert plcc([0, 1, 2], [0, 1, 5]) == pytest.approx(5 / math.sqrt(2 * 14), abs=1e-15)
    assert plcc([1e200, 2e200, 3e200], [1e-200, 2e-200, 3e-200]) == 1


def test_fraccp_by_hand() -> None:
    assert fraccp([1, 2, 3, 4], [1, 2, 4, 3]) == 5 / 6
    assert fraccp([4, 3, 2, 1], [1, 2, 3, 4]) == 0
    # a tie in the metric is not concordant; a tie in the subjective score is no pair
    assert fraccp([1, 1, 2], [1, 2, 3]) == 2 / 3
    assert fraccp([1, 2, 3], [1, 1, 2]) == 1
    assert fraccp([7, 7, 7], [1, 2, 3]) == 0
    assert math.isnan(fraccp([1, 2, 3], [5, 5, 5]))


def test_fraccp_inside_groups() -> None:
    scores, subjective = [1, 2, 10, 9, 5, 6, 7], [1, 2, 3, 4, 1, 2, 2]
    groups = ["a", "a", "b", "b", "c", "c", "c"]
    assert fraccp(scores, subjective, groups) == pytest.approx((1 + 0 + 1) / 3)
    # a group whose pairs have no order, and one with a single member, are left out
    assert fraccp([1, 2, 3, 4, 5], [1, 2, 7, 7, 0], [0, 0, 1, 1, 2]) == 1
    assert math.isnan(fraccp([1, 2], [1, 2], ["a", "b"]))


def test_groups_equal_a_reshaped_axis_and_any_order_of_items() -> None:
    rng = np.random.default_rng(0)
    scores, subjective = rng.normal(size=(5, 60, 3, 4)), rng.normal(size=(60, 3, 4))
    expected = fraccp(scores, subjective).mean(axis=(1, 2))
    order = rng.permutation(720)
    groups = np.repeat(np.arange(180), 4)[order]
    got = fraccp(scores.reshape(5, 720)[:, order], subjective.reshape(720)[order], groups)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("measure", [srocc, plcc, fraccp])
def test_many_methods_equal_one_by_one(measure) -> None:
    rng = np.random.default_rng(1)
    scores, subjective = rng.normal(size=(4, 6, 12)).round(1), rng.normal(size=(6, 12)).round(1)
    got = measure(scores, subjective)
    assert got.shape == (4, 6)
    for method in range(4):
        for image in range(6):
            assert got[method, image] == pytest.approx(measure(scores[method, image], subjective[image]), rel=1e-13)
    assert isinstance(measure(scores[0, 0], subjective[0]), float)


@pytest.mark.parametrize("measure", [srocc, plcc])
def test_a_constant_has_no_correlation(measure) -> None:
    assert math.isnan(measure([0.1, 0.1, 0.1], [1, 2, 3]))
    assert math.isnan(measure([1, 2, 3], [4, 4, 4]))
    got = measure([[1, 2, 3], [0.1, 0.1, 0.1]], [1, 2, 4])
    assert math.isfinite(got[0]) and math.isnan(got[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: srocc([1, 2], [1, 2]), "n >= 3"),
        (lambda: plcc([1, 2, 3], [1, 2]), "one length"),
        (lambda: fraccp([1], [1]), "n >= 2"),
        (lambda: plcc([1, 2, np.nan], [1, 2, 3]), "scores: expected finite values"),
        (lambda: srocc([1, 2, 3], [1, 2, np.inf]), "subjective scores: expected finite values"),
        (lambda: plcc(np.ones((2, 3)), np.ones((4, 3))), "broadcast"),
        (lambda: plcc(1.0, 2.0), "expected real numbers"),
        (lambda: srocc(["a", "b", "c"], [1, 2, 3]), "expected real numbers"),
        (lambda: fraccp([1, 2, 3], [1, 2, 3], [0, 0]), "groups: expected one label per item"),
        (lambda: group_means([1, 2, 3], [0]), "groups: expected one label per item"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_group_means() -> None:
    labels, means = group_means([[1, 2, 3, 6], [0, 0, 4, 2]], ["b", "a", "b", "a"])
    assert labels.tolist() == ["a", "b"]
    np.testing.assert_array_equal(means, [[4, 2], [1, 2]])
