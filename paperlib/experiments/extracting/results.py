"""Table I out of the rows of its units, and what else they tell: ingredients, rows side by side, the claim."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from paperlib import paper
from paperlib.experiments.artefacts import STANDINS, Column, TableData
from paperlib.experiments.claims import LACKS, ClaimParts, Control, Part, by_set
from paperlib.experiments.extracting.compute import CENTER_PRIOR, LOWER_IS_BETTER
from paperlib.experiments.sets.plan import WORLDS
from paperlib.experiments.statistics import by_seed, less, summarise

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SUPERVISED = ("saliency_net", "transalnet", "msinet", "transalnet_res", "fastgaze")
"""Networks trained on gaze, the one that a claim compares with first."""

ORDER = (
    "center_prior", "baseline", "saliency_net", "noise_map", "shuffled_map", "center_only", "edge_energy",
    "pretrained_activation", "pretrained_norm", "random_head", "frozen_backbone", "unpretrained", "baseline_centered",
    "uniform_observers",
)  # fmt: skip
"""Of the rows that the paper's table has not; others follow."""

PUBLISHED_ON = "salicon"
BESIDE_PUBLISHED = (PUBLISHED_ON, "world")
"""Sets beside whose numbers the paper's on SALICON stand; a table without them has no rows that only the paper has."""

INGREDIENTS = ("center_prior", "random_head", "pretrained_activation", "uniform_observers", "baseline")
"""Methods of which each has learnt one thing more than those before it, or something else; a network of `SUPERVISED`
follows."""

ALPHA = 0.05
"""A difference from the centre prior survives when its corrected p lies below."""


@dataclass(frozen=True)
class _Measure:
    """A column of the table: `variant` and `metric` of the rows, and what it is called."""

    key: str
    variant: str
    metric: str
    direction: int
    heading: str


MEASURES = (
    _Measure("NSS", "fitted", "NSS", +1, "NSS ↑"),
    _Measure("SIM", "fitted", "SIM", +1, "SIM ↑"),
    _Measure("CC", "fitted", "CC", +1, "CC ↑"),
    _Measure("KLD", "fitted", "KLD", -1, "KLD ↓"),
    _Measure("NSS_fix", "fitted", "NSS_fix", +1, "NSS at fixations ↑"),
    _Measure("CC_on_test", "fitted_on_test", "CC", +1, "CC, fitted on evaluation ↑"),
    _Measure("KLD_on_test", "fitted_on_test", "KLD", -1, "KLD, fitted on evaluation ↓"),
    _Measure("CC_raw", "raw", "CC", +1, "CC, raw map ↑"),
    _Measure("KLD_raw", "raw", "KLD", -1, "KLD, raw map ↓"),
)


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table I from the rows of `units`, with the paper's numbers beside ours."""
    datasets = profile.photographs.datasets
    columns = tuple(
        Column(dataset, measure.key, measure.direction, measure.heading) for dataset in datasets for measure in MEASURES
    )
    found = summarise(rows, ["dataset", "method", "variant", "metric"]).set_index(["dataset", "method", "variant", "metric"])
    spans = rows[rows["seed"] < 0].set_index(["dataset", "method", "variant", "metric"])
    cells = [
        _cell(section, method, dataset, measure, found, spans)
        for section, methods in _sections(rows, with_paper=_beside_paper(profile)).items()
        for method in methods
        for dataset in datasets
        for measure in MEASURES
    ]
    notes = (*NOTES, ALIKE_NOTE) if any(cell["alike"] for cell in cells) else NOTES
    return TableData(
        "table1", "Table I: saliency maps against gaze", _caption(rows, profile), columns, pd.DataFrame(cells), notes
    )


def _cell(
    section: str, method: str, dataset: str, measure: _Measure, found: pd.DataFrame, spans: pd.DataFrame
) -> dict[str, Any]:
    """One cell: mean and spread over repeats, interval and corrected p over images, whether that p leaves it alike to
    the centre prior, the paper's number."""

    def pooled(kind: str, column: str) -> float:
        key = (dataset, method, f"{kind}/{measure.variant}", measure.metric)
        return float(spans.loc[key, column]) if key in spans.index else math.nan

    key = (dataset, method, measure.variant, measure.metric)
    value, sd, n = found.loc[key] if key in found.index else (math.nan, math.nan, 0)
    published = paper.published(1, method, PUBLISHED_ON, measure.key) if dataset in BESIDE_PUBLISHED else None
    p_holm = pooled("p_holm", "value")
    return {
        "section": section,
        "method": method,
        "dataset": dataset,
        "metric": measure.key,
        "value": value,
        "sd": sd,
        "low": pooled("interval", "low"),
        "high": pooled("interval", "high"),
        "n": int(n),
        "p_holm": p_holm,
        "alike": p_holm >= ALPHA,
        "published": math.nan if published is None else published,
        "ranked": section != "Control",
    }


def _sections(rows: pd.DataFrame, with_paper: bool = False) -> dict[str, list[str]]:
    """Methods by section: the paper's sections, with all of its rows, computed or not, if asked; then what else there is."""
    sections: dict[str, list[str]] = {}
    computed = [method for method in dict.fromkeys(rows["method"]) if method != "gaze"]
    for line in paper.TABLE1:
        if with_paper or line.method in computed:
            sections.setdefault(line.section, []).append(line.method)
    for method in (*ORDER, *computed):
        if method in computed and method not in sum(sections.values(), []):
            section = "SOTA SP" if method in SUPERVISED else paper.section(1, method)
            sections.setdefault(section, []).append(method)
    return dict(sorted(sections.items(), key=lambda item: item[0] == "Control"))


def _beside_paper(profile: "Profile") -> bool:
    return bool(set(profile.photographs.datasets) & set(BESIDE_PUBLISHED))


def _caption(rows: pd.DataFrame, profile: "Profile") -> str:
    how = (
        "after map transforms fitted on other images unless the heading says otherwise; in brackets 95 % bootstrap "
        "intervals over images"
    )
    if profile.evidence == "simulation":
        world = profile.world
        return (
            f"Ours: micro-world, a simulation ({world.n_test} images of {world.height}x{world.width}, "
            f"{len(profile.seeds)} repeats, mean ± sd over repeats, {profile.observers} observers), {how}. Paper: SALICON "
            "validation. The two are different worlds: compare the order of the rows, not the values."
        )
    counts = rows[(rows["method"] == "gaze") & (rows["metric"] == "pictures")].set_index("dataset")["value"]
    data = ", ".join(f"{paper.DATASETS.get(name, name)}: {count:.0f} images" for name, count in counts.items())
    paper_side = " Paper: SALICON validation, fitted on the evaluation images." if _beside_paper(profile) else ""
    return f"{STANDINS[profile.evidence]}Ours: {data}, {how}.{paper_side}"


NOTES = (
    "NSS as in the paper's table: mean z-score over pixels with positive density. NSS at fixations is the field's.",
    "Controls take no part in the ranking.",
)
ALIKE_NOTE = f"† not different from the centre prior (paired test over images, Holm, p ≥ {ALPHA})."


def ingredients(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """What each thing that a map's network has learnt adds: CC of `INGREDIENTS` after map transforms, with Table I's
    intervals.

    Args:
        rows: of `units`.
        profile: of the rows.

    Returns:
        A row per data set and method that the rows hold: `dataset`, `evidence` (as that of `profile`), `method` (the first
        of `SUPERVISED` that there is is called `"supervised"`), `value` (mean over pictures), `low` and `high` (95 %
        bootstrap interval over pictures) and `n` (pictures).
    """
    spans = rows[(rows["variant"] == "interval/fitted") & (rows["metric"] == "CC")]
    supervised = next((method for method in SUPERVISED if method in set(spans["method"])), SUPERVISED[0])
    order = {method: place for place, method in enumerate((*INGREDIENTS, supervised))}
    known = spans[spans["method"].isin(order)].groupby("dataset", sort=False)
    found = pd.concat(part.sort_values("method", key=lambda methods: methods.map(order)) for _, part in known)
    found = found.assign(evidence=profile.evidence, method=found["method"].replace(supervised, "supervised"))
    return found[["dataset", "evidence", "method", "value", "low", "high", "n"]].reset_index(drop=True)


def side_by_side(
    rows: pd.DataFrame, methods: Sequence[str], metrics: Sequence[str], variants: Sequence[str]
) -> pd.DataFrame:
    """Means over repeats: a row per method, a column per metric and variant.

    Methods, metrics and variants that the rows lack are left out; with more than one data set each has rows of its own.
    """
    chosen = rows[rows["method"].isin(methods) & rows["metric"].isin(metrics) & rows["variant"].isin(variants)]
    datasets = list(dict.fromkeys(rows["dataset"]))
    index = ["dataset", "method"] if len(datasets) > 1 else "method"
    columns = ["metric", "variant"] if len(metrics) > 1 else "variant"
    wide = chosen.pivot_table(index=index, columns=columns, values="value")
    order = {name: place for names in (datasets, methods, metrics, variants) for place, name in enumerate(names)}

    def place(key: str | tuple[str, ...]) -> list[int]:
        return [order[name] for name in ([key] if isinstance(key, str) else key)]

    return wide.loc[sorted(wide.index, key=place), sorted(wide.columns, key=place)]


STEPS = {"plain": "one pass, channel sum", "raw": "smoothed, first component", "fitted": "map transform"}
"""What is done to a map, one step after the other: variants of the rows of `units`, as a reader knows them."""


def step_by_step(rows: pd.DataFrame, methods: Sequence[str], metric: str = "CC") -> pd.DataFrame:
    """One metric of the first set's maps after each step: a row for each of `methods`, a column (set, step) for each of
    `STEPS` that there is, NaN where nothing was measured; sets, steps and methods have the names that people read."""
    dataset = rows["dataset"].iloc[0]
    wide = side_by_side(rows[rows["dataset"] == dataset], methods, [metric], list(STEPS)).reindex(methods)
    columns = pd.MultiIndex.from_product([[paper.DATASETS.get(dataset, dataset)], [STEPS[name] for name in wide.columns]])
    return wide.set_axis(columns, axis=1).set_axis(pd.Index([paper.look(method).label for method in methods]))


_CONTROLS = (
    "pretrained_activation", "pretrained_norm", "random_head", "frozen_backbone", "uniform_observers", "shuffled_map",
    "center_only", "noise_map", "edge_energy",
)  # fmt: skip
"""Of claim C1."""


def claim_parts(rows: pd.DataFrame, profile: "Profile") -> ClaimParts:
    """C1 on the profile's first set: the Baseline's maps beat the centre prior in CC and KLD, and those of a supervised
    network beat the Baseline's. A control's maps are held against the centre prior alike. Beside them the Baseline's
    one-pass maps without map transforms; elsewhere, its maps on further sets."""
    home, *others = profile.photographs.datasets
    computed = set(rows.loc[rows["dataset"] == home, "method"])
    supervised = next((method for method in SUPERVISED if method in computed), SUPERVISED[0])
    beside = [_advantage(rows, home, "baseline", CENTER_PRIOR, "CC", "plain", "raw maps, ")]
    elsewhere = {one: tuple(part for part in _all_claimed(rows, one, supervised) if part.n) for one in others}
    return ClaimParts(
        _all_claimed(rows, home, supervised),
        tuple(
            Control(paper.look(method).label, LACKS[method], _above_prior(rows, home, method))
            for method in _CONTROLS
            if method in computed
        ),
        tuple(part for part in beside if part.n),
        paper.DATASETS.get(home, home),
        by_set(elsewhere),
    )


def _all_claimed(rows: pd.DataFrame, dataset: str, supervised: str) -> tuple[Part, ...]:
    metrics = ("CC", "KLD")
    above = (_advantage(rows, dataset, supervised, "baseline", metric) for metric in metrics)
    return (*_above_prior(rows, dataset, "baseline"), *above)


def _above_prior(rows: pd.DataFrame, dataset: str, method: str) -> tuple[Part, ...]:
    return tuple(_advantage(rows, dataset, method, CENTER_PRIOR, metric) for metric in ("CC", "KLD"))


def _advantage(
    rows: pd.DataFrame, dataset: str, method: str, rival: str, metric: str, variant: str = "fitted", before: str = ""
) -> Part:
    """By how much a method's maps are better than a rival's, positive where they are. Without repeats its interval is that
    of the paired differences from the centre prior, else the one that both intervals allow."""
    ours = _measured(rows, dataset, method, metric, variant)
    theirs = _measured(rows, dataset, rival, metric, "raw" if variant == "plain" else variant)
    if dataset not in WORLDS:  # all repeats share the pictures, so that what is not trained has one value for all of them
        ours, theirs = _for_all(ours, theirs.index), _for_all(theirs, ours.index)
    falls = metric in LOWER_IS_BETTER
    names = [paper.look(one).label for one in ((rival, method) if falls else (method, rival))]
    found = less(theirs, ours) if falls else less(ours, theirs)
    paired = by_seed(rows, method, metric, f"difference/{variant}", dataset)
    if len(found) == 1 and len(paired) and rival == CENTER_PRIOR:
        found = paired
    return Part.of(f"{before}{metric}: {' − '.join(names)}", found)


def _measured(rows: pd.DataFrame, dataset: str, method: str, metric: str, variant: str) -> pd.DataFrame:
    """By repeat; a single repeat with its interval over pictures."""
    found = by_seed(rows, method, metric, variant, dataset)
    spans = by_seed(rows, method, metric, f"interval/{variant}", dataset)
    return spans.set_axis(found.index) if len(found) == len(spans) == 1 else found


def _for_all(found: pd.DataFrame, repeats: pd.Index) -> pd.DataFrame:
    return found.loc[found.index.repeat(len(repeats))].set_axis(repeats) if len(found) == 1 < len(repeats) else found
