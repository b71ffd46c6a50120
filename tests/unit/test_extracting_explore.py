"""The saliency explorer without its widgets: its maps against `extract`, its numbers against the metrics."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from paperlib.experiments.extracting import explore as explorer
from paperlib.experiments.extracting.explore import Choice, Examples, Material, explore
from paperlib.maps import hirescam
from paperlib.maps.evidence import score_evidence
from paperlib.maps.hirescam import extract
from paperlib.metrics.saliency import evaluate
from paperlib.models.baseline import to_unit_range
from paperlib.models.shipped import load_shipped

SIZES = ((40, 56), (48, 32))


class TinyIqa(nn.Module):
    """Not pooled before its head, so that the evidence has both signs."""

    def __init__(self, seed: int, sign: float = 1.0):
        super().__init__()
        torch.manual_seed(seed)
        self.last_features = nn.Conv2d(3, 5, 7, stride=4, padding=3)
        self.head = nn.Conv2d(5, 1, 3)
        self.sign = sign

    def forward(self, images):
        return self.sign * self.head(self.last_features(images).tanh()).mean((1, 2, 3))


def loader(network):
    return lambda: (network.eval(), network.last_features)


def make_material() -> Material:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    density = [one / one.sum() for one in (rng.random(size, dtype=np.float32) for size in SIZES)]
    published = [np.where(one > np.median(one), one, 0) for one in density]
    network = TinyIqa(1)
    shown = Examples(images, density, network, network.last_features, {}, ("wide", "tall"), published)
    networks = {"one": loader(network), "other": loader(TinyIqa(2)), "one, negated": loader(TinyIqa(1, -1.0))}
    return Material(shown, networks, Choice(0, "one", n_passes=3), max_angle=8.0)


@pytest.fixture(scope="module")
def material():
    return make_material()


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("principal_component", [True, False])
@pytest.mark.parametrize("smoothing", ["none", "rotations", "flip_multiply"])
def test_the_standard_sign_gives_the_map_of_extract(material, image, principal_component, smoothing):
    choice = Choice(image, "other", smoothing, 3, principal_component)
    network, layer = material.networks["other"]()
    expected = extract(
        network,
        material.shown.images[image][None],
        layer=layer,
        smoothing=smoothing,
        n_passes=3,
        max_angle=8.0,
        principal_component=principal_component,
    )[0]
    np.testing.assert_array_equal(explore(material, choice).saliency, expected)


@pytest.mark.parametrize("principal_component", [True, False])
def test_negative_evidence_is_positive_evidence_of_the_negated_score(material, principal_component):
    negative = Choice(0, "one", "rotations", 3, principal_component, "negative")
    positive = replace(negative, network="one, negated", sign="positive")
    got = explore(material, negative).saliency
    np.testing.assert_allclose(got, explore(material, positive).saliency, atol=1e-5)
    assert np.abs(got - explore(material, replace(negative, sign="positive")).saliency).max() > 0.3


def test_absolute_evidence_by_hand(material):
    network, layer = material.networks["one"]()
    found = score_evidence(network, to_unit_range(material.shown.images[0][None]), layer)
    evidence = (found.features * found.gradients).sum(1).abs()[0].numpy()
    spread = (evidence - evidence.min()) / np.ptp(evidence)
    expected = nn.functional.interpolate(torch.from_numpy(spread)[None, None], SIZES[0], mode="bilinear")[0, 0].numpy()
    got = explore(material, Choice(0, "one", "none", 1, False, "absolute")).saliency
    np.testing.assert_allclose(got, (expected - expected.min()) / np.ptp(expected), atol=1e-5)


def test_numbers_are_the_metrics_of_the_map_and_nss_looks_at_published_gaze(material):
    view = explore(material, Choice(1, "one"))
    shown = material.shown
    expected = evaluate(view.saliency[None], shown.density[1][None])
    assert set(view.metrics) == {"NSS", "SIM", "CC", "KLD"}
    for name in ("SIM", "CC", "KLD"):
        assert view.metrics[name] == expected[name][0]
    nss = evaluate(view.saliency[None], shown.published[1][None])["NSS"][0]
    assert view.metrics["NSS"] == nss != expected["NSS"][0]
    assert view.caption == "2: tall" and view.density.max() == 1
    np.testing.assert_array_equal(view.image, shown.images[1])


def test_a_network_is_loaded_when_it_is_asked_for(material):
    asked = []
    lazy = replace(
        material,
        networks={name: lambda name=name: asked.append(name) or material.networks[name]() for name in material.networks},
    )
    explore(lazy, Choice(0, "other"))
    assert asked == ["other"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"image": 2}, "expected 0 to 1"),
        ({"image": -1}, "expected 0 to 1"),
        ({"network": "third"}, "expected one of: one, other"),
        ({"sign": "both"}, "positive, negative, absolute"),
        ({"smoothing": "much"}, "rotations or flip_multiply"),
    ],
)
def test_what_is_not_there_is_refused(material, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        explore(material, replace(material.standard, **change))


def test_every_sign_has_a_standard_before_it():
    assert next(iter(hirescam.SIGNS)) == Choice(0, "any").sign == "positive"


def test_photographs_are_explored_with_the_networks_that_ship_and_without_gaze() -> None:
    material = explorer.photographs_material()
    assert list(material.networks) == ["Baseline", "Baseline-Sal-Loss", "Baseline-GradCAM-Loss"]
    view = explore(material, replace(material.standard, image=1, smoothing="none", principal_component=False))
    assert view.caption == "2: chelsea" and view.metrics == {} and view.reference == "Saliency (Baseline-Sal-Loss)"
    network = load_shipped("baseline")
    (expected,) = extract(
        network, view.image[None], layer=network.last_features, smoothing="none", principal_component=False
    )
    np.testing.assert_allclose(view.saliency, expected, atol=1e-5)
