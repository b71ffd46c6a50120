"""Opens coded sets inside units: SACID or a user's own folder, or photographs whose bit-streams other units made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from paperlib.engine.units import Inputs, function

SAMPLE_SEED = 0
"""Of the sequences that a profile with a number of sequences looks at."""


def opened(params: Mapping[str, Any], inputs: Inputs) -> Any:
    """The coded set that a unit's parameters name: `opener`, `dataset`, `options`, `n_sequences` (0 for all), `coded` (the
    units that made bit-streams, by photograph) and the place `root`."""
    if params["coded"]:
        where: Any = {photograph: inputs[name].arrays for photograph, name in params["coded"]}
    else:
        where = Path(params["root"])
    coded = function(params["opener"])(where, **dict(params["options"]))
    return coded.take(params["n_sequences"], SAMPLE_SEED) if params["n_sequences"] else coded
