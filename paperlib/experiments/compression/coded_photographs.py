"""Photographs that ship inside installed dependencies, coded here: behind the face of `paperlib.datasets.sacid`.

The coded pictures are bit-streams that units made (`paperlib.experiments.compression.compute`); references, predicted
saliency and simulated gaze are those of `paperlib.datasets.photographs`. Scores of people there are none: polls of simulated
assessors take their place.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from paperlib.coding.x264 import decode
from paperlib.datasets.photographs import Photograph, open_photographs, predicted_saliency

VERSIONS_IN_MEMORY = 128


@dataclass(frozen=True, eq=False)
class CodedRecord:
    """One version of a photograph.

    Attributes:
        sequence: name of the photograph.
        stream: H.264 of the one picture.
        reference: the photograph's name, since it is always there.
    """

    sequence: str
    stream: bytes
    reference: str

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = photograph(self.sequence).image.shape[:2]
        return height, width

    def load_image(self) -> NDArray[np.uint8]:
        """The decoded picture, (h, w, 3) uint8 RGB."""
        return decoded(self.stream)[0]

    def load_reference(self) -> NDArray[np.uint8]:
        """The photograph, (h, w, 3) uint8 RGB."""
        return photograph(self.sequence).image

    def load_saliency(self) -> NDArray[np.float32]:
        """The map that steered the encoder, (h, w) float32, >= 0."""
        return predicted_saliency(photograph(self.sequence))

    def load_gaze(self) -> NDArray[np.float32]:
        """The density that simulated assessors look by, (h, w) float32."""
        return photograph(self.sequence).gaze


@dataclass(frozen=True, eq=False)
class CodedPhotographs:
    """All versions of some photographs; bit-rates outside, presets inside."""

    name: str
    groups: Mapping[str, tuple[CodedRecord, ...]]

    @property
    def title(self) -> str:
        """Name for people."""
        return "photographs"

    def by_sequence(self) -> Iterator[tuple[str, tuple[CodedRecord, ...]]]:
        """Each photograph with its versions."""
        yield from self.groups.items()


def open_coded_photographs(coded: Mapping[str, Mapping[str, NDArray]], name: str = "photographs") -> CodedPhotographs:
    """The versions in `coded`: photograph -> arrays `stream<i>` of version i."""
    groups = {
        one: tuple(CodedRecord(one, arrays[f"stream{index}"].tobytes(), one) for index in range(versions_in(arrays)))
        for one, arrays in coded.items()
    }
    return CodedPhotographs(name, groups)


def versions_in(arrays: Mapping[str, NDArray]) -> int:
    """How many versions the arrays of a photograph hold."""
    return sum(key.startswith("stream") for key in arrays)


@cache
def photograph(name: str) -> Photograph:
    """A photograph, read once per process."""
    return open_photographs([name])[0]


@lru_cache(maxsize=VERSIONS_IN_MEMORY)
def decoded(stream: bytes) -> tuple[NDArray[np.uint8], NDArray]:
    """Picture (h, w, 3) and quantiser of every macroblock of a bit-stream."""
    return decode(stream)


def photographs_named(names: Sequence[str]) -> list[Photograph]:
    """Several photographs, each read once per process."""
    return [photograph(name) for name in names]
