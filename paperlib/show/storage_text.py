"""What lies in the folder of results, in words."""

from collections.abc import Iterable, Sequence
from typing import Any

from paperlib.paths import results_root
from paperlib.supply.transfer import in_units
from paperlib.tasks.storage import STATES, Item


def rows(items: Iterable[Item]) -> list[dict[str, Any]]:
    """A row for all items of one place, name and state: how many, their bytes, and the seconds that they took."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for item in items:
        key = (item.place, item.name, item.state)
        row = found.setdefault(
            key, dict(zip(("place", "name", "state"), key, strict=True)) | {"count": 0, "size": 0, "seconds": 0.0}
        )
        row["count"] += 1
        row["size"] += item.size
        row["seconds"] += item.seconds
    return list(found.values())


def ls_text(items: Sequence[Item], sentences: Sequence[str]) -> str:
    """A line for each row, profile by profile, what the states mean, and what could not be said."""
    if not items:
        return f"Nothing is stored in {results_root()}.\n"
    lines = []
    for place in dict.fromkeys(item.place for item in items):
        inside = [item for item in items if item.place == place]
        lines += [f"{results_root() / place}   {in_units(sum(item.size for item in inside))}"]
        lines += [f"  {row['name']:16}{_told(row)}" for row in rows(inside)] + [""]
    present = {item.state for item in items}
    lines += [f"{state}: {meaning}" for state, meaning in STATES.items() if state in present]
    return "\n".join([*lines, *_not_said(sentences)]) + "\n"


def _told(row: dict[str, Any]) -> str:
    took = f"   computed in {_time(row['seconds'])}" if row["seconds"] else ""
    return f"{row['count']:6,} {in_units(row['size']):>10}   {row['state']}{took}"


def _not_said(sentences: Sequence[str]) -> list[str]:
    return [f"Not all plans could be made, so that what a run needs is not known of {sentence}" for sentence in sentences]


def clean_text(gone: Sequence[Item], kept: Sequence[Item], sentences: Sequence[str], dry: bool) -> str:
    """What was removed, or would be; and of what is left, all that no run needs."""
    freed = in_units(sum(item.size for item in gone))
    took = sum(item.seconds for item in gone)
    lines = [f"  {row['place'] or results_root()}: {row['name']:16}{_told(row)}" for row in rows(gone)]
    lines.append(f"{'Would free' if dry else 'Freed'} {freed}" + (f"; to compute it took {_time(took)}." if took else "."))
    for state in dict.fromkeys(item.state for item in kept):
        size = in_units(sum(item.size for item in kept if item.state == state))
        names = dict.fromkeys("/".join(filter(None, (item.place, item.name))) for item in kept if item.state == state)
        lines.append(f"Left {size}, {state} ({STATES[state]}): {', '.join(names)}")
    return "\n".join([*lines, *_not_said(sentences)]) + "\n"


def _time(seconds: float) -> str:
    for unit, length in (("hours", 3600), ("minutes", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
