"""What lies in the folder of results, what of it a run would load, and what could not be made again; and its removal.

items, sentences = look(["demo"])
clean(items, REMOVED["quick"])
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from paperlib import profiles, regenerate
from paperlib.engine.store import ResultStore, Stored, delete
from paperlib.engine.units import RESERVED, Unit
from paperlib.errors import PaperlibError
from paperlib.paths import results_root, writing_to
from paperlib.tasks import sensitivity

if TYPE_CHECKING:
    from paperlib.profiles import Profile

NEEDED, QUICK, LEFT, MADE, UNSURE, YOURS = "needed", "quick", "left over", "made again", "unsure", "yours"
STATES = {
    NEEDED: "a run loads it, or the study of sensitivity; --all removes it",
    QUICK: "as needed, but large and made again in seconds; --quick removes it",
    LEFT: "of other code or settings, cut short or damaged; `store clean` removes it",
    MADE: "output of a run or a cache, made again by the next one; --all removes it",
    UNSURE: "fetched, or made of data or settings that are not at hand: maybe not to be made again; --everything removes it",
    YOURS: "made of your pictures, or not by paperlib; never removed",
}
"""What may lie there, and which option of `store clean` takes it away."""
REMOVED = {
    "": (LEFT,),
    "quick": (LEFT, QUICK),
    "all": (LEFT, QUICK, NEEDED, MADE),
    "everything": (LEFT, QUICK, NEEDED, MADE, UNSURE),
}
"""States that `store clean` removes, by its options."""

_LARGE, _BYTES_A_SECOND = 1e6, 2e6
"""A result is quick to make where it has at least so many bytes, and its making gave at least so many a second."""
_OUTPUTS = ("notebooks", "report", "figures", "custom", "scores")
_CACHES = ("contents.sqlite", "contents.sqlite-wal", "contents.sqlite-shm", "logs", "install.log")


@dataclass(frozen=True)
class Item:
    """Results of one profile under one key, or a file or folder: where it belongs, its size in bytes, its state, the seconds
    that its computation took."""

    place: str
    name: str
    state: str
    size: int
    seconds: float = 0.0
    path: Path | None = None
    stored: Stored | None = None


def look(names: Sequence[str] = ()) -> tuple[list[Item], list[str]]:
    """All that lies in the folder of results, or the results of the profiles `names`; and a sentence on each profile of
    which it cannot be said what a run needs.

    Raises:
        PaperlibError: there is no profile of that name.
    """
    root = results_root()
    chosen = [profiles.load(name) for name in names or profiles.PROFILES]
    items: list[Item] = []
    sentences: list[str] = []
    for profile in chosen:
        if profile.store_root.is_dir():
            found, reason = _of_profile(profile)
            items += found
            sentences += [f"{profile.name}: {reason}"] if reason else []
    if not names and root.is_dir():
        others = (path for path in sorted(root.iterdir()) if path.name not in profiles.PROFILES)
        items += [_thing("", path, MADE if path.name in _CACHES else YOURS) for path in others]
    return items, sentences


def _of_profile(profile: "Profile") -> tuple[list[Item], str]:
    units, reason = _planned(profile)
    keys, identities = {unit.key for unit in units}, {unit.identity for unit in units}
    certain = profile.evidence != "data"
    stored = ResultStore(profile.store_root).stored()

    def state(one: Stored) -> str:
        if one.key in keys and one.is_whole:
            is_quick = _size_of(one) >= max(_LARGE, _BYTES_A_SECOND * one.seconds) and one.folder not in RESERVED
            return QUICK if is_quick else NEEDED
        if one.identity in identities or (certain and not reason):
            return LEFT
        return MADE if certain else UNSURE

    items = [Item(profile.name, one.folder, state(one), _size_of(one), one.seconds, stored=one) for one in stored]
    known = {path for one in stored for path in one.paths}
    for folder in sorted(profile.store_root.iterdir()):
        if folder.name in _OUTPUTS:
            items.append(_thing(profile.name, folder, MADE if certain or not reason else UNSURE))
        elif folder.name == profile.home:
            items.append(_thing(profile.name, folder, MADE if certain else UNSURE))
        elif folder.name != "locks":
            strange = [folder] if not folder.is_dir() else [path for path in sorted(folder.iterdir()) if path not in known]
            items += [_thing(profile.name, path, YOURS) for path in strange]
    return items, reason


def _planned(profile: "Profile") -> tuple[list[Unit], str]:
    """The units of all present plans with what they need, and why some plan cannot be made; empty where all can."""
    wanted: dict[str, Unit] = {}
    units, reasons = regenerate.plannable(profile)
    _collect(units, wanted)
    if profile.evidence == "simulation":
        _collect(sensitivity.planned(profile), wanted)
    return list(wanted.values()), "; ".join(dict.fromkeys(reasons))


def _collect(units: Iterable[Unit], found: dict[str, Unit]) -> None:
    for unit in units:
        if unit.key not in found:
            found[unit.key] = unit
            _collect(unit.needs, found)


def _thing(place: str, path: Path, state: str) -> Item:
    return Item(place, path.name, state, _size(path), path=path)


def _size_of(one: Stored) -> int:
    return sum(map(_size, one.paths))


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(one.lstat().st_size for one in path.rglob("*") if one.is_symlink() or one.is_file())


def clean(items: Iterable[Item], states: Collection[str]) -> list[Item]:
    """Remove the items of these `states`, one by one; what some process began to compute meanwhile is left.

    Returns:
        What was removed.

    Raises:
        PaperlibError: a run is computing in one of their stores, before anything is removed; or something cannot be removed.
    """
    chosen = [item for item in items if item.state in states and item.state != YOURS]
    stores = {item.place: ResultStore(results_root() / item.place) for item in chosen if item.place}
    for name, store in stores.items():
        if store.is_in_use():
            raise PaperlibError(
                f"a run is computing in {store}, so nothing was removed; start again when it has ended, or name another "
                f"profile than {name} with --profile"
            )
    with writing_to(results_root(), "make it writable, or name another folder with --results DIR"):
        return [item for item in chosen if _removed(item, stores)]


def _removed(item: Item, stores: dict[str, ResultStore]) -> bool:
    if item.stored:
        return stores[item.place].remove(item.stored)
    if item.path:
        delete(item.path)
    return True
