"""The house rules of the notebooks: one skeleton, small cells, prose before code, outputs that can be compared."""

import ast
import re
import statistics
from pathlib import Path
from typing import Any

import nbformat
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
NOTEBOOKS = {path.stem: nbformat.read(path, as_version=4) for path in sorted((REPOSITORY / "notebooks").glob("*.ipynb"))}
EXPECTED = (
    "00_start_here",
    "01_introduction",
    "02_related_work",
    "03a_extracting_saliency",
    "03b_saliency_masking",
    "03c_dual_task_training",
    "03d_nonuniform_compression",
    "04_discussion",
)
PARAMETERS_OPTIONAL = ("00_start_here", "02_related_work")

LONGEST_CELL, LONGEST_METHOD, LONGEST_MEDIAN = 20, 25, 8
UNCOMPARED_TAGS = {"nbval-ignore-output", "nbval-skip", "nbval-raises-exception", "raises-exception"}
UNCOMPARED_COMMENT = re.compile(
    r"^\s*#+\s*(?:PYTEST_VALIDATE_IGNORE_OUTPUT|NBVAL_(?:IGNORE_OUTPUT|SKIP|RAISES_EXCEPTION))\s*$", re.MULTILINE
)
MACHINE_PATH = re.compile(r"(?<![\w.:/~-])/(?:[\w.-]+/){2,}[\w.-]+|[A-Za-z]:\\{1,2}Users\\|\bfile:/" r"/")

each_notebook = pytest.mark.parametrize("name", sorted({*EXPECTED, *NOTEBOOKS}))


def notebook(name: str) -> Any:
    if name not in NOTEBOOKS:
        pytest.fail(f"notebooks/{name}.ipynb is missing")
    return NOTEBOOKS[name]


def code_cells(name: str) -> list[Any]:
    return [cell for cell in notebook(name).cells if cell.cell_type == "code" and cell.source.strip()]


def lines(cell: Any) -> int:
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", ()))


def python(source: str) -> ast.Module:
    """The syntax tree of a cell without its magics and shell lines."""
    return ast.parse("\n".join(line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))))


def text_of(output: Any) -> str:
    texts = [value for mime, value in output.get("data", {}).items() if mime.startswith("text/")]
    return "\n".join([output.get("text", ""), *texts])


def tolerance_table() -> dict[tuple[str, str], str]:
    """(notebook, cell id) -> atol, from TOLERANCES.md."""
    rows: dict[tuple[str, str], str] = {}
    for line in (Path(__file__).parent / "TOLERANCES.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and cells[0] != "notebook" and not set(cells[0]) <= {"-", ":"}:
            assert len(cells) == 5 and all(cells), f"a row of TOLERANCES.md is not filled in: {line}"
            key = (cells[0].removesuffix(".ipynb"), cells[1])
            assert key not in rows, f"TOLERANCES.md lists {key} twice"
            rows[key] = cells[2]
    return rows


def test_every_section_has_its_notebook() -> None:
    assert set(NOTEBOOKS) == set(EXPECTED)


def defined(cell: Any) -> list[str]:
    nodes = ast.walk(python(cell.source))
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]


@each_notebook
def test_what_a_notebook_defines_is_held_against_the_library(name: str) -> None:
    """The method in plain lines, and an `assert` in that cell or the next one; everything else is imported."""
    cells = code_cells(name)
    for cell, following in zip(cells, [*cells[1:], None], strict=True):
        asserts = [one for one in (cell, following) if one and re.search(r"^\s*assert ", one.source, re.MULTILINE)]
        assert not defined(cell) or asserts, f"cell {cell.id} defines {defined(cell)} and nothing is asserted of it"


@each_notebook
def test_cells_are_small(name: str) -> None:
    longest = {cell.id: LONGEST_METHOD if defined(cell) else LONGEST_CELL for cell in code_cells(name)}
    sizes = {cell.id: lines(cell) for cell in code_cells(name)}
    assert not {cell: size for cell, size in sizes.items() if size > longest[cell]}
    assert statistics.median(sizes.values()) <= LONGEST_MEDIAN


@each_notebook
def test_prose_comes_before_each_code_cell(name: str) -> None:
    """But for an answer, which follows what it is about."""
    cells = [cell for cell in notebook(name).cells if cell.source.strip()]
    kinds = [None, *(cell.cell_type for cell in cells)]
    assert not [
        cell.id
        for before, cell in zip(kinds, cells, strict=False)
        if cell.cell_type == "code" and before != "markdown" and "answer" not in tags(cell)
    ]


@each_notebook
def test_answers_show_what_they_say_and_fold_how(name: str) -> None:
    for cell in code_cells(name):
        if "answer" in tags(cell):
            assert cell.metadata.jupyter == {"source_hidden": True} and re.search(r"^\s*say\w*\(", cell.source, re.MULTILINE)


@each_notebook
def test_one_parameters_cell(name: str) -> None:
    tagged = [cell for cell in notebook(name).cells if "parameters" in tags(cell)]
    assert len(tagged) in ((0, 1) if name in PARAMETERS_OPTIONAL else (1,))
    assert not [cell.id for cell in notebook(name).cells if "injected-parameters" in tags(cell)]
    assert "papermill" not in notebook(name).metadata
    assert notebook(name).metadata.kernelspec.name == "python3"


@each_notebook
def test_cells_ran_from_top_to_bottom(name: str) -> None:
    cells = code_cells(name)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(cell.outputs for cell in cells), "something to compare with"


@each_notebook
def test_stored_outputs_are_clean(name: str) -> None:
    """No errors, nothing on the error stream (nbval does not compare it), no path of some machine."""
    for cell in code_cells(name):
        for output in cell.outputs:
            assert output.output_type != "error", f"cell {cell.id} stores an error: {output.ename}"
            assert output.get("name") != "stderr", f"cell {cell.id} stores messages: {output.text[:200]}"
            path = MACHINE_PATH.search(text_of(output))
            assert not path, f"cell {cell.id} stores a path: {path[0] if path else ''}"


def test_cells_with_their_own_tolerance_are_listed() -> None:
    carried = {}
    for name in NOTEBOOKS:
        for cell in code_cells(name):
            if tags(cell) & UNCOMPARED_TAGS or UNCOMPARED_COMMENT.search(cell.source):
                carried[name, cell.id] = "ignored"
            elif "atol" in cell.metadata.get("paperlib", {}):
                carried[name, cell.id] = f"{cell.metadata['paperlib']['atol']:g}"
    assert carried == tolerance_table()
