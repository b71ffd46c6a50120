"""Pictures with gaze and networks to look into live: Figure 1, maps step by step, other ways to make maps, and the saliency
explorer of notebook 03a."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import nn

from paperlib.datasets.photographs import PHOTOGRAPHS, open_photographs
from paperlib.engine.units import Result, function
from paperlib.errors import PaperlibError
from paperlib.experiments.artefacts import Figure1Data
from paperlib.experiments.extracting.plan import figure_pictures, figure_units, sources_of
from paperlib.experiments.maps.plan import Made, network_params, network_places
from paperlib.experiments.running import compute
from paperlib.experiments.sets.plan import Pictures, seen_size
from paperlib.maps.hirescam import OTHER_METHODS, extract
from paperlib.metrics.saliency import evaluate
from paperlib.models.shipped import VARIANTS, describe, load_shipped
from paperlib.paper import look
from paperlib.sources.maps import picture, sized
from paperlib.sources.shipped import GRADCAM, SALIENCY, expected_saliency, look_into

if TYPE_CHECKING:
    from paperlib.profiles import Profile

FIGURE_IMAGES = 6
GAZE = "Gaze density"

MAP_LABELS = {"baseline": "GradCAM (Baseline)"}
"""What Figure 1 calls a map, where that is not the method's own label."""

CAMS = ("hirescam", "gradcam", "gradcam++", "layercam", "eigengradcam", "scorecam", "randomcam")

LARGE_IMAGE = 100_000
LARGE_LAYER = 10_000
"""Places (h x w) of a feature layer; EigenGradCAM of pytorch-grad-cam takes a matrix of all places by all places."""


# ------------------------------------------------------------------------------------------------------ live examples


@dataclass(frozen=True)
class AsSeen:
    """Pictures with gaze, and what belongs to them, at the size at which networks see them.

    Attributes:
        records: of a set with gaze.
        size: (height, width) of the networks' input; with a zero in it the pictures' own.
    """

    records: Sequence[Any]
    size: tuple[int, int]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """(height, width) of each."""
        return [self.size if all(self.size) else record.size for record in self.records]

    @property
    def captions(self) -> tuple[str, ...]:
        """What each picture is called."""
        return tuple(record.caption for record in self.records)

    def images(self) -> list[np.ndarray]:
        """(h, w, 3) uint8 each."""
        return [picture(*pair) for pair in zip(self.records, self.sizes, strict=True)]

    def densities(self) -> list[np.ndarray]:
        """Gaze density, (h, w) float32 each."""
        return [sized(record.load_density(), size) for record, size in zip(self.records, self.sizes, strict=True)]

    def published(self) -> list[np.ndarray] | None:
        """Densities as they are published, where these differ."""
        found = [record.load_published() for record in self.records]
        if any(one is None for one in found):
            return None
        return [sized(one, size) for one, size in zip(found, self.sizes, strict=True)]

    def maps(self, levels: Mapping[str, np.ndarray], kind: str = "maps") -> list[np.ndarray]:
        """Maps (h, w) float32 in [0, 1] from the arrays of `paperlib.experiments.maps.compute.make_maps`, those of a set's
        first pictures."""
        return [sized(levels[f"{kind}.{index}"], size).astype(np.float32) / 255 for index, size in enumerate(self.sizes)]


@dataclass(frozen=True)
class Examples:
    """A few images, of one size or of different sizes, with what is needed to look into one network live.

    Attributes:
        images: (h, w, 3) uint8 each.
        density: (h, w) float32 each, gaze density.
        network: an IQA network in evaluation mode.
        layer: its feature layer.
        maps: label -> (h, w) for each image, stored maps of Figure 1.
        captions: one per image.
        published: (h, w) each, the density maps as a data set publishes them, by whose positive pixels the paper's NSS
            is measured; `density` itself when None.
        reference: what `density` is: `GAZE`, or the name of a prediction, with which no agreement is measured.
    """

    images: Sequence[np.ndarray]
    density: Sequence[np.ndarray]
    network: nn.Module
    layer: nn.Module
    maps: dict[str, Sequence[np.ndarray]]
    captions: tuple[str, ...] = ()
    published: Sequence[np.ndarray] | None = None
    reference: str = GAZE

    def extract(self, **how: Any) -> list[np.ndarray]:
        """Maps of the images by `paperlib.maps.hirescam.extract`, (h, w) float32 in [0, 1] each."""
        return [extract(self.network, image[None], layer=self.layer, **how)[0] for image in self.images]

    def agreement(self, index: int, saliency: np.ndarray) -> dict[str, float]:
        """NSS, SIM, CC and KLD of a map (h, w) of one image, as it is, against gaze; nothing where there is none."""
        if self.reference != GAZE:
            return {}
        truth = self.density if self.published is None else self.published
        found = evaluate(saliency[None], self.density[index][None])
        found |= {"NSS": evaluate(saliency[None], truth[index][None])["NSS"]}
        return {name: float(value[0]) for name, value in found.items()}


Loader = Callable[[], tuple[nn.Module, nn.Module]]
"""Gives an IQA network in evaluation mode and its feature layer."""


def loader(profile: "Profile", pictures: Pictures, made: Made, results: Mapping[str, Result]) -> Loader:
    """How to get the network of a source that looks at `pictures`, not optimised; `results` hold that of the unit that
    trained it, if any."""
    params = network_params(profile, made, seen_size(profile, pictures)) | network_places(profile, made.source)
    params |= {"seed": made.seed, "optimise": False}
    return cache(partial(function(made.source.opener), params, results))


def examples(profile: "Profile", n: int = FIGURE_IMAGES) -> Examples:
    """The first `n` pictures of the first set, unselected, with an IQA network and the maps of Figure 1.

    Raises:
        PaperlibError: the profile names no IQA network.
    """
    pictures = figure_pictures(profile)
    network = next((one for one in sources_of(profile, pictures).values() if one.source.asks_score), None)
    if network is None:
        raise PaperlibError(
            f"profile {profile.name!r} names no IQA network whose maps could be shown: give one with --model "
            "NAME[@LAYER][=WEIGHTS]"
        )
    maps = figure_units(profile, pictures, n)
    trained = [network.training] if network.training else []
    wanted = [*pictures.needs, *trained, *(unit for units in maps.values() for unit in units)]
    results = compute(wanted, profile, "figure 1")
    shown = AsSeen(pictures.open(results).records[:n], seen_size(profile, pictures))
    stored = {
        method: {name: levels for unit in units for name, levels in results[unit.name].arrays.items()}
        for method, units in maps.items()
    }
    return Examples(
        shown.images(),
        shown.densities(),
        *loader(profile, pictures, network, results)(),
        {MAP_LABELS.get(method, look(method).label): shown.maps(levels) for method, levels in stored.items()},
        shown.captions,
        shown.published(),
    )


def figure(shown: Examples) -> Figure1Data:
    """Figure 1: images, where people look, and the maps of a supervised net and of an IQA network."""
    rows = {GAZE: shown.density} | shown.maps
    stretched = {name: [_stretched(one) for one in maps] for name, maps in rows.items()}
    return Figure1Data(shown.images, stretched, shown.captions)


def photographs() -> Figure1Data:
    """Figure 1 on photographs that ship inside dependencies, which may be passed on: by the networks that ship."""
    shown = open_photographs(PHOTOGRAPHS[:FIGURE_IMAGES])
    looked = [look_into(one.image) for one in shown]
    rows = {SALIENCY: [one.saliency for one in looked], GRADCAM: [one.gradcam for one in looked]}
    return Figure1Data([one.image for one in shown], rows, tuple(one.name for one in shown))


def _stretched(saliency: np.ndarray) -> np.ndarray:
    return saliency / max(saliency.max(), 1e-9)


# ---------------------------------------------------------------------------------------------- step by step, other ways


def smoothing_steps(shown: Examples, profile: "Profile") -> Figure1Data:
    """The network's maps of the example images on their way from one pass to the smoothed map."""
    settings = profile.extraction
    rotated = {"smoothing": "rotations", "n_passes": settings.n_passes, "max_angle": settings.max_angle}
    steps: dict[str, dict[str, Any]] = {
        "one pass, channel sum": {"smoothing": "none", "principal_component": False},
        "rotations, channel sum": rotated | {"principal_component": False},
        "one pass, first component": {"smoothing": "none"},
        "rotations, first component": rotated,
    }
    return Figure1Data(shown.images, {name: shown.extract(**how) for name, how in steps.items()}, ())


def compare_cams(shown: Examples, methods: tuple[str, ...] | None = None) -> tuple[Figure1Data, pd.DataFrame]:
    """One-pass maps of the example images by several class activation methods, and how they agree with gaze.

    Args:
        shown: images and network.
        methods: names of `paperlib.maps.hirescam.METHODS` or `OTHER_METHODS` there; `CAMS` when None, for
            large images without Score-CAM, which needs a forward pass per channel.

    Returns:
        The maps, and per method the mean CC and NSS over the images, raw maps. A method that needs more memory than
        there is, and EigenGradCAM on a layer of more than `LARGE_LAYER` places, have NaN and no map.
    """
    if methods is None:
        large = shown.images[0].size > LARGE_IMAGE
        methods = tuple(method for method in CAMS if not (large and method == "scorecam"))
    maps = {}
    for method in methods:
        if method == "eigengradcam" and _places(shown) > LARGE_LAYER:
            continue
        ours = {} if method in OTHER_METHODS else {"principal_component": False}
        with suppress(MemoryError), _numpys_own_chance_fixed():
            maps[method] = shown.extract(method=method, smoothing="none", **ours)
    found = {
        method: pd.DataFrame([shown.agreement(index, one) for index, one in enumerate(some)]).mean()
        for method, some in maps.items()
    }
    agreement = pd.DataFrame(found).loc[["CC", "NSS"]].T.reindex(methods)
    return Figure1Data(shown.images, maps, ()), agreement.rename_axis("method")


@contextmanager
def _numpys_own_chance_fixed() -> Iterator[None]:
    """RandomCAM of pytorch-grad-cam draws its weights from NumPy's global generator: here the same ones each time."""
    before = np.random.get_state()
    np.random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(before)


def _places(shown: Examples) -> int:
    """Height times width of the feature layer's output for the largest image."""
    found: list[int] = []
    hook = shown.layer.register_forward_hook(lambda module, given, output: found.append(output.shape[-2:].numel()))
    try:
        largest = max(shown.images, key=lambda image: image.size)
        extract(
            shown.network, largest[None], layer=shown.layer, method="gradcam", smoothing="none", principal_component=False
        )
    finally:
        hook.remove()
    return max(found)


# ------------------------------------------------------------------------------------------------------- the explorer


@dataclass(frozen=True)
class Choice:
    """One state of the explorer.

    Attributes:
        image: number of the picture.
        network: a key of `Material.networks`.
        smoothing, n_passes: see `paperlib.maps.smoothing.passes`; `n_passes` matters to rotations alone.
        principal_component: keep the first principal component instead of the channel sum.
        sign: a key of `paperlib.maps.hirescam.SIGNS`.
    """

    image: int
    network: str
    smoothing: str = "rotations"
    n_passes: int = 6
    principal_component: bool = True
    sign: str = "positive"


@dataclass(frozen=True)
class Material:
    """What there is to explore.

    Attributes:
        shown: pictures with gaze.
        networks: label -> how to get that network.
        standard: the first state: the profile's first IQA network on the first picture, asked as for Table I.
        max_angle: of the rotations, degrees.
    """

    shown: Examples
    networks: Mapping[str, Loader]
    standard: Choice
    max_angle: float = 10.0

    @property
    def captions(self) -> Sequence[str]:
        """A different name for each picture."""
        names = self.shown.captions or ("picture",) * len(self.shown.images)
        return [f"{number}: {name}" for number, name in enumerate(names, start=1)]


@dataclass(frozen=True)
class View:
    """What the explorer shows of a choice.

    Attributes:
        choice: what was asked for.
        caption: name of the picture.
        image: (h, w, 3) uint8.
        density: (h, w), `Examples.density` of the picture, stretched to a maximum of 1.
        reference: what that is.
        saliency: (h, w) float32 in [0, 1].
        metrics: NSS, SIM, CC and KLD of the map against gaze, without map transform; NaN where a map is flat; empty where
            there is no gaze.
    """

    choice: Choice
    caption: str
    image: np.ndarray
    density: np.ndarray
    reference: str
    saliency: np.ndarray
    metrics: dict[str, float]


def explore(material: Material, choice: Choice) -> View:
    """The map of one network on one picture, and how well it agrees with gaze.

    Raises:
        ValueError: no such picture or network, or as `paperlib.maps.hirescam.extract`.
    """
    shown = material.shown
    if not 0 <= choice.image < len(shown.images):
        raise ValueError(f"image={choice.image}: expected 0 to {len(shown.images) - 1}")
    if choice.network not in material.networks:
        raise ValueError(f"network={choice.network!r}; expected one of: {', '.join(material.networks)}")
    image, density = shown.images[choice.image], np.asarray(shown.density[choice.image])
    network, layer = material.networks[choice.network]()
    (saliency,) = extract(
        network,
        image[None],
        layer=layer,
        smoothing=choice.smoothing,
        n_passes=choice.n_passes,
        max_angle=material.max_angle,
        principal_component=choice.principal_component,
        sign=choice.sign,
    )
    return View(
        choice,
        material.captions[choice.image],
        image,
        density / density.max(),
        shown.reference,
        saliency,
        shown.agreement(choice.image, saliency),
    )


def material(profile: "Profile") -> Material:
    """The example pictures of `profile` and its IQA networks, those behind Table I; they are loaded when asked for."""
    pictures = figure_pictures(profile)
    known = {method: one for method, one in sources_of(profile, pictures).items() if one.source.asks_score}
    trained = [one.training for one in known.values() if one.training]
    results = compute(trained, profile, "networks to explore") if trained else {}
    networks = {look(method).label: loader(profile, pictures, one, results) for method, one in known.items()}
    settings = profile.extraction
    standard = Choice(0, next(iter(networks)), settings.smoothing, settings.n_passes, settings.principal_component)
    return Material(examples(profile), networks, standard, settings.max_angle)


def photographs_material() -> Material:
    """Photographs and quality networks that ship: real opinions behind the networks, no gaze behind the pictures. Beside the
    map of a network stands what the decoder of Baseline-Sal-Loss predicts."""
    height, width = describe("baseline")["size"]
    shown = open_photographs(size=(height, width))
    images = [one.image.copy() for one in shown]
    predicted = [expected_saliency(image) for image in images]
    networks = {look(_TABLE_KEYS[variant]).label: partial(_shipped, variant) for variant in VARIANTS}
    first = next(iter(networks))
    captions = tuple(one.name for one in shown)
    examples = Examples(images, predicted, *networks[first](), {}, captions, reference=SALIENCY)
    return Material(examples, networks, Choice(0, first))


_TABLE_KEYS = {variant: f"baseline_{variant}".removesuffix("_baseline") for variant in VARIANTS}
"""Keys of `paperlib.paper.METHODS` for the networks that ship."""


def _shipped(variant: str) -> tuple[nn.Module, nn.Module]:
    network = load_shipped(variant)
    return network, network.last_features
