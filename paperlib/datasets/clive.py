"""CLIVE, the LIVE In the Wild Image Quality Challenge (Ghadiyaram & Bovik, IEEE TIP 2016): 1,162 photographs, no split.

    Images/3.bmp, Images/1017.JPG             535 .bmp and 627 .JPG; names run to 1164 and have gaps
    Images/trainingImages/t1.bmp              7 pictures on which observers practised: never read
    Data/AllImages_release.mat                AllImages_release, cell 1169x1: file names
    Data/AllMOS_release.mat                   AllMOS_release, 1x1169: MOS on 0..100, higher is better
    Data/AllStdDev_release.mat                not read

The first 7 rows belong to the practice pictures and are dropped. Scores belong to names by their place in the two
variables, never by sorted file names. Most pictures are 500x500, a few are larger.

http://live.ece.utexas.edu/research/ChallengeDB/index.html
"""

from pathlib import Path

import numpy as np

from paperlib.datasets.files import (
    IMAGE_SUFFIXES,
    UnusableFile,
    existing_folder,
    list_files,
    list_folders,
    listing,
    packed_hint,
    read_mat,
)
from paperlib.datasets.opinions import Opinion, OpinionSet, Published, compare_with_published, place_pictures
from paperlib.datasets.pictures import SCALE
from paperlib.errors import PaperlibError

PRACTICE = 7
"""Rows at the beginning that belong to the practice pictures."""
PUBLISHED = Published(pictures=1_162, low=3.42, high=92.43195, mean=55.40132, sd=20.29648)
"""Without the practice pictures."""
IMAGES, DATA, PRACTICE_IMAGES = "Images", "Data", "trainingImages"
NAMES, MOS, SD = "AllImages_release", "AllMOS_release", "AllStdDev_release"

_ADVICE = "restore it from the archive of the data set (http://live.ece.utexas.edu/research/ChallengeDB/index.html)"


def open_clive(root: str | Path, partial: bool = False) -> OpinionSet:
    """Open CLIVE without its practice pictures. The two tables are read; of pictures only the headers.

    Args:
        root: the folder that holds `Images` and `Data` (ChallengeDB_release), or the one above, or one of the two.
        partial: take what is there of the 1,162 pictures, with a note, instead of refusing a part.

    Raises:
        PaperlibError: folders, tables or pictures missing, damaged, misnamed or unreadable; names and scores of
            different number; MOS that are not the published ones.
    """
    home = _home(existing_folder(root, "CLIVE"))
    absent = [
        str(path)
        for path in (Path(IMAGES), *(Path(DATA, f"{name}.mat") for name in (NAMES, MOS)))
        if not (home / path).exists()
    ]
    if absent:
        raise PaperlibError(f"CLIVE in {home} lacks {listing(absent)}{packed_hint(home, home.parent)}; {_ADVICE}")
    opinions = read_clive_tables(home / DATA)
    _refuse_other_rows(home, opinions[:PRACTICE])
    tested = opinions[PRACTICE:]
    records, left_out = place_pictures(tested, home / IMAGES, "CLIVE", _ADVICE, partial=partial)
    notes = compare_with_published(tested, PUBLISHED, home / DATA / f"{MOS}.mat", "CLIVE", partial)
    return OpinionSet("clive", records, notes + left_out)


def read_clive_tables(folder: Path) -> list[Opinion]:
    """Names and scores of all rows, the practice pictures first, in the order of the files.

    Args:
        folder: the folder `Data`.

    Raises:
        PaperlibError: a file that is missing, damaged, of version 7.3 or without its variable; names and scores of
            different number; no row beyond the practice pictures; MOS outside 0..100.
    """
    names_file, mos_file = folder / f"{NAMES}.mat", folder / f"{MOS}.mat"
    names = [_text(names_file, cell) for cell in _variable(names_file, NAMES).ravel()]
    values = _variable(mos_file, MOS)
    if values.dtype.kind not in "iuf":
        raise UnusableFile(mos_file, f"'{MOS}' holds {values.dtype} values, expected numbers")
    mos = values.ravel().astype(np.float64)
    if len(names) != len(mos) or len(names) <= PRACTICE:
        raise PaperlibError(
            f"{folder} has {len(names)} names and {len(mos)} MOS, expected {PRACTICE + PUBLISHED.pictures} of both, "
            f"the first {PRACTICE} for practice; {_ADVICE}"
        )
    wrong = [f"{name} ({value:g})" for name, value in zip(names, mos, strict=True) if not SCALE[0] <= value <= SCALE[1]]
    if wrong:
        raise PaperlibError(f"{len(wrong)} of {len(mos)} MOS in {mos_file} lie outside 0..100: {listing(wrong)}; {_ADVICE}")
    return [Opinion(name, value) for name, value in zip(names, mos.tolist(), strict=True)]


def _variable(path: Path, name: str) -> np.ndarray:
    content = read_mat(path)
    if name not in content:
        raise UnusableFile(path, f"no variable '{name}', it holds {listing(sorted(content)) or 'nothing'}")
    return np.asarray(content[name])


def _text(path: Path, cell: object) -> str:
    value = np.ravel(np.asarray(cell))
    if value.size != 1 or value.dtype.kind != "U" or not value[0].strip():
        raise UnusableFile(path, f"'{NAMES}' holds {value.dtype} values, expected a cell array of file names")
    return str(value[0]).strip()


def _home(root: Path) -> Path:
    above = [root.parent] if root.name in (IMAGES, DATA) else []
    for marks in ((IMAGES, DATA), (IMAGES,), (DATA,)):
        for folder in (root, *list_folders(root), *above):
            if all((folder / mark).is_dir() for mark in marks):
                return folder
    return root


def _refuse_other_rows(home: Path, practice: list[Opinion]) -> None:
    """The dropped rows must not be pictures of the test."""
    pictures = {path.name.casefold() for path in list_files(home / IMAGES, IMAGE_SUFFIXES)}
    lost = [opinion.name for opinion in practice if opinion.name.casefold() in pictures]
    if lost:
        raise PaperlibError(
            f"the first {PRACTICE} rows of {NAMES} in {home / DATA} should be the practice pictures, but "
            f"{listing(lost)} lie in {IMAGES}; {_ADVICE}, with {IMAGES}/{PRACTICE_IMAGES} in its own folder"
        )
