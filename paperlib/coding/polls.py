"""What simulated assessors of a photograph's versions look at and feel: what `paperlib.coding.votes.simulate` is given."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paperlib.coding.votes import BLOCK, foveal_response, watson_damage


def felt(versions: Sequence[NDArray[np.uint8]], original: NDArray[np.uint8]) -> NDArray[np.float64]:
    """How strongly an assessor feels the damage at each place of a photograph's versions.

    Args:
        versions: (H, W, 3) each, sides multiples of 8; the original may be among them.
        original: of the same size.

    Returns:
        (versions, H/8, W/8), see `paperlib.coding.votes.foveal_response`.
    """
    return foveal_response(np.stack([watson_damage(version, original) for version in versions]))


def block_gaze(gaze: NDArray[np.floating], observers: str) -> NDArray[np.float64]:
    """Where assessors look, per 8x8 block.

    Args:
        gaze: (H, W) density, sides multiples of 8.
        observers: one of `paperlib.vocabulary.OBSERVERS`; `"uniform"` ones look everywhere alike.

    Returns:
        (H/8, W/8), sum as that of `gaze`, 1 for `"uniform"`.
    """
    height, width = (side // BLOCK for side in gaze.shape)
    if observers == "uniform":
        return np.full((height, width), 1 / (height * width))
    return gaze.reshape(height, BLOCK, width, BLOCK).sum(axis=(1, 3), dtype=np.float64)
