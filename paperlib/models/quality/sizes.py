"""The sizes at which the authors scored pictures."""

from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Image = NDArray[Any]
SizeMode = Literal["full_res", "resize_384", "resize_384_512_or_512_384", "resize_384_512_or_512_384_horizontal"]
SIZE_MODES: tuple[SizeMode, ...] = get_args(SizeMode)
"""The four at which the authors scored SACID; Table III is `full_res`."""

_SHORT, _LONG = 384, 512


def resized(image: Image, mode: SizeMode) -> Image:
    """A picture, reference or saliency map at one of the authors' sizes: bilinear, without antialiasing, not rounded.

    Args:
        image: (h, w, 3) or (h, w), uint8 or floating point in [0, 1].
        mode: `full_res` leaves it as it is; `resize_384` makes the shorter side 384; `resize_384_512_or_512_384` is 384
            high and 512 wide, upright pictures (higher than wide) 512 high and 384 wide; with `_horizontal` those are
            then transposed, so that all are 384 x 512.

    Returns:
        The image itself for `full_res`, else float32 in [0, 1].

    Raises:
        ValueError: another mode, shape or type.
    """
    if mode not in SIZE_MODES:
        raise ValueError(f"size mode must be one of {', '.join(SIZE_MODES)}, got {mode!r}")
    if mode == "full_res":
        return image
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"image must be (h, w, 3) or (h, w), got {image.shape}")
    pixels = torch.from_numpy(unit_range(image))
    channels_first = pixels[None] if image.ndim == 2 else pixels.permute(2, 0, 1)
    height, width = image.shape[:2]
    size = _target(height, width, mode)
    made = nn.functional.interpolate(channels_first[None], size, mode="bilinear", align_corners=False)[0]
    if mode.endswith("horizontal") and height > width:
        made = made.transpose(1, 2)
    return np.ascontiguousarray((made[0] if image.ndim == 2 else made.permute(1, 2, 0)).numpy())


def _target(height: int, width: int, mode: SizeMode) -> tuple[int, int]:
    if mode == "resize_384":
        longer = int(_SHORT * max(height, width) / min(height, width))
        return (_SHORT, longer) if height <= width else (longer, _SHORT)
    return (_SHORT, _LONG) if height <= width else (_LONG, _SHORT)


def unit_range(image: Image) -> NDArray[np.float32]:
    """float32 in [0, 1]."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype.kind != "f":
        raise ValueError(f"expected uint8 or floating point in [0, 1], got {image.dtype}")
    return np.ascontiguousarray(image, np.float32)
