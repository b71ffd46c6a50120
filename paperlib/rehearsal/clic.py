"""A stand-in for the photographs of CLIC 2021 that SACID was coded from: PNG files in one folder, nothing else.

`paperlib.rehearsal.salicon_cat2000` says what stand-ins are for, and writes the tree.
"""

from pathlib import Path

import numpy as np

from paperlib.rehearsal.salicon_cat2000 import Scenes, png_bytes, write_tree

SIZE = (1365, 2048)
"""(height, width); the real pictures are of about this size, 2.6 megapixels on average."""

_PORTRAIT_EVERY = 3


def write_clic(root: str | Path, n: int, seed: int, size: tuple[int, int] = SIZE) -> Path:
    """Write `n` photographs and return their folder; every third is in portrait format, height and width exchanged.

    Raises:
        ValueError: `n` below 1, a negative seed.
        PaperlibError: `root` holds something else.
    """
    scenes = Scenes("clic2021", n, seed, [size] * n)

    def picture(index: int) -> bytes:
        pixels = scenes.picture(index)
        if index % _PORTRAIT_EVERY == _PORTRAIT_EVERY - 1:
            pixels = np.ascontiguousarray(pixels.swapaxes(0, 1))
        return png_bytes(pixels)

    files = {f"standin-{index:03d}.png": lambda i=index: picture(i) for index in range(n)}
    return write_tree(Path(root), {"set": "clic2021", "n": n, "seed": seed, "size": list(size)}, files)
