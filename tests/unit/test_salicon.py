"""SALICON: the official layout and its variants, the .mat files, the editions, the usual mistakes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from scipy.io import loadmat, savemat

from paperlib.datasets import salicon
from paperlib.datasets.files import UnusableFile
from paperlib.datasets.gaze import check, fixation_map
from paperlib.datasets.registry import open_gaze
from paperlib.datasets.salicon import edition_of, open_salicon, read_fixations
from paperlib.errors import PaperlibError
from paperlib.rehearsal.salicon_cat2000 import write_salicon

N = 4


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_salicon(tmp_path_factory.mktemp("salicon"), N, 1)


@pytest.fixture
def root(official: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(official, tmp_path / "SALICON"))


def files(root: Path, part: str) -> list[Path]:
    return sorted((root / part / "val").iterdir())


def write_mat(path: Path, *viewings: np.ndarray, **others: object) -> Path:
    gaze = np.empty((len(viewings), 1), [("location", object), ("timestamp", object), ("fixations", object)])
    for place, viewing in zip(gaze[:, 0], viewings, strict=True):
        place["location"], place["timestamp"], place["fixations"] = np.ones((9, 2), np.uint8), np.ones((9, 1)), viewing
    savemat(path, {"image": path.stem, "resolution": np.array([[480, 640]], np.uint16), "gaze": gaze} | others)
    return path


# ---- what is read ---------------------------------------------------------------------------------------------------
def test_records_of_the_official_layout(official: Path) -> None:
    gaze_set = open_gaze("salicon", official)
    assert [record.key for record in gaze_set.records] == [path.stem for path in files(official, "images")]
    assert gaze_set.edition == "2017"
    assert f"{N} of 5000" in gaze_set.notes[0]
    for record in gaze_set.records:
        assert record.load_image().shape == (480, 640, 3)
        density = record.load_density()
        assert density.dtype == np.float32 and density.shape == (480, 640)
        assert density.max() == 255
        fixations = record.load_fixations()
        again = ndimage.gaussian_filter(fixation_map(fixations, record.size).astype(float), 19, mode="constant")
        assert np.corrcoef(again.ravel(), density.ravel())[0, 1] > 0.999


def test_points_are_x_y_from_one_and_small_integers_do_not_wrap(tmp_path: Path) -> None:
    first = np.array([[1, 1], [1, 1], [3, 200], [0, 7]], np.uint8)
    second = np.array([[640, 480], [641, 480], [640, 481], [0, 5]], np.uint16)
    path = write_mat(tmp_path / "a.mat", first, np.empty((0, 2)), np.empty((0, 0)), second)
    gaze = read_fixations(path, (480, 640))
    assert gaze.fixations.tolist() == [[0, 0], [0, 0], [199, 2], [479, 639]]
    assert gaze.fixations.dtype == np.int64
    assert (gaze.dropped, gaze.observers) == (4, 2)


def test_no_observer_at_all_is_no_fixation(tmp_path: Path) -> None:
    gaze = read_fixations(write_mat(tmp_path / "a.mat", np.empty((0, 2))), (480, 640))
    assert gaze.fixations.shape == (0, 2) and gaze.observers == 0


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"I": np.ones((480, 640))}, "no struct 'gaze' with a field 'fixations', it holds I"),
        ({"gaze": np.ones((3, 2))}, "no struct 'gaze'"),
        ({"gaze": {"location": np.ones((3, 2))}}, "no struct 'gaze' with a field 'fixations'"),
        ({"gaze": {"fixations": np.ones((3, 3))}}, r"fixations of \S+ \(3, 3\), expected \(k, 2\)"),
        ({"gaze": {"fixations": np.ones((3, 2))}, "resolution": [[600, 800]]}, "gaze on 800x600 pixels, expected 640"),
    ],
)
def test_other_mat_files_are_refused_by_name(tmp_path: Path, variables: dict, message: str) -> None:
    savemat(tmp_path / "a.mat", variables)
    with pytest.raises(UnusableFile, match=message):
        read_fixations(tmp_path / "a.mat", (480, 640))


def test_what_check_counts_equals_the_files(official: Path) -> None:
    inside = outside = looking = 0
    for path in files(official, "fixations"):
        viewings = [np.asarray(one, int) for one in loadmat(path)["gaze"]["fixations"].ravel()]
        points = np.concatenate([one.reshape(-1, 2) for one in viewings])
        fits = (points >= 1).all(axis=1) & (points <= [640, 480]).all(axis=1)
        inside, outside, looking = inside + fits.sum(), outside + (~fits).sum(), looking + sum(map(len, viewings))
    statistics = check(open_salicon(official))
    assert (statistics.fixations, statistics.dropped) == (inside, outside)
    assert outside > 0 and looking == inside + outside


# ---- the layout -----------------------------------------------------------------------------------------------------
def flat(root: Path) -> Path:
    for path in files(root, "images"):
        path.rename(root / "images" / path.name)
    (root / "images" / "val").rmdir()
    shutil.copy(next((root / "images").glob("*.jpg")), root / "images" / "COCO_train2014_000000000009.jpg")
    return root


def everything_in_one_folder(root: Path) -> Path:
    (root / "val").mkdir()
    for part in ("images", "fixations", "maps"):
        for path in files(root, part):
            path.rename(root / "val" / path.name)
        shutil.rmtree(root / part)
    return root


def images_on_top(root: Path) -> Path:
    (root / "images" / "val").rename(root / "val")
    (root / "images").rmdir()
    return root


def with_junk(root: Path) -> Path:
    (root / "images" / "val" / "._COCO_val2014_000000000001.jpg").write_bytes(b"x")
    (root / "images" / "val" / "Thumbs.db").write_bytes(b"x")
    (root / "fixations" / "val" / "._a.mat").write_bytes(b"x")
    (root / "maps" / "val" / ".DS_Store").write_bytes(b"x")
    (root / "__MACOSX" / "maps").mkdir(parents=True)
    return root


def upper_case(root: Path) -> Path:
    for path in files(root, "images"):
        path.rename(path.with_suffix(".JPG"))
    return root


@pytest.mark.parametrize(
    "layout",
    [
        flat,
        everything_in_one_folder,
        images_on_top,
        with_junk,
        upper_case,
        lambda root: root.parent,
        lambda root: root / "images",
        lambda root: root / "images" / "val",
        lambda root: root / "fixations",
    ],
    ids=["flat", "one folder", "images on top", "junk", "upper case", "too high", "too deep", "far too deep", "a part"],
)
def test_layouts_that_people_have(root: Path, official: Path, layout: Callable[[Path], Path]) -> None:
    expected = open_salicon(official)
    found = open_salicon(layout(root))
    assert [record.key for record in found.records] == [record.key for record in expected.records]
    assert found.fingerprint == expected.fingerprint


# ---- the usual mistakes ---------------------------------------------------------------------------------------------
def test_train_given_for_val(root: Path) -> None:
    for part in ("images", "fixations", "maps"):
        for path in files(root, part):
            path.rename(path.with_name(path.name.replace("val", "train")))
    with pytest.raises(PaperlibError, match="are those of the split 'train', 'val' was asked for"):
        open_salicon(root)


def test_a_split_that_is_not_there(root: Path) -> None:
    with pytest.raises(PaperlibError, match="lacks images/train, fixations/train, maps/train"):
        open_salicon(root, split="train")
    with pytest.raises(PaperlibError, match="choose one of train, val"):
        open_salicon(root, split="test")
    with pytest.raises(PaperlibError, match="choose one of 2015, 2017"):
        open_salicon(root, edition="2016")


def test_missing_maps_and_packed_archives(root: Path) -> None:
    shutil.rmtree(root / "maps")
    with pytest.raises(PaperlibError, match=r"lacks maps/val; expected") as caught:
        open_salicon(root)
    assert "\n" not in str(caught.value)
    (root / "maps.zip").write_bytes(b"PK")
    with pytest.raises(PaperlibError, match=r"lacks maps/val \(maps.zip still packed: unpack first\)"):
        open_salicon(root)
    with pytest.raises(PaperlibError, match="is a file.*unpack it"):
        open_salicon(root / "maps.zip")
    with pytest.raises(PaperlibError, match="there is no folder"):
        open_salicon(root / "nowhere")


def test_incomplete_pictures_are_counted_and_named(root: Path) -> None:
    image, mat, density = (files(root, part)[index] for index, part in enumerate(("images", "fixations", "maps")))
    for path in (image, mat, density):
        path.unlink()
    with pytest.raises(PaperlibError) as caught:
        open_salicon(root)
    message = str(caught.value)
    assert f"1 of {N} without picture: {image.stem}" in message
    assert f"1 of {N} without fixations: {mat.stem}" in message
    assert f"1 of {N} without density map: {density.stem}" in message
    partly = open_salicon(root, partial=True)
    assert len(partly) == N - 3
    assert any(note.startswith("left out: 1 of 4 without fixations") for note in partly.notes)


def test_misnamed_files(root: Path) -> None:
    files(root, "images")[0].rename(root / "images" / "val" / "holiday.jpg")
    with pytest.raises(PaperlibError, match="1 of 12 SALICON files are not named COCO_val2014_.*: holiday.jpg"):
        open_salicon(root)
    assert len(open_salicon(root, partial=True)) == N - 1


def test_pictures_of_another_size(root: Path) -> None:
    for path in files(root, "images")[:2]:
        Image.new("RGB", (320, 240)).save(path)
    with pytest.raises(PaperlibError, match=r"2 of 12 SALICON files .*: val/\S+ \(320x240 pixels, expected 640"):
        open_salicon(root)


# ---- editions -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("split", ["train", "val"])
def test_edition_by_the_mean_number_of_fixations(split: salicon.Split) -> None:
    for edition, total in salicon.TOTALS[split].items():
        mean = total / salicon.PICTURES[split]
        assert edition_of([mean] * 16, split) == edition
        assert edition_of([mean * 1.1, mean * 0.9] * 16, split) == edition
    assert edition_of([], split) == "unknown"
    assert edition_of([100.0] * 50, split) == "unknown"
    assert edition_of([415.0], split) == "unknown", "one picture between the editions decides nothing"


@pytest.mark.parametrize("edition", ["2015", "2017"])
def test_edition_of_a_part(tmp_path: Path, edition: salicon.Edition) -> None:
    root = write_salicon(tmp_path, 4, 5, edition=edition)
    assert open_salicon(root).edition == edition
    other = "2015" if edition == "2017" else "2017"
    asked = open_salicon(root, edition=other)
    assert asked.edition == other
    assert any(f"look like edition {edition}, edition {other} was asked for" in note for note in asked.notes)


def test_a_whole_split_of_the_wrong_edition_is_refused(official: Path, monkeypatch) -> None:
    monkeypatch.setitem(salicon.PICTURES, "val", N)
    statistics = check(open_salicon(official))
    total = statistics.fixations + statistics.dropped
    monkeypatch.setitem(salicon.TOTALS, "val", {"2015": 333 * N, "2017": total})
    assert check(open_salicon(official, edition="2017")).fixations == statistics.fixations
    with pytest.raises(PaperlibError, match="look like edition 2017, edition 2015 was asked for; give the folder"):
        open_salicon(official, edition="2015")
