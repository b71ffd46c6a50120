"""AOPC, the area between curves and the joint bootstrap, by hand and beside plain loops."""

import math

import numpy as np
import pytest

from paperlib.metrics.correlation import srocc, srocc_resamples
from paperlib.metrics.perturbation import Bootstrapped, aopc, area_between, srocc_curve_bootstrap


def test_aopc_by_hand():
    assert aopc([5, 4, 2, 1]) == pytest.approx((0 + 1 + 3 + 4) / 4)
    np.testing.assert_allclose(aopc([[1, 1, 1], [1, 0, 2]]), [0, 0])
    assert isinstance(aopc([1, 0]), float) and math.isnan(aopc([1, np.nan]))


def test_area_between_by_hand():
    # differences 0 (at 0), 0.4 (at 0.5), 0 (at 1): a triangle
    assert area_between([0.8], [0.4], [0.5]) == pytest.approx(0.5 * 1 * 0.4)
    # 0, .2 at .25, .6 at .5, 0 at 1
    assert area_between([0.9, 0.8], [0.7, 0.2], [0.25, 0.5]) == pytest.approx(0.025 + 0.1 + 0.15)
    assert area_between([0.4], [0.8], [0.5]) == pytest.approx(-0.2)
    # the ends do not depend on what is given there
    inside = area_between([0.9, 0.8], [0.7, 0.2], [0.25, 0.5])
    assert area_between([0.9, 0.9, 0.8, np.nan], [0.9, 0.7, 0.2, np.nan], [0, 0.25, 0.5, 1]) == pytest.approx(inside)
    assert math.isnan(area_between([np.nan, 0.8], [0.7, 0.2], [0.25, 0.5]))
    assert area_between([1.0, 2.0], [0.5, 3.0], [0, 1]) == 0


def test_areas_of_many_curves():
    rng = np.random.default_rng(0)
    lerf, morf = rng.random((2, 4, 3, 9))
    fractions = np.arange(1, 10) / 10
    areas = area_between(lerf, morf, fractions)
    assert areas.shape == (4, 3)
    closed = np.pad(lerf - morf, ((0, 0), (0, 0), (1, 1)))
    np.testing.assert_allclose(areas, closed.sum(-1) / 10, err_msg="equal steps: the sum times the step")
    np.testing.assert_allclose(areas[2, 1], area_between(lerf[2, 1], morf[2, 1], fractions))


def curves_and_mos(images: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Scores (maps 2, strategies 2, fractions 3, images) with ties, the first map's gap the wider."""
    rng = np.random.default_rng(5)
    mos = rng.normal(size=images)
    noise = np.array([[[0.2, 0.4, 0.8], [1, 2, 3]], [[0.4, 0.8, 1.5], [0.5, 1, 1.8]]])
    return (mos + noise[..., None] * rng.normal(size=(2, 2, 3, images))).round(1), mos


def test_every_resample_is_ranked_right_and_shared_by_all_curves():
    scores, mos = curves_and_mos()
    rows = np.random.default_rng(3).integers(0, 40, size=(50, 40))
    expected = srocc(np.moveaxis(scores[..., rows], -2, 0), mos[rows][:, None, None, None])
    boot = srocc_curve_bootstrap(scores, mos, 3, n_boot=50)
    np.testing.assert_allclose(boot.draws, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(boot.value, srocc(scores, mos))
    assert boot.interval()[0].shape == (2, 2, 3)
    alone = srocc_curve_bootstrap(scores[1, 0, 2], mos, np.random.default_rng(3), n_boot=50)
    assert alone.interval() == tuple(end[1, 0, 2] for end in boot.interval())
    assert alone.interval() == pytest.approx(np.quantile(expected[:, 1, 0, 2], [0.025, 0.975]))
    (low, high), (lower, higher) = alone.interval(0.5), alone.interval()
    assert lower < low < alone.value < high < higher


@pytest.mark.parametrize("images", [3, 10, 70])
def test_resamples_of_few_values_are_ranked_right(images):
    rng = np.random.default_rng(1)
    scores, mos = rng.integers(0, 9, (4, images)), rng.integers(0, 5, images)
    expected = srocc_resamples(scores, mos, 0, n_boot=100)
    assert expected.shape == (100, 4)
    rows = np.random.default_rng(0).integers(0, images, size=(100, images))
    plain = srocc(scores[:, rows], mos[rows]).T
    np.testing.assert_array_equal(np.isnan(expected), np.isnan(plain))
    np.testing.assert_allclose(expected, plain, rtol=0, atol=1e-12)


def test_difference_of_areas_is_paired():
    scores, mos = curves_and_mos(200)
    fractions = [0.25, 0.5, 0.75]
    boot = srocc_curve_bootstrap(scores, mos, 0, n_boot=500)
    areas = boot.apply(lambda curves: area_between(curves[..., 0, :], curves[..., 1, :], fractions))
    assert areas.value.shape == (2,) and areas.draws.shape == (500, 2)
    difference = areas.apply(lambda area: area[..., 0] - area[..., 1])
    low, high = difference.interval()
    assert 0 < low < difference.value < high and difference.p() == pytest.approx(2 / 501)
    same = areas.apply(lambda area: area[..., 0] - area[..., 0])
    assert same.interval() == (0, 0) and same.p() == 1
    lows, highs = areas.interval()
    assert high - low < (highs - lows).sum(), "narrower than the two intervals side by side"


def test_p_by_hand():
    draws = np.array([-1.0, 1, 2, 3, 4, 5, 6, 7, 8])[:, None] * [1, -1, 0] + [0, 0, 0.0]
    boot = Bootstrapped(np.array([4.0, -4.0, 0.0]), draws)
    np.testing.assert_allclose(boot.p(), [2 * (1 + 1) / 10, 2 * (1 + 1) / 10, 1])
    with_gap = Bootstrapped(np.array(4.0), np.array([1.0, 2, np.nan, 3]))
    assert with_gap.p() == pytest.approx(2 / 4) and with_gap.interval(0.5) == pytest.approx((1.5, 2.5))


def test_constant_scores_have_no_srocc():
    boot = srocc_curve_bootstrap(np.ones((1, 5)), np.arange(5), 0, n_boot=20)
    assert np.isnan(boot.value).all() and np.isnan(boot.draws).all()
    assert np.isnan(boot.interval()).all() and np.isnan(boot.p()).all()
    assert np.isnan(srocc_curve_bootstrap(np.ones(5), np.arange(5), 0).interval()).all()
    # resamples of three items are often constant; those are left out
    assert srocc_curve_bootstrap([1, 2, 3], [1, 2, 3], 0).interval() == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: aopc([1.0]), "at least one step"),
        (lambda: aopc(["a", "b"]), "real numbers"),
        (lambda: area_between([1, 2], [1, 2], [0.5, 0.2]), "ascending"),
        (lambda: area_between([1, 2], [1, 2], [0.5, 1.2]), "ascending shares from 0 to 1"),
        (lambda: area_between([1, 2], [1, 2], []), "fractions"),
        (lambda: area_between([1, 2, 3], [1, 2, 3], [0.2, 0.5]), r"\(\.\.\., 2\)"),
        (lambda: srocc_curve_bootstrap(np.ones((2, 4)), np.ones(5), 0), "one length"),
        (lambda: srocc_curve_bootstrap(np.ones((2, 4)), np.ones((2, 4)), 0), r"subjective scores of shape \(n,\)"),
        (lambda: srocc_curve_bootstrap([1, 2, np.nan], [1, 2, 3], 0), "finite"),
        (lambda: srocc_curve_bootstrap([1, 2, 3], [1, 2, 3], 0, n_boot=0), "n_boot"),
        (lambda: Bootstrapped(np.array(1.0), np.ones(3)).interval(1), "confidence"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
