"""How the shipped backbone was made: it learnt to name the subjects of the micro-world, the analogue of ImageNet.

`python -m paperlib pretrain` makes `microworld_backbone.safetensors` anew.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from paperlib.datasets import microworld
from paperlib.datasets.training_pairs import batch_plan
from paperlib.datasets.world_pictures import ImageSet
from paperlib.engine.finetuning import FinetuneSettings, finetune
from paperlib.models.backbones import MICROWORLD, TINY_WEIGHTS, Backbone, create_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.paths import atomic_write

IMAGES = 4000
EPOCHS = 8
LEARNING_RATE = 4e-3
BATCH_SIZE = 32
LABEL_SMOOTHING = 0.05
WARM_UP = 0.15
"""Share of the steps in which the learning rate rises."""
MOSTLY_GOOD = (1.0, 5.0)
LEVEL_JITTER = 0.18
TRAIN_SEED, TEST_SEED = 7000, 8000
TEST_IMAGES = 500


@dataclass(frozen=True)
class _Batch:
    """Which pictures, and whether they are mirrored."""

    index: torch.Tensor
    mirrored: bool

    @property
    def keys(self) -> list[str]:
        return [str(index) for index in self.index.tolist()]


def pretrain(images: int = IMAGES, epochs: int = EPOCHS, seed: int = 0) -> tuple[Backbone, float]:
    """Train the tiny backbone to name subjects in mostly good pictures.

    Returns:
        The backbone and its accuracy on 500 new pictures, in [0, 1].
    """
    training = _pictures(images, TRAIN_SEED + seed)
    torch.manual_seed(seed)
    network = Baseline(create_backbone(MICROWORLD), hidden=())
    network.head = nn.Sequential(nn.Linear(network.backbone.channels, len(microworld.FAMILIAR)))
    pixels = torch.from_numpy(training.images)
    names = torch.from_numpy(training.category.astype(np.int64))

    size = min(BATCH_SIZE, images)

    def loss(batch: _Batch) -> torch.Tensor:
        seen = to_unit_range(pixels[batch.index])
        logits = _logits(network, seen.flip(3) if batch.mirrored else seen)
        return F.cross_entropy(logits, names[batch.index], label_smoothing=LABEL_SMOOTHING)

    def batches(first: int) -> Generator[_Batch]:
        for number, (epoch, index) in enumerate(batch_plan(images, size, seed, first), start=first):
            mirrored = np.random.default_rng([seed, epoch, number]).random() < 0.5
            yield _Batch(torch.from_numpy(index), bool(mirrored))

    steps = epochs * (images // size)
    settings = FinetuneSettings(steps, warm_up=round(WARM_UP * steps))
    groups = [{"params": list(network.parameters()), "lr": LEARNING_RATE}]
    finetune(network, groups, loss, batches, settings, seed=seed, title="naming subjects")
    return network.backbone, _accuracy(network, _pictures(TEST_IMAGES, TEST_SEED + seed))


def pretrain_command(images: int = IMAGES, epochs: int = EPOCHS, seed: int = 0, out: Path = TINY_WEIGHTS) -> float:
    """Run `pretrain` and write the backbone to `out` as safetensors; returns the accuracy."""
    from safetensors.torch import save

    backbone, accuracy = pretrain(images, epochs, seed)
    state = {key: value.contiguous() for key, value in backbone.state_dict().items()}
    with atomic_write(out) as file:
        file.write(save(state))
    return accuracy


def _pictures(n: int, seed: int) -> ImageSet:
    return microworld.generate(n, seed, level_beta=MOSTLY_GOOD, level_jitter=LEVEL_JITTER, name="subjects")


def _logits(network: Baseline, batch: torch.Tensor) -> torch.Tensor:
    return network.head(network.features(batch).mean((2, 3)))


def _accuracy(network: Baseline, pictures: ImageSet) -> float:
    with torch.no_grad():
        named = torch.cat(
            [
                _logits(network, to_unit_range(pictures.images[start : start + 100])).argmax(1)
                for start in range(0, len(pictures), 100)
            ]
        )
    return float((named.numpy() == pictures.category).mean())
