"""Files over HTTP: one download at a time per file, resumed where it broke off, checked before the final name.

requests sends, and urllib3's `Retry` asks a busy server again; what they lack is here: a body that breaks off, stalls or
comes from another edition. Of a broken download `<name>.part` stays beside the target, with `<name>.part.json`, which
says what it is a part of.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy

from paperlib.datasets.files import listing
from paperlib.engine.progress import progress, say
from paperlib.errors import PaperlibError
from paperlib.json_files import read_json
from paperlib.paths import atomic_write

_HASH = re.compile("(sha256:[0-9a-f]{64}|sha256-prefix:[0-9a-f]{8,64}|md5:[0-9a-f]{32}|(git-)?sha1:[0-9a-f]{40})?")
_FULL_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "files may not get larger here",
}
_BUSY = frozenset((408, 429, *range(500, 600)))
_BLOCK = 1 << 18


@dataclass(frozen=True)
class WebFile:
    """A file with a fixed address.

    Attributes:
        url: http or https address; redirects are followed.
        known_hash: `sha256:`, `md5:` or `sha1:` and the digits; `sha256-prefix:` and at least 8 digits where the
            official file name carries only the first ones (torch hub, pyiqa); `git-sha1:` for the object name of a git
            blob; empty only where none is published.
        size: exact number of bytes, where known.
    """

    url: str
    known_hash: str
    size: int | None = None

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme not in ("http", "https"):
            raise ValueError(f"expected an http or https address, got {self.url!r}")
        if not _HASH.fullmatch(self.known_hash):
            raise ValueError(
                f"expected a hash such as 'sha256:<64 hex digits>', 'md5:…' or 'sha256-prefix:…', got {self.known_hash!r}"
            )


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, in seconds, and how often to try again.

    Attributes:
        connect: for the address of the host and the first connection.
        silence: without a single byte.
        window, slowest: a server that sends fewer than `slowest` bytes per second over `window` seconds has stalled.
        retries: further tries of a request, and further ones after a body that broke off before 1 MiB.
        back_off: before a further try; doubles.
        longest_wait: what a server may ask for in `Retry-After`.
    """

    connect: float = 5.0
    silence: float = 10.0
    window: float = 20.0
    slowest: float = 1024.0
    retries: int = 4
    back_off: float = 0.5
    longest_wait: float = 60.0


PATIENCE = Patience()
_GOOD_PROGRESS = 1 << 20
_AT_A_TIME = 8


class WrongFile(PaperlibError):
    """The source has no such file any more, or another content: the fault of this file, others may come."""


def download(file: WebFile, target: Path, *, session: requests.Session | None = None, show_progress: bool = True) -> Path:
    """Have `file` under the name `target`, whole and checked; nothing is done where it is there already.

    A broken download leaves `<target>.part`, and the next call asks only for the rest. A second process that wants the
    same file waits and then finds it. A file of the wrong content under the final name stays until the right one is
    whole. Proxies and certificates come from the environment (`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`).

    Args:
        file: what to fetch.
        target: final name; its folder is made when missing.
        session: of `new_session`, with which the host was reached already; None for one of its own.
        show_progress: a progress bar on stderr, where somebody watches.

    Returns:
        `target`.

    Raises:
        PaperlibError: no network, access refused, not found, wrong content, too little room; one sentence that says
            what to do. Nothing but the `.part` files has changed then.
    """
    with speaking_of_disks(target):
        if is_right(file, target):
            return target
        with one_at_a_time(target.with_name(f".{target.name}.lock"), target.name):
            if not is_right(file, target):
                if session is None:
                    reach(file.url, target.name, target)
                with nullcontext(session) if session else new_session() as opened:
                    _Download(file, target, opened, show_progress).run()
    return target


def download_all(files: Mapping[Path, WebFile], session: requests.Session, folder: Path, what: str) -> None:
    """Have many files, each whole and checked; those that are there and right are not fetched again.

    Some are fetched at a time, and one that fails does not stop the others; where as many fail one after the other as are
    fetched at a time, and not for what they are, nothing works, and the rest is not tried. The caller sees to it that
    nobody else fetches into `folder`. Of a file below 1 MiB, no part is kept.

    Args:
        files: final name -> what to fetch.
        session: of `new_session`.
        folder: holds all of them; made when missing.
        what: all of them together, for people.

    Raises:
        PaperlibError: no network, too little room; or some could not be fetched: how many, which, why the first. What has
            arrived is there then.
    """
    missing = {path: file for path, file in files.items() if not is_right(file, path)}
    if not missing:
        return
    sizes = {path: file.size or 0 for path, file in missing.items()}
    need_room(folder, sum(sizes.values()), what)
    reach(next(iter(missing.values())).url, what)

    def load(path: Path) -> None:
        with speaking_of_disks(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _Download(missing[path], path, session, False, 0 < sizes[path] < _GOOD_PROGRESS).run()

    in_a_row = 0
    with ThreadPoolExecutor(_AT_A_TIME) as pool, progress(total=sum(sizes.values()), desc=what) as bar:
        bar.unit, bar.unit_scale = "B", True
        tasks = {pool.submit(load, path): path for path in missing}
        try:
            for task in as_completed(tasks):
                error = task.exception()
                if error is not None and not isinstance(error, PaperlibError):
                    raise error
                bar.update(sizes[tasks[task]])
                in_a_row = in_a_row + 1 if error and not isinstance(error, WrongFile) else 0
                if in_a_row == _AT_A_TIME:
                    break
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    failed = {path: error for task, path in tasks.items() if not task.cancelled() and (error := task.exception())}
    if failed:
        names = listing(path.relative_to(folder).as_posix() for path in failed)
        untried = sum(task.cancelled() for task in tasks)
        raise PaperlibError(
            f"{len(failed)} of {len(files)} files of {what} could not be fetched: {names}"
            f"{f', and {untried} were not tried' if untried else ''}; what has arrived is kept, the same command goes on "
            f"from there; the first fault: {next(iter(failed.values()))}"
        )


def inside(folder: Path, name: str) -> Path:
    """Where a file of a source's own list goes.

    Raises:
        PaperlibError: it would lie outside `folder`.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise PaperlibError(f"the source lists a file {name!r} that would lie outside {folder}: nothing was fetched")
    return folder.joinpath(*parts)


def is_right(file: WebFile, path: Path) -> bool:
    """Whether `path` exists and has the size and hash of `file`, as far as these are known."""
    if not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
        return False
    return has_hash(path, file.known_hash)


@contextmanager
def one_at_a_time(lock: Path, name: str) -> Iterator[None]:
    """Hold `lock` so that only one process works at `name`; a second one says that it waits, and waits."""
    from filelock import FileLock, Timeout

    lock.parent.mkdir(parents=True, exist_ok=True)
    holder = FileLock(lock)
    try:
        holder.acquire(timeout=0)
    except Timeout:
        say(f"{name}: another process is fetching it, waiting")
        holder.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        if os.name == "posix":  # filelock's waiters notice that the file has gone and start over
            lock.unlink(missing_ok=True)
        holder.release()


@contextmanager
def speaking_of_disks(place: Path) -> Iterator[None]:
    """Turn failures of the file system into one sentence.

    Raises:
        PaperlibError: for any `OSError` in the block.
    """
    try:
        yield
    except OSError as error:
        reason = _FULL_DISK.get(error.errno or 0, (error.strerror or str(error)).lower())
        what = (
            "free some room and call again, what has arrived is kept"
            if error.errno in _FULL_DISK
            else "check that the folder exists and may be written to"
        )
        raise PaperlibError(f"{place} cannot be written: {reason}; {what}") from error


def need_room(folder: Path, needed: int, what: str) -> None:
    """Check free space before anything is written.

    Raises:
        PaperlibError: fewer than `needed` bytes are free where `folder` lies or will lie.
    """
    existing = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise PaperlibError(
            f"{what} needs {in_units(needed)} in {folder}, {in_units(free)} are free: make room, or choose another "
            "folder for the data"
        )


def in_units(size: float) -> str:
    """`1536` as `1.5 KB`, in steps of 1000 as disks are sold."""
    if size < 1000:
        return f"{size:.0f} bytes"
    for unit in ("KB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"


# ---- asking a server ------------------------------------------------------------------------------------------------
def reach(url: str, name: str, target: Path | None = None) -> None:
    """Open one connection to the host of `url`, or to its proxy, within `1.5 * PATIENCE.connect` seconds.

    Looking up a name may hang far longer than any time-out of an HTTP client, so it runs in a thread that is given up.

    Raises:
        PaperlibError: no connection.
    """
    proxy = select_proxy(url, get_environ_proxies(url, no_proxy=None))
    through = urlsplit(url if not proxy else proxy if "://" in proxy else f"http://{proxy}")
    host, port = through.hostname or "", through.port or {"https": 443}.get(through.scheme, 80)
    outcome: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=PATIENCE.connect).close()
            outcome.append("")
        except (OSError, UnicodeError) as error:
            outcome.append(str(getattr(error, "strerror", None) or error).lower())

    probe = threading.Thread(target=connect, daemon=True)
    probe.start()
    probe.join(1.5 * PATIENCE.connect)
    reason = outcome[0] if outcome else "no answer"
    if reason:
        raise no_connection(name, url, f"{'the proxy ' if proxy else ''}{host}: {reason}", target)


def new_session(headers: Mapping[str, str] | None = None) -> requests.Session:
    """A session that asks a busy server again, as `PATIENCE` and the server's own `Retry-After` say.

    Args:
        headers: sent with each request; `Authorization` does not follow a redirect to another host.
    """
    session = requests.Session()
    session.headers.update({**(headers or {}), "Accept-Encoding": "identity"})
    retries = _Retry(
        total=PATIENCE.retries,
        allowed_methods=None,
        status_forcelist=_BUSY,
        backoff_factor=PATIENCE.back_off,
        raise_on_status=False,
    )
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retries))
    return session


class _Retry(urllib3.Retry):
    """urllib3's, which also knows the hub's `RateLimit`, and leaves an answer that asks for too long a wait as it is."""

    def get_retry_after(self, response: urllib3.BaseHTTPResponse) -> float | None:
        limit = re.search(r"\br=0\b.*\bt=(\d+)", response.headers.get("RateLimit", ""))
        with suppress(urllib3.exceptions.InvalidHeader):
            return float(limit[1]) if limit else super().get_retry_after(response)
        return None

    def increment(self, *args: Any, **named: Any) -> "_Retry":
        response = named.get("response")
        if response is not None and (self.get_retry_after(response) or 0) > PATIENCE.longest_wait:
            raise urllib3.exceptions.MaxRetryError(named["_pool"], "", None)
        return super().increment(*args, **named)


def ask(session: requests.Session, method: str, url: str, name: str, target: Path | None = None, **options: Any) -> Any:
    """The answer to one request, of whatever status; its body is not read yet.

    Args:
        session: of `new_session`.
        method, url, options: as `requests.Session.request` takes them.
        name: what is wanted, for people.
        target: where it will be, for people.

    Raises:
        PaperlibError: no answer.
    """
    try:
        return session.request(method, url, stream=True, timeout=(PATIENCE.connect, PATIENCE.silence), **options)
    except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
        found = re.search(r"(certificate verify failed|Tunnel connection failed[^'\")]*|Connection refused)", str(error))
        raise no_connection(name, url, found[1].lower() if found else type(error).__name__, target) from error
    except requests.RequestException as error:
        raise no_connection(name, url, _reason(error), target) from error


def _reason(error: Exception) -> str:
    is_late = isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError) or "timed out" in str(error).lower()
    return "no answer in time" if is_late else "the connection was lost"


def no_connection(name: str, url: str, reason: str, target: Path | None = None) -> PaperlibError:
    """The sentence for a file that is missing while its source cannot be reached."""
    place = f" and put it at {target}" if target else ""
    return PaperlibError(
        f"{name} is missing and its source cannot be reached ({reason}): check the network and the proxy, or get "
        f"{url} another way{place}"
    )


def refusal(response: requests.Response, name: str, url: str) -> PaperlibError:
    """The sentence for an answer that a further try would not change."""
    status, host = response.status_code, urlsplit(url).hostname
    wait = _Retry().get_retry_after(response.raw)
    if status in _BUSY and wait:
        what = f"{host} {'gets too many requests' if status == 429 else 'has a fault'} and asks to wait {wait:.0f} s"
        return PaperlibError(f"{name} could not be fetched from {url} (HTTP {status}): {what}, call again after that")
    what = {
        401: f"{host} wants a login: log in there, or agree to the terms of use, and fetch it by hand",
        403: f"{host} refuses access: agree to the terms of use there, or fetch it by hand",
        404: "it is not there any more: look for its new address at the source",
        410: "it is not there any more: look for its new address at the source",
        429: f"{host} gets too many requests: wait some minutes and call again",
    }.get(status, f"{host} has a fault: call again later" if status >= 500 else "the request was refused")
    kind = WrongFile if status in (404, 410) else PaperlibError
    return kind(f"{name} could not be fetched from {url} (HTTP {status}): {what}")


# ---- one file -------------------------------------------------------------------------------------------------------
class _Broken(Exception):
    """A body that broke off, or an answer that does not fit what is here; a further try may bring the rest."""


@dataclass(frozen=True)
class _Note:
    """What a part is a part of: address, entity tag or date that `If-Range` may carry, number of bytes of the whole."""

    url: str = ""
    validator: str = ""
    total: int | None = None


class _Download:
    """Fills `<target>.part`, checks it and gives it its name; nobody else fetches to `target` at the same time."""

    def __init__(
        self, file: WebFile, target: Path, session: requests.Session, show_progress: bool, is_small: bool = False
    ) -> None:
        self.file, self.target, self.session, self.show_progress = file, target, session, show_progress
        self.is_small = is_small  # starts over where it broke off
        self.part = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f"{target.name}.part.json")
        self.resumed = False

    def run(self) -> None:
        self.fill()
        if self.resumed and not has_hash(self.part, self.file.known_hash):
            self.forget()  # the two halves may come from different editions
            self.fill()
        if not has_hash(self.part, self.file.known_hash):
            got = _digest(self.part, self.file.known_hash.partition(":")[0])
            self.forget()
            raise WrongFile(
                f"{self.target.name} from {self.file.url} has the wrong content: expected {self.file.known_hash}, got "
                f"{got}; it was not kept: try again, and if that fails the source has changed"
            )
        os.replace(self.part, self.target)
        self.note.unlink(missing_ok=True)

    def fill(self) -> None:
        """Try until the part is whole."""
        tries, wait = 0, PATIENCE.back_off
        while True:
            before = self.size()
            try:
                return self.attempt()
            except _Broken as broken:
                if self.size() - before >= _GOOD_PROGRESS:
                    tries, wait = 0, PATIENCE.back_off
                if tries == PATIENCE.retries:
                    if self.is_small:
                        self.forget()
                    kept = f"{in_units(self.size())} are kept, call again to go on from there"
                    raise PaperlibError(
                        f"{self.target.name} could not be fetched from {self.file.url} ({broken}); "
                        f"{kept if self.size() else 'call again later'}"
                    ) from broken
                tries += 1
                time.sleep(wait)
                wait *= 2

    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def attempt(self) -> None:
        """Ask for what is lacking, once."""
        note = self.read_note()
        can_resume = note.url == self.file.url and bool(note.validator or self.file.known_hash)  # a mix would be noticed
        have = self.size() if can_resume else 0
        self.resumed = have > 0
        if have and have == note.total:
            return
        need_room(self.target.parent, (self.file.size or 0) - have, self.target.name)
        headers = {"Range": f"bytes={have}-", "If-Range": note.validator} if have else {}
        with ask(
            self.session,
            "GET",
            self.file.url,
            self.target.name,
            self.target,
            headers={name: value for name, value in headers.items() if value},
        ) as response:
            if response.status_code == 416:
                self.forget()
                raise _Broken("the server has less than what is here already")
            if response.status_code not in (200, 206):
                raise refusal(response, self.target.name, self.file.url)
            if response.status_code == 200:
                have = 0
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                self.forget()
                raise _Broken("the server sent another part than asked for")
            self.receive(response, note, have)

    def receive(self, response: requests.Response, note: _Note, have: int) -> None:
        """Write the body behind the `have` bytes that are here already."""
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        if have and None not in (total, note.total) and total != note.total:
            self.forget()
            raise _Broken("the file has changed at its source")
        if total is not None and self.file.size is not None and total != self.file.size:
            self.forget()
            raise WrongFile(
                f"{self.target.name} from {self.file.url} is another edition: expected {self.file.size} bytes, the "
                f"source has {total}; nothing was kept: check the address"
            )
        need_room(self.target.parent, (total or have) - have, self.target.name)
        if not have:
            self.forget()
        self.resumed = have > 0
        self.write_note(response, total)
        bar = progress(total=total, desc=self.target.name) if self.show_progress else None
        with nullcontext() if bar is None else bar, open(self.part, "ab", buffering=0) as out:
            if bar is not None:
                bar.unit, bar.unit_scale = "B", True
                bar.update(have)
            for block in _blocks(response):
                rest = memoryview(block)
                while rest:  # a disk that gets full takes a part first, and refuses what is asked next
                    rest = rest[out.write(rest) :]
                if bar is not None:
                    bar.update(len(block))
            if not self.is_small:
                os.fsync(out.fileno())
        self.write_note(response, self.size())

    def read_note(self) -> _Note:
        with suppress(OSError, ValueError, TypeError):
            return _Note(**read_json(self.note))
        return _Note()

    def write_note(self, response: requests.Response, total: int | None) -> None:
        if self.is_small:
            return
        tag = response.headers.get("ETag", "")
        is_strong = tag and not tag.startswith("W/")
        note = _Note(self.file.url, tag if is_strong else response.headers.get("Last-Modified", ""), total)
        with atomic_write(self.note, "w") as out:
            json.dump(asdict(note), out)


def _blocks(response: requests.Response) -> Iterator[bytes]:
    """The body as it arrives, not decoded: an archive sent as `Content-Encoding: gzip` is that archive.

    Raises:
        _Broken: the body breaks off, or comes too slowly.
    """
    began, received = time.monotonic(), 0
    while True:
        try:
            block = response.raw.read1(_BLOCK, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise _Broken(_reason(error)) from error
        if not block:
            return
        yield block
        received += len(block)
        passed = time.monotonic() - began
        if passed >= PATIENCE.window:
            if received < PATIENCE.slowest * passed:
                raise _Broken(f"only {received / passed:.0f} bytes a second arrive")
            began, received = time.monotonic(), 0


def has_hash(path: Path, known_hash: str) -> bool:
    """Whether a file has a hash of the form of `WebFile.known_hash`; so has any where it is empty."""
    kind, _, digits = known_hash.partition(":")
    return not kind or _digest(path, kind).startswith(digits)


def _digest(path: Path, kind: str) -> str:
    """Hexadecimal digest of a file by the kind of `WebFile.known_hash`."""
    algorithm = {"sha256-prefix": "sha256", "git-sha1": "sha1"}.get(kind, kind)
    head = f"blob {path.stat().st_size}\0".encode() if kind == "git-sha1" else b""
    with open(path, "rb") as content:
        digest = hashlib.new(algorithm, head)
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
