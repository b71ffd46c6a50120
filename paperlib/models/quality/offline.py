"""pyiqa's constructors, kept from the network.

They fetch ImageNet or CLIP weights although the official checkpoint then replaces every one of them (DBCNN always,
whatever it is told), and wait long for a network that is not there. Here a constructor runs once with random weights
to see which files it asks for (`survey`), or with each of them read from a local one (`assembled`).
"""

import io
import random
import sys
import threading
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.parse import unquote, urlparse

import torch
from torch import nn

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import fill, first_line, read_checkpoint, read_tensors
from paperlib.models.official import OfficialFile, find_official, located, of_pyiqa, of_timm, of_torchvision

_BUILDING = threading.RLock()


class Survey(NamedTuple):
    """What a constructor of pyiqa asks for.

    Attributes:
        network: random weights in it; None where the constructor ended at a file that it reads itself and that is missing.
        files: those that the network is loaded from, as far as the constructor came.
        whole: the last of `files` is a checkpoint that fills all of `network`.
        key: of the dictionary in that checkpoint, or None.
    """

    network: nn.Module | None
    files: tuple[OfficialFile, ...]
    whole: bool
    key: str | None


class _ReadDirectly(PaperlibError):
    """A constructor reads a file itself instead of having pyiqa load it, and it is not there."""


def settings_of_pyiqa() -> dict[str, dict[str, Any]]:
    """Every metric of pyiqa: `metric_opts` of its constructor, `metric_mode` "FR" or "NR", `lower_better`."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return DEFAULT_CONFIGS


def survey(metric: str, root: Path | None = None, seed: int | None = None, **options: Any) -> Survey:
    """Build a network with random weights and note which files it wanted.

    Args:
        metric: of pyiqa.
        root: folder of weights, looked in first for files that a constructor reads itself.
        seed: determines the weights; random ones with None.
        options: of the constructor, instead of pyiqa's defaults.

    Raises:
        PaperlibError: a package is missing, or pyiqa cannot build the network without what lies elsewhere.
    """
    fetches: list[tuple[OfficialFile, nn.Module | None, str | None]] = []  # checkpoint, what it fills, under which key
    backbones: list[OfficialFile] = []
    direct: list[OfficialFile] = []

    def note(net: nn.Module, model_path: str, strict: bool = True, weight_keys: str | None = None) -> None:
        fetches.append((of_pyiqa(_file_name(model_path)), net if strict else None, weight_keys))

    def read(file: OfficialFile) -> Path:
        direct.append(file)
        path = find_official(file, root)
        if path is None:
            raise _ReadDirectly(file.name)
        return path

    network = None
    with isolated(seed), suppress(_ReadDirectly):
        network = _construct(metric, options, path_of=read, backbone=backbones.append, load=note)
    for file, filled, key in reversed(fetches):
        if network is not None and filled is network:  # the checkpoint overwrites what came before
            return Survey(network, (*dict.fromkeys(direct), file), True, key)
    files = [*backbones, *(file for file, _, _ in fetches), *direct]
    return Survey(network, tuple(dict.fromkeys(files)), False, None)


def assembled(metric: str, root: Path | None, **options: Any) -> nn.Module:
    """What pyiqa's constructor gives when each of the files that it asks for is a local one.

    Args:
        metric: of pyiqa.
        root: folder of weights, looked in before the libraries' caches.
        options: of the constructor, instead of pyiqa's defaults.

    Raises:
        PaperlibError: a package or a file is missing, or a file is damaged or of another network.
    """

    def path_of(file: OfficialFile) -> Path:
        return located((file,), root, metric)[0]

    def load(net: nn.Module, model_path: str, strict: bool = True, weight_keys: str | None = None) -> None:
        fill(net, path_of(of_pyiqa(_file_name(model_path))), part=not strict)

    with isolated():
        return _construct(metric, options, path_of=path_of, backbone=path_of, load=load)


def _file_name(address: str) -> str:
    return unquote(Path(urlparse(address).path).name)


# ---- constructing ---------------------------------------------------------------------------------------------------
def _construct(
    metric: str,
    options: dict[str, Any],
    *,
    path_of: Callable[[OfficialFile], Path],
    backbone: Callable[[OfficialFile], Path | None],
    load: Callable[..., None],
) -> nn.Module:
    """A network by pyiqa's constructor.

    Args:
        metric: of pyiqa.
        options: of the constructor, instead of pyiqa's defaults.
        path_of: where a file lies that the constructor reads itself.
        backbone: where the weights of a backbone of timm or torchvision lie; they stay random with None.
        load: stands for pyiqa's `load_pretrained_network`.

    Raises:
        PaperlibError: a package is not installed, or the constructor fails.
    """
    from pyiqa import archs
    from pyiqa.utils.registry import ARCH_REGISTRY

    settings = {**settings_of_pyiqa()[metric]["metric_opts"], **options}
    kind = settings.pop("type")
    try:
        if kind not in ARCH_REGISTRY:
            archs._lazy_import_arch(kind)
    except ModuleNotFoundError as error:
        advice = "install 'setuptools<82': later ones have no pkg_resources, which CLIP needs"
        raise PaperlibError(
            f"{metric} cannot be imported: {error}; "
            + (advice if error.name == "pkg_resources" else f"install {error.name}, or choose another model")
        ) from error
    with _local_files_only(metric, path_of), _local_backbones(backbone), _in_architectures("load_pretrained_network", load):
        try:
            return ARCH_REGISTRY.get(kind)(**settings)
        except PaperlibError:
            raise
        except Exception as error:  # files of the wrong kind fail in many ways inside pyiqa
            files = ", ".join(Path(value).name for value in options.values() if isinstance(value, str))
            raise PaperlibError(
                f"pyiqa cannot build {metric}{f' from {files}' if files else ''} from local files; one may be missing, "
                f"damaged or of another model ({first_line(error)})"
            ) from error


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Random numbers, warnings filters and printed lines stay as they were; one building at a time.

    With a seed the random numbers inside are determined by it.
    """
    with _BUILDING, ExitStack() as stack:
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.callback(random.setstate, random.getstate())
        if seed is not None:
            torch.manual_seed(seed)
            random.seed(seed)
        yield


# ---- what is replaced meanwhile -------------------------------------------------------------------------------------
@contextmanager
def _local_files_only(metric: str, path_of: Callable[[OfficialFile], Path]) -> Iterator[None]:
    """Files that a constructor of pyiqa reads itself are those of `path_of`, and are read as tensors; none is fetched.

    Replaced for the duration: pyiqa's and CLIP's look-up of a file, `torch.load`, the opening of addresses by torch.hub
    and urllib, and the switch that keeps huggingface_hub offline. Each tells at once which file it wanted instead of
    waiting for a network.
    """
    import huggingface_hub.constants

    def find(address: str, *_: Any, **__: Any) -> str:
        return str(path_of(of_pyiqa(_file_name(address))))

    def find_clip(address: str, *_: Any, **__: Any) -> str:
        return str(path_of(OfficialFile(_file_name(address), "clip", address)))

    def tensors_alone(file: Any, *_: Any, **__: Any) -> Any:
        return read_tensors(file)

    def refuse(address: Any, *_: Any, **__: Any) -> None:
        address = getattr(address, "full_url", address)
        raise PaperlibError(
            f"{metric}: pyiqa looked in vain for {_file_name(address)} of {address}; nothing is "
            f"downloaded here: let pyiqa.create_metric({metric!r}) fetch its files once, then repeat"
        )

    with (
        patch.object(huggingface_hub.constants, "HF_HUB_OFFLINE", True),
        patch.object(torch.hub, "urlopen", refuse),
        patch.object(urllib.request, "urlopen", refuse),
        patch.object(torch, "load", tensors_alone),
        _in_architectures("load_file_from_url", find),
        _in_architectures("_download", find_clip),
    ):
        yield


@contextmanager
def _local_backbones(path_of: Callable[[OfficialFile], Path | None]) -> Iterator[None]:
    """timm and torchvision take weights from local files, or give random ones where `path_of` tells none."""
    import timm.models._builder
    from torchvision.models import WeightsEnum

    verify = vars(WeightsEnum)["verify"].__func__
    load_backbone = timm.models._builder.load_pretrained

    def of_torch(weights: Any) -> Path | None:
        return path_of(of_torchvision(_file_name(weights.url)))

    def verified(cls: type, wanted: Any) -> Any:
        weights = verify(cls, wanted)
        return weights if weights is not None and of_torch(weights) is not None else None

    def read(weights: Any, *_: Any, **__: Any) -> Any:
        return read_checkpoint(of_torch(weights) or Path())

    def load(model: nn.Module, pretrained_cfg: dict[str, Any], **options: Any) -> None:
        stem = ".".join(filter(None, (pretrained_cfg["architecture"], pretrained_cfg.get("tag"))))
        path = path_of(of_timm(stem))
        if path is not None:
            load_backbone(model, pretrained_cfg={**pretrained_cfg, "file": str(path)}, **options)

    with (
        patch.object(WeightsEnum, "verify", classmethod(verified)),
        patch.object(WeightsEnum, "get_state_dict", read),
        patch.object(timm.models._builder, "load_pretrained", load),
    ):
        yield


@contextmanager
def _in_architectures(name: str, value: Any) -> Iterator[None]:
    """`name` replaced in every loaded module of pyiqa's architectures (they import it by name)."""
    with ExitStack() as stack:
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith("pyiqa.archs.") and name in vars(module):
                stack.enter_context(patch.object(module, name, value))
        yield
