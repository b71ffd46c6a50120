"""Get what is missing: pick up archives that lie in the folder, download what may be, and say how to get the rest.

Whatever arrives is checked before it has its final name (`paperlib.supply.transfer`, `hub` and `unpack` see to that). A
repository whose commit is not pinned in the catalogue is trusted at its first fetch: the commit is written to
`.paperlib/sources.json` in the data root, and asked for from then on.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from paperlib import paths
from paperlib.engine.progress import say
from paperlib.errors import PaperlibError
from paperlib.json_files import read_json
from paperlib.models.official import TIMM
from paperlib.supply import github, hub, transfer
from paperlib.supply.catalogue import DOWNLOADS, MAIN, Item, Part, Source, chosen_items
from paperlib.supply.github import GithubFiles
from paperlib.supply.hub import HubFile
from paperlib.supply.state import Found, archives_of, folder_of, look_at, missing_parts, structural_fault, target_of
from paperlib.supply.transfer import WebFile, in_units
from paperlib.supply.unpack import names, unpack

if TYPE_CHECKING:
    from paperlib.profiles import Profile

Done = Literal["there", "fetched", "picked up", "by hand", "to be trained", "unreachable", "failed"]

NOTES = Path(".paperlib", "sources.json")
"""Below the data root: name of an item -> the commit that was fetched first."""

_MOST_FILES = 200_000
_SPARE = 1_000_000_000


@dataclass(frozen=True)
class Outcome:
    """What became of an item.

    Attributes:
        found: what is there now.
        done: what was done.
        sentence: what to say; for what is to be done by hand, the steps, one per line.
    """

    found: Found
    done: Done
    sentence: str = ""


class _Unreachable(PaperlibError):
    """The host of a source cannot be reached; the message is the reason."""


@dataclass(frozen=True)
class _Call:
    """What the items of one call of `fetch` share: the folders, and the hosts that cannot be reached, with the reason."""

    profile: "Profile"
    root: Path
    unreachable: Mapping[str, str]

    def require_host(self, source: Source) -> None:
        """Ends at once where the host of `source` could not be reached.

        Raises:
            _Unreachable: why.
        """
        if reason := self.unreachable.get(urlsplit(_address(source)).netloc):
            raise _Unreachable(reason)

    def steps(self, item: Item) -> str:
        return "\n".join(instructions(item, self.profile))

    def look(self, item: Item) -> Found:
        return look_at(self.profile, [item])[0]

    def checked(self, item: Item, done: Done) -> Outcome:
        """What is there now, and whether that is what was wanted."""
        found = self.look(item)
        if found.is_there:
            say(f"{item.name}: {done}, in {found.where}")
            return Outcome(found, done)
        return Outcome(found, "failed", f"it arrived, but is {found.condition}: {found.detail}")


def fetch(profile: "Profile", names: Sequence[str] = ()) -> list[Outcome]:
    """Get the items that are not there. One that fails does not stop the others.

    Args:
        profile: names the folders.
        names: of items, files or methods; all that the profile needs when empty.

    Raises:
        PaperlibError: an unknown name, a profile that makes its own data, no data root, a folder that cannot be written
            to, or too little room for all of them.
    """
    if profile.evidence != "data":
        raise PaperlibError(
            f"profile {profile.name!r} makes its own data; fetch for the profile paper, open or own: --profile paper"
        )
    root = _data_root(profile)
    found = look_at(profile, chosen_items(profile, names))
    wanted = [one for one in found if not one.is_there]
    loads = [one for one in wanted if one.item.automatic and not one.item.is_made_here]
    _tell_sizes(wanted, loads, profile)
    call = _Call(profile, root, _unreachable_hosts([one.item for one in wanted]))
    outcomes = []
    for one in found:
        try:
            outcomes.append(Outcome(one, "there") if one.is_there else _get(one, call))
        except _Unreachable as error:
            outcomes.append(Outcome(one, "unreachable", str(error)))
        except PaperlibError as error:
            outcomes.append(Outcome(one, "failed", str(error)))
            say(f"{one.item.name}: failed, more below")
    return outcomes


def instructions(item: Item, profile: "Profile | None" = None) -> list[str]:
    """The steps by which one gets an item by hand, with the folders of a profile, or with words for them."""
    data = Path(profile.data_root) if profile else Path("DATA_ROOT")
    weights = Path(profile.weights_root) if profile else data / "weights"
    folder = folder_of(item, profile) if profile else data / item.name
    return [
        step.format(folder=folder, downloads=data / DOWNLOADS, weights=weights) if "{" in step else step
        for step in item.steps
    ]


# ---- before anything is fetched -------------------------------------------------------------------------------------
def _data_root(profile: "Profile") -> Path:
    if not profile.data_root:
        raise PaperlibError("fetching needs a folder for the data: give --data-root DIR, or set PAPERLIB_DATA_ROOT")
    root = Path(profile.data_root)
    try:
        paths.make_writable(root)
    except OSError as error:
        raise PaperlibError(
            f"cannot write to {root} ({error.strerror}); give another folder with --data-root DIR"
        ) from error
    return root


def _tell_sizes(wanted: Sequence[Found], loads: Sequence[Found], profile: "Profile") -> None:
    """Say how much will be downloaded, and see that there is room.

    Raises:
        PaperlibError: there is not.
    """
    if not wanted:
        say("everything is there, nothing to fetch")
        return
    packed = {one.item.name for one in wanted if one.item.parts and archives_of(one.item, profile)}
    down = sum(one.item.download for one in loads if one.item.name not in packed)
    say(
        f"{len(wanted)} missing: {len(loads)} may be fetched by themselves, about {in_units(down)} to download; "
        f"{len(wanted) - len(loads)} need you"
    )
    disks: dict[int, tuple[Path, int]] = {}
    for one in wanted:
        item, needed = one.item, one.item.on_disk
        if item.name not in packed:
            if one not in loads:
                continue
            if any(part.source and part.archives and not _is_folder(part.source) for part in item.parts):
                needed += item.download  # the archive lies beside its content for a while
        folder = target_of(item, profile).parent if item.kind == "weights" else Path(profile.data_root)
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        first, sum_so_far = disks.get(existing.stat().st_dev, (folder, 0))
        disks[existing.stat().st_dev] = first, sum_so_far + needed
    for folder, needed in disks.values():
        transfer.need_room(folder, needed, "what is missing")


def _unreachable_hosts(wanted: Sequence[Item]) -> dict[str, str]:
    """Hosts of the sources that cannot be reached, and why; each is tried once, all at the same time."""
    sources = [source for item in wanted for source in (item.source, *(part.source for part in item.parts)) if source]
    addresses = {urlsplit(_address(source)).netloc: _address(source) for source in sources}
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return dict.fromkeys(addresses, "HF_HUB_OFFLINE forbids to use the network")

    def reason(host: str) -> str:
        try:
            transfer.reach(addresses[host], host)
        except PaperlibError as error:
            found = re.search(r"\((.*)\): check the network", str(error))
            return found[1] if found else str(error)
        return ""

    with ThreadPoolExecutor(16, thread_name_prefix="reach") as pool:
        return dict(zip(addresses, pool.map(reason, addresses), strict=True))


def _address(source: Source) -> str:
    """Where a source is asked."""
    return source.page if isinstance(source, HubFile) else source.url


def _is_folder(source: Source) -> bool:
    """Files of a repository are meant, as they lie there."""
    return isinstance(source, GithubFiles) or (isinstance(source, HubFile) and not source.path)


# ---- one item -------------------------------------------------------------------------------------------------------
def _get(found: Found, call: _Call) -> Outcome:
    if found.item.kind == "weights":
        return _get_weights(found, call)
    with transfer.one_at_a_time(call.root / NOTES.parent / f"{found.item.name}.lock", found.item.name):
        again = call.look(found.item)
        return Outcome(again, "there") if again.is_there else _get_data(again, call)


def _get_weights(found: Found, call: _Call) -> Outcome:
    item = found.item
    if found.condition == "damaged" and found.place == "folder of weights" and item.source:
        return Outcome(found, "failed", f"{found.detail}: it lies in your own folder, which nothing here overwrites")
    if item.is_made_here:
        return Outcome(found, "to be trained", call.steps(item))
    dropped = call.root / DOWNLOADS / item.file.name if item.file else None
    if dropped is not None and dropped.is_file():
        _move(dropped, Path(call.profile.weights_root, dropped.name))
        return call.checked(item, "picked up")
    if item.source is None:
        return Outcome(found, "by hand", call.steps(item))
    call.require_host(item.source)
    say(f"{item.name}: about {in_units(item.download)} from {item.address}")
    in_cache = item.file is not None and item.file.cache == TIMM
    _load(item, item.source, None if in_cache else target_of(item, call.profile), call.root)
    return call.checked(item, "fetched")


def _load(item: Item, source: Source, target: Path | None, root: Path) -> None:
    """Fetch a file, or a folder, to `target`; None for the cache of Hugging Face."""
    if isinstance(source, WebFile):
        if target is not None:
            transfer.download(source, target)
        return
    key = item.name if isinstance(source, HubFile) else f"{item.name} on GitHub"
    pinned = replace(source, revision=_revision(key, source, root))
    if isinstance(pinned, HubFile):
        hub.fetch_file(pinned, target) if target is None or pinned.path else hub.fetch_folder(pinned, target)
    elif target is not None:
        github.fetch_files(pinned, target)
    _note(key, source, pinned.revision, root)


def _move(dropped: Path, target: Path) -> None:
    """Give a file of the downloads its place.

    Raises:
        PaperlibError: it is cut off, or of another kind.
    """
    fault = structural_fault(dropped)
    if fault:
        raise PaperlibError(f"{dropped} {fault}; delete it and get it again")
    with transfer.speaking_of_disks(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(dropped, target)
        except OSError:  # another disk
            with dropped.open("rb") as content, paths.atomic_write(target) as out:
                shutil.copyfileobj(content, out)
            dropped.unlink()


def _get_data(found: Found, call: _Call) -> Outcome:
    item, folder = found.item, folder_of(found.item, call.profile)
    absent = missing_parts(item, folder)
    if found.condition == "wrong edition" and not absent:
        return Outcome(found, "failed", f"{found.detail}\nNothing was changed. {call.steps(item)}")
    done: Done = "fetched"
    by_hand = False
    for part in absent or item.parts:
        archive = next(iter(archives_of(item, call.profile, part)), None)
        if archive is not None:
            _check_hash(archive, part, folder)
            _unpack(item, part, archive, folder)
            done = "picked up"
        elif part.source is None:
            by_hand = True
        else:
            call.require_host(part.source)
            _fetch_part(item, part, part.source, folder, call.root)
    return Outcome(call.look(item), "by hand", call.steps(item)) if by_hand else call.checked(item, done)


def _fetch_part(item: Item, part: Part, source: Source, folder: Path, root: Path) -> None:
    if _is_folder(source):
        say(f"{item.name}: about {in_units(item.download)} from {item.address}")
        _load(item, source, folder, root)
        return
    name = PurePosixPath(source.path if isinstance(source, HubFile) else urlsplit(source.url).path).name
    target = root / DOWNLOADS / name if part.archives else folder / name
    say(f"{item.name}, {part.what}: {name} from {_address(source)}")
    _load(item, source, target, root)
    if part.archives:
        _unpack(item, part, target, folder)
        target.unlink(missing_ok=True)


def _unpack(item: Item, part: Part, archive: Path, folder: Path) -> None:
    """Unpack an archive into the data set's folder."""
    say(f"{item.name}: unpacking {archive.name}")
    strip = _marked(archive, part.marks)
    unpack(archive, folder / part.into, strip=strip, max_bytes=4 * item.on_disk + _SPARE, max_files=_MOST_FILES)


def _check_hash(archive: Path, part: Part, folder: Path) -> None:
    known = dict(part.hashes)
    if isinstance(part.source, WebFile):
        known[part.source.known_hash] = part.what
    if known and not any(transfer.has_hash(archive, one) for one in known):
        expected = " or ".join(f"{one} ({what})" for one, what in known.items())
        raise PaperlibError(
            f"{archive} has another content than the archive that is known, expected {expected}: it is cut off or another "
            f"edition; get it again, or unpack it into {folder / part.into} yourself if you trust it"
        )


def _marked(archive: Path, marks: Sequence[str]) -> str:
    """The folder inside an archive that holds one of the marks; empty for the top.

    Raises:
        PaperlibError: the archive holds none of them, or cannot be read.
    """
    for name in names(archive):
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if "__MACOSX" in parts or ".." in parts:
            continue
        for place, part in enumerate(parts):
            if any(fnmatch(part, mark) for mark in marks):
                return "/".join(parts[:place])
    raise PaperlibError(f"{archive} holds none of {', '.join(marks)}: it is another archive; nothing was unpacked")


# ---- what was trusted -----------------------------------------------------------------------------------------------
def _revision(name: str, source: HubFile | GithubFiles, root: Path) -> str:
    """The commit to ask for: the pinned one, the one of the first fetch, or the present one."""
    if source.revision != MAIN:
        return source.revision
    held = trusted(root).get(name, {}).get("revision")
    return held or (hub.commit_of(source) if isinstance(source, HubFile) else github.commit_of(source))


def trusted(root: Path) -> dict[str, dict[str, str]]:
    """What `NOTES` holds: name of an item, with "on GitHub" where it came from there -> `repo` and `revision`.

    Raises:
        PaperlibError: the file cannot be read.
    """
    file = root / NOTES
    if not file.is_file():
        return {}
    try:
        held = read_json(file)
        if all(re.fullmatch("[0-9a-f]{40}", entry["revision"]) for entry in held.values()):
            return dict(held)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise PaperlibError(
        f"{file} is damaged: it should name the commit of each first fetch; restore it, or delete it to "
        "trust the sources anew"
    )


def _note(name: str, source: HubFile | GithubFiles, revision: str, root: Path) -> None:
    """Remember the commit of a first fetch."""
    if source.revision != MAIN:
        return
    file = root / NOTES
    with transfer.speaking_of_disks(file), transfer.one_at_a_time(file.with_name(".sources.lock"), file.name):
        held = trusted(root)
        if name not in held:
            held[name] = {"repo": source.repo, "revision": revision}
            with paths.atomic_write(file, "w") as out:
                json.dump(held, out, indent=2, sort_keys=True)
