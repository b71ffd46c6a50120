"""The common face of data sets with opinions: records, parts, fingerprints, what is the same picture in two sets."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paperlib.datasets.opinions import Opinion, OpinionSet, check, overlap, place_pictures, split_digest, split_named
from paperlib.datasets.registry import open_gaze, open_opinions
from paperlib.errors import PaperlibError
from paperlib.rehearsal.koniq_clive import write_koniq
from tests.own_standins import write_own, write_own_opinions


@pytest.fixture(scope="module")
def koniq(tmp_path_factory: pytest.TempPathFactory) -> OpinionSet:
    return open_opinions("koniq10k", write_koniq(tmp_path_factory.mktemp("koniq"), 10, 3), partial=True)


# ---- records and sets -----------------------------------------------------------------------------------------------
def test_a_record_reads_when_asked_and_travels(koniq: OpinionSet) -> None:
    record = pickle.loads(pickle.dumps(koniq.records[0]))
    assert record == koniq.records[0]
    image = record.load_image()
    assert (image.shape, image.dtype) == ((384, 512, 3), np.uint8)
    np.testing.assert_array_equal(image, np.asarray(Image.open(record.path)))


def test_scores_are_aligned_with_the_records_and_cannot_be_changed(koniq: OpinionSet) -> None:
    assert koniq.mos.tolist() == [record.mos for record in koniq.records]
    with pytest.raises(ValueError, match="read-only"):
        koniq.mos[0] = 3


def test_parts_are_disjoint_and_complete(koniq: OpinionSet) -> None:
    parts = [koniq.part(split) for split in koniq.splits]
    keys = [record.key for part in parts for record in part.records]
    assert sorted(keys) == [record.key for record in koniq.records] and len(parts) == 3
    both = koniq.part("training", "validation")
    assert len(both) + len(koniq.part("test")) == len(koniq)
    assert [record.key for record in both.records] == sorted(record.key for record in both.records)


@pytest.mark.parametrize("splits", [("train",), (), ("test", "hidden")])
def test_a_part_that_is_not_there(koniq: OpinionSet, splits: tuple[str, ...]) -> None:
    with pytest.raises(PaperlibError, match=r"KonIQ-10k has no split .*; its splits are training, validation, test"):
        koniq.part(*splits)


def test_sets_without_a_split_say_so(koniq: OpinionSet) -> None:
    whole = replace(koniq, records=tuple(replace(record, split="") for record in koniq.records))
    assert whole.splits == {}
    with pytest.raises(PaperlibError, match="its table names no split"):
        whole.part("test")


def test_the_fingerprint_follows_scores_splits_and_files_but_not_places(koniq: OpinionSet, tmp_path: Path) -> None:
    def changed(**values: object) -> str:
        return koniq.holding([replace(koniq.records[0], **values), *koniq.records[1:]]).fingerprint

    content = koniq.records[0].path.read_bytes()
    copy, other = tmp_path / "elsewhere.jpg", tmp_path / "of_the_same_size.jpg"
    copy.write_bytes(content)
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert changed(path=copy) == koniq.fingerprint
    prints = {
        koniq.fingerprint,
        changed(mos=50.0),
        changed(split="test"),
        changed(split="training"),
        changed(key="0.jpg"),
        changed(size=(384, 511)),
        changed(path=other),
        koniq.part("training").fingerprint,
    }
    assert len(prints) == 7, "the record's own split is one of the two"


def test_bytes_on_disk(koniq: OpinionSet) -> None:
    assert koniq.n_bytes == sum(record.path.stat().st_size for record in koniq.records)


def test_there_is_one_door() -> None:
    with pytest.raises(PaperlibError, match="no data set of opinions 'spaq'; choose one of koniq10k, clive, biq2021, own"):
        open_opinions("spaq", ".")


@pytest.mark.parametrize(
    ("written", "split"),
    [("train", "training"), ("Training", "training"), ("val", "validation"), ("valid", "validation"), ("TEST", "test")],
)
def test_names_of_splits(written: str, split: str) -> None:
    assert split_named(written) == split


def test_the_digest_of_a_split_knows_who_is_where() -> None:
    lines = [Opinion("a", 1, "test"), Opinion("b", 2, "training")]
    assert split_digest(lines) == split_digest([Opinion("b", 9, "training"), Opinion("a", 1, "test")])
    assert split_digest(lines) != split_digest([Opinion("a", 1, "training"), Opinion("b", 2, "test")])


# ---- finding pictures -----------------------------------------------------------------------------------------------
def pictures(folder: Path, *names: str, size: tuple[int, int] = (8, 6)) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", size, (number, 0, 0)).save(folder / name)
    return folder


def place(folder: Path, *names: str, **options: object) -> tuple[list[str], tuple[str, ...]]:
    opinions = [Opinion(name, 10.0 * number) for number, name in enumerate(names)]
    records, notes = place_pictures(opinions, folder, "the set", "restore it", **options)
    assert [record.key for record in records] == sorted(record.key for record in records)
    return [record.key for record in sorted(records, key=lambda record: record.mos)], notes


def test_pictures_are_found_by_name_other_case_or_other_suffix(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "b.png", "A.jpg", "c.bmp")
    assert place(folder, "a.JPG", "some/where/b.png", "c.jpg") == (["A.jpg", "b.png", "c.bmp"], ())
    assert place(pictures(tmp_path, "c.jpg"), "c.JPG", "c.bmp")[0] == ["c.jpg", "c.bmp"]
    with pytest.raises(PaperlibError, match=r"1 of 1 \(100.0 %\) pictures are missing: c.png"):
        place(folder, "c.png")


def test_all_faults_come_in_one_message(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "a.png", "b.png", "spare.png")
    pictures(tmp_path, "small.png", size=(4, 4))
    (folder / "html.jpg").write_text("<html>404</html>")
    names = ("a.png", "A.png", "b.png", "small.png", "html.jpg", "gone.png", "lost.png", "off.png", "out.png")
    with pytest.raises(PaperlibError) as caught:
        place(folder, *names, size=(6, 8))
    message = str(caught.value)
    for words in (
        "1 pictures are in the table more than once: a.png",
        "4 of 9 (44.4 %) pictures are missing: gone.png, lost.png",
        "and 1 more",
        "1 pictures are not in the table: spare.png",
        "2 of 4 pictures cannot be used",
        "small.png (4x4 pixels, expected 8x6)",
        "html.jpg (unreadable or truncated (not a picture))",
        "restore it",
    ):
        assert words in message
    assert "\n" not in message


def test_a_part_leaves_missing_pictures_out_and_nothing_else(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "a.png", "spare.png")
    keys, notes = place(folder, "a.png", "gone.png", partial=True)
    assert keys == ["a.png"]
    assert notes == (
        "left out: 1 of 2 (50.0 %) pictures are missing: gone.png",
        "left out: 1 pictures are not in the table: spare.png",
    )
    with pytest.raises(PaperlibError, match="pictures are missing: gone.png"):
        place(folder, "gone.png", partial=True)
    with pytest.raises(PaperlibError, match="more than once: a.png"):
        place(folder, "a.png", "a.png", partial=True)
    with pytest.raises(PaperlibError, match="8x6 pixels, expected 9x9"):
        place(folder, "a.png", "gone.png", partial=True, size=(9, 9))


def test_spare_pictures_alone_are_a_note(tmp_path: Path) -> None:
    folder = pictures(tmp_path, "a.png", "spare.png", "._a.png")
    assert place(folder, "a.png")[1] == ("left out: 1 pictures are not in the table: spare.png",)


# ---- the same picture twice -----------------------------------------------------------------------------------------
def copy_of(opinion_set: OpinionSet, index: int, path: Path) -> None:
    Image.open(opinion_set.records[index].path).save(path)


def test_equal_pixels_are_found_across_sets_names_and_formats(koniq: OpinionSet, tmp_path: Path) -> None:
    folder = pictures(tmp_path, "x.png", size=(512, 384))
    copy_of(koniq, 4, folder / "other.bmp")
    copy_of(koniq, 7, folder / "another.png")
    nearly = np.array(Image.open(koniq.records[2].path))
    nearly[383, 511, 2] ^= 1
    Image.fromarray(nearly).save(folder / "nearly.png")
    records, _ = place_pictures(
        [Opinion(name, 50) for name in ("x.png", "other.bmp", "another.png", "nearly.png")], folder, "", ""
    )
    other = OpinionSet("own", records)
    keys = [record.key for record in koniq.records]
    assert overlap(koniq, other) == ((keys[4], "other.bmp"), (keys[7], "another.png"))
    assert overlap(other, koniq) == (("another.png", keys[7]), ("other.bmp", keys[4]))
    assert overlap(koniq.part("training"), koniq.part("test")) == ()
    assert overlap(koniq, koniq) == tuple((key, key) for key in keys)


def test_sets_without_a_common_size_are_not_decoded(koniq: OpinionSet, tmp_path: Path, monkeypatch) -> None:
    other = open_opinions("own", write_own_opinions(tmp_path, 3, 1))
    monkeypatch.setattr("paperlib.datasets.opinions.read_rgb", None)
    assert overlap(koniq, other) == ()


def test_overlap_with_eye_tracking_data(tmp_path: Path) -> None:
    gaze_set = open_gaze("own", write_own(tmp_path / "gaze", 3, 1))
    folder = pictures(tmp_path / "images", "p.png", size=(640, 480))
    Image.open(gaze_set.records[0].image).save(folder / "copy.png")
    records, _ = place_pictures([Opinion("p.png", 1), Opinion("copy.png", 2)], folder, "", "")
    assert overlap(OpinionSet("own", records), gaze_set) == (("copy.png", gaze_set.records[0].key),)


def test_the_check_shows_progress(koniq: OpinionSet) -> None:
    seen = []
    check(koniq, progress=lambda records: (seen.append(record.key) or record for record in records))
    assert seen == [record.key for record in koniq.records]
