"""A hub that misbehaves: the right file where the hub's own client finds it, or one clear sentence."""

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

import huggingface_hub
import pytest

from paperlib.errors import PaperlibError
from paperlib.supply import transfer
from paperlib.supply.hub import HubFile, commit_of, fetch_file, fetch_folder
from paperlib.supply.transfer import Patience
from tests.loopback import Loopback, black_hole, closed_port, pose_as_hub, running, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = Patience(connect=0.6, silence=0.5, window=0.3, slowest=20_000.0, retries=2, back_off=0.02, longest_wait=1.0)
CONTENT = bytes(hashlib.shake_256(b"model").digest(200_000))
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CONFIG = b'{"architecture": "resnet50"}'
REPO = "timm/resnet50.a1_in1k"
BLOBS = "hub/models--timm--resnet50.a1_in1k/blobs"
WEIGHTS = HubFile(REPO, "model.safetensors")
ALL_SACID = HubFile("alexkkr/SACID", "", "dataset")
SACID = {
    "moses.csv": b"sequence,test_case,subjective_score\n",
    "README.md": b"# SACID\n",
    "reference/a.png": b"reference" * 100,
    **{f"compressed/a/{number}.jpg": b"%d" % number * 5000 for number in range(1, 9)},
}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setattr(transfer, "PATIENCE", SHORT)
    with running() as one:
        pose_as_hub(one.url, monkeypatch, tmp_path)
        yield one
    huggingface_hub.close_session()


@pytest.fixture
def commit(server: Loopback) -> str:
    return server.add_repo(REPO, {"model.safetensors": CONTENT, "config.json": CONFIG})


@pytest.fixture
def sacid(server: Loopback) -> str:
    """Where the files of its commit are served."""
    commit = server.add_repo(ALL_SACID.repo, SACID, repo_type="dataset", commit="ab" * 20)
    return f"/datasets/{ALL_SACID.repo}/resolve/{commit}"


def refused(file: HubFile, target: Path | None = None) -> str:
    """The one sentence in which a fetch ends; of a folder where no path is named."""
    with pytest.raises(PaperlibError) as caught:
        if target is not None and not file.path:
            fetch_folder(file, target)
        else:
            fetch_file(file, target)
    message = str(caught.value)
    assert "\n" not in message and 40 < len(message) < 600
    return message


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def in_another_process(server: Loopback, cache: Path) -> "subprocess.Popen[bytes]":
    code = f"from paperlib.supply.hub import HubFile, fetch_file\nfetch_file(HubFile({REPO!r}, 'model.safetensors'))"
    environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HUB_CACHE": str(cache), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment)


# ---- the good case ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("path", "content"), [("model.safetensors", CONTENT), ("config.json", CONFIG)])
@pytest.mark.parametrize("revision", ["main", "c0ffee" + "0" * 34])
def test_into_the_cache_where_the_client_finds_it(
    server: Loopback, commit: str, tmp_path: Path, path: str, content: bytes, revision: str
) -> None:
    found = fetch_file(HubFile(REPO, path, revision=revision))
    assert found.read_bytes() == content
    assert found == (tmp_path / BLOBS).parent / "snapshots" / commit / path
    by_client = huggingface_hub.hf_hub_download(REPO, path, revision=revision, local_files_only=True)
    assert Path(by_client) == found
    cache = huggingface_hub.scan_cache_dir(tmp_path / "hub")
    assert not cache.warnings and cache.size_on_disk == len(content)


@pytest.mark.parametrize(("path", "content"), [("model.safetensors", CONTENT), ("config.json", CONFIG)])
def test_to_a_name_of_ones_own(server: Loopback, commit: str, tmp_path: Path, path: str, content: bytes) -> None:
    target = tmp_path / "torch" / path
    assert fetch_file(HubFile(REPO, path), target) == target
    assert target.read_bytes() == content and not target.is_symlink() and os.listdir(target.parent) == [path]
    assert not (tmp_path / "hub").exists()
    asked = len(server.seen)
    assert fetch_file(HubFile(REPO, path), target) == target and len(server.seen) == asked


def test_the_commit_of_a_branch(server: Loopback, commit: str, sacid: str) -> None:
    assert commit_of(WEIGHTS) == commit and commit_of(ALL_SACID) == "ab" * 20


def test_a_repository_that_was_renamed(server: Loopback, commit: str, tmp_path: Path) -> None:
    server.serve("/old/name/resolve/main/config.json", b"", redirect=f"/{REPO}/resolve/main/config.json")
    server.serve(f"/old/name/resolve/{commit}/config.json", b"", redirect=f"/{REPO}/resolve/{commit}/config.json")
    assert fetch_file(HubFile("old/name", "config.json"), tmp_path / "config.json").read_bytes() == CONFIG


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
    assert in_another_process(server, tmp_path / "elsewhere").wait(60) == 0
    assert huggingface_hub.scan_cache_dir(tmp_path / "elsewhere").size_on_disk == len(CONTENT)


# ---- broken connections ----------------------------------------------------------------------------------------------
def test_killed_in_the_middle_then_resumed_and_named_by_the_client(server: Loopback, tmp_path: Path) -> None:
    server.add_repo(REPO, {"model.safetensors": CONTENT}, drip=(10_000, 0.05))
    other = in_another_process(server, tmp_path / "hub")
    part = tmp_path / BLOBS / f"{SHA256}.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 40_000)
    other.send_signal(signal.SIGKILL)
    other.wait()
    had = part.stat().st_size
    server.pages[f"/cdn/{SHA256}"].drip = None
    assert fetch_file(WEIGHTS).read_bytes() == CONTENT
    assert server.gets("/cdn/")[-1].sent == len(CONTENT) - had > 0
    assert os.listdir(part.parent) == [SHA256]


# ---- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("file", "words"),
    [
        (HubFile("no/where", "a.bin"), "there is no public repository"),
        (HubFile("no/where", "", "dataset"), "there is no public repository"),
        (HubFile(REPO, "model.safetensors", revision="v9"), "has no revision v9"),
        (HubFile(REPO, "", revision="v9"), "has no revision v9"),
        (HubFile(REPO, "other.bin"), "has no such file"),
    ],
)
def test_what_is_not_there(server: Loopback, commit: str, tmp_path: Path, file: HubFile, words: str) -> None:
    message = refused(file, tmp_path / "a.bin")
    assert words in message and server.url in message and not (tmp_path / "a.bin").exists()


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


@pytest.mark.parametrize(
    "content", [b"<html>", b"[]", b"{}", b'{"sha": "main", "siblings": []}', b'{"sha": "%s"}' % (b"a" * 40), b"[" * 100_000]
)
def test_a_listing_that_is_none(server: Loopback, commit: str, tmp_path: Path, content: bytes) -> None:
    server.pages[f"/api/models/{REPO}/revision/main"].content = content
    assert "does not answer as a hub does" in refused(HubFile(REPO, ""), tmp_path / "all")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(server: Loopback, commit: str, status: int) -> None:
    server.pages[f"/{REPO}/resolve/main/model.safetensors"].statuses = [(status, {"Retry-After": "0"})] * 2
    assert fetch_file(WEIGHTS).read_bytes() == CONTENT


def test_content_host_refuses(server: Loopback) -> None:
    server.add_repo(REPO, {"model.safetensors": CONTENT}, always=(403, {}))
    assert "HTTP 403" in refused(WEIGHTS)


# ---- no network ------------------------------------------------------------------------------------------------------
def test_no_network_is_told_at_once(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client itself would try for 47 s."""
    for nowhere, limit in ((closed_port, 1.0), (black_hole, 2.5)):
        with nowhere() as url:
            pose_as_hub(url, monkeypatch)
            began = time.monotonic()
            message = refused(WEIGHTS)
            assert "model.safetensors of timm/resnet50.a1_in1k is missing" in message and url in message
            assert "cannot be reached" in refused(ALL_SACID, tmp_path / "SACID")
            assert time.monotonic() - began < 2 * limit


def test_hub_that_never_answers(server: Loopback, commit: str, tmp_path: Path) -> None:
    for page in server.pages.values():
        page.pause = 30
    began = time.monotonic()
    assert "no answer in time" in refused(WEIGHTS)
    assert "no answer in time" in refused(HubFile(REPO, ""), tmp_path / "all")
    assert time.monotonic() - began < 4


# ---- wrong content, disks --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("known", ["sha256:" + "0" * 64, "sha256-prefix:" + "0" * 8])
def test_another_edition_is_not_even_fetched(server: Loopback, commit: str, tmp_path: Path, known: str) -> None:
    target = tmp_path / "weights"
    target.write_bytes(b"earlier")
    for place in (None, target):
        message = refused(HubFile(REPO, "model.safetensors", known_hash=known), place)
        assert "another edition" in message and SHA256 in message
    assert target.read_bytes() == b"earlier" and not server.gets("/cdn/")


def test_md5_of_the_wrong_edition(server: Loopback, commit: str, tmp_path: Path) -> None:
    file = HubFile(REPO, "model.safetensors", known_hash="md5:" + "0" * 32)
    assert hashlib.md5(CONTENT).hexdigest() in refused(file, tmp_path / "weights")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_content_that_is_not_what_the_hub_lists(server: Loopback, commit: str, tmp_path: Path, path: str) -> None:
    name = f"/cdn/{SHA256}" if path == "model.safetensors" else f"/{REPO}/resolve/{commit}/config.json"
    server.pages[name].content = server.pages[name].content[:-1] + b"?"
    for place in (None, tmp_path / "file"):
        assert "wrong content" in refused(HubFile(REPO, path), place)
    assert "wrong content" in refused(HubFile(REPO, ""), tmp_path / "all")
    assert not (tmp_path / "file").exists() and not (tmp_path / "all" / path).exists()
    assert huggingface_hub.try_to_load_from_cache(REPO, path) is None


@pytest.mark.parametrize("known", ["", f"sha256:{SHA256}"])
def test_damaged_cache_is_repaired(server: Loopback, commit: str, known: str) -> None:
    file = HubFile(REPO, "model.safetensors", known_hash=known)
    found = fetch_file(file)
    found.resolve().write_bytes(b"damaged")
    assert fetch_file(file) == found and found.read_bytes() == CONTENT


def test_too_little_room(server: Loopback, commit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 1000))
    for file, target in ((WEIGHTS, None), (WEIGHTS, tmp_path / "weights"), (HubFile(REPO, ""), tmp_path / "all")):
        assert "needs 200.0 KB" in refused(file, target)
    assert not server.gets("/cdn/")


# ---- folders ---------------------------------------------------------------------------------------------------------
def test_a_folder_arrives_and_other_files_stay(server: Loopback, sacid: str, tmp_path: Path) -> None:
    target = tmp_path / "data" / "SACID"
    target.mkdir(parents=True)
    (target / "mine.txt").write_bytes(b"mine")
    assert fetch_folder(ALL_SACID, target) == target
    assert files_of(target) == SACID | {"mine.txt": b"mine"} and os.listdir(target.parent) == ["SACID"]
    assert not any(path.is_symlink() for path in target.rglob("*"))
    asked = len(server.gets("/datasets/"))
    fetch_folder(ALL_SACID, target)
    assert len(server.gets("/datasets/")) == asked


def test_only_what_is_missing_or_damaged_is_fetched(server: Loopback, sacid: str, tmp_path: Path) -> None:
    fetch_folder(ALL_SACID, tmp_path)
    (tmp_path / "compressed/a/1.jpg").write_bytes(b"?" * 5000)
    (tmp_path / "moses.csv").unlink()
    server.seen.clear()
    fetch_folder(ALL_SACID, tmp_path)
    assert files_of(tmp_path) == SACID
    assert sorted(one.path.rpartition("/")[2] for one in server.gets("/datasets/")) == ["1.jpg", "moses.csv"]


def test_one_that_fails_does_not_stop_the_rest_and_the_next_call_gets_it(
    server: Loopback, sacid: str, tmp_path: Path
) -> None:
    failing = server.pages[f"{sacid}/moses.csv"]
    failing.always = (404, {})
    assert "moses.csv could not be fetched" in refused(ALL_SACID, tmp_path)
    assert files_of(tmp_path) == {name: content for name, content in SACID.items() if name != "moses.csv"}
    failing.always = None
    server.seen.clear()
    fetch_folder(ALL_SACID, tmp_path)
    assert files_of(tmp_path) == SACID and len(server.gets("/datasets/")) == 1


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a/../../outside", "C:/windows", "..\\outside"])
def test_a_listing_cannot_reach_outside(server: Loopback, tmp_path: Path, name: str) -> None:
    server.add_repo("evil/set", {name: b"gotcha"}, repo_type="dataset")
    assert "outside" in refused(HubFile("evil/set", "", "dataset"), tmp_path / "set")
    assert os.listdir(tmp_path) == []
