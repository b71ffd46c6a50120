"""SACID with files damaged, missing, misnamed, locked, of other sizes or types: the right pixels, or one sentence."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paperlib.datasets.sacid import SacidRecord, SacidSet, check, open_sacid, read_scores
from paperlib.errors import PaperlibError
from paperlib.rehearsal.sacid import write_sacid
from tests.damage import damages, lock, truncate

Damage = Callable[[Path], object]
CASE = "h264v@targetbbp100=12_preset=p132"
NAME = "scene-001-standin"
PARTS = {
    "compressed": f"compressed/{NAME}/{CASE}.jpg",
    "saliency": f"saliency/{NAME}.png",
    "reference": f"reference/{NAME}.png",
}
each = pytest.mark.parametrize("part", PARTS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sacid(tmp_path_factory.mktemp("sacid"), 3, 1, size=(48, 64))


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "SACID"))


def opened(root: Path) -> SacidSet:
    return open_sacid(root, partial=True)


def refused(root: Path, partial: bool = True) -> str:
    """The one sentence in which opening or checking ends."""
    with pytest.raises(PaperlibError) as caught:
        check(open_sacid(root, partial=partial))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700
    return message


def record(root: Path) -> SacidRecord:
    return next(one for one in opened(root).records if one.key == f"{NAME}/{CASE}")


def resize(path: Path) -> None:
    with Image.open(path) as image:
        larger = image.resize((66, 48))
    larger.save(path)


# ---- files that cannot be used --------------------------------------------------------------------------------------
@damages
@each
def test_damaged_files_are_named_and_counted(root: Path, part: str, damage: Damage) -> None:
    path = root / PARTS[part]
    damage(path)
    message = refused(root)
    assert f"1 of 42 SACID files cannot be used: {path.parent.name}/{path.name}" in message
    assert "restore them" in message


def test_all_damaged_files_are_counted(root: Path) -> None:
    for path in (root / "compressed").rglob("*.jpg"):
        truncate(path)
    assert "36 of 42 SACID files cannot be used" in refused(root) and "and 33 more" in refused(root)


@each
def test_files_of_another_size(root: Path, part: str) -> None:
    path = root / PARTS[part]
    resize(path)
    message = refused(root)
    assert f"1 of 42 SACID files cannot be used: {path.parent.name}/{path.name} (66x48 pixels, expected" in message


@each
def test_files_that_vanish_or_change_after_opening(root: Path, part: str) -> None:
    found, path = opened(root), root / PARTS[part]
    resize(path)
    with pytest.raises(PaperlibError, match="1 of 42 .*66x48 pixels, expected 64x48"):
        check(found)
    path.unlink()
    with pytest.raises(PaperlibError, match=r"1 of 42 .*cannot be read \(No such file"):
        check(found)


def test_a_map_that_is_zero_everywhere(root: Path) -> None:
    Image.new("L", (64, 48)).save(root / PARTS["saliency"])
    assert f"saliency/{NAME}.png (a saliency map must not be zero everywhere)" in refused(root)


@pytest.mark.parametrize("part", [*PARTS, "table"])
def test_locked_files(root: Path, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = root / PARTS.get(part, "moses.csv")
    lock(locked, monkeypatch)
    message = refused(root)
    assert "cannot be read (Permission denied)" in message and locked.name in message


# ---- files that are not there ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("compressed", f"1 of 36 coded pictures are missing: {NAME}/{CASE}"),
        ("saliency", f"1 of 3 saliency maps are missing: {NAME}"),
    ],
)
def test_a_sequence_that_lacks_something_is_left_out_whole(root: Path, part: str, words: str) -> None:
    (root / PARTS[part]).unlink()
    found = opened(root)
    assert found.scores.sequences == ("scene-000-standin", "scene-002-standin") and len(found) == 24
    assert f"left out: {words}" in found.notes and not any("references" in note for note in found.notes)


def test_everything_that_lacks_is_in_one_sentence(root: Path) -> None:
    for path in (*(root / "saliency").iterdir(), root / PARTS["compressed"]):
        path.unlink()
    message = refused(root)
    assert f"1 of 36 coded pictures are missing: {NAME}/{CASE}; 3 of 3 saliency maps are missing" in message
    assert "with partial" not in message


def test_misnamed_pictures_are_named_beside_those_that_lack(root: Path) -> None:
    path = root / PARTS["compressed"]
    path.rename(path.with_name(path.name.replace("@", "_")))
    for name in ("scene-000-standin", "scene-002-standin"):
        shutil.rmtree(root / "compressed" / name)
    message = refused(root)
    assert "25 of 36 coded pictures are missing" in message
    wrong = f"{NAME}/h264v_targetbbp100=12_preset=p132.jpg"
    assert f"1 files in compressed are misnamed or have no score: {wrong}" in message


def test_files_without_a_score_or_a_sequence_are_told(root: Path) -> None:
    shutil.copytree(root / "compressed" / NAME, root / "compressed" / "stranger")
    shutil.copy(root / PARTS["reference"], root / "reference" / "stranger.png")
    (root / "compressed" / NAME / "._h264v.jpg").write_bytes(b"macOS")
    notes = " ".join(opened(root).notes)
    assert "12 files in compressed have no score: stranger/" in notes and "and 9 more" in notes
    assert "1 files in reference belong to no sequence: stranger.png" in notes and "._" not in notes


def test_archives_that_are_still_packed(tmp_path: Path) -> None:
    (tmp_path / "SACID-main.zip").write_bytes(b"PK")
    assert "lacks the folder compressed (SACID-main.zip still packed: unpack first)" in refused(tmp_path)
    with pytest.raises(PaperlibError, match="is a file, expected the folder of SACID; unpack it"):
        open_sacid(tmp_path / "SACID-main.zip")
    with pytest.raises(PaperlibError, match="there is no folder .*, expected SACID there"):
        open_sacid(tmp_path / "nowhere")


# ---- tables ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda lines: lines[:-1], "1 of 36 versions have no score: scene-002-standin/h264v"),
        (lambda lines: [*lines, lines[5]], "1 versions are there more than once: scene-000-standin/h264v"),
        (lambda lines: [line.replace("bbp", "bpp") for line in lines], "36 of 36 lines of moses.csv cannot be used"),
        (lambda lines: [*lines, f"../x,{CASE},1"], "line 38 (sequence is '../x', expected the name of a picture"),
        (lambda lines: [*lines, f"x,{CASE},nan"], "line 38 (subjective_score is 'nan', no number)"),
        (lambda lines: [*lines, "x,h264v"], "line 38 (2 columns, expected 3)"),
        (lambda lines: ["sequence,test_case,mos", *lines[1:]], "has no column subjective_score"),
        (
            lambda lines: [lines[0], *(line.rpartition(",")[0] + ",1" for line in lines[1:])],
            "3 of 3 sequences have one score for all versions",
        ),
    ],
)
def test_wrong_tables(root: Path, change: Callable[[list[str]], list[str]], words: str) -> None:
    path = root / "moses.csv"
    path.write_text("\n".join(change(path.read_text().splitlines())))
    message = refused(root)
    assert words in message and "moses.csv" in message


def test_a_part_is_no_whole_data_set(root: Path) -> None:
    message = refused(root, partial=False)
    assert "names 36 of 720 pictures of SACID; it is cut, filtered or of another data set" in message


def test_a_table_cut_at_any_place_ends_in_a_sentence(root: Path) -> None:
    path = root / "moses.csv"
    content = path.read_bytes()
    for length in range(0, len(content) - 5, len(content) // 40):
        path.write_bytes(content[:length])
        try:
            found = read_scores(path)
        except PaperlibError as error:
            assert "\n" not in str(error)
        else:
            assert len(found.sequences) < 3, "a cut at the end of a sequence leaves fewer of them"


# ---- rotations ------------------------------------------------------------------------------------------------------
def test_exif_rotations_are_ignored_and_told(root: Path) -> None:
    path = root / PARTS["compressed"]
    before = record(root).load_image()
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(_with_exif(path.read_bytes(), exif.tobytes()))
    with Image.open(path) as image:
        assert image.getexif()[0x0112] == 6
    np.testing.assert_array_equal(record(root).load_image(), before)
    expected = f"1 pictures carry an EXIF rotation, which is ignored: {NAME}/{CASE}.jpg"
    assert expected in opened(root).notes


def test_a_rotated_copy_is_of_another_size(root: Path) -> None:
    path = root / PARTS["reference"]
    with Image.open(path) as image:
        turned = image.rotate(90, expand=True)
    turned.save(path)
    assert f"reference/{NAME}.png (48x64 pixels, expected 64x48)" in refused(root)


def _with_exif(jpeg: bytes, exif: bytes) -> bytes:
    """The same coded pixels with a block of EXIF after the start marker."""
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
