"""What the rehearsal profile runs on: stand-in data sets and checkpoints, in the official layouts and file formats.

The pictures are generated and the weights are random, so the numbers mean nothing. That every line of the paper profile
runs on them is what they are for.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from paperlib.engine.progress import say
from paperlib.experiments.compression.plan import BASELINES
from paperlib.models.backbones import create_backbone, imagenet_file
from paperlib.models.baseline import Baseline
from paperlib.models.quality.methods import describe
from paperlib.models.stand_ins import random_files
from paperlib.paths import atomic_write, temporary_folder
from paperlib.rehearsal.koniq_clive import write_clive, write_koniq
from paperlib.rehearsal.sacid import write_clic, write_sacid
from paperlib.rehearsal.salicon_cat2000 import write_cat2000, write_salicon
from paperlib.sources.source import KNOWN, Source, baseline_file, official_files

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SEED = 0
SALICON_PICTURES = 6
CAT2000_PICTURES = 1
CAT2000_CATEGORIES = ("Action", "Indoor", "Pattern", "Sketch")
KONIQ_PICTURES = 15
CLIVE_PICTURES = 6
SEQUENCES, WITHOUT_REFERENCE = 3, 1
"""Twelve pictures each, seconds a picture for AHIQ and MANIQA; one published copy of SACID lacks 18 of 60 references."""
CODED_SIZE = (224, 288)


def write_standins(profile: "Profile") -> None:
    """Write what is missing below the profile's `data_root` and `weights_root`."""
    data, weights = Path(profile.data_root), Path(profile.weights_root)
    write_salicon(data / "salicon", SALICON_PICTURES, SEED)
    write_cat2000(data / "cat2000", CAT2000_PICTURES, SEED, categories=CAT2000_CATEGORIES)
    write_koniq(data / "koniq10k", KONIQ_PICTURES, SEED)
    write_clive(data / "clive", CLIVE_PICTURES, SEED)
    sources = {method: KNOWN[method] for method in (*profile.photographs.methods, *profile.dual_task.targets)}
    sources |= {name: Source("activation", name) for name in profile.dual_task.backbones}
    for method, source in sources.items():
        if any(not (weights / file.name).is_file() for file in official_files(source)):
            say(f"rehearsal: random weights of {method} in the official format")
            write_checkpoint(source, weights)
    methods = [method for method in profile.compression.scored_methods if method not in BASELINES]
    _write_sacid(data, weights, methods)


def write_checkpoint(source: Source, folder: Path) -> None:
    torch.manual_seed(SEED)
    if source.kind in ("network", "quality"):
        random_files(source.model, folder, SEED)
    elif source.kind == "baseline":
        save_network(Baseline(create_backbone(source.model)), folder / baseline_file(source.model))
    else:
        import timm

        save_network(timm.create_model(source.model), folder / imagenet_file(source.model))


def save_network(network: torch.nn.Module, file: Path) -> None:
    from safetensors.torch import save

    with atomic_write(file) as stream:
        stream.write(save({name: value.contiguous() for name, value in network.state_dict().items()}))


def _write_sacid(data: Path, weights: Path, methods: Iterable[str]) -> None:
    """The folders `data/sacid` and `data/clic2021`, and in `weights` the files of `methods`, where they are missing; files
    that are there are left alone: other methods may load them too."""
    write_sacid(data / "sacid", SEQUENCES, SEED, CODED_SIZE, without_reference=WITHOUT_REFERENCE)
    write_clic(data / "clic2021", SEQUENCES, SEED, CODED_SIZE)
    for method in methods:
        missing = [file.name for file in describe(method).files if not (weights / file.name).is_file()]
        if missing:
            say(f"rehearsal: random weights of {method} in the official format")
            weights.mkdir(parents=True, exist_ok=True)
            with temporary_folder(weights) as folder:
                random_files(method, folder, SEED)
                for name in missing:
                    os.replace(folder / name, weights / name)
