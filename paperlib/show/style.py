"""The look that all figures share: one style file, and one name and colour for every kind of map."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import matplotlib.style

from paperlib.paper import DATASETS, Method, look

STYLE_FILE = Path(__file__).with_name("paper.mplstyle")
FULL_WIDTH = 7.2  # inches: a figure across both columns of an IEEE page
COLUMN_WIDTH = 3.5  # inches: a figure in one column; blown up to a slide or a telephone its text is as large as a title


class MapLook(NamedTuple):
    """Name, colour and marker of a kind of map in Figures 1 and 2."""

    label: str
    colour: str
    marker: str


MAPS = {
    "saliency": MapLook("Saliency", "#882255", "o"),
    "gradcam": MapLook("GradCAM", look("baseline").colour, "s"),
    "half_image": MapLook("HalfImage, our reading", look("maniqa").colour, "^"),
    "saliency_grid": MapLook("Saliency, 12 cells", "#33bbee", "D"),
    "center": MapLook("Centre prior", look("center_prior").colour, "X"),
    "random": MapLook("Random", look("noise_map").colour, "v"),
}
"""Colours at least 25 apart in CIELAB, also for people without red or green cones; wine and cyan are Paul Tol's."""

OTHER_MAP = MapLook("", "#117733", "P")

_WEIGHTED = {"EW-PSNR": ("ew_psnr_center", ("h", "P", "X")), "EW-SSIM": ("ew_ssim_center", ("8", "H", "1"))}

OPINIONS = {
    "people": MapLook("people, photographs of {dataset}", "#222222", "D"),
    "saliency": MapLook("simulated, looking at the subject", look("baseline").colour, "o"),
    "uniform": MapLook("simulated, looking everywhere", look("maniqa").colour, "s"),
    "unpretrained": MapLook("simulated, not pretrained", "#808080", "X"),
}
"""Whose opinions a network learnt."""

FILLS = {"mean": "ImageNet mean", "telea": "Telea", "navier_stokes": "Navier–Stokes"}
"""Names of fills that are more than their key."""


def use() -> AbstractContextManager[None]:
    """Context in which everything drawn has the paper's style; the settings before come back afterwards."""
    return matplotlib.style.context(STYLE_FILE, after_reset=True)


def map_look(name: str) -> MapLook:
    """Name and colour of a map; an unknown one is called by its key, in the colour for further lines."""
    return MAPS.get(name) or OTHER_MAP._replace(label=name.replace("_", " ").capitalize())


def method_look(method: str) -> Method:
    """Name and look of a method of any table row.

    Rows of an EW metric with other weights that `paperlib.paper.METHODS` does not list, "EW-PSNR, uniform" or "EW-PSNR,
    MSINet", are drawn in the colour of that metric's controls.
    """
    known = look(method)
    metric, comma, weights = method.partition(", ")
    if known.group != "Own" or not comma or metric not in _WEIGHTED:
        return known
    control, (uniform, network, other) = _WEIGHTED[metric]
    marker = {"uniform": uniform, look("msinet").label: network}.get(weights, other)
    return known._replace(group=look(control).group, colour=look(control).colour, marker=marker)


def opinions_look(name: str, dataset: str) -> MapLook:
    """Name and colour of those whose opinions on a data set a network learnt; unknown ones are called by their key."""
    known = OPINIONS.get(name) or OTHER_MAP._replace(label=name)
    return known._replace(label=known.label.format(dataset=DATASETS.get(dataset, dataset)))


def fill_label(name: str) -> str:
    """Name of a fill of masked pixels."""
    return FILLS.get(name) or name.replace("_", " ")
