"""Sentences and columns that notebooks compute, so that their text follows the values: by hand on a few numbers."""

import pandas as pd

from paperlib.experiments.extracting import results as extraction


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
        "CC of the centre prior: 0.550. plain maps above it: Baseline 0.650; level with it: Pretrained, random head 0.550; "
        "below it: none."
    )


def test_without_plain_maps_the_sentence_names_nobody():
    found = extraction.above_the_prior(rows(("world", "center_prior", "raw", "CC", 0.5)), ["baseline"])
    assert found == "CC of the centre prior: 0.500. plain maps above it: none; level with it: none; below it: none."
