"""Stand-ins of a user's folders: pictures with gaze and maps of a model, and pictures with opinions."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from paperlib.datasets.photographs import spectral_residual
from paperlib.rehearsal.koniq_clive import damaged, drawn_split, mos_of, votes_on
from paperlib.rehearsal.scenes import Scenes, Thunk, csv_bytes, in_8_bits, jpeg_bytes, png_bytes, write_tree

SIZES = ((480, 640), (600, 800), (450, 600))
OBSERVERS, FIXATIONS, RATERS = 15, 9, 24


def write_own(root: str | Path, n: int, seed: int) -> Path:
    """`images/` of three sizes, `fixations.csv`, and spectral residuals in `saliency_residual/`."""
    scenes = Scenes("own", n, seed, [SIZES[index % len(SIZES)] for index in range(n)])
    files: dict[str, Thunk] = {}
    for index in range(n):
        files[f"images/{index + 1001}.jpg"] = lambda i=index: jpeg_bytes(scenes.picture(i), 90)
        files[f"saliency_residual/{index + 1001}.png"] = lambda i=index: png_bytes(
            in_8_bits(spectral_residual(scenes.picture(i)))
        )
    header = ("image", "subject", "order", "x", "y", "duration_ms")
    files["fixations.csv"] = lambda: csv_bytes(header, _fixations(scenes))
    return write_tree(Path(root), {"set": "own", "n": n, "seed": seed}, files)


def _fixations(scenes: Scenes) -> Iterator[tuple[object, ...]]:
    for index in range(scenes.n):
        rng, size = scenes.rng(index, 2), np.asarray(scenes.sizes[index])
        for subject in range(OBSERVERS):
            points = np.clip(scenes.points(index, FIXATIONS, rng), 0, size - 1)
            durations = rng.integers(80, 600, len(points))
            for order, ((y, x), duration) in enumerate(zip(points, durations, strict=True)):
                yield f"{index + 1001}.jpg", subject, order, f"{x:.1f}", f"{y:.1f}", duration


def write_own_opinions(root: str | Path, n: int, seed: int) -> Path:
    """`images/` of three sizes, and `mos.csv` with a split; at least 3 pictures."""
    scenes = Scenes("own opinions", n, seed, [SIZES[index % len(SIZES)] for index in range(n)])
    names = [f"{index + 1001}.jpg" for index in range(n)]
    files: dict[str, Thunk] = {
        f"images/{name}": lambda i=index: jpeg_bytes(damaged(scenes, i), 95) for index, name in enumerate(names)
    }
    splits = drawn_split(np.random.default_rng([seed, 13]), n)
    lines = [(name, f"{mos_of(votes_on(scenes, index, RATERS)):.2f}", splits[index]) for index, name in enumerate(names)]
    files["mos.csv"] = lambda: csv_bytes(("image", "mos", "split"), lines)
    return write_tree(Path(root), {"set": "own opinions", "n": n, "seed": seed}, files)
