"""One picture, one network, one way of asking it: what the saliency explorer of notebook 03a shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from paperlib import experiments
from paperlib.experiments import world_maps
from paperlib.experiments.extraction import SLOW_CONTROLS, WORLD_ROWS, Examples
from paperlib.experiments.networks import VARIANTS, load_network, network_unit
from paperlib.experiments.photo_sets import open_gaze_source, origins
from paperlib.experiments.photo_sources import SCORE_KINDS, scoring_network
from paperlib.maps.hirescam import extract
from paperlib.paper import look

if TYPE_CHECKING:
    from paperlib.profiles import Profile

Loader = Callable[[], tuple[nn.Module, nn.Module]]
"""Gives an IQA network in evaluation mode and its feature layer."""


@dataclass(frozen=True)
class Choice:
    """One state of the explorer.

    Attributes:
        image: number of the picture.
        network: a key of `Material.networks`.
        smoothing, n_passes: see `paperlib.maps.smoothing.passes`; `n_passes` matters to rotations alone.
        principal_component: keep the first principal component instead of the channel sum.
        sign: a key of `paperlib.maps.hirescam.SIGNS`.
    """

    image: int
    network: str
    smoothing: str = "rotations"
    n_passes: int = 6
    principal_component: bool = True
    sign: str = "positive"


@dataclass(frozen=True)
class Material:
    """What there is to explore.

    Attributes:
        shown: pictures with gaze.
        networks: label -> how to get that network.
        standard: the first state: the profile's first IQA network on the first picture, asked as for Table I.
        max_angle: of the rotations, degrees.
    """

    shown: Examples
    networks: Mapping[str, Loader]
    standard: Choice
    max_angle: float = 10.0

    @property
    def captions(self) -> Sequence[str]:
        """A different name for each picture."""
        names = self.shown.captions or ("picture",) * len(self.shown.images)
        return [f"{number}: {name}" for number, name in enumerate(names, start=1)]


@dataclass(frozen=True)
class View:
    """What the explorer shows of a choice.

    Attributes:
        choice: what was asked for.
        caption: name of the picture.
        image: (h, w, 3) uint8.
        density: (h, w) gaze density, stretched to a maximum of 1.
        saliency: (h, w) float32 in [0, 1].
        metrics: NSS, SIM, CC and KLD of the map against gaze, without map transform; NaN where a map is flat.
    """

    choice: Choice
    caption: str
    image: np.ndarray
    density: np.ndarray
    saliency: np.ndarray
    metrics: dict[str, float]


def explore(material: Material, choice: Choice) -> View:
    """The map of one network on one picture, and how well it agrees with gaze.

    Raises:
        ValueError: no such picture or network, or as `paperlib.maps.hirescam.extract`.
    """
    shown = material.shown
    if not 0 <= choice.image < len(shown.images):
        raise ValueError(f"image={choice.image}: expected 0 to {len(shown.images) - 1}")
    if choice.network not in material.networks:
        raise ValueError(f"network={choice.network!r}; expected one of: {', '.join(material.networks)}")
    image, density = shown.images[choice.image], np.asarray(shown.density[choice.image])
    network, layer = material.networks[choice.network]()
    (saliency,) = extract(
        network,
        image[None],
        layer=layer,
        smoothing=choice.smoothing,
        n_passes=choice.n_passes,
        max_angle=material.max_angle,
        principal_component=choice.principal_component,
        sign=choice.sign,
    )
    return View(
        choice,
        material.captions[choice.image],
        image,
        density / density.max(),
        saliency,
        shown.agreement(choice.image, saliency),
    )


def material(profile: "Profile") -> Material:
    """The example pictures of `profile` and its IQA networks, those behind Table I; they are loaded when asked for."""
    networks = _photo_networks(profile) if profile.photographs.datasets else _world_networks(profile)
    settings = profile.extraction
    standard = Choice(0, next(iter(networks)), settings.smoothing, settings.n_passes, settings.principal_component)
    return Material(experiments.examples(profile), networks, standard, settings.max_angle)


def _world_networks(profile: "Profile") -> dict[str, Loader]:
    scoring = {*VARIANTS, *world_maps.NETWORK_OF} - {*world_maps.SOURCES}
    units = {
        method: network_unit(profile, world_maps.NETWORK_OF.get(method, method), profile.seeds[0])
        for method in WORLD_ROWS
        if method in scoring and not (method in SLOW_CONTROLS and profile.n_control_seeds < 1)
    }
    results = experiments.compute(units.values(), profile, "networks to explore")

    def load(name: str) -> tuple[nn.Module, nn.Module]:
        network = load_network(results[name])
        return network, network.last_features

    return {look(method).label: cache(partial(load, unit.name)) for method, unit in units.items()}


def _photo_networks(profile: "Profile") -> dict[str, Loader]:
    known = origins(profile, open_gaze_source(profile, profile.photographs.datasets[0]))
    return {
        look(method).label: cache(partial(scoring_network, origin, profile))
        for method, origin in known.items()
        if origin.kind in SCORE_KINDS
    }
