"""Table II's columns and cells, alike for networks of the micro-world and for networks of photographs."""

import math
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from paperlib.experiments.artefacts import Column
from paperlib.experiments.over_seeds import summarise

EXPERIMENT = "dual_task"
QUALITY = (("SROCC", +1), ("PLCC", +1))
GAZE = (("NSS", +1), ("SIM", +1), ("CC", +1), ("KLD", -1))
VARIANTS = ("quality", "fitted")
"""Of the rows that the table shows: scores against MOS, and maps after transforms fitted on other images."""


def columns(quality_sets: Sequence[str], gaze_sets: Sequence[str]) -> tuple[Column, ...]:
    """Columns of Table II in the paper's order: scores of every quality set, then maps of every set with gaze."""
    return tuple(
        Column(dataset, metric, direction, f"{metric} {'↑' if direction > 0 else '↓'}")
        for metrics, datasets in ((QUALITY, quality_sets), (GAZE, gaze_sets))
        for dataset in datasets
        for metric, direction in metrics
    )


def cells(
    rows: pd.DataFrame,
    lines: Iterable[tuple[str, str]],
    columns: Sequence[Column],
    published: Callable[[str, Column], float | None],
    span: Callable[[pd.DataFrame], tuple[float, float]] | None = None,
) -> pd.DataFrame:
    """The cells of `paperlib.experiments.artefacts.TableData`, means over repeats; those of section "Control" have no rank.

    Args:
        rows: tidy rows of the section.
        lines: (section, method) of each line of the table.
        columns: from `columns`.
        published: from a method and a column to the paper's number, None where it has none.
        span: from the rows of a cell's repeats to its `low` and `high`; none are given when None.
    """
    keys = ["method", "dataset", "metric"]
    wanted = rows[rows["variant"].isin(VARIANTS)]
    found, repeats = summarise(wanted, keys).set_index(keys), wanted.groupby(keys, sort=False)
    out = []
    for section, method in lines:
        for column in columns:
            key = (method, column.dataset, column.metric)
            value, sd, n = found.loc[key] if key in found.index else (math.nan, math.nan, 0)
            low, high = span(repeats.get_group(key)) if span and n else (math.nan, math.nan)
            paper = published(method, column)
            out.append(
                {
                    "section": section,
                    "method": method,
                    "dataset": column.dataset,
                    "metric": column.metric,
                    "value": value,
                    "sd": sd,
                    "low": low,
                    "high": high,
                    "n": int(n),
                    "published": math.nan if paper is None else paper,
                    "ranked": section != "Control",
                }
            )
    return pd.DataFrame(out)
