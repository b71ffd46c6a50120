"""What must hold of masks, fills and cells for every map: beside the plainest possible reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paperlib.maps import half_image
from paperlib.maps.fills import FILLS, INPAINTING_FILLS, fill
from paperlib.maps.masking import quantile_masks, variants

SHAPES = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7))
WITH_TIES = st.sampled_from([-1.0, -0.0, 0.0, 0.25, 0.5])
PICTURE_SHAPES = st.tuples(st.integers(1, 2), st.integers(2, 7), st.integers(2, 7))
MAPS = SHAPES.flatmap(
    lambda shape: st.one_of(
        arrays(np.float32, shape, elements=WITH_TIES),
        arrays(np.float32, shape, elements=st.floats(-(2.0**100), 2.0**100, width=32)),
        arrays(np.float64, shape, elements=st.floats(-1e300, 1e300)),
        arrays(np.uint8, shape),
        arrays(np.float32, shape, elements=WITH_TIES, fill=st.just(0.5)),
        st.just(np.full(shape, 0.5)),
    )
)
FRACTIONS = st.lists(st.floats(0, 1), min_size=1, max_size=6)
STRATEGIES = st.sampled_from(["LeRF", "MoRF"])


def reference(one: np.ndarray, count: int, strategy: str) -> np.ndarray:
    order = np.argsort(one, axis=None, kind="stable")
    chosen = order[:count] if strategy == "LeRF" else order[one.size - count :]
    return np.isin(np.arange(one.size), chosen).reshape(one.shape)


@settings(deadline=None, max_examples=200)
@given(MAPS, FRACTIONS, STRATEGIES)
def test_masks_are_those_of_the_reference(maps, fractions, strategy):
    masks = quantile_masks(maps, fractions)
    for share in fractions:
        count = round(share * maps[0].size)
        got = masks.of(strategy, share)
        np.testing.assert_array_equal(got, [reference(one, count, strategy) for one in maps])
        assert (got.sum((1, 2)) == count).all()


@settings(deadline=None)
@given(MAPS, STRATEGIES)
def test_masks_grow_and_complement_each_other(maps, strategy):
    size = maps[0].size
    masks = quantile_masks(maps, [count / size for count in range(size + 1)])
    grown = np.zeros(maps.shape, bool)
    for count in range(size + 1):
        mask = masks.of(strategy, count / size)
        assert (mask | ~grown).all(), "what was masked stays masked"
        other = "MoRF" if strategy == "LeRF" else "LeRF"
        np.testing.assert_array_equal(mask, ~masks.of(other, (size - count) / size))
        grown = mask


@settings(deadline=None)
@given(st.data(), MAPS, FRACTIONS, st.integers(1, 40))
def test_masked_images_are_those_of_the_reference(data, maps, fractions, batch):
    images = data.draw(arrays(np.uint8, (*maps.shape, 3)))
    seen = set()
    for keys, pictures in variants(images, {"map": quantile_masks(maps, fractions)}, batch=batch):
        for key, got in zip(keys, pictures.numpy(), strict=True):
            count = round(key.fraction * maps[0].size)
            expected = images.copy()
            expected[np.stack([reference(one, count, key.strategy) for one in maps])] = (
                (0, 0, 0) if key.fill == "black" else (124, 116, 104)
            )
            np.testing.assert_array_equal(got, expected)
            seen.add(key)
    assert len(seen) == 4 * len(set(fractions))


@settings(deadline=None)
@given(st.data(), PICTURE_SHAPES, st.sampled_from(FILLS))
def test_fills_keep_the_rest_and_in_painting_does_not_see_what_it_hides(data, shape, name):
    mask = data.draw(arrays(bool, shape))
    images, others = (data.draw(arrays(np.uint8, (*shape, 3))) for _ in range(2))
    got = fill(images, mask, name)
    np.testing.assert_array_equal(got[~mask], images[~mask])
    if name in (*INPAINTING_FILLS, "black", "mean"):
        changed = np.where(mask[..., None], others, images)
        np.testing.assert_array_equal(fill(changed, mask, name), got)


GRIDS = st.tuples(st.integers(1, 4), st.integers(1, 5))


@settings(deadline=None)
@given(st.data(), GRIDS)
def test_cells_tile_the_picture(data, grid):
    height, width = (data.draw(st.integers(parts, 3 * parts + 2)) for parts in grid)
    cells = np.arange(grid[0] * grid[1]).reshape(1, *grid)
    pixels = half_image.on_pixels(cells, height, width)
    np.testing.assert_array_equal(np.unique(pixels), cells.reshape(-1))
    for row, column in ((pixels[0], cells[0]), (pixels[0].T, cells[0].T)):
        lengths = [(row[:, 0] == first).sum() for first in column[:, 0]]
        assert max(lengths) - min(lengths) <= 1, "cells differ by one pixel at most"
    values = data.draw(arrays(np.float64, (2, *grid), elements=st.floats(-100, 100)))
    pooled = half_image.pool_to_grid(half_image.on_pixels(values, height, width), grid)
    np.testing.assert_allclose(pooled, values, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(st.data(), GRIDS, STRATEGIES)
def test_cells_are_masked_whole(data, grid, strategy):
    cells = grid[0] * grid[1]
    importance = data.draw(arrays(np.float64, (2, *grid), elements=st.sampled_from([0.0, 0.5, 1.0])))
    masks = half_image.cell_masks(importance, 9, 11, range(cells + 1))
    for k in range(cells + 1):
        got = half_image.masked_cells(importance, k, strategy)
        np.testing.assert_array_equal(got, [reference(one, k, strategy) for one in importance])
        np.testing.assert_array_equal(masks.of(strategy, k / cells), half_image.on_pixels(got, 9, 11))


def test_the_reference_itself_by_hand():
    one = np.array([[2, 1], [1, 3]])
    assert reference(one, 1, "LeRF").tolist() == [[False, True], [False, False]]
    assert reference(one, 2, "MoRF").tolist() == [[True, False], [False, True]]
    with pytest.raises(ValueError, match="NaN"):
        quantile_masks(np.full((1, 2, 2), np.nan), [0.5])
