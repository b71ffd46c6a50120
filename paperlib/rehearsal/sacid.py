"""Stand-ins for SACID and for the photographs that it was coded from; `paperlib.rehearsal.scenes` says what they are for.

Pictures are scenes of the micro-world with texture. No video encoder takes part: a version is a JPEG whose quality
follows the bit-rate, and a preset moves quality from the picture's less salient part into its most salient part. Scores
rise with the bit-rate and have a bonus per preset, as in the real table; nobody was asked.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.photographs import spectral_residual
from paperlib.datasets.sacid import COLUMNS, COMPRESSED, PLAIN, REFERENCE, SALIENCY, TABLE, Version
from paperlib.rehearsal.scenes import Scenes, Thunk, csv_bytes, jpeg_bytes, png_bytes, write_tree

SIZE = (192, 256)
PRESETS = {PLAIN: (0.0, 0.0), "p132": (0.35, 0.6), "p220": (0.6, 0.65), "p310": (1.0, 0.2)}
"""Preset -> how far it moves quality, and its bonus in the scores."""
VERSIONS = tuple(Version(bpp100, preset) for bpp100 in (8, 12, 16) for preset in PRESETS)

_QUALITY = {8: 8, 12: 16, 16: 28}
_LEVEL = {8: 0.0, 12: 1.9, 16: 3.0}
_SALIENT_SHARE = 0.25
_NOISE_SD = 0.25
_FINAL = 92
_PORTRAIT_EVERY = 3

Suffix = Literal[".jpg", ".png"]


def write_sacid(
    root: str | Path, n: int, seed: int, size: tuple[int, int] = SIZE, suffix: Suffix = ".jpg", without_reference: int = 0
) -> Path:
    """Write a stand-in SACID of `n` sequences with 12 versions each, and return its folder.

    Every third picture is in portrait format, with height and width exchanged.

    Args:
        root: the folder.
        n: number of sequences.
        seed: of scenes and scores.
        size: (height, width) of pictures in landscape format.
        suffix: type of the coded pictures.
        without_reference: number of sequences, the first ones, whose reference is left out.

    Raises:
        ValueError: `n` below 1, a negative seed, sides below 16, another suffix, more than `n` without reference.
        PaperlibError: `root` holds something else.
    """
    if min(size) < 16 or suffix not in (".jpg", ".png") or not 0 <= without_reference <= n:
        raise ValueError(
            f"expected sides of at least 16 pixels, .jpg or .png, and 0 to {n} without reference, "
            f"got {size}, {suffix!r}, {without_reference}"
        )
    scenes = Scenes("sacid", n, seed, [size] * n)
    maps = lru_cache(maxsize=1)(lambda index: _saliency(_picture(scenes, index)))
    names = [f"scene-{index:03d}-standin" for index in range(n)]

    def reference(index: int) -> bytes:
        return png_bytes(_picture(scenes, index))

    def saliency(index: int) -> bytes:
        return png_bytes(maps(index))

    def coded(index: int, version: Version) -> bytes:
        pixels = _coded(_picture(scenes, index), maps(index), version)
        return jpeg_bytes(pixels, _FINAL) if suffix == ".jpg" else png_bytes(pixels)

    files: dict[str, Thunk] = {}
    for index, name in enumerate(names):
        if index >= without_reference:
            files[f"{REFERENCE}/{name}.png"] = partial(reference, index)
        files[f"{SALIENCY}/{name}.png"] = partial(saliency, index)
        for version in VERSIONS:
            files[f"{COMPRESSED}/{name}/{version.test_case}{suffix}"] = partial(coded, index, version)
    files[TABLE] = lambda: _table(scenes, names)
    settings = {
        "set": "sacid",
        "n": n,
        "seed": seed,
        "size": list(size),
        "suffix": suffix,
        "without_reference": without_reference,
    }
    return write_tree(Path(root), settings, files)


def _picture(scenes: Scenes, index: int) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB."""
    picture = scenes.picture(index)
    return np.ascontiguousarray(picture.transpose(1, 0, 2)) if index % _PORTRAIT_EVERY == 2 else picture


def _saliency(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(h, w) uint8, its maximum 255."""
    found = spectral_residual(picture)
    return np.rint(255 * found / found.max()).astype(np.uint8)


def _coded(picture: NDArray[np.uint8], saliency: NDArray[np.uint8], version: Version) -> NDArray[np.uint8]:
    """(h, w, 3) uint8 RGB: two qualities of JPEG, joined along the edge of the salient part."""
    shift, _ = PRESETS[version.preset]
    quality = _QUALITY[version.bpp100]
    fine, coarse = (_through_jpeg(picture, round(quality * factor)) for factor in (1 + 2 * shift, 1 / (1 + shift)))
    salient = saliency > np.quantile(saliency, 1 - _SALIENT_SHARE)
    return np.where(salient[..., None], fine, coarse)


def _through_jpeg(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    data = np.frombuffer(jpeg_bytes(picture, quality), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1]


def _table(scenes: Scenes, names: Sequence[str]) -> bytes:
    """As the real one: versions in random order, four digits, the worst version of a sequence at 0."""
    lines = []
    for index, name in enumerate(names):
        rng = scenes.rng(index, 6)
        scale = rng.uniform(0.6, 1.6)
        raw = [_LEVEL[v.bpp100] + PRESETS[v.preset][1] * rng.uniform(0.2, 1.8) for v in VERSIONS]
        scores = scale * (np.array(raw) + rng.normal(0, _NOISE_SD, len(raw)))
        for position in rng.permutation(len(VERSIONS)):
            lines.append((name, VERSIONS[position].test_case, f"{scores[position] - scores.min():.4f}"))
    return csv_bytes(COLUMNS, lines)


def write_clic(root: str | Path, n: int, seed: int, size: tuple[int, int]) -> Path:
    """Write `n` photographs in the place of those of CLIC 2021 that SACID was coded from, and return their folder.

    They are PNG files and nothing else; every third is in portrait format, as with `write_sacid`.

    Raises:
        ValueError: `n` below 1, a negative seed.
        PaperlibError: `root` holds something else.
    """
    scenes = Scenes("clic2021", n, seed, [size] * n)

    def photograph(index: int) -> bytes:
        return png_bytes(_picture(scenes, index))

    files = {f"standin-{index:03d}.png": partial(photograph, index) for index in range(n)}
    return write_tree(Path(root), {"set": "clic2021", "n": n, "seed": seed, "size": list(size)}, files)
