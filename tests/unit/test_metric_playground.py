"""The metric playground without its widgets: predictions by hand, numbers against the metrics, and what it teaches."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import shift

from paperlib.datasets import microworld
from paperlib.experiments.metric_playground import (
    PREDICTION,
    PRIOR,
    ROWS,
    STARTS,
    TRANSFORMED,
    TRUTH,
    Material,
    PlayChoice,
    play,
    predictions,
)  # fmt: skip
from paperlib.maps.controls import noise_maps
from paperlib.maps.transform import MapTransform
from paperlib.metrics.saliency import cc, kld, nss, sim
from paperlib.show import playground


@pytest.fixture(scope="module")
def material() -> Material:
    return Material(microworld.generate(60, seed=5, height=32, width=48), 2)


def test_the_controls_do_what_they_say(material: Material) -> None:
    start = material.starts["truth"]
    np.testing.assert_array_equal(predictions(material, PlayChoice(0)), start)
    moved = predictions(material, PlayChoice(0, shift_x=5, shift_y=-3))
    expected = np.stack([shift(one, (-3, 5), order=0, mode="constant") for one in start])
    expected = (expected - expected.min((1, 2), keepdims=True)) / np.ptp(expected, axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(moved, expected, atol=1e-6)
    np.testing.assert_allclose(predictions(material, PlayChoice(0, power=2.0)), start**2, atol=1e-6)
    mixed = predictions(material, PlayChoice(0, prior_weight=0.25))
    np.testing.assert_allclose(mixed, 0.75 * start + 0.25 * material.center_prior, atol=1e-6)
    rough, smooth = (predictions(material, PlayChoice(0, "noise", blur=blur)) for blur in (0.0, 4.0))
    assert np.abs(np.diff(smooth)).mean() < 0.3 * np.abs(np.diff(rough)).mean()


@pytest.mark.parametrize("start", STARTS)
def test_numbers_are_those_of_the_single_metrics(material: Material, start: str) -> None:
    view = play(material, PlayChoice(7, start, blur=1.5, shift_x=4))
    density, fixations = material.world.density[7], material.fixations[7]
    assert list(view.here.index) == list(ROWS) == list(view.maps)
    for name, one in view.maps.items():
        expected = {metric.__name__.upper(): metric(one, density) for metric in (sim, cc, kld)}
        expected["NSS"] = nss(one, fixations)
        for metric, value in expected.items():
            assert view.here.loc[name, metric] == pytest.approx(value, abs=1e-5)
    fitted = MapTransform.fit(predictions(material, view.choice), material.world.density, material.center_prior)
    np.testing.assert_array_equal(view.curve, fitted.curve)
    assert view.beta == fitted.beta


def test_means_are_over_all_pictures(material: Material) -> None:
    views = [play(material, replace(material.standard, image=image)) for image in range(len(material.world))]
    mean = sum(view.here for view in views) / len(views)
    np.testing.assert_allclose(views[0].mean, mean, atol=1e-9)


def test_noise_ends_at_the_centre_prior_and_truth_stays_truth(material: Material) -> None:
    noise = play(material, PlayChoice(0, "noise")).mean
    assert noise.loc[PREDICTION, "CC"] < 0.1 < noise.loc[PRIOR, "CC"] - 0.3
    assert noise.loc[TRANSFORMED, "CC"] == pytest.approx(noise.loc[PRIOR, "CC"], abs=0.02)
    truth = play(material, PlayChoice(0)).mean
    assert truth.loc[TRANSFORMED, "CC"] > 0.97 and truth.loc[TRUTH, "CC"] == pytest.approx(1)


def test_another_picture_keeps_its_own_map_to_itself(material: Material) -> None:
    shuffled = material.starts["shuffled"]
    assert not any(np.array_equal(one, own) for one, own in zip(shuffled, material.starts["truth"], strict=True))
    assert sorted(one.sum() for one in shuffled) == sorted(one.sum() for one in material.starts["truth"])
    again = Material(material.world, 2).starts
    np.testing.assert_array_equal(again["noise"], material.starts["noise"])
    assert not np.array_equal(Material(material.world, seed=1).starts["noise"], again["noise"])
    assert again["noise"].shape == noise_maps(60, 32, 48, np.random.default_rng(0)).shape


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"image": 60}, "expected 0 to 59"),
        ({"image": -1}, "expected 0 to 59"),
        ({"start": "dog"}, "truth, edges"),
        ({"blur": -1.0}, "0 or more"),
        ({"blur": float("nan")}, "0 or more"),
        ({"power": 0.0}, "above 0"),
        ({"prior_weight": 1.5}, "0 to 1"),
    ],
)
def test_what_is_not_there_is_refused(material: Material, change: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        play(material, replace(material.standard, **change))


def test_the_drawing_shows_maps_numbers_and_the_curve(material: Material) -> None:
    view = play(material, material.standard)
    figure = playground.playground(view)
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == [TRUTH, PREDICTION, TRANSFORMED, PRIOR, "NSS ↑", "SIM ↑", "CC ↑", "KLD ↓", "map transform: curve"]
    for ax, name in zip(figure.axes[:4], (TRUTH, PREDICTION, TRANSFORMED, PRIOR), strict=True):
        np.testing.assert_array_equal(ax.images[-1].get_array(), view.maps[name])
    for ax, metric in zip(figure.axes[4:8], view.here, strict=True):
        dots = [line.get_xdata()[0] for line in ax.lines]
        assert dots[::2] == view.here[metric].to_list() and dots[1::2] == view.mean[metric].to_list()
        assert [text.get_text() for text in ax.texts] == [f"{value:.2f}" for value in view.here[metric]]
    np.testing.assert_array_equal(figure.axes[8].lines[0].get_ydata(), view.curve)
    assert figure.axes[8].texts[0].get_text() == f"centre prior × {view.beta:.2f}"
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 > -0.01 and box.y0 > -0.01 and box.x1 < width + 0.01 and box.y1 < height + 0.01
