"""Drawings of notebook 02 (statistics of scenes, four pixels, the metric playground), of the training film (03c), and
pictures before and after (03d)."""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image

from paperlib.experiments.dual_task.explore import FilmChoice, watch
from paperlib.experiments.metric_playground import PREDICTION, PRIOR, TRANSFORMED, TRUTH
from paperlib.experiments.related_work import BLURRED, NOISY, PLAIN, mscn, versions
from paperlib.paper import look
from paperlib.show import style
from paperlib.show.figures import BAR, GAP, INK, LINE, Page, PaperFigure, drawn, note, open_left, overlay, text_colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from paperlib.experiments.compression.explore import View as CodingView
    from paperlib.experiments.dual_task.explore import Material as Film
    from paperlib.experiments.dual_task.explore import View as FilmView
    from paperlib.experiments.metric_playground import View

COLOURS = {
    PREDICTION: look("baseline").colour,
    TRANSFORMED: look("baseline_gradcam_loss").colour,
    PRIOR: look("center_prior").colour,
    TRUTH: look("saliency_net").colour,
}
_LOWER_IS_BETTER = ("KLD",)
_NAMES, _NUMBERS, _TRANSFORM = 1.3, 0.35, 1.75  # inches: names of the maps, numbers at the right, the transform
_HEAD, _PLOT, _FOOT = 0.35, 1.1, 0.45  # inches: above, of and below the plots

# ------------------------------------------------------------------------------------------------ statistics of scenes

VERSIONS = {PLAIN: style.MAPS["saliency"].colour, BLURRED: look("baseline").colour, NOISY: look("maniqa").colour}
_COEFFICIENTS = (-2.5, 2.5)  # the range of a histogram
_BINS = 80


@drawn
def scene_statistics(image: "NDArray[np.uint8]", part: tuple[slice, slice] = (slice(None), slice(None))) -> PaperFigure:
    """A photograph undamaged, blurred and noisy; below each its coefficients (`related_work.mscn`), beside them their
    histograms.

    Args:
        image: (h, w, 3).
        part: rows and columns that are shown; the histograms are of all.
    """
    made = versions(image)
    coefficients = {name: mscn(one) for name, one in made.items()}
    height, width = made[PLAIN][part].shape
    panel = (0.56 * style.FULL_WIDTH - BAR - 4 * GAP) / len(made)
    tall = panel * height / width
    page = Page(style.FULL_WIDTH, 2 * LINE + 2 * tall + 2 * GAP)
    for place, (name, colour) in enumerate(VERSIONS.items()):
        x = LINE + GAP + place * (panel + GAP)
        upper = page.picture(x, 2 * LINE, panel, tall)
        upper.imshow(made[name][part], cmap="gray", vmin=0, vmax=255)
        upper.set_title(name, color=text_colour(colour), pad=3)
        lower = page.picture(x, 2 * LINE + tall + GAP, panel, tall)
        lower.imshow(coefficients[name][part], cmap="gray", vmin=_COEFFICIENTS[0], vmax=_COEFFICIENTS[1])
        if place == 0:
            upper.set_ylabel("luminance", fontsize=7, labelpad=2)
            lower.set_ylabel("coefficients", fontsize=7, labelpad=2)
    left = LINE + 4 * GAP + len(made) * (panel + GAP)
    _histograms(coefficients, page.axes(left, 2 * LINE, style.FULL_WIDTH - left - GAP, 2 * tall - 2 * LINE))
    return page.figure


def _histograms(coefficients: "dict[str, NDArray[np.float64]]", ax: "Axes") -> None:
    """A line per version, named where its name finds room: the narrow one at its peak, the wide one on its flank."""
    edges = np.linspace(*_COEFFICIENTS, _BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    for name, values in coefficients.items():
        share = np.histogram(values, edges)[0] / values.size
        ax.fill_between(middles, share, color=VERSIONS[name], alpha=0.12, linewidth=0)
        ax.plot(middles, share, color=VERSIONS[name])
        at = int(np.flatnonzero(share > (0.7 if name == BLURRED else 0.45) * share.max())[-1])
        words = f"{name}: sd {values.std():.2f}"
        note(ax, words, (middles[at], share[at]), (5, 1), va="bottom", fontsize=8, color=text_colour(VERSIONS[name]))
    ax.set(
        xlim=_COEFFICIENTS, ylim=(0, None), yticks=[], xlabel="distance from the local mean, in local standard deviations"
    )
    ax.set_title("share of pixels", loc="left", fontsize=8)
    ax.spines["left"].set_visible(False)
    ax.grid(visible=False)


# --------------------------------------------------------------------------------------------------------- four pixels

_SIDE, _ABOVE_GRIDS, _SUMS, _ROW_NAME = 1.2, 0.46, 0.2, 1.5  # inches: a grid of four pixels, above it, below it, left of all
_DIVERGING = "PuOr_r"
_MAPS = 2  # the last so many grids of a row are maps; before them stand features and gradients


@drawn
def four_pixels(rows: Mapping[str, tuple[float, Mapping[str, np.ndarray]]]) -> PaperFigure:
    """Small maps with their numbers, a row per head of a network: features, gradient, and what is made of them.

    Args:
        rows: words for the head -> its score, and name -> (2, 2) for features, gradients and maps; the same names in
            each row. Below a map stands its sum, and whether it is the score; its largest value is framed.
    """
    names = list(next(iter(rows.values()))[1])
    widest = max(np.abs(one).max() for _, grids in rows.values() for one in grids.values())
    step = (style.FULL_WIDTH - _ROW_NAME) / len(names)
    band = _SIDE + _SUMS + LINE
    page = Page(style.FULL_WIDTH, _ABOVE_GRIDS + len(rows) * band)
    for row, (head, (score, grids)) in enumerate(rows.items()):
        top = _ABOVE_GRIDS + row * band
        middle = 1 - (top + _SIDE / 2) / page.height
        words = f"{head}\n\nscore {score:g}"
        page.figure.text(GAP / page.width, middle, words, va="center", fontsize=8.5, color=INK, linespacing=1.3)
        for place, (name, grid) in enumerate(grids.items()):
            ax = page.picture(_ROW_NAME + place * step, top, _SIDE, _SIDE)
            _numbers(grid, widest, ax)
            if row == 0:
                ax.set_title(name, fontsize=8.5, pad=5)
            if place >= len(names) - _MAPS:
                _mark_largest(grid, ax)
                total = float(grid.sum())
                fits = bool(np.isclose(total, score))
                ax.set_xlabel(f"sum {total:g} {'= score' if fits else '≠ score'}", fontsize=8, labelpad=4)
                ax.xaxis.label.set(color=INK if fits else text_colour(look("baseline_gradcam_loss").colour))
    below = GAP / page.height
    page.figure.text(GAP / page.width, below, "frame: what a map calls\nthe most important pixel", fontsize=7, color=INK)
    return page.figure


def _numbers(grid: np.ndarray, widest: float, ax: "Axes") -> None:
    ax.imshow(grid, cmap=_DIVERGING, vmin=-1.7 * widest, vmax=1.7 * widest)
    for (row, column), value in np.ndenumerate(grid):
        ax.text(column, row, f"{value:g}".replace("-", "−"), ha="center", va="center", fontsize=13, color="black")
    ax.axhline(0.5, color="white", linewidth=2)
    ax.axvline(0.5, color="white", linewidth=2)


def _mark_largest(grid: np.ndarray, ax: "Axes") -> None:
    row, column = np.unravel_index(int(grid.argmax()), grid.shape)
    ax.add_patch(Rectangle((column - 0.43, row - 0.43), 0.86, 0.86, fill=False, edgecolor="black", linewidth=1.8))


# -------------------------------------------------------------------------------------------------- metric playground


@drawn
def playground(view: "View") -> PaperFigure:
    """One state of the playground: above gaze, the prediction, the prediction after the map transform and the centre
    prior on the picture; below what the metrics say of them, a dot for this picture and a bar for the mean over all
    pictures, and the transform itself."""
    height, width = view.image.shape[:2]
    panel = (style.FULL_WIDTH - 5 * GAP) / 4
    tall = panel * height / width
    page = Page(style.FULL_WIDTH, LINE + 2 * GAP + tall + _HEAD + _PLOT + _FOOT)
    for place, name in enumerate((TRUTH, PREDICTION, TRANSFORMED, PRIOR)):
        ax = page.picture(GAP + place * (panel + GAP), LINE + GAP, panel, tall)
        overlay(view.image, view.maps[name], ax)
        ax.set_title(name, color=text_colour(COLOURS[name]), fontsize=8, pad=3)
        if name == TRUTH:
            ax.plot(view.fixations[:, 1], view.fixations[:, 0], ".", color="white", markersize=2, markeredgewidth=0)
    top = LINE + 2 * GAP + tall + _HEAD
    share = (style.FULL_WIDTH - _NAMES - _TRANSFORM) / len(view.here.columns)
    for place, metric in enumerate(view.here.columns):
        ax = page.axes(_NAMES + place * share, top, share - 2 * GAP, _PLOT)
        _compare(view, metric, ax)
        ax.tick_params(labelleft=place == 0)
    page.figure.text(_NAMES / page.width, 0.02, "dot: this picture, bar: mean over all", fontsize=7, color=INK)
    _transform(view, page.axes(style.FULL_WIDTH - _TRANSFORM + 3 * GAP, top, _TRANSFORM - 3 * GAP - _NUMBERS, _PLOT))
    return page.figure


def _compare(view: "View", metric: str, ax: "Axes") -> None:
    """A line per map: a dot for this picture with its number, a bar for the mean over all pictures."""
    names = list(view.here.index)
    for place, name in enumerate(names):
        value = view.here.loc[name, metric]
        ax.plot(value, place, "o", color=COLOURS[name], markersize=5)
        ax.plot(view.mean.loc[name, metric], place, "|", color=COLOURS[name], markersize=9, markeredgewidth=1.2)
        note(ax, f"{value:.2f}", (value, place), (0, 4), ha="center", va="bottom", fontsize=6.5, color=INK)
    ax.set_yticks(range(len(names)), names)
    for label, name in zip(ax.get_yticklabels(), names, strict=True):
        label.set_color(text_colour(COLOURS[name]))
    ax.set_ylim(len(names) - 0.5, -0.8)
    ax.margins(x=0.25)
    ax.locator_params(axis="x", nbins=3)
    ax.set_title(f"{metric} {'↓' if metric in _LOWER_IS_BETTER else '↑'}", fontsize=8)
    open_left(ax)


def _transform(view: "View", ax: "Axes") -> None:
    """The brightness curve, and beside it how much of the centre prior is added."""
    ax.plot(np.linspace(0, 1, len(view.curve)), view.curve, color=COLOURS[TRANSFORMED])
    ax.axhline(view.beta, color=COLOURS[PRIOR], linewidth=1, linestyle=(0, (4, 2)))
    note(
        ax,
        f"centre prior × {view.beta:.2f}",
        (1, view.beta),
        (0, 2),
        ha="right",
        va="bottom",
        fontsize=6.5,
        color=COLOURS[PRIOR],
        path_effects=[withStroke(linewidth=2, foreground="white")],
    )
    top = max(float(view.curve.max()), view.beta, 0.1)
    low = min(float(view.curve.min()), view.beta, 0.0)
    ax.set(xlim=(0, 1), ylim=(low - 0.05, top + 0.2 * (top - low)), xlabel="brightness of the map")
    ax.set_xticks([0, 1], ["0", "1"])
    ax.yaxis.tick_right()
    ax.set_title("map transform: curve", fontsize=8, color=text_colour(COLOURS[TRANSFORMED]))


# --------------------------------------------------------------------------------------------------- the training film

_CURVES = 1.5  # inches: height of the lower half
_TITLES = {"CC": "CC of raw maps and gaze", "SROCC": "SROCC of scores and MOS"}
_BESIDE = 0.95  # inches: names at the right of the film
_COURSE, _COURSE_HEAD = 0.85, 0.3  # inches: of and above a plot of the film
_TIMES = 0.35  # inches: names of the looks below the last plot


@drawn
def film(material: "Film", image: int = 0) -> PaperFigure:
    """The training on one axis of time: above, the maps of one picture, a row per network, beside the picture and where
    people look; below each map, at the same place of the axis, how well maps and scores of many test pictures agree with
    people. The time to the first look is shaded.

    Raises:
        ValueError: no such picture.
    """
    frames = [[watch(material, FilmChoice(image, name, epoch)) for epoch in material.epochs] for name in material.variants]
    first = frames[0][0]
    share = (style.FULL_WIDTH - _BESIDE) / (len(material.epochs) + 1)
    panel = share - GAP
    tall = panel * first.image.shape[0] / first.image.shape[1]
    band = tall + LINE + 2 * GAP
    plots = LINE + GAP + len(frames) * band
    page = Page(style.FULL_WIDTH, plots + len(material.curves.columns) * (_COURSE_HEAD + _COURSE) + _TIMES)
    for row, views in enumerate(frames):
        top = LINE + GAP + row * band
        for column, view in enumerate(views, start=1):
            ax = page.picture(column * share, top, panel, tall)
            overlay(view.image, view.saliency, ax)
            ax.set_xlabel(f"CC {_signed(view.agreement)}", fontsize=6.5, labelpad=2)
            if row == 0:
                ax.set_title(_after(view.choice.epoch), fontsize=7, pad=3)
        _reference(first, row, page.picture(0, top, panel, tall))
        page.figure.text(
            (style.FULL_WIDTH - _BESIDE + GAP) / page.width,
            1 - (top + tall / 2) / page.height,
            _name(views[0]).replace("-", "-\n", 1).replace(": ", ":\n"),
            fontsize=7,
            va="center",
            color=text_colour(look(views[0].choice.variant).colour),
        )
    for place, metric in enumerate(material.curves.columns):
        top = plots + place * (_COURSE_HEAD + _COURSE) + _COURSE_HEAD
        ax = page.axes(share, top, style.FULL_WIDTH - _BESIDE - share - GAP, _COURSE)
        _course(material.curves[metric].unstack("method")[material.variants], ax)
        ax.set_title(_TITLES[metric], fontsize=8, loc="left")
        ax.tick_params(labelbottom=False)
    ax.tick_params(labelbottom=True)
    ax.set_xlabel("epochs of training (one step for each look)", labelpad=1)
    return page.figure


def _course(wide: pd.DataFrame, ax: "Axes") -> None:
    """A named line per network with a dot per look, all looks equally far apart, so that each stands below its map; numbers
    at the first two and, beside the name, at the last.

    Args:
        wide: a row per look (epochs), a column per network.
    """
    ax.axvspan(0, 1, color="#eeeeee", zorder=0, linewidth=0)
    apart = np.ptp(wide.to_numpy()) / 5
    for name, level in zip(wide, _spread(wide.iloc[-1].to_list(), apart), strict=True):
        known = look(name)
        words = {"fontsize": 6.5, "color": text_colour(known.colour), "annotation_clip": False}
        ax.plot(range(len(wide)), wide[name], marker=known.marker, markersize=3.5, color=known.colour)
        short = known.label.removeprefix("Baseline-")
        note(ax, f"{_signed(wide[name].iloc[-1])} {short}", (len(wide) - 1, level), (7, 0), va="center", **words)
        for place in range(2):
            value, before = wide[name].iloc[place], wide.iloc[place][: wide.columns.get_loc(name)]
            if not (abs(before - value) < apart).any():
                note(ax, _signed(value), (place, value), (5, -3), va="top", **words)
    ax.set_xlim(-0.5, len(wide) - 0.5)
    ax.set_xticks(range(len(wide)), [f"{epoch:g}" if epoch else "start" for epoch in wide.index])
    low, high = wide.min(axis=None), wide.max(axis=None)
    ax.set_ylim(low - 0.3 * (high - low), high + 0.15 * (high - low))  # room for numbers below dots


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _name(view: "FilmView") -> str:
    return f"{view.label}: {view.map_of}"


def _reference(view: "FilmView", row: int, ax: "Axes") -> None:
    """The first column: the picture, below it where people look."""
    if row == 0:
        ax.imshow(view.image)
        ax.set_title(view.caption, fontsize=7, pad=3)
    elif row == 1:
        overlay(view.image, view.density, ax)
        ax.set_xlabel("gaze density", fontsize=6.5, labelpad=2)


@drawn
def watched(view: "FilmView") -> PaperFigure:
    """One state of the training explorer: picture, where people look and the network's map after so many epochs; below
    them the course of the training, with a line at this epoch."""
    height, width = view.image.shape[:2]
    panel = (style.FULL_WIDTH - 4 * GAP) / 3
    tall = panel * height / width
    page = Page(style.FULL_WIDTH, 2 * LINE + tall + LINE + _CURVES)
    image, gaze, found = (page.picture(GAP + place * (panel + GAP), 1.5 * LINE, panel, tall) for place in range(3))
    image.imshow(view.image)
    overlay(view.image, view.density, gaze)
    overlay(view.image, view.saliency, found)
    labels = (view.caption, "gaze density", f"{_name(view)}, {_after(view.choice.epoch)}")
    for ax, label in zip((image, gaze, found), labels, strict=True):
        ax.set_title(label, fontsize=7, pad=3)
    found.set_xlabel(f"CC {view.agreement:.3f}", fontsize=7, labelpad=2, loc="right")
    _agreement(view.curves, page, page.height - _CURVES, view.choice)
    return page.figure


def _after(epoch: float) -> str:
    return f"epoch {epoch:g}" if epoch else "start"


def _agreement(curves: pd.DataFrame, page: Page, top: float, choice: FilmChoice | None = None) -> None:
    """A panel per metric, a named line per network."""
    inner = style.FULL_WIDTH / 2 - 1.75
    for place, metric in enumerate(curves.columns):
        ax = page.axes(0.45 + place * style.FULL_WIDTH / 2, top + 0.3, inner, _CURVES - 0.75)
        wide = curves[metric].unstack("method")[list(dict.fromkeys(curves.index.get_level_values("method")))]
        for name, level in zip(wide, _spread(wide.iloc[-1].to_list(), np.ptp(wide.to_numpy()) / 5), strict=True):
            known = look(name)
            ax.plot(wide.index, wide[name], marker=known.marker, markersize=3.5, color=known.colour)
            words = {"fontsize": 6.5, "color": text_colour(known.colour), "annotation_clip": False}
            note(ax, known.label, (wide.index[-1], level), (6, 0), va="center", **words)
        if choice is not None:
            ax.axvline(choice.epoch, color=INK, linewidth=0.8, linestyle=(0, (2, 2)))
        ax.set_title(_TITLES[metric], fontsize=8)
        ax.set_xlabel("epoch", labelpad=1)
        ax.set_xticks(range(round(wide.index[-1]) + 1))


def _spread(levels: list[float], apart: float) -> list[float]:
    """Heights for names beside the ends of lines: in the order of the lines, none closer than `apart` to the next."""
    order = np.argsort(levels, kind="stable")
    placed = np.array(levels, float)[order]
    for _ in range(len(placed)):
        for low in range(len(placed) - 1):
            if (missing := apart - (placed[low + 1] - placed[low])) > 0:
                placed[low] -= missing / 2
                placed[low + 1] += missing / 2
    found = np.empty(len(placed))
    found[order] = placed
    return found.tolist()


# -------------------------------------------------------------------------------------------------- before and after


def before_after(view: "CodingView", split: float) -> "NDArray[np.uint8]":
    """The plain version to the left of `split`, the chosen one to its right, a white line of two pixels between them.

    Args:
        view: of the coding explorer.
        split: where the line stands, 0 (left edge: all is the chosen version) to 1 (all is the plain one).

    Returns:
        (h, w, 3), of the photograph's size.

    Raises:
        ValueError: `split` outside [0, 1].
    """
    if not 0 <= split <= 1:
        raise ValueError(f"split={split}: expected 0 to 1")
    joined = view.chosen.picture.copy()
    at = round(split * joined.shape[1])
    joined[:, :at] = view.plain.picture[:, :at]
    if 0 < split < 1:
        joined[:, max(at - 1, 0) : at + 1] = 255
    return joined


def png(picture: "NDArray[np.uint8]") -> bytes:
    """A picture (h, w, 3) as a PNG file."""
    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()
