"""SGDNet-None and SGDNet-Output, re-implemented from their paper and from facts about the published networks.

Yang, Jiang, Lin, Wang: SGDNet: An End-to-End Saliency-Guided Deep Neural Network for No-Reference Image Quality
Assessment, ACM MM 2019. ResNet-50, a 1x1 convolution to 512 channels, channel attention and three dense layers;
SGDNet-Output predicts a small saliency map beside the score and weights its features with it. The weights of the
authors' Keras files load without Keras, under its layer names. Details that the scores depend on: the stride lies on
the first 1x1 convolution of a block, every convolution of the backbone has a bias, batch normalisation adds 1e-3 to
the variance, the picture is brought to 384 x 512 whatever its aspect ratio, and the colour means are taken off B, G, R.
"""

import math
import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import cv2
import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import Shape, check_fit, first_line, from_keras, keras_shape, shapes, some
from paperlib.models.resizing import check_rgb

Variant = Literal["none", "output"]
OFFICIAL_FILES: dict[Variant, str] = {  # Keras HDF5 in spite of their ending
    "none": "saliencynone-alpha0.25-ss-Koniq10k-1024-EXP0-lr=0.0001-bs=19.04-0.2771-0.3255.pkl",
    "output": "saliencyoutput-alpha0.25-ss-Koniq10k-1024-EXP0-lr=0.0001-bs=19.33-0.1721-0.0817-0.1637-0.2054.pkl",
}
INPUT_SIZE = (384, 512)  # height, width; of the training on KonIQ-10k
LAST_FEATURES = "res5c"

_COLOUR_MEANS = (103.939, 116.779, 123.68)  # of B, G, R
_STAGES = ((2, 3, 64), (3, 4, 128), (4, 6, 256), (5, 3, 512))  # stage, blocks, width
_EXPANSION = 4
CHANNELS = 512
_SQUEEZED = 128
_DENSE_WIDTH = 1024
_BATCH_NORM_EPS = 1e-3
_BATCH_NORM_MOMENTUM = 0.01  # Keras counts the other way round: 0.99
_DROPOUT = 0.5
_SMALLEST_SIDE = 32
_AUTOMATIC_LAYERS = {"conv2d": 1, "dense": 2}  # how many layers Keras names by itself
_MOST_OBJECTS, _DEEPEST = 10_000, 16  # groups and arrays of a file, groups within each other; SGDNet has some 700, 3
_LARGEST_CHUNK = 1 << 24  # elements that HDF5 unpacks at once; the largest array has 2.4 million
_NORM_LEAVES = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}


class Prediction(NamedTuple):
    """What SGDNet tells of n images.

    Attributes:
        score: (n, 1), on the scale of the labels of training (KonIQ-10k: 1 to 5), higher is better.
        saliency: (n, 1, h/32, w/32), each side rounded up, at least 0 and not normalised; None for SGDNet-None.
    """

    score: Tensor
    saliency: Tensor | None


class SGDNet(nn.Module):
    """SGDNet with channel attention on ResNet-50.

    Args:
        variant: "none" (26,343,937 parameters, moving statistics counted as Keras does) or "output" (512 more).

    Raises:
        ValueError: another variant.
    """

    higher_is_better = True
    means: Tensor

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        _check_variant(variant)
        self.variant = variant
        self.conv1 = nn.Conv2d(3, _STAGES[0][2], 7, stride=2, padding=3)
        self.bn_conv1 = _batch_norm(_STAGES[0][2])
        self.pool1 = nn.MaxPool2d(3, stride=2, padding=1)
        channels = _STAGES[0][2]
        self.blocks: list[str] = []
        for stage, blocks, inner in _STAGES:
            for number in range(blocks):
                name = f"{stage}{chr(ord('a') + number)}"
                stride = 2 if number == 0 and stage > 2 else 1
                self.add_module(f"res{name}", _Bottleneck(name, channels, inner, stride))
                self.blocks.append(f"res{name}")
                channels = _EXPANSION * inner
        self.conv2d_1 = nn.Conv2d(channels, CHANNELS, 1, bias=False)
        self.dense_1 = nn.Linear(CHANNELS, _SQUEEZED)
        self.dense_2 = nn.Linear(_SQUEEZED, CHANNELS)
        self.saliency = nn.Conv2d(CHANNELS, 1, 1, bias=False) if variant == "output" else None
        self.fc1 = nn.Linear(CHANNELS, _DENSE_WIDTH)
        self.dropout = nn.Dropout(_DROPOUT)
        self.fc2 = nn.Linear(_DENSE_WIDTH, _DENSE_WIDTH)
        self.predictions = nn.Linear(_DENSE_WIDTH, 1)
        self.register_buffer("means", _means(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Quality of images, as `score_and_saliency`.

        Returns:
            (n, 1), higher is better.
        """
        return self.score_and_saliency(images).score

    def score_and_saliency(self, images: Tensor) -> Prediction:
        """Quality of images and what the network holds for salient in them.

        Args:
            images: (n, 3, h, w) float RGB in [0, 1], of any size from 32 x 32; the network was trained with what
                `prepare` gives, and it takes the colour means off itself.

        Raises:
            ValueError: another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3 or min(images.shape[2:]) < _SMALLEST_SIDE:
            raise ValueError(
                f"images {tuple(images.shape)}: expected (n, 3, h, w) with h and w of at least {_SMALLEST_SIDE}"
            )
        raw = self.conv2d_1(self._backbone((images * 255 - self.means).flip(1))).relu()
        gate = self.dense_2(self.dense_1(raw.mean((2, 3))).relu()).sigmoid()
        features = raw * gate[:, :, None, None]
        saliency = None
        if self.saliency is not None:
            saliency = self.saliency(raw).relu()
            features = features * saliency
        hidden = self.fc2(self.dropout(self.fc1(features.mean((2, 3))).relu())).relu()
        return Prediction(self.predictions(hidden), saliency)

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8]) -> tuple[float, NDArray[np.float32] | None]:
        """Score and saliency map of one picture, prepared as by the authors; the network stays in its mode.

        Args:
            image: (h, w, 3) uint8 RGB, any size.

        Returns:
            The score, and the map (12, 16) float32 of at least 0, or None for SGDNet-None.

        Raises:
            ValueError: another shape or type.
        """
        pixels = torch.from_numpy(prepare(image)).permute(2, 0, 1)[None].to(self.means.device)
        score, saliency = self.score_and_saliency(pixels)
        return score.item(), None if saliency is None else saliency[0, 0].float().cpu().numpy()

    def _backbone(self, features: Tensor) -> Tensor:
        """(n, 3, h, w) B, G, R less their means -> (n, 2048, h/32, w/32)."""
        features = self.pool1(self.bn_conv1(self.conv1(features)).relu())
        for block in self.blocks:
            features = getattr(self, block)(features)
        return features


class _Bottleneck(nn.Module):
    """A block of ResNet v1; its layers bear their names in Keras."""

    def __init__(self, name: str, channels: int, inner: int, stride: int) -> None:
        super().__init__()
        self.name = name
        outputs = _EXPANSION * inner
        self._add("2a", nn.Conv2d(channels, inner, 1, stride=stride))
        self._add("2b", nn.Conv2d(inner, inner, 3, padding=1))
        self._add("2c", nn.Conv2d(inner, outputs, 1))
        self.projects = channels != outputs
        if self.projects:
            self._add("1", nn.Conv2d(channels, outputs, 1, stride=stride))

    def _add(self, branch: str, convolution: nn.Conv2d) -> None:
        self.add_module(f"res{self.name}_branch{branch}", convolution)
        self.add_module(f"bn{self.name}_branch{branch}", _batch_norm(convolution.out_channels))

    def _normalised(self, branch: str, features: Tensor) -> Tensor:
        convolution = getattr(self, f"res{self.name}_branch{branch}")
        return getattr(self, f"bn{self.name}_branch{branch}")(convolution(features))

    def forward(self, features: Tensor) -> Tensor:
        inner = self._normalised("2b", self._normalised("2a", features).relu()).relu()
        shortcut = self._normalised("1", features) if self.projects else features
        return (self._normalised("2c", inner) + shortcut).relu()


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_BATCH_NORM_EPS, momentum=_BATCH_NORM_MOMENTUM)


def _means() -> Tensor:
    """(1, 3, 1, 1) means of R, G, B."""
    return torch.tensor(_COLOUR_MEANS[::-1]).view(1, 3, 1, 1)


def _check_variant(variant: str) -> None:
    if variant not in get_args(Variant):
        raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, got {variant!r}")


# ---- pictures in ----------------------------------------------------------------------------------------------------
def prepare(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The input as in the authors' code: bilinear to 384 x 512, without antialiasing, the aspect ratio not kept.

    The authors take the colour means off before they resize; here the network does it afterwards, which is the same.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        (384, 512, 3) RGB in [0, 1], not rounded to 8 bits.

    Raises:
        ValueError: another shape or type.
    """
    check_rgb(image)
    return cv2.resize(image.astype(np.float32), INPUT_SIZE[::-1]) / np.float32(255)


# ---- weights --------------------------------------------------------------------------------------------------------
def weight_shapes(variant: Variant) -> dict[str, Shape]:
    """Name in Keras (`res2a_branch2a/kernel`) -> shape in Keras (kernels: height, width, inputs, outputs).

    Raises:
        ValueError: another variant.
    """
    with torch.device("meta"):
        network = SGDNet(variant)
    return {_keras_name(key): keras_shape(value) for key, value in _loaded_keys(network).items()}


def load_sgdnet(file: Path, variant: Variant | None = None) -> SGDNet:
    """SGDNet with published weights, in eval mode, on the CPU.

    Nothing of the file but its arrays of numbers is used: neither the model's description nor the optimiser's state.

    Args:
        file: HDF5 as Keras writes it, a whole model or weights alone, under any name (the authors' end in `.pkl`).
        variant: what it must hold; None tells it from the file. A file of the authors' third variant, which takes its
            saliency as an input, has the weights of "none" and cannot be told from one.

    Raises:
        PaperlibError: no such file, no HDF5, a damaged one, or weights of another network.
        ValueError: another variant.
    """
    if variant is not None:
        _check_variant(variant)
    try:
        with h5py.File(file, "r") as opened:
            return sgdnet_from_weights(_arrays(opened, file.name), variant, file.name)
    except PaperlibError:
        raise
    except Exception as error:  # a damaged file may raise anything
        if file.is_dir():
            reason = "got a folder (TensorFlow 2 saves a model so); save it as .h5 and give that"
        elif not file.exists():
            reason = "but there is no such file"
        else:
            reason = f"but it is something else, damaged or unfinished ({first_line(error)}); get the file again"
        raise PaperlibError(f"{file.name}: expected the weights of SGDNet as HDF5, {reason}") from None


def sgdnet_from_weights(weights: Mapping[str, Any], variant: Variant | None = None, source: str = "weights") -> SGDNet:
    """SGDNet with weights by their names in Keras, in eval mode, on the CPU.

    Layers that Keras numbers by itself (`conv2d_1`, `dense_1`, `dense_2`; `conv2d`, `dense`, `dense_1` in TensorFlow 2;
    more after other networks) count by their order.

    Args:
        weights: arrays in the layout of Keras (see `weight_shapes`), NumPy's or those of an open HDF5 file.
        variant: what they must be of; None tells it from them.
        source: what to call them in errors.

    Raises:
        PaperlibError: weights are missing, unknown, not of a floating type, or of another shape.
        ValueError: another variant.
    """
    named = _numbered_from_one(weights)
    if variant is None:
        variant = "output" if "saliency/kernel" in named else "none"
    with torch.device("meta"):
        network = SGDNet(variant)
    right = f"the authors' {OFFICIAL_FILES[variant]}"
    check_fit(f"SGDNet ({variant})", source, shapes(named), weight_shapes(variant), right=right)
    others = [f"{name} is {array.dtype}" for name, array in named.items() if not np.issubdtype(array.dtype, np.floating)]
    if others:
        raise PaperlibError(
            f"{source} is not a checkpoint of SGDNet ({variant}): expected floating point, but {some(others)}; give {right}"
        )
    loaded = {key: from_keras(np.asarray(named[_keras_name(key)])) for key in _loaded_keys(network)}
    counters = {key: torch.zeros((), dtype=torch.long) for key in network.state_dict() if key not in loaded}
    network.load_state_dict({**loaded, **counters}, assign=True)
    network.means = _means()
    return network.eval()


def _loaded_keys(network: SGDNet) -> dict[str, Tensor]:
    """The state dict without PyTorch's counters, which Keras has not."""
    return {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}


def _keras_name(key: str) -> str:
    """`res2a.bn2a_branch2a.running_mean` -> `bn2a_branch2a/moving_mean`."""
    layer, leaf = key.split(".")[-2:]
    if layer.startswith("bn"):
        return f"{layer}/{_NORM_LEAVES[leaf]}"
    return f"{layer}/{'kernel' if leaf == 'weight' else leaf}"


def _numbered_from_one(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The same weights with the automatic names of layers numbered from 1 in their order, as Keras 2.1 does."""
    layers = {name.partition("/")[0] for name in weights}
    new_names: dict[str, str] = {}
    for kind, layer_count in _AUTOMATIC_LAYERS.items():
        numbers = {layer: re.fullmatch(rf"{kind}(?:_([1-9][0-9]*))?", layer) for layer in layers}
        ours = {layer: int(match[1] or 0) for layer, match in numbers.items() if match}
        if len(ours) == layer_count:
            ordered = sorted(ours, key=ours.__getitem__)
            new_names.update({layer: f"{kind}_{number}" for number, layer in enumerate(ordered, 1)})
    renamed = {}
    for name, array in weights.items():
        layer, slash, leaf = name.partition("/")
        renamed[f"{new_names.get(layer, layer)}{slash}{leaf}"] = array
    return renamed


def _arrays(opened: Any, file_name: str) -> dict[str, Any]:
    """`layer/leaf` -> array, unread, of a whole model or of weights alone."""
    model = opened.get("model_weights")
    arrays: dict[str, Any] = {}
    twice: list[str] = []

    seen = count(1)

    def collect(path: str, found: Any) -> None:
        if next(seen) > _MOST_OBJECTS or path.count("/") > _DEEPEST:
            raise ValueError("more groups and arrays than a network has")
        if isinstance(found, h5py.Dataset):
            if found.external or found.is_virtual or math.prod(found.chunks or ()) > _LARGEST_CHUNK:
                raise ValueError(f"{path} lies in other files, or in one chunk that is larger than a network's arrays")
            layer, *groups = path.removesuffix(":0").split("/")
            name = "/".join([layer, *groups[-1:]])
            twice.extend([name] if name in arrays else [])
            arrays[name] = found

    (model if isinstance(model, h5py.Group) else opened).visititems(collect)
    if twice:
        raise PaperlibError(
            f"{file_name}: expected the weights of SGDNet, but {twice[0]} is in it twice; get the file again"
        )
    return arrays
