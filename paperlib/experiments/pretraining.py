"""How the shipped backbone was made: it learnt to name the subjects of the micro-world, the analogue of ImageNet.

`python -m paperlib pretrain` makes `microworld_backbone.safetensors` anew.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from paperlib.datasets import microworld
from paperlib.datasets.records import ImageSet
from paperlib.engine.training import fit
from paperlib.models.backbones import TINY_WEIGHTS, Backbone, create_tiny_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.paths import atomic_write

IMAGES = 4000
EPOCHS = 8
LEARNING_RATE = 4e-3
BATCH_SIZE = 32
LABEL_SMOOTHING = 0.05
MOSTLY_GOOD = (1.0, 5.0)
LEVEL_JITTER = 0.18
TRAIN_SEED, TEST_SEED = 7000, 8000
TEST_IMAGES = 500


def pretrain(images: int = IMAGES, epochs: int = EPOCHS, seed: int = 0) -> tuple[Backbone, float]:
    """Train the tiny backbone to name subjects in mostly good pictures.

    Returns:
        The backbone and its accuracy on 500 new pictures, in [0, 1].
    """
    training = _pictures(images, TRAIN_SEED + seed)
    torch.manual_seed(seed)
    network = Baseline(create_tiny_backbone(pretrained=False), hidden=())
    network.head = nn.Linear(network.backbone.channels, len(microworld.FAMILIAR))
    pixels = torch.from_numpy(training.images)
    names = torch.from_numpy(training.category.astype(np.int64))

    def loss(index: torch.Tensor, mirrored: bool) -> torch.Tensor:
        batch = to_unit_range(pixels[index])
        return F.cross_entropy(
            _logits(network, batch.flip(3) if mirrored else batch), names[index], label_smoothing=LABEL_SMOOTHING
        )

    groups = [{"params": list(network.parameters()), "lr": LEARNING_RATE}]
    fit(
        network,
        groups,
        loss,
        images,
        epochs=epochs,
        batch_size=min(BATCH_SIZE, images),
        weight_decay=1e-4,
        seed=seed,
        title="naming subjects",
    )
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
