"""What holds for any result, any damage and any parameters of a unit."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from paperlib.engine import store
from paperlib.engine.store import ResultStore
from paperlib.engine.units import COLUMNS, Result, Unit

UNIT = Unit.of("toys", "a", "json:dumps", size=3)

texts = st.text(st.characters(codec="utf-8"), max_size=8)
whole = st.integers(-(2**63), 2**63 - 1)
records = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            column: whole if column in ("seed", "n") else st.floats() if column in ("value", "low", "high") else texts
            for column in COLUMNS
            if column not in ("experiment", "seconds", "device")
        },
    ),
    max_size=4,
)
arrays = st.dictionaries(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=8),
    hnp.arrays(
        hnp.scalar_dtypes() | hnp.unicode_string_dtypes(), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    ),
    max_size=3,
)
scalars = st.none() | st.booleans() | whole | st.floats(allow_nan=False, allow_infinity=False) | texts
parameters = st.dictionaries(texts, st.recursive(scalars, lambda inner: st.lists(inner, max_size=3)), max_size=4)


@settings(max_examples=40, deadline=None)
@given(records, arrays)
def test_results_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, records: list[dict], arrays: dict[str, np.ndarray]
) -> None:
    results = ResultStore(tmp_path_factory.mktemp("results"))
    result = Result(records, arrays)
    with patch("os.fsync"):
        results.save(UNIT, result, seconds=2.5, device="cpu")
    loaded = results.load(UNIT)
    expected = result.rows.assign(experiment="toys", seconds=2.5, device="cpu").astype(result.rows.dtypes)
    pd.testing.assert_frame_equal(loaded.rows, expected, check_exact=True)
    assert list(loaded.arrays) == list(arrays)
    for name, array in arrays.items():
        assert loaded.arrays[name].dtype == array.dtype
        assert loaded.arrays[name].shape == array.shape
        assert loaded.arrays[name].tobytes() == array.tobytes()


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[ResultStore, dict[Path, bytes]]:
    """A store with one result, and the contents of its files."""
    results = ResultStore(tmp_path_factory.mktemp("stored"))
    values = np.random.default_rng(0).random((2, 3))
    results.save(UNIT, Result([{"method": "m", "metric": "NSS", "value": 0.5, "seed": 3}], {"map": values}), 1.0, "cpu")
    return results, {path: path.read_bytes() for path in sorted((results.root / "toys").iterdir())}


def flip(data: bytes, at: int, by: int) -> bytes:
    return data[:at] + bytes([data[at] ^ by]) + data[at + 1 :]


def cut(data: bytes, at: int, by: int) -> bytes:
    return data[:at]


def grow(data: bytes, at: int, by: int) -> bytes:
    return data + data[at : at + by] + b" "


def blank(data: bytes, at: int, by: int) -> bytes:
    return data[:at] + bytes(len(data) - at) + (b"" if any(data[at:]) else b"\0")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([".json", ".npz", ".parquet"]),
    st.sampled_from([flip, cut, grow, blank]),
    st.floats(0, 1, exclude_max=True),
    st.integers(1, 255),
)
def test_any_damage_is_noticed_and_named(
    stored: tuple[ResultStore, dict[Path, bytes]],
    suffix: str,
    damage: Callable[[bytes, int, int], bytes],
    place: float,
    by: int,
) -> None:
    results, contents = stored
    for path, data in contents.items():
        path.write_bytes(data)
    assert results.load(UNIT) is not None
    victim = next(path for path in contents if path.suffix == suffix)
    data = contents[victim]
    victim.write_bytes(damage(data, int(place * len(data)), by))
    with patch.object(store, "say") as say:
        assert results.load(UNIT) is None
    assert str(victim) in say.call_args.args[0]
    assert str(victim) in results.why_missing(UNIT)
    assert not any(path.exists() for path in contents)


@settings(max_examples=100, deadline=None)
@given(parameters, parameters)
def test_identities_are_equal_exactly_when_parameters_are(first: dict, second: dict) -> None:
    one, other = (Unit("toys", "a", "json:dumps", tuple(params.items())) for params in (first, second))
    assert (one.identity == other.identity) == (repr(one.params) == repr(other.params))
    assert Unit("toys", "b", "json:dumps", tuple(reversed(first.items()))).identity == one.identity
