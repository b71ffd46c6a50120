"""Ways in which files of data sets get damaged: shared by the fault tests."""

import builtins
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

MATLAB_73 = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def overwrite(path: Path) -> None:
    path.write_bytes(b"<html>404 Not Found</html>" * 20)


damages = pytest.mark.parametrize("damage", [truncate, empty, overwrite], ids=lambda damage: damage.__name__)


def lock(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `path` could not be opened; tests run by root would open it whatever its mode says."""
    unlocked: Callable[..., Any] = io.open

    def refusing(file: Any, *arguments: Any, **options: Any) -> Any:
        if str(file) == str(path):
            raise PermissionError(13, "Permission denied", str(file))
        return unlocked(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", refusing)
    monkeypatch.setattr(io, "open", refusing)
