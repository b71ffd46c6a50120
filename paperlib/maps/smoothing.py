"""Augmentation smoothing: several views of an image, one map of each, every map brought back and averaged.

The paper passes each image "six times through the model with small rotations" (section III-A); pytorch-grad-cam's own
six passes, which its reference [36] recommends, are two flips times three brightness factors.

All geometry happens in pixels: a rotation keeps angles and distances also in images that are not square. The way back
is the exact inverse of the same coordinate map, and a pass counts only where its view shows the place at all.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-7
UNSEEN = 1e-3
"""Weight of a pass where its view misses the place: it decides alone where every view misses it, as in the corners."""


@dataclass(frozen=True)
class Pass:
    """One view: rotated counter-clockwise by `angle` degrees, then mirrored, then `brightness` times as bright."""

    angle: float = 0.0
    mirrored: bool = False
    brightness: float = 1.0

    def view(self, images: Tensor) -> Tensor:
        """What the network gets to see of images (n, 3, h, w); reflections fill what comes from outside."""
        views = rotate(images, self.angle)
        views = views.flip(3) if self.mirrored else views
        return views if self.brightness == 1 else views * self.brightness

    def back(self, maps: Tensor, size: tuple[int, int]) -> Tensor:
        """Maps (n, h, w) of the view, on any grid, in the geometry and `size` of the image, bilinear."""
        maps = maps.flip(2) if self.mirrored else maps
        if self.angle == 0:
            return resize(maps, size)
        grid = rotation_grid(size, -self.angle, maps.device).expand(len(maps), -1, -1, -1)
        return F.grid_sample(maps[:, None], grid.to(maps.dtype), padding_mode="border", align_corners=False)[:, 0]

    def seen(self, size: tuple[int, int], device: torch.device) -> Tensor:
        """(h, w) bool: the places of the image that lie inside the view."""
        if self.angle == 0:
            return torch.ones(size, dtype=torch.bool, device=device)
        return rotation_grid(size, -self.angle, device)[0].abs().amax(-1) <= 1


def passes(smoothing: str, n_passes: int = 6, max_angle: float = 10.0) -> tuple[Pass, ...]:
    """The views of one kind of smoothing.

    Args:
        smoothing: `"none"` (one pass), `"rotations"` (the paper's words: `n_passes` small rotations) or
            `"flip_multiply"` (pytorch-grad-cam's default: 2 flips x brightness 0.9, 1, 1.1).
        n_passes, max_angle: of the rotations: evenly spread from -max_angle to max_angle degrees; one pass has angle 0.

    Raises:
        ValueError: unknown smoothing, no pass, or an angle outside [0, 90).
    """
    if smoothing == "none":
        return (Pass(),)
    if smoothing == "rotations":
        if n_passes < 1:
            raise ValueError(f"n_passes={n_passes}: expected at least 1")
        if not 0 <= max_angle < 90:
            raise ValueError(f"max_angle={max_angle}: expected degrees from 0 to below 90")
        angles = [0.0] if n_passes == 1 else np.linspace(-max_angle, max_angle, n_passes).tolist()
        return tuple(map(Pass, angles))
    if smoothing == "flip_multiply":
        return tuple(Pass(0.0, mirrored, factor) for mirrored in (False, True) for factor in (0.9, 1.0, 1.1))
    raise ValueError(f"smoothing={smoothing!r}; expected none, rotations or flip_multiply")


def rotate(batch: Tensor, degrees: float) -> Tensor:
    """Rotate (n, c, h, w) counter-clockwise about its centre, bilinear, in pixel geometry (no aspect distortion);
    reflections fill what comes from outside."""
    if degrees == 0:
        return batch
    height, width = batch.shape[-2:]
    grid = rotation_grid((height, width), degrees, batch.device).expand(len(batch), -1, -1, -1)
    rotated = F.grid_sample(batch, grid.to(batch.dtype), padding_mode="reflection", align_corners=False)
    channels_last = batch.is_contiguous(memory_format=torch.channels_last)
    return rotated.contiguous(memory_format=torch.channels_last) if channels_last else rotated


@lru_cache(maxsize=64)
def rotation_grid(size: tuple[int, int], degrees: float, device: torch.device) -> Tensor:
    """Sampling grid (1, h, w, 2) of `rotate`; the grid of `-degrees` is its inverse."""
    height, width = size
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    theta = torch.tensor([[[cos, -sin * height / width, 0], [sin * width / height, cos, 0]]], dtype=torch.float64)
    return F.affine_grid(theta, [1, 1, height, width], align_corners=False).to(device, torch.float32)


def resize(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear resize of maps (n, h, w) to `size`."""
    return F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]


def unit_range(maps: Tensor) -> Tensor:
    """Cut below zero and stretch each map (n, h, w) to [0, 1]; a map without positive values becomes zero."""
    maps = maps.clamp_min(0)
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (maps.amax((1, 2), keepdim=True) + EPS)


class Average:
    """Mean over passes of maps that were brought back and stretched to [0, 1], each counted where its view shows the
    place."""

    def __init__(self, size: tuple[int, int]):
        self.size = size
        self.total: Tensor | None = None
        self.weight: Tensor | None = None

    def add(self, one: Pass, maps: Tensor) -> None:
        """Add the maps (n, h, w) of the view of `one`."""
        weight = one.seen(self.size, maps.device).to(maps.dtype).clamp_min(UNSEEN)
        part = unit_range(one.back(maps, self.size)) * weight
        self.total = part if self.total is None else self.total + part
        self.weight = weight if self.weight is None else self.weight + weight

    def maps(self) -> Tensor:
        """The mean (n, h, w), once something was added."""
        assert self.total is not None and self.weight is not None
        return self.total / self.weight
