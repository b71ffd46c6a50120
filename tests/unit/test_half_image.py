"""HalfImage with networks whose answer is known: a score that is the brightness of some squares."""

from math import comb

import numpy as np
import pytest
import torch

from paperlib.maps import half_image
from paperlib.maps.masking import variants

WEIGHTS = np.array([[1.0, 8, 2, 0], [4, 64, 16, 0], [0, 32, 0, 0]])


@pytest.fixture
def images() -> np.ndarray:
    """Two grey pictures whose 12 squares of 4 x 4 pixels have one level each."""
    levels = np.array([np.full((3, 4), 100), 50 + 10 * np.arange(12).reshape(3, 4)], np.uint8)
    return np.repeat(half_image.on_pixels(levels, 12, 16)[..., None], 3, axis=-1)


def weighted_brightness(pictures: torch.Tensor) -> torch.Tensor:
    """Sum over the squares of weight times mean level."""
    return torch.from_numpy((half_image.pool_to_grid(pictures[..., 0]) * WEIGHTS).sum((1, 2)))


def test_leave_one_out_finds_the_weights(images):
    importance = half_image.leave_one_out(weighted_brightness, images, fill="black")
    np.testing.assert_allclose(importance, WEIGHTS * half_image.pool_to_grid(images[..., 0]))
    toward_mean = half_image.leave_one_out(weighted_brightness, images, fill="mean")
    np.testing.assert_allclose(toward_mean, WEIGHTS * abs(124 - half_image.pool_to_grid(images[..., 0])))


def test_a_score_that_falls_counts_like_one_that_rises(images):
    falling = half_image.leave_one_out(lambda pictures: -weighted_brightness(pictures), images)
    np.testing.assert_array_equal(falling, half_image.leave_one_out(weighted_brightness, images))


def test_passes_are_batched(images):
    sizes = []

    def score(pictures: torch.Tensor) -> list[float]:
        assert pictures.dtype == torch.uint8 and pictures.shape[1:] == (12, 16, 3)
        sizes.append(len(pictures))
        return weighted_brightness(pictures).tolist()

    results = [half_image.leave_one_out(score, images, batch=batch) for batch in (1, 2, 8, 100)]
    assert sizes == [2] * 13 + [2] * 13 + [8, 8, 8, 2] + [26], "12 squares and the whole, of 2 pictures"
    for result in results:
        np.testing.assert_array_equal(result, results[0])


def test_all_halves():
    halves = half_image.all_halves()
    assert halves.shape == (comb(12, 6), 3, 4) == (924, 3, 4)
    assert (halves.sum((1, 2)) == 6).all() and len(np.unique(halves.reshape(924, 12), axis=0)) == 924
    assert halves[0].reshape(-1).tolist() == [True] * 6 + [False] * 6
    assert half_image.all_halves((1, 2)).tolist() == [[[True, False]], [[False, True]]]


def test_exhaustive_halves_find_the_heaviest_and_the_lightest(images):
    halves = half_image.exhaustive_halves(weighted_brightness, images, fill="black", batch=200)
    levels = half_image.pool_to_grid(images[..., 0])
    np.testing.assert_allclose(halves.whole, (levels * WEIGHTS).sum((1, 2)))
    np.testing.assert_allclose(halves.scores, np.einsum("mrc,nrc->nm", halves.kept, levels * WEIGHTS))
    heaviest = half_image.masked_cells(levels * WEIGHTS, 6, "MoRF")
    lost = np.abs(halves.scores - halves.whole[:, None])
    np.testing.assert_array_equal(halves.kept[lost.argmin(1)], heaviest)
    lightest = halves.kept[lost.argmax(1)]
    assert not lightest[:, 1, 1].any() and not lightest[:, 2, 1].any()


def test_pooling_by_hand():
    maps = np.arange(20.0).reshape(1, 4, 5)
    pooled = half_image.pool_to_grid(maps, (2, 2))
    assert pooled.tolist() == [[[3.0, 5.5], [13.0, 15.5]]], "columns 0-1 and 2-4"
    assert half_image.on_pixels(pooled, 4, 5)[0, 1].tolist() == [3.0, 3.0, 5.5, 5.5, 5.5]
    assert half_image.pool_to_grid(np.ones((2, 768, 1024))).shape == (2, 3, 4)


def test_squares_of_koniq_are_squares():
    cells = half_image.on_pixels(np.arange(12).reshape(1, 3, 4), 768, 1024)
    assert (np.bincount(cells.ravel()) == 256**2).all()
    assert cells[0, 255, 255] == 0 and cells[0, 256, 255] == 4 and cells[0, 255, 256] == 1


def test_cells_go_through_the_same_engine(images):
    importance = half_image.leave_one_out(weighted_brightness, images, fill="black")
    masks = half_image.cell_masks(importance, 12, 16)
    assert masks.fractions == tuple(k / 12 for k in range(1, 12))
    for (key,), pictures in variants(images, {"half image": masks}, ["black"]):
        removed = half_image.masked_cells(importance, round(12 * key.fraction), key.strategy)
        expected = half_image.pool_to_grid(images[..., 0]) * ~removed
        np.testing.assert_array_equal(half_image.pool_to_grid(pictures[0, ..., 0]), expected)


def test_masked_cells_by_hand():
    assert half_image.masked_cells(WEIGHTS[None], 2, "MoRF")[0].astype(int).tolist() == [
        [0, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 1, 0, 0],
    ]
    assert half_image.masked_cells(WEIGHTS[None], 2, "LeRF")[0].astype(int).tolist() == [
        [0, 0, 0, 1],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
    ], "equal ones in reading order"


PICTURES = np.zeros((1, 6, 8, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: half_image.all_halves((3, 3)), "even number of cells, got 9"),
        (lambda: half_image.pool_to_grid(np.zeros((6, 8))), r"\(n, h, w\)"),
        (lambda: half_image.pool_to_grid(np.zeros((1, 2, 8))), "1 to 2 parts of 2 pixels, got 3"),
        (lambda: half_image.on_pixels(np.zeros((3, 4)), 6, 8), r"\(n, rows, columns\)"),
        (lambda: half_image.on_pixels(np.zeros((1, 3, 4)), 6, 3), "1 to 3 parts of 3 pixels, got 4"),
        (lambda: half_image.masked_cells(np.zeros((1, 3, 4)), 13, "LeRF"), "fractions"),
        (lambda: half_image.masked_cells(np.full((1, 3, 4), np.nan), 6, "LeRF"), "NaN"),
        (lambda: half_image.masked_cells(np.zeros((3, 4)), 6, "LeRF"), r"\(n, h, w\)"),
        (lambda: half_image.masked_cells(np.zeros((1, 3, 4)), 6, "best"), "best"),
        (lambda: half_image.leave_one_out(lambda p: torch.zeros(len(p), 1), PICTURES), r"13 finite numbers"),
        (lambda: half_image.leave_one_out(lambda p: np.full(len(p), np.nan), PICTURES), "finite"),
        (lambda: half_image.leave_one_out(lambda p: p[:, 0, 0, 0], PICTURES, fill="red"), "red"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
