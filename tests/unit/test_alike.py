"""A rerun on another processor leaves figures/ as it is; what changed, is missing or damaged is written."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import cli_samples
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from paperlib import alike, profiles, regenerate
from paperlib.experiments import kept_rows
from paperlib.experiments.artefacts import Figure1Data
from paperlib.profiles import Profile
from paperlib.show import report, sensitivity, summary
from paperlib.show.figures import figure1, for_print
from paperlib.tasks.sensitivity import COLUMNS

SECTIONS = ("extracting", "masking", "dual_task", "compression")
Rows = Callable[[str, Profile], pd.DataFrame]


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """A folder of figures in a new git repository."""
    git(tmp_path, "init", "--quiet")
    return tmp_path / "figures"


def git(folder: Path, *words: str) -> str:
    told = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "core.autocrlf=false", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *told, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path) -> None:
    git(folder.parent, "add", "--all")
    git(folder.parent, "commit", "--quiet", "--message", "figures")


def status(folder: Path) -> set[str]:
    """Names of the files that git finds changed."""
    lines = git(folder.parent, "status", "--porcelain", "--untracked-files=all").splitlines()
    return {Path(line[3:]).name for line in lines}


def moved(by: float, section: str = "") -> Rows:
    """The kept rows, each value (of one section, where it is named) larger or smaller by up to a share `by`."""

    def rows(name: str, profile: Profile) -> pd.DataFrame:
        kept = kept_rows.read(name, profile)
        shares = np.random.default_rng(0).uniform(-by, by, (len(kept), 3)) * (section in ("", name))
        numbers = ["value", "low", "high"]
        return kept.assign(**(kept[numbers] * (1 + shares)))

    return rows


def write_all(folder: Path) -> None:
    """What a run of the profile open writes, but for Figure 1."""
    profile = profiles.load("open", rows="kept")
    for number in (1, 2, 3):
        report.write_table(number, profile, folder)
    report.write_figure(2, profile, folder)
    summary.save_claims(regenerate.claims(profile), folder)
    regenerate.keep_rows(profile, SECTIONS, folder)


def draw_in_one_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figure 2 in one of its forms alone, which takes a third of the time."""
    drawings = report._drawings(2)
    monkeypatch.setattr(report, "_drawings", lambda number: {"fig2_column": drawings["fig2_column"]})


def test_last_digits_of_another_processor_leave_git_clean(figures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_in_one_column(monkeypatch)
    monkeypatch.setattr(regenerate, "rows", moved(0.0))
    write_all(figures)
    commit(figures)
    monkeypatch.setattr(regenerate, "rows", moved(1e-7))
    write_all(figures)
    assert not status(figures)
    monkeypatch.setattr(regenerate, "rows", moved(1e-2, "masking"))
    write_all(figures)
    drawn = {"fig2.csv", "fig2_column.png", "fig2_column.pdf"}
    assert status(figures) == {"claims.csv", "claims.md", "masking.csv"} | drawn


def test_maps_that_differ_in_last_digits_leave_figure_1(figures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images, smooth = rng.integers(0, 256, (2, 64, 96, 3), np.uint8), np.linspace(0, 1, 64 * 96).reshape(64, 96)

    def draw(change: float) -> set[str]:
        maps = np.stack([smooth, smooth[::-1]]) * (1 + change * rng.uniform(-1, 1, (2, 64, 96)))
        data = Figure1Data(images, {"GradCAM": np.clip(maps, 0, 1)}, ("a", "b"))
        monkeypatch.setattr(regenerate, "figure", lambda number, profile: data)
        report.write_figure(1, profiles.load(), figures)
        return status(figures)

    draw(0.0)
    commit(figures)
    assert not draw(1e-7)
    assert draw(0.2) == {"fig1.csv", "fig1.png", "fig1.pdf", "fig1_column.png", "fig1_column.pdf"}


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    """A small figure, as it is written."""
    return {
        f"fig.{kind}": content for kind, content in for_print(figure1(cli_samples.figure(1, profiles.load()))).items()
    } | {"fig.csv": b"a,0.5\n"}


@pytest.mark.parametrize("name", ["fig.png", "fig.pdf", "fig.csv"])
def test_missing_and_damaged_files_are_written(name: str, drawn: dict[str, bytes], tmp_path: Path) -> None:
    files = {tmp_path / other: content for other, content in drawn.items()}
    alike.write(files)
    whole, middle = drawn[name], len(drawn[name]) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 0x7F]) + whole[middle + 1 :]
    for damaged in (None, b"", whole[:-20], whole[:middle], flipped, b"other"):
        (tmp_path / name).unlink()
        if damaged is not None:
            (tmp_path / name).write_bytes(damaged)
        alike.write(files)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == drawn


def test_another_drawing_of_the_same_numbers_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regenerate, "figure", cli_samples.figure)
    draw_in_one_column(monkeypatch)
    report.write_figure(2, profiles.load(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setitem(report.style.MAPS, "gradcam", report.style.MAPS["gradcam"]._replace(colour="#117733"))
    report.write_figure(2, profiles.load(), tmp_path)
    changed = {name for name, content in before.items() if (tmp_path / name).read_bytes() != content}
    assert changed == {"fig2_column.png", "fig2_column.pdf"}


def test_the_sensitivity_study_is_left_alone_too(tmp_path: Path) -> None:
    table = pd.DataFrame([("baseline", "none", "", *[0.5] * 6, 2)], columns=COLUMNS)
    files = sensitivity.save(table, tmp_path)
    before = [file.read_bytes() for file in files]
    sensitivity.save(table.assign(CC=0.5000012), tmp_path)
    assert [file.read_bytes() for file in files] == before
    sensitivity.save(table.assign(CC=0.5004), tmp_path)
    assert files[0].read_bytes() != before[0]


@pytest.mark.parametrize(
    ("kind", "old", "new", "same"),
    [
        ("csv", "a,0.123456,3", "a,0.123476,3", True),
        ("csv", "a,0.123456,3", "a,0.123656,3", False),
        ("csv", "a,0.5,3", "a,0.500001,3", True),
        ("csv", "a,0.5,3", "a,0.6,3", False),
        ("csv", "a,1234.56,3", "a,1234.57,3", True),
        ("csv", "a,1234.56,3", "a,1235.0,3", False),
        ("csv", "a,-0.000000", "a,0.000000", True),
        ("csv", "a,1.2e-07", "a,3.4e-08", True),
        ("csv", "a,1.2e-03", "a,1.5e-03", False),
        ("csv", "a,0.5,300", "a,0.5,301", False),
        ("csv", "a,0.5,", "a,,0.5", False),
        ("csv", "64x96 pictures", "64x97 pictures", False),
        ("csv", "version 3.11.7", "version 3.11.8", False),
        ("md", "| 0.123 ± 0.001 |", "| 0.124 ± 0.002 |", True),
        ("md", "| 0.123 |", "| 0.125 |", False),
        ("md", "| 0.123 |", "| **0.123** |", False),
        ("md", "it holds, 0.1", "it does not hold, 0.1", False),
        ("tex", "$-$0.001 &", "0.000 &", True),
        ("tex", "$-$0.001 &", "0.001 &", False),
        ("md", "−0.001", "-0.001", True),
    ],
)
def test_what_counts_as_equal(kind: str, old: str, new: str, same: bool, tmp_path: Path) -> None:
    file = tmp_path / f"table.{kind}"
    file.write_text(old)
    alike.write({file: new.encode()})
    assert file.read_text() == (old if same else new)


def test_files_that_belong_together_are_written_together(tmp_path: Path) -> None:
    """The printed digit alone would do, the number behind it does not."""
    csv, md = tmp_path / "table.csv", tmp_path / "table.md"
    alike.write({csv: b"0.500400", md: b"0.500"})
    alike.write({csv: b"0.500600", md: b"0.501"})
    assert (csv.read_bytes(), md.read_bytes()) == (b"0.500600", b"0.501")


def test_a_picture_may_differ_by_what_nobody_sees(tmp_path: Path) -> None:
    def saved(level: int, size: tuple[int, int] = (8, 8)) -> bytes:
        file = tmp_path / "new.png"
        Image.new("RGB", size, (level, 100, 100)).save(file)
        return file.read_bytes()

    kept, near = tmp_path / "kept.png", 100 + alike.LEVELS
    for level, size, left in (
        (100, (8, 8), False),
        (near, (8, 8), True),
        (near + 1, (8, 8), False),
        (near + 1, (8, 9), False),
    ):
        before = kept.read_bytes() if kept.exists() else b""
        alike.write({kept: saved(level, size)})
        assert (kept.read_bytes() == before) == left
