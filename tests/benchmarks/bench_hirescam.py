"""Smoothed maps of an IQA network beside pytorch-grad-cam, on the same six passes and with the first principal component."""

import contextlib
import io
from typing import Any

import numpy as np
import torch
from paperlib.maps.hirescam import extract, first_principal_component
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range

from .timing import compare


class _Score:
    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        return output.sum()


def six_passes() -> dict[str, Any]:
    from pytorch_grad_cam import HiResCAM

    torch.manual_seed(0)
    network = Baseline(create_backbone("efficientnet_b0")).eval()
    image = np.random.default_rng(0).integers(0, 256, (1, 384, 512, 3), dtype=np.uint8)

    def peer() -> None:
        with contextlib.redirect_stdout(io.StringIO()), HiResCAM(network, [network.backbone]) as cam:
            cam(to_unit_range(image), [_Score()], aug_smooth=True, eigen_smooth=True)

    return compare(
        "HiResCAM, 6 passes, first component, EfficientNet-B0, 384x512", "pytorch-grad-cam",
        lambda: extract(network, image, smoothing="flip_multiply"), peer, goal=4.5, rounds=3,
    )


def principal_component() -> dict[str, Any]:
    from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

    evidence = torch.randn(1, 1280, 12, 16, generator=torch.Generator().manual_seed(0))
    return compare(
        "first principal component, 1280 channels of 12x16", "pytorch-grad-cam's full SVD",
        lambda: first_principal_component(evidence), lambda: get_2d_projection(evidence.numpy()), goal=50, rounds=5,
    )


BENCHMARKS = [six_passes, principal_component]
