"""Table III on SACID, or on own data in its layout: how well each method agrees with people, and how well what needs no
picture does.

    pictures ──┬─> scores of a method, shard by shard ──┬─> agreement per photograph
    training ──┤   (the three Baselines)                │
    maps ──────┘   (EW metrics, another model)  <───────┘   bit-rate alone, fixed order of presets

The rows hold SROCC, PLCC and FracCP of every method on every photograph; table, ranks and tests are functions of these.
A method that lacks its weights or fails leaves its reason in a row, and is tried again in the next run.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib import paper
from paperlib.datasets import sacid as sacid_set
from paperlib.datasets.sacid import SacidRecord, SacidSet, open_sacid
from paperlib.engine.progress import progress
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.artefacts import Column, TableData
from paperlib.experiments.photo_sets import network_params, network_places, network_resources, told_how_to_get
from paperlib.experiments.photo_sources import ORIGINS, Origin, maker, official_files, own_origins, weights_fingerprint
from paperlib.experiments.photo_training import Training, trainings
from paperlib.experiments.picture_scores import CENTER, FAILURE, OWN, SHUFFLED, UNIFORM, opened, sample
from paperlib.experiments.sacid_rehearsal import write_sacid_standins
from paperlib.experiments.world_compression import METRICS, preset_order
from paperlib.maps.transform import to_levels
from paperlib.metrics.agreement import per_image, rank_intervals, summarise
from paperlib.metrics.resampling import compare_with
from paperlib.models.official import OfficialFile, find_official, official_path
from paperlib.models.quality.methods import describe
from paperlib.models.quality.model import expected_files
from paperlib.models.quality.sizes import SIZE_MODES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

EXPERIMENT = "compression"
SACID, OWN_DATA = DATASETS = ("sacid", "own")
"""Sets that Table III is made on: the paper's, and the user's own photographs (`paperlib.experiments.own_study`)."""
BASELINES = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
WEIGHTED = ("ew_psnr", "ew_ssim")
ON_CPU = ("psnr", "ssim", *WEIGHTED)
"""Methods without a network."""

BITRATE, PRESETS = "bitrate_only", "preset_order"
REFERENCES = {"SROCC": BITRATE, "PLCC": BITRATE, "FracCP": PRESETS}
"""Metric -> the row that knows no picture and that a method has to beat."""

ALPHA = 0.05

_FIRST = "pictures"
_ADDED = "Added"
_FEW = 2


# ------------------------------------------------------------------------------------------------------------- units


def units(profile: "Profile") -> list[Unit]:
    """The units of Table III with rows: the check of all pictures, and the agreement of all methods.

    Raises:
        PaperlibError: the data are missing or unfit, a method or a size mode that there is not.
    """
    settings = profile.compression
    if settings.compression_set not in DATASETS:
        known = " and ".join(map(repr, DATASETS))
        raise PaperlibError(
            f"compression_set={settings.compression_set!r}: Table III knows {known}, or "
            "empty for the study with simulated assessors"
        )
    if settings.size_mode not in SIZE_MODES:
        raise PaperlibError(f"size_mode={settings.size_mode!r} is not known; choose from: {', '.join(SIZE_MODES)}")
    if profile.evidence == "stand-ins":
        methods = [method for method in settings.scored_methods if method not in BASELINES]
        write_sacid_standins(Path(profile.data_root), Path(profile.weights_root), methods)
    source = open_source(profile)
    checked = check_unit(source)
    return [checked, agreement_unit(profile, source, checked)]


@dataclass(frozen=True)
class Source:
    """A data set as the units see it."""

    pictures: SacidSet
    root: Path
    params: Mapping[str, Any]


def open_source(profile: "Profile") -> Source:
    """The sequences that `profile` looks at.

    Raises:
        PaperlibError: as `paperlib.datasets.sacid.open_sacid`; no folder of data; too few sequences, bit-rates or
            presets.
    """
    if not profile.data_root:
        raise PaperlibError(
            f"profile {profile.name!r} needs the folder of its data: give --data-root DIR, with "
            f"{_INSIDE[profile.compression.compression_set]} in it"
        )
    name, n = profile.compression.compression_set, profile.compression.n_sequences
    root, partial = _home(Path(profile.data_root), name), profile.evidence == "stand-ins"
    with told_how_to_get(profile, name):
        pictures = sample(open_sacid(root, partial=partial, own=name == OWN_DATA), n)
    scores = pictures.scores
    rates, kinds = set(scores.bpps.tolist()), set(scores.presets.tolist())
    if min(len(scores.sequences), len(rates), len(kinds)) < _FEW or len(scores.versions) != len(rates) * len(kinds):
        raise PaperlibError(
            f"{pictures.title}: Table III needs at least {_FEW} sequences, bit-rates and presets, every "
            f"preset at every bit-rate, got {len(scores.sequences)}, {len(rates)} and {len(kinds)}"
        )
    return Source(
        pictures, root, {"dataset": name, "partial": partial, "n_sequences": n, "fingerprint": pictures.fingerprint}
    )


_INSIDE = {SACID: "SACID", OWN_DATA: "the folders that `python -m paperlib code FOLDER` writes and moses.csv"}


def _home(root: Path, name: str) -> Path:
    return next((root / folder for folder in (name, name.upper()) if (root / folder).is_dir()), root)


def check_unit(source: Source) -> Unit:
    """Reads every picture once, so that bad files end the run before a network is loaded."""
    return Unit.of(
        EXPERIMENT,
        f"pictures/{source.pictures.name}",
        "paperlib.experiments.photo_compression:check_pictures",
        places={"root": source.root},
        cost=60.0,
        **source.params,
    )


@dataclass(frozen=True)
class Line:
    """A row of Table III that pictures are scored for.

    Attributes:
        method: its key, or its label where `paperlib.paper.METHODS` has none.
        judge: the method of `paperlib.models.quality.methods` that scores, or a Baseline, or the user's network.
        weights: what EW metrics weigh with (`paperlib.experiments.picture_scores`).
        origin: of the user's network; None for the other methods.
    """

    method: str
    judge: str
    weights: str = OWN
    origin: Origin | None = None


def lines(profile: "Profile") -> list[Line]:
    """The rows of `profile` that pictures are scored for: its methods, then controls of the EW metrics among them.

    The user's networks (`own_lines`) come on top."""
    methods = profile.compression.scored_methods
    controls = [CENTER, SHUFFLED, UNIFORM, *filter(None, [profile.compression.weighting_model])]
    return [Line(method, method) for method in methods] + [
        Line(_weighted(judge, kind), judge, kind) for judge in WEIGHTED if judge in methods for kind in controls
    ]


def own_lines(profile: "Profile") -> list[Line]:
    """A row for each of the user's networks; backbones before quality training judge nothing and have none.

    Raises:
        PaperlibError: a text of another form, or a network that does not judge single pictures.
    """
    networks = {name: origin for name, origin in own_origins(profile.models).items() if origin.kind == "quality"}
    for name in networks:
        expected_files(name)
    return [Line(name, name, origin=origin) for name, origin in networks.items()]


def all_lines(profile: "Profile") -> list[Line]:
    """`lines` and `own_lines`; a network of the user takes the place of the method of its name."""
    own = own_lines(profile)
    names = {line.method for line in own}
    return [*(line for line in lines(profile) if line.method not in names), *own]


def _weighted(judge: str, kind: str) -> str:
    """Key, or label, of an EW metric with other weights."""
    key = f"{judge}_{kind}"
    return key if key in paper.METHODS else f"{paper.look(judge).label}, {paper.look(kind).label}"


def agreement_unit(profile: "Profile", source: Source, checked: Unit) -> Unit:
    """Agreement of all methods with the subjective scores; needs the scores of every method that is at hand."""
    needs, shards, absent = [], [], []
    for line in all_lines(profile):
        try:
            for seed, found in scores_units(profile, source, checked, line).items():
                needs += found
                shards.append((line.method, seed, tuple(unit.name for unit in found)))
        except _Absent as reason:
            absent.append((line.method, str(reason)))
    return Unit.of(
        EXPERIMENT,
        f"agreement/{source.pictures.name}",
        "paperlib.experiments.photo_compression:agree",
        needs=[checked, *needs],
        places={"root": source.root},
        shards=shards,
        absent=absent,
        size_mode=profile.compression.size_mode,
        **source.params,
    )


class _Absent(Exception):
    """What a row needs is not there; the message says what."""


def scores_units(profile: "Profile", source: Source, checked: Unit, line: Line) -> dict[int, list[Unit]]:
    """Seed -> the units that score the shards; networks with official weights have one seed.

    Raises:
        _Absent: files of weights are missing, or there is no such training.
        PaperlibError: there is no such method.
    """
    if line.judge in BASELINES:
        trained = _trainings(profile, line.judge)
        return {
            one.seed: _shards(
                profile,
                source,
                line,
                [checked, one.unit],
                seed=one.seed,
                training=one.unit.name,
                backbone=one.network.backbone,
                variant=one.network.variant,
            )
            for one in trained
        }
    root, settings = Path(profile.weights_root), profile.compression
    if line.origin is not None:
        _require_files(official_files(line.origin), root)
        return {
            0: _shards(
                profile,
                source,
                line,
                [checked],
                network=line.origin.model,
                layer=line.origin.layer,
                content=weights_fingerprint(line.origin, root),
            )
        }
    files = describe(line.judge).files
    _require_files(files, root)
    maps = []
    if line.weights not in (OWN, CENTER, SHUFFLED, UNIFORM):
        maps = [maps_unit(profile, source, checked, line.weights)]
    content = " ".join(
        weights_fingerprint(Origin("network", weights=str(official_path(file, root))), root) for file in files
    )
    return {
        0: _shards(
            profile, source, line, [checked, *maps], maps=maps[0].name if maps else "", content=content, crops=settings.crops
        )
    }


def _require_files(files: Iterable[OfficialFile], root: Path) -> None:
    missing = [file for file in files if find_official(file, root) is None]
    if missing:
        listed = "; ".join(f"{file.name} ({file.where})" for file in missing)
        names = " ".join(file.short for file in missing)
        raise _Absent(f"weights are missing: {listed}; `python -m paperlib data fetch {names}` gets them or says how")


def _trainings(profile: "Profile", method: str) -> list[Training]:
    """Table II's trainings of a Baseline, one per seed."""
    settings = profile.dual_task
    if not settings.training_set:
        raise _Absent(f"profile {profile.name!r} trains no network on photographs")
    found = [one for one in _all_trainings(profile) if one.network.method == method]
    if not found:
        raise _Absent("Table II of this profile does not train it")
    return found


@lru_cache(maxsize=1)
def _all_trainings(profile: "Profile") -> list[Training]:
    try:
        return trainings(profile)
    except PaperlibError as error:
        raise _Absent(f"it cannot be trained: {error}") from error


def _shards(profile: "Profile", source: Source, line: Line, needs: Sequence[Unit], seed: int = 0, **own: Any) -> list[Unit]:
    settings, n = profile.compression, len(source.pictures.scores.sequences)
    blank = dict.fromkeys(("training", "backbone", "variant", "network", "layer", "maps", "content"), "")
    params = blank | {"crops": 0} | own
    places = {
        "root": source.root,
        "weights_root": profile.weights_root,
        "cache": profile.store_root / "scores",
        "weights_file": line.origin.weights if line.origin else "",
    }
    resources = {} if line.judge in ON_CPU else {"gpus": 1.0}
    store = ResultStore(profile.store_root)

    def attempt(first: int, number: int) -> Unit:
        return Unit.of(
            EXPERIMENT,
            f"scores/{line.method}/seed{seed}/{first}",
            "paperlib.experiments.picture_scores:score_shard",
            needs=needs,
            places=places,
            cost=5.0 if line.judge in ON_CPU else 100.0,
            resources=resources,
            first=first,
            last=min(first + settings.sequence_shard, n),
            method=line.method,
            judge=line.judge,
            weights=line.weights,
            seed=seed,
            size_mode=settings.size_mode,
            attempt=number,
            **params,
            **source.params,
        )

    starts = range(0, n, settings.sequence_shard)
    return [_untried(lambda number, first=first: attempt(first, number), store) for first in starts]


def _untried(attempt: Callable[[int], Unit], store: ResultStore) -> Unit:
    """The first attempt that has not failed yet: a method may fail for reasons that pass, such as lack of memory."""
    number = 0
    while (found := store.load(attempt(number))) is not None and FAILURE in set(found.rows["metric"]):
        number += 1
    return attempt(number)


def maps_unit(profile: "Profile", source: Source, checked: Unit, method: str) -> Unit:
    """Maps of the references by another model.

    Raises:
        PaperlibError: there is no such method.
        _Absent: files of weights are missing.
    """
    if method not in ORIGINS:
        raise PaperlibError(f"weighting_model={method!r} is not known; choose from: {', '.join(ORIGINS)}")
    origin, root = ORIGINS[method], Path(profile.weights_root)
    _require_files(official_files(origin), root)
    smoothing = profile.extraction
    return Unit.of(
        EXPERIMENT,
        f"maps/{method}/{source.pictures.name}",
        "paperlib.experiments.photo_compression:make_maps",
        needs=[checked],
        places=network_places(profile, origin) | {"root": source.root},
        cost=20.0,
        resources=network_resources(origin),
        smoothing=smoothing.smoothing,
        principal_component=smoothing.principal_component,
        **network_params(profile, origin),
        **source.params,
    )


# ----------------------------------------------------------------------------------------------------------- computes


def check_pictures(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `check_unit`: rows of counts.

    Raises:
        PaperlibError: pictures that cannot be read; all are counted, the first are named.
    """
    pictures = opened(params)
    found = sacid_set.check(pictures, progress)
    common = {"experiment": EXPERIMENT, "method": _FIRST, "dataset": pictures.name, "variant": "data", "n": found.pictures}
    return Result(
        rows=[
            common | {"metric": name, "value": float(value)}
            for name, value in (
                ("sequences", found.sequences),
                ("pictures", found.pictures),
                ("references", found.references),
            )
        ]
    )


@dataclass(frozen=True)
class _Original:
    """A sequence's picture before coding, as the methods that make maps see pictures."""

    record: SacidRecord

    @property
    def key(self) -> str:
        return self.record.sequence

    @property
    def size(self) -> tuple[int, int]:
        return self.record.size

    def load_image(self) -> NDArray[np.uint8]:
        return self.record.load_reference()


def make_maps(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `maps_unit`: arrays `maps.<sequence>`, (h, w) uint8 grey levels, of the sequences with a reference."""
    firsts = [records[0] for _, records in opened(params).by_sequence()]
    originals = [_Original(record) for record in firsts if record.reference is not None]
    make = maker(params, [one.key for one in originals])
    return Result(arrays={f"maps.{one.key}": to_levels(make([one])["maps"][0]) for one in progress(originals)})


def agree(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `agreement_unit`.

    Rows: SROCC, PLCC (absolute values, as in the authors' notebook) and FracCP of every method, repeat and sequence,
    which is the variant; a sequence without a value has none. One row `FAILURE` per method without scores, with the reason.
    """
    scores = opened(params).scores
    raw, failed = _raw_scores(params, inputs)
    raw |= {
        (BITRATE, 0): np.broadcast_to(scores.bpps, scores.subjective.shape),
        (PRESETS, 0): preset_order(scores.subjective, scores.presets),
    }
    found = per_image(np.stack([*raw.values()]), scores.subjective, scores.bpps, drop_sign=True)
    measured = dict(zip(METRICS, (found.srocc, found.plcc, found.fraccp), strict=True))
    common = {"experiment": EXPERIMENT, "dataset": params["dataset"]}
    rows = [
        common
        | {
            "method": method,
            "metric": metric,
            "variant": sequence,
            "seed": seed,
            "value": float(value),
            "n": len(scores.versions),
        }
        for place, (method, seed) in enumerate(raw)
        for metric, values in measured.items()
        for sequence, value in zip(scores.sequences, values[place], strict=True)
        if np.isfinite(value) and (method, metric) != (BITRATE, "FracCP")
    ]
    rows += [common | {"method": method, "metric": FAILURE, "variant": reason} for method, reason in failed.items()]
    return Result(rows=pd.DataFrame(rows))


def _raw_scores(
    params: Mapping[str, Any], inputs: Inputs
) -> tuple[dict[tuple[str, int], NDArray[np.float64]], dict[str, str]]:
    """Scores (sequences, versions) by (method, seed), higher is better; and the reasons of methods without any."""
    scores, failed = {}, dict(params["absent"])
    for method, seed, names in params["shards"]:
        results = [inputs[name] for name in names]
        reasons = [reason for result in results for reason in result.rows.loc[result.rows["metric"] == FAILURE, "variant"]]
        if reasons:
            failed[method] = reasons[0]
            continue
        own = np.concatenate([result.arrays["scores"] for result in results])
        scores[method, seed] = own if results[0].arrays["higher_is_better"] else -own
    return {key: own for key, own in scores.items() if key[0] not in failed}, failed


# ------------------------------------------------------------------------------------------------------ what they say


def per_photograph(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric by method (index) and photograph (columns), means over repeats; NaN where a method has no value."""
    chosen = rows[rows["metric"] == metric]
    found = chosen.pivot_table(index="method", columns="variant", values="value", aggfunc="mean", sort=False)
    return found.reindex(columns=sorted(found.columns))


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
        rows: of `units`.
        metric: `"SROCC"`, `"PLCC"` or `"FracCP"`.
        reference: a method; `"best"` for the one with the largest mean among those that are no control; empty for
            `REFERENCES[metric]`, which sees no picture.

    Returns:
        Columns `method`, `reference`, and `images`, `difference` (the method's mean minus the reference's), `low`,
        `high` (95 %, uncorrected), `p`, `p_holm`, `survives` of `paperlib.metrics.resampling.compare_with`.
    """
    values = per_photograph(rows, metric)
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
    values = per_photograph(rows, metric)
    rivals = {judge: [judge.removeprefix("ew_"), *controls_of(judge, values.index)] for judge in WEIGHTED}
    pairs = [(judge, other) for judge in WEIGHTED for other in rivals[judge] if {judge, other} <= set(values.index)]
    return _compared(values, pairs)


def _compared(values: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """Tests of pairs (method, reference), all of one family."""
    columns = ["images", "difference", "low", "high", "p", "p_holm", "survives"]
    differences = {f"{one} {other}": values.loc[one].to_numpy() - values.loc[other].to_numpy() for one, other in pairs}
    tests = compare_with(np.zeros(values.shape[1]), differences) if pairs else []
    named = [
        {"method": one, "reference": other} | {name: test[name] for name in columns}
        for (one, other), test in zip(pairs, tests, strict=True)
    ]
    return pd.DataFrame(named, columns=["method", "reference", *columns])


def ranks(rows: pd.DataFrame, metric: str = "FracCP") -> pd.DataFrame:
    """How sure the order of the methods is; controls take no part.

    Returns:
        Columns `method`, `rank`, `low`, `high` (95 %), `first` (share of resamples in which none is better) and
        `images`, those that all methods have a value for. Empty where these are fewer than two.
    """
    values = per_photograph(rows, metric)
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


def claim_parts(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """C4. Gains in FracCP of the eye-tracking weighted metrics over the plain ones, per photograph; and over the same
    metrics with weights that know nothing of the photograph."""
    values = per_photograph(rows, "FracCP")

    def gain(weighted: str, other: str) -> pd.Series:
        if not {weighted, other} <= set(values.index):
            return pd.Series(dtype=float)
        return (values.loc[weighted] - values.loc[other]).dropna()

    parts = {}
    for judge in WEIGHTED:
        plain = judge.removeprefix("ew_")
        name = paper.look(plain).label
        parts[f"FracCP: EW-{name} − {name}"] = gain(judge, plain)
        for kind, label in ((CENTER, "centre prior"), (SHUFFLED, "shuffled map")):
            parts[f"control, {label}, FracCP: EW-{name} − {name}"] = gain(_weighted(judge, kind), plain)
    return parts


# -------------------------------------------------------------------------------------------------------------- table


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table III from the rows of `units`, with the paper's numbers beside ours and the controls below."""
    dataset = profile.compression.compression_set
    columns = tuple(Column(dataset, metric, +1, f"{metric} ↑") for metric in METRICS)
    found = {metric: _numbers(rows, metric) for metric in METRICS}
    cells = []
    for section, method in _lines_of_the_table(profile):
        for metric in METRICS:
            published = paper.published(3, method, dataset, metric)
            cells.append(
                {
                    "section": section,
                    "method": method,
                    "dataset": dataset,
                    "metric": metric,
                    **found[metric].get(method, _BLANK),
                    "published": math.nan if published is None else published,
                    "ranked": section != "Control",
                }
            )
    title = "Table III: agreement on non-uniformly coded images"
    return TableData("table3", title, _caption(rows, profile), columns, pd.DataFrame(cells), (*NOTES, *_notes(rows)))


def _numbers(rows: pd.DataFrame, metric: str) -> dict[str, dict[str, Any]]:
    """Method -> the numbers of its cell: over photographs, over repeats, and of the test against `REFERENCES`."""
    values = per_photograph(rows, metric)
    p_holm = comparisons(rows, metric).set_index("method")["p_holm"]
    chosen = rows[rows["metric"] == metric]
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


def _lines_of_the_table(profile: "Profile") -> list[tuple[str, str]]:
    """(section, method): the paper's rows in its order, on own data those that are scored; further methods; controls."""
    scored = all_lines(profile)
    methods = {line.method for line in scored}
    everything = profile.compression.compression_set == SACID
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
    failed = rows[rows["metric"] == FAILURE]
    return notes + [f"{paper.look(row.method).label}: not available: {row.variant}" for row in failed.itertuples()]


def _caption(rows: pd.DataFrame, profile: "Profile") -> str:
    counts = rows[rows["method"] == _FIRST].set_index("metric")["value"]
    trained = rows[rows["method"].isin(BASELINES)]["seed"].nunique()
    standins = profile.evidence == "stand-ins"
    rehearsal = "Rehearsal: generated pictures and random weights, the numbers mean nothing. " if standins else ""
    baselines = f" Baselines: means over the trainings ({trained}), ± sd over these." if trained else ""
    return (
        f"{rehearsal}Ours: {paper.DATASETS[profile.compression.compression_set]}, {counts['sequences']:.0f} photographs, "
        f"{counts['pictures']:.0f} "
        f"coded pictures, {counts['references']:.0f} references, size mode {profile.compression.size_mode}; means over "
        f"photographs, in brackets 95 % bootstrap intervals over them.{baselines}"
    )


NOTES = (
    (
        "SROCC and PLCC over all versions of a photograph, absolute value, mean over photographs, no logistic mapping. "
        "FracCP over the pairs of presets at one photograph and bit-rate; chance is .5, and bit-rate alone cannot order such "
        "a pair."
    ),
    (
        f"† Not told apart from bit-rate alone (SROCC, PLCC) or from a fixed order of the presets (FracCP): p > {ALPHA} in "
        "a sign-flip test paired by photograph, with Holm's correction over the rows. Rows without it lie above or below."
    ),
    (
        "The fixed order of the presets is learned on the other photographs. EW metrics weigh with the map that steered "
        "the encoder; their controls weigh with a fixed Gaussian about the middle, with another photograph's map, evenly "
        "(which is the plain metric), and, where one is named, with another model's map of the reference. Controls take no "
        "part in the ranking."
    ),
)
