"""KonIQ-10k: 10,073 photographs of Flickr with opinions of a crowd (Hosu, Lin, Sziranyi & Saupe, IEEE TIP 2020).

    512x384/10004473376.jpg                   or 1024x768/, or both; names are Flickr's numbers
    koniq10k_distributions_sets.csv           image_name, c1..c5 (shares of votes), c_total, MOS on 0..100, SD, set

`set` is the official split: training 7,058, validation 1,000, test 2,015. Two other tables are understood:
`meta_info_KonIQ10kDataset.csv` of pyiqa (img_name, mos, std, split or official_split; the same MOS and split), and
`koniq10k_scores_and_distributions.csv` of the data set's site, which has no split and two scales: its `MOS` is the mean
of the votes on 1..5, and `MOS_zscore` (1..100) is what is read here. **The two scales are often mixed up**; the mean of
the votes gives a slightly different order of the pictures (correlation .995), so SROCC changes as well. Tables are told
apart by their columns, and each MOS is compared with its votes.

Pictures: http://database.mmsp-kn.de/koniq-10k-database.html; split: github.com/subpic/koniq, folder metadata.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import existing_folder, list_files, list_folders, listing, packed_hint
from paperlib.datasets.opinions import Opinion, OpinionSet, Published, compare_with_published, place_pictures, split_named
from paperlib.datasets.pictures import SCALE
from paperlib.datasets.tables import finite, read_header, read_table
from paperlib.errors import PaperlibError

SIZES: dict[str, tuple[int, int]] = {"512x384": (384, 512), "1024x768": (768, 1024)}
PUBLISHED = Published(
    pictures=10_073,
    low=3.91176,
    high=88.38889,
    mean=58.72962,
    sd=15.43167,
    split=("6ba0e791a55eb413", {"training": 7_058, "validation": 1_000, "test": 2_015}),
)
"""Of koniq10k_distributions_sets.csv (subpic/koniq 1c27157)."""
OFFICIAL_TABLE = "koniq10k_distributions_sets.csv"
SCORES_TABLE = "koniq10k_scores_and_distributions.csv"
PYIQA_TABLE = "meta_info_KonIQ10kDataset.csv"

_TABLES = (OFFICIAL_TABLE, PYIQA_TABLE, SCORES_TABLE)
_TABLE_FOLDERS = ("", "metadata", "meta_info", "koniq10k_scores_and_distributions")
_VOTES = ("c1", "c2", "c3", "c4", "c5")
_VOTE_SCALE = 5.0
_SAME = 1.0
"""Real MOS are at least 2.8 away from the mean of their votes."""
_FROM_VOTES = (-10.0, 20.0)
"""Bounds of MOS - 25 (mean vote - 1); the real ones are -1.7 to 12.0."""
_FEW = 0.01
"""Share of real MOS below 5 is .0005."""
_ADVICE = (
    f"restore pictures and {OFFICIAL_TABLE} from http://database.mmsp-kn.de/koniq-10k-database.html and "
    "github.com/subpic/koniq"
)


class _Columns(NamedTuple):
    """Where a table of an edition keeps what; `split` is None where it has none."""

    edition: str
    image: str
    mos: str
    split: str | None


_EDITIONS = (
    _Columns("scores", "image_name", "mos_zscore", None),
    _Columns("official", "image_name", "mos", "set"),
    _Columns("pyiqa", "img_name", "mos", "split"),
    _Columns("pyiqa", "img_name", "mos", "official_split"),
)


class _Line(NamedTuple):
    """An opinion, and the mean of its votes on 1..5, NaN where the table has no votes."""

    opinion: Opinion
    mean_vote: float


def open_koniq(root: str | Path, partial: bool = False) -> OpinionSet:
    """Open KonIQ-10k. The table is read whole; of pictures only the headers.

    Args:
        root: the folder that holds `512x384` or `1024x768`; the folder above or one of these two is understood. Where
            both are there, 512x384, the paper's, is taken. The table is the official one, pyiqa's or the site's, in
            `root`, beside it, or in folders called metadata or meta_info.
        partial: take what is there of the 10,073 pictures, with a note, instead of refusing a part.

    Raises:
        PaperlibError: no pictures or table; pictures missing, misnamed, unreadable or of another size; a table that is
            cut, on the scale 1..5, of mixed scales, or with another split than the official one.
    """
    base = existing_folder(root, "KonIQ-10k")
    home, layout = _pictures(base)
    source = _table(base, home)
    edition, opinions = read_koniq_table(source)
    records, left_out = place_pictures(opinions, home / layout, "KonIQ-10k", _ADVICE, SIZES[layout], partial)
    notes = compare_with_published(opinions, PUBLISHED, source, "KonIQ-10k", partial)
    if all(_has_pictures(home, name) for name in SIZES):
        notes += (f"both sizes are there, {layout} is used",)
    if edition == "scores":
        notes += (f"{source.name} has no split; {OFFICIAL_TABLE} has the official one",)
    return OpinionSet("koniq10k", records, notes + left_out)


# ---- the folder -----------------------------------------------------------------------------------------------------
def _pictures(root: Path) -> tuple[Path, str]:
    """The folder above the pictures, and the name of theirs."""
    is_layout = root.name in SIZES
    candidates = [root, *list_folders(root), *([root.parent] if is_layout else [])]
    wanted = [root.name] if is_layout else list(SIZES)
    for layout in wanted:
        for folder in candidates:
            if _has_pictures(folder, layout):
                return folder, layout
    raise PaperlibError(
        f"KonIQ-10k in {root}: no pictures in {' or '.join(f'{layout}/*.jpg' for layout in wanted)}{packed_hint(root)}; "
        f"unpack koniq10k_{wanted[0]}.zip from http://database.mmsp-kn.de/koniq-10k-database.html there"
    )


def _has_pictures(folder: Path, layout: str) -> bool:
    return bool(list_files(folder / layout, (".jpg", ".jpeg")))


def _table(root: Path, home: Path) -> Path:
    places = [folder / name for folder in (home, root, home.parent) for name in _TABLE_FOLDERS]
    for name in _TABLES:
        for place in places:
            if (place / name).is_file():
                return place / name
    raise PaperlibError(
        f"KonIQ-10k in {home} lacks its table {OFFICIAL_TABLE}{packed_hint(home)}; put it beside the pictures' folder "
        "(github.com/subpic/koniq, folder metadata)"
    )


# ---- the table ------------------------------------------------------------------------------------------------------
def read_koniq_table(path: Path) -> tuple[str, list[Opinion]]:
    """Read one of the three tables, told apart by their columns.

    Returns:
        "official", "pyiqa" or "scores", and the opinions in the order of the file, with MOS on 0..100.

    Raises:
        PaperlibError: not one of the three; lines that cannot be used; MOS on another scale, or on mixed scales.
    """
    header = read_header(path, ("image_name", "mos", "set"), "opinions")
    columns = _columns(path, header)
    has_votes = set(_VOTES) <= set(header)
    names = [columns.image, columns.mos, *([columns.split] if columns.split else []), *(_VOTES if has_votes else ())]
    lines = read_table(path, names, _parser(columns), "opinions", "restore the table, it may be cut")
    opinions = [line.opinion for line in lines]
    _check_scale(path, columns, opinions, np.array([line.mean_vote for line in lines]))
    return columns.edition, opinions


def _columns(path: Path, header: list[str]) -> _Columns:
    for columns in _EDITIONS:
        if {columns.image, columns.mos, columns.split or columns.mos} <= set(header):
            return columns
    if {"image_name", "mos"} <= set(header):
        raise PaperlibError(
            f"{path} has neither the column 'set' (official split, MOS on 0..100) nor 'MOS_zscore' (1..100), so the "
            f"scale of its MOS is not known; give {OFFICIAL_TABLE}"
        )
    raise PaperlibError(
        f"{path} is no table of KonIQ-10k: its columns are {', '.join(header)!r}; expected image_name, MOS, set "
        f"({OFFICIAL_TABLE})"
    )


def _parser(columns: _Columns) -> Callable[..., _Line]:
    def parse(image: str, mos: str, *rest: str) -> _Line:
        if not image:
            raise ValueError("no image")
        split = split_named(rest[0]) if columns.split else ""
        votes = rest[1:] if columns.split else rest
        return _Line(Opinion(image, finite(mos, columns.mos), split), _mean_vote(votes))

    return parse


def _mean_vote(votes: tuple[str, ...]) -> float:
    """Mean on 1..5 of shares or numbers of votes."""
    if not votes:
        return float("nan")
    counts = np.array([finite(vote, name) for vote, name in zip(votes, _VOTES, strict=True)])
    if counts.min() < 0 or counts.sum() <= 0:
        raise ValueError(f"votes {', '.join(votes)}, expected numbers >= 0 and not all zero")
    return float(counts @ np.arange(1, 6) / counts.sum())


def _check_scale(path: Path, columns: _Columns, opinions: list[Opinion], means: NDArray[np.float64]) -> None:
    mos = np.array([opinion.mos for opinion in opinions])
    low, high = float(mos.min()), float(mos.max())
    if high <= _VOTE_SCALE:
        raise PaperlibError(
            f"the column {columns.mos} of {path} lies on {low:.2f}..{high:.2f}, so it is "
            f"{'the mean of votes on 1..5' if low >= 1 else 'a scaled MOS'}, expected the MOS on 0..100; give "
            f"{OFFICIAL_TABLE}, or {SCORES_TABLE} with its column MOS_zscore"
        )
    outside = [opinion.name for opinion in opinions if not SCALE[0] <= opinion.mos <= SCALE[1]]
    if outside:
        raise PaperlibError(
            f"{len(outside)} of {len(mos)} MOS in {path} lie outside 0..100: {listing(outside)}; give {OFFICIAL_TABLE}"
        )
    if np.isfinite(means).all():
        away = mos - 25 * (means - 1)
        is_mean = abs(mos - means) < _SAME
        wrong = is_mean | (away < _FROM_VOTES[0]) | (away > _FROM_VOTES[1])
    else:
        is_mean = mos <= _VOTE_SCALE
        wrong = is_mean & (is_mean.mean() > _FEW)
    if wrong.any():
        names = listing(opinions[index].name for index in np.flatnonzero(wrong))
        mixed = "lie on 1..5 and the others on 0..100: the table mixes its two scales"
        why = mixed if is_mean[wrong].all() else "do not fit the votes c1..c5 of their line"
        raise PaperlibError(f"{wrong.sum()} of {len(mos)} MOS in {path} {why}: {names}; give {OFFICIAL_TABLE}")
