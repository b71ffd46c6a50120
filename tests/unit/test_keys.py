"""A result hangs only on the code that computes it: what stands behind the keys of units, and what an edit makes stale."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from paperlib.engine.units import code_version, function
from paperlib.sources.source import KINDS

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "paperlib"

TELLS = re.compile(
    r"paperlib\.(paper|profiles|settings|cli|regenerate|show|supply|rehearsal|tasks)(\.|$)"
    r"|\.(plan|results|explore|artefacts|claims|statistics|registry|available|running)$"
)
"""Modules that plan, show or tell."""

NAMED = re.compile(r"\b(paperlib(?:\.\w+)+:\w+)")


def named_functions() -> list[str]:
    """Every function that the package names by a text, as units do; an f-string's constant is filled in."""
    found = {name for kind in KINDS.values() for name in (kind.maker, kind.opener) if name}
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        for constant, module in re.findall(r'^(_\w+) = "(paperlib(?:\.\w+)+)"$', text, re.MULTILINE):
            text = text.replace(f"{{{constant}}}:", f"{module}:")
        found |= {name for name in NAMED.findall(text) if is_there(name)}
    return sorted(found)


def is_there(name: str) -> bool:
    return Path(REPOSITORY, *name.partition(":")[0].split(".")).with_suffix(".py").is_file()


FUNCTIONS = named_functions()


def test_the_functions_are_found() -> None:
    """At least those of every section, and all of them exist."""
    modules = {name.partition(":")[0] for name in FUNCTIONS}
    for section in ("extracting", "masking", "dual_task", "compression", "maps", "training"):
        assert any(name.startswith(f"paperlib.experiments.{section}.") for name in modules), section
    for name in FUNCTIONS:
        assert callable(function(name)), name


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_function_of_a_unit_hangs_on_what_plans_shows_or_tells(name: str) -> None:
    behind = [module for module in code_version(name) if TELLS.search(module)]
    assert not behind, f"{name} hangs on {behind}"


# ------------------------------------------------------------------------------------------------- edits, on a copy


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, home / "paperlib", ignore=shutil.ignore_patterns("__pycache__"))
    return home


def versions(home: Path) -> dict[str, dict[str, str]]:
    """`code_version` of every function, as a fresh process sees the copy."""
    code = (
        "import json, sys; from paperlib.engine.units import code_version; "
        "print(json.dumps({name: code_version(name) for name in json.load(sys.stdin)}))"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", code],
        input=json.dumps(FUNCTIONS), capture_output=True, text=True, check=True,
        env={"PYTHONPATH": str(home), "PATH": "/usr/bin"},
    )  # fmt: skip
    return json.loads(run.stdout)


@pytest.fixture
def stale_after(copy: Path) -> Iterator[Callable[[str, str, str], set[str]]]:
    """`stale_after(module, old, new)`: the functions whose code changes with that edit; it is taken back at the end."""
    before, texts = versions(copy), {}

    def edit(module: str, old: str, new: str) -> set[str]:
        path = copy / "paperlib" / f"{module}.py"
        texts[path] = text = path.read_text("utf-8")
        assert old in text, f"{module} holds no {old!r}: choose another edit for this test"
        path.write_text(text.replace(old, new, 1), "utf-8")
        after = versions(copy)
        return {name for name in FUNCTIONS if before[name] != after[name]}

    yield edit
    for path, text in texts.items():
        path.write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("experiments/extracting/results", "in brackets 95 %", "in parentheses 95 %"),
        ("experiments/dual_task/results", "paper", "Paper"),
        ("paper", "ERRATA", "MISTAKES"),
        ("show/style", "#", "#0"),
        ("experiments/extracting/plan", "cost=10.0", "cost=11.0"),
        ("profiles", "n_folds: int = 5", "n_folds: int = 6"),
    ],
)
def test_what_is_told_makes_nothing_stale(
    stale_after: Callable[[str, str, str], set[str]], module: str, old: str, new: str
) -> None:
    assert stale_after(module, old, new) == set()


def test_a_loader_makes_only_the_results_on_its_set_stale(stale_after: Callable[[str, str, str], set[str]]) -> None:
    """Its opener stands among the calls of units that look at its set, so that no function itself hangs on it."""
    assert stale_after("datasets/cat2000", "\ndef ", "\n_EDITED = 1\n\n\ndef ") == {"paperlib.datasets.cat2000:open_cat2000"}


def test_hirescam_makes_exactly_those_stale_that_ask_a_network_for_reasons(
    stale_after: Callable[[str, str, str], set[str]],
) -> None:
    stale = stale_after("maps/hirescam", "def ", "_EDITED = 1\n\n\ndef ")
    asking = {KINDS[kind].maker for kind in ("quality", "activation", "norm")}
    film = {name for name in FUNCTIONS if name.endswith(":film")}
    assert stale == asking | film
