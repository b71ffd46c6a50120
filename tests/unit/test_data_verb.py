"""The verb `data` from outside: what it prints, what it ends with, and what it calls the state of things."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import save_file
from torch import arange

from paperlib import cli, profiles
from paperlib.experiments.sets.plan import gaze_pictures
from paperlib.rehearsal.koniq_clive import write_koniq
from paperlib.rehearsal.sacid import write_sacid
from paperlib.rehearsal.salicon_cat2000 import write_salicon
from paperlib.supply import catalogue, fetch, state
from tests import tiny_catalogue as tiny
from tests.own_standins import write_own

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
_SETS, _WEIGHTS, _DOORS = catalogue.DATA_SETS, catalogue.weights, state._DOORS  # the real ones


@pytest.fixture
def root(tmp_path: Path, monkeypatch: Patch) -> Iterator[Path]:
    """A data root with no caches beside it, and the small catalogue."""
    data = tmp_path / "data"
    data.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    for name in ("PAPERLIB_DATA_ROOT", "PAPERLIB_WEIGHTS_ROOT", "PAPERLIB_MODELS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    tiny.install("http://127.0.0.1:9", monkeypatch.setattr)
    yield data


def complete(root: Path) -> None:
    """Everything in its place."""
    held = tiny.contents()
    write_salicon(root / "salicon", tiny.SALICON, 0)
    write_koniq(root / "koniq10k", tiny.KONIQ, 0)
    for name, content in held.sacid.items():
        (root / "sacid" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sacid" / name).write_bytes(content)
    (root / "weights").mkdir()
    for name in (tiny._network_name(), tiny._vision_name(), "Net_By_Hand.pth"):
        (root / "weights" / name).write_bytes(held.network)
    (root / "weights/tiny.one.safetensors").write_bytes(held.backbone)


def told(capsys: Capture, *words: str | Path) -> tuple[int, str, str]:
    code = cli.main(["data", *map(str, words)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def condition(root: Path, name: str, thorough: bool = False, **changed: object) -> tuple[str, str]:
    profile = profiles.load("paper", data_root=str(root), weights_root=str(root / "weights"), **changed)
    (found,) = state.look_at(profile, catalogue.find([name]), thorough)
    return found.condition, found.detail


def test_status_ends_with_0_only_when_the_profile_can_run(root: Path, capsys: Capture) -> None:
    code, out, _ = told(capsys, "status", "--data-root", root)
    assert code == 1 and "7 of 7 are not ready" in out and "By hand: salicon, by_hand" in out
    complete(root)
    code, out, _ = told(capsys, "status", "--data-root", root)
    assert code == 0 and "All 7 that were asked for are there." in out
    for line in ("none stated; https://github.com/Alexkkir/SACID; data root", "Table I"):
        assert line in out
    (root / "weights" / tiny._vision_name()).unlink()
    code, out, _ = told(capsys, "status", "--data-root", root)
    assert code == 1 and "1 of 7 are not ready" in out
    assert told(capsys, "status", "sacid", "--data-root", root)[0] == 0
    code, out, _ = told(capsys, "status", "--data-root", root, "sacid", "vision")
    assert code == 1 and "1 of 2 are not ready" in out, "names may stand behind options"
    assert told(capsys, "status", "--data-root", root, "sacid", "--unheard-of")[0] == 2


def test_json_holds_what_the_table_says(root: Path, capsys: Capture) -> None:
    complete(root)
    code, out, _ = told(capsys, "status", "--data-root", root, "--json")
    held = json.loads(out)
    assert code == 0 and held["ready"] and held["data_root"] == str(root)
    names = ["salicon", "koniq10k", "sacid", "net_koniq", "vision", "tiny.one", "by_hand"]
    assert [one["name"] for one in held["items"]] == names
    salicon, network = held["items"][0], held["items"][3]
    profile = profiles.load("paper", data_root=str(root))
    assert salicon["fingerprint"] == gaze_pictures(profile, "salicon").fingerprint
    assert salicon["condition"] == "present" and salicon["needed_by"] == ["Table I"] and salicon["bytes"] > 0
    assert network["bytes"] == len(tiny.contents().network) and network["place"] == "folder of weights"
    for task in ("where", "verify"):
        text = told(capsys, task, "--data-root", root, "--json")[1]
        assert json.loads(text)["items"][0]["fingerprint"] == salicon["fingerprint"]


def test_verify_finds_what_status_does_not_look_for(root: Path, capsys: Capture) -> None:
    complete(root)
    picture = next((root / "koniq10k/512x384").glob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:-300])
    content = bytearray((root / "weights" / tiny._vision_name()).read_bytes())
    content[len(content) // 2] ^= 1
    (root / "weights" / tiny._vision_name()).write_bytes(content)
    assert told(capsys, "status", "--data-root", root)[0] == 0
    code, out, _ = told(capsys, "verify", "--data-root", root)
    assert code == 1 and picture.name in out and "has another content than the official file" in out
    assert "2 of 7 are not ready" in out


def test_where_names_every_place_and_always_ends_with_0(root: Path, capsys: Capture) -> None:
    code, out, _ = told(capsys, "where", "--data-root", root)
    assert code == 0
    assert f"{root / 'salicon'}   (missing)" in out and str(root / "weights" / "Net_By_Hand.pth") in out
    assert str(root.parent / "torch/hub/pyiqa" / tiny._network_name()) in out
    assert str(root.parent / "hub/models--timm--tiny.one") in out


def test_unknown_words_end_with_2(root: Path, capsys: Capture) -> None:
    code, out, err = told(capsys, "status", "salcon", "--data-root", root)
    assert (code, out) == (2, "") and "names like it: salicon" in err and "Traceback" not in err
    assert told(capsys, "erase")[0] == 2
    assert told(capsys, "status", "--data-root", root / "nowhere")[0] == 2


def test_profiles_that_bring_their_own(root: Path, capsys: Capture) -> None:
    for task in ("status", "fetch", "verify", "where"):
        assert told(capsys, task, "--profile", "demo")[:2] == (
            0,
            "Profile demo needs no data and no weights: it makes its own.\n",
        )
        code, out, _ = told(capsys, task, "--profile", "rehearsal")
        assert code == 0 and "writes stand-ins" in out and str(root.parent / "results/rehearsal/standins") in out
    assert json.loads(told(capsys, "status", "--profile", "demo", "--json")[1])["ready"]
    code, _, err = told(capsys, "fetch", "sacid", "--profile", "rehearsal")
    assert code == 2 and "--profile paper" in err


def test_the_users_own_folder(root: Path, capsys: Capture) -> None:
    code, out, _ = told(capsys, "status", "--profile", "own")
    assert code == 1 and "fixations.csv (columns image, subject, x, y)" in out
    write_own(root / "mine", 3, 0)
    code, out, _ = told(capsys, "status", "--profile", "own", "--data-root", root / "mine")
    assert code == 0 and "Table I: 3 pictures, fingerprint " in out and "Table III is left out" in out
    write_sacid(root / "coded", 2, 0, (64, 80))
    code, out, _ = told(capsys, "status", "--profile", "own", "--data-root", root / "coded")
    assert code == 0 and "Table III: 24 pictures, fingerprint " in out and "Table I is left out" in out
    code, out, _ = told(capsys, "status", "--profile", "own", "--data-root", root / "mine", "--model", "dbcnn")
    assert code == 1 and "DBCNN_KonIQ10k-2de81c0a.pth" in out


def test_fetch_without_a_folder_is_refused(root: Path, capsys: Capture) -> None:
    code, _, err = told(capsys, "fetch", "sacid")
    assert code == 2 and "give --data-root DIR" in err


def test_fetch_says_how_to_get_the_rest(root: Path, capsys: Capture, monkeypatch: Patch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, out, _ = told(capsys, "fetch", "--data-root", root)
    assert code == 1
    assert "salicon: by hand\n  1. Pictures (3.0 GB): open https://drive.google.com/uc?export=download&id=1g8j" in out
    assert f"2. Put Net_By_Hand.pth into {root / 'weights'}." in out
    assert (
        "5 are missing and their sources cannot be reached (HF_HUB_OFFLINE forbids to use the network): koniq10k, "
        "sacid," in out
    )
    complete(root)
    code, out, _ = told(capsys, "fetch", "--data-root", root, "--json")
    assert code == 0 and {one["done"] for one in json.loads(out)["items"]} == {"there"}


# ---- what the state of things is called -----------------------------------------------------------------------------
def test_conditions_of_a_data_set(root: Path) -> None:
    assert condition(root, "salicon") == ("missing", "")
    (root / "downloads").mkdir()
    (root / "downloads/images.zip").write_bytes(b"PK")
    assert condition(root, "salicon") == (
        "missing",
        "images.zip is there, still packed: `python -m paperlib data fetch salicon` unpacks it",
    )
    write_salicon(root / "salicon", tiny.SALICON, 0)
    assert condition(root, "salicon")[0] == "present"
    moved = root / "salicon/maps"
    moved.rename(root / "elsewhere")
    assert condition(root, "salicon")[0] == "incomplete" and "lacks density maps" in condition(root, "salicon")[1]
    (root / "elsewhere").rename(moved)
    next((root / "salicon/maps/val").glob("*.png")).unlink()
    assert condition(root, "salicon")[0] == "incomplete" and condition(root, "salicon")[1].startswith("5 of 6 pictures")


def test_a_smaller_part_is_incomplete(root: Path, monkeypatch: Patch) -> None:
    write_salicon(root / "salicon", 4, 0)
    assert condition(root, "salicon") == ("incomplete", "4 of 6 pictures")


def test_a_file_that_is_cut_off_is_damage(root: Path) -> None:
    write_salicon(root / "salicon", tiny.SALICON, 0)
    picture = next((root / "salicon/images/val").glob("*.jpg"))
    picture.write_bytes(picture.read_bytes()[:-500])
    assert condition(root, "salicon")[0] == "present"
    found = condition(root, "salicon", thorough=True)
    assert found[0] == "damaged" and picture.name in found[1]


def test_the_test_set_of_cat2000_is_another_edition(root: Path, monkeypatch: Patch) -> None:
    monkeypatch.setitem(state._DOORS, "cat2000", replace(_DOORS["cat2000"], pictures=4))
    monkeypatch.setattr(catalogue, "DATA_SETS", tuple(one for one in _SETS if one.name == "cat2000"))
    (root / "cat2000/testSet/Stimuli/Action").mkdir(parents=True)
    picture = next(write_salicon(root / "other", 1, 0).rglob("*.jpg"))
    shutil.copy(picture, root / "cat2000/testSet/Stimuli/Action/001.jpg")
    found = condition(root, "cat2000")
    assert found[0] == "wrong edition" and "looks like CAT2000's test set" in found[1]


def test_conditions_of_weights(root: Path) -> None:
    place = root.parent / "torch/hub/pyiqa" / tiny._network_name()
    place.parent.mkdir(parents=True)
    assert condition(root, "net_koniq") == ("missing", "")
    place.with_name(f"{place.name}.part").write_bytes(b"half")
    assert condition(root, "net_koniq")[0] == "incomplete" and "4 bytes have arrived" in condition(root, "net_koniq")[1]
    content = tiny.contents().network
    for bad, word in (
        (b"", "is empty"),
        (content[:-30], "is cut off"),
        (b"<html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer"),
    ):
        place.write_bytes(bad)
        assert condition(root, "net_koniq")[0] == "damaged" and word in condition(root, "net_koniq")[1]
    place.write_bytes(content)
    assert condition(root, "net_koniq") == ("present", "")


def test_safetensors_are_told_by_their_own_header(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"a": arange(10.0), "b": arange(3)}, file)
    whole = file.read_bytes()
    assert state.structural_fault(file) == ""
    for content, word in (
        (whole[:-1], "is cut off"),
        (whole + b"x", "cut off"),
        (whole[:6], "no safetensors file"),
        (b"\xff" * 64, "no safetensors file"),
        (b"\x05\0\0\0\0\0\0\0{bad}", "no safetensors file"),
    ):
        file.write_bytes(content)
        assert word in state.structural_fault(file)


def test_baselines_are_to_be_trained(root: Path, monkeypatch: Patch) -> None:
    file = next(one for one in _WEIGHTS() if one.name == "baseline_resnet50")
    monkeypatch.setattr(catalogue, "weights", lambda: (file,))
    found = condition(root, "baseline_resnet50")
    assert found == ("to be trained", "train Table II, then `python -m paperlib export` writes it")
    profile = profiles.load("paper", data_root=str(root), weights_root=str(root / "weights"))
    (outcome,) = fetch.fetch(profile, ["baseline_resnet50"])
    assert outcome.done == "to be trained" and "--only 03c" in outcome.sentence
