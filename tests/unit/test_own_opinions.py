"""The user's own pictures with opinions: the table, its scale, and every mistake told clearly."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from paperlib.datasets.opinions import check
from paperlib.datasets.own_opinions import open_own_opinions, read_opinions
from paperlib.datasets.registry import open_opinions
from paperlib.errors import PaperlibError

HEADER = "image,mos"
Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Pictures a.png, b.jpg, c.png and d.bmp, and a table of the given lines."""

    def make(*lines: str, header: str = HEADER, encoding: str = "utf-8", newline: str = "\n") -> Path:
        (tmp_path / "images").mkdir(exist_ok=True)
        for number, name in enumerate(("a.png", "b.jpg", "c.png", "d.bmp")):
            Image.new("RGB", (40 + number, 30), (50 * number, 0, 0)).save(tmp_path / "images" / name)
        (tmp_path / "mos.csv").write_bytes((newline.join([header, *lines]) + newline).encode(encoding))
        return tmp_path

    return make


ALL = ("a.png,10", "b.jpg,55.5", "c.png,70", "d.bmp,90")


def test_scores_and_pictures(folder: Folder) -> None:
    opened = open_opinions("own", folder(*reversed(ALL)))
    assert [(record.key, record.mos, record.size, record.split) for record in opened.records] == [
        ("a.png", 10, (30, 40), ""),
        ("b.jpg", 55.5, (30, 41), ""),
        ("c.png", 70, (30, 42), ""),
        ("d.bmp", 90, (30, 43), ""),
    ]
    assert opened.title == "own data"
    check(opened)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_marks_line_ends_order_case_and_spaces(folder: Folder, encoding: str, newline: str) -> None:
    expected = open_own_opinions(folder(*ALL)).fingerprint
    lines = (" 10 ,1,images/a.png", "55.5,1, b ,", "", "70,1,C.PNG", "90,1,x\\d.bmp")
    root = folder(*lines, header="MOS,raters,Image", encoding=encoding, newline=newline)
    assert open_own_opinions(root).fingerprint == expected


def test_splits(folder: Folder) -> None:
    lines = [f"{line},{split}" for line, split in zip(ALL, ("train", "test", "Training", "val"), strict=True)]
    opened = open_own_opinions(folder(*lines, header="image,mos,split"))
    assert opened.splits == {"training": 2, "validation": 1, "test": 1}
    assert opened.part("test").mos.tolist() == [55.5]


# ---- the scale ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("values", "scale", "mos"),
    [
        ((0, 0.25, 0.5, 1), "0..1", [0, 25, 50, 100]),
        ((1, 2, 4.5, 5), "1..5", [0, 25, 87.5, 100]),
        ((0.5, 2, 4.5, 5), "0..10", [5, 20, 45, 50]),
        ((9, 2, 4.5, 11), "0..100", [9, 2, 4.5, 11]),
    ],
)
def test_scores_become_0_to_100(folder: Folder, values, scale, mos) -> None:
    lines = [f"{line.partition(',')[0]},{value}" for line, value in zip(ALL, values, strict=True)]
    opened = open_own_opinions(folder(*lines))
    assert opened.mos.tolist() == pytest.approx(mos)
    assert opened.notes[0] == f"MOS: {scale} became 0..100, as the values suggest; more must mean better"


def test_scales_that_are_not_known(folder: Folder) -> None:
    """Z-scores and the like: from the least to the largest, which no rank correlation sees."""
    opened = open_own_opinions(folder("a.png,-1", *ALL[1:]))
    assert (opened.mos.min(), opened.mos.max()) == (0, 100)
    assert opened.notes[0].startswith("no usual scale, MOS: -1..90 became 0..100")


# ---- mistakes -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("lines", "header", "message"),
    [
        (("a.png,good",), HEADER, r"1 of 1 lines of mos.csv .* line 2 \(mos is 'good', no number\); mos must"),
        (("a.png,", "b.jpg,nan", "c.png,inf", "d.bmp,1"), HEADER, "3 of 4 lines of mos.csv cannot be used: line 2"),
        ((",5",), HEADER, "line 2 .no image."),
        ((), HEADER, "has a header and no opinions"),
        (("a.png,1,dev",), "image,mos,split", "split is 'dev', expected training, validation, test"),
        (("a.png,1,",), "image,mos,split", "split is '', expected training"),
        (ALL, "image,score", "has no column mos; its header is 'image, score', expected the columns image, mos"),
        (("a.png,50", "b.jpg,50.0"), HEADER, "all 2 MOS in .* are 50; expected at least two pictures"),
        (("a.png,50",), HEADER, "all 1 MOS in .* are 50"),
        ((*ALL, "a.png,20"), HEADER, "1 pictures are in the table more than once: a.png"),
        ((*ALL, "A.PNG,20"), HEADER, "1 pictures are in the table more than once: a.png"),
        ((*ALL, "e.png,1", "f.png,2"), HEADER, r"2 of 6 \(33.3 %\) pictures are missing: e.png, f.png; complete"),
    ],
)
def test_mistakes_in_the_table(folder: Folder, lines: tuple[str, ...], header: str, message: str) -> None:
    root = folder(*lines, header=header)
    with pytest.raises(PaperlibError, match=message) as caught:
        open_own_opinions(root)
    assert "\n" not in str(caught.value)


def test_no_table_no_pictures(folder: Folder) -> None:
    root = folder(*ALL)
    (root / "mos.csv").rename(root / "scores.csv")
    with pytest.raises(PaperlibError, match=r"there is no .*mos.csv; expected a table with the columns image, mos"):
        open_own_opinions(root)
    for path in (root / "images").iterdir():
        path.unlink()
    with pytest.raises(PaperlibError, match="expected pictures in .*images, found no pictures"):
        open_own_opinions(root)


def test_pictures_without_opinions_and_opinions_without_pictures(folder: Folder) -> None:
    notes = open_own_opinions(folder(*ALL[:2])).notes
    assert "left out: 2 pictures are not in the table: c.png, d.bmp" in notes
    opened = open_own_opinions(folder(*ALL[:3], "e.png,3"), partial=True)
    assert len(opened) == 3
    assert "left out: 1 of 4 (25.0 %) pictures are missing: e.png" in opened.notes


def test_rotation_tags_are_mentioned(folder: Folder) -> None:
    root = folder(*ALL)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (64, 48)).save(root / "images" / "b.jpg", exif=exif)
    opened = open_own_opinions(root)
    assert opened.records[1].load_image().shape == (48, 64, 3)
    assert any("1 pictures carry an EXIF rotation, which is ignored: b.jpg" in note for note in opened.notes)


def test_the_table_alone_keeps_its_order_and_scale(folder: Folder) -> None:
    lines = read_opinions(folder("b.jpg,3", "a.png,1.5") / "mos.csv")
    assert [(line.name, line.mos, line.split) for line in lines] == [("b.jpg", 3, ""), ("a.png", 1.5, "")]
