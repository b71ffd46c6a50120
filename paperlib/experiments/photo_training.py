"""Table II on photographs: each variant of section III-C is trained on opinions and proxy saliency, then tested twice.

    pictures ──> proxy maps of a shard ──> their fingerprint ──> training ──┬─> scores of a test set ──> SROCC, PLCC
                                                                 gaze data ─┴─> maps of a shard ──> measured

Every training is a unit of its own, known by (backbone, variant, target, seed): a target is the method whose maps stand
for gaze. The first backbone with the first target makes the paper's rows; the other targets are controls, trained for
the first `n_control_seeds` seeds. MSI-Net has seen SALICON's gaze, so that what a network learned from its maps may be
the test set's own; the centre prior as a target has seen none.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from paperlib import paper
from paperlib.datasets import opinions
from paperlib.datasets.files import listing
from paperlib.datasets.opinions import OpinionSet
from paperlib.datasets.training_pairs import Augmentation, ProxyMaps, TrainingPairs
from paperlib.engine.finetuning import FinetuneSettings, finetune
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.errors import PaperlibError
from paperlib.experiments import photo_maps
from paperlib.experiments.artefacts import Column, TableData
from paperlib.experiments.dual_task import GAZE, QUALITY
from paperlib.experiments.over_seeds import interval, summarise
from paperlib.experiments.photo_sets import (
    CHUNK,
    Source,
    StoredLevels,
    make_maps,
    maps_units,
    network_params,
    open_gaze_source,
    open_opinions_source,
    reopened,
)
from paperlib.experiments.photo_sources import (
    ORIGINS,
    Origin,
    device,
    picture,
    require_weights,
    sized,
    weights_fingerprint,
)
from paperlib.experiments.rehearsal import write_standins
from paperlib.maps.transform import to_levels
from paperlib.metrics.correlation import plcc, srocc, srocc_interval
from paperlib.metrics.equivalence import MARGIN, tost
from paperlib.models.backbones import create_backbone, imagenet_file
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.dual_task import DualTask
from paperlib.paths import atomic_write

if TYPE_CHECKING:
    from paperlib.profiles import DualTaskSettings, Profile

EXPERIMENT = "dual_task"
PARTS = ("training", "validation")
"""Of the opinion set: what is trained on. There is no early stopping, so validation pictures are free for it."""

METHODS = {
    "baseline": "baseline", "sal_loss": "baseline_sal_loss", "gradcam_loss": "baseline_gradcam_loss",
}
"""Variant -> key of `paperlib.paper.METHODS`."""

SUPERVISED = ("msinet", "transalnet")
"""Rows of Table II that are not trained here; they are Table I's."""

_LOADERS = 4
_RESAMPLES = 31
_TESTED = ("method", "reference", "dataset", "metric", "n")
_OUTCOME = ("difference", "low", "high", "p", "verdict")


@dataclass(frozen=True)
class Network:
    """What is trained: `target` is empty for the Baseline, which sees no saliency; `method` is its key in rows."""

    backbone: str
    variant: str
    target: str
    method: str
    section: str

    @property
    def name(self) -> str:
        """Unique among the networks of a profile."""
        return "/".join((self.backbone, self.variant, self.target or "none"))


def networks(settings: "DualTaskSettings") -> list[Network]:
    """The networks of Table II, in the order of its rows; those of section "Control" have another target.

    Raises:
        PaperlibError: a variant or a target that there is not.
    """
    unknown = [f"variant {one}" for one in settings.variants if one not in METHODS]
    unknown += [f"target {one}" for one in settings.targets if one not in ORIGINS]
    if unknown:
        raise PaperlibError(f"Table II knows no {listing(unknown)}; variants are {', '.join(METHODS)}, targets are "
                            f"{', '.join(ORIGINS)}")
    return [
        _network(settings, backbone, variant, target)
        for number, wanted in enumerate(settings.targets) for backbone in settings.backbones
        for variant in settings.variants if variant != "baseline" or not number
        for target in ("" if variant == "baseline" else wanted,)
    ]


def _network(settings: "DualTaskSettings", backbone: str, variant: str, target: str) -> Network:
    is_control = target not in ("", settings.targets[0])
    method = METHODS[variant]
    if is_control or backbone != settings.backbones[0]:
        parts = [paper.look(method).label, backbone, *([f"target {target}"] if is_control else [])]
        method = ", ".join(parts)
    return Network(backbone, variant, target, method, "Control" if is_control else backbone)


# ------------------------------------------------------------------------------------------------------------- units


def units(profile: "Profile") -> list[Unit]:
    """All units of Table II on the data sets of `profile`.

    Raises:
        PaperlibError: data or weights are missing or unfit; told before anything is computed.
    """
    settings = profile.dual_task
    if profile.evidence == "stand-ins":
        write_standins(profile)
    wanted = networks(settings)
    pairs = training_source(profile, settings)
    tests = [_opinions(profile, name) for name in settings.quality_sets]
    gazes = [open_gaze_source(profile, name) for name in settings.gaze_sets]
    require_weights(_needed(profile, settings), Path(profile.weights_root))
    checked = check_unit(pairs, tests)
    proxies = {target: proxy_units(profile, pairs, target, checked) for target in settings.targets}
    out = [checked]
    for position, seed in enumerate(profile.seeds):
        for network in wanted:
            if network.section == "Control" and position >= profile.n_control_seeds:
                continue
            needs = [checked, *proxies.get(network.target, [])]
            trained = training_unit(profile, settings, pairs, network, seed, needs)
            out += [trained, *(quality_unit(profile, settings, trained, network, test, seed) for test in tests)]
            for gaze in gazes:
                out += saliency_units(profile, settings, trained, network, gaze, seed)
    others = tuple(method for method in SUPERVISED if method in profile.photographs.methods)
    shown = replace(profile, models=(), photographs=replace(profile.photographs, methods=others))
    for gaze in gazes:
        known = photo_maps.measured_units(shown, gaze)
        out += [known[method] for method in ("center_prior", *others)]
    return out


def training_source(profile: "Profile", settings: "DualTaskSettings") -> Source:
    """The pictures that are trained on, with what opens their whole set again elsewhere.

    Raises:
        PaperlibError: it has no split, or lacks a part.
    """
    source = _opinions(profile, settings.training_set)
    options = {name: value for name, value in source.options.items() if name != "part"}
    source = replace(source, options=options)
    whole = reopened(source.params | {"root": source.root})
    return replace(source, pictures=training_set(whole))


def training_set(whole: OpinionSet) -> OpinionSet:
    """The pictures that are trained on: the parts in the order of `PARTS`.

    Raises:
        PaperlibError: the set has no split, or lacks a part: then test pictures could not be told apart.
    """
    return whole.holding([record for part in PARTS for record in whole.part(part).records])


def _opinions(profile: "Profile", name: str) -> Source:
    """The test part of an opinion set, all of it."""
    return open_opinions_source(replace(profile, masking=replace(profile.masking, n_masked=0)), name)


def _needed(profile: "Profile", settings: "DualTaskSettings") -> dict[str, Origin]:
    """Everything that needs files of weights."""
    found = {f"proxy {target}": ORIGINS[target] for target in settings.targets}
    found |= {f"ImageNet {backbone}": _imagenet(backbone) for backbone in settings.backbones}
    return found | {name: ORIGINS[name] for name in SUPERVISED if name in profile.photographs.methods}


def _imagenet(backbone: str) -> Origin:
    return Origin("activation", backbone)


def check_unit(pairs: Source, tests: Sequence[Source]) -> Unit:
    """Reads every picture once, and looks for those that are trained on and tested on."""
    places = {"root": pairs.root} | {f"root_{test.name}": test.root for test in tests}
    names, prints = zip(*((test.name, test.params["fingerprint"]) for test in tests), strict=True)
    return Unit.of(
        EXPERIMENT, f"leaks/{pairs.name}", "paperlib.experiments.photo_training:check_leaks", places=places, cost=60.0,
        tests=names, test_fingerprints=prints, **pairs.params,
    )


def proxy_units(profile: "Profile", pairs: Source, target: str, checked: Unit) -> list[Unit]:
    """The unit of a target's fingerprint, and after it the shards of its maps, part by part."""
    shards = []
    for part in PARTS:
        source = replace(pairs, pictures=pairs.pictures.part(part), options={**pairs.options, "part": part})
        shards += maps_units(profile, source, checked, f"proxy {target}, {part}", ORIGINS[target])
    compute = "paperlib.experiments.photo_training:fingerprint_maps"
    return [Unit.of(EXPERIMENT, f"proxy/{target}", compute, needs=shards), *shards]


def training_unit(
    profile: "Profile", settings: "DualTaskSettings", pairs: Source, network: Network, seed: int, needs: Sequence[Unit]
) -> Unit:
    """One training; `needs` are the check and, for variants with saliency, `proxy_units`."""
    resources = {"gpus": settings.training_gpus} if settings.training_gpus else {}
    cache = profile.store_root / "scores" / "pairs"
    return Unit.of(
        EXPERIMENT, f"train/{network.name}/seed{seed}", "paperlib.experiments.photo_training:train",
        needs=needs, places={"root": pairs.root, "weights_root": profile.weights_root, "cache": cache}, cost=10_000.0,
        resources=resources, seed=seed, shard=profile.photographs.shard,
        **_training_params(profile, settings, network), **pairs.params,
    )


def _training_params(profile: "Profile", settings: "DualTaskSettings", network: Network) -> dict[str, Any]:
    own = profile.training
    names = ("steps", "accumulate", "warm_up", "clip_norm", "ema_decay", "deterministic", "training_precision",
             "training_height", "training_width", "crop_height", "crop_width", "weighting", "channels")
    return {name: getattr(settings, name) for name in names} | _kind(settings, network) | {
        "method": network.method, "target": network.target, "batch_size": own.batch_size, "head_lr": own.head_lr,
        "backbone_lr": own.head_lr * own.backbone_lr_factor, "weight_decay": own.weight_decay,
        "saliency_loss": own.saliency_loss, "saliency_weight": own.saliency_weight,
        "content": weights_fingerprint(_imagenet(network.backbone), Path(profile.weights_root)),
    }


def _kind(settings: "DualTaskSettings", network: Network) -> dict[str, Any]:
    """Parameters that build a network's modules again."""
    return {"backbone": network.backbone, "variant": network.variant, "activation": settings.activation}


def quality_unit(
    profile: "Profile", settings: "DualTaskSettings", trained: Unit, network: Network, test: Source, seed: int
) -> Unit:
    """Scores of a test set and their agreement with MOS."""
    seen = profile.photographs
    return Unit.of(
        EXPERIMENT, f"quality/{network.name}/{test.name}/seed{seed}",
        "paperlib.experiments.photo_training:measure_quality", needs=[trained],
        places={"root": test.root}, cost=50.0, method=network.method, seed=seed,
        input_height=seen.input_height, input_width=seen.input_width, **_kind(settings, network), **test.params,
    )


def saliency_units(
    profile: "Profile", settings: "DualTaskSettings", trained: Unit, network: Network, source: Source, seed: int
) -> list[Unit]:
    """The maps of a trained network shard by shard, and at last the unit that measures them as Table I does."""
    gaze, n, shard = photo_maps.gaze_unit(profile, source), len(source.pictures), profile.photographs.shard
    smoothing = profile.extraction
    how = network_params(profile, _imagenet(network.backbone)) | {
        "kind": "baseline", "smoothing": smoothing.smoothing, "principal_component": smoothing.principal_component,
        "seed": seed,
    }
    shards = [
        Unit.of(
            EXPERIMENT, f"maps/{network.name}/{source.name}/seed{seed}/{first}",
            "paperlib.experiments.photo_training:make_trained_maps", needs=[trained, gaze],
            places={"root": source.root}, cost=20.0, first=first, last=min(first + shard, n), **how,
            **_kind(settings, network), **source.params,
        )
        for first in range(0, n, shard)
    ]
    measured = Unit.of(
        EXPERIMENT, f"saliency/{network.name}/{source.name}/seed{seed}", "paperlib.experiments.photo_maps:measure",
        needs=[gaze, *shards], places={"root": source.root}, cost=10.0, method=network.method, seed=seed, shard=shard,
        n_folds=profile.photographs.n_folds, **source.params,
    )
    return [*shards, measured]


# ----------------------------------------------------------------------------------------------------------- computes


def check_leaks(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `check_unit`: rows of counts.

    Raises:
        PaperlibError: pictures that cannot be read; pictures that are trained on and tested on.
    """
    whole = reopened(params)
    own = training_set(whole)
    rows, leaks = [_count_row(own, len(own))], []
    for name in params["tests"]:
        test = reopened(params | {"dataset": name, "root": params[f"root_{name}"], "part": "test"})
        pairs = opinions.overlap(own, test, progress)
        if name != params["dataset"]:
            opinions.check(test, progress)
        leaks += [f"{key} = {twin} of {test.title}" for key, twin in pairs]
        rows.append(_count_row(test, len(test)))
    if leaks:
        raise PaperlibError(f"{len(leaks)} pictures that {own.title} is trained on are tested on as well, equal in "
                            f"every pixel: {listing(leaks)}; take them out of the training part, or restore the "
                            "official split")
    return Result(rows=rows)


def _count_row(pictures: OpinionSet, n: int) -> dict[str, Any]:
    return {"method": "pictures", "dataset": pictures.name, "variant": "data", "metric": "pictures",
            "value": float(n), "n": n}


def fingerprint_maps(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Hash of all maps of a target, array `fingerprint`: names the cache that trainings share."""
    digest = hashlib.sha256()
    for name in progress(inputs):
        for key, levels in inputs[name].arrays.items():
            digest.update(f"{key} {levels.shape}".encode())
            digest.update(np.ascontiguousarray(levels))
    return Result(arrays={"fingerprint": np.array(digest.hexdigest()[:16])})


def train(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `training_unit`: arrays `weights.<name>` of the network and `losses` (steps,); rows of the last loss,
    and of the share of time that was spent waiting for data."""
    pictures = training_set(reopened(params))
    maps = _proxy_maps(params, inputs, pictures) if params["target"] else None
    crop = (params["crop_height"], params["crop_width"])
    loaders = min(_LOADERS, (os.cpu_count() or 1) - 1)
    pairs = TrainingPairs(
        pictures, maps, (params["training_height"], params["training_width"]),
        Augmentation(crop=crop if all(crop) else None), seed=params["seed"], cache=Path(params["cache"]),
        workers=loaders, progress=progress,
    )
    task = _task(params, Path(params["weights_root"], imagenet_file(params["backbone"]))).to(device())
    settings = FinetuneSettings(
        precision=params["training_precision"],
        **{name: params[name] for name in ("steps", "accumulate", "warm_up", "weight_decay", "clip_norm", "ema_decay",
                                           "deterministic")},
    )
    decided = {name: value for name, value in params.items() if name not in ("root", "weights_root", "cache")}
    training = finetune(
        task, task.groups(params["head_lr"], params["backbone_lr"]), task.batch_loss,
        lambda first: pairs.batches(params["batch_size"], first, loaders), settings, seed=params["seed"],
        checkpoint=scratch / "state.pt", identity=_digest({**decided, "maps": maps.fingerprint if maps else ""}),
        title=params["method"],
    )
    weights = {f"weights.{name}": value.cpu().numpy() for name, value in task.network.state_dict().items()}
    common = {"method": params["method"], "dataset": params["dataset"], "variant": "training", "seed": params["seed"],
              "n": params["steps"]}
    rows = [common | {"metric": "loss", "value": float(training.losses[-1])},
            common | {"metric": "waiting", "value": training.waiting}]
    return Result(rows=rows, arrays=weights | {"losses": training.losses})


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:16]


def _proxy_maps(params: Mapping[str, Any], inputs: Inputs, pictures: OpinionSet) -> ProxyMaps:
    """The stored maps of the parts as one list, in the order of `training_set`."""
    _, printed, *shards = inputs
    levels, starts = [], []
    for part in PARTS:
        own = [name for name in shards if name.startswith(f"proxy {params['target']}, {part}/")]
        levels.append(StoredLevels(inputs, own, params["shard"]))
        starts.append(sum(pictures.splits[before] for before in PARTS[:len(starts)]))

    def load(index: int) -> NDArray[np.uint8]:
        place = int(np.searchsorted(starts, index, side="right")) - 1
        return levels[place]("maps", index - starts[place])

    return ProxyMaps(load, str(inputs[printed].arrays["fingerprint"]))


def _task(params: Mapping[str, Any], imagenet: Path | None = None) -> DualTask:
    """Network and loss of a variant; the head starts at random by the seed, alike in all variants."""
    with torch.random.fork_rng([]):
        torch.manual_seed(params["seed"])
        backbone = create_backbone(params["backbone"], imagenet=imagenet)
        network = Baseline(backbone, decoder=params["variant"] == "sal_loss")
    names = ("saliency_loss", "weighting", "saliency_weight", "activation", "channels")
    return DualTask(network, params["variant"], **{name: params[name] for name in names if name in params})


def _trained(params: Mapping[str, Any], result: Result) -> DualTask:
    """The trained network of `train` on the device, in evaluation mode."""
    task = _task(params)
    task.network.load_state_dict(_weights(result))
    return task.to(device()).eval()


def _weights(result: Result) -> dict[str, torch.Tensor]:
    return {name.removeprefix("weights."): torch.from_numpy(np.array(value))
            for name, value in result.arrays.items() if name.startswith("weights.")}


def measure_quality(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `quality_unit`: array `scores` (n,) in the order of the records; SROCC with an interval over them."""
    (trained,) = inputs.values()
    network, test = _trained(params, trained).network, reopened(params)
    if len(test) < 3:
        raise PaperlibError(f"{test.title}: a rank correlation needs at least 3 pictures, got {len(test)}")
    with torch.no_grad():
        found = [network(to_unit_range(images).to(device())) for images in _alike(test.records, params)]
    scores = torch.cat(found).double().cpu().numpy()
    low, high = srocc_interval(scores, test.mos, np.random.default_rng([params["seed"], _RESAMPLES]))
    common = {"method": params["method"], "dataset": test.name, "variant": "quality", "seed": params["seed"],
              "n": len(test)}
    rows = [common | {"metric": "SROCC", "value": float(srocc(scores, test.mos)), "low": low, "high": high},
            common | {"metric": "PLCC", "value": float(plcc(scores, test.mos))}]
    return Result(rows=rows, arrays={"scores": scores})


def _alike(records: Sequence[Any], params: Mapping[str, Any]) -> Iterator[NDArray[np.uint8]]:
    """The pictures in their order, (n, h, w, 3): neighbours of one size together, at most `CHUNK`."""
    size = (params["input_height"], params["input_width"])
    for start in range(0, len(records), CHUNK):
        loaded = [picture(record, size) for record in records[start:start + CHUNK]]
        for _, group in groupby(loaded, key=np.shape):
            yield np.stack(list(group))


def make_trained_maps(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `saliency_units`: by the decoder of Baseline-Sal-Loss, else by HiResCAM; arrays as
    `paperlib.experiments.photo_sets.make_maps`."""
    trained = next(iter(inputs.values()))
    if params["variant"] == "sal_loss":
        return _decoded_maps(params, trained)
    from safetensors.torch import save

    file = scratch / "network.safetensors"
    with atomic_write(file) as stream:
        stream.write(save(_weights(trained)))
    return make_maps(params | {"model": params["backbone"], "weights": str(file), "weights_root": ""}, {}, scratch)


def _decoded_maps(params: Mapping[str, Any], trained: Result) -> Result:
    task = _trained(params, trained)
    records = reopened(params).records[params["first"]:params["last"]]
    maps: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for images in _alike(records, params):
            features = task.network.features(to_unit_range(images).to(device()))
            maps += [*task.saliency_maps(features, task.network.score_features(features)).float().cpu().numpy()]
    return Result(arrays={
        f"maps.{params['first'] + place}": to_levels(sized(one, record.size))
        for place, (one, record) in enumerate(zip(maps, records, strict=True))
    })


# -------------------------------------------------------------------------------------------------------------- table


def equivalence(rows: pd.DataFrame, settings: "DualTaskSettings") -> pd.DataFrame:
    """The claim of no quality drops, tested: TOST of each network's SROCC and PLCC against the Baseline of its
    backbone, paired by seed.

    Returns:
        One row per method, data set and metric with at least two seeds in common: `method`, `reference`, `dataset`,
        `metric`, `n` (seeds), and `difference`, `low`, `high`, `p`, `verdict` of `paperlib.metrics.equivalence.tost`.
    """
    keyed = rows[rows["variant"] == "quality"].set_index(["method", "dataset", "metric", "seed"])
    quality = keyed["value"].sort_index()
    references = {network.backbone: network.method for network in networks(settings) if network.variant == "baseline"}
    found = []
    for network in networks(settings):
        reference = references.get(network.backbone)
        for dataset in settings.quality_sets if network.method != reference else ():
            for metric, _ in QUALITY:
                keys = [(method, dataset, metric) for method in (network.method, reference)]
                if any(key not in quality.index for key in keys):
                    continue
                pair = pd.concat([quality.loc[key] for key in keys], axis=1, join="inner").to_numpy()
                if len(pair) > 1:
                    test = tost(pair[:, 0], pair[:, 1], MARGIN)
                    names = dict(zip(_TESTED, (network.method, reference, dataset, metric, len(pair)), strict=True))
                    found.append(names | {name: test[name] for name in _OUTCOME})
    return pd.DataFrame(found, columns=[*_TESTED, *_OUTCOME])


def columns(settings: "DualTaskSettings") -> tuple[Column, ...]:
    """Columns of Table II in the paper's order."""
    return tuple(
        Column(dataset, metric, direction, f"{metric} {'↑' if direction > 0 else '↓'}")
        for metrics, datasets in ((QUALITY, settings.quality_sets), (GAZE, settings.gaze_sets)) for dataset in datasets
        for metric, direction in metrics
    )


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table II from the rows of `units`, with the paper's numbers beside ours, and the verdicts on SROCC as notes."""
    settings = profile.dual_task
    wanted = rows[rows["variant"].isin(["quality", "fitted"])]
    keys = ["method", "dataset", "metric"]
    found, repeats = summarise(wanted, keys).set_index(keys), wanted.groupby(keys, sort=False)
    cells = []
    for section, method in _table_rows(settings):
        for column in columns(settings):
            key = (method, column.dataset, column.metric)
            value, sd, n = found.loc[key] if key in found.index else (math.nan, math.nan, 0)
            low, high = _span(repeats.get_group(key)) if n else (math.nan, math.nan)
            published = paper.published(2, method, column.dataset, column.metric)
            cells.append({
                "section": section, "method": method, "dataset": column.dataset, "metric": column.metric,
                "value": value, "sd": sd, "low": low, "high": high, "n": int(n),
                "published": math.nan if published is None else published, "ranked": section != "Control",
            })
    verdicts = equivalence(rows, settings)
    notes = (*NOTES, *map(_verdict, verdicts[verdicts["metric"] == "SROCC"].to_dict("records")))
    return TableData("table2", "Table II: two tasks at once", _caption(rows, profile, settings), columns(settings),
                     pd.DataFrame(cells), notes)


def _table_rows(settings: "DualTaskSettings") -> list[tuple[str, str]]:
    """(section, method) in order: what is trained stands between the centre prior and the saliency networks."""
    trained = [(network.section, network.method) for network in networks(settings)]
    rows = [("Dummy", "center_prior"), *trained, *(("SOTA SP", method) for method in SUPERVISED)]
    return sorted(rows, key=lambda row: row[0] == "Control")


def _span(repeats: pd.DataFrame) -> tuple[float, float]:
    """95 % interval over repeats; of a single one its own over pictures, NaN where it has none."""
    if len(repeats) > 1:
        return interval(list(repeats["value"]))[1:]
    return float(repeats["low"].iloc[0]), float(repeats["high"].iloc[0])


def _verdict(test: Mapping[str, Any]) -> str:
    label, reference = (paper.look(test[name]).label for name in ("method", "reference"))
    dataset = paper.DATASETS.get(test["dataset"], test["dataset"])
    return (
        f"{dataset}, SROCC, {label} against {reference}: {test['difference']:+.4f} "
        f"[{test['low']:+.4f}, {test['high']:+.4f}], {test['verdict']} within {MARGIN} (TOST over {test['n']} repeats, "
        f"p = {test['p']:.3g})."
    )


def _caption(rows: pd.DataFrame, profile: "Profile", settings: "DualTaskSettings") -> str:
    counts = rows[rows["method"] == "pictures"].groupby("dataset", sort=False)["value"]
    data = ", ".join(f"{paper.DATASETS.get(name, name)}: {' and '.join(f'{count:.0f}' for count in values)}"
                     for name, values in counts)
    rehearsal = "Rehearsal: generated pictures and random weights, the numbers mean nothing. "
    return (
        f"{rehearsal if profile.evidence == 'stand-ins' else ''}Ours: trained on the training and validation parts of "
        f"{paper.DATASETS.get(settings.training_set, settings.training_set)} for {settings.steps} steps, "
        f"{len(profile.seeds)} repeats, mean ± sd; in brackets 95 % intervals over repeats, of a single repeat over "
        "pictures. "
        f"Pictures ({data}). Proxy saliency: {settings.targets[0]}."
    )


NOTES = (
    "Maps after map transforms fitted on other images of the same set, the paper's on the evaluation images. Maps of "
    + "Baseline and Baseline-GradCAM-Loss: the extraction of section III-A; of Baseline-Sal-Loss: its decoder.",
    "Controls, networks with another target, take no part in the ranking.",
)
