"""Eye-tracking data sets behind one face: lazily read records with a picture, its density map and its fixations.

    salicon = open_gaze("salicon", root, edition="2017")      # lists files, reads headers, decodes nothing
    statistics = check(salicon)                               # reads everything once, before any GPU time is spent
    record = salicon.records[0]
    record.load_image(), record.load_density(), record.load_fixations()

Pictures, maps and fixations share one grid: the pixels **as they are stored**. An EXIF rotation is ignored, because
gaze was recorded and maps were made on the stored pixels (CAT2000 carries a wrong rotation tag, for example).
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperlib.datasets.files import (
    Problems,
    UnusableFile,
    file_bytes,
    picture_size,
    read_grey,
    read_rgb,
    require_size,
    spell_size,
)
from paperlib.datasets.pictures import Progress, RecordSet
from paperlib.errors import PaperlibError

_GAUSSIAN_REACH = 6.0


# ---- records --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Gaze:
    """Where the observers of one picture looked.

    Attributes:
        fixations: (k, 2) int64, (row, column), 0-based, all inside the picture; repeats are kept.
        dropped: number of points outside the picture, or without a position, that were left out.
        observers: number of observers who looked somewhere; None where the data set does not tell.
    """

    fixations: NDArray[np.int64]
    dropped: int
    observers: int | None

    @classmethod
    def from_points(cls, rows: ArrayLike, columns: ArrayLike, size: tuple[int, int], observers: int | None) -> "Gaze":
        """Round points to the nearest pixel, centres at integers, and drop those outside a picture of `size`.

        Args:
            rows, columns: (k,) 0-based coordinates in pixels; NaN counts as outside.
            size: (height, width) of the picture.
            observers: as the attribute.
        """
        points = np.stack([np.asarray(rows, float).reshape(-1), np.asarray(columns, float).reshape(-1)], axis=1)
        points = np.rint(points)
        inside = ((points >= 0) & (points < np.asarray(size))).all(axis=1)
        return cls(points[inside].astype(np.int64), int((~inside).sum()), observers)


@dataclass(frozen=True)
class GazeRecord(ABC):
    """One picture with its gaze. Small, picklable, and nothing is read before a `load_` method is called.

    Attributes:
        key: unique and stable inside its set, for example "COCO_val2014_000000000133", "Action/001" or "1011.jpg".
        image: the picture's file.
        size: (height, width) of the picture and of its maps, in pixels.
        file_sizes: bytes of the files that belong to this record alone, the picture's first.
    """

    key: str
    image: Path
    size: tuple[int, int]
    file_sizes: tuple[int, ...]

    def load_image(self) -> NDArray[np.uint8]:
        """The picture, (h, w, 3) uint8 RGB, as stored (see `read_rgb`).

        Raises:
            UnusableFile: missing, unreadable, truncated, or of another size than `size`.
        """
        pixels = read_rgb(self.image)
        require_size(self.image, pixels.shape[:2], self.size)
        return pixels

    @abstractmethod
    def load_density(self) -> NDArray[np.float32]:
        """The data set's density map, (h, w) float32, >= 0, not all zero, any scale.

        Raises:
            UnusableFile: missing, unreadable, truncated, all zero, or of another size than `size`.
        """

    @abstractmethod
    def load_gaze(self) -> Gaze:
        """The fixations with what was dropped and how many observers there were.

        Raises:
            UnusableFile: missing, unreadable, or not of the data set's form.
        """

    def load_fixations(self) -> NDArray[np.int64]:
        """The fixations of `load_gaze`; there may be none."""
        return self.load_gaze().fixations

    def load_published(self) -> NDArray[np.uint8] | None:
        """The density map as it is published, where that is another than `load_density`; None where it is the same."""
        return None

    @property
    def caption(self) -> str:
        """What a reader calls the picture."""
        return self.key

    @property
    def signature(self) -> str:
        """What the record's values depend on, besides its key and its files."""
        return spell_size(self.size)

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that belong to this record alone, the picture's first."""
        return (self.image,)


@dataclass(frozen=True)
class FileRecord(GazeRecord):
    """A record whose fixations and density map lie in files of their own.

    Attributes:
        fixations, density: the files.
        read_gaze: the data set's reader of a file of fixations on a picture of (height, width).
    """

    fixations: Path
    density: Path
    read_gaze: Callable[[Path, tuple[int, int]], Gaze]

    @property
    def files(self) -> tuple[Path, ...]:
        return self.image, self.fixations, self.density

    def load_gaze(self) -> Gaze:
        return self.read_gaze(self.fixations, self.size)

    def load_density(self) -> NDArray[np.float32]:
        density = read_grey(self.density)
        require_size(self.density, density.shape, self.size)
        if density.min() < 0 or density.max() <= 0:
            raise UnusableFile(self.density, "a density map must be >= 0 and not all zero")
        return density


@dataclass(frozen=True)
class PointRecord(GazeRecord):
    """A record whose fixations are at hand, and whose density is made of them by a Gaussian blur.

    Attributes:
        gaze: the fixations, at least one.
        sigma: standard deviation of the blur in pixels; beyond the border there is nothing (zero).
    """

    gaze: Gaze = field(compare=False, repr=False)
    sigma: float

    def load_gaze(self) -> Gaze:
        return self.gaze

    def load_density(self) -> NDArray[np.float32]:
        return blur(fixation_map(self.gaze.fixations, self.size), self.sigma)

    @property
    def signature(self) -> str:
        points = hashlib.sha256(np.ascontiguousarray(self.gaze.fixations, np.int64).tobytes()).hexdigest()
        return f"{super().signature} sigma={self.sigma:.6g} merge=False {points}"


@dataclass(frozen=True)
class GazeSet(RecordSet[GazeRecord]):
    """An eye-tracking data set, sorted by key.

    Attributes:
        notes: sentences that a reader should see: what was left out, what looks odd.
        edition: which publication of the data set this is; empty or "unknown" where there is one or nothing tells.
        known_totals: (edition, number of published fixations) where the set is whole and the numbers are known.
    """

    notes: tuple[str, ...] = ()
    edition: str = ""
    known_totals: tuple[tuple[str, int], ...] = ()

    @property
    def n_bytes(self) -> int:
        """Of all files on disk."""
        return sum(sum(record.file_sizes) for record in self.records)

    def holding(self, records: Sequence[GazeRecord]) -> "GazeSet":
        """The same set with some of its records only; nothing is published about their number of fixations."""
        return replace(self, records=tuple(records), known_totals=())


def file_records(
    keys: Sequence[str],
    parts: Sequence[dict[str, Path]],
    size: tuple[int, int],
    read_gaze: Callable[[Path, tuple[int, int]], Gaze],
    what: str,
    advice: str,
) -> tuple[FileRecord, ...]:
    """Records of pictures and maps whose headers tell the right size.

    Args:
        keys: of the records.
        parts: key -> file, of pictures, fixations and density maps.
        size: (height, width) that pictures and maps must have.
        read_gaze: reader of the fixations.
        what, advice: the data set, and what to do about its files, for messages.

    Raises:
        PaperlibError: files that cannot be used, or of another size; all are counted, the first are named.
    """
    problems = Problems(f"{what} files")
    records = []
    for key in keys:
        picture, fixations, density = files = [part[key] for part in parts]
        for path in (picture, density):
            with problems.collecting():
                require_size(path, picture_size(path), size)
        with problems.collecting():
            records.append(FileRecord(key, picture, size, file_bytes(files), fixations, density, read_gaze))
    problems.raise_if_any(3 * len(keys), advice)
    return tuple(records)


# ---- reading everything once ----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Statistics:
    """What `check` measured.

    Attributes:
        pictures: number of records.
        fixations: number of fixations inside the pictures.
        dropped: number of points outside, left out.
        without_fixations: pictures that have no fixation (their NSS is undefined).
        observers: mean number of observers per picture; None where unknown.
        density_mean: mean over pictures of the mean of density / maximum.
        density_sd: mean over pictures of the standard deviation of density / maximum.
        density_support: mean share of pixels where the density is above zero in 8 bits.
    """

    pictures: int
    fixations: int
    dropped: int
    without_fixations: int
    observers: float | None
    density_mean: float
    density_sd: float
    density_support: float


def check(
    gaze_set: GazeSet, progress: Progress | None = None, visit: Callable[[NDArray[np.float32]], None] | None = None
) -> Statistics:
    """Read every picture, density map and fixation file once.

    Args:
        gaze_set: the set.
        progress: wraps the records as they are gone through.
        visit: called with each density map that could be read, in the set's order.

    Raises:
        PaperlibError: files that cannot be used (all are counted, the first are named), or another edition than
            the one asked for.
    """
    problems = Problems(f"{gaze_set.title} files")
    gazes: list[Gaze] = []
    densities: list[tuple[float, float, float]] = []
    records: Iterable[GazeRecord] = progress(gaze_set.records) if progress else gaze_set.records
    for record in records:
        with problems.collecting():
            record.load_image()
        with problems.collecting():
            gazes.append(record.load_gaze())
        with problems.collecting():
            density = record.load_density()
            densities.append(_density_statistics(density))
            if visit:
                visit(density)
    problems.raise_if_any(
        sum(len(record.file_sizes) for record in gaze_set.records), "restore them from the archives of the data set"
    )
    counts = [len(gaze.fixations) for gaze in gazes]
    dropped = sum(gaze.dropped for gaze in gazes)
    _refuse_other_edition(gaze_set, sum(counts) + dropped)
    observers = [gaze.observers for gaze in gazes if gaze.observers is not None]
    return Statistics(
        len(gaze_set),
        sum(counts),
        dropped,
        counts.count(0),
        float(np.mean(observers)) if observers else None,
        *np.mean(densities, axis=0).tolist(),
    )


def _density_statistics(density: NDArray[np.float32]) -> tuple[float, float, float]:
    scaled = density / density.max()
    return float(scaled.mean(dtype=float)), float(scaled.std(dtype=float)), float((np.rint(255 * scaled) > 0).mean())


def _refuse_other_edition(gaze_set: GazeSet, points: int) -> None:
    known = dict(gaze_set.known_totals)
    found = [edition for edition, total in known.items() if total == points]
    if found and gaze_set.edition not in (*found, "unknown"):
        raise PaperlibError(
            f"{gaze_set.title}: {points} fixations are those of edition {found[0]}, edition {gaze_set.edition} was "
            f"asked for and has {known[gaze_set.edition]}; give the other folder, or ask for edition {found[0]}"
        )


# ---- fixations and densities ----------------------------------------------------------------------------------------
def fixation_map(fixations: ArrayLike, size: tuple[int, int]) -> NDArray[np.uint16]:
    """Number of fixations per pixel.

    Args:
        fixations: (k, 2) integers, (row, column), 0-based, inside the picture; k may be 0.
        size: (height, width).

    Returns:
        (height, width) uint16; its sum is k.

    Raises:
        ValueError: another shape, points outside, or more than 65535 fixations on one pixel.
    """
    points = np.asarray(fixations)
    if points.ndim != 2 or points.shape[1] != 2 or points.dtype.kind not in "iu":
        raise ValueError(f"fixations: expected integers of shape (k, 2), got {points.dtype} {points.shape}")
    if len(points) and not ((points >= 0) & (points < np.asarray(size))).all():
        raise ValueError(f"fixations: expected (row, column) inside {size}, got points outside; drop them first")
    flat = points[:, 0].astype(np.int64) * size[1] + points[:, 1]
    counts = np.bincount(flat, minlength=size[0] * size[1])
    if counts.max() > np.iinfo(np.uint16).max:
        raise ValueError(f"fixations: expected at most 65535 on one pixel, got {counts.max()}")
    return counts.astype(np.uint16).reshape(size)


def blur(counts: ArrayLike, sigma: float) -> NDArray[np.float32]:
    """Density of fixations: their map convolved with a Gaussian; outside the picture there is nothing (zero).

    The Gaussian is exact up to 6 sigma. Only the rows and columns that hold fixations are multiplied, so the cost
    does not grow with sigma.

    Args:
        counts: (h, w), fixations per pixel, >= 0.
        sigma: standard deviation in pixels, > 0.

    Returns:
        (h, w) float32, fixations per pixel.

    Raises:
        ValueError: `sigma` not a positive number, `counts` not two-dimensional.
    """
    weights = np.asarray(counts, np.float32)
    if not (sigma > 0 and math.isfinite(sigma)) or weights.ndim != 2:
        raise ValueError(f"expected a map (h, w) and a positive sigma, got shape {weights.shape} and sigma={sigma}")
    rows, columns = np.flatnonzero(weights.any(axis=1)), np.flatnonzero(weights.any(axis=0))
    down, across = _bells(weights.shape[0], rows, sigma), _bells(weights.shape[1], columns, sigma)
    return down @ (weights[np.ix_(rows, columns)] @ across.T)


def _bells(length: int, centres: NDArray[np.int64], sigma: float) -> NDArray[np.float32]:
    """(length, centres) float32: one Gaussian per column, of unit sum where the border does not cut it."""
    distance = (np.arange(length)[:, None] - centres) / sigma
    bells = np.where(abs(distance) <= _GAUSSIAN_REACH, np.exp(-0.5 * distance**2), 0)
    reach = np.arange(-math.ceil(_GAUSSIAN_REACH * sigma), math.ceil(_GAUSSIAN_REACH * sigma) + 1)
    return (bells / np.exp(-0.5 * (reach / sigma) ** 2).sum()).astype(np.float32)
