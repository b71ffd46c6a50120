"""Ways in which files get damaged: shared by the fault tests."""

import builtins
import io
import os
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


def flip(path: Path) -> None:
    """One bit in the middle; of an empty file, something where nothing was."""
    data = bytearray(path.read_bytes() or b"\0")
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)


def put_a_folder(path: Path) -> None:
    """In its place, and somebody's file in it."""
    path.unlink(missing_ok=True)
    path.mkdir(parents=True)
    (path / "theirs.txt").write_text("keep me")


def put_a_link(path: Path) -> None:
    """To nothing, in its place."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.parent / "nowhere" / "at all")


def take_the_right_to_read(path: Path) -> None:
    path.chmod(0)


in_every_way = pytest.mark.parametrize(
    "damage",
    [
        *(truncate, flip, empty, put_a_folder, put_a_link),
        pytest.param(
            take_the_right_to_read,
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="this user is root, who may read every file"),
        ),
    ],
    ids=lambda damage: damage.__name__,
)
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
