"""What users bring: every byte of it decides results, what is odd about it is told, what cannot be right is refused."""

import csv
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from paperlib import cli, profiles, regenerate
from paperlib.datasets import contents
from paperlib.datasets.files import UnusableFile, picture_size
from paperlib.datasets.own import map_folders, open_own
from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import read_state
from paperlib.settings import Settings, in_use
from paperlib.sources import folders

SIZE = (48, 64)
NAMES = ("p00", "p01", "p02")
MODULE = """
import torch
from torch import nn
from own_layers import features

def model():
    network = nn.Sequential(features(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1))
    network.load_state_dict(torch.load("{weights}"))
    return network, "0"
"""
LAYERS = """
from torch import nn

def features():
    return nn.Conv2d(3, 2, 3, padding=1)
"""

Change = Callable[[Path], None]


def save(values: np.ndarray, path: Path, **options: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path, **options)


def folder(root: Path, suffix: str = ".bmp", named: Iterable[str] = NAMES, points: str = "pixels") -> Path:
    """Pictures with eight fixations each and a map of a model, all small."""
    rng = np.random.default_rng(0)
    with (root / "fixations.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "subject", "x", "y"])
        for name, written in zip(NAMES, named, strict=True):
            save(rng.integers(0, 256, (*SIZE, 3)), root / "images" / f"{name}{suffix}")
            save(rng.integers(0, 256, SIZE), root / "saliency_mine" / f"{name}.bmp")
            for subject in range(8):
                x, y = rng.uniform(0, 1, 2) * ((SIZE[1] - 1, SIZE[0] - 1) if points == "pixels" else (1, 1))
                table.writerow([f"{written}{suffix}", subject, f"{x:.3f}", f"{y:.3f}"])
    return root


def keys(root: Path, models: tuple[str, ...] = ()) -> dict[str, str]:
    given = {"models": models} if models else {}
    profile = profiles.load("own", data_root=str(root), model_folders=(str(root),), **given)
    return {unit.name: unit.key for unit in regenerate.units(profile, "extracting")}


def flip_a_bit(file: Path) -> None:
    """One bit in the middle, the size and the time of the last change as they were."""
    before, held = file.stat(), bytearray(file.read_bytes())
    held[len(held) // 2 + 3] ^= 1
    file.write_bytes(held)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    return tmp_path / "results"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


# ---------------------------------------------------------------------------------------------------- content decides


@pytest.mark.parametrize(("file", "follows"), [("images/p01.bmp", "gaze/own"), ("saliency_mine/p01.bmp", "maps")])
def test_a_bit_of_a_picture_or_map_gives_new_keys(
    file: str, follows: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_RACY", 0.0)
    before = keys(folder(root))
    assert keys(root) == before
    flip_a_bit(root / file)
    changed = {name for name, key in keys(root).items() if before[name] != key}
    assert any(follows in name or name.startswith("mine") for name in changed)


def test_a_bit_of_all_that_a_network_of_the_user_is_made_of_gives_new_keys(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its module, a module that this imports, and a file that it loads."""
    monkeypatch.setattr(contents, "_RACY", 0.0)
    folder(root)
    weights = root / "held.pth"
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Identity(), torch.nn.Identity(), torch.nn.Linear(2, 1))
    torch.save(layers.state_dict(), weights)
    (root / "own_net.py").write_text(MODULE.format(weights=weights))
    (root / "own_layers.py").write_text(LAYERS)
    seen = [keys(root, ("own_net:model",))]
    assert keys(root, ("own_net:model",)) == seen[0]
    state = torch.load(weights)
    torch.save(state | {"0.bias": state["0.bias"] + 1}, weights)
    seen.append(keys(root, ("own_net:model",)))
    for file in ("own_layers.py", "own_net.py"):
        (root / file).write_text((root / file).read_text() + "\n# another word\n")
        seen.append(keys(root, ("own_net:model",)))
    networks = [tuple(key for name, key in one.items() if "own_net" in name) for one in seen]
    assert len(set(networks)) == len(networks) == 4


def test_a_remembered_file_is_not_read_again(root: Path, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_RACY", 0.0)
    file = root / "a"
    file.write_bytes(b"content")
    with contents.remembering(results):
        first = contents.digests([file, file])
        monkeypatch.setattr(contents, "_read", lambda file: pytest.fail("it was read again"))
        assert contents.digests([file]) == first[:1]
        with pytest.raises(pytest.fail.Exception):
            flip_a_bit(file)
            contents.digests([file])


@pytest.mark.parametrize("held", [b"", b"no database at all"])
def test_a_damaged_memory_costs_time_and_nothing_else(held: bytes, root: Path, results: Path) -> None:
    results.mkdir()
    (results / "contents.sqlite").write_bytes(held)
    (root / "a").write_bytes(b"content")
    with contents.remembering(results):
        assert contents.digests([root / "a"]) == contents.digests([root / "a"])


# ------------------------------------------------------------------------------------------------------ told or refused


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("P00.BMP", "p00.bmp"),
        ("p00.png", "p00.bmp"),
        ("p00", "p00.bmp"),
        ("caf\u00e9.bmp", "cafe\u0301.bmp"),
        ("x\\p00.bmp", "p00.bmp"),
    ],
)
def test_one_rule_for_names_in_tables(name: str, file: str, root: Path) -> None:
    folder(root)
    (root / "images/p00.bmp").rename(root / "images" / file)
    table = root / "fixations.csv"
    table.write_text(table.read_text().replace("p00.bmp", name), encoding="utf-8")
    assert [record.image.name for record in open_own(root).records if record.image.name == file]


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".avif", ".ppm", ".jp2", ".webp"])
def test_common_types_are_read(suffix: str, root: Path) -> None:
    assert len(open_own(folder(root, suffix)).records) == len(NAMES)


def test_other_files_beside_pictures_are_named(root: Path) -> None:
    (folder(root) / "images/p09.heic").write_bytes(b"x")
    assert any("1 files in images/ of other types: p09.heic" in note for note in open_own(root).notes)


def test_shares_for_pixels_are_refused(root: Path) -> None:
    with pytest.raises(PaperlibError, match="lie between 0 and 1 and look like shares"):
        open_own(folder(root, points="shares"))


def test_lines_that_stand_twice_are_told(root: Path) -> None:
    table = folder(root) / "fixations.csv"
    table.write_text(table.read_text() + "".join(table.read_text().splitlines(keepends=True)[1:3]))
    assert any("2 lines of fixations.csv repeat an earlier one" in note for note in open_own(root).notes)


def test_what_is_odd_is_said_before_the_units(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAPERLIB_QUIET", raising=False)
    table = folder(root) / "fixations.csv"
    table.write_text(table.read_text() + "p00.bmp,1,900,900\n")
    save(np.random.default_rng(1).integers(0, 256, (*SIZE, 3)), root / "saliency_mine/p00.bmp")
    keys(root)
    said = capsys.readouterr().err
    assert "own data, 3 pictures: 1 points outside their picture were dropped, in p00.bmp" in said
    assert "saliency_mine, 3 pictures: maps are in colours, of which the luma is read: p00.bmp" in said


def test_what_was_read_stands_in_the_json_of_a_table(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = folder(root) / "fixations.csv"
    table.write_text(table.read_text() + "p00.bmp,1,901,901\n")
    assert cli.main(["table", "1", "--profile", "own", "--data-root", str(root), "--json"]) == 0
    assert any("points outside their picture" in line for line in json.loads(capsys.readouterr().out)["read"])


def test_maps_that_lie_on_their_side_or_say_nothing_are_refused(root: Path) -> None:
    turned, flat = root / "turned.png", root / "flat.png"
    save(np.random.default_rng(0).integers(0, 256, SIZE[::-1]), turned)
    save(np.full(SIZE, 7), flat)
    with pytest.raises(PaperlibError, match="48x64 pixels for a picture of 64x48: it lies on its side"):
        folders.fitted(turned, SIZE)
    with pytest.raises(PaperlibError, match="the same value everywhere"):
        folders.fitted(flat, SIZE)


def test_larger_maps_are_averaged(root: Path) -> None:
    file, few = root / "large.png", np.zeros((SIZE[0] * 8, SIZE[1] * 8), np.uint8)
    few[::8, ::8] = 64
    few[0, 0] = 128
    save(few, file)
    found = folders.fitted(file, SIZE)
    assert found.shape == SIZE and found[0, 0] == pytest.approx(2) and np.allclose(found.ravel()[1:], 1)


def test_two_maps_of_one_picture_are_named(root: Path) -> None:
    save(np.zeros(SIZE), folder(root) / "saliency_mine/p00.png")
    (root / "saliency_mine/p00.bmp").rename(root / "saliency_mine/p00.jpg")
    with pytest.raises(PaperlibError, match=r"1 of 3 pictures have no map .* there are p00.jpg, p00.png, keep one"):
        map_folders(root)


def test_folders_of_maps_keep_off_the_names_of_rows(root: Path) -> None:
    (folder(root) / "saliency_mine").rename(root / "saliency_noise_map")
    with pytest.raises(PaperlibError, match="saliency_noise_map have names of rows of ours; rename them"):
        keys(root)


def test_a_picture_that_nothing_can_be_seen_in_is_refused(root: Path) -> None:
    save(np.zeros((3, 3, 3)), folder(root) / "images/p02.bmp")
    (root / "fixations.csv").write_text("image,subject,x,y\np00.bmp,0,1,1\np01.bmp,0,1,1\np02.bmp,0,1,1\n")
    with pytest.raises(PaperlibError, match="1 of 3 pictures of own data have a side of fewer than 16 pixels: p02.bmp"):
        keys(root)


@pytest.mark.parametrize(
    ("asked", "seen", "told"),
    [
        ("", (640, 1248), "so that networks see all at 1248x640; --input-size WIDTHxHEIGHT, or whole, is another"),
        ("whole", (0, 0), "and networks see them whole: an EfficientNet takes about 1 min on two cores"),
        ("200x100", (100, 200), ""),
    ],
)
def test_networks_see_large_pictures_smaller_unless_asked(
    asked: str, seen: tuple[int, int], told: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(np.zeros((1500, 2900, 3)), folder(root) / "images/p01.bmp")
    save(np.zeros((1500, 2900)), root / "saliency_mine/p01.bmp")
    with in_use(replace(Settings.from_environment(), input_size=asked)):
        profile = profiles.load("own", data_root=str(root), models=["shipped:baseline"])
        units = regenerate.units(profile, "extracting")
    params = [dict(need.params) for unit in units for need in unit.needs]
    assert {(one["input_height"], one["input_width"]) for one in params if "input_height" in one} == {seen}
    said = capsys.readouterr().err
    assert told in said and ("1 have more than 4 megapixels (p01.bmp)" in said) == bool(told)


@pytest.mark.parametrize("wrap", ["state_dict", "model", "model_state_dict", "params"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_the_usual_forms_of_state_dicts_are_read(wrap: str, prefix: str, root: Path) -> None:
    state = {"weight": torch.ones(2)}
    torch.save({wrap: {prefix + name: value for name, value in state.items()}, "epoch": 3}, root / "w.pth")
    assert list(read_state(root / "w.pth")) == ["weight"]


@pytest.mark.parametrize(
    "asked", [["--data-root", "."], ["--model", "cnniqa"], ["--extent", "all"], ["--input-size", "whole"]]
)
def test_options_without_effect_are_refused(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["table", "1", *asked]) == 2
    assert f"{asked[0]} would change nothing: the profile 'demo'" in capsys.readouterr().err


@pytest.mark.parametrize("cut", ["images/p01.jpg"])
def test_verify_reads_the_users_folder(cut: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = folder(root, ".jpg") / cut
    file.write_bytes(file.read_bytes()[:-200])
    assert cli.main(["data", "status", "--profile", "own", "--data-root", str(root)]) == 0
    capsys.readouterr()
    assert cli.main(["data", "verify", "--profile", "own", "--data-root", str(root)]) == 1
    assert Path(cut).name in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_told_before_computing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(root)
    asked = ["table", "1", "--profile", "own", "--data-root", str(root), "--results", "/proc/x"]
    assert cli.main(asked) == 2
    assert "cannot write to /proc/x/own" in (said := capsys.readouterr().err) and "--results DIR" in said


def test_a_panorama_is_read_where_the_user_allows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "panorama.png"
    Image.new("L", (24_000, 3_000)).save(path)
    with pytest.raises(UnusableFile, match="24000x3000 pixels, more than 68 megapixels; PAPERLIB_MEGAPIXELS=72 allows it"):
        picture_size(path)
    monkeypatch.setenv("PAPERLIB_MEGAPIXELS", "72")
    assert picture_size(path) == (3_000, 24_000)
    monkeypatch.setenv("PAPERLIB_MEGAPIXELS", "many")
    with pytest.raises(PaperlibError, match="PAPERLIB_MEGAPIXELS must be a positive whole number, got 'many'"):
        picture_size(path)
