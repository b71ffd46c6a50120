"""What section III-C shows besides its table, alike for networks of the micro-world and for networks of photographs."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from paperlib import experiments, paper
from paperlib.experiments import photo_training
from paperlib.experiments.artefacts import Figure1Data
from paperlib.experiments.extraction import FIGURE_IMAGES
from paperlib.experiments.networks import baseline_units, load_network
from paperlib.experiments.photo_sets import open_gaze_source
from paperlib.experiments.photo_sources import picture, sized
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
        for network in photo_training.networks(profile.dual_task) if network.section != "Control"
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
    settings, seen = profile.dual_task, (profile.photographs.input_height, profile.photographs.input_width)
    units, dataset = photo_training.units(profile), settings.gaze_sets[0]
    records = open_gaze_source(profile, dataset).pictures.records[:FIGURE_IMAGES]
    sizes = [seen if all(seen) else record.size for record in records]
    densities = [sized(record.load_density(), size) for record, size in zip(records, sizes, strict=True)]
    maps = {"Gaze density": [density / density.max() for density in densities]}
    for network in photo_training.networks(settings):
        if network.method not in SHOWN:
            continue
        shards = f"maps/{network.name}/{dataset}/seed{profile.seeds[0]}/"
        wanted = [unit for unit in units if unit.name.startswith(shards) and dict(unit.params)["first"] < len(records)]
        found = experiments.compute(wanted, profile, "maps").values()
        levels = {key: value for result in found for key, value in result.arrays.items()}
        maps[paper.look(network.method).label] = [
            sized(levels[f"plain.{index}"], size).astype(np.float32) / 255 for index, size in enumerate(sizes)
        ]
    pictures = [picture(*pair) for pair in zip(records, sizes, strict=True)]
    return Figure1Data(pictures, maps, tuple(record.key for record in records))


def at_home(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """The rows of Table II on its first test sets of scores and of gaze, without the centre prior."""
    settings = profile.dual_task
    sets = (settings.quality_sets[0], settings.gaze_sets[0]) if settings.training_set else ("world",)
    return rows[rows["dataset"].isin(sets) & rows["variant"].isin(["quality", "fitted"]) & (rows["method"] != "center_prior")]


def equivalence(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """`paperlib.experiments.photo_training.equivalence` in SROCC on all sets whose scores are tested.

    Returns:
        Columns `n` (repeats), `difference`, `low`, `high` and `verdict`, by method and data set; the interval says what p
        would. Empty with fewer than two repeats.
    """
    sets = tuple(dict.fromkeys(rows.loc[rows["variant"] == "quality", "dataset"]))
    tested = photo_training.equivalence(rows, replace(profile.dual_task, quality_sets=sets))
    chosen = tested[tested["metric"] == "SROCC"].set_index(["method", "dataset"])
    return chosen[["n", "difference", "low", "high", "verdict"]]
