"""The rows that lie in the repository: tables, figures and claims of `open` without data; the data give them again."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paperlib import cli, paths, profiles, regenerate
from paperlib.engine.store import ResultStore
from paperlib.engine.units import tidy
from paperlib.errors import PaperlibError
from paperlib.experiments import kept_rows
from paperlib.show import report, summary, tables

FOLDER = paths.FIGURES / "open"
KEY = ["method", "dataset", "metric", "variant", "seed"]
SAME = 2e-3
"""Largest difference between machines of a mean that no training went into."""
TRAINED_SAME = 0.03
"""The same after trainings, whose last digits differ between processors and grow."""


@pytest.fixture(scope="module")
def kept() -> profiles.Profile:
    return profiles.load("open", rows="kept")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_tables_in_figures_are_those_of_the_kept_rows(kept: profiles.Profile, number: int) -> None:
    ours = pd.read_csv(StringIO(tables.to_csv(regenerate.table(number, kept))))
    pd.testing.assert_frame_equal(ours, pd.read_csv(FOLDER / f"table{number}.csv"), rtol=2e-5, atol=2e-5)


def test_the_claims_in_figures_are_those_of_the_kept_rows(kept: profiles.Profile, tmp_path: Path) -> None:
    saved, _ = summary.save_claims(regenerate.claims(kept), tmp_path)
    ours, theirs = pd.read_csv(saved), pd.read_csv(FOLDER / "claims.csv")
    assert ours["verdict"].to_list() == theirs["verdict"].to_list()
    np.testing.assert_allclose(ours["value"], theirs["value"], atol=2e-5)


def test_figure_2_needs_no_data(kept: profiles.Profile) -> None:
    drawn = report.figure_frame(regenerate.figure(2, kept))
    stored = pd.read_csv(FOLDER / "fig2.csv")
    np.testing.assert_allclose(drawn["srocc"], stored["srocc"], atol=2e-5)


def test_rows_are_read_as_they_were_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tidy(
        [
            {"method": "a, b", "metric": "CC", "variant": "", "value": 0.123456789, "n": 3, "seconds": 9.0},
            {"method": "none", "metric": "NA", "dataset": "null", "seed": 2, "device": "cpu"},
        ]
    )
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    kept_rows.keep("extracting", rows, tmp_path / "open")
    found = kept_rows.read("extracting", profiles.load("open"))
    expected = rows.assign(seconds=np.nan, device="", value=[0.123457, np.nan])
    pd.testing.assert_frame_equal(found, expected)


def test_what_the_kept_rows_cannot_tell_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["table", "1", "--profile", "open", "--kept", "--set", "n_passes=1"]) == 2
    assert "were not made with n_passes=1; leave out --kept" in capsys.readouterr().err
    assert cli.main(["table", "1", "--kept"]) == 2
    assert "no rows of section 'extracting' are kept for the profile 'demo'" in capsys.readouterr().err
    with pytest.raises(PaperlibError, match="rows='elsewhere': expected computed, or kept"):
        profiles.load("open", rows="elsewhere")


def test_a_table_without_data(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path))
    assert cli.main(["claims", "--profile", "open", "--kept"]) == 0
    assert "  C1  " in capsys.readouterr().out and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "folder"),
    [([], "open"), (["--model", "timm:resnet18"], "open/figures"), (["--extent", "all"], "open/figures")],
)
def test_other_models_and_extents_leave_the_stored_figures_alone(
    asked: list[str], folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(paths, "figures_root", lambda: tmp_path / "figures")
    assert cli.main(["figure", "2", "--profile", "open", "--kept", *asked]) == 0
    written = [Path(line) for line in capsys.readouterr().out.split()]
    root = tmp_path / ("figures" if not asked else "results")
    assert written and all(file.is_relative_to(root / folder) for file in written)


def test_real_data_give_the_kept_rows_of_what_needs_no_network(shared, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    (tmp_path / "eyecrowd").symlink_to(shared("open", "eyecrowd"))
    some = profiles.load(
        "open", data_root=str(tmp_path), datasets=["eyecrowd"], methods=["center_only", "edge_energy", "noise_map"],
        slow_methods=["noise_map"], networks="files",
    )  # fmt: skip
    again = regenerate.rows("extracting", some)
    measured = again["variant"].isin(["raw", "fitted", "fitted_on_test"]) & again["method"].isin(
        ["center_prior", "center_only", "edge_energy", "noise_map"]
    )
    compared = both(again[measured], kept_rows.read("extracting", profiles.load("open")))
    assert len(compared) >= 40
    np.testing.assert_allclose(compared["value_again"], compared["value_kept"], atol=SAME)


@pytest.mark.parametrize("section", ["extracting", "masking", "dual_task"])
def test_a_whole_run_gives_the_kept_rows(section: str) -> None:
    profile = profiles.load("open")
    try:
        units = regenerate.units(profile, section)
    except PaperlibError:
        units = []
    store = ResultStore(profile.store_root)
    if not units or any(store.load(unit) is None for unit in units):
        pytest.skip("the profile open has not been computed here")
    compared = both(regenerate.rows(section, profile), kept_rows.read(section, profile))
    np.testing.assert_allclose(compared["value_again"], compared["value_kept"], atol=TRAINED_SAME)


def both(again: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    again, kept = (rows[rows["variant"] != "data"] for rows in (again, kept))  # counts of pictures, several under one name
    return again.merge(kept, on=KEY, suffixes=("_again", "_kept")).dropna(subset=["value_again", "value_kept"])
