"""Opens data sets inside units.

A unit that looks at a set has the parameters `dataset`, `opener`, `options`, `part`, `n_images` and `prepared`, and the
place `root` (`paperlib.experiments.sets.plan.Pictures`). The opener is called by name and listed among the unit's calls, so
that a result hangs on the loader of its own set alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paperlib.engine.units import Inputs, function

SAMPLE_SEED = 0
"""Of the pictures that a profile with a number of pictures looks at."""


def opened(params: Mapping[str, Any], inputs: Inputs) -> Any:
    """The set that a unit's parameters name: a `GazeSet`, an `OpinionSet`, or a `WorldPictures` out of a needed unit."""
    options = dict(params["options"])
    where = inputs[params["prepared"]].arrays if params["prepared"] else Path(params["root"])
    pictures = function(params["opener"])(where, **options)
    if params["part"] in getattr(pictures, "splits", ()):
        pictures = pictures.part(params["part"])
    return pictures.take(params["n_images"], SAMPLE_SEED) if params["n_images"] else pictures
