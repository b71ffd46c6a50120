"""Stand-in trees: official layout, the same bytes again, half-written trees completed, foreign folders untouched."""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from paperlib.datasets.files import read_rgb
from paperlib.datasets.gaze import check
from paperlib.datasets.own import map_folders
from paperlib.datasets.registry import open_gaze
from paperlib.errors import PaperlibError
from paperlib.rehearsal import salicon_cat2000 as standins
from paperlib.rehearsal.clic import write_clic
from paperlib.rehearsal.salicon_cat2000 import MANIFEST, write_cat2000, write_own, write_salicon
from paperlib.study.folder import code_folder

WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "salicon": lambda root, seed: write_salicon(root, 2, seed),
    "cat2000": lambda root, seed: write_cat2000(root, 1, seed, ["Art", "Social"]),
    "own": lambda root, seed: write_own(root, 3, seed),
}
each = pytest.mark.parametrize("name", WRITERS)


def content(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@each
def test_the_set_opens_and_passes_the_check(tmp_path: Path, name: str) -> None:
    gaze_set = open_gaze(name, WRITERS[name](tmp_path / "tree", 1))
    statistics = check(gaze_set)
    assert statistics.fixations > 0 and statistics.without_fixations == 0
    for record in gaze_set.records:
        image, density, points = record.load_image(), record.load_density(), record.load_fixations()
        assert image.std() > 15, "a picture needs structure"
        scores = (density - density.mean()) / density.std()
        assert scores[points[:, 0], points[:, 1]].mean() > 1, "gaze and density belong together"


@each
def test_same_arguments_same_bytes(tmp_path: Path, name: str) -> None:
    first, again, other = (WRITERS[name](tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))
    assert content(first) == content(again)
    assert content(first) != content(other)


@each
def test_a_finished_tree_is_left_alone_and_a_half_one_completed(tmp_path: Path, name: str, monkeypatch) -> None:
    root = WRITERS[name](tmp_path, 1)
    whole = content(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(standins, "generate", None)
        WRITERS[name](tmp_path, 1)
    assert times == {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}

    files = sorted(path for path in times if path.name != MANIFEST)
    files[0].unlink()
    files[1].write_bytes(b"half")
    WRITERS[name](tmp_path, 1)
    assert content(root) == whole
    assert files[2].stat().st_mtime_ns == times[files[2]]


@each
def test_an_interrupted_run_goes_on(tmp_path: Path, name: str, monkeypatch) -> None:
    whole = content(WRITERS[name](tmp_path / "whole", 1))
    written = []

    def failing(path, *rest):
        written.append(path)
        if len(written) == 4:
            raise KeyboardInterrupt
        return original(path, *rest)

    original = standins.atomic_write
    monkeypatch.setattr(standins, "atomic_write", failing)
    with pytest.raises(KeyboardInterrupt):
        WRITERS[name](tmp_path / "part", 1)
    assert json.loads((tmp_path / "part" / MANIFEST).read_text())["sha256"] is None
    assert content(WRITERS[name](tmp_path / "part", 1)) == whole


def test_other_settings_replace_our_own_tree(tmp_path: Path) -> None:
    write_salicon(tmp_path, 4, 1)
    write_salicon(tmp_path, 2, 9)
    assert len(open_gaze("salicon", tmp_path)) == 2


@each
def test_folders_of_other_people_are_not_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "mine.jpg").write_bytes(b"x")
    with pytest.raises(PaperlibError, match="choose another folder"):
        WRITERS[name](tmp_path, 1)
    (tmp_path / MANIFEST).write_text("[]")
    with pytest.raises(PaperlibError, match="choose another folder"):
        WRITERS[name](tmp_path, 1)


def test_salicon_files_look_like_the_real_ones(tmp_path: Path) -> None:
    root = write_salicon(tmp_path, 2, 3)
    path = next((root / "fixations" / "val").glob("COCO_val2014_????????????.mat"))
    mat = loadmat(path)
    assert mat["image"].item() == path.stem and mat["resolution"].tolist() == [[480, 640]]
    gaze = mat["gaze"]
    assert gaze.shape == (standins.OBSERVERS, 1) and gaze.dtype.names == ("location", "timestamp", "fixations")
    viewings = gaze["fixations"].ravel()
    assert any(len(viewing) == 0 for viewing in viewings) and all(viewing.shape[1] == 2 for viewing in viewings)
    points = np.concatenate(viewings)
    assert points.dtype == np.uint16 and points.min() >= 1 and points[:, 0].max() == 641 and points[:, 1].max() <= 480
    for viewing in gaze.ravel():
        assert len(viewing["location"]) == len(viewing["timestamp"])
    older = write_salicon(tmp_path / "2015", 2, 3, edition="2015")
    points = [np.concatenate(loadmat(path)["gaze"]["fixations"].ravel()) for path in older.rglob("*.mat")]
    assert max(one[:, 0].max() for one in points) <= 640


def test_cat2000_holds_what_readers_must_skip(tmp_path: Path) -> None:
    root = write_cat2000(tmp_path, 2, 3, ["Art"])
    assert (root / "trainSet" / "Stimuli" / "Art" / "Output" / "003_SaliencyMap.jpg").is_file()
    assert (root / "trainSet" / "allFixData.mat").is_file()
    assert [record.key for record in open_gaze("cat2000", root).records] == ["Art/001", "Art/003"]


def test_own_has_maps_of_a_model(tmp_path: Path) -> None:
    assert len(map_folders(write_own(tmp_path, 2, 3))["residual"]) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda root: write_salicon(root, 0, 1),
        lambda root: write_salicon(root, 1, -1),
        lambda root: write_salicon(root, 1, 1, edition="2016"),
        lambda root: write_cat2000(root, 0, 1),
        lambda root: write_cat2000(root, 1, 1, []),
        lambda root: write_own(root, 0, 1),
    ],
)
def test_bad_arguments(tmp_path: Path, call: Callable[[Path], Path]) -> None:
    with pytest.raises(ValueError, match="expected|choose"):
        call(tmp_path / "tree")


def test_a_rehearsal_needs_little_processor_time(tmp_path: Path) -> None:
    start = time.process_time()
    write_salicon(tmp_path / "salicon", 6, 1)
    write_cat2000(tmp_path / "cat2000", 1, 1, ["Action", "Art", "Indoor", "Social"])
    assert time.process_time() - start < 20, "some seconds at most; this limit only catches a change of order"


def test_photographs_of_clic_become_a_set_like_sacid(tmp_path: Path) -> None:
    folder = write_clic(tmp_path / "clic2021", 3, 0, (96, 128))
    shapes = {path.name: read_rgb(path).shape for path in sorted(folder.glob("*.png"))}
    wide, tall = (96, 128, 3), (128, 96, 3)
    assert shapes == {"standin-000.png": wide, "standin-001.png": wide, "standin-002.png": tall}
    study = code_folder(folder, "center", [1.5], tmp_path / "own")
    assert len(list((tmp_path / "own" / "compressed").rglob("*.png"))) == 4 * len(study.record["photographs"]) > 0
