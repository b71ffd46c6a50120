"""The one progress display and the one way to say something: both on stderr, both silent where the settings say so."""

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from paperlib.settings import current

if TYPE_CHECKING:
    from tqdm import tqdm


def progress(iterable: Iterable[Any] | None = None, total: int | None = None, desc: str = "") -> "tqdm[Any]":
    """A progress bar, in a terminal or a notebook; it draws nothing where nobody watches.

    Args:
        iterable: what to go through; None for a bar that is moved by `update()`.
        total: number of steps; taken from `iterable` where it has a length.
        desc: text before the bar.

    Returns:
        A tqdm bar. It is also a context manager; the bar disappears when it is closed.
    """
    from tqdm.auto import tqdm

    return tqdm(iterable, total=total, desc=desc, leave=False, disable=current().quiet or not _watched())


def say(text: str) -> None:
    """Print one line on stderr, above a running progress bar."""
    if current().quiet:
        return
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr, flush=True)


def _watched() -> bool:
    """Whether stderr is a terminal or the output of a notebook cell."""
    return sys.stderr.isatty() or type(sys.stderr).__module__.startswith("ipykernel")
