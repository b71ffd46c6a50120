"""How the maps move while the networks of section III-C learn, for the training explorer of notebook 03c.

A network is trained by the very function that trains it for Table II, with the same settings, data and random numbers. It is
looked at before the first epoch, twice within it, where maps move most, and after each: its maps of a few test pictures, how
well its maps agree with gaze, and how well its scores agree with MOS. Looking draws no random number and changes no
weight, so the last look sees the network of Table II.

Agreement with gaze is that of *raw* maps, while Table II is about maps after map transforms. Agreement with MOS is
Table II's own number.
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from paperlib.engine.units import Inputs, Result
from paperlib.experiments.dual_task.compute import scores_of
from paperlib.experiments.sets.opening import opened
from paperlib.experiments.training.compute import train
from paperlib.maps.hirescam import extract
from paperlib.metrics.correlation import srocc
from paperlib.metrics.saliency import evaluate
from paperlib.models.baseline import ACTIVATIONS, Baseline, to_unit_range
from paperlib.models.dual_task import DualTask
from paperlib.sources.maps import sized
from paperlib.sources.networks import WEIGHTS, load_trained

N_PICTURES = 4
"""The first test pictures, whose maps are kept."""

N_MEASURED = 100
"""The first test pictures, whose maps are measured."""

EARLY = (0.25, 0.5)
"""Looks within the first epoch, in epochs."""

METRICS = ("CC", "SROCC")
"""Of the maps against gaze (mean over `N_MEASURED` pictures), and of the scores against MOS (all test pictures)."""


def film(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Rows: `METRICS`, with variant `"epoch 0"` before training and `"epoch k"` after k epochs. Arrays: `maps`,
    (looks, `N_PICTURES`, h, w) in [0, 1]; `losses` of each step; and the last network."""
    test = opened(dict(params["test"]) | {"root": ""}, inputs)
    per_epoch, steps = params["steps_per_epoch"], params["steps"]
    epochs = steps / per_epoch
    looks = {round(epoch * per_epoch): epoch for epoch in (0.0, *EARLY, *map(float, range(1, round(epochs))))}
    states: dict[float, Mapping[str, NDArray]] = {}

    def look(step: int, task: DualTask) -> None:
        if step in looks:
            state = task.network.state_dict()
            states[looks[step]] = {f"{WEIGHTS}{key}": value.cpu().numpy().copy() for key, value in state.items()}

    with TemporaryDirectory() as folder:
        result = train(params, inputs, Path(folder), look)
    states[epochs] = result.arrays
    rows, maps = [], []
    common = {"method": params["method"], "dataset": test.name, "seed": params["seed"]}
    for epoch, state in states.items():
        seen, found = _look(load_trained(params, state), test, params)
        maps.append(seen)
        rows += [
            common | {"metric": metric, "variant": f"epoch {epoch:g}", "value": value, "n": n}
            for metric, (value, n) in found.items()
        ]
    return Result(rows=rows, arrays=result.arrays | {"maps": np.stack(maps).astype(np.float16)})


def _look(network: Baseline, test: Any, params: Mapping[str, Any]) -> tuple[NDArray, dict[str, tuple[float, int]]]:
    """Maps of the first test pictures, and value and number of pictures of each of `METRICS`."""
    measured = test.records[:N_MEASURED]
    images = np.stack([record.load_image() for record in measured])
    density = np.stack([record.load_density() for record in measured])
    if network.decoder is None:
        how = {name: params[name] for name in ("smoothing", "n_passes", "max_angle", "principal_component")}
        maps = extract(network, images, **how)
    else:
        with torch.no_grad():
            linear = network.decoder(network.features(to_unit_range(images)))[:, 0]
            grids = ACTIVATIONS[params["activation"]](linear).numpy()
        maps = np.stack([sized(grid, images.shape[1:3]) for grid in grids])
    agreement = float(evaluate(maps, density)["CC"].mean())
    quality = float(srocc(scores_of(network, test.records, (0, 0)), test.mos))
    return maps[:N_PICTURES], {"CC": (agreement, len(measured)), "SROCC": (quality, len(test))}
