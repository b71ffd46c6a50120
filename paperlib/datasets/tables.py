"""Tables of data sets: comma-separated text with a header, read whole; mistakes are counted and told once by line."""

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from paperlib.datasets.files import Problems, UnusableFile, listing, packed_hint
from paperlib.errors import PaperlibError

T = TypeVar("T")

_OTHER_SEPARATORS = {";": "semicolons", "\t": "tabs"}


def read_table(path: Path, columns: Sequence[str], parse: Callable[..., T], what: str, advice: str) -> list[T]:
    """Read a table: comma-separated, UTF-8 (with or without a byte order mark), a header with `columns`.

    Other columns are ignored, in any order; so are the case of the header, spaces around values and empty lines.

    Args:
        path: the file.
        columns: names of the needed columns, lower case.
        parse: gets a line's values of `columns` as texts; a ValueError says what is wrong with them.
        what: what a line holds, in the plural, for messages ("fixations").
        advice: what to do about lines that cannot be used.

    Returns:
        What `parse` made of each line, in the order of the file; at least one.

    Raises:
        PaperlibError: no such file, empty, another separator or encoding, a missing or doubled column, or lines that
            cannot be used; lines are counted from 1, the header included.
    """
    problems = Problems(f"lines of {path.name}")
    read: list[T] = []
    lines = 0
    rows = _rows(path, columns, what)
    header = [name.lower() for name in next(rows)[1]]
    places = _places(path, header, columns)
    for line, cells in rows:
        if not any(cells):
            continue
        lines += 1
        try:
            read.append(parse(*_chosen(cells, places, len(header))))
        except ValueError as error:
            problems.add(f"line {line}", str(error))
    problems.raise_if_any(lines, advice)
    if not read:
        raise PaperlibError(f"{path} has a header and no {what}; expected one per line")
    return read


def read_header(path: Path, columns: Sequence[str], what: str) -> list[str]:
    """The names of a table's columns in lower case; `columns` and `what` as for `read_table`, for messages.

    Raises:
        PaperlibError: no such file, empty, or another encoding.
    """
    return [name.lower() for name in next(_rows(path, columns, what))[1]]


def finite(text: str, name: str) -> float:
    """A number of a table.

    Raises:
        ValueError: `text`, a value of the column `name`, is no finite number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{name} is {text!r}, no number")
    return value


def _rows(path: Path, columns: Sequence[str], what: str) -> Iterator[tuple[int, list[str]]]:
    """(number of its last line, values without spaces around) of each row, the header first."""
    reader = csv.reader(io.StringIO(_text(path, columns, what), newline=""), skipinitialspace=True)
    try:
        for row in reader:
            yield reader.line_num, [cell.strip() for cell in row]
    except csv.Error as error:
        raise PaperlibError(f"{path}, line {reader.line_num}: {error}; save the table as plain CSV") from error


def _text(path: Path, columns: Sequence[str], what: str) -> str:
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise PaperlibError(
            f"there is no {path}; expected a table with the columns {', '.join(columns)}{packed_hint(path.parent)}"
        ) from error
    except OSError as error:
        raise UnusableFile(path, f"cannot be read ({error.strerror})") from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PaperlibError(f"{path} is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from error
    if "\0" in text:
        raise PaperlibError(f"{path} holds zero bytes and is no text table; save it as CSV in UTF-8")
    if not text.strip():
        raise PaperlibError(f"{path} is empty; expected a header with the columns {', '.join(columns)} and {what}")
    return text


def _places(path: Path, header: list[str], columns: Sequence[str]) -> list[int]:
    missing = [name for name in columns if name not in header]
    if missing:
        for separator, name in _OTHER_SEPARATORS.items():
            if len(header) == 1 and set(columns) <= {part.strip() for part in header[0].split(separator)}:
                raise PaperlibError(f"{path} separates its columns by {name}, expected commas; save it with commas")
        raise PaperlibError(
            f"{path} has no column {listing(missing)}; its header is {', '.join(header)!r}, expected the columns "
            f"{', '.join(columns)}"
        )
    doubled = [name for name in columns if header.count(name) > 1]
    if doubled:
        raise PaperlibError(f"{path} has the column {listing(doubled)} more than once; keep one")
    return [header.index(name) for name in columns]


def _chosen(cells: list[str], places: list[int], columns: int) -> list[str]:
    if len(cells) <= max(places) or any(cells[columns:]):
        hint = " (commas as decimal points?)" if len(cells) > columns else ""
        raise ValueError(f"{len(cells)} columns, expected {columns}{hint}")
    return [cells[place] for place in places]
