"""Where things lie, anchored to the repository and never to the working directory, and how files are written."""

import errno
import fcntl
import os
import shutil
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

_TEMPORARY = ".paperlib-"


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
        place = error.filename if error.filename and Path(error.filename).is_relative_to(folder) else folder
        raise PaperlibError(f"cannot write to {place} ({_what_lies_at(place, error)}); {advice}") from error


def in_the_way(error: BaseException) -> str:
    """The sentence on a file or folder that cannot be used as it lies there; empty where the error is none of that kind."""
    if not isinstance(error, OSError) or error.filename is None or error.errno not in _OBSTACLES:
        return ""
    return (
        f"{error.filename} cannot be used ({_what_lies_at(error.filename, error)}); move it away or mend its rights, then "
        "start the same command again: finished results are kept"
    )


_OBSTACLES = frozenset(
    (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOENT, errno.ELOOP, errno.ENOTEMPTY, errno.EACCES, errno.EPERM)
    + (errno.EROFS, errno.ENAMETOOLONG)
)


def _what_lies_at(place: str | Path, error: OSError) -> str:
    if os.path.islink(place) and not os.path.exists(place):
        return f"a link to {os.readlink(place)}, which is not there"
    if error.errno == errno.EISDIR:
        return "a folder where a file belongs"
    if os.path.isfile(place) and error.errno in (errno.EEXIST, errno.ENOTDIR):
        return "a file where a folder belongs"
    return str(error.strerror)


@contextmanager
def atomic_write(path: str | Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside `path` and give it that name only after the block ended well.

    A reader sees the old file or the new one, never a half. On any error the temporary file is removed and `path`
    stays as it was; what a kill left of it is written over by the next who writes `path`. Whoever writes the same
    meanwhile waits. Others may read the file as far as the user's umask lets them.

    Args:
        path: the final name; its folder is made when missing.
        mode: `"wb"` or `"w"` (UTF-8).

    Raises:
        OSError: the folder cannot be written or the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with os.fdopen(_opened_alone(temporary), mode, encoding=None if "b" in mode else "utf-8") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                os.replace(temporary, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
    except OSError as error:
        if error.filename == str(temporary) and not os.path.lexists(temporary):
            error.filename, error.filename2 = str(path), None  # what the user knows
        raise


def _opened_alone(file: Path) -> int:
    """A file that is empty, new or not, and that no other process has before it is closed."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        with suppress(OSError):  # a disk without locks: nobody is expected to write the same at the same time
            fcntl.flock(handle, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(file)):
                os.ftruncate(handle, 0)
                return handle
        os.close(handle)  # meanwhile its former owner gave it its final name, or removed it


@contextmanager
def temporary_folder(within: Path | None = None) -> Iterator[Path]:
    """A folder for the time of the block; those that killed processes left there are removed.

    Its owner holds a lock on the folder itself, which ends with the process, however that ends.

    Args:
        within: where; by default the system's folder for such things.
    """
    for left in Path(within or tempfile.gettempdir()).glob(f"{_TEMPORARY}*"):
        with suppress(OSError), _held(left):
            shutil.rmtree(left)
    made = Path(tempfile.mkdtemp(dir=within))
    with _held(made):
        folder = made.rename(made.with_name(f"{_TEMPORARY}{made.name}"))  # held before others know it by its name
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder. Raises OSError where another process does, or where it is another user's."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)
