"""Tests a trained network's scores against opinions."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from paperlib.engine.units import Inputs, Result
from paperlib.errors import PaperlibError
from paperlib.experiments.maps.compute import chunks
from paperlib.experiments.sets.opening import opened
from paperlib.metrics.correlation import plcc, srocc
from paperlib.metrics.perturbation import srocc_curve_bootstrap
from paperlib.models.baseline import to_unit_range
from paperlib.sources.maps import device, of_one_size
from paperlib.sources.networks import load_trained

_RESAMPLES = 31


def measure_quality(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Array `scores` (n,) in the order of the records; SROCC with an interval over them."""
    test = opened(params, inputs)
    if len(test) < 3:
        raise PaperlibError(f"{test.title}: a rank correlation needs at least 3 pictures, got {len(test)}")
    network = load_trained(params, inputs[params["training"]].arrays).to(device())
    scores = scores_of(network, test.records, (params["input_height"], params["input_width"]))
    low, high = srocc_curve_bootstrap(scores, test.mos, np.random.default_rng([params["seed"], _RESAMPLES])).interval()
    common = {"method": params["method"], "dataset": test.name, "variant": "quality", "seed": params["seed"], "n": len(test)}
    rows = [
        common | {"metric": "SROCC", "value": float(srocc(scores, test.mos)), "low": low, "high": high},
        common | {"metric": "PLCC", "value": float(plcc(scores, test.mos))},
    ]
    return Result(rows=rows, arrays={"scores": scores})


def scores_of(network: nn.Module, records: Any, size: tuple[int, int]) -> NDArray[np.float64]:
    """Scores (n,) of pictures, resized to `size` unless that holds a zero."""
    with torch.no_grad():
        found = [network(to_unit_range(images).to(device())) for images in _alike(records, size)]
    return torch.cat(found).double().cpu().numpy()


def _alike(records: Any, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """The pictures in their order, (n, h, w, 3): neighbours of one size together."""
    for _, chunk in chunks(records):
        for _, images in of_one_size(chunk, size):
            yield images
