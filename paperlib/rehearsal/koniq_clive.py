"""Stand-ins for KonIQ-10k and CLIVE; `paperlib.rehearsal.scenes` says what stand-ins are for.

Pictures are scenes of the micro-world with texture, damaged by blur, JPEG, noise or lost contrast. The votes of a crowd
follow the level of the damage, so that MOS fall as damage grows; nobody was asked.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from paperlib.datasets import clive, koniq
from paperlib.datasets.microworld import FAMILIES, LOCAL_FAMILIES, NOISE_SD, REFERENCE_HEIGHT
from paperlib.datasets.opinions import SPLITS
from paperlib.rehearsal.scenes import Scenes, Thunk, bmp_bytes, csv_bytes, jpeg_bytes, mat_bytes, write_tree

CLIVE_SIZE = (500, 500)

_JPEG = 95
_RATERS = (93, 158)
_VOTE_SD = 0.55
_BEST, _WORST = 4.3, 1.3
_SHARES = {"test": 0.2, "validation": 0.1}
_BMP_SHARE = 535 / 1162


def write_koniq(root: str | Path, n: int, seed: int, layouts: Sequence[str] = ("512x384",)) -> Path:
    """Write a stand-in KonIQ-10k of `n` pictures with both of its tables, and return its folder.

    About 70 / 10 / 20 % of the pictures are for training, validation and test, at least one each. As in the real data,
    pictures of 512x384 are those of 1024x768 made smaller.

    Raises:
        ValueError: `n` below 3, a negative seed, an unknown layout or none.
        PaperlibError: `root` holds something else.
    """
    if n < len(SPLITS) or not layouts or not set(layouts) <= set(koniq.SIZES):
        raise ValueError(
            f"expected at least {len(SPLITS)} pictures in layouts of {', '.join(koniq.SIZES)}, got {n} in {layouts}"
        )
    scenes = Scenes("koniq10k", n, seed, [koniq.SIZES["1024x768"]] * n)
    rng = np.random.default_rng([seed, 11])
    names = sorted(f"{number}.jpg" for number in _distinct(rng, n, 10**8, 4 * 10**10))
    large = lru_cache(maxsize=1)(lambda index: damaged(scenes, index))

    def picture(index: int, size: tuple[int, int]) -> bytes:
        return jpeg_bytes(_resized(large(index), size), _JPEG)

    files: dict[str, Thunk] = {
        f"{layout}/{name}": partial(picture, index, koniq.SIZES[layout])
        for index, name in enumerate(names)
        for layout in layouts
    }
    votes, splits = [votes_on(scenes, index) for index in range(n)], drawn_split(rng, n)
    files[koniq.OFFICIAL_TABLE] = lambda: _official_table(names, votes, splits)
    files[koniq.SCORES_TABLE] = lambda: _scores_table(names, votes)
    settings = {"set": "koniq10k", "n": n, "seed": seed, "layouts": list(layouts)}
    return write_tree(Path(root), settings, files)


def write_clive(root: str | Path, n: int, seed: int) -> Path:
    """Write `root/ChallengeDB_release` of a stand-in CLIVE with `n` pictures and the 7 for practice, return `root`.

    A part of the pictures is .bmp, the rest .JPG; numbers have gaps; the rows are in no order of names.

    Raises:
        ValueError: `n` below 2, a negative seed.
        PaperlibError: `root` holds something else.
    """
    if n < 2:
        raise ValueError(f"expected at least 2 pictures, got {n}")
    rows = clive.PRACTICE + n
    scenes = Scenes("clive", rows, seed, [CLIVE_SIZE] * rows)
    rng = np.random.default_rng([seed, 12])
    numbers = _distinct(rng, n, 1, 2 * n + 3)
    bmps = np.arange(n) < max(1, min(n - 1, round(_BMP_SHARE * n)))
    tested = [f"{number}.{'bmp' if is_bmp else 'JPG'}" for number, is_bmp in zip(numbers, bmps, strict=True)]
    names = [f"t{number + 1}.bmp" for number in range(clive.PRACTICE)] + tested

    def picture(index: int, name: str) -> bytes:
        pixels = damaged(scenes, index)
        return bmp_bytes(pixels) if name.endswith(".bmp") else jpeg_bytes(pixels, _JPEG)

    files: dict[str, Thunk] = {}
    for index, name in enumerate(names):
        folder = f"{clive.IMAGES}/{clive.PRACTICE_IMAGES}" if index < clive.PRACTICE else clive.IMAGES
        files[f"ChallengeDB_release/{folder}/{name}"] = partial(picture, index, name)
    votes = [votes_on(scenes, index) for index in range(rows)]
    cell = np.empty((rows, 1), object)
    cell[:, 0] = names
    variables = {
        clive.NAMES: cell,
        clive.MOS: np.array([[mos_of(one) for one in votes]]),
        clive.SD: np.array([[25 * _spread(one) for one in votes]]),
    }
    for name, value in variables.items():
        files[f"ChallengeDB_release/{clive.DATA}/{name}.mat"] = partial(mat_bytes, {name: value})
    return write_tree(Path(root), {"set": "clive", "n": n, "seed": seed}, files)


# ---- pictures -------------------------------------------------------------------------------------------------------
def _level(scenes: Scenes, index: int) -> float:
    """Level of the damage: spread evenly over the pictures, in random order, from 0 to 1."""
    order = np.random.default_rng([scenes.seed, 14, scenes.n]).permutation(scenes.n)
    return float(order[index] / max(1, scenes.n - 1))


def damaged(scenes: Scenes, index: int) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB."""
    image, level = scenes.picture(index).astype(np.float32) / 255, _level(scenes, index)
    family = FAMILIES[index % len(FAMILIES)]
    if family == "noise":
        rng = scenes.rng(index, 4)
        image = image + rng.standard_normal(image.shape, np.float32) * np.float32(NOISE_SD * level)
    else:
        image = LOCAL_FAMILIES[family](image, level, image.shape[0] / REFERENCE_HEIGHT)
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    return image if image.shape[:2] == size else cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA).astype(np.uint8)


# ---- opinions -------------------------------------------------------------------------------------------------------
def votes_on(scenes: Scenes, index: int, raters: int | None = None) -> NDArray[np.int64]:
    """(5,) numbers of votes on 1..5."""
    rng = scenes.rng(index, 5)
    count = int(rng.integers(*_RATERS)) if raters is None else raters
    centre = _BEST + (_WORST - _BEST) * _level(scenes, index) + rng.normal(0, 0.15)
    marks = np.clip(np.rint(rng.normal(centre, _VOTE_SD, count)), 1, 5).astype(np.int64)
    return np.bincount(marks, minlength=6)[1:]


def _mean(votes: NDArray[np.int64]) -> float:
    return float(votes @ np.arange(1, 6) / votes.sum())


def _spread(votes: NDArray[np.int64]) -> float:
    return float(np.sqrt(votes @ (np.arange(1, 6) - _mean(votes)) ** 2 / (votes.sum() - 1)))


def mos_of(votes: NDArray[np.int64]) -> float:
    """0..100; a little above the mean of the votes on that scale, as in KonIQ-10k."""
    return 25 * (_mean(votes) - 1) + 4


def drawn_split(rng: np.random.Generator, n: int) -> list[str]:
    counts = {split: max(1, round(share * n)) for split, share in _SHARES.items()}
    splits = [split for split, count in counts.items() for _ in range(count)]
    splits += ["training"] * (n - len(splits))
    return [splits[index] for index in rng.permutation(n)]


def _distinct(rng: np.random.Generator, n: int, low: int, high: int) -> list[int]:
    """`n` different numbers from `low` to `high` - 1, in random order."""
    numbers: dict[int, None] = {}
    while len(numbers) < n:
        numbers[int(rng.integers(low, high))] = None
    return list(numbers)


# ---- tables ---------------------------------------------------------------------------------------------------------
def _official_table(names: list[str], votes: list[NDArray[np.int64]], splits: list[str]) -> bytes:
    """As the official file writes it: shares and scores with 12 digits, no quotes, lines that end in \\n."""
    lines = [
        (name, *map(_digits, one / one.sum()), one.sum(), _digits(mos_of(one)), _digits(_spread(one)), split)
        for name, one, split in zip(names, votes, splits, strict=True)
    ]
    return csv_bytes(("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "set"), lines)


def _scores_table(names: list[str], votes: list[NDArray[np.int64]]) -> bytes:
    lines = [
        (name, *one, one.sum(), _digits(_mean(one)), _digits(_spread(one)), _digits(mos_of(one)))
        for name, one in zip(names, votes, strict=True)
    ]
    return csv_bytes(("image_name", "c1", "c2", "c3", "c4", "c5", "c_total", "MOS", "SD", "MOS_zscore"), lines)


def _digits(value: float) -> str:
    text = f"{value:.12g}"
    return text if "." in text or "e" in text else f"{text}.0"
