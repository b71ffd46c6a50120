"""What section III-C shows besides its table, alike for networks of the micro-world and for networks of photographs."""

from itertools import chain
from typing import TYPE_CHECKING

import pandas as pd

from paperlib import experiments, paper
from paperlib.experiments import photo_training
from paperlib.experiments.artefacts import Figure1Data
from paperlib.experiments.extraction import FIGURE_IMAGES
from paperlib.experiments.networks import baseline_units, load_network
from paperlib.experiments.photo_sets import AsSeen
from paperlib.maps.hirescam import extract
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline

if TYPE_CHECKING:
    from torch import nn

    from paperlib.profiles import Profile

SHOWN = ("baseline", "baseline_gradcam_loss")
"""Networks whose one-pass maps stand under each other."""


def parameters(profile: "Profile") -> pd.DataFrame:
    """Column `parameters`, how many numbers each network learns, by method; controls differ in nothing but the target."""
    networks = _photo_networks(profile) if profile.dual_task.training_set else _world_networks(profile)
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    return pd.Series(counts, name="parameters").to_frame()


def _world_networks(profile: "Profile") -> "dict[str, nn.Module]":
    units = baseline_units(profile, profile.seeds[0])
    results = experiments.compute(units.values(), profile, "networks")
    return {name: load_network(results[unit.name]) for name, unit in units.items()}


def _photo_networks(profile: "Profile") -> "dict[str, nn.Module]":
    """Networks of the same build as those that are trained, with random weights."""
    return {
        network.method: Baseline(create_backbone(network.backbone), decoder=network.variant == "sal_loss")
        for network in photo_training.networks(profile.dual_task)
        if network.section != "Control"
    }


def learnt_maps(profile: "Profile") -> Figure1Data:
    """Gaze density and the one-pass maps of `SHOWN`, of the first repeat and the first test pictures."""
    return _photo_maps(profile) if profile.dual_task.training_set else _world_maps(profile)


def _world_maps(profile: "Profile") -> Figure1Data:
    world, networks = experiments.examples(profile), _world_networks(profile)
    maps = {"Gaze density": world.density / world.density.max((1, 2), keepdims=True)}
    for name in SHOWN:
        maps[paper.look(name).label] = extract(networks[name], world.images, smoothing="none", principal_component=False)
    return Figure1Data(world.images, maps, ())


def _photo_maps(profile: "Profile") -> Figure1Data:
    """From the stored grey levels, at the size at which networks see the pictures."""
    source, units = photo_training.shown_maps(profile, SHOWN, FIGURE_IMAGES)
    shown = AsSeen(source.pictures.records[:FIGURE_IMAGES], profile)
    maps = {"Gaze density": [density / density.max() for density in shown.densities()]}
    results = experiments.compute(chain.from_iterable(units.values()), profile, "maps")
    for method, shards in units.items():
        levels = {key: value for unit in shards for key, value in results[unit.name].arrays.items()}
        maps[paper.look(method).label] = shown.maps(levels, "plain")
    return Figure1Data(shown.images(), maps, shown.captions)


def at_home(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """The rows of Table II on its first test sets of scores and of gaze, without the centre prior."""
    settings = profile.dual_task
    sets = (settings.quality_sets[0], settings.gaze_sets[0]) if settings.training_set else ("world",)
    return rows[
        rows["dataset"].isin(sets) & rows["variant"].isin(["quality", "fitted"]) & (rows["method"] != "center_prior")
    ]
