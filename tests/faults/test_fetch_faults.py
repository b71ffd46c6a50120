"""A whole `data fetch` of a small catalogue through the real clients, and what may go wrong on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import huggingface_hub
import pytest
import torch

from paperlib import profiles
from paperlib.errors import PaperlibError
from paperlib.models.official import find_official
from paperlib.profiles import Profile
from paperlib.supply import catalogue, fetch, state, transfer
from paperlib.supply.fetch import Outcome
from paperlib.supply.transfer import Patience
from tests import tiny_catalogue as tiny
from tests.loopback import Loopback, black_hole, closed_port, pose_as_hub, running, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
SHORT = Patience(connect=0.6, silence=0.5, window=0.3, slowest=2_000.0, retries=1, back_off=0.02, longest_wait=1.0)


SCRIPT = """
import sys
from paperlib import profiles
from paperlib.supply import fetch
from tests import tiny_catalogue as tiny
url, root = sys.argv[1:3]
tiny.install(url, setattr)
for one in fetch.fetch(profiles.load("paper", data_root=root, weights_root=root + "/weights"), sys.argv[3:]):
    print(one.found.item.name, one.done, one.sentence)
"""


@dataclass
class Place:
    """A data root, its caches, and the site that serves the small catalogue."""

    root: Path
    home: Path
    server: Loopback
    profile: Profile

    def fetch(self, *names: str) -> dict[str, Outcome]:
        return {one.found.item.name: one for one in fetch.fetch(self.profile, names)}

    def in_another_process(self, *names: str) -> "subprocess.Popen[str]":
        environment = {
            "HF_ENDPOINT": self.server.url,
            "HF_HUB_CACHE": str(self.home / "hub"),
            "TORCH_HOME": str(self.home / "torch"),
            "PYTHONPATH": str(REPOSITORY),
        }
        command = [sys.executable, "-c", SCRIPT, self.server.url, str(self.root), *names]
        return subprocess.Popen(
            command,
            env=os.environ | environment,
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def files(self) -> dict[str, bytes]:
        return {
            str(path.relative_to(self.home)): path.read_bytes() for path in sorted(self.home.rglob("*")) if path.is_file()
        }

    def drop(self, *names: str, folder: str = "downloads") -> None:
        """Put archives of SALICON where a user would."""
        (self.root / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (self.root / folder / name).write_bytes(tiny.contents().salicon[name])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setattr(transfer, "PATIENCE", SHORT)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    with running() as server:
        pose_as_hub(server.url, monkeypatch, tmp_path)
        tiny.serve(server)
        tiny.install(server.url, monkeypatch.setattr)
        yield Place(root, tmp_path, server, profiles.load("paper", data_root=str(root), weights_root=str(root / "weights")))
    huggingface_hub.close_session()


def done(outcomes: dict[str, Outcome]) -> dict[str, str]:
    return {name: one.done for name, one in outcomes.items()}


# ---- the good case --------------------------------------------------------------------------------------------------
def test_all_that_may_be_fetched_arrives_and_is_found_by_the_loaders(place: Place) -> None:
    place.drop("images.zip", "fixations.zip", "maps.zip")
    first = place.fetch()
    assert done(first) == {
        "salicon": "picked up",
        "koniq10k": "fetched",
        "sacid": "fetched",
        "net_koniq": "fetched",
        "vision": "fetched",
        "tiny.one": "fetched",
        "by_hand": "by hand",
    }
    for name, one in first.items():
        assert one.found.is_there == (name != "by_hand")
        assert name == "by_hand" or len(one.found.fingerprint) == 16
    weights = {item.name: find_official(item.file, place.root / "weights") for item in catalogue.weights() if item.file}
    assert weights["net_koniq"] == place.home / "torch/hub/pyiqa" / tiny._network_name()
    assert weights["vision"] == place.home / "torch/hub/checkpoints" / tiny._vision_name()
    assert weights["tiny.one"] == place.home / f"hub/models--timm--tiny.one/snapshots/{tiny.COMMIT}/model.safetensors"
    assert torch.load(weights["vision"], weights_only=True)["params"]["weight"].shape == (20_000,)
    assert not (place.root / "downloads/koniq10k.tgz").exists(), "an archive that was downloaded is not kept"
    assert (place.root / "downloads/images.zip").exists(), "the user's own is"
    asked = len(place.server.seen)
    assert set(done(place.fetch()).values()) == {"there", "by hand"} and len(place.server.seen) == asked
    everywhere = {path.relative_to(place.home).parts[0] for path in place.home.rglob("*")}
    assert everywhere <= {"data", "torch", "hub"}, "nothing is written anywhere else"


def test_verify_reads_everything(place: Place) -> None:
    place.drop("images.zip", "fixations.zip", "maps.zip")
    chosen = catalogue.find(list(place.fetch()))
    assert {one.condition for one in state.look_at(place.profile, chosen, thorough=True)} == {"present", "missing"}
    damaged = next((place.root / "sacid/compressed").rglob("*.jpg"))
    damaged.write_bytes(damaged.read_bytes()[:-200])
    network = place.home / "torch/hub/pyiqa" / tiny._network_name()
    network.write_bytes(network.read_bytes().replace(b"\0\0\x80?", b"\0\0\x80@", 1))
    found = {one.item.name: one for one in state.look_at(place.profile, chosen, thorough=True)}
    assert found["sacid"].condition == found["net_koniq"].condition == "damaged"
    assert "another content than the official file" in found["net_koniq"].detail and damaged.name in found["sacid"].detail
    assert {one.condition for name, one in found.items() if name not in ("sacid", "net_koniq", "by_hand")} == {"present"}


def test_archives_in_the_data_sets_own_folder_are_picked_up_one_by_one(place: Place) -> None:
    place.drop("images.zip", "maps.zip", folder="salicon")
    first = place.fetch("salicon")["salicon"]
    assert first.done == "by hand" and first.found.condition == "incomplete" and "lacks fixations" in first.found.detail
    assert "1WVEiXba-I4GN33f0uUl4KhaN1rK7qzs6" in first.sentence and str(place.root / "salicon") in first.sentence
    place.drop("fixations.zip", folder="salicon")
    assert done(place.fetch("salicon")) == {"salicon": "picked up"}


def test_weights_that_were_dropped_among_the_downloads_get_their_place(place: Place) -> None:
    dropped = place.root / "downloads/Net_By_Hand.pth"
    dropped.parent.mkdir()
    dropped.write_bytes(tiny.contents().network[:-400])
    cut_off = place.fetch("by_hand")["by_hand"]
    assert cut_off.done == "failed" and "is cut off" in cut_off.sentence and not (place.root / "weights").exists()
    dropped.write_bytes(tiny.contents().network)
    assert done(place.fetch("by_hand")) == {"by_hand": "picked up"}
    assert (place.root / "weights/Net_By_Hand.pth").read_bytes() == tiny.contents().network and not dropped.exists()


# ---- what goes wrong ------------------------------------------------------------------------------------------------
def test_one_that_fails_does_not_stop_the_others(place: Place) -> None:
    place.server.pages[f"/{tiny._vision_name()}"].always = (403, {})
    place.server.pages["/koniq10k_distributions_sets.csv"].content = b"another table"
    outcomes = place.fetch("koniq10k", "vision", "net_koniq", "sacid")
    assert done(outcomes) == {"koniq10k": "failed", "vision": "failed", "net_koniq": "fetched", "sacid": "fetched"}
    assert "HTTP 403" in outcomes["vision"].sentence and "wrong content" in outcomes["koniq10k"].sentence
    assert not list(place.root.rglob("*.csv")) or not (place.root / "koniq10k/koniq10k_distributions_sets.csv").exists()


@pytest.mark.parametrize("name", ["koniq10k", "net_koniq", "vision"])
def test_a_connection_that_breaks_is_taken_up_again(place: Place, name: str) -> None:
    served = {
        "koniq10k": f"/cdn/{tiny.sha(tiny.contents().koniq)}",
        "net_koniq": f"/cdn/{tiny.sha(tiny.contents().network)}",
        "vision": f"/{tiny._vision_name()}",
    }[name]
    page = place.server.pages[served]
    page.cuts = [len(page.content) // 3]
    assert done(place.fetch(name)) == {name: "fetched"}
    assert [one.status for one in place.server.gets(served)] == [200, 206]


def test_an_archive_of_another_edition_is_refused_and_nothing_changes(place: Place) -> None:
    place.drop("images.zip", "maps.zip", "fixations.zip")
    (place.root / "downloads/fixations.zip").write_bytes(tiny.zipped({"val/other.mat": b"other"}))
    refused = place.fetch("salicon")["salicon"]
    assert refused.done == "failed" and "another content than the archive that is known" in refused.sentence
    assert not (place.root / "salicon/fixations").exists()
    place.drop("fixations.zip")
    assert done(place.fetch("salicon")) == {"salicon": "picked up"}


def test_an_archive_without_known_hash_is_judged_by_its_content(place: Place) -> None:
    place.drop("images.zip", "fixations.zip")
    (place.root / "downloads/maps.zip").write_bytes(tiny.zipped({"readme.txt": b"no maps"}))
    refused = place.fetch("salicon")["salicon"]
    assert refused.done == "failed" and "holds none of train, val" in refused.sentence
    (place.root / "downloads/maps.zip").write_bytes(tiny.contents().salicon["maps.zip"][:-1000])
    assert "damaged or cut off" in place.fetch("salicon")["salicon"].sentence


def test_the_wrong_edition_that_lies_there_is_told_and_left_alone(place: Place) -> None:
    place.drop("images.zip", "fixations.zip", "maps.zip")
    place.fetch("salicon")
    before = place.files()
    other = replace(place.profile, photographs=replace(place.profile.photographs, edition="2015"))
    door = state._DOORS["salicon"]
    state._DOORS["salicon"] = replace(door, open=_strict_about_editions(door.open))
    outcome = {one.found.item.name: one for one in fetch.fetch(other, ["salicon"])}["salicon"]
    assert (
        outcome.done == "failed" and outcome.found.condition == "wrong edition" and "Nothing was changed" in outcome.sentence
    )
    assert place.files() == before


def _strict_about_editions(opened: Callable[..., object]) -> Callable[..., object]:
    """A part of SALICON is only warned about; the whole split is refused, and this stands for it."""

    def strict(root: Path, edition: str | None = None, **options: bool) -> object:
        if edition == "2015":
            raise PaperlibError(f"the numbers of fixations in {root} look like edition 2017, edition 2015 was asked for")
        return opened(root, **options)

    return strict


def test_the_commit_of_the_first_fetch_is_asked_for_from_then_on(place: Place) -> None:
    place.fetch("sacid", "tiny.one")
    notes = json.loads((place.root / fetch.NOTES).read_text())
    assert notes == {
        "sacid": {"repo": tiny.SACID, "revision": tiny.COMMIT},
        "tiny.one": {"repo": tiny.BACKBONE, "revision": tiny.COMMIT},
    }
    newer = "d00d" + "0" * 36
    place.server.add_repo(tiny.SACID, {"moses.csv": b"another table"}, repo_type="dataset", commit=newer)
    (place.root / "sacid/moses.csv").unlink()
    place.server.seen.clear()
    assert done(place.fetch("sacid")) == {"sacid": "fetched"}
    assert (place.root / "sacid/moses.csv").read_bytes() == tiny.contents().sacid["moses.csv"]
    assert not [one for one in place.server.seen if newer in one.path or "/main" in one.path]
    (place.root / fetch.NOTES).write_text('{"sacid": {"revision": "rubbish"}}')
    (place.root / "sacid/moses.csv").unlink()
    assert "sources.json is damaged" in place.fetch("sacid")["sacid"].sentence


def test_no_network_is_told_once_and_fast(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with closed_port() as closed, black_hole() as silent:
        tiny.install(silent, monkeypatch.setattr)
        pose_as_hub(closed, monkeypatch)
        began = time.monotonic()
        outcomes = place.fetch()
        assert time.monotonic() - began < 4
    unreachable = {"koniq10k", "sacid", "net_koniq", "vision", "tiny.one"}
    assert {name for name, one in outcomes.items() if one.done == "unreachable"} == unreachable
    assert {name: one.done for name, one in outcomes.items() if name not in unreachable} == {
        "salicon": "by hand",
        "by_hand": "by hand",
    }
    assert not list(place.root.rglob("*.part*"))


def test_offline_asks_nobody(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    outcomes = place.fetch("vision", "sacid")
    assert {one.done for one in outcomes.values()} == {"unreachable"} and not place.server.seen
    assert all("HF_HUB_OFFLINE" in one.sentence for one in outcomes.values())


def test_too_little_room_is_told_before_anything_is_fetched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 3_000_000})())
    with pytest.raises(PaperlibError, match=r"what is missing needs .* 3\.0 MB are free"):
        place.fetch("koniq10k", "sacid")
    assert not place.server.seen


def test_a_data_root_is_needed_and_must_be_writable(place: Place, tmp_path: Path) -> None:
    with pytest.raises(PaperlibError, match="give --data-root DIR"):
        fetch.fetch(replace(place.profile, data_root=""), ["sacid"])
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(PaperlibError, match="cannot write to"):
        fetch.fetch(replace(place.profile, data_root=str(file)), ["sacid"])
    with pytest.raises(PaperlibError, match="makes its own data"):
        fetch.fetch(profiles.load("rehearsal"), ["sacid"])


def test_killed_in_the_middle_nothing_half_is_used_and_the_next_call_goes_on(place: Place) -> None:
    served = f"/cdn/{tiny.sha(tiny.contents().koniq)}"
    page = place.server.pages[served]
    page.drip = (20_000, 0.1)
    process = place.in_another_process("koniq10k")
    part = place.root / "downloads/koniq10k.tgz.part"
    try:
        wait_until(lambda: part.is_file() and part.stat().st_size > 40_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not (place.root / "koniq10k").exists() and not (place.root / "downloads/koniq10k.tgz").exists()
    assert state.look_at(place.profile, catalogue.find(["koniq10k"]))[0].condition == "missing"
    page.drip = None
    assert done(place.fetch("koniq10k")) == {"koniq10k": "fetched"}
    assert place.server.gets(served)[-1].status == 206, "the rest alone was asked for"


def test_two_fetch_at_once_and_each_file_comes_once(place: Place) -> None:
    both = [place.in_another_process("vision", "net_koniq", "koniq10k") for _ in range(2)]
    told = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("failed" not in text and len(text.splitlines()) == 3 for text in told)
    network, archive = (f"/cdn/{tiny.sha(held)}" for held in (tiny.contents().network, tiny.contents().koniq))
    for path in (f"/{tiny._vision_name()}", network, archive):
        assert len(place.server.gets(path)) == 1
