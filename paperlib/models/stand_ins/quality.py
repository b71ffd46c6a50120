"""Files of IQA methods in the official formats, with random weights."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models.official import TIMM, OfficialFile
from paperlib.models.quality.files import ALEXNET, CLIPIQA, CNNIQA_LIVE, FILES, RESNET50, VGG16, VIT
from paperlib.models.quality.methods import FORMULAS, SGDNETS, metric_of
from paperlib.models.quality.networks import PROMPTS, cnniqa
from paperlib.models.quality.offline import isolated, survey
from paperlib.models.stand_ins.sgdnet import random_checkpoint
from paperlib.paths import atomic_write

_SUPPORT_VECTORS = (774, 36)

Made = list[tuple[OfficialFile, Any]]


def random_files(name: str, folder: Path, seed: int) -> list[Path]:
    """Write the files that a method needs, in the official formats and under the official names, with random weights.

    The classifiers of torchvision's backbones, which no method uses, are written as zeros that take no space.

    Args:
        name: as in `paperlib.models.quality.methods.open_method`, or a model of `load_quality_model` without a user's
            own code.
        folder: made when missing; files of these names in it are replaced.
        seed: the same seed gives the same weights.

    Returns:
        The files, in the order in which they are listed for the method.

    Raises:
        PaperlibError: no such method, or pyiqa does not load it from one file of its own (LPIPS, DISTS, AHIQ, BRISQUE
            and CLIP-IQA+ are made all the same).
        OSError: the folder cannot be written or the disk is full.
    """
    if name in SGDNETS:
        return [random_checkpoint(SGDNETS[name], folder, seed)]
    return [_write(file, folder, held) for file, held in _made(name, seed)]


def _made(name: str, seed: int) -> Made:
    if name in FORMULAS:
        return []
    metric = name if name == CNNIQA_LIVE else metric_of(name)
    if metric in _MAKERS:
        return _MAKERS[metric](seed)
    asked = survey(metric, seed=seed)
    if not asked.files:
        return []
    if asked.network is None or not asked.whole:
        raise PaperlibError(f"{name}: pyiqa does not load it from one file of its own, so none can be made up")
    state = asked.network.state_dict()
    return [(asked.files[-1], {asked.key: state} if asked.key else state)]


def _write(file: OfficialFile, folder: Path, held: Any) -> Path:
    path = folder / file.name
    with atomic_write(path) as stream:
        if file.cache == TIMM:
            from safetensors.torch import save

            stream.write(save({key: tensor.contiguous() for key, tensor in held.items()}))
        elif isinstance(held, torch.jit.ScriptModule):
            torch.jit.save(held, stream)
        else:
            torch.save(held, stream)
    return path


def _random_brisque(seed: int) -> Made:
    """Support vectors in [-1, 1] and coefficients that sum to 0."""
    generator = torch.Generator().manual_seed(seed)
    vectors = 2 * torch.rand(_SUPPORT_VECTORS, generator=generator) - 1
    coefficients = 100 * torch.randn(_SUPPORT_VECTORS[:1], generator=generator)
    return [(FILES["brisque"][0], (coefficients - coefficients.mean(), vectors))]


def _random_lpips(seed: int) -> Made:
    """Heads that are not negative, as the trained ones."""
    network, backbone = _random_parts("lpips", "alexnet", seed)
    heads = {key: value.abs() for key, value in network.state_dict().items() if re.match(r"lin\d", key)}
    return [(ALEXNET, backbone), (FILES["lpips"][1], heads)]


def _random_dists(seed: int) -> Made:
    network, backbone = _random_parts("dists", "vgg16", seed)
    own = {key: value for key, value in network.state_dict().items() if key in ("alpha", "beta")}
    return [(VGG16, backbone), (FILES["dists"][1], own)]


def _random_ahiq(seed: int) -> Made:
    network: Any = survey("ahiq", seed=seed, pretrained=False).network
    own = {f"{part}_model_state_dict": getattr(network, part).state_dict() for part in ("regressor", "deform_net")}
    backbones = [(RESNET50, network.resnet50.state_dict()), (VIT, network.vit.state_dict())]
    return [*backbones, (FILES["ahiq"][2], own)]


def _random_cnniqa(seed: int) -> Made:
    return [(FILES[CNNIQA_LIVE][0], cnniqa(seed).state_dict())]


def _random_clipiqa(seed: int) -> Made:
    """Random prompts and a random CLIP RN50, the latter in half precision in a TorchScript archive as OpenAI's file."""
    with isolated(seed):
        from pyiqa.archs.clip_model import CLIP, convert_weights

        prompts = (0.02 * torch.randn(PROMPTS)).half()
        clip = CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12)
        for layer in clip.visual.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.ones_(layer.weight)
        convert_weights(clip)
        sizes = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
        state = {**clip.state_dict(), **{name: torch.tensor(size) for name, size in sizes.items()}}
        archive = torch.jit.script(_holder(state))
    return list(zip(FILES[CLIPIQA], (prompts, archive), strict=True))


def _holder(state: dict[str, Tensor]) -> nn.Module:
    """A module without a forward whose state dict is `state`."""
    root = nn.Module()
    for name, tensor in state.items():
        *parents, last = name.split(".")
        owner = root
        for parent in parents:
            if parent not in dict(owner.named_children()):
                owner.add_module(parent, nn.Module())
            owner = owner.get_submodule(parent)
        owner.register_buffer(last, tensor)
    return root


_MAKERS: dict[str, Callable[[int], Made]] = {
    "brisque": _random_brisque,
    "lpips": _random_lpips,
    "dists": _random_dists,
    "ahiq": _random_ahiq,
    CLIPIQA: _random_clipiqa,
    CNNIQA_LIVE: _random_cnniqa,
}


def _random_parts(metric: str, backbone: str, seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network of pyiqa with random weights, and a state dict of its backbone in torchvision."""
    from torchvision.models import get_model

    network: Any = survey(metric, seed=seed).network
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in get_model(backbone).state_dict().items()}
    classifier = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items() if key.startswith("classifier.")}
    return network, {**_features(network), **classifier}


def _features(network: nn.Module) -> dict[str, Tensor]:
    """Convolutions of LPIPS (`net.slice1.0.weight`) and DISTS (`stage1.0.weight`) by torchvision's names."""
    features = {}
    for key, value in network.state_dict().items():
        match = re.search(r"(?:slice|stage)\d\.(\d+\.(?:weight|bias))$", key)
        if match:
            features[f"features.{match[1]}"] = value
    return features
