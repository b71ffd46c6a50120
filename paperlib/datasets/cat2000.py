"""CAT2000: 4,000 pictures of 1920x1080 pixels in 20 categories, 5 s free viewing (Borji & Itti, arXiv 1505.03581).

    trainSet/Stimuli/<Category>/001.jpg            besides Stimuli/<Category>/Output/: maps of a model, never read
    trainSet/FIXATIONLOCS/<Category>/001.mat       `fixLocs`, 1080x1920, 1 at each fixated pixel
    trainSet/FIXATIONMAPS/<Category>/001.jpg       density map

Ground truth exists for the training set alone (2,000 pictures). Numbers within a category have gaps, because training
and test set share 001 to 200: folders are listed, never counted. `allFixData.mat` is not read. EXIF rotations are
ignored: at least one picture carries a wrong one.

The pictures were fitted into 1920x1080 and the rest was filled with grey bars, on which nobody has a reason to look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import (
    IMAGE_SUFFIXES,
    Problems,
    UnusableFile,
    complete_keys,
    existing_folder,
    expect_size,
    file_bytes,
    list_files,
    list_folders,
    listing,
    packed_hint,
    read_mat,
)
from paperlib.datasets.gaze import Gaze, GazeRecord, GazeSet
from paperlib.errors import PaperlibError

SIZE = (1080, 1920)
PICTURES = 2_000
CATEGORIES = (
    "Action",
    "Affective",
    "Art",
    "BlackWhite",
    "Cartoon",
    "Fractal",
    "Indoor",
    "Inverted",
    "Jumbled",
    "LineDrawing",
    "LowResolution",
    "Noisy",
    "Object",
    "OutdoorManMade",
    "OutdoorNatural",
    "Pattern",
    "Random",
    "Satelite",
    "Sketch",
    "Social",
)
"""As the folders are spelled, "Satelite" included."""

_PARTS = {"picture": "Stimuli", "fixations": "FIXATIONLOCS", "density map": "FIXATIONMAPS"}
_SUFFIXES = {"picture": (".jpg", ".jpeg"), "fixations": (".mat",), "density map": IMAGE_SUFFIXES}
_FIXATION_NAMES = ("fixLocs", "fixations")


@dataclass(frozen=True)
class Cat2000Record(GazeRecord):
    """A picture of CAT2000.

    Attributes:
        fixations: the `.mat` file.
        density: the density map's file.
    """

    fixations: Path
    density: Path

    @property
    def category(self) -> str:
        return self.key.partition("/")[0]

    def load_density(self) -> NDArray[np.float32]:
        return self._read_density(self.density)

    def load_gaze(self) -> Gaze:
        content = read_mat(self.fixations)
        name = next((name for name in _FIXATION_NAMES if name in content), None)
        if name is None:
            raise UnusableFile(self.fixations, f"no field 'fixLocs', it holds {listing(sorted(content)) or 'nothing'}")
        locations = np.asarray(content[name])
        if locations.dtype.kind not in "biuf" or locations.shape != self.size:
            raise UnusableFile(
                self.fixations, f"'{name}' is {locations.dtype} {locations.shape}, expected numbers {self.size}"
            )
        rows, columns = np.nonzero(locations > 0)
        return Gaze(np.stack([rows, columns], axis=1).astype(np.int64), 0, None)


def open_cat2000(root: str | Path, categories: Sequence[str] | None = None, allow_missing: bool = False) -> GazeSet:
    """Open the training set of CAT2000. Names are listed and headers are read, nothing is decoded.

    Args:
        root: the folder `trainSet`, or the one above it, or one of its parts.
        categories: folders to take; None takes all that are there.
        allow_missing: leave pictures with a missing file out, with a note, instead of refusing them.

    Raises:
        PaperlibError: files missing or still packed, the test set given, an unknown category asked for, or pictures
            that are not 1920x1080.
    """
    home = _home(existing_folder(root, "CAT2000"))
    absent = [folder for folder in _PARTS.values() if not (home / folder).is_dir()]
    if absent == ["FIXATIONLOCS", "FIXATIONMAPS"]:
        raise PaperlibError(
            f"{home} has Stimuli but neither FIXATIONLOCS nor FIXATIONMAPS{packed_hint(home, home.parent)}: it looks "
            "like CAT2000's test set, whose gaze is not published; give the folder trainSet"
        )
    if absent:
        raise PaperlibError(
            f"CAT2000 in {home} lacks {listing(absent)}{packed_hint(home)}; expected trainSet with Stimuli, "
            "FIXATIONLOCS and FIXATIONMAPS as trainSet.zip unpacks it"
        )
    chosen, notes = _categories(home, categories)
    parts = {part: _files(home / folder, _SUFFIXES[part], chosen) for part, folder in _PARTS.items()}
    if not any(parts.values()):
        raise PaperlibError(f"the folders of CAT2000 in {home} hold no pictures; unpack trainSet.zip again")
    keys, gaps = complete_keys(parts, "CAT2000", home, allow_missing)
    records = _records(keys, parts)
    if len(records) != PICTURES and categories is None:
        notes += (f"a part of the set: {len(records)} of {PICTURES} pictures of CAT2000's training set",)
    return GazeSet("cat2000", records, "train", notes + gaps)


def _home(root: Path) -> Path:
    """The folder with Stimuli: `root`, its parent when `root` is one of the parts, or one or two levels below."""
    below = list_folders(root)
    above = [folder.parent for folder in (root, root.parent) if folder.name in _PARTS.values()]
    candidates = [root, *above, *below, *(folder / "trainSet" for folder in below)]
    for marks in (("FIXATIONLOCS", "FIXATIONMAPS"), ("Stimuli",)):
        for folder in candidates:
            if any((folder / mark).is_dir() for mark in marks):
                return folder
    return root


def _categories(home: Path, wanted: Sequence[str] | None) -> tuple[list[str], tuple[str, ...]]:
    there = sorted({folder.name for part in _PARTS.values() for folder in list_folders(home / part)})
    if wanted is not None:
        unknown = [name for name in wanted if name not in there]
        if unknown:
            raise PaperlibError(f"CAT2000 in {home} has no category {listing(unknown)}; choose among {', '.join(there)}")
        return sorted(set(wanted)), ()
    notes = []
    missing = [name for name in CATEGORIES if name not in there]
    unknown = [name for name in there if name not in CATEGORIES]
    if missing:
        notes.append(f"{len(missing)} of {len(CATEGORIES)} categories are not there: {', '.join(missing)}")
    if unknown:
        notes.append(f"{len(unknown)} folders are no category of CAT2000: {', '.join(unknown)}")
    return there, tuple(notes)


def _files(folder: Path, suffixes: Sequence[str], categories: Sequence[str]) -> dict[str, Path]:
    """Key -> file of one part. Only files right inside a category count, so its sub-folder Output is never seen."""
    return {f"{category}/{path.stem}": path for category in categories for path in list_files(folder / category, suffixes)}


def _records(keys: list[str], parts: dict[str, dict[str, Path]]) -> tuple[Cat2000Record, ...]:
    problems = Problems("CAT2000 files")
    records = []
    for key in keys:
        picture, fixations, density = (parts[part][key] for part in _PARTS)
        for path in (picture, density):
            with problems.collecting():
                expect_size(path, SIZE)
        with problems.collecting():
            sizes = file_bytes((picture, fixations, density))
            records.append(Cat2000Record(key, picture, SIZE, sizes, fixations, density))
    problems.raise_if_any(3 * len(keys), "restore them from trainSet.zip")
    return tuple(records)
