"""What every maker of maps has in common: pictures and maps at a size, and the device that networks lie on.

A maker is a function of a module of this room, named by `Source.maker`, that is called as `make(params, keys, inputs)` with
a unit's parameters, the keys of its pictures, and the results of needed units. It returns a `Maker`.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from paperlib.datasets.pictures import Picture

Maker = Callable[[Sequence[Picture]], dict[str, list[NDArray]]]
"""From records to named lists of maps, one per record, (h, w) float32 of the record's size: `maps`, and where a score is
asked also `plain`, the maps of one pass without principal component."""


def device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def picture(record: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture of a record, resized to `size` unless that holds a zero; (h, w, 3) uint8."""
    image = record.load_image()
    if not all(size) or image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def sized(saliency: NDArray, size: tuple[int, int]) -> NDArray:
    """A map (h, w) at `size`, bilinear; as it is where it has that size."""
    if saliency.shape == tuple(size):
        return saliency
    return cv2.resize(saliency, size[::-1], interpolation=cv2.INTER_LINEAR)


def of_one_size(records: Sequence[Picture], size: tuple[int, int]) -> Iterator[tuple[list[Picture], NDArray[np.uint8]]]:
    """Neighbouring records whose pictures have one size, with the pictures (n, h, w, 3); resized to `size` if it is set."""
    loaded = ((record, picture(record, size)) for record in records)
    for _, group in groupby(loaded, key=lambda pair: pair[1].shape):
        members, pictures = zip(*group, strict=True)
        yield list(members), np.stack(pictures)
