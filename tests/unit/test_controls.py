"""Edge energy and the data-free centre: values by hand, SciPy's filters, what must not matter."""

import numpy as np
import pytest
from scipy import ndimage

from paperlib.maps.controls import center_only, edge_energy_maps


def pictures(count: int = 2, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *shape, 3), np.uint8)


def test_a_ramp_has_its_slope_everywhere_inside() -> None:
    ramp = np.repeat(np.arange(0, 180, 3, dtype=np.uint8)[None, None, :, None], 40, 1).repeat(3, 3)
    np.testing.assert_allclose(edge_energy_maps(ramp, blur=0)[0, :, 1:-1], 3, rtol=1e-5)
    turned = ramp.transpose(0, 2, 1, 3)
    np.testing.assert_allclose(edge_energy_maps(turned, blur=0)[0, 1:-1], 3, rtol=1e-5)


@pytest.mark.parametrize("blur", [0, 1 / 40, 0.1])
def test_edges_are_those_of_scipy(blur: float) -> None:
    images = pictures()
    for image, energy in zip(images, edge_energy_maps(images, blur), strict=True):
        luma = image @ np.array([0.299, 0.587, 0.114])
        across, down = (ndimage.sobel(luma, axis, mode="mirror") / 8 for axis in (1, 0))
        expected = np.hypot(across, down)
        if blur:
            expected = ndimage.gaussian_filter(expected, blur * 40, mode="reflect", truncate=4)
        np.testing.assert_allclose(energy, expected, rtol=0, atol=0.02)


def test_brightness_does_not_matter_and_one_colour_has_no_edges() -> None:
    dark = pictures() // 2
    np.testing.assert_allclose(edge_energy_maps(dark + 100), edge_energy_maps(dark), rtol=0, atol=1e-3)
    energy = edge_energy_maps(np.full((1, 9, 9, 3), 77, np.uint8))
    assert energy.dtype == np.float32 and energy.shape == (1, 9, 9)
    np.testing.assert_allclose(energy, 0, atol=1e-4)


def test_center_by_hand() -> None:
    center = center_only(41, 81)
    assert center.dtype == np.float32 and center.shape == (41, 81)
    assert center[20, 40] == center.max() == 1
    # a quarter of the height or width from the middle is one standard deviation
    fine = center_only(401, 401)
    assert fine[300, 200] == pytest.approx(np.exp(-0.5), abs=2e-3)
    assert fine[200, 100] == pytest.approx(np.exp(-0.5), abs=2e-3)
    assert center_only(1, 1) == 1


@pytest.mark.parametrize("size", [(480, 640), (37, 20)])
def test_center_is_symmetric_and_falls_outwards(size: tuple[int, int]) -> None:
    center = center_only(*size)
    np.testing.assert_allclose(center, center[::-1, ::-1], rtol=1e-6)
    np.testing.assert_allclose(center, center[:, ::-1], rtol=1e-6)
    half = center[size[0] // 2 :]
    assert (np.diff(half, axis=0) < 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: edge_energy_maps(np.zeros((4, 5, 3), np.uint8)), "images: expected uint8"),
        (lambda: edge_energy_maps(np.zeros((1, 4, 5, 3))), "images: expected uint8"),
        (lambda: edge_energy_maps(np.zeros((1, 4, 5, 1), np.uint8)), "images: expected uint8"),
        (lambda: edge_energy_maps(np.zeros((1, 0, 5, 3), np.uint8)), "images: expected uint8"),
        (lambda: edge_energy_maps(pictures(), blur=-1), "blur"),
        (lambda: edge_energy_maps(pictures(), blur=np.nan), "blur"),
        (lambda: center_only(0, 5), "at least 1"),
        (lambda: center_only(5, -1), "at least 1"),
    ],
)
def test_bad_input_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
