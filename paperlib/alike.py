"""Files of tables and figures, left as they lie where new ones would say and show the same.

Processors round differently, so that a rerun elsewhere differs in last digits. What belongs together is written anew only
where a number moved by more than `TOLERANCE`, other text differs, or a picture looks different; then all of it is.
"""

import re
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

from paperlib.paths import atomic_write

TOLERANCE = 1e-4
"""Largest difference of two numbers that count as equal, absolute below 1 and relative above. What is rounded for readers,
and stands beside a CSV file that is not, may also differ by one in its last digit. Whole numbers count things: none.
"""
LEVELS = 8
"""Largest difference, out of 255, of a pixel that counts as equal: the edge of a line that moved by a tenth of `TOLERANCE`
differs by less. A smaller change of a colour takes effect once the files are deleted."""

_NUMBER = re.compile(r"(?<![\w.])[-+]?\d++(?:\.\d++)?+(?:e[-+]?\d++)?+(?!\w|\.\w)")
_STREAM = re.compile(rb"(?<=\nstream\n).*?(?=\nendstream\n)", re.DOTALL)


def write(files: Mapping[Path, bytes]) -> None:
    """Write files that belong together, each at once or not at all; none where all lie there already and are alike.

    Raises:
        OSError: a folder cannot be written.
    """
    if all(_is_alike(path, content) for path, content in files.items()):
        return
    for path, content in files.items():
        with atomic_write(path) as file:
            file.write(content)


def _is_alike(path: Path, new: bytes) -> bool:
    kinds = {".png": _same_picture, ".pdf": _whole_pdf, ".csv": _same_numbers}
    try:
        old = path.read_bytes()
        return old == new or kinds.get(path.suffix, _same_print)(old, new)
    except Exception:  # gone, or damaged: then readers raise errors of many kinds
        return False


def _same_print(old: bytes, new: bytes) -> bool:
    return _same_numbers(old, new, in_last_digit=1.01)


def _same_numbers(old: bytes, new: bytes, in_last_digit: float = 0.0) -> bool:
    texts = [content.decode().replace("$-$", "-").replace("−", "-") for content in (old, new)]
    frames = {_NUMBER.sub("#", text) for text in texts}
    return len(frames) == 1 and all(
        _same_number(first, second, in_last_digit) for first, second in zip(*map(_NUMBER.findall, texts), strict=True)
    )


def _same_number(old: str, new: str, in_last_digit: float) -> bool:
    if not {".", "e"} & {*old, *new}:
        return old == new
    digit = 10.0 ** -len(new.partition(".")[2])
    allowed = max(TOLERANCE * max(1.0, abs(float(old))), in_last_digit * digit)
    return abs(float(old) - float(new)) <= allowed


def _same_picture(old: bytes, new: bytes) -> bool:
    import numpy as np
    from PIL import Image

    Image.open(BytesIO(old)).verify()
    pictures = []
    for content in (old, new):
        with Image.open(BytesIO(content)) as picture:
            pictures.append(np.asarray(picture.convert("RGBA"), np.int16))
    first, second = pictures
    return first.shape == second.shape and bool(abs(first - second).max() <= LEVELS)


def _whole_pdf(old: bytes, new: bytes) -> bool:
    """What a PDF shows is compared by the PNG beside it; here, that nothing of it is missing or damaged."""
    for stream in _STREAM.findall(old):
        zlib.decompress(stream)
    frames = {re.sub(rb"\d+", b"", _STREAM.sub(b"", content)) for content in (old, new)}
    return len(frames) == 1
