"""TranSalNet (Dense and Res), re-implemented from its paper and from facts about the published networks.

Lou et al.: TranSalNet: Towards perceptually relevant visual saliency prediction, Neurocomputing 494 (2022) 455-467.
A convolutional encoder (DenseNet-161 or ResNet-50), one transformer encoder per scale, a convolutional decoder whose
scales are joined by products. The names of the weights are those of the authors' checkpoints, so these load as they
are. Details that the maps depend on: the published inference feeds B, G, R in [0, 1] without ImageNet's mean and
deviation, frames the picture with the value 1 of 255, and cuts the map to 8 bits before it is resized.
"""

from collections import OrderedDict
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import check_fit, read_state, shapes
from paperlib.models.resizing import framed, middle

Variant = Literal["dense", "res"]
OFFICIAL_FILES: dict[Variant, str] = {"dense": "TranSalNet_Dense.pth", "res": "TranSalNet_Res.pth"}
INPUT_SIZE = (288, 384)  # height, width; fixed by the learnt position embeddings

_SCALES: dict[Variant, tuple[tuple[int, int], ...]] = {  # (place in the encoder, channels), coarse to fine
    "dense": ((10, 2208), (8, 2112), (6, 768)),
    "res": ((7, 2048), (6, 1024), (5, 512)),
}
_TELLING_KEYS: dict[Variant, str] = {
    "dense": "encoder.encoder.4.denselayer1.norm1.weight",
    "res": "encoder.encoder.4.0.conv1.weight",
}
_TRANSFORMERS = ((32, 768, 12), (16, 768, 12), (8, 512, 8))  # stride, width, heads
_LAYERS = 2
_DECODER = (768, 768, 512, 256, 128, 64, 32)
_LAYER_NORM_EPS = 1e-6
_FRAME_VALUE = 1


class TranSalNet(nn.Module):
    """TranSalNet.

    Args:
        variant: "dense" (DenseNet-161, 76,560,065 parameters) or "res" (ResNet-50, 72,510,977 parameters).

    Raises:
        ValueError: another variant.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        if variant not in get_args(Variant):
            raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, got {variant!r}")
        self.variant = variant
        self.encoder = _Encoder(variant)
        self.decoder = _Decoder(tuple(channels for _, channels in _SCALES[variant]))

    def forward(self, images: Tensor) -> Tensor:
        """Saliency of images whose channels are in the order that the weights expect (see `prepare`).

        Args:
            images: (n, 3, 288, 384) float in [0, 1].

        Returns:
            (n, 1, 288, 384) in (0, 1).

        Raises:
            ValueError: another shape.
        """
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, *INPUT_SIZE):
            raise ValueError(f"images {tuple(images.shape)}: expected (n, 3, {INPUT_SIZE[0]}, {INPUT_SIZE[1]})")
        return self.decoder(self.encoder(images))


class _Encoder(nn.Module):
    """The convolutional backbone as one list of modules; gives three scales, coarse to fine."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.encoder = nn.ModuleList(_dense_blocks() if variant == "dense" else _residual_blocks())
        self.taps = tuple(place for place, _ in _SCALES[variant])

    def forward(self, features: Tensor) -> list[Tensor]:
        outputs = {}
        for place, module in enumerate(self.encoder):
            features = module(features)
            if place in self.taps:
                outputs[place] = features
        return [outputs[place] for place in self.taps]


def _dense_blocks() -> list[nn.Module]:
    """DenseNet-161 without its last normalisation and its classifier."""
    from torchvision.models import densenet161

    return [module for name, module in densenet161(weights=None).features.named_children() if name != "norm5"]


def _residual_blocks() -> list[nn.Module]:
    """ResNet-50 (stride on the 3x3 convolutions) without pooling and classifier."""
    from torchvision.models import resnet50

    return [module for name, module in resnet50(weights=None).named_children() if name not in ("avgpool", "fc")]


class _Decoder(nn.Module):
    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        for scale, (inputs, (stride, width, heads)) in enumerate(zip(channels, _TRANSFORMERS, strict=True), 1):
            grid = (INPUT_SIZE[0] // stride, INPUT_SIZE[1] // stride)
            self.add_module(f"TransEncoder{scale}", _TransEncoder(inputs, grid, width, heads))
        for layer, (inputs, outputs) in enumerate(zip(_DECODER, (*_DECODER[1:], 1), strict=True), 1):
            self.add_module(f"conv{layer}", nn.Conv2d(inputs, outputs, 3, padding=1))
        for layer, outputs in enumerate(_DECODER[1:], 1):
            self.add_module(f"batchnorm{layer}", nn.BatchNorm2d(outputs))

    def forward(self, scales: list[Tensor]) -> Tensor:
        encode = [self.get_submodule(f"TransEncoder{scale}") for scale in (1, 2, 3)]
        features = self._block(1, encode[0](scales[0]))
        features = self._block(2, (_doubled(features) * encode[1](scales[1])).relu())
        features = self._block(3, (_doubled(features) * encode[2](scales[2])).relu())
        for layer in (4, 5, 6):
            features = self._block(layer, _doubled(features))
        return self.get_submodule("conv7")(features).sigmoid()

    def _block(self, layer: int, features: Tensor) -> Tensor:
        convolution, normalisation = getattr(self, f"conv{layer}"), getattr(self, f"batchnorm{layer}")
        return normalisation(convolution(features)).relu()


def _doubled(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2, mode="nearest")


class _TransEncoder(nn.Module):
    """Features (n, c, h, w) to (n, width, h, w) through a transformer whose tokens are the pixels."""

    def __init__(self, channels: int, grid: tuple[int, int], width: int, heads: int) -> None:
        super().__init__()
        self.patch_embeddings = nn.Conv2d(channels, width, 1)
        self.position_embeddings = nn.Parameter(torch.zeros(1, grid[0] * grid[1], width))
        self.transformer_encoder = _Transformer(width, heads)

    def forward(self, features: Tensor) -> Tensor:
        embedded = self.patch_embeddings(features)
        tokens = embedded.flatten(2).transpose(1, 2) + self.position_embeddings
        return self.transformer_encoder(tokens).transpose(1, 2).reshape(embedded.shape)


class _Transformer(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(width, heads) for _ in range(_LAYERS))
        self.encoder_norm = nn.LayerNorm(width, eps=_LAYER_NORM_EPS)

    def forward(self, tokens: Tensor) -> Tensor:
        for layer in self.layer:
            tokens = layer(tokens)
        return self.encoder_norm(tokens)


class _Layer(nn.Module):
    """Attention and perceptron, each on normalised tokens (n, t, width) and added to them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=_LAYER_NORM_EPS)
        self.attn = _Attention(width, heads)
        self.ffn_norm = nn.LayerNorm(width, eps=_LAYER_NORM_EPS)
        inner = 4 * width
        layers = {"fc1": nn.Linear(width, inner), "gelu": nn.GELU(), "fc2": nn.Linear(inner, width)}
        self.ffn = nn.Sequential(OrderedDict(layers))

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.attn(self.attention_norm(tokens))
        return tokens + self.ffn(self.ffn_norm(tokens))


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        query, key, value = (
            projection(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for projection in (self.query, self.key, self.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))


# ---- weights --------------------------------------------------------------------------------------------------------
def load_transalnet(file: Path) -> TranSalNet:
    """TranSalNet with published weights, in eval mode, on the CPU; the variant is told from the names in the file.

    Args:
        file: the authors' `.pth`, a state dict with every weight, the encoder's too.

    Raises:
        PaperlibError: no such file, a damaged one, or weights of another network.
    """
    state = read_state(file)
    variant = next((variant for variant, key in _TELLING_KEYS.items() if key in state), None)
    if variant is None:
        raise PaperlibError(
            f"{file.name}: expected the weights of TranSalNet, got those of another network (no "
            f"{' and no '.join(_TELLING_KEYS.values())}); give {' or '.join(OFFICIAL_FILES.values())}"
        )
    with torch.device("meta"):
        network = TranSalNet(variant)
    expected = network.state_dict()
    right = f"the authors' {OFFICIAL_FILES[variant]}"
    check_fit(f"TranSalNet ({variant})", file.name, shapes(state), shapes(expected), right=right)
    network.load_state_dict({key: value.to(expected[key].dtype) for key, value in state.items()}, assign=True)
    return network.eval()


# ---- pictures in, maps out ------------------------------------------------------------------------------------------
def prepare(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The input as in the authors' test notebook: B, G, R, fitted into 288 x 384, the rest filled with the value 1.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        (288, 384, 3) uint8 BGR; the network wants it divided by 255.
    """
    height, width = image.shape[:2]
    rows, columns = INPUT_SIZE
    if height * columns > width * rows:
        inner = (rows, max(1, width * rows // height))
    else:
        inner = (max(1, height * columns // width), columns)
    resized = cv2.resize(np.ascontiguousarray(image[..., ::-1]), inner[::-1])
    return framed(resized, INPUT_SIZE, _FRAME_VALUE)


def restore(saliency: NDArray[np.float32], size: tuple[int, int], quantise: bool = True) -> NDArray[np.float32]:
    """The map as in the authors' test notebook: cut to 8 bits, enlarged until it covers the picture, then its centre.

    Args:
        saliency: (288, 384) output of the network, in (0, 1).
        size: (h, w) of the picture.
        quantise: cut to 8 bits before resizing, as the authors do.

    Returns:
        (h, w) in [0, 1].
    """
    height, width = size
    rows, columns = INPUT_SIZE
    if height * columns > width * rows:
        outer = (height, columns * height // rows)
    else:
        outer = (rows * width // columns, width)
    levels = (saliency * np.float32(255)).astype(np.uint8) if quantise else saliency
    cropped = middle(cv2.resize(levels, outer[::-1]), size)
    return np.divide(cropped, np.float32(255 if quantise else 1), dtype=np.float32)
