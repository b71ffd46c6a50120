"""A web server on 127.0.0.1 with manners to choose: it plays the sites of the data sets, GitHub and the Hugging Face hub."""

import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from huggingface_hub import constants


@dataclass
class Page:
    """What a path answers, and how badly.

    Attributes:
        content: the body.
        tag, date: `ETag` (with its quotes) and `Last-Modified`; empty for none.
        headers: further ones.
        statuses: answers of the next requests, each (status, headers); after them comes the content.
        always: a status that never goes away.
        redirect: where to go instead.
        cuts: after how many bytes of the body the connection drops, for the next GET requests in turn.
        ranges: whether `Range` is understood.
        lies: answers 206 with a part that was not asked for.
        chunked: no `Content-Length`.
        drip: (bytes, seconds) of a slow body.
        pause: seconds before the answer.
    """

    content: bytes = b""
    tag: str = ""
    date: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    always: tuple[int, dict[str, str]] | None = None
    redirect: str = ""
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    lies: bool = False
    chunked: bool = False
    drip: tuple[int, float] | None = None
    pause: float = 0.0


@dataclass
class Seen:
    """A request as it came in, and how many bytes of the body went out."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


class Loopback:
    """The server; `pages` says what it serves, `seen` what it was asked."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.seen: list[Seen] = []
        self.stopping = threading.Event()
        self.http = _QuietServer(("127.0.0.1", 0), _handler(self))
        self.port = self.http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, path: str, content: bytes, **manners: Any) -> Page:
        """Serve `content` at `path`, with a strong entity tag unless told otherwise."""
        manners.setdefault("tag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.pages[path] = Page(content, **manners)
        return self.pages[path]

    def gets(self, path: str = "") -> list[Seen]:
        return [one for one in self.seen if one.method == "GET" and one.path.startswith(path)]

    def add_repo(
        self,
        repo: str,
        files: Mapping[str, bytes],
        *,
        repo_type: str = "model",
        commit: str = "c0ffee" + "0" * 34,
        large: tuple[str, ...] = (".safetensors", ".pth", ".jpg"),
        **manners: Any,
    ) -> str:
        """Serve a repository of the hub at `main` and at its commit, and give the commit.

        Files with a suffix of `large` are kept as the hub keeps large ones: HEAD gives their SHA-256 and a redirect to
        another host (`localhost`), where `manners` are in force under `/cdn/<SHA-256>`.
        """
        prefix = "datasets/" if repo_type == "dataset" else ""
        listing: list[dict[str, Any]] = []
        for name, content in files.items():
            git = blob_sha1(content)
            sha = hashlib.sha256(content).hexdigest()
            entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": git}
            page = Page(content, f'"{git}"', headers={"X-Repo-Commit": commit})
            if name.endswith(large):
                entry["lfs"] = {"size": len(content), "sha256": sha, "pointerSize": 130}
                self.serve(f"/cdn/{sha}", content, **manners)
                page = Page(
                    redirect=f"http://localhost:{self.port}/cdn/{sha}",
                    headers={"X-Repo-Commit": commit, "X-Linked-Etag": f'"{sha}"', "X-Linked-Size": str(len(content))},
                )
            listing.append(entry)
            for revision in ("main", commit):
                self.pages[f"/{prefix}{repo}/resolve/{revision}/{name}"] = page
        info = {"id": repo, "sha": commit, "siblings": listing, "private": False, "tags": []}
        for revision in ("main", commit):
            self.pages[f"/api/{repo_type}s/{repo}/revision/{revision}"] = Page(json.dumps(info).encode())
        return commit

    def add_github(self, repo: str, commit: str, files: Mapping[str, bytes], **manners: Any) -> str:
        """Serve a repository's files as GitHub does, and what its interface tells; gives where the files are served."""
        tree: list[dict[str, Any]] = [{"path": "a folder", "type": "tree", "sha": "0" * 40}]
        for name, content in files.items():
            self.serve(f"/{repo}/{commit}/{name}", content, **manners)
            tree.append({"path": name, "type": "blob", "size": len(content), "sha": blob_sha1(content)})
        listing = {"sha": commit, "tree": tree, "truncated": False}
        self.pages[f"/repos/{repo}/git/trees/{commit}"] = Page(json.dumps(listing).encode())
        self.pages[f"/repos/{repo}/commits/HEAD"] = Page(json.dumps({"sha": commit}).encode())
        return f"/{repo}/{commit}"


def blob_sha1(content: bytes) -> str:
    """What git calls a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@contextmanager
def running() -> Iterator[Loopback]:
    """A server in threads of its own, gone at the end."""
    server = Loopback()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        server.http.shutdown()
        server.http.server_close()
        thread.join()


def pose_as_hub(url: str, patch: pytest.MonkeyPatch, folder: Path | None = None) -> None:
    """What `HF_ENDPOINT=url` does when the hub's client is imported; its cache and its token lie in `folder`."""
    patch.setattr(constants, "ENDPOINT", url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    patch.setattr(constants, "HF_URL_HOSTS", frozenset({"127.0.0.1"}))
    if folder is not None:
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
        patch.delenv("HF_TOKEN", raising=False)
        patch.delenv("HF_HUB_OFFLINE", raising=False)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@contextmanager
def closed_port() -> Iterator[str]:
    """An address where nobody listens: connections are refused."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{place.getsockname()[1]}"


@contextmanager
def black_hole() -> Iterator[str]:
    """An address that never answers: its queue of connections is full, so further ones are dropped without a word."""
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        place.listen(0)
        address = place.getsockname()
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            with suppress(BlockingIOError):
                filler.connect(address)
        time.sleep(0.05)
        try:
            yield f"http://127.0.0.1:{address[1]}"
        finally:
            for filler in fillers:
                filler.close()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are part of the tests."""


def _handler(server: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # head and body are two writes: 40 ms of delayed acknowledgement each

        def log_message(self, *args: Any) -> None:
            """Not into the output of the tests."""

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            seen = Seen(self.command, unquote(urlsplit(self.path).path), dict(self.headers.items()))
            server.seen.append(seen)
            page = server.pages.get(seen.path)
            if page is None:
                self.reply(seen, 404, {"X-Error-Code": self.missing(seen.path)})
                return
            server.stopping.wait(page.pause)
            if page.statuses:
                self.reply(seen, *page.statuses.pop(0))
            elif page.always:
                self.reply(seen, *page.always)
            elif page.redirect:
                self.reply(seen, 302, page.headers | {"Location": page.redirect})
            else:
                with suppress(ConnectionError, TimeoutError):
                    self.send(seen, page)

        def missing(self, path: str) -> str:
            """What the hub says about a path that it has not."""
            repo = re.match(r"/(?:api/(?:models|datasets)/)?((?:datasets/)?[^/]+/[^/]+)", path)
            if repo is None or not any(repo[1].removeprefix("datasets/") in known for known in server.pages):
                return "RepoNotFound"
            revision = re.search(r"/(?:resolve|revision|tree)/([^/]+)", path)
            known = revision is None or any(f"/{revision[1]}" in page for page in server.pages)
            return "EntryNotFound" if known else "RevisionNotFound"

        def reply(self, seen: Seen, status: int, headers: Mapping[str, str]) -> None:
            seen.status = status
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def send(self, seen: Seen, page: Page) -> None:
            start = self.start_of(page)
            total = len(page.content)
            if start >= total > 0 and start:
                self.reply(seen, 416, {"Content-Range": f"bytes */{total}"})
                return
            if page.lies and start:
                start //= 2
            body = page.content[start:]
            seen.status = 206 if start else 200
            self.send_response(seen.status)
            for name, value in page.headers.items() | {("ETag", page.tag), ("Last-Modified", page.date)}:
                if value:
                    self.send_header(name, value)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
            if page.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            else:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = page.cuts.pop(0) if page.cuts else None
            size, seconds = page.drip or (1 << 16, 0.0)
            for first in range(0, len(body[:cut]), size):
                block = body[:cut][first : first + size]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block) if page.chunked else block)
                self.wfile.flush()
                seen.sent += len(block)
                if seconds and server.stopping.wait(seconds):
                    break
            if cut is not None:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            elif page.chunked:
                self.wfile.write(b"0\r\n\r\n")

        def start_of(self, page: Page) -> int:
            """First byte that is asked for, by `Range` and `If-Range`."""
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            condition = self.headers.get("If-Range")
            if asked is None or not page.ranges or (condition and condition not in (page.tag, page.date)):
                return 0
            return int(asked[1])

    return Handler
