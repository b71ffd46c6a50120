"""Real tables and pictures: KonIQ-10k's official table, CLIVE's scores, and pictures with their real MOS.

Tables of KonIQ-10k and CLIVE are opened as whole data sets; their pictures are one generated picture under all names.
"""

import csv
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from paperlib.datasets.clive import open_clive
from paperlib.datasets.koniq import OFFICIAL_TABLE, PUBLISHED, SIZES, open_koniq, read_koniq_table
from paperlib.datasets.opinions import check, compare_with_published, overlap
from paperlib.datasets.own_opinions import open_own_opinions
from paperlib.errors import PaperlibError

Shared = Callable[..., Path]


def one_picture_under(folder: Path, names: list[str], size: tuple[int, int]) -> None:
    folder.mkdir(parents=True)
    Image.new("RGB", size[::-1], (90, 120, 40)).save(folder / "one.jpg")
    for name in names:
        os.link(folder / "one.jpg", folder / name)
    (folder / "one.jpg").unlink()


@pytest.fixture(scope="module")
def koniq(shared: Shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("koniq10k")
    table = shared("metadata", OFFICIAL_TABLE)
    (root / OFFICIAL_TABLE).symlink_to(table)
    one_picture_under(root / "512x384", pd.read_csv(table).image_name.tolist(), SIZES["512x384"])
    return root


@pytest.fixture
def clive(shared: Shared, tmp_path: Path) -> Path:
    """The scores as SGDNet's authors kept them, written as the files of the release."""
    real = pd.read_csv(shared("metadata", "clive_mos_from_sgdnet.csv"))
    names = np.empty((7 + len(real), 1), object)
    names[:, 0] = [f"t{number}.bmp" for number in range(1, 8)] + real.image_name.tolist()
    (tmp_path / "Data").mkdir()
    savemat(tmp_path / "Data" / "AllImages_release.mat", {"AllImages_release": names})
    savemat(tmp_path / "Data" / "AllMOS_release.mat", {"AllMOS_release": [[50.0] * 7 + real.mos.tolist()]})
    one_picture_under(tmp_path / "Images", real.image_name.tolist(), (500, 500))
    return tmp_path


def test_the_official_table_of_koniq(koniq: Path) -> None:
    opened = open_koniq(koniq)
    real = pd.read_csv(koniq / OFFICIAL_TABLE).sort_values("image_name")
    assert len(opened) == 10_073 and opened.notes == ()
    assert opened.splits == {"training": 7_058, "validation": 1_000, "test": 2_015}
    assert [record.key for record in opened.records] == real.image_name.tolist()
    np.testing.assert_array_equal(opened.mos, real.MOS.to_numpy())
    assert (opened.mos.min(), opened.mos.max()) == pytest.approx((3.91, 88.39), abs=0.005)
    assert [record.split for record in opened.records] == real.set.tolist()
    assert len(opened.part("training", "validation")) == 8_058


def test_changes_of_the_official_table_are_found(shared: Shared, tmp_path: Path) -> None:
    real = pd.read_csv(shared("metadata", OFFICIAL_TABLE))
    means = sum(mark * real[f"c{mark}"] for mark in range(1, 6))
    shuffled = real.set.sample(frac=1, random_state=0).tolist()
    cases = {
        "the mean of votes on 1..5": real.assign(MOS=means),
        "1 of 10073 MOS in .* mixes its two scales": real.assign(MOS=real.MOS.where(real.index != 5000, means)),
        "do not fit the votes": real.assign(MOS=real.MOS.iloc[::-1].to_numpy()),
        "are not those of KonIQ-10k": real.assign(MOS=real.MOS + 0.1),
        "the split in .* is not the official one": real.assign(set=shuffled),
        r"training 0 / validation 0 / test 10073, expected training 7058 / validation 1000 / test 2015": real.assign(
            set="test"
        ),
        "10072 of 10073 pictures": real.iloc[1:],
    }
    for message, table in cases.items():
        path = tmp_path / "table.csv"
        table.to_csv(path, index=False)
        with pytest.raises(PaperlibError, match=message):
            compare_with_published(read_koniq_table(path)[1], PUBLISHED, path, "KonIQ-10k", partial=False)


def test_a_picture_that_stands_for_another_one_is_found(koniq: Path, tmp_path: Path) -> None:
    lines = (koniq / OFFICIAL_TABLE).read_text().splitlines()
    (tmp_path / OFFICIAL_TABLE).write_text("\n".join([*lines[:-1], lines[1]]))
    (tmp_path / "512x384").symlink_to(koniq / "512x384")
    with pytest.raises(PaperlibError, match="1 pictures are in the table more than once: 10004473376.jpg; restore"):
        open_koniq(tmp_path)


def test_every_real_score_fits_its_votes_as_the_reader_expects(shared: Shared) -> None:
    edition, opinions = read_koniq_table(shared("metadata", OFFICIAL_TABLE))
    assert edition == "official" and Counter(opinion.split for opinion in opinions)["test"] == 2_015


def test_the_scores_of_clive(clive: Path, shared: Shared) -> None:
    opened = open_clive(clive)
    real = dict(pd.read_csv(shared("metadata", "clive_mos_from_sgdnet.csv"))[["image_name", "mos"]].to_numpy())
    assert len(opened) == 1_162 and opened.notes == ()
    assert {record.key: record.mos for record in opened.records} == real
    assert (opened.mos.min(), opened.mos.max()) == pytest.approx((3.42, 92.43), abs=0.005)
    assert Counter(record.path.suffix for record in opened.records) == {".bmp": 535, ".JPG": 627}


def test_real_pictures_as_own_data(shared: Shared, tmp_path: Path) -> None:
    with open(shared("mos_samples", "mos.csv"), newline="") as file:
        real = {row["file"]: float(row["mos"]) for row in csv.DictReader(file)}
    (tmp_path / "images").mkdir()
    for name in real:
        (tmp_path / "images" / name).symlink_to(shared("mos_samples", name))
    (tmp_path / "mos.csv").write_text("image,mos\n" + "".join(f"{name},{mos!r}\n" for name, mos in real.items()))
    opened = open_own_opinions(tmp_path)
    assert {record.key: record.mos for record in opened.records} == real
    assert {record.key: record.size for record in opened.records} == {
        "clive_33.bmp": (500, 500),
        "clive_60.bmp": (500, 500),
        "flive_rq73.jpg": (540, 960),
    }
    check(opened)
    assert len(overlap(opened, opened.take(2, 0))) == 2
    scores = pd.read_csv(shared("metadata", "clive_mos_from_sgdnet.csv")).set_index("image_name").mos
    assert [real["clive_33.bmp"], real["clive_60.bmp"]] == pytest.approx([scores["33.bmp"], scores["60.bmp"]])
