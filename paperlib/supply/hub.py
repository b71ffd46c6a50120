"""Files of the Hugging Face hub, through our own transfer.

The hub's client (huggingface_hub 2.4) names addresses, places and tokens; the content does not come through it, because
it throws a broken file away when its process ends, waits for a slow server without end, retries a failed look-up for
47 s, and compares sizes alone (`snapshot_download`, too). `HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT` and `HF_TOKEN` act as
always; the client reads them when it is imported.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urljoin, urlsplit

import requests

from paperlib.errors import PaperlibError
from paperlib.supply import transfer
from paperlib.supply.transfer import WebFile

RepoType = Literal["model", "dataset"]


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the hub, or all its files.

    Attributes:
        repo: `owner/name`.
        path: of the file inside the repository, with `/`; empty for all files.
        repo_type: model or dataset.
        revision: commit (40 hex digits), tag or branch.
        known_hash: as for `transfer.WebFile`; where empty, what the hub says about the revision is checked.
    """

    repo: str
    path: str
    repo_type: RepoType = "model"
    revision: str = "main"
    known_hash: str = ""

    def __str__(self) -> str:
        return f"{self.path} of {self.repo}" if self.path else self.repo

    @property
    def page(self) -> str:
        """Of the repository, where its terms are accepted."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' if self.repo_type == 'dataset' else ''}{self.repo}"


def fetch_file(file: HubFile, target: Path | None = None) -> Path:
    """Have a file of the hub, whole and checked, in the hub's cache or under a name of one's own.

    A broken download is resumed by the next call; two processes fetch it once.

    Args:
        file: what to fetch.
        target: final name; None for the usual cache, which timm and others read.

    Returns:
        `target`, or the file's path in the cache.

    Raises:
        PaperlibError: no network, terms not accepted, not found, other content than expected, too little room.
    """
    if target is not None and transfer.is_right(WebFile(_url(file), file.known_hash), target):
        return target
    with _session(file) as session:
        etag, source = _looked_up(file, session)
        if target is not None:
            return transfer.download(source, target, session=session)
        return _into_cache(file, etag, source, session)


def fetch_folder(folder: HubFile, target: Path) -> Path:
    """Have all files of a repository under `target`, each whole and checked.

    Sizes and hashes come from the hub's listing of the revision. Files that are there and right are not fetched again,
    so a broken call goes on where it stopped; other files of the folder are left alone.

    Args:
        folder: the repository.
        target: made when missing.

    Returns:
        `target`.

    Raises:
        PaperlibError: as for `fetch_file`.
    """
    with _session(folder) as session:
        info = _listing(folder, session)
        try:
            sources = {
                transfer.inside(target, one["rfilename"]): WebFile(
                    _url(replace(folder, path=one["rfilename"], revision=info["sha"])),
                    _stored_as(one["lfs"]["sha256"] if one.get("lfs") else one["blobId"]),
                    one["size"],
                )
                for one in info["siblings"]
            }
        except (KeyError, TypeError, AttributeError) as error:
            raise _no_hub(folder) from error
        transfer.download_all(sources, session, target, folder.repo)
    return target


def commit_of(source: HubFile) -> str:
    """The commit that the revision of `source` stands for now, as 40 hex digits.

    Raises:
        PaperlibError: the hub cannot be asked, or has no such revision.
    """
    whole = replace(source, path="")
    with _session(whole) as session:
        return str(_listing(whole, session)["sha"])


# ---- asking the hub --------------------------------------------------------------------------------------------------
@contextmanager
def _session(wanted: HubFile) -> Iterator[requests.Session]:
    """A session that carries the user's token, where there is one, to a host that can be reached."""
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]  # documented but in no __all__

    transfer.reach(wanted.page, str(wanted))
    with transfer.new_session(build_hf_headers(library_name="paperlib")) as session:
        yield session


def _url(file: HubFile) -> str:
    from huggingface_hub import hf_hub_url

    return str(hf_hub_url(file.repo, file.path, repo_type=file.repo_type, revision=file.revision))


def _ask(wanted: HubFile, session: requests.Session, method: str, url: str) -> requests.Response:
    """What the hub answers: a page of it, or where else the content lies.

    Raises:
        PaperlibError: in one sentence, what went wrong and what to do.
    """
    response: requests.Response = transfer.ask(session, method, url, str(wanted), allow_redirects=False)
    place = response.headers.get("Location", "")
    if response.is_redirect and not urlsplit(place).netloc:  # the repository has another name now
        return _ask(wanted, session, method, urljoin(url, place))
    if response.status_code >= 400:
        raise _refusal(wanted, response)
    return response


def _refusal(wanted: HubFile, response: requests.Response) -> PaperlibError:
    page, status = wanted.page, response.status_code
    reasons = {
        "GatedRepo": f"its terms of use must be accepted: log in at {page}, accept them, and run `hf auth login` or set "
        "HF_TOKEN",
        "RepoNotFound": f"there is no public repository {page}: if it is private, run `hf auth login` or set HF_TOKEN",
        "RevisionNotFound": f"{page} has no revision {wanted.revision}",
        "EntryNotFound": f"{page} has no such file at revision {wanted.revision}",
        "Access to this resource is disabled.": f"{page} has been switched off",
    }
    for header in ("X-Error-Code", "X-Error-Message"):
        if reason := reasons.get(response.headers.get(header, "")):
            return PaperlibError(f"{wanted} could not be fetched: {reason}")
    if status in (401, 403):
        return PaperlibError(
            f"{wanted} could not be fetched from {page} (HTTP {status}): run `hf auth login` or set HF_TOKEN to a token "
            "that may read it, or unset HF_TOKEN where it has expired"
        )
    return transfer.refusal(response, str(wanted), page)


def _no_hub(wanted: HubFile) -> PaperlibError:
    return PaperlibError(
        f"{wanted} could not be fetched: {wanted.page} does not answer as a hub does: check HF_ENDPOINT and the proxy"
    )


def _listing(folder: HubFile, session: requests.Session) -> dict[str, Any]:
    """`sha`, the commit, and `siblings`: `rfilename`, `size`, `blobId` and `lfs` of each file."""
    from huggingface_hub import constants

    revision = quote(folder.revision, safe="")
    url = f"{constants.ENDPOINT}/api/{folder.repo_type}s/{folder.repo}/revision/{revision}?blobs=true"
    try:
        held = _ask(folder, session, "GET", url).json()
        if re.fullmatch("[0-9a-f]{40}", held["sha"]):
            return dict(held)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _no_hub(folder) from error
    except requests.RequestException as error:
        raise transfer.no_connection(str(folder), folder.page, "no answer in time") from error
    raise _no_hub(folder)


def _looked_up(file: HubFile, session: requests.Session) -> tuple[str, WebFile]:
    """The hub's name for the content of a file, and where it comes from; refused where the hub has another edition.

    Raises:
        PaperlibError: the hash is another one than known, or the answer is not a hub's.
    """
    headers = _ask(file, session, "HEAD", _url(file)).headers
    etag = (headers.get("X-Linked-Etag") or headers.get("ETag", "")).removeprefix("W/").strip('"')
    size = headers.get("X-Linked-Size") or headers.get("Content-Length", "")
    if "X-Repo-Commit" not in headers or not etag:
        raise _no_hub(file)
    known, stored = file.known_hash, _stored_as(etag)
    if known.startswith("sha256") and stored.startswith("sha256:"):
        if not etag.startswith(known.partition(":")[2]):
            raise PaperlibError(
                f"{file} at revision {file.revision} is another edition: expected {known}, the hub has {stored}; nothing "
                "was fetched: ask for the revision that is meant"
            )
        known = stored
    url = _url(replace(file, revision=headers["X-Repo-Commit"]))
    return etag, WebFile(url, known or stored, int(size) if size.isdigit() else None)


def _stored_as(name: str) -> str:
    """The hash by which the hub names a content: SHA-256 of large files, git's of small ones."""
    kind = {64: "sha256:", 40: "git-sha1:"}.get(len(name), "") if re.fullmatch("[0-9a-f]+", name) else ""
    return kind and kind + name


# ---- where the content goes ------------------------------------------------------------------------------------------
def _into_cache(file: HubFile, etag: str, source: WebFile, session: requests.Session) -> Path:
    """Put the content where the client looks first, then let the client name it: `snapshots/<commit>/<path>`."""
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.file_download import repo_folder_name

    storage = Path(constants.HF_HUB_CACHE).expanduser() / repo_folder_name(repo_id=file.repo, repo_type=file.repo_type)
    transfer.download(source, storage / "blobs" / etag, session=session)
    try:
        return Path(hf_hub_download(file.repo, file.path, repo_type=file.repo_type, revision=file.revision))
    except Exception as error:  # of its own transport library, which differs between its versions
        raise transfer.no_connection(str(file), file.page, type(error).__name__) from error
