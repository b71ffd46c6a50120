"""The user's own data: the table of fixations, the blur, map folders, and every mistake told clearly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from paperlib.datasets.files import read_grey
from paperlib.datasets.gaze import check, fixation_map
from paperlib.datasets.own import map_folders, open_own, read_fixations
from paperlib.datasets.registry import open_gaze
from paperlib.errors import PaperlibError

HEADER = "image,subject,x,y"
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Pictures a.png (40x30) and b.jpg (64x48), and a table of the given lines."""

    def make(*lines: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), "red").save(tmp_path / "images" / "a.png")
        Image.new("L", (64, 48), 90).save(tmp_path / "images" / "b.jpg")
        (tmp_path / "fixations.csv").write_text("\n".join([header, *lines, ""]), encoding=encoding)
        return tmp_path

    return make


BOTH = ("a.png,s1,10.4,20.6", "a.png,s1,10.4,20.6", "a.png,s2,39.4,0", "b.jpg,s1,63,47")


# ---- what is read ---------------------------------------------------------------------------------------------------
def test_pictures_of_any_size_with_their_fixations(folder: Folder) -> None:
    gaze_set = open_gaze("own", folder(*BOTH))
    first, second = gaze_set.records
    assert (first.key, first.size, second.key, second.size) == ("a.png", (30, 40), "b.jpg", (48, 64))
    assert first.load_fixations().tolist() == [[21, 10], [21, 10], [0, 39]]
    assert first.load_gaze().observers == 2
    assert second.load_image().shape == (48, 64, 3)
    assert check(gaze_set).fixations == 4


def test_other_columns_order_spaces_stems_and_a_byte_order_mark(folder: Folder) -> None:
    expected = open_own(folder(*BOTH)).fingerprint
    lines = ("1, 10.4 ,a,20.6,s1", "2,10.4,images/a.png,20.6,s1", "3,39.4,a.png,0,s2", "", "4,63,b,47,s1,,")
    root = folder(*lines, header="order, X ,Image,y,subject", encoding="utf-8-sig")
    assert open_own(root).fingerprint == expected


def test_names_that_share_a_stem_need_their_suffix(folder: Folder) -> None:
    root = folder("a,s,1,1")
    assert len(open_own(root)) == 1
    Image.new("RGB", (40, 30)).save(root / "images" / "a.jpg")
    with pytest.raises(PaperlibError, match="1 of 1 images named in fixations.csv are not in images/: a "):
        open_own(root)


# ---- the blur -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "sigmas", "words"),
    [
        ({"sigma_px": 3}, (3, 3), "3 px"),
        ({"px_per_degree": 4}, (4, 4), "1 degree (4 px)"),
        ({}, (30 * 19 / 480, 48 * 19 / 480), "19/480 of the height"),
    ],
)
def test_density_is_a_gaussian_of_the_fixations(folder: Folder, options: dict, sigmas: tuple, words: str) -> None:
    gaze_set = open_own(folder(*BOTH), **options)
    assert f"a Gaussian of {words}" in gaze_set.notes[0]
    for record, sigma in zip(gaze_set.records, sigmas, strict=True):
        counts = fixation_map(record.load_fixations(), record.size).astype(float)
        expected = ndimage.gaussian_filter(counts, sigma, mode="constant", truncate=6)
        np.testing.assert_allclose(record.load_density(), expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma_px": 0}, "positive number, got sigma_px=0"),
        ({"px_per_degree": float("nan")}, "positive number, got px_per_degree=nan"),
        ({"sigma_px": 3, "px_per_degree": 1}, "not both"),
    ],
)
def test_blur_settings_that_make_no_sense(folder: Folder, options: dict, message: str) -> None:
    with pytest.raises(PaperlibError, match=message):
        open_own(folder(*BOTH), **options)


# ---- what is said about the data ------------------------------------------------------------------------------------
def test_points_outside_are_dropped_counted_and_named(folder: Folder) -> None:
    gaze_set = open_own(folder(*BOTH, "b.jpg,s2,64,10", "b.jpg,s2,-1,10", "b.jpg,s2,5,48.2"))
    assert "3 points outside their picture were dropped, in b.jpg" in gaze_set.notes
    assert check(gaze_set).dropped == 3


def test_pictures_without_fixations_are_left_out_and_named(folder: Folder) -> None:
    gaze_set = open_own(folder("a.png,s,1,1", "b.jpg,s,99,1"))
    assert len(gaze_set) == 1
    assert any("1 of 2 pictures without fixations: b.jpg" in note for note in gaze_set.notes)
    with pytest.raises(PaperlibError, match="none of the 2 pictures"):
        open_own(folder("a.png,s,400,1"))


def test_fixations_without_a_picture(folder: Folder) -> None:
    root = folder(*BOTH, "c.png,s,1,1", "c.png,s,2,1", "d.png,s,1,1")
    with pytest.raises(PaperlibError, match=r"2 of 4 images .* c.png, d.png \(3 fixations\); expected names such as a"):
        open_own(root)


def test_coordinates_from_one_are_suspected(folder: Folder) -> None:
    root = folder("a.png,s,1,1", "a.png,s,40,30", "b.jpg,s,64,1")
    assert any("subtract 1 from x and y in fixations.csv" in note for note in open_own(root).notes)
    assert not any("subtract 1" in note for note in open_own(folder("a.png,s,0,1", "a.png,s,40,3")).notes)


def test_rotation_tags_are_mentioned(folder: Folder) -> None:
    root = folder(*BOTH)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(root / "images" / "b.jpg", exif=exif)
    gaze_set = open_own(root)
    assert gaze_set.records[1].size == (48, 64)
    assert any("1 pictures carry an EXIF rotation, which is ignored" in note for note in gaze_set.notes)


# ---- mistakes in the table ------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\ufeff \n", "is empty"),
        (HEADER, "a header and no fixations"),
        ("image,subject,x\na.png,s,1", "has no column y; its header is 'image, subject, x'"),
        ("a.png,s,1,1", "has no column image, subject, x and 1 more"),
        ("image;subject;x;y\na.png;s;1;1", "separates its columns by semicolons"),
        ("image\tsubject\tx\ty\na.png\ts\t1\t1", "by tabs"),
        ("image,subject,x,y,x\na.png,s,1,1,1", "the column x more than once"),
        (HEADER + "\na.png,s,1,1\na.png,s,left,1", r"1 of 2 lines of fixations.csv .* 3 \(x is 'left', no number\)"),
        (HEADER + "\na.png,s,,1", "line 2 .x is '', no number"),
        (HEADER + "\na.png,s,1,nan", "line 2 .y is 'nan', no number"),
        (HEADER + "\na.png,s,1,inf", "line 2 .y is 'inf', no number"),
        (HEADER + "\na.png,s,10,4,20,6", "line 2 .6 columns, expected 4 .commas as decimal points"),
        (HEADER + "\na.png,s,1", "line 2 .3 columns, expected 4"),
        (HEADER + "\n,s,1,1", "line 2 .no image"),
        (HEADER + "\n" + "a.png,s,?,1\n" * 9, "9 of 9 lines .* line 2 .*line 4 .* and 6 more"),
    ],
)
def test_mistakes_in_the_table_are_told(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "fixations.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PaperlibError, match=message) as caught:
        read_fixations(path)
    assert "\n" not in str(caught.value)


def test_missing_folders(tmp_path: Path) -> None:
    with pytest.raises(PaperlibError, match="found no such folder"):
        open_own(tmp_path)
    (tmp_path / "images" / "holiday").mkdir(parents=True)
    with pytest.raises(PaperlibError, match="found only the folders holiday"):
        open_own(tmp_path)
    Image.new("L", (9, 9)).save(tmp_path / "images" / "a.png")
    with pytest.raises(PaperlibError, match="there is no .*fixations.csv; expected a table with the columns image"):
        open_own(tmp_path)


# ---- maps of models -------------------------------------------------------------------------------------------------
def test_map_folders(folder: Folder) -> None:
    root = folder(*BOTH)
    assert map_folders(root) == {}
    for name in ("saliency_mine", "saliency_other", "notes"):
        (root / name).mkdir()
        for stem in "ab":
            Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4)).save(root / name / f"{stem}.png")
    found = map_folders(root)
    assert list(found) == ["mine", "other"]
    assert list(found["mine"]) == ["a.png", "b.jpg"] and found["mine"]["b.jpg"].name == "b.png"
    values = read_grey(found["mine"]["b.jpg"])
    assert values.dtype == np.float32 and values.tolist() == np.arange(12).reshape(3, 4).tolist()
    (root / "saliency_other" / "b.png").unlink()
    with pytest.raises(PaperlibError, match="1 of 2 pictures have no map in .*saliency_other: b.jpg; .* such as b.png"):
        map_folders(root)
    assert list(map_folders(root, ["a.png"])["other"]) == ["a.png"]


def test_real_map_folders(shared: Callable[..., Path]) -> None:
    root = shared("real_gaze")
    found = map_folders(root)
    assert {name: len(maps) for name, maps in found.items()} == {"aim": 40, "fastgaze": 40}
    assert read_grey(found["aim"]["1011.jpg"]).max() == 255
