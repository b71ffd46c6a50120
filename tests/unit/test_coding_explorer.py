"""The coding explorer: what it shows of a version is what the stream holds."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from paperlib import profiles
from paperlib.coding.x264 import decode, macroblock_mean
from paperlib.datasets.photographs import PHOTOGRAPHS, open_photographs
from paperlib.experiments.compression.coding import code
from paperlib.experiments.compression.explore import CodingChoice, Material, explore
from paperlib.experiments.compression.plan import coding_unit
from paperlib.metrics.weighted import psnr
from paperlib.show import figures, playground, widgets

PROFILE = profiles.load("demo", n_photographs=2, bpps=[0.3, 0.4], presets=[("none", None), ("strong", (75, 80))])


@pytest.fixture(scope="module")
def material():
    settings = PROFILE.compression
    coded = [code(dict(coding_unit(PROFILE, name).params), {}, None) for name in PHOTOGRAPHS[:2]]
    return Material(
        open_photographs(PHOTOGRAPHS[:2]),
        coded,
        np.arange(8.0).reshape(2, 4),
        settings.bpps,
        tuple(name for name, _ in settings.presets),
    )


def test_versions_are_those_of_the_streams(material):
    view = explore(material, CodingChoice(1, 0.4, "strong"))
    for one, place in ((view.plain, 2), (view.chosen, 3)):
        picture, qp = decode(material.coded[1].arrays[f"stream{place}"].tobytes())
        np.testing.assert_array_equal(one.picture, picture)
        np.testing.assert_array_equal(one.qp, qp)
        assert one.measures["PSNR"] == psnr(picture, view.photograph.image)
        assert one.measures["bpp"] == pytest.approx(0.4, rel=0.02)
        assert one.measures["score"] == 4 + place
        np.testing.assert_allclose(one.error, np.abs(picture.astype(int) - view.photograph.image).mean(2))


def test_the_encoder_spares_what_it_was_told(material):
    view = explore(material, CodingChoice(0, 0.3, "strong"))
    salient = macroblock_mean(view.saliency)
    salient = salient > np.quantile(salient, 0.75)
    spared = [one.qp[salient].mean() - one.qp[~salient].mean() for one in (view.plain, view.chosen)]
    assert spared[1] < spared[0] - 5
    assert view.chosen.measures["PSNR"] < view.plain.measures["PSNR"]


@pytest.mark.parametrize("change", [{"image": 2}, {"bpp": 0.2}, {"preset": "p132"}])
def test_what_is_not_there_is_refused(material, change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}=.*expected one of"):
        explore(material, replace(material.standard, **change))


def test_sliding_between_presets_changes_picture_and_words(material):
    widget = widgets.coding_explorer(material)
    *rows, picture, words = widget.children[0].children
    controls = {control.description: control for row in rows for control in row.children}
    assert picture.value == figures.for_screen(figures.coded(explore(material, material.standard)))[1]
    before = picture.value
    assert controls["preset"].value == "strong" and "against the plain version" in words.value
    controls["preset"].value = "none"
    assert picture.value != before and "plain version" in words.value
    controls["preset"].value = "strong"
    assert picture.value == before
    for control, value in (("bpp", 0.4), ("picture", 1)):
        shown = picture.value
        controls[control].value = value
        assert picture.value != shown


@pytest.mark.parametrize(("split", "at"), [(0.0, 0), (0.25, None), (0.7, None), (1.0, None)])
def test_before_and_after_meet_at_the_line(material, split, at):
    view = explore(material, material.standard)
    width = view.chosen.picture.shape[1]
    at = round(split * width) if at is None else at
    joined = playground.before_after(view, split)
    np.testing.assert_array_equal(joined[:, : max(at - 1, 0)], view.plain.picture[:, : max(at - 1, 0)])
    np.testing.assert_array_equal(joined[:, at + 1 :], view.chosen.picture[:, at + 1 :])
    line = joined[:, at - 1 : at + 1]
    assert (line == 255).all() if 0 < split < 1 else np.isin(joined, [view.plain.picture, view.chosen.picture]).all()
    with pytest.raises(ValueError, match="expected 0 to 1"):
        playground.before_after(view, 1.01)


def test_the_split_moves_by_itself_and_follows_the_preset(material):
    live, row, halves = (widget := widgets.coding_explorer(material)).children
    split, names = row.children

    def shown():
        with Image.open(BytesIO(halves.value)) as picture:
            return np.asarray(picture)

    view = explore(material, material.standard)
    np.testing.assert_array_equal(shown(), playground.before_after(view, 0.5))
    figure = live.children[-2].value
    split.value = 0.2
    np.testing.assert_array_equal(shown(), playground.before_after(view, 0.2))
    assert live.children[-2].value == figure and names.value == "left: none, right: strong"
    controls = {control.description: control for box in live.children[:-2] for control in box.children}
    controls["preset"].value = "none"
    assert names.value == "left: none, right: none"
    np.testing.assert_array_equal(shown()[:, 100:], view.plain.picture[:, 100:])
    assert widget.children[2] is halves
