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
import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageFile

from paperlib.errors import PaperlibError

GAZE_SETS = ("salicon", "cat2000", "own")
TITLES = {"salicon": "SALICON", "cat2000": "CAT2000", "own": "own data"}
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif")
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z")
NAMED = 3
"""How many names a message spells out before it only counts."""

_JUNK = {"thumbs.db", "desktop.ini", "__macosx"}
_SIXTEEN_BIT_GREY = ("I;16", "I;16L", "I;16B", "I;16N")
_GAUSSIAN_REACH = 6.0


class UnusableFile(PaperlibError):
    """One file of a data set that cannot be used.

    Attributes:
        path: the file.
        reason: why, without the file's name.
    """

    def __init__(self, path: str | Path, reason: str):
        self.path, self.reason = Path(path), reason
        super().__init__(f"{self.path} cannot be used: {reason}; restore it from the archive of its data set")

    def __reduce__(self) -> tuple[type, tuple[Path, str]]:
        return type(self), (self.path, self.reason)


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
    def from_points(
        cls, rows: ArrayLike, columns: ArrayLike, size: tuple[int, int], observers: int | None
    ) -> "Gaze":
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

    def load_fixations(self) -> NDArray[np.int64]:
        """The fixations, (k, 2) int64 as (row, column), 0-based, all inside the picture, repeats kept; k may be 0.

        Raises:
            UnusableFile: as `load_gaze`.
        """
        return self.load_gaze().fixations

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
        if tuple(size) != tuple(self.size):
            raise UnusableFile(path, f"{spell_size(size)} pixels, expected {spell_size(self.size)}")


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
class GazeSet:
    """Records of one data set in a stable order.

    Attributes:
        name: "salicon", "cat2000" or "own".
        records: at least one, sorted by key.
        edition: which publication of the data set this is, as far as known ("2017", "train", ...).
        notes: sentences that a reader should see: what was left out, what looks odd.
        known_totals: (edition, number of published fixations) where the set is whole and the numbers are known.
    """

    name: str
    records: tuple[GazeRecord, ...]
    edition: str
    notes: tuple[str, ...] = ()
    known_totals: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        keys = Counter(record.key for record in self.records)
        repeated = [key for key, count in keys.items() if count > 1]
        if repeated or not keys:
            raise ValueError(f"expected at least one record and unique keys, got {len(keys)} keys, repeated {repeated}")

    def __len__(self) -> int:
        return len(self.records)

    @property
    def title(self) -> str:
        """Name for people."""
        return TITLES.get(self.name, self.name)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over name, keys, picture sizes, file sizes and settings; not over places or times."""
        digest = hashlib.sha256(self.name.encode())
        for record in self.records:
            digest.update(f"\n{record.key} {record.signature}".encode())
        return digest.hexdigest()[:16]

    def take(self, n: int, seed: int) -> "GazeSet":
        """`n` records drawn at random, in the set's order; the whole set where it has no more than `n`.

        Raises:
            ValueError: `n` below 1.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1 record, got {n}")
        if n >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), n, replace=False))
        return replace(self, records=tuple(self.records[index] for index in chosen), known_totals=())

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


def open_gaze(name: str, root: str | Path, **options: Any) -> GazeSet:
    """Open an eye-tracking data set that lies in `root`.

    Args:
        name: "salicon", "cat2000" or "own".
        root: its folder; a folder just above or inside it is understood as well.
        options: of `open_salicon`, `open_cat2000` or `open_own`.

    Raises:
        PaperlibError: unknown name; files missing, misnamed, of the wrong edition or of the wrong size.
    """
    from paperlib.datasets.cat2000 import open_cat2000
    from paperlib.datasets.own import open_own
    from paperlib.datasets.salicon import open_salicon

    doors: dict[str, Callable[..., GazeSet]] = {"salicon": open_salicon, "cat2000": open_cat2000, "own": open_own}
    if name not in doors:
        raise PaperlibError(f"there is no eye-tracking data set {name!r}; choose one of {', '.join(GAZE_SETS)}")
    return doors[name](root, **options)


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
        len(gaze_set), fixations, dropped, counts.count(0), float(np.mean(observers)) if observers else None,
        mean, deviation, support, _edition_notes(gaze_set, fixations + dropped),
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


# ---- files ----------------------------------------------------------------------------------------------------------
def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """A picture of any common type as (h, w, 3) uint8 RGB, in its stored orientation.

    Grey and palette pictures are spread over the channels, CMYK is converted, transparency is dropped, and 16 bits
    become 8 by their upper byte.

    Raises:
        UnusableFile: missing, unreadable or truncated.
    """
    with _opened(path) as image:
        if image.mode in _SIXTEEN_BIT_GREY or (image.mode == "I" and image.format == "PNG"):
            grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(_without_palette(image).convert("RGB"))


def read_grey(path: str | Path) -> NDArray[np.float32]:
    """A map stored as a picture of any common type: (h, w) float32 on the file's own scale, colours as luma.

    Raises:
        UnusableFile: missing, unreadable, truncated, or with values that are not finite.
    """
    with _opened(path) as image:
        if image.mode in ("L", "I", "F", *_SIXTEEN_BIT_GREY):
            values = np.asarray(image).astype(np.float32)
        else:
            values = np.asarray(_without_palette(image).convert("L")).astype(np.float32)
    if not np.isfinite(values).all():
        raise UnusableFile(path, "a map must have finite values, found NaN or infinity")
    return values


def picture_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture from its header, as stored; nothing is decoded.

    Raises:
        UnusableFile: missing or not a picture.
    """
    with _opened(path) as image:
        return image.height, image.width


def expect_size(path: str | Path, size: tuple[int, int]) -> None:
    """Check a picture's header for (height, width).

    Raises:
        UnusableFile: missing, not a picture, or of another size.
    """
    found = picture_size(path)
    if found != tuple(size):
        raise UnusableFile(path, f"{spell_size(found)} pixels, expected {spell_size(size)}")


def has_rotation(path: str | Path) -> bool:
    """Whether a picture carries an EXIF orientation other than upright, which the readers here ignore.

    Raises:
        UnusableFile: missing or not a picture.
    """
    with _opened(path) as image:
        return image.getexif().get(0x0112, 1) not in (0, 1)


def read_mat(path: str | Path) -> dict[str, Any]:
    """The variables of a MATLAB file of version 5 to 7.

    Raises:
        UnusableFile: missing, truncated, or of version 7.3.
    """
    from scipy.io import loadmat

    try:
        with open(path, "rb") as file:
            content = loadmat(file)
    except OSError as error:
        raise UnusableFile(path, f"cannot be read ({error.strerror or error})") from error
    except NotImplementedError as error:
        raise UnusableFile(path, "a MATLAB 7.3 file; save it again in MATLAB with save(..., '-v7')") from error
    except Exception as error:  # a damaged file makes SciPy's reader fail in any way
        raise UnusableFile(path, f"not a readable MATLAB file ({type(error).__name__}: {error})") from error
    return {name: value for name, value in content.items() if not name.startswith("__")}


@contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open a picture; what goes wrong until the block ends becomes `UnusableFile`.

    A truncated picture must be an error: that is Pillow's default, but some packages (pyiqa, for its AVA set) switch it
    off for the whole process when they are imported, so it is switched on again here.
    """
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        with Image.open(path) as image:
            yield image
    except UnusableFile:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        if isinstance(error, OSError) and error.strerror:
            raise UnusableFile(path, f"cannot be read ({error.strerror})") from error
        reason = "not a picture" if isinstance(error, Image.UnidentifiedImageError) else str(error)
        raise UnusableFile(path, f"unreadable or truncated ({reason})") from error


def _without_palette(image: Image.Image) -> Image.Image:
    return image.convert("RGBA") if image.mode in ("P", "PA") else image


def list_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Files of a folder with one of the suffixes (any case), sorted; hidden and system files are ignored.

    Ignored are names with a leading dot (macOS writes `._name.jpg`), Thumbs.db, desktop.ini and folders. A folder
    that does not exist has no files.

    Raises:
        PaperlibError: the folder cannot be listed.
    """
    return [entry for entry in _entries(folder) if entry.suffix.lower() in suffixes and entry.is_file()]


def list_folders(folder: Path) -> list[Path]:
    """Sub-folders, sorted, without hidden ones and macOS's `__MACOSX`.

    Raises:
        PaperlibError: the folder cannot be listed.
    """
    return [entry for entry in _entries(folder) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise PaperlibError(f"the folder {folder} cannot be listed ({error.strerror}); give it read rights") from error
    return [folder / name for name in names if not name.startswith(".") and name.lower() not in _JUNK]


def existing_folder(root: str | Path, what: str) -> Path:
    """`root` as a path.

    Raises:
        PaperlibError: it does not exist or is a file, for example an archive.
    """
    path = Path(root).expanduser()
    if path.is_file():
        advice = "unpack it and give the folder" if path.suffix.lower() in ARCHIVE_SUFFIXES else "give its folder"
        raise PaperlibError(f"{path} is a file, expected the folder of {what}; {advice}")
    if not path.is_dir():
        raise PaperlibError(f"there is no folder {path}, expected {what} there; give the folder with --data-root")
    return path


def packed_hint(*folders: Path) -> str:
    """A half sentence on archives that still lie packed in the folders, or nothing."""
    archives = [path.name for folder in folders for path in list_files(folder, ARCHIVE_SUFFIXES)]
    return f" ({listing(archives)} still packed: unpack first)" if archives else ""


def file_bytes(paths: Iterable[Path]) -> tuple[int, ...]:
    """Sizes of files in bytes.

    Raises:
        UnusableFile: a file that is gone or may not be looked at.
    """
    sizes = []
    for path in paths:
        try:
            sizes.append(path.stat().st_size)
        except OSError as error:
            raise UnusableFile(path, f"cannot be read ({error.strerror})") from error
    return tuple(sizes)


# ---- telling what is wrong ------------------------------------------------------------------------------------------
class Problems:
    """Collects what is wrong with single files, to tell it once."""

    def __init__(self, what: str):
        self.what = what
        self.found: list[str] = []

    def add(self, name: str, reason: str) -> None:
        self.found.append(f"{name} ({reason})")

    @contextmanager
    def collecting(self) -> Iterator[None]:
        """Note an `UnusableFile` of the block instead of raising it."""
        try:
            yield
        except UnusableFile as error:
            self.add(f"{error.path.parent.name}/{error.path.name}", error.reason)

    def raise_if_any(self, total: int, advice: str) -> None:
        """End in one sentence if anything was found, out of `total` files."""
        if self.found:
            count = len(self.found)
            raise PaperlibError(f"{count} of {total} {self.what} cannot be used: {listing(self.found)}; {advice}")


def listing(names: Iterable[str]) -> str:
    """The first names and how many more there are: "a, b, c and 4 more"."""
    every = list(names)
    head, rest = ", ".join(every[:NAMED]), len(every) - NAMED
    return f"{head} and {rest} more" if rest > 0 else head


def complete_keys(
    parts: dict[str, dict[str, Path]], what: str, root: Path, allow_missing: bool
) -> tuple[list[str], tuple[str, ...]]:
    """The keys that have every part, in order, and notes on those left out.

    Args:
        parts: name of a part ("picture", "fixations", "density map") -> key -> file.
        what: the data set, for messages.
        root: where it lies, for messages.
        allow_missing: leave incomplete keys out with a note instead of refusing them.

    Raises:
        PaperlibError: keys without one of their parts, unless allowed; or no complete key at all.
    """
    every = sorted(set().union(*parts.values()))
    complete = [key for key in every if all(key in files for files in parts.values())]
    gaps = []
    for part, files in parts.items():
        without = [key for key in every if key not in files]
        if without:
            gaps.append(f"{len(without)} of {len(every)} without {part}: {listing(without)}")
    if gaps and not (allow_missing and complete):
        advice = "complete the folder" + (", or allow missing files to leave them out" if complete else "")
        raise PaperlibError(f"{what} in {root} is incomplete: {'; '.join(gaps)}; {advice}{packed_hint(root)}")
    return complete, tuple(f"left out: {gap}" for gap in gaps)


def spell_size(size: Sequence[int]) -> str:
    """(480, 640) is "640x480"."""
    return f"{size[1]}x{size[0]}"
