"""What masked pixels become, by hand and beside OpenCV."""

import cv2
import numpy as np
import pytest
import torch
from skimage import data

from paperlib.maps.fills import FILLS, INPAINTING_FILLS, byte_masks, fill, painter


@pytest.fixture(scope="module")
def photograph() -> np.ndarray:
    return cv2.resize(data.astronaut(), (80, 60), interpolation=cv2.INTER_AREA)[None]


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    noise = cv2.GaussianBlur(np.random.default_rng(0).random((60, 80), dtype=np.float32), (0, 0), 4)
    return (noise < np.quantile(noise, 0.4))[None]


def test_colours_by_hand():
    images = np.full((1, 2, 2, 3), 200, np.uint8)
    images[0, 0, 1] = (10, 20, 30)
    mask = np.array([[[True, False], [False, True]]])
    for name, expected in (("black", [0, 0, 0]), ("mean", [124, 116, 104]), ("image_mean", [152, 155, 158])):
        got = fill(images, mask, name)
        assert got[0, 0, 0].tolist() == got[0, 1, 1].tolist() == expected
        assert got[0, 0, 1].tolist() == [10, 20, 30] and got[0, 1, 0].tolist() == [200] * 3
    assert (images[0, 0, 0] == 200).all(), "the originals stay"


def test_blur_fill_grows_with_the_picture(photograph):
    everything = np.ones(photograph.shape[:3], bool)
    expected = cv2.GaussianBlur(photograph[0].astype(np.float64), (0, 0), 60 * 10 / 224)
    got = fill(photograph, everything, "blur")[0]
    inner = (slice(12, -12), slice(12, -12))  # OpenCV's default border is the same; its 8-bit blur rounds
    assert np.abs(got[inner] - expected[inner]).max() < 1.5


@pytest.mark.parametrize(("name", "flag"), [("telea", cv2.INPAINT_TELEA), ("navier_stokes", cv2.INPAINT_NS)])
def test_in_painting_is_that_of_opencv(photograph, mask, name, flag):
    hidden = mask[0].astype(np.uint8)
    got = fill(photograph, mask, name)[0]
    np.testing.assert_array_equal(got, cv2.inpaint(fill(photograph, mask, "mean")[0], hidden, 3, flag))
    seeing_what_it_hides = cv2.inpaint(photograph[0], hidden, 3, flag)
    assert np.abs(got.astype(int) - seeing_what_it_hides).max() <= 12


@pytest.mark.parametrize("name", INPAINTING_FILLS)
def test_in_painting_is_better_than_the_mean_colour_and_keeps_the_rest(photograph, mask, name):
    got = fill(photograph, mask, name)
    np.testing.assert_array_equal(got[~mask], photograph[~mask])

    def error(pictures: np.ndarray) -> float:
        return np.abs(pictures[mask].astype(float) - photograph[mask]).mean()

    assert error(got) < 0.6 * error(fill(photograph, mask, "image_mean"))


@pytest.mark.parametrize("name", INPAINTING_FILLS)
def test_in_painting_does_not_see_what_it_hides_and_paints_nothing_from_nothing(photograph, mask, name):
    """OpenCV's own does see it, near the border of the picture."""
    negative = np.where(mask[..., None], 255 - photograph, photograph)
    np.testing.assert_array_equal(fill(negative, mask, name), fill(photograph, mask, name))
    everything = np.ones(photograph.shape[:3], bool)
    assert (fill(photograph, everything, name) == [124, 116, 104]).all()


@pytest.mark.parametrize("name", FILLS)
def test_many_masks_of_many_images_are_each_mask_of_each_image_in_any_memory_order(photograph, mask, name):
    images = np.concatenate([photograph, photograph[:, ::-1]])
    masks = np.stack([mask, ~mask, mask[:, :, ::-1]])  # (3, 1, h, w)
    got = painter(images, name)(byte_masks(masks))
    assert got.shape == (3, 2, 60, 80, 3)
    for index, one in enumerate(masks):
        np.testing.assert_array_equal(got[index], fill(images, np.repeat(one, 2, axis=0), name))
    np.testing.assert_array_equal(fill(np.asfortranarray(photograph), mask, name), fill(photograph, mask, name))


def test_byte_masks():
    got = byte_masks(np.array([[[True, False]]]))
    assert got.dtype == torch.uint8 and got.tolist() == [[[[255] * 3, [0] * 3]]]


PICTURES = np.zeros((1, 2, 2, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: fill(PICTURES, np.zeros((1, 2, 2), bool), "red"), "red"),
        (lambda: fill(PICTURES, np.zeros((1, 3, 2), bool), "black"), "masks"),
        (lambda: fill(PICTURES.astype(float), np.zeros((1, 2, 2), bool), "black"), "uint8"),
        (lambda: fill(PICTURES[:, :1], np.zeros((1, 1, 2), bool), "telea"), "telea needs at least 2 x 2 pixels"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
