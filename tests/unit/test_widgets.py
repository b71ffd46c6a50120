"""The explorers driven without a browser: values are set as clicks would, and what is shown is looked at."""

from base64 import b64decode
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from test_dual_task_explore import make_film
from test_extracting_explore import make_material
from test_masking_explore import make_material as make_mask_material

from paperlib.datasets import microworld
from paperlib.errors import PaperlibError
from paperlib.experiments import metric_playground
from paperlib.experiments.dual_task import explore as training_explorer
from paperlib.experiments.extracting.explore import Material, explore
from paperlib.experiments.masking import explore as mask_explorer
from paperlib.experiments.masking.explore import MaskChoice
from paperlib.show import figures, playground, widgets
from paperlib.vocabulary import FILLS


def parts(widget):
    """Controls by description, the picture, the words."""
    *rows, picture, words = widget.children
    return {control.description: control for row in rows for control in row.children}, picture, words


@pytest.fixture
def material():
    return make_material()


def test_where_no_kernel_runs_the_picture_stands_for_the_controls(material):
    explorer = widgets.saliency_explorer(material)
    _, picture, _ = parts(explorer)
    shown = explorer._repr_mimebundle_()
    assert b64decode(shown[f"image/{picture.format}"]) == picture.value
    assert "VBox" not in shown["text/plain"] and "application/vnd.jupyter.widget-view+json" in shown


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
    [
        ("picture", 1),
        ("network", "other"),
        ("smoothing", "none"),
        ("smoothing", "flip_multiply"),
        ("passes", 2),
        ("first component", False),
        ("evidence", "negative"),
        ("evidence", "absolute"),
    ],
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

    controls, picture, words = parts(
        widgets.saliency_explorer(Material(material.shown, {**material.networks, "gone": missing}, material.standard))
    )
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
    [
        ("picture", 1, {"image": 1}),
        ("map", "gradcam", {"map": "gradcam"}),
        ("map", "half_image", {"map": "half_image"}),
        ("order", "LeRF", {"strategy": "LeRF"}),
        ("masked", 0.2, {"fraction": 0.2}),
        ("masked", 0, {"fraction": 0.0}),
        *(("fill", name, {"fill": name}) for name in FILLS[1:]),
    ],
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


@pytest.fixture(scope="module")
def to_play():
    return metric_playground.Material(microworld.generate(30, seed=5, height=32, width=48), 2)


def test_the_first_play_is_the_static_picture(to_play):
    controls, picture, words = parts(widgets.metric_playground(to_play))
    view = metric_playground.play(to_play, to_play.standard)
    assert (picture.format, picture.value) == figures.for_screen(playground.playground(view))
    assert list(controls) == ["picture", "map", "blur", "move right", "move down", "power", "centre prior"]
    assert controls["move right"].value == 12 and controls["picture"].value == 2
    for name in ("prediction", "after map transform", "centre prior"):
        assert f"{view.mean.loc[name, 'CC']:.3f}" in words.value


@pytest.mark.parametrize(
    ("control", "value", "change"),
    [
        ("picture", 0, {"image": 0}),
        ("map", "noise", {"start": "noise"}),
        ("map", "shuffled", {"start": "shuffled"}),
        ("map", "edges", {"start": "edges"}),
        ("blur", 3.5, {"blur": 3.5}),
        ("move right", -4, {"shift_x": -4}),
        ("move down", 5, {"shift_y": 5}),
        ("power", 0.5, {"power": 0.5}),
        ("centre prior", 0.6, {"prior_weight": 0.6}),
    ],
)
def test_every_control_changes_the_metrics_and_back(to_play, control, value, change):
    controls, picture, words = parts(widgets.metric_playground(to_play))
    before, standard = picture.value, controls[control].value
    controls[control].value = value
    choice = metric_playground.PlayChoice(**{**vars(to_play.standard), **change})
    view = metric_playground.play(to_play, choice)
    assert picture.value == figures.for_screen(playground.playground(view))[1] != before
    assert f"{view.mean.loc['after map transform', 'CC']:.3f}" in words.value
    controls[control].value = standard
    assert picture.value == before


def test_noise_is_told_to_end_at_the_centre_prior(to_play):
    controls, _, words = parts(widgets.metric_playground(to_play))
    controls["map"].value = "noise"
    assert "Nothing of the map is left" in words.value
    controls["map"].value, controls["move right"].value = "truth", 0
    assert "Nothing" not in words.value


def test_the_film_goes_by_hand_and_by_itself():
    film = make_film()
    play, live = widgets.training_explorer(film).children
    controls, picture, words = parts(live)
    view = training_explorer.watch(film, film.standard)
    assert (picture.format, picture.value) == figures.for_screen(playground.watched(view))
    assert list(controls) == ["picture", "network", "epoch"]
    assert (play.min, play.max, play.value) == (0, 3, controls["epoch"].index) == (0, 3, 3)
    seen = {picture.value}
    for place, epoch in enumerate(film.epochs[:-1]):
        controls["epoch"].index = place
        view = training_explorer.watch(film, training_explorer.FilmChoice(0, "baseline_gradcam_loss", epoch))
        assert picture.value == figures.for_screen(playground.watched(view))[1]
        assert f"{film.curves.loc[('baseline_gradcam_loss', epoch), 'CC']:.3f}" in words.value
        seen.add(picture.value)
    assert len(seen) == 4
    assert "before training" not in words.value
    controls["epoch"].value = 0
    assert "before training" in words.value
    for control, value in (("network", "baseline_sal_loss"), ("picture", 1)):
        before = picture.value
        controls[control].value = value
        assert picture.value != before


def test_without_a_film_its_reason_stands_in_one_line():
    note = widgets.training_explorer(None)
    assert note.value == training_explorer.NO_FILM and "\n" not in note.value
