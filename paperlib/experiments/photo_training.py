"""Table II on photographs: each variant of section III-C is trained on opinions and proxy saliency, then tested twice.

    pictures ──> proxy maps of a shard ──> their fingerprint ──> training ──┬─> scores of a test set ──> SROCC, PLCC
                                                                 gaze data ─┴─> maps of a shard ──> measured

Every training is a unit of its own, known by (backbone, variant, target, seed): a target is the method whose maps stand
for gaze. The first backbone with the first target makes the paper's rows; the other targets are controls, trained for
the first `n_control_seeds` seeds. MSI-Net has seen SALICON's gaze, so that what a network learned from its maps may be
the test set's own; the centre prior as a target has seen none.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
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
from paperlib.experiments.dual_task_table import EXPERIMENT, cells, columns
from paperlib.experiments.over_seeds import interval
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
    weights_file,
    weights_fingerprint,
)
from paperlib.experiments.quality_drops import verdicts
from paperlib.experiments.rehearsal import write_standins
from paperlib.maps.transform import to_levels
from paperlib.metrics.correlation import plcc, srocc, srocc_interval
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.dual_task import DualTask
from paperlib.paths import atomic_write

if TYPE_CHECKING:
    from paperlib.profiles import DualTaskSettings, Profile

PARTS = ("training", "validation")
"""Of the opinion set: what is trained on. There is no early stopping, so validation pictures are free for it."""

METHODS = {"baseline": "baseline", "sal_loss": "baseline_sal_loss", "gradcam_loss": "baseline_gradcam_loss"}
"""Variant -> key of `paperlib.paper.METHODS`; with another backbone than the first `<key>_<backbone>`, if there is one."""

SUPERVISED = ("msinet", "transalnet")
"""Rows of Table II that are not trained here; they are Table I's."""

_LOADERS = 4
_RESAMPLES = 31


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
        raise PaperlibError(
            f"Table II knows no {listing(unknown)}; variants are {', '.join(METHODS)}, targets are {', '.join(ORIGINS)}"
        )
    return [
        _network(settings, backbone, variant, target)
        for number, wanted in enumerate(settings.targets)
        for backbone in settings.backbones
        for variant in settings.variants
        if variant != "baseline" or not number
        for target in ("" if variant == "baseline" else wanted,)
    ]


def _network(settings: "DualTaskSettings", backbone: str, variant: str, target: str) -> Network:
    is_control = target not in ("", settings.targets[0])
    method = METHODS[variant] if backbone == settings.backbones[0] else f"{METHODS[variant]}_{backbone}"
    if is_control or method not in paper.METHODS:
        parts = [paper.look(METHODS[variant]).label, backbone, *([f"target {target}"] if is_control else [])]
        method = ", ".join(parts)
    return Network(backbone, variant, target, method, "Control" if is_control else backbone)


# ------------------------------------------------------------------------------------------------------------- units


@dataclass(frozen=True)
class _Sets:
    """The opened data sets of a profile: what is trained on, and what scores and maps are tested on."""

    pairs: Source
    tests: tuple[Source, ...]
    gazes: tuple[Source, ...]


@lru_cache(maxsize=2)
def _opened_sets(profile: "Profile") -> _Sets:
    """Opened once per process and profile, like the rows that `paperlib.experiments` keeps."""
    settings = profile.dual_task
    if profile.evidence == "stand-ins":
        write_standins(profile)
    return _Sets(
        training_source(profile, settings),
        tuple(_opinions(profile, name) for name in settings.quality_sets),
        tuple(open_gaze_source(profile, name) for name in settings.gaze_sets),
    )


@dataclass(frozen=True)
class Training:
    """One repeat of a network, and the unit that trains it; that unit's first need is the check of all pictures."""

    network: Network
    seed: int
    unit: Unit

    @property
    def name(self) -> str:
        """Unique among the trainings of a profile."""
        return f"{self.network.name}/seed{self.seed}"


def trainings(profile: "Profile") -> list[Training]:
    """Every training, repeat by repeat.

    Raises:
        PaperlibError: as `units`.
    """
    settings, wanted = profile.dual_task, networks(profile.dual_task)
    sets = _opened_sets(profile)
    require_weights(_needed(profile, settings), Path(profile.weights_root))
    checked = check_unit(sets.pairs, sets.tests)
    proxies = {target: proxy_units(profile, sets.pairs, target, checked) for target in settings.targets}
    out = []
    for position, seed in enumerate(profile.seeds):
        for network in wanted:
            if network.section == "Control" and position >= profile.n_control_seeds:
                continue
            needs = [checked, *proxies.get(network.target, [])]
            out.append(Training(network, seed, training_unit(profile, settings, sets.pairs, network, seed, needs)))
    return out


def units(profile: "Profile") -> list[Unit]:
    """All units of Table II with rows on the data sets of `profile`; networks and maps, which are large, are only needs
    of them, to stay in the store.

    Raises:
        PaperlibError: data or weights are missing or unfit; told before anything is computed.
    """
    settings, planned, sets = profile.dual_task, trainings(profile), _opened_sets(profile)
    out = [planned[0].unit.needs[0]]
    for one in planned:
        out.append(losses_unit(one))
        out += [quality_unit(profile, settings, one, test) for test in sets.tests]
        out += [saliency_unit(profile, settings, one, gaze) for gaze in sets.gazes]
    others = tuple(method for method in SUPERVISED if method in profile.photographs.methods)
    shown = replace(profile, models=(), photographs=replace(profile.photographs, methods=others))
    for gaze in sets.gazes:
        known = photo_maps.measured_units(shown, gaze)
        out += [known[method] for method in ("center_prior", *others)]
    return out


def shown_maps(profile: "Profile", methods: Sequence[str], n: int) -> tuple[Source, dict[str, list[Unit]]]:
    """The first set with gaze, and by method the units with the maps of its first `n` pictures, of the first repeat.

    Raises:
        PaperlibError: as `units`.
    """
    gaze = _opened_sets(profile).gazes[0]
    chosen = [one for one in trainings(profile) if one.seed == profile.seeds[0] and one.network.method in methods]
    return gaze, {
        one.network.method: [
            unit for unit in map_units(profile, profile.dual_task, one, gaze) if dict(unit.params)["first"] < n
        ]
        for one in chosen
    }


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
        EXPERIMENT,
        f"leaks/{pairs.name}",
        "paperlib.experiments.photo_training:check_leaks",
        places=places,
        cost=60.0,
        tests=names,
        test_fingerprints=prints,
        **pairs.params,
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
        EXPERIMENT,
        f"train/{network.name}/seed{seed}",
        "paperlib.experiments.photo_training:train",
        needs=needs,
        places={"root": pairs.root, "weights_root": profile.weights_root, "cache": cache},
        cost=10_000.0,
        resources=resources,
        seed=seed,
        shard=profile.photographs.shard,
        **_training_params(profile, settings, network),
        **pairs.params,
    )


def _training_params(profile: "Profile", settings: "DualTaskSettings", network: Network) -> dict[str, Any]:
    own = profile.training
    names = (
        "steps",
        "accumulate",
        "warm_up",
        "clip_norm",
        "ema_decay",
        "deterministic",
        "training_precision",
        "training_height",
        "training_width",
        "crop_height",
        "crop_width",
        "weighting",
        "channels",
    )
    return (
        {name: getattr(settings, name) for name in names}
        | _kind(settings, network)
        | {
            "method": network.method,
            "target": network.target,
            "batch_size": own.batch_size,
            "head_lr": own.head_lr,
            "backbone_lr": own.head_lr * own.backbone_lr_factor,
            "weight_decay": own.weight_decay,
            "saliency_loss": own.saliency_loss,
            "saliency_weight": own.saliency_weight,
            "content": weights_fingerprint(_imagenet(network.backbone), Path(profile.weights_root)),
        }
    )


def _kind(settings: "DualTaskSettings", network: Network) -> dict[str, Any]:
    """Parameters that build a network's modules again."""
    return {"backbone": network.backbone, "variant": network.variant, "activation": settings.activation}


def losses_unit(training: Training) -> Unit:
    """What a training has to tell besides its network."""
    return Unit.of(
        EXPERIMENT, f"losses/{training.name}", "paperlib.experiments.photo_training:losses", needs=[training.unit]
    )


def quality_unit(profile: "Profile", settings: "DualTaskSettings", training: Training, test: Source) -> Unit:
    """Scores of a test set and their agreement with MOS."""
    seen, network = profile.photographs, training.network
    return Unit.of(
        EXPERIMENT,
        f"quality/{network.name}/{test.name}/seed{training.seed}",
        "paperlib.experiments.photo_training:measure_quality",
        needs=[training.unit],
        places={"root": test.root},
        cost=50.0,
        method=network.method,
        seed=training.seed,
        input_height=seen.input_height,
        input_width=seen.input_width,
        **_kind(settings, network),
        **test.params,
    )


def map_units(profile: "Profile", settings: "DualTaskSettings", training: Training, source: Source) -> list[Unit]:
    """The maps of a trained network, shard by shard."""
    network, n, shard = training.network, len(source.pictures), profile.photographs.shard
    smoothing = profile.extraction
    how = network_params(profile, _imagenet(network.backbone)) | {
        "kind": "baseline",
        "smoothing": smoothing.smoothing,
        "principal_component": smoothing.principal_component,
        "seed": training.seed,
    }
    needs = [training.unit, photo_maps.gaze_unit(profile, source)]
    return [
        Unit.of(
            EXPERIMENT,
            f"maps/{network.name}/{source.name}/seed{training.seed}/{first}",
            "paperlib.experiments.photo_training:make_trained_maps",
            needs=needs,
            places={"root": source.root},
            cost=20.0,
            first=first,
            last=min(first + shard, n),
            **how,
            **_kind(settings, network),
            **source.params,
        )
        for first in range(0, n, shard)
    ]


def saliency_unit(profile: "Profile", settings: "DualTaskSettings", training: Training, source: Source) -> Unit:
    """Measures the maps of `map_units` as Table I does."""
    needs = [photo_maps.gaze_unit(profile, source), *map_units(profile, settings, training, source)]
    return Unit.of(
        EXPERIMENT,
        f"saliency/{training.network.name}/{source.name}/seed{training.seed}",
        "paperlib.experiments.photo_maps:measure",
        needs=needs,
        places={"root": source.root},
        cost=10.0,
        method=training.network.method,
        seed=training.seed,
        shard=profile.photographs.shard,
        n_folds=profile.photographs.n_folds,
        **source.params,
    )


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
        raise PaperlibError(
            f"{len(leaks)} pictures that {own.title} is trained on are tested on as well, equal in "
            f"every pixel: {listing(leaks)}; take them out of the training part, or restore the "
            "official split"
        )
    return Result(rows=rows)


def _count_row(pictures: OpinionSet, n: int) -> dict[str, Any]:
    return {
        "method": "pictures",
        "dataset": pictures.name,
        "variant": "data",
        "metric": "pictures",
        "value": float(n),
        "n": n,
    }


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
        pictures,
        maps,
        (params["training_height"], params["training_width"]),
        Augmentation(crop=crop if all(crop) else None),
        seed=params["seed"],
        cache=Path(params["cache"]),
        workers=loaders,
        progress=progress,
    )
    task = _task(params, weights_file(_imagenet(params["backbone"]), Path(params["weights_root"]))).to(device())
    settings = FinetuneSettings(
        precision=params["training_precision"],
        **{
            name: params[name]
            for name in ("steps", "accumulate", "warm_up", "weight_decay", "clip_norm", "ema_decay", "deterministic")
        },
    )
    decided = {name: value for name, value in params.items() if name not in ("root", "weights_root", "cache")}
    training = finetune(
        task,
        task.groups(params["head_lr"], params["backbone_lr"]),
        task.batch_loss,
        lambda first: pairs.batches(params["batch_size"], first, loaders),
        settings,
        seed=params["seed"],
        checkpoint=scratch / "state.pt",
        identity=_digest({**decided, "maps": maps.fingerprint if maps else ""}),
        title=params["method"],
    )
    weights = {f"weights.{name}": value.cpu().numpy() for name, value in task.network.state_dict().items()}
    common = {
        "method": params["method"],
        "dataset": params["dataset"],
        "variant": "training",
        "seed": params["seed"],
        "n": params["steps"],
    }
    rows = [
        common | {"metric": "loss", "value": float(training.losses[-1])},
        common | {"metric": "waiting", "value": training.waiting},
    ]
    return Result(rows=rows, arrays=weights | {"losses": training.losses})


def losses(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `losses_unit`: rows and array `losses` of `train`, without the network's weights."""
    (trained,) = inputs.values()
    return Result(rows=trained.rows, arrays={"losses": trained.arrays["losses"]})


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:16]


def _proxy_maps(params: Mapping[str, Any], inputs: Inputs, pictures: OpinionSet) -> ProxyMaps:
    """The stored maps of the parts as one list, in the order of `training_set`."""
    _, printed, *shards = inputs
    levels, starts = [], []
    for part in PARTS:
        own = [name for name in shards if name.startswith(f"proxy {params['target']}, {part}/")]
        levels.append(StoredLevels(inputs, own, params["shard"]))
        starts.append(sum(pictures.splits[before] for before in PARTS[: len(starts)]))

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
    return {
        name.removeprefix("weights."): torch.from_numpy(np.array(value))
        for name, value in result.arrays.items()
        if name.startswith("weights.")
    }


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
    common = {"method": params["method"], "dataset": test.name, "variant": "quality", "seed": params["seed"], "n": len(test)}
    rows = [
        common | {"metric": "SROCC", "value": float(srocc(scores, test.mos)), "low": low, "high": high},
        common | {"metric": "PLCC", "value": float(plcc(scores, test.mos))},
    ]
    return Result(rows=rows, arrays={"scores": scores})


def _alike(records: Sequence[Any], params: Mapping[str, Any]) -> Iterator[NDArray[np.uint8]]:
    """The pictures in their order, (n, h, w, 3): neighbours of one size together, at most `CHUNK`."""
    size = (params["input_height"], params["input_width"])
    for start in range(0, len(records), CHUNK):
        loaded = [picture(record, size) for record in records[start : start + CHUNK]]
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
    records = reopened(params).records[params["first"] : params["last"]]
    maps: list[NDArray[np.float32]] = []
    with torch.no_grad():
        for images in _alike(records, params):
            features = task.network.features(to_unit_range(images).to(device()))
            maps += [*task.saliency_maps(features, task.network.score_features(features)).float().cpu().numpy()]
    return Result(
        arrays={
            f"maps.{params['first'] + place}": to_levels(sized(one, record.size))
            for place, (one, record) in enumerate(zip(maps, records, strict=True))
        }
    )


# -------------------------------------------------------------------------------------------------------------- table


def references(profile: "Profile") -> dict[str, str]:
    """Network -> the Baseline of its backbone, for every other network."""
    found = networks(profile.dual_task)
    baselines = {network.backbone: network.method for network in found if network.variant == "baseline"}
    return {
        network.method: baselines[network.backbone]
        for network in found
        if network.backbone in baselines and network.method != baselines[network.backbone]
    }


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table II from the rows of `units`, with the paper's numbers beside ours, and the verdicts on SROCC as notes."""
    settings = profile.dual_task
    lines, shown = _table_rows(settings), columns(settings.quality_sets, settings.gaze_sets)
    resnet = [RESNET_NOTE] if any(method == RESNET for _, method in lines) else []
    notes = (*NOTES, *resnet, *verdicts(rows, references(profile)))
    return TableData(
        "table2",
        "Table II: two tasks at once",
        _caption(rows, profile, settings),
        shown,
        cells(rows, lines, shown, _published, _span),
        notes,
    )


def _published(method: str, column: Column) -> float | None:
    """The paper's number: of its Table II, or of its Table I for a method that stands there alone."""
    found = (paper.published(number, method, column.dataset, column.metric) for number in (2, 1))
    return next((value for value in found if value is not None), None)


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


def _caption(rows: pd.DataFrame, profile: "Profile", settings: "DualTaskSettings") -> str:
    counts = rows[rows["method"] == "pictures"].groupby("dataset", sort=False)["value"]
    data = ", ".join(
        f"{paper.DATASETS.get(name, name)}: {' and '.join(f'{count:.0f}' for count in values)}" for name, values in counts
    )
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
RESNET = "baseline_resnet50"
RESNET_NOTE = "The paper's Table II has one backbone; its numbers of Baseline-ResNet50 on SALICON are those of its Table I."
