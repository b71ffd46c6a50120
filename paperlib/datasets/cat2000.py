"""CAT2000: 4,000 pictures of 1920x1080 pixels in 20 categories, 5 s free viewing (Borji & Itti, arXiv 1505.03581).

    trainSet/Stimuli/<Category>/001.jpg            besides Stimuli/<Category>/Output/: maps of a model, never read
    trainSet/FIXATIONLOCS/<Category>/001.mat       `fixLocs`, 1080x1920, 1 at each fixated pixel
    trainSet/FIXATIONMAPS/<Category>/001.jpg       density map

Ground truth exists for the training set alone (2,000 pictures). Numbers within a category have gaps, because training
and test set share 001 to 200: folders are listed, never counted. `allFixData.mat` is not read. EXIF rotations are
ignored: at least one picture carries a wrong one.

The pictures were fitted into 1920x1080 and the rest was filled with grey bars, on which nobody has a reason to look.
"""

from pathlib import Path

import numpy as np

from paperlib.datasets.files import (
    IMAGE_SUFFIXES,
    UnusableFile,
    complete_keys,
    existing_folder,
    list_files,
    list_folders,
    listing,
    packed_hint,
    read_mat,
)
from paperlib.datasets.gaze import Gaze, GazeSet, file_records
from paperlib.errors import PaperlibError

SIZE = (1080, 1920)
PICTURES = 2_000
CATEGORIES = tuple(
    (
        "Action Affective Art BlackWhite Cartoon Fractal Indoor Inverted Jumbled LineDrawing LowResolution "
        "Noisy Object OutdoorManMade OutdoorNatural Pattern Random Satelite Sketch Social"
    ).split()
)
"""As the folders are spelled, "Satelite" included."""

_PARTS = {"picture": "Stimuli", "fixations": "FIXATIONLOCS", "density map": "FIXATIONMAPS"}
_SUFFIXES = {"picture": (".jpg", ".jpeg"), "fixations": (".mat",), "density map": IMAGE_SUFFIXES}
_FIXATION_NAMES = ("fixLocs", "fixations")


def open_cat2000(root: str | Path, partial: bool = False) -> GazeSet:
    """Open the training set of CAT2000. Names are listed and headers are read, nothing is decoded.

    Args:
        root: the folder `trainSet`, or the one above it, or one of its parts.
        partial: leave pictures with a missing file out, with a note, instead of refusing them.

    Raises:
        PaperlibError: files missing or still packed, the test set given, or pictures that are not 1920x1080.
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
    categories = sorted({folder.name for part in _PARTS.values() for folder in list_folders(home / part)})
    # only files right inside a category count, so its sub-folder Output is never seen
    parts = {
        part: {
            f"{category}/{path.stem}": path
            for category in categories
            for path in list_files(home / folder / category, _SUFFIXES[part])
        }
        for part, folder in _PARTS.items()
    }
    if not any(parts.values()):
        raise PaperlibError(f"the folders of CAT2000 in {home} hold no pictures; unpack trainSet.zip again")
    keys, gaps = complete_keys(parts, "CAT2000", home, partial)
    advice = "restore them from trainSet.zip"
    records = file_records(keys, list(parts.values()), SIZE, read_fixations, "CAT2000", advice)
    notes = _notes(categories)
    if len(records) != PICTURES:
        notes += (f"a part of the set: {len(records)} of {PICTURES} pictures of CAT2000's training set",)
    return GazeSet("cat2000", records, notes + gaps)


def read_fixations(path: Path, size: tuple[int, int]) -> Gaze:
    """The fixations of a picture of (height, width), one per pixel that is marked in its `.mat` file.

    Raises:
        UnusableFile: missing, unreadable, without fixations, or of another size.
    """
    content = read_mat(path)
    name = next((name for name in _FIXATION_NAMES if name in content), None)
    if name is None:
        raise UnusableFile(path, f"no field 'fixLocs', it holds {listing(sorted(content)) or 'nothing'}")
    locations = np.asarray(content[name])
    if locations.dtype.kind not in "biuf" or locations.shape != size:
        raise UnusableFile(path, f"'{name}' is {locations.dtype} {locations.shape}, expected numbers {size}")
    return Gaze(np.argwhere(locations > 0).astype(np.int64), 0, None)


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


def _notes(there: list[str]) -> tuple[str, ...]:
    missing = [name for name in CATEGORIES if name not in there]
    unknown = [name for name in there if name not in CATEGORIES]
    lines = ((missing, f"of {len(CATEGORIES)} categories are not there"), (unknown, "folders are no category of CAT2000"))
    return tuple(f"{len(names)} {text}: {', '.join(names)}" for names, text in lines if names)
