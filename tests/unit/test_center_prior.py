"""The centre prior: moments recovered, every image counts the same, nobody sees its own prior when left out."""

import numpy as np
import pytest
from paperlib.maps.center_prior import gaussian_center_prior, mean_density

ROWS, COLUMNS = np.mgrid[:60, :80]


def blob(y: float, x: float, sigma_y: float, sigma_x: float) -> np.ndarray:
    return np.exp(-0.5 * (((ROWS - y) / sigma_y) ** 2 + ((COLUMNS - x) / sigma_x) ** 2))


def test_mean_density_by_hand() -> None:
    densities = np.array([[[1.0, 0.0]], [[0.0, 50.0]], [[0.0, 2.0]]])
    np.testing.assert_allclose(mean_density(densities), [[0.5, 1.0]], rtol=1e-6)


def test_leaving_one_out_equals_the_mean_of_the_others() -> None:
    densities = np.random.default_rng(0).random((4, 6, 7))
    for prior in (mean_density, gaussian_center_prior):
        left_out = prior(densities, leave_one_out=True)
        for index in range(4):
            expected = prior(np.delete(densities, index, axis=0))
            np.testing.assert_allclose(left_out[index], expected, rtol=0, atol=1e-6)


def test_a_gaussian_is_recovered() -> None:
    truth = blob(28, 41, 6, 9)
    np.testing.assert_allclose(gaussian_center_prior([truth, 3 * truth]), truth, rtol=0, atol=3e-3)


def test_a_tilted_gaussian_is_recovered() -> None:
    along, across = (ROWS - 30) + (COLUMNS - 40), (ROWS - 30) - (COLUMNS - 40)
    truth = np.exp(-0.5 * ((along / 10) ** 2 + (across / 6) ** 2))
    np.testing.assert_allclose(gaussian_center_prior(truth[None]), truth, rtol=0, atol=8e-3)


def test_one_pixel_of_density_gives_a_narrow_gaussian() -> None:
    density = np.zeros((1, 9, 9))
    density[0, 3, 6] = 4
    prior = gaussian_center_prior(density)
    assert prior[3, 6] == 1
    assert prior.sum() < 1.2


@pytest.mark.parametrize("prior", [mean_density, gaussian_center_prior])
def test_a_stream_is_read_once_and_gives_the_same(prior) -> None:
    densities = np.random.default_rng(1).random((5, 8, 9)).astype(np.float32)
    streamed = prior(density for density in densities)
    np.testing.assert_array_equal(streamed, prior(densities))
    assert streamed.dtype == np.float32
    assert streamed.max() == 1


@pytest.mark.parametrize("prior", [mean_density, gaussian_center_prior])
@pytest.mark.parametrize(
    ("densities", "message"),
    [
        ([], "at least one"),
        ([np.ones((2, 3)), np.ones((3, 2))], "density 1: expected shape"),
        ([np.zeros((2, 3))], "density 0: .*some mass"),
        ([np.ones((2, 3)), -np.ones((2, 3))], "density 1: .*>= 0"),
        ([np.full((2, 3), np.nan)], "density 0: expected finite"),
        ([np.ones(3)], r"density 0: expected shape \(H, W\)"),
    ],
)
def test_bad_densities_are_refused(prior, densities: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        prior(densities)


@pytest.mark.parametrize("prior", [mean_density, gaussian_center_prior])
def test_leaving_one_out_needs_two(prior) -> None:
    with pytest.raises(ValueError, match="N >= 2"):
        prior(np.ones((1, 2, 3)), leave_one_out=True)
