"""What notebook 02 measures and draws: coefficients by hand and against pyiqa's, and what its pictures show."""

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from paperlib.datasets.photographs import open_photographs
from paperlib.experiments import related_work
from paperlib.experiments.related_work import BLURRED, NOISY, PLAIN
from paperlib.paper import METHODS
from paperlib.show import method_list, playground, style


def test_coefficients_by_hand() -> None:
    """A single bright pixel: the window's weight w at its middle gives the mean w v and the variance w (1 - w) v^2."""
    picture, value = np.zeros((15, 15)), 100.0
    picture[7, 7] = value
    steps = np.exp(-(np.arange(-3, 4) ** 2) / (2 * (7 / 6) ** 2))
    w = (1 / steps.sum()) ** 2
    found = related_work.mscn(picture)
    assert found[7, 7] == pytest.approx((value - w * value) / (value * np.sqrt(w * (1 - w)) + 1))
    assert not found[0].any()


def test_coefficients_equal_pyiqas_inside() -> None:
    from pyiqa.archs.func_util import normalize_img_with_gauss

    picture = np.random.default_rng(0).uniform(0, 255, (20, 30))
    theirs = normalize_img_with_gauss(torch.from_numpy(picture)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(related_work.mscn(picture)[3:-3, 3:-3], theirs[3:-3, 3:-3], atol=1e-6)


def test_the_spread_tells_the_versions_apart() -> None:
    photographs = {one.name: one.image for one in open_photographs(["chelsea", "coffee"])}
    found = related_work.spread(photographs)
    assert list(found.index) == ["chelsea", "coffee"] and list(found) == [PLAIN, BLURRED, NOISY]
    plain = related_work.mscn(related_work.versions(photographs["coffee"])[PLAIN])
    assert found.loc["coffee", PLAIN] == pytest.approx(plain.std())
    assert (found[BLURRED] < found[PLAIN]).all() and (found[PLAIN] < found[NOISY]).all()


def test_the_picture_of_the_statistics_shows_their_histograms() -> None:
    image = open_photographs(["coffee"])[0].image
    figure = playground.scene_statistics(image, (slice(0, 40), slice(0, 60)))
    *pictures, plot = figure.axes
    assert [ax.images[0].get_size() for ax in pictures] == [(40, 60)] * 6
    for line, (name, picture) in zip(plot.lines, related_work.versions(image).items(), strict=True):
        assert line.get_color() == playground.VERSIONS[name]
        inside = (np.abs(related_work.mscn(picture)) <= 2.5).mean()
        assert np.asarray(line.get_ydata()).sum() == pytest.approx(inside)


def test_four_pixels_show_their_numbers_sums_and_largest_value() -> None:
    features, gradient = np.array([[1.0, 4.0], [2.0, 1.0]]), np.array([[6.0, -1.0], [0.0, 1.0]])
    grids = {"A": features, "g": gradient, "GradCAM": gradient.mean() * features, "HiResCAM": gradient * features}
    figure = playground.four_pixels({"a head": (3.0, grids)})
    assert [ax.get_title() for ax in figure.axes] == list(grids)
    shown = [[text.get_text() for text in ax.texts] for ax in figure.axes]
    assert shown[1] == ["6", "−1", "0", "1"] and shown[3] == ["6", "−4", "0", "1"]
    assert [ax.get_xlabel() for ax in figure.axes[2:]] == ["sum 12 ≠ score", "sum 3 = score"]
    frames = [patch for ax in figure.axes for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [tuple(np.rint(frame.get_center())) for frame in frames] == [(1, 0), (0, 0)], "column and row"


def test_versions_have_colours_of_the_house() -> None:
    known = {look.colour for look in style.MAPS.values()} | {method.colour for method in METHODS.values()}
    assert set(playground.VERSIONS.values()) <= known and len(set(playground.VERSIONS.values())) == 3


def test_each_method_is_listed_once_under_its_type() -> None:
    rows = method_list.all_methods().markdown.splitlines()
    for method in METHODS.values():
        (row,) = [line for line in rows if f"`{method.key}`" in line]
        assert row.startswith(f"| {method.group} | ") and f"{method.label} `" in row
