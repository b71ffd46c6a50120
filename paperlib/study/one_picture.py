"""A user's own picture, coded with saliency: files in, the coded picture, its bit-stream and a record of it out."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from paperlib.coding.still import TOLERANCE, CodedStill, code_picture, predicted_share
from paperlib.coding.x264 import PRESETS, EncoderSettings
from paperlib.datasets.files import UnusableFile, has_rotation, no_larger, read_grey, read_rgb, spell_size
from paperlib.datasets.photographs import centre_bias
from paperlib.errors import PaperlibError
from paperlib.study.files import OTHER_FOLDER, encoded, require_folder, sha256, to_json, write

CENTER = "center"
"""Word instead of a file of saliency: a Gaussian in the middle, a quarter of each side wide."""

SUFFIXES = ("_coded.png", "_coded.264", "_coded.json")


@dataclass(frozen=True, eq=False)
class CodedFiles:
    """What was written: decoded picture, bit-stream, record (as `record` says)."""

    record: dict[str, Any]
    picture: Path
    stream: Path
    json: Path


def code_file(
    image: Path,
    saliency: str | None,
    bpp: float,
    s0: float = 75.0,
    share: float = 80.0,
    preset: str = "medium",
    out: Path = Path(),
) -> CodedFiles:
    """Code a picture from a file and write `<name>_coded.png`, `.264` and `.json`; the same call writes the same bytes.

    Args:
        image: a picture of any common type and size; grey is spread over the channels, CMYK converted, transparency
            dropped, 16 bits become 8, an EXIF rotation is ignored with a note.
        saliency: file of a saliency map, `CENTER`, or None for plain coding. A map of another size is resized.
        bpp: bits per pixel, > 0.
        s0, share: the rule, see `code_picture`.
        preset: x264's, one of `PRESETS`.
        out: folder for the files.

    Raises:
        PaperlibError: an unusable file or option, a flat map, a bit-rate out of reach, or a folder that cannot be
            written.
    """
    for name, value, high in (("bpp", bpp, np.inf), ("s0", s0, 100), ("share", share, 100)):
        if not 0 < value < high:
            upper = f" and below {high}" if high < np.inf else ""
            raise PaperlibError(f"--{name} must lie above 0{upper}, got {value:g}")
    settings, files = encoder(preset), [out / f"{image.stem}{suffix}" for suffix in SUFFIXES]
    require_apart(image, saliency, files)
    require_folder(out)
    pixels, notes = read_image(image)
    values, source, more = read_map(saliency, pixels.shape[:2]) if saliency is not None else (None, None, [])
    still = code_picture(pixels, values, bpp, s0, share, settings)
    if not still.reached:
        raise PaperlibError(_out_of_reach(still, share))
    told = record(still, s0, share)
    told["inputs"] = {"image": fingerprint(image, pixels.shape[:2]), "saliency": source}
    told["notes"] = [*notes, *more, *told["notes"]]
    told["files"] = {
        "picture": {"name": files[0].name, "pixels_sha256": sha256(still.picture.tobytes())},
        "stream": {"name": files[1].name, "bytes": len(still.stream), "sha256": sha256(still.stream)},
    }
    contents: tuple[bytes | str, ...] = (encoded(still.picture), still.stream, to_json(told))
    for file, content in zip(files, contents, strict=True):
        write(file, content)  # the record comes last: where it is, the others are whole
    return CodedFiles(told, *files)


def encoder(preset: str) -> EncoderSettings:
    """The encoder's settings with a preset of x264's. Raises PaperlibError for one that is not in `PRESETS`."""
    if preset not in PRESETS:
        raise PaperlibError(f"--preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    return EncoderSettings(preset)


def require_apart(image: Path, saliency: str | None, results: Sequence[Path]) -> None:
    """Raises PaperlibError where one of `results`, which lie in one folder, would replace what was given."""
    given = {image.resolve()} | ({Path(saliency).resolve()} if saliency not in (None, CENTER) else set())
    if given & {path.resolve() for path in results}:
        raise PaperlibError(f"the results in {results[0].parent} would replace an input; {OTHER_FOLDER}")


def record(still: CodedStill, s0: float, share: float) -> dict[str, Any]:
    """What a coded picture asked for and got, as plain values for JSON.

    `share` counts predicted bits (2.24^(-QP/6) per macroblock, see `paperlib.coding.x264`), as the lab's rule does:
    `plain` without saliency, `achieved` by the QPs asked of x264, `read_back` by the QPs found in the stream.
    `qp.within_one` is a share of all macroblocks; those without coefficients transmit no QP and show their
    predecessor's (`qp.transmit_none_or_within_one` leaves them out of the blame), and
    `qp.within_one_of_transmitted` is about those alone that transmit one for certain (null if there are none).
    """
    sure = still.transmitted
    notes: list[str] = []
    height, width = still.picture.shape[:2]
    told: dict[str, Any] = {
        "bpp": {"asked": still.asked_bpp, "achieved": still.bpp, "reached": still.reached, "tolerance": TOLERANCE},
        "crf": still.crf,
        "encodes": still.encodes,
        "share": None,
        "qp": {
            "lowest": int(still.qp.min()),
            "highest": int(still.qp.max()),
            "asked_lowest": int(still.asked_qp.min()),
            "asked_highest": int(still.asked_qp.max()),
            "macroblocks": still.qp.size,
            "within_one": float(still.close.mean()),
            "transmit_none_or_within_one": float((still.close | ~sure).mean()),
            "within_one_of_transmitted": float(still.close[sure].mean()) if sure.any() else None,
        },
        "size": {"height": height, "width": width, "padded_below": still.padding[0], "padded_right": still.padding[1]},
        "encoder": {**asdict(still.settings), "library": still.encoder, "pyav": av.__version__},
        "notes": notes,
    }
    if any(still.padding):
        coded = spell_size((height + still.padding[0], width + still.padding[1]))
        notes.append(f"the stream holds {coded} pixels, whole macroblocks with repeated edges; the picture is cropped back")
    if still.allocation is not None and still.part is not None:
        achieved = predicted_share(still.asked_qp, still.part)
        told["share"] = {
            "asked": share / 100,
            "plain": predicted_share(still.plain_qp, still.part),
            "achieved": achieved,
            "read_back": predicted_share(still.qp, still.part),
            "reached": still.allocation.reached,
            "s0_percent": s0,
            "salient_macroblocks": int((still.part > 0).sum()),
        }
        if not still.allocation.reached:
            notes.append(
                f"the salient part gets {100 * achieved:.3g} % of the predicted bits instead of {share:g} %: QPs are "
                "whole numbers from 0 to 51, and at this bit-rate they come no nearer"
            )
    return told


def _out_of_reach(still: CodedStill, share: float) -> str:
    nearest, ways = f"{still.bpp:.4g}", [f"ask for --bpp {still.bpp:.4g}"]
    rule = "" if still.allocation is None else f" with {share:g} % of the bits in the salient part"
    if still.bpp > still.asked_bpp:
        ways += ["a milder --share"] * (still.allocation is not None) + ["a larger picture"]
    return (
        f"{still.asked_bpp:g} bpp cannot be reached{rule}: the nearest is {nearest} bpp (CRF {still.crf:g}); "
        f"{' or '.join(ways)}"
    )


def read_image(path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """A picture as (h, w, 3) uint8 RGB, and notes.

    Raises:
        PaperlibError: it cannot be used.
    """
    try:
        pixels, rotated = read_rgb(path), has_rotation(path)
    except UnusableFile as error:
        raise PaperlibError(f"the picture {path} cannot be used: {error.reason}; give another file") from error
    return pixels, ["the picture carries an EXIF rotation, which is ignored: it is taken as stored"] * rotated


def read_map(saliency: str, size: tuple[int, ...]) -> tuple[NDArray[np.floating], dict[str, Any] | str, list[str]]:
    """The map of a file, or of `CENTER`, (h, w) like the picture; what it was; and notes.

    Raises:
        PaperlibError: it cannot be used.
    """
    if saliency == CENTER:
        return centre_bias(*size), CENTER, []
    path = Path(saliency)
    try:
        values = read_grey(path)
    except UnusableFile as error:
        raise PaperlibError(f"the saliency map {path} cannot be used: {error.reason}; give another file") from error
    source = fingerprint(path, values.shape)
    if values.shape == tuple(size):
        return values, source, []
    resized = Image.fromarray(no_larger(values, size)).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    note = f"the saliency map was resized from {spell_size(values.shape)} to {spell_size(size)}"
    return np.asarray(resized), source, [note]


def fingerprint(path: Path, size: tuple[int, ...]) -> dict[str, Any]:
    """What an input was, for a record."""
    return {"name": path.name, "height": size[0], "width": size[1], "sha256": sha256(path.read_bytes())}
