"""Stand-ins for the eye-tracking data sets SALICON and CAT2000; `paperlib.rehearsal.scenes` says what stand-ins are for."""

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets import cat2000, salicon
from paperlib.datasets.gaze import blur, fixation_map
from paperlib.datasets.photographs import spectral_residual
from paperlib.rehearsal.scenes import Scenes, Thunk, in_8_bits, jpeg_bytes, mat_bytes, png_bytes, write_tree

OBSERVERS = 55
OBSERVERS_WITHOUT_FIXATIONS = 0.05
OUTSIDE = 0.004
SAMPLES_PER_FIXATION = 8
SALICON_SIGMA = 19
CAT2000_OBSERVERS = 18
CAT2000_SIGMA = 40
CAT2000_FIXATIONS = 18
"""Of each observer."""
BAR_GREY = 126


def write_salicon(
    root: str | Path, n: int, seed: int, edition: salicon.Edition = "2017", split: salicon.Split = "val"
) -> Path:
    """Write `n` pictures of one split of a stand-in SALICON: images, fixations and maps, and return its folder.

    As in the real files, gaze is a struct array with `location`, `timestamp` and `fixations`, (x, y) from 1 on; some
    observers have no fixation; in edition 2017 some points lie in column 641. The mean number of fixations per picture
    is the edition's own.

    Raises:
        ValueError: `n` below 1, a negative seed, an unknown edition or split.
        PaperlibError: `root` holds something else.
    """
    if split not in salicon.TOTALS or edition not in salicon.TOTALS[split]:
        raise ValueError(f"there is no edition {edition!r} of split {split!r}; choose 2015 or 2017, train or val")
    scenes = Scenes("salicon", n, seed, [salicon.SIZE] * n)
    numbers = np.sort(np.random.default_rng([seed, 7]).choice(581_929, n, replace=False) + 1)
    per_picture = salicon.TOTALS[split][edition] / salicon.PICTURES[split]
    looks = lru_cache(maxsize=1)(lambda index: _observers(scenes, index, per_picture, outside=edition == "2017"))

    def image(index: int) -> bytes:
        return jpeg_bytes(scenes.picture(index), 90)

    def fixations(index: int, key: str) -> bytes:
        return _salicon_mat(key, looks(index), scenes.rng(index, 3))

    def density(index: int) -> bytes:
        return png_bytes(_density(looks(index), salicon.SIZE, SALICON_SIGMA))

    files: dict[str, Thunk] = {}
    for index, number in enumerate(numbers):
        key = f"COCO_{split}2014_{number:012d}"
        files[f"images/{split}/{key}.jpg"] = partial(image, index)
        files[f"fixations/{split}/{key}.mat"] = partial(fixations, index, key)
        files[f"maps/{split}/{key}.png"] = partial(density, index)
    settings = {"set": "salicon", "n": n, "seed": seed, "edition": edition, "split": split}
    return write_tree(Path(root), settings, files)


def write_cat2000(root: str | Path, per_category: int, seed: int, categories: Sequence[str] = cat2000.CATEGORIES) -> Path:
    """Write `root/trainSet` of a stand-in CAT2000 and return `root`.

    Two of three pictures have grey bars, at the sides or above and below. The folders Output with a model's maps and
    the file allFixData.mat, which readers must skip, are there too; file numbers have gaps.

    Raises:
        ValueError: `per_category` below 1 or above 100, no category, a negative seed.
        PaperlibError: `root` holds something else.
    """
    if not 1 <= per_category <= 100 or not categories:
        raise ValueError(f"expected 1 to 100 pictures in at least one category, got {per_category} in {categories}")
    n = per_category * len(categories)
    boxes = [_content(index) for index in range(n)]
    scenes = Scenes("cat2000", n, seed, [(bottom - top, right - left) for top, bottom, left, right in boxes])
    looks = lru_cache(maxsize=1)(lambda index: _looks_inside(scenes, index, boxes[index]))

    def image(index: int) -> bytes:
        return jpeg_bytes(_with_bars(scenes.picture(index), boxes[index]), 85)

    def model(index: int) -> bytes:
        return jpeg_bytes(in_8_bits(spectral_residual(scenes.image(index))), 85)

    def fixations(index: int) -> bytes:
        return mat_bytes({"fixLocs": (fixation_map(looks(index), cat2000.SIZE) > 0).astype(np.uint8)})

    def density(index: int) -> bytes:
        return jpeg_bytes(_density([looks(index)], cat2000.SIZE, CAT2000_SIGMA), 90)

    files: dict[str, Thunk] = {}
    for index in range(n):
        category, number = categories[index // per_category], f"{2 * (index % per_category) + 1:03d}"
        files[f"trainSet/Stimuli/{category}/{number}.jpg"] = partial(image, index)
        files[f"trainSet/Stimuli/{category}/Output/{number}_SaliencyMap.jpg"] = partial(model, index)
        files[f"trainSet/FIXATIONLOCS/{category}/{number}.mat"] = partial(fixations, index)
        files[f"trainSet/FIXATIONMAPS/{category}/{number}.jpg"] = partial(density, index)
    files["trainSet/allFixData.mat"] = lambda: mat_bytes({"allData": np.zeros((1, 1))})
    settings = {"set": "cat2000", "per_category": per_category, "seed": seed, "categories": list(categories)}
    return write_tree(Path(root), settings, files)


def _content(index: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the picture in the frame of CAT2000: full, bars at the sides, above and below."""
    height, width = cat2000.SIZE
    bars = index % 3
    side, above = (240 if bars == 1 else 0), (128 if bars == 2 else 0)
    return above, height - above, side, width - side


def _with_bars(picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    frame = np.full((*cat2000.SIZE, 3), BAR_GREY, np.uint8)
    frame[box[0] : box[1], box[2] : box[3]] = picture
    return frame


# ---- gaze -----------------------------------------------------------------------------------------------------------
def _pixels(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.int64]:
    return np.clip(np.rint(points), 0, np.asarray(size) - 1).astype(np.int64)


def _observers(scenes: Scenes, index: int, per_picture: float, outside: bool) -> list[NDArray[np.int64]]:
    """Fixations of each observer of a SALICON picture, (row, column) from 0 on; a few in the column after the last."""
    rng = scenes.rng(index, 2)
    looking = rng.random(OBSERVERS) >= OBSERVERS_WITHOUT_FIXATIONS
    looking[:2] = False, True
    counts = np.where(looking, rng.poisson(per_picture / (OBSERVERS * (1 - OBSERVERS_WITHOUT_FIXATIONS)), OBSERVERS), 0)
    counts[1] = max(counts[1], 1)
    pixels = _pixels(scenes.points(index, int(counts.sum()), rng), salicon.SIZE)
    if outside:
        beyond = rng.random(len(pixels)) < OUTSIDE
        beyond[0] = True
        pixels[beyond, 1] = salicon.SIZE[1]
    return np.split(pixels, np.cumsum(counts)[:-1])


def _looks_inside(scenes: Scenes, index: int, box: tuple[int, int, int, int]) -> NDArray[np.int64]:
    rng = scenes.rng(index, 2)
    points = scenes.points(index, CAT2000_OBSERVERS * CAT2000_FIXATIONS, rng)
    return _pixels(points, scenes.sizes[index]) + np.array([box[0], box[2]])


def _density(looks: list[NDArray[np.int64]], size: tuple[int, int], sigma: float) -> NDArray[np.uint8]:
    """Published density map: blurred fixations, scaled to 8 bits."""
    points = np.concatenate(looks)
    inside = points[(points < np.asarray(size)).all(axis=1)]
    density = blur(fixation_map(inside, size), sigma)
    return in_8_bits(density / density.max())


def _salicon_mat(key: str, looks: list[NDArray[np.int64]], rng: np.random.Generator) -> bytes:
    gaze = np.empty((len(looks), 1), [("location", object), ("timestamp", object), ("fixations", object)])
    for viewing, pixels in zip(gaze[:, 0], looks, strict=True):
        fixations = pixels[:, ::-1].astype(np.uint16) + np.uint16(1)
        samples = np.repeat(fixations, SAMPLES_PER_FIXATION, axis=0).astype(np.int64)
        samples += rng.integers(-4, 5, samples.shape)
        viewing["location"] = np.clip(samples, 1, salicon.SIZE[::-1]).astype(np.uint16)
        viewing["timestamp"] = (np.arange(len(samples))[:, None] * 10).astype(np.uint32)
        viewing["fixations"] = fixations
    return mat_bytes({"image": key, "resolution": np.array([salicon.SIZE], np.uint16), "gaze": gaze})
