"""Without quality drops: which networks are equivalent to their Baseline, and how it is said."""

import numpy as np
import pandas as pd

from paperlib.experiments.quality_drops import equivalence, verdicts
from paperlib.metrics.equivalence import tost

REFERENCES = {"baseline_sal_loss": "baseline", "baseline_gradcam_loss": "baseline"}


def scored(seeds: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = 0.9 + rng.normal(0, 0.01, seeds)
    shifts = {"baseline": 0.0, "baseline_sal_loss": 0.0005, "baseline_gradcam_loss": -0.03}
    return pd.DataFrame(
        [
            {
                "method": method,
                "dataset": dataset,
                "metric": metric,
                "variant": "quality",
                "seed": seed,
                "value": base[seed] + shift + rng.normal(0, 0.001),
            }
            for method, shift in shifts.items()
            for seed in range(seeds)
            for dataset in ("koniq10k", "clive")
            for metric in ("SROCC", "PLCC")
        ]
    )


def test_the_margin_decides():
    found = equivalence(scored(10), REFERENCES)
    assert len(found) == 8 and set(found["n"]) == {10}
    assert found.groupby("method")["verdict"].unique().map(list).to_dict() == {
        "baseline_sal_loss": ["equivalent"],
        "baseline_gradcam_loss": ["lower"],
    }


def test_repeats_are_paired_by_seed():
    rows = scored(6).sample(frac=1, random_state=0)
    rows = rows[~((rows["method"] == "baseline") & (rows["seed"] == 4))]
    pairs = rows[(rows["dataset"] == "clive") & (rows["metric"] == "SROCC")].pivot(
        index="seed", columns="method", values="value"
    )
    pairs = pairs.dropna()
    expected = tost(pairs["baseline_sal_loss"], pairs["baseline"])
    found = (
        equivalence(rows, REFERENCES).set_index(["method", "dataset", "metric"]).loc["baseline_sal_loss", "clive", "SROCC"]
    )
    assert found["n"] == 5 and found["difference"] == expected["difference"] and found["p"] == expected["p"]


def test_one_repeat_or_no_baseline_says_nothing():
    assert equivalence(scored(1), REFERENCES).empty and verdicts(scored(1), REFERENCES) == ()
    assert equivalence(scored(5), {"baseline_sal_loss": "another"}).empty


def test_verdicts_name_data_networks_and_margin():
    sentences = verdicts(scored(10), REFERENCES)
    assert len(sentences) == 4
    assert "KonIQ-10k, SROCC, Baseline-Sal-Loss against" in sentences[0] and "equivalent within 0.01" in sentences[0]
    assert "TOST over 10 repeats" in sentences[0] and "lower within" not in sentences[0]
