"""Figures 1 and 2, and the pictures around them. Every function draws data that an experiment computed; none saves.

Figures are `PaperFigure` objects outside pyplot's global state: the last line of a notebook cell shows them once, and
nothing has to be closed. Functions for one pair of axes take it and return it; use `style.use()` around them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from paperlib.paper import DATASETS, look
from paperlib.show import style
from paperlib.vocabulary import STRATEGIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from matplotlib.text import Annotation
    from matplotlib.typing import ColorType

    from paperlib.datasets.world_pictures import ImageSet
    from paperlib.experiments.artefacts import ClaimResult, Figure1Data, Figure2Data
    from paperlib.experiments.compression.explore import CodedVersion, Published, Standing
    from paperlib.experiments.compression.explore import View as CodingView
    from paperlib.experiments.extracting.explore import View
    from paperlib.experiments.masking.explore import View as MaskView

OVERLAY = 0.9  # opacity of a map where it is 1; it falls with the map's root, so that the image around stays visible
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_DASHES = dict(zip(STRATEGIES, ("", (2.4, 1.3)), strict=True))  # LeRF, which keeps the important regions, is solid
_SETTING = ["world", "network"]
PROSE_INK, NAME_INK = 0.056, 0.063  # inches: width of a character of 7 points in prose, in names of files
LINE, GAP, BAR = 0.13, 0.04, 0.6  # inches: a line of 7 points, between pictures, a colour bar with its labels
PICTURE_HEIGHT = (0.5, 2.0)  # inches: lower rows of Figure 1 are broken, higher ones are a waste
MOST_LINES = 8  # of a name beside a row of Figure 1
INK = "#333333"
MASKED, GAPS = "fraction of pixels masked", "Mean LeRF − MoRF"
MAX_QP = 51  # of H.264
DODGE = 0.32  # of the space of a line of dots: from the first to the last of three, so that none hides another
READABLE_CONTRAST = 4.5  # of text on its ground (WCAG 2.2, AA)
READABLE_GAP = 0.05  # in SROCC: closer curves are not named, the names would hide them

LEARNT = {
    "center_prior": ("Centre prior", "one map for all pictures"),
    "random_head": ("Random head", "pretrained features, weighted at random"),
    "pretrained_activation": ("Pretrained features", "their sum; no score was ever seen"),
    "uniform_observers": ("Baseline, uniform observers", "trained on scores given without attention"),
    "baseline": ("Baseline", "trained on scores"),
    "supervised": ("Supervised network", "trained on gaze"),
}
"""Methods of `paperlib.experiments.extracting.results.ingredients`: their names, and what their maps rest on."""
_TRAINED = {"baseline": look("baseline").colour, "supervised": look("saliency_net").colour}
_RESTS_ON = {
    "simulation": "simulated, {:,} pictures",
    "data": "{:,} photographs",
    "stand-ins": "stand-ins: they mean nothing",
}


class PaperFigure(Figure):
    """A Matplotlib figure that notebooks show once, whether pyplot is loaded or not."""

    def _ipython_display_(self) -> None:
        from IPython.display import display

        kind, content = for_screen(self)
        display({f"image/{kind}": content, "text/plain": repr(self)}, raw=True)


def drawn(build: Callable[..., PaperFigure]) -> Callable[..., PaperFigure]:
    """Draw in the paper's style and settle the layout once, so that every later save gives the same bytes."""

    @wraps(build)
    def drawing(*arguments: Any, **options: Any) -> PaperFigure:
        with style.use():
            figure = build(*arguments, **options)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return figure

    return drawing


@drawn
def figure1(data: Figure1Data, width: float = style.FULL_WIDTH) -> PaperFigure:
    """Figure 1: the images, and below them one row of overlaid maps per kind, with one colour bar for all maps: beside
    them, or below them where the figure is narrow.

    Pictures may differ in size and shape: all get one height, a row that would get too low is broken into several.

    Args:
        data: images (h, w, 3) uint8; per row label, a map (h, w) in [0, 1] for each image; a caption per image, or none
            at all.
        width: of the figure in inches; `style.COLUMN_WIDTH` for one column, a slide or a telephone.

    Raises:
        ValueError: there are no images, or a row of maps or the captions do not fit them.
    """
    _require_fit(data)
    aspects = [image.shape[1] / image.shape[0] for image in data.images]
    beside = width >= style.FULL_WIDTH
    right = BAR if data.rows and beside else GAP
    bands, height, labels, left = _rows_of_maps(aspects, ("Image", *data.rows), width - right)
    captions = [
        _wrapped(text, height * aspect, NAME_INK, whole_words=False)
        for text, aspect in zip(data.captions, aspects, strict=False)
    ]
    above = [GAP + LINE * max((1 + captions[index].count("\n") for index in band if captions), default=0) for band in bands]
    below = len(labels) * (height + GAP)
    used = max(sum(aspects[index] * height + GAP for index in band) for band in bands)
    under = 0 if beside or not data.rows else BAR
    page = Page(left + used + right, sum(above) + len(bands) * below + GAP + under)
    shown = None
    top = 0.0
    for band, head in zip(bands, above, strict=True):
        top += head
        for row, (label, maps) in enumerate(zip(labels, (None, *data.rows.values()), strict=True)):
            x = left
            for index in band:
                ax = page.picture(x, top + row * (height + GAP), aspects[index] * height, height)
                if index == band[0]:
                    ax.set_ylabel(label, fontsize=7)
                if maps is None:
                    ax.imshow(data.images[index])
                    ax.set_title(captions[index] if captions else "", fontsize=7, pad=3)
                else:
                    overlay(data.images[index], maps[index], ax)
                    shown = ax.images[-1]
                x += aspects[index] * height + GAP
        top += below
    if shown is not None and beside:
        start = above[0] + height + GAP
        _map_bar(shown, page.picture(left + used + GAP, start, 0.1, page.height - 2 * GAP - start))
    elif shown is not None:
        _map_bar(shown, page.picture(left, page.height - BAR + 2 * GAP, used - GAP, 0.1), "horizontal")
    return page.figure


def _map_bar(shown: AxesImage, ax: Axes, orientation: Literal["vertical", "horizontal"] = "vertical") -> None:
    """The colour bar of all maps."""
    ax.figure.colorbar(shown, cax=ax, label="map value", ticks=[0, 0.5, 1], orientation=orientation)


def _require_fit(data: Figure1Data) -> None:
    sizes = [np.shape(image)[:2] for image in data.images]
    if not sizes:
        raise ValueError("expected at least one image, got none")
    for label, maps in data.rows.items():
        if (got := [np.shape(one) for one in maps]) != sizes:
            raise ValueError(f"expected maps of the sizes {sizes} in row {label!r}, got {got}; resize them to the images")
    if len(data.captions) not in (0, len(sizes)):
        raise ValueError(f"expected no caption or one for each of {len(sizes)} images, got {len(data.captions)}")


def _rows_of_maps(
    aspects: Sequence[float], names: Sequence[str], width: float
) -> tuple[list[list[int]], float, list[str], float]:
    """As `_bands`, the names of the rows broken to that height, and the room that they take on the left."""
    for lines in range(1, MOST_LINES + 1):
        left = LINE * lines + 2 * GAP
        bands, height = _bands(aspects, width - left)
        labels = [_wrapped(name, height, whole_words=False) for name in names]
        if lines > max(label.count("\n") for label in labels):
            break
    return bands, height, labels, left


def _bands(aspects: Sequence[float], width: float) -> tuple[list[list[int]], float]:
    """Numbers of the pictures that stand side by side, band by band, and the height that all of them get, in inches."""
    lowest, highest = PICTURE_HEIGHT
    for count in range(1, len(aspects) + 1):
        bands = [part.tolist() for part in np.array_split(np.arange(len(aspects)), count)]
        height = min((width - GAP * len(band)) / sum(aspects[index] for index in band) for band in bands)
        if height >= lowest:
            break
    return bands, min(height, highest)


class Page:
    """A figure on which axes are placed in inches from its upper left corner."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        self.figure = PaperFigure(figsize=(width, height))

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        """Axes whose upper left corner lies at (x, y)."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        return self.figure.add_axes(box)

    def picture(self, x: float, y: float, width: float, height: float) -> Axes:
        """As `axes`, without ticks and frame."""
        return _bare(self.axes(x, y, width, height))


@drawn
def explored(view: View) -> PaperFigure:
    """One state of the saliency explorer: image, where people look or are expected to, map of the network, and how well it
    agrees with gaze where there is some."""
    labels = [view.caption, view.reference, f"{view.choice.network}, {view.choice.sign} evidence"]
    page, (image, gaze, found), bar = _three_panels(view.image.shape, labels)
    image.imshow(view.image)
    for ax, values in ((gaze, view.density), (found, view.saliency)):
        overlay(view.image, values, ax)
    numbers = (f"{name} {value:.3f}" if np.isfinite(value) else f"{name} –" for name, value in view.metrics.items())
    found.set_xlabel("   ".join(numbers), fontsize=7, labelpad=4, loc="right")
    _map_bar(found.images[-1], bar)
    return page.figure


@drawn
def masked(view: MaskView) -> PaperFigure:
    """One state of the masking explorer: image, map and masked image, with the network's scores below the images."""
    choice = view.choice
    hidden = f"{choice.strategy}, {100 * view.share:.0f} % masked, {style.fill_label(choice.fill)}"
    page, (image, found, result), bar = _three_panels(
        view.image.shape, [view.caption, style.map_look(choice.map).label, hidden]
    )
    image.imshow(view.image)
    overlay(view.image, view.relevance, found)
    result.imshow(view.masked)
    opinion = "" if view.mos is None else f"   MOS {view.mos:.3f}"
    image.set_xlabel(f"score {view.whole:.3f}{opinion}", fontsize=7, labelpad=4, loc="left")
    change = f"score {view.score:.3f}   change {view.score - view.whole:+.3f}"
    result.set_xlabel(change, fontsize=7, labelpad=4, loc="left")
    _map_bar(found.images[-1], bar)
    return page.figure


@drawn
def coded(view: CodingView) -> PaperFigure:
    """One state of the coding explorer: above the plain and the chosen version and what the encoder was told, below their
    errors and the quantiser of the chosen one."""
    original, preset = view.photograph.image, view.choice.preset
    height, width = original.shape[:2]
    panel = min((style.FULL_WIDTH - 2 * BAR - 4 * GAP) / 3, PICTURE_HEIGHT[1] * width / height)
    tall, above = panel * height / width, GAP + 3 * LINE
    below = above + tall + 2 * LINE
    page = Page(3 * panel + 4 * GAP + 2 * BAR, below + tall + GAP)
    upper, lower = ([page.picture(GAP + x * (panel + GAP), y, panel, tall) for x in range(3)] for y in (above, below))
    for ax, one in zip(upper, (view.plain, view.chosen), strict=False):
        ax.imshow(one.picture)
    overlay(original, view.saliency / max(view.saliency.max(), 1e-12), upper[2])
    worst = max(float(np.percentile(view.plain.error, 99.5)), 1.0)
    for ax, one in zip(lower, (view.plain, view.chosen), strict=False):
        error = ax.imshow(one.error, cmap="inferno", vmin=0, vmax=worst)
    qp = lower[2].imshow(view.chosen.qp, cmap="viridis", vmin=0, vmax=MAX_QP, interpolation="nearest")
    names = [
        f"none: {_measured(view.plain)}",
        f"{preset}: {_measured(view.chosen)}",
        "saliency, as told to the encoder",
        "error of none",
        f"error of {preset}",
        f"QP of {preset}",
    ]
    for ax, name in zip([*upper, *lower], names, strict=True):
        ax.set_title(_wrapped(name, panel), fontsize=7, pad=3)
    for place, (image, label) in enumerate([(error, "error"), (qp, "QP")]):
        bar = page.picture(3 * panel + 4 * GAP + place * BAR, below, 0.1, tall)
        page.figure.colorbar(image, cax=bar, label=label)
    return page.figure


def _measured(one: CodedVersion) -> str:
    found = one.measures
    return f"{found['bpp']:.3f} bpp, PSNR {found['PSNR']:.2f}, EW-PSNR {found['EW-PSNR']:.2f} dB, score {found['score']:.2f}"


@drawn
def beside_blind(table: Published) -> PaperFigure:
    """The methods of Table III in SROCC and FracCP, and as a line across each what a method reaches that sees no picture,
    with its 95 % interval. Arrows lead from a method to the same one told about saliency; stars were measured here."""
    page = Page(style.FULL_WIDTH, 5.1)
    ax = page.axes(0.55, 0.3, style.FULL_WIDTH - 0.65, 4.3)
    methods = f"The paper's {len(table.values)} methods on SACID (dots), and what needs no picture (lines)"
    ax.set_title(methods, loc="left", fontweight="bold")
    every = pd.concat([table.values, table.measured])
    points, low, high = every[["SROCC", "FracCP"]].to_numpy(), every["SROCC"].min() - 0.012, table.interval["SROCC"][1]
    ax.set(xlim=(low, high + 0.028), ylim=(min(0.5, every["FracCP"].min()) - 0.055, table.interval["FracCP"][1] + 0.012))
    ax.set(xlabel="SROCC over all versions of a photograph", ylabel="FracCP within a bit-rate (chance: 0.5)")
    for line, band, metric in ((ax.axvline, ax.axvspan, "SROCC"), (ax.axhline, ax.axhspan, "FracCP")):
        band(*table.interval[metric], color="black", alpha=0.07, linewidth=0)
        line(table.blind[metric], color="black", linewidth=1.4)
    for section, shown in table.values.groupby("section", sort=False):
        ax.plot(shown["SROCC"], shown["FracCP"], "o", color=SECTION_COLOURS[section], label=SECTION_LABELS[section])
    if len(table.measured):
        ax.plot(table.measured["SROCC"], table.measured["FracCP"], "*", color=INK, markersize=7, label="measured here")
    arrows = [table.values.loc[[*pair], ["SROCC", "FracCP"]].to_numpy() for pair in TOLD_ABOUT_SALIENCY.items()]
    for start, end in arrows:
        ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "#888888", "shrinkA": 3, "shrinkB": 3})
    upright = np.column_stack([np.full(100, table.blind["SROCC"]), np.linspace(*ax.get_ylim(), 100)])
    lines = np.concatenate([upright, *(np.linspace(start, end, 40) for start, end in arrows)])
    _name_points(ax, points, list(every["label"]), lines)
    _name_lines(ax, table)
    return page.figure


def _name_lines(ax: Axes, table: Published) -> None:
    """What stands beside the lines of `beside_blind`, the corner beyond both, the key of the arrows and of the intervals."""
    halo = {"path_effects": [withStroke(linewidth=3, foreground="white")]}
    strong = {"fontsize": 8, "fontweight": "bold", **halo}
    order, rate = table.blind["FracCP"], table.blind["SROCC"]
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    note(ax, f"one fixed order of the presets, no picture seen: {order:.3f}", (left, order), (4, 4), va="bottom", **strong)
    note(ax, f"bit-rate alone, no picture seen: {rate:.3f}", (rate, bottom), (4, 6), rotation=90, va="bottom", **strong)
    beyond = ((table.values["SROCC"] > rate) & (table.values["FracCP"] > order)).sum()
    corner, middle = ((rate + right) / 2, (order + top) / 2), {"ha": "center", "va": "center"}
    note(ax, f"beyond both:\n{beyond or 'none'} of {len(table.values)}", corner, (4, 0), **middle, **halo)
    place = (left + 0.03, bottom + 0.055)
    wide, tall = table.interval_of(table.values["SROCC"].median(), "SROCC"), table.interval_of(place[1], "FracCP")
    ax.errorbar(*place, xerr=(wide[1] - wide[0]) / 2, yerr=(tall[1] - tall[0]) / 2, color="#666666", linewidth=1)
    words = f"95 % interval of one printed value, {table.photographs} photographs (our estimate)"
    note(ax, words, (place[0], bottom), (5, 6), va="bottom", color=INK)
    ax.plot([], [], color="#888888", marker=">", label="the same, told of saliency")
    ax.legend(loc="upper left", bbox_to_anchor=(0, 0.63), handlelength=1.4)


TOLD_ABOUT_SALIENCY = {"psnr": "ew_psnr", "ssim": "ew_ssim", "sgdnet_none": "sgdnet_output"}
"""Methods of Table III -> the same, told where people look."""
SECTION_COLOURS = {"NSS based": look("baseline").colour, "FR": "#117733", "NR": look("maniqa").colour}
SECTION_LABELS = {"NSS based": "NSS based: classical", "FR": "FR: deep, with the original", "NR": "NR: deep, without it"}


def _name_points(ax: Axes, points: np.ndarray, names: Sequence[str], lines: np.ndarray) -> None:
    """Write a name beside each point (n, 2), so that as few as can be hide a point, a name, or some of `lines` (m, 2)."""
    aligned = [{"ha": ha, "va": va, "fontsize": 6.5, "color": INK} for _, ha, va in _PLACES_OF_NAMES]
    candidates = [
        [note(ax, name, tuple(point), offset, **how) for (offset, *_), how in zip(_PLACES_OF_NAMES, aligned, strict=True)]
        for point, name in zip(points, names, strict=True)
    ]
    boxes = np.array([[text.get_window_extent().extents for text in texts] for texts in candidates])
    frame = ax.get_window_extent()
    fixed = 0.01 * np.arange(len(_PLACES_OF_NAMES)) + (boxes[..., 0] < frame.x0) + (boxes[..., 2] > frame.x1)
    for reach, some in ((4, points), (1, lines)):
        pixels = ax.transData.transform(some)
        fixed = fixed + _overlaps(boxes[..., None, :], np.hstack([pixels - reach, pixels + reach])).sum(-1)
    between = _overlaps(boxes[:, :, None, None], boxes[None, None])
    for name, kept in enumerate(_least_hidden(fixed, between)):
        for place, text in enumerate(candidates[name]):
            if place != kept:
                text.remove()


def _overlaps(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether boxes (..., 4), of their lower left and upper right corners, have a common area."""
    return np.asarray(((one[..., :2] < other[..., 2:]) & (other[..., :2] < one[..., 2:])).all(-1))


def _least_hidden(fixed: np.ndarray, between: np.ndarray, starts: int = 40) -> np.ndarray:
    """Which of k places (n,) each of n names takes, so that the sum of the costs `fixed` (n, k), and of `between`
    (n, k, n, k) over pairs, is small: one name after the other moves, from several starts."""
    rng, everyone = np.random.default_rng(0), np.arange(len(fixed))
    best, least = np.zeros(len(fixed), int), np.inf
    for _ in range(starts):
        chosen = rng.integers(fixed.shape[1], size=len(fixed))
        for name in rng.permutation(np.tile(everyone, 4)):
            others = everyone[everyone != name]
            chosen[name] = (fixed[name] + between[name][:, others, chosen[others]].sum(1)).argmin()
        pairs = between[everyone[:, None], chosen[:, None], everyone, chosen].sum() - len(fixed)
        cost = fixed[everyone, chosen].sum() + pairs / 2
        if cost < least:
            best, least = chosen.copy(), cost
    return best


_PLACES_OF_NAMES = (
    ((4, 0), "left", "center"),
    ((-4, 0), "right", "center"),
    ((0, 4), "center", "bottom"),
    ((0, -4), "center", "top"),
    ((3, 3), "left", "bottom"),
    ((3, -3), "left", "top"),
    ((-3, 3), "right", "bottom"),
    ((-3, -3), "right", "top"),
    ((0, 11), "center", "bottom"),
    ((0, -11), "center", "top"),
)
"""Offset in points and alignment of a name beside its point, the most readable first."""


@drawn
def standing(view: Standing) -> PaperFigure:
    """One state of the table's explorer: methods ranked by a metric, a dot each; filled where it can be told apart from the
    reference, whose band is grey. On the right the ranks that the other metrics give, the line is what needs no picture."""
    metric, ranking = view.choice.metric, view.ranking
    others = [name.removeprefix("rank ") for name in ranking if name.startswith("rank ") and name != f"rank {metric}"]
    left, right, line = 1.45, 0.55, 0.155
    page = Page(style.FULL_WIDTH, line * len(ranking) + 0.95)
    ax = page.axes(left, 0.36, style.FULL_WIDTH - left - right * len(others) - 0.1, line * len(ranking) + 0.1)
    y = np.arange(len(ranking))
    ax.axvspan(*view.band, color="black", alpha=0.09, linewidth=0)
    ax.axvline(view.value, color="#808080", linewidth=0.8)
    ax.axvline(view.blind, color="black", linewidth=1.2, linestyle=(0, (4, 2)))
    for row, (value, apart, section) in enumerate(zip(ranking[metric], ranking["apart"], ranking["section"], strict=True)):
        colour = SECTION_COLOURS[section]
        ax.plot(value, row, "o", color=colour, markerfacecolor=colour if apart else "white", markersize=5)
    ax.set_yticks(y, ranking["label"], fontsize=7)
    ax.set_ylim(len(ranking) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    open_left(ax)
    alike = f"grey: not told apart from {view.reference} with {view.choice.photographs} photographs"
    ax.set_xlabel(f"{metric}, as printed in Table III   ({alike})")
    low, high = ranking[metric].min(), max(ranking[metric].max(), view.blind, view.value)
    ax.set_xlim(low - 0.06 * (high - low) - 0.005, high + 0.06 * (high - low) + 0.005)
    top = ax.get_xaxis_transform()
    note(ax, "needs no picture", (view.blind, 1), (2, 2), xycoords=top, ha="right", va="bottom")
    for place, other in enumerate(others):
        x = 1 + (place + 0.5) * right / ax.get_position().width / style.FULL_WIDTH
        beside = {"ha": "center", "color": "#444444"}
        note(ax, f"rank in\n{other}", (x, 1), (0, 2), xycoords="axes fraction", va="bottom", **beside)
        for row, rank in enumerate(ranking[f"rank {other}"]):
            note(ax, str(rank), (x, row), (0, 0), xycoords=ax.get_yaxis_transform(), va="center", **beside)
    return page.figure


@drawn
def weights_worth(worth: pd.DataFrame, blind: Mapping[str, float]) -> PaperFigure:
    """FracCP of PSNR and SSIM by what they weigh with, a panel per kind of observers, a dot with its interval each.

    Args:
        worth: of `paperlib.experiments.compression.explore.weights_worth`.
        blind: observers -> what a fixed order of the presets reaches, a dashed line.
    """
    kinds, weights = list(dict.fromkeys(worth["observers"])), list(dict.fromkeys(worth["weights"]))
    if not kinds:
        page = Page(style.FULL_WIDTH, 3 * LINE)
        page.figure.text(0.01, 0.4, "No metric with weights was computed.", fontsize=7)
        return page.figure
    left, gap = 1.55, 0.25
    panel = (style.FULL_WIDTH - left - 0.1 - gap * (len(kinds) - 1)) / len(kinds)
    page = Page(style.FULL_WIDTH, 0.33 * len(weights) + 0.95)
    for place, observers in enumerate(kinds):
        ax = page.axes(left + place * (panel + gap), 0.45, panel, 0.33 * len(weights) + 0.05)
        ax.axvline(blind[observers], color="black", linewidth=1.2, linestyle=(0, (4, 2)))
        for shift, (judge, marker, colour) in zip((-0.14, 0.14), JUDGES, strict=True):
            shown = worth[(worth["observers"] == observers) & (worth["judge"] == judge)]
            y = [weights.index(one) + shift for one in shown["weights"]]
            ends = np.abs(shown[["low", "high"]].to_numpy().T - shown["value"].to_numpy())
            ax.errorbar(shown["value"], y, xerr=ends, fmt=marker, color=colour, linewidth=1.2, markersize=5, label=judge)
        ax.set(xlim=(0.3, 1.02), ylim=(len(weights) - 0.5, -0.5), xlabel="FracCP (chance: 0.5)")
        ax.set_title(OBSERVERS.get(observers, DATASETS.get(observers, observers)), pad=14)
        beside = {"xycoords": ax.get_xaxis_transform(), "ha": "center", "va": "bottom"}
        note(ax, f"fixed preset order {blind[observers]:.2f}", (min(blind[observers], 0.8), 1), (0, 2), **beside)
        ax.set_yticks(range(len(weights)), weights, fontsize=7.5)
        ax.tick_params(labelleft=place == 0)
        ax.grid(axis="y", visible=False)
        open_left(ax)
    page.figure.axes[0].legend(loc="lower left", handletextpad=0.3)
    return page.figure


OBSERVERS = {"photographs": "Assessors look at the subjects", "photographs_uniform": "Assessors look everywhere alike"}
"""Titles of the panels of `weights_worth`, by data set."""
JUDGES = (("PSNR", "o", look("baseline").colour), ("SSIM", "s", look("maniqa").colour))
"""Metrics that are weighed: name, marker, colour."""


def _three_panels(shape: Sequence[int], labels: Sequence[str]) -> tuple[Page, list[Axes], Axes]:
    """Three bare panels of a picture's shape (h, w, ...) under their labels, and axes for a colour bar."""
    height, width = shape[:2]
    panel = min((style.FULL_WIDTH - BAR - 4 * GAP) / 3, PICTURE_HEIGHT[1] * width / height)
    tall = panel * height / width
    captions = [_wrapped(label, panel, NAME_INK, whole_words=False) for label in labels]
    head = GAP + LINE * (1 + max(caption.count("\n") for caption in captions))
    page = Page(3 * panel + 4 * GAP + BAR, head + tall + 2 * LINE)
    axes = [page.picture(GAP + place * (panel + GAP), head, panel, tall) for place in range(3)]
    for ax, caption in zip(axes, captions, strict=True):
        ax.set_title(caption, fontsize=7, pad=3)
    return page, axes, page.picture(3 * panel + 4 * GAP, head, 0.1, tall)


def overlay(image: np.ndarray, values: np.ndarray, ax: Axes) -> Axes:
    """Draw a map over its image, which is turned to grey so that colour means the map alone.

    Args:
        image: (h, w, 3) uint8.
        values: (h, w) in [0, 1].
        ax: where to draw; its ticks go.
    """
    ax.imshow(image @ _LUMA, cmap="gray", vmin=0, vmax=255)
    values = np.asarray(values, float)
    opacity = OVERLAY * values.clip(0, 1) ** 0.5
    ax.imshow(values, cmap="inferno", vmin=0, vmax=1, alpha=opacity, interpolation="bilinear")
    return _bare(ax)


@drawn
def picture_grid(rows: Mapping[str, Sequence[np.ndarray]], captions: Sequence[str] = ()) -> PaperFigure:
    """Pictures side by side at one height, one labelled row of equally many pictures each.

    Args:
        rows: label -> (n, h, w, 3) uint8, or (n, h, w) maps, each stretched to its own range; the pictures of a row may
            differ in size, those of a column may not.
        captions: one above each column, or none.

    Raises:
        ValueError: no rows, rows of different lengths, or captions that do not fit them.
    """
    lengths = {len(pictures) for pictures in rows.values()}
    if len(lengths) != 1 or (n := lengths.pop()) < 1 or len(captions) not in (0, n):
        raise ValueError(
            f"expected rows of equally many pictures and as many captions or none, got "
            f"{ {label: len(pictures) for label, pictures in rows.items()} } and {len(captions)} captions"
        )
    aspects = [picture.shape[1] / picture.shape[0] for picture in next(iter(rows.values()))]
    height = (style.FULL_WIDTH - 0.4) / sum(aspects)
    figure, axes = _image_grid(len(rows), n, 0.3 + (height + 0.03) * len(rows), aspects)
    for row, (label, pictures) in zip(axes, rows.items(), strict=True):
        row[0].set_ylabel(_wrapped(label, 0.85 * height), fontsize=7)
        for ax, picture in zip(row, pictures, strict=True):
            ax.imshow(picture, cmap=None if picture.ndim == 3 else "inferno")
    for ax, caption, aspect in zip(axes[0], captions, aspects, strict=False):
        ax.set_title(_wrapped(caption, height * aspect), fontsize=7)
    return figure


@drawn
def figure2(data: Figure2Data, width: float = style.FULL_WIDTH) -> PaperFigure:
    """Figure 2 in the paper's layout: SROCC on masked images, a row per fill, a column per map; LeRF solid, MoRF dashed.

    It draws the paper's fills and maps of the first world, as far as they are there; `figure2_extended` draws all. Several
    networks that are no controls get a block of panels each. Where the data hold more than one world or network, a last
    column, or block, of a figure of full width sets the mean distance LeRF - MoRF of all of them side by side: what the
    controls share with the network in question is no evidence for the claim.

    Args:
        data: the curves; `low` and `high` are drawn as bands where they are given.
        width: of the figure in inches; `style.COLUMN_WIDTH` for one column, a slide or a telephone: without that column.
    """
    here = _first_world(data)
    world = here["world"].iloc[0]
    networks = list(dict.fromkeys(here["network"]))
    networks = [name for name in networks if look(name).group != "Control"] or networks[:1]
    here, gaps = papers_part(here[here["network"].isin(networks)]), papers_part(gap_frame(data))
    whole = width >= style.FULL_WIDTH
    controls = whole and len(data.curves[_SETTING].drop_duplicates()) > 1
    if len(networks) > 1:
        return _blocks(data, here, gaps, [(world, name) for name in networks], width)
    fills, maps = _fills_and_maps(here)
    height = 0.35 + 1.75 * len(fills) if whole else 0.7 + 1.2 * len(fills)
    figure = PaperFigure(figsize=(width, height), layout="constrained")
    columns = len(maps) + controls
    axes = figure.subplots(len(fills), columns, squeeze=False, width_ratios=[1] * len(maps) + [1.15] * controls)
    span = _span(here, data.unmasked)
    _curve_panels(here, data.unmasked, axes[:, : len(maps)], 0.8 * width / columns, span)
    if controls:
        axes[0, -1].set_title(GAPS)
        _gap_panels(gaps, fills, axes[:, -1], (world, networks[0]))
    figure.supxlabel(MASKED, fontsize=8, color=INK, x=0.5 - 0.11 * controls)
    return figure


@drawn
def figure2_extended(data: Figure2Data) -> PaperFigure:
    """Figure 2 of the first network of the first world with all fills and all maps that there are, the controls too."""
    here = _first_world(data)
    here = here[here["network"] == here["network"].iloc[0]]
    fills, maps = _fills_and_maps(here)
    figure = PaperFigure(figsize=(style.FULL_WIDTH, 0.6 + 1.25 * len(fills)), layout="constrained")
    axes = figure.subplots(len(fills), len(maps), squeeze=False)
    _curve_panels(here, data.unmasked, axes, 0.8 * style.FULL_WIDTH / len(maps), _span(here, data.unmasked))
    figure.supxlabel(MASKED, fontsize=8, color=INK)
    return figure


@drawn
def opinions_and_fills(areas: pd.DataFrame) -> PaperFigure:
    """The area between LeRF and MoRF by fill, and by whose opinions the network learnt: a panel for masking by saliency and
    one by GradCAM, a dot and its 95 % interval for each.

    Args:
        areas: as `paperlib.experiments.masking.results.areas_by_opinion` has them, put together; of equal lines the first
            is drawn.
    """
    lines = list(dict.fromkeys(areas[_LINE].itertuples(index=False, name=None)))
    fills = list(dict.fromkeys(fill for fill, *_ in lines))
    rows = [
        row for fill in fills for row in (f"{style.fill_label(fill)} fill", *(line for line in lines if line[0] == fill))
    ]
    looks = [style.opinions_look(row[1], row[2]) if isinstance(row, tuple) else _HEAD._replace(label=row) for row in rows]
    figure = PaperFigure(figsize=(style.FULL_WIDTH, 0.7 + 0.21 * len(rows)), layout="constrained")
    maps = [name for name in _BY if name in set(areas["map"])]
    axes = figure.subplots(1, len(maps), sharex=True, sharey=True, squeeze=False)[0]
    for ax, name in zip(axes, maps, strict=True):
        known = areas[areas["map"] == name].drop_duplicates(_LINE).set_index(_LINE)
        for place, (row, one) in enumerate(zip(rows, looks, strict=True)):
            if isinstance(row, tuple) and row in known.index:
                _area_dot(ax, place, known.loc[row], one)
        ax.axvline(0, color="#808080", linewidth=1.2)
        ax.set_title(_BY[name])
        open_left(ax)
    axes[0].set_yticks(range(len(rows)), [one.label for one in looks], fontsize=7)
    for tick, row, one in zip(axes[0].get_yticklabels(), rows, looks, strict=True):
        tick.set(color=text_colour(one.colour), fontweight="normal" if isinstance(row, tuple) else "bold")
    axes[0].set_ylim(len(rows) - 0.4, -0.6)
    heading = "the network learnt\nthe opinions of"
    note(axes[0], heading, (0, 1), (-3.5, 0), xycoords="axes fraction", ha="right", va="bottom", color=INK)
    figure.supxlabel("area between LeRF and MoRF: what hiding the important part costs, in SROCC", fontsize=8, color=INK)
    return figure


_LINE = ["fill", "opinions", "dataset", "network"]
_BY = {"saliency": "masked by where people look", "gradcam": "masked by the network's own GradCAM"}
_HEAD = style.MapLook("", INK, "")


def _area_dot(ax: Axes, place: float, area: pd.Series, known: style.MapLook) -> None:
    """A value with its interval on a line of its own, and the number beside it."""
    ax.plot([area["low"], area["high"]], [place, place], color=known.colour, linewidth=1.8, alpha=0.5)
    ax.plot(area["value"], place, known.marker, color=known.colour, markersize=6, markeredgecolor="white")
    label = f"{area['value']:.2f}".replace("-", "\N{MINUS SIGN}")
    note(ax, label, (area["high"], place), (4, 0), va="center", color=text_colour(known.colour))


def papers_part(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the paper's fills and maps; all fills, or maps, where there is none of the paper's.

    Args:
        frame: with columns `fill` and `map`.
    """
    from paperlib.experiments.masking.results import PAPER_MAPS
    from paperlib.maps.fills import PAPER_FILLS

    for column, names in (("fill", PAPER_FILLS), ("map", PAPER_MAPS)):
        known = frame[column].isin(names)
        frame = frame[known] if known.any() else frame
    return frame


def _first_world(data: Figure2Data) -> pd.DataFrame:
    """The curves of the world in question."""
    return data.curves[data.curves["world"] == data.curves["world"].iloc[0]]


def _fills_and_maps(curves: pd.DataFrame) -> tuple[list[str], list[str]]:
    return list(dict.fromkeys(curves["fill"])), list(dict.fromkeys(curves["map"]))


def _blocks(
    data: Figure2Data, curves: pd.DataFrame, gaps: pd.DataFrame, settings: Sequence[tuple[str, str]], width: float
) -> PaperFigure:
    """The paper's layout once per (world, network) and a block of all their gaps, two side by side where there is room."""
    fills, maps = _fills_and_maps(curves)
    across = 2 if width >= style.FULL_WIDTH else 1
    bands = -(-(len(settings) + 1) // across)
    figure = PaperFigure(figsize=(width, 0.2 + bands * (0.65 + 0.95 * len(fills))), layout="constrained")
    *blocks, last = figure.subfigures(bands, across, squeeze=False).ravel()[: len(settings) + 1]
    inches = 0.8 * width / (across * len(maps))
    for block, (_, network) in zip(blocks, settings, strict=True):
        block.supxlabel(MASKED, fontsize=8, color=INK)
        block.suptitle(_wrapped(look(network).label, 0.9 * width / across, whole_words=False), fontsize=8.5)
        axes = block.subplots(len(fills), len(maps), squeeze=False)
        of_network = curves[curves["network"] == network]
        _curve_panels(of_network, data.unmasked, axes, inches, _span(curves, data.unmasked), titles=7)
    last.suptitle(GAPS, fontsize=8.5)
    axes = last.subplots(len(fills), 1, sharex=True, squeeze=False).ravel()
    _gap_panels(gaps, fills, axes, settings[0])
    for ax, fill in zip(axes, fills, strict=True):
        ax.set_ylabel(_wrapped(f"{style.fill_label(fill)} fill", inches, NAME_INK))
    return figure


def _curve_panels(
    curves: pd.DataFrame,
    unmasked: pd.DataFrame,
    axes: np.ndarray,
    inches: float,
    span: tuple[float, float],
    titles: float | None = None,
) -> None:
    """Draw the curves of one world and network on `axes` (fills, maps), each about `inches` wide, its vertical axis over
    `span`; `titles` is the size of the names of the maps in points."""
    fills, maps = _fills_and_maps(curves)
    world, network = curves[_SETTING].iloc[0]
    for row, fill in zip(axes, fills, strict=True):
        for ax, name in zip(row, maps, strict=True):
            known = style.map_look(name)
            _curve_panel(curves[(curves["fill"] == fill) & (curves["map"] == name)], ax, known.colour)
            _unmasked_line(unmasked, world, network, ax, named=ax is axes[0, 0] and titles is None)
            ax.set_ylim(span)
            ax.tick_params(labelleft=ax is row[0], labelbottom=fill == fills[-1])
            if fill == fills[0]:
                ax.set_title(_wrapped(known.label, inches, NAME_INK), color=text_colour(known.colour), fontsize=titles)
        row[0].set_ylabel("SROCC,\n" + _wrapped(f"{style.fill_label(fill)} fill", inches, NAME_INK))


def _gap_panels(gaps: pd.DataFrame, fills: Sequence[str], axes: Iterable[Axes], first: tuple[str, str]) -> None:
    """One `_gap_panel` per fill."""
    for ax, fill in zip(axes, fills, strict=True):
        _gap_panel(gaps[gaps["fill"] == fill], ax, first)


def _span(curves: pd.DataFrame, unmasked: pd.DataFrame) -> tuple[float, float]:
    """The ends of vertical axes on which all of these curves, and the scores without mask, have room."""
    seen = unmasked.merge(curves[_SETTING].drop_duplicates())
    values = np.concatenate([curves[["srocc", "low", "high"]].to_numpy(float).ravel(), seen["srocc"].to_numpy(float)])
    low, high = np.nanmin(values), np.nanmax(values)
    return low - 0.05 * (high - low), high + 0.12 * (high - low)


def _curve_panel(curves: pd.DataFrame, ax: Axes, colour: str) -> None:
    """The LeRF and the MoRF curve of one world, network, fill and map, named in the middle if they lie apart there."""
    import seaborn

    seaborn.lineplot(
        curves,
        x="fraction",
        y="srocc",
        style="strategy",
        dashes=_DASHES,
        color=colour,
        errorbar=None,
        marker="o",
        markersize=2.8,
        markeredgewidth=0,
        legend=False,
        ax=ax,
    )
    lines = {name: curve.sort_values("fraction") for name, curve in curves.groupby("strategy", sort=False)}
    for line in lines.values():
        if line[["low", "high"]].notna().all(axis=None):
            ax.fill_between(line["fraction"], line["low"], line["high"], color=colour, alpha=0.16, linewidth=0)
    if set(lines) == set(STRATEGIES):
        lerf, morf = (lines[name].set_index("fraction")["srocc"] for name in STRATEGIES)
        _name_strategies(lerf, morf, ax, colour)
    ax.set(xlabel="", ylabel="", xlim=(0, 1))
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _gap_panel(gaps: pd.DataFrame, ax: Axes, first: tuple[str, str]) -> None:
    """The mean distance LeRF - MoRF of one fill: a line per (world, network), the `first` on top, and a dot per map, each a
    little lower than the one before."""
    settings = list(dict.fromkeys(gaps[_SETTING].itertuples(index=False, name=None)))
    settings.sort(key=lambda setting: setting != first)
    places = {setting: place for place, setting in enumerate(settings)}
    ax.axvline(0, color="#808080", linewidth=0.7)
    maps = list(dict.fromkeys(gaps["map"]))
    shifts = DODGE / 2 * (np.arange(len(maps)) - (len(maps) - 1) / 2)
    for shift, name in zip(shifts, maps, strict=True):
        known, dots = style.map_look(name), gaps[gaps["map"] == name]
        y = [places[setting] + shift for setting in dots[_SETTING].itertuples(index=False, name=None)]
        ax.plot(
            dots["gap"],
            y,
            known.marker,
            color=known.colour,
            label=known.label,
            markeredgecolor="white",
            markeredgewidth=0.6,
            markersize=5.5,
        )
    ax.set_yticks(range(len(settings)), [_setting_label(setting, settings[0]) for setting in settings], fontsize=7)
    ax.set_ylim(len(settings) - 0.5, -0.5)
    ax.margins(x=0.12)
    ax.yaxis.tick_right()
    open_left(ax)


def open_left(ax: Axes) -> None:
    """Names at the left need no line and no ticks."""
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def gap_frame(data: Figure2Data) -> pd.DataFrame:
    """Mean over the masked shares of SROCC(LeRF) - SROCC(MoRF): columns world, network, fill, map, gap."""
    order = [*_SETTING, "fill", "map"]
    wide = data.curves.set_index([*order, "fraction", "strategy"])["srocc"].unstack("strategy", sort=False)
    lerf, morf = (wide[strategy] for strategy in STRATEGIES)
    gap = (lerf - morf).groupby(order, sort=False).mean()
    return gap.rename("gap").reset_index()


@drawn
def world_sheet(records: ImageSet) -> PaperFigure:
    """Twelve examples of a data set, evenly spread over the ranks of MOS from the lowest to the highest score: image, and
    below it gaze density and fixations.

    Args:
        records: images with density, fixations, distortion family and the MOS of the observers "saliency".
    """
    mos = records.mos["saliency"]
    chosen = np.argsort(mos, kind="stable")[np.linspace(0, len(mos) - 1, min(12, len(mos))).round().astype(int)]
    columns = min(6, len(chosen))
    bands = -(-len(chosen) // columns)
    height, width = records.images.shape[1:3]
    panel = style.FULL_WIDTH / columns
    figure, axes = _image_grid(2 * bands, columns, bands * (2 * panel * height / width + 0.22))
    for ax in axes.flat:
        ax.set_visible(False)
    for place, index in enumerate(chosen):
        band, column = divmod(place, columns)
        picture, gaze = axes[2 * band, column], axes[2 * band + 1, column]
        picture.set_visible(True)
        picture.imshow(records.images[index])
        picture.set_title(f"MOS {round(float(mos[index]), 2) + 0.0:.2f}, {records.family[index]}", fontsize=7)
        gaze.set_visible(True)
        overlay(records.images[index], records.density[index] / records.density[index].max(), gaze)
        y, x = records.fixations[index].T
        gaze.plot(x, y, ".", color="white", markersize=2, markeredgewidth=0, alpha=0.8)
    return figure


@drawn
def broken_worlds(frame: pd.DataFrame) -> PaperFigure:
    """How well maps agree with gaze, a group of lines per way of breaking the world: a dot at the mean CC, its interval, and
    the map's name beside it.

    Args:
        frame: columns `way`, `map`, `CC`, `low` and `high`, as `paperlib.experiments.broken_world.means` gives them; the
            order of both first columns is kept.
    """
    ways, maps = (list(dict.fromkeys(frame[name])) for name in ("way", "map"))
    palette = dict(zip(maps, rcParams["axes.prop_cycle"].by_key()["color"], strict=False))
    lines = len(frame) + 0.8 * len(ways)
    figure = PaperFigure(figsize=(style.FULL_WIDTH, 0.5 + 0.148 * lines), layout="constrained")
    ax = figure.add_subplot()
    place, middles = 0.0, []
    for _, group in frame.groupby("way", sort=False):
        middles.append(place + (len(group) - 1) / 2)
        for row in group.itertuples():
            _dot(ax, row.CC, row.low, row.high, place, palette[row.map])
            note(ax, row.map, (row.high, place), (5, 0), va="center", color=text_colour(palette[row.map]))
            place += 1
        place += 0.8
        ax.axhline(place - 0.9, color="#e6e6e6", linewidth=0.6)
    ax.axvline(0, color="#808080", linewidth=0.8)
    ax.set_yticks(middles, [_wrapped(way, 1.7) for way in ways])
    ax.tick_params(axis="y", length=0, labelsize=8)
    ax.set(xlabel="CC with where people look (1 is perfect), mean and 95 % interval", ylim=(place - 0.5, -0.8))
    ax.grid(visible=False, axis="y")
    ax.set_xlim(min(-0.05, frame["low"].min() - 0.03), 1.15)
    ax.spines["left"].set_visible(False)
    return figure


_IN_SHORT = {
    "C1": "maps of a quality network beat the centre prior, and lose to those of a gaze network",
    "C2": "hiding what a map calls important costs more than hiding the rest",
    "C3": "training on gaze too keeps quality and makes the maps much better",
    "C4": "PSNR and SSIM weighted by saliency agree better with opinions",
}
_OUTCOMES = {"holds": ("#0173b2", "o"), "not decided": ("#949494", "D"), "does not hold": ("#d55e00", "X")}


@drawn
def claim_dots(results: Sequence[ClaimResult]) -> PaperFigure:
    """How far each quantity of each claim lies above what is needed, and below them the one that decides about each control:
    dots with 95 % intervals, their colour and shape the outcome. A claim without numbers has no panel.

    Args:
        results: of `paperlib.experiments.claims.results`.
    """
    panels = [(one, rows) for one in results if len(rows := _claim_lines(one.parts))]
    heights = [len(rows) + 1.6 for _, rows in panels]
    figure = PaperFigure(figsize=(style.FULL_WIDTH, 0.35 + 0.158 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=heights).flat if panels else ()
    for ax, (one, rows) in zip(axes, panels, strict=True):
        for place, row in enumerate(rows.itertuples()):
            colour, marker = _OUTCOMES[row.outcome]
            value, low, high = (end - row.needed for end in (row.value, row.low, row.high))
            _dot(ax, value, low, high, place, colour, marker)
        labels = [
            row.quantity if row.role == "claim" else f"without {row.lacks}: {row.control}" for row in rows.itertuples()
        ]
        ax.set_yticks(range(len(rows)), labels)
        for tick, role in zip(ax.get_yticklabels(), rows["role"], strict=True):
            tick.set(color=INK if role == "claim" else "#767676", fontweight="bold" if role == "claim" else "normal")
        ax.axvline(0, color="#808080", linewidth=0.9)
        ax.set_title(f"{one.id} ({one.outcome}): {_IN_SHORT[one.id]}", x=1, ha="right", fontsize=8)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.tick_params(axis="y", length=0, labelsize=7)
        ax.grid(visible=False, axis="y")
    if panels:
        ax.set_xlabel("how far above what is needed, 95 % interval")
        figure.text(0.005, 0.995, "bold: what the claim asks for", fontsize=7, va="top", fontweight="bold", color=INK)
        figure.text(0.005, 0.975, "grey: its controls", fontsize=7, va="top", color="#767676")
        looks = _OUTCOMES.items()
        dots = [Line2D([], [], color=colour, marker=marker, linestyle="", label=name) for name, (colour, marker) in looks]
        figure.legend(handles=dots, loc="outside upper right", ncols=3, handletextpad=0.2)
    return figure


def _claim_lines(parts: pd.DataFrame) -> pd.DataFrame:
    """The claim's quantities, then of each control the first that has the control's worst outcome."""
    known = parts[parts["outcome"].isin(_OUTCOMES)]
    controls = known[known["role"] == "control"]
    rank = controls["outcome"].map(list(_OUTCOMES).index)
    deciding = controls[rank == rank.groupby(controls["control"]).transform("max")]
    return pd.concat([known[known["role"] == "claim"], deciding.drop_duplicates("control")])


def _dot(ax: Axes, value: float, low: float, high: float, place: float, colour: str, marker: str = "o") -> None:
    """A dot on its line, and its interval where there is one."""
    ax.plot([low, high], [place, place], color=colour, linewidth=1.4, solid_capstyle="butt")
    ax.plot([value], [place], marker, color=colour, markersize=4.5, markeredgewidth=0)


@drawn
def seed_plot(rows: pd.DataFrame, metrics: Sequence[str]) -> PaperFigure:
    """One panel per data set and metric: a dot for every seed of every method, and a bar at the mean.

    Args:
        rows: tidy result rows with `method`, `dataset`, `metric` and `value`; one variant only.
        metrics: which metrics, in this order.

    Raises:
        ValueError: no row has one of the metrics.
    """
    panels = [
        (dataset, metric, part)
        for dataset in dict.fromkeys(rows["dataset"])
        for metric in metrics
        if len(part := rows[(rows["dataset"] == dataset) & (rows["metric"] == metric)])
    ]
    if not panels:
        raise ValueError(f"expected rows with a metric of {list(metrics)}, got {sorted(set(rows['metric']))}")
    methods = list(dict.fromkeys(rows["method"]))
    columns = min(4, len(panels))
    bands = -(-len(panels) // columns)
    figure = PaperFigure(figsize=(style.FULL_WIDTH, bands * (0.7 + 0.2 * len(methods))), layout="constrained")
    for place, (dataset, metric, part) in enumerate(panels):
        ax = figure.add_subplot(bands, columns, place + 1)
        _seed_panel(part, ax, methods)
        ax.set_title(f"{metric}\n{DATASETS.get(dataset, dataset)}")
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelleft=place % columns == 0)
    return figure


def _seed_panel(rows: pd.DataFrame, ax: Axes, methods: Sequence[str]) -> None:
    """The values of one metric, a line per method, a dot per row; a bar marks the mean."""
    import seaborn

    palette = {method: style.method_look(method).colour for method in methods}
    seaborn.stripplot(
        rows,
        x="value",
        y="method",
        order=methods,
        hue="method",
        hue_order=methods,
        palette=palette,
        jitter=False,
        alpha=0.75,
        size=4.5,
        linewidth=0,
        legend=False,
        ax=ax,
    )
    means = rows.groupby("method")["value"].mean().reindex(methods)
    ax.plot(means, range(len(methods)), "|", color=INK, markersize=9, markeredgewidth=1.2, zorder=4)
    ax.set_yticks(range(len(methods)), [look(method).label for method in methods])
    ax.set(xlabel="", ylabel="", ylim=(len(methods) - 0.5, -0.5))
    open_left(ax)


@drawn
def ingredients(*parts: pd.DataFrame) -> PaperFigure:
    """What each thing that a network has learnt adds to the agreement of its map with gaze: a panel per data set, a line per
    method, a dot with its interval and its value. The dashed line of the centre prior stands at the same place in all
    panels, and all have one scale: what is gained over it can be compared.

    Args:
        parts: `paperlib.experiments.extracting.results.ingredients` of one or several profiles; where two hold the same
            data set, the later one is drawn.
    """
    frame = pd.concat(parts).drop_duplicates(["dataset", "evidence", "method"], keep="last")
    methods = [method for method in LEARNT if method in set(frame["method"])]
    panels = list(frame.groupby(["dataset", "evidence"], sort=False))
    prior = frame[frame["method"] == "center_prior"].set_index(["dataset", "evidence"])["value"]
    gains = frame[["low", "high"]].sub(prior.reindex(pd.MultiIndex.from_frame(frame[["dataset", "evidence"]])).array, axis=0)
    figure = PaperFigure(figsize=(style.FULL_WIDTH, 0.85 + 0.36 * len(methods)), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (key, part) in zip(axes, panels, strict=True):
        _ingredient_panel(part.set_index("method").reindex(methods), ax)
        ax.set_xlim(prior[key] + gains["low"].min() - 0.03, prior[key] + gains["high"].max() + 0.05)
        ax.set_title(f"{DATASETS.get(key[0], key[0])}\n{_RESTS_ON[key[1]].format(int(part['n'].max()))}")
    for place, method in enumerate(methods):
        _name_ingredient(place, method, axes[0])
    label = "agreement with gaze (CC), with 95 % intervals over pictures; dashed: the centre prior"
    figure.supxlabel(label, fontsize=8, color=INK)
    return figure


def _ingredient_panel(part: pd.DataFrame, ax: Axes) -> None:
    """The methods of one data set from top to bottom; a method that it lacks is said to be missing."""
    ax.axvline(part["value"]["center_prior"], color="#808080", linewidth=0.8, linestyle=(0, (3, 2)))
    across: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "center", "va": "center"}
    for place, (method, row) in enumerate(part.iterrows()):
        if np.isnan(row["value"]):
            missing = "no such scores" if method == "uniform_observers" else "not measured"
            note(ax, missing, (0.5, place), (0, 0), color="#808080", fontstyle="italic", **across)
            continue
        colour = _TRAINED.get(str(method), "#555555")
        ax.plot([row["low"], row["high"]], [place, place], "|-", color=colour, linewidth=1.2, markersize=5)
        ax.plot(row["value"], place, "o", color=colour, markersize=4)
        halo = [withStroke(linewidth=2, foreground="white")]
        words = {"ha": "center", "va": "bottom", "color": text_colour(colour), "path_effects": halo}
        note(ax, f"{row['value']:.2f}", (row["value"], place), (0, 3.5), **words)
    ax.set(yticks=[], ylim=(len(part) - 0.5, -0.75))
    open_left(ax)


def _name_ingredient(place: int, method: str, ax: Axes) -> None:
    """The name of a line, and below it what its maps rest on."""
    name, basis = LEARNT[method]
    colour = text_colour(_TRAINED.get(method, "#555555"))
    where: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "ha": "right"}
    note(ax, name, (0, place), (-6, 0), va="bottom", color=colour, fontsize=8, fontweight="bold", **where)
    note(ax, basis, (0, place), (-6, -1), va="top", color="#555555", **where)


def for_print(figure: Figure) -> dict[str, bytes]:
    """The figure as a file of each kind, `"png"` and `"pdf"`, without time stamps."""
    return {kind: _render(figure, kind) for kind in ("png", "pdf")}


def for_screen(figure: Figure) -> tuple[str, bytes]:
    """`"jpeg"` or `"png"`, and the figure as such a file at its own resolution: pictures as JPEG, a third of the size
    of a PNG, lines as PNG."""
    kind = "jpeg" if any(ax.images for ax in figure.axes) else "png"
    return kind, _render(figure, kind, figure.dpi)


_FORMATS: dict[str, dict[str, Any]] = {
    "png": {"metadata": {"Software": None}},
    "pdf": {"metadata": {"CreationDate": None, "Creator": None, "Producer": None}},
    "jpeg": {"pil_kwargs": {"quality": 88, "subsampling": 0, "optimize": True}},
}


def _render(figure: Figure, kind: str, dpi: float | None = None) -> bytes:
    buffer = BytesIO()
    with style.use():
        figure.savefig(buffer, format=kind, dpi=dpi or rcParams["savefig.dpi"], **_FORMATS[kind])
    return buffer.getvalue()


def _image_grid(
    rows: int, columns: int, height: float, widths: Sequence[float] | None = None
) -> tuple[PaperFigure, np.ndarray]:
    tight = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0, compress=True)
    figure = PaperFigure(figsize=(style.FULL_WIDTH, height), layout=tight)
    axes = figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
    for ax in axes.flat:
        _bare(ax)
    return figure, axes


def _bare(ax: Axes) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _wrapped(text: str, inches: float, ink: float = PROSE_INK, whole_words: bool = True) -> str:
    """Lines of 7 points that are no longer than `inches`, but for longer words unless these may be broken too."""
    width, anywhere = max(int(inches / ink), 1), not whole_words
    return textwrap.fill(text, width, break_long_words=anywhere, break_on_hyphens=anywhere)


def text_colour(colour: str) -> str:
    """The colour of a line as a colour for text: as dark as it takes to be read on white."""
    red, green, blue = (0.75 * part for part in to_rgb(colour))
    while contrast_on_white((red, green, blue)) < READABLE_CONTRAST:
        red, green, blue = 0.95 * red, 0.95 * green, 0.95 * blue
    return to_hex((red, green, blue))


def contrast_on_white(colour: ColorType) -> float:
    """Contrast ratio of a colour on white, 1 to 21 (WCAG 2.2)."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return 1.05 / (float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)


def _name_strategies(lerf: pd.Series, morf: pd.Series, ax: Axes, colour: str) -> None:
    at = min(lerf.index, key=lambda fraction: abs(fraction - 0.5))
    if not abs(lerf[at] - morf[at]) >= READABLE_GAP:
        return
    upper = lerf[at] >= morf[at]
    for name, value, above in (("LeRF", lerf[at], upper), ("MoRF", morf[at], not upper)):
        side = 1 if above else -1  # curves fall: right of the upper one and left of the lower one there is room
        note(
            ax,
            name,
            (at, value),
            (3 * side, 2 * side),
            ha="left" if above else "right",
            va="bottom" if above else "top",
            color=text_colour(colour),
            path_effects=[withStroke(linewidth=2, foreground="white")],
        ).set_in_layout(False)


def note(ax: Axes, text: str, at: tuple[float, float], offset: tuple[float, float], **options: Any) -> Annotation:
    """A few words, so many points from a place of the data, in 7 points if the options say no other size."""
    return ax.annotate(text, at, xytext=offset, textcoords="offset points", **{"fontsize": 7, **options})


def _unmasked_line(unmasked: pd.DataFrame, world: str, network: str, ax: Axes, named: bool) -> None:
    here = unmasked[(unmasked["world"] == world) & (unmasked["network"] == network)]
    for value in here["srocc"]:
        ax.axhline(value, color="#808080", linewidth=0.8, linestyle=(0, (1, 2)))
        if named:
            coordinates = ("axes fraction", "data")
            note(ax, "no mask", (1, value), (0, 2), xycoords=coordinates, ha="right", va="bottom", color="#666666")


def _setting_label(setting: tuple[str, str], first: tuple[str, str]) -> str:
    """What sets a (world, network) apart from the first one."""
    world, network = DATASETS.get(setting[0], setting[0]), look(setting[1]).label
    if setting[0] == first[0]:
        label = network
    else:
        label = world if setting[1] == first[1] else f"{network}, in {world}"
    return textwrap.fill(label, 20, break_on_hyphens=False)
