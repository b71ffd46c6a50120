"""Saliency maps from a trained IQA network: HiResCAM and GradCAM, augmentation smoothing, first principal component.

With features A (c channels on a grid) and gradients g = dy/dA of the score y:

- HiResCAM (Draelos & Carin 2020, arXiv 2011.08891): sum_k g_k * A_k, element by element;
- GradCAM (Selvaraju et al. 2017): sum_k mean(g_k) A_k.

After global average pooling g_k is the same at every place, so for the paper's Baseline the two are one map up to the
number of grid cells, whatever the head (`tests/unit/test_hirescam.py` proves it). The paper smooths the maps over six
slightly rotated copies of the image and keeps the first principal component of g * A (section III-A, after [36]).
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from paperlib.models.baseline import Baseline, to_unit_range

EPS = 1e-7
BATCH = 100


def hirescam(features: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM evidence g * A before the sum over channels: (n, c, h, w) from two tensors (n, c, h, w)."""
    _check_pair(features, gradients)
    return gradients * features


def gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """GradCAM evidence alpha_k A_k before the sum over channels, alpha_k = mean over places of g_k; (n, c, h, w)."""
    _check_pair(features, gradients)
    return gradients.mean((2, 3), keepdim=True) * features


METHODS = {"hirescam": hirescam, "gradcam": gradcam}


def _check_pair(features: Tensor, gradients: Tensor) -> None:
    if features.ndim != 4 or features.shape != gradients.shape:
        raise ValueError(
            f"features {tuple(features.shape)} and gradients {tuple(gradients.shape)}: expected one shape (n, c, h, w)"
        )


def channel_sum(evidence: Tensor) -> Tensor:
    """Sum over channels: (n, h, w) from evidence (n, c, h, w)."""
    return evidence.sum(1)


def first_principal_component(evidence: Tensor) -> Tensor:
    """Projection of the evidence on its first principal component over channels: (n, h, w) from (n, c, h, w).

    The evidence is centred per channel over places; the projection comes from the smaller of the two Gram matrices by
    a symmetric eigendecomposition, which equals a full SVD at a fraction of its cost. The sign of a singular vector is
    arbitrary; here it is fixed by rule: the map correlates positively with the plain channel sum.
    """
    if evidence.ndim != 4:
        raise ValueError(f"evidence {tuple(evidence.shape)}: expected (n, c, h, w)")
    n, _, height, width = evidence.shape
    places = evidence.flatten(2).transpose(1, 2)
    centred = places - places.mean(1, keepdim=True)
    if centred.shape[1] <= centred.shape[2]:
        values, vectors = torch.linalg.eigh(centred @ centred.transpose(1, 2))
        projection = vectors[:, :, -1] * values[:, -1:].clamp_min(0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(centred.transpose(1, 2) @ centred)
        projection = (centred @ vectors[:, :, -1:])[..., 0]
    agreement = (projection * centred.sum(2)).sum(1, keepdim=True)
    return (projection * torch.where(agreement < 0, -1.0, 1.0)).view(n, height, width)


def unit_range(maps: Tensor) -> Tensor:
    """Cut below zero and stretch each map (n, h, w) to [0, 1]; a map without positive values becomes zero."""
    maps = maps.clamp_min(0)
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (maps.amax((1, 2), keepdim=True) + EPS)


def rotation_angles(n_passes: int, max_angle: float) -> tuple[float, ...]:
    """`n_passes` evenly spread angles from -max_angle to max_angle degrees; one pass has angle 0."""
    if n_passes < 1:
        raise ValueError(f"n_passes={n_passes}: expected at least 1")
    if not 0 <= max_angle < 90:
        raise ValueError(f"max_angle={max_angle}: expected degrees from 0 to below 90")
    return (0.0,) if n_passes == 1 else tuple(np.linspace(-max_angle, max_angle, n_passes).tolist())


def rotate(batch: Tensor, degrees: float, padding: str = "reflection") -> Tensor:
    """Rotate (n, c, h, w) counter-clockwise about its centre, bilinear, in pixel geometry (no aspect distortion).

    `padding` fills what comes from outside: `"reflection"`, `"border"` or `"zeros"`.
    """
    if degrees == 0:
        return batch
    height, width = batch.shape[-2:]
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    theta = torch.tensor([[cos, -sin * height / width, 0], [sin * width / height, cos, 0]], dtype=batch.dtype)
    grid = F.affine_grid(theta.to(batch.device).expand(len(batch), 2, 3), list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, padding_mode=padding, align_corners=False)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of maps (n, h, w) to `size`."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def score_evidence(network: Baseline, images: Tensor, method: str = "hirescam") -> tuple[Tensor, Tensor]:
    """Evidence (n, c, h, w) and scores (n,) of float images (n, 3, H, W) in [0, 1].

    The head sees features only through their average, so the gradient comes from the head alone and the backbone runs
    without a graph.
    """
    with torch.no_grad():
        features = network.features(images)
    features = features.detach().requires_grad_()
    with torch.enable_grad():
        scores = network.score_features(features)
        (gradients,) = torch.autograd.grad(scores.sum(), features)
    return METHODS[method](features.detach(), gradients), scores.detach()


def extract(
    network: Baseline,
    images: np.ndarray,
    *,
    method: str = "hirescam",
    smoothing: str = "rotations",
    n_passes: int = 6,
    max_angle: float = 10.0,
    principal_component: bool = True,
) -> np.ndarray:
    """Saliency maps of an IQA network, at image size.

    Each pass gives one map: evidence, reduced to one channel, cut below zero, stretched to [0, 1], resized to the image
    and brought back to the image's geometry. The passes are averaged; a rotated pass counts only where it saw the image.

    Args:
        network: a Baseline; it is left in the mode in which it came.
        images: (n, h, w, 3) uint8.
        method: `"hirescam"` or `"gradcam"`.
        smoothing: `"none"` (one pass), `"rotations"` (the paper's words: `n_passes` small rotations) or
            `"flip_multiply"` (pytorch-grad-cam's default: 2 flips x brightness 0.9, 1, 1.1).
        n_passes, max_angle: of the rotations; degrees.
        principal_component: keep the first principal component instead of the channel sum.

    Returns:
        (n, h, w) float32 in [0, 1].

    Raises:
        ValueError: unknown method or smoothing, or images of another shape.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}; expected one of: {', '.join(METHODS)}")
    passes = _passes(smoothing, n_passes, max_angle)
    reduce = first_principal_component if principal_component else channel_sum
    training = network.training
    network.eval()
    try:
        chunks = [
            _smoothed(network, to_unit_range(images[start:start + BATCH]), method, reduce, passes)
            for start in range(0, len(images), BATCH)
        ]
    finally:
        network.train(training)
    return torch.cat(chunks).numpy()


def _passes(smoothing: str, n_passes: int, max_angle: float) -> list[tuple[float, bool, float]]:
    """(angle, mirrored, brightness) of each pass."""
    if smoothing == "none":
        return [(0.0, False, 1.0)]
    if smoothing == "rotations":
        return [(angle, False, 1.0) for angle in rotation_angles(n_passes, max_angle)]
    if smoothing == "flip_multiply":
        return [(0.0, mirrored, factor) for mirrored in (False, True) for factor in (0.9, 1.0, 1.1)]
    raise ValueError(f"smoothing={smoothing!r}; expected none, rotations or flip_multiply")


def _smoothed(network: Baseline, images: Tensor, method: str, reduce, passes: list[tuple[float, bool, float]]) -> Tensor:
    size = (images.shape[2], images.shape[3])
    total = torch.zeros(len(images), *size)
    weight = torch.zeros(1, *size)
    for angle, mirrored, factor in passes:
        view = rotate(images, angle)
        view = view.flip(3) if mirrored else view
        evidence, _ = score_evidence(network, view * factor, method)
        maps = resize(unit_range(reduce(evidence)), size)
        maps = maps.flip(2) if mirrored else maps
        seen = rotate(rotate(torch.ones(1, 1, *size), angle, "zeros"), -angle, "zeros")[:, 0]
        total += rotate(maps[:, None], -angle, "border")[:, 0] * seen
        weight += seen
    return total / weight.clamp_min(EPS)
