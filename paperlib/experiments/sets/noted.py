"""What plans found when they opened data sets, told once: what was left out, turned, repeated or looks odd."""

from collections.abc import Sequence

from paperlib.engine.progress import say

_USUAL = ("density: ", "MOS: ")
"""Beginnings of notes that say how a set is read and would stand at every one."""

_found: dict[str, None] = {}


def note(title: str, pictures: int, notes: Sequence[str]) -> None:
    """Keep what is odd about a set, and say it on stderr where it is new."""
    odd = [f"{title}, {pictures} pictures: {one}" for one in notes if not one.startswith(_USUAL)]
    for sentence in odd:
        if sentence not in _found:
            _found[sentence] = None
            say(sentence)


def found() -> tuple[str, ...]:
    """All that was noted in this process, in order."""
    return tuple(_found)
