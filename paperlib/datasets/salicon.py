"""SALICON: mouse-contingent gaze on COCO pictures of 640x480 pixels (Jiang, Huang, Duan & Zhao, CVPR 2015).

    images/{train,val,test}/COCO_val2014_000000000133.jpg      (or all splits flat in images/, or a folder val/ on top)
    fixations/{train,val}/COCO_val2014_000000000133.mat        `gaze`: per observer `location`, `timestamp`, `fixations`
    maps/{train,val}/COCO_val2014_000000000133.png             8-bit density map

`fixations` of the .mat files are (x, y), 1-based, in small integer types; some observers have none, and the edition
of 2017 has points outside the picture (column 641), which are dropped and counted. `location` holds raw mouse samples
and is not used. The editions of 2015 and 2017 show the same pictures with different fixations and maps, and their
numbers must not be mixed; http://salicon.net/challenge-2017/ offers both. Counts: the tests of pysaliency 6a45d24.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import (
    UnusableFile,
    complete_keys,
    existing_folder,
    list_files,
    list_folders,
    listing,
    packed_hint,
    read_mat,
    spell_size,
)
from paperlib.datasets.gaze import Gaze, GazeRecord, GazeSet, file_records
from paperlib.errors import PaperlibError

Split = Literal["train", "val"]
Edition = Literal["2015", "2017"]

SIZE = (480, 640)
PICTURES = {"train": 10_000, "val": 5_000}
TOTALS: dict[str, dict[str, int]] = {
    "train": {"2015": 3_171_533, "2017": 4_598_112},
    "val": {"2015": 1_662_655, "2017": 2_576_914},
}
"""Published fixations per split and edition, points outside the picture included."""

_PARTS = {"picture": "images", "fixations": "fixations", "density map": "maps"}
_SUFFIXES = {"picture": (".jpg", ".jpeg"), "fixations": (".mat",), "density map": (".png",)}
_NAME = re.compile(r"COCO_(train|val|test)2014_\d{12}")
_SAMPLE = 32
_NEAR, _CLEAR = 0.15, 3.0
_ADVICE = "restore them from the archives of http://salicon.net/challenge-2017/"


def open_salicon(root: str | Path, split: Split = "val", edition: Edition | None = None, partial: bool = False) -> GazeSet:
    """Open one split of SALICON.

    Names are listed and the headers of pictures and maps are read; a sample of 32 fixation files tells the edition. A
    whole split is told apart by its number of fixations in `paperlib.datasets.gaze.check`. A part of it is told by the
    mean number of fixations per picture (2015 / 2017: 317 / 460 in train, 333 / 515 in val): an edition is named when
    the mean is within 15 % of its own and at least 3 standard errors away from the other's, else it is "unknown".

    Args:
        root: folder that holds `images`, `fixations` and `maps`; the folder above or inside is understood.
        split: "val" (the paper's) or "train"; the test split has no published gaze.
        edition: the edition that is meant; None takes what the files tell.
        partial: leave pictures with a missing or misnamed file out, with a note, instead of refusing them.

    Raises:
        PaperlibError: files missing, misnamed, of another split or edition, still packed, or not 640x480.
    """
    if split not in get_args(Split):
        raise PaperlibError(f"SALICON has no gaze for the split {split!r}; choose one of {', '.join(get_args(Split))}")
    if edition is not None and edition not in get_args(Edition):
        raise PaperlibError(f"SALICON has no edition {edition!r}; choose one of {', '.join(get_args(Edition))}")
    home = _home(existing_folder(root, "SALICON"), split)
    listed = {part: _files(home, part, split) for part in _PARTS}
    absent = [f"{_PARTS[part]}/{split}" for part, files in listed.items() if not files]
    if absent:
        raise PaperlibError(
            f"SALICON in {home} lacks {listing(absent)}{packed_hint(home)}; expected images/{split}/*.jpg, "
            f"fixations/{split}/*.mat and maps/{split}/*.png, from http://salicon.net/challenge-2017/"
        )
    notes = _misnamed(listed, split, partial)
    own = {part: {path.stem: path for path in files if _split_of(path) == split} for part, files in listed.items()}
    keys, gaps = complete_keys(own, f"SALICON {split}", home, partial)
    records = file_records(keys, list(own.values()), SIZE, read_fixations, "SALICON", _ADVICE)
    found = _sampled_edition(records, split)
    whole = len(records) == PICTURES[split]
    if not whole:
        notes += (f"a part of the split: {len(records)} of {PICTURES[split]} pictures of SALICON {split}",)
    if edition is not None and found not in (edition, "unknown"):
        sentence = f"the numbers of fixations in {home} look like edition {found}, edition {edition} was asked for"
        if whole:
            raise PaperlibError(f"{sentence}; give the folder of the other edition, or ask for edition {found}")
        notes += (sentence,)
    known = tuple(TOTALS[split].items()) if whole else ()
    return GazeSet("salicon", records, notes + gaps, edition or found, known)


def read_fixations(path: Path, size: tuple[int, int]) -> Gaze:
    """The fixations of all observers of a picture of (height, width), from its `.mat` file.

    Raises:
        UnusableFile: missing, unreadable, without fixations, or of a picture of another size.
    """
    content = read_mat(path)
    gaze = content.get("gaze")
    if not isinstance(gaze, np.ndarray) or "fixations" not in (gaze.dtype.names or ()):
        names = ", ".join(sorted(content)) or "nothing"
        raise UnusableFile(path, f"no struct 'gaze' with a field 'fixations', it holds {names}")
    if "resolution" in content and (resolution := np.ravel(content["resolution"]).tolist()) != list(size):
        told = "x".join(f"{one!r:.20}" for one in resolution[1::-1])
        raise UnusableFile(path, f"gaze on {told} pixels, expected {spell_size(size)}")
    viewings = [_points(path, points) for points in gaze["fixations"].ravel()]
    points = np.concatenate([np.empty((0, 2)), *viewings])
    return Gaze.from_points(points[:, 1], points[:, 0], size, observers=sum(len(viewing) > 0 for viewing in viewings))


def _points(path: Path, values: Any) -> NDArray[np.float64]:
    """One observer's fixations, (k, 2) as 0-based (x, y)."""
    array = np.asarray(values)
    if array.size == 0:
        return np.empty((0, 2))
    if array.dtype.kind not in "iuf" or array.ndim != 2 or array.shape[1] != 2:
        raise UnusableFile(path, f"fixations of {array.dtype} {array.shape}, expected (k, 2) numbers")
    return array.astype(np.float64) - 1


# ---- the folder -----------------------------------------------------------------------------------------------------
def _home(root: Path, split: str) -> Path:
    """The folder of the data set: `root`, one below it, or one of the two above when `root` is one of its own parts."""
    own_parts = {*_PARTS.values(), *PICTURES, "test"}
    above = [folder.parent for folder in (root, root.parent) if root.name in own_parts and folder.name in own_parts]
    candidates = [root, *list_folders(root), *above]
    for marks in (("fixations", "maps"), ("images", split)):
        for folder in candidates:
            if any((folder / mark).is_dir() for mark in marks):
                return folder
    return root


def _files(home: Path, part: str, split: str) -> list[Path]:
    """The files of one part: `part/split/`, else those of the split in `part/`, else in `split/`."""
    own_folder = list_files(home / _PARTS[part] / split, _SUFFIXES[part])
    if own_folder:
        return own_folder
    for folder in (home / _PARTS[part], home / split):
        files = [path for path in list_files(folder, _SUFFIXES[part]) if _split_of(path) in (split, None)]
        if files:
            return files
    return []


def _split_of(path: Path) -> str | None:
    """The split that a file's name belongs to; None for a name that is not SALICON's."""
    match = _NAME.fullmatch(path.stem)
    return match[1] if match else None


def _misnamed(listed: dict[str, list[Path]], split: str, partial: bool) -> tuple[str, ...]:
    """Refuse files whose name is not one of the split's; or note that they are left out."""
    wrong = [path for files in listed.values() for path in files if _split_of(path) != split]
    if not wrong:
        return ()
    total = sum(map(len, listed.values()))
    splits = Counter(_split_of(path) for path in wrong)
    other, count = splits.most_common(1)[0]
    if count == total and other is not None:
        raise PaperlibError(
            f"the files in {wrong[0].parent} are those of the split {other!r}, {split!r} was asked for; give the "
            f"folder of {split!r}, or choose the split {other!r}"
        )
    sentence = f"{len(wrong)} of {total} SALICON files are not named COCO_{split}2014_<12 digits>: " + listing(
        path.name for path in wrong
    )
    if not partial:
        raise PaperlibError(f"{sentence}; restore their names, or allow missing files to leave them out")
    return (f"left out: {sentence}",)


# ---- the edition ----------------------------------------------------------------------------------------------------
def _sampled_edition(records: Sequence[GazeRecord], split: Split) -> str:
    """What a sample of the fixation files tells; files that cannot be read are left to `check`."""
    chosen = np.unique(np.linspace(0, len(records) - 1, min(_SAMPLE, len(records))).astype(int))
    counts = []
    for index in chosen:
        try:
            gaze = records[index].load_gaze()
        except UnusableFile:
            continue
        counts.append(len(gaze.fixations) + gaze.dropped)
    return edition_of(counts, split)


def edition_of(counts: Sequence[float], split: Split) -> str:
    """The edition that numbers of fixations per picture belong to: "2015", "2017" or "unknown".

    Args:
        counts: fixations of some pictures, points outside included.
        split: "train" or "val".
    """
    if not counts:
        return "unknown"
    mean = float(np.mean(counts))
    spread = max(float(np.std(counts)), _NEAR * mean)
    error = spread / np.sqrt(len(counts))
    means = {edition: total / PICTURES[split] for edition, total in TOTALS[split].items()}
    for edition, expected in means.items():
        others = [value for other, value in means.items() if other != edition]
        if abs(mean / expected - 1) <= _NEAR and all(abs(mean - value) > _CLEAR * error for value in others):
            return edition
    return "unknown"
