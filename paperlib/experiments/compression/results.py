"""Table III out of the rows of its units: agreement, ranks, tests, what weights are worth, and the claim."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paperlib import paper
from paperlib.experiments.artefacts import STANDINS, Column, TableData
from paperlib.experiments.claims import ATTENTION, PICTURE, ClaimParts, Control, Part
from paperlib.experiments.compression.compute import BITRATE, METRICS, PRESETS
from paperlib.experiments.compression.plan import BASELINES, CODED_HERE, SACID, WEIGHTED, all_lines, weighted_key
from paperlib.experiments.compression.scoring import CENTER, FAILURE, OWN, SHUFFLED, UNIFORM
from paperlib.metrics.agreement import rank_intervals, summarise
from paperlib.metrics.resampling import compare_with

if TYPE_CHECKING:
    from paperlib.profiles import Profile

REFERENCES = {"SROCC": BITRATE, "PLCC": BITRATE, "FracCP": PRESETS}
"""Metric -> the row that knows no picture and that a method has to beat."""

STRANGERS = {CODED_HERE: BASELINES}
"""Networks that never saw anything like the pictures of a set: they take no part in its ranks and tests."""

BESIDE_PUBLISHED = (SACID, CODED_HERE)
"""Sets beside whose numbers the paper's on SACID stand."""

ALPHA = 0.05

_FIRST = "pictures"
_ADDED = "Added"
_FEW = 2


def at_home(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of agreement with people, or with the first kind of simulated observers."""
    agreement = rows[rows["metric"].isin(METRICS)]
    return agreement[agreement["dataset"] == agreement["dataset"].iloc[0]] if len(agreement) else agreement


def per_photograph(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric by method (index) and photograph (columns), means over repeats; NaN where a method has no value."""
    agreement = at_home(rows)
    chosen = agreement[agreement["metric"] == metric]
    found = chosen.pivot_table(index="method", columns="variant", values="value", aggfunc="mean", sort=False)
    return found.reindex(columns=sorted(found.columns))


def comparable(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """As `per_photograph`, without networks that are strangers to the pictures."""
    found, agreement = per_photograph(rows, metric), at_home(rows)
    strangers = STRANGERS.get(agreement["dataset"].iloc[0], ()) if len(agreement) else ()
    return found.drop(index=[method for method in strangers if method in found.index])


def controls_of(judge: str, methods: Iterable[str]) -> list[str]:
    """Those of `methods` that are an EW metric with other weights than the paper's."""
    return [method for method in methods if method.startswith((f"{judge}_", f"{paper.look(judge).label}, "))]


def subjects(methods: Iterable[str]) -> list[str]:
    """Those of `methods` that are no control."""
    known = list(methods)
    controls = {BITRATE, PRESETS}.union(*(controls_of(judge, known) for judge in WEIGHTED))
    return [method for method in known if method not in controls]


def comparisons(rows: pd.DataFrame, metric: str, reference: str = "") -> pd.DataFrame:
    """Every method against one, paired by photograph, with Holm's correction over all of them.

    Args:
        rows: of the units of Table III.
        metric: `"SROCC"`, `"PLCC"` or `"FracCP"`.
        reference: a method; `"best"` for the one with the largest mean among those that are no control; empty for
            `REFERENCES[metric]`, which sees no picture.

    Returns:
        Columns `method`, `reference`, and `images`, `difference` (the method's mean minus the reference's), `low`,
        `high` (95 %, uncorrected), `p`, `p_holm`, `survives` of `paperlib.metrics.resampling.compare_with`.
    """
    values = comparable(rows, metric)
    known = subjects(values.index)
    if reference == "best" and known:
        reference = str(values.loc[known].mean(axis=1).idxmax())
    reference = reference or REFERENCES[metric]
    others = [method for method in values.index if method != reference] if reference in values.index else []
    return _compared(values, [(method, reference) for method in others])


def weightings(rows: pd.DataFrame, metric: str = "FracCP") -> pd.DataFrame:
    """What the weights of EW-PSNR and EW-SSIM are worth: each against its plain metric and against its own controls.

    Returns:
        As `comparisons`, one row per pair; Holm's correction over all of them. Empty where no EW metric was computed.
    """
    values = comparable(rows, metric)
    rivals = {judge: [judge.removeprefix("ew_"), *controls_of(judge, values.index)] for judge in WEIGHTED}
    pairs = [(judge, other) for judge in WEIGHTED for other in rivals[judge] if {judge, other} <= set(values.index)]
    return _compared(values, pairs)


def _compared(values: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Tests of pairs (method, reference), all of one family."""
    columns = ["images", "difference", "low", "high", "p", "p_holm", "survives"]
    differences = {f"{one} {other}": values.loc[one].to_numpy() - values.loc[other].to_numpy() for one, other in pairs}
    tests = compare_with(np.zeros(values.shape[1]), differences) if pairs else []
    named = [{"method": one, "reference": other, **test} for (one, other), test in zip(pairs, tests, strict=True)]
    return pd.DataFrame(named, columns=["method", "reference", *columns])


def ranks(rows: pd.DataFrame, metric: str = "FracCP") -> pd.DataFrame:
    """How sure the order of the methods is; controls take no part.

    Returns:
        Columns `method`, `rank`, `low`, `high` (95 %), `first` (share of resamples in which none is better) and
        `images`, those that all methods have a value for. Empty where these are fewer than two.
    """
    values = comparable(rows, metric)
    values = values.loc[subjects(values.index)]
    if len(values) == 0 or values.notna().all().sum() < _FEW:
        return pd.DataFrame(columns=["method", "rank", "low", "high", "first", "images"])
    found = rank_intervals(values.to_numpy())
    table = pd.DataFrame(
        {
            "method": values.index,
            "rank": found.rank,
            "low": found.low,
            "high": found.high,
            "first": found.first,
            "images": found.images,
        }
    )
    return table.sort_values("rank", kind="stable", ignore_index=True)


_WEIGHTS = {
    CENTER: ("centre-prior weights", PICTURE),
    SHUFFLED: ("another photograph's weights", "the right picture"),
    UNIFORM: ("even weights", "a map"),
}
"""Controls of claim C4: weights of the EW metrics, and what they go without."""


def claim_parts(rows: pd.DataFrame, profile: "Profile") -> ClaimParts:
    """C4: gains in FracCP of the eye-tracking weighted metrics over the plain ones. Controls are weights that know less, an
    order of the presets that sees no picture, and observers who look everywhere alike. Over repeats of the votes where there
    are several, else over photographs."""
    chosen = rows[rows["metric"] == "FracCP"]
    home, *others = list(dict.fromkeys(chosen["dataset"])) or [""]

    def gains(better: Mapping[str, str], dataset: str = home) -> tuple[Part, ...]:
        """Of a method per EW metric over its plain metric."""
        own = chosen[chosen["dataset"] == dataset]
        pairs = [(better[judge], judge.removeprefix("ew_")) for judge in WEIGHTED]
        return tuple(_gain(own, one, plain) for one, plain in pairs)

    own = {judge: judge for judge in WEIGHTED}
    controls = [
        Control(*_WEIGHTS[kind], gains({judge: weighted_key(judge, kind) for judge in WEIGHTED}))
        for kind in profile.compression.weightings
        if kind in _WEIGHTS
    ]
    controls.append(Control(paper.look(PRESETS).label, PICTURE, gains(dict.fromkeys(WEIGHTED, PRESETS))))
    controls += [Control(f"{one.removeprefix(f'{home}_')} observers", ATTENTION, gains(own, one)) for one in others]
    return ClaimParts(gains(own), tuple(one for one in controls if any(part.n for part in one.parts)))


def _gain(rows: pd.DataFrame, method: str, plain: str) -> Part:
    """The difference on the photographs that both have."""
    values = rows[rows["method"].isin([method, plain])].pivot_table(
        index=["seed", "variant"], columns="method", values="value", aggfunc="mean"
    )
    columns = values.reindex(columns=[method, plain])
    differences = (columns[method] - columns[plain]).dropna()
    repeated = differences.index.get_level_values("seed").nunique() > 1
    found = differences.groupby(level="seed" if repeated else "variant").mean()
    label = f"FracCP: {paper.look(method).label} − {paper.look(plain).label}"
    return Part.of(label, found.to_frame("value"), over="repeats" if repeated else "pictures")


# -------------------------------------------------------------------------------------------------------------- table


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table III from the rows of its units, with the paper's numbers beside ours and the controls below; of further
    observers FracCP alone."""
    home, *others = list(dict.fromkeys(rows.loc[rows["metric"].isin(METRICS), "dataset"])) or [
        profile.compression.compression_set
    ]
    columns = [Column(home, metric, +1, f"{metric} ↑") for metric in METRICS]
    found = {(home, metric): _numbers(rows, metric) for metric in METRICS}
    for other in others:
        kind = other.removeprefix(f"{home}_")
        columns.append(Column(other, "FracCP", +1, f"FracCP, {kind} observers ↑"))
        found[other, "FracCP"] = _numbers(rows[rows["dataset"] == other], "FracCP")
    cells = []
    for section, method in lines_of_the_table(profile):
        for column in columns:
            key = (column.dataset, column.metric)
            beside = column.dataset in BESIDE_PUBLISHED
            published = paper.published(3, method, SACID, column.metric) if beside else None
            cells.append(
                {
                    "section": section,
                    "method": method,
                    "dataset": column.dataset,
                    "metric": column.metric,
                    **found[key].get(method, _BLANK),
                    "published": math.nan if published is None else published,
                    "ranked": section != "Control",
                }
            )
    title = "Table III: agreement on non-uniformly coded images"
    is_simulation = profile.compression.compression_set == CODED_HERE
    caption = _simulation_caption(profile) if is_simulation else _caption(rows, profile)
    notes = SIMULATION_NOTES if is_simulation else NOTES
    return TableData("table3", title, caption, tuple(columns), pd.DataFrame(cells), (*notes, *_notes(rows)))


def _numbers(rows: pd.DataFrame, metric: str) -> dict[str, dict[str, Any]]:
    """Method -> the numbers of its cell: over photographs, over repeats, and of the test against `REFERENCES`."""
    values = per_photograph(rows, metric)
    p_holm = comparisons(rows, metric).set_index("method")["p_holm"]
    agreement = at_home(rows)
    chosen = agreement[agreement["metric"] == metric]
    spread = chosen.groupby(["method", "seed"])["value"].mean().groupby("method").std()
    return {
        one["name"]: {name: one[name] for name in ("value", "low", "high", "n")}
        | {
            "sd": spread[one["name"]],
            "p_holm": p_holm.get(one["name"], math.nan),
            "alike": bool(p_holm.get(one["name"], 0.0) > ALPHA),
        }
        for one in (summarise(list(values.index), values.to_numpy()) if len(values) else [])
    }


_BLANK = dict.fromkeys(("value", "low", "high", "sd", "p_holm"), math.nan) | {"n": 0, "alike": False}


def lines_of_the_table(profile: "Profile") -> list[tuple[str, str]]:
    """(section, method): the paper's rows in its order, on own data those that are scored; further methods; controls."""
    scored = all_lines(profile)
    methods = {line.method for line in scored}
    everything = profile.compression.compression_set in BESIDE_PUBLISHED
    published = [(row.section, row.method) for row in paper.TABLE3 if everything or row.method in methods]
    known = {method for _, method in published}
    added = [(_ADDED, line.method) for line in scored if line.weights == OWN and line.method not in known]
    weighted = [line.method for line in scored if line.weights != OWN]
    return [*published, *added, *(("Control", method) for method in (BITRATE, PRESETS, *weighted))]


def _notes(rows: pd.DataFrame) -> list[str]:
    """Methods with fewer photographs than others, and methods that are not available."""
    n = per_photograph(rows, "SROCC").notna().sum(axis=1)
    fewer, notes = n[n < n.max()], []
    if len(fewer):
        counts = " or ".join(map(str, sorted(set(fewer))))
        labels = ", ".join(paper.look(method).label for method in fewer.index)
        notes.append(
            f"These rows speak of {counts} of the {n.max()} photographs, those with a reference: {labels}. Compare "
            "them with other rows by tests and ranks, which are taken on common photographs."
        )
    failed = rows[rows["metric"] == FAILURE].groupby("variant", sort=False)["method"].unique()
    told = {reason: "; ".join(paper.look(method).label for method in methods) for reason, methods in failed.items()}
    return notes + [f"{methods}: not available: {reason}" for reason, methods in told.items()]


def _simulation_caption(profile: "Profile") -> str:
    settings = profile.compression
    rates = ", ".join(f"{bpp:g}" for bpp in settings.bpps)
    return (
        f"Ours: {settings.n_photographs} photographs, {len(settings.presets)} presets, {rates} bpp, scores from votes "
        f"of simulated assessors ({profile.observers} observers), {len(profile.seeds)} repeats of the votes and "
        "networks, mean ± sd over repeats, in brackets 95 % bootstrap interval over photographs of "
        "their means over repeats. Paper: SACID, 60 photographs, .08, .12 and .16 bpp, people. "
        "The two are different studies: compare the order of the rows, not the values."
    )


def _caption(rows: pd.DataFrame, profile: "Profile") -> str:
    counts = rows[rows["method"] == _FIRST].set_index("metric")["value"]
    trained = rows[rows["method"].isin(BASELINES)]["seed"].nunique()
    baselines = f" Baselines: means over the trainings ({trained}), ± sd over these." if trained else ""
    if not counts["pictures"]:
        return (
            f"Ours: {paper.DATASETS[SACID]}, the scores of {counts['sequences']:.0f} photographs without their pictures: "
            "only the rows that see no picture are measured, by bit-rate alone and by a fixed order of the presets; in "
            "brackets 95 % bootstrap intervals over photographs."
        )
    return (
        f"{STANDINS[profile.evidence]}Ours: {paper.DATASETS[profile.compression.compression_set]}, "
        f"{counts['sequences']:.0f} photographs, "
        f"{counts['pictures']:.0f} "
        f"coded pictures, {counts['references']:.0f} references, size mode {profile.compression.size_mode}; means over "
        f"photographs, in brackets 95 % bootstrap intervals over them.{baselines}"
    )


NOTES = (
    (
        "SROCC and PLCC over all versions of a photograph, absolute value, mean over photographs, no logistic mapping. "
        "FracCP over the pairs of presets at one photograph and bit-rate; chance is .5, and bit-rate alone cannot order "
        "such a pair."
    ),
    (
        f"† Not told apart from bit-rate alone (SROCC, PLCC) or from a fixed order of the presets (FracCP): p > {ALPHA} in "
        "a test paired by photograph (the larger p of Student's t and of the studentized bootstrap), with Holm's correction "
        "over the rows. Rows without it lie above or below."
    ),
    (
        "The fixed order of the presets is learned on the other photographs. EW metrics weigh with the map that steered "
        "the encoder; their controls weigh with a fixed Gaussian about the middle, with another photograph's map, evenly "
        "(which is the plain metric), and, where one is named, with another model's map of the reference. Controls take no "
        "part in the ranking."
    ),
)
SIMULATION_NOTES = (
    "Bit-rates are higher than the paper's because these photographs are a tenth of the size: with the coarsest "
    "quantiser the strongest preset still takes up to .18 bpp, so the paper's are out of reach. Their ratios are kept.",
    "SROCC and PLCC over the 12 versions of a photograph, absolute value, mean over photographs. FracCP over the pairs "
    "of presets at one photograph and bit-rate; chance is .5. Bit-rate alone cannot order such a pair: no FracCP.",
    "EW metrics weigh with the map that steered the encoder, as in the paper; the control rows weigh with a centre "
    "prior, with another photograph's map, and with the true gaze: the density that the assessors' fixations come from.",
    "Controls take no part in the ranking.",
    NOTES[1],
)
