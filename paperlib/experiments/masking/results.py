"""Figure 2 out of the rows of its units, what its curves say in numbers, and the claim."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paperlib.experiments.artefacts import Figure2Data
from paperlib.experiments.claims import LACKS, PICTURE, ClaimParts, Control, Part
from paperlib.experiments.masking.compute import UNMASKED
from paperlib.experiments.statistics import MEASURED, less
from paperlib.maps.fills import PAPER_FILLS
from paperlib.paper import look
from paperlib.vocabulary import STRATEGIES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

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


def areas_by_opinion(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """The area between LeRF and MoRF, by whose opinions the network learnt: in a simulation the first network and its
    controls, elsewhere the network of claim C2 alone.

    Columns: `opinions`, `"people"`, `"stand-ins"`, the name of the observers (`"saliency"`, `"uniform"`), or that of the
    control; `dataset`, `network`, `fill`, `map`; `value`, `low`, `high`, `n`, `over` as those of
    `paperlib.experiments.claims.Part`.
    """
    found = _with_variant_columns(rows[rows["metric"] == "area"]).rename(columns={"method": "map"})
    keys = ["dataset", "network", "fill", "map"]
    parts = {key: Part.of("", measured) for key, measured in found.groupby(keys, sort=False)}
    values = [(*key, one.value, one.low, one.high, one.n, one.over) for key, one in parts.items()]
    areas = pd.DataFrame(values, columns=[*keys, "value", "low", "high", "n", "over"])
    names = {
        _subject(areas["network"]): {"simulation": profile.observers, "data": "people"}.get(profile.evidence, "stand-ins")
    }
    if profile.evidence == "simulation":
        names |= {"uniform_observers": "uniform", "unpretrained": "unpretrained"}
    areas.insert(0, "opinions", areas["network"].map(names))
    return areas.dropna(subset="opinions").reset_index(drop=True)


def one_curve(rows: pd.DataFrame, map_name: str, fill: str, strategy: str) -> pd.Series:
    """A curve of Figure 2 as it was computed: fraction -> SROCC of the first network in the first repeat."""
    tidy = _points(rows[rows["method"] != UNMASKED.map])
    known = {"method": map_name, "fill": fill, "strategy": strategy}
    known |= {"network": tidy["network"].iloc[0], "seed": tidy["seed"].min()}
    chosen = tidy[(tidy[list(known)] == pd.Series(known)).all(axis=1)]
    return chosen.set_index("fraction")["value"].sort_index()


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


_CLAIMED = ("saliency", "gradcam")
"""The maps of claim C2."""
_MAP_CONTROLS = {"half_image": "gaze", "center": PICTURE, "random": PICTURE}
"""Other maps of the same network, and what they go without."""
_NAMES = {"gradcam": "GradCAM", "half_image": "HalfImage", "center": "centre map", "random": "random map"}


def claim_parts(rows: pd.DataFrame, profile: "Profile") -> ClaimParts:
    """C2 on the profile's first set with the paper's fills: LeRF above MoRF by saliency and by GradCAM for the Baseline, or
    else the first network, in the area between the curves and at the worst fraction. Controls are other maps of that
    network, and the control networks. Beside them saliency by cells, as coarse as HalfImage."""
    chosen = rows[rows["dataset"] == profile.masking.opinions[0]]
    areas = _with_variant_columns(chosen[chosen["metric"] == "area"])
    worst = _worst_points(chosen)
    known = list(dict.fromkeys(zip(areas["network"], areas["method"], strict=True)))
    networks = list(dict.fromkeys(network for network, _ in known))
    subject = _subject(networks)

    def parts(network: str, *maps: str) -> tuple[Part, ...]:
        return tuple(
            Part.of(f"LeRF − MoRF, {what}, {_NAMES.get(name, name)}", _over_fills(found, network, name, how))
            for what, found, how in (("area", areas, "mean"), ("worst fraction", worst, "min"))
            for name in maps
            if (network, name) in known
        )

    controls = [
        Control(_NAMES[name], lacks, parts(subject, name))
        for name, lacks in _MAP_CONTROLS.items()
        if (subject, name) in known
    ]
    controls += [
        Control(look(network).label, LACKS.get(network, "what is ours"), parts(network, *_CLAIMED))
        for network in networks
        if network != subject and look(network).group == "Control"
    ]
    return ClaimParts(parts(subject, *_CLAIMED), tuple(controls), parts(subject, "saliency_grid"))


def _subject(networks: Iterable[str]) -> str:
    """The network that C2 is about: the Baseline, or else the first one."""
    known = list(networks)
    return "baseline" if "baseline" in known else next(iter(known), "")


def _worst_points(rows: pd.DataFrame) -> pd.DataFrame:
    """LeRF minus MoRF at the fraction where it is smallest, by `network`, `method`, `fill` and `seed`."""
    keys = ["network", "method", "fill", "seed"]
    points = _points(rows[rows["method"] != UNMASKED.map]).set_index([*keys, "fraction"])
    curves = {name: points.loc[points["strategy"] == name, MEASURED] for name in STRATEGIES}
    return less(curves["LeRF"], curves["MoRF"]).groupby(keys, sort=False).min().reset_index()


def _over_fills(found: pd.DataFrame, network: str, method: str, how: str) -> pd.DataFrame:
    """`MEASURED` by repeat over the paper's fills, or over all where there is none of them; `how` is `"mean"` or `"min"`."""
    chosen = found[(found["network"] == network) & (found["method"] == method)]
    paper_fills = chosen["fill"].isin(PAPER_FILLS)
    return (chosen[paper_fills] if paper_fills.any() else chosen).groupby("seed")[MEASURED].agg(how)
