"""The masking explorer without its widgets, and what notebook 03b reads from rows: against parts put together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from paperlib import profiles, regenerate
from paperlib.datasets.files import read_grey
from paperlib.datasets.registry import open_opinions
from paperlib.errors import PaperlibError
from paperlib.experiments.masking import compute, explore, plan, results
from paperlib.experiments.masking.explore import MaskChoice, Material, masked
from paperlib.maps.fills import fill
from paperlib.maps.half_image import leave_one_out
from paperlib.maps.masking import blur, quantile_masks
from paperlib.metrics.correlation import srocc
from paperlib.models.baseline import to_unit_range
from paperlib.models.shipped import load_shipped
from paperlib.vocabulary import FILLS, STRATEGIES
from tests.own_standins import write_own, write_own_opinions

SIZES = ((36, 48), (48, 32))


def red(pictures):
    """A network that likes the left side red: where a mask lies matters."""
    weights = torch.linspace(2, 0, pictures.shape[2]).to(pictures.device)
    return (pictures[..., 0].float() * weights).mean((1, 2)) / 255


def make_material() -> Material:
    rng = np.random.default_rng(5)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in SIZES]
    maps = {name: [rng.random(size, dtype=np.float32) for size in SIZES] for name in ("saliency", "gradcam")}
    return Material(images, ["1: wide", "2: tall"], [0.25, 0.75], maps, "Red", red)


@pytest.fixture(scope="module")
def material():
    return make_material()


def own_score(image):
    return float(red(torch.from_numpy(image[None]))[0])


@pytest.mark.parametrize("name", FILLS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_view_is_what_the_parts_give_by_hand(material, strategy, name):
    view = masked(material, MaskChoice(1, "gradcam", strategy, 0.3, name))
    image, values = material.images[1], material.maps["gradcam"][1]
    mask = quantile_masks(blur(values[None], 2.0, 101), [0.3]).of(strategy, 0.3)
    np.testing.assert_array_equal(view.masked, fill(image[None], mask, name)[0])
    assert view.share == mask.mean() == pytest.approx(0.3, abs=1e-3)
    assert view.whole == pytest.approx(own_score(image)) and view.score == pytest.approx(own_score(view.masked))
    assert view.relevance.min() == 0 and view.relevance.max() == 1
    assert np.corrcoef(view.relevance.ravel(), values.ravel())[0, 1] == pytest.approx(1)
    assert (view.caption, view.network, view.mos) == ("2: tall", "Red", 0.75)


def test_half_image_masks_the_cells_that_move_the_score(material):
    view = masked(material, MaskChoice(0, "half_image", "MoRF", 0.5))
    importance = leave_one_out(red, material.images[0][None], "mean")[0]
    most = np.kron(importance >= np.sort(importance.ravel())[6], np.ones((12, 12), bool))
    np.testing.assert_array_equal((view.masked == 0).all(-1), most | (view.image == 0).all(-1))
    assert view.share == 0.5 and len(np.unique(view.relevance)) == 12
    assert masked(material, MaskChoice(0, "half_image", "LeRF", 0.3)).share == pytest.approx(4 / 12)


def test_cells_are_asked_for_once(material):
    asked = []
    counting = replace(material, score=lambda pictures: asked.append(len(pictures)) or red(pictures))
    for fraction in (0.2, 0.4, 0.6):
        masked(counting, MaskChoice(0, "half_image", "LeRF", fraction))
    assert sum(asked) == 13 + 3 * 2


@pytest.mark.parametrize("name", ["saliency", "gradcam", "half_image"])
def test_the_ends_are_the_picture_itself_and_one_colour(material, name):
    view = masked(material, MaskChoice(0, name, "MoRF", 0.0))
    np.testing.assert_array_equal(view.masked, view.image)
    assert view.score == view.whole and view.share == 0
    assert not masked(material, MaskChoice(0, name, "LeRF", 1.0)).masked.any()


def test_pictures_without_opinions_and_flat_maps_are_fine(material):
    flat = replace(material, mos=(), maps={"center": [np.ones(size) for size in SIZES]})
    view = masked(flat, MaskChoice(0, "center"))
    assert view.mos is None and not view.relevance.any() and view.share == 0.5


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"image": 2}, "expected 0 to 1"),
        ({"image": -1}, "expected 0 to 1"),
        ({"fraction": 1.1}, "expected 0 to 1"),
        ({"fraction": float("nan")}, "expected 0 to 1"),
        ({"map": "random"}, "saliency, gradcam, half_image"),
        ({"strategy": "both"}, "LeRF, MoRF"),
        ({"fill": "white"}, "black, mean"),
    ],
)
def test_what_is_not_there_is_refused(material, change, complaint):
    with pytest.raises(ValueError, match=complaint):
        masked(material, replace(material.standard, **change))


# ------------------------------------------------------------------------------------------------------------ material


class Sharpness(torch.nn.Module):
    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = torch.nn.Conv2d(3, 6, 5, stride=4, padding=2)

    def forward(self, images):
        return self.layer(images).relu().mean((1, 2, 3)) + images.std((1, 2, 3))


def sharpness():
    return Sharpness(3), "layer"


def other():
    return Sharpness(4), "layer"


MODELS = [f"{__name__}:{name}" for name in ("sharpness", "other")]


@pytest.fixture(autouse=True)
def store(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
    monkeypatch.setenv("PAPERLIB_WORKERS", "1")
    monkeypatch.setenv("PAPERLIB_QUIET", "1")


def own(folder):
    return profiles.load("own", data_root=str(folder), models=MODELS, shard=4, n_passes=2, optimise=False)


def test_material_of_own_photographs_with_opinions(tmp_path):
    write_own_opinions(tmp_path, 25, 0)
    opinions = open_opinions("own", tmp_path).part("test")
    (tmp_path / "saliency_ramp").mkdir()
    for record in opinions.records:
        ramp = np.tile(np.linspace(0, 255, record.size[1]).astype(np.uint8), (record.size[0], 1))
        Image.fromarray(ramp).save(tmp_path / "saliency_ramp" / f"{record.path.stem}.png")
    material = explore.material(own(tmp_path))
    shown = len(material.images)
    assert shown == min(explore.N_PICTURES, len(opinions)) > 4, "more than a shard"
    assert material.network == MODELS[0] and list(material.mos) == opinions.mos[:shown].tolist()
    assert material.map_names == ["saliency", "gradcam", "random", "center", "half_image"]
    for place, record in enumerate(opinions.records[:shown]):
        np.testing.assert_array_equal(material.images[place], record.load_image())
        ramp = read_grey(tmp_path / "saliency_ramp" / f"{record.path.stem}.png")
        assert np.corrcoef(material.maps["saliency"][place].ravel(), ramp.ravel())[0, 1] == pytest.approx(1)
    view = masked(material, MaskChoice(0, "saliency", "MoRF", 0.5, "black"))
    assert (view.masked[:, -5:] == 0).all(), "the ramp's right side is the most relevant"
    with torch.no_grad():
        expected = Sharpness(3).eval()(torch.from_numpy(view.masked[None]).permute(0, 3, 1, 2).float() / 255).item()
    assert view.score == pytest.approx(expected, abs=1e-6)


def test_material_of_own_photographs_with_gaze_alone(tmp_path):
    write_own(tmp_path, 5, 0)
    material = explore.material(own(tmp_path))
    assert not len(material.mos) and "gradcam" in material.map_names
    assert masked(material, material.standard).mos is None


def test_material_needs_a_network(tmp_path):
    write_own_opinions(tmp_path, 25, 0)
    with pytest.raises(PaperlibError, match="--model"):
        explore.material(profiles.load("own", data_root=str(tmp_path)))


def test_material_of_the_micro_world():
    profile = profiles.load("demo", seeds=1, n_train=32, n_test=8, n_fit=8, steps=1, warm_up=0, n_passes=2)
    material = explore.material(profile)
    assert material.map_names == ["saliency", "gradcam", "random", "center", "half_image"]
    assert set(material.map_names) <= set(compute.MAPS)
    assert len(material.images) == len(material.mos) == len(set(material.captions)) == explore.N_PICTURES
    for name in material.map_names:
        for name_of_fill in FILLS:
            view = masked(material, MaskChoice(3, name, "LeRF", 0.4, name_of_fill))
            assert np.isfinite(view.score) and view.masked.shape == view.image.shape


# ---------------------------------------------------------------------------------------------------------------- rows


def lead_rows(network, fill_name, name, area, lead, low, high, p):
    common = {"method": name, "dataset": "world", "seed": 0, "n": 9}
    variant = {"variant": f"{network}/{fill_name}/LeRF-MoRF/all"}
    return [
        common | variant | {"metric": "area", "value": area, "low": area - 0.1, "high": area + 0.1},
        common | variant | {"metric": "area_lead", "value": lead, "low": low, "high": high},
        common | variant | {"metric": "p", "value": p},
        *(
            common | {"variant": f"{network}/{fill_name}/{strategy}/all", "metric": "AOPC", "value": 0.2}
            for strategy in STRATEGIES
        ),
    ]


def test_leads_over_half_image_are_called_by_interval_and_p():
    cases = {
        ("a/b", "black"): (0.3, 0.1, 0.02, 0.2, 0.01),
        ("a/b", "mean"): (0.3, -0.1, -0.2, -0.02, 0.01),
        ("topiq", "black"): (0.3, 0.1, -0.02, 0.2, 0.2),
        ("topiq", "mean"): (0.3, 0.1, 0.02, 0.2, 0.2),
        ("topiq", "blur"): (0.9, 0.8, 0.7, 0.9, 0.01),
        ("uniform_observers", "black"): (0.9, 0.8, 0.7, 0.9, 0.01),
    }
    rows = pd.DataFrame(
        [
            row
            for (network, name), numbers in cases.items()
            for map_name in ("saliency", "gradcam")
            for row in lead_rows(network, name, map_name, *numbers)
        ]
    )
    found = results.leads(rows)
    assert found[["network", "fill"]].values.tolist() == [list(case) for case in list(cases)[:4]]
    assert found["outcome"].tolist() == ["larger", "smaller", "alike", "alike"]
    np.testing.assert_allclose(found["half_image"], [0.2, 0.4, 0.2, 0.2])
    assert set(found["map"]) == {"saliency"} and len(results.leads(rows, ["saliency", "gradcam"])) == 8
    assert results.leads(rows, ["center"]).empty


def test_half_ranks_are_read_from_the_rows():
    rows = pd.DataFrame(
        [
            {"method": "half_image", "variant": "net/mean/halves/all", "metric": "half_rank", "value": 0.125, "n": 7},
            {"method": "none", "variant": "net/none/none/0.0", "metric": "SROCC", "value": 1.0, "n": 7},
        ]
    )
    assert results.half_ranks(rows).to_dict("records") == [{"network": "net", "rank": 0.125, "pictures": 7}]
    assert results.half_ranks(rows[1:]).empty


def test_examples_of_any_sizes(material):
    rows = explore.example(material.images, {"A map": material.maps["saliency"]}, 0.5, 2.0)
    assert list(rows) == ["unmasked", "A map, LeRF", "A map, MoRF"]
    for image, least, most in zip(*rows.values(), strict=True):
        np.testing.assert_array_equal(np.maximum(least, most), image)
        assert not (least.any(-1) & most.any(-1)).any(), "at one half the two orders are each other's complement"
    filled = explore.under_all_fills(material.images[1], material.maps["saliency"][1], 0.5, 2.0)
    assert {order: list(pictures) for order, pictures in filled.items()} == {order: list(FILLS) for order in STRATEGIES}
    np.testing.assert_array_equal(filled["MoRF"]["black"], rows["A map, MoRF"][1])
    assert len({picture.tobytes() for pictures in filled.values() for picture in pictures.values()}) == 12


def test_networks_may_have_slashes_in_their_names():
    rows = pd.DataFrame(
        [
            {
                "method": name,
                "dataset": "own",
                "variant": f"hub/net/{rest}",
                "metric": "SROCC",
                "seed": 0,
                "value": value,
                "low": value,
                "high": value,
                "n": 5,
            }
            for name, rest, value in (
                ("none", "none/none/0.0", 0.9),
                ("saliency", "black/LeRF/0.5", 0.7),
                ("saliency", "black/MoRF/0.5", 0.4),
            )
        ]
    )
    data = results.curves(rows)
    assert set(data.curves["network"]) == {"hub/net"} and data.unmasked["srocc"].tolist() == [0.9]
    assert data.curves[["strategy", "fraction", "srocc"]].values.tolist() == [["LeRF", 0.5, 0.7], ["MoRF", 0.5, 0.4]]


def test_photographs_are_masked_for_the_network_that_ships() -> None:
    material = explore.photographs_material()
    assert material.map_names == ["saliency", "gradcam", "random", "center", "half_image"] and material.mos == ()
    view = explore.masked(material, replace(material.standard, image=1, fraction=0.3))
    assert view.share == pytest.approx(0.3, abs=0.01) and view.mos is None
    network = load_shipped("baseline")
    with torch.inference_mode():
        expected = network(to_unit_range(np.stack([view.image, view.masked]))).numpy()
    np.testing.assert_allclose([view.whole, view.score], expected, atol=1e-4)


def area_row(network, fill_name, name, seed, value, dataset="world"):
    variant = f"{network}/{fill_name}/LeRF-MoRF/all"
    common = {"method": name, "dataset": dataset, "variant": variant, "metric": "area", "seed": seed, "n": 9}
    return common | {"value": value, "low": value - 0.1, "high": value + 0.1}


def test_areas_are_told_by_whose_opinions_the_network_learnt():
    rows = pd.DataFrame(
        [area_row("baseline", "black", "saliency", seed, value) for seed, value in enumerate((0.2, 0.3, 0.4))]
        + [area_row("uniform_observers", "black", "saliency", 0, 0.1), area_row("topiq", "black", "saliency", 0, 0.9)]
    )
    found = results.areas_by_opinion(rows, profiles.load("demo"))
    assert found["opinions"].tolist() == ["saliency", "uniform"], "other networks are no observers"
    half = 4.302652730 * 0.1 / 3**0.5
    assert found.loc[0, ["value", "low", "high"]].tolist() == pytest.approx([0.3, 0.3 - half, 0.3 + half])
    assert found.loc[1, ["value", "low", "high"]].tolist() == pytest.approx([0.1, 0.0, 0.2])
    assert found[["n", "over"]].values.tolist() == [[3, "repeats"], [9, "pictures"]]
    assert results.areas_by_opinion(rows, profiles.load("demo", observers="uniform"))["opinions"][0] == "uniform"
    assert results.areas_by_opinion(rows, profiles.load("open"))["opinions"].tolist() == ["people"]


def test_one_curve_is_that_of_the_first_network_and_repeat():
    def point(network, seed, strategy, fraction, value):
        variant = f"{network}/mean/{strategy}/{fraction}"
        return {"method": "saliency", "variant": variant, "metric": "SROCC", "seed": seed, "value": value}

    points = [("a", 1, "LeRF", 0.5, 0.1), ("a", 0, "LeRF", 0.9, 0.2), ("a", 0, "LeRF", 0.5, 0.3), ("a", 0, "MoRF", 0.5, 0.4)]
    rows = pd.DataFrame([point(*one) for one in [*points, ("b", 0, "LeRF", 0.5, 0.5)]])
    assert results.one_curve(rows, "saliency", "mean", "LeRF").to_dict() == {0.5: 0.3, 0.9: 0.2}
    assert results.one_curve(rows, "saliency", "black", "LeRF").empty


def test_scores_are_compared_with_opinions_or_else_with_those_of_whole_pictures(material):
    whole = [own_score(image) for image in material.images]
    np.testing.assert_allclose(material.scores(material.images), whole, rtol=1e-6)
    np.testing.assert_allclose(material.scores([material.images[0]] * 3), [whole[0]] * 3, rtol=1e-6)
    assert material.reference.tolist() == [0.25, 0.75]
    np.testing.assert_allclose(replace(material, mos=()).reference, whole, rtol=1e-6)


def test_a_point_of_figure_2_is_the_correlation_of_all_masked_pictures():
    profile = profiles.load("demo", seeds=1, n_train=32, n_test=8, n_fit=8, steps=1, warm_up=0, n_passes=2, fractions=[0.5])
    every = explore.material(profile, n=None)
    assert len(every.images) == 8 > explore.N_PICTURES
    hidden = [
        quantile_masks(blur(np.asarray(one)[None], every.blur_sigma), [0.5]).of("MoRF", 0.5)
        for one in every.maps["saliency"]
    ]
    filled = [fill(image[None], one, "mean")[0] for image, one in zip(every.images, hidden, strict=True)]
    stored = results.one_curve(regenerate.rows("masking", profile), "saliency", "mean", "MoRF")
    assert abs(stored[0.5]) == pytest.approx(abs(srocc(every.scores(filled), every.reference)), abs=1e-9)
    added = explore.observers_rows(profile)
    assert set(added["variant"].str.split("/").str[0]) == {"uniform_observers"}
    assert set(results.areas_by_opinion(added, profile)["fill"]) == {"blur"}, "what Figure 2 leaves out"


def test_without_uniform_observers_there_is_nothing_to_add():
    assert plan.observers_units(profiles.load("open")) == []
    assert plan.observers_units(profiles.load("demo", masked_networks=["baseline"])) == []
    assert explore.observers_rows(profiles.load("demo", fills=["black", "mean"])).empty
