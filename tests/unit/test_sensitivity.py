"""The sensitivity study: which choices it makes, what it measures, and what is kept of it."""

from dataclasses import replace

import pandas as pd
import pytest

from paperlib import paths, profiles, regenerate
from paperlib.errors import PaperlibError
from paperlib.experiments.dual_task import results
from paperlib.models.saliency_losses import SALIENCY_LOSSES
from paperlib.show import sensitivity as shown
from paperlib.tasks import sensitivity

PROFILE = profiles.load("demo", n_train=64, n_test=24, n_fit=24, steps=2, warm_up=0, n_passes=1)


def test_one_thing_is_changed_at_a_time():
    found = [
        (choice.training.saliency_loss, choice.training.saliency_weight, choice.dual_task.weighting)
        for choice in sensitivity.choices(PROFILE)
    ]
    standard = ("mse", 0.3, "fixed")
    assert standard in found and len(found) == len(set(found))
    assert {loss for loss, _, _ in found} == set(SALIENCY_LOSSES)
    for choice in found:
        changed = [name for name, a, b in zip(("loss", "weight", "weighting"), choice, standard, strict=True) if a != b]
        assert len(changed) <= 1 or choice == ("kld", 0.3, "uncertainty")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setattr(
            sensitivity,
            "choices",
            lambda profile: [profile, replace(profile, training=replace(profile.training, saliency_weight=3.0))],
        )
        yield sensitivity.measure(PROFILE, 2)  # the store stays for the tests, which read from it


def test_the_standard_choice_gives_the_numbers_of_table_two(table):
    profile = replace(PROFILE, seeds=(10, 11))
    printed = results.table(regenerate.rows("dual_task", profile), profile).cells.set_index(["method", "dataset", "metric"])
    standard = table[table["weight"].isin(["", "0.3"])].set_index("variant")
    assert list(table["weight"]) == ["", "0.3", "3", "0.3", "3"]
    for method in standard.index:
        for metric in sensitivity.METRICS:
            value, sd = printed.loc[(method, "world", metric), ["value", "sd"]]
            assert tuple(standard.loc[method, [metric, f"{metric}_sd"]]) == pytest.approx((value, sd), abs=1e-12)
    other = table[table["weight"] == "3"].set_index("variant")
    assert (other["CC"] != standard["CC"].drop("baseline")).all()


def test_what_is_saved_is_shown(table, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_FIGURES", str(tmp_path))
    files = shown.save(table, tmp_path)
    assert [file.name for file in files] == ["sensitivity.csv", "sensitivity.md"]
    pd.testing.assert_frame_equal(shown.saved(), shown.readable(table))
    pd.testing.assert_frame_equal(shown.means(), table, check_exact=False, atol=1e-6, check_dtype=False)
    assert "Baseline-GradCAM-Loss" in files[1].read_text("utf-8")


def test_losses_stand_under_each_other_at_one_weight(table, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_FIGURES", str(tmp_path))
    assert set(shown.LOSSES) == set(SALIENCY_LOSSES)
    shown.save(table, tmp_path)
    found = shown.by_loss("3")
    assert list(found.index) == ["squared error"] and list(found["CC"]) == ["Baseline-Sal-Loss", "Baseline-GradCAM-Loss"]
    own = table[(table["variant"] == "baseline_gradcam_loss") & (table["weight"] == "3")].iloc[0]
    assert found["CC", "Baseline-GradCAM-Loss"].item() == f"{own['CC']:.3f} ± {own['CC_sd']:.3f}"


def test_a_single_repeat_is_saved_and_shown_without_a_spread(table, tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_FIGURES", str(tmp_path))
    single = table.assign(n=1, **{f"{metric}_sd": float("nan") for metric in sensitivity.METRICS})
    shown.save(single, tmp_path)
    found = shown.saved()
    assert found.loc[0, "CC"] == f"{table.loc[0, 'CC']:.3f}" and found.loc[0, "weight"] == ""


def test_refusals(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_FIGURES", str(tmp_path))
    monkeypatch.setattr(paths, "FIGURES", tmp_path)
    with pytest.raises(PaperlibError, match="not there; make it with"):
        shown.saved()
    (tmp_path / "sensitivity.csv").write_text("a,b\n1,2\n")
    with pytest.raises(PaperlibError, match="has other columns"):
        shown.saved()
    with pytest.raises(PaperlibError, match="trains on photographs"):
        sensitivity.measure(profiles.load("rehearsal"))
