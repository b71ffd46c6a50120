"""Opens data sets inside units.

A unit that looks at a set has the parameters `dataset`, `opener`, `options`, `part`, `n_images` and `prepared`, and the
place `root` (`Pictures` and `Coded` in plans). The opener is called by name and listed among the unit's calls, so that a
result hangs on the loader of its own set alone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paperlib.engine.units import Inputs, function

SAMPLE_SEED = 0
"""Of the pictures, or coded sequences, that a profile with a number of them looks at."""


def opened(params: Mapping[str, Any], inputs: Inputs) -> Any:
    """The set that a unit's parameters name: a `GazeSet`, an `OpinionSet`, a `WorldPictures` out of the needed unit
    `prepared`, or coded pictures; `prepared` has a unit for each photograph where units coded them."""
    options, prepared = dict(params["options"]), params["prepared"]
    where: Any = Path(params["root"])
    if isinstance(prepared, str) and prepared:
        where = inputs[prepared].arrays
    elif prepared:
        where = {photograph: inputs[name].arrays for photograph, name in prepared}
    pictures = function(params["opener"])(where, **options)
    if params["part"] in getattr(pictures, "splits", ()):
        pictures = pictures.part(params["part"])
    return pictures.take(params["n_images"], SAMPLE_SEED) if params["n_images"] else pictures
