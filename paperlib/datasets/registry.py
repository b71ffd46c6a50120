"""The data sets by name: which loader opens which. Loaders know nothing of it, and nothing that computes imports it."""

from importlib import import_module
from pathlib import Path
from typing import Any

from paperlib.datasets.gaze import GazeSet
from paperlib.datasets.opinions import OpinionSet
from paperlib.errors import PaperlibError

GAZE = {
    "salicon": "paperlib.datasets.salicon:open_salicon",
    "cat2000": "paperlib.datasets.cat2000:open_cat2000",
    "own": "paperlib.datasets.own:open_own",
}
"""Key of an eye-tracking set -> `"module:function"` that opens it."""

OPINIONS = {
    "koniq10k": "paperlib.datasets.koniq:open_koniq",
    "clive": "paperlib.datasets.clive:open_clive",
    "own": "paperlib.datasets.own_opinions:open_own_opinions",
}
"""Key of a set with opinion scores -> `"module:function"` that opens it."""


def opener_of(name: str, face: str) -> str:
    """`"module:function"` that opens set `name` with `face`: `"gaze"` or `"opinions"`.

    Raises:
        PaperlibError: there is no such set.
    """
    known, what = (GAZE, "eye-tracking data set") if face == "gaze" else (OPINIONS, "data set of opinions")
    if name not in known:
        raise PaperlibError(f"there is no {what} {name!r}; choose one of {', '.join(known)}")
    return known[name]


def open_gaze(name: str, root: str | Path, **options: Any) -> GazeSet:
    """Open an eye-tracking data set that lies in `root`.

    Args:
        name: a key of `GAZE`.
        root: its folder; a folder just above or inside it is understood as well.
        options: of its loader.

    Raises:
        PaperlibError: unknown name; files missing, misnamed, of the wrong edition or of the wrong size.
    """
    return _open(opener_of(name, "gaze"), root, options)


def open_opinions(name: str, root: str | Path, **options: Any) -> OpinionSet:
    """Open a data set of pictures with mean opinion scores that lies in `root`.

    Args:
        name: a key of `OPINIONS`.
        root: its folder; a folder just above or inside it is understood as well.
        options: of its loader.

    Raises:
        PaperlibError: unknown name; pictures missing, misnamed, unreadable or of the wrong size; a table that is
            missing, damaged, incomplete or on another scale.
    """
    return _open(opener_of(name, "opinions"), root, options)


def _open(opener: str, root: str | Path, options: dict[str, Any]) -> Any:
    module, _, function = opener.partition(":")
    return getattr(import_module(module), function)(root, **options)
