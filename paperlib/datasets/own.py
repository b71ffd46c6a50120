"""The user's own eye-tracking data: a folder of pictures and one table of fixations.

    images/1011.jpg            any sizes, any common type
    fixations.csv              a header, then one fixation per line; needed columns: image, subject, x, y
    saliency_<name>/1011.png   optional: grey maps of a model, any size; `map_folders`

Coordinates are pixels of the stored picture, 0-based, centres at integers, x to the right, y down. They are rounded to
the nearest pixel; points outside are dropped and counted. Density maps are the fixations blurred with a Gaussian.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from paperlib.datasets.files import (
    IMAGE_SUFFIXES,
    Problems,
    existing_folder,
    file_bytes,
    has_rotation,
    list_files,
    list_folders,
    listing,
    matched,
    others_in,
    packed_hint,
    picture_size,
)
from paperlib.datasets.gaze import Gaze, GazeSet, PointRecord
from paperlib.datasets.pictures import SALICON_SIGMA
from paperlib.datasets.tables import finite, read_table
from paperlib.errors import PaperlibError

TABLE = "fixations.csv"
COLUMNS = ("image", "subject", "x", "y")
MAP_PREFIX = "saliency_"

Opened = TypeVar("Opened")


def once_per_content(opener: Callable[..., Opened]) -> Callable[..., Opened]:
    """The opener with one more option, `content`, the fingerprint of what it opens where that is known: a process opens such
    a set once, and not for every shard of its pictures."""
    known = lru_cache(maxsize=1)(lambda content, root, options: opener(root, **dict(options)))

    @wraps(opener)
    def opened(root: str | Path, content: str = "", **options: Any) -> Opened:
        return known(content, root, tuple(options.items())) if content else opener(root, **options)

    return opened


class Fixation(NamedTuple):
    """One line of `fixations.csv`: who looked, and where, in pixels as written."""

    subject: str
    x: float
    y: float


@once_per_content
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
    _require_pixels(table)
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
    return GazeSet("own", tuple(records), (*notes, *findings, *_repeated(table), *unread(home)))


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


def unread(root: Path) -> tuple[str, ...]:
    """A note on files beside the pictures that are none, or of a type that is not read."""
    others = others_in(root / "images", IMAGE_SUFFIXES)
    return (f"left out: {len(others)} files in images/ of other types: {listing(others)}",) if others else ()


def own_pictures(root: Path) -> dict[str, Path]:
    """Key (the file's name) -> picture in `root/images`, sorted.

    Raises:
        PaperlibError: there are none.
    """
    folder = root / "images"
    pictures = {path.name: path for path in list_files(folder, IMAGE_SUFFIXES)}
    if not pictures:
        folders, others = [path.name for path in list_folders(folder)], others_in(folder, IMAGE_SUFFIXES)
        found = f"only the folders {listing(folders)}" if folders else f"only {listing(others)}" if others else "no pictures"
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
    """Lines by the key of their picture, as `paperlib.datasets.files.matched` finds it."""
    keys = matched(table, pictures)
    found: dict[str, list[Fixation]] = {}
    for name, lines in table.items():
        if key := keys[name]:
            found.setdefault(key, []).extend(lines)
    strangers = [name for name, key in keys.items() if key is None]
    if strangers:
        raise PaperlibError(
            f"{len(strangers)} of {len(table)} images named in {TABLE} are not in images/: {listing(strangers)} "
            f"({sum(len(table[name]) for name in strangers)} fixations); expected names such as {listing(pictures)}"
        )
    return found


def _require_pixels(table: Mapping[str, Sequence[Fixation]]) -> None:
    """Raises PaperlibError where coordinates are shares of the picture."""
    points = np.array([(line.x, line.y) for lines in table.values() for line in lines])
    if len(points) > 1 and points.min() >= 0 and points.max() <= 1 and (points % 1).any():
        raise PaperlibError(
            f"all x and y in {TABLE} lie between 0 and 1 and look like shares of the picture; expected pixels: multiply x "
            "by the width and y by the height of each picture"
        )


def _repeated(table: Mapping[str, Sequence[Fixation]]) -> list[str]:
    """A note on lines that stand in the table twice."""
    twice = {name: len(lines) - len(set(lines)) for name, lines in table.items() if len(set(lines)) < len(lines)}
    if not twice:
        return []
    return [f"{sum(twice.values())} lines of {TABLE} repeat an earlier one and count as well, in {listing(twice)}"]


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
    """The map of each picture `keys`, as `paperlib.datasets.files.matched` finds it.

    Raises:
        PaperlibError: pictures without a map, or with several; they are counted and named.
    """
    files = {path.name: path for path in list_files(folder, IMAGE_SUFFIXES)}
    found = matched(keys, files)
    missing = [key for key, name in found.items() if name is None]
    if missing:
        stem = Path(missing[0]).stem
        several = [name for name in files if Path(name).stem.casefold() == stem.casefold()]
        others = others_in(folder, IMAGE_SUFFIXES)
        there = f"there are {listing(several)}, keep one" if several else f"expected files such as {stem}.png"
        unreadable = f" (maps must be pictures, {listing(others)} cannot be read)" if others and not several else ""
        raise PaperlibError(
            f"{len(missing)} of {len(keys)} pictures have no map in {folder}: {listing(missing)}; {there}{unreadable}"
        )
    return {key: files[name] for key, name in found.items() if name is not None}
