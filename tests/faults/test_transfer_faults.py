"""Downloads from a server that misbehaves: the right file, or one clear sentence, with the earlier file untouched."""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import namedtuple
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from paperlib.errors import PaperlibError
from paperlib.supply import transfer
from paperlib.supply.transfer import Patience, WebFile, download, speaking_of_disks
from tests.loopback import Loopback, black_hole, closed_port, running, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = Patience(connect=0.6, silence=0.4, window=0.3, slowest=20_000.0, retries=3, back_off=0.02, longest_wait=1.0)
CONTENT = bytes(hashlib.shake_256(b"weights").digest(300_000))
SHA256 = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
GIT = "git-sha1:" + hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
EARLIER = b"an earlier edition"


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "PATIENCE", SHORT)


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as one:
        yield one


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "data" / "weights.pth"


def wanted(server: Loopback, known_hash: str = SHA256, size: int | None = len(CONTENT)) -> WebFile:
    return WebFile(f"{server.url}/weights.pth", known_hash, size)


def refused(file: WebFile, target: Path, **options: Any) -> str:
    """The one sentence in which a download ends."""
    with pytest.raises(PaperlibError) as caught:
        download(file, target, **options)
    message = str(caught.value)
    assert "\n" not in message and 40 < len(message) < 500 and target.name in message
    return message


def in_another_process(file: WebFile, target: Path) -> "subprocess.Popen[str]":
    code = (
        "from pathlib import Path\nfrom paperlib.supply.transfer import WebFile, download\n"
        f"download(WebFile({file.url!r}, {file.known_hash!r}, {file.size!r}), Path({str(target)!r}))"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)


def left(target: Path) -> list[str]:
    """What lies beside the target, without the part and its note."""
    kept = {f"{target.name}.part", f"{target.name}.part.json"}
    return sorted(path.name for path in target.parent.iterdir() if path.name not in kept)


# ---- the good case --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "known_hash",
    [
        SHA256,
        "md5:" + hashlib.md5(CONTENT).hexdigest(),
        "sha1:" + hashlib.sha1(CONTENT).hexdigest(),
        "sha256-prefix:" + SHA256[7:15],
        GIT,
        "",
    ],
    ids=["sha256", "md5", "sha1", "prefix", "git", "none"],
)
def test_a_file_arrives_once(server: Loopback, target: Path, known_hash: str) -> None:
    server.serve("/weights.pth", CONTENT)
    assert download(wanted(server, known_hash), target) == target
    assert target.read_bytes() == CONTENT
    assert os.listdir(target.parent) == [target.name]
    assert target.stat().st_mode & 0o444 == 0o444
    download(wanted(server, known_hash), target)
    assert len(server.gets()) == 1


@pytest.mark.parametrize(
    ("known_hash", "size"), [(SHA256, None), ("sha256-prefix:" + SHA256[7:15], None), (GIT, None), ("", len(CONTENT))]
)
def test_another_file_of_that_name_is_replaced(server: Loopback, target: Path, known_hash: str, size: int | None) -> None:
    server.serve("/weights.pth", CONTENT)
    target.parent.mkdir()
    target.write_bytes(EARLIER)
    download(wanted(server, known_hash, size), target)
    assert target.read_bytes() == CONTENT


def test_redirects_are_followed(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", b"", redirect="/elsewhere")
    server.serve("/elsewhere", b"", redirect=f"http://localhost:{server.port}/at/last")
    server.serve("/at/last", CONTENT)
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT


def test_body_without_length_and_with_encoding_is_kept_as_it_is(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, chunked=True, headers={"Content-Encoding": "x-gzip"})
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "known_hash", "words"),
    [
        ("https://example.org/a", "sha256:abc", "expected a hash"),
        ("https://example.org/a", "crc32:12345678", "expected a hash"),
        ("https://example.org/a", "sha256-prefix:1234567", "expected a hash"),
        ("https://example.org/a", "sha256:" + "g" * 64, "expected a hash"),
        ("file:" + "///etc/passwd", "", "http or https"),
    ],
)
def test_addresses_and_forms_of_hashes_are_checked(url: str, known_hash: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        WebFile(url, known_hash)


# ---- broken connections ---------------------------------------------------------------------------------------------
def test_dropped_connection_is_resumed(server: Loopback, target: Path) -> None:
    page = server.serve("/weights.pth", CONTENT, cuts=[100_000, 50_000])
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT
    first, second, third = server.gets()
    assert "Range" not in first.headers
    assert second.headers["Range"] == "bytes=100000-" and second.headers["If-Range"] == page.tag
    assert third.headers["Range"] == "bytes=150000-" and third.status == 206
    assert first.sent + second.sent + third.sent == len(CONTENT)


def test_dropped_for_good_keeps_the_part_for_the_next_call(server: Loopback, target: Path) -> None:
    page = server.serve("/weights.pth", CONTENT, cuts=[70_000, 0, 0, 0])
    target.parent.mkdir()
    target.write_bytes(EARLIER)
    assert "70.0 KB are kept" in refused(wanted(server), target)
    assert len(server.gets()) == 1 + SHORT.retries
    assert target.read_bytes() == EARLIER and left(target) == [target.name]
    server.seen.clear()
    page.cuts = []
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT
    assert [one.headers["Range"] for one in server.gets()] == ["bytes=70000-"]
    assert os.listdir(target.parent) == [target.name]


def test_good_progress_starts_the_count_of_tries_anew(
    server: Loopback, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "_GOOD_PROGRESS", 20_000)
    server.serve("/weights.pth", CONTENT, cuts=[30_000] * 9)
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT and len(server.gets()) > 1 + SHORT.retries


def test_changed_file_starts_anew(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", b"x" * 200_000, cuts=[90_000, 0, 0, 0])
    refused(wanted(server, "", None), target)
    server.serve("/weights.pth", CONTENT)
    server.seen.clear()
    download(wanted(server), target)
    (only,) = server.gets()
    assert only.headers["Range"] == "bytes=90000-" and only.status == 200
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(("before", "known_hash", "size"), [(len(CONTENT), SHA256, len(CONTENT)), (400_000, "", None)])
def test_changed_file_of_a_server_that_ignores_if_range(
    server: Loopback, target: Path, before: int, known_hash: str, size: int | None
) -> None:
    """That two editions were mixed is betrayed by the hash, and then a second try is whole, or by another length."""
    server.serve("/weights.pth", b"x" * before, tag='"same"', cuts=[90_000, 0, 0, 0])
    refused(wanted(server, "", None), target)
    server.serve("/weights.pth", CONTENT, tag='"same"')
    download(wanted(server, known_hash, size), target)
    assert target.read_bytes() == CONTENT
    assert [one.headers.get("Range") for one in server.gets()[-2:]] == ["bytes=90000-", None]


def test_date_serves_where_the_tag_is_weak(server: Loopback, target: Path) -> None:
    date = formatdate(0, usegmt=True)
    server.serve("/weights.pth", CONTENT, tag='W/"weak"', date=date, cuts=[1000])
    download(wanted(server), target)
    assert server.gets()[1].headers["If-Range"] == date
    assert target.read_bytes() == CONTENT


def test_without_tag_date_and_hash_a_part_is_not_trusted(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, tag="", cuts=[1000])
    download(wanted(server, "", None), target)
    assert "Range" not in server.gets()[1].headers
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "note",
    ["", "{", "[" * 100_000, "[]", '{"a": 1}', "null", json.dumps({"url": "http://a", "validator": '"a"', "total": 9})],
)
def test_a_part_of_something_else_is_not_used(server: Loopback, target: Path, note: str) -> None:
    server.serve("/weights.pth", CONTENT)
    target.parent.mkdir()
    target.with_name("weights.pth.part").write_bytes(b"x" * 1000)
    target.with_name("weights.pth.part.json").write_text(note)
    download(wanted(server), target)
    assert "Range" not in server.gets()[0].headers and target.read_bytes() == CONTENT


@pytest.mark.parametrize("manners", [{"ranges": False}, {"lies": True}], ids=["ignores Range", "sends another part"])
def test_server_without_ranges_starts_anew(server: Loopback, target: Path, manners: dict[str, bool]) -> None:
    server.serve("/weights.pth", CONTENT, cuts=[100_000], **manners)
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT


def test_another_part_is_noticed_without_length_and_hash(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, cuts=[131_072], lies=True, chunked=True)
    download(wanted(server, "", None), target)
    assert target.read_bytes() == CONTENT
    assert [one.status for one in server.gets()] == [200, 206, 200]


def test_part_longer_than_the_file(server: Loopback, target: Path) -> None:
    page = server.serve("/weights.pth", CONTENT, cuts=[100_000, 0, 0, 0])
    refused(wanted(server), target)
    with open(target.with_name("weights.pth.part"), "ab") as part:
        part.write(b"x" * 500_000)
    page.cuts = []
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_then_resumed(server: Loopback, target: Path, end: signal.Signals) -> None:
    page = server.serve("/weights.pth", CONTENT, drip=(10_000, 0.05))
    other = in_another_process(wanted(server), target)
    part = target.with_name("weights.pth.part")
    wait_until(lambda: part.exists() and part.stat().st_size > 50_000)
    other.send_signal(end)
    other.communicate()
    had = part.stat().st_size
    assert not target.exists() and had < len(CONTENT)
    page.drip = None
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT
    assert server.gets()[-1].headers["Range"] == f"bytes={had}-" and server.gets()[-1].sent == len(CONTENT) - had
    assert os.listdir(target.parent) == [target.name]


def test_two_processes_fetch_once(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, drip=(30_000, 0.06))
    both = [in_another_process(wanted(server), target) for _ in range(2)]
    said = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert target.read_bytes() == CONTENT and len(server.gets()) == 1
    assert sum("another process is fetching it, waiting" in text for text in said) == 1
    assert os.listdir(target.parent) == [target.name]


def test_whole_part_of_another_edition_starts_anew(server: Loopback, target: Path) -> None:
    """As after a kill between the last byte and the check."""
    page = server.serve("/weights.pth", CONTENT)
    target.parent.mkdir()
    target.with_name("weights.pth.part").write_bytes(b"x" * len(CONTENT))
    note = {"url": wanted(server).url, "validator": page.tag, "total": len(CONTENT)}
    for known_hash in (SHA256, GIT):
        target.unlink(missing_ok=True)
        target.with_name("weights.pth.part").write_bytes(b"x" * len(CONTENT))
        target.with_name("weights.pth.part.json").write_text(json.dumps(note))
        download(wanted(server, known_hash), target)
        assert target.read_bytes() == CONTENT and "Range" not in server.gets()[-1].headers


# ---- slow and silent servers ----------------------------------------------------------------------------------------
def test_slow_drip_ends_in_a_sentence(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, drip=(10, 0.02))
    began = time.monotonic()
    message = refused(wanted(server), target)
    assert "bytes a second arrive" in message and "kept" in message
    assert time.monotonic() - began < 6


def test_slow_but_steady_is_patiently_read(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, drip=(20_000, 0.05))
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT and len(server.gets()) == 1


def test_silence_in_the_middle_is_resumed(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, drip=(100_000, 1.5))
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT
    assert [one.headers.get("Range") for one in server.gets()] == [None, "bytes=100000-", "bytes=200000-"]


def test_server_that_accepts_and_never_answers(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, pause=30)
    began = time.monotonic()
    assert "no answer in time" in refused(wanted(server), target)
    assert time.monotonic() - began < 5


# ---- no network -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("nowhere", "words"), [(closed_port, "connection refused"), (black_hole, "cannot be reached")])
def test_nobody_answers(target: Path, nowhere: Callable[[], Any], words: str) -> None:
    with nowhere() as url:
        began = time.monotonic()
        message = refused(WebFile(f"{url}/weights.pth", SHA256), target)
    assert "is missing and its source cannot be reached" in message and words in message
    assert url in message and str(target) in message and time.monotonic() - began < 3


def test_default_patience_ends_within_ten_seconds() -> None:
    assert 1.5 * Patience().connect < 10


def test_name_look_up_that_hangs(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def hangs(*args: Any, **named: Any) -> None:
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hangs)
    began = time.monotonic()
    assert "no answer" in refused(WebFile("http://example.invalid/weights.pth", SHA256), target)
    assert time.monotonic() - began < 2
    over.set()


def test_unknown_host(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **named: Any) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert "name or service not known" in refused(WebFile("http://example.invalid/weights.pth", SHA256), target)


def test_proxy_of_the_environment_is_used(server: Loopback, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.serve("/weights.pth", CONTENT)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    download(WebFile("http://example.invalid/weights.pth", SHA256), target)
    assert target.read_bytes() == CONTENT
    with closed_port() as url:
        monkeypatch.setenv("http_proxy", url)
        assert "the proxy 127.0.0.1" in refused(WebFile("http://example.invalid/w", SHA256), target.with_name("w"))


# ---- refusals -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "log in"), (403, "terms of use"), (404, "not there any more"), (410, "any more"), (400, "refused")],
)
def test_refusals_are_not_repeated(server: Loopback, target: Path, status: int, words: str) -> None:
    server.serve("/weights.pth", CONTENT, always=(status, {}))
    target.parent.mkdir()
    target.write_bytes(EARLIER)
    message = refused(wanted(server), target)
    assert f"HTTP {status}" in message and words in message
    assert len(server.gets()) == 1 and target.read_bytes() == EARLIER


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_busy_servers_are_asked_again(server: Loopback, target: Path, status: int) -> None:
    server.serve("/weights.pth", CONTENT, statuses=[(status, {}), (status, {"Retry-After": "0"})])
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT and len(server.gets()) == 3


@pytest.mark.parametrize("status", [429, 500])
def test_busy_for_good(server: Loopback, target: Path, status: int) -> None:
    server.serve("/weights.pth", CONTENT, always=(status, {}))
    assert f"HTTP {status}" in refused(wanted(server), target)
    assert len(server.gets()) == 1 + SHORT.retries


def test_retry_after_is_kept(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT, statuses=[(429, {"Retry-After": "1"})])
    began = time.monotonic()
    download(wanted(server), target)
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "3600"},
        {"Retry-After": formatdate(time.time() + 3600, usegmt=True)},
        {"RateLimit": '"resolvers";r=0;t=240'},
    ],
)
def test_long_wait_is_told_and_not_waited(server: Loopback, target: Path, headers: dict[str, str]) -> None:
    server.serve("/weights.pth", CONTENT, always=(429, headers))
    assert "asks to wait" in refused(wanted(server), target)
    assert len(server.gets()) == 1


# ---- wrong content --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "known_hash", [SHA256, "md5:" + hashlib.md5(CONTENT).hexdigest(), GIT, "sha256-prefix:" + SHA256[7:15]]
)
def test_wrong_content_is_not_kept(server: Loopback, target: Path, known_hash: str) -> None:
    other = CONTENT[:-1] + b"x"
    server.serve("/weights.pth", other)
    target.parent.mkdir()
    target.write_bytes(EARLIER)
    message = refused(wanted(server, known_hash), target)
    kind = known_hash.partition(":")[0].replace("git-", "").replace("-prefix", "")
    digested = b"blob %d\0" % len(other) + other if known_hash == GIT else other
    assert known_hash in message and hashlib.new(kind, digested).hexdigest() in message
    assert target.read_bytes() == EARLIER and os.listdir(target.parent) == [target.name]
    assert len(server.gets()) == 1


def test_other_edition_is_told_by_its_size_before_it_is_fetched(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT + b"more")
    message = refused(wanted(server), target)
    assert "another edition" in message and "300000" in message and "300004" in message
    assert not target.exists()


def test_page_of_a_login_instead_of_the_file(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", b"<html>please log in</html>")
    assert "another edition" in refused(wanted(server), target)
    assert "wrong content" in refused(wanted(server, SHA256, None), target)


# ---- disks ----------------------------------------------------------------------------------------------------------
def leave_room(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9 - free, free))


def test_too_little_room_is_told_before_anything_is_fetched(
    server: Loopback, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/weights.pth", CONTENT)
    leave_room(monkeypatch, 200_000)
    message = refused(wanted(server), target)
    assert "needs 300.0 KB" in message and "200.0 KB are free" in message and not server.seen
    assert "needs 300.0 KB" in refused(wanted(server, SHA256, None), target)
    assert not target.with_name("weights.pth.part").exists()


def test_what_is_here_already_needs_no_room(server: Loopback, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = server.serve("/weights.pth", CONTENT, cuts=[150_000, 0, 0, 0])
    refused(wanted(server), target)
    page.cuts = []
    leave_room(monkeypatch, 200_000)
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT


def test_full_disk_in_the_middle(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=200k", "none", str(small)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a tmpfs")
    try:
        target = small / "weights.pth"
        target.write_bytes(EARLIER)
        server.serve("/weights.pth", CONTENT)
        assert "are free" in refused(wanted(server), target)
        monkeypatch.setattr(transfer, "need_room", lambda *args: None)
        assert "the disk is full" in refused(wanted(server), target)
        assert target.read_bytes() == EARLIER and left(target) == [target.name]
        subprocess.run(["mount", "-o", "remount,size=2m", str(small)], check=True)
        download(wanted(server), target)
        assert target.read_bytes() == CONTENT and "Range" in server.gets()[-1].headers
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_file_size_limit_of_the_process(server: Loopback, target: Path) -> None:
    server.serve("/weights.pth", CONTENT)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert "files may not get larger here" in refused(wanted(server), target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    download(wanted(server), target)
    assert target.read_bytes() == CONTENT and server.gets()[-1].headers["Range"] == "bytes=100000-"


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "full"), (errno.EDQUOT, "quota"), (errno.EFBIG, "larger"), (errno.EACCES, "permission")],
)
def test_disks_that_refuse(tmp_path: Path, number: int, words: str) -> None:
    with pytest.raises(PaperlibError, match=f"{tmp_path} cannot be written: .*{words}"), speaking_of_disks(tmp_path):
        raise OSError(number, os.strerror(number))


def test_folder_that_is_a_file(server: Loopback, tmp_path: Path) -> None:
    server.serve("/weights.pth", CONTENT)
    (tmp_path / "data").write_text("in the way")
    assert "cannot be written" in refused(wanted(server), tmp_path / "data" / "weights.pth")
