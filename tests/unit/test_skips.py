"""A skip has a row in tests/SKIPS.md, and a row has a skip."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SKIPPING = {"skip", "skipif", "importorskip", "skipTest", "xfail"}


def words(node: ast.expr | None) -> str | None:
    """The text of a reason; parts of an f-string that are filled in become `…`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return None


def reasons(source: str) -> Iterator[tuple[int, str | None]]:
    """(line, reason) of every call of `pytest.skip`, `mark.skip`, `mark.skipif`, `importorskip` and their like."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SKIPPING:
            named = {keyword.arg: keyword.value for keyword in node.keywords}
            first = node.args[0] if node.args and node.func.attr in {"skip", "xfail", "skipTest"} else None
            yield node.lineno, words(named.get("reason", named.get("msg", first)))


def listed() -> list[str]:
    rows = [line for line in (TESTS / "SKIPS.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert all(len(row) == 3 and all(row) for row in cells), "a row of SKIPS.md is not filled in"
    return [row[0] for row in cells]


def written() -> dict[str, str | None]:
    return {
        f"{path.relative_to(TESTS)}:{line}": reason
        for path in sorted(TESTS.rglob("*.py"))
        for line, reason in reasons(path.read_text(encoding="utf-8"))
    }


def test_every_skip_gives_a_reason_that_is_listed() -> None:
    unlisted = {place: reason for place, reason in written().items() if reason not in listed()}
    assert not unlisted


def test_every_row_has_a_skip() -> None:
    assert len(listed()) == len(set(listed()))
    assert set(listed()) <= set(written().values())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("pytest.skip('why')", "why"),
        ("pytest.skip(f'no {thing} here')", "no … here"),
        ("pytest.skip(reason='why', allow_module_level=True)", "why"),
        ("pytest.mark.skipif(True, reason='why')", "why"),
        ("pytest.importorskip('torch', reason='why')", "why"),
        ("pytest.importorskip('torch')", None),
        ("pytest.mark.skip()", None),
    ],
)
def test_the_reader_of_skips_sees_every_form(source: str, reason: str | None) -> None:
    assert [found for _, found in reasons(source)] == [reason]
