"""The profile `open` from end to end on a few real pictures, with few steps: every row is made, and nothing is simulated."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paperlib import cli, profiles, regenerate
from paperlib.experiments.extracting.plan import units as table1_units
from paperlib.experiments.training.plan import trainings

PICTURES = {"train": 60, "test": 12, "osie": 6, "eyecrowd": 5}


@pytest.fixture(scope="module")
def root(shared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of every set, in the layouts of the repositories, by links."""
    real = shared("open").parent
    root = tmp_path_factory.mktemp("data")
    sample = pd.read_csv(real / "open" / "biq2021" / "sample.csv")
    chosen = [name for part in ("train", "test") for name in sample[sample["part"] == part]["file"][: PICTURES[part]]]
    links = {f"biq2021/Images/{name}": f"open/biq2021/Images/{name}" for name in chosen}
    links |= {f"biq2021/{name}": f"open/biq2021/{name}" for name in ("train.csv", "test.csv")}
    for name in ("osie", "eyecrowd"):
        pictures = sorted(path.name for path in (real / "open" / name / "stimuli").iterdir())[: PICTURES[name]]
        links |= {f"{name}/stimuli/{file}": f"open/{name}/stimuli/{file}" for file in pictures}
        links[f"{name}/fixations.mat"] = f"open/{name}/fixations.mat"
    links |= {"weights/fastgaze.vxm": "open/fastgaze/fastgaze.vxm", "sacid/moses.csv": "sacid/moses.csv"}
    for target, source in links.items():
        (root / target).parent.mkdir(parents=True, exist_ok=True)
        (root / target).symlink_to(real / source)
    return root


@pytest.fixture(scope="module")
def profile(root: Path, tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        yield profiles.load(
            "open", data_root=str(root), extent="found", seeds=2, batch_size=8, steps=3, warm_up=0, training_height=64,
            training_width=64, input_height=64, input_width=64, n_passes=2, n_masked=8, n_resamples=200, n_folds=2,
            masked_networks=["baseline"], fractions=[0.5], cell_counts=[6],
        )  # fmt: skip


def test_table1_has_all_rows_and_each_repeat_of_what_is_trained(profile) -> None:
    table = regenerate.table(1, profile)
    cells = table.cells.set_index(["method", "dataset", "metric"])
    methods = {"center_prior", *profile.photographs.methods, "shuffled_map"}
    assert methods <= set(table.cells["method"]) and {"osie", "eyecrowd"} == set(table.cells["dataset"])
    assert np.isfinite([cells.loc[method, name, "CC"]["value"] for method in methods for name in ("osie", "eyecrowd")]).all()
    assert cells.loc["baseline", "osie", "CC"]["n"] == 2 and cells.loc["fastgaze", "osie", "CC"]["n"] == 1
    (osie,) = [unit for unit in table1_units(profile) if unit.name == "differences/osie"]
    assert dict(osie.params)["shared"] is True


def test_table2_has_every_variant_and_the_control_target(profile) -> None:
    table = regenerate.table(2, profile)
    cells = table.cells.set_index(["method", "dataset", "metric"])
    for method in ("baseline", "baseline_sal_loss", "baseline_gradcam_loss"):
        assert (
            math.isfinite(cells.loc[method, "biq2021", "SROCC"]["value"]) and cells.loc[method, "biq2021", "SROCC"]["n"] == 2
        )
    assert (table.cells["section"] == "Control").any()


def test_figure2_masks_by_a_networks_saliency_its_gradcam_and_the_controls(profile) -> None:
    curves = regenerate.figure(2, profile).curves
    assert {"saliency", "gradcam", "half_image", "random", "center"} <= set(curves["map"])
    assert set(curves["fill"]) == {"black", "mean"} and set(curves["network"]) == {"baseline"}


def test_table3_of_scores_alone_has_the_rows_that_see_no_picture(profile) -> None:
    table = regenerate.table(3, profile)
    filled = table.cells[table.cells["value"].notna()]
    assert set(filled["method"]) == {"bitrate_only", "preset_order"}
    assert "without their pictures" in table.caption and any("data fetch sacid" in note for note in table.notes)


def test_every_claim_but_the_fourth_is_judged(profile) -> None:
    found = {claim.id: claim for claim in regenerate.claims(profile)}
    assert found["C4"].outcome == "not testable"
    assert all(found[id].outcome != "not testable" for id in ("C1", "C2", "C3"))


def test_no_picture_is_both_trained_on_and_tested_on(profile) -> None:
    learnt = dict(trainings(profile)[0].unit.params)
    assert "test" not in learnt["parts"] and profile.dual_task.quality_part == "test"
    assert any(unit.name.startswith("leaks/") for unit in trainings(profile)[0].unit.needs)


def test_without_data_it_says_how_to_get_them(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path))
    monkeypatch.delenv("PAPERLIB_DATA_ROOT", raising=False)
    assert cli.main(["table", "1", "--profile", "open"]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and "data fetch" in said and "--profile open" in said
