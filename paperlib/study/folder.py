"""A user's own photographs, coded with saliency as SACID's were: a data set in its layout, and pairs to vote on.

    reference/<name>.png                                                  the photograph as it was read
    saliency/<name>.png                                                   the map that steered the encoder
    compressed/<name>/h264v@targetbbp100=12_preset=p132.png               and .json, what was asked and got
    pairs.csv                                                             who is shown which pairs; `choice` is empty
    coded.json                                                            options, photographs, and what was left out

`votes pairs.csv --moses moses.csv` of the command line makes scores out of the answers, and Table III is made of all that
(`paperlib.experiments.compression`). A photograph that cannot be used, or that misses a bit-rate in one of the
versions, is left out whole. What is there of the same inputs is not coded again.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paperlib.coding.votes import LEFT, RANDOM_PAIRS, RIGHT, VERIFICATION_PAIRS, schedule
from paperlib.datasets.files import IMAGE_SUFFIXES, list_files, list_folders, listing, others_in
from paperlib.datasets.own import maps_in
from paperlib.datasets.sacid import COMPRESSED, PARTS, Version
from paperlib.datasets.votes_table import COLUMNS as VOTE_COLUMNS
from paperlib.engine.local import run
from paperlib.engine.progress import say
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Unit
from paperlib.errors import ComputationError, PaperlibError
from paperlib.paths import temporary_folder
from paperlib.settings import current
from paperlib.study.compute import CODED, DAMAGED, LEFT_OUT, MAKER, NOTE
from paperlib.study.files import OTHER_FOLDER, alone, csv_text, record_by, require_folder, sealed, write
from paperlib.study.one_picture import CENTER, encoder, require_apart
from paperlib.vocabulary import CODEC_PRESETS

LOG, PAIRS = "coded.json", "pairs.csv"
ORIGINAL = "reference"
"""What the photograph itself is called among the versions of a verification pair."""

VOTES_PER_PAIR = 9
"""What the paper's 1400 assessors come to."""

_LOCK = ".coding.lock"
_LEAST = 0.01
_DIGITS = 1e-9


@dataclass(frozen=True)
class OwnStudy:
    """What was made.

    Attributes:
        folder: where it lies.
        photographs: names of those that are coded, sorted.
        versions: of each.
        fresh: pictures that were coded now; the others were there.
        left_out: name -> reason.
        notes: sentences that a reader should see.
        pairs: the schedule for the assessors.
        assessors: how many it is for.
        record: what `coded.json` holds.
    """

    folder: Path
    photographs: tuple[str, ...]
    versions: tuple[Version, ...]
    fresh: int
    left_out: Mapping[str, str]
    notes: tuple[str, ...]
    pairs: Path
    assessors: int
    record: Mapping[str, Any]


def code_folder(
    images: Path, saliency: str, bpps: Sequence[float], out: Path, preset: str = "medium", assessors: int | None = None
) -> OwnStudy:
    """Code all photographs of a folder at every bit-rate, plainly and with the paper's three presets.

    Args:
        images: folder of photographs of any common type and size, read as `paperlib.study.one_picture.code_file`
            reads them; the file's name without suffix becomes the sequence's.
        saliency: folder with a map for every photograph, of the same name or stem, or `CENTER`. Maps of another size are
            resized. Where a map has more than 256 levels it is stored with 16 bits; what is stored steers the encoder.
        bpps: bits per pixel, whole hundredths.
        out: folder for the data set; what an earlier call with the same options wrote is gone on with.
        preset: x264's, one of `paperlib.coding.x264.PRESETS`.
        assessors: how many the schedule is for; by default as many as give `VOTES_PER_PAIR`.

    Raises:
        PaperlibError: unusable options, a photograph without a map, two of one name, or a folder that holds something
            else or cannot be written.
        ComputationError: no photograph could be coded.
    """
    targets = targets_of(bpps)
    encoder(preset)
    pictures = _pictures(images)
    maps = _maps(saliency, pictures)
    require_apart(images, saliency, [out / part for part in PARTS])
    options = {
        "bpps": [target / 100 for target in targets],
        "preset": preset,
        "saliency": CENTER if saliency == CENTER else "maps",
    }
    require_folder(out)
    units = [
        Unit.of(
            "own_study",
            name,
            "paperlib.study.compute:code_photograph",
            places={"image": path, "saliency": maps[name], "out": out},
            cost=float(path.stat().st_size),
            photograph=name,
            targets=targets,
            preset=preset,
        )
        for name, path in pictures.items()
    ]
    with alone(out / _LOCK, f"coding into {out}", "another folder with --out DIR"), temporary_folder() as store:
        _claim(out, options)
        title = f"coding {len(pictures)} photographs"
        results = run(units, ResultStore(store), workers=current().workers, title=title)
        rows = [row for name in pictures for row in results[name].rows.to_dict("records")]
        return _finished(out, options, rows, assessors)


def _finished(out: Path, options: Mapping[str, Any], rows: Sequence[Mapping[Any, Any]], assessors: int | None) -> OwnStudy:
    """Write log and schedule, from the rows of all photographs."""
    left_out = {row["method"]: row["variant"] for row in rows if row["metric"] == LEFT_OUT}
    coded = {row["method"]: int(row["value"]) for row in rows if row["metric"] == CODED}
    notes = [f"{row['method']}: {row['variant']}" for row in rows if row["metric"] == NOTE]
    for row in rows:
        if row["metric"] == DAMAGED:
            say(f"{row['variant']} was damaged or lost; the picture is coded again")
    names = tuple(sorted(coded))
    versions = tuple(Version(round(100 * bpp), kind) for bpp in options["bpps"] for kind, _ in CODEC_PRESETS)
    cases = [one.test_case for one in versions]
    told = {**options, "photographs": list(names), "versions": cases, "left_out": left_out, "notes": notes}
    _write_log(out, told)
    if not names:
        reasons = listing(f"{name}: {reason}" for name, reason in left_out.items())
        raise ComputationError(f"none of the {len(left_out)} photographs could be coded: {reasons}")
    count = assessors or enough_assessors(len(names), len(versions))
    notes += _write_pairs(out / PAIRS, names, versions, count)
    return OwnStudy(out, names, versions, sum(coded.values()), left_out, tuple(notes), out / PAIRS, count, told)


def enough_assessors(images: int, versions: int) -> int:
    """How many assessors give about `VOTES_PER_PAIR` votes on every pair of versions."""
    every = images * versions * (versions - 1) // 2
    return math.ceil(VOTES_PER_PAIR * every / min(RANDOM_PAIRS, every))


# ------------------------------------------------------------------------------------------------------------ options


def targets_of(bpps: Sequence[float]) -> tuple[int, ...]:
    """Bits per 100 pixels, ascending."""
    for bpp in bpps:
        if not _LEAST <= bpp < math.inf:
            raise PaperlibError(f"--bpp must be {_LEAST:g} or more, got {bpp:g}")
        if abs(100 * bpp - round(100 * bpp)) > _DIGITS:
            below = math.floor(100 * bpp) / 100
            raise PaperlibError(
                f"--bpp {bpp:g} has more than two digits, and SACID's names hold whole hundredths "
                f"(targetbbp100); give {below:.2f} or {below + 0.01:.2f}"
            )
    return tuple(sorted({round(100 * bpp) for bpp in bpps}))


def _pictures(images: Path) -> dict[str, Path]:
    """Name of the sequence -> file."""
    files = list_files(images, IMAGE_SUFFIXES)
    if not files:
        inside = [path.name for path in list_folders(images)]
        found = f"only the folders {listing(inside)}" if inside else "none"
        raise PaperlibError(f"expected photographs in {images}, found {found}; give the folder in which they lie")
    named: dict[str, list[Path]] = {}
    for path in files:
        named.setdefault(path.stem.casefold(), []).append(path)
    twice = [", ".join(path.name for path in own) for own in named.values() if len(own) > 1]
    if twice:
        raise PaperlibError(
            f"photographs must have different names without suffix, got {'; '.join(twice)}; rename all but one"
        )
    stems = {path.name: path.stem for path in files}
    odd = [name for name, stem in stems.items() if stem.strip() != stem or "\\" in stem or not stem.isprintable()]
    if odd:
        raise PaperlibError(
            f"names must have no backslash, line break or space at an end, got {listing(map(repr, odd))}; rename them"
        )
    if others := others_in(images, IMAGE_SUFFIXES):
        say(f"left out: {len(others)} files in {images} of other types: {listing(others)}")
    return {path.stem: path for path in files}


def _maps(saliency: str, pictures: Mapping[str, Path]) -> dict[str, str]:
    """Name -> file of its map, or `CENTER`."""
    if saliency == CENTER:
        return dict.fromkeys(pictures, CENTER)
    folder = Path(saliency)
    if not folder.is_dir():
        raise PaperlibError(f"--saliency must be a folder with a map per photograph, or {CENTER}, got {saliency}")
    found = maps_in(folder, [path.name for path in pictures.values()])
    return {name: str(found[path.name]) for name, path in pictures.items()}


def _claim(out: Path, options: Mapping[str, Any]) -> None:
    """Take a folder that is new, or hold on to one that an earlier call with the same options took."""
    known = record_by(MAKER, out / LOG)
    if known is None and (known := _told_by_pictures(out, options)) is not None:
        say(f"{out / LOG} is lost or damaged; it is made again from the records of the pictures")
    if known is None:
        there = [part for part in (*PARTS, LOG, PAIRS) if (out / part).exists()]
        if there:
            raise PaperlibError(f"{out} holds {listing(there)} that `code` did not write; {OTHER_FOLDER}")
        _write_log(out, options)
        return
    other = [name for name, value in options.items() if known.get(name) != value]
    if other and not any(file.is_file() for part in PARTS for file in (out / part).rglob("*")):
        _write_log(out, options)
    elif other:
        was = "; ".join(f"{name} {_words(known.get(name))}, now {_words(options[name])}" for name in other)
        raise PaperlibError(
            f"{out} holds pictures that were coded with other options ({was}); give the same, or another "
            "folder with --out DIR"
        )


def _told_by_pictures(out: Path, options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The options of `coded.json` as the records beside the pictures tell them, of which an earlier call may not have
    reached all; None where there is no whole record."""
    records = [record for file in sorted((out / COMPRESSED).glob("*/*.json")) if (record := record_by(MAKER, file))]
    if not records:
        return None
    bpps = sorted({record["asked"]["bpp"] for record in records})
    presets = sorted({record["asked"]["encoder"]["preset"] for record in records})
    return {
        "bpps": options["bpps"] if set(bpps) <= set(options["bpps"]) else bpps,
        "preset": ",".join(presets),
        "saliency": CENTER if all(record["inputs"]["saliency"] == CENTER for record in records) else "maps",
    }


def _words(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _write_log(out: Path, told: Mapping[str, Any]) -> None:
    write(out / LOG, sealed(MAKER, told))


# -------------------------------------------------------------------------------------------------------------- pairs


def _write_pairs(path: Path, names: Sequence[str], versions: Sequence[Version], assessors: int) -> list[str]:
    """Write the schedule, unless votes stand in the one that is there, or it cannot be read; then a note says so."""
    text = pairs_text(names, versions, assessors)
    known = path.read_bytes() if path.exists() else text.encode()
    if known != text.encode():
        if not _is_blank(known.decode("utf-8-sig", errors="replace")):
            advice = "move it away, and the same command writes a new schedule"
            return [f"{path} holds votes, or is damaged, and stays as it is; {advice}"]
        say(f"{path} was another schedule, without votes, or damaged; it is written anew")
    write(path, text)
    return []


def pairs_text(names: Sequence[str], versions: Sequence[Version], assessors: int, seed: int = 0) -> str:
    """A schedule as a table for `paperlib.datasets.votes_table`, with an empty column `choice`.

    The verification pairs show the photograph itself (`ORIGINAL`) beside the plain version at the lowest bit-rate. They
    stand anywhere among an assessor's pairs.

    Args:
        names: of the photographs.
        versions: of each, the plain one at the lowest bit-rate first.
        assessors: how many.
        seed: the same seed gives the same schedule.
    """
    count, rng = len(versions), np.random.default_rng(seed)
    every = len(names) * count * (count - 1) // 2
    random_pairs, checks = min(RANDOM_PAIRS, every), min(VERIFICATION_PAIRS, len(names))
    plan = schedule(assessors, len(names), count, rng, random_pairs, checks, obvious=(count, 0))
    files = [*(f"{version.test_case}.png" for version in versions), ORIGINAL]
    sides, digits = {LEFT: "left", RIGHT: "right", 0: ""}, len(str(assessors))
    order = np.lexsort((rng.random(len(plan.image)), plan.assessor))
    columns = (plan.image, plan.left, plan.right, plan.assessor, plan.expected)
    lines = [
        (names[image], files[left], files[right], "", f"{assessor + 1:0{digits}}", sides[expected])
        for image, left, right, assessor, expected in zip(*(column[order].tolist() for column in columns), strict=True)
    ]
    return csv_text([*VOTE_COLUMNS, "expected"], lines)


def _is_blank(text: str) -> bool:
    """Whether a table is a schedule that nobody answered yet, or an empty file; what cannot be read as a table is none."""
    rows = csv.DictReader(io.StringIO(text))
    try:
        complete = set(VOTE_COLUMNS) <= set(rows.fieldnames or ())
        return not text or (complete and not any((row["choice"] or "").strip() for row in rows))
    except csv.Error:
        return False
