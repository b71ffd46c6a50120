"""The notebook comparison itself: what must pass, what must fail, through nbval as the suite runs it."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

ROOT_CONFTEST = Path(__file__).resolve().parents[2] / "conftest.py"


def load_conftest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("root_conftest", ROOT_CONFTEST)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


conftest = load_conftest()

# ------------------------------------------------------------------------------------------- the text comparison
SAME_TEXT = {
    "dagger": ("0.617", "0.617†"),
    "equal": ("CC 0.617", "CC 0.617"),
    "within": ("CC 0.617", "CC 0.6184"),
    "end of a sentence": ("it is 0.617.", "it is 0.618."),
    "sign flips near zero": ("d = -0.000", "d = +0.001"),
    "typographic minus": ("d = \N{MINUS SIGN}0.012", "d = -0.012"),
    "plus or minus": ("0.617 \N{PLUS-MINUS SIGN} 0.002", "0.618 \N{PLUS-MINUS SIGN} 0.001"),
    "plus or minus without blanks": ("0.617\N{PLUS-MINUS SIGN}0.002", "0.618\N{PLUS-MINUS SIGN}0.001"),
    "per cent": ("61.70 %", "61.84 %"),
    "per cent without blank": ("61.70%", "61.60%"),
    "interval": ("(0.610, 0.660)", "(0.611, 0.659)"),
    "range with a hyphen": ("0.610-0.660", "0.611-0.659"),
    "both not a number": ("KLD nan", "KLD NaN"),
    "both infinite": ("PSNR inf", "PSNR inf"),
    "exponents": ("p = 1.2e-05", "p = 3.0e-04"),
    "array ends in a dot": ("[1. 2.5]", "[1.001 2.5]"),
    "wider table": ("a    0.5\n--------\nb  0.25", "a   0.5\n---------\nb   0.25"),
    "boxed table": ("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 3, "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 5),
    "address": ("<AxesImage at 0x7f00aa>", "<AxesImage at 0x7f11bb>"),
    "kernel file": ("in ipykernel_12/345.py:3", "in ipykernel_67/890.py:3"),
}
OTHER_TEXT = {
    "past": ("CC 0.617", "CC 0.619"),
    "word": ("the claim holds", "the claim fails"),
    "count": ("n = 48", "n = 49"),
    "count before a full stop": ("n is 48.", "n is 49."),
    "count and decimal": ("n = 1", "n = 1.0"),
    "sign": ("d = -0.012", "d = 0.012"),
    "per cent": ("61.7 %", "61.9 %"),
    "per cent against plain": ("0.617 %", "0.617"),
    "not a number": ("KLD nan", "KLD 0.001"),
    "infinite sign": ("inf", "-inf"),
    "version": ("3.11.7", "3.11.8"),
    "number in a name": ("fig1 0.5", "fig2 0.5"),
    "size": ("512x384", "512x385"),
    "unit": ("0.5 ms", "0.5 s"),
    "one number more": ("0.5", "0.5 0.5"),
    "order": ("a 0.1 b 0.9", "a 0.9 b 0.1"),
    "row": ("a 0.1\nb 0.2", "a 0.1 b 0.2"),
    "joined words": ("not holds", "notholds"),
    "no rule": ("a\n---\nb", "a\nb"),
    "sign of a placeholder": ("# 0.5", "0.5 #"),
}


@pytest.mark.parametrize(("stored", "computed"), SAME_TEXT.values(), ids=SAME_TEXT)
def test_same_text(stored: str, computed: str) -> None:
    assert conftest.same_text(computed, stored, conftest.ATOL)
    assert conftest.same_text(stored, computed, conftest.ATOL)


@pytest.mark.parametrize(("stored", "computed"), OTHER_TEXT.values(), ids=OTHER_TEXT)
def test_other_text(stored: str, computed: str) -> None:
    assert not conftest.same_text(computed, stored, conftest.ATOL)
    assert not conftest.same_text(stored, computed, conftest.ATOL)


def test_tolerance_is_used_on_both_sides_of_its_edge() -> None:
    assert conftest.same_text("0.6190", "0.6", 0.02)
    assert not conftest.same_text("0.6210", "0.6", 0.02)


@pytest.mark.parametrize(("key", "cell"), [("text/plain", "C2 {}"), ("text/html", "<td>0.5</td><td>{}</td>")])
def test_verdicts_hang_on_the_processor_and_numbers_do_not(key: str, cell: str) -> None:
    stored, computed = (cell.format(words) for words in ("holds; no control does", "not decided; the control A holds"))
    assert conftest.same(key, computed, stored, conftest.ATOL, verdicts=False)
    assert not conftest.same(key, computed, stored, conftest.ATOL)
    assert not conftest.same(key, computed.replace("C2", "C3").replace("0.5", "0.6"), stored, conftest.ATOL, verdicts=False)


# ------------------------------------------------------------------------------------------- the HTML comparison
TABLE = '<style>#T_{uuid} td {{ width: 1.5em }}</style><table id="T_{uuid}"><tr><td class="c{cls}">{value}</td></tr></table>'


def table(value: str = "0.617", uuid: str = "ab12c", cls: str = "1.000") -> str:
    return TABLE.format(value=value, uuid=uuid, cls=cls)


SAME_HTML = {
    "equal": table(),
    "within": table(value="0.618"),
    "blanks": table(value="\n   0.617  "),
    "random styler id": table(uuid="99fff"),
    "rank mark": table(value="<b>0.617</b>"),
}
OTHER_HTML = {
    "past": table(value="0.620"),
    "word": table(value="0.617 m"),
    "link": table(value="<a href='x'>0.617</a>"),
    "attribute": table(cls="1.001"),
    "style": table().replace("1.5em", "1.5 em"),
    "row": table().replace("</tr>", "</tr><tr><td>0.617</td></tr>"),
    "count": table(value="617"),
    "comment": table(value="<!-- 0.617 -->"),
}


@pytest.mark.parametrize("computed", SAME_HTML.values(), ids=SAME_HTML)
def test_same_html(computed: str) -> None:
    assert conftest.same_html(computed, table(), conftest.ATOL)


@pytest.mark.parametrize("computed", OTHER_HTML.values(), ids=OTHER_HTML)
def test_other_html(computed: str) -> None:
    assert not conftest.same_html(computed, table(), conftest.ATOL)


# ------------------------------------------------------------------------------- mutations of a stored notebook
HTML = "from IPython.display import HTML, display; display(HTML('<table><tr><td>{}</td></tr></table>'))"


def stream(text: str, name: str = "stdout") -> list[Any]:
    return [new_output("stream", name=name, text=text)]


def html(value: str) -> list[Any]:
    table_of_one = f"<table><tr><td>{value}</td></tr></table>"
    data = {"text/plain": "<IPython.core.display.HTML object>", "text/html": table_of_one}
    return [new_output("display_data", data=data)]


def result(text: str) -> list[Any]:
    return [new_output("execute_result", data={"text/plain": text}, execution_count=1)]


PASSES: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "untouched": ("print('CC 0.617')", stream("CC 0.617\n"), {}),
    "within the tolerance": ("print('CC 0.617')", stream("CC 0.618\n"), {}),
    "result within the tolerance": ("0.617", result("0.618"), {}),
    "table within the tolerance": (HTML.format("0.617"), html("0.618"), {}),
    "wider metadata tolerance": ("print('CC 0.617')", stream("CC 0.630\n"), {"paperlib": {"atol": 0.02}}),
    "messages": ("import sys; print('50 %', file=sys.stderr); print('done')", stream("done\n"), {}),
    "split stream": ("print('a 0.5')\nprint('b')", stream("a 0.5\n") + stream("b\n"), {}),
    "quiet kernel, figures elsewhere": (
        "import os, pathlib\nprint(os.environ['PAPERLIB_QUIET'], pathlib.Path(os.environ['PAPERLIB_FIGURES']).name[:8])",
        stream("1 paperlib\n"),
        {},
    ),
    "inline figure": (
        "%matplotlib inline\nimport matplotlib.pyplot as plt; plt.plot([1]); plt.show()",
        [new_output("display_data", data={"text/plain": "<Figure size 640x480 with 1 Axes>", "image/png": "AAAA"})],
        {},
    ),
}
FAILS: dict[str, tuple[str, list[Any], dict[str, Any]]] = {
    "past the tolerance": ("print('CC 0.617')", stream("CC 0.619\n"), {}),
    "result past the tolerance": ("0.617", result("0.619"), {}),
    "output removed": ("print('CC 0.617')", [], {}),
    "output added": ("x = 1", stream("CC 0.617\n"), {}),
    "second output removed": ("print('a'); 0.5", stream("a\n"), {}),
    "word changed": ("print('the claim holds')", stream("the claim fails\n"), {}),
    "table number changed": (HTML.format("0.617"), html("0.620"), {}),
    "table count changed": (HTML.format("48"), html("49"), {}),
    "count changed": ("print('n = 48')", stream("n = 49\n"), {}),
    "past the metadata tolerance": ("print('CC 0.617')", stream("CC 0.640\n"), {"paperlib": {"atol": 0.02}}),
    "narrower metadata tolerance": ("print('CC 0.617')", stream("CC 0.618\n"), {"paperlib": {"atol": 0.0}}),
    "one number more": ("print('0.617 0.617')", stream("0.617\n"), {}),
    "figure gone": ("x = 2", PASSES["inline figure"][1], {}),
    "error": ("1 / 0", [], {}),
}


def notebook_of(cells: dict[str, tuple[str, list[Any], dict[str, Any]]]) -> nbformat.NotebookNode:
    """One cell per case, counted from 1; an empty cell and prose at the end, which need no count."""
    counted = [
        new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=count)
        for count, (source, outputs, metadata) in enumerate(cells.values(), start=1)
    ]
    return new_notebook(cells=[*counted, new_code_cell(""), new_markdown_cell("The end.")])


def run_pytest(folder: Path, notebook: nbformat.NotebookNode) -> subprocess.CompletedProcess[str]:
    """Run nbval over one notebook with the root conftest.py of this repository; the report is folder/report.xml."""
    (folder / "conftest.py").write_bytes(ROOT_CONFTEST.read_bytes())
    (folder / "pytest.ini").write_text("[pytest]\n")
    nbformat.write(notebook, folder / "cells.ipynb")
    plugins = ["-p", "nbval.plugin", "-p", "no:cacheprovider"]
    options = ["--nbval", "--nbval-current-env", "--color=no", "--junitxml=report.xml"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *options, "cells.ipynb"],
        cwd=folder,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Every case is one cell of one notebook, so that one kernel serves them all: case -> did its cell pass?"""
    folder = tmp_path_factory.mktemp("mutations")
    cases = PASSES | FAILS
    run = run_pytest(folder, notebook_of(cases))
    assert run.returncode == 1, run.stdout + run.stderr
    reported = ElementTree.parse(folder / "report.xml").getroot().iter("testcase")
    passed = {case.get("name"): not list(case) for case in reported}
    assert len(passed) == len(cases) + 1 and passed[f"Cell {len(cases)}"], "the empty cell needs no stored output"
    return {name: passed[f"Cell {number}"] for number, name in enumerate(cases)}


@pytest.mark.parametrize("case", PASSES)
def test_cell_passes(outcomes: dict[str, bool], case: str) -> None:
    assert outcomes[case]


@pytest.mark.parametrize("case", FAILS)
def test_mutated_cell_fails(outcomes: dict[str, bool], case: str) -> None:
    assert not outcomes[case]


# ------------------------------------------------------------------------------------- notebooks that are refused
def untouched() -> nbformat.NotebookNode:
    return notebook_of({"first": PASSES["untouched"], "second": PASSES["untouched"]})


def clear_outputs(notebook: nbformat.NotebookNode) -> None:
    for cell in notebook.cells[:2]:
        cell.update(outputs=[], execution_count=None)


def clear_one_count(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[1].execution_count = None


def swap_counts(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[0].execution_count, notebook.cells[1].execution_count = 2, 1


def start_late(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[0].execution_count, notebook.cells[1].execution_count = 7, 8


def widen_without_bound(notebook: nbformat.NotebookNode) -> None:
    notebook.cells[0].metadata["paperlib"] = {"atol": 5}


def items_of(notebook: nbformat.NotebookNode) -> list[Any]:
    """What nbval collects from a notebook, as far as the refusal reads it."""
    parent = SimpleNamespace(nb=notebook)
    return [
        SimpleNamespace(cell=cell, parent=parent, path=Path("cells.ipynb"), nodeid=f"cells.ipynb::Cell {number}")
        for number, cell in enumerate(cell for cell in notebook.cells if cell.cell_type == "code")
    ]


@pytest.mark.parametrize(
    ("mutate", "message"),
    [
        (clear_outputs, "code cell 1 of 2 has execution count None"),
        (clear_one_count, "code cell 2 of 2 has execution count None"),
        (swap_counts, "code cell 1 of 2 has execution count 2"),
        (start_late, "code cell 1 of 2 has execution count 7"),
        (widen_without_bound, r"atol must be a number in \[0, 1\), got 5"),
    ],
)
def test_notebook_is_refused(mutate: Callable[[nbformat.NotebookNode], None], message: str) -> None:
    notebook = untouched()
    mutate(notebook)
    with pytest.raises(pytest.UsageError, match=message):
        conftest.pytest_collection_modifyitems(items_of(notebook))


def test_one_chosen_cell_of_a_whole_notebook_is_not_refused() -> None:
    (_, second, _) = items_of(untouched())
    conftest.pytest_collection_modifyitems([second])
    assert second.output_timeout == conftest.OUTPUT_TIMEOUT


def test_refusal_ends_the_session(tmp_path: Path) -> None:
    notebook = untouched()
    clear_outputs(notebook)
    run = run_pytest(tmp_path, notebook)
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "run the whole notebook, then commit it" in run.stdout + run.stderr
    assert "passed" not in run.stdout
