"""What makes the notebooks texts that teach: sections, exercises with solutions that run, links and a glossary that hold,
and no sentence that goes stale when a parameter changes."""

import re
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import nbformat
import pytest

from paperlib.show import notebooks
from paperlib.show.sentences import FOLDED

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
ORDER = [path.stem for path in PATHS]
GLOSSARY = "02_related_work"
EXERCISES = range(2, 5)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
NOT_PROSE = re.compile(
    r"^(?:#|>|\|)[^\n]*$|```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$\n]*\$|\[[^\]]*\]\([^)]*\)|<details>.*?</details>|<[^>]+>",
    re.MULTILINE | re.DOTALL,
)
"""Headings, quotations, tables, code, formulas, links and tags."""

each_notebook = pytest.mark.parametrize("name", ORDER)


def cells(name: str) -> list[Any]:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells


def texts(name: str) -> list[str]:
    return [cell.source for cell in cells(name) if cell.cell_type == "markdown"]


def prose(text: str) -> str:
    return NOT_PROSE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def anchors(name: str) -> set[str]:
    """Ids that are given by hand, and those of headings as nbconvert and JupyterLab make them."""
    text = "\n".join(texts(name))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return set(re.findall(r'<a id="([^"]+)"></a>', text)) | {heading.replace(" ", "-") for heading in headings}


def glossary() -> dict[str, list[str]]:
    """Anchor -> the names of its term."""
    rows = re.findall(r'^\| <a id="([^"]+)"></a>(.+?) \|', "\n".join(texts(GLOSSARY)), re.MULTILINE)
    return {anchor: re.findall(r"\*\*(.+?)\*\*", names) for anchor, names in rows}


def as_word(name: str) -> re.Pattern[str]:
    """The name by itself, its plural too; a capital may begin a sentence."""
    first = f"[{name[0]}{name[0].upper()}]" if name[0].islower() else re.escape(name[0])
    return re.compile(rf"(?<![\w-]){first}{re.escape(name[1:])}(?:e?s)?(?![\w-])")


@each_notebook
def test_the_parts_of_a_lesson_are_there(name: str) -> None:
    text = "\n".join(texts(name))
    for part in ('\n> "', "\n## Claim check", "\n## What differs from the paper", "\n## Exercises"):
        assert part in text, f"{part.strip()!r} is missing"
    assert "$$" in text, "no equation"


@each_notebook
def test_headings_make_a_table_of_contents(name: str) -> None:
    assert cells(name)[0].source.startswith("# "), "the title comes first"
    levels = [len(marks) for marks in re.findall(r"^(#+) ", "\n".join(texts(name)), re.MULTILINE)]
    assert levels.count(1) == 1 and levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@each_notebook
def test_exercises_have_folded_solutions_that_ran(name: str) -> None:
    found = cells(name)
    posed = re.findall(r"^\*\*(\d)\. ", "\n".join(texts(name)), re.MULTILINE)
    solutions = [place for place, cell in enumerate(found) if "solution" in cell.metadata.get("tags", ())]
    assert len(solutions) in EXERCISES and [int(number) for number in posed] == [*range(1, len(solutions) + 1)]
    for place in solutions:
        solution = found[place]
        assert found[place - 1].source.endswith("Solution: unfold the next cell.")
        assert solution.metadata.jupyter == {"outputs_hidden": True, "source_hidden": True}
        assert solution.outputs and solution.execution_count
        said = [output.get("data", {}).get("text/markdown", "") for output in solution.outputs]
        assert any(text.startswith(f"<details><summary>{FOLDED}</summary>") for text in [*said, found[place + 1].source])


@each_notebook
def test_links_lead_somewhere(name: str) -> None:
    for target in LINK.findall("\n".join(texts(name))):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = unquote(target).partition("#")
        assert not file or (FOLDER / file).is_file(), target
        assert not anchor or anchor in anchors(Path(file).stem if file else name), target


@each_notebook
def test_the_last_cell_leads_on(name: str) -> None:
    place, last = ORDER.index(name), cells(name)[-1].source
    neighbours = {ORDER[at] for at in (place - 1, place + 1) if 0 <= at < len(ORDER)}
    assert neighbours <= {Path(target).stem for target in LINK.findall(last)}


def test_the_glossary_names_nothing_twice() -> None:
    terms = glossary()
    names = [name for some in terms.values() for name in some]
    assert len(terms) > 40 and all(terms.values()) and len(set(names)) == len(names)
    ids = re.findall(r'<a id="([^"]+)"></a>', "\n".join(texts(GLOSSARY)))
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", [name for name in ORDER if name != GLOSSARY])
def test_the_first_use_of_a_term_links_to_the_glossary(name: str) -> None:
    text = "\n\n".join(texts(name))
    plain = prose(text)
    late = []
    for anchor, names in glossary().items():
        uses = [match.start() for one in names if (match := as_word(one).search(plain))]
        linked = text.find(f"({GLOSSARY}.ipynb#{anchor})")
        if uses and not 0 <= linked <= min(uses):
            late.append(f"{anchor}: …{text[max(0, min(uses) - 30) : min(uses) + 30]}…")
    assert not late


SOURCE_NAMED = re.compile(
    r"\b(?:paper|SACID|demo|default|stored|study|equivalent|needs|margin|threshold|shows the effect)\b"
)


@each_notebook
def test_prose_with_numbers_says_whose_they_are(name: str) -> None:
    """A decimal in prose is the paper's, or that of named settings: what a run computes stands in outputs."""
    bare = []
    for text in texts(name):
        for paragraph in re.split(r"\n\s*\n|\n(?=\*|\d\.)", prose(text)):
            if re.search(r"(?<![\w.])\d?\.\d{2,3}(?![\w.])", paragraph) and not SOURCE_NAMED.search(paragraph):
                bare.append(paragraph.strip()[:120])
    assert not bare


def test_a_lecture_with_another_image_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cheapest notebook with a changed parameter: it runs clean, and its outputs follow."""
    path = FOLDER / f"{GLOSSARY}.ipynb"
    values = {path: notebooks.check_parameters([path], ["image=5"])[path]}
    figures = {"PAPERLIB_QUIET": "1", "PAPERLIB_FIGURES": str(tmp_path / "figures")}
    (run,) = notebooks.run_notebooks([path], tmp_path, values, figures)
    assert run.error is None
    ran = nbformat.read(run.notebook, as_version=4).cells
    changed = [cell.id for cell in ran if cell.cell_type == "code" and not same_text(cell, stored(cell.id))]
    assert "393ffccf" in changed and "7b160137" not in changed  # of the example image; of all images


def stored(id: str) -> Any:
    return next((cell for cell in cells(GLOSSARY) if cell.id == id), None)


def same_text(ran: Any, before: Any) -> bool:
    if before is None:
        return True
    plain = [[output.get("data", {}).get("text/plain") for output in cell.outputs] for cell in (ran, before)]
    return plain[0] == plain[1]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pages")
    for path in PATHS:
        (folder / path.name).write_bytes(path.read_bytes())
    return {name: notebooks.write_html(folder / f"{name}.ipynb", ORDER).read_text(encoding="utf-8") for name in ORDER}


@each_notebook
def test_formulas_of_pages_need_nothing_from_elsewhere(name: str, pages: dict[str, str]) -> None:
    page = pages[name]
    formulas = re.findall(r"<math .*?</math>", page, re.DOTALL)
    assert len(formulas) >= sum(text.count("$$") for text in texts(name)) / 2 > 0
    assert not [formula for formula in formulas if "\\" in formula], "TeX that was not understood"
    assert not re.search(r"formula\d+taken", page) and "mathjax" not in page.lower()


@each_notebook
def test_pages_fold_what_is_looked_up(name: str, pages: dict[str, str]) -> None:
    for tag in ("solution", "look-up"):
        code = [cell for cell in cells(name) if cell.cell_type == "code" and tag in cell.metadata.get("tags", ())]
        assert pages[name].count(f'<details class="{tag}"><summary') == len(code)
    assert f"<summary>{FOLDED}</summary>" in pages[name]
    assert not re.search(r"</summary>\s*</details>", pages[name]), "what is folded lies outside"


def test_a_price_in_code_is_no_formula(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_markdown_cell("`a $x$ b` and $y$", id="one")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "n.ipynb")
    page = notebooks.write_html(tmp_path / "n.ipynb").read_text(encoding="utf-8")
    assert "a $x$ b" in page and page.count("<math ") == 1


@each_notebook
def test_texts_hold_no_pictures(name: str) -> None:
    """Pages hold the pictures of outputs only: in Markdown nbconvert embeds none without breaking what is folded."""
    assert not re.search(r"!\[|<img", "\n".join(texts(name)))
