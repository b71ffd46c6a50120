"""The paper's Baseline: backbone, global average pooling, MLP head; and a 1x1 decoder for its Sal-Loss variant."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from paperlib.models.backbones import Backbone

PAPER_HEAD = (1024, 128)

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"sigmoid": torch.sigmoid, "relu": torch.relu}
"""Of the decoder: the paper's text says sigmoid, the authors' code has ReLU."""


def to_unit_range(images: np.ndarray | Tensor) -> Tensor:
    """uint8 images (n, h, w, 3) to float32 (n, 3, h, w) in [0, 1], channels last in memory.

    Raises:
        ValueError: another shape or type.
    """
    images = torch.as_tensor(images)
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != torch.uint8:
        raise ValueError(f"images {tuple(images.shape)} {images.dtype}: expected (n, h, w, 3) uint8")
    return images.permute(0, 3, 1, 2).float().div_(255)


class Baseline(nn.Module):
    """Score of an image: backbone -> global average pooling -> MLP (section III-A; head sizes from the authors' code).

    Args:
        backbone: from `create_backbone`; images are normalised as it says.
        hidden: widths of the hidden layers; the authors use 1024 and 128.
        dropout: after the first hidden layer.
        decoder: add the 1x1 convolution of Baseline-Sal-Loss (section III-C).
    """

    mean: Tensor
    sd: Tensor

    def __init__(
        self, backbone: Backbone, hidden: tuple[int, ...] = PAPER_HEAD, dropout: float = 0.1, decoder: bool = False
    ):
        super().__init__()
        self.backbone = backbone
        layers: list[nn.Module] = []
        width = backbone.channels
        for index, size in enumerate(hidden):
            layers += [nn.Linear(width, size), nn.ReLU(), *([nn.Dropout(dropout)] if index == 0 else [])]
            width = size
        self.head = nn.Sequential(*layers, nn.Linear(width, 1))
        self.decoder = nn.Conv2d(backbone.channels, 1, 1) if decoder else None
        self.register_buffer("mean", torch.tensor(backbone.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(backbone.sd).view(1, 3, 1, 1), persistent=False)

    @property
    def last_features(self) -> nn.Module:
        """The module whose output is the last feature map."""
        return self.backbone

    def features(self, images: Tensor) -> Tensor:
        """Features (n, c, h, w) of images (n, 3, H, W) in [0, 1]."""
        return self.backbone((images - self.mean) / self.sd)

    def score_features(self, features: Tensor) -> Tensor:
        """Scores (n,) of features (n, c, h, w)."""
        return self.head(features.mean((2, 3)))[:, 0]

    def decode(self, features: Tensor, activation: str = "sigmoid") -> Tensor:
        """Saliency (n, h, w) by the decoder, in [0, 1] with a sigmoid; `activation` is one of `ACTIVATIONS`.

        Raises:
            ValueError: the network was made without a decoder.
        """
        if self.decoder is None:
            raise ValueError("this Baseline has no decoder; make it with decoder=True")
        return ACTIVATIONS[activation](self.decoder(features)[:, 0])

    def forward(self, images: Tensor) -> Tensor:
        return self.score_features(self.features(images))


CHANNELS = ("sum", "mean")
"""Of the map of Baseline-GradCAM-Loss: the paper's equation has the sum, the authors' code the mean."""


def gradcam_map(features: Tensor, scores: Tensor, channels: str = "sum") -> Tensor:
    """The map of Baseline-GradCAM-Loss: ReLU(sum_k alpha_k A_k), each map stretched to [0, 1]; (n, h, w).

    Equation of section III-C. alpha is detached: gradients of a loss on this map flow through the features A alone, and
    the map has no parameters of its own. Sum and mean over the channels differ only by the 1e-8 that keeps the stretch from
    dividing by zero.

    Args:
        features: (n, c, h, w), with a graph.
        scores: (n,) of these features.
        channels: one of `CHANNELS`.

    Raises:
        ValueError: another value of `channels`.
    """
    if channels not in CHANNELS:
        raise ValueError(f"channels: expected one of {', '.join(CHANNELS)}, got {channels!r}")
    (gradients,) = torch.autograd.grad(scores.sum(), features, retain_graph=True)
    alpha = gradients.mean((2, 3), keepdim=True).detach()
    weighted = alpha * features
    cam = (weighted.sum(1) if channels == "sum" else weighted.mean(1)).relu()
    low, high = cam.amin((1, 2), keepdim=True), cam.amax((1, 2), keepdim=True)
    return (cam - low) / (high - low + 1e-8)
