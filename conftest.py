"""Notebooks under nbval: every stored output is compared, with numbers equal within a tolerance.

- Decimals in text, HTML, Markdown and LaTeX outputs: equal within `ATOL`, or within the cell's own
  `metadata.paperlib.atol`. Decimals followed by a per cent sign: within 100 times that. Integers are counts: exact.
- Everything else: equal text. Runs of blanks, runs of dashes (table rules), memory addresses, kernel file names and
  the random identifiers of pandas stylers are brought to one form first.
- Verdicts on claims, in cells with `metadata.paperlib.verdicts`: not compared. They follow from numbers that are, and where
  an interval ends near what is needed, the rounding of another processor can tip them.
- HTML: tags and their attributes are equal exactly; only the text between the tags is compared with tolerance.
- The error stream is not compared (it carries progress and messages); tests/notebooks refuses to store one.
- A notebook whose code cells were not run from top to bottom is refused.
"""

import math
import os
import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent
ATOL = 1.5e-3  # one unit in the third decimal, with slack for binary floats
OUTPUT_TIMEOUT = 60.0  # seconds between a cell's reply and its last output; nbval's own 5 are short on a busy machine

DECIMAL = re.compile(
    r"""
    (?<![\w.])
    (?P<number> [-+\u2212]? (?: (?:\d+\.\d*|\.\d+) (?:e[-+]?\d+)? | \d+e[-+]?\d+ | inf | nan ) )
    (?! \w | \.\d )
    (?P<percent> \s?% )?
    """,
    re.IGNORECASE | re.VERBOSE,
)
ONE_FORM = (
    (re.compile(r"(?<=\bat )0x[0-9a-fA-F]+"), "ADDRESS"),
    (re.compile(r"\S*ipykernel_\d+/\d+\.py"), "KERNEL-FILE"),
    (re.compile("\u2020"), ""),  # a dagger stands where a p-value crosses .05, as near to it as numbers may differ
    (re.compile(r"[-=\u2500\u2501\u2550]{2,}"), "---"),
    (re.compile(r"[^\S\n]+"), " "),
    (re.compile(r" ?\n ?"), "\n"),
)
VERDICT = re.compile(r"\b(?:holds|not decided|does not hold|not testable)\b[^\n<]*")
STYLER_ID = re.compile(r"\bT_[0-9a-f]{5}(?=_|\b)")


def numbers_and_frame(text: str) -> tuple[list[tuple[float, float]], str]:
    """Split `text` into its decimals, as (value, scale of the tolerance), and the text around them in one form."""
    found = [
        (float(match["number"].replace("\u2212", "-")), 100.0 if match["percent"] else 1.0)
        for match in DECIMAL.finditer(text)
    ]
    frame = DECIMAL.sub(lambda match: "\0%" if match["percent"] else "\0", text)
    for pattern, replacement in ONE_FORM:
        frame = pattern.sub(replacement, frame)
    return found, frame.strip()


def same_text(test: str, reference: str, atol: float) -> bool:
    """Are both texts equal but for decimals that lie within `atol` of each other?"""
    (ours, frame), (stored, stored_frame) = numbers_and_frame(test), numbers_and_frame(reference)
    return frame == stored_frame and all(
        (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= atol * scale
        for (a, scale), (b, _) in zip(ours, stored, strict=True)
    )


RANK_MARKS = ("span", "b", "u", "i", "sup")
"""How tables mark the best three, and set daggers. Numbers that differ within the tolerance may change places, so these do
not count."""


class Markup(HTMLParser):
    """The events of an HTML text: (is it text between tags?, the text or the tag with its attributes)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.events: list[tuple[bool, str]] = []
        self.verbatim = False
        self.feed(html)
        self.close()

    def add(self, is_text: bool, content: str) -> None:
        if is_text and self.events and self.events[-1][0]:
            content = self.events.pop()[1] + content
        self.events.append((is_text, content))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.verbatim = tag in self.CDATA_CONTENT_ELEMENTS
        if tag not in RANK_MARKS:
            self.add(False, f"<{tag} {sorted(attrs, key=str)}>")

    def handle_endtag(self, tag: str) -> None:
        self.verbatim = False
        if tag not in RANK_MARKS:
            self.add(False, f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self.verbatim:
            self.add(False, data)
        elif data.strip():
            self.add(True, data)

    def handle_comment(self, data: str) -> None:
        self.add(False, f"<!--{data}-->")


def same_html(test: str, reference: str, atol: float) -> bool:
    """Are tags and attributes equal, and the texts between them equal but for decimals within `atol`?"""
    ours, stored = (Markup(STYLER_ID.sub("T_STYLER", html)).events for html in (test, reference))
    return len(ours) == len(stored) and all(
        a_is_text == b_is_text and (same_text(a, b, atol) if a_is_text else a == b)
        for (a_is_text, a), (b_is_text, b) in zip(ours, stored, strict=True)
    )


def same(key: str, test: Any, reference: Any, atol: float, verdicts: bool = True) -> bool:
    """Compare two outputs of the kind `key`: a mime type, or the name of a stream; with or without their verdicts."""
    if not (isinstance(test, str) and isinstance(reference, str)) or key.startswith(("image/", "application/")):
        return test == reference
    if not verdicts:
        test, reference = (VERDICT.sub("VERDICT", text) for text in (test, reference))
    return (same_html if key == "text/html" else same_text)(test, reference, atol)


def slots(outputs: list[Any]) -> dict[str, list[tuple[Any, str]]]:
    """Where the compared values of a cell's outputs sit: kind -> (container, key) in order, as nbval pairs them."""
    found: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for output in outputs:
        if output.output_type == "stream":
            found[output.name].append((output, "text"))
        for mime in output.get("data", {}):
            found[mime].append((output["data"], mime))
        for key in {"ename", "evalue"} & set(output):
            found[key].append((output, key))
    return found


def tolerant(exact: Callable[..., bool]) -> Callable[..., bool]:
    """Wrap nbval's comparison: computed values that are near enough to the stored ones are made equal first."""

    def compare_outputs(cell: Any, test: list[Any], ref: list[Any], skip_compare: Any = None) -> bool:
        test, ref = (
            [output for output in outputs if (output.output_type, output.get("name")) != ("stream", "stderr")]
            for outputs in (test, ref)
        )
        stored = slots(ref)
        for kind, places in slots(test).items():
            for (ours, key), (theirs, _) in zip(places, stored.get(kind, ()), strict=False):
                if same(kind, ours[key], theirs[key], tolerance(cell), not has_verdicts(cell)):
                    ours[key] = theirs[key]
        return exact(cell, test, ref, skip_compare)

    return compare_outputs


def tolerance(item: Any) -> float:
    """The absolute tolerance of a notebook cell: `ATOL`, or its `metadata.paperlib.atol`."""
    atol = item.cell.metadata.get("paperlib", {}).get("atol", ATOL)
    if isinstance(atol, bool) or not isinstance(atol, int | float) or not 0 <= atol < 1:
        raise pytest.UsageError(f"{item.nodeid}: metadata.paperlib.atol must be a number in [0, 1), got {atol!r}")
    return float(atol)


def has_verdicts(item: Any) -> bool:
    return bool(item.cell.metadata.get("paperlib", {}).get("verdicts", False))


@contextmanager
def kernel_environment(figures: str) -> Iterator[None]:
    """The environment in which kernels start: quiet, figures elsewhere, inline plots, this repository importable."""
    before = dict(os.environ)
    os.environ.pop("MPLBACKEND", None)
    os.environ.update(PAPERLIB_QUIET="1", PAPERLIB_FIGURES=figures)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), before.get("PYTHONPATH"))))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def pytest_configure(config: pytest.Config) -> None:
    """Teach nbval the comparison and the kernel environment, where it is installed and switched on."""
    if not config.getoption("nbval", False):
        return
    from nbval.plugin import IPyNbCell, IPyNbFile

    figures = tempfile.TemporaryDirectory(prefix="paperlib-figures-")
    exact, start = IPyNbCell.compare_outputs, IPyNbFile.setup

    def setup(notebook: Any) -> None:
        with kernel_environment(figures.name):
            start(notebook)

    def restore() -> None:
        IPyNbCell.compare_outputs, IPyNbFile.setup = exact, start
        figures.cleanup()

    IPyNbCell.compare_outputs, IPyNbFile.setup = tolerant(exact), setup
    config.add_cleanup(restore)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse notebooks whose code cells do not carry the execution counts 1..n: their outputs cannot be trusted."""
    notebooks: dict[Path, Any] = {}
    for item in items:
        if hasattr(item, "cell"):
            item.output_timeout = OUTPUT_TIMEOUT
            tolerance(item)
            notebooks[item.path] = item.parent.nb
    for path, notebook in notebooks.items():
        ran = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
        for expected, cell in enumerate(ran, start=1):
            if cell.execution_count != expected:
                raise pytest.UsageError(
                    f"{path.name}: code cell {expected} of {len(ran)} has execution count {cell.execution_count}: its "
                    "outputs are cleared or were not made from top to bottom; run the whole notebook, then commit it"
                )
