"""The real BIQ2021, OSIE and EyeCrowd, compared with pandas' and SciPy's own reading of their files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import loadmat

from paperlib.datasets.biq2021 import open_biq2021, read_biq2021_table
from paperlib.datasets.gaze import PointRecord
from paperlib.datasets.nus_vip import read_fixations
from paperlib.datasets.registry import open_gaze

Shared = Callable[..., Path]


def test_scores_and_parts_of_biq2021(shared: Shared) -> None:
    root = shared("open", "biq2021")
    sample = pd.read_csv(root / "sample.csv").sort_values("file")
    opened = open_biq2021(root)
    assert [record.key for record in opened.records] == sample.file.tolist()
    np.testing.assert_allclose(opened.mos, 100 * sample.mos)
    assert [record.split == "test" for record in opened.records] == (sample.part == "test").tolist()
    assert opened.splits == {"training": 2_008, "validation": 492, "test": 800}
    assert {record.size for record in opened.records} == {(512, 512), (471, 468)}
    assert open_biq2021(root, "found").fingerprint == opened.fingerprint


def test_the_whole_tables_of_biq2021(shared: Shared) -> None:
    for table, parts in (("train.csv", {"training": 7_979, "validation": 2_021}), ("test.csv", {"test": 2_000})):
        path = shared("open", "biq2021", table)
        by_pandas = pd.read_csv(path).dropna(how="all").set_index("Image Name").MOS
        opinions = read_biq2021_table(path)
        assert {opinion.name: opinion.mos for opinion in opinions} == pytest.approx((100 * by_pandas).to_dict())
        assert pd.Series([opinion.split for opinion in opinions]).value_counts().to_dict() == parts


@pytest.mark.parametrize(
    ("name", "pictures", "opened_pictures", "observers", "fixations"),
    [("osie", 700, 700, 15, 98_321), ("eyecrowd", 500, 100, 16, 126_348)],
)
def test_fixations_are_those_of_scipy(
    name: str, pictures: int, opened_pictures: int, observers: int, fixations: int, shared: Shared
) -> None:
    root = shared("open", name)
    entries = loadmat(root / "fixations.mat", simplify_cells=True)["fixations"]
    expected = {
        entry["img"]: [np.stack([np.atleast_1d(one["fix_x"]), np.atleast_1d(one["fix_y"])], 1) for one in entry["subjects"]]
        for entry in entries
    }
    read = read_fixations(root / "fixations.mat")
    assert len(read) == pictures and read.keys() == expected.keys()
    assert {len(viewings) for viewings in read.values()} == {observers}
    assert sum(len(viewing) for viewings in read.values() for viewing in viewings) == fixations
    opened = open_gaze(name, root)
    assert len(opened) == opened_pictures
    for record in opened.records:
        points = np.concatenate(expected[record.key])[:, ::-1] - 1
        np.testing.assert_array_equal(record.load_fixations(), np.rint(points).astype(int))
        assert isinstance(record, PointRecord) and record.gaze.dropped == 0
