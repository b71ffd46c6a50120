"""Frozen TensorFlow graphs: against messages written and read by Google's protobuf with TensorFlow's own schema."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from paperlib.errors import PaperlibError
from paperlib.models.tf_graph import read_constants, write_constants

REPOSITORY = Path(__file__).resolve().parents[2]
FLOAT = 1


@pytest.fixture(scope="module")
def schema() -> SimpleNamespace:
    """TensorFlow's messages as tensorboard ships them, compiled from the original `.proto` files."""
    graph: ModuleType = pytest.importorskip("tensorboard.compat.proto.graph_pb2", reason="tensorboard is not installed")
    meta: ModuleType = pytest.importorskip("tensorboard.compat.proto.meta_graph_pb2", reason="tensorboard is not installed")
    return SimpleNamespace(GraphDef=graph.GraphDef, MetaGraphDef=meta.MetaGraphDef)


@pytest.fixture
def read(tmp_path: Path) -> Callable[[bytes], dict[str, np.ndarray]]:
    def read_bytes(content: bytes) -> dict[str, np.ndarray]:
        file = tmp_path / "graph.pb"
        file.write_bytes(content)
        return read_constants(file)

    return read_bytes


def add_constant(graph: object, name: str, shape: tuple[int, ...], dtype: int = FLOAT, **values: object) -> None:
    """A `Const` node as TensorFlow writes it, with attributes that nobody asks for."""
    node = graph.node.add(name=name, op="Const", device="/device:CPU:0")
    node.attr["dtype"].type = dtype
    node.attr["_output_shapes"].list.shape.add().dim.add(size=3)
    tensor = node.attr["value"].tensor
    tensor.dtype = dtype
    tensor.version_number = 1
    for size in shape:
        tensor.tensor_shape.dim.add(size=size, name="d")
    for field, value in values.items():
        if isinstance(value, bytes):
            setattr(tensor, field, value)
        else:
            getattr(tensor, field).extend(value)


def test_constants_of_a_graph_by_the_peer(schema: SimpleNamespace, read: Callable) -> None:
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 4), np.float32)
    graph = schema.GraphDef()
    graph.versions.producer = 27
    graph.node.add(name="input", op="Placeholder").attr["dtype"].type = FLOAT
    add_constant(graph, "conv1/conv1_1/kernel", kernel.shape, tensor_content=kernel.tobytes())
    graph.node.add(name="conv1/conv1_1/Conv2D", op="Conv2D", input=["input", "conv1/conv1_1/kernel"])
    add_constant(graph, "listed", (2, 2), float_val=[1.5, -2.0, 3.0, 4.0])
    add_constant(graph, "one value", (2, 3), float_val=[0.25])
    add_constant(graph, "short list", (4,), float_val=[1.0, 2.0])
    add_constant(graph, "zeros", (2, 2))
    add_constant(graph, "scalar", (), float_val=[7.0])
    add_constant(graph, "nothing", (0, 5))
    add_constant(graph, "double", (2,), dtype=2, double_val=[math.pi, -1e300])
    add_constant(graph, "half", (3,), dtype=19, half_val=np.array([1.5, -0.5, 65504], np.float16).view(np.uint16).tolist())
    add_constant(graph, "half bytes", (2,), dtype=19, tensor_content=np.array([0.1, np.inf], np.float16).tobytes())
    add_constant(graph, "whole", (2,), dtype=3, int_val=[1, 2])
    add_constant(graph, "text", (1,), dtype=7, string_val=[b"abc"])
    got = read(graph.SerializeToString())
    expected = {
        "conv1/conv1_1/kernel": kernel,
        "listed": np.array([[1.5, -2], [3, 4]], np.float32),
        "one value": np.full((2, 3), 0.25, np.float32),
        "short list": np.array([1, 2, 2, 2], np.float32),
        "zeros": np.zeros((2, 2), np.float32),
        "scalar": np.array(7, np.float32),
        "nothing": np.zeros((0, 5), np.float32),
        "double": np.array([math.pi, -1e300]),
        "half": np.array([1.5, -0.5, 65504], np.float16),
        "half bytes": np.array([0.1, np.inf], np.float16),
    }
    assert list(got) == list(expected)
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_array_equal(got[name], array, err_msg=name)


def test_the_peer_reads_what_we_write(schema: SimpleNamespace, tmp_path: Path) -> None:
    arrays = {
        "conv1/conv1_1/kernel": np.random.default_rng(0).standard_normal((3, 3, 3, 200), np.float32),
        "größe": np.array(2.5),
        "half": np.arange(6, dtype=np.float16).reshape(2, 3).T,
        "empty": np.zeros((0, 2), np.float32),
    }
    write_constants(arrays, tmp_path / "graph.pb")
    graph = schema.GraphDef.FromString((tmp_path / "graph.pb").read_bytes())
    assert [node.name for node in graph.node] == list(arrays)
    for node, array in zip(graph.node, arrays.values(), strict=True):
        tensor = node.attr["value"].tensor
        assert (node.op, set(node.attr)) == ("Const", {"dtype", "value"})
        assert node.attr["dtype"].type == tensor.dtype
        assert tuple(dimension.size for dimension in tensor.tensor_shape.dim) == array.shape
        stored = np.frombuffer(tensor.tensor_content, {1: "<f4", 2: "<f8", 19: "<f2"}[tensor.dtype])
        np.testing.assert_array_equal(stored.reshape(array.shape), array)


def test_constants_inside_functions_and_a_saved_model(schema: SimpleNamespace, read: Callable) -> None:
    meta = schema.MetaGraphDef()
    meta.meta_info_def.tensorflow_version = "2.15.0"
    add_constant(meta.graph_def, "top", (1,), float_val=[1.0])
    for values in ([2.0], [2.0], [3.0]):
        function = meta.graph_def.library.function.add()
        function.signature.name = "__inference_pruned"
        inner = schema.GraphDef()
        add_constant(inner, "conv/kernel", (1,), float_val=values)
        function.node_def.extend(inner.node)
    expected = {"top": 1.0, "conv/kernel": 2.0, "conv/kernel#2": 3.0}
    assert {name: float(array[0]) for name, array in read(meta.graph_def.SerializeToString()).items()} == expected
    graph = meta.SerializeToString()
    saved_model = b"\x08\x01" + b"\x12" + bytes([len(graph) & 0x7F | 0x80, len(graph) >> 7]) + graph
    assert {name: float(array[0]) for name, array in read(saved_model).items()} == expected


# ---- damage, by hand ------------------------------------------------------------------------------------------------
def field(number: int, kind: int, content: bytes) -> bytes:
    return bytes([number << 3 | kind]) + (bytes([len(content)]) if kind == 2 else b"") + content


def const(tensor: bytes, name: bytes = b"a", op: bytes = b"Const", key: bytes = b"value") -> bytes:
    value = field(8, 2, tensor)
    return field(1, 2, field(1, 2, name) + field(2, 2, op) + field(5, 2, field(1, 2, key) + field(2, 2, value)))


TWO = field(2, 2, field(2, 2, b"\x08\x02"))  # the shape (2,)
IS_FLOAT, IS_HALF = b"\x08\x01", b"\x08\x13"
ONE, MINUS_TWO = b"\x00\x00\x80\x3f", b"\x00\x00\x00\xc0"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no floating-point constant"),
        (b"no graph at all, only text", "damaged or something else"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged or something else"),
        (bytes(16), "damaged or something else"),
        (b"\xff" * 32, "damaged or something else"),
        (b"\x0b" + bytes(4), "damaged or something else"),
        (const(IS_FLOAT + TWO + field(4, 2, ONE)), r"1 elements where the shape \(2,\) asks for 2"),
        (const(IS_FLOAT + TWO + field(4, 2, ONE + b"\x00\x00")), "6 bytes are no whole number"),
        (const(IS_FLOAT + TWO + field(5, 2, ONE * 3)), "3 elements"),
        (const(IS_FLOAT + field(2, 2, field(2, 2, b"\x08" + b"\xff" * 9 + b"\x01"))), "no array has the shape"),
        (const(IS_FLOAT + field(2, 2, field(2, 2, b"\x08\x80\x80\x80\x80\x20"))), "no array has the shape"),
        (const(IS_FLOAT + field(2, 2, field(2, 2, b"") * 33)), "no array has the shape"),
        (const(IS_FLOAT + TWO, name=b"\xff\xfe"), "damaged or something else"),
        (const(IS_FLOAT + TWO, op=b"Placeholder"), "no floating-point constant"),
        (const(IS_FLOAT + TWO, key=b"other"), "no floating-point constant"),
    ],
)
def test_damage_is_one_sentence(content: bytes, words: str, read: Callable) -> None:
    with pytest.raises(PaperlibError, match=words) as error:
        read(content)
    assert str(error.value).startswith("graph.pb: expected a frozen TensorFlow graph")
    assert "\n" not in str(error.value)


def test_a_constant_of_one_repeated_value_takes_no_memory(read: Callable) -> None:
    """A shape of 2^30 elements in a file of some bytes must not fill the machine."""
    shape = field(2, 2, field(2, 2, b"\x08\x80\x80\x80\x80\x04"))
    array = read(const(IS_FLOAT + shape + field(5, 5, ONE)))["a"]
    assert array.shape == (2**30,) and array.strides == (0,) and array[-1] == 1


def test_no_file_and_no_number_are_named(tmp_path: Path) -> None:
    with pytest.raises(PaperlibError, match="absent.pb: expected .* cannot be read"):
        read_constants(tmp_path / "absent.pb")
    with pytest.raises(PaperlibError, match="cannot be read"):
        read_constants(tmp_path)
    with pytest.raises(ValueError, match="steps: expected float16, float32 or float64, got int64"):
        write_constants({"steps": np.arange(3)}, tmp_path / "graph.pb")
    assert list(tmp_path.iterdir()) == [], "a failed write leaves nothing behind"


def test_constants_cannot_be_changed_by_accident(tmp_path: Path) -> None:
    write_constants({"a": np.ones(3)}, tmp_path / "graph.pb")
    with pytest.raises(ValueError, match="read-only"):
        read_constants(tmp_path / "graph.pb")["a"][0] = 2


def test_neither_tensorflow_nor_tensorboard_is_needed() -> None:
    script = (
        "import sys\n"
        "for name in ('tensorflow', 'tensorboard'):\n"
        "    sys.modules[name] = None\n"
        "from paperlib.models.tf_graph import read_constants, write_constants"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)
