"""Masking an image by a map (section III-B): the least or the most relevant pixels are filled first.

A pixel's relevance is its rank in the map, so that every fraction is met exactly, ties included: at fraction f, LeRF masks
the round(f P) lowest of P pixels and MoRF the round(f P) highest. The paper blurs the maps with a large kernel and a small
sigma before it takes quantiles, which separates equal values; `blur` does that.
"""

import cv2
import numpy as np

from paperlib.models.baseline import IMAGENET_MEAN
from paperlib.vocabulary import STRATEGIES

FILL_COLOURS = {"black": (0, 0, 0), "mean": tuple(round(255 * value) for value in IMAGENET_MEAN)}


def blur(maps: np.ndarray, sigma: float) -> np.ndarray:
    """Gaussian blur of each map (n, h, w) with a kernel of 101 pixels, the paper's size; sigma 0 leaves them alone.

    Raises:
        ValueError: maps of another shape or with NaN or infinite values, or a negative sigma.
    """
    maps = _checked(maps)
    if sigma < 0:
        raise ValueError(f"sigma={sigma}: expected 0 or more pixels")
    if sigma == 0:
        return maps
    return np.stack([cv2.GaussianBlur(one, (101, 101), sigma, borderType=cv2.BORDER_REFLECT_101) for one in maps])


def ranks(maps: np.ndarray) -> np.ndarray:
    """Rank of every pixel within its map, 0 (least relevant) to h*w - 1; ties in reading order. (n, h, w) int32.

    Raises:
        ValueError: maps of another shape or with NaN or infinite values.
    """
    maps = _checked(maps)
    flat = maps.reshape(len(maps), -1)
    order = flat.argsort(1, kind="stable")
    out = np.empty(flat.shape, np.int32)
    np.put_along_axis(out, order, np.arange(flat.shape[1], dtype=np.int32)[None], 1)
    return out.reshape(maps.shape)


def masked(rank: np.ndarray, fraction: float, strategy: str) -> np.ndarray:
    """Which pixels are masked: boolean, shape of `rank`.

    Args:
        rank: (n, h, w) from `ranks`.
        fraction: share of pixels to mask, 0 to 1.
        strategy: `"LeRF"` or `"MoRF"`.

    Raises:
        ValueError: a fraction outside [0, 1] or an unknown strategy.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction}: expected a share from 0 to 1")
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy={strategy!r}; expected one of: {', '.join(STRATEGIES)}")
    pixels = rank.shape[1] * rank.shape[2]
    count = round(fraction * pixels)
    return rank < count if strategy == "LeRF" else rank >= pixels - count


def fill(images: np.ndarray, mask: np.ndarray, colour: str) -> np.ndarray:
    """A copy of uint8 images (n, h, w, 3) with the masked pixels (n, h, w) in `"black"` or the ImageNet `"mean"` colour.

    Raises:
        ValueError: shapes that do not fit, or an unknown fill.
    """
    if colour not in FILL_COLOURS:
        raise ValueError(f"fill={colour!r}; expected one of: {', '.join(FILL_COLOURS)}")
    if images.shape[:3] != mask.shape or images.shape[3:] != (3,):
        raise ValueError(f"images {images.shape} and masks {mask.shape}: expected (n, h, w, 3) and (n, h, w)")
    out = images.copy()
    out[mask] = np.array(FILL_COLOURS[colour], images.dtype)
    return out


def _checked(maps: np.ndarray) -> np.ndarray:
    maps = np.asarray(maps, np.float32)
    if maps.ndim != 3:
        raise ValueError(f"maps {maps.shape}: expected (n, h, w)")
    if not np.isfinite(maps).all():
        raise ValueError("the maps hold NaN or infinite values; expected finite relevance at every pixel")
    return maps
