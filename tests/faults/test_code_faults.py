"""The verbs `code` and `votes` on damaged and odd input: the right result, or one sentence; a folder after a kill."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from paperlib import cli, paths
from paperlib.coding.still import code_picture
from tests.study_samples import Pair, kill_when, photograph, refusal

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch

pytestmark = pytest.mark.usefixtures("quiet_place")


@pytest.fixture(scope="module")
def pair() -> Pair:
    return photograph("coffee")


@pytest.fixture
def folder(tmp_path: Path, pair: Pair) -> Path:
    """A picture with its map, and the same in a folder of pictures and one of maps."""
    for where, name, pixels in (("photos", "photo", pair[0]), ("maps", "map", pair[1])):
        (tmp_path / where).mkdir()
        for file in (f"{name}.png", f"{where}/good.png"):
            Image.fromarray(pixels).save(tmp_path / file)
    return tmp_path


def code(folder: Path, *words: str, image: str = "photo.png", saliency: str = "map.png", bpp: str = "0.6") -> int:
    """The verb on one picture, results in `out`."""
    command = ["code", str(folder / image), "--saliency", str(folder / saliency), "--bpp", bpp]
    return cli.main([*command, "--out", str(folder / "out"), "--json", *words])


def command(folder: Path, bpp: str = "0.5", saliency: str = "maps") -> list[str]:
    """Words of the verb on the folder of pictures, results in `own`."""
    chosen = saliency if saliency == "center" else str(folder / saliency)
    return ["code", str(folder / "photos"), "--saliency", chosen, "--bpp", bpp, "--out", str(folder / "own"), "--json"]


def study(folder: Path, capsys: Capture, **options: str) -> dict[str, Any]:
    """What the verb tells of a folder."""
    assert cli.main(command(folder, **options)) == 0
    return json.loads(capsys.readouterr().out)


def pngs(own: Path) -> dict[str, bytes]:
    return {str(path.relative_to(own)): path.read_bytes() for path in sorted(own.rglob("*.png"))}


# ---- pictures of every kind -----------------------------------------------------------------------------------------
ODD = ("grey.png", "deep.png", "print.tif", "alpha.png", "turned.png")


def save_odd(file: Path, picture: np.ndarray) -> np.ndarray:
    """Write a picture of the kind that the file's name tells; the pixels that must be coded."""
    grey, exif = picture[..., 1], Image.Exif()
    exif[0x0112] = 6
    images = {
        "grey": Image.fromarray(grey),
        "deep": Image.fromarray(grey.astype(np.uint16) * 256 + 77),
        "print": Image.fromarray(picture).convert("CMYK"),
        "alpha": Image.fromarray(np.dstack([picture, np.full(grey.shape, 99, np.uint8)])),
        "turned": Image.fromarray(picture),
    }
    images[file.stem].save(file, **({"exif": exif} if file.stem == "turned" else {}))
    return np.repeat(grey[..., None], 3, axis=2) if file.stem in ("grey", "deep") else picture


@pytest.mark.parametrize("name", ODD)
def test_odd_pictures_are_coded_as_the_pixels_that_they_hold(folder: Path, pair: Pair, capsys: Capture, name: str) -> None:
    pixels = save_odd(folder / name, pair[0])
    assert code(folder, image=name) == 0
    told = json.loads(capsys.readouterr().out)
    assert (folder / "out" / f"{Path(name).stem}_coded.264").read_bytes() == code_picture(pixels, pair[1], 0.6).stream
    assert any("EXIF" in note for note in told["notes"]) == (name == "turned.png")


def test_a_folder_with_pictures_of_every_kind(folder: Path, pair: Pair, capsys: Capture) -> None:
    """Unusable ones are left out whole, by name, and the others go on."""
    photos, own = folder / "photos", folder / "own"
    expected = {Path(name).stem: save_odd(photos / name, pair[0]) for name in ODD}
    whole = (photos / "good.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "text.jpg").write_bytes(b"no picture at all")
    (photos / "empty.png").write_bytes(b"")
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "Thumbs.db").write_bytes(b"junk")
    (photos / "notes.txt").write_text("no picture either")
    told = study(folder, capsys, saliency="center")
    assert told["photographs"] == sorted([*expected, "good"])
    assert told["left_out"].keys() == {"cut", "empty", "text"}
    assert "truncated" in told["left_out"]["cut"] and "not a picture" in told["left_out"]["text"]
    assert any("turned" in note and "EXIF" in note for note in told["notes"])
    for name, pixels in expected.items():
        with Image.open(own / "reference" / f"{name}.png") as stored:
            assert stored.mode == "RGB" and not stored.getexif() and np.array_equal(np.asarray(stored), pixels)
        assert len(list((own / "compressed" / name).glob("*.png"))) == 4
    for name in told["left_out"]:
        assert not list(own.rglob(f"{name}*"))
    versions = {
        name: (own / "compressed" / name / "h264v@targetbbp100=50_preset=p220.png").read_bytes()
        for name in told["photographs"]
    }
    assert versions["deep"] == versions["grey"] and versions["alpha"] == versions["turned"] == versions["good"]


def test_map_of_another_size_or_depth(folder: Path, pair: Pair, capsys: Capture) -> None:
    """The map that is stored has the picture's size and is the one that steered the encoder."""
    saliency, own = pair[1], folder / "own"
    for name in ("small", "deep", "float"):
        (folder / "photos" / f"{name}.png").write_bytes((folder / "photos" / "good.png").read_bytes())
    Image.fromarray(saliency[::2, ::2]).save(folder / "maps" / "small.png")
    Image.fromarray(saliency.astype(np.uint16) * 257).save(folder / "maps" / "deep.png")
    Image.fromarray(saliency.astype(np.float32) / 255).save(folder / "maps" / "float.tif")
    assert [note for note in study(folder, capsys)["notes"] if "small: the saliency map was resized" in note]
    for name, mode in (("good", "L"), ("small", "I;16"), ("deep", "I;16"), ("float", "I;16")):
        with Image.open(own / "saliency" / f"{name}.png") as stored:
            assert stored.mode == mode and stored.size == saliency.shape[::-1]
            if name == "deep":
                assert np.array_equal(np.asarray(stored) // 257, saliency)
    before = pngs(own)
    own.rename(folder / "before")
    (folder / "maps").rename(folder / "first")
    (folder / "before" / "saliency").rename(folder / "maps")
    study(folder, capsys)
    assert pngs(own) == before


# ---- files that cannot be used --------------------------------------------------------------------------------------
@pytest.mark.parametrize("which", ["image", "saliency"])
@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "No such file"), (b"", "not a picture"), (b"no picture at all", "not a picture"), ("half", "truncated")],
)
def test_unusable_file(folder: Path, capsys: Capture, which: str, content: bytes | str | None, word: str) -> None:
    if content == "half":
        whole = (folder / "photo.png").read_bytes()
        content = whole[: len(whole) // 2]
    if content is not None:
        (folder / "bad.png").write_bytes(content)
    assert code(folder, **{which: "bad.png"}) == 2
    told = refusal(capsys)
    assert "bad.png" in told and word in told and ("saliency map" in told) == (which == "saliency")
    assert list((folder / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (np.zeros((160, 208), np.uint8), "the saliency map is 0 in all"),
        (np.full((160, 208), 200, np.uint8), "the saliency map is 200 in all"),
        (np.full((160, 208), np.nan, np.float32), "finite"),
        (None, "not a picture"),
    ],
)
def test_unusable_map(folder: Path, capsys: Capture, content: np.ndarray | None, word: str) -> None:
    """One picture is refused; where it is the last of a folder, the command fails."""
    (folder / "maps" / "good.png").unlink()
    file = folder / "maps" / "good.tif"
    if content is None:
        file.write_bytes(b"no map")
    else:
        Image.fromarray(content).save(file)
    assert code(folder, saliency="maps/good.tif") == 2
    assert word in refusal(capsys)
    assert cli.main(command(folder)) == 1
    said = refusal(capsys)
    assert "none of the 1 photographs could be coded" in said and word in said
    assert not list((folder / "own").rglob("*.png")) and not (folder / "own" / "pairs.csv").exists()


def test_missing_map(folder: Path, capsys: Capture) -> None:
    (folder / "photos" / "other.jpg").write_bytes(b"")
    assert cli.main(command(folder)) == 2
    assert "1 of 2 pictures have no map" in refusal(capsys) and not (folder / "own").exists()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("good.png", "Good.jpg"), "different names"),
        (("a\\b.png",), "rename"),
        ((" a.png",), "rename"),
        (("x/good.png",), "only the folders x"),
    ],
)
def test_names(folder: Path, capsys: Capture, names: tuple[str, ...], words: str) -> None:
    whole = (folder / "photos" / "good.png").read_bytes()
    (folder / "photos" / "good.png").unlink()
    for name in names:
        (folder / "photos" / name).parent.mkdir(exist_ok=True)
        (folder / "photos" / name).write_bytes(whole)
    assert cli.main(command(folder, saliency="center")) == 2
    assert words in refusal(capsys) and not (folder / "own").exists()


# ---- wishes that cannot be met --------------------------------------------------------------------------------------
@pytest.mark.parametrize("bpp", ["0.01", "80"])
def test_rate_out_of_reach(folder: Path, capsys: Capture, bpp: str) -> None:
    assert code(folder, bpp=bpp) == 2
    told = refusal(capsys)
    assert f"{bpp} bpp cannot be reached" in told
    assert list((folder / "out").iterdir()) == []
    nearest = told.split("--bpp ")[1].split()[0]
    assert code(folder, bpp=nearest) == 0
    assert json.loads(capsys.readouterr().out)["bpp"]["achieved"] == pytest.approx(float(nearest), rel=0.01)


def test_a_rate_out_of_reach_leaves_the_photograph_out(folder: Path, capsys: Capture) -> None:
    """Noise cannot be coded at .3 bpp, in no version; the other photograph is whole."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photos" / "noise.png")
    told = study(folder, capsys, bpp="0.3", saliency="center")
    assert told["photographs"] == ["good"] and "0.3 bpp cannot be reached with preset" in told["left_out"]["noise"]
    assert "the nearest is" in told["left_out"]["noise"] and not list((folder / "own").rglob("*noise*"))
    (folder / "photos" / "good.png").unlink()
    assert cli.main(command(folder, "0.3", "center")) == 1
    assert "none of the 1 photographs" in refusal(capsys)


def test_share_out_of_reach_is_noted(folder: Path, capsys: Capture) -> None:
    assert code(folder, "--share", "99.9") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["share"]["reached"] is False and told["share"]["achieved"] < 0.999
    assert any("instead of 99.9 %" in note for note in told["notes"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--bpp", "0"], "--bpp must lie above 0"),
        (["--bpp", "nan"], "--bpp must lie above 0"),
        (["--s0", "100"], "--s0 must lie above 0 and below 100"),
        (["--share", "-3"], "--share must lie above 0 and below 100"),
        (["--preset", "placebo"], "--preset must be one of ultrafast"),
    ],
)
def test_bad_option(folder: Path, capsys: Capture, words: list[str], told: str) -> None:
    assert code(folder, *words) == 2
    assert told in refusal(capsys)
    assert not (folder / "out").exists()


def test_rule_without_a_map(folder: Path, capsys: Capture) -> None:
    assert cli.main(["code", str(folder / "photo.png"), "--bpp", "0.5", "--s0", "60"]) == 2
    assert "add --saliency" in refusal(capsys)


# ---- the world around it --------------------------------------------------------------------------------------------
def test_results_never_replace_an_input(folder: Path, capsys: Capture) -> None:
    (folder / "map.png").rename(folder / "photo_coded.png")
    before = (folder / "photo_coded.png").read_bytes()
    assert code(folder, "--out", str(folder), saliency="photo_coded.png") == 2
    assert "would replace an input" in refusal(capsys)
    assert (folder / "photo_coded.png").read_bytes() == before


def test_folder_that_cannot_be_written(folder: Path, capsys: Capture) -> None:
    (folder / "file").write_text("in the way")
    assert code(folder, "--out", str(folder / "file" / "out")) == 2
    assert "choose another folder with --out DIR" in refusal(capsys)


@pytest.mark.parametrize("name", ["photo_coded.png", "photo_coded.264", "photo_coded.json"])
@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken")])
def test_interrupted_write_leaves_no_half_file(
    folder: Path, monkeypatch: Patch, capsys: Capture, name: str, failure: BaseException
) -> None:
    """Old results stay whole until their new version is; the record is the last."""
    assert code(folder) == 0
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    replace = os.replace

    def failing(source: str, target: Path) -> None:
        if Path(target).name == name:
            raise failure
        replace(source, target)

    monkeypatch.setattr(paths.os, "replace", failing)
    codes = {KeyboardInterrupt: 130, OSError: 1 if getattr(failure, "errno", 0) == errno.ENOSPC else 2}
    assert code(folder, bpp="0.9") == codes[type(failure)]
    after = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    order = ["photo_coded.png", "photo_coded.264", "photo_coded.json"]
    assert sorted(after) == sorted(order)
    assert [after[one] == before[one] for one in order] == [order.index(one) >= order.index(name) for one in order]


def test_a_killed_folder_is_gone_on_with(folder: Path, capsys: Capture) -> None:
    """Killed at once after its second picture; the next call codes the others, to the bytes of an undisturbed call."""
    own = folder / "own"
    kill_when(command(folder, "0.5,0.6,0.7"), lambda: len(list(own.glob("compressed/good/*.json"))) >= 2)
    done = {path: path.stat().st_mtime_ns for path in own.glob("compressed/good/*.json")}
    assert 2 <= len(done) < 12 and not (own / "pairs.csv").exists() and not (own / "reference").exists()
    (own / "compressed" / "good" / ".h264v.png.abc.part").write_bytes(b"left behind by a kill")
    study(folder, capsys, bpp="0.5,0.6,0.7")
    assert {path: path.stat().st_mtime_ns for path in done} == done, "what was whole is coded again"
    assert (own / "pairs.csv").is_file() and not list(own.rglob("*.part"))
    after = pngs(own)
    assert len(after) == 12 + 2
    own.rename(folder / "disturbed")
    study(folder, capsys, bpp="0.5,0.6,0.7")
    assert pngs(own) == after


def test_two_at_once(folder: Path, capsys: Capture) -> None:
    (folder / "own").mkdir()
    with FileLock(folder / "own" / ".coding.lock"):
        assert cli.main(command(folder)) == 2
    assert "another process is coding" in refusal(capsys)


# ---- votes ----------------------------------------------------------------------------------------------------------
HEADER = "image,left,right,choice,assessor"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{HEADER}\nk,a,b,upper,x\n", "line 2 (choice is 'upper')"),
        (f"{HEADER}\nk,a,b,left,x\nk,a,a,left,x\n", "line 3 ('a' on both sides)"),
        (f"{HEADER}\n,a,b,left,x\n", "line 2 (no image)"),
        (f"{HEADER}\nk,a,b,left,\n", "line 2 (no assessor)"),
        (f"{HEADER}\nk,a,b,left\n", "line 2 (4 columns, expected 5)"),
        (f"{HEADER},expected\nk,a,b,left,x,tie\n", "line 2 (a tie is expected"),
        (f"{HEADER},expected\nk,a,b,left,x,c\n", "line 2 (expected is 'c')"),
        ("image,left,right,assessor\nk,a,b,x\n", "has no column choice"),
        (f"{HEADER}\nk,a,b,left,x\n".replace(",", ";"), "semicolons"),
        (f"{HEADER}\n", "has a header and no votes"),
        ("", "is empty"),
        (b"\xff\xfe\x00k", "is not UTF-8"),
        (None, "there is no"),
        (f"{HEADER},expected\nk,a,b,left,x,right\nk,a,b,left,x,\n", "none of the 2 votes counts"),
    ],
)
def test_unusable_votes(tmp_path: Path, capsys: Capture, text: str | bytes | None, told: str) -> None:
    file = tmp_path / "votes.csv"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert cli.main(["votes", str(file)]) == 2
    assert told in refusal(capsys)


def test_a_folder_holds_no_votes(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["votes", str(tmp_path)]) == 2
    assert "cannot be read" in refusal(capsys)


@pytest.mark.parametrize(
    ("wins", "told"),
    [
        ("-1", "virtual wins must be"),
        ("nan", "virtual wins must be"),
        ("inf", "virtual wins must be"),
        ("0", "m has versions that never lost"),
    ],
)
def test_virtual_wins_that_give_no_scores(tmp_path: Path, capsys: Capture, wins: str, told: str) -> None:
    (tmp_path / "votes.csv").write_text(f"{HEADER}\nk,a,b,tie,x\nm,a,b,left,x\n")
    assert cli.main(["votes", str(tmp_path / "votes.csv"), "--virtual-wins", wins]) == 2
    assert told in refusal(capsys)
