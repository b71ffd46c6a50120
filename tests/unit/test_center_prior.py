"""The centre prior: moments recovered, every image counts the same, parts of a data set add up."""

from dataclasses import astuple

import numpy as np
import pytest

from paperlib.maps.center_prior import GaussianPrior, gaussian_center_prior

ROWS, COLUMNS = np.mgrid[:60, :80]


def blob(y: float, x: float, sigma_y: float, sigma_x: float) -> np.ndarray:
    return np.exp(-0.5 * (((ROWS - y) / sigma_y) ** 2 + ((COLUMNS - x) / sigma_x) ** 2))


def test_a_gaussian_is_recovered_upright_and_tilted() -> None:
    truth = blob(28, 41, 6, 9)
    np.testing.assert_allclose(gaussian_center_prior([truth, 3 * truth]), truth, rtol=0, atol=3e-3)
    along, across = (ROWS - 30) + (COLUMNS - 40), (ROWS - 30) - (COLUMNS - 40)
    truth = np.exp(-0.5 * ((along / 10) ** 2 + (across / 6) ** 2))
    np.testing.assert_allclose(gaussian_center_prior(truth[None]), truth, rtol=0, atol=8e-3)


def test_one_pixel_of_density_gives_a_narrow_gaussian() -> None:
    density = np.zeros((1, 9, 9))
    density[0, 3, 6] = 4
    prior = gaussian_center_prior(density)
    assert prior[3, 6] == 1
    assert prior.sum() < 1.2


def test_a_stream_is_read_once_and_gives_the_same() -> None:
    densities = np.random.default_rng(1).random((5, 8, 9)).astype(np.float32)
    streamed = gaussian_center_prior(density for density in densities)
    np.testing.assert_array_equal(streamed, gaussian_center_prior(densities))
    assert streamed.dtype == np.float32
    assert streamed.max() == 1


# ---- one Gaussian for pictures of any size --------------------------------------------------------------------------
def test_equal_sizes_give_the_gaussian_in_pixels() -> None:
    densities = np.random.default_rng(0).random((5, 33, 47)) ** 6
    total = sum(map(GaussianPrior.of, densities), GaussianPrior())
    np.testing.assert_allclose(total.render(33, 47), gaussian_center_prior(densities), rtol=0, atol=1e-7)
    # by hand: mean and covariance of the mean density in pixels, a pixel's own variance of 1/12 included
    mean = (densities / densities.sum((1, 2), keepdims=True)).mean(0)
    y, x = np.mgrid[:33, :47]
    offsets = np.stack([(y - (mean * y).sum()).ravel(), (x - (mean * x).sum()).ravel()])
    covariance = (offsets * mean.ravel()) @ offsets.T + np.eye(2) / 12
    distance = np.einsum("ip,ij,jp->p", offsets, np.linalg.inv(covariance), offsets)
    expected = np.exp(-0.5 * distance).reshape(33, 47)
    np.testing.assert_allclose(total.render(33, 47), expected / expected.max(), rtol=0, atol=1e-6)


def test_the_same_shape_at_another_size() -> None:
    truth = blob(28, 41, 6, 9)
    small = truth.reshape(30, 2, 40, 2).mean((1, 3))
    prior = GaussianPrior.of(truth)
    np.testing.assert_allclose(astuple(GaussianPrior.of(small)), astuple(prior), rtol=0, atol=2e-4)
    np.testing.assert_allclose(prior.render(30, 40), small / small.max(), rtol=0, atol=0.02)
    large = prior.render(600, 800)
    peak = np.unravel_index(large.argmax(), large.shape)
    assert (peak[0] + 0.5) / 600 == pytest.approx((28 + 0.5) / 60, abs=2e-3)
    assert (peak[1] + 0.5) / 800 == pytest.approx((41 + 0.5) / 80, abs=2e-3)


def test_mixed_sizes_count_the_same_each() -> None:
    small, large = blob(30, 40, 5, 5)[::3, ::4], 100 * blob(10, 60, 6, 6)
    both = GaussianPrior.of(small) + GaussianPrior.of(large)
    assert both.mass == 2
    assert both.x / both.mass == pytest.approx((GaussianPrior.of(small).x + GaussianPrior.of(large).x) / 2)


def test_parts_add_up() -> None:
    densities = np.random.default_rng(1).random((6, 9, 8))
    parts = [GaussianPrior.of(density) for density in densities]
    others = sum(parts[:2] + parts[3:], GaussianPrior())
    expected = gaussian_center_prior(np.delete(densities, 2, axis=0))
    np.testing.assert_allclose(others.render(9, 8), expected, rtol=0, atol=1e-6)
    assert GaussianPrior(*astuple(others)) == others


def test_a_point_rendered_on_a_coarse_grid_is_one_pixel() -> None:
    point = np.zeros((480, 640))
    point[100, 333] = 1
    coarse = GaussianPrior.of(point).render(6, 8)
    assert coarse[1, 4] == 1 and coarse.sum() == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: GaussianPrior().render(4, 5), "at least one density"),
        (lambda: GaussianPrior.of(np.ones((4, 5))).render(0, 5), "at least 1"),
        *(
            (lambda densities=densities: gaussian_center_prior(densities), message)
            for densities, message in [
                ([], "at least one"),
                ([np.ones((2, 3)), np.ones((3, 2))], "density 1: expected shape"),
                ([np.zeros((2, 3))], "density 0: .*some mass"),
                ([np.ones((2, 3)), -np.ones((2, 3))], "density 1: .*>= 0"),
                ([np.full((2, 3), np.nan)], "density 0: expected finite"),
                ([np.ones(3)], r"density 0: expected shape \(H, W\)"),
            ]
        ),
        (lambda: GaussianPrior.of(np.full((4, 5), np.inf)), "finite"),
        (lambda: GaussianPrior.of(np.ones(5)), "shape"),
    ],
)
def test_bad_densities_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
