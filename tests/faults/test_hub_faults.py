"""The real client of the Hugging Face hub and a hub that misbehaves: the right file, or one clear sentence."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import constants

from paperlib.errors import PaperlibError
from paperlib.supply import transfer
from paperlib.supply.hub import HubFile, fetch_file, fetch_folder, resolved_revision
from paperlib.supply.transfer import Patience
from tests.loopback import Loopback, black_hole, closed_port, running

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = Patience(connect=0.6, silence=0.5, window=0.3, slowest=20_000.0, retries=2, back_off=0.02, longest_wait=1.0)
CONTENT = bytes(hashlib.shake_256(b"model").digest(200_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CONFIG = b'{"architecture": "resnet50"}'
REPO = "timm/resnet50.a1_in1k"
WEIGHTS = HubFile(REPO, "model.safetensors")
SACID = {
    "moses.csv": b"sequence,test_case,subjective_score\n",
    "README.md": b"# SACID\n",
    "reference/a.png": b"reference" * 100,
    "compressed/a/1.jpg": b"one" * 5000,
    "compressed/a/2.jpg": b"two" * 5000,
    "compressed/b/1.jpg": b"three" * 5000,
}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with running() as one:
        yield one


@pytest.fixture(autouse=True)
def hub(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(transfer, "PATIENCE", SHORT)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    at(server.url, monkeypatch)
    yield
    huggingface_hub.close_session()


def at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `HF_ENDPOINT=url` does when the client is imported."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_URL_HOSTS", frozenset({"127.0.0.1"}))


@pytest.fixture
def commit(server: Loopback) -> str:
    return server.add_repo(REPO, {"model.safetensors": CONTENT, "config.json": CONFIG})


def refused(file: HubFile, target: Path | None = None, **options: Any) -> str:
    """The one sentence in which a fetch ends."""
    with pytest.raises(PaperlibError) as caught:
        fetch_file(file, target, **options)
    return sentence(caught.value)


def sentence(error: PaperlibError) -> str:
    message = str(error)
    assert "\n" not in message and 40 < len(message) < 500
    return message


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# ---- the good case ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("path", "content"), [("model.safetensors", CONTENT), ("config.json", CONFIG)])
@pytest.mark.parametrize("revision", ["main", "c0ffee" + "0" * 34])
def test_into_the_cache_where_the_client_finds_it(
    server: Loopback, commit: str, tmp_path: Path, path: str, content: bytes, revision: str
) -> None:
    found = fetch_file(HubFile(REPO, path, revision=revision))
    assert found.read_bytes() == content
    assert found == tmp_path / "cache" / "models--timm--resnet50.a1_in1k" / "snapshots" / commit / path
    asked = len(server.seen)
    by_client = huggingface_hub.hf_hub_download(REPO, path, revision=revision, local_files_only=True)
    assert Path(by_client) == found
    assert huggingface_hub.try_to_load_from_cache(REPO, path, revision=revision) == str(found)
    assert fetch_file(HubFile(REPO, path, revision=revision), offline=True) == found
    assert len(server.seen) == asked
    cache = huggingface_hub.scan_cache_dir(tmp_path / "cache")
    assert not cache.warnings and cache.size_on_disk == len(content)


def test_what_the_client_fetched_itself_is_used(server: Loopback, commit: str, tmp_path: Path) -> None:
    by_client = Path(huggingface_hub.hf_hub_download(REPO, "model.safetensors"))
    asked = len(server.seen)
    assert fetch_file(WEIGHTS) == by_client
    target = fetch_file(WEIGHTS, tmp_path / "here" / "weights.safetensors", offline=True)
    assert target.read_bytes() == CONTENT and not target.is_symlink()
    assert len(server.seen) == asked


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_to_a_name_of_ones_own(server: Loopback, commit: str, tmp_path: Path, path: str) -> None:
    target = tmp_path / "torch" / "hub" / path
    assert fetch_file(HubFile(REPO, path), target) == target
    assert target.read_bytes() == (CONTENT if path == "model.safetensors" else CONFIG)
    assert not target.is_symlink() and os.listdir(target.parent) == [path]
    assert not (tmp_path / "cache").exists()
    asked = len(server.seen)
    assert fetch_file(HubFile(REPO, path), target, offline=True) == target
    assert len(server.seen) == asked


def test_data_sets_and_resolved_revisions(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = server.add_repo("alexkkr/SACID", SACID, repo_type="dataset", commit="ab" * 20)
    assert resolved_revision("alexkkr/SACID", repo_type="dataset") == commit
    found = fetch_file(HubFile("alexkkr/SACID", "moses.csv", "dataset"))
    assert found.read_bytes() == SACID["moses.csv"]
    asked = len(server.seen)
    assert resolved_revision("alexkkr/SACID", repo_type="dataset") == commit
    assert resolved_revision("any/thing", revision="12" * 20) == "12" * 20
    assert len(server.seen) == asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(PaperlibError, match="offline"):
        resolved_revision("other/repository")


def test_the_token_stays_with_the_hub(
    server: Loopback, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch_file(WEIGHTS, tmp_path / "weights.safetensors")
    told = {
        one.path.split("/")[1]: one.headers.get("authorization", one.headers.get("Authorization")) for one in server.gets()
    }
    assert told == {"timm": "Bearer hf_secret", "cdn": None}


def test_the_environment_says_where(server: Loopback, commit: str, tmp_path: Path) -> None:
    """In a fresh interpreter, because the client reads its environment when it is imported."""
    code = f"from paperlib.supply.hub import HubFile, fetch_file\nprint(fetch_file(HubFile({REPO!r}, 'config.json')))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    for more, place in (
        ({"HF_HOME": str(tmp_path / "home")}, tmp_path / "home" / "hub"),
        ({"HF_HUB_CACHE": str(tmp_path / "hub")}, tmp_path / "hub"),
    ):
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
            env=environment | {"HF_ENDPOINT": server.url} | more,
        )
        assert Path(run.stdout.strip()).is_relative_to(place)
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"HF_ENDPOINT": server.url, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")},
    )
    assert run.returncode and "may not be fetched while offline" in run.stderr


# ---- broken connections ----------------------------------------------------------------------------------------------


def test_dropped_connection_is_resumed(server: Loopback, tmp_path: Path) -> None:
    server.add_repo(REPO, {"model.safetensors": CONTENT}, cuts=[80_000])
    assert fetch_file(WEIGHTS).read_bytes() == CONTENT
    first, second = server.gets("/cdn/")
    assert second.headers["Range"] == "bytes=80000-" and first.sent + second.sent == len(CONTENT)


def test_killed_in_the_middle_then_resumed_and_named_by_the_client(server: Loopback, tmp_path: Path) -> None:
    server.add_repo(REPO, {"model.safetensors": CONTENT}, drip=(10_000, 0.05))
    code = f"from paperlib.supply.hub import HubFile, fetch_file\nfetch_file(HubFile({REPO!r}, 'model.safetensors'))"
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(tmp_path / "cache")}
    other = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment)
    part = tmp_path / "cache" / "models--timm--resnet50.a1_in1k" / "blobs" / f"{SHA256}.part"
    end = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size > 40_000):
        assert time.monotonic() < end
        time.sleep(0.01)
    other.send_signal(signal.SIGKILL)
    other.wait()
    had = part.stat().st_size
    server.pages[f"/cdn/{SHA256}"].drip = None
    assert fetch_file(WEIGHTS).read_bytes() == CONTENT
    assert server.gets("/cdn/")[-1].sent == len(CONTENT) - had > 0
    assert os.listdir(part.parent) == [SHA256]


def test_two_processes_fetch_once(server: Loopback, tmp_path: Path) -> None:
    server.add_repo(REPO, {"model.safetensors": CONTENT}, drip=(20_000, 0.06))
    code = f"from paperlib.supply.hub import HubFile, fetch_file\nfetch_file(HubFile({REPO!r}, 'model.safetensors'))"
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(tmp_path / "cache")}
    both = [subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(server.gets("/cdn/")) == 1
    assert fetch_file(WEIGHTS, offline=True).read_bytes() == CONTENT


# ---- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "words"),
    [
        (HubFile("no/where", "a.bin"), "there is no public repository"),
        (HubFile(REPO, "model.safetensors", revision="v9"), "has no revision v9"),
        (HubFile(REPO, "other.bin"), "has no such file"),
    ],
)
def test_what_is_not_there(server: Loopback, commit: str, tmp_path: Path, file: HubFile, words: str) -> None:
    for target in (None, tmp_path / "a.bin"):
        message = refused(file, target)
        assert words in message and server.url in message
    assert not (tmp_path / "a.bin").exists()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {"X-Error-Code": "GatedRepo"}), "terms of use must be accepted"),
        ((401, {"X-Error-Code": "GatedRepo"}), "terms of use must be accepted"),
        ((401, {"X-Error-Code": "RepoNotFound"}), "there is no public repository"),
        ((401, {"X-Error-Message": "Invalid credentials in Authorization header"}), "HTTP 401): run `hf auth login`"),
        ((403, {}), "HTTP 403): run `hf auth login`"),
        ((403, {"X-Error-Message": "Access to this resource is disabled."}), "switched off"),
        ((429, {"Retry-After": "500"}), "too many requests"),
        ((429, {"RateLimit": '"resolvers";r=0;t=240'}), "too many requests"),
        ((500, {}), "HTTP 500"),
        ((503, {}), "HTTP 503"),
        ((200, {}), "does not answer as a hub does"),
    ],
)
def test_refusals_of_the_hub(
    server: Loopback, commit: str, tmp_path: Path, answer: tuple[int, dict[str, str]], words: str
) -> None:
    server.pages[f"/{REPO}/resolve/main/model.safetensors"].always = answer
    target = tmp_path / "weights"
    target.write_bytes(b"earlier")
    began = time.monotonic()
    assert words in refused(HubFile(REPO, "model.safetensors", known_hash=f"sha256:{SHA256}"), target)
    assert words in refused(WEIGHTS)
    assert time.monotonic() - began < 3
    assert target.read_bytes() == b"earlier" and not server.gets("/cdn/")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(server: Loopback, commit: str, status: int) -> None:
    server.pages[f"/{REPO}/resolve/main/model.safetensors"].statuses = [(status, {"Retry-After": "0"})] * 2
    assert fetch_file(WEIGHTS).read_bytes() == CONTENT


def test_content_host_refuses(server: Loopback, tmp_path: Path) -> None:
    server.add_repo(REPO, {"model.safetensors": CONTENT}, always=(403, {}))
    assert "HTTP 403" in refused(WEIGHTS, tmp_path / "weights")
    assert "HTTP 403" in refused(WEIGHTS)


# ---- no network ------------------------------------------------------------------------------------------------------


def test_no_network_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client itself would try for 47 s."""
    for nowhere, limit in ((closed_port, 1.0), (black_hole, 2.5)):
        with nowhere() as url:
            at(url, monkeypatch)
            began = time.monotonic()
            message = refused(WEIGHTS)
            assert "model.safetensors of timm/resnet50.a1_in1k is missing" in message and url in message
            with pytest.raises(PaperlibError, match="cannot be reached"):
                fetch_folder("alexkkr/SACID", tmp_path / "SACID", repo_type="dataset")
            assert time.monotonic() - began < 2 * limit


def test_hub_that_never_answers(server: Loopback, commit: str, tmp_path: Path) -> None:
    for page in server.pages.values():
        page.pause = 30
    began = time.monotonic()
    assert "no answer in time" in refused(WEIGHTS)
    with pytest.raises(PaperlibError, match="no answer in time"):
        fetch_folder(REPO, tmp_path / "all")
    assert time.monotonic() - began < 4


def test_offline(server: Loopback, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "offline" in refused(WEIGHTS, offline=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "offline" in refused(WEIGHTS, tmp_path / "weights")
    with pytest.raises(PaperlibError, match="offline"):
        fetch_folder(REPO, tmp_path / "all")
    assert not server.seen


# ---- wrong content, disks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "file",
    [
        HubFile(REPO, "model.safetensors", known_hash="sha256:" + "0" * 64),
        HubFile(REPO, "model.safetensors", known_hash="sha256-prefix:" + "0" * 8),
        HubFile(REPO, "model.safetensors", size=5),
    ],
)
def test_another_edition_is_not_even_fetched(server: Loopback, commit: str, tmp_path: Path, file: HubFile) -> None:
    target = tmp_path / "weights"
    target.write_bytes(b"earlier")
    for place in (None, target):
        message = refused(file, place)
        assert "another edition" in message and (SHA256 in message or "200000 bytes" in message)
    assert target.read_bytes() == b"earlier" and not server.gets("/cdn/")


def test_md5_of_the_wrong_edition(server: Loopback, commit: str, tmp_path: Path) -> None:
    known = "md5:" + "0" * 32
    assert hashlib.md5(CONTENT).hexdigest() in refused(
        HubFile(REPO, "model.safetensors", known_hash=known), tmp_path / "weights"
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_content_that_is_not_what_the_hub_lists(server: Loopback, commit: str, tmp_path: Path, path: str) -> None:
    name = f"/cdn/{SHA256}" if path == "model.safetensors" else f"/{REPO}/resolve/{commit}/config.json"
    server.pages[name].content = server.pages[name].content[:-1] + b"?"
    for place in (None, tmp_path / "file"):
        assert "wrong content" in refused(HubFile(REPO, path), place)
    assert not (tmp_path / "file").exists()
    assert huggingface_hub.try_to_load_from_cache(REPO, path) is None


def test_damaged_cache_is_repaired(server: Loopback, commit: str) -> None:
    file = HubFile(REPO, "model.safetensors", known_hash=f"sha256:{SHA256}")
    found = fetch_file(file)
    found.resolve().write_bytes(b"damaged")
    assert fetch_file(file) == found and found.read_bytes() == CONTENT


def test_too_little_room(server: Loopback, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 1000))
    assert "needs 200.0 KB" in refused(WEIGHTS)
    assert "needs 200.0 KB" in refused(WEIGHTS, tmp_path / "weights")
    with pytest.raises(PaperlibError, match="needs 200.0 KB"):
        fetch_folder(REPO, tmp_path / "all")
    assert not server.gets("/cdn/")


# ---- folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def sacid(server: Loopback) -> str:
    return server.add_repo("alexkkr/SACID", SACID, repo_type="dataset", commit="ab" * 20)


def fetched(target: Path, **options: Any) -> dict[str, bytes]:
    assert fetch_folder("alexkkr/SACID", target, repo_type="dataset", **options) == target
    return files_of(target)


def test_a_folder_arrives(server: Loopback, sacid: str, tmp_path: Path) -> None:
    target = tmp_path / "data" / "SACID"
    assert fetched(target, revision=sacid) == SACID
    assert os.listdir(target.parent) == ["SACID"]
    assert not any(path.is_symlink() for path in target.rglob("*"))
    asked = len(server.gets("/datasets/"))
    assert fetched(target) == SACID and len(server.gets("/datasets/")) == asked


def test_the_same_files_as_by_the_client(server: Loopback, sacid: str, tmp_path: Path) -> None:
    by_client = huggingface_hub.snapshot_download(
        "alexkkr/SACID", repo_type="dataset", local_dir=tmp_path / "client", allow_patterns=["*.csv", "compressed/*"]
    )
    shutil.rmtree(Path(by_client) / ".cache")
    assert fetched(tmp_path / "ours", patterns=["*.csv", "compressed/*"]) == files_of(Path(by_client))


def test_patterns_choose_and_other_files_stay(server: Loopback, sacid: str, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    found = fetched(tmp_path, patterns=["*.csv", "compressed/*"])
    assert set(found) == {"mine.txt", "moses.csv", *(name for name in SACID if name.startswith("compressed"))}
    with pytest.raises(PaperlibError, match="no file that matches"):
        fetched(tmp_path, patterns=["*.tif"])


def test_only_what_is_missing_or_damaged_is_fetched(server: Loopback, sacid: str, tmp_path: Path) -> None:
    fetched(tmp_path)
    (tmp_path / "compressed/a/1.jpg").write_bytes(b"ONE" * 5000)
    (tmp_path / "moses.csv").unlink()
    server.seen.clear()
    assert fetched(tmp_path) == SACID
    assert sorted(one.path.rpartition("/")[2] for one in server.gets("/datasets/")) == ["1.jpg", "moses.csv"]


def test_a_folder_goes_on_after_a_failure(server: Loopback, sacid: str, tmp_path: Path) -> None:
    page = server.pages[f"/datasets/alexkkr/SACID/resolve/{sacid}/compressed/b/1.jpg"]
    page.always = (404, {})
    with pytest.raises(PaperlibError, match="1.jpg could not be fetched"):
        fetched(tmp_path, max_workers=1)
    assert not (tmp_path / "compressed/b/1.jpg").exists()
    page.always = None
    had = len(files_of(tmp_path))
    server.seen.clear()
    assert fetched(tmp_path) == SACID and had > 0
    assert len(server.gets("/datasets/")) == len(SACID) - had


def test_the_first_failure_stops_the_rest(server: Loopback, sacid: str, tmp_path: Path) -> None:
    for name in SACID:
        server.pages[f"/datasets/alexkkr/SACID/resolve/{sacid}/{name}"].pause = 0.2
    server.pages[f"/datasets/alexkkr/SACID/resolve/{sacid}/moses.csv"].always = (404, {})
    with pytest.raises(PaperlibError, match="moses.csv could not be fetched"):
        fetched(tmp_path, max_workers=1)
    assert len(server.gets("/datasets/")) <= 3


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a/../../outside", "C:/windows", "..\\outside"])
def test_a_listing_cannot_reach_outside(server: Loopback, tmp_path: Path, name: str) -> None:
    server.add_repo("evil/set", {name: b"gotcha"}, repo_type="dataset")
    with pytest.raises(PaperlibError, match="outside"):
        fetch_folder("evil/set", tmp_path / "set", repo_type="dataset")
    assert os.listdir(tmp_path) == []


def test_missing_repository_as_a_folder(server: Loopback, sacid: str, tmp_path: Path) -> None:
    with pytest.raises(PaperlibError) as caught:
        fetch_folder("no/where", tmp_path / "set", repo_type="dataset")
    assert "there is no public repository" in sentence(caught.value)
    with pytest.raises(PaperlibError, match="has no revision v9"):
        fetched(tmp_path / "set", revision="v9")
