"""Weights of IQA networks that are missing, damaged or of another model: one clear sentence, and no way to a network."""

import builtins
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from paperlib.errors import PaperlibError
from paperlib.models.quality.model import expected_files, load_quality_model
from paperlib.models.stand_ins import random_files

DBCNN = "DBCNN_KonIQ10k-2de81c0a.pth"
PROMPTS = "CLIP-IQA+_learned_prompts-603f3273.pth"


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a sound DBCNN checkpoint of random weights."""
    folder = tmp_path_factory.mktemp("official")
    random_files("dbcnn", folder, seed=0)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def attempts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Every attempt to reach a network fails, and any attempt at all fails the test."""
    made: list[Any] = []

    def blocked(*address: Any, **_: Any) -> None:
        made.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", blocked)
    monkeypatch.setattr(socket, "getaddrinfo", blocked)
    yield made
    assert made == []


def told(name: str, **options: Any) -> str:
    """The message with which loading fails; one line."""
    with pytest.raises(PaperlibError) as caught:
        load_quality_model(name, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# ------------------------------------------------------------------------------------------ missing
@pytest.mark.parametrize("name", ["topiq", "dbcnn", "clipiqa_plus", "cnniqa_live"])
def test_all_missing_files_are_named_before_any_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_work(*_: Any, **__: Any) -> None:
        pytest.fail("a network was built although its files are missing")

    monkeypatch.setattr(torch.nn.Module, "__init__", no_work)
    message = told(name, weights_root=tmp_path)
    assert str(tmp_path) in message and "put it there" in message
    for file in expected_files(name):
        assert file.name in message and file.where in message


def test_only_what_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / PROMPTS).touch()
    message = told("clipiqa_plus", weights_root=tmp_path)
    assert "1 file of weights" in message and "RN50.pt" in message and PROMPTS not in message


def test_without_a_folder_the_cache_of_torch_hub_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    message = told("clipiqa_plus")
    assert str(tmp_path / "hub" / "pyiqa") in message and str(tmp_path / "hub" / "clip") in message
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_folder_and_a_wrong_file_are_named(tmp_path: Path) -> None:
    assert "no folder of weights" in told("dbcnn", weights_root=tmp_path / "nowhere")
    assert "there is no file of weights" in told("dbcnn", weights=tmp_path / "nothing.pth")


@pytest.mark.parametrize("name", ["hyperiqa", "niqe", "arniqa", "clipiqa", "topiq_nr-face", "laion_aes", "liqe"])
def test_other_metrics_name_the_file_that_is_missing_at_once(name: str, tmp_path: Path) -> None:
    """Without their files they would fetch ImageNet, CLIP, face or score weights, in six different ways."""
    message = told(name, layer="any", weights_root=tmp_path)
    assert message.startswith(f"{name}: ") and any(kind in message for kind in (".pth", ".mat", ".pt"))


# ------------------------------------------------------------------------------------------ damaged
@pytest.mark.parametrize("kept", [0, 100, 1_000_000, -1])
def test_a_truncated_checkpoint_is_named(kept: int, official: Path, tmp_path: Path) -> None:
    (tmp_path / DBCNN).write_bytes((official / DBCNN).read_bytes()[:kept])
    message = told("dbcnn", weights_root=tmp_path)
    assert DBCNN in message and "damaged" in message and "get it again" in message


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>404</html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_checkpoint_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / DBCNN).write_bytes(content)
    message = told("dbcnn", weights_root=tmp_path)
    assert DBCNN in message and f"({len(content)} bytes)" in message


def test_nothing_in_a_checkpoint_is_executed(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "executed",))

    torch.save({"params": Trap()}, tmp_path / DBCNN)
    assert "cannot be read as a PyTorch file of tensors" in told("dbcnn", weights_root=tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_damaged_clip_is_named(tmp_path: Path) -> None:
    torch.save(torch.zeros(16, 512), tmp_path / PROMPTS)
    for content in (b"", b"PK\x03\x04 not really", b"<html>"):
        (tmp_path / "RN50.pt").write_bytes(content)
        message = told("clipiqa_plus", weights_root=tmp_path)
        assert "RN50.pt" in message and "damaged" in message


# ------------------------------------------------------------------------------------------ of another model
def test_checkpoints_of_another_network_are_told_apart(official: Path) -> None:
    message = told("topiq", weights=official / DBCNN)
    assert "is not a checkpoint of CFANet" in message and "missing, first " in message
    assert "91 not of this network, first fc.bias" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("drop", "1 missing, first fc.bias"),
        ("add", "1 not of this network, first stranger"),
        ("reshape", "1 of another shape, first fc.bias (2,) for (1,)"),
    ],
)
def test_every_tensor_must_come_from_the_file(change: str, expected: str, official: Path, tmp_path: Path) -> None:
    state = torch.load(official / DBCNN, weights_only=True)["params"]
    if change == "drop":
        del state["fc.bias"]
    elif change == "add":
        state["stranger"] = torch.zeros(1)
    else:
        state["fc.bias"] = torch.zeros(2)
    torch.save({"params": state}, tmp_path / "changed.pth")
    assert expected in told("dbcnn", weights=tmp_path / "changed.pth")
    (tmp_path / "changed.pth").unlink()


def test_states_without_a_level_and_of_parallel_training_are_taken(official: Path, tmp_path: Path) -> None:
    state = torch.load(official / DBCNN, weights_only=True)["params"]
    path = tmp_path / "parallel.pth"
    torch.save({f"module.{key}": value for key, value in state.items()}, path)
    model = load_quality_model("dbcnn", weights=path)
    assert torch.equal(model.network.fc.weight, state["fc.weight"])
    path.unlink()


@pytest.mark.parametrize("held", [[1, 2], {"epoch": 3}, {"params": {"a": 1}}], ids=["list", "number", "no tensors"])
def test_a_file_without_a_state_dict_is_named(held: Any, tmp_path: Path) -> None:
    torch.save(held, tmp_path / DBCNN)
    assert "holds no state dict" in told("dbcnn", weights_root=tmp_path)


@pytest.mark.parametrize("prompts", [{"params": {}}, torch.zeros(512), torch.zeros(16, 768)], ids=["dict", "1-D", "768"])
def test_wrong_prompts_are_named(prompts: Any, tmp_path: Path) -> None:
    (tmp_path / "RN50.pt").touch()
    torch.save(prompts, tmp_path / PROMPTS)
    message = told("clipiqa_plus", weights_root=tmp_path)
    assert PROMPTS in message and "expected one tensor (16, 512)" in message


# ------------------------------------------------------------------------------------------ the environment
def test_setuptools_without_pkg_resources_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """setuptools 82 has no pkg_resources, which the CLIP package imports."""
    from pyiqa.utils.registry import ARCH_REGISTRY

    torch.save(torch.zeros(16, 512), tmp_path / PROMPTS)
    (tmp_path / "RN50.pt").touch()
    for module in [name for name in sys.modules if name.split(".")[0] in ("clip", "pkg_resources")]:
        monkeypatch.delitem(sys.modules, module)
    for module in ("pyiqa.archs.clip_imports", "pyiqa.archs.clipiqa_arch"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setattr(ARCH_REGISTRY, "_obj_map", {**ARCH_REGISTRY._obj_map})
    ARCH_REGISTRY._obj_map.pop("CLIPIQA", None)
    real_import = builtins.__import__

    def without_pkg_resources(name: str, *rest: Any, **options: Any) -> Any:
        if name.split(".")[0] == "pkg_resources":
            raise ModuleNotFoundError("No module named 'pkg_resources'", name="pkg_resources")
        return real_import(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without_pkg_resources)
    assert "setuptools<82" in told("clipiqa_plus", weights_root=tmp_path)
