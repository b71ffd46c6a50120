"""The data sets by name: which loader opens which. Loaders know nothing of it, and nothing that computes imports it."""

from importlib import import_module
from pathlib import Path
from typing import Any

from paperlib.datasets.gaze import GazeSet
from paperlib.datasets.opinions import OpinionSet
from paperlib.errors import PaperlibError

OPENERS = {
    "gaze": {
        "salicon": "paperlib.datasets.salicon:open_salicon",
        "cat2000": "paperlib.datasets.cat2000:open_cat2000",
        "osie": "paperlib.datasets.osie:open_osie",
        "eyecrowd": "paperlib.datasets.eyecrowd:open_eyecrowd",
        "own": "paperlib.datasets.own:open_own",
    },
    "opinions": {
        "koniq10k": "paperlib.datasets.koniq:open_koniq",
        "clive": "paperlib.datasets.clive:open_clive",
        "biq2021": "paperlib.datasets.biq2021:open_biq2021",
        "own": "paperlib.datasets.own_opinions:open_own_opinions",
    },
}
"""What records tell besides the picture -> key of a set -> `"module:function"` that opens it."""

SAMPLED = ("biq2021", "osie", "eyecrowd")
"""Sets whose loader has the option `extent`: `paperlib.datasets.listed_files.EXTENTS`."""


def opener_of(name: str, face: str) -> str:
    """`"module:function"` that opens set `name` with `face`: `"gaze"` or `"opinions"`.

    Raises:
        PaperlibError: there is no such set.
    """
    if name not in OPENERS[face]:
        what = "eye-tracking data set" if face == "gaze" else "data set of opinions"
        raise PaperlibError(f"there is no {what} {name!r}; choose one of {', '.join(OPENERS[face])}")
    return OPENERS[face][name]


def open_gaze(name: str, root: str | Path, **options: Any) -> GazeSet:
    """Open the eye-tracking set `name` that lies in `root`, or just above or inside it, with `options` of its loader.

    Raises:
        PaperlibError: unknown name; files missing, misnamed, of the wrong edition or of the wrong size.
    """
    opened: GazeSet = _opener(name, "gaze")(root, **options)
    return opened


def open_opinions(name: str, root: str | Path, **options: Any) -> OpinionSet:
    """Open the set of pictures with mean opinion scores `name`; `root` and `options` as for `open_gaze`.

    Raises:
        PaperlibError: unknown name; pictures missing, misnamed, unreadable or of the wrong size; a table that is
            missing, damaged, incomplete or on another scale.
    """
    opened: OpinionSet = _opener(name, "opinions")(root, **options)
    return opened


def _opener(name: str, face: str) -> Any:
    module, _, function = opener_of(name, face).partition(":")
    return getattr(import_module(module), function)
