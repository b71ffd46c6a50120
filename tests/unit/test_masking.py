"""Masks meet their fractions exactly and agree with the plainest possible reference."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paperlib.maps import masking


def reference(one: np.ndarray, fraction: float, strategy: str) -> np.ndarray:
    order = np.argsort(one, axis=None, kind="stable")
    count = round(fraction * one.size)
    chosen = order[:count] if strategy == "LeRF" else order[one.size - count:]
    return np.isin(np.arange(one.size), chosen).reshape(one.shape)


@settings(max_examples=60, deadline=None)
@given(
    maps=hnp.arrays(np.float32, (2, 5, 7), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    fraction=st.floats(0, 1), strategy=st.sampled_from(["LeRF", "MoRF"]),
)
def test_equal_to_the_reference_with_many_ties(maps, fraction, strategy):
    got = masking.masked(masking.ranks(maps), fraction, strategy)
    expected = np.stack([reference(one, fraction, strategy) for one in maps])
    assert np.array_equal(got, expected)
    assert (got.sum((1, 2)) == round(fraction * 35)).all()


@settings(max_examples=30, deadline=None)
@given(maps=hnp.arrays(np.float32, (1, 6, 6), elements=st.floats(-5, 5, width=32)), count=st.integers(0, 36))
def test_lerf_and_morf_are_complements(maps, count):
    rank = masking.ranks(maps)
    low = masking.masked(rank, count / 36, "LeRF")
    high = masking.masked(rank, (36 - count) / 36, "MoRF")
    assert np.array_equal(low, ~high)


def test_masks_grow_with_the_fraction():
    rank = masking.ranks(np.random.default_rng(0).random((3, 8, 8)))
    for strategy in ("LeRF", "MoRF"):
        masks = [masking.masked(rank, fraction, strategy) for fraction in np.linspace(0, 1, 9)]
        assert all((small <= large).all() for small, large in zip(masks, masks[1:], strict=False))


def test_fill_colours_by_hand():
    images = np.full((1, 2, 2, 3), 200, np.uint8)
    mask = np.array([[[True, False], [False, True]]])
    black, mean = masking.fill(images, mask, "black"), masking.fill(images, mask, "mean")
    assert black[0, 0, 0].tolist() == [0, 0, 0] and black[0, 0, 1].tolist() == [200, 200, 200]
    assert mean[0, 1, 1].tolist() == [124, 116, 104]
    assert (images == 200).all(), "the originals stay"


def test_fraction_zero_and_one():
    images = np.random.default_rng(1).integers(0, 255, (2, 4, 4, 3), np.uint8)
    rank = masking.ranks(np.zeros((2, 4, 4)))
    assert np.array_equal(masking.fill(images, masking.masked(rank, 0.0, "MoRF"), "black"), images)
    assert (masking.fill(images, masking.masked(rank, 1.0, "LeRF"), "black") == 0).all()


def test_blur_separates_equal_values():
    """The paper's reason to blur: quantiles of a map with few distinct values."""
    rng = np.random.default_rng(2)
    steps = np.kron(rng.integers(0, 5, (1, 8, 8)), np.ones((1, 8, 8))).astype(np.float32)
    assert len(np.unique(steps)) <= 5
    assert len(np.unique(masking.blur(steps, 2.0))) > 1000
    assert masking.blur(steps, 0.0) is not None and np.array_equal(masking.blur(steps, 0.0), steps)


def test_blur_agrees_with_torchvision():
    import torch
    from torchvision.transforms.functional import gaussian_blur

    maps = np.random.default_rng(3).random((2, 64, 96)).astype(np.float32)
    inner = (slice(None), slice(24, 40), slice(24, 72))
    padded = np.pad(maps, ((0, 0), (50, 50), (50, 50)), mode="reflect")
    expected = gaussian_blur(torch.from_numpy(padded), [101, 101], [3.0, 3.0]).numpy()[:, 50:-50, 50:-50]
    np.testing.assert_allclose(masking.blur(maps, 3.0)[inner], expected[inner], atol=1e-5)


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (lambda: masking.ranks(np.full((1, 2, 2), np.nan)), "NaN"),
        (lambda: masking.ranks(np.zeros((2, 2))), r"\(n, h, w\)"),
        (lambda: masking.blur(np.zeros((1, 2, 2)), -1), "sigma=-1"),
        (lambda: masking.masked(np.zeros((1, 2, 2), int), 1.5, "LeRF"), "fraction=1.5"),
        (lambda: masking.masked(np.zeros((1, 2, 2), int), 0.5, "best"), "best"),
        (lambda: masking.fill(np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 2, 2), bool), "red"), "red"),
        (lambda: masking.fill(np.zeros((1, 2, 2, 3), np.uint8), np.zeros((1, 3, 2), bool), "black"), "masks"),
    ],
)
def test_bad_input_is_named(call, complaint):
    with pytest.raises(ValueError, match=complaint):
        call()
