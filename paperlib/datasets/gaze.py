"""Eye-tracking data sets behind one face: lazily read records with a picture, its density map and its fixations.

    salicon = open_gaze("salicon", root, edition="2017")      # lists files, reads headers, decodes nothing
    statistics = check(salicon)                               # reads everything once, before any GPU time is spent
    record = salicon.records[0]
    record.load_image(), record.load_density(), record.load_fixations()

Pictures, maps and fixations share one grid: the pixels **as they are stored**. An EXIF rotation is ignored, because
gaze was recorded and maps were made on the stored pixels (CAT2000 carries a wrong rotation tag, for example).

Problems with files are collected and told once: how many, the first few by name, what to do.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperlib.datasets.files import Problems, UnusableFile, read_grey, read_rgb, require_size, spell_size
from paperlib.datasets.pictures import RecordSet
from paperlib.errors import PaperlibError

TITLES = {"salicon": "SALICON", "cat2000": "CAT2000", "own": "own data"}

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
        self._expect_size(self.image, pixels.shape[:2])
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

    def load_published(self) -> NDArray[np.uint8] | None:
        """The density map as it is published, where that is another than `load_density`; None where it is the same."""
        return None

    def load_fixations(self) -> NDArray[np.int64]:
        """The fixations, (k, 2) int64 as (row, column), 0-based, all inside the picture, repeats kept; k may be 0.

        Raises:
            UnusableFile: as `load_gaze`.
        """
        return self.load_gaze().fixations

    @property
    def caption(self) -> str:
        """What a reader calls the picture."""
        return self.key

    @property
    def category(self) -> str:
        """The group that the data set puts the picture into; empty where it has none."""
        return ""

    @property
    def signature(self) -> str:
        """What the record's values depend on, besides its key."""
        return " ".join(map(str, (*self.size, *self.file_sizes)))

    def _read_density(self, path: Path) -> NDArray[np.float32]:
        density = read_grey(path)
        self._expect_size(path, density.shape)
        if density.min() < 0 or density.max() <= 0:
            raise UnusableFile(path, "a density map must be >= 0 and not all zero")
        return density

    def _expect_size(self, path: Path, size: tuple[int, ...]) -> None:
        require_size(path, size, self.size)


@dataclass(frozen=True)
class PointRecord(GazeRecord):
    """A record whose fixations are at hand, and whose density is made of them by a Gaussian blur.

    Attributes:
        gaze: the fixations, at least one.
        sigma: standard deviation of the blur in pixels; beyond the border there is nothing (zero).
        merge: count each pixel at most once before the blur (the SALICON API); else repeats weigh.
    """

    gaze: Gaze = field(compare=False, repr=False)
    sigma: float
    merge: bool = False

    def load_gaze(self) -> Gaze:
        return replace(self.gaze, fixations=self.gaze.fixations.astype(np.int64))

    def load_density(self) -> NDArray[np.float32]:
        counts = fixation_map(self.gaze.fixations, self.size)
        return blur(counts > 0 if self.merge else counts, self.sigma)

    @property
    def signature(self) -> str:
        points = hashlib.sha256(np.ascontiguousarray(self.gaze.fixations, np.int64).tobytes()).hexdigest()
        return f"{super().signature} sigma={self.sigma:.6g} merge={self.merge} {points}"


@dataclass(frozen=True)
class GazeSet(RecordSet[GazeRecord]):
    """Records of one data set in a stable order.

    Attributes:
        name: "salicon", "cat2000" or "own".
        records: at least one, sorted by key.
        edition: which publication of the data set this is, as far as known ("2017", "train", ...).
        notes: sentences that a reader should see: what was left out, what looks odd.
        known_totals: (edition, number of published fixations) where the set is whole and the numbers are known.
    """

    titles: ClassVar[dict[str, str]] = TITLES
    name: str
    records: tuple[GazeRecord, ...]
    edition: str
    notes: tuple[str, ...] = ()
    known_totals: tuple[tuple[str, int], ...] = ()

    def holding(self, records: Sequence[GazeRecord]) -> "GazeSet":
        """The same set with some of its records only; nothing is published about their number of fixations."""
        return replace(self, records=tuple(records), known_totals=())

    def summary(self) -> dict[str, Any]:
        """Counts for a table or a log: name, edition, pictures, sizes, categories, bytes, fingerprint, notes."""
        sizes = Counter(spell_size(record.size) for record in self.records)
        categories = Counter(record.category for record in self.records if record.category)
        return {
            "name": self.name,
            "edition": self.edition,
            "pictures": len(self),
            "sizes": dict(sorted(sizes.items())),
            "categories": dict(sorted(categories.items())),
            "bytes": sum(sum(record.file_sizes) for record in self.records),
            "fingerprint": self.fingerprint,
            "notes": list(self.notes),
        }


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
        notes: what the numbers say about the edition; empty where there is nothing to say.
    """

    pictures: int
    fixations: int
    dropped: int
    without_fixations: int
    observers: float | None
    density_mean: float
    density_sd: float
    density_support: float
    notes: tuple[str, ...] = ()


def check(
    gaze_set: GazeSet,
    progress: Callable[[Iterable[GazeRecord]], Iterable[GazeRecord]] | None = None,
    visit: Callable[[NDArray[np.float32]], None] | None = None,
) -> Statistics:
    """Read every picture, density map and fixation file once.

    Args:
        gaze_set: the set.
        progress: wraps the records as they are gone through, for example `paperlib.engine.progress.progress`.
        visit: called with each density map that could be read, in the set's order.

    Raises:
        PaperlibError: files that cannot be used (all are counted, the first are named), or another edition than
            the one asked for.
    """
    problems = Problems(f"{gaze_set.title} files")
    gazes: list[Gaze] = []
    densities: list[tuple[float, float, float]] = []
    for record in progress(gaze_set.records) if progress else gaze_set.records:
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
    observers = [gaze.observers for gaze in gazes if gaze.observers is not None]
    mean, deviation, support = np.mean(densities, axis=0).tolist()
    fixations, dropped = sum(counts), sum(gaze.dropped for gaze in gazes)
    return Statistics(
        len(gaze_set),
        fixations,
        dropped,
        counts.count(0),
        float(np.mean(observers)) if observers else None,
        mean,
        deviation,
        support,
        _edition_notes(gaze_set, fixations + dropped),
    )


def _density_statistics(density: NDArray[np.float32]) -> tuple[float, float, float]:
    scaled = density / density.max()
    return float(scaled.mean(dtype=float)), float(scaled.std(dtype=float)), float((np.rint(255 * scaled) > 0).mean())


def _edition_notes(gaze_set: GazeSet, points: int) -> tuple[str, ...]:
    """Compare the number of points of a whole set with the numbers of its editions."""
    if not gaze_set.known_totals:
        return ()
    known = dict(gaze_set.known_totals)
    found = [edition for edition, total in known.items() if total == points]
    if found and gaze_set.edition not in (*found, "unknown"):
        raise PaperlibError(
            f"{gaze_set.title}: {points} fixations are those of edition {found[0]}, edition {gaze_set.edition} was "
            f"asked for and has {known[gaze_set.edition]}; give the other folder, or ask for edition {found[0]}"
        )
    if found:
        return (f"{points} fixations: exactly those of edition {found[0]}",)
    numbers = ", ".join(f"{edition}: {total}" for edition, total in known.items())
    return (f"{points} fixations are those of no known edition ({numbers})",)


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
