"""BIQ2021: 12,000 photographs, each judged by 30 observers in a laboratory (Ahmed & Asif, J. Electron. Imaging 31(5), 2022).

    Images/ss01 (10).jpg                      names with blanks and brackets; all but 11 are 512x512
    train.csv, test.csv                       Image Name, MOS on 0..1, higher is better; 10,000 and 2,000 lines

The tables call some pictures by another case of the ending than their files have, and `train.csv` has empty columns. MOS
are multiplied by 100. BIQ2021 publishes no validation part: here it is the fifth of `train.csv` that a hash of the
picture's name chooses, so that a picture belongs to the same part in any extent of the set.

https://github.com/nisarahmedrana/BIQ2021, which states no licence: nothing of it is passed on.
"""

import hashlib
from collections import Counter
from pathlib import Path

from paperlib.datasets.files import existing_folder, folder_with, listing, packed_hint
from paperlib.datasets.listed_files import chosen_pictures
from paperlib.datasets.opinions import Opinion, OpinionSet, opinion_records
from paperlib.datasets.tables import finite, read_table
from paperlib.errors import PaperlibError

PICTURES = 12_000
IMAGES, TRAIN, TEST = "Images", "train.csv", "test.csv"

_FIFTHS = 5
_ADVICE = "restore it from https://github.com/nisarahmedrana/BIQ2021"


def open_biq2021(root: str | Path, extent: str = "sample") -> OpinionSet:
    """Open BIQ2021. The two tables are read whole; of pictures only the headers.

    Args:
        root: the folder that holds `Images`, `train.csv` and `test.csv`, for example a clone, or the one above.
        extent: "sample" for the 2,500 pictures of train.csv and 800 of test.csv in our list, "all" for every picture of
            both tables, "found" for those that lie there. A note tells how many of how many were opened.

    Raises:
        PaperlibError: no such folder; pictures of the extent missing or unreadable; tables that are damaged, name a
            picture twice, or hold MOS outside 0..1; another extent.
    """
    base = existing_folder(root, "BIQ2021")
    home = folder_with(base, IMAGES, TRAIN, TEST)
    if home is None:
        raise PaperlibError(f"BIQ2021 in {base}: expected the folder {IMAGES}, {TRAIN} and {TEST} there{packed_hint(base)}")
    opinions = [opinion for table in (TRAIN, TEST) for opinion in read_biq2021_table(home / table)]
    times = Counter(opinion.name.casefold() for opinion in opinions)
    repeated = [name for name, count in times.items() if count > 1]
    if repeated:
        raise PaperlibError(
            f"{len(repeated)} pictures stand more than once in {TRAIN} and {TEST} of {home}: {listing(repeated)}; {_ADVICE}"
        )
    by_name = {opinion.name: opinion for opinion in opinions}
    pictures, notes = chosen_pictures(list(by_name), home / IMAGES, extent, "biq2021_sample", "BIQ2021", PICTURES)
    placed = {path.name: by_name[name] for name, path in pictures.items()}
    records, problems = opinion_records(placed, {path.name: path for path in pictures.values()}, "BIQ2021")
    problems.raise_if_any(len(placed), _ADVICE)
    return OpinionSet("biq2021", records, notes)


def read_biq2021_table(path: Path) -> list[Opinion]:
    """The opinions of `train.csv` or `test.csv` in the order of the file, with MOS on 0..100 and the house's split.

    Raises:
        PaperlibError: a table that is missing or damaged, or with MOS outside 0..1.
    """

    def parse(name: str, mos: str) -> Opinion:
        if not name:
            raise ValueError("no image")
        return Opinion(name, 100 * finite(mos, "MOS"), "test" if path.name == TEST else _part(name))

    opinions = read_table(path, ("image name", "mos"), parse, "opinions", _ADVICE)
    outside = [f"{opinion.name} ({opinion.mos / 100:g})" for opinion in opinions if not 0 <= opinion.mos <= 100]
    if outside:
        raise PaperlibError(
            f"{len(outside)} of {len(opinions)} MOS in {path} lie outside 0..1: {listing(outside)}; the table is on another "
            f"scale or damaged: {_ADVICE}"
        )
    return opinions


def _part(name: str) -> str:
    """The same part for a picture whichever others there are, and whatever the case of its ending."""
    number = int.from_bytes(hashlib.sha256(name.casefold().encode()).digest()[:8])
    return "training" if number % _FIFTHS else "validation"
