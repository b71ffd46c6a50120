"""Files of networks in the official formats, with random weights, for rehearsals and tests.

Nothing that computes imports this. Scales are those with which neither scores nor maps are flat or saturated.
"""

import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models import fastgaze, msinet, saliency, sgdnet, transalnet
from paperlib.models.official import TIMM, OfficialFile
from paperlib.models.quality.methods import FORMULAS, SGDNETS, metric_of
from paperlib.models.quality.networks import ALEXNET, CLIPIQA, CNNIQA_LIVE, FILES, PROMPTS, RESNET50, VGG16, VIT, cnniqa
from paperlib.models.quality.offline import isolated, survey
from paperlib.models.tf_graph import write_constants
from paperlib.paths import atomic_write

_SUPPORT_VECTORS = (774, 36)

Made = list[tuple[OfficialFile, Any]]


def random_files(name: str, folder: Path, seed: int) -> list[Path]:
    """Write the files that a network or method needs, under the official names.

    The classifiers of torchvision's backbones, which no method uses, are written as zeros that take no space.

    Args:
        name: a saliency network, a method as in `paperlib.models.quality.methods.open_method`, or a model of
            `load_quality_model` without a user's own code.
        folder: made when missing; files of these names in it are replaced.
        seed: the same seed gives the same weights.

    Returns:
        The files, in the order in which they are listed for the method; 100 to 400 MB each for most.

    Raises:
        PaperlibError: no such method, or pyiqa does not load it from one file of its own (LPIPS, DISTS, AHIQ, BRISQUE
            and CLIP-IQA+ are made all the same).
        OSError: the folder cannot be written or the disk is full.
    """
    if name in saliency.OFFICIAL_FILES:
        file = folder / saliency.OFFICIAL_FILES[name]
        if name in saliency.TRANSALNETS:
            with atomic_write(file) as stream:
                torch.save(random_transalnet(saliency.TRANSALNETS[name], seed), stream)
        elif name == "msinet":
            write_constants(random_msinet(seed), file)
        else:
            fastgaze.write_fastgaze(random_fastgaze(seed), file)
        return [file]
    if name in SGDNETS:
        file = folder / sgdnet.OFFICIAL_FILES[SGDNETS[name]]
        with atomic_write(file) as stream:
            stream.write(_keras_file(random_sgdnet(SGDNETS[name], seed)))
        return [file]
    return [_write(file, folder, held) for file, held in _made(name, seed)]


# ---- saliency networks and SGDNet -----------------------------------------------------------------------------------
def random_msinet(seed: int) -> dict[str, NDArray[np.float32]]:
    """Random weights under the names of the original."""
    rng = np.random.default_rng(seed)
    constants = {}
    for name, shape in msinet.constant_shapes().items():
        scale = math.sqrt(2 / math.prod(shape[:-1])) if len(shape) == 4 else 0.1
        if name == "conv1/conv1_1/kernel":
            scale /= 64  # the input is about +-128
        constants[name] = rng.standard_normal(shape, np.float32) * np.float32(scale)
    return constants


def random_transalnet(variant: transalnet.Variant, seed: int) -> dict[str, Tensor]:
    """Random weights under the authors' names."""
    with torch.device("meta"):
        shapes = transalnet.TranSalNet(variant).state_dict()
    rng = np.random.default_rng(seed)
    return {key: _random_tensor(key, value, rng) for key, value in shapes.items()}


def random_fastgaze(seed: int) -> dict[str, Tensor]:
    """Random weights under the names of `fastgaze.fastgaze`."""
    with torch.device("meta"):
        shapes = fastgaze.fastgaze().state_dict()
    rng = np.random.default_rng(seed)
    state = {key: _random_tensor(key, value, rng) for key, value in shapes.items()}
    return state | {"0.weight": state["0.weight"] / 64}  # the input is about +-128


def _random_tensor(key: str, like: Tensor, rng: np.random.Generator) -> Tensor:
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    noise = torch.from_numpy(rng.standard_normal(tuple(like.shape), np.float32))
    if key.endswith("position_embeddings"):
        return 0.02 * noise
    if like.ndim > 1:
        return noise * math.sqrt(2 / math.prod(like.shape[1:]))
    if key.endswith("running_var"):
        return 1 + 0.1 * noise.abs()
    if key.endswith("bn3.weight"):
        return 0.25 * (1 + 0.1 * noise)  # keeps the residual stream as small as the transformers' updates
    return 1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise


def random_sgdnet(variant: sgdnet.Variant, seed: int) -> dict[str, NDArray[np.float32]]:
    """Random weights under the names and in the layout of Keras.

    Raises:
        ValueError: another variant.
    """
    rng = np.random.default_rng(seed)
    return {name: _random_array(name, shape, rng) for name, shape in sgdnet.weight_shapes(variant).items()}


def _random_array(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, np.float32)
    layer, leaf = name.split("/")
    if layer == "saliency":  # a map of both signs may be cut to nothing, and the score with it
        return np.abs(noise) * np.float32(1 / sgdnet.CHANNELS)
    if leaf == "kernel":
        return noise * np.float32(math.sqrt(2 / math.prod(shape[:-1])))
    if leaf == "moving_variance":
        values = 1 + np.float32(0.1) * np.abs(noise)
        return values * np.float32(4096 if layer == "bn_conv1" else 1)  # the input is about +-128
    if leaf == "gamma":
        values = 1 + np.float32(0.1) * noise
        return values * np.float32(0.25 if layer.endswith("_branch2c") else 1)  # keeps the residual stream small
    return noise * np.float32(0.01 if leaf == "bias" else 0.1)


def _keras_file(weights: dict[str, NDArray[np.float32]]) -> memoryview:
    layers: dict[str, list[str]] = {}
    for name in weights:
        layers.setdefault(name.split("/")[0], []).append(f"{name}:0")
    content = io.BytesIO()
    with h5py.File(content, "w") as opened:
        root = opened.create_group("model_weights")
        root.attrs["layer_names"] = np.array(list(layers), "S")
        for layer, names in layers.items():
            group = root.create_group(layer)
            group.attrs["weight_names"] = np.array(names, "S")
            for name in names:
                group.create_dataset(name, data=weights[name.removesuffix(":0")])
    return content.getbuffer()


# ---- pyiqa's networks -----------------------------------------------------------------------------------------------
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
    CNNIQA_LIVE: lambda seed: [(FILES[CNNIQA_LIVE][0], cnniqa(seed).state_dict())],
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
