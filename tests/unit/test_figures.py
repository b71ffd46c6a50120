"""Figures: what they draw is read from their artists, never from pixels; files are the same bytes twice."""

import contextlib
import itertools
import os
import re
import subprocess
import sys
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox
from PIL import Image
from skimage.color import rgb2lab

from paperlib.datasets.world_pictures import ImageSet
from paperlib.experiments.artefacts import Figure1Data, Figure2Data
from paperlib.experiments.extracting.explore import Choice, View
from paperlib.experiments.masking.explore import MaskChoice
from paperlib.experiments.masking.explore import View as MaskView
from paperlib.paper import METHODS, look
from paperlib.show import figures, style

REPOSITORY = Path(__file__).resolve().parents[2]
FRACTIONS = (0.1, 0.5, 0.9)
SETTINGS = (("world", "baseline"), ("world", "uniform_observers"), ("world_uniform", "baseline"))
PAPER_MAPS = ("saliency", "gradcam", "half_image")
MAPS = (*PAPER_MAPS, "random")
PAPER_FILLS = ("black", "mean")
FILLS = (*PAPER_FILLS, "navier_stokes")
NETWORKS = tuple(("koniq10k", name) for name in ("baseline", "topiq", "dbcnn", "clipiqa_plus", "own.networks:my_factory"))


@pytest.fixture(scope="module")
def figure1_data() -> Figure1Data:
    rng = np.random.default_rng(1)
    maps = {"Saliency": rng.random((3, 8, 12)), "GradCAM of the Baseline": rng.random((3, 8, 12))}
    return Figure1Data(rng.integers(0, 256, (3, 8, 12, 3), dtype=np.uint8), maps, ("one", "two", "three"))


def curves(settings: tuple[tuple[str, str], ...] = SETTINGS) -> Figure2Data:
    rng = np.random.default_rng(2)
    rows = [
        {
            "world": world,
            "network": network,
            "fill": fill,
            "map": name,
            "strategy": strategy,
            "fraction": fraction,
            "srocc": 0.8 - 0.5 * fraction + (0.2 * (name != "random") if strategy == "LeRF" else 0) + rng.normal(0, 0.005),
            "n": 300,
        }
        for (world, network), fill, name, strategy, fraction in itertools.product(
            settings, FILLS, MAPS, ("MoRF", "LeRF"), FRACTIONS[::-1]
        )
    ]
    frame = pd.DataFrame(rows).assign(low=lambda f: f["srocc"] - 0.05, high=lambda f: f["srocc"] + 0.05)
    unmasked = pd.DataFrame([{"world": w, "network": n, "srocc": 0.8 + i / 100} for i, (w, n) in enumerate(settings)])
    return Figure2Data(frame, unmasked)


@pytest.fixture(scope="module")
def figure2() -> figures.PaperFigure:
    return figures.figure2(curves())


@pytest.fixture(scope="module")
def extended() -> figures.PaperFigure:
    return figures.figure2_extended(curves())


@pytest.fixture(scope="module")
def five_networks() -> figures.PaperFigure:
    return figures.figure2(curves(NETWORKS))


@pytest.fixture(scope="module")
def records() -> ImageSet:
    rng = np.random.default_rng(3)
    n, height, width = 20, 8, 12
    density = rng.random((n, height, width), dtype=np.float32)
    mos = rng.permutation(n).astype(np.float32) / n
    return ImageSet(
        "world",
        rng.integers(0, 256, (n, height, width, 3), dtype=np.uint8),
        np.zeros((n, height, width), np.uint8),
        density / density.sum((1, 2), keepdims=True),
        rng.integers(0, 8, (n, 5, 2), dtype=np.int16),
        {"saliency": mos, "uniform": mos[::-1]},
        np.zeros((n, 2), np.float32),
        np.array(["blur", "noise"] * 10),
        np.zeros(n, np.int16),
    )


@pytest.fixture(scope="module")
def narrow() -> figures.PaperFigure:
    return figures.figure2(curves(), width=style.COLUMN_WIDTH)


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_figure1_draws_every_image_and_map(figure1_data: Figure1Data) -> None:
    figure = figures.figure1(figure1_data)
    *panels, bar = figure.axes
    grid = np.array(panels).reshape(3, 3)
    for column in range(3):
        np.testing.assert_array_equal(grid[0, column].images[0].get_array(), figure1_data.images[column])
        assert grid[0, column].get_title() == figure1_data.captions[column]
        for row, maps in enumerate(figure1_data.rows.values(), start=1):
            grey, drawn = grid[row, column].images
            assert np.asarray(grey.get_array()).shape == (8, 12)
            np.testing.assert_array_equal(drawn.get_array(), maps[column])
            assert drawn.get_clim() == (0, 1)
    assert [ax.get_ylabel() for ax in grid[:, 0]] == ["Image", "Saliency", "GradCAM of the Baseline"]
    assert bar.get_ylabel() == "map value" and bar.get_ylim() == (0, 1)


WIDE, TALL, SQUARE = (30, 60), (60, 40), (50, 50)


def mixed(sizes: list[tuple[int, int]]) -> Figure1Data:
    rng = np.random.default_rng(6)
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    rows = {name: [rng.random(size) for size in sizes] for name in ("TranSalNet", "GradCAM (Baseline-EfficientNet-B0)")}
    return Figure1Data(images, rows, tuple(f"COCO_val2014_{number:012d}" for number in range(len(sizes))))


def test_figure1_takes_pictures_of_any_shape_at_one_height() -> None:
    sizes = [WIDE, TALL, SQUARE, TALL]
    data = mixed(sizes)
    figure = figures.figure1(data)
    *panels, _ = figure.axes
    grid = np.array(panels).reshape(3, len(sizes))
    boxes = [ax.get_window_extent() for ax in panels]
    assert np.ptp([box.height for box in boxes]) < 1e-6
    for column, (height, width) in enumerate(sizes):
        for row, maps in enumerate([data.images, *data.rows.values()]):
            box = grid[row, column].get_window_extent()
            assert box.width / box.height == pytest.approx(width / height)
            np.testing.assert_array_equal(grid[row, column].images[-1].get_array(), maps[column])
        assert len({round(ax.get_window_extent().x0, 6) for ax in grid[:, column]}) == 1
    assert not any(one.overlaps(two) for one, two in itertools.combinations(boxes, 2))


def test_figure1_of_arrays_and_of_lists_is_one_figure(figure1_data: Figure1Data) -> None:
    rows = {label: list(maps) for label, maps in figure1_data.rows.items()}
    lists = Figure1Data(list(figure1_data.images), rows, figure1_data.captions)
    assert figures.for_screen(figures.figure1(lists)) == figures.for_screen(figures.figure1(figure1_data))


@pytest.mark.parametrize("sizes", [[TALL], [WIDE] * 2, [WIDE, TALL, SQUARE] * 7], ids=["one", "two", "many"])
def test_figure1_of_few_or_many_pictures_stays_readable(sizes: list[tuple[int, int]]) -> None:
    figure = figures.figure1(mixed(sizes))
    *panels, bar = figure.axes
    assert len(panels) == 3 * len(sizes)
    heights = [ax.get_window_extent().height / figure.dpi for ax in panels]
    assert figures.PICTURE_HEIGHT[0] <= min(heights) and max(heights) <= figures.PICTURE_HEIGHT[1] + 1e-6
    assert figure.get_size_inches()[0] <= style.FULL_WIDTH + 1e-6
    assert [ax.get_title() for ax in panels if ax.get_title()] and bar.get_ylabel() == "map value"
    assert boxes_inside(figure)


@pytest.fixture(scope="module")
def view() -> View:
    rng = np.random.default_rng(7)
    metrics = {"NSS": 1.2345, "SIM": 0.5, "CC": float("nan"), "KLD": 0.25}
    image = rng.integers(0, 256, (*WIDE, 3), dtype=np.uint8)
    choice = Choice(0, "Baseline", sign="negative")
    return View(choice, "3: a <picture>", image, rng.random(WIDE), "Gaze density", rng.random(WIDE), metrics)


def test_the_explorer_shows_image_gaze_map_and_numbers(view: View) -> None:
    image, gaze, found, bar = figures.explored(view).axes
    np.testing.assert_array_equal(image.images[0].get_array(), view.image)
    np.testing.assert_array_equal(gaze.images[1].get_array(), view.density)
    np.testing.assert_array_equal(found.images[1].get_array(), view.saliency)
    assert [ax.get_title() for ax in (image, gaze, found)] == [
        "3: a <picture>",
        "Gaze density",
        "Baseline, negative evidence",
    ]
    assert found.get_xlabel().split("   ") == ["NSS 1.234", "SIM 0.500", "CC –", "KLD 0.250"]
    assert bar.get_ylim() == (0, 1)


@pytest.fixture(scope="module")
def mask_view() -> MaskView:
    rng = np.random.default_rng(8)
    image, hidden = rng.integers(0, 256, (2, *WIDE, 3), dtype=np.uint8)
    choice = MaskChoice(0, "half_image", "LeRF", 0.3, "mean")
    return MaskView(choice, "1: a picture", "Baseline", image, rng.random(WIDE), hidden, 1 / 3, 0.75, 0.5, 61.25)


def test_the_masking_explorer_shows_image_map_mask_and_scores(mask_view: MaskView) -> None:
    image, found, hidden, bar = figures.masked(mask_view).axes
    np.testing.assert_array_equal(image.images[0].get_array(), mask_view.image)
    np.testing.assert_array_equal(found.images[1].get_array(), mask_view.relevance)
    np.testing.assert_array_equal(hidden.images[0].get_array(), mask_view.masked)
    assert [ax.get_title() for ax in (image, found, hidden)] == [
        "1: a picture",
        "HalfImage, our reading",
        "LeRF, 33 % masked, ImageNet mean",
    ]
    assert image.get_xlabel() == "score 0.750   MOS 61.250" and hidden.get_xlabel() == "score 0.500   change -0.250"
    assert bar.get_ylim() == (0, 1)
    assert figures.masked(replace(mask_view, mos=None)).axes[0].get_xlabel() == "score 0.750"


def test_screens_get_pictures_as_jpeg_and_lines_as_png(figure1_data: Figure1Data, figure2: figures.PaperFigure) -> None:
    figure = figures.figure1(figure1_data)
    kind, content = figures.for_screen(figure)
    assert kind == "jpeg" and figures.for_screen(figure2)[0] == "png"
    lossless = BytesIO()
    with style.use():
        figure.savefig(lossless, format="png", dpi=figure.dpi)
    with Image.open(BytesIO(content)) as shown, Image.open(lossless) as exact:
        assert shown.format == "JPEG" and shown.size == exact.size
        assert np.abs(np.asarray(shown, float) - np.asarray(exact.convert("RGB"), float)).mean() < 2


def test_an_overlay_is_as_opaque_as_the_map_is_high() -> None:
    values = np.array([[0.0, 0.25], [0.5, 1.0]])
    with style.use():
        ax = figures.overlay(np.zeros((2, 2, 3), np.uint8), values, figures.PaperFigure().add_subplot())
    alpha = ax.images[1].get_alpha()
    assert alpha[0, 0] == 0 and alpha[1, 1] == figures.OVERLAY
    assert (np.argsort(alpha.ravel()) == np.argsort(values.ravel())).all()


@pytest.mark.parametrize(
    "data",
    [
        Figure1Data(np.zeros((2, 4, 4, 3), np.uint8), {"a": np.zeros((2, 4, 5))}, ()),
        Figure1Data(np.zeros((2, 4, 4, 3), np.uint8), {"a": np.zeros((2, 4, 4))}, ("only one",)),
        Figure1Data(np.zeros((2, 4, 4, 3), np.uint8), {"a": np.zeros((1, 4, 4))}, ()),
        Figure1Data([np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)], {"a": [np.zeros((4, 6))] * 2}, ()),
        Figure1Data([], {"a": []}, ()),
    ],
)
def test_figure1_refuses_what_does_not_fit(data: Figure1Data) -> None:
    with pytest.raises(ValueError, match="expected"):
        figures.figure1(data)


def rows_of(frame: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows that hold these values in these columns."""
    return frame[(frame[list(values)] == pd.Series(values)).all(axis=1)]


def assert_draws(ax: Axes, data: Figure2Data, setting: tuple[str, str], fill: str, name: str) -> None:
    """The panel holds the two curves of the data, the score without mask, and a band per strategy."""
    lines = {line.get_linestyle(): line for line in ax.lines if len(line.get_xdata()) == len(FRACTIONS)}
    for strategy, dash in (("LeRF", "-"), ("MoRF", "--")):
        curve = {"world": setting[0], "network": setting[1], "fill": fill, "map": name, "strategy": strategy}
        expected = rows_of(data.curves, **curve).sort_values("fraction")
        np.testing.assert_array_equal(lines[dash].get_xdata(), FRACTIONS)
        np.testing.assert_array_equal(lines[dash].get_ydata(), expected["srocc"])
        assert to_hex(lines[dash].get_color()) == style.map_look(name).colour
        low, high = ax.get_ylim()
        assert low < expected["low"].min() and expected["high"].max() < high
    unmasked = [line for line in ax.lines if len(line.get_xdata()) == 2]
    expected = rows_of(data.unmasked, world=setting[0], network=setting[1])["srocc"].tolist()
    assert [line.get_ydata()[0] for line in unmasked] == expected
    assert len(ax.collections) == 2


def test_figure2_has_the_papers_layout(figure2: figures.PaperFigure) -> None:
    data = curves()
    panels = np.array(figure2.axes).reshape(len(PAPER_FILLS), len(PAPER_MAPS) + 1)
    for (row, fill), (column, name) in itertools.product(enumerate(PAPER_FILLS), enumerate(PAPER_MAPS)):
        ax = panels[row, column]
        assert_draws(ax, data, SETTINGS[0], fill, name)
        assert ax.get_title() == (style.map_look(name).label if row == 0 else "")
    assert [ax.get_ylabel() for ax in panels[:, 0]] == ["SROCC,\nblack fill", "SROCC,\nImageNet mean fill"]
    assert len({ax.get_ylim() for ax in panels[:, :-1].flat}) == 1


def test_figure2_draws_what_there_is_of_the_papers_layout() -> None:
    data = curves(SETTINGS[:1])
    without = data.curves[data.curves["map"].isin(["gradcam", "random"]) & (data.curves["fill"] != "mean")]
    (ax,) = figures.figure2(Figure2Data(without, data.unmasked)).axes
    assert_draws(ax, data, SETTINGS[0], "black", "gradcam")
    other = data.curves[(data.curves["map"] == "random") & (data.curves["fill"] == "navier_stokes")]
    (ax,) = figures.figure2(Figure2Data(other, data.unmasked)).axes
    assert_draws(ax, data, SETTINGS[0], "navier_stokes", "random")


def test_the_extended_figure_has_all_maps_and_fills_of_one_network(extended: figures.PaperFigure) -> None:
    data = curves()
    panels = np.array(extended.axes).reshape(len(FILLS), len(MAPS))
    for (row, fill), (column, name) in itertools.product(enumerate(FILLS), enumerate(MAPS)):
        assert_draws(panels[row, column], data, SETTINGS[0], fill, name)
    assert panels[0, 2].get_title().replace("\n", " ") == "HalfImage, our reading"
    assert panels[2, 0].get_ylabel().replace("\n", " ") == "SROCC, Navier–Stokes fill"


def test_several_networks_get_a_block_of_the_papers_layout_each(five_networks: figures.PaperFigure) -> None:
    data = curves(NETWORKS)
    *blocks, last = five_networks.subfigs
    assert [block.get_suptitle() for block in blocks] == [look(name).label for _, name in NETWORKS]
    for block, setting in zip(blocks, NETWORKS, strict=True):
        panels = np.array(block.axes).reshape(len(PAPER_FILLS), len(PAPER_MAPS))
        for (row, fill), (column, name) in itertools.product(enumerate(PAPER_FILLS), enumerate(PAPER_MAPS)):
            assert_draws(panels[row, column], data, setting, fill, name)
    assert len({ax.get_ylim() for block in blocks for ax in block.axes}) == 1
    gaps = figures.gap_frame(data)
    for ax, fill in zip(last.axes, PAPER_FILLS, strict=True):
        for line, name in zip(ax.lines[1:], PAPER_MAPS, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), rows_of(gaps, fill=fill, map=name)["gap"])
    sizes = [ax.get_window_extent().size / five_networks.dpi for block in blocks for ax in block.axes]
    assert np.min(sizes) > 0.5, "inches: readable"


def test_figure2_bands_are_the_intervals(figure2: figures.PaperFigure) -> None:
    data = curves()
    ax = figure2.axes[0]
    here = data.curves.query("world == 'world' and network == 'baseline' and fill == 'black' and map == 'saliency'")
    corners = np.concatenate([band.get_paths()[0].vertices for band in ax.collections])
    assert corners[:, 1].min() == here["low"].min() and corners[:, 1].max() == here["high"].max()
    bare = data.curves.assign(low=np.nan, high=np.nan)
    assert len(figures.figure2(Figure2Data(bare, data.unmasked)).axes[0].collections) == 0


def test_figure2_names_the_strategies_where_they_part(figure2: figures.PaperFigure, extended: figures.PaperFigure) -> None:
    saliency = figure2.axes[0]
    names = {text.get_text(): text for text in saliency.texts if isinstance(text, Annotation)}
    assert names["LeRF"].xy[1] > names["MoRF"].xy[1] and names["LeRF"].xy[0] == names["MoRF"].xy[0]
    assert names["LeRF"].xy[0] == 0.5 and "no mask" in names
    assert "LeRF" not in texts(extended.axes[MAPS.index("random")])


def test_figure2_sets_the_controls_beside_the_network(figure2: figures.PaperFigure) -> None:
    gaps = figures.gap_frame(curves())
    for row, fill in enumerate(PAPER_FILLS):
        ax = figure2.axes[row * 4 + 3]
        labels = [label.get_text().replace("\n", " ") for label in ax.get_yticklabels()]
        assert labels == ["Baseline", "Baseline, uniform observers", "Micro-world, uniform observers"]
        for line in ax.lines[1:]:
            (name,) = [name for name in PAPER_MAPS if style.map_look(name).label == line.get_label()]
            expected = rows_of(gaps, fill=fill, map=name)["gap"]
            np.testing.assert_array_equal(line.get_xdata(), expected)
            np.testing.assert_array_equal(line.get_ydata().round(), [0, 1, 2])
            assert line.get_marker() == style.map_look(name).marker
        heights = [line.get_ydata()[0] for line in ax.lines[1:]]
        assert sorted(heights) == heights and len(set(heights)) == len(PAPER_MAPS), "no dot lies on another"
    assert len(figures.figure2(curves(SETTINGS[:1])).axes) == len(PAPER_FILLS) * len(PAPER_MAPS)


def areas() -> pd.DataFrame:
    """As `paperlib.experiments.masking.results.areas_by_opinion`; people did not see the last fill."""
    values = itertools.product(("saliency", "gradcam", "random"), FILLS, ("people", "saliency", "uniform"))
    rows = [
        {"opinions": who, "dataset": "biq2021" if who == "people" else "world", "network": who, "fill": fill, "map": name}
        for name, fill, who in values
        if (who, fill) != ("people", FILLS[-1])
    ]
    value = np.linspace(-0.1, 0.5, len(rows))
    return pd.DataFrame(rows).assign(value=value, low=value - 0.05, high=value + 0.1, n=3, over="repeats")


def test_areas_have_a_line_per_fill_and_opinions_and_a_panel_per_map() -> None:
    figure, data = figures.opinions_and_fills(areas()), areas()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(figure.axes) == 2 and len(names) == len(FILLS) + 2 * 3 + 2
    assert names[:2] == ["black fill", "people, photographs of BIQ2021"]
    for ax, name in zip(figure.axes, ("saliency", "gradcam"), strict=True):
        dots = {line.get_ydata()[0]: line for line in ax.lines if len(line.get_xdata()) == 1}
        bars = {line.get_ydata()[0]: line for line in ax.lines if line.get_alpha()}
        expected = data[data["map"] == name]
        assert len(dots) == len(bars) == len(expected)
        for one in expected.itertuples():
            first = names.index(f"{style.fill_label(one.fill)} fill")
            place = first + names[first:].index(style.opinions_look(one.opinions, one.dataset).label)
            assert dots[place].get_xdata()[0] == one.value and list(bars[place].get_xdata()) == [one.low, one.high]
            assert to_hex(dots[place].get_color()) == style.OPINIONS[one.opinions].colour


def test_the_gap_is_the_mean_distance_of_the_curves() -> None:
    data = curves()
    gap = figures.gap_frame(data).set_index(["world", "network", "fill", "map"])["gap"]
    assert len(gap) == len(SETTINGS) * len(FILLS) * len(MAPS)
    for key, part in data.curves.groupby(["world", "network", "fill", "map"]):
        means = part.groupby("strategy")["srocc"].mean()
        assert gap.loc[[key]].item() == pytest.approx(means["LeRF"] - means["MoRF"])


def test_the_world_sheet_runs_from_low_to_high_scores(records: ImageSet) -> None:
    grid = np.array(figures.world_sheet(records).axes).reshape(4, 6)
    mos = records.mos["saliency"]
    order = np.argsort(mos)[[0, 2, 3, 5, 7, 9, 10, 12, 14, 16, 17, 19]]
    for place, index in enumerate(order):
        band, column = divmod(place, 6)
        picture, gaze = grid[2 * band, column], grid[2 * band + 1, column]
        np.testing.assert_array_equal(picture.images[0].get_array(), records.images[index])
        assert picture.get_title() == f"MOS {mos[index]:.2f}, {records.family[index]}"
        drawn = np.asarray(gaze.images[1].get_array())
        np.testing.assert_allclose(drawn / drawn.sum(), records.density[index], rtol=1e-4)
        np.testing.assert_array_equal(gaze.lines[0].get_xdata(), records.fixations[index, :, 1])
        np.testing.assert_array_equal(gaze.lines[0].get_ydata(), records.fixations[index, :, 0])


def test_broken_worlds_have_a_dot_and_a_name_per_map() -> None:
    rows = [("real", "prior", 0.3, 0.2, 0.4), ("real", "edges", 0.5, 0.4, 0.6), ("made", "prior", 0.1, -0.1, 0.3)]
    (ax,) = figures.broken_worlds(pd.DataFrame(rows, columns=["way", "map", "CC", "low", "high"])).axes
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == [0.3, 0.5, 0.1]
    assert dots[0].get_color() == dots[2].get_color() != dots[1].get_color()
    assert [text.get_text() for text in ax.texts] == ["prior", "edges", "prior"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["real", "made"]


@pytest.mark.parametrize("count", [5, 7])
def test_the_world_sheet_copes_with_few_records(records: ImageSet, count: int) -> None:
    few = replace(records, mos={name: scores[:count] for name, scores in records.mos.items()})
    visible = [ax for ax in figures.world_sheet(few).axes if ax.get_visible()]
    assert len(visible) == 2 * count


def seeds() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    keys = itertools.product(("world", "world_shifted"), ("SROCC", "CC"), ("baseline", "baseline_sal_loss"), range(3))
    return pd.DataFrame([{"dataset": d, "metric": m, "method": k, "seed": s, "value": rng.random()} for d, m, k, s in keys])


def ingredients(dataset: str, evidence: str, **values: float) -> pd.DataFrame:
    frame = pd.DataFrame({"method": list(values), "value": list(values.values())})
    return frame.assign(dataset=dataset, evidence=evidence, low=frame["value"] - 0.02, high=frame["value"] + 0.01, n=1700)


def test_ingredients_show_every_value_with_its_interval_and_the_prior_at_one_place() -> None:
    photographs = ingredients("osie", "data", center_prior=0.3, baseline=0.34, supervised=0.55)
    world = ingredients("world", "simulation", center_prior=0.5, uniform_observers=0.7, baseline=0.91)
    one, two = figures.ingredients(photographs, world).axes
    assert one.get_title() == "OSIE\n1,700 photographs" and two.get_title() == "Micro-world\nsimulated, 1,700 pictures"
    for ax, shown in ((one, {0: 0.3, 2: 0.34, 3: 0.55}), (two, {0: 0.5, 1: 0.7, 2: 0.91})):
        prior, *lines = ax.lines
        assert list(prior.get_xdata()) == [shown[0]] * 2
        drawn = {float(dot.get_ydata()[0]): float(dot.get_xdata()[0]) for dot in lines[1::2]}
        spans = [line.get_xdata() for line in lines[::2]]
        assert drawn == shown
        np.testing.assert_allclose(spans, [(value - 0.02, value + 0.01) for value in shown.values()])
        low, high = ax.get_xlim()
        np.testing.assert_allclose([shown[0] - low, high - shown[0]], [0.05, 0.47])
    texts = [[note.get_text() for note in ax.texts] for ax in (one, two)]
    assert "no such scores" in texts[0] and "not measured" in texts[1] and "Supervised network" in texts[0]
    assert {"0.30", "0.34", "0.55"} < set(texts[0])


def test_ingredients_of_one_set_are_drawn_once_the_later_ones() -> None:
    first, later = (ingredients("osie", "data", center_prior=value) for value in (0.3, 0.4))
    (ax,) = figures.ingredients(first, later).axes
    assert ax.lines[0].get_xdata()[0] == 0.4


def test_seed_plot_draws_a_dot_per_seed_and_the_mean() -> None:
    rows = seeds()
    figure = figures.seed_plot(rows, ["SROCC", "CC"])
    assert [ax.get_title() for ax in figure.axes] == [
        "SROCC\nMicro-world",
        "CC\nMicro-world",
        "SROCC\nMicro-world, shifted",
        "CC\nMicro-world, shifted",
    ]
    ax = figure.axes[1]
    here = rows.query("dataset == 'world' and metric == 'CC'")
    for place, method in enumerate(("baseline", "baseline_sal_loss")):
        dots = ax.collections[place].get_offsets()
        values = here.loc[here["method"] == method, "value"]
        np.testing.assert_allclose(sorted(dots[:, 0]), sorted(values))
        assert (dots[:, 1] == place).all()
        assert to_hex(ax.collections[place].get_facecolor()[0]) == look(method).colour
        assert ax.lines[0].get_xdata()[place] == pytest.approx(values.mean())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["Baseline", "Baseline-Sal-Loss"]
    assert len(figures.seed_plot(rows, metrics=["CC"]).axes) == 2
    with pytest.raises(ValueError, match="PLCC"):
        figures.seed_plot(rows, metrics=["PLCC"])


def test_figures_leave_no_trace_in_matplotlib() -> None:
    from matplotlib import pyplot

    before = dict(matplotlib.rcParams)
    figures.figure2(curves(SETTINGS[:1]))
    with style.use():
        assert matplotlib.rcParams["pdf.fonttype"] == 42
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def shown_labels(ax: Axes) -> list[Text]:
    ticks = [
        tick.label1 if tick.label1.get_visible() else tick.label2
        for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks()
        if min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    ]
    return [text for text in (ax.title, ax.yaxis.label, *ticks) if text.get_text() and text.get_visible()]


def boxes_inside(figure: figures.PaperFigure) -> list[tuple[Text, Bbox]]:
    """Titles and labels with the room they take, all of it in the figure."""
    width, height = figure.bbox.size
    labels = [text for ax in figure.axes if ax.get_visible() for text in shown_labels(ax)]
    boxes = [text.get_window_extent() for text in labels]
    for text, box in zip(labels, boxes, strict=True):
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1, text
    return list(zip(labels, boxes, strict=True))


@pytest.fixture(scope="module")
def every_figure(
    figure1_data: Figure1Data,
    figure2: figures.PaperFigure,
    extended: figures.PaperFigure,
    five_networks: figures.PaperFigure,
    narrow: figures.PaperFigure,
    records: ImageSet,
    view: View,
    mask_view: MaskView,
) -> list[figures.PaperFigure]:
    return [
        figure2,
        extended,
        five_networks,
        narrow,
        figures.figure1(figure1_data),
        figures.figure1(mixed([WIDE, TALL, SQUARE, TALL])),
        figures.figure1(figure1_data, width=style.COLUMN_WIDTH),
        figures.explored(view),
        figures.masked(mask_view),
        figures.world_sheet(records),
        figures.seed_plot(seeds(), ["SROCC", "CC"]),
        figures.opinions_and_fills(areas()),
    ]


def test_text_stays_inside_the_figure_and_off_its_neighbours(every_figure: list[figures.PaperFigure]) -> None:
    for figure in every_figure:
        labels = boxes_inside(figure)
        assert len(labels) >= 5
        for (a, one), (b, two) in itertools.combinations(labels, 2):
            assert not one.overlaps(two), (a, b)


def test_every_text_is_readable_in_print(every_figure: list[figures.PaperFigure]) -> None:
    for figure in every_figure:
        shown = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
        assert len(shown) > 5 and min(text.get_fontsize() for text in shown) >= 7, "points"
        for text in shown:
            assert figures.contrast_on_white(text.get_color()) >= 4.5, text


SAVE_TWICE = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_figures import curves
from paperlib.show import figures
for kind, content in figures.for_print(figures.figure2(curves())).items():
    Path(sys.argv[1], kind).write_bytes(content)
"""


def test_files_are_the_same_bytes_in_another_process(figure2: figures.PaperFigure, tmp_path: Path) -> None:
    once, twice = figures.for_print(figure2), figures.for_print(figure2)
    script = SAVE_TWICE.format(tests=str(Path(__file__).parent))
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", script, tmp_path], check=True, cwd=tmp_path, env=environment)
    other = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert once == twice == other and set(once) == {"png", "pdf"}


def kinds_of_fonts(content: bytes) -> set[bytes]:
    """What the font dictionaries of a PDF say of their kind, streams unpacked as far as they are packed."""
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", content, flags=re.DOTALL):
        with contextlib.suppress(zlib.error):
            content += zlib.decompress(stream)
    return set(re.findall(rb"/Subtype /(Type\d|TrueType|MMType1|CIDFontType\d)\b", content))


def test_files_embed_their_fonts_and_no_date(
    figure2: figures.PaperFigure, narrow: figures.PaperFigure, figure1_data: Figure1Data
) -> None:
    for figure in (figures.figure1(figure1_data), figure2, narrow):
        files = figures.for_print(figure)
        content = files["pdf"]
        assert kinds_of_fonts(content) == {b"Type0", b"CIDFontType2"}, "TrueType, not Type 3 (pdf.fonttype 42)"
        assert b"/FontFile2" in content and b"DejaVuSans" in content
        assert b"Date" not in content and b"Software" not in files["png"]


def test_one_column_holds_figure2_without_the_controls(narrow: figures.PaperFigure) -> None:
    data = curves()
    panels = np.array(narrow.axes).reshape(len(PAPER_FILLS), len(PAPER_MAPS))
    for (row, fill), (column, name) in itertools.product(enumerate(PAPER_FILLS), enumerate(PAPER_MAPS)):
        assert_draws(panels[row, column], data, SETTINGS[0], fill, name)
    assert narrow.get_size_inches()[0] == style.COLUMN_WIDTH
    several = figures.figure2(curves(NETWORKS[:2]), width=style.COLUMN_WIDTH)
    assert several.get_size_inches()[0] == style.COLUMN_WIDTH and len(several.subfigs) == 3


def test_one_column_holds_figure1_with_its_colour_bar_below(figure1_data: Figure1Data) -> None:
    figure = figures.figure1(figure1_data, width=style.COLUMN_WIDTH)
    *panels, bar = figure.axes
    assert len(panels) == 9 and 2.5 < figure.get_size_inches()[0] <= style.COLUMN_WIDTH
    assert bar.get_xlabel() == "map value" and bar.get_window_extent().y1 < min(ax.get_window_extent().y0 for ax in panels)


# Machado, Oliveira and Fernandes 2009, table 1, severity 1.0; for linear RGB
COLOUR_BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "none": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


def seen(colour: str, blindness: str) -> np.ndarray:
    """CIELAB of a colour as somebody sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(COLOUR_BLINDNESS[blindness] @ linear, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("blindness", COLOUR_BLINDNESS)
def test_maps_differ_in_colour_for_everybody(blindness: str) -> None:
    colours = [known.colour for known in (*style.MAPS.values(), style.OTHER_MAP)]
    with style.use():
        assert sorted(matplotlib.rcParams["axes.prop_cycle"].by_key()["color"]) == sorted(colours)
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(seen(one, blindness) - seen(other, blindness)) >= 20, (one, other)
        assert np.linalg.norm(seen(one, blindness) - seen("white", blindness)) >= 25, one


@pytest.mark.parametrize("blindness", COLOUR_BLINDNESS)
def test_opinions_differ_in_colour_for_everybody(blindness: str) -> None:
    for one, other in itertools.combinations([known.colour for known in style.OPINIONS.values()], 2):
        assert np.linalg.norm(seen(one, blindness) - seen(other, blindness)) > 25, (one, other)


def test_maps_differ_in_marker_too() -> None:
    markers = [known.marker for known in (*style.MAPS.values(), style.OTHER_MAP)]
    assert len(set(markers)) == len(markers)
    assert style.map_look("new_kind").label == "New kind" and style.map_look("new_kind").colour == style.OTHER_MAP.colour


WEIGHTED = ("EW-PSNR, uniform", "EW-PSNR, MSINet", "EW-SSIM, uniform", "EW-SSIM, MSINet")


def test_every_method_has_a_look_of_its_own() -> None:
    looks = [style.method_look(method) for method in (*METHODS, *WEIGHTED)]
    assert all(style.method_look(method) == look(method) for method in METHODS)
    assert len({(one.colour, one.marker) for one in looks}) == len(looks)
    for one in looks[-len(WEIGHTED) :]:
        assert one.label == one.key and one.group == "Control"
        assert one.colour == look("ew_psnr_center" if one.key.startswith("EW-PSNR") else "ew_ssim_center").colour
    own = style.method_look("own, network")
    assert own == look("own, network") and own.group == "Own"


@pytest.mark.parametrize(("profile", "rows"), [("demo", 19), ("rehearsal", 33), ("paper", 33)])
def test_every_row_of_table_3_has_a_look(profile: str, rows: int) -> None:
    from paperlib import profiles
    from paperlib.experiments.compression.plan import lines

    methods = [line.method for line in lines(profiles.load(profile))]
    assert len(methods) >= rows and {style.method_look(method).group for method in methods}.isdisjoint({"Own"})


def test_a_notebook_shows_a_figure_and_a_table_once() -> None:
    import nbformat
    from nbclient import NotebookClient

    build = (
        "import numpy as np\nimport pandas as pd\n"
        "from paperlib.experiments.artefacts import Column, Figure1Data, TableData\n"
        "from paperlib.show import figures, tables\n"
        "data = Figure1Data(np.zeros((2, 4, 6, 3), np.uint8), {'Saliency': np.ones((2, 4, 6))}, ())\n"
        "cell = dict(section='', method='baseline', dataset='world', metric='CC', value=0.5, sd=0.1, low=0.4, high=0.6,\n"
        "            n=3, published=0.637, ranked=True)\n"
        "table = TableData('t', 'Title', '', (Column('world', 'CC', 1, 'CC'),), pd.DataFrame([cell]))"
    )
    cells = [
        build,
        "figures.figure1(data)",
        "%matplotlib inline\nimport matplotlib.pyplot",
        "figures.figure1(data)",
        "tables.display(table)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    del environment["MPLBACKEND"]
    folder = {"metadata": {"path": str(REPOSITORY)}}
    NotebookClient(notebook, kernel_name="python3", timeout=120, resources=folder).execute(env=environment)
    ((without_pyplot,), nothing, (with_pyplot,), (table,)) = [cell.outputs for cell in notebook.cells[1:]]
    assert nothing == []
    for output in (without_pyplot, with_pyplot):
        assert output.output_type == "display_data"
        assert set(output.data) == {"image/jpeg", "text/plain"}
        assert re.fullmatch(r"<PaperFigure size \d+(\.\d+)?x\d+(\.\d+)? with 5 Axes>", output.data["text/plain"])
    assert set(table.data) == {"text/html", "text/plain"}


def test_picture_grid_puts_pictures_of_any_size_at_one_height():
    rows = {
        "photograph": [np.zeros((40, 40, 3), np.uint8), np.zeros((30, 60, 3), np.uint8)],
        "map": [np.zeros((40, 40)), np.zeros((30, 60))],
    }
    figure = figures.picture_grid(rows, ["square", "wide"])
    figure.canvas.draw()
    boxes = [ax.get_window_extent() for ax in figure.axes]
    assert len(boxes) == 4
    assert max(box.height for box in boxes) - min(box.height for box in boxes) < 3
    assert boxes[1].width == pytest.approx(2 * boxes[0].width, rel=0.05)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["square", "wide"]
    assert [ax.get_ylabel() for ax in figure.axes[::2]] == ["photograph", "map"]


@pytest.mark.parametrize(
    "rows", [{}, {"a": []}, {"a": [np.zeros((2, 2))], "b": [np.zeros((2, 2))] * 2}], ids=["none", "empty", "uneven"]
)
def test_picture_grid_refuses_uneven_rows(rows):
    with pytest.raises(ValueError, match="equally many pictures"):
        figures.picture_grid(rows)
