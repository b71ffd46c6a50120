"""Maps that lie beside the user's pictures, in folders `saliency_<name>`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import UnusableFile, no_larger, read_grey, spell_size
from paperlib.datasets.own import map_folders
from paperlib.sources.maps import Maker, sized

_SAME_SHAPE = 0.05
"""Largest difference of two ratios of sides, relative, at which two pictures are of one shape."""


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `folder`."""
    files = map_folders(params["root"], keys)[params["model"]]
    return lambda records: {"maps": [fitted(files[record.key], record.size) for record in records]}


def fitted(file: Path, size: tuple[int, int]) -> NDArray:
    """The map of a file, (h, w) of its picture; larger ones are averaged.

    Raises:
        UnusableFile: it cannot be read, is the same everywhere, or lies on its side.
    """
    values = read_grey(file)
    if np.ptp(values) == 0:
        raise UnusableFile(file, "the map has the same value everywhere (it may lie in the transparency, which is not read)")
    ratio, expected = values.shape[0] / values.shape[1], size[0] / size[1]
    if abs(ratio / expected - 1) > _SAME_SHAPE >= abs(ratio * expected - 1):
        turned = f"{spell_size(values.shape)} pixels for a picture of {spell_size(size)}"
        raise UnusableFile(file, f"{turned}: it lies on its side; pictures are read as stored, without their EXIF rotation")
    return sized(no_larger(values, size), size)
