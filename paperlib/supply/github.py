"""Files of GitHub repositories, one by one at a fixed commit, each checked by the hash that git has of it.

Which files there are is told by a list that ships with the product (`paperlib.datasets.listed_files`), or else by GitHub's
interface for trees, which answers an address without a login 60 times an hour; one call here asks it once or twice.
"""

import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from paperlib.datasets.files import IMAGE_SUFFIXES
from paperlib.datasets.listed_files import ListedFile, listed
from paperlib.errors import PaperlibError
from paperlib.supply import transfer
from paperlib.supply.transfer import WebFile

RAW = "https://raw.githubusercontent.com"
API = "https://api.github.com"
PAGE = "https://github.com"


@dataclass(frozen=True)
class GithubFiles:
    """Some or all files of a repository on GitHub.

    Attributes:
        repo: `owner/name`.
        revision: commit (40 hex digits); another word stands for the main branch until `commit_of` has told its commit.
        listing: name of a list of `listed_files`; empty where GitHub is asked what there is.
        choose: those of all paths, with `/`, that are meant.
    """

    repo: str
    revision: str
    listing: str = ""
    choose: Callable[[Sequence[str]], Iterable[str]] = tuple

    @property
    def url(self) -> str:
        """Where it is asked for first."""
        return RAW if self.listing else API

    @property
    def page(self) -> str:
        """Of the repository, for people."""
        return f"{PAGE}/{self.repo}"


def matching(*patterns: str) -> Callable[[Sequence[str]], list[str]]:
    """A choice of the paths that match one of the shell patterns; a `*` covers `/`, too."""

    def choose(paths: Sequence[str]) -> list[str]:
        return [path for path in paths if any(fnmatchcase(path, pattern) for pattern in patterns)]

    return choose


def web_file(repo: str, commit: str, path: str, known_hash: str, size: int | None = None) -> WebFile:
    """One file of a repository at a commit; `known_hash` and `size` as for `WebFile`."""
    return WebFile(f"{RAW}/{repo}/{commit}/{quote(path)}", known_hash, size)


def fetch_files(source: GithubFiles, target: Path) -> Path:
    """Have the files of `source` under `target`, with the repository's own paths, each whole and checked.

    Files that are there and right are not fetched again, so a broken call goes on where it stopped; one that fails does
    not stop the others; other files of the folder are left alone. Tables come before pictures.

    Args:
        source: the files; `revision` is a commit.
        target: made when missing.

    Returns:
        `target`.

    Raises:
        PaperlibError: as `transfer.download_all`; GitHub does not say what there is.
    """
    with transfer.new_session() as session:
        files = listed(source.listing) if source.listing else _listing(source, session)
        chosen = set(source.choose([file.path for file in files]))
        if not chosen:
            raise PaperlibError(f"{source.page} holds none of the files that are meant at commit {source.revision}")
        wanted = sorted((file for file in files if file.path in chosen), key=lambda file: _is_picture(file.path))
        transfer.download_all(
            {
                transfer.inside(target, file.path): web_file(
                    source.repo, source.revision, file.path, f"git-sha1:{file.git_sha1}", file.bytes
                )
                for file in wanted
            },
            session,
            target,
            source.repo,
        )
    return target


def commit_of(source: GithubFiles) -> str:
    """The commit that the repository's main branch stands at now, as 40 hex digits.

    Raises:
        PaperlibError: GitHub cannot be asked, or has no such repository.
    """
    with transfer.new_session() as session:
        held = _ask(source, session, "commits/HEAD")
    if isinstance(held, dict) and re.fullmatch("[0-9a-f]{40}", str(held.get("sha"))):
        return str(held["sha"])
    raise _no_github(source)


def _is_picture(path: str) -> bool:
    return path.lower().endswith(IMAGE_SUFFIXES)


# ---- asking GitHub ---------------------------------------------------------------------------------------------------
def _listing(source: GithubFiles, session: requests.Session) -> list[ListedFile]:
    """All files of the commit.

    Raises:
        PaperlibError: GitHub cannot be asked, has no such commit, or lists only a part.
    """
    held = _ask(source, session, f"git/trees/{source.revision}?recursive=1")
    try:
        if held["truncated"]:
            raise PaperlibError(f"{source.page} is too large for GitHub to list: download it as an archive instead")
        files = [ListedFile(one["path"], one["size"], one["sha"]) for one in held["tree"] if one["type"] == "blob"]
    except (KeyError, TypeError) as error:
        raise _no_github(source) from error
    if not all(isinstance(file.bytes, int) and re.fullmatch("[0-9a-f]{40}", str(file.git_sha1)) for file in files):
        raise _no_github(source)
    return files


def _ask(source: GithubFiles, session: requests.Session, question: str) -> Any:
    """What GitHub's interface answers about a repository.

    Raises:
        PaperlibError: in one sentence, what went wrong and what to do.
    """
    transfer.reach(API, source.repo)
    response = transfer.ask(session, "GET", f"{API}/repos/{source.repo}/{question}", source.repo)
    if response.status_code in (403, 429) and response.headers.get("X-RateLimit-Remaining") == "0":
        reset = response.headers.get("X-RateLimit-Reset", "")
        minutes = max(1, math.ceil((int(reset) - time.time()) / 60)) if reset.isdigit() else 60
        raise PaperlibError(
            f"{source.repo} could not be listed: GitHub answers an address 60 times an hour, and that is used up; call "
            f"again in {minutes} minutes"
        )
    if response.status_code >= 400:
        raise transfer.refusal(response, source.repo, source.page)
    try:
        return response.json()
    except (ValueError, RecursionError) as error:
        raise _no_github(source) from error
    except requests.RequestException as error:
        raise transfer.no_connection(source.repo, source.page, "no answer in time") from error


def _no_github(source: GithubFiles) -> PaperlibError:
    return PaperlibError(f"{source.repo} could not be listed: {API} does not answer as GitHub does: check the proxy")
