"""Sections III-A to III-C on a tiny profile, end to end through the store."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paperlib import paper, profiles, regenerate
from paperlib.errors import PaperlibError
from paperlib.experiments.extracting import explore
from paperlib.experiments.extracting import results as extraction
from paperlib.experiments.masking import results as masking
from paperlib.experiments.masking.compute import MAPS
from paperlib.experiments.statistics import interval, summarise


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("PAPERLIB_QUIET", "1")
        yield profiles.load(
            "demo",
            seeds=2,
            n_train=96,
            n_test=30,
            n_fit=30,
            n_masked=24,
            steps=3,
            warm_up=0,
            fractions=(0.3, 0.7),
            cell_counts=(4, 8),
            n_halves=2,
            n_passes=2,
        )
        regenerate.forget()


def value(table, method, metric, dataset="world"):
    cells = table.cells.set_index(["method", "dataset", "metric"])
    return cells.loc[(method, dataset, metric), "value"]


def test_table1_has_every_row_of_the_paper_and_every_control(profile):
    table = regenerate.table(1, profile)
    methods = list(dict.fromkeys(table.cells["method"]))
    assert {line.method for line in paper.TABLE1} <= set(methods)
    assert len(table.cells) == len(methods) * len(table.columns)
    ours = table.cells.dropna(subset="value")
    assert set(ours["method"]) == set(extraction.ORDER) - {"pretrained_norm"}  # not in the demo
    assert (ours["low"] <= ours["value"] + 1e-9).all() and (ours["value"] <= ours["high"] + 1e-9).all()
    assert not table.cells[table.cells["section"] == "Control"]["ranked"].any()


def test_published_numbers_stand_beside_ours_and_never_in_them(profile):
    cells = regenerate.table(1, profile).cells
    both = cells.dropna(subset=["value", "published"])
    assert set(both["method"]) == {"center_prior", "baseline"}
    assert (abs(both["value"] - both["published"]) > 1e-9).all()
    for row in cells.dropna(subset="published").itertuples():
        assert row.published == paper.published(1, row.method, "salicon", row.metric)


def test_maps_that_know_nothing_end_at_the_centre_prior(profile):
    table = regenerate.table(1, profile)
    for method in ("noise_map", "shuffled_map"):
        assert value(table, method, "CC") == pytest.approx(value(table, "center_prior", "CC"), abs=0.03)
    assert abs(value(table, "noise_map", "CC_raw")) < 0.02


def test_slow_controls_run_for_the_first_repeats_only(profile):
    table = regenerate.table(1, profile)
    counts = table.cells.groupby("method")["n"].max()
    assert counts["baseline"] == counts["uniform_observers"] == 2
    assert counts["unpretrained"] == counts["frozen_backbone"] == 1
    assert counts["msinet"] == 0


def test_figure1_holds_images_truth_and_two_kinds_of_maps(profile):
    figure = regenerate.figure(1, profile)
    assert np.shape(figure.images) == (6, 64, 96, 3) and len(figure.captions) == 6
    assert list(figure.rows) == ["Gaze density", "Saliency net", "GradCAM (Baseline)"]
    for maps in figure.rows.values():
        assert np.shape(maps) == (6, 64, 96) and np.min(maps) >= 0 and np.max(maps) <= 1
    steps = explore.smoothing_steps(explore.examples(profile), profile)
    for step, stored in zip(steps.rows["rotations, first component"], figure.rows["GradCAM (Baseline)"], strict=True):
        np.testing.assert_allclose(step / step.max(), stored, atol=5e-3)


def test_the_explorer_starts_at_the_map_of_figure1(profile):
    material = explore.material(profile)
    assert list(material.networks) == [
        paper.look(method).label
        for method in (
            "baseline",
            "random_head",
            "frozen_backbone",
            "unpretrained",
            "baseline_centered",
            "uniform_observers",
        )
    ]
    view = explore.explore(material, material.standard)
    assert (view.choice.network, view.choice.n_passes, view.choice.sign) == ("Baseline", 2, "positive")
    stored = regenerate.figure(1, profile)
    np.testing.assert_allclose(view.saliency / view.saliency.max(), stored.rows["GradCAM (Baseline)"][0], atol=5e-3)
    np.testing.assert_array_equal(view.density, stored.rows["Gaze density"][0])


def test_table1_marks_the_cells_whose_difference_does_not_survive(profile):
    table = regenerate.table(1, profile)
    cells = table.cells
    assert cells["alike"].tolist() == (cells["p_holm"] >= extraction.ALPHA).tolist()
    assert cells["alike"].any() and not cells["alike"].all() and extraction.ALIKE_NOTE in table.notes
    rows = regenerate.rows("extracting", profile)
    pooled = rows[(rows["seed"] < 0) & (rows["metric"] == "CC") & (rows["variant"] == "p_holm/fitted")]
    p_holm = pooled.set_index("method")["value"]
    here = cells[cells["metric"] == "CC"].set_index("method")["alike"]
    assert (here[p_holm.index] == (p_holm >= extraction.ALPHA)).all()


def test_methods_that_a_profile_lacks_are_left_out():
    def row(dataset, method, metric, variant, value):
        return {"dataset": dataset, "method": method, "metric": metric, "variant": variant, "seed": 0, "value": value}

    rows = pd.DataFrame(
        [
            row("salicon", method, metric, variant, place)
            for place, method in enumerate(("gaze", "noise_map", "msinet", "my_net", "topiq", "center_prior"))
            for metric in ("KLD", "CC")
            for variant in ("fitted", "raw")
        ]
    )
    methods = ["center_prior", "topiq", "msinet", "my_net", "noise_map"]
    wide = extraction.side_by_side(rows, [*methods, "unpretrained"], ["CC", "KLD"], ["plain", "raw", "fitted"])
    assert wide.index.tolist() == methods and wide.index.name == "method"
    assert wide.columns.tolist() == [("CC", "raw"), ("CC", "fitted"), ("KLD", "raw"), ("KLD", "fitted")]
    assert wide.loc["topiq"].tolist() == [4] * 4
    both = pd.concat([rows, rows.assign(dataset="cat2000", value=rows["value"] + 10)])
    wide = extraction.side_by_side(both, methods[:2], ["CC"], ["raw"])
    assert wide["raw"].to_dict() == {
        ("salicon", "center_prior"): 5,
        ("salicon", "topiq"): 4,
        ("cat2000", "center_prior"): 15,
        ("cat2000", "topiq"): 14,
    }


def test_figure2_has_all_curves_with_intervals_around_them(profile):
    figure = regenerate.figure(2, profile)
    own = figure.curves[figure.curves["network"] == "baseline"]
    assert len(own) == 3 * len(MAPS) * 2 * 2
    assert set(own["fill"]) == {"black", "mean", "blur"}
    assert ((figure.curves["low"] <= figure.curves["srocc"]) & (figure.curves["srocc"] <= figure.curves["high"])).all()
    assert set(figure.unmasked["network"]) == set(profile.masking.masked_networks)


def test_figure2_sets_maps_beside_half_image(profile):
    rows = regenerate.rows("masking", profile)
    summaries = masking.summaries(rows).set_index(["network", "fill", "map"]).sort_index()
    assert (summaries["low"] <= summaries["area"] + 1e-9).all() and (summaries["area"] <= summaries["high"] + 1e-9).all()
    own = summaries.loc["baseline", "mean"]
    for name in ("saliency", "gradcam", "random"):
        assert own.loc[name, "lead"] == pytest.approx(own.loc[name, "area"] - own.loc["half_image", "area"])
        assert 0 < own.loc[name, "p"] <= 1
    assert math.isnan(own.loc["half_image", "lead"])
    ranks = rows[rows["metric"] == "half_rank"]
    assert ranks[["n", "seed"]].values.tolist() == [[2, 0]] and 0 <= ranks["value"].iloc[0] < 1


def test_gaps_are_lerf_minus_morf_by_hand():
    rows = pd.DataFrame(
        [
            {
                "method": "saliency",
                "variant": f"net/black/{strategy}/{fraction}",
                "metric": "SROCC",
                "seed": 0,
                "value": value,
            }
            for strategy, fraction, value in [("LeRF", 0.3, 0.8), ("LeRF", 0.7, 0.5), ("MoRF", 0.3, 0.6), ("MoRF", 0.7, 0.6)]
        ]
    )
    (gap,) = masking.gaps(rows).itertuples()
    assert gap.gap == pytest.approx((0.2 - 0.1) / 2) and gap.above == 0.5


def test_table2_covers_both_worlds(profile):
    table = regenerate.table(2, profile)
    assert [column.dataset for column in table.columns] == ["world"] * 2 + ["world_shifted"] * 2 + ["world"] * 4 + [
        "world_shifted"
    ] * 4
    for method in ("baseline", "baseline_sal_loss", "baseline_gradcam_loss"):
        for column in table.columns:
            assert math.isfinite(value(table, method, column.metric, column.dataset)), (method, column)
    assert math.isnan(value(table, "center_prior", "SROCC"))
    assert value(table, "saliency_net", "CC") == value(regenerate.table(1, profile), "saliency_net", "CC")


def test_unknown_artefacts_are_refused(profile):
    for call in (regenerate.table, regenerate.figure):
        with pytest.raises(PaperlibError, match="there is no"):
            call(7, profile)


def test_interval_is_the_t_interval():
    values = [0.3, 0.5, 0.1, 0.4]
    mean, low, high = interval(values)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (mean, low, high) == pytest.approx((np.mean(values), *expected))
    assert math.isnan(interval([1.0])[1])


def test_summary_over_seeds():
    rows = pd.DataFrame({"method": ["a", "a", "b"], "value": [1.0, 3.0, 5.0]})
    got = summarise(rows, ["method"]).set_index("method")
    assert got.loc["a", ["value", "sd", "n"]].tolist() == pytest.approx([2.0, math.sqrt(2), 2])
    assert math.isnan(got.loc["b", "sd"])
