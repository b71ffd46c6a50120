"""Prepares a set that lies in files: reads all of it once, so that bad files end the run before any network is loaded."""

from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paperlib.datasets import gaze, opinions
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result
from paperlib.errors import PaperlibError
from paperlib.experiments.sets.opening import opened
from paperlib.maps.center_prior import GaussianPrior


def read_gaze(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Prepares a set with gaze: reads every file once. Rows of counts, arrays `moments` (n, 6) of the densities
    (`GaussianPrior`)."""
    pictures = opened(params, inputs)
    moments: list[tuple[float, ...]] = []
    found = gaze.check(pictures, progress, lambda density: moments.append(astuple(GaussianPrior.of(density))))
    if found.pictures < 2:
        raise PaperlibError(
            f"{pictures.title}: at least 2 pictures with gaze are needed, since transform and centre prior of "
            "one come from the others; got 1"
        )
    names = (
        "pictures", "fixations", "dropped", "without_fixations", "observers", "density_mean", "density_sd",
        "density_support",
    )  # fmt: skip
    values = {name: getattr(found, name) for name in names}
    rows = pd.DataFrame(
        {
            "method": "gaze",
            "dataset": pictures.name,
            "variant": "data",
            "metric": list(values),
            "value": [np.nan if value is None else float(value) for value in values.values()],
            "n": len(pictures),
        }
    )
    return Result(rows=rows, arrays={"moments": np.array(moments)})


def read_pictures(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Prepares a set with opinion scores: reads every picture once, so that bad files end the run before a network is
    loaded."""
    pictures = opened(params, inputs)
    check: Callable[..., object] = opinions.check if params["face"] == "opinions" else gaze.check
    check(pictures, progress)
    count = {"metric": "pictures", "value": float(len(pictures)), "n": len(pictures)}
    return Result(rows=[{"method": "pictures", "dataset": params["dataset"], "variant": "data"} | count])
