"""Trains a network on pictures with opinion scores and, where its variant asks for it, on maps that stand for gaze."""

import hashlib
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from paperlib.datasets.training_pairs import PairBatch, ProxyMaps, TrainingPairs
from paperlib.engine.finetuning import FinetuneSettings, finetune
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result
from paperlib.experiments.maps.compute import StoredShards
from paperlib.experiments.sets.opening import opened
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline
from paperlib.models.dual_task import WITH_DECODER, DualTask
from paperlib.models.stages import cut
from paperlib.sources.maps import device
from paperlib.sources.networks import pretrained_backbone

_LOADERS = 4


def training_set(params: Mapping[str, Any], inputs: Inputs) -> Any:
    """The pictures that are trained on: the parts of their set in the order of `parts`, or all of it.

    Raises:
        PaperlibError: the set has no split, or lacks a part: then test pictures could not be told apart.
    """
    whole = opened(params, inputs)
    if not params["parts"]:
        return whole
    return whole.holding([record for part in params["parts"] for record in whole.part(part).records])


def train(
    params: dict[str, Any], inputs: Inputs, scratch: Path, before_step: Callable[[int, DualTask], None] | None = None
) -> Result:
    """Arrays `weights.<name>` of the network and `losses` (steps,); rows of the last loss, and of the share of time that was
    spent waiting for data. `before_step` is called with the number of each step and the task as it is before it."""
    pictures = training_set(params, inputs)
    maps = ProxyMaps(_stored(params, inputs, pictures, "proxies", "maps"), params["maps"]) if params["target"] else None
    crop = (params["crop_height"], params["crop_width"])
    size = (params["training_height"], params["training_width"])
    loaders = min(_LOADERS, (os.cpu_count() or 1) - 1)
    pairs = TrainingPairs(
        pictures,
        maps,
        size if all(size) else pictures.records[0].size,
        crop if all(crop) else None,
        seed=params["seed"],
        cache=Path(params["cache"]) if params["cache"] else None,
        workers=loaders,
        progress=progress,
        center_mos=params["center_mos"],
        features=_stored(params, inputs, pictures, "stored", "features", None) if params["frozen_until"] else None,
    )
    task = _task(params).to(device())
    rest = None
    if params["frozen_until"]:
        first, rest = cut(task.network.backbone, params["frozen_until"])
        first.requires_grad_(False)
    if not params["train_backbone"]:
        task.network.backbone.requires_grad_(False)
    groups = task.groups(params["head_lr"], params["backbone_lr"])
    names = ("steps", "accumulate", "warm_up", "weight_decay", "clip_norm", "ema_decay", "deterministic")
    settings = FinetuneSettings(precision=params["training_precision"], **{name: params[name] for name in names})
    decided = {name: value for name, value in params.items() if name not in ("root", "weights_root", "weights", "cache")}
    training = finetune(
        task,
        groups,
        partial(_loss, task, rest, params["train_backbone"]),
        lambda first: pairs.batches(params["batch_size"], first, loaders),
        settings,
        seed=params["seed"],
        checkpoint=scratch / "state.pt",
        identity=hashlib.sha256(repr(sorted(decided.items())).encode()).hexdigest()[:16],
        title=params["method"],
        before_step=before_step and (lambda step: before_step(step, task)),
    )
    weights = {f"weights.{name}": value.cpu().numpy() for name, value in task.network.state_dict().items()}
    common = {name: params[name] for name in ("method", "dataset", "seed")} | {"variant": "training", "n": params["steps"]}
    rows = [
        common | {"metric": "loss", "value": float(training.losses[-1])},
        common | {"metric": "waiting", "value": training.waiting},
    ]
    return Result(rows=rows, arrays=weights | {"losses": training.losses})


def _loss(task: DualTask, rest: torch.nn.Module | None, train_backbone: bool, batch: PairBatch) -> torch.Tensor:
    """Loss of a batch; a backbone that is not trained keeps the statistics of its batch normalisations, too."""
    task.network.backbone.train(train_backbone)
    return task.batch_loss(batch, rest)


def losses(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `losses_unit`: rows and array `losses` of `train`, without the network's weights."""
    (trained,) = inputs.values()
    return Result(rows=trained.rows, arrays={"losses": trained.arrays["losses"]})


def _stored(
    params: Mapping[str, Any], inputs: Inputs, pictures: Any, units: str, kind: str, held: int | None = 2
) -> Callable[[int], NDArray]:
    """The stored maps, or features, of the parts as one list, in the order of `training_set`; the parameter `units` names
    the units of each part."""
    stored = [StoredShards(inputs, shards, params["shard"], held) for shards in params[units]]
    lengths = [pictures.splits[part] for part in params["parts"]] or [len(pictures)]
    starts = np.cumsum([0, *lengths[:-1]])

    def load(index: int) -> NDArray:
        place = int(np.searchsorted(starts, index, side="right")) - 1
        return stored[place](kind, index - int(starts[place]))

    return load


def _task(params: Mapping[str, Any]) -> DualTask:
    """Network and loss of a variant; the head starts at random by the seed, alike in all variants."""
    name = params["backbone"]
    with torch.random.fork_rng([]):
        torch.manual_seed(params["seed"])
        backbone = pretrained_backbone(name, params["weights"]) if params["pretrained"] else create_backbone(name)
        network = Baseline(backbone, decoder=params["variant"] in WITH_DECODER)
    names = ("saliency_loss", "weighting", "saliency_weight", "activation", "channels")
    return DualTask(network, params["variant"], **{name: params[name] for name in names if name in params})
