"""EyeCrowd: 500 pictures of 1024x768 of crowds, 16 observers (Jiang, Xu & Zhao, Saliency in Crowd, ECCV 2014).

26 pixels are one degree of visual angle, the width of the blur.
https://github.com/NUS-VIP/saliency-in-crowd (MIT licence; the rights of single pictures are unknown)
"""

from pathlib import Path

from paperlib.datasets.gaze import GazeSet
from paperlib.datasets.nus_vip import Published, open_published

EYECROWD = Published("eyecrowd", 500, (768, 1024), 26.0, "eyecrowd_sample", "https://github.com/NUS-VIP/saliency-in-crowd")


def open_eyecrowd(root: str | Path, extent: str = "sample") -> GazeSet:
    """Open EyeCrowd as `paperlib.datasets.nus_vip.open_published` says.

    Args:
        root: a clone, or a folder with `stimuli` and `fixations.mat`, or the one above.
        extent: "sample" for the 100 pictures of our list, "all" for the 500, "found" for those that lie there.

    Raises:
        PaperlibError: as `open_published`.
    """
    return open_published(root, EYECROWD, extent)
