"""The blur beside other people's, masks and masked pictures by hand."""

import cv2
import numpy as np
import pytest
import torch

from paperlib.maps import masking
from paperlib.maps.fills import FILLS, PAPER_FILLS, fill


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(0).random((2, 64, 96), dtype=np.float32)


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (2, 6, 8, 3), np.uint8)


# -------------------------------------------------------------------------------------------------------------- blur


@pytest.mark.parametrize(("sigma", "size"), [(2.0, 101), (5.0, 101), (3.0, 21), (40.0, 101)])
def test_blur_is_that_of_opencv_and_torchvision(maps, sigma, size):
    from torchvision.transforms.functional import gaussian_blur

    got = masking.blur(maps, sigma, size)
    for one, expected in zip(got, maps, strict=True):
        by_opencv = cv2.GaussianBlur(expected, (size, size), sigma, borderType=cv2.BORDER_REFLECT_101)
        np.testing.assert_allclose(one, by_opencv, rtol=0, atol=4e-6)
    by_torchvision = gaussian_blur(torch.from_numpy(maps)[:, None], [size, size], [sigma, sigma])[:, 0]
    np.testing.assert_allclose(got, by_torchvision, rtol=0, atol=4e-6)


def test_blur_separates_equal_values_and_reaches_far():
    """The paper's reason to blur: quantiles of a map with few distinct values; its kernel and a small sigma by default."""
    rng = np.random.default_rng(2)
    steps = np.kron(rng.integers(0, 5, (1, 8, 8)), np.ones((1, 8, 8))).astype(np.float32)
    assert len(np.unique(steps)) <= 5
    assert len(np.unique(masking.blur(steps))) > 1000
    np.testing.assert_array_equal(masking.blur(steps), masking.blur(steps, 2.0, 101))
    point = np.zeros((1, 99, 99), np.float32)
    point[0, 49, 49] = 1
    assert (np.diff(masking.blur(point)[0, 49, 49:69]) < 0).all(), "20 pixels are 10 standard deviations"
    np.testing.assert_array_equal(masking.blur(steps, 0), steps)


@pytest.mark.parametrize("shape", [(1, 64, 96), (1, 5, 7)])
def test_blur_leaves_constant_maps_constant(shape):
    """Also near borders and where the kernel is larger than the map: no ranks are made of rounding."""
    assert len(np.unique(masking.blur(np.full(shape, 0.3), 5.0))) == 1


# ------------------------------------------------------------------------------------------------------------- masks


def test_masks_by_hand():
    maps = np.array([[[3, 1, 2], [1, 5, 1]]])
    masks = masking.quantile_masks(maps, [1 / 6, 1 / 3, 0.5, 2 / 3])
    assert masks.of("LeRF", 1 / 3).astype(int).tolist() == [[[0, 1, 0], [1, 0, 0]]], "equal values in reading order"
    assert masks.of("LeRF", 2 / 3).astype(int).tolist() == [[[0, 1, 1], [1, 0, 1]]]
    assert masks.of("MoRF", 1 / 6).astype(int).tolist() == [[[0, 0, 0], [0, 1, 0]]]
    assert masks.of("MoRF", 2 / 3).astype(int).tolist() == [[[1, 0, 1], [0, 1, 1]]], "the last of equals first"


def test_more_fractions_than_a_byte_holds():
    values = np.random.default_rng(3).permutation(1000).reshape(1, 25, 40)
    fractions = [count / 1000 for count in range(1, 300, 2)]
    masks = masking.quantile_masks(values, fractions)
    assert masks.bands.dtype == np.int16
    for share in fractions:
        for strategy, expected in (("LeRF", values < 1000 * share), ("MoRF", values >= 1000 - 1000 * share)):
            np.testing.assert_array_equal(masks.of(strategy, share), expected)
            on_device = masks.as_bytes(torch.from_numpy(masks.bands), strategy, share)
            np.testing.assert_array_equal(on_device, 255 * expected.astype(np.uint8))


# ---------------------------------------------------------------------------------------------------------- variants


def test_variants_are_the_masked_images(images):
    assert FILLS[:2] == PAPER_FILLS == ("black", "mean"), "the paper's come first"
    maps = {"random": np.random.default_rng(2).random((2, 6, 8)), "equal": np.zeros((2, 6, 8))}
    masks = {name: masking.quantile_masks(values, (0.25, 0.5)) for name, values in maps.items()}
    steps = list(masking.variants(images, masks, FILLS, batch=1))
    assert [key for keys, _ in steps for key in keys] == [
        masking.Variant(name, strategy, fraction, filling)
        for name in maps
        for strategy in ("LeRF", "MoRF")
        for fraction in (0.25, 0.5)
        for filling in FILLS
    ]
    for (key,), pictures in steps:
        expected = fill(images, masks[key.map].of(key.strategy, key.fraction), key.fill)
        assert pictures.dtype == torch.uint8
        np.testing.assert_array_equal(pictures[0], expected)


def test_variants_come_in_batches_of_any_size(images):
    masks = {"map": masking.quantile_masks(np.random.default_rng(2).random((2, 6, 8)), (0.2, 0.6, 0.8))}
    single = torch.cat([pictures for _, pictures in masking.variants(images, masks)])
    assert single.shape == (12, 2, 6, 8, 3)
    for batch, sizes in ((7, [3, 3, 3, 3]), (10, [5, 5, 2]), (100, [12])):
        steps = list(masking.variants(images, masks, batch=batch))
        assert [len(keys) for keys, _ in steps] == [len(pictures) for _, pictures in steps] == sizes
        assert torch.equal(torch.cat([pictures for _, pictures in steps]), single)


def test_fraction_zero_is_the_image_and_fraction_one_tells_nothing(images):
    masks, before = {"map": masking.quantile_masks(np.random.default_rng(2).random((2, 6, 8)), (0, 1))}, images.copy()
    for (key,), pictures in masking.variants(images, masks, FILLS):
        if key.fraction == 0:
            np.testing.assert_array_equal(pictures[0], images)
        elif key.fill not in ("image_mean", "blur"):
            expected = (0, 0, 0) if key.fill == "black" else (124, 116, 104)
            assert (pictures[0] == torch.tensor(expected)).all()
        elif key.fill == "image_mean":
            assert all(len(np.unique(picture.reshape(-1, 3).numpy(), axis=0)) == 1 for picture in pictures[0])
        pictures.zero_()
        np.testing.assert_array_equal(images, before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_variants_on_a_gpu_are_the_same(images):
    masks = {"map": masking.quantile_masks(np.random.default_rng(2).random((2, 6, 8)), (0.25, 0.5))}
    here, there = (masking.variants(images, masks, FILLS, device=device, batch=8) for device in ("cpu", "cuda"))
    for (keys, expected), (same_keys, pictures) in zip(here, there, strict=True):
        assert keys == same_keys and pictures.device.type == "cuda"
        assert torch.equal(pictures.cpu(), expected)


# ------------------------------------------------------------------------------------------------------------ errors


def masks_of(shape: tuple[int, ...]) -> dict[str, masking.Masks]:
    return {"map": masking.quantile_masks(np.zeros(shape), [0.5])}


PICTURES = np.zeros((1, 2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: masking.quantile_masks(np.full((1, 2, 2), np.nan), [0.5]), "NaN"),
        (lambda: masking.quantile_masks(np.full((1, 2, 2), np.inf), [0.5]), "infinite"),
        (lambda: masking.quantile_masks(np.zeros((2, 2)), [0.5]), r"\(n, h, w\)"),
        (lambda: masking.quantile_masks(np.zeros((1, 2, 2), "U1"), [0.5]), "real numbers"),
        (lambda: masking.quantile_masks(np.zeros((1, 2, 2)), [0.5, 1.5]), "1.5"),
        (lambda: masking.quantile_masks(np.zeros((1, 2, 2)), [np.nan]), "nan"),
        (lambda: masking.quantile_masks(np.zeros((1, 2, 2)), []), "fractions"),
        (lambda: masking.blur(np.full((1, 2, 2), np.nan), 1), "NaN"),
        (lambda: masking.blur(np.zeros((1, 2, 2)), -1), "sigma=-1"),
        (lambda: masking.blur(np.zeros((1, 2, 2)), 1, 10), "kernel_size=10"),
        (lambda: masks_of((1, 2, 2))["map"].of("LeRF", 0.25), "fraction=0.25: these masks were made for 0.5"),
        (lambda: masks_of((1, 2, 2))["map"].of("best", 0.5), "best"),
        (lambda: masking.variants(PICTURES, masks_of((1, 2, 3))), "masks of map"),
        (lambda: masking.variants(PICTURES, masks_of((1, 2, 2)), fills=["red"]), "red"),
        (lambda: masking.variants(PICTURES.astype(float), masks_of((1, 2, 2))), "uint8"),
    ],
)
def test_bad_input_is_named_at_once(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
