"""Files of weights: read as tensors, never run as programs, and loaded into the network that they belong to."""

import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paperlib.errors import PaperlibError

_load = torch.load  # itself, also where `quality.offline` has something else in its place

Shape = tuple[int, ...]

_HOLDERS = ("params", "state_dict", "model_state_dict", "model", "network", "net")
_WRAPPED = re.compile(r"^(?:module\.|_orig_mod\.)+")


# ---- PyTorch --------------------------------------------------------------------------------------------------------
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
        PaperlibError: the file is not there, damaged or something else.
    """
    if not path.is_file():
        raise PaperlibError(f"there is no file of weights {path}; check its path")
    try:
        _refuse_bombs(path)
        return read_tensors(path)
    except Exception as error:  # a damaged file fails in many ways
        raise PaperlibError(
            f"{path.name} ({path.stat().st_size} bytes) cannot be read as a PyTorch file of tensors: it is damaged, "
            f"unfinished or something else; get it again ({first_line(error)})"
        ) from error


def _refuse_bombs(path: Path) -> None:
    """Look at what a file asks for: PyTorch packs without compression and writes no byte arrays, but reads both.

    Raises:
        ValueError: the records are larger than the file, or it makes a byte array, which may be of any length.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            records = archive.infolist()
            if sum(record.file_size for record in records) > path.stat().st_size:
                raise ValueError("its records are larger than itself")
            pickles = [archive.read(record) for record in records if record.filename.endswith(".pkl")]
    else:
        pickles = [path.read_bytes()]
    if any(b"bytearray" in pickled for pickled in pickles):
        raise ValueError("it holds more than tensors and numbers")


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict, alone or under one of `_HOLDERS`; names lose what parallel training and compiling leave before them.

    Raises:
        PaperlibError: as `read_checkpoint`, or the file holds no state dict.
    """
    held = read_checkpoint(path)
    if isinstance(held, dict) and not _is_state(held):
        held = next((held[name] for name in _HOLDERS if _is_state(held.get(name))), held)
    if not _is_state(held):
        raise PaperlibError(
            f"{path.name} holds no state dict (tensors by name, alone or under one of {', '.join(_HOLDERS)})"
        )
    return {_WRAPPED.sub("", key): value for key, value in held.items()}


def _is_state(held: Any) -> bool:
    return isinstance(held, dict) and all(isinstance(name, str) and isinstance(held[name], Tensor) for name in held)


def fill(network: nn.Module, path: Path, *, part: bool = False) -> nn.Module:
    """Load a file as of `read_state` into the network, which is returned: every tensor of it and no other.

    Args:
        network: filled in place.
        path: the file.
        part: the file holds some of the network's tensors, at least one; others have files of their own.

    Raises:
        PaperlibError: the file is damaged or belongs to another network.
    """
    given, own = read_state(path), network.state_dict()
    check_fit(type(network).__name__, path.name, shapes(given), shapes(own), part=part and bool(given))
    network.load_state_dict(given, strict=not part)
    return network


def shapes(arrays: Mapping[str, Any]) -> dict[str, Shape]:
    """Shape by name; an array of HDF5 without any counts as a single number."""
    return {name: tuple(array.shape or ()) for name, array in arrays.items()}


def check_fit(
    network: str,
    file: str,
    given: Mapping[str, Shape],
    expected: Mapping[str, Shape],
    *,
    part: bool = False,
    right: str = "the file that belongs to it",
) -> None:
    """Raises PaperlibError where weights are missing (unless `part`), unknown, or of another shape; it advises `right`."""
    told = {
        "missing": [] if part else sorted(expected.keys() - given.keys()),
        "not of this network": sorted(given.keys() - expected.keys()),
        "of another shape": [
            f"{name} {given[name]} for {expected[name]}"
            for name in sorted(expected.keys() & given.keys())
            if given[name] != expected[name]
        ],
    }
    faults = [f"{len(names)} {what}, first {names[0]}" for what, names in told.items() if names]
    if faults:
        raise PaperlibError(
            f"{file} is not a checkpoint of {network}: {'; '.join(faults)} (of {len(expected)} tensors); give {right}"
        )


def first_line(error: BaseException) -> str:
    """The kind of an error and the first line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def some(names: Sequence[str], most: int = 3) -> str:
    """The first names in one line, and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _numpy_scalars() -> list[Any]:
    """NumPy's numbers, by their names before and since NumPy 2."""
    from numpy._core.multiarray import scalar

    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *{type(np.dtype(code)) for code in "fdilq"}]


# ---- Keras and TensorFlow -------------------------------------------------------------------------------------------
def keras_shape(weight: Tensor) -> Shape:
    """The shape that a weight has in Keras, whose kernels are (height, width, inputs, outputs) or (inputs, outputs)."""
    outputs, *inputs = weight.shape
    return (*inputs[1:], inputs[0], outputs) if inputs else (outputs,)


def from_keras(array: NDArray) -> Tensor:
    """A weight of Keras in the order of PyTorch, whose kernels begin with outputs and inputs; float32, a copy."""
    axes = {4: (3, 2, 0, 1), 2: (1, 0)}.get(array.ndim, (0,))
    return torch.from_numpy(np.array(array.transpose(axes), np.float32, order="C"))
