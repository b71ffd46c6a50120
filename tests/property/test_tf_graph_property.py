"""What is written comes back; what is damaged is told, whatever the damage."""

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paperlib.errors import PaperlibError
from paperlib.models.tf_graph import read_constants, write_constants

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
arrays = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64]).map(np.dtype),
    hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)
graphs = st.dictionaries(names, arrays, min_size=1, max_size=4)


def written(constants: dict[str, np.ndarray], folder: Path) -> bytes:
    with patch("os.fsync"):
        write_constants(constants, folder / "graph.pb")
    return (folder / "graph.pb").read_bytes()


def read_or_error(content: bytes, file: Path) -> dict[str, np.ndarray] | None:
    file.write_bytes(content)
    try:
        return read_constants(file)
    except PaperlibError as error:
        assert "\n" not in str(error)
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("graphs")


@settings(max_examples=100, deadline=None)
@given(graphs)
def test_constants_come_back_as_they_were(folder: Path, constants: dict[str, np.ndarray]) -> None:
    written(constants, folder)
    got = read_constants(folder / "graph.pb")
    assert list(got) == list(constants)
    for name, array in constants.items():
        assert (got[name].dtype, got[name].shape, got[name].tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_every_truncation_is_an_error_or_the_nodes_before_it(folder: Path) -> None:
    rng = np.random.default_rng(0)
    constants = {
        "conv1/conv1_1/kernel": rng.standard_normal((2, 1, 3, 4), np.float32),
        "conv1/conv1_1/bias": rng.standard_normal(9, np.float32),
        "aspp/conv2/bias": rng.standard_normal(20).astype(np.float16),
    }
    content = written(constants, folder)
    whole_nodes = 0
    for length in range(len(content)):
        got = read_or_error(content[:length], folder / "cut.pb")
        if got is not None:
            whole_nodes += 1
            assert list(got) == list(constants)[:whole_nodes]
            assert all(got[name].tobytes() == constants[name].tobytes() for name in got)
    assert whole_nodes == len(constants) - 1


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_graph_or_an_error(folder: Path, content: bytes) -> None:
    read_or_error(content, folder / "bytes.pb")


@settings(max_examples=300, deadline=None)
@given(graphs, st.data())
def test_any_changed_byte_is_a_graph_or_an_error(
    folder: Path, constants: dict[str, np.ndarray], data: st.DataObject
) -> None:
    content = bytearray(written(constants, folder))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    read_or_error(bytes(content), folder / "changed.pb")
