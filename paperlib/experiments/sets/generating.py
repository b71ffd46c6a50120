"""Prepares a micro-world: generates its pictures."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from paperlib.datasets import microworld
from paperlib.datasets.world_pictures import ImageSet
from paperlib.engine.units import Inputs, Result
from paperlib.maps.center_prior import GaussianPrior


def generate(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Arrays of the pictures of a micro-world, and `moments` of their densities as those of
    `paperlib.experiments.sets.reading.read_gaze`."""
    story = {name: value for name, value in params.items() if name not in ("n_judged", "repeat")}
    arrays = microworld.generate(**story).to_arrays()
    densities = ImageSet.from_arrays(params["name"], arrays).density
    moments = np.array([astuple(GaussianPrior.of(density)) for density in densities])
    count = {"metric": "pictures", "value": float(params["n_judged"]), "n": params["n_judged"], "seed": params["repeat"]}
    rows = [{"method": "gaze", "dataset": params["name"], "variant": "data"} | count]
    return Result(rows=rows, arrays=arrays | {"moments": moments})
