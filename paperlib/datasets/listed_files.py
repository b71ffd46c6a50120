"""Data sets of public repositories of which a laptop needs a part: the files of that part, and how much is opened.

Each list is a table beside this module, `file,bytes,git_sha1`. It names files and holds nothing of what they contain.
"""

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from paperlib.datasets.files import IMAGE_SUFFIXES, last_part, list_files, listing, packed_hint
from paperlib.errors import PaperlibError

EXTENTS = ("sample", "all", "found")
"""How much of a data set is opened: the pictures of our list, every picture, or whatever lies there."""


class ListedFile(NamedTuple):
    """One file of a public repository.

    Attributes:
        path: below the repository's root, for example "Images/ss01 (10).jpg".
        bytes: its size.
        git_sha1: 40 hexadecimal digits, the hash of its content as `git hash-object` computes it.
    """

    path: str
    bytes: int
    git_sha1: str


@cache
def listed(name: str) -> tuple[ListedFile, ...]:
    """The files of a list, in its order.

    Args:
        name: "biq2021_sample" (tables and 3,300 of 12,000 pictures), "osie_files" (all) or "eyecrowd_sample" (all gaze,
            100 of 500 pictures).
    """
    with (files("paperlib.datasets") / f"{name}.csv").open(encoding="utf-8") as table:
        return tuple(ListedFile(row["file"], int(row["bytes"]), row["git_sha1"]) for row in csv.DictReader(table))


def chosen_pictures(
    names: Sequence[str], folder: Path, extent: str, sample: str, what: str, pictures: int
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The pictures that an extent asks for, found in `folder` whatever the case of their names.

    Args:
        names: every picture of the data set, as its table of gaze or opinions calls it.
        folder: where the pictures lie.
        extent: one of `EXTENTS`.
        sample: name of the list for "sample".
        what: the data set, for messages.
        pictures: of the whole data set.

    Returns:
        Name -> file, in the order of `names`, at least one; and a note where these are a part of the data set.

    Raises:
        PaperlibError: another extent; pictures that it asks for are missing, in `names` or in `folder`.
    """
    if extent not in EXTENTS:
        raise PaperlibError(f"extent={extent!r} is not known; choose from: {', '.join(EXTENTS)}")
    wanted = list(names)
    if extent == "sample":
        sampled = {last_part(file.path).casefold() for file in listed(sample) if file.path.endswith(".jpg")}
        wanted = [name for name in names if name.casefold() in sampled]
        if len(wanted) < len(sampled):
            raise PaperlibError(
                f"{what} in {folder.parent}: tables name {len(wanted)} of the {len(sampled)} pictures of the sample; "
                "restore them, or ask for extent=found"
            )
    there = {path.name.casefold(): path for path in list_files(folder, IMAGE_SUFFIXES)}
    chosen = {name: there[name.casefold()] for name in wanted if name.casefold() in there}
    missing = [name for name in wanted if name not in chosen]
    if missing and (extent != "found" or not chosen):
        raise PaperlibError(
            f"{what} in {folder}: {len(missing)} of {len(wanted)} pictures are missing: {listing(missing)}"
            f"{packed_hint(folder.parent)}; complete the folder, or ask for extent={' or '.join(EXTENTS)}"
        )
    notes = (f"a part of the set: {len(chosen)} of {pictures} pictures of {what}",) if len(chosen) < pictures else ()
    return chosen, notes
