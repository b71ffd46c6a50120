"""The engine without accidents: what a unit's key sees, what a result keeps, what a run computes and says."""

import errno
import importlib
import io
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from modulefinder import ModuleFinder
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paperlib.engine import progress, store, units
from paperlib.engine.local import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import COLUMNS, Result, Unit, code_version, tidy
from paperlib.errors import PaperlibError
from tests.engine_samples import (
    REPOSITORY,
    TOY,
    assert_same,
    assert_same_files,
    folder_of,
    labels,
    make,
    results,
    starts,
    toys,
    unit_maker,
)

__all__ = ["make", "results", "toys"]  # fixtures

TORCH = """
import os

__version__ = "0"
threads = int(os.environ.get("OMP_NUM_THREADS", 64))

def get_num_threads():
    return threads

def set_num_threads(number):
    global threads
    threads = number

class cuda:
    is_initialized = staticmethod(lambda: False)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], str]:
    """Writes files of a package that no other test uses, each given by its name and its text, and returns its name."""
    name = f"package_{tmp_path.name}"
    monkeypatch.syspath_prepend(tmp_path)

    def write(sources: dict[str, str]) -> str:
        for module, source in sources.items():
            path = tmp_path / name / f"{module}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source.replace("package", name))
        return name

    return write


@pytest.fixture
def own_toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a module of small units that a test may edit."""
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / f"toy_{tmp_path.name}.py"
    module.write_text(TOY)
    return module


@pytest.fixture
def forget() -> Iterator[Callable[[], None]]:
    """Makes the engine read all sources again, as a new process would."""

    def clear() -> None:
        importlib.invalidate_caches()
        for cached in (units._closure, units._module, units._source):
            cached.cache_clear()

    yield clear
    clear()


# ------------------------------------------------------------------------------------------------------------- units


def test_identity_sees_what_decides_the_result(make: Callable[..., Unit]) -> None:
    base = make("a", size=1, names=("x", "y"), needs=[make("n")])
    same = make("a", names=["x", "y"], size=np.int64(1), needs=[make("n")], cost=9.0)
    assert same == base
    assert (same.identity, same.key) == (base.identity, base.key)
    others = [
        make("a", size=2, names=("x", "y"), needs=[make("n")]),
        make("a", size=1.0, names=("x", "y"), needs=[make("n")]),
        make("a", size=True, names=("x", "y"), needs=[make("n")]),
        make("a", size="1", names=("x", "y"), needs=[make("n")]),
        make("a", size=1, names=("x", "y"), needs=[make("n", seed=1)]),
        make("a", size=1, names=("x", "y")),
        make("a", size=1, names=(("x", "y"),), needs=[make("n")]),
        make("a", function="fail", size=1, names=("x", "y"), needs=[make("n")]),
        Unit("others", base.name, base.compute, base.params, base.needs),
    ]
    assert len({unit.identity for unit in [base, *others]}) == 1 + len(others)
    assert Unit("toys", "another name", base.compute, base.params, base.needs).key == base.key


def test_parameters_may_have_any_name() -> None:
    unit = Unit.of("toys", "a", "json:dumps", name="x", experiment="y", compute="z")
    assert dict(unit.params) == {"name": "x", "experiment": "y", "compute": "z"}


def test_pickled_unit_is_equal_and_looks_at_the_code_itself(make: Callable[..., Unit]) -> None:
    unit = make("b", needs=[make("a")], cost=3.0)
    assert unit.key
    copy = pickle.loads(pickle.dumps(unit))
    assert copy == unit
    assert copy.cost == unit.cost
    assert "key" in vars(unit)
    assert "key" not in vars(copy)
    assert copy.key == unit.key


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"experiment": "a/b"}, "plain folder name"),
        ({"experiment": "scratch"}, "plain folder name"),
        ({"name": ""}, "name must not be empty"),
        ({"compute": "json.dumps"}, "importable.module:function"),
        ({"compute": "__main__:f"}, "importable.module:function"),
        ({"params": (("p", float("nan")),)}, "'p' must be finite"),
        ({"params": (("p", {"a": 1}),)}, "'p' must be a plain value.*dict"),
        ({"params": (("p", (1, Path("x"))),)}, "'p' must be a plain value.*Path"),
        ({"needs": (Unit.of("e", "n", "json:dumps"), Unit.of("e", "n", "json:loads"))}, "must differ"),
    ],
)
def test_malformed_units_are_refused(fields: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Unit(**({"experiment": "toys", "name": "a", "compute": "json:dumps"} | fields))


# ----------------------------------------------------------------------------------------------------------- results


def test_rows_get_all_columns_in_fixed_types() -> None:
    rows = tidy([{"method": "m", "value": 1, "seed": 2**60 + 1}, {"variant": 0.5, "value": None}])
    assert tuple(rows.columns) == COLUMNS
    assert list(rows["seed"]) == [2**60 + 1, 0]
    assert list(rows["variant"]) == ["", "0.5"]
    assert rows["value"].dtype == "float64"
    assert np.isnan(rows["value"][1])
    assert list(tidy([]).dtypes) == list(rows.dtypes) == list(tidy(pd.DataFrame()).dtypes)
    pd.testing.assert_frame_equal(tidy(rows[::-1]), rows[::-1].reset_index(drop=True))


@pytest.mark.parametrize(
    ("record", "words"),
    [({"srocc": 1.0}, "got also .*srocc"), ({"n": 2.5}, "column 'n'"), ({"value": "high"}, "column 'value'")],
)
def test_rows_that_do_not_fit_are_refused(record: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Result([record])


def test_arrays_of_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="objects in .*'bad'"):
        Result(arrays={"bad": np.array([{}])})


# ---------------------------------------------------------------------------------------------------- version of code

PACKAGE = {
    "__init__": "from .core import base",
    "core/__init__": "",
    "core/base": "import json\nfrom . import sibling\nX = 1",
    "core/sibling": "",
    "core/unused": "from package import unrelated",
    "unrelated": "",
    "plain": "import package.tools.alpha",
    "tools/__init__": "from package.tools.beta import f\nfrom package import extra",
    "extra/__init__": "def f():\n    from . import deep",
    "extra/deep": "",
    "tools/alpha": "from ..core import base, sibling",
    "tools/beta": "def f():\n    from package.late import g",
    "late": "from .core.base import X\nimport package.more as more",
    "more": "from package.tools import *",
}


@pytest.mark.parametrize("entry", ["plain", "tools.alpha", "tools.beta", "late", "core.base", "core.unused", "more"])
def test_closure_is_that_of_modulefinder(entry: str, tmp_path: Path, package: Callable[[dict[str, str]], str]) -> None:
    name = package(PACKAGE)
    finder = ModuleFinder(path=[str(tmp_path)])
    finder.import_hook(f"{name}.{entry}")
    expected = {module for module in finder.modules if module.startswith(name)}
    assert set(code_version(f"{name}.{entry}:f")) == expected
    assert f"{name}.{entry}" in expected


@pytest.mark.parametrize(
    ("source", "behind"),
    [
        ("import typing\nif typing.TYPE_CHECKING:\n    import package.late\nelse:\n    import package.core", {"", ".core"}),
        ("import package", {"", ".late"}),
    ],
)
def test_what_is_for_type_checkers_does_not_count_and_a_used_package_counts_whole(
    source: str, behind: set[str], package: Callable[[dict[str, str]], str]
) -> None:
    show = "def show():\n    from . import late"
    name = package({"__init__": show, "core/__init__": "", "late": "", "a": source})
    assert set(code_version(f"{name}.a:f")) == {f"{name}.a"} | {f"{name}{module}" for module in behind}


BODY = '"""Prose."""\n# remark\ndef f(x):\n    """What f does."""\n    return x + 1\n'


@pytest.mark.parametrize(
    ("edit", "stale"),
    [
        (BODY.replace("Prose", "Better prose").replace("remark", "r").replace("What", "All that"), False),
        (BODY.replace("\ndef", "\n\n\ndef").replace("x + 1", "(x  +  1)"), False),
        ('__version__ = "2"\n' + BODY, False),
        (BODY.replace("x + 1", "x + 2"), True),
        (BODY.replace("x):", "x, y=0):"), True),
        ("import json\n" + BODY, True),
    ],
)
def test_only_edits_of_code_make_results_stale(
    edit: str, stale: bool, package: Callable[[dict[str, str]], str], forget: Callable[[], None]
) -> None:
    name = package({"__init__": "", "a": "from . import b", "b": BODY})
    unit = Unit.of("toys", "a", f"{name}.a:f")
    before = unit.key
    package({"b": edit})
    with pytest.raises(PaperlibError, match=rf"{name}\.b changed on disk") if stale else nullcontext():
        units.check_unchanged(unit)
    forget()
    assert (Unit.of("toys", "a", f"{name}.a:f").key != before) is stale


@pytest.mark.parametrize(
    ("facade", "edit", "stale"),
    [
        ("def show():\n    from . import b", "def show():\n    return 1", False),
        ("def show(): return 1", "def show(): return 1\nX = 2", True),
        ("def show(): return 1\nX = show()", "def show(): return 2\nX = show()", True),
        ("def show(f): return f\n@show\ndef g(): pass", "def show(f): return 1\n@show\ndef g(): pass", True),
    ],
)
def test_packages_passed_through_count_with_what_importing_runs(
    facade: str, edit: str, stale: bool, package: Callable[[dict[str, str]], str], forget: Callable[[], None]
) -> None:
    name = package({"__init__": facade, "a": "", "b": ""})
    before = code_version(f"{name}.a:f")
    assert set(before) == {name, f"{name}.a"}
    package({"__init__": edit})
    forget()
    assert (code_version(f"{name}.a:f") != before) is stale


def test_messages_and_bars_are_in_no_key() -> None:
    found = code_version("paperlib.engine.local:run")
    assert not [name for name in found if name.startswith("paperlib.engine.")]


def test_missing_module_is_named() -> None:
    with pytest.raises(PaperlibError, match="no_such_module"):
        _ = Unit.of("toys", "a", "no_such_module:f").key


# --------------------------------------------------------------------------------------------------------------- run


def test_each_unit_runs_once_after_what_it_needs(
    make: Callable[..., Unit], results: ResultStore, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    a, b = make("a"), make("b")
    c = make("c", needs=[a, b])
    d = make("d", needs=[c, a])
    got = run([d, a], results, workers=1, title="table9")
    begun = labels(tmp_path)
    assert sorted(begun) == ["a", "b", "c", "d"]
    assert begun.index("c") < begun.index("d")
    assert list(got) == ["d", "a"]
    draws = {name: np.random.default_rng(ord(name)).random(3) for name in "abcd"}
    c_sum = (draws["a"].sum() + draws["b"].sum() + draws["c"]).sum()
    np.testing.assert_allclose(got["d"].rows["value"], c_sum + draws["a"].sum() + draws["d"], rtol=1e-12)
    assert set(got["d"].rows["experiment"]) == {"toys"}
    assert set(got["d"].rows["device"]) == {"cpu"}
    assert (got["d"].rows["seconds"] > 0).all()
    again = run([d, a], results, workers=1, title="table9")
    assert len(labels(tmp_path)) == 4
    pd.testing.assert_frame_equal(again["d"].rows, got["d"].rows, check_exact=True)
    out, err = capfd.readouterr()
    assert out == ""
    lines = [line for line in err.splitlines() if line.startswith("table9")]
    assert lines == [f"table9: 0/4 units from {results.root}, 4 to compute (new)", f"table9: 2/2 units from {results.root}"]


def test_inputs_of_stored_results_are_left_alone(make: Callable[..., Unit], results: ResultStore, tmp_path: Path) -> None:
    a = make("a")
    b = make("b", needs=[a])
    run([b], results, workers=1, title="t")
    results.forget(a)
    run([b], results, workers=1, title="t")
    assert labels(tmp_path) == ["a", "b"]
    run([make("c", needs=[a, b])], results, workers=1, title="t")
    assert labels(tmp_path) == ["a", "b", "a", "c"]


def test_number_of_workers_does_not_matter(make: Callable[..., Unit], tmp_path: Path) -> None:
    roots = [make(f"root{i}") for i in range(3)]
    wanted = [*(make(f"leaf{i}", needs=roots[: i + 1]) for i in range(3)), *roots]
    stores = [ResultStore(tmp_path / str(workers)) for workers in (1, 2)]
    one, two = (run(wanted, store, workers=workers, title="t") for workers, store in enumerate(stores, start=1))
    assert_same(one, two)
    assert_same_files(wanted, *stores)


def test_long_chains_start_first(make: Callable[..., Unit], results: ResultStore, tmp_path: Path) -> None:
    short, long = make("short", cost=2.0), make("long", cost=3.0)
    tail = make("tail", needs=[make("head", cost=1.0)], cost=9.0)
    run([short, long, tail], results, workers=1, title="t")
    assert labels(tmp_path) == ["head", "tail", "long", "short"]


def test_failures_are_told_after_the_others_ran(make: Callable[..., Unit], results: ResultStore, tmp_path: Path) -> None:
    bad = make("bad", function="fail")
    wanted = [bad, make("above", needs=[bad]), make("top", needs=[make("above", needs=[bad])]), make("good")]
    with pytest.raises(PaperlibError) as failure:
        run(wanted, results, workers=1, title="table9")
    text = str(failure.value)
    assert text.startswith("table9: 1 of 4 units failed, finished results are kept. toys 'bad': RuntimeError: no such")
    assert "second line" not in text
    assert text.endswith("not tried, as they need these: 2")
    assert str(results.log(bad)) in text
    assert "Traceback" in results.log(bad).read_text()
    assert "second line" in results.log(bad).read_text()
    assert starts(tmp_path) == {"bad": 1, "good": 1}
    assert results.load(wanted[-1]) is not None


def test_wrong_return_is_a_failure(make: Callable[..., Unit], results: ResultStore) -> None:
    with pytest.raises(PaperlibError, match="must return a paperlib.engine.units.Result, got NoneType"):
        run([make("none", function="nothing")], results, workers=1, title="t")


def test_a_killed_worker_is_replaced_once(make: Callable[..., Unit], results: ResultStore, tmp_path: Path) -> None:
    once = make("once", function="die", times=1)
    twice = make("twice", function="die", times=2, needs=[once])
    with pytest.raises(PaperlibError, match=rf"1 of 2 units failed.*'twice'.*died twice \(signal {signal.SIGKILL:d}"):
        run([twice], results, workers=2, title="t")
    assert starts(tmp_path) == {"once": 2, "twice": 2}
    assert results.load(once) is not None
    assert results.log(twice).read_text() == "last words"
    run([twice], results, workers=1, title="t")
    assert not results.log(twice).exists()
    assert list((results.root / "scratch").iterdir()) == []


def test_full_disk_is_one_clear_sentence(
    make: Callable[..., Unit], results: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, mode: str = "wb") -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    unit = make("a")
    monkeypatch.setattr(store, "atomic_write", full)
    with pytest.raises(PaperlibError, match=r"the disk of .*results is full: free some space and run again$"):
        run([unit], results, workers=1, title="t")
    assert results.load(unit) is None


def test_a_new_version_replaces_the_old_one_when_it_is_there(
    own_toys: Path, results: ResultStore, forget: Callable[[], None], capsys: pytest.CaptureFixture
) -> None:
    make = unit_maker(own_toys.stem, own_toys.parent)
    run([make("a")], results, workers=1, title="t")
    before = {path.name for path in (results.root / "toys").iterdir()}
    own_toys.write_text(TOY.replace("below + generator.random()", "below + generator.random() + 1"))
    forget()
    new = make("a")
    assert results.load(new) is None
    assert results.why_missing(new) == f"{own_toys.stem} changed"
    assert {path.name for path in (results.root / "toys").iterdir()} == before
    sys.modules.pop(own_toys.stem)
    capsys.readouterr()
    rows = run([new, make("b")], results, workers=1, title="t")["a"].rows
    assert capsys.readouterr().err.splitlines()[0].endswith(f"2 to compute (1 {own_toys.stem} changed; 1 new)")
    assert (rows["value"] > 1).all()
    assert not before & {path.name for path in (results.root / "toys").iterdir()}


def test_code_edited_during_a_run_is_not_stored(own_toys: Path, results: ResultStore) -> None:
    make = unit_maker(own_toys.stem, own_toys.parent)
    unit = make("a")
    assert unit.key
    own_toys.write_text(TOY + "\nX = 1\n")
    with pytest.raises(PaperlibError, match=f"{own_toys.stem} changed on disk"):
        run([unit], results, workers=1, title="t")
    with pytest.raises(PaperlibError, match="edited while the run was going on"):
        run([make("b", needs=[unit])], results, workers=2, title="t")
    assert results.load(unit) is None


def test_one_thread_each(make: Callable[..., Unit], results: ResultStore) -> None:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        rows = run([make("a", function="threads")], results, workers=1, title="t")["a"].rows
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert list(rows["value"]) == [1.0]
    assert rows["n"][0] >= 2


def test_one_thread_each_where_torch_comes_late_and_main_cannot_be_imported(
    toys: str, make: Callable[..., Unit], tmp_path: Path
) -> None:
    """A script on stdin without any `if __name__` guard computes alone and with workers, and gets its threads back."""
    (tmp_path / "torch.py").write_text(TORCH)
    alone, first = make("a", function="threads"), make("b", function="threads")
    wanted = [alone, first, make("c", function="threads", needs=[first])]
    script = f"""
        import os, pickle, sys
        sys.path[:0] = [{str(REPOSITORY)!r}, {str(tmp_path)!r}, {str(folder_of(toys))!r}]
        from threadpoolctl import threadpool_info
        from paperlib.engine.local import run
        from paperlib.engine.store import ResultStore
        units = pickle.loads({pickle.dumps(wanted)!r})
        threads = lambda: [library["num_threads"] for library in threadpool_info()]
        before, environment = threads(), dict(os.environ)
        results = run(units[1:], ResultStore({str(tmp_path / "results")!r}), workers=2, title="t")
        assert "torch" not in sys.modules
        results |= run(units, ResultStore({str(tmp_path / "results")!r}), title="t")
        assert threads()[: len(before)] == before and dict(os.environ) == environment
        print(sorted((name, *result.rows["value"]) for name, result in results.items()))
        print(sys.modules["torch"].get_num_threads())
    """
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    ran = subprocess.run(
        [sys.executable, "-"], input=textwrap.dedent(script), env=environment, capture_output=True, text=True
    )
    assert ran.stdout.splitlines() == [
        "[('a', 1.0), ('b', 1.0), ('c', 1.0)]",
        str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
    ], ran.stderr


def test_arguments_are_checked(make: Callable[..., Unit], results: ResultStore) -> None:
    with pytest.raises(ValueError, match="must have different names"):
        run([make("a"), make("a", seed=1)], results, title="t")
    with pytest.raises(ValueError, match="workers must be at least 1"):
        run([make("a")], results, workers=0, title="t")


def test_nothing_to_do(results: ResultStore) -> None:
    assert run([], results, title="t") == {}
    assert not results.root.exists()


# ---------------------------------------------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("quiet", "stream", "drawn"), [("", Terminal, True), ("1", Terminal, False), ("", io.StringIO, False)]
)
def test_bars_are_drawn_where_somebody_watches(
    quiet: str, stream: type[io.StringIO], drawn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPERLIB_QUIET", quiet)
    monkeypatch.setattr(sys, "stderr", stream())
    assert list(progress.progress(range(3), desc="counting")) == [0, 1, 2]
    assert ("counting" in sys.stderr.getvalue()) is drawn
    progress.say("a word")
    assert ("a word\n" in sys.stderr.getvalue()) is (quiet == "")


def test_the_bar_names_the_unit(make: Callable[..., Unit], results: ResultStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    run([make("first"), make("second")], results, workers=1, title="table9")
    drawn = sys.stderr.getvalue()
    assert "0/2" in drawn
    assert "first" in drawn
    assert "second" in drawn


def test_maps_are_packed_and_read_back_as_they_were() -> None:
    rows, columns = np.mgrid[:200, :300]
    maps = {"maps.a": (rows // 2 + columns // 3).astype(np.uint8), "maps.b": np.zeros((5, 7), np.uint8)}
    noise = np.random.default_rng(0).integers(0, 256, (3, 40, 500), np.uint8)
    odd = {
        "noise": noise,
        "turned": noise.T,
        "one": np.uint8([255, 0, 7]),
        "none": noise[:, :0],
        "point": np.array(noise[0, 0, 0]),
    }
    floats = {"weights": np.linspace(0, 1, 60_000, dtype=np.float32)}
    for arrays, share in ((maps, 0.1), (odd, 1.1), (floats, 1.1), (maps | floats, 1.1)):
        files = store._encode(Result(pd.DataFrame({"value": [1.0]}), arrays))
        assert len(files[".npz"]) < share * sum(array.nbytes for array in arrays.values())
        assert files == store._encode(Result(pd.DataFrame({"value": [1.0]}), arrays))
        found = store._decode(files).arrays
        assert list(found) == list(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype


def test_maps_stored_before_steps_were_packed_are_read(tmp_path: Path) -> None:
    maps = {"a": np.arange(12, dtype=np.uint8).reshape(3, 4)}
    np.savez_compressed(tmp_path / "old.npz", **maps)
    files = store._encode(Result(pd.DataFrame({"value": [1.0]}))) | {".npz": (tmp_path / "old.npz").read_bytes()}
    np.testing.assert_array_equal(store._decode(files).arrays["a"], maps["a"])
