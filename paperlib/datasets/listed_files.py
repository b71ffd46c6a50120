"""The files of published data sets that a laptop's sample consists of: where they lie in their repository, and what they
are checked by.

Each list is a table beside this module, `file,bytes,git_sha1`. It names files and holds nothing of what they contain.
"""

import csv
from functools import cache
from importlib.resources import files
from typing import NamedTuple


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
