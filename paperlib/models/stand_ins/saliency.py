"""Files of the supervised saliency networks in the official formats, with random weights."""

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paperlib.models.msinet import constant_shapes
from paperlib.models.saliency import OFFICIAL_FILES, SaliencyName
from paperlib.models.tf_graph import write_constants
from paperlib.models.transalnet import TranSalNet, Variant
from paperlib.paths import atomic_write


def random_checkpoint(name: SaliencyName, folder: Path, seed: int) -> Path:
    """Write a file in the official format, under the official name, with random weights.

    Args:
        name: "transalnet_res", "transalnet_dense" or "msinet".
        folder: where to write; made when missing.
        seed: of all weights.

    Returns:
        The file, 100 MB (MSI-Net) or about 300 MB (TranSalNet).

    Raises:
        ValueError: unknown name.
        OSError: the folder cannot be written or the disk is full.
    """
    if name not in OFFICIAL_FILES:
        raise ValueError(f"saliency networks are {', '.join(OFFICIAL_FILES)}; got {name!r}")
    file = Path(folder) / OFFICIAL_FILES[name]
    if name == "msinet":
        write_constants(random_constants(seed), file)
    else:
        with atomic_write(file) as stream:
            torch.save(random_state_dict("res" if name == "transalnet_res" else "dense", seed), stream)
    return file


def random_constants(seed: int) -> dict[str, NDArray[np.float32]]:
    """Random weights under the names of the original: He's scale, so that maps are not flat.

    Args:
        seed: of all values.
    """
    rng = np.random.default_rng(seed)
    constants = {}
    for name, shape in constant_shapes().items():
        scale = math.sqrt(2 / math.prod(shape[:-1])) if len(shape) == 4 else 0.1
        if name == "conv1/conv1_1/kernel":
            scale /= 64  # the input is about +-128
        constants[name] = rng.standard_normal(shape, np.float32) * np.float32(scale)
    return constants


def random_state_dict(variant: Variant, seed: int) -> dict[str, Tensor]:
    """Random weights under the authors' names: scaled so that maps are neither flat nor saturated.

    Args:
        variant: "dense" or "res".
        seed: of all values.
    """
    with torch.device("meta"):
        shapes = TranSalNet(variant).state_dict()
    rng = np.random.default_rng(seed)
    return {key: _random_tensor(key, value, rng) for key, value in shapes.items()}


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
