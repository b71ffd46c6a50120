"""PyTorch files of weights: read as tensors, never run as programs, and loaded into the network that they belong to."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paperlib.errors import PaperlibError

_load = torch.load  # itself, also where `offline` has something else in its place


def read_tensors(file: Any) -> Any:
    """What a PyTorch file holds, on the CPU: tensors, and numbers of NumPy such as a loss or an epoch beside them.

    Args:
        file: path or binary stream.

    Raises:
        Exception: whatever PyTorch raises for a damaged file, and for one that holds anything else.
    """
    with torch.serialization.safe_globals(_numpy_scalars()):
        return _load(file, map_location="cpu", weights_only=True)


def read_checkpoint(path: Path) -> Any:
    """As `read_tensors`.

    Raises:
        PaperlibError: the file is damaged or something else.
    """
    try:
        return read_tensors(path)
    except Exception as error:  # a damaged file fails in many ways
        raise PaperlibError(
            f"{path.name} ({path.stat().st_size} bytes) cannot be read as a PyTorch file of tensors: it is damaged, "
            f"unfinished or something else; get it again ({first_line(error)})"
        ) from error


def fill(network: nn.Module, path: Path, *, part: bool = False) -> None:
    """Load a state dict, alone or under `params`, into the network: every tensor of it and no other.

    Args:
        network: filled in place.
        path: the file; names may begin with `module.`, as parallel training leaves them.
        part: the file holds some of the network's tensors, at least one; others have files of their own.

    Raises:
        PaperlibError: the file is damaged or belongs to another network.
    """
    held = read_checkpoint(path)
    if isinstance(held, dict):
        held = held.get("params", held)
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise PaperlibError(f"{path.name} holds no state dict (tensors by name, alone or under 'params')")
    given = {key.removeprefix("module."): value for key, value in held.items()}
    own = network.state_dict()
    faults = {
        "missing": sorted(own.keys() - given.keys()) if not (part and given) else [],
        "not of this network": sorted(given.keys() - own.keys()),
        "of another shape": [
            f"{key} {tuple(given[key].shape)} for {tuple(own[key].shape)}"
            for key in sorted(own.keys() & given.keys())
            if own[key].shape != given[key].shape
        ],
    }
    told = [f"{len(keys)} {what}, first {keys[0]}" for what, keys in faults.items() if keys]
    if told:
        raise PaperlibError(
            f"{path.name} is not a checkpoint of {type(network).__name__}: {'; '.join(told)} "
            f"(of {len(own)} tensors); give the file that belongs to it"
        )
    network.load_state_dict(given, strict=not part)


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _numpy_scalars() -> list[Any]:
    """NumPy's numbers, by their names before and since NumPy 2."""
    from numpy._core.multiarray import scalar

    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *{type(np.dtype(code)) for code in "fdilq"}]
