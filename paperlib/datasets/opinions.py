"""Data sets of pictures with mean opinion scores (MOS) behind one face.

    koniq = open_opinions("koniq10k", root)     # reads the table, lists files, reads headers, decodes nothing
    check(koniq)                                # decodes everything once, before any GPU time is spent
    test = koniq.part("test")
    test.records[0].load_image(), test.mos
    overlap(koniq.part("training"), test)       # the same picture on both sides of a split

MOS are given on **0 to 100, higher is better** (`SCALE`), whatever the scale of the data set. Pictures are read as they
are stored (`paperlib.datasets.files`).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import (
    IMAGE_SUFFIXES,
    Problems,
    file_bytes,
    last_part,
    list_files,
    listing,
    matched,
    packed_hint,
    picture_size,
    read_rgb,
    require_size,
)
from paperlib.datasets.pictures import Picture, Progress, RecordSet
from paperlib.errors import PaperlibError

SPLITS = ("training", "validation", "test")

_SPLIT_NAMES = {"train": "training", "val": "validation", "valid": "validation"} | {name: name for name in SPLITS}
_CLOSE = 0.01


# ---- records --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Opinion:
    """One line of a table of opinions.

    Attributes:
        name: the picture as the table names it.
        mos: mean opinion score from 0 to 100, higher is better.
        split: one of `SPLITS`; empty where the table has none.
    """

    name: str
    mos: float
    split: str = ""


@dataclass(frozen=True)
class OpinionRecord:
    """One picture with its mean opinion score. Small, picklable, and nothing is decoded before `load_image`.

    Attributes:
        key: the file's name, unique inside its set, for example "10004473376.jpg".
        path: the picture's file.
        mos: mean opinion score from 0 to 100, higher is better.
        split: one of `SPLITS`; empty where the data set has none.
        size: (height, width) in pixels, as stored.
        file_size: bytes of the file.
    """

    key: str
    path: Path
    mos: float
    split: str
    size: tuple[int, int]
    file_size: int

    def load_image(self) -> NDArray[np.uint8]:
        """The picture, (h, w, 3) uint8 RGB, as stored (see `paperlib.datasets.files.read_rgb`).

        Raises:
            UnusableFile: missing, unreadable, truncated, or of another size than `size`.
        """
        pixels = read_rgb(self.path)
        require_size(self.path, pixels.shape[:2], self.size)
        return pixels

    @property
    def signature(self) -> str:
        """What the record's values depend on, besides its key and its file."""
        return f"{self.size[0]} {self.size[1]} {self.mos:.10g} {self.split}"

    @property
    def files(self) -> tuple[Path, ...]:
        """The picture's."""
        return (self.path,)


@dataclass(frozen=True)
class OpinionSet(RecordSet[OpinionRecord]):
    """A data set with opinion scores, sorted by key.

    Attributes:
        notes: sentences that a reader should see: what was left out, what looks odd, which scale became 0 to 100.
    """

    notes: tuple[str, ...] = ()

    @property
    def n_bytes(self) -> int:
        """Of all pictures on disk."""
        return sum(record.file_size for record in self.records)

    @cached_property
    def mos(self) -> NDArray[np.float64]:
        """(n,) mean opinion scores from 0 to 100, higher is better, in the order of the records; read-only."""
        values = np.array([record.mos for record in self.records])
        values.flags.writeable = False
        return values

    @property
    def splits(self) -> dict[str, int]:
        """Split -> number of its records, in the order of `SPLITS`; empty where the data set has no split."""
        counts = Counter(record.split for record in self.records)
        return {split: counts[split] for split in SPLITS if counts[split]}

    def part(self, *splits: str) -> "OpinionSet":
        """The records of one or more splits, for example `part("training", "validation")`.

        Raises:
            PaperlibError: a split that the set does not have.
        """
        unknown = [split for split in splits if split not in self.splits]
        if unknown or not splits:
            there = ", ".join(self.splits) or "none: its table names no split"
            raise PaperlibError(f"{self.title} has no split {listing(unknown) or repr('')}; its splits are {there}")
        return self.holding([record for record in self.records if record.split in splits])


# ---- what the readers of the tables share ---------------------------------------------------------------------------
def split_named(text: str) -> str:
    """One of `SPLITS`, from the names in use: train, training, val, valid, validation, test (any case).

    Raises:
        ValueError: another name.
    """
    split = _SPLIT_NAMES.get(text.lower())
    if split is None:
        raise ValueError(f"split is {text!r}, expected {', '.join(SPLITS)}")
    return split


def place_pictures(
    opinions: Sequence[Opinion],
    folder: Path,
    what: str,
    advice: str,
    size: tuple[int, int] | None = None,
    partial: bool = False,
) -> tuple[tuple[OpinionRecord, ...], tuple[str, ...]]:
    """Find the picture of every opinion in `folder` and read its header.

    A picture has the name that the table gives; or, where only one picture has it, that name in another case (CLIVE's
    `.JPG` is often lower-cased), or with another suffix.

    Args:
        opinions: lines of the table.
        folder: where the pictures lie; folders inside are not entered.
        what: the data set, for messages.
        advice: what to do, for messages.
        size: (height, width) that all pictures must have; None where sizes differ.
        partial: leave missing pictures out with a note instead of refusing them.

    Returns:
        The records, sorted by key, and notes.

    Raises:
        PaperlibError: pictures that are named twice, missing, misnamed, unreadable or of another size: all of them
            are counted in one message, and the first of each kind are named.
    """
    files = {path.name: path for path in list_files(folder, IMAGE_SUFFIXES)}
    names = matched((opinion.name for opinion in opinions), files)
    chosen = [(opinion, names[opinion.name]) for opinion in opinions]
    placed = {name: opinion for opinion, name in chosen if name is not None}
    missing = [opinion.name for opinion, name in chosen if name is None]
    spare = [name for name in files if name not in placed]
    share = f"{len(missing)} of {len(opinions)} ({100 * len(missing) / len(opinions):.1f} %) pictures are missing"

    faults: list[str] = []
    notes: list[str] = []
    times = Counter(name or last_part(opinion.name) for opinion, name in chosen)
    repeated = [name for name, count in times.items() if count > 1]
    if repeated:
        faults.append(f"{len(repeated)} pictures are in the table more than once: {listing(repeated)}")
    if missing:
        (notes if partial and placed else faults).append(f"{share}: {listing(missing)}")
    if spare:
        (faults if missing and not partial else notes).append(
            f"{len(spare)} pictures are not in the table: {listing(spare)}"
        )
    records, problems = opinion_records(placed, files, what, size)
    if problems.found:
        faults.append(f"{len(problems.found)} of {len(placed)} pictures cannot be used: {listing(problems.found)}")
    if faults:
        more = ", or open what is there with partial" if missing and placed and not partial else ""
        raise PaperlibError(f"{what} in {folder}: {'; '.join(faults)}; {advice}{more}{packed_hint(folder.parent)}")
    return records, tuple(f"left out: {note}" for note in notes)


def opinion_records(
    placed: Mapping[str, Opinion], files: Mapping[str, Path], what: str, size: tuple[int, int] | None = None
) -> tuple[tuple[OpinionRecord, ...], Problems]:
    """Records of pictures whose headers can be read, sorted by key, and what is wrong with the others.

    Args:
        placed: name of a file -> its opinion.
        files: name of a file -> its place.
        what: the data set, for messages.
        size: (height, width) that all pictures must have; None where sizes differ.
    """
    problems = Problems(f"{what} pictures")
    records = []
    for name in sorted(placed):
        with problems.collecting():
            path, opinion = files[name], placed[name]
            found = picture_size(path)
            require_size(path, found, size or found)
            records.append(OpinionRecord(name, path, opinion.mos, opinion.split, found, *file_bytes([path])))
    return tuple(records), problems


@dataclass(frozen=True)
class Published:
    """What is known of a whole data set.

    Attributes:
        pictures: their number.
        low, high, mean, sd: of the MOS on 0 to 100; `sd` divides by the number of pictures.
        split: `split_digest` of the official split, and how it counts; None where there is none.
    """

    pictures: int
    low: float
    high: float
    mean: float
    sd: float
    split: tuple[str, dict[str, int]] | None = None


def compare_with_published(
    opinions: Sequence[Opinion], published: Published, source: Path, what: str, partial: bool
) -> tuple[str, ...]:
    """Compare a table with what is known of the whole data set.

    Args:
        opinions: lines of the table.
        published: the known numbers.
        source: the table, for messages.
        what: the data set, for messages.
        partial: whether fewer pictures are allowed.

    Returns:
        Notes.

    Raises:
        PaperlibError: fewer pictures and `partial` is False; more pictures; a whole table whose MOS or split are not
            the published ones.
    """
    count = f"{len(opinions)} of {published.pictures} pictures of {what}"
    if len(opinions) < published.pictures and partial:
        return (f"a part of the data set: {source.name} names {count}; its MOS and split cannot be compared",)
    if len(opinions) != published.pictures:
        raise PaperlibError(
            f"{source} names {count}; it is cut, filtered or of another data set: restore it, or open it with partial"
        )
    mos = np.array([opinion.mos for opinion in opinions])
    found = (mos.min(), mos.max(), mos.mean(), mos.std())
    expected = (published.low, published.high, published.mean, published.sd)
    if not np.allclose(found, expected, rtol=0, atol=_CLOSE):
        raise PaperlibError(
            f"the MOS in {source} are not those of {what}: minimum, maximum, mean and standard deviation are "
            f"{_spell(found)}, expected {_spell(expected)}; restore the table"
        )
    if published.split is None or not any(opinion.split for opinion in opinions):
        return ()
    digest, counts = published.split
    if split_digest(opinions) != digest:
        own = Counter(opinion.split for opinion in opinions)
        raise PaperlibError(
            f"the split in {source} is not the official one of {what}: {_count(own)}, expected "
            f"{_count(counts)} with the official pictures in each; restore the table"
        )
    return ()


def _spell(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _count(counts: Mapping[str, int]) -> str:
    return " / ".join(f"{split} {counts.get(split, 0)}" for split in SPLITS)


def split_digest(opinions: Iterable[Opinion]) -> str:
    """16 hexadecimal digits over which picture lies in which split; the order of the lines does not matter."""
    lines = sorted(f"{opinion.name} {opinion.split}" for opinion in opinions)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


# ---- reading everything once ----------------------------------------------------------------------------------------
def check(opinion_set: OpinionSet, progress: Progress | None = None) -> None:
    """Decode every picture once.

    Args:
        opinion_set: the set.
        progress: wraps the records as they are gone through.

    Raises:
        PaperlibError: pictures that cannot be used; all are counted, the first are named.
    """
    _by_pixels(opinion_set.records, opinion_set.title, progress)


def overlap(first: RecordSet[Any], second: RecordSet[Any], progress: Progress | None = None) -> tuple[tuple[str, str], ...]:
    """The pictures that two sets share: equal in every decoded pixel, whatever the files are called or encoded with.

    Only pictures of a size that both sets have are decoded. A picture that was scaled, cropped or compressed anew is
    not found. Sets of other records with `key`, `size` and `load_image` (eye tracking) may be given as well.

    Args:
        first, second: the sets, for example training and test part.
        progress: wraps the records of each set as they are gone through.

    Returns:
        Pairs of keys, one of each set, in the order of `first`.

    Raises:
        PaperlibError: pictures that cannot be used.
    """
    sizes = [{tuple(record.size) for record in one.records} for one in (first, second)]
    common = sizes[0] & sizes[1]
    own, other = (
        _by_pixels([record for record in one.records if tuple(record.size) in common], one.title, progress)
        for one in (first, second)
    )
    pairs = [(key, twin) for digest, keys in own.items() if digest in other for key in keys for twin in other[digest]]
    order = {record.key: index for index, record in enumerate(first.records)}
    return tuple(sorted(pairs, key=lambda pair: order[pair[0]]))


def _by_pixels(records: Sequence[Picture], title: str, progress: Progress | None) -> dict[bytes, list[str]]:
    """Digest of the decoded picture -> keys."""
    problems = Problems(f"{title} pictures")
    groups: dict[bytes, list[str]] = {}
    for record in progress(records) if progress else records:
        with problems.collecting():
            pixels = record.load_image()
            digest = hashlib.blake2b(str(pixels.shape).encode(), digest_size=16)
            digest.update(np.ascontiguousarray(pixels).data)
            groups.setdefault(digest.digest(), []).append(record.key)
    problems.raise_if_any(len(records), "replace these files, or restore them from the archive of the data set")
    return groups
