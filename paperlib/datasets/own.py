"""The user's own eye-tracking data: a folder of pictures and one table of fixations.

    images/1011.jpg            any sizes, any common type
    fixations.csv              a header, then one fixation per line; needed columns: image, subject, x, y
    saliency_<name>/1011.png   optional: grey maps of a model, any size; `map_folders`

Coordinates are pixels of the stored picture, 0-based, centres at integers, x to the right, y down. They are rounded to
the nearest pixel; points outside are dropped and counted. Density maps are the fixations blurred with a Gaussian.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from paperlib.datasets.files import (
    IMAGE_SUFFIXES,
    Problems,
    existing_folder,
    file_bytes,
    has_rotation,
    last_part,
    list_files,
    list_folders,
    listing,
    packed_hint,
    picture_size,
    unique_by,
)
from paperlib.datasets.gaze import Gaze, GazeSet, PointRecord
from paperlib.datasets.pictures import SALICON_SIGMA
from paperlib.datasets.tables import finite, read_table
from paperlib.errors import PaperlibError

TABLE = "fixations.csv"
COLUMNS = ("image", "subject", "x", "y")
MAP_PREFIX = "saliency_"


class Fixation(NamedTuple):
    """One line of `fixations.csv`: who looked, and where, in pixels as written."""

    subject: str
    x: float
    y: float


def open_own(root: str | Path, sigma_px: float | None = None, px_per_degree: float | None = None) -> GazeSet:
    """Open a folder with `images/` and `fixations.csv`. The table is read whole; of pictures only the headers.

    Args:
        root: the folder.
        sigma_px: standard deviation of the blur in pixels.
        px_per_degree: pixels per degree of visual angle when the pictures were viewed: the blur is one degree. Where
            neither is given, it is 19/480 of each picture's height (the SALICON API's share).

    Raises:
        PaperlibError: no pictures, no table, mistakes in the table, lines that name no picture, or no picture with a
            fixation. Pictures without fixations are left out, and `notes` says so.
    """
    home = existing_folder(root, "own data")
    setting, sigma = _blur_setting(sigma_px, px_per_degree)
    pictures = own_pictures(home)
    table = _matched(read_fixations(home / TABLE), pictures)
    records, findings = _records({key: path for key, path in pictures.items() if key in table}, table, sigma)
    if not records:
        raise PaperlibError(
            f"none of the {len(pictures)} pictures in {home / 'images'} has a fixation inside it; compare the column "
            f"'image' and the coordinates in {TABLE} with the pictures"
        )
    notes = [f"density: fixations blurred with a Gaussian of {setting}"]
    without = sorted(pictures.keys() - {record.key for record in records})
    if without:
        notes.append(f"left out: {len(without)} of {len(pictures)} pictures without fixations: {listing(without)}")
    return GazeSet("own", tuple(records), (*notes, *findings))


def _records(
    pictures: Mapping[str, Path], table: Mapping[str, Sequence[Fixation]], sigma: float | None
) -> tuple[list[PointRecord], list[str]]:
    """Records of the pictures that have a fixation inside, and notes; no `sigma` is a share of the height."""
    problems = Problems("pictures")
    records: list[PointRecord] = []
    dropped: dict[str, int] = {}
    rotated: list[str] = []
    beyond = False
    for key, path in pictures.items():
        with problems.collecting():
            size = picture_size(path)
            subjects, x, y = zip(*table[key], strict=True)
            gaze = Gaze.from_points(y, x, size, observers=len(set(subjects)))
            if gaze.dropped:
                dropped[key] = gaze.dropped
            if has_rotation(path):
                rotated.append(key)
            beyond |= bool((np.rint(x) == size[1]).any() or (np.rint(y) == size[0]).any())
            if len(gaze.fixations):
                width = SALICON_SIGMA * size[0] if sigma is None else sigma
                records.append(PointRecord(key, path, size, file_bytes([path]), gaze, width))
    problems.raise_if_any(len(pictures), "replace these files")
    notes = []
    if dropped:
        notes.append(f"{sum(dropped.values())} points outside their picture were dropped, in {listing(dropped)}")
    if beyond and min(min(line.x, line.y) for key in pictures for line in table[key]) >= 1:
        notes.append(
            "x equals the width or y the height somewhere and nothing lies below 1: if the coordinates count from "
            f"1, subtract 1 from x and y in {TABLE}"
        )
    if rotated:
        notes.append(
            f"{len(rotated)} pictures carry an EXIF rotation, which is ignored (x, y are read as stored "
            f"pixels): {listing(rotated)}"
        )
    return records, notes


def own_pictures(root: Path) -> dict[str, Path]:
    """Key (the file's name) -> picture in `root/images`, sorted.

    Raises:
        PaperlibError: there are none.
    """
    folder = root / "images"
    pictures = {path.name: path for path in list_files(folder, IMAGE_SUFFIXES)}
    if not pictures:
        inside = [path.name for path in list_folders(folder)]
        found = f"only the folders {listing(inside)}" if inside else "no pictures"
        raise PaperlibError(
            f"expected pictures in {folder}, found {found if folder.is_dir() else 'no such folder'}"
            f"{packed_hint(root)}; put them there as .jpg, .png or another common type"
        )
    return pictures


def _blur_setting(sigma_px: float | None, px_per_degree: float | None) -> tuple[str, float | None]:
    """How the blur is called, and its pixels; None for a share of the height."""
    given = {"sigma_px": sigma_px, "px_per_degree": px_per_degree}
    wrong = [f"{name}={value}" for name, value in given.items() if value is not None and not 0 < value < math.inf]
    if wrong:
        raise PaperlibError(f"the blur must be a positive number, got {', '.join(wrong)}")
    if sigma_px is not None and px_per_degree is not None:
        raise PaperlibError("give the blur in pixels (sigma_px) or as one degree (px_per_degree), not both")
    if sigma_px is not None:
        return f"{sigma_px:g} px", float(sigma_px)
    if px_per_degree is not None:
        return f"1 degree ({px_per_degree:g} px)", float(px_per_degree)
    return "19/480 of the height", None


# ---- the table ------------------------------------------------------------------------------------------------------
def read_fixations(path: Path) -> dict[str, list[Fixation]]:
    """Read `fixations.csv`: as `paperlib.datasets.tables.read_table` says, with the columns `COLUMNS`.

    Returns:
        The value of the column `image` -> its lines, in the order of the file.

    Raises:
        PaperlibError: no such file, empty, another separator or encoding, a missing column, or values of x or y that
            are no finite numbers; lines are counted from 1, the header included.
    """
    advice = "x and y must be numbers such as 378.6, every line must name its image"
    table: dict[str, list[Fixation]] = {}
    for name, fixation in read_table(path, COLUMNS, _fixation, "fixations", advice):
        table.setdefault(name, []).append(fixation)
    return table


def _fixation(image: str, subject: str, x: str, y: str) -> tuple[str, Fixation]:
    if not image:
        raise ValueError("no image")
    return image, Fixation(subject, finite(x, "x"), finite(y, "y"))


def _matched(table: dict[str, list[Fixation]], pictures: dict[str, Path]) -> dict[str, list[Fixation]]:
    """Lines by the key of their picture: the file's name, or its stem where only one picture has it."""
    stems = unique_by(pictures, _stem)
    matched: dict[str, list[Fixation]] = {}
    strangers = []
    for name, lines in table.items():
        last = last_part(name)
        key = last if last in pictures else stems.get(last)
        if key is None:
            strangers.append(name)
        else:
            matched.setdefault(key, []).extend(lines)
    if strangers:
        raise PaperlibError(
            f"{len(strangers)} of {len(table)} images named in {TABLE} are not in images/: {listing(strangers)} "
            f"({sum(len(table[name]) for name in strangers)} fixations); expected names such as {listing(pictures)}"
        )
    return matched


def _stem(name: str) -> str:
    return Path(name).stem


# ---- maps of models -------------------------------------------------------------------------------------------------
def map_folders(root: str | Path, keys: Iterable[str] | None = None) -> dict[str, dict[str, Path]]:
    """The folders `saliency_<name>` beside `images`, each with one map per picture.

    Args:
        root: folder of the own data.
        keys: pictures that must have a map; None for all in `images/`.

    Returns:
        name -> key -> file; empty where there is no such folder.

    Raises:
        PaperlibError: as `maps_in`.
    """
    home = existing_folder(root, "own data")
    wanted = list(own_pictures(home) if keys is None else keys)
    return {
        folder.name.removeprefix(MAP_PREFIX): maps_in(folder, wanted)
        for folder in list_folders(home)
        if folder.name.startswith(MAP_PREFIX) and folder.name != MAP_PREFIX
    }


def maps_in(folder: Path, keys: Sequence[str]) -> dict[str, Path]:
    """The map of each picture `keys`: the file of the same name or, failing that, of the same stem.

    Raises:
        PaperlibError: pictures without a map; they are counted and named.
    """
    files = {path.name: path for path in list_files(folder, IMAGE_SUFFIXES)}
    stems = unique_by(files, _stem)
    found = {key: key if key in files else stems.get(_stem(key)) for key in keys}
    missing = [key for key, name in found.items() if name is None]
    if missing:
        raise PaperlibError(
            f"{len(missing)} of {len(keys)} pictures have no map in {folder}: {listing(missing)}; expected files of "
            f"the same name, such as {_stem(missing[0])}.png"
        )
    return {key: files[name] for key, name in found.items() if name is not None}
