"""The weights inside a frozen TensorFlow graph, read and written without TensorFlow.

A frozen graph (`.pb`) is one protocol buffer message, `GraphDef`, in which every trained variable has become a node of
the kind `Const`. The few messages and fields needed are declared here, with the numbers that they have in TensorFlow's
`graph.proto`, `node_def.proto`, `attr_value.proto`, `tensor.proto`, `tensor_shape.proto`, `function.proto`,
`meta_graph.proto` and `saved_model.proto`; protobuf passes over all others.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClassesForFiles
from numpy.typing import NDArray

from paperlib.errors import PaperlibError
from paperlib.paths import atomic_write

_DTYPES: dict[int, np.dtype] = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 19: np.dtype("<f2")}
_MOST_ELEMENTS = 2**31  # a message ends at 2 GiB
_MOST_BYTES = 1 << 28  # the authors' graphs have 100 MB
_MOST_FILLED = 1 << 25
"""Elements that short lists of a file may be filled up with; the authors' graphs have 2.5e7 elements in all."""
_SCHEMA = {
    "SavedModel": {"version": ("int64", 1), "meta_graphs": ("MetaGraph*", 2)},
    "MetaGraph": {"graph": ("Graph", 2)},
    "Graph": {"node": ("Node*", 1), "library": ("Library", 2)},
    "Library": {"function": ("Function*", 1)},
    "Function": {"node": ("Node*", 3)},
    "Node": {"name": ("string", 1), "op": ("string", 2), "attribute": ("Attribute*", 5)},
    "Attribute": {"key": ("string", 1), "value": ("Value", 2)},
    "Value": {"type": ("int32", 6), "tensor": ("Tensor", 8)},
    "Tensor": {
        "dtype": ("int32", 1),
        "shape": ("Shape", 2),
        "content": ("bytes", 4),
        "floats": ("float*", 5),
        "doubles": ("double*", 6),
        "halves": ("int32*", 13),
    },
    "Shape": {"dimension": ("Dimension*", 2)},
    "Dimension": {"size": ("int64", 1)},
}
"""Message -> field -> (type, number); a star marks fields that may come again."""


def read_constants(file: Path) -> dict[str, NDArray]:
    """The floating-point constants of a frozen graph (`GraphDef`) or of a `saved_model.pb` (`SavedModel`).

    Args:
        file: the `.pb` file.

    Returns:
        Node name -> array (float16, float32 or float64, read only), in the order of the file. Constants of functions
        follow those of the graph. A name that comes again with other values gets `#2`, `#3`, ... at its end.

    Raises:
        PaperlibError: the file is not there, is damaged, too large, is no graph, or holds no such constant.
    """
    file = Path(file)
    try:
        with file.open("rb") as stream:
            content = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise PaperlibError(
            f"{file.name}: expected a frozen TensorFlow graph, but it cannot be read ({error.strerror})"
        ) from None
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        constants = _collect(_graphs(content))
    except (DecodeError, ValueError) as error:
        raise PaperlibError(
            f"{file.name}: expected a frozen TensorFlow graph, but it is damaged or something else "
            f"({str(error).splitlines()[0]}); get the file again"
        ) from None
    if not constants:
        raise PaperlibError(f"{file.name}: expected a frozen TensorFlow graph, but it holds no floating-point constant")
    return constants


def write_constants(constants: Mapping[str, NDArray], file: Path) -> None:
    """Write a `GraphDef` that has one `Const` node per array and nothing else; the file is replaced as a whole.

    Args:
        constants: node name -> float16, float32 or float64 array.
        file: the `.pb` file.

    Raises:
        ValueError: another element type.
        OSError: the folder cannot be written.
    """
    with atomic_write(file) as stream:
        for name, array in constants.items():
            graph = _messages()["Graph"]()
            _add_constant(graph, name, np.asarray(array))
            stream.write(graph.SerializeToString())


@cache
def _messages() -> dict[str, Any]:
    """The classes of `_SCHEMA` by name."""
    declared = FileDescriptorProto(name="tf_graph.proto", package="paperlib", syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = declared.message_type.add(name=name)
        for field, (kind, number) in fields.items():
            single = kind.removesuffix("*")
            label = FieldDescriptorProto.LABEL_OPTIONAL if single == kind else FieldDescriptorProto.LABEL_REPEATED
            added = message.field.add(name=field, number=number, label=label)
            if single in _SCHEMA:
                added.type, added.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".paperlib.{single}"
            else:
                added.type = FieldDescriptorProto.Type.Value(f"TYPE_{single.upper()}")
    pool = DescriptorPool()
    pool.Add(declared)
    classes = GetMessageClassesForFiles([declared.name], pool)
    return {name.rpartition(".")[2]: made for name, made in classes.items()}


# ---- reading --------------------------------------------------------------------------------------------------------
def _graphs(content: bytes) -> list[Any]:
    """The graphs of a file; the first field of a `SavedModel` is a number, of a `GraphDef` a message."""
    if content[:1] == b"\x08":
        return [meta_graph.graph for meta_graph in _messages()["SavedModel"].FromString(content).meta_graphs]
    return [_messages()["Graph"].FromString(content)]


def _collect(graphs: list[Any]) -> dict[str, NDArray]:
    constants: dict[str, NDArray] = {}
    known: dict[str, set[Any]] = defaultdict(set)
    filled = 0
    for node in (node for graph in graphs for node in _nodes(graph) if node.op == "Const"):
        listed = _listed(node)
        if listed is None:
            continue
        values, shape = listed
        content = values.dtype, shape, hashlib.sha256(values.data).digest()
        if content in known[node.name]:
            continue
        known[node.name].add(content)
        filled += math.prod(shape) if 1 < values.size < math.prod(shape) else 0
        if filled > _MOST_FILLED:
            raise ValueError(f"short lists stand for more than {_MOST_FILLED} elements")
        count = len(known[node.name])
        name = node.name if count == 1 else f"{node.name}#{count}"
        if name in constants:
            raise ValueError(f"{name[:40]!r} names two constants")
        constants[name] = _repeated(values, shape)
    return constants


def _nodes(graph: Any) -> Iterator[Any]:
    yield from graph.node
    for function in graph.library.function:
        yield from function.node


def _listed(node: Any) -> tuple[NDArray, tuple[int, ...]] | None:
    """The elements that a `Const` node lists, (n,), and its shape; None where they are no floating-point numbers."""
    tensor = next((attribute.value.tensor for attribute in node.attribute if attribute.key == "value"), None)
    if tensor is None or tensor.dtype not in _DTYPES:
        return None
    shape = tuple(dimension.size for dimension in tensor.shape.dimension)
    if min(shape, default=0) < 0 or len(shape) > 32 or math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS:
        raise ValueError(f"no array has the shape {shape[:32]}")
    values, size = _values(tensor, _DTYPES[tensor.dtype]), math.prod(shape)
    if values.size > size or (tensor.content and values.size < size):
        raise ValueError(f"{values.size} elements where the shape {shape} asks for {size}")
    return values, shape


def _values(tensor: Any, dtype: np.dtype) -> NDArray:
    """The elements that a tensor lists, (n,); read only."""
    if tensor.content:
        if len(tensor.content) % dtype.itemsize:
            raise ValueError(f"{len(tensor.content)} bytes are no whole number of elements of {dtype.itemsize} bytes")
        return np.frombuffer(tensor.content, dtype)
    if dtype == np.float16:
        values = np.array(tensor.halves, np.int64).astype("<u2").view(dtype)
    else:
        values = np.array(tensor.floats if dtype == np.float32 else tensor.doubles, dtype)
    values.flags.writeable = False
    return values


def _repeated(values: NDArray, shape: tuple[int, ...]) -> NDArray:
    """TensorFlow's rule for a short list: the last value stands for all that follow; no value at all means 0.

    A constant of one repeated value takes no memory, whatever its shape.
    """
    missing = math.prod(shape) - values.size
    if missing and values.size <= 1:
        return np.broadcast_to(values[0] if values.size else values.dtype.type(0), shape)
    if missing:
        values = np.concatenate([values, np.broadcast_to(values[-1], missing)])
        values.flags.writeable = False
    return values.reshape(shape)


# ---- writing --------------------------------------------------------------------------------------------------------
def _add_constant(graph: Any, name: str, array: NDArray) -> None:
    element = next((number for number, dtype in _DTYPES.items() if dtype == array.dtype), None)
    if element is None:
        raise ValueError(f"{name}: expected float16, float32 or float64, got {array.dtype}")
    node = graph.node.add(name=name, op="Const")
    node.attribute.add(key="dtype").value.type = element
    tensor = node.attribute.add(key="value").value.tensor
    tensor.dtype = element
    tensor.shape.SetInParent()
    for size in array.shape:
        tensor.shape.dimension.add(size=size)
    tensor.content = array.astype(_DTYPES[element], copy=False).tobytes()
