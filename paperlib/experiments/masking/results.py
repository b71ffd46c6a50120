"""Figure 2 out of the rows of its units, what its curves say in numbers, and the claim."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from paperlib.experiments.artefacts import Figure2Data
from paperlib.experiments.masking.compute import UNMASKED
from paperlib.experiments.statistics import Parts
from paperlib.maps.fills import PAPER_FILLS
from paperlib.paper import look
from paperlib.vocabulary import STRATEGIES

PAPER_MAPS = ("saliency", "gradcam", "half_image")
"""The columns of the paper's Figure 2."""

ALPHA = 0.05
"""A lead over HalfImage is one when its p lies below."""


def curves(rows: pd.DataFrame) -> Figure2Data:
    """Figure 2 from the rows of `units`: means over repeats; the ends of intervals are averaged too."""
    tidy = _points(rows).rename(columns={"dataset": "world", "method": "map", "value": "srocc"})
    keys = ["world", "network", "fill", "map", "strategy", "fraction"]
    means = (
        tidy.groupby(keys, sort=False)
        .agg(srocc=("srocc", "mean"), low=("low", "mean"), high=("high", "mean"), n=("n", "sum"))
        .reset_index()
    )
    unmasked = means[means["map"] == UNMASKED.map]
    return Figure2Data(
        means[means["map"] != UNMASKED.map].reset_index(drop=True),
        unmasked[["world", "network", "srocc", "low", "high", "n"]].reset_index(drop=True),
    )


def gap_per_fraction(rows: pd.DataFrame) -> pd.DataFrame:
    """LeRF minus MoRF in SROCC: one row per `network`, `fill`, `map`, `seed` and `fraction`, the difference in `gap`."""
    tidy = _points(rows[rows["method"] != UNMASKED.map]).rename(columns={"method": "map"})
    keys = ["network", "fill", "map", "seed", "fraction"]
    wide = tidy.pivot_table(index=keys, columns="strategy", values="value")
    return (wide["LeRF"] - wide["MoRF"]).rename("gap").reset_index()


def gaps(rows: pd.DataFrame) -> pd.DataFrame:
    """LeRF minus MoRF averaged over the fractions (`gap`), and the share of fractions at which LeRF is above (`above`):
    one row per `network`, `fill`, `map` and `seed`."""
    grouped = gap_per_fraction(rows).groupby(["network", "fill", "map", "seed"])["gap"]
    return grouped.agg(gap="mean", above=lambda values: float((values > 0).mean())).reset_index()


def summaries(rows: pd.DataFrame) -> pd.DataFrame:
    """What the curves say in one number, averaged over repeats: one row per `network`, `fill` and `map`.

    Columns: `area` between LeRF and MoRF with its bootstrap interval `low`, `high`; `AOPC_LeRF` and `AOPC_MoRF`; `lead`,
    by how much the area exceeds HalfImage's, with `lead_low`, `lead_high` and `p` (the largest over repeats). NaN where a
    map has no such number.
    """
    chosen = rows[rows["metric"].isin(["area", "AOPC", "area_lead", "p"])]
    tidy = _with_variant_columns(chosen).rename(columns={"method": "map"})
    keys = ["network", "fill", "map"]
    found: dict[str, pd.Series] = {}
    for metric, columns in {"area": ("area", "low", "high"), "area_lead": ("lead", "lead_low", "lead_high")}.items():
        means = tidy[tidy["metric"] == metric].groupby(keys, sort=False)[["value", "low", "high"]].mean()
        found |= dict(zip(columns, (means[name] for name in means), strict=True))
    for strategy in STRATEGIES:
        chosen = tidy[(tidy["metric"] == "AOPC") & (tidy["strategy"] == strategy)]
        found[f"AOPC_{strategy}"] = chosen.groupby(keys, sort=False)["value"].mean()
    found["p"] = tidy[tidy["metric"] == "p"].groupby(keys, sort=False)["value"].max()
    order = found["area"].index
    return pd.DataFrame({name: values.reindex(order) for name, values in found.items()}).reset_index()


def leads(rows: pd.DataFrame, maps: Sequence[str] = ("saliency",)) -> pd.DataFrame:
    """Is the gap between LeRF and MoRF larger than HalfImage's? One row per network that is no control, fill of the
    paper (any where the rows hold none of them) and map.

    Columns: `network`, `fill`, `map`; `area` and `half_image`, both areas between LeRF and MoRF; `lead`, their
    difference, with `lead_low`, `lead_high` and `p`; `outcome`, `"larger"` or `"smaller"` where the interval leaves out
    0 and p lies below `ALPHA`, else `"alike"`. Empty where nothing was compared.
    """
    found = summaries(rows)
    subjects = found["network"].map(lambda name: look(name).group != "Control")
    chosen = found[found["lead"].notna() & found["map"].isin(maps) & subjects]
    paper_fills = chosen["fill"].isin(PAPER_FILLS)
    chosen = chosen[paper_fills] if paper_fills.any() else chosen
    sure = chosen["p"] < ALPHA
    sides = [sure & (chosen["lead_low"] > 0), sure & (chosen["lead_high"] < 0)]
    outcome = np.select(sides, ["larger", "smaller"], "alike")
    chosen = chosen.assign(half_image=chosen["area"] - chosen["lead"], outcome=outcome)
    columns = ["network", "fill", "map", "area", "half_image", "lead", "lead_low", "lead_high", "p", "outcome"]
    return chosen[columns].reset_index(drop=True)


def half_ranks(rows: pd.DataFrame) -> pd.DataFrame:
    """How good the halves are that HalfImage picks: `network`, `rank` (share of all 924 halves that keep the score
    nearer to the whole picture's, averaged over pictures) and `pictures`. Empty where no halves were tried."""
    tried = _with_variant_columns(rows[rows["metric"] == "half_rank"])
    tried = tried.rename(columns={"value": "rank", "n": "pictures"})
    return tried[["network", "rank", "pictures"]].reset_index(drop=True)


def _points(rows: pd.DataFrame) -> pd.DataFrame:
    """The points of the curves with `network`, `fill`, `strategy` and `fraction` as columns."""
    return _with_variant_columns(rows[rows["metric"] == "SROCC"]).astype({"fraction": float})


def _with_variant_columns(rows: pd.DataFrame) -> pd.DataFrame:
    names = ["network", "fill", "strategy", "fraction"]
    parts = pd.DataFrame([text.rsplit("/", 3) for text in rows["variant"]], rows.index, names)
    return pd.concat([rows, parts], axis=1)


def claim_parts(rows: pd.DataFrame) -> Parts:
    """C2. SROCC of LeRF minus MoRF for saliency and GradCAM, averaged over fractions and the paper's fills and at the worst
    of them, for the Baseline or else the first network; and the averages of the controls."""
    gaps = gap_per_fraction(rows)
    paper_fills = gaps["fill"].isin(PAPER_FILLS)
    grouped = (gaps[paper_fills] if paper_fills.any() else gaps).groupby(["network", "map", "seed"], sort=False)["gap"]
    average, worst = grouped.mean(), grouped.min()
    known = average.index.droplevel("seed")
    subject = "baseline" if "baseline" in known.get_level_values("network") else known[0][0]
    maps = {name: key for name, key in (("saliency", "saliency"), ("GradCAM", "gradcam")) if (subject, key) in known}
    parts = {f"LeRF − MoRF, {name}": average.loc[subject, key] for name, key in maps.items()}
    parts |= {f"LeRF − MoRF at the worst fraction, {name}": worst.loc[subject, key] for name, key in maps.items()}
    controls = {
        "control, HalfImage": (subject, "half_image"),
        "control, saliency per cell": (subject, "saliency_grid"),
        "control, random map": (subject, "random"),
        "control, centre map": (subject, "center"),
        "control, uniform observers, saliency": ("uniform_observers", "saliency"),
        "control, uniform observers, GradCAM": ("uniform_observers", "gradcam"),
        "control, unpretrained net, GradCAM": ("unpretrained", "gradcam"),
    }
    return parts | {label: average.loc[key] for label, key in controls.items() if key in known}
