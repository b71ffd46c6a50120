"""The user's own eye-tracking data: a folder of pictures and one table of fixations.

    images/1011.jpg            any sizes, any common type
    fixations.csv              a header, then one fixation per line; needed columns: image, subject, x, y
    saliency_<name>/1011.png   optional: grey maps of a model, any size; `map_folders` and `load_map`

Coordinates are pixels of the stored picture, 0-based, centres at integers, x to the right, y down. They are rounded to
the nearest pixel; points outside are dropped and counted. Density maps are the fixations blurred with a Gaussian.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    read_grey,
    unique_by,
)
from paperlib.datasets.gaze import Gaze, GazeSet, PointRecord
from paperlib.datasets.records import SALICON_SIGMA
from paperlib.datasets.tables import finite, read_table
from paperlib.errors import PaperlibError

TABLE = "fixations.csv"
COLUMNS = ("image", "subject", "x", "y")
MAP_PREFIX = "saliency_"


@dataclass
class FixationTable:
    """The lines of one picture in `fixations.csv`.

    Attributes:
        subjects: who looked, one entry per line.
        x, y: coordinates in pixels as written, one per line.
    """

    subjects: list[str] = field(default_factory=list)
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)


def open_own(
    root: str | Path,
    sigma_px: float | None = None,
    sigma_deg: float | None = None,
    px_per_degree: float | None = None,
    origin: int = 0,
    allow_missing: bool = False,
) -> GazeSet:
    """Open a folder with `images/` and `fixations.csv`. The table is read whole; of pictures only the headers.

    The blur is `sigma_px`; or `sigma_deg` degrees of visual angle times `px_per_degree`; or one degree where only
    `px_per_degree` is given; or, where nothing is given, 19/480 of each picture's height (the SALICON API's share).

    Args:
        root: the folder.
        sigma_px: standard deviation of the blur in pixels.
        sigma_deg: standard deviation in degrees of visual angle; needs `px_per_degree`.
        px_per_degree: pixels per degree of visual angle when the pictures were viewed.
        origin: 0, or 1 for coordinates that count from 1 (MATLAB).
        allow_missing: leave lines that name no picture out, with a note, instead of refusing them.

    Raises:
        PaperlibError: no pictures, no table, mistakes in the table, lines that name no picture, or no picture with a
            fixation. Pictures without fixations are left out, and `notes` says so.
    """
    home = existing_folder(root, "own data")
    setting, sigma = _blur_setting(sigma_px, sigma_deg, px_per_degree)
    if origin not in (0, 1):
        raise PaperlibError(f"origin must be 0 or 1, the number of the first pixel, got {origin}")
    pictures = own_pictures(home)
    table, notes = _match(read_fixations(home / TABLE), pictures, allow_missing)

    records, findings = _records(pictures, table, sigma, origin)
    seen = {record.key for record in records}
    without = [key for key in pictures if key not in seen]
    if not records:
        raise PaperlibError(
            f"none of the {len(pictures)} pictures in {home / 'images'} has a fixation inside it; compare the column "
            f"'image' and the coordinates in {TABLE} with the pictures"
        )
    notes = (f"density: fixations blurred with a Gaussian of {setting}", *notes)
    if without:
        notes += (f"left out: {len(without)} of {len(pictures)} pictures without fixations: {listing(without)}",)
    return GazeSet("own", tuple(records), "own", notes + findings.notes(origin))


@dataclass
class _Findings:
    """What a reader should know about the points and pictures.

    Attributes:
        dropped: key -> number of points outside.
        rotated: keys of pictures with an EXIF rotation.
        one_too_far: whether a point lies exactly one pixel too far, as the last one does when counting from 1.
        lowest: smallest coordinate of all.
    """

    dropped: dict[str, int] = field(default_factory=dict)
    rotated: list[str] = field(default_factory=list)
    one_too_far: bool = False
    lowest: float = math.inf

    def notes(self, origin: int) -> tuple[str, ...]:
        notes = []
        if self.dropped:
            count = sum(self.dropped.values())
            notes.append(f"{count} points outside their picture were dropped, in {listing(self.dropped)}")
        if self.one_too_far and self.lowest >= 1 and origin == 0:
            notes.append(
                "x equals the width or y the height somewhere and nothing lies below 1: if the coordinates count from "
                f"1, subtract 1 from x and y in {TABLE}"
            )
        if self.rotated:
            notes.append(
                f"{len(self.rotated)} pictures carry an EXIF rotation, which is ignored (x, y are read as stored "
                f"pixels): {listing(self.rotated)}"
            )
        return tuple(notes)


def _records(
    pictures: dict[str, Path], table: dict[str, FixationTable], sigma: float | None, origin: int
) -> tuple[list[PointRecord], _Findings]:
    """Records of the pictures that have a fixation inside; `sigma` in pixels, None for a share of the height."""
    problems = Problems("pictures")
    records, findings = [], _Findings()
    for key, path in pictures.items():
        if key not in table:
            continue
        with problems.collecting():
            rows, size = table[key], picture_size(path)
            gaze = Gaze.from_points(
                np.asarray(rows.y) - origin, np.asarray(rows.x) - origin, size, observers=len(set(rows.subjects))
            )
            if gaze.dropped:
                findings.dropped[key] = gaze.dropped
            if has_rotation(path):
                findings.rotated.append(key)
            findings.one_too_far |= bool((np.rint(rows.x) == size[1]).any() or (np.rint(rows.y) == size[0]).any())
            findings.lowest = min(findings.lowest, *rows.x, *rows.y)
            if len(gaze.fixations):
                width = SALICON_SIGMA * size[0] if sigma is None else sigma
                records.append(PointRecord(key, path, size, file_bytes([path]), gaze, width))
    problems.raise_if_any(len(pictures), "replace these files")
    return records, findings


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


def _blur_setting(sigma_px: float | None, sigma_deg: float | None, px_per_degree: float | None) -> tuple[str, float | None]:
    """How the blur is called, and its pixels; None for a share of the height."""
    given = {"sigma_px": sigma_px, "sigma_deg": sigma_deg, "px_per_degree": px_per_degree}
    wrong = [f"{name}={value}" for name, value in given.items() if value is not None and not 0 < value < math.inf]
    if wrong:
        raise PaperlibError(f"the blur must be a positive number, got {', '.join(wrong)}")
    if sigma_px is not None:
        if sigma_deg is not None or px_per_degree is not None:
            raise PaperlibError("give the blur in pixels (sigma_px) or in degrees (sigma_deg, px_per_degree), not both")
        return f"{sigma_px:g} px", float(sigma_px)
    if px_per_degree is None:
        if sigma_deg is not None:
            raise PaperlibError(f"sigma_deg={sigma_deg:g} needs px_per_degree, the pixels per degree of visual angle")
        return "19/480 of the height", None
    degrees = 1.0 if sigma_deg is None else float(sigma_deg)
    return f"{degrees:g} degrees ({degrees * px_per_degree:g} px)", degrees * float(px_per_degree)


# ---- the table ------------------------------------------------------------------------------------------------------
def read_fixations(path: Path) -> dict[str, FixationTable]:
    """Read `fixations.csv`: comma-separated, UTF-8 (with or without a byte order mark), a header with `COLUMNS`.

    Other columns are ignored, in any order; spaces around values too.

    Returns:
        The value of the column `image` -> its lines, in the order of the file.

    Raises:
        PaperlibError: no such file, empty, another separator or encoding, a missing column, or values of x or y that
            are no finite numbers; lines are counted from 1, the header included.
    """
    advice = "x and y must be numbers such as 378.6, every line must name its image"
    table: dict[str, FixationTable] = {}
    for name, subject, x, y in read_table(path, COLUMNS, _fixation, "fixations", advice):
        rows = table.setdefault(name, FixationTable())
        rows.subjects.append(subject)
        rows.x.append(x)
        rows.y.append(y)
    return table


def _fixation(image: str, subject: str, x: str, y: str) -> tuple[str, str, float, float]:
    if not image:
        raise ValueError("no image")
    return image, subject, finite(x, "x"), finite(y, "y")


def _match(
    table: dict[str, FixationTable], pictures: dict[str, Path], allow_missing: bool
) -> tuple[dict[str, FixationTable], tuple[str, ...]]:
    """Lines by the key of their picture: the file's name, or its stem where only one picture has it."""
    stems = unique_by(pictures, _stem)
    matched: dict[str, FixationTable] = {}
    strangers = []
    for name, rows in table.items():
        key = _key_of(name, pictures, stems)
        if key is None:
            strangers.append(name)
            continue
        own = matched.setdefault(key, FixationTable())
        own.subjects += rows.subjects
        own.x += rows.x
        own.y += rows.y
    if not strangers:
        return matched, ()
    sentence = (
        f"{len(strangers)} of {len(table)} images named in {TABLE} are not in images/: {listing(strangers)} "
        f"({sum(len(table[name].x) for name in strangers)} fixations)"
    )
    if not allow_missing or not matched:
        raise PaperlibError(f"{sentence}; expected names such as {listing(pictures)}")
    return matched, (f"left out: {sentence}",)


def _stem(name: str) -> str:
    return Path(name).stem


def _key_of(name: str, pictures: Iterable[str], stems: dict[str, str]) -> str | None:
    last = last_part(name)
    return last if last in pictures else stems.get(last)


# ---- maps of models -------------------------------------------------------------------------------------------------
def map_folders(root: str | Path, keys: Iterable[str] | None = None) -> dict[str, dict[str, Path]]:
    """The folders `saliency_<name>` beside `images`, each with one map per picture.

    A map belongs to the picture with the same file name or, failing that, the same stem.

    Args:
        root: folder of the own data.
        keys: pictures that must have a map; None for all in `images/`.

    Returns:
        name -> key -> file; empty where there is no such folder.

    Raises:
        PaperlibError: a folder that lacks maps for some pictures; they are counted and named.
    """
    home = existing_folder(root, "own data")
    wanted = list(own_pictures(home) if keys is None else keys)
    return {
        folder.name.removeprefix(MAP_PREFIX): maps_in(folder, wanted)
        for folder in list_folders(home)
        if folder.name.startswith(MAP_PREFIX) and folder.name != MAP_PREFIX
    }


def maps_in(folder: Path, keys: Sequence[str]) -> dict[str, Path]:
    files = {path.name: path for path in list_files(folder, IMAGE_SUFFIXES)}
    stems = unique_by(files, _stem)
    found = {key: key if key in files else stems.get(Path(key).stem) for key in keys}
    missing = [key for key, name in found.items() if name is None]
    if missing:
        raise PaperlibError(
            f"{len(missing)} of {len(keys)} pictures have no map in {folder}: {listing(missing)}; expected files of "
            f"the same name, such as {Path(missing[0]).stem}.png"
        )
    return {key: files[name] for key, name in found.items() if name is not None}


def load_map(path: str | Path) -> NDArray[np.float32]:
    """A model's map, (h, w) float32 on the file's own scale (0 to 255 for 8 bits), of the file's own size.

    Raises:
        UnusableFile: missing, unreadable, truncated, or with values that are not finite.
    """
    return read_grey(path)
