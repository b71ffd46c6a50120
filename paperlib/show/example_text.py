"""The worked example of one's own data, for a terminal."""

from shlex import quote
from typing import Any

from paperlib.study.example import COMMANDS, MODEL, SIMULATED, Example


def example_text(example: Example) -> str:
    """What lies in the folder, what of it is simulated, and what to do with it."""
    done = "written" if example.fresh else "there already, as it was written"
    inside = (
        f"{example.images} pictures with fixations and opinions, {len(example.photographs)} photographs coded and voted on"
    )
    return (
        "\n".join(
            [
                f"{inside}: {done}",
                *(f"simulated  {sentence}" for sentence in SIMULATED),
                "Next:",
                *(f"  {command}" for command in _commands(example)),
                str(example.folder),
            ]
        )
        + "\n"
    )


def example_json(example: Example) -> dict[str, Any]:
    """The same, as plain values."""
    return {
        "folder": str(example.folder),
        "written": example.fresh,
        "images": example.images,
        "photographs": list(example.photographs),
        "files": list(example.files),
        "simulated": list(SIMULATED),
        "commands": _commands(example),
    }


def _commands(example: Example) -> list[str]:
    return [f"./run_all.sh {words.format(folder=quote(str(example.folder)), model=MODEL)}" for words in COMMANDS]
