"""The arrows between the rooms of paperlib: who may import whom, and what a light start must not load."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "paperlib"

FLOORS = (
    ("__init__", "errors", "json_files", "paths", "profiles", "paper", "vocabulary", "settings", "alike"),
    ("datasets",),
    ("models", "maps", "metrics", "coding"),
    ("engine",),
    ("sources",),
    ("experiments",),
    ("study", "supply", "rehearsal"),
    ("regenerate",),
    ("tasks",),
    ("show",),
    ("cli",),
    ("__main__",),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
FREE_OF_TORCH = ("metrics", "coding")
TORCH = {"torch", "torchvision", "timm", "pyiqa", "pytorch_grad_cam"}
NOTEBOOK_TOOLS = {"IPython", "ipywidgets", "jupyter_client", "nbclient", "nbconvert", "nbformat", "papermill"}
HEAVY = {"torch", "torchvision", "timm", "pyiqa", "pandas", "matplotlib", "scipy", "sklearn", "skimage", "av"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str:
    """`paperlib.maps.hirescam` lies in the room `maps`; `paperlib` itself is `__init__`."""
    return [*module.split("."), "__init__"][1]


def imports_of(path: Path, source: str | None = None) -> Iterator[str]:
    """Every module that `path` imports, at the top or inside a function, `from paperlib import x` as `paperlib.x`."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8") if source is None else source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(filter(None, [*package.split(".")[: len(package.split(".")) - node.level + 1], base]))
            if base == "paperlib":
                yield from (f"paperlib.{alias.name}" if alias.name in FLOOR else base for alias in node.names)
            else:
                yield base


def loaded_by(code: str) -> set[str]:
    """The top-level names in `sys.modules` after `code` ran in a fresh interpreter."""
    script = f"import sys\n{code}\nprint('\\n'.join({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_every_room_has_a_floor() -> None:
    rooms = {room_of(module_name(path)) for path in MODULES}
    assert rooms <= set(FLOOR), f"rooms without a floor in FLOORS: {sorted(rooms - set(FLOOR))}"
    assert len(MODULES) > 10


def test_the_reader_of_imports_sees_every_form() -> None:
    source = (
        "import a.b\ndef f():\n    from . import x\n    from ..engine import units\nfrom paperlib import paper, __version__"
    )
    found = set(imports_of(PACKAGE / "maps" / "hirescam.py", source))
    assert found == {"a.b", "paperlib.maps", "paperlib.engine", "paperlib.paper", "paperlib"}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_arrows_point_down(path: Path) -> None:
    here = room_of(module_name(path))
    upward = [name for name in imports_of(path) if name.split(".")[0] == "paperlib" and FLOOR[room_of(name)] > FLOOR[here]]
    assert not upward, f"{module_name(path)} (floor {here}) imports from above: {upward}"


def test_rooms_of_one_floor_form_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in MODULES:
        here = room_of(module_name(path))
        targets = {room_of(name) for name in imports_of(path) if name.split(".")[0] == "paperlib"}
        graph.setdefault(here, set()).update(targets - {here})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"rooms import each other in a circle: {' -> '.join(error.args[1])}")


@pytest.mark.parametrize("path", [path for path in MODULES if room_of(module_name(path)) in FREE_OF_TORCH], ids=module_name)
def test_metrics_and_coding_name_no_torch(path: Path) -> None:
    named = {name.partition(".")[0] for name in imports_of(path)} & TORCH
    assert not named, f"{module_name(path)} imports {sorted(named)}"


def test_metrics_and_coding_load_no_torch() -> None:
    modules = [module_name(path) for path in MODULES if room_of(module_name(path)) in FREE_OF_TORCH]
    assert not loaded_by(f"import {', '.join(modules)}") & TORCH


@pytest.mark.parametrize(
    "path", [path for path in MODULES if room_of(module_name(path)) not in {"show", "cli", "__main__"}], ids=module_name
)
def test_only_show_and_cli_know_notebooks(path: Path) -> None:
    named = {name.partition(".")[0] for name in imports_of(path)} & NOTEBOOK_TOOLS
    assert not named, f"{module_name(path)} imports {sorted(named)}"


@pytest.mark.parametrize(
    "code",
    [
        "import paperlib",
        "import paperlib.cli, paperlib.paper, paperlib.profiles, paperlib.paths, paperlib.errors",
        "import contextlib, io, runpy\n"
        "sys.argv = ['paperlib', '--help']\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        "    runpy.run_module('paperlib', run_name='__main__')",
    ],
    ids=["import", "light modules", "--help"],
)
def test_light_start(code: str) -> None:
    assert "json" in loaded_by("import json"), "the probe itself does not see imports"
    heavy = loaded_by(code) & HEAVY
    assert not heavy, f"a light start loads {sorted(heavy)}"
