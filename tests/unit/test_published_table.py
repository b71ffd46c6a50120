"""Table III read again: what needs no picture, which differences so many photographs tell apart, and how both are drawn."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Annotation
from scipy.stats import norm

from paperlib import paper, profiles, regenerate
from paperlib.experiments.compression import explore
from paperlib.experiments.compression.explore import BLIND, Published, TableChoice
from paperlib.show import figures, widgets


@pytest.fixture(scope="module")
def table() -> Published:
    return explore.published(regenerate.rows("compression", profiles.load("open", rows="kept")))


def test_the_values_are_the_papers_and_the_blind_ones_those_of_our_table(table):
    assert len(table.values) == 25 and table.photographs == 60 and table.measured.empty
    for method, row in table.values.iterrows():
        for metric in ("SROCC", "PLCC", "FracCP"):
            assert row[metric] == paper.published(3, method, "sacid", metric)
    cells = regenerate.table(3, profiles.load("open", rows="kept")).cells
    for metric, method in (("SROCC", "bitrate_only"), ("FracCP", "preset_order")):
        (cell,) = cells[(cells["method"] == method) & (cells["metric"] == metric)].to_dict("records")
        assert table.blind[metric] == pytest.approx(cell["value"])
        assert table.interval[metric] == pytest.approx((cell["low"], cell["high"]))


def rows_of(values: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"dataset": "sacid", "method": method, "metric": metric, "variant": str(place), "seed": 0, "value": value}
            for method, per_photograph in values.items()
            for metric in ("SROCC", "PLCC", "FracCP")
            for place, value in enumerate(per_photograph)
        ]
    )


def test_a_method_that_was_measured_stands_beside_the_printed_ones():
    blind = {"bitrate_only": [0.9, 0.8], "preset_order": [0.7, 0.5]}
    found = explore.published(rows_of({**blind, "psnr": [0.6, 0.8], "ew_psnr_center": [0.1, 0.1]}))
    assert found.measured.index.tolist() == ["psnr"] and found.measured.loc["psnr", "label"] == "PSNR"
    assert found.measured.loc["psnr", ["SROCC", "FracCP"]].tolist() == pytest.approx([0.7, 0.7])
    assert found.blind["FracCP"] == pytest.approx(0.6) and found.photographs == 2
    names = {text.get_text() for text in figures.beside_blind(found).axes[0].texts}
    assert names >= {row.label for row in paper.TABLE3}


def test_the_larger_spread_counts():
    wide, narrow = np.array([0.1, 0.9]), np.array([0.5, 0.5])
    assert explore.spread_over_photographs(wide, "FracCP") == pytest.approx(0.8 / np.sqrt(2))
    assert explore.spread_over_photographs(narrow, "FracCP") == pytest.approx(0.5 / np.sqrt(18))
    assert explore.spread_over_photographs(narrow, "SROCC") == pytest.approx(1 / 3)
    assert explore.spread_over_photographs(wide, "PLCC") == pytest.approx(np.ptp(np.arctanh(wide)) / np.sqrt(2))


def test_the_textbooks_spread_is_that_of_independent_versions():
    rng = np.random.default_rng(0)
    pairs = rng.multivariate_normal([0, 0], [[1, 0.8], [0.8, 1]], (4000, explore.VERSIONS))
    z = np.arctanh([np.corrcoef(one.T)[0, 1] for one in pairs])
    assert z.std() == pytest.approx(1 / 3, rel=0.05)


def test_what_is_told_apart_by_chance_is_a_twentieth():
    """Two methods that are equally good, with independent values on every photograph."""
    rng, spread, n = np.random.default_rng(1), 0.2, 60
    means = 0.6 + rng.normal(0, spread, (2, 4000, n)).mean(-1)
    bands = np.array([explore.not_told_apart(one, "FracCP", spread, n) for one in means[0]])
    assert ((means[1] < bands[:, 0]) | (means[1] > bands[:, 1])).mean() == pytest.approx(0.05, abs=0.015)
    assert norm.cdf(explore.NORMAL) == pytest.approx(0.975, abs=1e-4)


def test_an_interval_of_a_correlation_is_one_of_its_z():
    low, high = explore.interval(0.8, "SROCC", 0.1)
    assert np.arctanh([low, high]) == pytest.approx(np.arctanh(0.8) + np.array([-0.196, 0.196]))
    assert explore.interval(0.8, "FracCP", 0.1) == pytest.approx((0.604, 0.996))


def test_a_standing_ranks_and_marks(table):
    view = explore.standing(table, TableChoice("FR", "PLCC", "lpips"))
    assert view.ranking.index.tolist() == ["dists", "pieapp", "lpips", "topiq_fr", "ahiq"]
    assert view.ranking["rank PLCC"].tolist() == [1, 2, 3, 4, 5] and view.ranking.loc["topiq_fr", "rank FracCP"] == 1
    assert view.reference == "LPIPS" and view.value == 0.854 and view.pairs == 10
    low, high = view.band
    assert low < 0.854 < high
    assert (view.ranking["apart"] == ((view.ranking["PLCC"] < low) | (view.ranking["PLCC"] > high))).all()
    assert not view.ranking.loc["lpips", "apart"] and view.ranking.loc["dists", "apart"]


def test_more_photographs_tell_more_apart(table):
    counts = [explore.standing(table, TableChoice(photographs=n)).pairs_apart for n in (2, 60, 600, 10**9)]
    assert counts == sorted(counts) and counts[0] == 0 and counts[1] < counts[2]
    tied = len(table.values) - table.values["FracCP"].nunique()
    assert counts[-1] == 300 - tied


def test_the_pictureless_may_be_the_reference(table):
    view = explore.standing(table, TableChoice(reference=BLIND))
    assert (view.reference, view.value) == ("Fixed preset order", table.blind["FracCP"])
    assert explore.standing(table, TableChoice(metric="SROCC", reference=BLIND)).reference == "Bit-rate alone"


def test_telling_apart_is_that_of_the_standing(table):
    for metric in ("SROCC", "PLCC", "FracCP"):
        ranking = explore.standing(table, TableChoice(metric=metric, reference="psnr")).ranking
        assert {one for one in table.values.index if table.tells_apart(one, "psnr", metric)} == set(
            ranking.index[ranking["apart"]]
        )


@pytest.mark.parametrize("change", [{"section": "deep"}, {"metric": "KLD"}, {"reference": "gmsd"}, {"photographs": 1}])
def test_what_is_not_there_is_refused(table, change):
    with pytest.raises(ValueError, match=f"{next(iter(change))}=.*expected"):
        explore.standing(table, replace(TableChoice(), **change))


def test_names_hide_no_point_and_no_name(table):
    figure = figures.beside_blind(table)
    (ax,) = figure.axes
    labels = set(table.values["label"])
    boxes = {one.get_text(): one.get_window_extent() for one in ax.texts if one.get_text() in labels}
    assert len(boxes) == 25
    names = list(boxes.values())
    assert not any(one.overlaps(other) for place, one in enumerate(names) for other in names[:place])
    points = ax.transData.transform(table.values[["SROCC", "FracCP"]])
    assert not any(box.contains(*point) for box in names for point in points)
    assert "none of 25" in "".join(text.get_text() for text in ax.texts)


def test_arrows_and_lines_are_where_the_values_are(table):
    (ax,) = figures.beside_blind(table).axes
    ends = {one.xy for one in ax.texts if isinstance(one, Annotation) and one.arrow_patch}
    assert ends == {tuple(table.values.loc[one, ["SROCC", "FracCP"]]) for one in ("ew_psnr", "ew_ssim", "sgdnet_output")}
    straight = [line.get_xydata() for line in ax.lines if len(line.get_xydata()) == 2]
    assert any((line[:, 0] == table.blind["SROCC"]).all() for line in straight)
    assert any((line[:, 1] == table.blind["FracCP"]).all() for line in straight)


def test_places_of_names_are_the_cheapest_of_all():
    fixed = np.array([[0.0, 1, 2], [0, 1, 2]])
    between = np.zeros((2, 3, 2, 3), bool)
    between[0, 0, 1, 0] = between[1, 0, 0, 0] = True
    chosen = figures._least_hidden(fixed, between)
    assert sorted(chosen) in ([0, 1], [0, 0])
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [2, 0, 4, 1]])
    assert figures._overlaps(boxes[0], boxes).tolist() == [True, True, False]


def test_filled_dots_are_told_apart(table):
    view = explore.standing(table, TableChoice("NR", "SROCC"))
    ax = figures.standing(view).axes[0]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == view.ranking["SROCC"].tolist()
    assert [dot.get_markerfacecolor() != "white" for dot in dots] == view.ranking["apart"].tolist()
    assert [label.get_text() for label in ax.get_yticklabels()] == view.ranking["label"].tolist()


def test_the_explorer_starts_with_the_static_picture_and_follows_its_controls(table):
    *rows, picture, words = widgets.table_explorer(table).children
    controls = {control.description: control for row in rows for control in row.children}
    first = explore.standing(table, TableChoice())
    assert (picture.format, picture.value) == figures.for_screen(figures.standing(first))
    assert f"{first.ranking['apart'].sum()} of 24 methods can be told apart from SGDNet-Output (0.687)" in words.value
    for description, value in (("type", "FR"), ("metric", "PLCC"), ("against", "psnr"), ("photographs", 480)):
        before = picture.value
        controls[description].value = value
        assert picture.value != before, description
    last = explore.standing(table, TableChoice("FR", "PLCC", "psnr", 480))
    assert words.value.startswith("With 480 photographs ") and f"{last.pairs_apart} of all 10 pairs" in words.value


def test_weights_are_those_of_each_kind_of_observers():
    values = {"psnr": 0.5, "ew_psnr": 0.9, "ew_psnr_center": 0.6, "EW-PSNR, uniform": 0.5, "ssim": 0.4, "vif": 0.3}
    rows = rows_of({method: [value - 0.1, value + 0.1] for method, value in values.items()})
    worth = explore.weights_worth(rows)
    assert worth["weights"].tolist() == ["no weights", "even weights", "centre prior", "the encoder's map", "no weights"]
    assert worth["judge"].tolist() == ["PSNR"] * 4 + ["SSIM"]
    assert worth["value"].tolist() == pytest.approx([0.5, 0.5, 0.6, 0.9, 0.4])
    assert (worth["low"] < worth["value"]).all() and (worth["value"] < worth["high"]).all()
    ax = figures.weights_worth(worth, {"sacid": 0.7}).axes[0]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [0.7]
    assert figures.weights_worth(explore.weights_worth(rows[:0]), {}).axes == []


def test_sacids_presets_are_a_frame_as_ours():
    means = explore.sacid_preset_means()
    assert means.columns.tolist() == ["0.08 bpp", "0.12 bpp", "0.16 bpp"] and means.loc["p220", "0.12 bpp"] == 3.073
