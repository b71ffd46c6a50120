""" "Without quality drops" (section III-C), tested: a difference that is not found is not yet equality."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from paperlib import paper
from paperlib.experiments.dual_task_table import QUALITY
from paperlib.metrics.equivalence import MARGIN, tost

_TESTED = ("method", "reference", "dataset", "metric", "n")
_OUTCOME = ("difference", "low", "high", "p", "verdict")


def equivalence(rows: pd.DataFrame, references: Mapping[str, str]) -> pd.DataFrame:
    """TOST of each network's SROCC and PLCC against a Baseline, paired by repeat.

    Args:
        rows: tidy rows of the section.
        references: network -> the Baseline that it is compared with.

    Returns:
        One row per method, data set and metric with at least two repeats in common: `method`, `reference`, `dataset`,
        `metric`, `n` (repeats), and `difference`, `low`, `high`, `p`, `verdict` of `paperlib.metrics.equivalence.tost`.
    """
    tested = rows[rows["variant"] == "quality"]
    values = tested.set_index(["method", "dataset", "metric", "seed"])["value"].sort_index()
    found = []
    for method, reference in references.items():
        for dataset in tested["dataset"].unique():
            for metric, _ in QUALITY:
                keys = [(name, dataset, metric) for name in (method, reference)]
                if any(key not in values.index for key in keys):
                    continue
                pair = pd.concat([values.loc[key] for key in keys], axis=1, join="inner").to_numpy()
                if len(pair) > 1:
                    test = tost(pair[:, 0], pair[:, 1], MARGIN)
                    names = dict(zip(_TESTED, (method, reference, dataset, metric, len(pair)), strict=True))
                    found.append(names | {name: test[name] for name in _OUTCOME})
    return pd.DataFrame(found, columns=[*_TESTED, *_OUTCOME])


def verdicts(rows: pd.DataFrame, references: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence per test in SROCC, as notes of Table II."""
    tests = equivalence(rows, references)
    return tuple(map(_verdict, tests[tests["metric"] == "SROCC"].to_dict("records")))


def _verdict(test: Mapping[str, Any]) -> str:
    label, reference = (paper.look(test[name]).label for name in ("method", "reference"))
    dataset = paper.DATASETS.get(test["dataset"], test["dataset"])
    return (
        f"{dataset}, SROCC, {label} against {reference}: {test['difference']:+.4f} "
        f"[{test['low']:+.4f}, {test['high']:+.4f}], {test['verdict']} within {MARGIN} (TOST over {test['n']} repeats, "
        f"p = {test['p']:.3g})."
    )
