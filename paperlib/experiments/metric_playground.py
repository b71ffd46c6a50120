"""A map that is blurred, moved, brightened and mixed by hand, and what four metrics say of it, before and after the map
transform: what the metric playground of notebook 02 shows.

A map transform is one brightness curve and one weight of the centre prior for all pictures (`paperlib.maps.transform`).
Where the map tells nothing about gaze, the best curve is flat and what is left is the centre prior: so any map, noise
too, is lifted to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.datasets.world_pictures import ImageSet
from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.controls import edge_energy_maps, noise_maps, shuffled_maps
from paperlib.maps.transform import MapTransform, normalise
from paperlib.metrics.saliency import evaluate

STARTS = {"truth": "gaze density", "edges": "edge energy", "shuffled": "gaze density of another picture", "noise": "noise"}
"""What a prediction can be made of: key -> words."""

METRICS = {"NSS_fix": "NSS", "SIM": "SIM", "CC": "CC", "KLD": "KLD"}
"""Names in `paperlib.metrics.saliency.evaluate` -> names shown; NSS is the one at fixations."""

PREDICTION, TRANSFORMED, PRIOR, TRUTH = "prediction", "after map transform", "centre prior", "gaze density"
ROWS = (PREDICTION, TRANSFORMED, PRIOR, TRUTH)
"""The maps that are compared."""


@dataclass(frozen=True)
class PlayChoice:
    """One state of the playground.

    Attributes:
        image: number of the picture.
        start: a key of `STARTS`.
        blur: standard deviation of a Gaussian blur in pixels, 0 or more.
        shift_x, shift_y: by how many pixels the map is moved to the right and down; what leaves the picture is lost.
        power: exponent of the map's brightness in [0, 1], above 0: below 1 brightens, above 1 keeps the peaks.
        prior_weight: share of the centre prior in the prediction, 0 to 1.
    """

    image: int
    start: str = "truth"
    blur: float = 0.0
    shift_x: int = 0
    shift_y: int = 0
    power: float = 1.0
    prior_weight: float = 0.0


@dataclass(frozen=True)
class Material:
    """What there is to play with.

    Attributes:
        world: at least two pictures with gaze; transform and centre prior are fitted to all of them.
        image: number of the first picture to show.
        seed: of the noise and of the other pictures' maps.
    """

    world: ImageSet
    image: int = 0
    seed: int = 0

    @property
    def standard(self) -> PlayChoice:
        """The first state: a perfect map, moved aside by a quarter of the width."""
        return PlayChoice(self.image, shift_x=self.world.density.shape[2] // 4)

    @property
    def captions(self) -> Sequence[str]:
        """A different name for each picture."""
        return [f"{number}: {family}" for number, family in enumerate(self.world.family, start=1)]

    @cached_property
    def center_prior(self) -> NDArray[np.float32]:
        """(h, w), maximum 1."""
        return gaussian_center_prior(self.world.density)

    @cached_property
    def fixations(self) -> NDArray[np.uint16]:
        """(n, h, w), fixations per pixel."""
        return np.stack([self.world.fixation_map(index) for index in range(len(self.world))])

    @cached_property
    def starts(self) -> dict[str, NDArray[np.float32]]:
        """Key of `STARTS` -> maps (n, h, w) in [0, 1]."""
        rngs = np.random.default_rng(self.seed).spawn(2)
        density = self.world.density
        n, height, width = density.shape
        maps = {
            "truth": density,
            "edges": edge_energy_maps(self.world.images),
            "shuffled": shuffled_maps(density, rngs[0]),
            "noise": noise_maps(n, height, width, rngs[1]),
        }
        return {name: normalise(some) for name, some in maps.items()}

    @cached_property
    def bounds(self) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Metrics of all pictures for what no control changes: the centre prior and gaze itself."""
        return {
            PRIOR: self.measure(np.broadcast_to(self.center_prior, self.world.density.shape)),
            TRUTH: self.measure(self.world.density),
        }

    def measure(self, maps: NDArray) -> dict[str, NDArray[np.float64]]:
        """Name of `METRICS` shown -> values (n,) of maps (n, h, w) of all pictures."""
        found = evaluate(maps, self.world.density, self.fixations)
        return {shown: found[name] for name, shown in METRICS.items()}


@dataclass(frozen=True)
class View:
    """What the playground shows of a choice.

    Attributes:
        choice: what was asked for.
        caption: name of the picture.
        image: (h, w, 3) uint8.
        fixations: (k, 2), row and column of each fixation on the picture.
        maps: name of `ROWS` -> (h, w) in [0, 1].
        curve: (256,) the transform's brightness curve, from black to white.
        beta: the transform's weight of the centre prior.
        here, mean: NSS at fixations, SIM, CC and KLD, a row per map of `ROWS`; of this picture, and means over all.
    """

    choice: PlayChoice
    caption: str
    image: NDArray[np.uint8]
    fixations: NDArray[np.int16]
    maps: dict[str, NDArray]
    curve: NDArray[np.float64]
    beta: float
    here: pd.DataFrame
    mean: pd.DataFrame


def play(material: Material, choice: PlayChoice) -> View:
    """Make a prediction for every picture in the same way, fit the map transform to all, and measure.

    Raises:
        ValueError: no such picture or start, or a control outside its range.
    """
    world, prior = material.world, material.center_prior
    if not 0 <= choice.image < len(world):
        raise ValueError(f"image={choice.image}: expected 0 to {len(world) - 1}")
    maps = predictions(material, choice)
    fitted = MapTransform.fit(maps, world.density, prior)
    transformed = fitted.transform(maps)
    values = {PREDICTION: material.measure(maps), TRANSFORMED: material.measure(transformed)} | material.bounds
    here = {name: {metric: some[choice.image] for metric, some in found.items()} for name, found in values.items()}
    mean = {name: {metric: some.mean() for metric, some in found.items()} for name, found in values.items()}
    density = world.density[choice.image]
    shown = (maps[choice.image], transformed[choice.image], prior, density / density.max())
    return View(
        choice,
        material.captions[choice.image],
        world.images[choice.image],
        world.fixations[choice.image],
        dict(zip(ROWS, shown, strict=True)),
        fitted.curve,
        fitted.beta,
        pd.DataFrame.from_dict(here, orient="index"),
        pd.DataFrame.from_dict(mean, orient="index"),
    )


def predictions(material: Material, choice: PlayChoice) -> NDArray[np.float32]:
    """Maps (n, h, w) in [0, 1] of all pictures: blurred, moved, stretched to [0, 1], raised to the power, and mixed
    with the centre prior, in this order.

    Raises:
        ValueError: no such start, or a control outside its range.
    """
    _check(choice)
    maps = [_moved(_blurred(one, choice.blur), choice.shift_x, choice.shift_y) for one in material.starts[choice.start]]
    own = normalise(np.stack(maps)) ** np.float32(choice.power)
    weight = np.float32(choice.prior_weight)
    return (1 - weight) * own + weight * material.center_prior


def _check(choice: PlayChoice) -> None:
    if choice.start not in STARTS:
        raise ValueError(f"start={choice.start!r}; expected one of: {', '.join(STARTS)}")
    if not 0 <= choice.blur < np.inf:
        raise ValueError(f"blur={choice.blur}: expected 0 or more pixels")
    if not 0 < choice.power < np.inf:
        raise ValueError(f"power={choice.power}: expected an exponent above 0")
    if not 0 <= choice.prior_weight <= 1:
        raise ValueError(f"prior_weight={choice.prior_weight}: expected 0 to 1")


def _blurred(one: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(one, (0, 0), sigma), np.float32) if sigma else one


def _moved(one: NDArray[np.float32], right: int, down: int) -> NDArray[np.float32]:
    """The map moved by whole pixels, black where nothing comes from."""
    step = np.array([[1, 0, right], [0, 1, down]], np.float32)
    if not (right or down):
        return one
    return np.asarray(cv2.warpAffine(one, step, one.shape[::-1], flags=cv2.INTER_NEAREST), np.float32)
