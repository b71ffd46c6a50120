"""The look that all figures share: one style file, and one name and colour for every kind of map."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import matplotlib.style

from paperlib.paper import look

STYLE_FILE = Path(__file__).with_name("paper.mplstyle")
FULL_WIDTH = 7.2  # inches: a figure across both columns of an IEEE page


class MapLook(NamedTuple):
    """Name and colour of a kind of map in Figures 1 and 2."""

    label: str
    colour: str


MAPS = {
    "saliency": MapLook("Saliency", look("transalnet").colour),
    "gradcam": MapLook("GradCAM", look("baseline").colour),
    "half_image": MapLook("HalfImage, our reading", look("maniqa").colour),
    "saliency_grid": MapLook("Saliency, 12 cells", look("ew_psnr").colour),
    "center": MapLook("Centre prior", look("center_prior").colour),
    "random": MapLook("Random", look("noise_map").colour),
}

FILLS = {"mean": "ImageNet mean", "telea": "Telea", "navier_stokes": "Navier–Stokes"}
"""Names of fills that are more than their key."""


def use() -> AbstractContextManager[None]:
    """Context in which everything drawn has the paper's style; the settings before come back afterwards."""
    return matplotlib.style.context(STYLE_FILE, after_reset=True)


def map_look(name: str) -> MapLook:
    """Name and colour of a map; an unknown one is called by its key, in the colour for further lines."""
    return MAPS.get(name) or MapLook(name.replace("_", " ").capitalize(), look("topiq_nr").colour)


def fill_label(name: str) -> str:
    """Name of a fill of masked pixels."""
    return FILLS.get(name) or name.replace("_", " ")
