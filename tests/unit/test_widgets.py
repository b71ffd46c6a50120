"""The explorers driven without a browser: values are set as clicks would, and what is shown is looked at."""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from test_explorer import make_material
from test_mask_explorer import make_material as make_mask_material

from paperlib.errors import PaperlibError
from paperlib.experiments import mask_explorer
from paperlib.experiments.explorer import Material, explore
from paperlib.experiments.mask_explorer import MaskChoice
from paperlib.show import figures, widgets
from paperlib.vocabulary import FILLS


def parts(widget):
    """Controls by description, the picture, the words."""
    *rows, picture, words = widget.children
    return {control.description: control for row in rows for control in row.children}, picture, words


@pytest.fixture
def material():
    return make_material()


def test_the_first_state_is_the_static_picture(material):
    controls, picture, words = parts(widgets.saliency_explorer(material))
    assert (picture.format, picture.value) == figures.for_screen(figures.explored(explore(material, material.standard)))
    assert list(controls) == ["picture", "network", "smoothing", "passes", "first component", "evidence"]
    assert controls["network"].value == "one" and controls["passes"].value == 3
    assert "the standard of the paper" in words.value and "as for Table I" in words.value
    with Image.open(BytesIO(picture.value)) as shown:
        assert np.ptp(np.asarray(shown)) > 200


@pytest.mark.parametrize(
    ("control", "value"),
    [("picture", 1), ("network", "other"), ("smoothing", "none"), ("smoothing", "flip_multiply"), ("passes", 2),
     ("first component", False), ("evidence", "negative"), ("evidence", "absolute")],
)
def test_every_control_changes_the_picture_and_back(material, control, value):
    controls, picture, words = parts(widgets.saliency_explorer(material))
    before, standard, said = picture.value, controls[control].value, words.value
    controls[control].value = value
    assert picture.value != before
    assert words.value != said
    controls[control].value = standard
    assert picture.value == before and words.value == said


def test_passes_are_asked_of_rotations_alone(material):
    controls, _, words = parts(widgets.saliency_explorer(material))
    assert not controls["passes"].disabled
    controls["smoothing"].value = "flip_multiply"
    assert controls["passes"].disabled and "passes" not in words.value


def test_a_network_that_cannot_be_loaded_is_told_and_the_next_one_works(material):
    def missing():
        raise PaperlibError("there is no file <x>")

    controls, picture, words = parts(widgets.saliency_explorer(
        Material(material.shown, {**material.networks, "gone": missing}, material.standard)
    ))
    before = picture.value
    controls["network"].value = "gone"
    assert words.value == "there is no file &lt;x&gt;" and picture.value == before
    controls["network"].value = "other"
    assert picture.value != before and "other" in words.value


@pytest.fixture
def to_mask():
    return make_mask_material()


def test_the_first_mask_is_the_static_picture(to_mask):
    controls, picture, words = parts(widgets.masking_explorer(to_mask))
    view = mask_explorer.masked(to_mask, to_mask.standard)
    assert (picture.format, picture.value) == figures.for_screen(figures.masked(view))
    assert list(controls) == ["picture", "map", "order", "masked", "fill"]
    assert [value for _, value in controls["map"].options] == to_mask.map_names
    assert [value for _, value in controls["fill"].options] == list(FILLS)
    for number in (view.score, view.whole, view.mos):
        assert f"{number:.3f}" in words.value


@pytest.mark.parametrize(
    ("control", "value", "change"),
    [("picture", 1, {"image": 1}), ("map", "gradcam", {"map": "gradcam"}), ("map", "half_image", {"map": "half_image"}),
     ("order", "LeRF", {"strategy": "LeRF"}), ("masked", 0.2, {"fraction": 0.2}), ("masked", 0, {"fraction": 0.0}),
     *(("fill", name, {"fill": name}) for name in FILLS[1:])],
)
def test_every_control_changes_the_mask_and_the_score_and_back(to_mask, control, value, change):
    controls, picture, words = parts(widgets.masking_explorer(to_mask))
    before, standard, said = picture.value, controls[control].value, words.value
    controls[control].value = value
    view = mask_explorer.masked(to_mask, MaskChoice(**{**vars(to_mask.standard), **change}))
    assert picture.value == figures.for_screen(figures.masked(view))[1] != before
    assert f"{view.score:.3f}" in words.value and words.value != said
    controls[control].value = standard
    assert picture.value == before and words.value == said
