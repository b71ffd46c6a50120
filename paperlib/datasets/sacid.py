"""SACID: 60 photographs, each coded non-uniformly at 3 bit-rates with 4 presets, with subjective scores (III-D).

    reference/<sequence>.png
    saliency/<sequence>.png                                                   the map that steered the encoder
    compressed/<sequence>/h264v@targetbbp100=12_preset=p132.jpg               or .png; 8, 12, 16 are bits per 100 pixels
    moses.csv                                                                 sequence, test_case, subjective_score

60 x 3 x 4 = 720 coded pictures; the paper's "50 images" is wrong. One public copy holds 42 of the 60 references: those
that lack are told in a note, and full-reference methods then speak of fewer images. The published `.jpg` may be encoded
anew (the authors' notebook strips ".png"); where a picture is there twice, the `.png` is read.

**Scores have one scale per sequence**: Bradley-Terry scores with the worst version at 0. They may be compared inside a
sequence only. The authors dropped the preset's settings from the names; which of p132, p220 and p310 is which of the
paper's (75, 80), (60, 80) and (60, 40) is not documented.

Pictures are read as they are stored (`paperlib.datasets.files`): grey and palette pictures are spread over the
channels, CMYK is converted, transparency is dropped, 16 bits become 8, an EXIF rotation is ignored with a note. All
pictures of a sequence share one grid of pixels.

A folder of the user's own in this layout is opened alike (`own`), with any sequences, bit-rates and presets; the verbs
`code` and `votes` of the command line make one.

Data: github.com/Alexkkir/SACID, huggingface.co/datasets/alexkkr/SACID.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import (
    IMAGE_SUFFIXES,
    Problems,
    UnusableFile,
    existing_folder,
    file_bytes,
    has_rotation,
    last_part,
    list_files,
    list_folders,
    listing,
    packed_hint,
    picture_size,
    read_grey,
    read_rgb,
    require_size,
    spell_size,
)
from paperlib.datasets.opinions import Opinion, Published, compare_with_published
from paperlib.datasets.pictures import TITLES, Progress, RecordSet
from paperlib.datasets.tables import finite, read_table
from paperlib.errors import PaperlibError

TABLE = "moses.csv"
COLUMNS = ("sequence", "test_case", "subjective_score")
REFERENCE, SALIENCY, COMPRESSED = PARTS = ("reference", "saliency", "compressed")
SAMPLE = 12
"""Photographs of a laptop's sample."""
SAMPLE_PICTURES = 12 * SAMPLE
"""Coded pictures of the sample."""
PLAIN = "none"
"""The preset without saliency."""
PUBLISHED = Published(pictures=720, low=0.0, high=8.2410, mean=2.51209, sd=1.65278)
"""Of moses.csv (Alexkkir/SACID 7e8e00e)."""

_CASE = re.compile(r"h264v@targetbbp100=(\d+)_preset=([A-Za-z0-9]+)")
_CODED = (".png", ".jpg", ".jpeg")
_ADVICE = "restore them from github.com/Alexkkir/SACID"
_OWN_ADVICE = "make them anew with `python -m paperlib code FOLDER`, or take their lines out of the table"
_HOW_CODED = "`python -m paperlib code FOLDER --saliency FOLDER --bpp 0.12,0.16 --out DIR` makes it out of photographs"
_HOW_SCORED = f"`python -m paperlib votes pairs.csv --moses {TABLE}` makes it out of votes"


# ---- scores ---------------------------------------------------------------------------------------------------------
class Version(NamedTuple):
    """How a picture was coded.

    Attributes:
        bpp100: target bit-rate in bits per 100 pixels.
        preset: of the saliency-aware encoder; `PLAIN` is without saliency.
    """

    bpp100: int
    preset: str

    @property
    def bpp(self) -> float:
        """Target bit-rate in bits per pixel."""
        return self.bpp100 / 100

    @property
    def test_case(self) -> str:
        """Name in the table, and of the file without its suffix."""
        return f"h264v@targetbbp100={self.bpp100}_preset={self.preset}"

    @classmethod
    def from_case(cls, text: str) -> "Version | None":
        """The version that a test case names; None for another name."""
        match = _CASE.fullmatch(text)
        return cls(int(match[1]), match[2]) if match else None


def _order(version: Version) -> tuple[int, bool, str]:
    """By bit-rate, the preset without saliency first."""
    return version.bpp100, version.preset != PLAIN, version.preset


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Subjective scores of every version of every sequence.

    Attributes:
        sequences: (images,) names, sorted.
        versions: the same for all sequences, by bit-rate, then preset.
        subjective: (images, versions) float64, higher is better, one scale per sequence; read-only.
    """

    sequences: tuple[str, ...]
    versions: tuple[Version, ...]
    subjective: NDArray[np.float64]

    @property
    def bpps(self) -> NDArray[np.float64]:
        """(versions,) target bits per pixel."""
        return np.array([version.bpp for version in self.versions])

    def of(self, sequences: Iterable[str]) -> "ScoreTable":
        """The scores of some sequences, in the table's order."""
        chosen = set(sequences)
        rows = [place for place, name in enumerate(self.sequences) if name in chosen]
        return ScoreTable(tuple(self.sequences[row] for row in rows), self.versions, _read_only(self.subjective[rows]))

    @property
    def presets(self) -> NDArray[np.str_]:
        """(versions,) names of presets."""
        return np.array([version.preset for version in self.versions])


class _Line(NamedTuple):
    sequence: str
    version: Version
    score: float


def read_scores(path: str | Path) -> ScoreTable:
    """Read a table of scores such as `moses.csv`: `paperlib.datasets.tables.read_table` with the columns `COLUMNS`.

    Test cases may end in .png, .jpg or .jpeg. Any bit-rates and presets are understood, as long as all sequences have
    the same versions, once each.

    Raises:
        PaperlibError: no such file, empty, another separator or encoding, a missing column, lines that cannot be used,
            versions that lack or are there twice, sequences whose scores are all equal.
    """
    source = Path(path)
    lines = read_table(source, COLUMNS, _parse, "scores", f"restore {TABLE}, it may be cut")
    scores: dict[str, dict[Version, float]] = {}
    twice = []
    for line in lines:
        own = scores.setdefault(line.sequence, {})
        if line.version in own:
            twice.append(f"{line.sequence}/{line.version.test_case}")
        own[line.version] = line.score
    versions = tuple(sorted({line.version for line in lines}, key=_order))
    absent = [f"{name}/{v.test_case}" for name in sorted(scores) for v in versions if v not in scores[name]]
    flat = [name for name in sorted(scores) if len(set(scores[name].values())) == 1]
    faults = [
        f"{len(names)} {what}: {listing(names)}"
        for names, what in (
            (twice, "versions are there more than once"),
            (absent, f"of {len(scores) * len(versions)} versions have no score"),
            (flat, f"of {len(scores)} sequences have one score for all versions"),
        )
        if names
    ]
    if faults:
        raise PaperlibError(
            f"{source}: {'; '.join(faults)}; expected every sequence with the same {len(versions)} versions, once "
            "each, and scores that differ"
        )
    names = tuple(sorted(scores))
    return ScoreTable(names, versions, _read_only([[scores[name][version] for version in versions] for name in names]))


def _parse(sequence: str, test_case: str, score: str) -> _Line:
    if not sequence or last_part(sequence) != sequence or sequence in (".", ".."):
        raise ValueError(f"sequence is {sequence!r}, expected the name of a picture without folder")
    version = Version.from_case(_without_suffix(test_case))
    if version is None:
        raise ValueError(f"test_case is {test_case!r}, expected h264v@targetbbp100=<bits>_preset=<name>")
    return _Line(sequence, version, finite(score, "subjective_score"))


def _without_suffix(name: str) -> str:
    return next((name[: -len(suffix)] for suffix in _CODED if name.lower().endswith(suffix)), name)


def _read_only(values: Any) -> NDArray[np.float64]:
    array = np.asarray(values, np.float64)
    array.flags.writeable = False
    return array


# ---- records --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class SacidRecord:
    """One coded picture. Small, picklable, and nothing is decoded before a `load_` method is called.

    Attributes:
        sequence: name of the photograph.
        version: bit-rate and preset.
        mos: subjective score, higher is better, comparable inside the sequence only.
        path: the coded picture.
        reference: the picture before coding; None where the copy of the data set lacks it.
        saliency: the map that steered the encoder.
        size: (height, width) of all three in pixels, as stored.
        file_sizes: bytes of coded picture, saliency map and, if it is there, reference.
    """

    sequence: str
    version: Version
    mos: float
    path: Path
    reference: Path | None
    saliency: Path
    size: tuple[int, int]
    file_sizes: tuple[int, ...]

    @property
    def key(self) -> str:
        """For example "zane-lee-CpdxeZAN5y0-unsplash/h264v@targetbbp100=12_preset=p132"."""
        return f"{self.sequence}/{self.version.test_case}"

    @property
    def bpp(self) -> float:
        """Target bit-rate in bits per pixel."""
        return self.version.bpp

    @property
    def preset(self) -> str:
        """Name of the encoder's preset."""
        return self.version.preset

    @property
    def signature(self) -> str:
        """What the record's values depend on, besides its key and its files."""
        return f"{spell_size(self.size)} {self.mos:.10g}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Coded picture, saliency map and, if it is there, reference."""
        return tuple(filter(None, (self.path, self.saliency, self.reference)))

    def load_image(self) -> NDArray[np.uint8]:
        """The coded picture, (h, w, 3) uint8 RGB (see `paperlib.datasets.files.read_rgb`).

        Raises:
            UnusableFile: missing, unreadable, truncated, or of another size than `size`.
        """
        return self._sized(self.path, read_rgb(self.path))

    def load_reference(self) -> NDArray[np.uint8]:
        """The picture before coding, (h, w, 3) uint8 RGB.

        Raises:
            PaperlibError: this copy of the data set lacks it.
            UnusableFile: unreadable, truncated, or of another size than `size`.
        """
        if self.reference is None:
            raise PaperlibError(f"there is no reference of {self.sequence} here; add {REFERENCE}/{self.sequence}.png")
        return self._sized(self.reference, read_rgb(self.reference))

    def load_saliency(self) -> NDArray[np.float32]:
        """The saliency map, (h, w) float32, >= 0, not all zero, on the file's own scale (0 to 255 or 65535).

        Raises:
            UnusableFile: missing, unreadable, truncated, all zero, or of another size than `size`.
        """
        values = self._sized(self.saliency, read_grey(self.saliency))
        if not values.max() > 0:
            raise UnusableFile(self.saliency, "a saliency map must not be zero everywhere")
        return values

    def _sized(self, path: Path, pixels: NDArray[Any]) -> NDArray[Any]:
        require_size(path, pixels.shape[:2], self.size)
        return pixels


@dataclass(frozen=True)
class SacidSet(RecordSet[SacidRecord]):
    """All versions of some sequences, sorted by sequence, then version; all sequences have the same versions.

    Attributes:
        notes: sentences that a reader should see: references that lack, what was left out, what looks odd.
    """

    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        grids = {tuple(record.version for record in group) for _, group in self.by_sequence()}
        if len(grids) > 1:
            raise ValueError("expected the same versions of every sequence in one order; take whole sequences")

    def by_sequence(self) -> Iterator[tuple[str, tuple[SacidRecord, ...]]]:
        """Each sequence with the records of its versions; they share reference and saliency map."""
        for name, group in groupby(self.records, key=lambda record: record.sequence):
            yield name, tuple(group)

    @cached_property
    def scores(self) -> ScoreTable:
        """The subjective scores, (images, versions), in the order of the records."""
        groups = list(self.by_sequence())
        versions = tuple(record.version for record in groups[0][1])
        subjective = _read_only([[record.mos for record in group] for _, group in groups])
        return ScoreTable(tuple(name for name, _ in groups), versions, subjective)

    @property
    def n_bytes(self) -> int:
        """Of all files on disk; the versions of a sequence share all but their own."""
        shared = sum(sum(group[0].file_sizes[1:]) for _, group in self.by_sequence())
        return shared + sum(record.file_sizes[0] for record in self.records)

    def take(self, n: int, seed: int) -> Self:
        """`n` sequences drawn at random with all their versions, in the set's order; all where there are no more.

        Raises:
            ValueError: `n` below 1.
        """
        if n < 1:
            raise ValueError(f"n: expected at least 1 sequence, got {n}")
        sequences = self.scores.sequences
        if n >= len(sequences):
            return self
        chosen = set(np.random.default_rng(seed).choice(np.array(sequences), n, replace=False).tolist())
        return self.holding([record for record in self.records if record.sequence in chosen])


# ---- opening --------------------------------------------------------------------------------------------------------
def sampled(with_reference: Iterable[str]) -> list[str]:
    """The sequences of a laptop's sample: the first `SAMPLE` of those with a reference, in the order of the SHA-256 of
    their names."""
    return sorted(with_reference, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:SAMPLE]


def of_sample(paths: Sequence[str]) -> list[str]:
    """The files of the sample among all paths of a copy of SACID, with `/`: the table, and all of its sequences."""
    places = [PurePosixPath(path) for path in paths]
    chosen = set(sampled(place.stem for place in places if place.match(f"{REFERENCE}/*.png")))
    return [
        place.as_posix()
        for place in places
        if place.as_posix() == TABLE
        or (place.parts[0] in PARTS[:2] and place.stem in chosen)
        or (place.parts[0] == COMPRESSED and place.parent.name in chosen)
    ]


def open_sacid(root: str | Path, partial: bool = False, own: bool = False, extent: str = "all") -> SacidSet:
    """Open SACID, or own data in its layout. The table is read whole; of pictures only the headers.

    Args:
        root: the folder that holds `compressed`; the folder above, or one of the three inside, is understood.
        partial: take what is there of the 60 sequences, with a note: a sequence that lacks its saliency map or a coded
            picture is left out whole. References may lack in any case.
        own: photographs of the user's own, which are not compared with what is published of SACID.
        extent: "all", or "sample" for the sequences that `sampled` tells of the references that are there, with a note.

    Raises:
        PaperlibError: no pictures or table; pictures missing, misnamed, unreadable or of another size, all counted in
            one message and the first of each kind named; a table that is cut or is not SACID's.
    """
    name, advice = ("own", _OWN_ADVICE) if own else ("sacid", _ADVICE)
    title = TITLES[name]
    home = _home(existing_folder(root, title), own)
    source = home / TABLE
    if own and not source.is_file():
        raise PaperlibError(f"{home} holds coded pictures and no scores, there is no {TABLE}; {_HOW_SCORED}")
    scores = read_scores(source)
    notes = () if own else compare_with_published(_as_opinions(scores), PUBLISHED, source, title, partial)
    files = _Files.listed(home, scores)
    if extent == "sample":
        whole = len(scores.sequences)
        scores = _sample(scores, files, home, partial)
        notes += (f"a sample: {len(scores.sequences)} of the {whole} sequences, chosen by a hash of their names",)
    faults, complete = files.faults(scores)
    if faults and not (partial and complete):
        more = ", or open what is there with partial" if complete else ""
        raise PaperlibError(f"{title} in {home}: {'; '.join(faults)}; {advice}{more}{packed_hint(home)}")
    records, rotated = _read_headers(scores, files, complete, title, advice)
    notes += tuple(f"left out: {fault}" for fault in faults) + files.notes(scores, complete)
    if rotated:
        notes += (f"{len(rotated)} pictures carry an EXIF rotation, which is ignored: {listing(rotated)}",)
    return SacidSet(name, records, notes)


@dataclass(frozen=True, eq=False)
class ScoresAlone:
    """SACID's subjective scores without its pictures: enough for the methods that look at none."""

    scores: ScoreTable
    fingerprint: str


def open_scores(root: str | Path) -> ScoresAlone:
    """Open the table of a folder that holds none of SACID's pictures.

    Raises:
        PaperlibError: as `read_scores`; a table that is not SACID's.
    """
    source = existing_folder(root, TITLES["sacid"]) / TABLE
    scores = read_scores(source)
    compare_with_published(_as_opinions(scores), PUBLISHED, source, TITLES["sacid"], partial=False)
    return ScoresAlone(scores, hashlib.sha256(source.read_bytes()).hexdigest()[:16])


def holds_scores_alone(root: Path) -> bool:
    """Whether a folder holds the table of scores, and no coded pictures."""
    return (root / TABLE).is_file() and not any((folder / COMPRESSED).is_dir() for folder in (root, *list_folders(root)))


def _home(root: Path, own: bool) -> Path:
    above = [root.parent] if root.name in PARTS else []
    for folder in (root, *list_folders(root), *above):
        if (folder / COMPRESSED).is_dir():
            return folder
    if own:
        raise PaperlibError(f"own data in {root} lack the folder {COMPRESSED}{packed_hint(root)}; {_HOW_CODED}")
    raise PaperlibError(
        f"SACID in {root} lacks the folder {COMPRESSED}{packed_hint(root)}; expected "
        f"{COMPRESSED}/<sequence>/{Version(12, 'p132').test_case}.jpg and {TABLE}, from github.com/Alexkkir/SACID"
    )


def _sample(scores: ScoreTable, files: "_Files", home: Path, partial: bool) -> ScoreTable:
    """The scores of the sample.

    Raises:
        PaperlibError: fewer references than the sample has sequences, and not `partial`; or none.
    """
    chosen = sampled(name for name in scores.sequences if name in files.reference)
    if len(chosen) < (1 if partial else SAMPLE):
        raise PaperlibError(
            f"{home / REFERENCE} holds the references of {len(chosen)} sequences of {TABLE}, the sample has {SAMPLE}; "
            f"{_ADVICE}"
        )
    return scores.of(chosen)


def _as_opinions(scores: ScoreTable) -> list[Opinion]:
    """Lines for `compare_with_published`, with the scores on their own scale."""
    rows = zip(scores.sequences, scores.subjective.tolist(), strict=True)
    return [Opinion(name, score) for name, row in rows for score in row]


@dataclass(frozen=True)
class _Files:
    """What lies in the folder.

    Attributes:
        coded: sequence -> version -> file.
        doubled: coded pictures that are there as .png and as .jpg.
        reference, saliency: sequence -> file.
        spare: names in `compressed` that have no score.
        spare_references: names in `reference` that belong to no sequence.
    """

    coded: dict[str, dict[Version, Path]]
    doubled: list[str]
    reference: dict[str, Path]
    saliency: dict[str, Path]
    spare: list[str]
    spare_references: list[str]

    @classmethod
    def listed(cls, home: Path, scores: ScoreTable) -> "_Files":
        coded: dict[str, dict[Version, Path]] = {name: {} for name in scores.sequences}
        doubled, spare = [], []
        for folder in list_folders(home / COMPRESSED):
            for path in sorted(list_files(folder, _CODED), key=lambda path: path.suffix.lower() != ".png"):
                version = Version.from_case(path.stem)
                if folder.name not in coded or version not in scores.versions:
                    spare.append(f"{folder.name}/{path.name}")
                elif coded[folder.name].setdefault(version, path) != path:
                    doubled.append(f"{folder.name}/{path.name}")
        reference, saliency = (_by_stem(home / part) for part in PARTS[:2])
        strangers = [path.name for name, path in reference.items() if name not in coded]
        return cls(coded, doubled, reference, saliency, spare, strangers)

    def absent(self, scores: ScoreTable) -> list[str]:
        """Names of coded pictures that lack."""
        return [
            f"{name}/{version.test_case}"
            for name in scores.sequences
            for version in scores.versions
            if version not in self.coded[name]
        ]

    def faults(self, scores: ScoreTable) -> tuple[list[str], list[str]]:
        """What lacks, as half sentences; and the sequences that lack nothing but, maybe, their reference."""
        total, absent = len(scores.sequences), self.absent(scores)
        blind = [name for name in scores.sequences if name not in self.saliency]
        faults = []
        if absent:
            count = total * len(scores.versions)
            faults.append(f"{len(absent)} of {count} coded pictures are missing: {listing(absent)}")
            if self.spare:
                spare = listing(self.spare)
                faults.append(f"{len(self.spare)} files in {COMPRESSED} are misnamed or have no score: {spare}")
        if blind:
            faults.append(f"{len(blind)} of {total} saliency maps are missing: {listing(blind)}")
        whole = len(scores.versions)
        return faults, [name for name in scores.sequences if len(self.coded[name]) == whole and name in self.saliency]

    def notes(self, scores: ScoreTable, sequences: Sequence[str]) -> tuple[str, ...]:
        """References that lack among `sequences`, and files that are not used and no fault of `faults`."""
        lacking = [name for name in sequences if name not in self.reference]
        unscored = [] if self.absent(scores) else self.spare
        lines = (
            (lacking, f"of {len(sequences)} references are missing, full-reference methods speak of the others"),
            (self.spare_references, f"files in {REFERENCE} belong to no sequence"),
            (unscored, f"files in {COMPRESSED} have no score"),
            (self.doubled, "coded pictures are there twice, the .png is used instead of"),
        )
        return tuple(f"{len(names)} {text}: {listing(names)}" for names, text in lines if names)


def _by_stem(folder: Path) -> dict[str, Path]:
    """Stem -> picture; a .png before others of the same stem."""
    files = sorted(list_files(folder, IMAGE_SUFFIXES), key=lambda path: path.suffix.lower() == ".png")
    return {path.stem: path for path in files}


def _read_headers(
    scores: ScoreTable, files: _Files, sequences: Sequence[str], title: str, advice: str
) -> tuple[tuple[SacidRecord, ...], list[str]]:
    """Records of the sequences, all files of one in one size; and the names of pictures with an EXIF rotation."""
    problems = Problems(f"{title} files")
    records, rotated, total = [], [], 0
    rows = dict(zip(scores.sequences, scores.subjective.tolist(), strict=True))
    for name in sequences:
        shared = [files.saliency[name], *filter(None, [files.reference.get(name)])]
        coded = [files.coded[name][version] for version in scores.versions]
        every = [*coded, *shared]
        total += len(every)
        before = len(problems.found)
        sizes, bytes_of = {}, {}
        for path in every:
            with problems.collecting():
                sizes[path], (bytes_of[path],) = picture_size(path), file_bytes([path])
                if path.suffix.lower() != ".png" and has_rotation(path):  # Pillow decodes a whole PNG to look for it
                    rotated.append(f"{path.parent.name}/{path.name}")
        size = Counter(sizes.values()).most_common(1)[0][0] if sizes else (0, 0)
        for path, found in sizes.items():
            with problems.collecting():
                require_size(path, found, size)
        if len(problems.found) == before:
            common = tuple(bytes_of[path] for path in shared)
            for version, path, score in zip(scores.versions, coded, rows[name], strict=True):
                records.append(
                    SacidRecord(
                        name, version, score, path, files.reference.get(name), shared[0], size, (bytes_of[path], *common)
                    )
                )
    problems.raise_if_any(total, f"all files of a sequence have one size; {advice}")
    return tuple(records), rotated


# ---- reading everything once ----------------------------------------------------------------------------------------
def check(sacid: SacidSet, progress: Progress | None = None) -> dict[str, int]:
    """Decode every coded picture, reference and saliency map once.

    Args:
        sacid: the set.
        progress: wraps the sequences as they are gone through.

    Returns:
        The numbers of `sequences`, `pictures` and `references`.

    Raises:
        PaperlibError: files that cannot be used; all are counted, the first are named.
    """
    problems = Problems(f"{sacid.title} files")
    groups = [records for _, records in sacid.by_sequence()]
    with_reference = sum(records[0].reference is not None for records in groups)
    for records in progress(groups) if progress else groups:
        first: SacidRecord = records[0]
        shared: list[Callable[[], Any]] = [first.load_saliency, *([first.load_reference] if first.reference else [])]
        for load in (*shared, *(record.load_image for record in records)):
            with problems.collecting():
                load()
    advice = _OWN_ADVICE if sacid.name == "own" else _ADVICE
    problems.raise_if_any(len(sacid) + len(groups) + with_reference, f"replace these files, or {advice}")
    return {"sequences": len(groups), "pictures": len(sacid), "references": with_reference}
