"""The weights inside a frozen TensorFlow graph, read and written without TensorFlow.

A frozen graph (`.pb`) is one protocol buffer message, `GraphDef`, in which every trained variable has become a node of
the kind `Const`. The few messages needed are walked here by hand; the numbers of their fields come from TensorFlow's
`graph.proto`, `node_def.proto`, `attr_value.proto`, `tensor.proto`, `tensor_shape.proto`, `function.proto`,
`meta_graph.proto` and `saved_model.proto`. Fields that nobody asks for are passed over.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paperlib.errors import PaperlibError
from paperlib.paths import atomic_write

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_SAVED_MODEL_VERSION, _SAVED_MODEL_META_GRAPHS = 1, 2
_META_GRAPH_GRAPH = 2
_GRAPH_NODE, _GRAPH_LIBRARY, _LIBRARY_FUNCTION, _FUNCTION_NODE = 1, 2, 1, 3
_NODE_NAME, _NODE_OP, _NODE_ATTRIBUTE = 1, 2, 5
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_VALUE_TYPE, _VALUE_TENSOR = 6, 8
_TENSOR_TYPE, _TENSOR_SHAPE, _TENSOR_CONTENT = 1, 2, 4
_SHAPE_DIMENSION, _DIMENSION_SIZE = 2, 1

_FLOAT, _DOUBLE, _HALF = 1, 2, 19
_DTYPES = {_FLOAT: np.dtype("<f4"), _DOUBLE: np.dtype("<f8"), _HALF: np.dtype("<f2")}
_VALUE_FIELDS = {_FLOAT: (5, FIXED32), _DOUBLE: (6, FIXED64), _HALF: (13, VARINT)}
_MOST_ELEMENTS = 2**31  # a message ends at 2 GiB


def read_constants(file: Path) -> dict[str, NDArray]:
    """The floating-point constants of a frozen graph (`GraphDef`) or of a `saved_model.pb` (`SavedModel`).

    Args:
        file: the `.pb` file.

    Returns:
        Node name -> array (float16, float32 or float64, read only), in the order of the file. Constants of functions
        follow those of the graph. A name that comes again with other values gets `#2`, `#3`, ... at its end.

    Raises:
        PaperlibError: the file is not there, is damaged, is no graph, or holds no such constant.
    """
    file = Path(file)
    try:
        content = file.read_bytes()
    except OSError as error:
        raise PaperlibError(
            f"{file.name}: expected a frozen TensorFlow graph, but it cannot be read ({error.strerror})"
        ) from None
    try:
        constants = _collect(memoryview(content))
    except ValueError as error:
        raise PaperlibError(
            f"{file.name}: expected a frozen TensorFlow graph, but it is damaged or something else ({error}); "
            "get the file again"
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
            stream.write(_message(_GRAPH_NODE, _const_node(name, np.asarray(array))))


# ---- reading --------------------------------------------------------------------------------------------------------
def _collect(content: memoryview) -> dict[str, NDArray]:
    constants: dict[str, NDArray] = {}
    for node in _nodes(content):
        if _text(node, _NODE_OP) != "Const":
            continue
        array = _tensor(node)
        if array is None:
            continue
        name = first = _text(node, _NODE_NAME)
        count = 1
        while name in constants and not _same(constants[name], array):
            count += 1
            name = f"{first}#{count}"
        constants.setdefault(name, array)
    return constants


def _same(one: NDArray, other: NDArray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def _nodes(content: memoryview) -> Iterator[memoryview]:
    """The nodes of all graphs in a file; the first field of a `SavedModel` is a number, of a `GraphDef` a message."""
    if any(number == _SAVED_MODEL_VERSION and kind == VARINT for number, kind, _ in _fields(content)):
        for meta_graph in _all(content, _SAVED_MODEL_META_GRAPHS):
            for graph in _all(meta_graph, _META_GRAPH_GRAPH):
                yield from _nodes_of_graph(graph)
    else:
        yield from _nodes_of_graph(content)


def _nodes_of_graph(graph: memoryview) -> Iterator[memoryview]:
    yield from _all(graph, _GRAPH_NODE)
    for library in _all(graph, _GRAPH_LIBRARY):
        for function in _all(library, _LIBRARY_FUNCTION):
            yield from _all(function, _FUNCTION_NODE)


def _tensor(node: memoryview) -> NDArray | None:
    """The array of a `Const` node; None where its elements are no floating-point numbers."""
    for entry in _all(node, _NODE_ATTRIBUTE):
        if _text(entry, _ENTRY_KEY) == "value":
            tensor = _last(_last(entry, _ENTRY_VALUE), _VALUE_TENSOR)
            return _array(tensor, _number(tensor, _TENSOR_TYPE))
    return None


def _array(tensor: memoryview, element: int) -> NDArray | None:
    if element not in _DTYPES:
        return None
    dtype, shape = _DTYPES[element], _shape(tensor)
    content = _last(tensor, _TENSOR_CONTENT)
    if len(content):
        values = np.frombuffer(_whole(content, dtype.itemsize), dtype)
        if values.size != math.prod(shape):
            raise ValueError(f"{values.size} elements where the shape {shape} asks for {math.prod(shape)}")
        return values.reshape(shape)
    return _repeated(_listed_values(tensor, element), shape)


def _shape(tensor: memoryview) -> tuple[int, ...]:
    message = _last(tensor, _TENSOR_SHAPE)
    shape = tuple(_number(dimension, _DIMENSION_SIZE) for dimension in _all(message, _SHAPE_DIMENSION))
    if math.prod(max(size, 1) for size in shape) > _MOST_ELEMENTS or len(shape) > 32:
        raise ValueError(f"no array has the shape {shape[:32]}")
    return shape


def _listed_values(tensor: memoryview, element: int) -> NDArray:
    """The values of `float_val`, `double_val` or `half_val`, packed into one field or one field each."""
    number, single = _VALUE_FIELDS[element]
    chunks = []
    for found, kind, value in _fields(tensor):
        if found != number:
            continue
        if kind not in (BYTES, single):
            raise ValueError(f"field {number} has the wire type {kind}")
        if single == VARINT:
            numbers = _varints(value) if kind == BYTES else [value]
            chunks.append(b"".join((bits & 0xFFFF).to_bytes(2, "little") for bits in numbers))
        else:
            chunks.append(bytes(_whole(value, _DTYPES[element].itemsize)))
    return np.frombuffer(b"".join(chunks), _DTYPES[element])


def _repeated(values: NDArray, shape: tuple[int, ...]) -> NDArray:
    """TensorFlow's rule for a short list: the last value stands for all that follow; no value at all means 0."""
    size = math.prod(shape)
    if values.size > size:
        raise ValueError(f"{values.size} elements where the shape {shape} asks for {size}")
    if values.size == size:
        return values.reshape(shape)
    if values.size <= 1:
        return np.broadcast_to(values[0] if values.size else values.dtype.type(0), shape)
    return np.concatenate([values, np.broadcast_to(values[-1], size - values.size)]).reshape(shape)


def _whole(content: memoryview, size: int) -> memoryview:
    if len(content) % size:
        raise ValueError(f"{len(content)} bytes are no whole number of elements of {size} bytes")
    return content


# ---- the wire format ------------------------------------------------------------------------------------------------
def _fields(message: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """(number, wire type, value) of every field: an int for a varint, the raw bytes for the other wire types."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if kind == VARINT:
            value, position = _varint(message, position)
            yield number, kind, value
            continue
        if kind == BYTES:
            size, position = _varint(message, position)
        elif kind in (FIXED32, FIXED64):
            size = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"field {number} has the wire type {kind}")
        if size > end - position:
            raise ValueError(f"field {number} ends {size - (end - position)} bytes after the file or its message")
        yield number, kind, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(message):
            raise ValueError("the file or a message ends inside a number")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), position
    raise ValueError("a number has more than ten bytes")


def _varints(content: memoryview) -> Iterator[int]:
    position = 0
    while position < len(content):
        value, position = _varint(content, position)
        yield value


def _all(message: memoryview, number: int) -> Iterator[memoryview]:
    """The values of every field `number`, which must hold bytes."""
    for found, kind, value in _fields(message):
        if found == number:
            if kind != BYTES:
                raise ValueError(f"field {number} has the wire type {kind}")
            yield value


def _last(message: memoryview, number: int) -> memoryview:
    """The last of the fields `number`, as protocol buffers want it; empty where there is none."""
    return [memoryview(b""), *_all(message, number)][-1]


def _number(message: memoryview, number: int) -> int:
    """The last of the varint fields `number`; 0 where there is none."""
    result = 0
    for found, kind, value in _fields(message):
        if found == number:
            if kind != VARINT:
                raise ValueError(f"field {number} has the wire type {kind}")
            result = value
    return result


def _text(message: memoryview, number: int) -> str:
    return str(_last(message, number), "utf-8")


# ---- writing --------------------------------------------------------------------------------------------------------
def _const_node(name: str, array: NDArray) -> bytes:
    element = next((number for number, dtype in _DTYPES.items() if dtype == array.dtype), None)
    if element is None:
        raise ValueError(f"{name}: expected float16, float32 or float64, got {array.dtype}")
    dimensions = (_message(_SHAPE_DIMENSION, _count(_DIMENSION_SIZE, size)) for size in array.shape)
    tensor = b"".join(
        (
            _count(_TENSOR_TYPE, element),
            _message(_TENSOR_SHAPE, b"".join(dimensions)),
            _message(_TENSOR_CONTENT, array.astype(_DTYPES[element], copy=False).tobytes()),
        )
    )
    attributes = (("dtype", _count(_VALUE_TYPE, element)), ("value", _message(_VALUE_TENSOR, tensor)))
    fields: Iterable[bytes] = (
        _message(_NODE_NAME, name.encode()),
        _message(_NODE_OP, b"Const"),
        *(
            _message(_NODE_ATTRIBUTE, _message(_ENTRY_KEY, key.encode()) + _message(_ENTRY_VALUE, value))
            for key, value in attributes
        ),
    )
    return b"".join(fields)


def _message(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | BYTES) + _encoded(len(content)) + content


def _count(number: int, value: int) -> bytes:
    return _encoded(number << 3 | VARINT) + _encoded(value)


def _encoded(value: int) -> bytes:
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    digits.append(value)
    return bytes(digits)
