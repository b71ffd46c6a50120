"""KonIQ-10k: layouts, its three tables, the two scales, and every mistake told clearly."""

import csv
import io
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paperlib.datasets import koniq
from paperlib.datasets.koniq import OFFICIAL_TABLE, PYIQA_TABLE, SCORES_TABLE, open_koniq, read_koniq_table
from paperlib.datasets.opinions import check, split_digest
from paperlib.errors import PaperlibError
from paperlib.rehearsal.koniq_clive import write_koniq

N = 10
Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_koniq(tmp_path_factory.mktemp("koniq"), N, 5, ("512x384", "1024x768"))


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy with 512x384 alone, which a test may damage."""
    shutil.copytree(written, tmp_path / "koniq10k", ignore=shutil.ignore_patterns("1024x768"))
    return tmp_path / "koniq10k"


@pytest.fixture
def rows(root: Path) -> Rows:
    with open(root / OFFICIAL_TABLE, newline="") as file:
        return list(csv.DictReader(file))


def table(path: Path, rows: Rows) -> Path:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue())
    return path


def mean_vote(row: dict[str, str]) -> float:
    return sum(mark * float(row[f"c{mark}"]) for mark in range(1, 6))


# ---- what is read ---------------------------------------------------------------------------------------------------
def test_scores_splits_and_pictures(root: Path, rows: Rows) -> None:
    opened = open_koniq(root, partial=True)
    assert [record.key for record in opened.records] == [row["image_name"] for row in rows]
    assert opened.mos.tolist() == [float(row["MOS"]) for row in rows]
    assert [record.split for record in opened.records] == [row["set"] for row in rows]
    assert set(opened.splits) == {"training", "validation", "test"}
    assert f"names {N} of 10073 pictures" in opened.notes[0]
    assert {record.load_image().shape for record in opened.records} == {(384, 512, 3)}


def test_the_smaller_layout_is_preferred_and_told(written: Path) -> None:
    both = open_koniq(written, partial=True)
    assert {record.size for record in both.records} == {(384, 512)}
    assert "both sizes are there, 512x384 is used" in both.notes
    large = open_koniq(written / "1024x768", partial=True)
    assert {record.size for record in large.records} == {(768, 1024)}
    assert large.fingerprint != both.fingerprint
    np.testing.assert_array_equal(large.mos, both.mos)


def test_the_folder_may_be_one_above_or_the_layout_itself(written: Path, tmp_path: Path) -> None:
    expected = open_koniq(written, partial=True).fingerprint
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "koniq10k").symlink_to(written)
    assert open_koniq(tmp_path / "sets", partial=True).fingerprint == expected
    assert open_koniq(written / "512x384", partial=True).fingerprint == expected


def test_archives_unpacked_into_their_own_folders(root: Path) -> None:
    expected = open_koniq(root, partial=True).fingerprint
    (root / "koniq10k_512x384").mkdir()
    (root / "512x384").rename(root / "koniq10k_512x384" / "512x384")
    assert open_koniq(root, partial=True).fingerprint == expected


@pytest.mark.parametrize("column", ["split", "official_split"])
def test_the_layout_of_pyiqa(root: Path, rows: Rows, column: str) -> None:
    expected = open_koniq(root, partial=True)
    for name in (OFFICIAL_TABLE, SCORES_TABLE):
        (root / name).unlink()
    (root.parent / "meta_info").mkdir()
    short = {"training": "train", "validation": "val", "test": "test"}
    lines = [
        {
            "img_name": row["image_name"],
            "mos": row["MOS"],
            "std": row["SD"],
            column: short[row["set"]] if column == "official_split" else row["set"],
        }
        for row in rows
    ]
    table(root.parent / "meta_info" / PYIQA_TABLE, lines)
    found = open_koniq(root, partial=True)
    assert found.fingerprint == expected.fingerprint


def test_the_table_of_the_site_is_read_by_its_column_zscore(root: Path, rows: Rows) -> None:
    (root / OFFICIAL_TABLE).unlink()
    found = open_koniq(root, partial=True)
    assert found.splits == {}
    np.testing.assert_allclose(found.mos, [float(row["MOS"]) for row in rows])
    assert any("has no split; koniq10k_distributions_sets.csv has the official one" in note for note in found.notes)


def test_a_shorter_table(root: Path, rows: Rows) -> None:
    table(root / OFFICIAL_TABLE, rows[:7])
    notes = open_koniq(root, partial=True).notes
    assert "names 7 of 10073" in notes[0] and any("3 pictures are not in the table" in note for note in notes)


def test_the_order_of_lines_and_columns_does_not_matter(root: Path, rows: Rows) -> None:
    expected = open_koniq(root, partial=True).fingerprint
    turned = [dict(reversed(list(row.items()))) for row in reversed(rows)]
    table(root / OFFICIAL_TABLE, turned)
    assert open_koniq(root, partial=True).fingerprint == expected


# ---- scales ---------------------------------------------------------------------------------------------------------
def test_the_mean_of_the_votes_is_not_the_mos(root: Path, rows: Rows) -> None:
    path = table(root / OFFICIAL_TABLE, [row | {"MOS": str(mean_vote(row))} for row in rows])
    with pytest.raises(PaperlibError, match=r"column mos .* so it is the mean of votes on 1..5, expected the MOS on 0"):
        read_koniq_table(path)


def test_scores_scaled_to_one(root: Path, rows: Rows) -> None:
    path = table(root / OFFICIAL_TABLE, [row | {"MOS": str(float(row["MOS"]) / 100)} for row in rows])
    with pytest.raises(PaperlibError, match="so it is a scaled MOS, expected the MOS on 0..100"):
        read_koniq_table(path)


def test_mixed_scales_are_named_line_by_line(root: Path, rows: Rows) -> None:
    mixed = [row | ({"MOS": str(mean_vote(row))} if index in (2, 6) else {}) for index, row in enumerate(rows)]
    names = f"{rows[2]['image_name']}, {rows[6]['image_name']}"
    with pytest.raises(PaperlibError, match=rf"2 of 10 MOS .* the table mixes its two scales: {names}; give koniq10k"):
        read_koniq_table(table(root / OFFICIAL_TABLE, mixed))
    blind = [{"img_name": row["image_name"], "mos": row["MOS"], "split": row["set"]} for row in mixed]
    with pytest.raises(PaperlibError, match="2 of 10 MOS .* mixes its two scales"):
        read_koniq_table(table(root / "blind.csv", blind))


def test_scores_of_another_line(root: Path, rows: Rows) -> None:
    best, worst = (rows.index(pick(rows, key=lambda row: float(row["MOS"]))) for pick in (max, min))
    rows[best]["MOS"], rows[worst]["MOS"] = rows[worst]["MOS"], rows[best]["MOS"]
    with pytest.raises(PaperlibError, match="2 of 10 MOS .* do not fit the votes c1..c5 of their line"):
        read_koniq_table(table(root / OFFICIAL_TABLE, rows))


def test_scores_outside_the_scale(root: Path, rows: Rows) -> None:
    rows[3]["MOS"] = "100.5"
    with pytest.raises(PaperlibError, match=f"1 of 10 MOS .* lie outside 0..100: {rows[3]['image_name']}; give"):
        read_koniq_table(table(root / OFFICIAL_TABLE, rows))


# ---- mistakes -------------------------------------------------------------------------------------------------------
def test_a_part_must_be_asked_for(root: Path) -> None:
    with pytest.raises(PaperlibError, match=r"names 10 of 10073 pictures of KonIQ-10k; it is cut, filtered .* partial"):
        open_koniq(root)


Change = Callable[[Rows], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[0].update(set="tset"), r"line 2 \(split is 'tset', expected training, validation, test\)"),
        (lambda rows: rows[1].update(MOS="n/a"), r"line 3 \(mos is 'n/a', no number\)"),
        (lambda rows: rows[1].update(MOS=""), r"1 of 10 lines .* line 3 \(mos is '', no number\); restore the table"),
        (lambda rows: rows[2].update(c3="-1"), "votes .* expected numbers >= 0 and not all zero"),
        (lambda rows: rows[4].update(image_name=""), r"line 6 \(no image\)"),
        (lambda rows: rows[5].update(image_name=rows[4]["image_name"]), "1 pictures are in the table more than once"),
        (lambda rows: rows.append(rows[3]), "1 pictures are in the table more than once"),
    ],
)
def test_mistakes_in_the_table(root: Path, rows: Rows, change: Change, message: str) -> None:
    change(rows)
    table(root / OFFICIAL_TABLE, rows)
    with pytest.raises(PaperlibError, match=message):
        open_koniq(root, partial=True)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("image_name", "MOS"), "neither the column 'set' .* nor 'MOS_zscore'"),
        (("image_name", "set"), "is no table of KonIQ-10k: its columns are 'image_name, set'"),
        (("MOS", "set"), "is no table of KonIQ-10k"),
    ],
)
def test_tables_without_a_column(root: Path, rows: Rows, columns: tuple[str, ...], message: str) -> None:
    table(root / OFFICIAL_TABLE, [{name: row[name] for name in columns} for row in rows])
    with pytest.raises(PaperlibError, match=message):
        open_koniq(root, partial=True)


def test_missing_and_misnamed_pictures(root: Path, rows: Rows) -> None:
    names = [row["image_name"] for row in rows]
    (root / "512x384" / names[0]).rename(root / "512x384" / f"copy of {names[0]}")
    (root / "512x384" / names[1]).unlink()
    opened = open_koniq(root, partial=True)
    assert len(opened) == N - 2
    assert f"left out: 2 of 10 (20.0 %) pictures are missing: {names[0]}, {names[1]}" in opened.notes
    assert f"left out: 1 pictures are not in the table: copy of {names[0]}" in opened.notes


def test_a_picture_of_the_other_layout(root: Path, written: Path, rows: Rows) -> None:
    name = rows[3]["image_name"]
    shutil.copy(written / "1024x768" / name, root / "512x384" / name)
    with pytest.raises(PaperlibError, match=rf"512x384/{name} \(1024x768 pixels, expected 512x384\)"):
        open_koniq(root, partial=True)


def test_all_pictures_of_the_other_layout(root: Path) -> None:
    (root / "512x384").rename(root / "1024x768")
    with pytest.raises(PaperlibError, match=r"10 of 10 pictures cannot be used: .* and 7 more"):
        open_koniq(root, partial=True)


def test_a_layout_that_is_not_there(root: Path) -> None:
    (root / "1024x768").mkdir()
    with pytest.raises(PaperlibError, match=r"no pictures in 1024x768/\*.jpg; unpack koniq10k_1024x768.zip"):
        open_koniq(root / "1024x768", partial=True)


def test_packed_and_empty_folders(root: Path) -> None:
    shutil.rmtree(root / "512x384")
    (root / "koniq10k_512x384.zip").write_bytes(b"PK")
    with pytest.raises(PaperlibError, match=r"koniq10k_512x384.zip still packed: unpack first"):
        open_koniq(root)
    with pytest.raises(PaperlibError, match="there is no folder"):
        open_koniq(root / "gone")


def test_no_table(root: Path) -> None:
    for name in (OFFICIAL_TABLE, SCORES_TABLE):
        (root / name).unlink()
    with pytest.raises(PaperlibError, match=f"lacks its table {OFFICIAL_TABLE}; put it beside"):
        open_koniq(root, partial=True)


# ---- the whole data set ---------------------------------------------------------------------------------------------
def test_a_whole_table_must_be_the_published_one(root: Path, rows: Rows, monkeypatch) -> None:
    _, opinions = read_koniq_table(root / OFFICIAL_TABLE)
    mos = np.array([opinion.mos for opinion in opinions])
    counts = open_koniq(root, partial=True).splits
    whole = replace(
        koniq.PUBLISHED,
        pictures=N,
        low=mos.min(),
        high=mos.max(),
        mean=mos.mean(),
        sd=mos.std(),
        split=(split_digest(opinions), counts),
    )
    monkeypatch.setattr(koniq, "PUBLISHED", whole)
    assert open_koniq(root).notes == () and len(open_koniq(root)) == N

    moved = [dict(row) for row in rows]
    first, second = (next(i for i, row in enumerate(rows) if row["set"] == split) for split in ("training", "test"))
    moved[first]["set"], moved[second]["set"] = "test", "training"
    table(root / OFFICIAL_TABLE, moved)
    with pytest.raises(PaperlibError, match=r"not the official one of KonIQ-10k: training 7 / validation 1 / test 2,"):
        open_koniq(root)
    table(root / OFFICIAL_TABLE, [row | {"MOS": str(float(row["MOS"]) + 0.02)} for row in rows])
    with pytest.raises(PaperlibError, match="the MOS in .* are not those of KonIQ-10k: minimum, maximum, mean"):
        open_koniq(root)
    table(root / OFFICIAL_TABLE, rows)
    (root / "512x384" / rows[0]["image_name"]).unlink()
    with pytest.raises(PaperlibError, match=r"1 of 10 \(10.0 %\) pictures are missing: .*, or open what is there"):
        open_koniq(root)


def test_headers_alone_are_read_on_opening(root: Path) -> None:
    path = next((root / "512x384").iterdir())
    path.write_bytes(path.read_bytes()[:-2000])
    opened = open_koniq(root, partial=True)
    with pytest.raises(PaperlibError, match=rf"1 of 10 KonIQ-10k pictures cannot be used: 512x384/{path.name} .*trunc"):
        check(opened)
