"""Worlds and networks: parts never overlap, and variants differ in what they say."""

from functools import cache

import numpy as np
import pytest

from paperlib import profiles
from paperlib.engine.units import Result
from paperlib.experiments import networks
from paperlib.models.baseline import Baseline

PROFILE = profiles.load("demo", n_train=96, n_test=24, n_fit=24, epochs=1, hidden=(16,))


@pytest.fixture(scope="module")
def world_result():
    unit = networks.world_unit(PROFILE, "world/train", 0)
    return networks.make_world(dict(unit.params), {}, None)


@pytest.fixture(scope="module")
def trained(world_result, tmp_path_factory):
    def run(variant: str, profile=PROFILE) -> Result:
        unit = networks.network_unit(profile, variant, 0)
        scratch = tmp_path_factory.mktemp("scratch")
        return networks.train(dict(unit.params), {"world/train/seed0": world_result}, scratch)

    return cache(run)


def test_parts_of_the_data_share_no_seed():
    seeds = [dict(networks.world_unit(PROFILE, part, seed).params)["seed"] for part in networks.SEEDS for seed in range(100)]
    assert len(seeds) == len(set(seeds))


def test_shifted_world_has_other_distortions_and_other_subjects():
    home, shifted = (dict(networks.world_unit(PROFILE, part, 0).params) for part in ("world/test", "world_shifted/test"))
    assert not set(home["families"]) & set(shifted["families"])
    assert not set(home["categories"]) & set(shifted["categories"])


def test_uniform_observers_are_the_same_unit_as_a_profile_with_them():
    uniform = profiles.load("demo", observers="uniform")
    same = networks.network_unit(uniform, "baseline", 0)
    assert same.identity == networks.network_unit(profiles.load("demo"), "uniform_observers", 0).identity


def test_storing_and_loading_keeps_the_scores(trained, world_result):
    result = trained("baseline_sal_loss")
    network = networks.load_network(result)
    assert isinstance(network, Baseline) and network.decoder is not None and not network.training
    images = networks.load_world(world_result).images[:5]
    again = networks.load_network(Result(arrays=dict(result.arrays)))
    assert np.array_equal(networks.scores(network, images), networks.scores(again, images))
    assert networks.scores(network, images).shape == (5,)


def test_frozen_backbone_stays_as_it_was_and_a_trained_one_moves(trained):
    before = trained("pretrained_activation").arrays
    backbone = [key for key in before if key.startswith("backbone.")]
    frozen, moved = trained("frozen_backbone").arrays, trained("baseline").arrays
    assert all(np.array_equal(frozen[key], before[key]) for key in backbone)
    assert not all(np.array_equal(moved[key], before[key]) for key in backbone)


def test_unpretrained_starts_elsewhere(trained):
    a, b = trained("unpretrained").arrays, trained("baseline").arrays
    assert any(not np.allclose(a[key], b[key], atol=0.05) for key in a if key.endswith("conv1.weight"))


def test_gradcam_loss_adds_no_parameters_and_the_decoder_adds_one_per_channel(trained):
    sizes = {
        variant: sum(value.size for key, value in trained(variant).arrays.items() if key != "history")
        for variant in ("baseline", "baseline_gradcam_loss", "baseline_sal_loss")
    }
    assert sizes["baseline_gradcam_loss"] == sizes["baseline"]
    assert sizes["baseline_sal_loss"] == sizes["baseline"] + 48 + 1


def test_observers_and_second_task_change_what_is_learnt(trained):
    heads = {
        variant: trained(variant).arrays["head.0.weight"]
        for variant in ("baseline", "uniform_observers", "baseline_centered", "baseline_sal_loss", "baseline_gradcam_loss")
    }
    for variant, weight in heads.items():
        assert variant == "baseline" or not np.array_equal(weight, heads["baseline"]), variant


def test_training_is_deterministic(trained, world_result, tmp_path):
    unit = networks.network_unit(PROFILE, "baseline", 0)
    again = networks.train(dict(unit.params), {"world/train/seed0": world_result}, tmp_path)
    for key, value in trained("baseline").arrays.items():
        assert np.array_equal(value, again.arrays[key]), key


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"saliency_weight": 1.0}, {"baseline", "saliency_net"}),
        ({"weighting": "uncertainty"}, {"baseline", "saliency_net"}),
        ({"channels": "mean"}, {"baseline", "saliency_net"}),
        ({"saliency_loss": "cc"}, {"baseline"}),
        ({"head_lr": 1e-3}, set()),
    ],
)
def test_a_network_is_not_trained_anew_for_what_it_does_not_learn_from(changed, same):
    other = profiles.load("demo", **changed)
    variants = ("baseline", "saliency_net", "baseline_sal_loss", "baseline_gradcam_loss")
    kept = {
        variant
        for variant in variants
        if networks.network_unit(other, variant, 0).identity
        == networks.network_unit(profiles.load("demo"), variant, 0).identity
    }
    assert kept == same


def test_learned_weights_change_what_is_learnt_and_are_not_stored(trained):
    learned = trained(
        "baseline_sal_loss",
        profiles.load("demo", n_train=96, n_test=24, n_fit=24, epochs=1, hidden=(16,), weighting="uncertainty"),
    ).arrays
    fixed = trained("baseline_sal_loss").arrays
    assert learned.keys() == fixed.keys()
    assert not np.array_equal(learned["decoder.weight"], fixed["decoder.weight"])
