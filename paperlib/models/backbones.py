"""One door to every timm backbone, and the tiny one that ships with the companion."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models import efficientnet_lite

MICROWORLD = "microworld"
"""The name of the tiny backbone that ships with the companion."""

TINY = "test_resnet"
TINY_OUT_INDEX = 2
TINY_WEIGHTS = Path(__file__).with_name("microworld_backbone.safetensors")

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)

_BUNDLED: dict[str, Callable[[], Path]] = {
    MICROWORLD: lambda: TINY_WEIGHTS,
    efficientnet_lite.LITE0: efficientnet_lite.weights_file,
}


def bundled_weights(name: str) -> Path | None:
    """The file with the pretrained weights of backbone `name` where it ships here or with a dependency, else None.

    Raises:
        PaperlibError: that dependency is not installed.
    """
    return _BUNDLED[name]() if name in _BUNDLED else None


class Backbone(nn.Module):
    """Features (n, c, h, w) of a timm network; `channels` and `reduction` (the stride) describe them.

    `mean` and `sd` are those of R, G, B in [0, 1] that its input is to be normalised with.
    """

    def __init__(self, network: nn.Module, channels: int, reduction: int):
        super().__init__()
        self.network = network
        self.channels = channels
        self.reduction = reduction
        config: Any = network.pretrained_cfg
        self.mean: tuple[float, ...] = tuple(config["mean"])
        self.sd: tuple[float, ...] = tuple(config["std"])

    def forward(self, images: Tensor) -> Tensor:
        features = self.network(images)
        return features[0] if isinstance(features, list) else features


def create_backbone(
    name: str,
    *,
    out_index: int | None = None,
    pretrained: bool = False,
    imagenet: Path | None = None,
    weights: Path | None = None,
) -> Backbone:
    """Backbone `name` of timm, or `MICROWORLD`: the features that its classifier pools, or those of stage `out_index`.

    What a classifier pools may lie behind its last stage: EfficientNet-B0 has a stage of 320 channels and then a
    convolution to 1280, which the authors' Baseline pools.

    Args:
        name: any timm model that can return features, or `MICROWORLD`, whose own weights are the pretrained ones.
        out_index: stage, as in timm's `features_only`; None for the features that are pooled (networks without such a map,
            as many transformers are, give their last stage).
        pretrained: take its `bundled_weights`; where there are none, timm's ImageNet weights from its cache or the hub.
        imagenet: take timm's weights of the whole classifier from this file instead (see `imagenet_file`).
        weights: a safetensors file of this backbone instead; keys as in `state_dict()`.

    Raises:
        PaperlibError: as `bundled_weights`, or their file is damaged.
        ValueError: no such timm model, no such stage, or weights of another network.
        FileNotFoundError: `weights` does not exist.
    """
    import timm

    if name == MICROWORLD:
        return _microworld(pretrained)
    if name not in timm.list_models() and not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name.split('_')[0]}*")[:5]) or "none"
        raise ValueError(f"timm has no model {name!r}; similar names: {near}")
    if imagenet is not None and not imagenet.is_file():
        raise FileNotFoundError(f"no ImageNet weights of {name} at {imagenet}")
    bundled = bundled_weights(name) if pretrained and imagenet is None else None
    overlay = {"pretrained_cfg_overlay": {"file": str(imagenet)}} if imagenet else {}
    pretrained = bundled is None and (pretrained or imagenet is not None)
    try:
        backbone = _pooled(name, pretrained, overlay) if out_index is None else None
        backbone = backbone or _stage(name, -1 if out_index is None else out_index, pretrained, overlay)
    except (IndexError, AssertionError) as error:
        raise ValueError(f"{name} has no stage {out_index}: {error or 'expected a smaller index'}") from None
    except RuntimeError as error:
        raise ValueError(f"{imagenet} does not hold weights of {name}: {str(error).splitlines()[0]}") from None
    if bundled is not None:
        efficientnet_lite.fill(backbone.network, bundled)
    if weights is not None:
        load_weights(backbone, weights)
    return backbone


def _pooled(name: str, pretrained: bool, overlay: dict[str, Any]) -> Backbone | None:
    """The whole network without pooling and classifier; None where that gives no map of its features."""
    import timm

    network: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="", **overlay)
    channels, size = network.num_features, network.default_cfg["input_size"]
    with torch.no_grad():
        shape = network.eval()(torch.zeros(1, *size)).shape
    network.train()
    fits = len(shape) == 4 and shape[1] == channels
    return Backbone(network, channels, round(size[1] / shape[2])) if fits else None


def _stage(name: str, index: int, pretrained: bool, overlay: dict[str, Any]) -> Backbone:
    import timm

    network: Any = timm.create_model(name, pretrained=pretrained, features_only=True, out_indices=(index,), **overlay)
    return Backbone(network, network.feature_info.channels()[-1], network.feature_info.reduction()[-1])


def imagenet_file(name: str) -> str:
    """Name under which a folder of weights holds timm's ImageNet weights of `name`: `<name>.<tag>.safetensors`."""
    import timm

    config = timm.get_pretrained_cfg(name)
    return f"{config.architecture}.{config.tag}.safetensors" if config else f"{name}.safetensors"


def load_weights(module: nn.Module, file: Path) -> None:
    """Load a safetensors file into `module`, every key and no other.

    Raises:
        PaperlibError: there is no such file, or it is damaged or holds another network's weights.
    """
    from safetensors.torch import load_file

    if not file.is_file():
        raise PaperlibError(f"there is no file of weights {file}; check its path")
    try:
        module.load_state_dict(load_file(file))
    except Exception as error:  # a damaged file fails in many ways
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise PaperlibError(f"{file.name} does not hold weights of this network: {reason}; get it again") from error


def _microworld(pretrained: bool) -> Backbone:
    """The demo's backbone: timm's `test_resnet` up to stride 8 (48 channels), channels last.

    Its weights come from naming the subjects of the micro-world, the analogue of ImageNet (the verb `pretrain`), on
    pictures normalised as ImageNet's.
    """
    backbone = create_backbone(TINY, out_index=TINY_OUT_INDEX, weights=TINY_WEIGHTS if pretrained else None)
    backbone.mean, backbone.sd = IMAGENET_MEAN, IMAGENET_SD
    return backbone.to(memory_format=torch.channels_last)
