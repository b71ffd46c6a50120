"""Table II out of the rows of its units, whether quality drops, and the claim.

"Without quality drops" (section III-C) is tested: a difference that is not found is not yet equality.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from paperlib import paper
from paperlib.experiments.artefacts import STANDINS, Column, TableData
from paperlib.experiments.claims import LACKS, ClaimParts, Control, Part, by_set
from paperlib.experiments.dual_task.plan import SUPERVISED, is_shown
from paperlib.experiments.sets.plan import WORLDS
from paperlib.experiments.statistics import by_seed, interval, less, summarise
from paperlib.experiments.training.plan import METHODS, Network, networks
from paperlib.metrics.equivalence import MARGIN, tost

if TYPE_CHECKING:
    from paperlib.profiles import Profile

COUNTERPARTS = {
    ("world", "quality"): "koniq10k",
    ("world_shifted", "quality"): "clive",
    ("world", "gaze"): "salicon",
    ("world_shifted", "gaze"): "cat2000",
}
"""Which of the paper's data sets each micro-world stands for."""

QUALITY = (("SROCC", +1), ("PLCC", +1))
GAZE = (("NSS", +1), ("SIM", +1), ("CC", +1), ("KLD", -1))
SROCC_MARGIN, CC_GAIN = 0.02, 0.1
"""Of claim C3, whose words give no numbers."""
VARIANTS = ("quality", "fitted")
"""Of the rows that the table shows: scores against MOS, and maps after transforms fitted on other images."""


# --------------------------------------------------------------------------------------------------------------- table


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table II from the rows of its units, with the paper's numbers beside ours, and the verdicts on SROCC as notes; its
    columns are scores on every quality set, then maps on every set with gaze."""
    settings = profile.dual_task
    is_simulation = {settings.training_set, *settings.quality_sets, *settings.gaze_sets} <= set(WORLDS)
    lines = _table_rows(profile)
    columns = tuple(
        Column(dataset, metric, direction, f"{metric} {'↑' if direction > 0 else '↓'}")
        for metrics, datasets in ((QUALITY, settings.quality_sets), (GAZE, settings.gaze_sets))
        for dataset in datasets
        for metric, direction in metrics
    )
    resnet = [RESNET_NOTE] if any(method == RESNET for _, method in lines) else []
    notes = (SIMULATION_NOTE,) if is_simulation else NOTES
    return TableData(
        "table2",
        "Table II: two tasks at once",
        _simulation_caption(profile) if is_simulation else _caption(rows, profile),
        columns,
        _cells(rows, lines, columns, with_interval=not is_simulation),
        (*notes, *resnet, *verdicts(rows, references(profile))),
    )


def _cells(
    rows: pd.DataFrame, lines: Iterable[tuple[str, str]], columns: Sequence[Column], with_interval: bool
) -> pd.DataFrame:
    """The cells of `TableData`, means over repeats, of each line (section, method); those of controls have no rank."""
    keys = ["method", "dataset", "metric"]
    wanted = rows[rows["variant"].isin(VARIANTS)]
    found, repeats = summarise(wanted, keys).set_index(keys), wanted.groupby(keys, sort=False)
    out = []
    for section, method in lines:
        for column in columns:
            key = (method, column.dataset, column.metric)
            value, sd, n = found.loc[key] if key in found.index else (math.nan, math.nan, 0)
            low, high = _span(repeats.get_group(key)) if with_interval and n else (math.nan, math.nan)
            told = (value, sd, low, high, int(n), _published(method, column), section != "Control")
            out.append((section, *key, *told))
    return pd.DataFrame(out, columns=["section", *keys, "value", "sd", "low", "high", "n", "published", "ranked"])


def _published(method: str, column: Column) -> float:
    """The paper's number: of its Table II, or of its Table I for a method that stands there alone; else NaN."""
    kind = "quality" if column.metric in dict(QUALITY) else "gaze"
    dataset = COUNTERPARTS.get((column.dataset, kind), column.dataset)
    found = (paper.published(number, method, dataset, column.metric) for number in (2, 1))
    return next((value for value in found if value is not None), math.nan)


def short_table(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """The two numbers that claim C3 is about, SROCC on every set of scores and CC on every set of gaze: a row for each
    method that was measured, by its name, a column for each set; means ± standard deviations over repeats."""
    cells = table(rows, profile).cells
    shown = cells[cells["metric"].isin(("SROCC", "CC")) & cells["value"].notna()]
    called = {one.method: _called(one, profile) for one in networks(profile) if one.section == "Control" and not one.departs}
    words = {
        (called.get(cell.method, paper.look(cell.method).label), f"{cell.metric} ({_named(cell.dataset)})"): _mean(cell)
        for cell in shown.itertuples()
    }
    wide = pd.Series(words).unstack(fill_value="–")
    order = {level: list(dict.fromkeys(key[level] for key in words)) for level in (0, 1)}
    scored_first = sorted(order[1], key=lambda name: name.startswith("CC"))
    return wide.reindex(index=order[0], columns=scored_first)


def _called(control: Network, profile: "Profile") -> str:
    """The name of a network with another target; of its backbone too where it is not the first."""
    name = f"{paper.look(METHODS[control.variant]).label}, {paper.look(control.target).label} as target"
    return name if control.backbone == profile.dual_task.backbones[0] else f"{name}, {control.backbone}"


def _mean(cell: Any) -> str:
    return f"{cell.value:.3f}" + ("" if math.isnan(cell.sd) else f" ± {cell.sd:.3f}")


def _named(dataset: str) -> str:
    return paper.DATASETS.get(dataset, dataset)


def _table_rows(profile: "Profile") -> list[tuple[str, str]]:
    """(section, method) in order: what is trained stands between the centre prior and the saliency networks. A table of one
    backbone without controls has no sections."""
    trained = [network for network in networks(profile) if is_shown(network)]
    rows = [("Dummy", "center_prior"), *((network.section, network.method) for network in trained)]
    published = [method for method in SUPERVISED if method in {row.method for row in paper.TABLE2}]
    computed = [method for method in SUPERVISED if method in profile.photographs.methods]
    rows += [("SOTA SP", method) for method in computed or published]
    if len(profile.dual_task.backbones) == len(profile.dual_task.targets) == 1:
        return [("", method) for _, method in rows]
    return sorted(rows, key=lambda row: row[0] == "Control")


def _span(repeats: pd.DataFrame) -> tuple[float, float]:
    """95 % interval over repeats; of a single one its own over pictures, NaN where it has none."""
    if len(repeats) > 1:
        return interval(list(repeats["value"]))[1:]
    return float(repeats["low"].iloc[0]), float(repeats["high"].iloc[0])


def _simulation_caption(profile: "Profile") -> str:
    world = profile.world
    return (
        f"Ours: micro-world, a simulation; {len(profile.seeds)} repeats, mean ± sd; {profile.observers} observers. "
        f"`world` ({' and '.join(world.families)}) stands for KonIQ-10k and SALICON, `world_shifted` "
        f"({' and '.join(world.shifted_families)}, unknown subjects) for CLIVE and CAT2000, whose numbers are the "
        "paper's. The columns are different worlds: compare the order of the rows, not the values."
    )


def _caption(rows: pd.DataFrame, profile: "Profile") -> str:
    settings = profile.dual_task
    counts = rows[rows["method"] == "pictures"].groupby("dataset", sort=False)["value"]
    data = ", ".join(
        f"{paper.DATASETS.get(name, name)}: {' and '.join(f'{count:.0f}' for count in values)}" for name, values in counts
    )
    return (
        f"{STANDINS[profile.evidence]}Ours: trained on the training and validation parts of "
        f"{paper.DATASETS.get(settings.training_set, settings.training_set)} for {settings.steps} steps, "
        f"{len(profile.seeds)} repeats, mean ± sd; in brackets 95 % intervals over repeats, of a single repeat over "
        "pictures. "
        f"Pictures ({data}). Proxy saliency: {paper.look(settings.targets[0]).label}."
        + (f" The backbone's modules up to {settings.frozen_until} stay as they were." if settings.frozen_until else "")
    )


SIMULATION_NOTE = (
    "Maps after map transforms fitted on other images of the same world. Baseline and Baseline-GradCAM-Loss: the "
    "extraction of section III-A; Baseline-Sal-Loss and the saliency net: their decoder."
)
NOTES = (
    "Maps after map transforms fitted on other images of the same set, the paper's on the evaluation images. Maps of "
    + "Baseline and Baseline-GradCAM-Loss: the extraction of section III-A; of Baseline-Sal-Loss: its decoder.",
    "Controls, networks with another target, take no part in the ranking.",
)
RESNET = "baseline_resnet50"
RESNET_NOTE = "The paper's Table II has one backbone; its numbers of Baseline-ResNet50 on SALICON are those of its Table I."


# ---------------------------------------------------------------------------------------------------- quality drops


_OUTCOME = ("difference", "low", "high", "p", "verdict")


def references(profile: "Profile") -> dict[str, str]:
    """Network -> the Baseline of its backbone, for every other network of the table that is trained on scores."""
    found = [network for network in networks(profile) if is_shown(network) and network.variant != "saliency"]
    baselines = {network.backbone: network.method for network in found if network.variant == "baseline"}
    return {
        network.method: baselines[network.backbone]
        for network in found
        if network.backbone in baselines and network.method != baselines[network.backbone]
    }


def equivalence(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """Does SROCC drop? TOST against the Baseline on all sets whose scores are tested.

    Returns:
        Columns `difference`, `low`, `high` (the 90 % interval, which says what p would) and `verdict`, by the names of
        data set and network. Empty with fewer than two repeats.
    """
    tested = drops(rows, references(profile))
    order = {name: place for place, name in enumerate(dict.fromkeys(tested["dataset"]))}
    chosen = tested[tested["metric"] == "SROCC"].sort_values("dataset", key=lambda names: names.map(order), kind="stable")
    names = {"set": chosen["dataset"].map(_named), "network": chosen["method"].map(lambda method: paper.look(method).label)}
    return chosen.assign(**names).set_index([*names])[["difference", "low", "high", "verdict"]]


def drops(rows: pd.DataFrame, references: Mapping[str, str]) -> pd.DataFrame:
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
    for (method, reference), dataset, (metric, _) in product(references.items(), tested["dataset"].unique(), QUALITY):
        keys = [(name, dataset, metric) for name in (method, reference)]
        if any(key not in values.index for key in keys):
            continue
        pair = pd.concat([values.loc[key] for key in keys], axis=1, join="inner").to_numpy()
        if len(pair) > 1:
            test: Mapping[str, object] = tost(pair[:, 0], pair[:, 1], MARGIN)
            found.append((method, reference, dataset, metric, len(pair), *(test[name] for name in _OUTCOME)))
    return pd.DataFrame(found, columns=["method", "reference", "dataset", "metric", "n", *_OUTCOME])


def verdicts(rows: pd.DataFrame, references: Mapping[str, str]) -> tuple[str, ...]:
    """One sentence per test in SROCC, as notes of Table II."""
    tests = drops(rows, references)
    return tuple(
        f"{paper.DATASETS.get(test.dataset, test.dataset)}, SROCC, {paper.look(test.method).label} against "
        f"{paper.look(test.reference).label}: {test.difference:+.4f} [{test.low:+.4f}, {test.high:+.4f}], {test.verdict} "
        f"within {MARGIN} (TOST over {test.n} repeats, p = {test.p:.3g})."
        for test in tests[tests["metric"] == "SROCC"].itertuples()
    )


def claim_parts(rows: pd.DataFrame, profile: "Profile") -> ClaimParts:
    """C3 on the first test sets: both variants lose at most `SROCC_MARGIN` of the Baseline's SROCC and gain `CC_GAIN` in CC.
    Controls are trained on other targets. Beside them the CC of one-pass maps, of the Baseline's as well; elsewhere, the
    same on further sets of gaze, each with its own set of scores or else the first."""
    settings, controls = profile.dual_task, []
    scored = (*settings.quality_sets, *settings.quality_sets[:1] * len(settings.gaze_sets))
    home, *others = zip(scored, settings.gaze_sets, strict=False)
    dual = [one for one in networks(profile) if one.target and not one.departs and one.backbone == settings.backbones[0]]
    for target in settings.targets[1:]:
        parts = _gains(rows, home, [one for one in dual if one.target == target])
        if any(part.n for part in parts):
            controls.append(Control(f"{paper.look(target).label} as target", LACKS.get(target, "the paper's target"), parts))
    subject = [one for one in dual if one.target == settings.targets[0]]
    elsewhere = {one[1]: _gains(rows, one, subject) for one in others}
    return ClaimParts(
        _gains(rows, home, subject),
        tuple(controls),
        _one_pass_gains(rows, home[1], subject),
        paper.DATASETS.get(home[1], home[1]),
        by_set(elsewhere),
    )


def _gains(rows: pd.DataFrame, home: tuple[str, str], trained: Iterable[Network]) -> tuple[Part, ...]:
    scored, gazed = home
    quality = partial(by_seed, rows, metric="SROCC", variant="quality", dataset=scored)
    maps = partial(by_seed, rows, metric="CC", dataset=gazed)
    return tuple(
        Part.of(f"{metric}: {_short(network)} − Baseline", less(value(network.method), value("baseline")), needed)
        for network in trained
        for metric, value, needed in (("SROCC", quality, -SROCC_MARGIN), ("CC", maps, CC_GAIN))
    )


def _one_pass_gains(rows: pd.DataFrame, gazed: str, trained: Sequence[Network]) -> tuple[Part, ...]:
    maps = partial(by_seed, rows, metric="CC", dataset=gazed)
    baseline = maps("baseline", variant="plain_fitted")
    own = {network: "plain_fitted" if network.variant == "gradcam_loss" else "fitted" for network in trained}
    return tuple(
        Part.of(
            f"one-pass maps, CC: {_short(network)} − Baseline", less(maps(network.method, variant=one), baseline), CC_GAIN
        )
        for network, one in own.items()
    )


def _short(network: Network) -> str:
    return paper.look(METHODS[network.variant]).label.removeprefix("Baseline-")


def spelled(part: Part) -> str:
    """A quantity of the claim for a sentence: its mean, and its 95 % interval in brackets where there is one."""
    ends = "" if math.isnan(part.low) else f" [{part.low:+.3f}, {part.high:+.3f}]"
    return f"{part.value:+.3f}{ends}".replace("-", "−")


def at_home(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """The rows of Table II on its first test sets of scores and of gaze, without the centre prior."""
    settings = profile.dual_task
    home = (settings.quality_sets[0], settings.gaze_sets[0])
    return rows[rows["dataset"].isin(home) & rows["variant"].isin(VARIANTS) & (rows["method"] != "center_prior")]
