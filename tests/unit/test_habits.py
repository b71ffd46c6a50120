"""Habits of the code: the same checks before a commit, a test run and CI, and no silenced finding without a reason."""

import io
import re
import shlex
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
CODE = sorted(chain(REPOSITORY.glob("*.py"), *(REPOSITORY.joinpath(part).rglob("*.py") for part in ("paperlib", "tests"))))
HOOKS = REPOSITORY / ".pre-commit-config.yaml"

SILENCER = re.compile(r"#\s*(?:type:\s*ignore|noqa)\b", re.IGNORECASE)
WITH_REASON = re.compile(r"#\s*(?:type:\s*ignore\[[\w\-, ]+\]|noqa: ?[A-Z]+\d+(?:, ?[A-Z]+\d+)*)[\s#:—-]+\w+ \w+")


def silenced_without_reason(source: str) -> Iterator[tuple[int, str]]:
    """Line and text of the comments that silence a checker, without its rule or without a reason after it."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and SILENCER.search(token.string) and not WITH_REASON.search(token.string):
            yield token.start[0], token.string


def test_no_finding_is_silenced_without_a_reason() -> None:
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {comment}"
        for path in CODE
        for line, comment in silenced_without_reason(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)
    assert len(CODE) > 100


@pytest.mark.parametrize(
    ("comment", "fine"),
    [
        ("# type: ignore", False),
        ("# type: ignore[index]", False),
        ("# type: ignore  # the library lies", False),
        ("# type: ignore[index]  # the library lies", True),
        ("# noqa", False),
        ("# noqa: F401", False),
        ("# noqa: F401  loads the library", True),
        ("# noqa: F401, E402 - loads the library", True),
        ("# ignores what the type says", True),
    ],
)
def test_the_reader_of_silencers_sees_them(comment: str, fine: bool) -> None:
    assert (not list(silenced_without_reason(f"x = 1  {comment}\n"))) == fine


def test_a_commit_and_a_test_run_are_checked_by_the_same_commands() -> None:
    hooks = [hook for repo in yaml.safe_load(HOOKS.read_text(encoding="utf-8"))["repos"] for hook in repo["hooks"]]
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in hooks)
    script = (REPOSITORY / "run_all.sh").read_text(encoding="utf-8")
    (checks,) = re.findall(r"for check in (.+); do\n(?:\s*#.*\n)*\s*\"\$python\" -m \$check\b", script)
    assert [hook["entry"] for hook in hooks] == [f"python -m {check}" for check in shlex.split(checks)]


def test_ci_leaves_the_checks_to_the_test_run() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    assert re.search(r"^\./run_all\.sh test --slow --color=no ", script, re.MULTILINE), "without paths the code is checked"
    assert not re.search(r"ruff|mypy", script)


def test_hooks_are_valid() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", str(HOOKS)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
