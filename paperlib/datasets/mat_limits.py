"""What a MATLAB file of version 5 to 7 asks for, looked at before SciPy grants it.

SciPy makes room for as many cells and fields as a header of a few bytes announces, unpacks whatever was compressed, and ends
the process where numbers have an unknown type, or a text no size.
Numbers of the format: MathWorks, MAT-File Format, chapter 1.
"""

import math
import struct
import zlib
from typing import BinaryIO

MOST_BYTES = 1 << 26
"""Of all variables, unpacked; a map of CAT2000 has 17 MB."""
MOST_CELLS = 1_000_000
"""Cells, and fields of structures, of all variables."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_WHOLE = (5, 6)  # of 32 bits; some programs write sizes as the second
_CELL, _STRUCT, _OBJECT, _SPARSE = 1, 2, 3, 5
_ARRAYS = range(4, 16)  # characters, sparse ones, and numbers of each kind
_NUMBERS = (1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18)


def refuse_bombs(file: BinaryIO) -> None:
    """Look at what a file asks for; it stands at its start before and after.

    Raises:
        ValueError: more than `MOST_BYTES` or `MOST_CELLS`, or matrices that are cut off, not of the format, or of a kind
            that only MATLAB knows.
    """
    content = file.read(MOST_BYTES + 1)
    file.seek(0)
    if 0 in content[:4]:  # version 4, which has neither cells nor compression
        return
    order = "<" if content[_HEADER - 2 : _HEADER] == b"IM" else ">"
    walk, left, place = _Walk(order), MOST_BYTES - len(content), _HEADER
    while left >= 0 and place + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        place += 8
        variable = content[place : place + size]
        if kind == _COMPRESSED:
            unpacked = zlib.decompressobj().decompress(variable, left + 1)
            left -= len(unpacked)
            variable = unpacked[8:]
        if left >= 0 and kind in (_MATRIX, _COMPRESSED):
            walk.matrix(variable)
        place += size
    if left < 0:
        raise ValueError(f"its variables have more than {MOST_BYTES} bytes")


class _Walk:
    """Follows the matrices of a file into each other, and counts their cells."""

    def __init__(self, order: str):
        self.order, self.cells = order, 0

    def matrix(self, content: bytes) -> None:
        """Look at what stands behind the tag of a matrix, and at the matrices in it; an empty one has no content."""
        if not content:
            return
        _, flags, place = self._element(content, 0)
        kind, is_complex = self._number(flags) & 0xFF, bool(self._number(flags) & 0x800)
        type_of_sizes, dimensions, place = self._element(content, place)
        if type_of_sizes not in _WHOLE or len(dimensions) < 8 or len(dimensions) % 4:
            raise ValueError("it has a matrix without height and width")
        _, _, place = self._element(content, place)  # its name
        if kind in (_CELL, _STRUCT, _OBJECT):
            cells = math.prod(self._number(dimensions[start : start + 4]) for start in range(0, len(dimensions), 4))
            if kind == _OBJECT:
                _, _, place = self._element(content, place)  # the name of its class
            if kind != _CELL:
                _, longest, place = self._element(content, place)
                _, names, place = self._element(content, place)
                cells *= len(names) // max(1, self._number(longest))
            self.cells += cells
            if self.cells > MOST_CELLS:
                raise ValueError(f"it announces more than {MOST_CELLS} cells and fields")
            expected: tuple[int, ...] = (_MATRIX,)
        elif kind in _ARRAYS:
            cells, expected = (3 if kind == _SPARSE else 1) + is_complex, _NUMBERS
        else:
            raise ValueError("it holds something else than numbers, texts, cells and structures")
        for _ in range(cells):
            found, inner, place = self._element(content, place)
            if found not in expected:
                raise ValueError(f"a part is of the type {found}, expected one of {expected}")
            if found == _MATRIX:
                self.matrix(inner)
        if place < len(content):
            raise ValueError("parts are left over")

    def _element(self, content: bytes, place: int) -> tuple[int, bytes, int]:
        """Type and bytes of an element, and where the next one begins; up to four bytes may stand in its tag."""
        if place + 8 > len(content):
            raise ValueError("it ends within a matrix")
        kind, size = struct.unpack_from(f"{self.order}II", content, place)
        start, place = place + 8, place + 8 + size + -size % 8
        if kind >> 16:
            kind, size, start, place = kind & 0xFFFF, kind >> 16, start - 4, start
        if start + size > len(content) or (start + 4 == place and size > 4):
            raise ValueError("it ends within a matrix")
        return kind, content[start : start + size], place

    def _number(self, content: bytes) -> int:
        """The first whole number of 32 bits; 0 where there is none."""
        return int.from_bytes(content[:4], "little" if self.order == "<" else "big")
