"""Eye-tracking sets of one form, OSIE and EyeCrowd: pictures of one size, and all fixations in one MATLAB file.

    data/stimuli/1001.jpg                     a clone of the repository; or stimuli/ and fixations.mat side by side
    data/eye/fixations.mat                    `fixations`: per picture `img`, its file's name, and `subjects`, each with
                                              `fix_x`, `fix_y` in pixels, 1-based, and `fix_duration`

Density maps are the fixations of all observers, blurred with a Gaussian of one degree of visual angle.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import (
    Problems,
    UnusableFile,
    existing_folder,
    file_bytes,
    folder_with,
    listing,
    packed_hint,
    picture_size,
    read_mat,
    require_size,
)
from paperlib.datasets.gaze import Gaze, GazeSet, PointRecord
from paperlib.datasets.listed_files import chosen_pictures
from paperlib.datasets.pictures import TITLES
from paperlib.errors import PaperlibError

LAYOUTS = (("data/stimuli", "data/eye/fixations.mat"), ("stimuli", "fixations.mat"))
"""Where pictures and fixations lie below the folder of a set."""


@dataclass(frozen=True)
class Published:
    """What is known of a set.

    Attributes:
        name: its key.
        pictures: how many there are.
        size: (height, width) of all of them.
        sigma: pixels per degree, the standard deviation of the blur.
        sample: name of its list in `paperlib.datasets.listed_files`.
        address: of its repository.
    """

    name: str
    pictures: int
    size: tuple[int, int]
    sigma: float
    sample: str
    address: str


def open_published(root: str | Path, known: Published, extent: str) -> GazeSet:
    """Open a set: the fixations are read whole; of pictures only the headers.

    Args:
        root: its folder, or the one above.
        known: what is known of it.
        extent: one of `paperlib.datasets.listed_files.EXTENTS`.

    Raises:
        PaperlibError: no such folder or extent; pictures of the extent missing, unreadable, of another size or without
            a fixation; fixations of another form.
    """
    what, advice = TITLES[known.name], f"restore it from {known.address}"
    base = existing_folder(root, what)
    found = [(home, *layout) for layout in LAYOUTS if (home := folder_with(base, *layout))]
    if not found:
        expected = " or ".join(" and ".join(layout) for layout in LAYOUTS)
        raise PaperlibError(f"{what} in {base}: expected {expected} there{packed_hint(base)}")
    home, stimuli, table = found[0]
    gaze = read_fixations(home / table)
    pictures, notes = chosen_pictures(list(gaze), home / stimuli, extent, known.sample, what, known.pictures)
    problems = Problems(f"{what} pictures")
    records = []
    for name in sorted(pictures):
        path = pictures[name]
        with problems.collecting():
            require_size(path, picture_size(path), known.size)
            records.append(
                PointRecord(name, path, known.size, file_bytes([path]), _gaze(path, gaze[name], known), known.sigma)
            )
    problems.raise_if_any(len(pictures), advice)
    dropped = {record.key: record.gaze.dropped for record in records if record.gaze.dropped}
    if dropped:
        notes += (f"{sum(dropped.values())} points outside their picture were dropped, in {listing(dropped)}",)
    return GazeSet(known.name, tuple(records), notes)


def read_fixations(path: Path) -> dict[str, list[NDArray[np.float64]]]:
    """Name of a picture's file -> per observer (k, 2), the points (x, y) as published; k may be 0.

    Raises:
        UnusableFile: missing, unreadable or of another form.
    """
    try:
        cells = np.ravel(read_mat(path)["fixations"])
        found = {_text(_field(cell, "img")): [_points(one) for one in np.ravel(_field(cell, "subjects"))] for cell in cells}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UnusableFile(path, f"expected `fixations` with img and subjects (fix_x, fix_y), {error!r}") from error
    if not found or len(found) < len(cells):
        raise UnusableFile(path, f"{len(cells)} entries name {len(found)} pictures, expected each once")
    return found


def _field(cell: NDArray, name: str) -> NDArray:
    """A field of a 1x1 struct, or of an element of an array of structs."""
    content: NDArray = np.ravel(cell)[0][name]
    return content


def _text(value: NDArray) -> str:
    if value.dtype.kind != "U" or value.size != 1:
        raise ValueError(f"img is {value!r}")
    return str(value.item())


def _points(subject: NDArray) -> NDArray[np.float64]:
    x, y = (np.ravel(_field(subject, name)).astype(float) for name in ("fix_x", "fix_y"))
    return np.stack([x, y], axis=1)


def _gaze(path: Path, viewings: list[NDArray[np.float64]], known: Published) -> Gaze:
    points = np.concatenate([np.empty((0, 2)), *viewings]) - 1
    gaze = Gaze.from_points(points[:, 1], points[:, 0], known.size, sum(len(viewing) > 0 for viewing in viewings))
    if not len(gaze.fixations):
        raise UnusableFile(path, "no fixation of `fixations.mat` lies inside it")
    return gaze
