"""Where things lie, anchored to the repository and never to the working directory, and how files are written."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from paperlib.errors import PaperlibError
from paperlib.settings import current

REPOSITORY = Path(__file__).resolve().parent.parent
NOTEBOOKS = REPOSITORY / "notebooks"
FIGURES = REPOSITORY / "figures"

_UMASK = os.umask(0o077)
os.umask(_UMASK)


def results_root() -> Path:
    """Folder of all computed results: that of the settings, else `results/` in the repository."""
    return (current().results_root or REPOSITORY / "results").resolve()


def figures_root() -> Path:
    """Folder of the tables and figures: that of the settings, else `figures/` in the repository."""
    return (current().figures_root or FIGURES).resolve()


def make_writable(folder: Path) -> None:
    """Make `folder` where it is missing, and write into it once.

    Raises:
        OSError: it cannot be made, or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


@contextmanager
def writing_to(folder: Path, advice: str) -> Iterator[None]:
    """One sentence for a block that cannot write; a full disk keeps its own words, which the command line has.

    Raises:
        PaperlibError: the block failed to write to `folder`; with `advice`.
    """
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise PaperlibError(f"cannot write to {folder} ({error.strerror}); {advice}") from error


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` and give it that name only after the block ended well.

    A reader sees the old file or the new one, never a half. On any error the temporary file is removed and `path`
    stays as it was. Others may read the file as far as the user's umask lets them.

    Args:
        path: the final name; its folder is made when missing.
        mode: `"wb"` or `"w"` (UTF-8).

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
