"""CLIVE: names and scores by their rows, the practice pictures left out, and every mistake told clearly."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from paperlib.datasets import clive
from paperlib.datasets.clive import open_clive, read_clive_tables
from paperlib.datasets.opinions import check
from paperlib.errors import PaperlibError
from paperlib.rehearsal.koniq_clive import write_clive

N = 5


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clive(tmp_path_factory.mktemp("clive"), N, 2) / "ChallengeDB_release"


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "ChallengeDB_release"))


def cell(*names: str) -> np.ndarray:
    values = np.empty((len(names), 1), object)
    values[:, 0] = names
    return values


def usual_reading(root: Path) -> dict[str, float]:
    """Name -> MOS as public loaders of the data set take them from the two files."""
    names = loadmat(root / "Data" / "AllImages_release.mat")["AllImages_release"][7:]
    scores = loadmat(root / "Data" / "AllMOS_release.mat")["AllMOS_release"][0][7:]
    return {name[0][0]: score for name, score in zip(names, scores, strict=True)}


def test_names_and_scores_are_those_of_the_usual_reading(root: Path) -> None:
    opened = open_clive(root, partial=True)
    assert {record.key: record.mos for record in opened.records} == usual_reading(root)
    assert len(opened) == N and opened.splits == {}
    assert {record.path.suffix for record in opened.records} == {".bmp", ".JPG"}
    assert not any(record.key.startswith("t") for record in opened.records)
    check(opened)


def test_the_folder_may_be_one_above_or_a_part(root: Path) -> None:
    expected = open_clive(root, partial=True).fingerprint
    for other in (root.parent, root / "Images", root / "Data"):
        assert open_clive(other, partial=True).fingerprint == expected


def test_lower_cased_names_are_found(root: Path) -> None:
    expected = open_clive(root, partial=True)
    for path in (root / "Images").glob("*.JPG"):
        path.rename(path.with_suffix(".jpg"))
    found = open_clive(root, partial=True)
    assert {record.key.lower(): record.mos for record in found.records} == {
        record.key.lower(): record.mos for record in expected.records
    }


def test_a_part_must_be_asked_for(root: Path) -> None:
    with pytest.raises(PaperlibError, match="names 5 of 1162 pictures of CLIVE"):
        open_clive(root)


def test_missing_pictures_are_counted(root: Path) -> None:
    gone = next((root / "Images").glob("*.JPG"))
    gone.unlink()
    assert any(f"1 of 5 (20.0 %) pictures are missing: {gone.name}" in note for note in open_clive(root, partial=True).notes)


def test_the_first_rows_must_be_for_practice(root: Path) -> None:
    names = loadmat(root / "Data" / "AllImages_release.mat")["AllImages_release"]
    savemat(root / "Data" / "AllImages_release.mat", {"AllImages_release": np.roll(names, 2, axis=0)})
    with pytest.raises(PaperlibError, match=r"the first 7 rows .* should be the practice pictures, but .* lie in"):
        open_clive(root, partial=True)


@pytest.mark.parametrize("name", ["AllImages_release", "AllMOS_release"])
def test_a_missing_table(root: Path, name: str) -> None:
    (root / "Data" / f"{name}.mat").unlink()
    with pytest.raises(PaperlibError, match=f"CLIVE in .* lacks Data/{name}.mat; restore it"):
        open_clive(root)


def test_missing_folders(root: Path) -> None:
    shutil.rmtree(root / "Data")
    (root / "Data.zip").write_bytes(b"PK")
    with pytest.raises(PaperlibError, match=r"lacks Data/AllImages_release.mat, Data/AllMOS_release.mat \(Data.zip"):
        open_clive(root)


def test_the_deviations_are_not_needed(root: Path) -> None:
    (root / "Data" / "AllStdDev_release.mat").unlink()
    assert len(open_clive(root, partial=True)) == N


@pytest.mark.parametrize(
    ("name", "variables", "message"),
    [
        ("AllMOS_release", {"AllStdDev_release": np.ones((1, 12))}, "no variable 'AllMOS_release', it holds AllStdDev"),
        ("AllMOS_release", {"AllMOS_release": np.ones((1, 11))}, "12 names and 11 MOS, expected 1169 of both"),
        ("AllMOS_release", {"AllMOS_release": cell(*"abcdefghijkl")}, "holds object values, expected numbers"),
        ("AllMOS_release", {"AllMOS_release": np.full((1, 12), np.nan)}, "12 of 12 MOS .* outside 0..100: t1.bmp .nan"),
        ("AllMOS_release", {"AllMOS_release": np.full((1, 12), 101.0)}, r"outside 0..100: t1.bmp \(101\)"),
        ("AllImages_release", {"Images": cell("a")}, "no variable 'AllImages_release', it holds Images"),
        ("AllImages_release", {"AllImages_release": np.ones((12, 1))}, "expected a cell array of file names"),
        ("AllImages_release", {"AllImages_release": cell(*[" "] * 12)}, "expected a cell array of file names"),
        ("AllImages_release", {"AllImages_release": cell(*["1.bmp"] * 12)}, "should be the practice|more than once"),
    ],
)
def test_wrong_variables(root: Path, name: str, variables: dict, message: str) -> None:
    savemat(root / "Data" / f"{name}.mat", variables)
    with pytest.raises(PaperlibError, match=message):
        open_clive(root, partial=True)


def test_practice_pictures_alone_are_no_data_set(root: Path) -> None:
    savemat(root / "Data" / "AllImages_release.mat", {"AllImages_release": cell(*[f"t{i}.bmp" for i in range(7)])})
    savemat(root / "Data" / "AllMOS_release.mat", {"AllMOS_release": np.full((1, 7), 50.0)})
    with pytest.raises(PaperlibError, match="7 names and 7 MOS, expected 1169"):
        read_clive_tables(root / "Data")


def test_a_whole_set_must_have_the_published_scores(root: Path, monkeypatch) -> None:
    monkeypatch.setattr(clive, "PUBLISHED", replace(clive.PUBLISHED, pictures=N))
    with pytest.raises(PaperlibError, match="the MOS in .*AllMOS_release.mat are not those of CLIVE"):
        open_clive(root)
