"""The user's own pictures with opinions: a folder of pictures and one table of mean opinion scores.

    images/1011.jpg            any sizes, any common type
    mos.csv                    a header, then one picture per line; needed columns: image, mos; optional: split

Higher MOS must mean better quality. `split` is training, validation or test.
"""

from pathlib import Path

from paperlib.datasets.files import existing_folder, has_rotation, listing
from paperlib.datasets.opinions import Opinion, OpinionSet, place_pictures, split_named
from paperlib.datasets.own import once_per_content, own_pictures, unread
from paperlib.datasets.pictures import SCALE
from paperlib.datasets.tables import finite, read_header, read_table
from paperlib.errors import PaperlibError

TABLE = "mos.csv"
COLUMNS = ("image", "mos")
SCALES = ((0.0, 1.0), (1.0, 5.0), (0.0, 10.0), SCALE)
"""Scales that are recognised, the first that holds all values. Others, such as z-scores, are their own: nothing here hangs
on the ends of a scale, only on order and distances."""


@once_per_content
def open_own_opinions(root: str | Path, partial: bool = False) -> OpinionSet:
    """Open a folder with `images/` and `mos.csv`. The table is read whole; of pictures only the headers.

    Scores lie on the first of `SCALES` that holds all of them, else from the least to the largest; this becomes 0 to 100,
    and a note says so.

    Args:
        root: the folder.
        partial: leave pictures out that are in the table alone, with a note, instead of refusing them.

    Raises:
        PaperlibError: no pictures, no table, mistakes in the table, pictures that are named twice, missing or
            unreadable, or scores that are all equal.
    """
    home = existing_folder(root, "own data")
    own_pictures(home)
    raw = read_opinions(home / TABLE)
    low, high = _scale_of([opinion.mos for opinion in raw])
    scaled = [Opinion(one.name, SCALE[1] * (one.mos - low) / (high - low), one.split) for one in raw]
    advice = f"complete images/ and {TABLE}"
    records, left_out = place_pictures(scaled, home / "images", "own data", advice, partial=partial)
    scale = "" if (low, high) in SCALES else "no usual scale, "
    notes: tuple[str, ...] = (f"{scale}MOS: {low:g}..{high:g} became 0..100, as the values suggest; more must mean better",)
    rotated = [record.key for record in records if has_rotation(record.path)]
    if rotated:
        notes += (f"{len(rotated)} pictures carry an EXIF rotation, which is ignored: {listing(rotated)}",)
    return OpinionSet("own", records, (*notes, *left_out, *unread(home)))


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


def _scale_of(mos: list[float]) -> tuple[float, float]:
    low, high = min(mos), max(mos)
    for scale in SCALES:
        if scale[0] <= low and high <= scale[1]:
            return scale
    return low, high
