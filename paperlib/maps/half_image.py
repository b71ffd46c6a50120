"""HalfImage as we read it: which squares of a picture does an IQA network need? The paper's comparator [13].

**Our reading, not the authors' code.** You, Lin and Korhonen ("Half of an image is enough for quality assessment",
arXiv 2301.12891) cut a picture into 12 squares, mask combinations of them, and find that one half may be nearly
irrelevant while the other decides the score. How they pick the halves and what they fill with is not published as code.
Here a square's importance is how much the network's score moves when the square is filled (`leave_one_out`), and on
samples all 924 halves can be tried (`exhaustive_halves`). KonIQ-10k's 1024x768 gives 4 columns by 3 rows of 256 pixels.

**Grid.** Any number of rows and columns; row r of R covers the pixels from floor(r h / R) to before
floor((r + 1) h / R), columns alike. Every pixel is in one cell; where a length is not divisible, cells differ by one
pixel. Cells are squares only where the picture's proportions are those of the grid.

**Curves.** Cells are masked whole: at k of 12 cells (fraction k / 12) the k least or most important ones, equal ones in
reading order. Quantiles of pixels would cut through a cell instead, since all its pixels are equal. For a comparison on
equal terms saliency maps are brought to the same grid (`pool_to_grid`).

`score` is any function from uint8 pictures (m, h, w, 3), a tensor on `device`, to m scores.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from paperlib.maps.fills import byte_masks, painter
from paperlib.maps.masking import Masks, quantile_masks

GRID = (3, 4)
"""Rows and columns: 12 squares of a 4:3 picture."""

Score = Callable[[Tensor], Any]
"""uint8 pictures (m, h, w, 3) on the device -> m scores, a tensor or anything that NumPy takes."""


def leave_one_out(
    score: Score,
    images: NDArray[np.uint8],
    fill: str = "mean",
    grid: tuple[int, int] = GRID,
    device: Any = "cpu",
    batch: int = 32,
) -> NDArray[np.float64]:
    """Importance of each cell: |f(x) - f(x without the cell)|, from one pass per cell and one of the whole picture.

    Args:
        score: the network, f.
        images: (n, h, w, 3) of one size.
        fill: what a cell is filled with, from `paperlib.vocabulary.FILLS`.
        grid: rows and columns.
        device: where pictures are filled and scored, as torch takes it.
        batch: about how many pictures to score at once; never fewer than n.

    Returns:
        (n, rows, columns), >= 0, in units of the score.

    Raises:
        ValueError: images or fill as `painter`, a grid finer than the pixels, or scores that are not m finite numbers.
    """
    single = np.eye(grid[0] * grid[1], dtype=bool).reshape(-1, *grid)
    scores = _scores_without(score, images, single, fill, device, batch)
    return np.abs(scores[1:] - scores[0]).T.reshape(-1, *grid)


@dataclass(frozen=True, eq=False)
class Halves:
    """Scores of pictures of which one half of the cells was kept.

    Attributes:
        kept: (m, rows, columns) boolean, the m halves; for 3 x 4 cells 924.
        scores: (n, m) scores of the n pictures with that half kept and the other filled.
        whole: (n,) scores of the whole pictures.
    """

    kept: NDArray[np.bool_]
    scores: NDArray[np.float64]
    whole: NDArray[np.float64]


def exhaustive_halves(
    score: Score,
    images: NDArray[np.uint8],
    fill: str = "mean",
    grid: tuple[int, int] = GRID,
    device: Any = "cpu",
    batch: int = 32,
) -> Halves:
    """The scores of every half of the cells: C(12, 6) = 924 passes per picture on the paper's grid.

    Args, Raises: as `leave_one_out` and `all_halves`.
    """
    kept = all_halves(grid)
    scores = _scores_without(score, images, ~kept, fill, device, batch)
    return Halves(kept, scores[1:].T, scores[0])


def all_halves(grid: tuple[int, int] = GRID) -> NDArray[np.bool_]:
    """Every choice of half the cells, (m, rows, columns), in lexicographic order of the chosen cells.

    Raises:
        ValueError: an odd number of cells.
    """
    cells = grid[0] * grid[1]
    if cells < 2 or cells % 2:
        raise ValueError(f"grid={grid}: expected an even number of cells, got {cells}")
    chosen = np.array(list(combinations(range(cells), cells // 2)))
    halves = np.zeros((len(chosen), cells), bool)
    np.put_along_axis(halves, chosen, True, 1)
    return halves.reshape(-1, *grid)


def pool_to_grid(maps: ArrayLike, grid: tuple[int, int] = GRID) -> NDArray[np.float64]:
    """Mean of each map (n, h, w) in each cell: (n, rows, columns).

    Raises:
        ValueError: maps of another shape, or a grid finer than the pixels.
    """
    array = np.asarray(maps, np.float64)
    if array.ndim != 3:
        raise ValueError(f"maps {array.shape}: expected (n, h, w)")
    rows, columns = (_edges(length, parts) for length, parts in zip(array.shape[1:], grid, strict=True))
    sums = np.add.reduceat(np.add.reduceat(array, rows[:-1], axis=1), columns[:-1], axis=2)
    return sums / np.outer(np.diff(rows), np.diff(columns))


def on_pixels(cells: ArrayLike, height: int, width: int) -> NDArray:
    """Values of cells (n, rows, columns) at the pixels of a picture, (n, height, width), of the same type.

    Raises:
        ValueError: cells of another shape, or a grid finer than the pixels.
    """
    values = np.asarray(cells)
    if values.ndim != 3:
        raise ValueError(f"cells {values.shape}: expected (n, rows, columns)")
    rows, columns = (
        np.repeat(np.arange(parts), np.diff(_edges(length, parts)))
        for length, parts in zip((height, width), values.shape[1:], strict=True)
    )
    return values[:, rows[:, None], columns]


def masked_cells(importance: ArrayLike, k: int, strategy: str) -> NDArray[np.bool_]:
    """The k least (LeRF) or most (MoRF) important cells; equal ones in reading order, the first the least important.

    Args:
        importance: (n, rows, columns), finite.
        k: number of cells to mask, 0 to all.
        strategy: `"LeRF"` or `"MoRF"`.

    Returns:
        (n, rows, columns), true where masked.

    Raises:
        ValueError: importance as maps in `quantile_masks`, k out of range, an unknown strategy.
    """
    values = np.asarray(importance)
    masks = quantile_masks(values, _fractions(values, [k]))
    return masks.of(strategy, masks.fractions[0])


def cell_masks(importance: ArrayLike, height: int, width: int, counts: Iterable[int] | None = None) -> Masks:
    """Masks of whole cells, for `paperlib.maps.masking.variants`: at fraction k / cells exactly k cells are masked.

    Args:
        importance: (n, rows, columns), finite.
        height, width: size of the pictures.
        counts: numbers of cells to mask; None for 1 to all but one.

    Raises:
        ValueError: as `masked_cells` and `on_pixels`.
    """
    values = np.asarray(importance)
    masks = quantile_masks(values, _fractions(values, range(1, values[0].size) if counts is None else counts))
    return replace(masks, bands=on_pixels(masks.bands, height, width))


def _scores_without(
    score: Score, images: NDArray[np.uint8], removed: NDArray[np.bool_], fill: str, device: Any, batch: int
) -> NDArray[np.float64]:
    """(1 + m, n): scores of the whole pictures, then without each of the m sets of cells (m, rows, columns)."""
    paint = painter(images, fill, device)
    steps = np.concatenate([np.zeros_like(removed[:1]), removed])
    together = max(1, batch // len(images))
    scores = np.empty((len(steps), len(images)))
    for start in range(0, len(steps), together):
        chunk = slice(start, start + together)
        masks = byte_masks(on_pixels(steps[chunk], *images.shape[1:3])[:, None], device)
        pictures = paint(masks).flatten(0, 1)
        scores[chunk] = _numbers(score(pictures), len(pictures)).reshape(-1, len(images))
    return scores


def _numbers(scores: Any, count: int) -> NDArray[np.float64]:
    values = scores.detach().cpu().numpy() if isinstance(scores, Tensor) else np.asarray(scores)
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"score: expected {count} finite numbers of shape ({count},), got {values.shape}: {values}")
    return values.astype(np.float64)


def _fractions(importance: NDArray, counts: Iterable[int]) -> list[float]:
    """Of one map's cells; `quantile_masks` says what is wrong with an importance that has none."""
    return [count / max(1, importance[:1].size) for count in counts]


def _edges(length: int, parts: int) -> NDArray[np.int64]:
    """Where the parts of a length begin, and its end: (parts + 1,)."""
    if not 1 <= parts <= length:
        raise ValueError(f"grid: expected 1 to {length} parts of {length} pixels, got {parts}")
    return np.arange(parts + 1) * length // parts
