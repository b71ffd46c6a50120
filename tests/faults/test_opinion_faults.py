"""Damaged, missing and locked files of data sets with opinions: counted and named in one sentence, never a crash."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from paperlib.datasets.koniq import OFFICIAL_TABLE, SCORES_TABLE
from paperlib.datasets.opinions import check, overlap
from paperlib.datasets.registry import open_opinions
from paperlib.errors import PaperlibError
from paperlib.rehearsal.koniq_clive import write_clive, write_koniq
from tests.damage import damages, lock, truncate
from tests.own_standins import write_own_opinions

Damage = Callable[[Path], object]
FOLDERS = {"koniq10k": "512x384", "clive": "ChallengeDB_release/Images", "own": "images"}
TABLES = {
    "koniq10k": [OFFICIAL_TABLE],
    "clive": [f"ChallengeDB_release/Data/{name}.mat" for name in ("AllImages_release", "AllMOS_release")],
    "own": ["mos.csv"],
}
ALL_TABLES = [(name, table) for name, tables in TABLES.items() for table in tables]
each = pytest.mark.parametrize("name", FOLDERS)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    write_koniq(root / "koniq10k", 4, 1)
    write_clive(root / "clive", 3, 1)
    write_own_opinions(root / "own", 3, 1)
    return root


@pytest.fixture
def roots(whole: Path, tmp_path: Path) -> Path:
    """Copies that a test may damage: koniq10k/, clive/, own/."""
    return Path(shutil.copytree(whole, tmp_path / "sets"))


def picture(root: Path, name: str, suffix: str = ".jpg") -> Path:
    return min(path for path in (root / name / FOLDERS[name]).iterdir() if path.suffix.lower() == suffix)


@damages
@each
def test_a_damaged_picture_is_named_before_anything_runs(roots: Path, name: str, damage: Damage) -> None:
    path = picture(roots, name)
    damage(path)
    with pytest.raises(PaperlibError, match=r"1 of \d+ .*pictures cannot be used") as caught:
        check(open_opinions(name, roots / name, partial=True))
    message = str(caught.value)
    assert path.name in message and "; " in message and "\n" not in message and len(message) < 600


def test_a_truncated_bitmap(roots: Path) -> None:
    path = picture(roots, "clive", ".bmp")
    truncate(path)
    with pytest.raises(PaperlibError, match=f"1 of 3 CLIVE pictures cannot be used: Images/{path.name}"):
        check(open_opinions("clive", roots / "clive", partial=True))


def test_all_damaged_pictures_are_counted(roots: Path) -> None:
    opened = open_opinions("koniq10k", roots / "koniq10k", partial=True)
    for record in opened.records:
        truncate(record.path)
    for work in (check, lambda one: overlap(one, one)):
        with pytest.raises(PaperlibError, match=r"^4 of 4 KonIQ-10k pictures .* and 1 more; replace these files"):
            work(opened)


@pytest.mark.parametrize(("name", "table"), ALL_TABLES, ids=lambda text: text)
def test_tables_cut_at_any_place_end_in_a_sentence(roots: Path, name: str, table: str) -> None:
    path = roots / name / table
    if name == "koniq10k":
        (roots / name / SCORES_TABLE).unlink()
    content = path.read_bytes()
    expected = open_opinions(name, roots / name, partial=True).fingerprint
    for length in range(0, len(content) - 12, max(1, len(content) // 60)):
        path.write_bytes(content[:length])
        try:
            found = open_opinions(name, roots / name, partial=True)
        except PaperlibError as error:
            assert "\n" not in str(error)
        else:
            assert name != "clive" and found.fingerprint != expected, "a cut at the end of a line leaves fewer pictures"
            assert any("not in the table" in note for note in found.notes)


@pytest.mark.parametrize("name", ["koniq10k", "clive"])
def test_a_cut_table_is_no_whole_data_set(roots: Path, name: str) -> None:
    with pytest.raises(PaperlibError, match="it is cut, filtered or of another data set"):
        open_opinions(name, roots / name)


def test_the_table_of_another_edition_under_the_official_name(roots: Path) -> None:
    root = roots / "koniq10k"
    lines = [line.rpartition(",")[0] for line in (root / SCORES_TABLE).read_text().splitlines()]
    (root / OFFICIAL_TABLE).write_text("\n".join([lines[0] + ",set", *(line + ",training" for line in lines[1:])]))
    with pytest.raises(PaperlibError, match="so it is the mean of votes on 1..5, expected the MOS on 0..100"):
        open_opinions("koniq10k", root, partial=True)
    (root / OFFICIAL_TABLE).write_text("\n".join(lines))
    with pytest.raises(PaperlibError, match="neither the column 'set'"):
        open_opinions("koniq10k", root, partial=True)


@pytest.mark.parametrize(("name", "table"), [*ALL_TABLES, *((name, None) for name in FOLDERS)], ids=str)
def test_locked_files(roots: Path, name: str, table: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = roots / name / table if table else picture(roots, name)
    lock(locked, monkeypatch)
    with pytest.raises(PaperlibError, match=r"cannot be read \(Permission denied\)") as caught:
        open_opinions(name, roots / name, partial=True)
    assert locked.name in str(caught.value)


@each
def test_pictures_that_vanish_after_opening(roots: Path, name: str) -> None:
    opened = open_opinions(name, roots / name, partial=True)
    opened.records[0].path.unlink()
    with pytest.raises(PaperlibError, match=rf"1 of \d .*{opened.records[0].key} \(cannot be read \(No such file"):
        check(opened)
