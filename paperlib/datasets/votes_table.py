"""The user's own pairwise votes: one table, a line per vote.

    image,left,right,choice,assessor
    kitchen,q20.png,q40.png,right,anna
    kitchen,q20.png,q80.png,tie,ben

`image` is the photograph, `left` and `right` are the two versions of it that were shown. `choice` is the preferred
side, `left` or `right`, or the name of the preferred version; `tie` means "almost the same". A line without a choice is
an unanswered question and no vote. A column `expected` is optional: `left` or `right` marks a verification pair, whose
answer is known beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.tables import read_header, read_table
from paperlib.errors import PaperlibError

COLUMNS = ("image", "left", "right", "choice", "assessor")
SIDES = {"left": 1, "tie": 0, "right": -1}
"""Words for a choice and the numbers that `paperlib.coding.votes` gives them."""

_ADVICE = "choice must be left, right, tie or a version shown, and every line must name image, versions and assessor"


@dataclass(frozen=True, eq=False)
class VotesTable:
    """Votes as the functions of `paperlib.coding.votes` take them; vectors are (n,), one entry per vote.

    Attributes:
        images: names of the photographs, sorted.
        versions: per photograph the names of its versions, sorted.
        assessors: names, sorted.
        image, assessor: indices of those names.
        left, right: indices of `versions[image]`.
        choice: 1 left, 0 tie, -1 right.
        expected: 1 or -1 for a verification pair, 0 for a pair that counts.
        unanswered: number of lines without a choice, which are left out.
    """

    images: tuple[str, ...]
    versions: tuple[tuple[str, ...], ...]
    assessors: tuple[str, ...]
    image: NDArray[np.intp]
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    choice: NDArray[np.int8]
    assessor: NDArray[np.intp]
    expected: NDArray[np.int8]
    unanswered: int


@dataclass(frozen=True)
class _Vote:
    image: str
    left: str
    right: str
    choice: int | None
    assessor: str
    expected: int


def read_votes(path: str | Path, schedule: bool = False) -> VotesTable:
    """Read a table of votes: as `paperlib.datasets.tables.read_table` says, with `COLUMNS` and maybe `expected`.

    Args:
        path: the file.
        schedule: nobody answered yet; lines without a choice are kept, and theirs is 0.

    Raises:
        PaperlibError: no such file, unreadable, empty, another separator or encoding, a missing column, or lines with
            an unknown choice, the same version on both sides, or a name missing; lines are told by number; or no line
            with a choice.
    """
    path = Path(path)
    optional = ("expected",) if "expected" in read_header(path, COLUMNS, "votes") else ()
    lines = read_table(path, (*COLUMNS, *optional), _vote, "votes", _ADVICE)
    votes = [vote for vote in lines if schedule or vote.choice is not None]
    if not votes:
        raise PaperlibError(f"none of the {len(lines)} lines of {path} has a choice; fill the column choice in")
    images, image = _indices([vote.image for vote in votes])
    assessors, assessor = _indices([vote.assessor for vote in votes])
    shown: dict[str, set[str]] = {}
    for vote in votes:
        shown.setdefault(vote.image, set()).update((vote.left, vote.right))
    place = {name: {version: index for index, version in enumerate(sorted(shown[name]))} for name in images}
    return VotesTable(
        images=images,
        versions=tuple(tuple(place[name]) for name in images),
        assessors=assessors,
        image=image,
        left=np.array([place[vote.image][vote.left] for vote in votes]),
        right=np.array([place[vote.image][vote.right] for vote in votes]),
        choice=np.array([vote.choice or 0 for vote in votes], dtype=np.int8),
        assessor=assessor,
        expected=np.array([vote.expected for vote in votes], dtype=np.int8),
        unanswered=len(lines) - len(votes),
    )


def _indices(names: Sequence[str]) -> tuple[tuple[str, ...], NDArray[np.intp]]:
    """The different names, sorted, and the place of each name among them."""
    every = sorted(set(names))
    place = {name: index for index, name in enumerate(every)}
    return tuple(every), np.array([place[name] for name in names])


def _vote(image: str, left: str, right: str, choice: str, assessor: str, expected: str = "") -> _Vote:
    for name, value in (("image", image), ("left", left), ("right", right), ("assessor", assessor)):
        if not value:
            raise ValueError(f"no {name}")
    if left == right:
        raise ValueError(f"{left!r} on both sides")
    wanted = _side(expected, left, right, "expected") if expected else 0
    if not wanted and expected:
        raise ValueError("a tie is expected, only left or right can be")
    return _Vote(image, left, right, _side(choice, left, right, "choice") if choice else None, assessor, wanted)


def _side(word: str, left: str, right: str, column: str) -> int:
    """The side that a word of a table means; names of versions come first."""
    by_name = {left: SIDES["left"], right: SIDES["right"]}
    if word in by_name:
        return by_name[word]
    if word.lower() not in SIDES:
        raise ValueError(f"{column} is {word!r}")
    return SIDES[word.lower()]
