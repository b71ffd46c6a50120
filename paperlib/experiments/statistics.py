"""From tidy rows of single repeats to means, standard deviations and intervals over them, and to differences by repeat."""

import math
from collections.abc import Sequence

import pandas as pd

CONFIDENCE = 0.95

MEASURED = ["value", "low", "high", "n"]
"""Columns of a quantity by repeat: its value, the ends of its 95 % interval over pictures where it has one, and how many
pictures these are."""


def summarise(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Mean, standard deviation (NaN with one repeat) and number of repeats of `value` for each combination of `keys`."""
    grouped = rows.groupby(list(keys), sort=False)["value"]
    return grouped.agg(value="mean", sd="std", n="count").reset_index()


def interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean and the ends of its 95 % t interval over repeats; with one repeat the ends are NaN."""
    from scipy import stats

    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return mean, math.nan, math.nan
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    half = float(stats.t.ppf(0.5 + CONFIDENCE / 2, n - 1)) * sd / math.sqrt(n)
    return mean, mean - half, mean + half


def by_seed(rows: pd.DataFrame, method: str, metric: str, variant: str = "fitted", dataset: str = "world") -> pd.DataFrame:
    """`MEASURED` of one method, metric, variant and data set, by repeat."""
    wanted = {"method": method, "metric": metric, "variant": variant, "dataset": dataset}
    chosen = rows[(rows[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    return chosen.set_index("seed").reindex(columns=MEASURED)


def less(one: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """One quantity minus another in the repeats that both have. Its ends lie as far apart as both intervals allow: as if
    nothing were known of how the two go together, so rather too far."""
    found = {"value": one["value"] - other["value"], "low": one["low"] - other["high"], "high": one["high"] - other["low"]}
    n = pd.concat([one["n"], other["n"]], axis=1).min(axis=1)
    return pd.DataFrame(found).assign(n=n).dropna(subset="value")
