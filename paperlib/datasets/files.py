"""Files of data sets: reading pictures, maps and MATLAB files, listing folders, and telling what is wrong with them.

Pictures are read **as they are stored**: an EXIF rotation is ignored. Problems with files are collected and told once:
how many, the first few by name, what to do.
"""

import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, TiffImagePlugin, UnidentifiedImageError

from paperlib.datasets.mat_limits import refuse_bombs
from paperlib.errors import PaperlibError
from paperlib.settings import current

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".avif", ".jp2", ".ppm", ".pgm",
    ".pnm",
)  # fmt: skip
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".gz", ".rar", ".7z")
NAMED = 3
"""How many names a message spells out before it only counts."""

_FORMATS = ("JPEG", "MPO", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "AVIF", "JPEG2000", "PPM")
_MOST_SCANS = 100  # of a JPEG; encoders write 10, and each may cost the time of a whole picture
_TILE_WIDTH, _TILE_HEIGHT = 322, 323  # tags of a TIFF
_TRACES = 24
_JUNK = {"thumbs.db", "desktop.ini", "__macosx"}
_SIXTEEN_BIT_GREY = ("I;16", "I;16L", "I;16B", "I;16N")


class UnusableFile(PaperlibError):
    """One file of a data set that cannot be used.

    Attributes:
        path: the file.
        reason: why, without the file's name.
        advice: what to do.
    """

    def __init__(self, path: str | Path, reason: str, advice: str = "restore it from the archive of its data set"):
        self.path, self.reason, self.advice = Path(path), reason, advice
        super().__init__(f"{self.path} cannot be used: {reason}; {advice}")

    def __reduce__(self) -> tuple[type, tuple[Path, str, str]]:
        return type(self), (self.path, self.reason, self.advice)


# ---- reading --------------------------------------------------------------------------------------------------------
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


def is_coloured(path: str | Path) -> bool:
    """Whether a picture has colours, more than the traces that JPEG leaves in a grey one.

    Raises:
        UnusableFile: missing, unreadable or truncated.
    """
    pixels = read_rgb(path).astype(np.int16)
    return bool((pixels.max(axis=2) - pixels.min(axis=2)).max() > _TRACES)


def no_larger(values: NDArray[np.float32], size: Sequence[int]) -> NDArray[np.float32]:
    """A map (h, w) whose sides are at most those of `size` (height, width): larger ones become means over what a pixel
    covers."""
    height, width = min(values.shape[0], size[0]), min(values.shape[1], size[1])
    if values.shape == (height, width):
        return values
    return np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BOX))


def picture_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of a picture from its header, as stored; nothing is decoded.

    Raises:
        UnusableFile: missing or not a picture.
    """
    with _opened(path) as image:
        return image.height, image.width


def require_size(path: str | Path, found: Sequence[int], expected: Sequence[int]) -> None:
    """Compare the (height, width) of a file's content with what it should be.

    Raises:
        UnusableFile: they differ.
    """
    if tuple(found) != tuple(expected):
        raise UnusableFile(path, f"{spell_size(found)} pixels, expected {spell_size(expected)}")


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
        UnusableFile: missing, truncated, larger than any file of gaze or opinions, or of version 7.3.
    """
    from scipy.io import loadmat

    try:
        with open(path, "rb") as file:
            refuse_bombs(file)
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
    Image.MAX_IMAGE_PIXELS = None  # the settings have a limit of their own
    Image.init()
    try:
        with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
            _refuse_endless(path, image)
            yield image
    except UnusableFile:
        raise
    except Exception as error:  # a damaged file makes Pillow's readers fail in any way
        if isinstance(error, OSError) and error.strerror:
            raise UnusableFile(path, f"cannot be read ({error.strerror})") from error
        reason = "not a picture" if isinstance(error, UnidentifiedImageError) else str(error) or type(error).__name__
        raise UnusableFile(path, f"unreadable or truncated ({reason})") from error


def _refuse_endless(path: str | Path, image: Image.Image) -> None:
    """Look at what decoding a picture would cost, before it is decoded.

    Raises:
        UnusableFile: more pixels than the settings allow, as a whole or in one tile, or more than `_MOST_SCANS`.
    """
    most = current().megapixels * 10**6
    sizes = [image.size]
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        sizes.append((int(image.tag_v2.get(_TILE_WIDTH, 0)), int(image.tag_v2.get(_TILE_HEIGHT, 0))))
    for width, height in sizes:
        if width * height > most:
            raise UnusableFile(
                path,
                f"{spell_size((height, width))} pixels, more than {most // 10**6} megapixels; PAPERLIB_MEGAPIXELS="
                f"{-(-width * height // 10**6)} allows it, and takes 20 bytes a pixel",
                "or make it smaller",
            )
    if image.format in ("JPEG", "MPO") and image.info.get("progressive"):
        scans = Path(path).read_bytes().count(b"\xff\xda")
        if scans > _MOST_SCANS:
            raise UnusableFile(path, f"a JPEG of {scans} scans, expected at most {_MOST_SCANS}")


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


def folder_with(root: Path, *marks: str) -> Path | None:
    """The first of `root` and the folders right inside it that holds all relative paths `marks`; None where none does."""
    return next((home for home in (root, *list_folders(root)) if all((home / mark).exists() for mark in marks)), None)


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


def last_part(name: str) -> str:
    """The file's name at the end of a path as tables write it, with slashes of either kind."""
    return name.replace("\\", "/").rpartition("/")[2]


def matched(names: Iterable[str], files: Iterable[str]) -> dict[str, str | None]:
    """The file that each name of a table means: that of the same name or, where only one has it, of the same name in another
    case, or with another suffix. Accented letters are equal however they are encoded.

    Args:
        names: as the table writes them; what stands before the last slash does not count.
        files: names of files.

    Returns:
        name -> file, None where there is none.
    """
    lookups = (_composed, lambda name: _composed(name).casefold(), lambda name: Path(_composed(name)).stem.casefold())
    every = list(files)
    tables = [(lookup, unique_by(every, lookup)) for lookup in lookups]
    found: dict[str, str | None] = {}
    for name in names:
        hits = (table.get(lookup(last_part(name))) for lookup, table in tables)
        found[name] = next((hit for hit in hits if hit is not None), None)
    return found


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def others_in(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Names of visible files in a folder that have none of the suffixes, sorted.

    Raises:
        PaperlibError: the folder cannot be listed.
    """
    return [entry.name for entry in _entries(folder) if entry.suffix.lower() not in suffixes and entry.is_file()]


def unique_by(names: Iterable[str], of: Callable[[str], str]) -> dict[str, str]:
    """`of(name)` -> name, for the values that only one name has."""
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(of(name), []).append(name)
    return {value: own[0] for value, own in found.items() if len(own) == 1}


def complete_keys(
    parts: dict[str, dict[str, Path]], what: str, root: Path, partial: bool
) -> tuple[list[str], tuple[str, ...]]:
    """The keys that have every part, in order, and notes on those left out.

    Args:
        parts: name of a part ("picture", "fixations", "density map") -> key -> file.
        what: the data set, for messages.
        root: where it lies, for messages.
        partial: leave incomplete keys out with a note instead of refusing them.

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
    if gaps and not (partial and complete):
        advice = "complete the folder" + (", or allow missing files to leave them out" if complete else "")
        raise PaperlibError(f"{what} in {root} is incomplete: {'; '.join(gaps)}; {advice}{packed_hint(root)}")
    return complete, tuple(f"left out: {gap}" for gap in gaps)


def spell_size(size: Sequence[int]) -> str:
    """(480, 640) is "640x480"."""
    return f"{size[1]}x{size[0]}"
