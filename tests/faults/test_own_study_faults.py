"""The verb `code` on a folder: a kill in the middle, pictures and maps of every kind, bit-rates out of reach."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from paperlib import cli
from paperlib.datasets.photographs import open_photographs, predicted_saliency
from paperlib.paths import REPOSITORY

Capture = pytest.CaptureFixture[str]
PATIENCE = 120.0


pytestmark = pytest.mark.usefixtures("quiet_place")


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return open_photographs(["coffee"], size=(160, 208))[0].image


@pytest.fixture(scope="module")
def saliency() -> np.ndarray:
    return np.round(255 * predicted_saliency(open_photographs(["coffee"], size=(160, 208))[0])).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path, picture: np.ndarray, saliency: np.ndarray) -> Path:
    for name, pixels in (("photos", picture), ("maps", saliency)):
        (tmp_path / name).mkdir()
        Image.fromarray(pixels).save(tmp_path / name / "good.png")
    return tmp_path


def command(folder: Path, bpp: str = "0.5", saliency: str = "maps") -> list[str]:
    chosen = saliency if saliency == "center" else str(folder / saliency)
    return ["code", str(folder / "photos"), "--saliency", chosen, "--bpp", bpp, "--out", str(folder / "own"), "--json"]


def sentence(capsys: Capture) -> str:
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("paperlib: ")
    return err


def pngs(own: Path) -> dict[str, bytes]:
    return {str(path.relative_to(own)): path.read_bytes() for path in sorted(own.rglob("*.png"))}


# ---- a kill ---------------------------------------------------------------------------------------------------------
def test_a_killed_run_is_gone_on_with(folder: Path, capsys: Capture) -> None:
    """Killed at once after its second picture; the next call codes the others, to the bytes of an undisturbed call."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    own = folder / "own"
    process = subprocess.Popen(
        [sys.executable, "-m", "paperlib", *command(folder, "0.5,0.6,0.7")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE
    while len(list(own.glob("compressed/good/*.json"))) < 2:
        assert process.poll() is None and time.monotonic() < end, "nothing was coded"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in own.glob("compressed/good/*.json")}
    assert 2 <= len(done) < 12 and not (own / "pairs.csv").exists() and not (own / "reference").exists()
    (own / "compressed" / "good" / ".h264v.png.abc.part").write_bytes(b"left behind by a kill")
    assert cli.main(command(folder, "0.5,0.6,0.7")) == 0
    assert {path: path.stat().st_mtime_ns for path in done} == done, "what was whole is coded again"
    assert (own / "pairs.csv").is_file() and not list(own.rglob("*.part"))
    after = pngs(own)
    assert len(after) == 12 + 2
    own.rename(folder / "disturbed")
    assert cli.main(command(folder, "0.5,0.6,0.7")) == 0 and pngs(own) == after
    capsys.readouterr()


def test_two_at_once(folder: Path, capsys: Capture) -> None:
    (folder / "own").mkdir()
    with FileLock(folder / "own" / ".coding.lock"):
        assert cli.main(command(folder)) == 2
    assert "another process is coding" in sentence(capsys)


# ---- pictures and maps ----------------------------------------------------------------------------------------------
def test_pictures_of_every_kind(folder: Path, picture: np.ndarray, capsys: Capture) -> None:
    """Odd ones are coded as the pixels that they hold; unusable ones are left out whole, by name, and the others go on."""
    photos = folder / "photos"
    grey = picture[..., 1]
    Image.fromarray(grey).save(photos / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 256 + 77).save(photos / "deep.png")
    Image.fromarray(picture).convert("CMYK").save(photos / "print.tif")
    Image.fromarray(np.dstack([picture, np.full(grey.shape, 99, np.uint8)])).save(photos / "alpha.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture).save(photos / "turned.png", exif=exif)
    whole = (photos / "good.png").read_bytes()
    (photos / "cut.png").write_bytes(whole[: len(whole) // 2])
    (photos / "text.jpg").write_bytes(b"no picture at all")
    (photos / "empty.png").write_bytes(b"")
    (photos / "gone.png").symlink_to(photos / "nowhere.png")
    (photos / "Thumbs.db").write_bytes(b"junk")
    (photos / "notes.txt").write_text("no picture either")
    assert cli.main(command(folder, saliency="center")) == 0
    study = json.loads(capsys.readouterr().out)
    assert study["photographs"] == ["alpha", "deep", "good", "grey", "print", "turned"]
    assert study["left_out"].keys() == {"cut", "empty", "text"}
    assert "truncated" in study["left_out"]["cut"] and "not a picture" in study["left_out"]["text"]
    assert any("turned" in note and "EXIF" in note for note in study["notes"])
    own = folder / "own"
    spread = np.repeat(grey[..., None], 3, axis=2)
    for name, pixels in (("alpha", picture), ("deep", spread), ("grey", spread), ("print", picture), ("turned", picture)):
        with Image.open(own / "reference" / f"{name}.png") as stored:
            assert stored.mode == "RGB" and stored.size == (picture.shape[1], picture.shape[0])
            assert not stored.getexif() and np.array_equal(np.asarray(stored), pixels)
        assert len(list((own / "compressed" / name).glob("*.png"))) == 4
    for name in study["left_out"]:
        assert not list(own.rglob(f"{name}*"))
    versions = {
        name: (own / "compressed" / name / "h264v@targetbbp100=50_preset=p220.png").read_bytes()
        for name in study["photographs"]
    }
    assert versions["deep"] == versions["grey"] and versions["alpha"] == versions["turned"] == versions["good"]


def test_map_of_another_size_or_depth(folder: Path, saliency: np.ndarray, capsys: Capture) -> None:
    """The map that is stored has the picture's size and is the one that steered the encoder."""
    for name in ("small", "deep", "float"):
        (folder / "photos" / f"{name}.png").write_bytes((folder / "photos" / "good.png").read_bytes())
    Image.fromarray(saliency[::2, ::2]).save(folder / "maps" / "small.png")
    Image.fromarray(saliency.astype(np.uint16) * 257).save(folder / "maps" / "deep.png")
    Image.fromarray(saliency.astype(np.float32) / 255).save(folder / "maps" / "float.tif")
    assert cli.main(command(folder)) == 0
    study = json.loads(capsys.readouterr().out)
    assert [note for note in study["notes"] if "small: the saliency map was resized" in note]
    own = folder / "own"
    for name, mode in (("good", "L"), ("small", "I;16"), ("deep", "I;16"), ("float", "I;16")):
        with Image.open(own / "saliency" / f"{name}.png") as stored:
            assert stored.mode == mode and stored.size == saliency.shape[::-1]
            if name == "deep":
                assert np.array_equal(np.asarray(stored) // 257, saliency)
    before = pngs(own)
    (folder / "maps").rename(folder / "first")
    (folder / "maps").mkdir()
    for path in (own / "saliency").iterdir():
        (folder / "maps" / path.name).write_bytes(path.read_bytes())
    own.rename(folder / "before")
    assert cli.main(command(folder)) == 0 and pngs(own) == before
    capsys.readouterr()


def test_missing_map(folder: Path, capsys: Capture) -> None:
    (folder / "photos" / "other.jpg").write_bytes(b"")
    assert cli.main(command(folder)) == 2
    assert "1 of 2 pictures have no map" in sentence(capsys) and not (folder / "own").exists()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (np.zeros((8, 8), np.uint8), "the saliency map is 0 in all"),
        (np.full((8, 8), np.nan, np.float32), "finite values"),
        (None, "not a picture"),
    ],
)
def test_unusable_map(folder: Path, capsys: Capture, content: np.ndarray | None, word: str) -> None:
    """Where it is the last photograph, the command fails."""
    (folder / "maps" / "good.png").unlink()
    file = folder / "maps" / "good.tif"
    if content is None:
        file.write_bytes(b"no map")
    else:
        Image.fromarray(content).save(file)
    assert cli.main(command(folder)) == 1
    said = sentence(capsys)
    assert "none of the 1 photographs could be coded" in said and word in said
    assert not list((folder / "own").rglob("*.png")) and not (folder / "own" / "pairs.csv").exists()


def test_a_rate_out_of_reach_leaves_the_photograph_out(folder: Path, capsys: Capture) -> None:
    """Noise cannot be coded at .3 bpp, in no version; the other photograph is whole."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "photos" / "noise.png")
    assert cli.main(command(folder, "0.3", "center")) == 0
    study = json.loads(capsys.readouterr().out)
    assert study["photographs"] == ["good"] and "0.3 bpp cannot be reached with preset" in study["left_out"]["noise"]
    assert "the nearest is" in study["left_out"]["noise"] and not list((folder / "own").rglob("*noise*"))
    (folder / "photos" / "good.png").unlink()
    assert cli.main(command(folder, "0.3", "center")) == 1
    assert "none of the 1 photographs" in sentence(capsys)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("good.png", "Good.jpg"), "different names"),
        (("a\\b.png",), "rename"),
        ((" a.png",), "rename"),
        ((), "only the folders x"),
    ],
)
def test_names(folder: Path, capsys: Capture, names: tuple[str, ...], words: str) -> None:
    whole = (folder / "photos" / "good.png").read_bytes()
    (folder / "photos" / "good.png").unlink()
    for name in names or ["x/good.png"]:
        (folder / "photos" / name).parent.mkdir(exist_ok=True)
        (folder / "photos" / name).write_bytes(whole)
    assert cli.main(command(folder, saliency="center")) == 2
    assert words in sentence(capsys) and not (folder / "own").exists()
