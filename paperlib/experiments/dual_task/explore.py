"""What section III-C shows besides its table: how large the networks are, what they learnt, and the training explorer of
notebook 03c."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.experiments.artefacts import Figure1Data
from paperlib.experiments.dual_task.film import METRICS, N_PICTURES
from paperlib.experiments.dual_task.plan import film_units, is_shown, shown_pictures, shown_trainings
from paperlib.experiments.extracting.explore import FIGURE_IMAGES, AsSeen
from paperlib.experiments.maps.plan import maps_units
from paperlib.experiments.running import compute
from paperlib.experiments.sets.plan import gaze_unit, seen_size
from paperlib.experiments.training.plan import METHODS, made, networks
from paperlib.metrics.saliency import evaluate
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline
from paperlib.models.dual_task import WITH_DECODER
from paperlib.paper import look

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SHOWN = tuple(METHODS.values())
"""Networks whose maps stand under each other: their one-pass GradCAM, or what their decoder says."""


def parameters(profile: "Profile") -> pd.DataFrame:
    """Column `parameters`, how many numbers each network learns, by method; controls differ in nothing but the target."""
    built = {
        network.method: Baseline(create_backbone(network.backbone), decoder=network.variant in WITH_DECODER)
        for network in networks(profile)
        if is_shown(network) and network.section != "Control"
    }
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in built.items()}
    return pd.Series(counts, name="parameters").to_frame()


def learnt_maps(profile: "Profile") -> Figure1Data:
    """Gaze density and the maps of `SHOWN`, of the first repeat and the first test pictures."""
    pictures = shown_pictures(profile)
    units = {
        method: [
            unit
            for unit in maps_units(profile, pictures, [gaze_unit(pictures)], method, made(one))
            if dict(unit.params)["first"] < FIGURE_IMAGES
        ]
        for method, one in shown_trainings(profile, SHOWN).items()
    }
    results = compute([*pictures.needs, *(unit for some in units.values() for unit in some)], profile, "maps")
    shown = AsSeen(pictures.open(results).records[:FIGURE_IMAGES], seen_size(profile, pictures))
    maps = {"Gaze density": [density / density.max() for density in shown.densities()]}
    for method, some in units.items():
        levels = {key: value for unit in some for key, value in results[unit.name].arrays.items()}
        maps[look(method).label] = shown.maps(levels, "plain" if "plain.0" in levels else "maps")
    return Figure1Data(shown.images(), maps, shown.captions if not pictures.generated else ())


NO_FILM = (
    "The film of the training is made in the micro-world alone: networks of photographs train for hours, and their "
    "states between the epochs are not kept."
)


@dataclass(frozen=True)
class FilmChoice:
    """One state of the explorer: number of the picture, variant, epochs trained so far."""

    image: int
    variant: str
    epoch: float


@dataclass(frozen=True)
class Material:
    """What there is to watch.

    Attributes:
        images: (n, h, w, 3) uint8.
        density: (n, h, w) gaze density.
        maps: variant -> (looks, n, h, w) in [0, 1].
        rows: of `paperlib.experiments.dual_task.film.film`.
    """

    images: NDArray[np.uint8]
    density: NDArray[np.float32]
    maps: Mapping[str, NDArray]
    rows: pd.DataFrame

    @property
    def variants(self) -> list[str]:
        """Methods of `paperlib.paper.METHODS`."""
        return list(self.maps)

    @property
    def epochs(self) -> list[float]:
        """After how many epochs the networks were looked at, 0 first."""
        return list(dict.fromkeys(_epochs(self.rows)))

    @property
    def captions(self) -> Sequence[str]:
        """A different name for each picture."""
        return [f"picture {number}" for number in range(1, len(self.images) + 1)]

    @property
    def standard(self) -> FilmChoice:
        """The first state: the last variant at the end, on the first picture."""
        return FilmChoice(0, self.variants[-1], self.epochs[-1])

    @property
    def curves(self) -> pd.DataFrame:
        """`METRICS` by epoch: a row per method and epoch."""
        wide = self.rows.set_index(["method", _epochs(self.rows), "metric"])["value"].unstack("metric")
        return wide.loc[self.variants, list(METRICS)]


@dataclass(frozen=True)
class View:
    """What the explorer shows of a choice.

    Attributes:
        choice: what was asked for.
        caption, label, map_of: names of the picture, of the network, and of what its map comes from, as in Table II.
        image, density, saliency: (h, w, 3) uint8; gaze (h, w), stretched to a maximum of 1; the map (h, w) in [0, 1].
        agreement: CC of this map with gaze.
        curves: of `Material`.
        trained: how many epochs the networks were trained in all.
    """

    choice: FilmChoice
    caption: str
    label: str
    map_of: str
    image: NDArray[np.uint8]
    density: NDArray[np.float32]
    saliency: NDArray[np.float32]
    agreement: float
    curves: pd.DataFrame
    trained: float


def watch(material: Material, choice: FilmChoice) -> View:
    """One picture, one network, after so many epochs.

    Raises:
        ValueError: no such picture, variant or epoch.
    """
    known = {"image": range(len(material.images)), "variant": material.variants, "epoch": material.epochs}
    for name, values in known.items():
        if getattr(choice, name) not in values:
            raise ValueError(f"{name}={getattr(choice, name)!r}; expected one of: {', '.join(map(str, values))}")
    density = material.density[choice.image]
    saliency = material.maps[choice.variant][material.epochs.index(choice.epoch), choice.image].astype(np.float32)
    return View(
        choice,
        caption=material.captions[choice.image],
        label=look(choice.variant).label,
        map_of="decoder" if choice.variant == "baseline_sal_loss" else "GradCAM",
        image=material.images[choice.image],
        density=density / density.max(),
        saliency=saliency,
        agreement=float(evaluate(saliency[None], density[None])["CC"][0]),
        curves=material.curves,
        trained=material.epochs[-1],
    )


def _epochs(rows: pd.DataFrame) -> pd.Series:
    return rows["variant"].str.removeprefix("epoch ").astype(float).rename("epoch")


def material(profile: "Profile") -> Material | None:
    """The film of the first repeat; it is made where the store has none, in less than two minutes on one core.

    None for a profile whose section III-C is not made in the micro-world; `NO_FILM` says why.
    """
    units = film_units(profile)
    if not units:
        return None
    pictures = shown_pictures(profile)
    results = compute([*pictures.needs, *units.values()], profile, "film of the training")
    records = pictures.open(results).records[: min(N_PICTURES, profile.world.n_test)]
    films = {variant: results[unit.name] for variant, unit in units.items()}
    return Material(
        np.stack([record.load_image() for record in records]),
        np.stack([record.load_density() for record in records]),
        {variant: result.arrays["maps"] for variant, result in films.items()},
        pd.concat([result.rows for result in films.values()], ignore_index=True),
    )
