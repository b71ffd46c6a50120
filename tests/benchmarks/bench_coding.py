"""What attaching one QP offset per macroblock costs, 512x768 pixels (1536 macroblocks); the goal is 40 ms.

The stream is the same however rectangles are merged (tests/unit/test_x264.py); only the time differs.
"""

from functools import cache, partial
from typing import Any
from unittest.mock import patch

import numpy as np

from paperlib.coding import x264
from paperlib.coding.still import code_picture, raw_qp
from paperlib.datasets.photographs import open_photographs, predicted_saliency

from .timing import Sides, benchmark


@benchmark("region graph, 1536 macroblocks, photograph", "goal of 40 ms", goal=1)
def region_graph_of_a_photograph() -> Sides:
    """Offsets of the lab's rule for a photograph with its predicted saliency, against the goal itself."""
    return partial(_attach, _offsets()), 40.0


@benchmark("region graph, 1536 macroblocks, 1536 regions", "goal of 40 ms", goal=1)
def region_graph_at_worst() -> Sides:
    """A region per macroblock, as no two neighbours agree, against the goal itself."""
    row, column = np.indices((32, 48))
    return partial(_attach, 1 + (row + column) % 7), 40.0


@benchmark("merged regions, 1536 macroblocks", "one region per macroblock", goal=1.5)
def merging() -> Sides:
    return partial(_attach, _offsets()), partial(_attach, _offsets(), merged=False)


@benchmark("coding at a rate with saliency, 384x512", "one plain encode", goal=0.05, rounds=5)
def coding_at_a_rate() -> Sides:
    """A whole picture at .3 bpp with saliency, search included, against one encode of it with PyAV."""
    image, saliency = _photograph()
    return lambda: code_picture(image, saliency, 0.3), lambda: x264.StillEncoder(image).encode(36.0)


def _attach(offsets: np.ndarray, merged: bool = True) -> None:
    """Build the graph, push the picture through it and pull it with its regions."""
    frame = _frame()
    if merged:
        x264._attach_offsets(frame, offsets)
    else:
        single = [(row, column, 1, 1, value) for (row, column), value in np.ndenumerate(offsets) if value]
        with patch.object(x264, "rectangles", lambda values: iter(single)):
            x264._attach_offsets(frame, offsets)


@cache
def _frame() -> Any:
    import av

    image = np.zeros((512, 768, 3), np.uint8)
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


@cache
def _photograph() -> tuple[np.ndarray, np.ndarray]:
    (photograph,) = open_photographs(["coffee"])
    return photograph.image, predicted_saliency(photograph)


@cache
def _offsets() -> np.ndarray:
    """The rule (75, 80) on the photograph, enlarged to 32 x 48 macroblocks."""
    from PIL import Image

    image, saliency = _photograph()
    large, relevance = (np.asarray(Image.fromarray(some).resize((768, 512))) for some in (image, saliency))
    qp = np.clip(np.round(raw_qp(large) + 36), 0, 51)
    return x264.allocate(x264.macroblock_mean(relevance), qp, 75, 80).offsets
