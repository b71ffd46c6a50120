"""Files of SGDNet in the official format, with random weights."""

import io
import math
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from paperlib.models.sgdnet import CHANNELS, OFFICIAL_FILES, Variant, weight_shapes
from paperlib.paths import atomic_write


def random_checkpoint(variant: Variant, folder: Path, seed: int) -> Path:
    """Write a file in the official format, under the official name, with random weights.

    Args:
        variant: "none" or "output".
        folder: where to write; made when missing.
        seed: of all weights.

    Returns:
        The file, 105 MB.

    Raises:
        ValueError: another variant.
        OSError: the folder cannot be written or the disk is full.
    """
    weights = random_weights(variant, seed)
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
    file = Path(folder) / OFFICIAL_FILES[variant]
    with atomic_write(file) as stream:
        stream.write(content.getbuffer())
    return file


def random_weights(variant: Variant, seed: int) -> dict[str, NDArray[np.float32]]:
    """Random weights under the names and in the layout of Keras: He's scale, so that neither gates nor maps are flat.

    Args:
        variant: "none" or "output".
        seed: of all values.

    Raises:
        ValueError: another variant.
    """
    rng = np.random.default_rng(seed)
    return {name: _random_array(name, shape, rng) for name, shape in weight_shapes(variant).items()}


def _random_array(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, np.float32)
    layer, leaf = name.split("/")
    if layer == "saliency":  # a map of both signs may be cut to nothing, and the score with it
        return np.abs(noise) * np.float32(1 / CHANNELS)
    if leaf == "kernel":
        return noise * np.float32(math.sqrt(2 / math.prod(shape[:-1])))
    if leaf == "moving_variance":
        values = 1 + np.float32(0.1) * np.abs(noise)
        return values * np.float32(4096 if layer == "bn_conv1" else 1)  # the input is about +-128
    if leaf == "gamma":
        values = 1 + np.float32(0.1) * noise
        return values * np.float32(0.25 if layer.endswith("_branch2c") else 1)  # keeps the residual stream small
    return noise * np.float32(0.01 if leaf == "bias" else 0.1)
