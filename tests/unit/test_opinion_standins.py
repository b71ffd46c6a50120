"""Stand-ins for data sets with opinions: official layout, the same bytes again, scores that follow the damage."""

import csv
import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat
from scipy.stats import spearmanr

from paperlib.datasets.koniq import OFFICIAL_TABLE, SCORES_TABLE
from paperlib.datasets.opinions import OpinionSet, check
from paperlib.datasets.registry import open_opinions
from paperlib.errors import PaperlibError
from paperlib.rehearsal import salicon_cat2000 as standins
from paperlib.rehearsal.koniq_clive import write_clive, write_koniq, write_own_opinions
from paperlib.rehearsal.salicon_cat2000 import MANIFEST

WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "koniq10k": lambda root, seed: write_koniq(root, 5, seed),
    "clive": lambda root, seed: write_clive(root, 3, seed),
    "own": lambda root, seed: write_own_opinions(root, 4, seed),
}
each = pytest.mark.parametrize("name", WRITERS)


def content(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@each
def test_the_set_opens_and_passes_the_check(tmp_path: Path, name: str) -> None:
    opened = open_opinions(name, WRITERS[name](tmp_path, 1), partial=True)
    statistics = check(opened)
    assert statistics.duplicates == () and statistics.mos_sd > 5
    assert all(record.load_image().std() > 3 for record in opened.records)


@each
def test_same_arguments_same_bytes(tmp_path: Path, name: str) -> None:
    first, again, other = (WRITERS[name](tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))
    assert content(first) == content(again)
    assert content(first) != content(other)


@each
def test_a_finished_tree_is_left_alone_and_a_half_one_completed(tmp_path: Path, name: str, monkeypatch) -> None:
    root = WRITERS[name](tmp_path, 1)
    whole = content(root)
    with monkeypatch.context() as patch:
        patch.setattr(standins, "generate", None)
        WRITERS[name](tmp_path, 1)
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != MANIFEST)
    for path in files[::2]:
        path.unlink()
    assert content(WRITERS[name](tmp_path, 1)) == whole


@each
def test_folders_of_other_people_are_not_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine.csv").write_text("a")
    with pytest.raises(PaperlibError, match="choose another folder"):
        WRITERS[name](tmp_path, 1)


@pytest.mark.parametrize(
    ("write", "arguments"),
    [
        (write_koniq, (2, 1)),
        (write_koniq, (5, -1)),
        (write_koniq, (5, 1, ())),
        (write_koniq, (5, 1, ("640x480",))),
        (write_clive, (1, 1)),
        (write_own_opinions, (2, 1)),
    ],
)
def test_arguments_that_make_no_sense(tmp_path: Path, write: Callable, arguments: tuple) -> None:
    with pytest.raises(ValueError, match=r"expected|at least"):
        write(tmp_path, *arguments)


@pytest.mark.parametrize("n", [3, 4, 20])
def test_every_split_is_there(tmp_path: Path, n: int) -> None:
    splits = open_opinions("koniq10k", write_koniq(tmp_path, n, 1), partial=True).splits
    assert set(splits) == {"training", "validation", "test"} and sum(splits.values()) == n
    if n == 20:
        assert splits == {"training": 14, "validation": 2, "test": 4}


# ---- the official form ----------------------------------------------------------------------------------------------
def test_the_official_table_of_koniq_in_form(tmp_path: Path, shared: Callable[..., Path]) -> None:
    real = shared("metadata", OFFICIAL_TABLE).read_bytes()
    ours = (write_koniq(tmp_path, 8, 1) / OFFICIAL_TABLE).read_bytes()
    assert ours.splitlines()[0] == real.splitlines()[0]
    for sign in (b"\r", b'"', b" ", b";"):
        assert (sign in ours) == (sign in real)
    lines = {name: list(csv.DictReader(raw.decode().splitlines())) for name, raw in (("real", real), ("ours", ours))}
    for column in ("c1", "c3", "MOS", "SD"):
        longest = {name: max(len(row[column].lstrip("0.").replace(".", "")) for row in rows) for name, rows in lines.items()}
        assert longest["ours"] <= longest["real"] == 12
    assert all(row["c_total"].isdigit() and 93 <= int(row["c_total"]) <= 157 for row in lines["ours"])
    names = [row["image_name"] for row in lines["ours"]]
    assert names == sorted(names) and all(name.removesuffix(".jpg").isdigit() for name in names)


def test_the_two_tables_of_koniq_belong_together(tmp_path: Path) -> None:
    root = write_koniq(tmp_path, 8, 1)
    official, scores = (
        list(csv.DictReader((root / name).read_text().splitlines())) for name in (OFFICIAL_TABLE, SCORES_TABLE)
    )
    for one, other in zip(official, scores, strict=True):
        assert one["image_name"] == other["image_name"] and one["MOS"] == other["MOS_zscore"]
        votes = np.array([int(other[f"c{mark}"]) for mark in range(1, 6)])
        every = np.repeat(np.arange(1, 6), votes)
        assert len(every) == int(one["c_total"])
        assert float(other["MOS"]) == pytest.approx(every.mean()) and 1 <= every.mean() <= 5
        assert float(one["SD"]) == pytest.approx(every.std(ddof=1))


def test_the_two_layouts_of_koniq_show_the_same(tmp_path: Path) -> None:
    root = write_koniq(tmp_path, 3, 1, ("512x384", "1024x768"))
    small, large = (open_opinions("koniq10k", root, size=size, partial=True) for size in ("512x384", "1024x768"))
    for one, other in zip(small.records, large.records, strict=True):
        assert one.key == other.key and other.size == (768, 1024)
        halved = cv2.resize(other.load_image(), (512, 384), interpolation=cv2.INTER_AREA)
        grey, expected = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).ravel() for image in (halved, one.load_image()))
        assert np.corrcoef(grey, expected)[0, 1] > 0.99
    alone = write_koniq(tmp_path / "alone", 3, 1)
    for record in small.records:
        assert (alone / "512x384" / record.key).read_bytes() == record.path.read_bytes()


def test_clive_files_look_like_the_real_ones(tmp_path: Path) -> None:
    root = write_clive(tmp_path, 6, 3) / "ChallengeDB_release"
    mats = {path.stem: loadmat(path) for path in (root / "Data").iterdir()}
    assert sorted(mats) == ["AllImages_release", "AllMOS_release", "AllStdDev_release"]
    assert mats["AllImages_release"]["AllImages_release"].shape == (13, 1)
    for name in ("AllMOS_release", "AllStdDev_release"):
        assert mats[name][name].shape == (1, 13) and mats[name][name].dtype == np.float64
    names = [str(entry[0][0]) for entry in mats["AllImages_release"]["AllImages_release"]]
    assert names[:7] == [f"t{number}.bmp" for number in range(1, 8)]
    assert sorted(path.name for path in (root / "Images" / "trainingImages").iterdir()) == names[:7]
    assert {path.name for path in (root / "Images").iterdir() if path.is_file()} == set(names[7:])
    for path in (root / "Images").rglob("*.*"):
        if path.is_file():
            assert path.read_bytes()[:2] == (b"BM" if path.suffix == ".bmp" else b"\xff\xd8")
            assert cv2.imread(str(path)).shape == (500, 500, 3)
    assert names[7:] != sorted(names[7:]), "a reader that sorts by name must be found out"


def test_scores_follow_the_damage(tmp_path: Path) -> None:
    opened: OpinionSet = open_opinions("own", write_own_opinions(tmp_path, 48, 1))
    kinds: dict[int, list[tuple[float, float]]] = {}
    for record in opened.records:
        grey = cv2.cvtColor(record.load_image(), cv2.COLOR_RGB2GRAY)
        fine = float(cv2.Laplacian(grey, cv2.CV_64F).std())
        kinds.setdefault((int(Path(record.key).stem) - 1001) % 4, []).append((record.mos, fine))
    order = [spearmanr(*np.transpose(kinds[kind])).statistic for kind in range(4)]
    noise, blur, _, contrast = order
    assert noise < -0.8 and blur > 0.6 and contrast > 0.6
