"""The networks that ship: stored small, read back, offline, and as good as their card says."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from paperlib import cli, profiles
from paperlib.datasets.photographs import open_photographs
from paperlib.datasets.registry import open_opinions
from paperlib.engine.units import function
from paperlib.errors import PaperlibError
from paperlib.experiments.maps.plan import published_sources
from paperlib.metrics.correlation import srocc
from paperlib.models import shipped
from paperlib.models.baseline import to_unit_range
from paperlib.sources.maps import picture
from paperlib.sources.shipped import look_into
from paperlib.sources.source import of_user, official_files, weights_fingerprint

LARGEST = 10_000_000
"""Bytes of all files together."""


def test_numbers_come_back_within_half_a_level_and_vectors_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    state = {
        "a.weight": rng.normal(size=(6, 3, 5, 5)),
        "a.bias": rng.normal(size=6),
        "n": np.array(7),
        "zero": np.zeros((2, 4)),
    }
    state = {name: value.astype(np.float32) if value.ndim else value for name, value in state.items()}
    got = shipped.unpack(shipped.pack(state, state))
    assert got.keys() == state.keys()
    levels = np.abs(state["a.weight"]).max((1, 2, 3), keepdims=True) / 127
    assert (np.abs(got["a.weight"] - state["a.weight"]) <= 0.5001 * levels).all()
    for name in ("a.bias", "n", "zero"):
        np.testing.assert_array_equal(got[name], state[name])


def test_all_files_are_small_and_say_what_they_are() -> None:
    files = [shipped.shipped_file(variant) for variant in shipped.VARIANTS]
    assert sum(file.stat().st_size for file in files) <= LARGEST
    for variant in shipped.VARIANTS:
        about = shipped.describe(variant)
        assert about["variant"] == variant and about["backbone"] and len(about["size"]) == 2
    card = shipped.CARD.read_text()
    assert all(f"| `{variant}` |" in card for variant in shipped.VARIANTS)


def test_blur_and_noise_cost_score() -> None:
    """Not a measure of quality, but a network that fails here is no quality network."""
    from skimage.filters import gaussian

    rng = np.random.default_rng(0)
    for photograph in open_photographs(("astronaut", "chelsea", "coffee")):
        whole = look_into(photograph.image)
        blurred = np.rint(255 * gaussian(photograph.image / 255, 4, channel_axis=2)).astype(np.uint8)
        noisy = np.clip(photograph.image + rng.normal(0, 60, photograph.image.shape), 0, 255).astype(np.uint8)
        assert whole.score > max(look_into(blurred).score, look_into(noisy).score)
        for saliency in (whole.gradcam, whole.saliency):
            assert saliency.shape == photograph.image.shape[:2] and 0 <= saliency.min() < saliency.max() <= 1


def test_a_damaged_file_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(shipped.FOLDER, tmp_path / "networks")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path / "networks")
    shipped.load_shipped.cache_clear()
    file = shipped.shipped_file("baseline")
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(PaperlibError, match="cannot be used .* restore it with"):
        shipped.load_shipped("baseline")
    shipped.load_shipped.cache_clear()


@pytest.mark.slow
def test_the_card_tells_the_srocc_that_the_file_reaches(shared) -> None:
    test = open_opinions("biq2021", shared("open", "biq2021")).part("test")
    network, size = shipped.load_shipped("baseline"), tuple(shipped.describe("baseline")["size"])
    with torch.inference_mode():
        scores = [network(to_unit_range(picture(record, size)[None].copy())).item() for record in test.records]
    told = float(re.search(r"\| `baseline` \| [^|]+ \| ([0-9.]+) \|", shipped.CARD.read_text())[1])
    assert srocc(scores, test.mos) == pytest.approx(told, abs=1e-3)


def test_look_writes_a_figure_and_prints_the_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image
    from skimage.data import coffee

    Image.fromarray(coffee()).save(tmp_path / "my picture.jpg")
    assert cli.main(["look", str(tmp_path / "my picture.jpg"), "--out", str(tmp_path / "out"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    with Image.open(told["figure"]) as figure:
        assert min(figure.size) > 200
    assert told["score"] == pytest.approx(look_into(np.array(Image.open(tmp_path / "my picture.jpg"))).score)
    assert cli.main(["look", str(tmp_path / "none.jpg")]) == 2
    assert "none.jpg cannot be used" in capsys.readouterr().err


def test_a_network_that_ships_is_a_source_like_any_other() -> None:
    source = of_user(["shipped:gradcam_loss"])["shipped:gradcam_loss"]
    assert source.scores and source.asks_score and not official_files(source)
    params = {"model": source.model, "layer": "", "optimise": True, "input_height": 64, "input_width": 64}
    network, layer = function(source.opener)(params, {})
    (picture,) = open_photographs(("coffee",), (64, 64))
    seen = to_unit_range(picture.image[None].copy())
    plain = shipped.load_shipped("gradcam_loss")
    with torch.inference_mode():
        assert network(seen).item() == pytest.approx(plain(seen).item(), abs=1e-4)
    assert layer in set(network.modules())
    assert len(weights_fingerprint(source, Path())) == 16


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("shipped:resnet", "no network 'resnet' ships; those that do: baseline"), ("shipped:baseline=a.pth", "a.pth")],
)
def test_what_does_not_ship_is_told(text: str, sentence: str) -> None:
    with pytest.raises(PaperlibError, match=sentence):
        of_user([text])


def test_table1_takes_the_network_that_ships_instead_of_training(tmp_path: Path) -> None:
    profile = profiles.load("open", networks="shipped", data_root=str(tmp_path))
    source = published_sources(profile)["baseline"]
    assert (source.kind, source.model) == ("shipped", "baseline")
    with pytest.raises(PaperlibError, match="networks='bought': expected trained, files, or shipped"):
        profiles.load("open", networks="bought")
