"""What the rehearsal profile runs on: stand-in data sets and checkpoints, in the official layouts and file formats.

The pictures are generated and the weights are random, so the numbers mean nothing. That every line of the paper profile
runs on them is what they are for.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from paperlib.datasets.opinion_standins import write_clive, write_koniq
from paperlib.datasets.standins import write_cat2000, write_salicon
from paperlib.engine.progress import say
from paperlib.experiments.photo_sources import ORIGINS, Origin, baseline_file, needed_files
from paperlib.models.backbones import create_backbone, imagenet_file
from paperlib.models.baseline import Baseline
from paperlib.models.stand_ins.quality import random_files
from paperlib.models.stand_ins.saliency import random_checkpoint
from paperlib.paths import atomic_write

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SEED = 0
SALICON_PICTURES = 6
CAT2000_PICTURES = 1
CAT2000_CATEGORIES = ("Action", "Indoor", "Pattern", "Sketch")
KONIQ_PICTURES = 15
CLIVE_PICTURES = 6


def write_standins(profile: "Profile") -> None:
    """Write what is missing below the profile's `data_root` and `weights_root`."""
    data, weights = Path(profile.data_root), Path(profile.weights_root)
    write_salicon(data / "salicon", SALICON_PICTURES, SEED)
    write_cat2000(data / "cat2000", CAT2000_PICTURES, SEED, categories=CAT2000_CATEGORIES)
    write_koniq(data / "koniq10k", KONIQ_PICTURES, SEED)
    write_clive(data / "clive", CLIVE_PICTURES, SEED)
    origins = {method: ORIGINS[method] for method in (*profile.photographs.methods, *profile.dual_task.targets)}
    origins |= {name: Origin("activation", name) for name in profile.dual_task.backbones}
    for method, origin in origins.items():
        if any(not (weights / name).is_file() for name, _ in needed_files(origin)):
            say(f"rehearsal: random weights of {method} in the official format")
            write_checkpoint(origin, weights)


def write_checkpoint(origin: Origin, folder: Path) -> None:
    torch.manual_seed(SEED)
    if origin.kind == "network":
        random_checkpoint(origin.model, folder, SEED)
    elif origin.kind == "quality":
        random_files(origin.model, folder, SEED)
    elif origin.kind == "baseline":
        _save(Baseline(create_backbone(origin.model)), folder / baseline_file(origin.model))
    else:
        import timm

        _save(timm.create_model(origin.model), folder / imagenet_file(origin.model))


def _save(network: torch.nn.Module, file: Path) -> None:
    from safetensors.torch import save

    with atomic_write(file) as stream:
        stream.write(save({name: value.contiguous() for name, value in network.state_dict().items()}))
