"""Damaged, missing and locked files of eye-tracking data: counted and named in one sentence, never a crash."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from paperlib.datasets.files import UnusableFile
from paperlib.datasets.gaze import check
from paperlib.datasets.registry import open_gaze
from paperlib.errors import PaperlibError
from paperlib.rehearsal.salicon_cat2000 import write_cat2000, write_salicon
from tests.damage import MATLAB_73, damages, lock, truncate
from tests.own_standins import write_own

Damage = Callable[[Path], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    write_salicon(root / "salicon", 3, 1)
    write_cat2000(root / "cat2000", 2, 1, ["Art"])
    write_own(root / "own", 3, 1)
    return root


@pytest.fixture
def roots(whole: Path, tmp_path: Path) -> Path:
    """Copies that a test may damage: salicon/, cat2000/, own/."""
    return Path(shutil.copytree(whole, tmp_path / "sets"))


def flip(path: Path) -> None:
    """Other bytes in the second half, the header intact."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 :] = bytes(255 - value for value in content[len(content) // 2 :])
    path.write_bytes(bytes(content))


def first(root: Path, pattern: str) -> Path:
    return sorted(root.rglob(pattern))[0]


FILES = [
    ("salicon", "images/val/*.jpg"),
    ("salicon", "fixations/val/*.mat"),
    ("salicon", "maps/val/*.png"),
    ("cat2000", "trainSet/Stimuli/Art/*.jpg"),
    ("cat2000", "trainSet/FIXATIONLOCS/Art/*.mat"),
    ("cat2000", "trainSet/FIXATIONMAPS/Art/*.jpg"),
    ("own", "images/*.jpg"),
]


@damages
@pytest.mark.parametrize(("name", "pattern"), FILES, ids=lambda text: text)
def test_a_damaged_file_is_named_before_anything_runs(roots: Path, name: str, pattern: str, damage: Damage) -> None:
    path = first(roots / name, pattern)
    damage(path)
    with pytest.raises(PaperlibError, match=r"^1 of \d+ .* cannot be used") as caught:
        check(open_gaze(name, roots / name))
    message = str(caught.value)
    assert path.name in message and "; " in message and "\n" not in message and len(message) < 400


@pytest.mark.parametrize(("name", "pattern"), [FILES[1], FILES[4]], ids=lambda text: text)
def test_garbled_matlab_files(roots: Path, name: str, pattern: str) -> None:
    flip(first(roots / name, pattern))
    with pytest.raises(PaperlibError, match="not a readable MATLAB file"):
        check(open_gaze(name, roots / name))


def test_matlab_files_cut_at_any_place_end_in_a_sentence(roots: Path) -> None:
    gaze_set = open_gaze("salicon", roots / "salicon")
    record = gaze_set.records[0]
    content = record.fixations.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 60)):
        record.fixations.write_bytes(content[:length])
        with pytest.raises(UnusableFile, match=record.fixations.name):
            record.load_gaze()


def test_matlab_73_is_told_apart(roots: Path) -> None:
    path = first(roots / "salicon", "*.mat")
    path.write_bytes(MATLAB_73)
    with pytest.raises(PaperlibError, match=r"a MATLAB 7.3 file; save it again in MATLAB"):
        check(open_gaze("salicon", roots / "salicon"))


def test_all_damaged_files_are_counted_and_three_are_named(roots: Path) -> None:
    gaze_set = open_gaze("salicon", roots / "salicon")
    for part in ("images", "fixations"):
        for path in (roots / "salicon" / part / "val").iterdir():
            truncate(path)
    (roots / "salicon" / "maps" / "val" / f"{gaze_set.records[2].key}.png").unlink()
    with pytest.raises(PaperlibError, match=r"^7 of 9 SALICON files .* and 4 more; restore them") as caught:
        check(gaze_set)
    assert str(caught.value).count("COCO_") == 3


def test_an_all_black_map_is_no_density(roots: Path) -> None:
    Image.new("L", (640, 480)).save(first(roots / "salicon", "*.png"))
    with pytest.raises(PaperlibError, match=r"a density map must be >= 0 and not all zero"):
        check(open_gaze("salicon", roots / "salicon"))


def test_files_that_change_size_after_opening(roots: Path) -> None:
    gaze_set = open_gaze("own", roots / "own")
    Image.new("RGB", (20, 10)).save(gaze_set.records[0].image)
    with pytest.raises(PaperlibError, match=r"images/1001.jpg \(20x10 pixels, expected 640x480\)"):
        check(gaze_set)


@pytest.mark.parametrize(("name", "pattern"), [*FILES, ("own", "fixations.csv")], ids=lambda text: text)
def test_locked_files(roots: Path, name: str, pattern: str, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = first(roots / name, pattern)
    lock(locked, monkeypatch)
    with pytest.raises(PaperlibError, match=r"cannot be read \(Permission denied\)") as caught:
        check(open_gaze(name, roots / name))
    assert locked.name in str(caught.value)


def test_locked_folders(roots: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("paperlib.datasets.files.os.listdir", refusing)
    with pytest.raises(PaperlibError, match=r"cannot be listed \(Permission denied\); give it read rights"):
        open_gaze("salicon", roots / "salicon")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_tables_in_other_encodings(roots: Path, encoding: str) -> None:
    table = roots / "own" / "fixations.csv"
    table.write_bytes(table.read_text().replace("image,", "image,größe,", 1).encode(encoding))
    with pytest.raises(PaperlibError, match="save it as CSV in UTF-8"):
        open_gaze("own", roots / "own")


def test_a_table_cut_in_the_middle_of_a_line(roots: Path) -> None:
    table = roots / "own" / "fixations.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([*lines[:20], "1002.jpg,3"]))
    with pytest.raises(PaperlibError, match=r"1 of 20 lines of fixations.csv .* line 21 \(2 columns, expected 6\)"):
        open_gaze("own", roots / "own")


def test_a_broken_link_is_a_missing_file(roots: Path) -> None:
    path = first(roots / "salicon", "*.mat")
    path.unlink()
    path.symlink_to(path.with_name("gone.mat"))
    with pytest.raises(PaperlibError, match=f"1 of 3 without fixations: {path.stem}"):
        open_gaze("salicon", roots / "salicon")


def test_the_error_of_a_single_file_survives_a_worker(roots: Path) -> None:
    record = open_gaze("salicon", roots / "salicon").records[0]
    record.image.unlink()
    with pytest.raises(UnusableFile, match="No such file") as caught:
        record.load_image()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
