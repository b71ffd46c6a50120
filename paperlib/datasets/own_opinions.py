"""The user's own pictures with opinions: a folder of pictures and one table of mean opinion scores.

    images/1011.jpg            any sizes, any common type
    mos.csv                    a header, then one picture per line; needed columns: image, mos; optional: split

Higher MOS must mean better quality. `split` is training, validation or test.
"""

import math
from collections.abc import Sequence
from pathlib import Path

from paperlib.datasets.files import existing_folder, has_rotation, listing
from paperlib.datasets.opinions import SCALE, Opinion, OpinionSet, place_pictures, split_named
from paperlib.datasets.own import own_pictures
from paperlib.datasets.tables import finite, read_header, read_table
from paperlib.errors import PaperlibError

TABLE = "mos.csv"
COLUMNS = ("image", "mos")
SCALES = ((0.0, 1.0), (1.0, 5.0), (0.0, 10.0), (0.0, 100.0))
"""Scales that are recognised, the first that holds all values."""

_ADVICE = f"complete images/ and {TABLE}"


def open_own_opinions(root: str | Path, mos_range: tuple[float, float] | None = None, partial: bool = False) -> OpinionSet:
    """Open a folder with `images/` and `mos.csv`. The table is read whole; of pictures only the headers.

    Args:
        root: the folder.
        mos_range: worst and best possible score, which become 0 and 100; None takes the first of `SCALES` that holds
            all values, and a note says which.
        partial: leave pictures out that are in the table alone, with a note, instead of refusing them.

    Raises:
        PaperlibError: no pictures, no table, mistakes in the table, pictures that are named twice, missing or
            unreadable, or scores that are all equal or outside `mos_range`.
    """
    home = existing_folder(root, "own data")
    own_pictures(home)
    raw = read_opinions(home / TABLE)
    low, high = _range([opinion.mos for opinion in raw], mos_range)
    scaled = [Opinion(one.name, SCALE[1] * (one.mos - low) / (high - low), one.split) for one in raw]
    records, left_out = place_pictures(scaled, home / "images", "own data", _ADVICE, partial=partial)
    notes = (f"MOS: {low:g}..{high:g} became 0..100{'' if mos_range else ', as the values suggest'}",)
    rotated = [record.key for record in records if has_rotation(record.path)]
    if rotated:
        notes += (f"{len(rotated)} pictures carry an EXIF rotation, which is ignored: {listing(rotated)}",)
    return OpinionSet("own", records, (low, high), "own", notes + left_out)


def read_opinions(path: Path) -> list[Opinion]:
    """Read `mos.csv`: as `paperlib.datasets.tables.read_table` says, with the columns `COLUMNS` and maybe `split`.

    Returns:
        One opinion per line, `mos` on the table's own scale.

    Raises:
        PaperlibError: no such file, empty, another separator or encoding, a missing column, lines without an image,
            a number or a known split, or scores that are all equal.
    """
    split = ("split",) if "split" in read_header(path, COLUMNS, "opinions") else ()
    advice = "mos must be a number such as 63.5, every line must name its image" + (" and split" if split else "")
    opinions = read_table(path, (*COLUMNS, *split), _opinion, "opinions", advice)
    if len({opinion.mos for opinion in opinions}) == 1:
        raise PaperlibError(
            f"all {len(opinions)} MOS in {path} are {opinions[0].mos:g}; expected at least two pictures of different "
            "quality, because nothing correlates with a constant"
        )
    return opinions


def _opinion(image: str, mos: str, split: str | None = None) -> Opinion:
    if not image:
        raise ValueError("no image")
    return Opinion(image, finite(mos, "mos"), "" if split is None else split_named(split))


def _range(mos: Sequence[float], given: tuple[float, float] | None) -> tuple[float, float]:
    if given is not None and not (math.isfinite(given[0]) and given[0] < given[1] < math.inf):
        raise PaperlibError(f"mos_range must be the worst and the best possible score, got {given[0]:g}, {given[1]:g}")
    low, high = min(mos), max(mos)
    for scale in (given,) if given else SCALES:
        if scale[0] <= low and high <= scale[1]:
            return scale
    expected = f"{given[0]:g}..{given[1]:g}" if given else ", ".join(f"{one[0]:g}..{one[1]:g}" for one in SCALES)
    advice = (
        "give the worst and the best possible score as mos_range"
        if given
        else "scale the column mos to 0..100, from the worst to the best possible score"
    )
    raise PaperlibError(f"the MOS in {TABLE} lie on {low:g}..{high:g}, expected {expected}; {advice}")
