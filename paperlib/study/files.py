"""How the verbs `code`, `votes` and `example` write: whole files, and nothing over what somebody else wrote."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from numpy.typing import NDArray
from PIL import Image

from paperlib.errors import PaperlibError
from paperlib.json_files import parse_json
from paperlib.paths import atomic_write, make_writable, writing_to

OTHER_FOLDER = "choose another folder with --out DIR"
_SEAL = "checksum"


def sha256(content: bytes) -> str:
    """Hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def encoded(pixels: NDArray[Any] | Image.Image, kind: str = "png", **options: Any) -> bytes:
    """A picture as the content of a file; `options` are those of `PIL.Image.Image.save`."""
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, format=kind, **options)
    return stream.getvalue()


def csv_text(columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """A table with a header, lines ended by a line feed."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([columns, *lines])
    return stream.getvalue()


def to_json(values: Mapping[str, Any]) -> str:
    """Plain values as JSON with a final line break."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def sealed(maker: str, values: Mapping[str, Any]) -> str:
    """What a verb says about its files, as JSON that vouches for itself: it ends with the checksum of the rest."""
    told = {"made_by": maker, **values}
    return to_json(told | {_SEAL: sha256(to_json(told).encode())})


def record_by(maker: str, path: Path) -> dict[str, Any] | None:
    """What a verb `sealed` about its files, by which it knows them again; None where that is not there whole."""
    try:
        text = path.read_text("utf-8")
        found = parse_json(text)
        del found[_SEAL]
        made_by = found.pop("made_by")
        return found if made_by == maker and sealed(maker, found) == text else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


def require_folder(folder: Path, advice: str = OTHER_FOLDER) -> None:
    """Make the folder. Raises PaperlibError where it cannot be made, or written to."""
    with writing_to(folder, advice):
        make_writable(folder)


def write(path: Path, content: bytes | str, advice: str = OTHER_FOLDER) -> None:
    """Write a whole file, or leave what is there. Raises PaperlibError where it cannot be written."""
    with writing_to(path.parent, advice), atomic_write(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def alone(lock: Path, doing: str, instead: str) -> Iterator[None]:
    """Hold a folder against other processes, by a file in it.

    Raises:
        PaperlibError: another process is `doing` the same there; the advice is to wait, or to give `instead`.
    """
    try:
        with FileLock(lock, timeout=0):
            yield
    except Timeout as error:
        raise PaperlibError(f"another process is {doing}; wait for it, or give {instead}") from error
