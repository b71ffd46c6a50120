"""Sentences and columns that notebooks compute, so that their text follows the values: by hand on a few numbers."""

import math

import pandas as pd

from paperlib.experiments import claims as judging
from paperlib.experiments.extracting import results as extraction


def series(*values):
    return pd.Series(values, dtype=float)


def test_the_needed_value_stands_beside_the_mean():
    parts = {"SROCC: x": series(-0.01, -0.03), "CC: x": series(0.1, 0.3), "control, x": series(0.5)}
    found = judging.against_needs("C3", parts)
    assert list(found.columns) == ["mean", "sd", "n", "needed"]
    assert found.loc["CC: x", "mean"] == 0.2
    assert math.isclose(found.loc["CC: x", "needed"], judging.CC_GAIN)
    assert math.isclose(found.loc["SROCC: x", "needed"], -judging.SROCC_MARGIN)
    assert math.isnan(found.loc["control, x", "needed"])


def test_other_claims_need_more_than_nothing():
    found = judging.against_needs("C1", {"CC: a − b": series(0.25, 0.75), "KLD: a − b": series(-0.5)})
    assert found["needed"].tolist() == [0, 0]


def test_controls_are_sorted_by_what_they_show():
    parts = {
        "C1": {
            "claimed": series(1),
            "control, strong": series(0.1, 0.3),
            "control, weak": series(0.03, -0.03),
            "control, against": series(-1),
        },
        "C2": {"claimed": series(1), "control, all": series(1)},
        "C3": {"claimed": series(1)},
    }
    assert judging.controls_in_words(parts) == [
        "C1. Shown by these controls as well: strong. Not shown by: weak; against.",
        "C2. Shown by these controls as well: all. Not shown by: none.",
    ]


def rows(*entries):
    return pd.DataFrame(entries, columns=["dataset", "method", "variant", "metric", "value"])


def test_methods_are_named_on_their_side_of_the_prior():
    found = extraction.above_the_prior(
        rows(
            ("world", "center_prior", "raw", "CC", 0.5),
            ("world", "center_prior", "raw", "CC", 0.6),
            ("world", "baseline", "plain", "CC", 0.6),
            ("world", "baseline", "plain", "CC", 0.7),
            ("world", "baseline", "fitted", "CC", 0.1),
            ("world", "random_head", "plain", "CC", 0.55),
            ("other", "random_head", "plain", "CC", 0.9),
            ("world", "random_head", "plain", "NSS", 9.0),
        ),
        ["baseline", "random_head", "noise_map"],
    )
    assert found == (
        "CC of the centre prior: 0.550. plain maps above it: Baseline 0.650. Not above it: Pretrained, random head 0.550."
    )


def test_without_plain_maps_the_sentence_names_nobody():
    found = extraction.above_the_prior(rows(("world", "center_prior", "raw", "CC", 0.5)), ["baseline"])
    assert found == "CC of the centre prior: 0.500. plain maps above it: none. Not above it: none."
