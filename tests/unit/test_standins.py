"""Stand-in trees: official layout, the same bytes again, half-written trees completed, foreign folders untouched."""

import csv
import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.io import loadmat
from scipy.stats import spearmanr

from paperlib.datasets import gaze, opinions
from paperlib.datasets.files import read_rgb
from paperlib.datasets.koniq import OFFICIAL_TABLE, SCORES_TABLE
from paperlib.datasets.own import map_folders
from paperlib.datasets.registry import open_gaze, open_opinions
from paperlib.datasets.sacid import Version, open_sacid
from paperlib.errors import PaperlibError
from paperlib.rehearsal import scenes
from paperlib.rehearsal.koniq_clive import write_clive, write_koniq
from paperlib.rehearsal.sacid import SIZE, write_clic, write_sacid
from paperlib.rehearsal.salicon_cat2000 import OBSERVERS, write_cat2000, write_salicon
from paperlib.rehearsal.scenes import MANIFEST
from paperlib.study.folder import code_folder
from tests.own_standins import write_own, write_own_opinions

WRITERS: dict[str, Callable[[Path, int], Path]] = {
    "salicon": lambda root, seed: write_salicon(root, 2, seed),
    "cat2000": lambda root, seed: write_cat2000(root, 1, seed, ["Art", "Social"]),
    "own": lambda root, seed: write_own(root, 3, seed),
    "koniq10k": lambda root, seed: write_koniq(root, 5, seed),
    "clive": lambda root, seed: write_clive(root, 3, seed),
    "own opinions": lambda root, seed: write_own_opinions(root, 4, seed),
    "sacid": lambda root, seed: write_sacid(root, 2, seed, (32, 48), without_reference=1),
}
each = pytest.mark.parametrize("name", WRITERS)


def content(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("name", ["salicon", "cat2000", "own"])
def test_gaze_and_density_belong_together(tmp_path: Path, name: str) -> None:
    gaze_set = open_gaze(name, WRITERS[name](tmp_path / "tree", 1))
    statistics = gaze.check(gaze_set)
    assert statistics.fixations > 0 and statistics.without_fixations == 0
    for record in gaze_set.records:
        image, density, points = record.load_image(), record.load_density(), record.load_fixations()
        assert image.std() > 15, "a picture needs structure"
        scores = (density - density.mean()) / density.std()
        assert scores[points[:, 0], points[:, 1]].mean() > 1


@pytest.mark.parametrize("name", ["koniq10k", "clive", "own opinions"])
def test_sets_with_opinions_pass_the_check(tmp_path: Path, name: str) -> None:
    opened = open_opinions(name.partition(" ")[0], WRITERS[name](tmp_path, 1), partial=True)
    opinions.check(opened)
    assert opened.mos.std() > 5
    assert all(record.load_image().std() > 3 for record in opened.records)


@each
def test_same_arguments_same_bytes(tmp_path: Path, name: str) -> None:
    first, again, other = (WRITERS[name](tmp_path / str(i), seed) for i, seed in enumerate((1, 1, 2)))
    assert content(first) == content(again) != content(other)


@each
def test_a_finished_tree_is_left_alone_and_a_half_one_completed(tmp_path: Path, name: str, monkeypatch) -> None:
    root = WRITERS[name](tmp_path, 1)
    whole = content(root)
    times = {path: path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file()}
    with monkeypatch.context() as patch:
        patch.setattr(scenes, "generate", None)
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

    original = scenes.atomic_write
    monkeypatch.setattr(scenes, "atomic_write", failing)
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
    for manifest in (None, "[]"):
        if manifest:
            (tmp_path / MANIFEST).write_text(manifest)
        with pytest.raises(PaperlibError, match="choose another folder"):
            WRITERS[name](tmp_path, 1)


@pytest.mark.parametrize(
    "call",
    [
        lambda root: write_salicon(root, 0, 1),
        lambda root: write_salicon(root, 1, -1),
        lambda root: write_salicon(root, 1, 1, edition="2016"),
        lambda root: write_cat2000(root, 0, 1),
        lambda root: write_cat2000(root, 1, 1, []),
        lambda root: write_koniq(root, 2, 1),
        lambda root: write_koniq(root, 5, -1),
        lambda root: write_koniq(root, 5, 1, ()),
        lambda root: write_koniq(root, 5, 1, ("640x480",)),
        lambda root: write_clive(root, 1, 1),
        lambda root: write_sacid(root, 0, 0),
        lambda root: write_sacid(root, 2, -1),
        lambda root: write_sacid(root, 2, 0, size=(8, 64)),
        lambda root: write_sacid(root, 2, 0, suffix=".gif"),
        lambda root: write_sacid(root, 2, 0, without_reference=3),
        lambda root: write_sacid(root, 2, 0, without_reference=-1),
    ],
)
def test_bad_arguments(tmp_path: Path, call: Callable[[Path], Path]) -> None:
    with pytest.raises(ValueError, match="expected|choose"):
        call(tmp_path / "tree")


# ---- eye tracking ---------------------------------------------------------------------------------------------------
def test_salicon_files_look_like_the_real_ones(tmp_path: Path) -> None:
    root = write_salicon(tmp_path, 2, 3)
    path = next((root / "fixations" / "val").glob("COCO_val2014_????????????.mat"))
    mat = loadmat(path)
    assert mat["image"].item() == path.stem and mat["resolution"].tolist() == [[480, 640]]
    gaze = mat["gaze"]
    assert gaze.shape == (OBSERVERS, 1) and gaze.dtype.names == ("location", "timestamp", "fixations")
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


def test_a_rehearsal_needs_little_processor_time(tmp_path: Path) -> None:
    start = time.process_time()
    write_salicon(tmp_path / "salicon", 6, 1)
    write_cat2000(tmp_path / "cat2000", 1, 1, ["Action", "Art", "Indoor", "Social"])
    assert time.process_time() - start < 20, "some seconds at most; this limit only catches a change of order"


# ---- opinions -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [3, 4, 20])
def test_every_split_is_there(tmp_path: Path, n: int) -> None:
    splits = open_opinions("koniq10k", write_koniq(tmp_path, n, 1), partial=True).splits
    assert set(splits) == {"training", "validation", "test"} and sum(splits.values()) == n
    if n == 20:
        assert splits == {"training": 14, "validation": 2, "test": 4}


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
    small, large = (open_opinions("koniq10k", root / size, partial=True) for size in ("512x384", "1024x768"))
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
    opened = open_opinions("own", write_own_opinions(tmp_path, 48, 1))
    kinds: dict[int, list[tuple[float, float]]] = {}
    for record in opened.records:
        grey = cv2.cvtColor(record.load_image(), cv2.COLOR_RGB2GRAY)
        fine = float(cv2.Laplacian(grey, cv2.CV_64F).std())
        kinds.setdefault((int(Path(record.key).stem) - 1001) % 4, []).append((record.mos, fine))
    order = [spearmanr(*np.transpose(kinds[kind])).statistic for kind in range(4)]
    noise, blur, _, contrast = order
    assert noise < -0.8 and blur > 0.6 and contrast > 0.6


# ---- coded pictures -------------------------------------------------------------------------------------------------
def test_damage_falls_and_scores_rise_with_the_bitrate(tmp_path: Path) -> None:
    found = open_sacid(write_sacid(tmp_path, 3, 0, suffix=".png"), partial=True)
    assert {record.size for record in found.records} == {SIZE, SIZE[::-1]}
    for _, records in found.by_sequence():
        plain = [record for record in records if record.preset == "none"]
        errors = [np.square(record.load_image() - record.load_reference().astype(float)).mean() for record in plain]
        assert errors[0] > errors[1] > errors[2] > 0
        assert spearmanr([record.bpp for record in records], [record.mos for record in records])[0] > 0.7
        assert min(record.mos for record in records) == 0


def test_presets_move_quality_to_the_salient_part(tmp_path: Path) -> None:
    found = open_sacid(write_sacid(tmp_path, 2, 0, suffix=".png"), partial=True)
    for _, records in found.by_sequence():
        saliency = records[0].load_saliency()
        salient = saliency > np.quantile(saliency, 0.75)
        squares = {
            record.version: np.square(record.load_image() - record.load_reference().astype(float)).mean(axis=2)
            for record in records
        }
        for preset in ("p132", "p220", "p310"):
            plain, moved = squares[Version(12, "none")], squares[Version(12, preset)]
            assert moved[salient].mean() < plain[salient].mean() and moved[~salient].mean() > plain[~salient].mean()


def test_photographs_of_clic_become_a_set_like_sacid(tmp_path: Path) -> None:
    folder = write_clic(tmp_path / "clic2021", 3, 0, (96, 128))
    shapes = {path.name: read_rgb(path).shape for path in sorted(folder.glob("*.png"))}
    wide, tall = (96, 128, 3), (128, 96, 3)
    assert shapes == {"standin-000.png": wide, "standin-001.png": wide, "standin-002.png": tall}
    study = code_folder(folder, "center", [1.5], tmp_path / "own")
    assert len(list((tmp_path / "own" / "compressed").rglob("*.png"))) == 4 * len(study.record["photographs"]) > 0
