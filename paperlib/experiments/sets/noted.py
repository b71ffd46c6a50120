"""What plans found when they opened data sets, told once: what was left out, turned, repeated or looks odd."""

from collections.abc import Sequence
from pathlib import Path

from paperlib.engine.progress import say

_USUAL = ("density: ", "MOS: ")
"""Beginnings of notes that say how a set is read and would stand at every one."""

_found: dict[tuple[Path, str], None] = {}


def note(place: Path, what: str, pictures: int, notes: Sequence[str]) -> None:
    """Keep what is odd about a set that lies in `place`, and say it on stderr where it is new."""
    for one in notes:
        sentence = f"{what}, {pictures} pictures: {one}"
        if not one.startswith(_USUAL) and (place, sentence) not in _found:
            _found[place, sentence] = None
            say(sentence)


def found(root: str) -> tuple[str, ...]:
    """All that was noted in this process about sets in a folder of data and below it, in order; nothing without a folder."""
    return tuple(sentence for place, sentence in _found if root and place.is_relative_to(root))
