"""Figures 1 and 2, and the pictures around them. Every function draws data that an experiment computed; none saves.

Figures are `PaperFigure` objects outside pyplot's global state: the last line of a notebook cell shows them once, and
nothing has to be closed. Functions for one pair of axes take it and return it; use `style.use()` around them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib import rcParams
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from paperlib.paper import DATASETS, look
from paperlib.paths import atomic_write
from paperlib.show import style
from paperlib.vocabulary import STRATEGIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from paperlib.datasets.records import ImageSet
    from paperlib.experiments.artefacts import Figure1Data, Figure2Data

OVERLAY = 0.9  # opacity of a map where it is 1; it falls with the map's root, so that the image around stays visible
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601
_DASHES = dict(zip(STRATEGIES, ("", (2.4, 1.3)), strict=True))  # LeRF, which keeps the important regions, is solid
_SETTING = ["world", "network"]
CAPTION_INK = 0.056  # inches: width of a character of 7 points
READABLE_GAP = 0.05  # in SROCC: closer curves are not named, the names would hide them


class PaperFigure(Figure):
    """A Matplotlib figure that notebooks show without pyplot."""

    def _repr_png_(self) -> bytes:
        return _render(self, "png", self.dpi)


def _drawn(build: Callable[..., PaperFigure]) -> Callable[..., PaperFigure]:
    """Draw in the paper's style and settle the layout once, so that every later save gives the same bytes."""

    @wraps(build)
    def drawing(*arguments: Any, **options: Any) -> PaperFigure:
        with style.use():
            figure = build(*arguments, **options)
            figure.draw_without_rendering()
            figure.set_layout_engine("none")
        return figure

    return drawing


@_drawn
def figure1(data: Figure1Data) -> PaperFigure:
    """Figure 1: the images, and below them one row of overlaid maps per kind, with one colour bar for all maps.

    Args:
        data: images (n, h, w, 3) uint8; per row label, maps (n, h, w) in [0, 1]; a caption per image, or none at all.

    Raises:
        ValueError: a row of maps or the captions do not fit the images.
    """
    n, height, width, _ = data.images.shape
    for label, maps in data.rows.items():
        if np.shape(maps) != (n, height, width):
            raise ValueError(f"expected maps of shape {(n, height, width)} in row {label!r}, got {np.shape(maps)}; "
                             "resize them to the images")
    if len(data.captions) not in (0, n):
        raise ValueError(f"expected no caption or one for each of {n} images, got {len(data.captions)}")
    panel = (style.FULL_WIDTH - 0.8) / n
    figure, axes = _image_grid(1 + len(data.rows), n, 0.35 + (1 + len(data.rows)) * (panel * height / width + 0.03))
    for column, image in enumerate(data.images):
        axes[0, column].imshow(image)
        if data.captions:
            axes[0, column].set_title(_wrapped(data.captions[column], panel), fontsize=7)
    axes[0, 0].set_ylabel("Image", fontsize=7)
    shown = None
    for row, (label, maps) in zip(axes[1:], data.rows.items(), strict=True):
        row[0].set_ylabel(_wrapped(label, 0.85 * panel * height / width), fontsize=7)
        for ax, image, values in zip(row, data.images, maps, strict=True):
            overlay(image, values, ax)
            shown = ax.images[-1]
    if shown is not None:
        figure.colorbar(shown, ax=axes[1:], label="map value", ticks=[0, 0.5, 1], fraction=0.05, pad=0.01, aspect=28)
    return figure


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


@_drawn
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
        raise ValueError(f"expected rows of equally many pictures and as many captions or none, got "
                         f"{ {label: len(pictures) for label, pictures in rows.items()} } and {len(captions)} captions")
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


@_drawn
def figure2(data: Figure2Data, world: str | None = None, network: str | None = None) -> PaperFigure:
    """Figure 2: SROCC on masked images; one row per fill, one panel per map, LeRF solid and MoRF dashed.

    Where the data hold more than one world or network, a last column sets the mean distance LeRF - MoRF of all of them
    side by side: what the controls share with the network in question is no evidence for the claim.

    Args:
        data: the curves; `low` and `high` are drawn as bands where they are given.
        world: the world of the panels; the first in the data if None.
        network: the network of the panels; the first in that world if None.

    Raises:
        ValueError: there is no curve of that world and network.
    """
    curves = data.curves
    world = curves["world"].iloc[0] if world is None else world
    here = curves[curves["world"] == world]
    network = here["network"].iloc[0] if network is None and len(here) else network
    here = here[here["network"] == network]
    if here.empty:
        known = curves[_SETTING].drop_duplicates().to_records(index=False).tolist()
        raise ValueError(f"expected (world, network) among {known}, got {(world, network)}")
    fills, maps = list(dict.fromkeys(here["fill"])), list(dict.fromkeys(here["map"]))
    gaps = gap_frame(data)
    controls = len(curves[_SETTING].drop_duplicates()) > 1
    figure = PaperFigure(figsize=(style.FULL_WIDTH, 0.35 + 1.75 * len(fills)), layout="constrained")
    grid = figure.add_gridspec(len(fills), len(maps) + controls, width_ratios=[1] * len(maps) + [1.15] * controls)
    first = None
    for row, fill in enumerate(fills):
        for column, name in enumerate(maps):
            ax = first = figure.add_subplot(grid[row, column], sharex=first, sharey=first)
            curve_panel(here[(here["fill"] == fill) & (here["map"] == name)], ax, style.map_look(name).colour)
            _unmasked_line(data.unmasked, world, network, ax, named=column == 0)
            ax.set_title(style.map_look(name).label if row == 0 else "", color=_ink(style.map_look(name).colour))
            ax.set_ylabel(f"SROCC, {fill} fill" if column == 0 else "")
            ax.tick_params(labelleft=column == 0, labelbottom=row == len(fills) - 1)
        if controls:
            ax = figure.add_subplot(grid[row, -1])
            gap_panel(gaps[gaps["fill"] == fill], ax, first=(world, network))
            ax.set_title("Mean LeRF - MoRF" if row == 0 else "")
            ax.tick_params(labelbottom=True)
    figure.supxlabel("fraction of pixels masked", fontsize=8, color="#333333", x=0.5 - 0.11 * controls)
    return figure


def curve_panel(curves: pd.DataFrame, ax: Axes, colour: str) -> Axes:
    """Draw the LeRF and the MoRF curve of one map, named where they lie farthest apart.

    Args:
        curves: columns `strategy`, `fraction`, `srocc`, `low`, `high` of one world, network, fill and map.
        ax: where to draw.
        colour: of lines and bands.
    """
    import seaborn

    seaborn.lineplot(curves, x="fraction", y="srocc", style="strategy", dashes=_DASHES, color=colour, errorbar=None,
                     marker="o", markersize=2.8, markeredgewidth=0, legend=False, ax=ax)
    lines = {name: curve.sort_values("fraction") for name, curve in curves.groupby("strategy", sort=False)}
    for line in lines.values():
        if line[["low", "high"]].notna().all(axis=None):
            ax.fill_between(line["fraction"], line["low"], line["high"], color=colour, alpha=0.16, linewidth=0)
    if set(lines) == set(STRATEGIES):
        lerf, morf = (lines[name].set_index("fraction")["srocc"] for name in STRATEGIES)
        _name_strategies(lerf, morf, ax, colour)
    ax.set(xlabel="", ylabel="", xlim=(0, 1))
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    return ax


def gap_panel(gaps: pd.DataFrame, ax: Axes, first: tuple[str, str] | None = None) -> Axes:
    """Draw the mean distance LeRF - MoRF, one line per world and network, one dot per map.

    Args:
        gaps: rows of `gap_frame` of one fill.
        ax: where to draw.
        first: the (world, network) for the top.
    """
    settings = list(dict.fromkeys(gaps[_SETTING].itertuples(index=False, name=None)))
    settings.sort(key=lambda setting: setting != first)
    places = {setting: place for place, setting in enumerate(settings)}
    ax.axvline(0, color="#808080", linewidth=0.7)
    for name, dots in gaps.groupby("map", sort=False):
        known = style.map_look(name)
        y = [places[setting] for setting in dots[_SETTING].itertuples(index=False, name=None)]
        ax.plot(dots["gap"], y, "o", color=known.colour, label=known.label, markeredgecolor="white",
                markeredgewidth=0.6, markersize=5.5)
    ax.set_yticks(range(len(settings)), [_setting_label(setting, settings[0]) for setting in settings], fontsize=7)
    ax.set_ylim(len(settings) - 0.5, -0.5)
    ax.margins(x=0.12)
    ax.yaxis.tick_right()
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def curve_frame(data: Figure2Data) -> pd.DataFrame:
    """The SROCC that Figure 2 draws: a row per world, network, fill, map and strategy, a column per masked share."""
    order = [*_SETTING, "fill", "map", "strategy"]
    frame = data.curves.set_index([*order, "fraction"])["srocc"].unstack("fraction", sort=False)
    frame = frame[sorted(frame.columns)].round(3)
    frame.columns = [f"{100 * share:.0f} %" for share in frame.columns]
    return frame


def gap_frame(data: Figure2Data) -> pd.DataFrame:
    """Mean over the masked shares of SROCC(LeRF) - SROCC(MoRF): columns world, network, fill, map, gap."""
    order = [*_SETTING, "fill", "map"]
    wide = data.curves.set_index([*order, "fraction", "strategy"])["srocc"].unstack("strategy", sort=False)
    lerf, morf = (wide[strategy] for strategy in STRATEGIES)
    gap = (lerf - morf).groupby(order, sort=False).mean()
    return gap.rename("gap").reset_index()


@_drawn
def world_sheet(records: ImageSet, observers: str = "saliency", count: int = 12, columns: int = 6) -> PaperFigure:
    """Examples of a data set from the lowest to the highest score: image, and below it gaze density and fixations.

    Args:
        records: images with density, fixations, distortion family and MOS.
        observers: which of `records.mos` to show.
        count: number of examples, evenly spread over the ranks of MOS.
        columns: examples per row.

    Raises:
        ValueError: `observers` is not in `records.mos`, or `count` or `columns` is not positive.
    """
    if observers not in records.mos:
        raise ValueError(f"expected observers among {sorted(records.mos)}, got {observers!r}")
    if count < 1 or columns < 1:
        raise ValueError(f"expected at least one example and one column, got {count} and {columns}")
    mos = records.mos[observers]
    chosen = np.argsort(mos, kind="stable")[np.linspace(0, len(mos) - 1, min(count, len(mos))).round().astype(int)]
    columns = min(columns, len(chosen))
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
        gaze.plot(records.fixations[index, :, 1], records.fixations[index, :, 0], ".", color="white", markersize=2,
                  markeredgewidth=0, alpha=0.8)
    return figure


@_drawn
def seed_plot(rows: pd.DataFrame, metrics: Sequence[str] | None = None) -> PaperFigure:
    """One panel per data set and metric: a dot for every seed of every method, and a bar at the mean.

    Args:
        rows: tidy result rows with `method`, `dataset`, `metric` and `value`; one variant only.
        metrics: which metrics, in this order; all if None.

    Raises:
        ValueError: no row has one of the metrics.
    """
    wanted = list(dict.fromkeys(rows["metric"])) if metrics is None else list(metrics)
    panels = [
        (dataset, metric, part)
        for dataset in dict.fromkeys(rows["dataset"])
        for metric in wanted
        if len(part := rows[(rows["dataset"] == dataset) & (rows["metric"] == metric)])
    ]
    if not panels:
        raise ValueError(f"expected rows with a metric of {wanted}, got {sorted(set(rows['metric']))}")
    methods = list(dict.fromkeys(rows["method"]))
    columns = min(4, len(panels))
    bands = -(-len(panels) // columns)
    figure = PaperFigure(figsize=(style.FULL_WIDTH, bands * (0.7 + 0.2 * len(methods))), layout="constrained")
    for place, (dataset, metric, part) in enumerate(panels):
        ax = figure.add_subplot(bands, columns, place + 1)
        seed_panel(part, ax, methods)
        ax.set_title(f"{metric}\n{DATASETS.get(dataset, dataset)}")
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelleft=place % columns == 0)
    return figure


def seed_panel(rows: pd.DataFrame, ax: Axes, methods: Sequence[str] | None = None) -> Axes:
    """Draw the values of one metric, one line per method, one dot per row; a bar marks the mean.

    Args:
        rows: tidy result rows of one data set and metric.
        ax: where to draw.
        methods: the lines from top to bottom; those of the rows if None.
    """
    import seaborn

    methods = list(dict.fromkeys(rows["method"])) if methods is None else list(methods)
    palette = {method: look(method).colour for method in methods}
    seaborn.stripplot(rows, x="value", y="method", order=methods, hue="method", hue_order=methods, palette=palette,
                      jitter=False, alpha=0.75, size=4.5, linewidth=0, legend=False, ax=ax)
    means = rows.groupby("method")["value"].mean().reindex(methods)
    ax.plot(means, range(len(methods)), "|", color="#333333", markersize=9, markeredgewidth=1.2, zorder=4)
    ax.set_yticks(range(len(methods)), [look(method).label for method in methods])
    ax.set(xlabel="", ylabel="", ylim=(len(methods) - 0.5, -0.5))
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    return ax


def save_figure(figure: Figure, name: str, folder: str | Path) -> tuple[Path, Path]:
    """Write `<name>.png` and `<name>.pdf` into `folder`, without time stamps, each at once or not at all.

    Returns:
        The two paths.

    Raises:
        OSError: the folder cannot be written.
    """
    written = []
    for kind in ("png", "pdf"):
        path = Path(folder) / f"{name}.{kind}"
        picture = _render(figure, kind)
        with atomic_write(path, "wb") as file:
            file.write(picture)
        written.append(path)
    return tuple(written)


def _render(figure: Figure, kind: str, dpi: float | None = None) -> bytes:
    metadata = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Creator": None, "Producer": None}}[kind]
    buffer = BytesIO()
    with style.use():
        figure.savefig(buffer, format=kind, metadata=metadata, dpi=dpi or rcParams["savefig.dpi"])
    return buffer.getvalue()


def _image_grid(
    rows: int, columns: int, height: float, widths: Sequence[float] | None = None
) -> tuple[PaperFigure, np.ndarray]:
    figure = PaperFigure(figsize=(style.FULL_WIDTH, height), layout="compressed")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    axes = figure.subplots(rows, columns, squeeze=False, width_ratios=widths)
    for ax in axes.flat:
        _bare(ax)
    return figure, axes


def _bare(ax: Axes) -> Axes:
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return ax


def _wrapped(text: str, inches: float) -> str:
    """Lines of 7 points that are no longer than `inches`."""
    return textwrap.fill(text, max(int(inches / CAPTION_INK), 1), break_long_words=False, break_on_hyphens=False)


def _ink(colour: str) -> str:
    """The colour of a line as a colour for text; light ones would not be legible."""
    return to_hex(0.75 * np.array(to_rgb(colour)))


def _name_strategies(lerf: pd.Series, morf: pd.Series, ax: Axes, colour: str) -> None:
    gap = (lerf - morf).abs()
    if gap.max() < READABLE_GAP:
        return
    at = gap.idxmax()
    upper = lerf[at] >= morf[at]
    for name, value, above in (("LeRF", lerf[at], upper), ("MoRF", morf[at], not upper)):
        side = 1 if above else -1  # curves fall: right of the upper one and left of the lower one there is room
        ax.annotate(name, (at, value), xytext=(3 * side, 2 * side), textcoords="offset points", fontsize=7,
                    ha="left" if above else "right", va="bottom" if above else "top", color=_ink(colour),
                    path_effects=[withStroke(linewidth=2, foreground="white")])


def _unmasked_line(unmasked: pd.DataFrame, world: str, network: str, ax: Axes, named: bool) -> None:
    here = unmasked[(unmasked["world"] == world) & (unmasked["network"] == network)]
    for value in here["srocc"]:
        ax.axhline(value, color="#808080", linewidth=0.8, linestyle=(0, (1, 2)))
        if named:
            ax.annotate("no mask", (1, value), xycoords=("axes fraction", "data"), xytext=(0, 2), fontsize=7,
                        textcoords="offset points", ha="right", va="bottom", color="#666666")


def _setting_label(setting: tuple[str, str], first: tuple[str, str]) -> str:
    """What sets a (world, network) apart from the first one."""
    world, network = DATASETS.get(setting[0], setting[0]), look(setting[1]).label
    if setting[0] == first[0]:
        label = network
    else:
        label = world if setting[1] == first[1] else f"{network}, in {world}"
    return textwrap.fill(label, 20, break_on_hyphens=False)
