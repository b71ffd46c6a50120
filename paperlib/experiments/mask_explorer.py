"""One picture, masked in one way, and what the network makes of it: what the masking explorer of notebook 03b shows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from paperlib import experiments
from paperlib.experiments import photo_masking
from paperlib.experiments.masked_scores import HALF_IMAGE_FILL, control_maps, network_score, whole_scores
from paperlib.experiments.networks import load_network, load_world, network_unit, world_unit
from paperlib.experiments.photo_sets import Source
from paperlib.experiments.photo_sources import device, picture, scoring_network, sized
from paperlib.experiments.rehearsal import write_standins
from paperlib.experiments.world_maps import smoothed_maps, smoothing_params
from paperlib.maps.fills import fill
from paperlib.maps.half_image import Score, cell_masks, leave_one_out, on_pixels
from paperlib.maps.masking import KERNEL_SIZE, SIGMA, blur, quantile_masks
from paperlib.paper import look
from paperlib.vocabulary import FILLS, STRATEGIES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

N_PICTURES = 6
HALF_IMAGE = "half_image"
NETWORK_MAPS = ("gradcam", "saliency")
"""What the units of maps hold that a unit of masked scores needs, in its order."""


@dataclass(frozen=True)
class MaskChoice:
    """One state of the explorer.

    Attributes:
        image: number of the picture.
        map: one of `Material.map_names`.
        strategy: `"LeRF"` or `"MoRF"`.
        fraction: share of the pixels to mask, 0 to 1; HalfImage masks whole cells, as many as come nearest to it.
        fill: one of `paperlib.vocabulary.FILLS`.
    """

    image: int
    map: str
    strategy: str = "MoRF"
    fraction: float = 0.5
    fill: str = "black"


@dataclass(frozen=True)
class Material:
    """Pictures to mask, and the network that looks at them.

    Attributes:
        images: (h, w, 3) uint8, of any sizes.
        captions: a different name for each picture.
        mos: mean opinion score of each picture; empty where there is none.
        maps: key of `paperlib.experiments.masked_scores.MAPS` -> a map (h, w) for each picture. HalfImage needs none.
        network: what the network is called.
        score: the network's scores of pictures on `device`.
        device: where the network is, as torch takes it.
        blur_sigma, kernel_size: of the blur of the maps, in pixels.
    """

    images: Sequence[NDArray[np.uint8]]
    captions: Sequence[str]
    mos: Sequence[float]
    maps: Mapping[str, Sequence[NDArray]]
    network: str
    score: Score
    device: Any = "cpu"
    blur_sigma: float = SIGMA
    kernel_size: int = KERNEL_SIZE

    @property
    def map_names(self) -> list[str]:
        """What pictures can be masked by."""
        return [*self.maps, HALF_IMAGE]

    @property
    def standard(self) -> MaskChoice:
        """The first state: half of the first picture, the most relevant by the first map, in black."""
        return MaskChoice(0, self.map_names[0])

    @cached_property
    def importance(self) -> Callable[[int], NDArray[np.float64]]:
        """Number of a picture -> importance of its cells for HalfImage, (rows, columns); the network is asked once."""
        return cache(
            lambda image: leave_one_out(self.score, self.images[image][None], HALF_IMAGE_FILL, device=self.device)[0]
        )


@dataclass(frozen=True)
class View:
    """What the explorer shows of a choice.

    Attributes:
        choice: what was asked for.
        caption, network: names of the picture and of the network.
        image: (h, w, 3) uint8.
        relevance: (h, w) in [0, 1], the map before its blur; for HalfImage the importance of the cells.
        masked: (h, w, 3) uint8.
        share: of the pixels that are masked.
        whole, score: the network's score of the picture as it is, and masked.
        mos: of the picture; None where there is none.
    """

    choice: MaskChoice
    caption: str
    network: str
    image: NDArray[np.uint8]
    relevance: NDArray
    masked: NDArray[np.uint8]
    share: float
    whole: float
    score: float
    mos: float | None


def masked(material: Material, choice: MaskChoice) -> View:
    """Mask one picture as chosen and let the network score it.

    Raises:
        ValueError: no such picture, map, strategy or fill, or a fraction outside [0, 1].
    """
    if not 0 <= choice.image < len(material.images):
        raise ValueError(f"image={choice.image}: expected 0 to {len(material.images) - 1}")
    for name, known in (("map", material.map_names), ("strategy", STRATEGIES), ("fill", FILLS)):
        if getattr(choice, name) not in known:
            raise ValueError(f"{name}={getattr(choice, name)!r}; expected one of: {', '.join(known)}")
    if not 0 <= choice.fraction <= 1:
        raise ValueError(f"fraction={choice.fraction}: expected 0 to 1")
    image = material.images[choice.image]
    relevance, mask = _mask(material, choice, image.shape[:2])
    hidden = fill(image[None], mask, choice.fill)[0]
    whole, score = whole_scores(material.score, np.stack([image, hidden]), material.device).tolist()
    mos = float(material.mos[choice.image]) if len(material.mos) else None
    return View(
        choice,
        material.captions[choice.image],
        material.network,
        image,
        relevance,
        hidden,
        float(mask.mean()),
        whole,
        score,
        mos,
    )


def _mask(material: Material, choice: MaskChoice, size: tuple[int, int]) -> tuple[NDArray, NDArray[np.bool_]]:
    """What orders the pixels, (h, w) in [0, 1], and which of them are masked, (1, h, w)."""
    if choice.map == HALF_IMAGE:
        cells = material.importance(choice.image)[None]
        masks = cell_masks(cells, *size, [round(choice.fraction * cells.size)])
        relevance = on_pixels(cells, *size)[0]
    else:
        relevance = np.asarray(material.maps[choice.map][choice.image])
        masks = quantile_masks(blur(relevance[None], material.blur_sigma, material.kernel_size), [choice.fraction])
    low, high = relevance.min(), relevance.max()
    return (relevance - low) / ((high - low) or 1), masks.of(choice.strategy, masks.fractions[0])


# ------------------------------------------------------------------------------------------------------------ material


def material(profile: "Profile") -> Material:
    """The first pictures that `profile` masks for Figure 2, their maps, and its first IQA network.

    Raises:
        PaperlibError: as `paperlib.experiments.masking.units`.
    """
    return (_photographs if profile.masking.opinions else _world)(profile)


def _world(profile: "Profile") -> Material:
    seed = profile.seeds[0]
    made_of = world_unit(profile, "world/test", seed), network_unit(profile, "baseline", seed)
    results = experiments.compute(made_of, profile, "pictures to mask")
    world, network = (load(results[unit.name]) for load, unit in zip((load_world, load_network), made_of, strict=True))
    world = world.head(N_PICTURES)
    gradcam = smoothed_maps(smoothing_params(profile), network, world.images)
    maps = {"saliency": list(world.density), "gradcam": list(gradcam)}
    return Material(
        images=list(world.images),
        captions=_numbered(world.family),
        mos=world.mos[profile.observers].tolist(),
        maps=maps | _controls(world.images, seed),
        network=look("baseline").label,
        score=network_score(network, profile.masking.score_batch),
        **_blur(profile),
    )


def _photographs(profile: "Profile") -> Material:
    if profile.evidence == "stand-ins":
        write_standins(profile)
    source = photo_masking.open_source(profile, profile.masking.opinions[0])
    (method, origin), *_ = photo_masking.networks(profile, source).items()
    records = source.pictures.records[:N_PICTURES]
    seen = (profile.photographs.input_height, profile.photographs.input_width)
    images = [picture(record, seen) for record in records]
    network, _ = scoring_network(origin, profile)
    return Material(
        images=images,
        captions=_numbered(record.key for record in records),
        mos=source.pictures.mos[: len(records)].tolist() if source.face == "opinions" else (),
        maps=_stored_maps(profile, source, images) | _controls(images, profile.seeds[0]),
        network=look(method).label,
        score=network_score(network, profile.masking.score_batch),
        device=device(),
        **_blur(profile),
    )


def _stored_maps(profile: "Profile", source: Source, images: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """The maps behind Figure 2 of the first pictures: where people look, if known, then the first network's own."""
    curves, *_ = photo_masking.source_units(profile, source)
    shards = [scores.needs for scores in curves.needs if dict(scores.params)["first"] < len(images)]
    results = experiments.compute([unit for units in shards for unit in units], profile, "maps to mask by")
    stored: dict[str, dict[str, np.ndarray]] = {}
    for units in shards:
        for name, unit in zip(NETWORK_MAPS, units, strict=False):
            stored.setdefault(name, {}).update(results[unit.name].arrays)
    return {
        name: [sized(stored[name][f"maps.{index}"], image.shape[:2]) for index, image in enumerate(images)]
        for name in reversed(NETWORK_MAPS)
        if name in stored
    }


def _controls(images: Sequence[np.ndarray], seed: int) -> dict[str, list[np.ndarray]]:
    rngs = [np.random.default_rng([seed, place]) for place in range(len(images))]
    controls = [control_maps(1, *image.shape[:2], rng) for image, rng in zip(images, rngs, strict=True)]
    return {name: [one[name][0] for one in controls] for name in controls[0]}


def _numbered(names: Any) -> list[str]:
    return [f"{number}: {name}" for number, name in enumerate(names, start=1)]


def _blur(profile: "Profile") -> dict[str, Any]:
    return {"blur_sigma": profile.masking.blur_sigma, "kernel_size": profile.masking.kernel_size}
