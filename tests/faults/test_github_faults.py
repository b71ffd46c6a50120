"""Thousands of files of GitHub, one by one: what may go wrong with some of them, and that everything else is kept."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from paperlib import profiles
from paperlib.datasets import sacid
from paperlib.datasets.listed_files import ListedFile, listed
from paperlib.datasets.sacid import open_sacid
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.plan import coded_set
from paperlib.profiles import Profile
from paperlib.rehearsal.sacid import write_sacid
from paperlib.supply import catalogue, fetch, github, state, transfer
from paperlib.supply.fetch import Outcome
from paperlib.supply.github import GithubFiles, commit_of, fetch_files, matching
from paperlib.supply.transfer import Patience
from tests.loopback import Loopback, blob_sha1, closed_port, running, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = Patience(connect=0.6, silence=2.0, window=1.0, slowest=2_000.0, retries=1, back_off=0.02, longest_wait=1.0)
COMMIT = "c0ffee" + "0" * 34
SET = GithubFiles("lab/pictures", COMMIT, choose=matching("Images/*", "*.csv"))
LARGE = os.urandom(1_500_000)
FILES = {
    "train.csv": b"Image Name,MOS\n",
    "Images/ss02 (1014).JPG": b"blanks and brackets",
    "Images/a[1] #2?50% ä.jpg": b"and worse",
    "Images/large.jpg": LARGE,
    **{f"Images/{number}.jpg": b"%d" % number * 3000 for number in range(30)},
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setattr(transfer, "PATIENCE", SHORT)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with running() as one:
        monkeypatch.setattr(github, "RAW", one.url)
        monkeypatch.setattr(github, "API", one.url)
        yield one


@pytest.fixture
def raw(server: Loopback) -> str:
    """Where the files are served; a readme that nobody asks for lies beside them."""
    return server.add_github(SET.repo, COMMIT, FILES | {"README.md": b"# Pictures"})


def refused(target: Path, source: GithubFiles = SET) -> str:
    """The one sentence in which a fetch ends."""
    with pytest.raises(PaperlibError) as caught:
        fetch_files(source, target)
    message = str(caught.value)
    assert "\n" not in message and 40 < len(message) < 700
    return message


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def but(*names: str) -> dict[str, bytes]:
    return {name: content for name, content in FILES.items() if name not in names}


# ---- the good case ---------------------------------------------------------------------------------------------------
def test_chosen_files_arrive_under_their_own_paths_and_are_not_asked_for_again(
    server: Loopback, raw: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_bytes(b"mine")
    assert fetch_files(SET, tmp_path) == tmp_path
    assert files_of(tmp_path) == FILES | {"mine.txt": b"mine"}
    (tmp_path / "Images/3.jpg").write_bytes(b"3" * 2999 + b"?")
    (tmp_path / "Images/4.jpg").unlink()
    server.seen.clear()
    fetch_files(SET, tmp_path)
    assert files_of(tmp_path) == FILES | {"mine.txt": b"mine"}
    assert sorted(one.path for one in server.gets(raw)) == [f"{raw}/Images/3.jpg", f"{raw}/Images/4.jpg"]


def test_a_list_that_ships_with_the_product_asks_no_interface(
    server: Loopback, raw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(ListedFile(name, len(content), blob_sha1(content)) for name, content in FILES.items())
    monkeypatch.setattr(github, "listed", {"ours": files}.__getitem__)
    source = replace(SET, listing="ours")
    fetch_files(source, tmp_path)
    assert files_of(tmp_path) == FILES and not server.gets("/repos")
    server.seen.clear()
    fetch_files(source, tmp_path)
    assert not server.seen, "what is there needs no network"


def test_the_commit_of_the_main_branch(server: Loopback, raw: str) -> None:
    assert commit_of(replace(SET, revision="main")) == COMMIT


def test_thousands_of_tiny_files_come_within_seconds(server: Loopback, tmp_path: Path) -> None:
    files = {f"Images/{number}.jpg": b"%d" % number for number in range(3000)}
    server.add_github(SET.repo, COMMIT, files)
    began = time.process_time()
    fetch_files(SET, tmp_path)
    spent = time.process_time() - began
    assert len(server.gets(f"/{SET.repo}")) == 3000 and files_of(tmp_path) == files
    assert spent < 30, f"{spent:.1f} s of processor time, the server's among it"


# ---- some of them fail -----------------------------------------------------------------------------------------------
def test_what_is_broken_is_told_together_and_everything_else_is_kept(server: Loopback, raw: str, tmp_path: Path) -> None:
    names = ("Images/1.jpg", "Images/2.jpg", "Images/3.jpg", "Images/4.jpg")
    gone, other, longer, broken = (server.pages[f"{raw}/{name}"] for name in names)
    gone.always = (404, {})
    other.content, longer.content = b"?" * len(other.content), longer.content + b"?"
    broken.cuts = [100] * 9
    message = refused(tmp_path)
    assert f"4 of 34 files of {SET.repo} could not be fetched: {', '.join(names[:3])}" in message
    assert "HTTP 404" in message and "the same command goes on" in message and "not tried" not in message
    assert files_of(tmp_path) == but(*names), "no half file stays"
    gone.always, other.content, longer.content, broken.cuts = None, FILES[names[1]], FILES[names[2]], []
    server.seen.clear()
    fetch_files(SET, tmp_path)
    assert files_of(tmp_path) == FILES and len(server.gets(raw)) == 4


def test_a_hundred_missing_files_do_not_stop_those_behind_them(server: Loopback, tmp_path: Path) -> None:
    files = {f"Images/{number:03}.jpg": b"%d" % number for number in range(110)}
    raw = server.add_github(SET.repo, COMMIT, files)
    for name in list(files)[:100]:
        server.pages[f"{raw}/{name}"].always = (404, {})
    message = refused(tmp_path)
    assert "100 of 110" in message and "more" in message and len(files_of(tmp_path)) == 10


def test_a_connection_that_breaks_is_taken_up_again(server: Loopback, raw: str, tmp_path: Path) -> None:
    large, small = server.pages[f"{raw}/Images/large.jpg"], server.pages[f"{raw}/Images/7.jpg"]
    large.cuts, small.cuts = [1_200_000], [1000]
    fetch_files(SET, tmp_path)
    assert files_of(tmp_path) == FILES
    assert [one.status for one in server.gets(f"{raw}/Images/large.jpg")] == [200, 206]
    assert [one.status for one in server.gets(f"{raw}/Images/7.jpg")] == [200, 200]


def test_where_nothing_works_the_rest_is_not_tried(server: Loopback, tmp_path: Path) -> None:
    busy = (429, {"Retry-After": "500"})
    raw = server.add_github(SET.repo, COMMIT, {f"Images/{number}.jpg": b"1" for number in range(500)}, always=busy)
    message = refused(tmp_path)
    assert "were not tried" in message and "too many requests" in message
    assert len(server.gets(raw)) < 500 and not files_of(tmp_path)


def test_no_network(server: Loopback, raw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as closed:
        monkeypatch.setattr(github, "RAW", closed)
        assert f"{SET.repo} is missing and its source cannot be reached" in refused(tmp_path)
        monkeypatch.setattr(github, "API", closed)
        assert "cannot be reached" in refused(tmp_path)
    assert not files_of(tmp_path)


# ---- disks -----------------------------------------------------------------------------------------------------------
def test_too_little_room_for_all_is_told_at_once(
    server: Loopback, raw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 10**9, 100_000))
    assert "needs 1.7 MB" in refused(tmp_path) and not server.gets(raw)


def test_a_disk_that_gets_full_on_the_way(
    server: Loopback, raw: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage, free = namedtuple("usage", "total used free"), iter([10**9] * 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10**9, 0, next(free, 1)))
    message = refused(tmp_path)
    assert f"of {len(FILES)} files" in message and "make room" in message
    had = len(files_of(tmp_path))
    assert 0 < had < len(FILES)
    monkeypatch.undo()
    monkeypatch.setattr(github, "RAW", server.url)
    monkeypatch.setattr(github, "API", server.url)
    server.seen.clear()
    fetch_files(SET, tmp_path)
    assert files_of(tmp_path) == FILES and len(server.gets(raw)) == len(FILES) - had


def test_a_disk_that_refuses_to_write(server: Loopback, raw: str, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        assert "files may not get larger here" in refused(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    fetch_files(SET, tmp_path)
    assert files_of(tmp_path) == FILES and server.gets(f"{raw}/Images/large.jpg")[-1].status == 206


def test_killed_in_the_middle_and_called_again(server: Loopback, raw: str, tmp_path: Path) -> None:
    for name in FILES:
        server.pages[f"{raw}/{name}"].pause = 0.2
    code = (
        "from pathlib import Path\nfrom paperlib.supply import github\n"
        f"github.RAW = github.API = {server.url!r}\n"
        f"github.fetch_files(github.GithubFiles({SET.repo!r}, {COMMIT!r}, choose=github.matching('Images/*', '*.csv')), "
        f"Path({str(tmp_path)!r}))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    other = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(list(tmp_path.glob("Images/*.jpg"))) > 8)
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    whole = {name for name, content in files_of(tmp_path).items() if FILES.get(name) == content}
    assert {name for name in files_of(tmp_path) if not name.endswith((".part", ".json"))} == whole, (
        "no half file has its name"
    )
    server.seen.clear()
    fetch_files(SET, tmp_path)
    assert files_of(tmp_path) == FILES and len(server.gets(raw)) == len(FILES) - len(whole)


# ---- what GitHub says ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 10**6)}), "60 times an hour"),
        ((429, {"X-RateLimit-Remaining": "0"}), "call again in 60 minutes"),
        ((404, {}), "HTTP 404"),
        ((503, {}), "HTTP 503"),
        ((200, {}), "does not answer as GitHub does"),
    ],
)
def test_refusals_of_the_interface(
    server: Loopback, raw: str, tmp_path: Path, answer: tuple[int, dict[str, str]], words: str
) -> None:
    for page in (f"/repos/{SET.repo}/git/trees/{COMMIT}", f"/repos/{SET.repo}/commits/HEAD"):
        server.pages[page].always = answer
    assert words in refused(tmp_path)
    with pytest.raises(PaperlibError, match=words):
        commit_of(SET)
    assert not server.gets(raw)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>", "does not answer as GitHub does"),
        (b"[]", "does not answer as GitHub does"),
        (b'{"sha": "main", "truncated": false}', "does not answer as GitHub does"),
        (b'{"truncated": false, "tree": [{"type": "blob", "path": "a", "size": 1, "sha": "?"}]}', "does not answer"),
        (b'{"truncated": true, "tree": []}', "too large for GitHub to list"),
        (b'{"truncated": false, "tree": []}', "holds none of the files that are meant"),
        (b'{"truncated": false, "tree": [{"type": "blob", "path": "Images/../../a", "size": 1, "sha": "%s"}]}', "outside"),
    ],
)
def test_listings_that_are_none(server: Loopback, raw: str, tmp_path: Path, content: bytes, words: str) -> None:
    server.pages[f"/repos/{SET.repo}/git/trees/{COMMIT}"].content = content.replace(b"%s", b"a" * 40)
    assert words in refused(tmp_path / "set") and os.listdir(tmp_path) == []


# ---- through `data fetch` --------------------------------------------------------------------------------------------
SEQUENCES, WITH_REFERENCE = 16, 14


def laptop(root: Path, **changed: object) -> Profile:
    profile = profiles.load("paper", data_root=str(root), weights_root=str(root / "weights"))
    return replace(profile, name="open", extent="sample", **changed)  # type: ignore[arg-type]  # of any field


def fetched(profile: Profile, name: str) -> Outcome:
    (outcome,) = fetch.fetch(profile, [name])
    return outcome


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sacid(
        tmp_path_factory.mktemp("published"), SEQUENCES, 0, (32, 48), without_reference=SEQUENCES - WITH_REFERENCE
    )


def test_twelve_photographs_of_sacid(
    server: Loopback, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = sacid.read_scores(published / sacid.TABLE).subjective
    known = replace(
        sacid.PUBLISHED,
        pictures=table.size,
        low=float(table.min()),
        high=float(table.max()),
        mean=float(table.mean()),
        sd=float(table.std()),
    )
    monkeypatch.setattr(sacid, "PUBLISHED", known)
    repo = "Alexkkir/SACID"
    raw = server.add_github(repo, COMMIT, files_of(published) | {"README.md": b"# SACID"})
    page = server.pages[f"/{repo}/{COMMIT}/saliency/{sacid.sampled(_references(published))[0]}.png"]
    page.always = (404, {})
    profile = laptop(tmp_path)
    first = fetched(profile, "sacid")
    assert first.done == "failed" and f"1 of 169 files of {repo}" in first.sentence
    page.always = None
    server.add_github(repo, "d00d" + "0" * 36, {"moses.csv": b"another table"})
    server.pages[f"/repos/{repo}/commits/HEAD"].content = b'{"sha": "%s"}' % COMMIT.encode()
    server.seen.clear()
    assert fetched(profile, "sacid").done == "fetched" and len(server.gets(raw)) == 1
    assert fetch.trusted(tmp_path) == {"sacid on GitHub": {"repo": repo, "revision": COMMIT}}

    opened = open_sacid(tmp_path / "sacid", extent="sample")
    assert len(opened) == 144 and all(record.reference for record in opened.records)
    assert opened.notes == ("a sample: 12 of the 16 sequences, chosen by a hash of their names",)
    assert coded_set(profile).sequences == opened.scores.sequences
    whole = open_sacid(published, extent="sample")
    assert whole.fingerprint == opened.fingerprint, "a sample of all that is published is the sample that was fetched"
    with pytest.raises(PaperlibError, match="48 of 192 coded pictures are missing"):
        open_sacid(tmp_path / "sacid")
    (found,) = state.look_at(replace(profile, extent="all"), catalogue.find(["sacid"]))
    assert found.condition == "incomplete"

    for name in (sacid.sampled(_references(published))[3], sacid.sampled(_references(published))[5]):
        shutil.rmtree(tmp_path / "sacid/compressed" / name)
    (found,) = state.look_at(profile, catalogue.chosen_items(profile, ["sacid"]))
    assert found.condition == "incomplete" and "120 of 144 pictures" in found.detail
    server.pages[f"/repos/{repo}/commits/HEAD"].content = b'{"sha": "%s"}' % (b"d00d" + b"0" * 36)
    assert fetched(profile, "sacid").done == "fetched", "the commit of the first fetch is asked for"
    assert fetched(profile, "sacid").done == "there"


def _references(folder: Path) -> list[str]:
    return [path.stem for path in (folder / "reference").glob("*.png")]


def test_a_sample_needs_its_references(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = shutil.copytree(published, tmp_path / "sacid")
    for name in _references(published)[:3]:
        (root / "reference" / f"{name}.png").unlink()
    with pytest.raises(PaperlibError, match="names 192 of 720"):
        open_sacid(root, extent="sample")
    assert len(open_sacid(root, partial=True, extent="sample")) == 11 * 12
    monkeypatch.setattr(sacid, "compare_with_published", lambda *arguments: ())
    with pytest.raises(PaperlibError, match="holds the references of 11 sequences of moses.csv, the sample has 12"):
        open_sacid(root, extent="sample")


@pytest.mark.parametrize("name", ["eyecrowd", "osie"])
def test_real_files_under_their_real_paths(server: Loopback, shared: Callable[..., Path], tmp_path: Path, name: str) -> None:
    (item,) = catalogue.find([name])
    source = item.parts[0].source
    assert isinstance(source, GithubFiles)
    for file in listed(source.listing):
        held = shared("open", name) / file.path.removeprefix("data/").removeprefix("eye/")
        server.serve(f"/{source.repo}/{source.revision}/{file.path}", held.read_bytes())
    profile = laptop(tmp_path)
    outcome = fetched(profile, name)
    assert outcome.done == "fetched" and outcome.found.is_there and outcome.found.size > 30_000_000
    victim = tmp_path / name / listed(source.listing)[-1].path
    victim.unlink()
    server.seen.clear()
    again = fetched(profile, name)
    assert again.done == "fetched" and again.found.fingerprint == outcome.found.fingerprint and len(server.gets()) == 1
    if name == "eyecrowd":
        (found,) = state.look_at(replace(profile, extent="all"), [item])
        assert found.condition == "incomplete" and "100 of 500" in found.detail
        dropped = tmp_path / "downloads/saliency-in-crowd-8bb0416.zip"
        dropped.parent.mkdir()
        with zipfile.ZipFile(dropped, "w") as archive:
            for file in listed(source.listing):
                archive.write(tmp_path / name / file.path, f"saliency-in-crowd-{source.revision}/{file.path}")
        shutil.rmtree(tmp_path / name)
        by_hand = fetched(profile, name)
        assert by_hand.done == "picked up" and by_hand.found.fingerprint == outcome.found.fingerprint


def test_offline_asks_nobody(server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert fetched(laptop(tmp_path), "osie").done == "unreachable" and not server.seen
