"""The micro-world tells the story that its docstring promises."""

import numpy as np
import pytest
from scipy import stats

from paperlib.datasets import microworld
from paperlib.datasets.world_pictures import ImageSet, open_world


@pytest.fixture(scope="module")
def world():
    return microworld.generate(400, 31)


def test_same_seed_same_bytes_and_other_seed_other_bytes():
    one, two, other = (microworld.generate(130, seed) for seed in (5, 5, 6))
    for key, value in one.to_arrays().items():
        assert np.array_equal(value, two.to_arrays()[key]), key
    assert not np.array_equal(one.images, other.images)


def test_first_chunks_do_not_depend_on_the_number_of_images():
    few, many = microworld.generate(125, 5), microworld.generate(250, 5)
    assert np.array_equal(few.images, many.images[:125])
    assert np.array_equal(few.mos["saliency"], many.mos["saliency"][:125])


def test_shapes_types_and_ranges(world):
    assert world.images.shape == (400, 64, 96, 3) and world.images.dtype == np.uint8
    assert world.density.shape == (400, 64, 96) and (world.density > 0).all()
    np.testing.assert_allclose(world.density.sum((1, 2)), 1, atol=1e-5)
    assert world.fixations.shape == (400, 90, 2)
    assert (world.fixations >= 0).all() and (world.fixations < (64, 96)).all()
    assert ((world.levels >= 0) & (world.levels <= 1)).all()
    assert set(world.family) == {"blur", "noise"}
    assert set(np.unique(world.category)) <= set(microworld.FAMILIAR)


def test_fixations_follow_the_density(world):
    """Mean density at the fixations is that of independent draws, E[p] = sum p^2, within 5 standard errors."""
    rows, columns = world.fixations[..., 0], world.fixations[..., 1]
    at_fixations = world.density[np.arange(len(world))[:, None], rows, columns]
    expected = (world.density.astype(float) ** 2).sum((1, 2))
    difference = at_fixations.mean(1) - expected
    assert abs(difference.mean()) < 5 * difference.std() / np.sqrt(len(world))


def test_saliency_observers_judge_the_subject_and_uniform_observers_the_surround(world):
    damage = {who: [stats.spearmanr(world.mos[who], -world.levels[:, at])[0] for at in (0, 1)] for who in world.mos}
    assert damage["saliency"][0] > 0.85 > damage["saliency"][1]
    assert damage["uniform"][1] > 0.9 > damage["uniform"][0]


def test_expected_score_is_one_minus_the_pooled_damage():
    """Without any distortion at the subject or around it the mean score is 1, up to the observers' own noise."""
    clean = microworld.generate(250, 3, level_beta=(1.0, 1e6), level_jitter=0.0)
    expected_sd = microworld.OBSERVER_SD / np.sqrt(microworld.OBSERVERS_PER_IMAGE)
    for scores in clean.mos.values():
        assert abs(scores.mean() - 1) < 5 * expected_sd / np.sqrt(250)
        assert abs(scores.std() - expected_sd) < 0.3 * expected_sd


def test_hollow_subjects_have_filled_gaze():
    rings = microworld.generate(125, 8, categories=(4,), center_bias=0.0)
    rows, columns = np.mgrid[0:64, 0:96]
    for mask, density in zip(rings.subject, rings.density, strict=True):
        weight = mask / mask.sum()
        y, x = int(round((weight * rows).sum())), int(round((weight * columns).sum()))
        if 20 < y < 44 and 24 < x < 72:
            assert mask[y, x] < 128, "the ring's middle is background"
            assert density[y, x] > 0.8 * density.max(), "but people look at the whole ring"


def test_center_bias_moves_gaze_to_the_centre():
    def share(bias):
        return microworld.generate(125, 4, center_bias=bias).density[:, 24:40, 36:60].sum((1, 2)).mean()

    assert share(0.0) < share(0.12) < share(0.6)


def test_two_subjects_split_the_gaze():
    one, two = (microworld.generate(125, 4, two_subjects=share) for share in (0.0, 1.0))
    assert (two.subject > 127).mean() > 1.3 * (one.subject > 127).mean()
    assert two.density.max((1, 2)).mean() < one.density.max((1, 2)).mean()


def test_scenes_do_not_depend_on_who_looks_or_what_is_damaged():
    blurred, noisy = (microworld.generate(60, 2, families=(family,)) for family in ("blur", "noise"))
    assert np.array_equal(blurred.subject, noisy.subject) and np.array_equal(blurred.density, noisy.density)
    assert not np.array_equal(blurred.images, noisy.images)


@pytest.mark.parametrize("family", microworld.FAMILIES)
def test_every_family_damages_more_at_a_higher_level(family):
    """Distance from the undistorted picture grows with the level."""
    settings = {"families": (family,), "level_jitter": 0.0}
    clean, mild, strong = (
        microworld.generate(50, 12, level_beta=beta, **settings).images.astype(float)
        for beta in ((1.0, 1e6), (300.0, 700.0), (1e6, 1.0))
    )
    assert 0 < np.abs(mild - clean).mean() < np.abs(strong - clean).mean()


def test_size_is_a_parameter():
    large = microworld.generate(20, 1, height=96, width=128)
    assert large.images.shape == (20, 96, 128, 3)
    np.testing.assert_allclose(large.density.sum((1, 2)), 1, atol=1e-5)


def test_storage_round_trip(world):
    again = ImageSet.from_arrays("world", world.to_arrays())
    assert np.array_equal(again.images, world.images) and np.array_equal(again.fixations, world.fixations)
    np.testing.assert_allclose(again.density, world.density, rtol=2e-3, atol=1e-8)
    assert again.mos.keys() == world.mos.keys()


def test_fixation_maps_count_every_fixation(world):
    assert {int(world.fixation_map(index).sum()) for index in range(len(world))} == {90}


def test_published_density_leaves_empty_places_as_real_data_sets_do(world):
    records = open_world(world.to_arrays()).records[:100]
    published = np.stack([record.load_published() for record in records])
    assert published.dtype == np.uint8 and (published.max((1, 2)) == 255).all()
    assert 0.4 < (published > 0).mean() < 0.7


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"n": 0}, "n=0"),
        ({"seed": -1}, "seed=-1"),
        ({"height": 16}, "too small"),
        ({"center_bias": 0.95}, "center_bias"),
        ({"families": ("snow",)}, "snow"),
        ({"families": ()}, "families"),
        ({"categories": (99,)}, "categories"),
        ({"two_subjects": 1.5}, "two_subjects"),
    ],
)
def test_bad_arguments_are_named(arguments, complaint):
    with pytest.raises(ValueError, match=complaint):
        microworld.generate(**({"n": 5, "seed": 0} | arguments))
