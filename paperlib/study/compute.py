"""Codes one photograph of a study, and writes its files."""

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from paperlib.coding.still import code_picture
from paperlib.coding.x264 import EncoderSettings
from paperlib.datasets.sacid import COMPRESSED, REFERENCE, SALIENCY, Version
from paperlib.engine.units import Inputs, Result
from paperlib.errors import ComputationError, PaperlibError
from paperlib.study.files import encoded, record_by, sealed, sha256, to_json, write
from paperlib.study.one_picture import fingerprint, read_image, read_map, record
from paperlib.vocabulary import CODEC_PRESETS

CODED, LEFT_OUT, NOTE, DAMAGED = "coded", "left out", "note", "damaged"
"""Metrics of the rows of a photograph."""

MAKER = "python -m paperlib code"
"""Who seals the records of the pictures, and of the folder."""

_UNUSED_RULE = (75, 80)
"""Where there is no saliency: recorded arguments must be in range."""


class _LeftOut(Exception):
    """A photograph cannot be used; the message is the reason."""


def code_photograph(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of the units of `paperlib.study.folder.code_folder`: writes the files of one photograph.

    Rows: the number of pictures coded now, and, as variants, notes and what was found damaged; or why the photograph is
    left out, and then none of its files is there.
    """
    row = {"method": params["photograph"]}
    try:
        fresh, notes, damaged = _coded(params)
    except _LeftOut as reason:
        _remove(Path(params["out"]), params["photograph"])
        return Result(rows=[row | {"metric": LEFT_OUT, "variant": str(reason)}])
    told = [(NOTE, note) for note in notes] + [(DAMAGED, name) for name in damaged]
    return Result(
        rows=[
            row | {"metric": CODED, "value": float(fresh)},
            *(row | {"metric": metric, "variant": text} for metric, text in told),
        ]
    )


def _coded(params: Mapping[str, Any]) -> tuple[int, list[str], list[str]]:
    """Write what lacks of one photograph; how many pictures were coded for it, notes on it, and the damaged files."""
    name, out, path = params["photograph"], Path(params["out"]), Path(params["image"])
    with _or_left_out():
        pixels, notes = read_image(path)
        values, source, more = read_map(params["saliency"], pixels.shape[:2])
    notes += more
    for unfinished in (out / COMPRESSED / name).glob(".*.part"):
        unfinished.unlink(missing_ok=True)
    levels = _as_stored(values)
    settings = EncoderSettings(params["preset"])
    given = {"image": fingerprint(path, pixels.shape[:2]), "saliency": source}
    fresh, damaged = 0, []
    for target in params["targets"]:
        missed: list[tuple[Version, float]] = []
        for kind, rule in CODEC_PRESETS:
            version = Version(target, kind)
            asked = {"bpp": version.bpp, "preset": kind, "rule": rule, "encoder": asdict(settings), "pyav": av.__version__}
            wanted = json.loads(to_json({"inputs": given, "asked": asked}))
            file = out / COMPRESSED / name / f"{version.test_case}.png"
            known = record_by(MAKER, file.with_suffix(".json"))
            if known is None and os.path.lexists(file.with_suffix(".json")):
                damaged.append(f"{file.with_suffix('.json')}")
            elif known is not None and _fits(known, wanted):
                if _content(file) == known["sha256"]:
                    continue
                damaged.append(f"{file}")
            with _or_left_out():
                still = code_picture(pixels, levels if rule else None, version.bpp, *(rule or _UNUSED_RULE), settings)
            fresh += 1
            if not still.reached:
                missed.append((version, still.bpp))
                continue
            told = record(still, *(rule or _UNUSED_RULE))
            told["notes"] = [*notes, *told["notes"]]
            content = encoded(still.picture)
            write(file, content)  # before its record: where that is, the picture is whole
            write(file.with_suffix(".json"), sealed(MAKER, {**wanted, "sha256": sha256(content), **told}))
        if missed:
            version, nearest = max(missed, key=lambda one: abs(math.log(one[1] / one[0].bpp)))
            raise _LeftOut(
                f"{version.bpp:g} bpp cannot be reached with preset {version.preset}: the nearest is {nearest:.4g} bpp"
            )
    write(out / SALIENCY / f"{name}.png", encoded(levels))
    write(out / REFERENCE / f"{name}.png", encoded(pixels))
    return fresh, notes, damaged


@contextmanager
def _or_left_out() -> Iterator[None]:
    """An unusable file or a flat map leaves the photograph out; an encoder that does not follow is an error."""
    try:
        yield
    except ComputationError:
        raise
    except PaperlibError as error:
        raise _LeftOut(str(error)) from error


def _as_stored(values: NDArray[np.floating]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A map as its file will hold it: 8 bits where those are enough, else 16, with the largest value at the top."""
    if 0 <= values.min() and values.max() <= 255 and (values == np.round(values)).all():
        return values.astype(np.uint8)
    shifted = values.astype(np.float64) - min(0.0, float(values.min()))
    top = shifted.max()
    return np.round(65535 * shifted / top).astype(np.uint16) if top > 0 else np.zeros(values.shape, np.uint8)


def _fits(known: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(known.get(name) == value for name, value in wanted.items())


def _content(file: Path) -> str:
    """The fingerprint of a file; empty where it cannot be read."""
    try:
        return sha256(file.read_bytes())
    except OSError:
        return ""


def _remove(out: Path, name: str) -> None:
    shutil.rmtree(out / COMPRESSED / name, ignore_errors=True)
    for part in (REFERENCE, SALIENCY):
        (out / part / f"{name}.png").unlink(missing_ok=True)
