"""What files hold, as digests: every file is read whole, and those that were read before are remembered.

    with remembering(folder):            # in folder/contents.sqlite
        digests([picture, map])          # ["3f6c…", "9a01…"], 16 hexadecimal digits each

A remembered file is read again when its size, its times or its inode changed. Where nothing can be remembered, all are read.
"""

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from paperlib.datasets.files import UnusableFile
from paperlib.json_files import parse_json

_READERS = 4
_AT_ONCE = 500
_RACY = 2.0
"""Seconds: a file that young may change again without a visible trace, so its digest is not remembered."""

_Stamp = tuple[int, int, int, int]
_place: ContextVar[Path | None] = ContextVar("place", default=None)


@contextmanager
def remembering(folder: Path) -> Iterator[None]:
    """Remember digests in `folder` until the block ends."""
    token = _place.set(folder / "contents.sqlite")
    try:
        yield
    finally:
        _place.reset(token)


def digests(files: Iterable[Path]) -> list[str]:
    """The digest (SHA-256, shortened) of each file's whole content.

    Raises:
        UnusableFile: a file that is gone or cannot be read.
    """
    wanted = [Path(file) for file in files]
    stamps = {file: _stamp(file) for file in dict.fromkeys(wanted)}
    known = _remembered(stamps)
    unknown = [file for file in stamps if file not in known]
    with ThreadPoolExecutor(_READERS) as pool:
        found = dict(zip(unknown, pool.map(_read, unknown), strict=True))
    _remember({file: (stamps[file], digest) for file, digest in found.items()})
    known |= found
    return [known[file] for file in wanted]


def made_of(name: str, learn: Callable[[], Sequence[Path]]) -> list[Path]:
    """The files that `learn` finds; it is asked again where one of those remembered under `name` has changed.

    Raises:
        UnusableFile: a file that cannot be read. Also what `learn` raises.
    """
    place = _place.get()
    if place is not None and place.is_file():
        with suppress(sqlite3.Error, UnusableFile, ValueError), closing(sqlite3.connect(place)) as memory:
            for held, listed in memory.execute("SELECT digest, files FROM lists WHERE name = ?", (name,)):
                files = [Path(file) for file in parse_json(listed)]
                if " ".join(digests(files)) == held:
                    return files
    files = list(learn())
    _write(
        "CREATE TABLE IF NOT EXISTS lists (name TEXT PRIMARY KEY, digest TEXT, files TEXT)",
        "INSERT OR REPLACE INTO lists VALUES (?, ?, ?)",
        [(name, " ".join(digests(files)), json.dumps([str(file) for file in files]))],
    )
    return files


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError as error:
        raise UnusableFile(file, f"cannot be read ({error.strerror})") from error
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:
        raise UnusableFile(file, f"cannot be read ({error.strerror})") from error


def _remembered(stamps: Mapping[Path, _Stamp]) -> dict[Path, str]:
    place = _place.get()
    if place is None or not place.is_file():
        return {}
    with suppress(sqlite3.Error), closing(sqlite3.connect(place)) as memory:
        names = {str(file.absolute()): file for file in stamps}
        found, listed = {}, list(names)
        for some in (listed[start : start + _AT_ONCE] for start in range(0, len(listed), _AT_ONCE)):
            marks = ", ".join("?" * len(some))
            for name, digest, *stamp in memory.execute(f"SELECT * FROM contents WHERE file IN ({marks})", some):
                if tuple(stamp) == stamps[names[name]]:
                    found[names[name]] = digest
        return found
    return {}


def _remember(found: Mapping[Path, tuple[_Stamp, str]]) -> None:
    now = time.time_ns()
    rows = [
        (str(file.absolute()), digest, *stamp)
        for file, (stamp, digest) in found.items()
        if now - max(stamp[1], stamp[2]) > _RACY * 1e9
    ]
    _write(
        "CREATE TABLE IF NOT EXISTS contents "
        "(file TEXT PRIMARY KEY, digest TEXT, size INTEGER, modified INTEGER, changed INTEGER, inode INTEGER)",
        "INSERT OR REPLACE INTO contents VALUES (?, ?, ?, ?, ?, ?)",
        rows,
    )


def _write(table: str, row: str, rows: Sequence[tuple[Any, ...]]) -> None:
    place = _place.get()
    if place is None or not rows:
        return
    with suppress(sqlite3.Error, OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(place)) as memory, memory:
            memory.execute(table)
            memory.executemany(row, rows)
