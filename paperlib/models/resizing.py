"""Frames around pictures, and TensorFlow's ways of resizing, which MSI-Net was trained and is published with.

No other library rounds as TensorFlow does. Each of its ways is separable: a (target, source) matrix of weights per axis,
one row per output pixel. Kernels and corner rules were read in TensorFlow's `resize_area_op.cc`, `resize_bicubic_op.cc`
and `resize_bilinear_op.cc`.
"""

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_BICUBIC_A = -0.75
_BICUBIC_STEPS = 1024


def check_rgb(image: NDArray) -> None:
    """Raises ValueError where a picture is not (h, w, 3) uint8."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
        raise ValueError(f"image must be (h, w, 3) uint8 RGB, got {image.shape} {image.dtype}")


def framed(image: NDArray, size: tuple[int, int], value: float) -> NDArray:
    """`image` (h, w, c) in the middle of `size` filled with `value`; the odd pixel goes to the bottom and the right."""
    frame = np.full((*size, image.shape[2]), value, image.dtype)
    middle(frame, image.shape[:2])[:] = image
    return frame


def middle(image: NDArray, size: tuple[int, ...]) -> NDArray:
    """A view of the middle of an image (H, W) or (H, W, c)."""
    top, left = (image.shape[0] - size[0]) // 2, (image.shape[1] - size[1]) // 2
    return image[top : top + size[0], left : left + size[1]]


def resize_area_or_bicubic(image: NDArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """`resize_area` where a side shrinks, else `resize_bicubic`, both of TensorFlow 1 with `align_corners=True`.

    Args:
        image: (h, w) or (h, w, c).
        size: (height, width) of the result, at least 1 each.

    Returns:
        (height, width) or (height, width, c); bicubic values may lie a little outside the range of the input.
    """
    shrinks = size[0] < image.shape[0] or size[1] < image.shape[1]
    weights = _area_weights if shrinks else _bicubic_weights
    return _weighted(image, weights(image.shape[0], size[0]), weights(image.shape[1], size[1]))


def upsample_twice(features: Tensor) -> Tensor:
    """`tf.image.resize_bilinear` of TensorFlow 1 to twice the size, without align_corners and half-pixel centres.

    Output 2i is input i; output 2i + 1 is the mean of inputs i and i + 1; the last input stands for the one after it.

    Args:
        features: (n, c, h, w).

    Returns:
        (n, c, 2h, 2w).
    """
    below = torch.cat([features[:, :, 1:], features[:, :, -1:]], 2)
    tall = torch.stack([features, (features + below) / 2], 3).flatten(2, 3)
    right = torch.cat([tall[..., 1:], tall[..., -1:]], 3)
    return torch.stack([tall, (tall + right) / 2], 4).flatten(3, 4)


def _weighted(image: NDArray, rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    tall = rows @ image.reshape(height, -1).astype(np.float32)
    if image.ndim == 2:
        return tall @ columns.T
    return columns @ tall.reshape(len(rows), width, -1)


def _aligned_step(source: int, target: int) -> np.float32:
    """Source pixels per target pixel when the outer pixels of both lie on each other."""
    return np.float32((source - 1) / (target - 1) if target > 1 else source / target)


@lru_cache(maxsize=64)
def _area_weights(source: int, target: int) -> NDArray[np.float32]:
    """Each output is the mean over [i step, (i + 1) step); beyond the last input that one is repeated."""
    step = _aligned_step(source, target)
    weights = np.zeros((target, source), np.float32)
    for output in range(target):
        low, high = np.float32(output) * step, np.float32(output + 1) * step
        for index in range(int(np.floor(low)), int(np.ceil(high))):
            covered = min(np.float32(index + 1), high) - max(np.float32(index), low)
            weights[output, min(index, source - 1)] += covered
    return weights / step


@lru_cache(maxsize=64)
def _bicubic_weights(source: int, target: int) -> NDArray[np.float32]:
    """Keys' kernel with a = -0.75, tabulated in 1024 steps; beyond the border the outer pixel is repeated."""
    place = np.arange(target, dtype=np.float32) * _aligned_step(source, target)
    start = np.floor(place)
    fraction = np.rint((place - start) * _BICUBIC_STEPS) / _BICUBIC_STEPS
    weights = np.zeros((target, source), np.float32)
    for offset in (-1, 0, 1, 2):
        index = np.clip(start + offset, 0, source - 1).astype(np.intp)
        np.add.at(weights, (np.arange(target), index), _keys_kernel(np.abs(fraction - offset)))
    return weights


def _keys_kernel(distance: NDArray) -> NDArray[np.float32]:
    a, x = _BICUBIC_A, distance.astype(np.float64)
    near = ((a + 2) * x - (a + 3)) * x**2 + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, far).astype(np.float32)
