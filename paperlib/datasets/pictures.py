"""What data sets of any kind have in common: named records in a stable order, a part drawn at random, a fingerprint."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.contents import digests

TITLES = {
    "salicon": "SALICON",
    "cat2000": "CAT2000",
    "koniq10k": "KonIQ-10k",
    "clive": "CLIVE",
    "sacid": "SACID",
    "biq2021": "BIQ2021",
    "osie": "OSIE",
    "eyecrowd": "EyeCrowd",
    "own": "own data",
    "world": "micro-world",
    "world_shifted": "shifted micro-world",
}
"""Key of a data set -> its name for people."""

SCALE = (0.0, 100.0)
"""Where the opinion scores of every set lie after opening; higher is better."""
SALICON_SIGMA = 19 / 480
"""Standard deviation of the blur that makes density maps of fixations, as a share of the height (SALICON API)."""

Progress = Callable[[Iterable[Any]], Iterable[Any]]
"""Wraps what is gone through, for example `paperlib.engine.progress.progress`."""


class Picture(Protocol):
    """A record with a picture, of any kind of data set."""

    @property
    def key(self) -> str:
        """Unique and stable inside its set."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""

    def load_image(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB."""


class Record(Picture, Protocol):
    """One picture of a `RecordSet`, with whatever belongs to it."""

    @property
    def signature(self) -> str:
        """What the record's values depend on, besides its key and the content of its files."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Whose content its values depend on."""


R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class RecordSet(Generic[R]):
    """A data set; each kind of records has a kind of set, with what else is to be said of it.

    Attributes:
        name: key of the data set.
        records: at least one, with unique keys, in a stable order.
    """

    name: str
    records: tuple[R, ...]

    def __post_init__(self) -> None:
        keys = Counter(record.key for record in self.records)
        repeated = [key for key, count in keys.items() if count > 1]
        if repeated or not keys:
            raise ValueError(f"expected at least one record and unique keys, got {len(keys)} keys, repeated {repeated}")

    def __len__(self) -> int:
        return len(self.records)

    @property
    def title(self) -> str:
        """Name for people."""
        return TITLES.get(self.name, self.name)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over the name, and each record's key, signature and files; not over places or times.

        Raises:
            UnusableFile: a file that is gone or cannot be read.
        """
        digest = hashlib.sha256(self.name.encode())
        held = iter(digests(file for record in self.records for file in record.files))
        for record in self.records:
            contents = " ".join(next(held) for _ in record.files)
            digest.update(f"\n{record.key} {record.signature} {contents}".encode())
        return digest.hexdigest()[:16]

    def take(self, n: int, seed: int) -> Self:
        """`n` records drawn at random, in the set's order; the whole set where it has no more than `n`.

        Raises:
            ValueError: `n` below 1.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1 record, got {n}")
        if n >= len(self):
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(len(self), n, replace=False))
        return self.holding([self.records[index] for index in chosen])

    def holding(self, records: Sequence[R]) -> Self:
        """The same set with some of its records only."""
        return replace(self, records=tuple(records))
