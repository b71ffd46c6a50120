"""Maps of the micro-world's networks, measured against its gaze: the units behind Table I and Figure 1 of the demo."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from paperlib.datasets.records import ImageSet
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.experiments.image_values import tidy_values
from paperlib.experiments.networks import load_network, load_world, network_unit, world_unit
from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.controls import center_only, edge_energy_maps, noise_maps, shuffled_maps
from paperlib.maps.hirescam import extract
from paperlib.maps.smoothing import resize
from paperlib.maps.transform import MapTransform
from paperlib.metrics.saliency import evaluate
from paperlib.models.baseline import Baseline, to_unit_range

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SOURCES = {
    "center_prior": "center_prior",
    "noise_map": "noise",
    "center_only": "center_only",
    "edge_energy": "edges",
    "saliency_net": "decoder",
    "baseline_sal_loss": "decoder",
    "pretrained_activation": "activation",
}
"""Where a method's maps come from, when not from the score of its network."""

WITHOUT_NETWORK = ("center_prior", "noise", "center_only", "edges")
NETWORK_OF = {"random_head": "pretrained_activation"}
"""Methods that borrow a network: the pretrained backbone there has a head that learnt nothing."""

SMOOTHING = ("smoothing", "n_passes", "max_angle", "principal_component")
STORED_MAPS = 6
DECODED_AT_ONCE = 100


def smoothing_params(profile: "Profile") -> dict[str, Any]:
    """The profile's arguments of `paperlib.maps.hirescam.extract`, as parameters of a unit."""
    settings = profile.extraction
    return {name: getattr(settings, name) for name in SMOOTHING}


def smoothed_maps(params: dict[str, Any], network: Baseline, images: np.ndarray) -> np.ndarray:
    """Maps (n, h, w) of a network under the `smoothing_params` of a unit."""
    return extract(network, images, **{name: params[name] for name in SMOOTHING})


def map_unit(profile: "Profile", method: str, dataset: str, seed: int) -> Unit:
    """Evaluation of one method's maps on the test images of `dataset` in repeat `seed`.

    Args:
        method: a key of `SOURCES`, of `NETWORK_OF`, or a network of `paperlib.experiments.networks.VARIANTS`. The
            Baseline's unit also yields `shuffled_map`.
        dataset: `"world"` or `"world_shifted"`.
    """
    source = SOURCES.get(method, "score")
    needs = [world_unit(profile, f"{dataset}/test", seed)]
    if source not in WITHOUT_NETWORK:
        needs.append(network_unit(profile, NETWORK_OF.get(method, method), seed))
    smoothing = smoothing_params(profile) if source == "score" else {}
    return Unit.of(
        "extraction",
        f"{method}/{dataset}/seed{seed}",
        "paperlib.experiments.world_maps:measure",
        needs=needs,
        cost=8.0,
        method=method,
        dataset=dataset,
        source=source,
        seed=seed,
        n_test=profile.world.n_test,
        **smoothing,
    )


def measure(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `map_unit`: metrics of the raw maps, and after map transforms fitted on other images and on the same.

    Variants of the rows: `raw`; `fitted` (transform fitted on images that are not evaluated); `fitted_on_test` (as the
    paper does); `plain` and `plain_fitted` (one pass, no principal component). The arrays hold the first maps and the
    values of single images.
    """
    world, *network = inputs.values()
    everything = load_world(world, params["dataset"])
    network = load_network(network[0]) if network else None
    rng = np.random.default_rng([params["seed"], 17])
    judge = _Judge(everything, params["n_test"])

    maps = _maps(params, network, everything, judge.center_prior, rng)
    values = {params["method"]: judge.values(maps)}
    if params["source"] == "score":
        plain = extract(network, everything.images, smoothing="none", principal_component=False)
        values[params["method"]] |= judge.values(plain, {"raw": "plain", "fitted": "plain_fitted"})
    if params["method"] == "baseline":
        values["shuffled_map"] = judge.values(shuffled_maps(maps, rng))
    rows, arrays = tidy_values(values)
    common = {"experiment": "extraction", "dataset": params["dataset"], "seed": params["seed"]}
    return Result(rows=rows.assign(**common), arrays=arrays | {"maps": maps[:STORED_MAPS].astype(np.float16)})


class _Judge:
    """Measures maps against the gaze of one world: the first `n_test` images count, the others serve to fit."""

    def __init__(self, world: ImageSet, n_test: int):
        self.test, self.fit = slice(0, n_test), slice(n_test, len(world))
        self.density = world.density
        self.fixations = world.fixation_maps()[self.test]
        self.published = world.head(n_test).published_density()
        self.center_prior = gaussian_center_prior(world.density[self.fit])

    def values(self, maps: np.ndarray, names: dict[str, str] | None = None) -> dict[tuple[str, str], np.ndarray]:
        """(variant, metric) -> one value per image; `names` picks and renames variants."""
        tested = maps[self.test]
        variants = {
            "raw": lambda: tested,
            "fitted": lambda: self._transformed(self.fit, maps),
            "fitted_on_test": lambda: self._transformed(self.test, maps),
        }
        chosen = names or {name: name for name in variants}
        return {
            (label, metric): values
            for variant, label in chosen.items()
            for metric, values in self._metrics(variants[variant]()).items()
        }

    def _transformed(self, part: slice, maps: np.ndarray) -> np.ndarray:
        return MapTransform.fit(maps[part], self.density[part], self.center_prior).transform(maps[self.test])

    def _metrics(self, maps: np.ndarray) -> dict[str, np.ndarray]:
        values = evaluate(maps, self.density[self.test], self.fixations)
        return values | {"NSS": evaluate(maps, self.published)["NSS"]}


def _maps(
    params: dict[str, Any], network: Baseline | None, world: ImageSet, center_prior: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Maps (n, h, w) of all images of `world`, by the unit's source."""
    source, images = params["source"], world.images
    n, height, width = world.density.shape
    if source == "center_prior":
        return np.broadcast_to(center_prior.astype(np.float32), world.density.shape)
    if source == "center_only":
        return np.broadcast_to(center_only(height, width), world.density.shape)
    if source == "noise":
        return noise_maps(n, height, width, rng)
    if source == "edges":
        return edge_energy_maps(images)
    if source == "activation":
        return extract(network, images, method="activation", smoothing="none", principal_component=False)
    if source == "score":
        return smoothed_maps(params, network, images)
    with torch.no_grad():
        starts = range(0, n, DECODED_AT_ONCE)
        grids = [
            network.decode(network.features(to_unit_range(images[start : start + DECODED_AT_ONCE]))) for start in starts
        ]
    return resize(torch.cat(grids), (height, width)).numpy()
