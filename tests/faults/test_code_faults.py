"""The verbs `code` and `votes` on damaged and odd input: the right result, or one sentence and exit code 2."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paperlib import cli, paths
from paperlib.coding.still import code_picture
from paperlib.datasets.photographs import open_photographs, predicted_saliency

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return open_photographs(["chelsea"])[0].image[40:200, 60:240]


@pytest.fixture(scope="module")
def saliency() -> np.ndarray:
    return (255 * predicted_saliency(open_photographs(["chelsea"])[0])[40:200, 60:240]).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray, saliency: np.ndarray) -> Path:
    Image.fromarray(picture).save(tmp_path / "photo.png")
    Image.fromarray(saliency).save(tmp_path / "map.png")
    return tmp_path


def code(folder: Path, *words: str, image: str = "photo.png", saliency: str = "map.png", bpp: str = "0.6") -> int:
    """The verb with everything in one folder, results in `out`."""
    command = ["code", str(folder / image), "--saliency", str(folder / saliency), "--bpp", bpp]
    return cli.main([*command, "--out", str(folder / "out"), "--json", *words])


def sentence(capsys: Capture) -> str:
    """The one line that is told; nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("paperlib: ")
    return err


# ---- pictures of every kind -----------------------------------------------------------------------------------------
def expect_coded_as(pixels: np.ndarray, folder: Path, capsys: Capture, image: str, saliency: np.ndarray) -> dict:
    assert code(folder, image=image) == 0
    told = json.loads(capsys.readouterr().out)
    stream = (folder / "out" / f"{Path(image).stem}_coded.264").read_bytes()
    assert stream == code_picture(pixels, saliency, 0.6).stream
    return told


def test_grey(folder: Path, picture: np.ndarray, saliency: np.ndarray, capsys: Capture) -> None:
    grey = picture[..., 1]
    Image.fromarray(grey).save(folder / "grey.png")
    expect_coded_as(np.repeat(grey[..., None], 3, axis=2), folder, capsys, "grey.png", saliency)


def test_alpha_is_dropped(folder: Path, picture: np.ndarray, saliency: np.ndarray, capsys: Capture) -> None:
    alpha = np.concatenate([picture, np.full((*picture.shape[:2], 1), 99, np.uint8)], axis=2)
    Image.fromarray(alpha).save(folder / "alpha.png")
    expect_coded_as(picture, folder, capsys, "alpha.png", saliency)


def test_sixteen_bits(folder: Path, picture: np.ndarray, saliency: np.ndarray, capsys: Capture) -> None:
    grey = picture[..., 1]
    Image.fromarray(grey.astype(np.uint16) * 256 + 77).save(folder / "deep.png")
    expect_coded_as(np.repeat(grey[..., None], 3, axis=2), folder, capsys, "deep.png", saliency)


def test_cmyk(folder: Path, picture: np.ndarray, saliency: np.ndarray, capsys: Capture) -> None:
    Image.fromarray(picture).convert("CMYK").save(folder / "print.tif")
    expect_coded_as(picture, folder, capsys, "print.tif", saliency)


def test_exif_rotation_is_ignored_with_a_note(
    folder: Path, picture: np.ndarray, saliency: np.ndarray, capsys: Capture
) -> None:
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(folder / "turned.png", exif=exif)
    told = expect_coded_as(picture, folder, capsys, "turned.png", saliency)
    assert any("EXIF" in note for note in told["notes"])


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
    told = sentence(capsys)
    assert "bad.png" in told and word in told and ("saliency map" in told) == (which == "saliency")
    assert list((folder / "out").iterdir()) == []


@pytest.mark.parametrize("value", [0, 200])
def test_constant_map(folder: Path, picture: np.ndarray, capsys: Capture, value: int) -> None:
    Image.fromarray(np.full(picture.shape[:2], value, np.uint8)).save(folder / "flat.png")
    assert code(folder, saliency="flat.png") == 2
    assert f"the saliency map is {value} in all" in sentence(capsys)


def test_map_with_nan(folder: Path, picture: np.ndarray, capsys: Capture) -> None:
    Image.fromarray(np.full(picture.shape[:2], np.nan, np.float32)).save(folder / "nan.tif")
    assert code(folder, saliency="nan.tif") == 2
    assert "finite" in sentence(capsys)


# ---- wishes that cannot be met --------------------------------------------------------------------------------------
@pytest.mark.parametrize("bpp", ["0.01", "80"])
def test_rate_out_of_reach(folder: Path, capsys: Capture, bpp: str) -> None:
    assert code(folder, bpp=bpp) == 2
    told = sentence(capsys)
    assert f"{bpp} bpp cannot be reached" in told
    assert list((folder / "out").iterdir()) == []
    nearest = told.split("--bpp ")[1].split()[0]
    assert code(folder, bpp=nearest) == 0
    assert json.loads(capsys.readouterr().out)["bpp"]["achieved"] == pytest.approx(float(nearest), rel=0.01)


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
    assert told in sentence(capsys)
    assert not (folder / "out").exists()


def test_rule_without_a_map(folder: Path, capsys: Capture) -> None:
    assert cli.main(["code", str(folder / "photo.png"), "--bpp", "0.5", "--s0", "60"]) == 2
    assert "add --saliency" in sentence(capsys)


# ---- the world around it --------------------------------------------------------------------------------------------
def test_results_never_replace_an_input(folder: Path, capsys: Capture) -> None:
    (folder / "map.png").rename(folder / "photo_coded.png")
    before = (folder / "photo_coded.png").read_bytes()
    assert code(folder, "--out", str(folder), saliency="photo_coded.png") == 2
    assert "would replace an input" in sentence(capsys)
    assert (folder / "photo_coded.png").read_bytes() == before


def test_folder_that_cannot_be_written(folder: Path, capsys: Capture) -> None:
    (folder / "file").write_text("in the way")
    assert code(folder, "--out", str(folder / "file" / "out")) == 2
    assert "choose another folder with --out DIR" in sentence(capsys)


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
    assert told in sentence(capsys)


def test_votes_in_a_folder_or_without_rights(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["votes", str(tmp_path)]) == 2
    assert "cannot be read" in sentence(capsys)


@pytest.mark.parametrize("wins", ["-1", "nan", "inf"])
def test_bad_virtual_wins(tmp_path: Path, capsys: Capture, wins: str) -> None:
    (tmp_path / "votes.csv").write_text(f"{HEADER}\nk,a,b,left,x\n")
    assert cli.main(["votes", str(tmp_path / "votes.csv"), "--virtual-wins", wins]) == 2
    assert "virtual wins must be" in sentence(capsys)


def test_no_virtual_wins_where_a_version_never_lost(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "votes.csv").write_text(f"{HEADER}\nk,a,b,tie,x\nm,a,b,left,x\n")
    assert cli.main(["votes", str(tmp_path / "votes.csv"), "--virtual-wins", "0"]) == 2
    assert "m has versions that never lost" in sentence(capsys)
