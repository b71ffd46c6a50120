"""Controls for notebooks: they turn what is clicked into a call of an experiment, and draw what comes back."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

import ipywidgets
from matplotlib.figure import Figure

from paperlib.errors import PaperlibError
from paperlib.experiments import metric_playground as playgrounds
from paperlib.experiments.compression import explore as coding_explorers
from paperlib.experiments.compression.compute import METRICS
from paperlib.experiments.compression.explore import BEST, BLIND, EVERYTHING, TABLE_SECTIONS, CodingChoice, TableChoice
from paperlib.experiments.dual_task import explore as films
from paperlib.experiments.dual_task.explore import NO_FILM, FilmChoice
from paperlib.experiments.extracting.explore import Choice, Material, explore
from paperlib.experiments.masking import explore as mask_explorer
from paperlib.experiments.masking.explore import MaskChoice
from paperlib.experiments.metric_playground import PREDICTION, PRIOR, STARTS, TRANSFORMED, PlayChoice
from paperlib.maps.hirescam import SIGNS
from paperlib.paper import look
from paperlib.show import figures, playground, style
from paperlib.vocabulary import FILLS, SMOOTHINGS, STRATEGIES

MOST_PASSES = 12
FRACTION_STEP = 0.05
WIDEST_BLUR = 16.0  # pixels
FRAME = 1000  # milliseconds: of the training film
JUDGED = (15, 30, 60, 120, 240, 480, 1000)  # photographs that might have been
AS_GOOD = 0.02  # in CC: closer to the centre prior than this, nothing of the map is left


class Explorer(ipywidgets.VBox):
    """Controls with the picture that they change; where no kernel runs, the picture alone."""

    def __init__(self, children: Sequence[ipywidgets.Widget], picture: ipywidgets.Image) -> None:
        super().__init__(children)
        self.picture = picture

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        image = {f"image/{self.picture.format}": b64encode(self.picture.value).decode()}
        words = {"text/plain": "An explorer: its controls appear in JupyterLab, where a kernel runs."}
        return super()._repr_mimebundle_(**options) | words | image


def saliency_explorer(material: Material) -> Explorer:
    """Look into the networks of `material`: picture, network, smoothing, passes, first component and sign of the
    evidence by controls; below them what `paperlib.show.figures.explored` draws, and the choice in words."""
    first = material.standard
    controls = {
        "image": _pictures(material.captions, first.image),
        "network": _dropdown("network", list(material.networks), first.network),
        "smoothing": _dropdown("smoothing", list(SMOOTHINGS), first.smoothing),
        "n_passes": _whole("passes", first.n_passes, 1, max(MOST_PASSES, first.n_passes)),
        "principal_component": ipywidgets.Checkbox(first.principal_component, description="first component", indent=False),
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


def masking_explorer(material: mask_explorer.Material) -> Explorer:
    """Mask a picture of `material`: picture, map, order, fraction and fill by controls; below them what
    `paperlib.show.figures.masked` draws of the choice, and what the network's score does in words."""
    first = material.standard
    maps = [(style.map_look(name).label, name) for name in material.map_names]
    controls = {
        "image": _pictures(material.captions, first.image),
        "map": _dropdown("map", maps, first.map),
        "strategy": ipywidgets.ToggleButtons(
            options=list(STRATEGIES),
            value=first.strategy,
            description="order",
            tooltips=["least relevant first", "most relevant first"],
        ),
        "fraction": _slider("masked", first.fraction, 0, 1, FRACTION_STEP),
        "fill": _dropdown("fill", [(style.fill_label(name), name) for name in FILLS], first.fill),
    }

    def draw(**values: Any) -> tuple[Figure, str]:
        view = mask_explorer.masked(material, MaskChoice(**values))
        return figures.masked(view), _scores_in_words(view)

    return _live(controls, [["image", "map"], ["strategy"], ["fraction", "fill"]], draw)


def coding_explorer(material: coding_explorers.Material) -> Explorer:
    """Slide between the presets of a photograph of `material` at equal bit-rate; below the controls what
    `paperlib.show.figures.coded` draws: both versions, their errors, the encoder's map and its quantiser. Below that
    the photograph once more, plain before and chosen after a line that a slider moves."""
    first = material.standard
    controls = {
        "image": _pictures([photograph.name for photograph in material.photographs], first.image),
        "bpp": _steps("bpp", [(f"{bpp:g}", bpp) for bpp in material.bpps], first.bpp),
        "preset": _steps("preset", list(material.presets), first.preset),
    }
    split = ipywidgets.FloatSlider(0.5, min=0, max=1, step=0.01, description="split", readout=False)
    names_of_halves, halves = ipywidgets.HTML(), ipywidgets.Image(format="png", layout=_LARGE)
    seen: list[coding_explorers.View] = []

    def divide(change: Any = None) -> None:
        view = seen[-1]
        halves.value = playground.png(playground.before_after(view, split.value))
        names_of_halves.value = escape(f"left: {coding_explorers.PLAIN}, right: {view.choice.preset}")

    def draw(**values: Any) -> tuple[Figure, str]:
        view = coding_explorers.explore(material, CodingChoice(**values))
        seen[:] = [view]
        divide()
        return figures.coded(view), _gain_in_words(view)

    live = _live(controls, [["image"], ["bpp", "preset"]], draw)
    split.observe(divide, "value")
    return Explorer([live, ipywidgets.HBox([split, names_of_halves], layout=_WRAPPING), halves], live.picture)


def table_explorer(table: coding_explorers.Published) -> Explorer:
    """Read Table III again: type of methods, metric, what they are compared with, and how many photographs had been judged;
    below the controls what `paperlib.show.figures.standing` draws, and in words what can be told apart."""
    first = TableChoice()
    references = [("the best shown", BEST), ("what needs no picture", BLIND)]
    references += [(label, method) for method, label in table.values["label"].items()]
    sections = [("all", EVERYTHING), *((one, one) for one in TABLE_SECTIONS if one != EVERYTHING)]
    controls = {
        "section": _dropdown("type", sections, first.section),
        "metric": ipywidgets.ToggleButtons(options=list(METRICS), value=first.metric, description="metric"),
        "reference": _dropdown("against", references, first.reference),
        "photographs": _steps("photographs", [(str(n), n) for n in JUDGED], first.photographs),
    }

    def draw(**values: Any) -> tuple[Figure, str]:
        view = coding_explorers.standing(table, TableChoice(**values))
        return figures.standing(view), _apart_in_words(view)

    return _live(controls, [["section", "reference"], ["metric"], ["photographs"]], draw)


def metric_playground(material: playgrounds.Material) -> Explorer:
    """Blur, move, brighten and mix a map of `material` by hand; below the controls what
    `paperlib.show.playground.playground` draws: four metrics before and after the map transform, and the transform."""
    first = material.standard
    height, width = material.world.density.shape[1:]
    controls = {
        "image": _pictures(material.captions, first.image),
        "start": _dropdown("map", [(words, name) for name, words in STARTS.items()], first.start),
        "blur": _slider("blur", first.blur, 0, WIDEST_BLUR, 0.5),
        "shift_x": _whole("move right", first.shift_x, -width // 2, width // 2),
        "shift_y": _whole("move down", first.shift_y, -height // 2, height // 2),
        "power": ipywidgets.FloatLogSlider(
            first.power, base=2, min=-2, max=2, step=0.25, description="power", readout_format=".2f", continuous_update=False
        ),
        "prior_weight": _slider("centre prior", first.prior_weight, 0, 1, FRACTION_STEP),
    }

    def draw(**values: Any) -> tuple[Figure, str]:
        view = playgrounds.play(material, PlayChoice(**values))
        return playground.playground(view), _lift_in_words(view)

    return _live(controls, [["image", "start"], ["blur", "shift_x", "shift_y"], ["power", "prior_weight"]], draw)


def training_explorer(material: films.Material | None) -> ipywidgets.Widget:
    """Watch the map of a network of section III-C while it is trained: picture, network and epoch by controls, or by
    itself; below them what `paperlib.show.playground.watched` draws. Without a film the reason in one line."""
    if material is None:
        return ipywidgets.HTML(escape(NO_FILM))
    first = material.standard
    controls = {
        "image": _pictures(material.captions, first.image),
        "variant": _dropdown("network", [(look(name).label, name) for name in material.variants], first.variant),
        "epoch": _steps("epoch", [(f"{epoch:g}", epoch) for epoch in material.epochs], first.epoch),
    }

    def draw(**values: Any) -> tuple[Figure, str]:
        view = films.watch(material, FilmChoice(**values))
        return playground.watched(view), _progress_in_words(view)

    live = _live(controls, [["image", "variant"], ["epoch"]], draw)
    last = len(material.epochs) - 1
    play = ipywidgets.Play(value=last, min=0, max=last, interval=FRAME)
    ipywidgets.jslink((play, "value"), (controls["epoch"], "index"))
    return Explorer([play, live], live.picture)


def _live(controls: Mapping[str, Any], rows: Sequence[Sequence[str]], draw: Callable[..., tuple[Figure, str]]) -> Explorer:
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
    return Explorer([*boxes, picture, words], picture)


_MEANING = {
    "positive": "Positive evidence speaks for a high score: the standard of the paper and of Table I.",
    "negative": "Negative evidence speaks against a high score.",
    "absolute": "Absolute evidence moves the score, either way.",
}
_WRAPPING = {"flex_flow": "row wrap"}
_LARGE = {"width": "100%", "max_width": "720px", "object_fit": "contain"}


def _pictures(names: Sequence[str], value: int) -> ipywidgets.Dropdown:
    return _dropdown("picture", [(name, index) for index, name in enumerate(names)], value)


def _dropdown(description: str, options: list[Any], value: Any) -> ipywidgets.Dropdown:
    return ipywidgets.Dropdown(options=options, value=value, description=description)


def _slider(description: str, value: float, low: float, high: float, step: float) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(value, min=low, max=high, step=step, description=description, continuous_update=False)


def _whole(description: str, value: int, low: int, high: int) -> ipywidgets.IntSlider:
    return ipywidgets.IntSlider(value, min=low, max=high, description=description, continuous_update=False)


def _steps(description: str, options: list[Any], value: Any) -> ipywidgets.SelectionSlider:
    return ipywidgets.SelectionSlider(options=options, value=value, description=description, continuous_update=False)


def _in_words(choice: Choice) -> str:
    passes = f"rotations, {choice.n_passes} passes" if choice.smoothing == "rotations" else choice.smoothing
    reduction = "first component" if choice.principal_component else "channel sum"
    return escape(f"{choice.network}, smoothing: {passes}, {reduction}, {choice.sign} evidence")


def _scores_in_words(view: mask_explorer.View) -> str:
    opinion = "" if view.mos is None else f" The MOS of the whole picture is {view.mos:.3f}."
    return escape(
        f"{view.network} scores the masked picture {view.score:.3f}, the whole one {view.whole:.3f}: "
        f"{view.score - view.whole:+.3f}.{opinion}"
    )


def _gain_in_words(view: coding_explorers.View) -> str:
    if view.choice.preset == coding_explorers.PLAIN:
        return "This is the plain version; slide to a preset to move its bits."
    gains = {name: view.chosen.measures[name] - view.plain.measures[name] for name in ("PSNR", "EW-PSNR", "score")}
    return escape(
        f"{view.choice.preset} against the plain version at the same bit-rate: PSNR {gains['PSNR']:+.2f} dB, "
        f"EW-PSNR {gains['EW-PSNR']:+.2f} dB, subjective score {gains['score']:+.2f}."
    )


def _apart_in_words(view: coding_explorers.Standing) -> str:
    shown = view.ranking[view.ranking["label"] != view.reference]
    return escape(
        f"With {view.choice.photographs} photographs {shown['apart'].sum()} of {len(shown)} methods can be told apart from "
        f"{view.reference} ({view.value:.3f}), and {view.pairs_apart} of all {view.pairs} pairs from each other."
    )


def _lift_in_words(view: playgrounds.View) -> str:
    before, after, prior = (view.mean.loc[name, "CC"] for name in (PREDICTION, TRANSFORMED, PRIOR))
    moral = " Nothing of the map is left: any map that tells nothing about gaze ends here."
    return escape(
        f"Mean CC over all pictures: {before:.3f} before the map transform, {after:.3f} after it; the centre "
        f"prior alone has {prior:.3f}.{moral if abs(after - prior) < AS_GOOD else ''}"
    )


def _progress_in_words(view: films.View) -> str:
    cc, quality = view.curves.loc[(view.choice.variant, view.choice.epoch)]
    when = f"after {view.choice.epoch:g} of {view.trained:g} epochs" if view.choice.epoch else "before training"
    return escape(
        f"{view.label} {when}: raw maps and gaze of the first test pictures agree with a mean CC of {cc:.3f}"
        f", scores and MOS of all test pictures with an SROCC of {quality:.3f}."
    )
