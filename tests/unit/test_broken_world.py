"""The micro-world broken on purpose: damage and agreement against hand-made pictures and against the world itself."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from paperlib.datasets import microworld
from paperlib.datasets.world_pictures import ImageSet
from paperlib.experiments import broken_world
from paperlib.experiments.broken_world import EDGES, MAPS, NO, PRIOR, UNSURE, YES
from paperlib.maps.controls import edge_energy_maps


@pytest.fixture(scope="module")
def world() -> ImageSet:
    return microworld.generate(12, seed=5, height=32, width=48)


@pytest.mark.parametrize(("mask", "place"), [(255, 0), (0, 1)])
def test_damage_is_that_of_the_subject_where_the_subject_is(world: ImageSet, mask: int, place: int) -> None:
    found = broken_world.damage(replace(world, subject=np.full_like(world.subject, mask)))
    np.testing.assert_allclose(found, np.broadcast_to(world.levels[:, place, None, None], found.shape), atol=1e-6)


def test_the_scores_of_the_world_follow_from_its_damage(world: ImageSet) -> None:
    """All that is left is the noise of 15 observers."""
    seen = [one[tuple(places.T)].mean() for one, places in zip(broken_world.damage(world), world.fixations, strict=True)]
    left = 1 - np.array(seen) - world.mos["saliency"]
    assert np.sqrt(np.mean(left**2)) < 2 * microworld.OBSERVER_SD / np.sqrt(microworld.OBSERVERS_PER_IMAGE)


def test_where_people_look_at_edges_the_edges_agree_entirely(world: ImageSet) -> None:
    (cc,) = broken_world.agreement({"edges": (world, edge_energy_maps(world.images))}).values()
    assert list(cc) == list(MAPS.values()) and len(cc) == len(world)
    np.testing.assert_allclose(cc[EDGES], 1, atol=1e-6)
    assert (cc.drop(columns=EDGES) < 1).all(axis=None)


def test_random_features_are_the_same_each_time_and_leave_chance_alone(world: ImageSet) -> None:
    import torch

    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, other = (broken_world.picture_maps(world)[broken_world.RANDOM] for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert torch.equal(before, torch.get_rng_state())


def test_means_have_the_interval_of_student() -> None:
    found = broken_world.means({"a way": pd.DataFrame({PRIOR: [0.0, 1.0, 2.0]})})
    assert found.loc[0, ["way", "map"]].tolist() == ["a way", PRIOR]
    np.testing.assert_allclose(found.loc[0, ["CC", "low", "high"]].astype(float), [1, 1 - 2.4841, 1 + 2.4841], atol=1e-4)


def test_photographs_give_the_maps_that_the_world_has_too() -> None:
    columns = ["dataset", "metric", "variant", "method", "value", "low", "high"]
    rows = [
        ("osie", "CC", "interval/raw", "edge_energy", 0.3, 0.2, 0.4),
        ("osie", "CC", "interval/raw", "baseline", 0.9, 0.8, 1.0),
        ("osie", "CC", "interval/fitted", "edge_energy", 0.9, 0.8, 1.0),
        ("osie", "KLD", "interval/raw", "edge_energy", 0.9, 0.8, 1.0),
        ("eyecrowd", "CC", "interval/raw", "edge_energy", 0.9, 0.8, 1.0),
    ]
    found = broken_world.on_photographs(pd.DataFrame(rows, columns=columns), "real")
    assert found.to_dict("records") == [{"way": "real", "map": EDGES, "CC": 0.3, "low": 0.2, "high": 0.4}]


@pytest.mark.parametrize(("gain", "said"), [(1.0, YES), (-1.0, NO), (0.0, UNSURE)])
def test_what_exceeds_is_decided_by_the_interval_of_the_difference(gain: float, said: str) -> None:
    other = pd.Series([0.1, 0.2, 0.3, 0.4])
    assert broken_world.exceeds(other + gain + pd.Series([0.01, -0.01, 0.01, -0.01]), other) == said
