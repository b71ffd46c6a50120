"""Sentences with a number or a comparison: shown by `paperlib.show.sentences` with what makes them true, or listed in
stated.py with it. Nothing else may stand in a notebook."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from stated import STATED, by_definition

from paperlib import profiles
from paperlib.show import notebooks
from paperlib.show.sentences import FalseSentence, Sentences

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = [path.stem for path in sorted(FOLDER.glob("*.ipynb"))]
LONGEST_READING = 15

COMPARATIVE = re.compile(
    r"""\b(?: more | less | fewer | most | least | better | best | worse | worst | higher | highest | lower | lowest
    | larger | largest | smaller | smallest | above | below | beats? | exceeds? | stronger | weaker | nearer | nearest
    | further | twice | half | tenth | quarter | nearly | hardly | almost | alike | outperforms? | surpass\w* | rises?
    | falls? | gains? | loses? | wins? | \w+er[ ]than )\b""",
    re.IGNORECASE | re.VERBOSE,
)
NUMBER = re.compile(r"(?<![\w.-])[.\d]*\d")
NOT_SAID = (
    (re.compile(r"\$\$.*?\$\$", re.DOTALL), " "),
    (re.compile(r"\$[^$]*\$"), "FORMULA"),
    (re.compile(r"```.*?```", re.DOTALL), " "),
    (re.compile(r"`[^`]*`|<code>.*?</code>|<[^>]+>", re.DOTALL), " "),
    (re.compile(r"\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[\d[\d, –]*\]"), ""),
    (re.compile(r"\b0\d[a-d]?(?:_\w+)?\b"), "NOTEBOOK"),
    (re.compile(r"^(?:>|#|\|)[^\n]*$", re.MULTILINE), ""),
    (re.compile(r"^\*Reading time: [^\n]*$", re.MULTILINE), ""),
    (re.compile(r"^(?:\*\*)?\d\. ", re.MULTILINE), ""),
    (re.compile(r"\bC[1-4]\b"), "CLAIM"),
    (
        re.compile(
            r"\b(?:tables?|figures?|sections?|equations?|errat(?:um|a)|exercises?)\s*[\w().–-]+"
            r"(?:\s*(?:,|to|and)\s*[IVX\d]+)*",
            re.IGNORECASE,
        ),
        "PLACE",
    ),
)
"""Formulas, code, citations, names of notebooks, quotations, headings, tables, and places in the paper."""
END = re.compile(r"(?<=[.:;?!)])\s+(?=[A-Z*(\"“])|(?<=\.\*)\s+")

each_notebook = pytest.mark.parametrize("name", NAMES)


def cells(name: str) -> list[Any]:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4).cells


def claims_something(text: str) -> bool:
    return bool(COMPARATIVE.search(text) or NUMBER.search(text))


def sentences(markdown: str) -> Iterator[str]:
    """The sentences of a text that hold a number or a comparison; questions ask and claim nothing."""
    for pattern, replacement in NOT_SAID:
        markdown = pattern.sub(replacement, markdown)
    for paragraph in re.split(r"\n\s*\n|\n(?=[*-] )", markdown):
        for sentence in END.split(" ".join(paragraph.split())):
            plain = sentence.strip("* -")
            if not plain.endswith("?") and claims_something(plain):
                yield plain


def spoken(source: str) -> Iterator[tuple[str, bool]]:
    """Texts that a code cell prints or says -> (their fixed parts, whether something that is computed makes them true)."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == "print" or name.partition(".")[0].startswith("say"):
            checked = any(not isinstance(one, ast.Constant) for one in node.args[1:]) and name != "print"
            for text in (*node.args[:1], *(word.value for word in node.keywords if word.arg == "otherwise")):
                parts = [one.value for one in ast.walk(text) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
                yield " ".join(parts), checked


@each_notebook
def test_prose_claims_nothing_that_nobody_checks(name: str) -> None:
    stated, used, unchecked = STATED[name], set(), []
    for cell in cells(name):
        for sentence in sentences(cell.source) if cell.cell_type == "markdown" else ():
            begun = [beginning for beginning in stated if sentence.startswith(beginning)]
            used.update(begun)
            if not begun:
                unchecked.append(f"{cell.id}: {sentence}")
    assert not unchecked
    assert used == set(stated), "sentences that are listed and stand nowhere"


@each_notebook
def test_what_is_stated_is_true(name: str) -> None:
    for beginning, holds in STATED[name].items():
        if callable(holds):
            assert holds(), beginning
        else:
            assert holds == by_definition and not NUMBER.search(beginning), (
                f"a number is never true by definition: {beginning}"
            )


@each_notebook
def test_code_says_nothing_that_it_does_not_check(name: str) -> None:
    for cell in cells(name):
        if cell.cell_type != "code":
            continue
        for text, checked in spoken(cell.source):
            assert checked or not COMPARATIVE.search(text), f"cell {cell.id}: {text}"


@each_notebook
def test_reading_takes_as_long_as_the_notebook_says(name: str) -> None:
    minutes = notebooks.reading_minutes(FOLDER / f"{name}.ipynb")
    assert f"*Reading time: {minutes} minutes" in cells(name)[0].source
    assert minutes <= LONGEST_READING


@pytest.mark.parametrize(
    "false",
    [
        "The Baseline is better than the prior.",
        "CC falls to .36.",
        "All 17 methods lose.",
        "It loses nearly a tenth.",
        "A longer list.\n\n* It rises with each step.",
    ],
)
def test_a_sentence_that_nobody_checks_is_found(false: str) -> None:
    assert list(sentences(f"Some words before. {false} And some after."))


@pytest.mark.parametrize(
    "plain",
    [
        "> a quotation, 3 times better",
        "See Table III and section III-A.",
        "Is it better?",
        "$x>3$ and `n = 4`",
        "## 1. More",
    ],
)
def test_what_claims_nothing_is_let_through(plain: str) -> None:
    assert not list(sentences(plain))


def test_a_comparison_in_code_needs_its_condition() -> None:
    found = dict(
        spoken('say(f"a is better than {b}")\nsay("c is better", a > b)\nprint("d is worse")\nsay("e is lower", True)')
    )
    assert found == {"a is better than ": False, "c is better": True, "d is worse": False, "e is lower": False}


def test_a_false_sentence_stops_the_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    say = Sentences(profiles.load("demo"))
    say("Two is more than one.", 2 > 1)
    assert "Two is more than one." in capsys.readouterr().out
    with pytest.raises(FalseSentence, match=r"condition 2 of 2 is false\): One is more than two"):
        say("One is more than two.", 2 > 1, 1 > 2)


def test_a_false_sentence_fails_nbval(tmp_path: Path) -> None:
    imports = "from paperlib import profiles\nfrom paperlib.show.sentences import Sentences\n"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for code, condition in ((0, "2 > 1"), (1, "1 > 2")):
        cell = nbformat.v4.new_code_cell(
            f'{imports}Sentences(profiles.load())("It is more.", {condition})', execution_count=1
        )
        nbformat.write(nbformat.v4.new_notebook(metadata=kernel, cells=[cell]), tmp_path / "one.ipynb")
        command = [sys.executable, "-m", "pytest", "-q", "--nbval-lax", "--rootdir", tmp_path, tmp_path / "one.ipynb"]
        environment = os.environ | {"PYTHONPATH": str(FOLDER.parent)}
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
        assert ran.returncode == code, ran.stdout
        assert ("FalseSentence" in ran.stdout) == bool(code)


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (profiles.load("demo", observers="uniform"), "otherwise"),
        (profiles.load("rehearsal"), ""),
        (profiles.load("own"), "otherwise"),
    ],
)
def test_where_values_change_the_sentence_changes_or_falls_away(
    profile: profiles.Profile, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Sentences(profile)("false", 1 > 2, otherwise="otherwise")
    assert capsys.readouterr().out.strip() == said
    Sentences(profile)("false", 1 > 2)
    assert capsys.readouterr().out == ""
