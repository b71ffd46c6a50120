"""README and DATA.md: every link leads somewhere, and every command is one that the command line understands."""

import re
import shlex

import pytest

from paperlib import cli, paths

README = (paths.REPOSITORY / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines() if line.startswith("./run_all.sh")]
INLINE = re.findall(r"`(\./run_all\.sh [^`]+)`", README)


def parts_of(commands: list[str]) -> list[str]:
    return [part.strip() for command in commands for part in command.split("&&")]


@pytest.mark.parametrize("command", parts_of([*COMMANDS, *INLINE]))
def test_commands_are_understood(command: str) -> None:
    words = shlex.split(command)[1:]
    if words[:1] == ["test"] or words == ["--help"]:
        return
    if not words or words[0].startswith("-"):
        words = ["run", *words]
    cli._parser().parse_args(words)


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 20 and "./run_all.sh test" in COMMANDS


@pytest.mark.parametrize("page", ["README.md", "DATA.md"])
def test_links_lead_somewhere(page: str) -> None:
    text = (paths.REPOSITORY / page).read_text("utf-8")
    local = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if not link.startswith("http")]
    assert [link for link in local if not (paths.REPOSITORY / link).exists()] == []
    assert page != "README.md" or len(local) > 10
