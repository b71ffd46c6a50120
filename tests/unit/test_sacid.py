"""SACID: the layout, its table, records and counts; and the verb on a stand-in's table."""

import json
import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from paperlib import cli
from paperlib.datasets.sacid import SacidSet, Version, check, open_sacid, read_scores
from paperlib.errors import PaperlibError
from paperlib.rehearsal.sacid import VERSIONS, write_sacid

N = 3
CASE = "h264v@targetbbp100=12_preset=p132"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sacid(tmp_path_factory.mktemp("sacid"), N, 4, size=(48, 64), without_reference=1)


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(written, tmp_path / "SACID"))


@pytest.fixture
def frame(written: Path) -> pd.DataFrame:
    return pd.read_csv(written / "moses.csv")


def stored(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def opened(root: Path) -> SacidSet:
    return open_sacid(root, partial=True)


# ---- what is read ---------------------------------------------------------------------------------------------------
def test_pictures_maps_and_scores(root: Path, frame: pd.DataFrame) -> None:
    found = opened(root)
    assert len(found) == 12 * N and found.title == "SACID"
    expected = {(row.sequence, row.test_case): row.subjective_score for row in frame.itertuples()}
    assert {(record.sequence, record.version.test_case): record.mos for record in found.records} == expected
    for record in found.records:
        coded = root / "compressed" / record.sequence / f"{record.version.test_case}.jpg"
        np.testing.assert_array_equal(record.load_image(), stored(coded))
        np.testing.assert_array_equal(record.load_saliency(), stored(root / "saliency" / f"{record.sequence}.png"))
        assert record.load_image().shape == (*record.size, 3) and record.load_saliency().shape == record.size
        if record.reference is not None:
            reference = cv2.imread(str(root / "reference" / f"{record.sequence}.png"))[..., ::-1]
            np.testing.assert_array_equal(record.load_reference(), reference)


def test_records_name_their_bitrate_and_preset(root: Path) -> None:
    record = next(record for record in opened(root).records if record.version.test_case == CASE)
    assert (record.bpp, record.preset, record.key) == (0.12, "p132", f"scene-000-standin/{CASE}")
    assert pickle.loads(pickle.dumps(record)) == record


def test_scores_as_a_grid(root: Path, frame: pd.DataFrame) -> None:
    scores = opened(root).scores
    assert scores.subjective.shape == (N, 12) and not scores.subjective.flags.writeable
    assert scores.versions == VERSIONS
    assert scores.bpps.tolist() == [0.08] * 4 + [0.12] * 4 + [0.16] * 4
    assert scores.presets.tolist() == ["none", "p132", "p220", "p310"] * 3
    table = frame.set_index(["sequence", "test_case"]).subjective_score
    for row, name in zip(scores.subjective, scores.sequences, strict=True):
        assert row.tolist() == [table[name, version.test_case] for version in VERSIONS]


def test_references_that_lack_are_told(root: Path) -> None:
    found = opened(root)
    assert [record.reference is None for record in found.records] == [True] * 12 + [False] * 24
    assert any(note.startswith("1 of 3 references are missing") and "scene-000" in note for note in found.notes)
    with pytest.raises(PaperlibError, match="no reference of scene-000-standin here; add reference/scene-000"):
        found.records[0].load_reference()
    shutil.rmtree(root / "reference")
    assert all(record.reference is None for record in opened(root).records)


def test_counts(root: Path) -> None:
    found = opened(root)
    files = [path for path in root.rglob("*") if path.suffix in (".jpg", ".png")]
    assert found.n_bytes == sum(path.stat().st_size for path in files)
    assert {record.size for record in found.records} == {(48, 64), (64, 48)}
    progressed: list = []
    counts = check(found, lambda groups: progressed.extend(groups) or groups)
    assert counts == {"sequences": N, "pictures": 12 * N, "references": 2} and len(progressed) == N


def test_the_fingerprint_follows_content_and_not_places(root: Path, written: Path) -> None:
    first = opened(root).fingerprint
    assert first == opened(written).fingerprint
    lines = (root / "moses.csv").read_text().splitlines()
    (root / "moses.csv").write_text("\n".join([lines[0], *reversed(lines[1:])]))
    assert opened(root).fingerprint == first
    (root / "saliency" / "scene-002-standin.png").write_bytes(
        (root / "saliency" / "scene-002-standin.png").read_bytes() + b"more"
    )
    second = opened(root).fingerprint
    (root / "reference" / "scene-002-standin.png").unlink()
    assert len({first, second, opened(root).fingerprint}) == 3


def test_parts_hold_whole_sequences(root: Path) -> None:
    found = opened(root)
    part = found.take(2, seed=1)
    assert len(part) == 24 and part.scores.subjective.shape == (2, 12)
    assert part.take(2, 5) is part and found.take(2, 1).scores.sequences == part.scores.sequences
    assert {found.take(1, seed).scores.sequences for seed in range(20)} == {(name,) for name in found.scores.sequences}
    with pytest.raises(ValueError, match="take whole sequences"):
        found.holding(found.records[:15])
    with pytest.raises(ValueError, match="at least 1 sequence"):
        found.take(0, 0)


# ---- the folder -----------------------------------------------------------------------------------------------------
def test_the_folder_may_be_one_above_or_one_inside(root: Path) -> None:
    expected = opened(root).fingerprint
    for folder in (root.parent, root / "compressed", root / "saliency", root / "reference"):
        assert opened(folder).fingerprint == expected


def test_png_is_read_where_both_types_are_there(root: Path) -> None:
    path = root / "compressed" / "scene-001-standin" / f"{CASE}.jpg"
    Image.new("RGB", (64, 48), (1, 2, 3)).save(path.with_suffix(".png"))
    found = opened(root)
    record = next(one for one in found.records if one.key == f"scene-001-standin/{CASE}")
    assert record.path.suffix == ".png" and (record.load_image() == (1, 2, 3)).all()
    assert any("1 coded pictures are there twice, the .png is used instead of" in note for note in found.notes)


def test_names_of_test_cases() -> None:
    assert Version.from_case(CASE) == Version(12, "p132") and Version(12, "p132").test_case == CASE
    for other in ("", CASE + "x!", "h265@targetbbp100=12_preset=p132", CASE.replace("bbp", "bpp"), CASE + ".jpg"):
        assert Version.from_case(other) is None


def test_tables_may_name_files(root: Path) -> None:
    expected = read_scores(root / "moses.csv")
    text = (root / "moses.csv").read_text()
    (root / "moses.csv").write_text(text.replace("=p132,", "=p132.png,").replace("=p220,", "=p220.JPG,"))
    np.testing.assert_array_equal(read_scores(root / "moses.csv").subjective, expected.subjective)


def test_other_bitrates_and_presets(tmp_path: Path) -> None:
    lines = [f"a,h264v@targetbbp100={bits}_preset={preset},{bits}" for bits in (100, 20) for preset in ("aa", "none")]
    (tmp_path / "own.csv").write_text("\n".join(["sequence,test_case,subjective_score", *lines]))
    assert read_scores(tmp_path / "own.csv").versions == (
        Version(20, "none"),
        Version(20, "aa"),
        Version(100, "none"),
        Version(100, "aa"),
    )


# ---- the verb -------------------------------------------------------------------------------------------------------
def verb(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = cli.main(["sacid", *words])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_the_verb_on_a_standin(written: Path, capsys: pytest.CaptureFixture[str], frame: pd.DataFrame) -> None:
    code, out, err = verb(capsys, "--scores", str(written / "moses.csv"), "--json")
    found = json.loads(out)
    assert (code, err) == (0, "") and set(found) >= {"bitrate_only", "preset_order", "preset_means"}
    means = frame.groupby("test_case").subjective_score.mean()
    assert found["preset_means"]["12"]["p132"] == pytest.approx(means[CASE])
    low, high = found["bitrate_only"]["srocc_interval"]
    assert low - 1e-9 <= found["bitrate_only"]["srocc"] <= high + 1e-9
    assert found["preset_order"]["groups"] == 3 * N


def test_the_verb_needs_several_sequences_and_presets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        "one.csv": [("a", bits, preset) for bits in (1, 2) for preset in ("x", "y")],
        "plain.csv": [(name, bits, "none") for name in "ab" for bits in (1, 2, 3)],
        "holes.csv": [(name, *version) for name in "ab" for version in ((1, "x"), (1, "y"), (2, "x"))],
    }
    for file, rows in cases.items():
        lines = [f"{name},h264v@targetbbp100={bits}_preset={preset},{k}" for k, (name, bits, preset) in enumerate(rows)]
        (tmp_path / file).write_text("\n".join(["sequence,test_case,subjective_score", *lines]))
        code, out, err = verb(capsys, "--scores", str(tmp_path / file))
        assert (code, out) == (2, "") and "expected scores of at least 2 sequences and 2 bit-rates" in err, file


def test_the_verb_without_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verb(capsys)[0] == 2
    code, _, err = verb(capsys, "--scores", str(tmp_path / "none.csv"))
    assert code == 2 and "there is no" in err and "sequence, test_case, subjective_score" in err
