"""Smoothed maps of an IQA network beside pytorch-grad-cam and beside bare forwards; the principal component alone.

All maps are of one image of 384x512 with two flips times three brightness factors, pytorch-grad-cam's own six passes,
and reduced to their first principal component.
"""

import contextlib
import io
from functools import lru_cache

import numpy as np
import torch
from torch import nn

from paperlib.maps.hirescam import extract, first_principal_component
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.folding import prepare

from .timing import Sides, benchmark

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 384, 512, 3), dtype=np.uint8)
EFFICIENTNET, RESNET = "efficientnet_b0", "resnet50"
NAME = "HiResCAM, 6 passes, first component"


@lru_cache(maxsize=1)
def _network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return Baseline(create_backbone(name)).eval()


@benchmark(f"{NAME}, ResNet-50", "pytorch-grad-cam", RESNET, goal=4, rounds=2)
@benchmark(f"{NAME}, EfficientNet-B0, prepared", "pytorch-grad-cam", EFFICIENTNET, True, goal=6.5, rounds=3)
@benchmark(f"{NAME}, EfficientNet-B0", "pytorch-grad-cam", EFFICIENTNET, goal=4.5, rounds=3)
def beside_the_peer(name: str, prepared: bool = False) -> Sides:
    from pytorch_grad_cam import HiResCAM

    network = _network(name)
    ours = prepare(network, to_unit_range(IMAGE)) if prepared else network

    def by_the_peer() -> None:
        with contextlib.redirect_stdout(io.StringIO()), HiResCAM(network, [network.backbone]) as cam:
            cam(to_unit_range(IMAGE), [torch.sum], aug_smooth=True, eigen_smooth=True)

    return lambda: extract(ours, IMAGE, smoothing="flip_multiply"), by_the_peer


@benchmark(f"{NAME}, ResNet-50", "six plain forward passes without gradients", RESNET, goal=1 / 1.10, rounds=3)
@benchmark(f"{NAME}, EfficientNet-B0", "six plain forward passes without gradients", EFFICIENTNET, goal=1 / 1.10, rounds=5)
def beside_forwards(name: str) -> Sides:
    network, images = _network(name), to_unit_range(IMAGE)

    def six_forwards() -> None:
        with torch.no_grad():
            for _ in range(6):
                network(images)

    return lambda: extract(network, IMAGE, smoothing="flip_multiply"), six_forwards


@benchmark(
    "first principal component, 1280 channels of 12x16, 6 passes, per pass", "pytorch-grad-cam's full SVD", goal=50,
    rounds=5, per=6,
)  # fmt: skip
def principal_component() -> Sides:
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    evidence = torch.randn(6, 1280, 12, 16, generator=torch.Generator().manual_seed(0))
    return lambda: first_principal_component(evidence), lambda: get_2d_projection(evidence.numpy())
