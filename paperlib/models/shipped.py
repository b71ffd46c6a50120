"""The networks that ship with the companion: real quality networks that run offline, out of the box.

Each is EfficientNet-Lite0 as pip brings it, whose last modules and head were trained on photographs with opinions of
people (profile `open`, `python -m paperlib ship`). Only what was trained is stored here: matrices and filters as 8-bit
integers with one scale per output channel, everything else in single precision. `CARD.md` beside the files says on what they
were trained, how well they do, and what they are for.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from paperlib.errors import PaperlibError
from paperlib.json_files import parse_json
from paperlib.models.backbones import bundled_weights, create_backbone
from paperlib.models.baseline import Baseline

FOLDER = Path(__file__).with_name("shipped_networks")
CARD = FOLDER / "CARD.md"
VARIANTS = ("baseline", "sal_loss", "gradcam_loss")
ENTRY = "paperlib"
"""Of a file's metadata: as JSON, `backbone`, `variant`, `size` of its pictures (height, width), and how it was trained."""

_LEVELS = 127
_SCALE = ".scale"


def shipped_file(variant: str) -> Path:
    """Where the network of a variant lies.

    Raises:
        ValueError: there is no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"networks that ship are {', '.join(VARIANTS)}; got {variant!r}")
    return FOLDER / f"{variant}.safetensors"


def shipped_files(variant: str) -> list[Path]:
    """All that a network which ships is made of: its file, and its backbone's weights from pip.

    Raises:
        PaperlibError: its file is missing or damaged.
    """
    return [shipped_file(variant), *filter(None, [bundled_weights(describe(variant)["backbone"])])]


def pack(state: Mapping[str, NDArray], trained: Iterable[str]) -> dict[str, NDArray]:
    """The tensors `trained` of a network's state as they are stored."""
    packed: dict[str, NDArray] = {}
    for name in trained:
        value = np.asarray(state[name])
        if value.ndim < 2:
            packed[name] = value.astype(np.float32) if value.dtype.kind == "f" else value
            continue
        rows = value.reshape(len(value), -1)
        scale = np.maximum(np.abs(rows).max(1), np.finfo(np.float32).tiny).astype(np.float32) / _LEVELS
        packed[name] = np.rint(rows / scale[:, None]).astype(np.int8).reshape(value.shape)
        packed[name + _SCALE] = scale
    return packed


def unpack(packed: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The tensors that `pack` stored, in single precision."""
    scales = {name.removesuffix(_SCALE): value for name, value in packed.items() if name.endswith(_SCALE)}
    values = {name: value for name, value in packed.items() if not name.endswith(_SCALE)}
    return {
        name: value * scales[name].reshape(-1, *[1] * (value.ndim - 1)) if name in scales else value
        for name, value in values.items()
    }


@lru_cache(maxsize=len(VARIANTS))
def load_shipped(variant: str = "baseline") -> Baseline:
    """A network that ships, on the CPU, in evaluation mode; scores lie on 0 to 1, higher is better.

    Raises:
        ValueError: there is no such variant.
        PaperlibError: its file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file, about = shipped_file(variant), describe(variant)
    network = Baseline(create_backbone(about["backbone"], pretrained=True), decoder=variant == "sal_loss")
    try:
        stored = {name: torch.from_numpy(value) for name, value in unpack(load_file(file)).items()}
        network.load_state_dict(network.state_dict() | stored)
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        raise _unusable(file, error) from error
    return network.eval()


def describe(variant: str) -> dict[str, Any]:
    """What its file tells about a network, see `ENTRY`.

    Raises:
        ValueError: there is no such variant.
        PaperlibError: its file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    file = shipped_file(variant)
    try:
        with safe_open(file, "numpy") as opened:
            about: dict[str, Any] = parse_json((opened.metadata() or {})[ENTRY])
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise _unusable(file, error) from error
    return about


def _unusable(file: Path, reason: object) -> PaperlibError:
    return PaperlibError(
        f"{file} cannot be used ({str(reason).splitlines()[0]}): it is part of this repository; restore it with "
        f"`git checkout`, or write it with `python -m paperlib ship`"
    )
