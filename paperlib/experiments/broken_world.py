"""The micro-world broken on purpose: what maps agree with, and what scores follow, once gaze goes elsewhere than to the one
subject. Notebook 00 breaks it; here its maps are made and held against the gaze. Nothing is trained."""

from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.datasets.microworld import REFERENCE_HEIGHT
from paperlib.datasets.world_pictures import ImageSet
from paperlib.experiments.statistics import interval
from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.controls import edge_energy_maps
from paperlib.maps.hirescam import extract
from paperlib.metrics.saliency import evaluate
from paperlib.models.backbones import MICROWORLD, create_backbone
from paperlib.models.baseline import Baseline

PRIOR, PRETRAINED, RANDOM, EDGES = "Centre prior", "Pretrained features", "Features at random", "Edge energy"
MAPS = {"center_prior": PRIOR, "pretrained_norm": PRETRAINED, "unpretrained": RANDOM, "edge_energy": EDGES}
"""Methods of Table I -> what the broken world calls their maps: none of them has seen a score or a fixation."""

YES, UNSURE, NO = "yes", "not decided", "no"
_SOFTENING = 1.2
_SEED = 0


def damage(world: ImageSet) -> NDArray[np.float64]:
    """Level of damage at each place, (n, h, w) in [0, 1]: that of the surround, and softly that of the subject."""
    sigma, ring = _SOFTENING * world.subject.shape[1] / REFERENCE_HEIGHT, np.ones((3, 3), np.uint8)
    masks = [cv2.dilate(mask.astype(np.float32) / 255, ring) for mask in world.subject]
    soft = np.clip([cv2.GaussianBlur(mask, (0, 0), sigma) for mask in masks], 0, 1).astype(np.float64)
    at_subject, around = world.levels.T.astype(np.float64)[..., None, None]
    return around + (at_subject - around) * soft


def picture_maps(world: ImageSet) -> dict[str, NDArray[np.float32]]:
    """Maps (n, h, w) that ask nobody's opinion: the norm over channels of a pretrained backbone's features, the same of one
    with random weights, and edge energy."""
    return {
        PRETRAINED: _feature_norm(world.images, pretrained=True),
        RANDOM: _feature_norm(world.images, pretrained=False),
        EDGES: edge_energy_maps(world.images),
    }


def agreement(gazes: Mapping[str, tuple[ImageSet, NDArray]]) -> dict[str, pd.DataFrame]:
    """CC of every picture's maps with where people look.

    Args:
        gazes: way of breaking -> pictures, and gaze densities (n, h, w) for them.

    Returns:
        Way -> (n rows, a column per map of `MAPS`); the centre prior is that of the way's own densities.
    """
    made: dict[int, dict[str, NDArray[np.float32]]] = {}
    found = {}
    for way, (world, density) in gazes.items():
        if id(world) not in made:
            made[id(world)] = picture_maps(world)
        prior = np.broadcast_to(gaussian_center_prior(density), density.shape)
        maps = {PRIOR: prior} | made[id(world)]
        found[way] = pd.DataFrame({name: evaluate(some, density)["CC"] for name, some in maps.items()})
    return found


def means(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns `way`, `map`, and the mean `CC` with `low` and `high`, the ends of its 95 % interval over pictures."""
    rows = [(way, name, *interval(list(cc[name]))) for way, cc in found.items() for name in cc]
    return pd.DataFrame(rows, columns=["way", "map", "CC", "low", "high"])


def on_photographs(rows: pd.DataFrame, way: str, dataset: str = "osie") -> pd.DataFrame:
    """The same maps on photographs, as they are: the columns of `means`, from the rows of section III-A."""
    chosen = rows[(rows["dataset"] == dataset) & (rows["metric"] == "CC") & (rows["variant"] == "interval/raw")]
    chosen = chosen[chosen["method"].isin(MAPS)].rename(columns={"value": "CC"})
    return chosen.assign(way=way, map=chosen["method"].map(MAPS))[["way", "map", "CC", "low", "high"]].reset_index(drop=True)


def exceeds(one: pd.Series, other: pd.Series) -> str:
    """Whether the first is the larger on average over the same pictures: `YES` or `NO` where the 95 % interval of the
    difference says so, else `UNSURE`."""
    _, low, high = interval(list(one - other))
    return YES if low > 0 else NO if high < 0 else UNSURE


def _feature_norm(images: NDArray[np.uint8], pretrained: bool) -> NDArray[np.float32]:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(_SEED)
        network = Baseline(create_backbone(MICROWORLD, pretrained=pretrained)).eval()
    return extract(network, images, layer=network.backbone, method="norm", smoothing="none", principal_component=False)
