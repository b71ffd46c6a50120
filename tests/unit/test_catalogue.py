"""The catalogue against the code that loads its items, against DATA.md, and against what its own words promise."""

import re
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path

import pytest

from paperlib import profiles
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.plan import coded_set
from paperlib.experiments.sets.plan import gaze_pictures, opinion_pictures
from paperlib.models.official import OfficialFile, cache_folder, find_official, of_timm, official_path
from paperlib.models.quality.methods import describe
from paperlib.paper import TABLE3
from paperlib.show.data_text import data_md
from paperlib.sources.source import KNOWN, official_files, require_weights
from paperlib.supply import catalogue, state
from paperlib.supply.catalogue import MAIN, Item
from paperlib.supply.fetch import instructions
from paperlib.supply.github import GithubFiles
from paperlib.supply.hub import HubFile
from paperlib.supply.transfer import WebFile, has_hash

REPOSITORY = Path(__file__).resolve().parents[2]
PAPER = profiles.load("paper", data_root="/nowhere", weights_root="/nowhere/weights")
OPEN = replace(
    PAPER,
    name="open",
    extent="sample",
    photographs=replace(PAPER.photographs, datasets=("osie", "eyecrowd"), methods=("center_only",)),
    masking=replace(PAPER.masking, opinions=("biq2021",)),
    dual_task=replace(
        PAPER.dual_task,
        training_set="biq2021",
        quality_sets=("biq2021",),
        gaze_sets=("osie", "eyecrowd"),
        backbones=("tf_efficientnet_lite0",),
        targets=("center_only",),
    ),
    compression=replace(PAPER.compression, scored_methods=("psnr",), weighting_model=""),
)
ITEMS = catalogue.items()


def item(name: str) -> Item:
    (found,) = catalogue.find([name])
    return found


def test_data_md_is_the_catalogue() -> None:
    assert (REPOSITORY / "DATA.md").read_text("utf-8") == data_md(), "run `python -m paperlib readme`"


def test_data_md_says_first_what_limits_use() -> None:
    first = " ".join(data_md().split("\n\n")[2].split())
    assert first.startswith("**What limits use.**")
    for word in ("pyiqa", "CC BY-NC-SA 4.0", "SACID and SGDNet state no licence", "ImageNet", "terms of its own"):
        assert word in first
    assert all(f"`{one.name}`" in data_md() for one in ITEMS)


def test_every_file_that_the_paper_loads_is_an_item() -> None:
    files = {file.name for source in KNOWN.values() for file in official_files(source)}
    for row in TABLE3:
        if not row.method.startswith("baseline"):
            files |= {file.name for file in describe(row.method).files}
    held = {one.file.name for one in catalogue.weights() if one.file}
    assert files <= held and len(held) == len(catalogue.weights())
    assert held - files == {"CNNIQA-LIVE", "resnet50.a1_in1k.safetensors"} - files


def test_what_the_paper_needs() -> None:
    needed = catalogue.needed_by(PAPER)
    assert {name for name in needed if item(name).kind == "data set"} == {"salicon", "cat2000", "koniq10k", "clive", "sacid"}
    optional = {one.name for one in ITEMS if one.optional}
    assert optional == {"clic2021", "CNNIQA-LIVE"} and not optional & set(needed)
    assert {one.name for one in ITEMS if one.kind == "data set"} - optional - set(needed) == {"biq2021", "osie", "eyecrowd"}
    assert needed["koniq10k"] == ("Figure 2", "Table II", "Table III")
    assert needed["brisque_svm_weights"] == ("Table III",)
    assert needed["msinet"] == ("Table I", "Figure 2", "Table II", "Table III")
    assert needed["cfanet_nr_koniq_res50"] == ("Table I", "Figure 2", "Table III")
    fewer = replace(
        PAPER,
        photographs=replace(PAPER.photographs, methods=("center_only",)),
        compression=replace(PAPER.compression, scored_methods=("psnr",), weighting_model=""),
        sections=("03a", "03b", "03d"),
    )
    assert catalogue.needed_by(fewer) == {
        "salicon": ("Table I",),
        "cat2000": ("Table I",),
        "koniq10k": ("Figure 2",),
        "sacid": ("Table III",),
    }


def test_what_a_profile_of_open_data_needs() -> None:
    needed = catalogue.needed_by(OPEN)
    assert needed == {
        "osie": ("Table I", "Table II"),
        "eyecrowd": ("Table I", "Table II"),
        "biq2021": ("Figure 2", "Table II"),
        "sacid": ("Table III",),
    }
    chosen = {extent: catalogue.chosen_items(replace(OPEN, extent=extent), []) for extent in ("sample", "all")}
    for items in chosen.values():
        assert [one.name for one in items] == ["sacid", "biq2021", "osie", "eyecrowd"]
        assert all(one.automatic for one in items)
    megabytes = {extent: sum(one.download for one in chosen[extent]) // 1_000_000 for extent in chosen}
    assert megabytes["sample"] < 400 < 1400 < megabytes["all"]


def test_what_the_profile_open_needs() -> None:
    needed = catalogue.needed_by(profiles.load("open", data_root="/nowhere"))
    assert set(needed) == {"osie", "eyecrowd", "biq2021", "sacid", "fastgaze"}
    assert needed["fastgaze"] == ("Table I", "Figure 2", "Table II", "Table III")
    assert all(one.automatic for one in catalogue.chosen_items(profiles.load("open", data_root="/nowhere"), []))


def test_fastgaze_comes_from_its_repository() -> None:
    one = catalogue._item(OfficialFile("fastgaze.vxm", "", "its authors", "fastgaze"))
    assert isinstance(one.source, WebFile) and one.automatic and one.licence == "Apache-2.0"
    assert one.source.url == (
        "https://raw.githubusercontent.com/twitter-research/image-crop-analysis/"
        "d66ad3bb3881fdbd12a27e04c3e57cc8fd772dd1/bin/fastgaze.vxm"
    )
    assert state.target_of(one, PAPER) == Path("/nowhere/weights/fastgaze.vxm")


def test_the_real_fastgaze_has_the_known_hash(shared: Callable[..., Path]) -> None:
    one = catalogue._item(OfficialFile("fastgaze.vxm", "", "its authors", "fastgaze"))
    assert one.source is not None and has_hash(shared("open", "fastgaze", "fastgaze.vxm"), one.source.known_hash)


def test_what_other_profiles_need() -> None:
    assert catalogue.needed_by(profiles.load("demo")) == {}
    assert catalogue.needed_by(profiles.load("own", data_root="/nowhere")) == {}
    own = profiles.load("own", data_root="/nowhere", models=["dbcnn", "timm:resnet50"])
    assert catalogue.needed_by(own) == {"DBCNN_KonIQ10k": ("Table I", "Figure 2"), "resnet50.a1_in1k": ("Table I",)}
    assert set(catalogue.needed_by(profiles.load("rehearsal"))) == set(catalogue.needed_by(PAPER))


@pytest.mark.parametrize("one", ITEMS, ids=lambda one: one.name)
def test_each_item_says_all_that_it_has_to(one: Item) -> None:
    assert re.fullmatch(r"[\w.+-]+", one.name) and one.title and one.licence and one.terms.endswith(".")
    assert (one.download > 0 or one.is_made_here) and one.on_disk > 0
    assert one.address.startswith(("http://", "https://")) or one.is_made_here
    steps = instructions(one)
    assert steps and not any("{" in step for step in steps), "all places are filled in"
    assert (one.file is not None) == (one.kind == "weights") and bool(one.parts) == (one.kind == "data set")


def sources(one: Item) -> list[catalogue.Source]:
    return [source for source in (one.source, *(part.source for part in one.parts)) if source is not None]


@pytest.mark.parametrize(
    "one", [one for one in (*ITEMS, *catalogue.VARIANTS.values()) if sources(one)], ids=lambda one: one.title
)
def test_what_is_fetched_is_pinned_or_checked_or_said_to_be_trusted(one: Item) -> None:
    for source in sources(one):
        if isinstance(source, WebFile):
            assert source.known_hash
        elif source.revision != MAIN:
            assert re.fullmatch("[0-9a-f]{40}", source.revision)
        elif isinstance(source, GithubFiles) or not source.known_hash:
            trusted = re.search(r"no commit is known here: (.*?)\. They are \*\*trusted", data_md(), re.DOTALL)
            assert trusted and f"`{one.name}`" in trusted[1]
    digits = re.search(r"-([0-9a-f]{8})\.", one.file.name) if one.file else None
    if digits and one.source:
        assert one.source.known_hash.partition(":")[2].startswith(digits[1]), "the official name carries its own hash"


def test_archives_that_are_downloaded_are_understood() -> None:
    for part in (part for one in catalogue.DATA_SETS for part in one.parts):
        source = part.source
        address = source.path if isinstance(source, HubFile) else source.url if isinstance(source, WebFile) else ""
        if name := address.rpartition("/")[2]:
            is_archive = name.endswith((".zip", ".tgz"))
            assert any(fnmatch(name, pattern) for pattern in part.archives) == is_archive == bool(part.archives)


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("salcon", "salicon"), ("Koniq", "koniq10k"), ("RN5O", "RN50"), ("dists_weight", "DISTS_weights"), ("topik", "topiq")],
)
def test_an_unknown_name_is_told_with_names_like_it(wrong: str, near: str) -> None:
    with pytest.raises(
        PaperlibError, match=f"there is no data set or file of weights '{wrong}'.*names like it: .*{re.escape(near)}"
    ):
        catalogue.find([wrong])
    with pytest.raises(PaperlibError, match="data where"):
        catalogue.find(["§§§§"])


def test_names_of_files_and_methods_are_understood() -> None:
    assert [one.name for one in catalogue.find(["SALICON", "RN50.pt", "salicon"])] == ["salicon", "RN50"]
    assert [one.name for one in catalogue.find(["ahiq"])] == [
        "resnet50.a1_in1k",
        "vit_base_patch8_224.augreg2_in21k_ft_in1k",
        "AHIQ_vit_p8_epoch33",
    ]
    assert catalogue.chosen_items(PAPER, ["lpips"]) == catalogue.find(["alexnet-owt", "LPIPS_v0.1_alex"])


def test_what_is_missing_is_named_so_that_fetch_understands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PaperlibError) as caught:
        require_weights(KNOWN.values(), tmp_path)
    told = re.search(r"`python -m paperlib data fetch ([^`]+)`", str(caught.value))
    assert told is not None
    named = catalogue.find(told[1].split())
    assert len(named) == int(str(caught.value).split()[0]) == len(told[1].split())


def test_what_a_loader_refuses_comes_with_the_command_that_gets_it(tmp_path: Path) -> None:
    paper = profiles.load("paper", data_root=str(tmp_path), weights_root=str(tmp_path))
    openers = {
        "salicon": gaze_pictures,
        "cat2000": gaze_pictures,
        "koniq10k": lambda profile, name: opinion_pictures(profile, name, "test"),
        "clive": lambda profile, name: opinion_pictures(profile, name, "test"),
        "sacid": lambda profile, _: coded_set(profile),
    }
    for name, opener in openers.items():
        with pytest.raises(PaperlibError, match=f"`python -m paperlib data fetch {name}` gets it or says how"):
            opener(paper, name)
    laptop = replace(OPEN, data_root=str(tmp_path))
    with pytest.raises(PaperlibError, match="`python -m paperlib data fetch sacid --profile open` gets it or says how"):
        coded_set(laptop)
    with pytest.raises(PaperlibError) as caught:
        gaze_pictures(profiles.load("own", data_root=str(tmp_path)), "own")
    assert "data fetch" not in str(caught.value), "nobody but the user has that"


# ---- where an official file is found --------------------------------------------------------------------------------
def test_the_folder_of_weights_comes_before_the_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    root, file = tmp_path / "weights", OfficialFile("CLIP-IQA+_x-603f3273.pth", "pyiqa", "somewhere")
    assert find_official(file, root) is None and official_path(file, root) == root / file.name
    cached = tmp_path / "torch/hub/pyiqa/CLIP-IQA%2B_x-603f3273.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"cached")
    assert find_official(file, root) == find_official(file) == cached == official_path(file, root)
    root.mkdir()
    (root / file.name).write_bytes(b"own")
    assert find_official(file, root) == root / file.name and find_official(file) == cached
    beside = OfficialFile("other.pt", "clip", "")
    (root / "other.pt").write_bytes(b"beside")
    assert find_official(beside, None, root) == root / "other.pt"


def test_backbones_are_found_in_the_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    file = of_timm("net.tag")
    home = cache_folder(file)
    assert home == tmp_path / "models--timm--net.tag" and find_official(file) is None
    for commit in ("a" * 40, "b" * 40):
        (home / "snapshots" / commit).mkdir(parents=True)
        (home / "snapshots" / commit / "model.safetensors").write_bytes(commit.encode())
    assert find_official(file) == home / "snapshots" / ("a" * 40) / "model.safetensors"
    (home / "refs").mkdir()
    (home / "refs/main").write_text("b" * 40)
    assert find_official(file) == home / "snapshots" / ("b" * 40) / "model.safetensors"
    with pytest.raises(ValueError, match="only in a folder of weights"):
        cache_folder(OfficialFile("a.pth", "", ""))
