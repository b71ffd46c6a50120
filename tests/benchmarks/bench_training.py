"""A step of fine-tuning EfficientNet-B0 at 384x512 beside a bare timm loop, and the price of the GradCAM-Loss.

Random weights, two pictures per step on a processor; both sides see the same pictures in memory, channels last, and
make two steps with AdamW. A goal of .952 is 1.05 times the bare step, .87 is 1.15 times the plain one.
"""

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from paperlib.datasets.training_pairs import PairBatch, augmented
from paperlib.engine.finetuning import FinetuneSettings, finetune
from paperlib.models.backbones import IMAGENET_MEAN, IMAGENET_SD, create_backbone
from paperlib.models.baseline import Baseline
from paperlib.models.dual_task import DualTask

from .timing import Sides, benchmark

NAME, PICTURES, STEPS = "efficientnet_b0", 2, 2


def _batch() -> PairBatch:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (PICTURES, 384, 512, 3), np.uint8)
    return PairBatch(("a", "b"), images, images[..., 0].copy(), rng.random(PICTURES).astype(np.float32))


def _forever(first: int) -> Generator[PairBatch]:
    batch = _batch()
    while True:
        yield batch


def _ours(variant: str) -> Callable[[], Any]:
    torch.manual_seed(0)
    task = DualTask(Baseline(create_backbone(NAME)), variant)
    settings = FinetuneSettings(STEPS)
    return lambda: finetune(task, task.groups(1e-4, 3e-5), task.batch_loss, _forever, settings, seed=0)


def _bare() -> Callable[[], Any]:
    """Steps as a reader would write them with timm and PyTorch alone."""
    import timm

    torch.manual_seed(0)
    body = timm.create_model(NAME, num_classes=0)
    head = nn.Sequential(
        nn.Linear(body.num_features, 1024), nn.ReLU(), nn.Dropout(0.1), nn.Linear(1024, 128), nn.ReLU(), nn.Linear(128, 1)
    )
    network = nn.ModuleList([body, head]).to(memory_format=torch.channels_last).train()
    mean, sd = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_SD))

    def steps() -> None:
        optimiser = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-4)
        batch = _batch()
        images, mos = torch.from_numpy(batch.images), torch.from_numpy(batch.mos)
        for _ in range(STEPS):
            pictures = (images.permute(0, 3, 1, 2).float() / 255 - mean) / sd
            loss = F.mse_loss(head(body.forward_features(pictures).mean((2, 3)))[:, 0], mos)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return steps


@benchmark("training step, EfficientNet-B0, 2 of 384x512", "bare timm loop", goal=0.952, rounds=5, per=STEPS)
def step_beside_timm() -> Sides:
    return _ours("baseline"), _bare()


@benchmark(
    "step with the GradCAM-Loss, EfficientNet-B0, 2 of 384x512", "step of the Baseline", goal=0.87, rounds=5, per=STEPS
)
def gradcam_loss_beside_plain_step() -> Sides:
    return _ours("gradcam_loss"), _ours("baseline")


@benchmark("a batch of 2, windows and mirrors of decoded pictures", "the step that it feeds", goal=50, rounds=3, per=STEPS)
def batches_beside_a_step() -> Sides:
    """Making a batch of decoded pictures, against the step that it feeds; a goal of 50 is 2 % of the step."""
    rng, batch = np.random.default_rng(0), _batch()

    def make() -> None:
        for _ in range(STEPS):
            pairs = [augmented(pair, (384, 384), rng) for pair in zip(batch.images, batch.saliency, strict=True)]
            _ = [np.stack(planes) for planes in zip(*pairs, strict=True)]

    return make, _ours("baseline")
