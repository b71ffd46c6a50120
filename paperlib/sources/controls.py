"""Maps that know nothing of quality or gaze: noise, the distance from the centre, and edges."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.pictures import Picture
from paperlib.maps.controls import center_only, edge_energy_maps
from paperlib.sources.maps import Maker


def picture_rng(seed: int, record: Picture) -> np.random.Generator:
    """Random numbers of one picture and repeat, whatever other pictures there are."""
    return np.random.default_rng([seed, zlib.crc32(record.key.encode())])


def make_noise(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `noise`: the same noise for the same picture and seed."""

    def noise(record: Picture) -> NDArray:
        return picture_rng(params["seed"], record).random(record.size, dtype=np.float32)

    return lambda records: {"maps": [noise(record) for record in records]}


def make_center(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `center_only`."""
    return lambda records: {"maps": [center_only(*record.size) for record in records]}


def make_edges(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `edges`."""
    return lambda records: {"maps": [edge_energy_maps(record.load_image()[None])[0] for record in records]}
