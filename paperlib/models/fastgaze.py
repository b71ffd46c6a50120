"""FastGaze, the saliency network by which Twitter cropped pictures, with its published weights.

Layers, weights, and kernel and deviation of the blur stand in the authors' file `bin/fastgaze.vxm` of
twitter-research/image-crop-analysis (Apache-2.0). What the file does not say, the scale of the input, the kind of pooling
and of activation, is inferred: of the usual ones those under which its maps agree best with the fixations of OSIE.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import check_fit, shapes
from paperlib.paths import atomic_write

OFFICIAL_FILE = "fastgaze.vxm"
STRIDE = 16

_BLOCKS = ((43, 44), (49, 56), (44, 38), (31, 20), (18, 10))  # channels; blocks begin with a pooling, but for the first
_READOUT = (7, 7, 2, 1)
_COLOUR_MEANS = np.array((123.68, 116.779, 103.939), np.float32)
_INPUT_PIXELS = 800 * 600
_ENOUGH_PIXELS = 512 * 384
_BLUR, _BLUR_SD = 19, 3

_HEAD = b"\x01tPM"
_LENGTH = struct.Struct("<I")
_MOST_BYTES = 2**24  # of a file that is worth reading


def fastgaze() -> nn.Sequential:
    """The network without weights: RGB (n, 3, h, w) in 0..255 minus the colours' means -> logits (n, 1, h/16, w/16)."""
    layers: list[nn.Module] = []
    channels = 3
    for block in _BLOCKS:
        layers += [nn.MaxPool2d(2)] if layers else []
        for outputs in block:
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU()]
            channels = outputs
    for outputs in _READOUT:
        layers += [nn.Conv2d(channels, outputs, 1), nn.PReLU()]
        channels = outputs
    return nn.Sequential(*layers)


# ---- weights --------------------------------------------------------------------------------------------------------
def load_fastgaze(file: Path) -> nn.Sequential:
    """FastGaze with published weights, in eval mode, on the CPU.

    Args:
        file: the authors' `fastgaze.vxm`.

    Raises:
        PaperlibError: no such file, a damaged one, or weights of another network.
    """
    network = fastgaze()
    names, arrays = _names(network), read_vxm(file)
    expected = shapes({names[key]: value for key, value in network.state_dict().items()})
    check_fit("FastGaze", file.name, shapes(arrays), expected, right=f"the authors' {OFFICIAL_FILE}")
    network.load_state_dict({key: torch.from_numpy(arrays[name]) for key, name in names.items()})
    return network.eval().to(memory_format=torch.channels_last)


def write_fastgaze(state: Mapping[str, Tensor], file: Path) -> None:
    """Write a state dict of `fastgaze()` in the format of the authors; the file is replaced as a whole.

    Raises:
        OSError: the folder cannot be written.
    """
    records: list[tuple[str, bytes]] = []
    for key, name in _names(fastgaze()).items():
        array = state[key].numpy()
        records += [
            (name, array.astype("<f4").tobytes()),
            (f"{name}.dtype", b"float32"),
            (f"{name}.ndims", _LENGTH.pack(array.ndim)),
            (f"{name}.shape", np.array(array.shape, "<u4").tobytes()),
        ]
    with atomic_write(file) as stream:
        stream.write(_HEAD + _LENGTH.pack(len(records)))
        for name, content in records:
            for part in (name.encode() + b"\0", content):
                stream.write(_LENGTH.pack(len(part)) + part)


def _names(network: nn.Sequential) -> dict[str, str]:
    """Key of the state dict -> name in the file, where a convolution and its activation are one layer."""
    names, layer = {}, -1
    for place, module in enumerate(network):
        if isinstance(module, nn.PReLU):
            names[f"{place}.weight"] = f"{layer}alpha"
        elif not isinstance(module, nn.ReLU):
            layer += 1
        if isinstance(module, nn.Conv2d):
            names |= {f"{place}.weight": f"{layer}w", f"{place}.bias": f"{layer}b"}
    return names


def read_vxm(file: Path) -> dict[str, NDArray[np.float32]]:
    """The arrays of a `.vxm` file by their names.

    A `.vxm` file is the bytes 01 't' 'P' 'M', a number of records, and the records: length of a name, the name with a zero
    at its end, length of the content, the content; numbers are little-endian uint32. An array NAME has its type in
    `NAME.dtype` and its shape in `NAME.shape`; records without these are settings of layers.

    Raises:
        PaperlibError: the file is not there, damaged, something else, or holds other than finite float32.
    """
    expected = f"{file.name}: expected the weights of FastGaze ({OFFICIAL_FILE})"
    try:
        content = file.read_bytes() if file.stat().st_size <= _MOST_BYTES else b""
    except OSError as error:
        raise PaperlibError(f"{expected}, but it cannot be read ({error.strerror})") from None
    try:
        records = dict(_records(content))
        names = [name.removesuffix(".shape") for name in records if name.endswith(".shape")]
        return {name: _array(records, name) for name in names}
    except ValueError as error:
        raise PaperlibError(f"{expected}, but it is damaged or something else ({error}); get the file again") from None


def _records(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each; ValueError where lengths do not add up to the file's."""
    if not content.startswith(_HEAD):
        raise ValueError("it does not begin as a .vxm file")
    position = len(_HEAD)

    def number() -> int:
        nonlocal position
        position += _LENGTH.size
        if position > len(content):
            raise ValueError("it ends within a record")
        return _LENGTH.unpack_from(content, position - _LENGTH.size)[0]

    def part() -> bytes:
        nonlocal position
        start = position + _LENGTH.size
        position = start + number()
        if position > len(content):
            raise ValueError("it ends within a record")
        return content[start:position]

    for _ in range(number()):
        name = part().removesuffix(b"\0").decode("latin-1")
        yield name, part()
    if position != len(content):
        raise ValueError(f"{len(content) - position} bytes follow the last record")


def _array(records: Mapping[str, bytes], name: str) -> NDArray[np.float32]:
    content, shape = records.get(name, b""), records[f"{name}.shape"]
    if records.get(f"{name}.dtype") != b"float32" or len(shape) not in (4, 16):
        raise ValueError(f"{name[:40]!r} is no float32 array of 1 or 4 dimensions")
    dimensions = tuple(np.frombuffer(shape, "<u4").tolist())
    values = np.frombuffer(content[: len(content) // 4 * 4], "<f4").astype(np.float32)
    if len(content) != 4 * math.prod(dimensions) or not np.isfinite(values).all():
        raise ValueError(f"{name[:40]!r} does not hold finite numbers, as many as its shape {dimensions} asks for")
    return values.reshape(dimensions)


# ---- pictures in, maps out ------------------------------------------------------------------------------------------
def prepare(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The picture minus the colours' means; of more than 800 x 600 pixels shrunk to so many, of fewer than 512 x 384
    enlarged to so many, in its own aspect ratio.

    Args:
        image: (h, w, 3) uint8 RGB.

    Returns:
        (height, width, 3) float32, each side at least 16.
    """
    height, width = image.shape[:2]
    fits = _ENOUGH_PIXELS <= height * width <= _INPUT_PIXELS
    scale = 1.0 if fits else (_INPUT_PIXELS / (height * width)) ** 0.5
    size = max(STRIDE, round(scale * width)), max(STRIDE, round(scale * height))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)) - _COLOUR_MEANS


def restore(saliency: NDArray[np.float32], size: tuple[int, int], quantise: bool = True) -> NDArray[np.float32]:
    """The map that the authors' last two layers make, a blur and a softmax over all places, enlarged to the picture.

    The softmax is taken up to its factor: the map is stretched to [0, 1].

    Args:
        saliency: (height, width) output of the network.
        size: (h, w) of the picture.
        quantise: round to 8 bits.

    Returns:
        (h, w) in [0, 1]; zeros for a constant map.
    """
    blurred = cv2.GaussianBlur(saliency, (_BLUR, _BLUR), _BLUR_SD, borderType=cv2.BORDER_REPLICATE)
    density = cv2.resize(np.exp(blurred - blurred.max()), size[::-1], interpolation=cv2.INTER_LINEAR)
    stretched = (density - density.min()) / max(np.ptp(density), np.finfo(np.float32).tiny)
    return (np.rint(255 * stretched) / np.float32(255) if quantise else stretched).astype(np.float32)
