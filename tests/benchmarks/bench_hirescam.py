"""Smoothed maps of an IQA network beside pytorch-grad-cam and beside bare forwards; the principal component alone.

All maps are of one image of 384x512 with two flips times three brightness factors, pytorch-grad-cam's own six passes,
and reduced to their first principal component.
"""

import contextlib
import io
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from paperlib.maps.hirescam import extract, first_principal_component
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.folding import prepare

from .timing import compare

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 384, 512, 3), dtype=np.uint8)
EFFICIENTNET, RESNET = "EfficientNet-B0", "ResNet-50"
TIMM_NAMES = {EFFICIENTNET: "efficientnet_b0", RESNET: "resnet50"}


class _Score:
    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        return output.sum()


@lru_cache(maxsize=1)
def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return Baseline(create_backbone(TIMM_NAMES[name])).eval()


def _by_the_peer(network: nn.Module) -> None:
    from pytorch_grad_cam import HiResCAM

    with contextlib.redirect_stdout(io.StringIO()), HiResCAM(network, [network.backbone]) as cam:
        cam(to_unit_range(IMAGE), [_Score()], aug_smooth=True, eigen_smooth=True)


def _six_forwards(network: nn.Module) -> None:
    images = to_unit_range(IMAGE)
    with torch.no_grad():
        for _ in range(6):
            network(images)


def _beside_the_peer(name: str, goal: float, prepared: bool = False, rounds: int = 3) -> dict[str, Any]:
    network = _network(name)
    ours = prepare(network, to_unit_range(IMAGE)) if prepared else network
    return compare(
        f"HiResCAM, 6 passes, first component, {name}{', prepared' if prepared else ''}",
        "pytorch-grad-cam",
        lambda: extract(ours, IMAGE, smoothing="flip_multiply"),
        lambda: _by_the_peer(network),
        goal,
        rounds,
    )


def _beside_forwards(name: str, rounds: int) -> dict[str, Any]:
    network = _network(name)
    return compare(
        f"HiResCAM, 6 passes, first component, {name}",
        "six plain forward passes without gradients",
        lambda: extract(network, IMAGE, smoothing="flip_multiply"),
        lambda: _six_forwards(network),
        1 / 1.10,
        rounds,
    )


def efficientnet() -> dict[str, Any]:
    return _beside_the_peer(EFFICIENTNET, 4.5)


def efficientnet_prepared() -> dict[str, Any]:
    return _beside_the_peer(EFFICIENTNET, 6.5, prepared=True)


def efficientnet_beside_forwards() -> dict[str, Any]:
    return _beside_forwards(EFFICIENTNET, rounds=5)


def resnet() -> dict[str, Any]:
    return _beside_the_peer(RESNET, 4, rounds=2)


def resnet_beside_forwards() -> dict[str, Any]:
    return _beside_forwards(RESNET, rounds=3)


def principal_component() -> dict[str, Any]:
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    evidence = torch.randn(6, 1280, 12, 16, generator=torch.Generator().manual_seed(0))
    return compare(
        "first principal component, 1280 channels of 12x16, 6 passes, per pass",
        "pytorch-grad-cam's full SVD",
        lambda: first_principal_component(evidence),
        lambda: get_2d_projection(evidence.numpy()),
        goal=50,
        rounds=5,
        per=len(evidence),
    )


BENCHMARKS = [
    efficientnet,
    efficientnet_prepared,
    efficientnet_beside_forwards,
    resnet,
    resnet_beside_forwards,
    principal_component,
]
