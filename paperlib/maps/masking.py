"""Masking an image by a map (section III-B): the least or the most relevant pixels are filled first.

At fraction f of P pixels, LeRF (least relevant first) masks the round(f P) pixels of lowest value and MoRF (most
relevant first) the round(f P) of highest value. Equal values count in reading order, the first as the least relevant,
so that every fraction is met exactly whatever the map. LeRF of c pixels and MoRF of the other P - c never overlap and
leave nothing out: at fractions f and 1 - f they are each other's complement wherever f P does not end in one half.

The paper blurs the maps with a large kernel and a small sigma before it takes quantiles, which separates equal values
and spreads every detail far around it, however faintly; `blur` does that. A map is sorted once for all fractions; its
masks are comparisons of one byte per pixel (`Masks`), made on the device that scores and shared by all fills. Nothing
is written to disk. `blur` comes from OpenCV and not from matrix products, which would be faster for large sigmas but
round differently near the border: here a constant map stays constant.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from paperlib.maps.fills import PAPER_FILLS, painter, per_colour
from paperlib.vocabulary import STRATEGIES

KERNEL_SIZE = 101
"""The paper's "approximately 101 pixels"."""

SIGMA = 2.0
"""The paper says "small" and no number; ours, in pixels."""


def blur(maps: ArrayLike, sigma: float = SIGMA, kernel_size: int = KERNEL_SIZE) -> NDArray[np.float32]:
    """Gaussian blur of each map, mirrored at its borders without repeating the last pixel (as torchvision's `reflect`).

    Args:
        maps: (n, h, w), finite.
        sigma: standard deviation in pixels; 0 leaves the maps alone.
        kernel_size: width and height of the kernel in pixels, odd; it may be larger than the maps.

    Returns:
        (n, h, w).

    Raises:
        ValueError: maps of another shape or with NaN or infinite values, a negative sigma, an even or negative size.
    """
    values = _checked(maps).astype(np.float32, copy=False)
    if not 0 <= sigma < np.inf:
        raise ValueError(f"sigma={sigma}: expected 0 or more pixels")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size}: expected an odd number of pixels")
    if sigma == 0:
        return values
    kernel = cv2.getGaussianKernel(kernel_size, sigma, cv2.CV_32F)
    kernel = kernel[kernel >= np.finfo(np.float32).tiny]  # far out a narrow Gaussian is 0 in single precision
    return np.stack([cv2.sepFilter2D(one, -1, kernel, kernel, borderType=cv2.BORDER_REFLECT_101) for one in values])


@dataclass(frozen=True, eq=False)
class Masks:
    """All masks of n maps at some fractions, from `quantile_masks`.

    Attributes:
        bands: (n, h, w) signed integers, one byte each up to 127 cuts; pixels of rank `cuts[b - 1]` to before `cuts[b]`
            within their map are in band b.
        cuts: ascending numbers of masked pixels.
        size: pixels of one map (cells, where the maps were cells).
        fractions: shares that can be masked.
    """

    bands: NDArray[np.signedinteger]
    cuts: tuple[int, ...]
    size: int
    fractions: tuple[float, ...]

    def of(self, strategy: str, fraction: float) -> NDArray[np.bool_]:
        """Which pixels are masked, (n, h, w).

        Raises:
            ValueError: a fraction that the masks were not made for, or an unknown strategy.
        """
        cut = self._cut(strategy, fraction)
        return self.bands <= cut if strategy == "LeRF" else self.bands > cut

    def as_bytes(self, bands: Tensor, strategy: str, fraction: float) -> Tensor:
        """As `of`, from any copy of `bands` on any device: uint8, all ones (255) where masked and 0 elsewhere."""
        sign = 8 * bands.element_size() - 1
        low = (bands - (self._cut(strategy, fraction) + 1)) >> sign  # -1, all ones, up to the cut; else 0
        low = low.to(torch.int8).view(torch.uint8)
        return low if strategy == "LeRF" else ~low

    def _cut(self, strategy: str, fraction: float) -> int:
        """The last band of the less relevant pixels: those masked by LeRF, those spared by MoRF."""
        if strategy not in STRATEGIES:
            raise ValueError(f"strategy={strategy!r}; expected one of: {', '.join(STRATEGIES)}")
        if fraction not in self.fractions:
            known = ", ".join(map(str, self.fractions))
            raise ValueError(f"fraction={fraction}: these masks were made for {known}")
        count = round(fraction * self.size)
        return self.cuts.index(count if strategy == "LeRF" else self.size - count)


def quantile_masks(maps: ArrayLike, fractions: Iterable[float]) -> Masks:
    """The masks of maps at all fractions and in both orders, from one sort per map.

    Args:
        maps: (n, h, w), finite; higher is more relevant.
        fractions: shares of the pixels to mask, 0 to 1.

    Raises:
        ValueError: maps of another shape or with NaN or infinite values, fractions outside [0, 1] or none.
    """
    values = _checked(maps)
    shares = tuple(fractions)
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"fractions={shares}: expected shares from 0 to 1")
    size = values[0].size
    counts = {round(share * size) for share in shares}
    cuts = tuple(sorted(counts | {size - count for count in counts}))
    bands = np.zeros(values.shape, np.min_scalar_type(-len(cuts) - 1))
    for one, target in zip(values.reshape(len(values), -1), bands.reshape(len(bands), -1), strict=True):
        _add_bands(one, cuts, target)
    return Masks(bands, cuts, size, shares)


class Variant(NamedTuple):
    """One way to mask: by which map, in which order, how much, and filled with what."""

    map: str
    strategy: str
    fraction: float
    fill: str


def variants(
    images: NDArray[np.uint8],
    masks: Mapping[str, Masks],
    fills: Sequence[str] = PAPER_FILLS,
    device: Any = "cpu",
    batch: int = 1,
) -> Iterator[tuple[tuple[Variant, ...], Tensor]]:
    """Masked images, ready for a network on `device`: every map, strategy, fraction and fill, one after the other.

    Images, fills and bands go to the device once; a mask is made there once and shared by the fills.

    Args:
        images: (n, h, w, 3) of one size.
        masks: masks of these images by the name of their map.
        fills: names from `paperlib.vocabulary.FILLS`.
        device: as torch takes it.
        batch: about how many pictures to give at once: as many variants of the n images as fit, at least one.

    Yields:
        (k variants, pictures (k, n, h, w, 3) uint8 on the device). Fraction 0 gives the images themselves; fraction 1
        gives one picture for all images with `black`, `mean` and in-painting.

    Raises:
        ValueError: images, fills or masks that do not fit; at the call, not at the first step.
    """
    painters = {name: painter(images, name, device) for name in fills}
    for label, own in masks.items():
        if own.bands.shape != images.shape[:3]:
            raise ValueError(f"masks of {label} {own.bands.shape}: expected one per image and pixel, {images.shape[:3]}")

    def one_by_one() -> Iterator[tuple[Variant, Tensor]]:
        for label, own in masks.items():
            bands = per_colour(torch.from_numpy(own.bands).to(device))
            for strategy, fraction in product(STRATEGIES, own.fractions):
                mask = own.as_bytes(bands, strategy, fraction)
                for name, paint in painters.items():
                    yield Variant(label, strategy, fraction, name), paint(mask)

    def stacked(pairs: Iterator[tuple[Variant, Tensor]], together: int) -> Iterator[tuple[tuple[Variant, ...], Tensor]]:
        while chunk := tuple(islice(pairs, together)):
            keys, pictures = zip(*chunk, strict=True)
            yield keys, torch.stack(pictures) if len(pictures) > 1 else pictures[0][None]

    return stacked(one_by_one(), max(1, batch // len(images)))


def _add_bands(values: NDArray, cuts: Sequence[int], bands: NDArray) -> None:
    """Add to each pixel's band the number of cuts that its rank has reached; (P,) each."""
    ordered = np.sort(values)
    for cut in cuts:
        if cut == len(ordered):
            continue
        threshold = ordered[cut]
        reached = values >= threshold
        if below := cut - int(np.searchsorted(ordered, threshold)):
            reached[np.flatnonzero(values == threshold)[:below]] = False
        bands += reached


def _checked(maps: ArrayLike) -> NDArray:
    array = np.asarray(maps)
    if array.ndim != 3 or array.size == 0 or array.dtype.kind not in "fiub":
        raise ValueError(f"maps {array.dtype} {array.shape}: expected real numbers of shape (n, h, w)")
    if not np.isfinite(array).all():
        raise ValueError("the maps hold NaN or infinite values; expected finite relevance at every pixel")
    return array
