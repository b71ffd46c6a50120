"""MSI-Net, re-implemented from its paper and from facts about the published graph.

Kroner, Senden, Driessens, Goebel: Contextual encoder-decoder network for visual saliency prediction, Neural Networks
129 (2020) 261-270. VGG-16 with three scales joined, an ASPP module, a decoder of three upsamplings. The weights of the
authors' frozen TensorFlow graphs load without TensorFlow. Details that the maps depend on: the colour means stand in
the order B, G, R although the input is RGB; the pools of stride 1 pad at the bottom and the right; upsampling is the
bilinear one of TensorFlow 1.
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import Shape, from_keras, keras_shape, some
from paperlib.models.resizing import framed, middle, resize_area_or_bicubic, upsample_twice
from paperlib.models.tf_graph import read_constants

OFFICIAL_FILE = "model_salicon_cpu.pb"
INPUT_SIZE = (240, 320)  # height, width; of the training on SALICON

_COLOUR_MEANS = (103.939, 116.779, 123.68)
_ENCODER = ((64, 2, 1), (128, 2, 1), (256, 3, 1), (512, 3, 1), (512, 3, 2))  # channels, layers, dilation
_JOINED_STAGES = (3, 4, 5)
_ASPP_DILATIONS = (4, 8, 12)
_ASPP_CHANNELS = 256
_DECODER = (128, 64, 32)
_PADDING_GREY = 126.0


def _convolution(channels: int, outputs: int, kernel: int = 3, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation)


class MSINet(nn.Module):
    """MSI-Net. Layer `conv1/conv1_1` of the original is the module `conv1.conv1_1`; 24,934,209 parameters."""

    means: Tensor

    def __init__(self) -> None:
        super().__init__()
        channels = 3
        for stage, (outputs, layers, dilation) in enumerate(_ENCODER, 1):
            block = nn.ModuleDict()
            for layer in range(1, layers + 1):
                block[f"conv{stage}_{layer}"] = _convolution(channels, outputs, dilation=dilation)
                channels = outputs
            self.add_module(f"conv{stage}", block)
        joined = sum(_ENCODER[stage - 1][0] for stage in _JOINED_STAGES)
        self.aspp = nn.ModuleDict({"conv1_1": _convolution(joined, _ASPP_CHANNELS, 1)})
        for branch, dilation in enumerate(_ASPP_DILATIONS, 2):
            self.aspp[f"conv1_{branch}"] = _convolution(joined, _ASPP_CHANNELS, dilation=dilation)
        self.aspp["conv1_5"] = _convolution(joined, _ASPP_CHANNELS, 1)
        self.aspp["conv2"] = _convolution(5 * _ASPP_CHANNELS, _ASPP_CHANNELS, 1)
        channels = _ASPP_CHANNELS
        self.decoder = nn.ModuleDict()
        for layer, outputs in enumerate((*_DECODER, 1), 1):
            self.decoder[f"conv{layer}"] = _convolution(channels, outputs)
            channels = outputs
        self.register_buffer("means", torch.tensor(_COLOUR_MEANS).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Saliency of RGB images.

        Args:
            images: (n, 3, h, w) float in 0..255; h and w are multiples of 8, or the map is smaller (rounded down).

        Returns:
            (n, 1, h, w) in [0, 1]; the smallest value of each image is 0.

        Raises:
            ValueError: another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < 8:
            raise ValueError(f"images {tuple(images.shape)}: expected (n, 3, h, w) with h and w of at least 8")
        features = self._aspp(self._encode(images - self.means))
        for layer in range(1, len(_DECODER) + 1):
            features = self.decoder[f"conv{layer}"](upsample_twice(features)).relu()
        return _stretched(self.decoder[f"conv{len(_DECODER) + 1}"](features))

    def _encode(self, features: Tensor) -> Tensor:
        """(n, 1280, h/8, w/8): the pooled outputs of stages 3, 4 and 5."""
        scales = []
        for stage in range(1, len(_ENCODER) + 1):
            for convolution in getattr(self, f"conv{stage}").values():
                features = convolution(features).relu()
            if stage <= _JOINED_STAGES[0]:
                features = functional.max_pool2d(features, 2)
            else:
                features = functional.max_pool2d(functional.pad(features, (0, 1, 0, 1), value=-math.inf), 2, 1)
            if stage in _JOINED_STAGES:
                scales.append(features)
        return torch.cat(scales, 1)

    def _aspp(self, features: Tensor) -> Tensor:
        """(n, 256, h/8, w/8): four receptive fields and the mean of the whole image, fused."""
        branches = [self.aspp[f"conv1_{branch}"](features).relu() for branch in range(1, 5)]
        scene = self.aspp["conv1_5"](features.mean((2, 3), keepdim=True)).relu()
        branches.append(scene.expand_as(branches[0]))
        return self.aspp["conv2"](torch.cat(branches, 1)).relu()


def _stretched(maps: Tensor) -> Tensor:
    """Each map to [0, 1] by its own extremes, with the authors' guard against a constant map."""
    maps = maps - maps.amin((1, 2, 3), keepdim=True)
    return maps / (1e-7 + maps.amax((1, 2, 3), keepdim=True))


# ---- weights --------------------------------------------------------------------------------------------------------
def constant_shapes() -> dict[str, Shape]:
    """Name in the original (`conv1/conv1_1/kernel`) -> shape (kernels: height, width, inputs, outputs), in order."""
    with torch.device("meta"):
        network = MSINet()
    return {_original_name(key): keras_shape(value) for key, value in network.state_dict().items()}


def _original_name(key: str) -> str:
    """`conv1.conv1_1.weight` -> `conv1/conv1_1/kernel`."""
    return key.replace(".weight", ".kernel").replace(".", "/")


def load_msinet(file: Path) -> MSINet:
    """MSI-Net with published weights, in eval mode, on the CPU.

    Args:
        file: the authors' frozen graph: `model_salicon_cpu.pb` of GitHub, or the `saved_model.pb` of Hugging Face.

    Raises:
        PaperlibError: no such file, a damaged one, or weights missing or ambiguous.

    Warns:
        UserWarning: nodes of a graph were found by shape and order, because they have other names.
    """
    weights = _matched(read_constants(file), file.name)
    network = MSINet()
    network.load_state_dict({key: from_keras(weights[_original_name(key)]) for key in network.state_dict()})
    return network.eval()


def _matched(constants: Mapping[str, NDArray], file_name: str) -> dict[str, NDArray]:
    """Weights by name; those not found by shape, in the order of the file, if there are just as many of that shape."""
    shapes = constant_shapes()
    found = {name: constants[name] for name, shape in shapes.items() if name in constants and constants[name].shape == shape}
    others = [name for name in shapes if name not in found]
    if not others:
        return found
    wanted: dict[Shape, list[str]] = defaultdict(list)
    for name in others:
        wanted[shapes[name]].append(name)
    unknown = [array for name, array in constants.items() if name not in found]
    spare = {shape: [array for array in unknown if array.shape == shape] for shape in wanted}
    lacking = [f"{name} {shape}" for shape, names in wanted.items() for name in names if len(spare[shape]) < len(names)]
    if lacking:
        raise PaperlibError(f"{file_name}: expected the weights of MSI-Net, missing {some(lacking)}; get the file again")
    for shape, names in wanted.items():
        if len(spare[shape]) > len(names):
            raise PaperlibError(
                f"{file_name}: {some(names)} cannot be told from other constants, because {len(spare[shape])} "
                f"unknown ones have the shape {shape}; rename the nodes as in the authors' code"
            )
        found.update(zip(names, spare[shape], strict=True))
    warnings.warn(
        f"{file_name}: {len(others)} of {len(found)} weights have other names than in the authors' code and were "
        f"matched by shape and order: {some(others)}",
        stacklevel=3,
    )
    return found


# ---- pictures in, maps out ------------------------------------------------------------------------------------------
def prepare(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The input as in the authors' repository: fitted into 240 x 320, the aspect ratio kept, the rest grey.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        (240, 320, 3) in 0..255.
    """
    inner = _fitted(image.shape[:2], INPUT_SIZE, inside=True)
    resized = np.clip(resize_area_or_bicubic(image, inner), 0, 255)
    return framed(resized, INPUT_SIZE, _PADDING_GREY)


def restore(saliency: NDArray[np.float32], size: tuple[int, int], quantise: bool = True) -> NDArray[np.float32]:
    """The map as in the authors' repository: enlarged until it covers the picture, then its centre.

    Args:
        saliency: (height, width) output of the network, in [0, 1].
        size: (h, w) of the picture.
        quantise: round to 8 bits, as the authors do before they write a JPEG.

    Returns:
        (h, w) in [0, 1].
    """
    covering = _fitted(saliency.shape, size, inside=False)
    large = np.clip(resize_area_or_bicubic(saliency * np.float32(255), covering), 0, 255)
    cropped = middle(large, size)
    return np.divide(np.rint(cropped) if quantise else cropped, np.float32(255), dtype=np.float32)


def _fitted(size: tuple[int, int], frame: tuple[int, int], inside: bool) -> tuple[int, int]:
    """`size` scaled to touch `frame` from inside or outside, rounded half to even."""
    ratio = (min if inside else max)(frame[0] / size[0], frame[1] / size[1])
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))
