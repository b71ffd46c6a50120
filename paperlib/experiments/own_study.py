"""A user's own photographs, coded with saliency as SACID's were: a data set in its layout, and pairs to vote on.

    reference/<name>.png                                                  the photograph as it was read
    saliency/<name>.png                                                   the map that steered the encoder
    compressed/<name>/h264v@targetbbp100=12_preset=p132.png               and .json, what was asked and got
    pairs.csv                                                             who is shown which pairs; `choice` is empty
    coded.json                                                            options, photographs, and what was left out

`votes pairs.csv --moses moses.csv` of the command line makes scores out of the answers, and Table III is made of all that
(`paperlib.experiments.photo_compression`). A photograph that cannot be used, or that misses a bit-rate in one of the
versions, is left out whole. What is there of the same inputs is not coded again.
"""

import csv
import io
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray
from PIL import Image

from paperlib.coding.still import CodedStill, code_picture
from paperlib.coding.votes import LEFT, RIGHT, schedule
from paperlib.coding.x264 import PRESETS, EncoderSettings
from paperlib.datasets.files import IMAGE_SUFFIXES, list_files, list_folders, listing
from paperlib.datasets.own import _maps as maps_in
from paperlib.datasets.sacid import COMPRESSED, PARTS, REFERENCE, SALIENCY, Version
from paperlib.datasets.votes_table import COLUMNS as VOTE_COLUMNS
from paperlib.engine.local import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.errors import ComputationError, PaperlibError
from paperlib.experiments.coded_picture import (
    CENTER,
    fingerprint,
    read_image,
    read_saliency,
    record,
    require_folder,
    sha256,
    unwritable,
)
from paperlib.paths import atomic_write
from paperlib.profiles import CompressionSettings
from paperlib.settings import current

LOG, PAIRS = "coded.json", "pairs.csv"
ORIGINAL = "reference"
"""What the photograph itself is called among the versions of a verification pair."""

VOTES_PER_PAIR = 9
"""What the paper's 1400 assessors come to."""

_MAKER = "python -m paperlib code"
_RULES = CompressionSettings().presets
_RANDOM_PAIRS, _VERIFICATIONS = CompressionSettings().random_pairs, CompressionSettings().verification_pairs
_PLAIN_RULE = (75, 80)  # unused where there is no saliency, but recorded arguments must be in range
_CODED, _LEFT_OUT, _NOTE = "coded", "left out", "note"
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
    images: Path,
    saliency: str,
    bpps: Sequence[float],
    out: Path,
    preset: str = "medium",
    assessors: int | None = None,
    seed: int = 0,
) -> OwnStudy:
    """Code all photographs of a folder at every bit-rate, plainly and with the paper's three presets.

    Args:
        images: folder of photographs of any common type and size, read as `paperlib.experiments.coded_picture.code_file`
            reads them; the file's name without suffix becomes the sequence's.
        saliency: folder with a map for every photograph, of the same name or stem, or `CENTER`. Maps of another size are
            resized. Where a map has more than 256 levels it is stored with 16 bits; what is stored steers the encoder.
        bpps: bits per pixel, whole hundredths.
        out: folder for the data set; what an earlier call with the same options wrote is gone on with.
        preset: x264's, one of `PRESETS`.
        assessors: how many the schedule is for; by default as many as give `VOTES_PER_PAIR`.
        seed: of the schedule.

    Raises:
        PaperlibError: unusable options, a photograph without a map, two of one name, or a folder that holds something
            else or cannot be written.
        ComputationError: no photograph could be coded.
    """
    targets = _targets(bpps)
    if preset not in PRESETS:
        raise PaperlibError(f"--preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    pictures = _pictures(images)
    maps = _maps(saliency, pictures)
    _require_apart(images, saliency, out)
    options = {"bpps": [target / 100 for target in targets], "preset": preset, "saliency": _kind(saliency)}
    require_folder(out)
    units = [
        Unit.of(
            "own_study",
            name,
            "paperlib.experiments.own_study:code_photograph",
            places={"image": path, "saliency": maps[name], "out": out},
            cost=float(path.stat().st_size),
            photograph=name,
            targets=targets,
            preset=preset,
        )
        for name, path in pictures.items()
    ]
    with (
        alone(out / _LOCK, f"coding into {out}", "another folder with --out DIR"),
        TemporaryDirectory(prefix="paperlib-own-study-") as store,
    ):
        _claim(out, options)
        results = run(
            units, ResultStore(Path(store)), workers=current().workers, title=f"coding {len(pictures)} photographs"
        )
        return _finished(
            out, options, [row for name in pictures for row in results[name].rows.to_dict("records")], assessors, seed
        )


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


def _finished(
    out: Path, options: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], assessors: int | None, seed: int
) -> OwnStudy:
    """Write log and schedule, from the rows of all photographs."""
    left_out = {row["method"]: row["variant"] for row in rows if row["metric"] == _LEFT_OUT}
    coded = {row["method"]: int(row["value"]) for row in rows if row["metric"] == _CODED}
    notes = [f"{row['method']}: {row['variant']}" for row in rows if row["metric"] == _NOTE]
    targets = [round(100 * bpp) for bpp in options["bpps"]]
    names = tuple(sorted(coded))
    versions = tuple(Version(target, kind) for target in targets for kind, _ in _RULES)
    told = {
        **options,
        "photographs": list(names),
        "versions": [one.test_case for one in versions],
        "left_out": left_out,
        "notes": notes,
    }
    _write_log(out, told)
    if not names:
        raise ComputationError(f"none of the {len(left_out)} photographs could be coded: {_spelled(left_out)}")
    count = assessors or enough_assessors(len(names), len(versions))
    notes += _write_pairs(out / PAIRS, names, versions, count, seed)
    return OwnStudy(out, names, versions, sum(coded.values()), left_out, tuple(notes), out / PAIRS, count, told)


def enough_assessors(images: int, versions: int) -> int:
    """How many assessors give about `VOTES_PER_PAIR` votes on every pair of versions."""
    every = images * versions * (versions - 1) // 2
    return math.ceil(VOTES_PER_PAIR * every / min(_RANDOM_PAIRS, every))


# ------------------------------------------------------------------------------------------------------------ options


def _targets(bpps: Sequence[float]) -> tuple[int, ...]:
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


def _kind(saliency: str) -> str:
    return CENTER if saliency == CENTER else "maps"


def _require_apart(images: Path, saliency: str, out: Path) -> None:
    inputs = {images.resolve()} | ({Path(saliency).resolve()} if saliency != CENTER else set())
    if inputs & {(out / part).resolve() for part in PARTS}:
        raise PaperlibError(f"the results in {out} would replace the inputs; choose another folder with --out DIR")


def _claim(out: Path, options: Mapping[str, Any]) -> None:
    """Take a folder that is new, or hold on to one that an earlier call with the same options took."""
    known = _read_json(out / LOG)
    if known is None or known.get("made_by") != _MAKER:
        there = [part for part in (*PARTS, LOG, PAIRS) if (out / part).exists()]
        if there:
            raise PaperlibError(
                f"{out} holds {listing(there)} that `code` did not write; choose another folder with --out DIR"
            )
        _write_log(out, options)
        return
    other = [name for name, value in options.items() if known.get(name) != value]
    if other:
        was = "; ".join(f"{name} {_words(known.get(name))}, now {_words(options[name])}" for name in other)
        raise PaperlibError(
            f"{out} holds pictures that were coded with other options ({was}); give the same, or another "
            "folder with --out DIR"
        )


def _words(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _write_log(out: Path, told: Mapping[str, Any]) -> None:
    _write(out / LOG, _json({"made_by": _MAKER, **told}))


# ------------------------------------------------------------------------------------------------------ one photograph


class _LeftOut(Exception):
    """A photograph cannot be used; the message is the reason."""


def code_photograph(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of the units of `code_folder`: writes the files of one photograph.

    Rows: the number of pictures coded now, and, as variants, notes; or why the photograph is left out, and then none of
    its files is there.
    """
    row = {"experiment": "own_study", "method": params["photograph"]}
    try:
        fresh, notes = _coded(params)
    except _LeftOut as reason:
        _remove(Path(params["out"]), params["photograph"])
        return Result(rows=[row | {"metric": _LEFT_OUT, "variant": str(reason)}])
    return Result(
        rows=[row | {"metric": _CODED, "value": float(fresh)}, *(row | {"metric": _NOTE, "variant": note} for note in notes)]
    )


def _coded(params: Mapping[str, Any]) -> tuple[int, list[str]]:
    """Write what lacks of one photograph; how many pictures were coded for it, and notes on it."""
    name, out, path = params["photograph"], Path(params["out"]), Path(params["image"])
    try:
        pixels, notes = read_image(path)
        values, source, more = read_saliency(params["saliency"], pixels.shape[:2])
    except PaperlibError as error:
        raise _LeftOut(str(error)) from error
    notes += more
    for unfinished in (out / COMPRESSED / name).glob(".*.part"):
        unfinished.unlink(missing_ok=True)
    levels = _as_stored(values)
    settings = EncoderSettings(params["preset"])
    given = {"image": fingerprint(path, pixels.shape[:2]), "saliency": source}
    fresh = 0
    for target in params["targets"]:
        missed = []
        for kind, rule in _RULES:
            version = Version(target, kind)
            asked = {"bpp": version.bpp, "preset": kind, "rule": rule, "encoder": asdict(settings), "pyav": av.__version__}
            wanted = json.loads(_json({"inputs": given, "asked": asked}))
            file = out / COMPRESSED / name / f"{version.test_case}.png"
            if _is_there(file, wanted):
                continue
            still = _still(pixels, levels if rule else None, version, rule or _PLAIN_RULE, settings)
            fresh += 1
            if not still.reached:
                missed.append((version, still.bpp))
                continue
            _write_version(file, still, wanted, rule or _PLAIN_RULE, notes)
        if missed:
            raise _LeftOut(_out_of_reach(missed))
    _write(out / SALIENCY / f"{name}.png", _png(levels))
    _write(out / REFERENCE / f"{name}.png", _png(pixels))
    return fresh, notes


def _still(
    pixels: NDArray[np.uint8],
    levels: NDArray[Any] | None,
    version: Version,
    rule: tuple[int, int],
    settings: EncoderSettings,
) -> CodedStill:
    try:
        return code_picture(pixels, levels, version.bpp, *rule, settings)
    except ComputationError:
        raise
    except PaperlibError as error:
        raise _LeftOut(str(error)) from error


def _out_of_reach(missed: Sequence[tuple[Version, float]]) -> str:
    """The version that is farthest from its bit-rate."""
    version, nearest = max(missed, key=lambda one: abs(math.log(one[1] / one[0].bpp)))
    return f"{version.bpp:g} bpp cannot be reached with preset {version.preset}: the nearest is {nearest:.4g} bpp"


def _as_stored(values: NDArray[np.floating]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A map as its file will hold it: 8 bits where those are enough, else 16, with the largest value at the top."""
    if 0 <= values.min() and values.max() <= 255 and (values == np.round(values)).all():
        return values.astype(np.uint8)
    shifted = values.astype(np.float64) - min(0.0, float(values.min()))
    top = shifted.max()
    return np.round(65535 * shifted / top).astype(np.uint16) if top > 0 else np.zeros(values.shape, np.uint8)


def _is_there(file: Path, wanted: Mapping[str, Any]) -> bool:
    """Whether a picture is the one that is wanted, whole."""
    told = _read_json(file.with_suffix(".json"))
    if told is None or any(told.get(name) != value for name, value in wanted.items()):
        return False
    try:
        return sha256(file.read_bytes()) == told["sha256"]
    except OSError:
        return False


def _write_version(
    file: Path, still: CodedStill, wanted: Mapping[str, Any], rule: tuple[int, int], notes: Sequence[str]
) -> None:
    """The record comes last: where it is, the picture is whole."""
    content = _png(still.picture)
    told = record(still, *rule)
    told["notes"] = [*notes, *told["notes"]]
    _write(file, content)
    _write(file.with_suffix(".json"), _json({**wanted, "sha256": sha256(content), **told}))


def _remove(out: Path, name: str) -> None:
    """Take away what is there of a photograph that is left out."""
    shutil.rmtree(out / COMPRESSED / name, ignore_errors=True)
    for part in (REFERENCE, SALIENCY):
        (out / part / f"{name}.png").unlink(missing_ok=True)


def _png(pixels: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="png")
    return stream.getvalue()


# -------------------------------------------------------------------------------------------------------------- pairs


def _write_pairs(path: Path, names: Sequence[str], versions: Sequence[Version], assessors: int, seed: int) -> list[str]:
    """Write the schedule, unless votes stand in the one that is there; then a note says so."""
    text = pairs_text(names, versions, assessors, seed)
    known = path.read_text("utf-8-sig") if path.exists() else ""
    if known and known != text and not _is_blank(known):
        return [f"{path} holds votes and stays as it is; move it away, and the same command writes a new schedule"]
    _write(path, text)
    return []


def pairs_text(names: Sequence[str], versions: Sequence[Version], assessors: int, seed: int) -> str:
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
    random_pairs, checks = min(_RANDOM_PAIRS, every), min(_VERIFICATIONS, len(names))
    plan = schedule(assessors, len(names), count, rng, random_pairs, checks, obvious=(count, 0))
    files = [*(f"{version.test_case}.png" for version in versions), ORIGINAL]
    sides, digits = {LEFT: "left", RIGHT: "right"}, len(str(assessors))
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow([*VOTE_COLUMNS, "expected"])
    for place in np.lexsort((rng.random(len(plan.image)), plan.assessor)).tolist():
        assessor = f"{plan.assessor[place] + 1:0{digits}}"
        shown = [files[side[place]] for side in (plan.left, plan.right)]
        table.writerow([names[plan.image[place]], *shown, "", assessor, sides.get(int(plan.expected[place]), "")])
    return stream.getvalue()


def _is_blank(text: str) -> bool:
    """Whether a table is a schedule that nobody answered yet."""
    rows = csv.DictReader(io.StringIO(text))
    return set(VOTE_COLUMNS) <= set(rows.fieldnames or ()) and not any((row["choice"] or "").strip() for row in rows)


# -------------------------------------------------------------------------------------------------------------- files


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _write(path: Path, content: bytes | str) -> None:
    try:
        with atomic_write(path, "wb" if isinstance(content, bytes) else "w") as file:
            file.write(content)
    except OSError as error:
        raise unwritable(path.parent, error) from error


def _spelled(left_out: Mapping[str, str]) -> str:
    return listing(f"{name}: {reason}" for name, reason in left_out.items())
