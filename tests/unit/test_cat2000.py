"""CAT2000: the official layout, and what must be skipped."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.io import loadmat, savemat

from paperlib.datasets.cat2000 import CATEGORIES, open_cat2000, read_fixations
from paperlib.datasets.files import UnusableFile, has_rotation, read_grey
from paperlib.datasets.gaze import check, fixation_map
from paperlib.datasets.registry import open_gaze
from paperlib.errors import PaperlibError
from paperlib.rehearsal.salicon_cat2000 import write_cat2000

CHOSEN = ("Action", "Satelite")


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cat2000(tmp_path_factory.mktemp("cat2000"), 3, 2, CHOSEN)


@pytest.fixture
def root(official: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(official, tmp_path / "CAT2000"))


# ---- what is read ---------------------------------------------------------------------------------------------------
def test_records_of_the_official_layout(official: Path) -> None:
    gaze_set = open_gaze("cat2000", official)
    assert [record.key for record in gaze_set.records] == [f"{name}/00{n}" for name in CHOSEN for n in (1, 3, 5)]
    record = gaze_set.records[1]
    locations = loadmat(official / "trainSet" / "FIXATIONLOCS" / "Action" / "003.mat")["fixLocs"]
    np.testing.assert_array_equal(fixation_map(record.load_fixations(), record.size), locations)
    density = record.load_density()
    again = ndimage.gaussian_filter(locations.astype(np.float32), 40, mode="constant")
    assert density.shape == (1080, 1920) and np.corrcoef(again.ravel(), density.ravel())[0, 1] > 0.998
    assert check(gaze_set).pictures == 6


def test_all_twenty_categories(tmp_path: Path) -> None:
    assert len(CATEGORIES) == 20
    for name in CATEGORIES:
        for part, suffix in (("Stimuli", "jpg"), ("FIXATIONLOCS", "mat"), ("FIXATIONMAPS", "png")):
            (tmp_path / part / name).mkdir(parents=True)
            path = tmp_path / part / name / f"134.{suffix}"
            path.write_bytes(b"") if suffix == "mat" else Image.new("L", (1920, 1080)).save(path)
    gaze_set = open_cat2000(tmp_path)
    assert [record.key for record in gaze_set.records] == [f"{name}/134" for name in CATEGORIES]
    assert not any("categories" in note for note in gaze_set.notes)


def test_real_fixation_locations(shared: Callable[..., Path]) -> None:
    folder = shared("mit_benchmark_demo")
    locations, density = folder / "i210_FIXATIONLOCS.mat", folder / "i210_FIXATIONMAPS.jpg"
    fixations = read_fixations(locations, (675, 1024)).fixations
    assert fixations.shape == (259, 2)
    assert loadmat(locations)["fixations"][fixations[:, 0], fixations[:, 1]].all()
    values = read_grey(density)
    assert values[fixations[:, 0], fixations[:, 1]].mean() > 3 * values.mean(), "rows and columns are swapped"


def test_a_wrong_rotation_tag_changes_nothing(root: Path) -> None:
    path = root / "trainSet" / "Stimuli" / "Action" / "001.jpg"
    before = open_cat2000(root).records[0].load_image()
    exif = Image.Exif()
    exif[0x0112] = 8
    tag, content = exif.tobytes(), path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xe1" + (len(tag) + 2).to_bytes(2, "big") + tag + content[2:])
    assert has_rotation(path)
    record = open_cat2000(root).records[0]
    assert record.size == (1080, 1920)
    np.testing.assert_array_equal(record.load_image(), before)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"map": np.ones((2, 2))}, "no field 'fixLocs', it holds map"),
        ({"fixLocs": np.ones((1920, 1080), np.uint8)}, r"'fixLocs' is uint8 \(1920, 1080\), expected .*\(1080, 1920\)"),
        ({"fixLocs": "text"}, "'fixLocs' is"),
    ],
)
def test_other_mat_files_are_refused(official: Path, tmp_path: Path, variables: dict, message: str) -> None:
    savemat(tmp_path / "a.mat", variables, do_compression=True)
    with pytest.raises(UnusableFile, match=message):
        read_fixations(tmp_path / "a.mat", (1080, 1920))


# ---- the layout and the usual mistakes ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "place", [".", "trainSet", "..", "trainSet/Stimuli", "trainSet/FIXATIONMAPS", "trainSet/Stimuli/Action"]
)
def test_folders_above_and_inside_are_understood(root: Path, official: Path, place: str) -> None:
    assert open_cat2000(root / place).fingerprint == open_cat2000(official).fingerprint


def test_a_test_set_beside_it_is_not_taken(root: Path) -> None:
    (root / "testSet" / "Stimuli" / "Action").mkdir(parents=True)
    assert len(open_cat2000(root)) == 6
    shutil.rmtree(root / "trainSet")
    for place in (root, root / "testSet", root / "testSet" / "Stimuli"):
        with pytest.raises(PaperlibError, match="looks like CAT2000's test set.*give the folder trainSet"):
            open_cat2000(place)


def test_missing_parts(root: Path) -> None:
    shutil.rmtree(root / "trainSet" / "FIXATIONMAPS")
    with pytest.raises(PaperlibError, match="lacks FIXATIONMAPS"):
        open_cat2000(root)
    (root / "trainSet" / "FIXATIONMAPS").mkdir()
    with pytest.raises(PaperlibError, match="6 without density map: Action/001, Action/003, Action/005 and 3 more"):
        open_cat2000(root)
    (root / "empty").mkdir()
    (root / "empty" / "trainSet.zip").write_bytes(b"PK")
    with pytest.raises(PaperlibError, match="lacks Stimuli, FIXATIONLOCS, FIXATIONMAPS .trainSet.zip still packed"):
        open_cat2000(root / "empty")


def test_missing_files_are_named_or_left_out(root: Path) -> None:
    (root / "trainSet" / "FIXATIONLOCS" / "Action" / "003.mat").unlink()
    (root / "trainSet" / "Stimuli" / "Satelite" / "001.jpg").unlink()
    with pytest.raises(PaperlibError, match="1 of 6 without picture: Satelite/001; 1 .* without fixations: Action/003"):
        open_cat2000(root)
    partly = open_cat2000(root, partial=True)
    assert len(partly) == 4 and any("Action/003" in note for note in partly.notes)


def test_categories_are_named(root: Path) -> None:
    notes = open_cat2000(root).notes
    assert any("18 of 20 categories are not there: Affective," in note for note in notes)
    for part in ("Stimuli", "FIXATIONLOCS", "FIXATIONMAPS"):
        (root / "trainSet" / part / "Satelite").rename(root / "trainSet" / part / "Satellite")
    assert any("1 folders are no category of CAT2000: Satellite" in note for note in open_cat2000(root).notes)


def test_maps_of_other_file_types(root: Path) -> None:
    for path in (root / "trainSet" / "FIXATIONMAPS").rglob("*.jpg"):
        Image.open(path).save(path.with_suffix(".png"))
        path.unlink()
    assert open_cat2000(root).records[0].load_density().shape == (1080, 1920)


def test_pictures_of_another_size(root: Path) -> None:
    Image.new("RGB", (960, 540)).save(root / "trainSet" / "Stimuli" / "Action" / "001.jpg")
    with pytest.raises(PaperlibError, match=r"1 of 18 CAT2000 files .* Action/001.jpg \(960x540 pixels, expected 1920"):
        open_cat2000(root)
