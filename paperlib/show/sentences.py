"""What a notebook says about its results: sentences that are shown with their numbers where they are true, and refused where
they should be and are not."""

from dataclasses import dataclass
from typing import Any

from IPython.display import display

from paperlib.profiles import Profile, changed

FOLDED = "What it shows"


class FalseSentence(AssertionError):
    """A sentence of a notebook is not true of the results that it was written for."""


@dataclass(frozen=True)
class Text:
    """Markdown that reads as plain text where no Markdown is rendered."""

    markdown: str

    def _repr_markdown_(self) -> str:
        return self.markdown

    def __repr__(self) -> str:
        return self.markdown


def below(summary: str, markdown: str) -> str:
    """Markdown that a line of text unfolds."""
    return f"<details><summary>{summary}</summary>\n\n{markdown}\n\n</details>"


class Sentences:
    """Says sentences about the results of one profile.

    They are written for the plain `demo`, and for the rows of real data that the repository keeps: there a false one is an
    error, which stops the notebook. Elsewhere, with changed values or on data of the user's own, it falls away, or what
    holds `otherwise` is said. Of stand-ins nothing is said, since their numbers say nothing.
    """

    def __init__(self, profile: Profile) -> None:
        self.silent = profile.evidence == "stand-ins"
        shown = profile.rows == "kept" or (profile.evidence == "simulation" and profile.kept is not None)
        self.strict = shown and not changed(profile)

    def __call__(self, text: str, *holds: Any, otherwise: str = "") -> None:
        """Show `text` where all of `holds` are true, else `otherwise`.

        Raises:
            FalseSentence: `text` is false where it should be true, and nothing holds otherwise.
        """
        self._show(text, holds, otherwise, "{}")

    def folded(self, text: str, *holds: Any, otherwise: str = "") -> None:
        """The same, folded below *What it shows*: the answer to an exercise."""
        self._show(text, holds, otherwise, below(FOLDED, "{}"))

    def _show(self, text: str, holds: tuple[Any, ...], otherwise: str, frame: str) -> None:
        true = [bool(one) for one in holds]
        if not all(true) and self.strict and not otherwise:
            which = f"condition {true.index(False) + 1} of {len(true)}" if len(true) > 1 else "its condition"
            raise FalseSentence(f"not true here ({which} is false): {text}")
        shown = text if all(true) else otherwise
        if shown and not self.silent:
            display(Text(frame.format(shown)))
