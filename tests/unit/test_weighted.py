"""PSNR, SSIM and their saliency-weighted forms: values by hand, invariances, degenerate input."""

import math

import numpy as np
import pytest

from paperlib.metrics.weighted import ew_psnr, ew_ssim, luma, psnr, ssim

RNG = np.random.default_rng(0)
REFERENCE = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
DISTORTED = np.clip(REFERENCE + RNG.normal(0, 12, REFERENCE.shape), 0, 255).astype(np.uint8)
SALIENCY = RNG.random((40, 50))


def test_luma_of_the_primaries() -> None:
    colours = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    expected = [16, 235, 16 + 65.481, 16 + 128.553, 16 + 24.966]
    np.testing.assert_allclose(luma(colours)[0], expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(luma(colours / 255)[0], expected, rtol=0, atol=1e-4)


def test_psnr_by_hand() -> None:
    black, grey = np.zeros((4, 5), np.uint8), np.full((4, 5), 51, np.uint8)
    assert psnr(grey, black) == pytest.approx(-10 * math.log10(0.04 + 1e-8), abs=1e-5)
    white = np.full((4, 5, 3), 255, np.uint8)
    assert psnr(white, np.zeros_like(white)) == pytest.approx(-20 * math.log10(219 / 255), abs=1e-5)
    x, y = np.array([[0.0, 0.0]]), np.array([[0.1, 0.4]])
    assert psnr(x, y, [[3.0, 1.0]]) == pytest.approx(-10 * math.log10((3 * 0.01 + 0.16) / 4 + 1e-8), abs=1e-5)
    assert ew_psnr(x, y, [[1, 0]]) == pytest.approx(20, abs=1e-5)


def test_identical_images() -> None:
    assert psnr(REFERENCE, REFERENCE) == pytest.approx(80)
    assert ssim(REFERENCE, REFERENCE) == 1
    assert ew_psnr(REFERENCE, REFERENCE, SALIENCY) == pytest.approx(80)
    assert ew_ssim(REFERENCE, REFERENCE, SALIENCY) == pytest.approx(1, abs=1e-6)


def test_ssim_by_hand() -> None:
    """Of two flat images it is the luminance term; it never falls below zero."""
    x, y = np.full((16, 16), 100, np.uint8), np.full((16, 16), 140, np.uint8)
    c1 = 2.55**2
    assert ssim(x, y) == pytest.approx((2 * 100 * 140 + c1) / (100**2 + 140**2 + c1), abs=1e-5)
    stripes = np.zeros((30, 30), np.uint8)
    stripes[:, ::2] = 255
    assert ssim(stripes, 255 - stripes) == 0


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_uniform_weights_and_scaled_weights(measure) -> None:
    plain = measure(DISTORTED, REFERENCE)
    assert measure(DISTORTED, REFERENCE, np.ones((40, 50))) == pytest.approx(plain, abs=1e-5)
    assert measure(DISTORTED, REFERENCE, np.full((40, 50), 255, np.uint8)) == pytest.approx(plain, abs=1e-5)
    weighted = measure(DISTORTED, REFERENCE, SALIENCY)
    assert abs(weighted - plain) > 1e-5
    for factor in (1e-30, 3.0, 1e30):
        assert measure(DISTORTED, REFERENCE, factor * SALIENCY) == pytest.approx(weighted, abs=1e-5)


@pytest.mark.parametrize("measure", [ew_psnr, ew_ssim])
def test_damage_counts_where_people_look(measure) -> None:
    damaged = REFERENCE.copy()
    damaged[:, :25] = 255 - damaged[:, :25]
    left, right = np.zeros((40, 50)), np.zeros((40, 50))
    left[:, :25], right[:, 25:] = 1, 1
    assert measure(damaged, REFERENCE, left) < measure(damaged, REFERENCE, right)


def test_weight_at_one_corner_still_has_a_value() -> None:
    corner = np.zeros((40, 50))
    corner[0, 0] = 1
    nearest = ssim(DISTORTED[:11, :11], REFERENCE[:11, :11])
    assert ssim(DISTORTED, REFERENCE, corner) == pytest.approx(nearest, abs=0.05)
    assert math.isfinite(psnr(DISTORTED, REFERENCE, corner))


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_images_equal_their_8_bit_form(measure, dtype: type) -> None:
    for x, y in ((DISTORTED, REFERENCE), (DISTORTED[..., 0], REFERENCE[..., 0])):
        floats = [(image / 255).astype(dtype) for image in (x, y)]
        assert measure(*floats) == pytest.approx(measure(x, y), abs=1e-5)


def test_layout_in_memory_does_not_matter() -> None:
    x, y = np.asfortranarray(DISTORTED), REFERENCE[::-1].copy()[::-1]
    assert psnr(x, y, SALIENCY.T.copy().T) == pytest.approx(psnr(DISTORTED, REFERENCE, SALIENCY), abs=1e-9)
    assert ssim(x, y, SALIENCY.T.copy().T) == pytest.approx(ssim(DISTORTED, REFERENCE, SALIENCY), abs=1e-9)


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": REFERENCE[:-1]}, "one shape"),
        ({"reference": REFERENCE / 255}, "one type"),
        ({"distorted": REFERENCE.astype(float), "reference": REFERENCE.astype(float)}, r"\[0, 1\]"),
        ({"distorted": REFERENCE.astype(np.int16), "reference": REFERENCE.astype(np.int16)}, "uint8 or floating"),
        ({"distorted": np.full((40, 50), np.nan), "reference": np.zeros((40, 50))}, r"\[0, 1\]"),
        ({"distorted": REFERENCE[..., :2], "reference": REFERENCE[..., :2]}, r"\(H, W, 3\) or \(H, W\)"),
        ({"distorted": REFERENCE[:0], "reference": REFERENCE[:0]}, r"\(H, W, 3\) or \(H, W\)"),
        ({"weights": SALIENCY[:-1]}, "weights: .*images' shape"),
        ({"weights": np.zeros((40, 50))}, "not all zero"),
        ({"weights": SALIENCY - 0.5}, ">= 0"),
        ({"weights": np.where(SALIENCY > 0.9, np.nan, SALIENCY)}, "finite"),
        ({"weights": np.where(SALIENCY > 0.9, np.inf, SALIENCY)}, "finite"),
        ({"weights": SALIENCY.astype(complex)}, "real numbers"),
    ],
)
def test_bad_input_is_refused(measure, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(**({"distorted": DISTORTED, "reference": REFERENCE} | change))


def test_ssim_refuses_images_below_its_window_and_luma_grey_ones() -> None:
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(REFERENCE[:10], REFERENCE[:10])
    assert ssim(DISTORTED[:11, :11], REFERENCE[:11, :11]) < 1
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        luma(REFERENCE[..., 0])
