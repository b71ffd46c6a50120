"""How the maps move while the networks of section III-C learn, for the training explorer of notebook 03c.

One network per variant is trained in the micro-world by the very function that trains it for Table II, with the same
settings, data and random numbers. It is looked at before the first epoch, twice within it, where maps move most, and
after each: its maps of a few test pictures, how well its maps agree with gaze, and how well its scores agree with MOS.
Looking draws no random number and changes no weight, so the last look sees the network of Table II.

Agreement with gaze is that of *raw* maps, while Table II is about maps after map transforms. Agreement with MOS is
Table II's own number.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from paperlib.datasets.records import ImageSet
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.experiments.networks import load_network, load_world, network_unit, scores, train, world_unit
from paperlib.experiments.world_maps import smoothed_maps, smoothing_params
from paperlib.maps.smoothing import resize
from paperlib.metrics.correlation import srocc
from paperlib.metrics.saliency import evaluate
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.dual_task import DualTask

if TYPE_CHECKING:
    from paperlib.profiles import Profile

N_PICTURES = 4
"""The first test pictures, whose maps are kept."""

N_MEASURED = 100
"""The first test pictures, whose maps are measured."""

EARLY = (0.25, 0.5)
"""Looks within the first epoch, in epochs."""

METRICS = ("CC", "SROCC")
"""Of the maps against gaze (mean over `N_MEASURED` pictures), and of the scores against MOS (all test pictures)."""


def film_unit(profile: "Profile", variant: str, seed: int) -> Unit:
    """Training of one of the three networks of Table II in repeat `seed`, watched.

    Its parameters are those of `paperlib.experiments.networks.network_unit`, and how maps are made and measured.
    """
    network = network_unit(profile, variant, seed)
    return Unit.of(
        "training_film",
        f"{variant}/film/seed{seed}",
        "paperlib.experiments.training_film:film",
        cost=30.0,
        needs=[*network.needs, world_unit(profile, "world/test", seed)],
        method=variant,
        n_test=profile.world.n_test,
        **dict(network.params),
        **smoothing_params(profile),
    )


def film(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `film_unit`.

    Rows: `METRICS`, with variant `"epoch 0"` before training and `"epoch k"` after k epochs. Arrays: `maps`,
    (looks, `N_PICTURES`, h, w) in [0, 1]; `history`, the mean loss of each epoch; and the last network.
    """
    training = {name: inputs[name] for name in inputs if name.startswith("world/train")}
    (test,) = (load_world(inputs[name]).head(params["n_test"]) for name in inputs if name not in training)
    (length,) = (len(load_world(result)) for result in training.values())
    steps = length // params["batch_size"]
    batches = {epoch: round(epoch * steps) for epoch in (0.0, *EARLY, *map(float, range(1, params["epochs"])))}
    with TemporaryDirectory() as folder, _watched(batches.values()) as states:
        trained = train(params, training, Path(folder))
    looks = {epoch: states[batch] for epoch, batch in batches.items()} | {float(params["epochs"]): trained.arrays}
    rows, maps = [], []
    for epoch, state in looks.items():
        network = load_network(Result(arrays=dict(state)))
        seen, found = _look(network, test, params)
        maps.append(seen)
        rows += [
            {
                "method": params["method"],
                "dataset": test.name,
                "metric": metric,
                "variant": f"epoch {epoch:g}",
                "seed": params["seed"],
                "value": value,
                "n": n,
            }
            for metric, (value, n) in found.items()
        ]
    return Result(rows=pd.DataFrame(rows), arrays=trained.arrays | {"maps": np.stack(maps).astype(np.float16)})


@contextmanager
def _watched(batches: Collection[int]) -> Iterator[dict[int, dict[str, NDArray]]]:
    """Fills a dict with the states, before the batches of these numbers, of the network that is trained inside."""
    states: dict[int, dict[str, NDArray]] = {}
    batch = 0

    def look_at(module: nn.Module, _: object) -> None:
        nonlocal batch
        if isinstance(module, DualTask):
            if batch in batches:
                states[batch] = {key: value.numpy().copy() for key, value in module.network.state_dict().items()}
            batch += 1

    hook = register_module_forward_pre_hook(look_at)
    try:
        yield states
    finally:
        hook.remove()


def _look(network: Baseline, test: ImageSet, params: dict[str, Any]) -> tuple[NDArray, dict[str, tuple[float, int]]]:
    """Maps of the first test pictures, and value and number of pictures of each of `METRICS`."""
    measured = test.head(N_MEASURED)
    if network.decoder is None:
        maps = smoothed_maps(params, network, measured.images)
    else:
        with torch.no_grad():
            grids = network.decode(network.features(to_unit_range(measured.images)))
        maps = resize(grids, measured.density.shape[1:]).numpy()
    agreement = float(evaluate(maps, measured.density)["CC"].mean())
    quality = float(srocc(scores(network, test.images), test.mos[params["observers"]]))
    return maps[:N_PICTURES], {"CC": (agreement, len(measured)), "SROCC": (quality, len(test))}
