"""OSIE: 700 pictures of 800x600 with several objects each, 15 observers, 3 s (Xu et al., Journal of Vision 14(1), 2014).

24 pixels are one degree of visual angle, and the authors blur with a Gaussian of that width.
https://github.com/NUS-VIP/predicting-human-gaze-beyond-pixels (MIT licence; the rights of single pictures are unknown)
"""

from pathlib import Path

from paperlib.datasets.gaze import GazeSet
from paperlib.datasets.nus_vip import Published, open_published

OSIE = Published(
    "osie", 700, (600, 800), 24.0, "osie_files", "https://github.com/NUS-VIP/predicting-human-gaze-beyond-pixels"
)


def open_osie(root: str | Path, extent: str = "sample") -> GazeSet:
    """Open OSIE as `paperlib.datasets.nus_vip.open_published` says.

    Args:
        root: a clone, or a folder with `stimuli` and `fixations.mat`, or the one above.
        extent: "sample" and "all" for the 700 pictures, "found" for those that lie there.

    Raises:
        PaperlibError: as `open_published`.
    """
    return open_published(root, OSIE, extent)
