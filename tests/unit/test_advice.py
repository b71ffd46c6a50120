"""What messages, help and documents of paperlib tell a reader to type can be typed: every verb and option exists."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from paperlib import cli

REPOSITORY = Path(__file__).resolve().parents[2]
COMMAND = re.compile(r"(?:python -m paperlib|\./run_all\.sh)((?: [^\s`;()]+)*)")
QUOTED = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w(-])--[a-z][a-z0-9-]*")
HOLE, VERB = "\0", "VERB"
"""What stands for a value that is put in, and for any verb."""
WORDS = re.compile(r"([a-z]+ )?([^\s-]\S* )*(--[a-z-]+ \S+ ?)+")
"""A text that is nothing but a verb with options, or options of the verb `run`."""
FILLINGS = ("NAME", "1", "0.12")
FOREIGN = {"--head": "ray start", "--allow-root": "JupyterLab", "--saliency-s0": "x264", "--saliency-bitrate": "x264"}
"""Options of other programs that paperlib starts or names."""


def texts(source: str) -> Iterator[str]:
    """Every string of a module, docstrings among them, with a `HOLE` for each value that is put in."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else HOLE for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def commands(text: str, verbs: set[str]) -> Iterator[str]:
    """The words behind `python -m paperlib` or `./run_all.sh`, quoted texts that begin with a verb, and `WORDS`."""
    text = re.sub(r"\{\w+\}", HOLE, text)
    yield from (found.strip().rstrip(".,:") for found in COMMAND.findall(text) if found.strip())
    yield from (found for found in QUOTED.findall(text) if found.partition(" ")[0] in verbs)
    if WORDS.fullmatch(text) and (text.startswith("--") or text.partition(" ")[0] in verbs):
        yield text


def complaint(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the parser says against a command; placeholders are filled in, and what is left out is added."""
    said = ""
    for filling in FILLINGS:
        words = shlex.split(command.replace(f" {HOLE}", f" {filling}").replace(f"={HOLE}", f"={filling}").replace(HOLE, ""))
        for _ in range(3):
            try:
                cli.parsed(words)
                return ""
            except SystemExit:
                said = capsys.readouterr().err.strip().splitlines()[-1]
            left_out = re.search(r"the following arguments are required: (.*)", said)
            if not left_out:
                break
            for name in left_out[1].split(", "):
                words += [name, "1"] if name.startswith("-") else ["1"]
    return said


def help_of(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main([*words, "--help"]) == 0
    return capsys.readouterr().out


@pytest.fixture
def verbs(capsys: pytest.CaptureFixture[str]) -> set[str]:
    return set(re.findall(r"^ {4}([a-z]+) ", help_of([], capsys), re.M))


def test_every_command_in_a_text_can_be_typed(verbs: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert {"run", "table", "code", "votes"} <= verbs
    wrong, seen = [], set()
    for path in sorted((REPOSITORY / "paperlib").rglob("*.py")):
        for text in texts(path.read_text(encoding="utf-8")):
            for command in commands(text, verbs):
                words = command if not command.startswith("-") else f"run {command}"
                seen.add(words)
                if words not in (HOLE, VERB) and (said := complaint(words, capsys)):
                    wrong.append(f"{path.relative_to(REPOSITORY)}: {words.replace(HOLE, 'X')!r}: {said}")
    assert len(seen) > 20
    assert not wrong, "\n".join(wrong)


def test_every_option_in_a_text_exists(verbs: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    options = set().union(*(OPTION.findall(help_of([verb], capsys)) for verb in verbs))
    wrong = [
        f"{path.relative_to(REPOSITORY)}: {option}"
        for path in sorted((REPOSITORY / "paperlib").rglob("*.py"))
        for text in texts(path.read_text(encoding="utf-8"))
        for option in OPTION.findall(text)
        if option not in options | FOREIGN.keys()
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("`python -m paperlib code FOLDER --saliency FOLDER --bpp 0.12 0.16 --out DIR`", "unrecognized arguments: 0.16"),
        ("say ./run_all.sh tabel 1, or nothing", "invalid choice: 'tabel'"),
        ("`table 4` draws it", "invalid choice: 4"),
        ("`votes pairs.csv --origin 1`", "unrecognized arguments: --origin"),
        ("make it with `python -m paperlib code DIR`", ""),
        ("get it: python -m paperlib data fetch \0\0   (3 items)", ""),
    ],
)
def test_wrong_advice_is_found(text: str, fault: str, verbs: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = [complaint(command, capsys) for command in commands(text, verbs)]
    assert len(said) >= 1 and all(fault in one if fault else not one for one in said)
