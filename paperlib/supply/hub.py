"""Files of the Hugging Face hub: its own client looks them up and keeps its cache, our transfer brings the content.

The client (huggingface_hub 2.4) throws a broken file away when its process ends, waits for a slow server without end,
and retries a failed look-up for 47 s. So the content goes through `paperlib.supply.transfer`, under the client's own
lock, to the place where the client would have put it; the client then finds it there and names it. `HF_HOME`,
`HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and `HF_TOKEN` act as always; the client reads them when it is imported.
"""

import re
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import sleep
from typing import Any, Literal, TypeVar

from paperlib.engine.progress import progress
from paperlib.errors import PaperlibError
from paperlib.paths import atomic_write
from paperlib.supply import transfer
from paperlib.supply.transfer import WebFile

RepoType = Literal["model", "dataset"]
_COMMIT = re.compile("[0-9a-f]{40}")
_Answer = TypeVar("_Answer")


@dataclass(frozen=True)
class HubFile:
    """A file of a repository on the hub.

    Attributes:
        repo: `owner/name`.
        path: of the file inside the repository, with `/`.
        repo_type: model or dataset.
        revision: commit (40 hex digits), tag or branch.
        known_hash, size: as for `transfer.WebFile`; where empty, what the hub says about the revision is checked.
    """

    repo: str
    path: str
    repo_type: RepoType = "model"
    revision: str = "main"
    known_hash: str = ""
    size: int | None = None

    def __str__(self) -> str:
        return f"{self.path} of {self.repo}"


def fetch_file(file: HubFile, target: Path | None = None, *, offline: bool = False, show_progress: bool = True) -> Path:
    """Have a file of the hub, whole and checked, in the hub's cache or under a name of one's own.

    Nothing is asked of the network where the file is there already. A broken download is resumed by the next call; two
    processes fetch it once.

    Args:
        file: what to fetch.
        target: final name; None for the usual cache, which timm and others read. No links are made outside the cache.
        offline: do not touch the network (as `HF_HUB_OFFLINE=1`).
        show_progress: a progress bar on stderr, where somebody watches.

    Returns:
        `target`, or the file's path in the cache.

    Raises:
        PaperlibError: no network, terms not accepted, not found, other content than expected, too little room.
    """
    wanted = WebFile(_url(file, file.revision), file.known_hash, file.size)
    if target is not None and transfer.is_right(wanted, target):
        return target
    cached = _cached(file)
    if cached is not None and transfer.is_right(wanted, cached):
        return cached if target is None else _copy(cached, target)
    transfer.refuse_offline(offline or _offline(), str(file), wanted.url, target)
    found = _ask(lambda client: client.get_hf_file_metadata(wanted.url, timeout=transfer.PATIENCE.silence), file)
    source = _checked_source(file, found)
    if target is not None:
        with transfer.speaking_of_disks(target), _lock_beside(target):
            if not transfer.is_right(source, target):
                transfer.fetch_alone(source, target, headers=_headers(), show_progress=show_progress)
        return target
    return _into_cache(file, source, found.etag, show_progress)


def fetch_folder(
    repo: str,
    target: Path,
    *,
    repo_type: RepoType = "model",
    revision: str = "main",
    patterns: Sequence[str] = ("*",),
    max_workers: int = 4,
    offline: bool = False,
) -> Path:
    """Have all files of a repository that match `patterns` under `target`, each whole and checked.

    Sizes and hashes come from the hub's listing of the revision. Files that are there and right are not fetched again,
    so a broken call goes on where it stopped; other files of the folder are left alone.

    Args:
        repo, repo_type, revision: as for `HubFile`.
        target: folder; made when missing.
        patterns: shell patterns against the path inside the repository; `*` matches `/` too.
        max_workers: files at the same time.
        offline: do not touch the network.

    Returns:
        `target`.

    Raises:
        PaperlibError: as for `fetch_file`; or no file matches.
    """
    import requests

    whole = HubFile(repo, "", repo_type, revision)
    transfer.refuse_offline(offline or _offline(), f"a part of {repo}", _page(whole), target)
    info = _ask(
        lambda client: client.HfApi().repo_info(
            repo, repo_type=repo_type, revision=revision, files_metadata=True, timeout=2 * transfer.PATIENCE.silence
        ),
        whole,
    )
    sources = {
        _inside(target, one.rfilename): _source(
            HubFile(repo, one.rfilename, repo_type, revision), info.sha, one.lfs.sha256 if one.lfs else one.blob_id, one.size
        )
        for one in _matching(info.siblings, patterns)
    }
    if not sources:
        raise PaperlibError(f"{repo} at revision {revision} has no file that matches {', '.join(patterns)}")
    with transfer.speaking_of_disks(target), _lock_beside(target):
        missing = {path: source for path, source in sources.items() if not transfer.is_right(source, path)}
        transfer.need_room(target, sum(source.size or 0 for source in missing.values()), repo)
        if missing:
            with requests.Session() as session:
                session.headers.update(_headers())
                _fetch_all(missing, session, max_workers, repo)
    return target


def resolved_revision(repo: str, *, repo_type: RepoType = "model", revision: str = "main") -> str:
    """The commit that `revision` stands for: itself, or what the cache noted with the last fetch, or what the hub says.

    Returns:
        40 hex digits.

    Raises:
        PaperlibError: nothing is known about it, and the hub cannot be asked.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    noted = _storage(repo, repo_type) / "refs" / revision
    if noted.is_file():
        return noted.read_text(encoding="utf-8").strip()
    whole = HubFile(repo, "", repo_type, revision)
    transfer.refuse_offline(_offline(), f"the commit of {repo} at {revision}", _page(whole))
    return str(
        _ask(
            lambda client: client.HfApi().repo_info(
                repo, repo_type=repo_type, revision=revision, timeout=transfer.PATIENCE.silence
            ),
            whole,
        ).sha
    )


# ---- the client ------------------------------------------------------------------------------------------------------


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _headers() -> dict[str, str]:
    """Who asks, and the user's token where there is one."""
    from huggingface_hub.utils import build_hf_headers

    return dict(build_hf_headers(library_name="paperlib"))


def _url(file: HubFile, revision: str) -> str:
    from huggingface_hub import hf_hub_url

    return str(hf_hub_url(file.repo, file.path, repo_type=file.repo_type, revision=revision))


def _page(file: HubFile) -> str:
    """The page of a repository, where terms are accepted."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{'datasets/' if file.repo_type == 'dataset' else ''}{file.repo}"


def _storage(repo: str, repo_type: RepoType) -> Path:
    """The folder of a repository in the hub's cache: `blobs`, `refs`, `snapshots`."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE).expanduser().resolve() / repo_folder_name(repo_id=repo, repo_type=repo_type)


def _cached(file: HubFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(file.repo, file.path, revision=file.revision, repo_type=file.repo_type)
    return Path(found) if isinstance(found, str) else None


def _matching(siblings: Sequence[Any], patterns: Sequence[str]) -> list[Any]:
    from huggingface_hub.utils import filter_repo_objects

    return list(filter_repo_objects(siblings, allow_patterns=list(patterns), key=lambda one: one.rfilename))


def _ask(question: Callable[[Any], _Answer], file: HubFile) -> _Answer:
    """Put one question to the hub through its client, again after a short while where the hub is busy.

    Raises:
        PaperlibError: in one sentence, what went wrong and what to do.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    transfer.reach(_page(file), str(file) if file.path else file.repo)
    left, wait = transfer.PATIENCE.retries, transfer.PATIENCE.back_off
    while True:
        try:
            return question(huggingface_hub)
        except HfHubHTTPError as error:
            status = error.response.status_code
            asked = transfer.retry_after(error.response.headers)
            if not left or (status not in (408, 429) and status < 500) or (asked or 0) > transfer.PATIENCE.longest_wait:
                raise _sentence(error, file) from error
            sleep(wait if asked is None else asked)
            left, wait = left - 1, 2 * wait
        except Exception as error:  # the client's transport library differs between its versions, and so do its errors
            raise _sentence(error, file) from error


def _sentence(error: Exception, file: HubFile) -> PaperlibError:
    """What an exception of the hub's client means to a user."""
    from huggingface_hub import errors

    page, what = _page(file), str(file) if file.path else file.repo
    for kind, reason in (
        (
            errors.GatedRepoError,
            f"its terms of use must be accepted: log in at {page}, accept them, and run `hf auth login` or set HF_TOKEN",
        ),
        (
            errors.RepositoryNotFoundError,
            f"there is no public repository {page}: if it is private, run `hf auth login` or set HF_TOKEN",
        ),
        (errors.RevisionNotFoundError, f"{page} has no revision {file.revision}"),
        (errors.LocalEntryNotFoundError, f"{page} cannot be reached: check the network and HF_ENDPOINT"),
        (errors.EntryNotFoundError, f"{page} has no such file at revision {file.revision}"),
        (errors.DisabledRepoError, f"{page} has been switched off"),
        (errors.OfflineModeIsEnabled, f"HF_HUB_OFFLINE is set: unset it, or get it from {page}"),
        (errors.FileMetadataError, f"{page} does not answer as a hub does: check HF_ENDPOINT and the proxy"),
    ):
        if isinstance(error, kind):
            return PaperlibError(f"{what} could not be fetched: {reason}")
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        if status in (401, 403):
            return PaperlibError(
                f"{what} could not be fetched from {page} (HTTP {status}): run `hf auth login` or set HF_TOKEN to a "
                "token that may read it, or unset HF_TOKEN where it has expired"
            )
        return transfer.refusal(status, what, page)
    name = type(error).__name__
    return transfer.no_connection(what, page, "no answer in time" if "Timeout" in name else name)


# ---- where the content comes from and goes to ------------------------------------------------------------------------


def _source(file: HubFile, commit: str, object_name: str | None, size: int | None) -> WebFile:
    """A file of one commit, with the hash by which the hub stores it: SHA-256 of large files, git's of small ones."""
    name = (object_name or "").lower()
    stored = {64: "sha256:", 40: "git-sha1:"}.get(len(name), "") if re.fullmatch("[0-9a-f]+", name) else ""
    return WebFile(_url(file, commit), file.known_hash or (stored and stored + name), size)


def _checked_source(file: HubFile, found: Any) -> WebFile:
    """The source of `file` by the answer to its look-up, refused at once where the hub has another edition.

    Raises:
        PaperlibError: hash or size are others than known, or the answer is not a hub's.
    """
    if found.commit_hash is None or found.etag is None:
        raise PaperlibError(
            f"{file} could not be fetched: {_page(file)} does not answer as a hub does: check HF_ENDPOINT and the proxy"
        )
    stored = _source(HubFile(file.repo, file.path, file.repo_type), found.commit_hash, found.etag, found.size)
    kind, _, digits = file.known_hash.partition(":")
    comparable = kind.removesuffix("-prefix") == stored.known_hash.partition(":")[0]
    if comparable and not stored.known_hash.partition(":")[2].startswith(digits):
        raise _other_edition(file, file.known_hash, stored.known_hash)
    if None not in (file.size, found.size) and file.size != found.size:
        raise _other_edition(file, f"{file.size} bytes", f"{found.size} bytes")
    return stored if comparable or not file.known_hash else WebFile(stored.url, file.known_hash, found.size)


def _other_edition(file: HubFile, expected: str, got: str) -> PaperlibError:
    return PaperlibError(
        f"{file} at revision {file.revision} is another edition: expected {expected}, the hub has {got}; nothing was "
        "fetched: ask for the revision that is meant"
    )


def _into_cache(file: HubFile, source: WebFile, etag: str, show_progress: bool) -> Path:
    """Put the content where the client looks first, then let the client name it: `snapshots/<commit>/<path>`."""
    storage = _storage(file.repo, file.repo_type)
    blob = storage / "blobs" / etag
    with transfer.speaking_of_disks(blob):
        blob.parent.mkdir(parents=True, exist_ok=True)
        with transfer.one_at_a_time(storage.parent / ".locks" / storage.name / f"{etag}.lock", file.path):
            if not transfer.is_right(source, blob):
                transfer.fetch_alone(source, blob, headers=_headers(), show_progress=show_progress)
        return Path(
            _ask(
                lambda client: client.hf_hub_download(
                    file.repo, file.path, repo_type=file.repo_type, revision=file.revision
                ),
                file,
            )
        )


def _lock_beside(target: Path) -> Any:
    return transfer.one_at_a_time(target.with_name(f".{target.name}.lock"), target.name)


def _copy(cached: Path, target: Path) -> Path:
    """A file of the cache under a name of one's own, as a file and not as a link."""
    with transfer.speaking_of_disks(target):
        transfer.need_room(target.parent, cached.stat().st_size, target.name)
        with open(cached, "rb") as content, atomic_write(target) as out:
            shutil.copyfileobj(content, out)
    return target


def _inside(folder: Path, name: str) -> Path:
    """Where a file of the listing goes.

    Raises:
        PaperlibError: it would lie outside `folder`.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name or ":" in parts[0]:
        raise PaperlibError(f"the hub lists a file {name!r} that would lie outside {folder}: nothing was fetched")
    return folder.joinpath(*parts)


def _fetch_all(missing: dict[Path, WebFile], session: Any, max_workers: int, repo: str) -> None:
    """Fetch many small files, some at a time; the first failure stops the rest."""
    with ThreadPoolExecutor(max_workers) as pool, progress(total=len(missing), desc=repo) as bar:
        for path in missing:
            path.parent.mkdir(parents=True, exist_ok=True)
        tasks = [
            pool.submit(transfer.fetch_alone, source, path, session=session, show_progress=False)
            for path, source in missing.items()
        ]
        try:
            for task in as_completed(tasks):
                task.result()
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
