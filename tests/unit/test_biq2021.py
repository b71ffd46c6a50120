"""BIQ2021: MOS by name, parts that hold in any extent, odd names, and every mistake told in one sentence."""

import os
from pathlib import Path

import pytest
from PIL import Image

from paperlib.datasets.biq2021 import open_biq2021
from paperlib.datasets.listed_files import listed
from paperlib.datasets.opinions import check
from paperlib.errors import PaperlibError

SIZES = {"ss01 (10).jpg": (512, 512), "ss02 (1014).JPG": (512, 512), "ss03 (7805).jpg": (468, 471)}


def picture(path: Path, size: tuple[int, int] = (512, 512)) -> None:
    Image.new("RGB", size[::-1], (90, 120, 40)).save(path, "jpeg")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures: one that the table calls by another ending, and one of another size."""
    home = tmp_path / "BIQ2021"
    (home / "Images").mkdir(parents=True)
    for name, size in SIZES.items():
        picture(home / "Images" / name, size)
    (home / "train.csv").write_text("Image Name,MOS,,\nss01 (10).jpg,0.2896,,\n,,,\nss02 (1014).jpg,1,,\n")
    (home / "test.csv").write_text("Image Name,MOS\nss03 (7805).jpg,0\n")
    return home


def test_scores_belong_to_names_and_sizes_come_from_headers(root: Path) -> None:
    opened = open_biq2021(root, "all")
    assert {record.key: record.size for record in opened.records} == SIZES
    assert opened.mos == pytest.approx([28.96, 100, 0])
    assert opened.records[2].split == "test" and opened.notes == ("a part of the set: 3 of 12000 pictures of BIQ2021",)
    check(opened)
    assert open_biq2021(root.parent, "found").fingerprint == opened.fingerprint


def test_a_picture_belongs_to_the_same_part_in_any_extent(root: Path) -> None:
    names = [f"ss03 ({number}).jpg" for number in range(400)]
    (root / "train.csv").write_text("Image Name,MOS\n" + "".join(f"{name},0.5\n" for name in names))
    for name in names:
        os.link(root / "Images" / "ss01 (10).jpg", root / "Images" / name)
    every = open_biq2021(root, "all")
    assert 50 < every.splits["validation"] < 110 and every.splits["test"] == 1
    for name in names[::2]:
        (root / "Images" / name).rename(root / "Images" / name.upper())
    for name in names[1::2]:
        (root / "Images" / name).unlink()
    parts = {record.key.lower(): record.split for record in every.records}
    found = open_biq2021(root, "found").records
    assert len(found) == 201 and all(parts[record.key.lower()] == record.split for record in found)


def test_the_sample_is_that_of_the_list_whatever_else_lies_there(root: Path) -> None:
    names = [Path(file.path).name for file in listed("biq2021_sample") if file.path.startswith("Images")]
    others = {"a.jpg", *SIZES} - set(names)
    lines = "".join(f"{name},0.5\n" for name in names)
    (root / "train.csv").write_text(f"Image Name,MOS\n{lines}")
    (root / "test.csv").write_text("Image Name,MOS\na.jpg,0.5\nss02 (1014).jpg,0.5\n")
    for name in {*names, *others} - SIZES.keys():
        os.link(root / "Images" / "ss01 (10).jpg", root / "Images" / name)
    (root / "Images" / names[-1]).unlink()
    with pytest.raises(PaperlibError, match=r"1 of 3300 pictures are missing: .*; complete the folder"):
        open_biq2021(root)
    picture(root / "Images" / names[-1])
    assert [record.key for record in open_biq2021(root).records] == sorted(names)
    (root / "train.csv").write_text(f"Image Name,MOS\n{names[0]},0.5\n")
    with pytest.raises(PaperlibError, match="tables name 1 of the 3300 pictures of the sample"):
        open_biq2021(root)


@pytest.mark.parametrize(
    ("table", "lines", "told"),
    [
        ("test.csv", "ss03 (7805).jpg,73.2", r"1 of 1 MOS in .*test.csv lie outside 0..1: ss03 \(7805\).jpg \(73.2\)"),
        ("test.csv", "ss03 (7805).jpg,-0.1", "lie outside 0..1"),
        ("test.csv", "ss03 (7805).jpg,good", "line 2 .MOS is 'good', no number"),
        ("test.csv", ",0.5", "no image"),
        ("test.csv", "SS01 (10).jpg,0.5", r"1 pictures stand more than once in train.csv and test.csv .*ss01 \(10\).jpg"),
        ("train.csv", "a.jpg,0.5,,\na.jpg,0.5,,", "stand more than once"),
        ("train.csv", "ss01 (11).jpg,0.5,,", r"1 of 2 pictures are missing: ss01 \(11\).jpg"),
    ],
)
def test_tables_that_cannot_be_used(root: Path, table: str, lines: str, told: str) -> None:
    header = "Image Name,MOS,," if table == "train.csv" else "Image Name,MOS"
    (root / table).write_text(f"{header}\n{lines}\n")
    with pytest.raises(PaperlibError, match=told) as caught:
        open_biq2021(root, "all")
    assert "\n" not in str(caught.value)


def test_folders_extents_and_pictures_that_cannot_be_used(root: Path) -> None:
    with pytest.raises(PaperlibError, match="extent='half' is not known; choose from: sample, all, found"):
        open_biq2021(root, "half")
    (root / "Images" / "ss01 (10).jpg").write_bytes(b"no picture")
    with pytest.raises(PaperlibError, match="1 of 3 BIQ2021 pictures cannot be used: Images/ss01"):
        open_biq2021(root, "found")
    for path in (root / "Images").iterdir():
        path.unlink()
    with pytest.raises(PaperlibError, match="3 of 3 pictures are missing"):
        open_biq2021(root, "found")
    (root / "test.csv").unlink()
    with pytest.raises(PaperlibError, match="expected the folder Images, train.csv and test.csv there"):
        open_biq2021(root)
