"""Get what is missing: pick up archives that lie in the folder, download what may be, and say how to get the rest.

Whatever arrives is checked before it has its final name (`paperlib.supply.transfer`, `hub` and `unpack` see to that). A
repository of the hub whose commit is not pinned in the catalogue is trusted at its first fetch: the commit is written
to `.paperlib/sources.json` in the data root, and asked for from then on.
"""

import json
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from paperlib import paths
from paperlib.engine.progress import say
from paperlib.errors import PaperlibError
from paperlib.supply import hub, transfer
from paperlib.supply.catalogue import (
    DATA_SETS,
    DOWNLOADS,
    MAIN,
    WEIGHT_HOSTS,
    Archive,
    HubFolder,
    Item,
    Part,
    Source,
    chosen_items,
)
from paperlib.supply.hub import HubFile
from paperlib.supply.state import Found, archives_of, folder_of, look_at, missing_parts, structural_fault, target_of
from paperlib.supply.transfer import WebFile, in_units
from paperlib.supply.unpack import unpack

if TYPE_CHECKING:
    from paperlib.profiles import Profile

Done = Literal["there", "fetched", "picked up", "by hand", "to be trained", "unreachable", "failed"]

NOTES = Path(".paperlib", "sources.json")
"""Below the data root: name of an item -> the commit that was fetched first."""

_MOST_FILES = 200_000
_SPARE = 1_000_000_000
_ARCHIVES = (".zip", ".tgz", ".tar.gz", ".tar", ".tar.xz")


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
            f"profile {profile.name!r} makes its own data; fetch for the profile paper or own: --profile paper"
        )
    root = _data_root(profile)
    with _Hosts() as hosts:
        found = look_at(profile, chosen_items(profile, names))
        wanted = [one for one in found if not one.is_there]
        loads = [one for one in wanted if one.item.automatic and not one.item.is_made_here]
        _tell_sizes(wanted, loads, profile)
        outcomes = []
        for one in found:
            if one.is_there:
                outcomes.append(Outcome(one, "there"))
                continue
            try:
                outcomes.append(_get(one, profile, root, hosts))
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


def is_offline() -> bool:
    """Whether the user forbids the network (`HF_HUB_OFFLINE`)."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


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
    packed = {one.item.name: bool(one.item.parts and archives_of(one.item, profile)) for one in wanted}
    down = sum(one.item.download for one in loads if not packed[one.item.name])
    say(
        f"{len(wanted)} missing: {len(loads)} may be fetched by themselves, about {in_units(down)} to download; "
        f"{len(wanted) - len(loads)} need you"
    )
    room: dict[Path, int] = {}
    for one in wanted:
        item = one.item
        if item.kind == "weights" and one in loads:
            room[target_of(item, profile).parent] = room.get(target_of(item, profile).parent, 0) + item.on_disk
        elif one in loads or packed[item.name]:
            needed = item.on_disk + (item.download if not packed[item.name] and _is_packed(item) else 0)
            room[Path(profile.data_root)] = room.get(Path(profile.data_root), 0) + needed
    for needed, folders in _by_disk(room):
        transfer.need_room(folders[0], needed, "what is missing")


def _is_packed(item: Item) -> bool:
    """What is downloaded is an archive, which needs room beside its content for a while."""
    return any(part.source and part.archives and not isinstance(part.source, HubFolder) for part in item.parts)


def _by_disk(room: dict[Path, int]) -> Iterator[tuple[int, list[Path]]]:
    disks: dict[int, list[Path]] = {}
    for folder in room:
        existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        disks.setdefault(existing.stat().st_dev, []).append(folder)
    for folders in disks.values():
        yield sum(room[folder] for folder in folders), folders


class _Hosts:
    """Which sources can be reached: each host is tried once, all at the same time, while other work goes on."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(16, thread_name_prefix="reach")
        self.tried: dict[str, Future[None]] = {}

    def __enter__(self) -> "_Hosts":
        if not is_offline():
            for address in _addresses():
                self._try(address)
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)

    def _try(self, address: str) -> "Future[None]":
        host = urlsplit(address).netloc
        if host not in self.tried:
            self.tried[host] = self.pool.submit(transfer.reach, address, host)
        return self.tried[host]

    def require(self, address: str) -> None:
        """Ends at once where the host of `address` could not be reached.

        Raises:
            _Unreachable: why.
        """
        if is_offline():
            raise _Unreachable("HF_HUB_OFFLINE forbids to use the network")
        try:
            self._try(address).result()
        except PaperlibError as error:
            raise _Unreachable(_reason(error)) from error


class _Unreachable(PaperlibError):
    """The host of a source cannot be reached; the message is the reason."""


def _reason(error: PaperlibError) -> str:
    found = re.search(r"\((.*)\): check the network", str(error))
    return found[1] if found else str(error)


def _addresses() -> Iterator[str]:
    """One address of every host from which something is fetched, without the work of listing the weights."""
    for item in DATA_SETS:
        yield from (_address(part.source) for part in item.parts if part.source)
    yield from WEIGHT_HOSTS


def _address(source: Source) -> str:
    """Where a source is asked."""
    if isinstance(source, WebFile):
        return source.url
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if source.repo_type == 'dataset' else ''}{source.repo}"


# ---- one item -------------------------------------------------------------------------------------------------------
def _get(found: Found, profile: "Profile", root: Path, hosts: _Hosts) -> Outcome:
    if found.item.kind == "weights":
        return _get_weights(found, profile, root, hosts)
    with transfer.one_at_a_time(root / NOTES.parent / f"{found.item.name}.lock", found.item.name):
        again = look_at(profile, [found.item])[0]
        return Outcome(again, "there") if again.is_there else _get_data(again, profile, root, hosts)


def _get_weights(found: Found, profile: "Profile", root: Path, hosts: _Hosts) -> Outcome:
    item = found.item
    if found.condition == "damaged" and found.place == "folder of weights" and item.source:
        return Outcome(found, "failed", f"{found.detail}: it lies in your own folder, which nothing here overwrites")
    if item.is_made_here:
        return Outcome(found, "to be trained", "\n".join(instructions(item, profile)))
    dropped = _dropped(item, root)
    if dropped is not None:
        target = Path(profile.weights_root, dropped.name)
        _move(dropped, target)
        return _checked(item, profile, "picked up")
    if item.source is None:
        return Outcome(found, "by hand", "\n".join(instructions(item, profile)))
    hosts.require(_address(item.source))
    say(f"{item.name}: about {in_units(item.download)} from {item.address}")
    target = target_of(item, profile)
    if isinstance(item.source, WebFile):
        transfer.download(item.source, target)
    else:
        source = replace(item.source, revision=_revision(item.name, item.source, root))
        from paperlib.models.official import TIMM

        in_cache = item.file is not None and item.file.cache == TIMM
        hub.fetch_file(source, None if in_cache else target)
        _note(item.name, item.source, source.revision, root)
    return _checked(item, profile, "fetched")


def _dropped(item: Item, root: Path) -> Path | None:
    """A file of weights that lies among the downloads under its official name."""
    path = root / DOWNLOADS / item.file.name if item.file else None
    return path if path is not None and path.is_file() else None


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
                while block := content.read(1 << 20):
                    out.write(block)
            dropped.unlink()


def _get_data(found: Found, profile: "Profile", root: Path, hosts: _Hosts) -> Outcome:
    item, folder = found.item, folder_of(found.item, profile)
    absent = missing_parts(item, folder)
    if found.condition == "wrong edition" and not absent:
        steps = "\n".join(instructions(item, profile))
        return Outcome(found, "failed", f"{found.detail}\nNothing was changed. {steps}")
    absent = absent or list(item.parts)
    done: Done = "fetched"
    by_hand = []
    for part in absent:
        archive = _packed(part, archives_of(item, profile))
        if archive is not None:
            path, kind = archive
            _unpack(item, path, kind, folder, downloaded=False)
            done = "picked up"
        elif part.source is None:
            by_hand.append(part.what)
        else:
            hosts.require(_address(part.source))
            _fetch_part(item, part, part.source, folder, root)
    if by_hand:
        steps = "\n".join(instructions(item, profile))
        return Outcome(look_at(profile, [item])[0], "by hand", steps)
    return _checked(item, profile, done)


def _checked(item: Item, profile: "Profile", done: Done) -> Outcome:
    """What is there now, and whether that is what was wanted."""
    found = look_at(profile, [item])[0]
    if found.is_there:
        say(f"{item.name}: {done}, in {found.where}")
        return Outcome(found, done)
    return Outcome(found, "failed", f"it arrived, but is {found.condition}: {found.detail}")


def _packed(part: Part, archives: Sequence[Path]) -> tuple[Path, Archive] | None:
    """The first archive that holds a part, and what is known of it."""
    return next(
        (
            (path, kind)
            for kind in part.archives
            for path in archives
            if any(fnmatch(path.name.casefold(), name.casefold()) for name in kind.names)
        ),
        None,
    )


def _fetch_part(item: Item, part: Part, source: Source, folder: Path, root: Path) -> None:
    if isinstance(source, HubFolder):
        revision = _revision(item.name, source, root)
        say(f"{item.name}: about {in_units(item.download)} from {item.address}")
        hub.fetch_folder(source.repo, folder, repo_type=source.repo_type, revision=revision, patterns=source.patterns)
        _note(item.name, source, revision, root)
        return
    name = PurePosixPath(source.path if isinstance(source, HubFile) else urlsplit(source.url).path).name
    is_archive = name.lower().endswith(_ARCHIVES)
    target = root / DOWNLOADS / name if is_archive else folder / name
    say(f"{item.name}, {part.what}: {name} from {_address(source)}")
    if isinstance(source, HubFile):
        pinned = replace(source, revision=_revision(item.name, source, root))
        hub.fetch_file(pinned, target)
        _note(item.name, source, pinned.revision, root)
    else:
        transfer.download(source, target)
    if is_archive:
        packed = _packed(part, [target])
        if packed is None:
            raise ValueError(f"{item.name}: no archive of {part.what} is called {name}; expected {part.archives}")
        _unpack(item, target, replace(packed[1], hashes=()), folder, downloaded=True)


def _unpack(item: Item, path: Path, kind: Archive, folder: Path, *, downloaded: bool) -> None:
    """Unpack an archive into the data set's folder; one that was downloaded here is removed afterwards."""
    _check_hash(path, kind, folder)
    say(f"{item.name}: unpacking {path.name}")
    into = folder / kind.into
    with transfer.speaking_of_disks(into):
        into.parent.mkdir(parents=True, exist_ok=True)
    unpack(path, into, strip=_marked(path, kind.marks), max_bytes=4 * item.on_disk + _SPARE, max_files=_MOST_FILES)
    if downloaded:
        path.unlink(missing_ok=True)


def _check_hash(path: Path, kind: Archive, folder: Path) -> None:
    if kind.hashes and not any(
        transfer.is_right(WebFile("https://unused.invalid/", known), path) for known, _ in kind.hashes
    ):
        expected = " or ".join(f"{known} ({what})" for known, what in kind.hashes)
        raise PaperlibError(
            f"{path} has another content than the archive that is known, expected {expected}: it is cut off or another "
            f"edition; get it again, or unpack it into {folder / kind.into} yourself if you trust it"
        )


def _marked(archive: Path, marks: Sequence[str]) -> str:
    """The folder inside an archive that holds one of the marks; empty for the top.

    Raises:
        PaperlibError: the archive holds none of them, or cannot be read.
    """
    for name in _names(archive):
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if "__MACOSX" in parts or ".." in parts:
            continue
        for place, part in enumerate(parts):
            if any(fnmatch(part, mark) for mark in marks):
                return "/".join(parts[:place])
    raise PaperlibError(f"{archive} holds none of {', '.join(marks)}: it is another archive; nothing was unpacked")


def _names(archive: Path) -> Iterator[str]:
    """Names in an archive, as far as somebody asks for them."""
    try:
        if archive.suffix.lower() == ".zip":
            with zipfile.ZipFile(archive) as opened:
                yield from opened.namelist()
        else:
            with tarfile.open(archive, "r|*") as stream:
                yield from (entry.name for entry in stream)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise PaperlibError(f"{archive} is damaged or cut off ({error}): delete it and get it again") from error


# ---- what was trusted -----------------------------------------------------------------------------------------------
def _revision(name: str, source: HubFile | HubFolder, root: Path) -> str:
    """The commit to ask for: the pinned one, the one of the first fetch, or the present one."""
    if source.revision != MAIN:
        return source.revision
    return trusted(root).get(name, {}).get("revision") or hub.resolved_revision(source.repo, repo_type=source.repo_type)


def trusted(root: Path) -> dict[str, dict[str, str]]:
    """What `NOTES` holds: name of an item -> `repo` and `revision`.

    Raises:
        PaperlibError: the file cannot be read.
    """
    file = root / NOTES
    if not file.is_file():
        return {}
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        if all(re.fullmatch("[0-9a-f]{40}", entry["revision"]) for entry in held.values()):
            return dict(held)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise PaperlibError(
        f"{file} is damaged: it should name the commit of each first fetch; restore it, or delete it to "
        "trust the sources anew"
    )


def _note(name: str, source: HubFile | HubFolder, revision: str, root: Path) -> None:
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
