"""Files over HTTP: one download at a time per file, resumed where it broke off, checked before the final name.

pooch does what it is good at (hash, temporary name, rename); the downloader that it is given is ours, because pooch's
own starts anew after every break and waits for a slow server without end. Of a broken download `<name>.part` stays
beside the target, with `<name>.part.json`, which says what it is a part of.
"""

import errno
import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from paperlib.engine.progress import progress, say
from paperlib.errors import PaperlibError
from paperlib.paths import atomic_write

POOCH_HASHES = ("sha256", "md5", "sha1")
_LENGTHS = {"sha256": 64, "md5": 32, "sha1": 40, "git-sha1": 40}
_FULL_DISK = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "files may not get larger here",
}
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
        if not self.known_hash:
            return
        kind, _, digits = self.known_hash.partition(":")
        long_enough = 8 <= len(digits) <= 64 if kind == "sha256-prefix" else len(digits) == _LENGTHS.get(kind, -1)
        if not long_enough or not re.fullmatch("[0-9a-f]+", digits):
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
        retries: further tries after one that brought less than 1 MiB.
        back_off: before the first further try; doubles.
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


def download(file: WebFile, target: Path, *, show_progress: bool = True, offline: bool = False) -> Path:
    """Have `file` under the name `target`, whole and checked; nothing is done where it is there already.

    A broken download leaves `<target>.part`, and the next call asks only for the rest. A second process that wants the
    same file waits and then finds it. A file of the wrong content under the final name stays until the right one is
    whole. Proxies and certificates come from the environment (`HTTPS_PROXY`, `NO_PROXY`, `REQUESTS_CA_BUNDLE`).

    Args:
        file: what to fetch.
        target: final name; its folder is made when missing.
        show_progress: a progress bar on stderr, where somebody watches.
        offline: do not touch the network.

    Returns:
        `target`.

    Raises:
        PaperlibError: no network, access refused, not found, wrong content, too little room; one sentence that says
            what to do. Nothing but the `.part` files has changed then.
    """
    target = Path(target)
    with speaking_of_disks(target):
        if is_right(file, target):
            return target
        refuse_offline(offline, target.name, file.url, target)
        with one_at_a_time(target.with_name(f".{target.name}.lock"), target.name):
            if not is_right(file, target):
                fetch_alone(file, target, show_progress=show_progress)
    return target


def is_right(file: WebFile, path: Path) -> bool:
    """Whether `path` exists and has the size and hash of `file`, as far as these are known."""
    if not path.is_file() or (file.size is not None and path.stat().st_size != file.size):
        return False
    return not file.known_hash or _has_hash(path, file.known_hash)


def refuse_offline(offline: bool, name: str, source: str, target: Path | None = None) -> None:
    """Where the network may not be used, say what is missing.

    Raises:
        PaperlibError: `offline` is set.
    """
    if offline:
        place = f" and put it at {target}" if target else ""
        raise PaperlibError(
            f"{name} is missing and may not be fetched while offline: go online, or get it from {source}{place}"
        )


def fetch_alone(
    file: WebFile, target: Path, *, headers: Mapping[str, str] | None = None, session: Any = None, show_progress: bool = True
) -> None:
    """Fetch, check and name `file`; the caller sees to it that nobody else fetches it to `target` at the same time.

    Args:
        file, target, show_progress: as for `download`.
        headers: sent with each request; `Authorization` does not follow a redirect to another host.
        session: a `requests.Session` that has reached the host already; None for one connection per request.

    Raises:
        PaperlibError: as for `download`.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    for last in (False, True):
        fetcher = _Fetcher(file, target, headers or {}, session, show_progress)
        try:
            known = file.known_hash
            if known.partition(":")[0] not in POOCH_HASHES:  # pooch cannot check this form: it gets the full hash
                fetcher.fill()
                known = fetcher.full_hash()
            pooch.retrieve(file.url, known, fname=target.name, path=target.parent, downloader=fetcher)
            return
        except (ValueError, _WrongContent) as error:
            fetcher.forget()
            if fetcher.resumed and not last:  # the two halves may come from different editions
                continue
            got = re.search(r"but got ([0-9a-f]+)", str(error))
            raise PaperlibError(
                f"{target.name} from {file.url} has the wrong content: expected {file.known_hash}, got "
                f"{got[1] if got else error}; it was not kept: try again, and if that fails the source has changed"
            ) from error


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


def reach(url: str, name: str, target: Path | None = None) -> None:
    """Open one connection to the host of `url`, or to its proxy, within `1.5 * PATIENCE.connect` seconds.

    Looking up a name may hang far longer than any time-out of an HTTP client, so it runs in a thread that is given up.

    Raises:
        PaperlibError: no connection.
    """
    import socket

    from requests.utils import get_environ_proxies, select_proxy

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
    if not outcome or outcome[0]:
        reason = outcome[0] if outcome else "no answer"
        raise no_connection(name, url, f"{'the proxy ' if proxy else ''}{host}: {reason}", target)


def no_connection(name: str, url: str, reason: str, target: Path | None = None) -> PaperlibError:
    """The sentence for a file that is missing while its source cannot be reached."""
    place = f" and put it at {target}" if target else ""
    return PaperlibError(
        f"{name} is missing and its source cannot be reached ({reason}): check the network and the proxy, or get "
        f"{url} another way{place}"
    )


def refusal(status: int, name: str, url: str) -> PaperlibError:
    """The sentence for an answer that a further try would not change."""
    host = urlsplit(url).hostname
    what = {
        401: f"{host} wants a login: log in there, or agree to the terms of use, and fetch it by hand",
        403: f"{host} refuses access: agree to the terms of use there, or fetch it by hand",
        404: "it is not there any more: look for its new address at the source",
        410: "it is not there any more: look for its new address at the source",
        429: f"{host} gets too many requests: wait some minutes and call again",
    }.get(status, f"{host} has a fault: call again later" if status >= 500 else "the request was refused")
    return PaperlibError(f"{name} could not be fetched from {url} (HTTP {status}): {what}")


class _WrongContent(Exception):
    """A whole file that is not the one that was asked for."""


class _Broken(Exception):
    """A try that failed and may be repeated, after `wait` seconds where the server said so."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


class _Fetcher:
    """pooch's downloader that resumes: it fills `<target>.part` and then puts it where pooch wants it."""

    def __init__(self, file: WebFile, target: Path, headers: Mapping[str, str], session: Any, show_progress: bool) -> None:
        self.file, self.target, self.headers, self.session = file, target, headers, session
        self.show_progress = show_progress
        self.part = target.with_name(f"{target.name}.part")
        self.note = target.with_name(f"{target.name}.part.json")
        self.resumed = self.received = False
        self.reached = session is not None

    def __call__(self, url: str, output_file: str, pooch: Any) -> None:
        """What pooch calls with the name of its temporary file, in the folder of the target."""
        os.unlink(output_file)  # empty; it would stay if this process were killed
        self.fill()
        os.replace(self.part, output_file)
        self.note.unlink(missing_ok=True)

    def forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def full_hash(self) -> str:
        """The SHA-256 of the whole part, after the form of hash that pooch does not know has been checked."""
        if self.file.known_hash and not _has_hash(self.part, self.file.known_hash):
            kind = self.file.known_hash.partition(":")[0]
            raise _WrongContent(f"but got {_digest(self.part, kind)}")
        return f"sha256:{_digest(self.part, 'sha256')}"

    def fill(self) -> None:
        """Try until the part is whole."""
        tries, wait = 0, PATIENCE.back_off
        while True:
            before = self._size()
            try:
                return self._attempt()
            except _Broken as broken:
                if self._size() - before >= _GOOD_PROGRESS:
                    tries, wait = 0, PATIENCE.back_off
                if tries == PATIENCE.retries:
                    raise self._given_up(broken) from broken
                tries += 1
                time.sleep(wait if broken.wait is None else broken.wait)
                wait *= 2

    def _given_up(self, broken: _Broken) -> PaperlibError:
        kept = (
            f"; {in_units(self._size())} are kept, call again to go on from there" if self._size() else "; call again later"
        )
        return PaperlibError(f"{self.target.name} could not be fetched from {self.file.url} ({broken}){kept}")

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _attempt(self) -> None:
        note = self._read_note()
        have = self._size() if self._can_resume(note) else 0
        if have and have == note.total:
            self.resumed = self.resumed or not self.received
            return
        need_room(self.target.parent, (self.file.size or 0) - have, self.target.name)
        if not self.reached:
            reach(self.file.url, self.target.name, self.target)
        with self._answer(have, note) as response:
            self.reached = True
            if response.status_code == 416:
                self.forget()
                raise _Broken("the server has less than what is here already", 0)
            if response.status_code not in (200, 206):
                self._refused(response)
            if response.status_code == 206 and _start_of(response) != have:
                self.forget()
                raise _Broken("the server sent another part than asked for", 0)
            self._receive(response, note, have if response.status_code == 206 else 0)

    def _read_note(self) -> "_Note":
        with suppress(OSError, ValueError, TypeError):
            return _Note(**json.loads(self.note.read_text(encoding="utf-8")))
        return _Note()

    def _can_resume(self, note: "_Note") -> bool:
        """What is here may be continued: of this address, and a mix of two editions would be noticed."""
        return note.url == self.file.url and bool(note.validator or self.file.known_hash)

    @contextmanager
    def _answer(self, have: int, note: "_Note") -> Iterator[Any]:
        """The answer to one request, its failures told as `_Broken` or as one sentence."""
        import requests
        import urllib3

        headers = {**self.headers, "Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if note.validator:
                headers["If-Range"] = note.validator
        try:
            with (self.session or requests).get(
                self.file.url, headers=headers, stream=True, timeout=(PATIENCE.connect, PATIENCE.silence)
            ) as response:
                yield response
        except (requests.exceptions.SSLError, requests.exceptions.ProxyError) as error:
            raise no_connection(self.target.name, self.file.url, _told(error), self.target) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = "no answer in time" if _is_timeout(error) else "the connection was lost"
            raise _Broken(reason) from error

    def _refused(self, response: Any) -> None:
        status = response.status_code
        if status not in (408, 429) and status < 500:
            raise refusal(status, self.target.name, self.file.url)
        wait = retry_after(response.headers)
        if wait is not None and wait > PATIENCE.longest_wait:
            raise PaperlibError(
                f"{self.target.name} could not be fetched from {self.file.url} (HTTP {status}): the server asks to "
                f"wait {wait:.0f} s, call again after that"
            )
        raise _Broken(f"HTTP {status}, {'too many requests' if status == 429 else 'the server has a fault'}", wait)

    def _receive(self, response: Any, note: "_Note", have: int) -> None:
        """Write the body behind the `have` bytes that are here already."""
        length = response.headers.get("Content-Length", "")
        total = have + int(length) if length.isdigit() else None
        if have and None not in (total, note.total) and total != note.total:
            self.forget()
            raise _Broken("the file has changed at its source", 0)
        if total is not None and self.file.size is not None and total != self.file.size:
            self.forget()
            raise PaperlibError(
                f"{self.target.name} from {self.file.url} is another edition: expected {self.file.size} bytes, the "
                f"source has {total}; nothing was kept: check the address"
            )
        need_room(self.target.parent, (total or have) - have, self.target.name)
        self.resumed = self.resumed or have > 0
        if not have:
            self.forget()
        self._write_note(_Note(self.file.url, _validator(response.headers), total))
        bar = progress(total=total, desc=self.target.name) if self.show_progress else None
        if bar is not None:
            bar.unit, bar.unit_scale = "B", True
            bar.update(have)
        try:
            with open(self.part, "ab", buffering=0) as out:
                for block in _blocks(response):
                    out.write(block)
                    if bar is not None:
                        bar.update(len(block))
                os.fsync(out.fileno())
        finally:
            if bar is not None:
                bar.close()
        self._write_note(_Note(self.file.url, _validator(response.headers), self._size()))
        self.received = True

    def _write_note(self, note: "_Note") -> None:
        with atomic_write(self.note, "w") as out:
            json.dump(asdict(note), out)


@dataclass(frozen=True)
class _Note:
    """What a part is a part of: address, entity tag or date that `If-Range` may carry, number of bytes of the whole."""

    url: str = ""
    validator: str = ""
    total: int | None = None


def _blocks(response: Any) -> Iterator[bytes]:
    """The body as it arrives, not decoded: an archive sent as `Content-Encoding: gzip` is that archive.

    Raises:
        _Broken: the body comes too slowly.
    """
    began, received = time.monotonic(), 0
    while block := response.raw.read1(_BLOCK, decode_content=False):
        yield block
        received += len(block)
        passed = time.monotonic() - began
        if passed >= PATIENCE.window:
            if received < PATIENCE.slowest * passed:
                raise _Broken(f"only {received / passed:.0f} bytes a second arrive")
            began, received = time.monotonic(), 0


def _validator(headers: Mapping[str, str]) -> str:
    """What `If-Range` may carry: a strong entity tag, else the date of the last change, else nothing."""
    tag = headers.get("ETag", "")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified", "")


def _start_of(response: Any) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks to wait: `Retry-After` as a number or a date, or the hub's `RateLimit`."""
    from email.utils import parsedate_to_datetime

    asked = headers.get("Retry-After", "").strip()
    if asked.isdigit():
        return float(asked)
    with suppress(ValueError, TypeError):
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    limit = re.search(r"\br=0\b.*\bt=(\d+)", headers.get("RateLimit", ""))
    return float(limit[1]) if limit else None


def _is_timeout(error: Exception) -> bool:
    import requests
    import urllib3

    return isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError) or "timed out" in str(error).lower()


def _told(error: Exception) -> str:
    """The innermost reason of a chain of exceptions, as one line."""
    text = str(error)
    found = re.search(r"(certificate verify failed|Tunnel connection failed[^'\")]*|Connection refused)", text)
    return found[1].lower() if found else type(error).__name__


def _has_hash(path: Path, known_hash: str) -> bool:
    kind, _, digits = known_hash.partition(":")
    return _digest(path, kind).startswith(digits)


def _digest(path: Path, kind: str) -> str:
    """Hexadecimal digest of a file by the kind of `WebFile.known_hash`."""
    algorithm = {"sha256-prefix": "sha256", "git-sha1": "sha1"}.get(kind, kind)
    head = f"blob {path.stat().st_size}\0".encode() if kind == "git-sha1" else b""
    with open(path, "rb") as content:
        digest = hashlib.new(algorithm, head)
        while block := content.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
