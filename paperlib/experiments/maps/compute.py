"""Makes maps of a shard of pictures, and reads them again. They are stored as 256 grey levels, which is what map transforms
and the paper's 8-bit maps see of them anyway."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, function
from paperlib.experiments.sets.opening import opened
from paperlib.maps.transform import to_levels

CHUNK = 8
"""Records in memory at once; small ones up to as many pixels as so many of `LARGE`."""

LARGE = 384 * 512


def make_maps(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Arrays `maps.<index>` and, where a score is asked, `plain.<index>`: (h, w) uint8 grey levels."""
    records = opened(params, inputs).records[params["first"] : params["last"]]
    make = function(params["maker"])(params, [record.key for record in records], inputs)
    arrays: dict[str, NDArray[np.uint8]] = {}
    for start, chunk in progress(list(chunks(records))):
        for kind, maps in make(chunk).items():
            arrays |= {f"{kind}.{params['first'] + start + place}": to_levels(one) for place, one in enumerate(maps)}
    return Result(arrays=arrays)


def chunks(records: Sequence[Any]) -> Iterator[tuple[int, Sequence[Any]]]:
    """(place of the first, records) of as many neighbours as fit into memory together."""
    length = together(records[0].size) if records else 1
    for start in range(0, len(records), length):
        yield start, records[start : start + length]


def together(size: tuple[int, int]) -> int:
    """How many pictures of `size` (height, width) are held in memory at once."""
    height, width = size
    return max(CHUNK, CHUNK * LARGE // (height * width))


class StoredShards:
    """What units stored of the images of a set, shard by shard, with the last shards in memory.

    Args:
        inputs: holds the results of these units.
        shards: their names, in order.
        shard: pictures of each but the last.
        held: how many shards are kept in memory; None for all.
    """

    def __init__(self, inputs: Inputs, shards: Sequence[str], shard: int, held: int | None = 2):
        self.arrays = lru_cache(maxsize=held)(lambda place: inputs[shards[place]].arrays)
        self.shard = shard

    @property
    def has_plain(self) -> bool:
        """Whether there are maps of one pass beside the others."""
        return any(key.startswith("plain.") for key in self.arrays(0))

    def __call__(self, kind: str, index: int) -> NDArray:
        """For image `index` of the set: (h, w) uint8 of `"maps"` or `"plain"`; (2, c, h, w) float16 of `"features"`."""
        return self.arrays(index // self.shard)[f"{kind}.{index}"]
