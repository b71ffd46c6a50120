"""Controls for notebooks: they turn what is clicked into a call of an experiment, and draw what comes back."""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from paperlib.errors import PaperlibError
from paperlib.experiments import coding_explorer as coding_explorers
from paperlib.experiments import mask_explorer
from paperlib.experiments.coding_explorer import CodingChoice
from paperlib.experiments.explorer import Choice, Material, explore
from paperlib.experiments.mask_explorer import MaskChoice
from paperlib.maps.hirescam import SIGNS
from paperlib.show import figures, style
from paperlib.vocabulary import FILLS, SMOOTHINGS, STRATEGIES

MOST_PASSES = 12
FRACTION_STEP = 0.05


def saliency_explorer(material: Material) -> ipywidgets.Widget:
    """Look into the networks of `material`: picture, network, smoothing, passes, first component and sign of the
    evidence by controls; below them what `paperlib.show.figures.explored` draws, and the choice in words."""
    first = material.standard
    controls = {
        "image": _dropdown("picture", [(name, index) for index, name in enumerate(material.captions)], first.image),
        "network": _dropdown("network", list(material.networks), first.network),
        "smoothing": _dropdown("smoothing", list(SMOOTHINGS), first.smoothing),
        "n_passes": ipywidgets.IntSlider(
            first.n_passes, 1, max(MOST_PASSES, first.n_passes), description="passes", continuous_update=False
        ),
        "principal_component": ipywidgets.Checkbox(
            first.principal_component, description="first component", indent=False
        ),
        "sign": ipywidgets.ToggleButtons(
            options=list(SIGNS), value=first.sign, description="evidence", tooltips=list(_MEANING.values())
        ),
    }

    def draw(**values: Any) -> tuple[Figure, str]:
        choice = Choice(**values)
        controls["n_passes"].disabled = choice.smoothing != "rotations"
        standard = ", as for Table I" if choice == first else ""
        return figures.explored(explore(material, choice)), f"{_MEANING[choice.sign]} {_in_words(choice)}{standard}."

    return _live(controls, [["image", "network"], ["smoothing", "n_passes", "principal_component"], ["sign"]], draw)


def masking_explorer(material: mask_explorer.Material) -> ipywidgets.Widget:
    """Mask a picture of `material`: picture, map, order, fraction and fill by controls; below them what
    `paperlib.show.figures.masked` draws of the choice, and what the network's score does in words."""
    first = material.standard
    maps = [(style.map_look(name).label, name) for name in material.map_names]
    controls = {
        "image": _dropdown("picture", [(name, index) for index, name in enumerate(material.captions)], first.image),
        "map": _dropdown("map", maps, first.map),
        "strategy": ipywidgets.ToggleButtons(
            options=list(STRATEGIES), value=first.strategy, description="order",
            tooltips=["least relevant first", "most relevant first"],
        ),
        "fraction": ipywidgets.FloatSlider(
            first.fraction, min=0, max=1, step=FRACTION_STEP, description="masked", continuous_update=False
        ),
        "fill": _dropdown("fill", [(style.fill_label(name), name) for name in FILLS], first.fill),
    }

    def draw(**values: Any) -> tuple[Figure, str]:
        view = mask_explorer.masked(material, MaskChoice(**values))
        return figures.masked(view), _scores_in_words(view)

    return _live(controls, [["image", "map"], ["strategy"], ["fraction", "fill"]], draw)


def coding_explorer(material: coding_explorers.Material) -> ipywidgets.Widget:
    """Slide between the presets of a photograph of `material` at equal bit-rate; below the controls what
    `paperlib.show.figures.coded` draws: both versions, their errors, the encoder's map and its quantiser."""
    first = material.standard
    names = [photograph.name for photograph in material.photographs]
    controls = {
        "image": _dropdown("picture", [(name, index) for index, name in enumerate(names)], first.image),
        "bpp": ipywidgets.SelectionSlider(
            options=[(f"{bpp:g}", bpp) for bpp in material.bpps], value=first.bpp, description="bpp", continuous_update=False
        ),
        "preset": ipywidgets.SelectionSlider(
            options=list(material.presets), value=first.preset, description="preset", continuous_update=False
        ),
    }

    def draw(**values: Any) -> tuple[Figure, str]:
        view = coding_explorers.explore(material, CodingChoice(**values))
        return figures.coded(view), _gain_in_words(view)

    return _live(controls, [["image"], ["bpp", "preset"]], draw)


def _live(
    controls: Mapping[str, Any], rows: Sequence[Sequence[str]], draw: Callable[..., tuple[Figure, str]]
) -> ipywidgets.Widget:
    """Rows of controls; below them what `draw` makes of their values, a figure and words (HTML), at every change."""
    picture, words = ipywidgets.Image(), ipywidgets.HTML()

    def show(change: Any = None) -> None:
        words.value = "computing …"
        try:
            figure, text = draw(**{name: control.value for name, control in controls.items()})
        except PaperlibError as error:
            words.value = escape(str(error))
            return
        picture.format, picture.value = figures.for_screen(figure)
        words.value = text

    for control in controls.values():
        control.observe(show, "value")
    show()
    boxes = [ipywidgets.HBox([controls[name] for name in row], layout=_WRAPPING) for row in rows]
    return ipywidgets.VBox([*boxes, picture, words])


_MEANING = {
    "positive": "Positive evidence speaks for a high score: the standard of the paper and of Table I.",
    "negative": "Negative evidence speaks against a high score.",
    "absolute": "Absolute evidence moves the score, either way.",
}
_WRAPPING = {"flex_flow": "row wrap"}


def _dropdown(description: str, options: list[Any], value: Any) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=options, value=value, description=description)


def _in_words(choice: Choice) -> str:
    passes = f"rotations, {choice.n_passes} passes" if choice.smoothing == "rotations" else choice.smoothing
    reduction = "first component" if choice.principal_component else "channel sum"
    return escape(f"{choice.network}, smoothing: {passes}, {reduction}, {choice.sign} evidence")


def _scores_in_words(view: mask_explorer.View) -> str:
    opinion = "" if view.mos is None else f" The MOS of the whole picture is {view.mos:.3f}."
    return escape(f"{view.network} scores the masked picture {view.score:.3f}, the whole one {view.whole:.3f}: "
                  f"{view.score - view.whole:+.3f}.{opinion}")


def _gain_in_words(view: coding_explorers.View) -> str:
    if view.choice.preset == coding_explorers.PLAIN:
        return "This is the plain version; slide to a preset to move its bits."
    gains = {name: view.chosen.measures[name] - view.plain.measures[name] for name in ("PSNR", "EW-PSNR", "score")}
    return escape(f"{view.choice.preset} against the plain version at the same bit-rate: PSNR {gains['PSNR']:+.2f} dB, "
                  f"EW-PSNR {gains['EW-PSNR']:+.2f} dB, subjective score {gains['score']:+.2f}.")
