"""Maps that know nothing, or too little: what every table of saliency maps should be read against."""

import numpy as np


def noise_maps(n: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(n, height, width) float32, independent uniform noise in [0, 1]."""
    return rng.random((n, height, width), dtype=np.float32)


def shuffled_maps(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same maps (n, h, w), each given to another image: a random cyclic order leaves none in its place.

    Raises:
        ValueError: fewer than two maps, which cannot change places.
    """
    if len(maps) < 2:
        raise ValueError(f"{len(maps)} map(s): expected at least 2 to change places")
    order = rng.permutation(len(maps))
    shuffled = np.empty_like(maps)
    shuffled[order] = maps[np.roll(order, 1)]
    return shuffled
