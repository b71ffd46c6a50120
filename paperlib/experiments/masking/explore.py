"""Pictures that are masked live: what the network is shown, and the masking explorer of notebook 03b."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.datasets.photographs import PHOTOGRAPHS, open_photographs
from paperlib.experiments.extracting.explore import loader
from paperlib.experiments.masking.compute import HALF_IMAGE_FILL, control_maps, network_score, whole_scores
from paperlib.experiments.masking.plan import map_units, masked_pictures, observers_units, tested_networks
from paperlib.experiments.running import compute
from paperlib.experiments.sets.plan import seen_size
from paperlib.maps import masking
from paperlib.maps.fills import fill
from paperlib.maps.half_image import Score, cell_masks, leave_one_out, on_pixels
from paperlib.maps.hirescam import extract
from paperlib.maps.masking import KERNEL_SIZE, SIGMA, blur, quantile_masks
from paperlib.models.shipped import describe, load_shipped
from paperlib.paper import look
from paperlib.sources.controls import picture_rng
from paperlib.sources.maps import device, picture, sized
from paperlib.sources.shipped import expected_saliency
from paperlib.vocabulary import FILLS, STRATEGIES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

N_PICTURES = 6
HALF_IMAGE = "half_image"
MOS_SCALE = 100.0
"""What Baselines learn is a mean opinion score, divided by this."""


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

    @cached_property
    def reference(self) -> NDArray[np.float64]:
        """What the scores of masked pictures are compared with: opinions, or the network's own scores of whole ones."""
        return np.asarray(self.mos, float) if len(self.mos) else self.scores(self.images)

    def scores(self, pictures: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """The network's scores (n,) of pictures (h, w, 3), together where they are of one size."""
        alike = len({one.shape for one in pictures}) == 1
        groups = [np.stack(pictures)] if alike else [one[None] for one in pictures]
        return np.concatenate([whole_scores(self.score, group, self.device) for group in groups])

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


def material(profile: "Profile", n: int | None = N_PICTURES) -> Material:
    """The first pictures that `profile` masks for Figure 2, their maps, and its first IQA network.

    Args:
        profile: whose pictures.
        n: how many; None for all.

    Raises:
        PaperlibError: as `paperlib.experiments.masking.plan.units`.
    """
    pictures = masked_pictures(profile, profile.masking.opinions[0], profile.seeds[0])
    (method, made), *_ = tested_networks(profile, pictures).items()
    maps = {
        name: [unit for unit in units if n is None or dict(unit.params)["first"] < n]
        for name, units in map_units(profile, pictures, method, made).items()
    }
    trained = [made.training] if made.training else []
    wanted = [*pictures.needs, *trained, *(unit for units in maps.values() for unit in units)]
    results = compute(wanted, profile, "pictures to mask")
    opened = pictures.open(results)
    records = opened.records[:n]
    images = [picture(record, seen_size(profile, pictures)) for record in records]
    network, _ = loader(profile, pictures, made, results)()
    scale = 1.0 if made.source.kind == "quality" else MOS_SCALE
    stored = {
        name: {key: levels for unit in units for key, levels in results[unit.name].arrays.items()}
        for name, units in maps.items()
        if units
    }
    by_maps: dict[str, list[NDArray]] = {
        name: [sized(stored[name][f"maps.{index}"], image.shape[:2]) for index, image in enumerate(images)]
        for name in ("saliency", "gradcam")
        if name in stored
    }
    return Material(
        images=images,
        captions=[f"{number}: {getattr(record, 'caption', record.key)}" for number, record in enumerate(records, start=1)],
        mos=(opened.mos[: len(records)] / scale).tolist() if pictures.face == "opinions" else (),
        maps=by_maps | _controls(records, images, profile.seeds[0]),
        network=look(method).label,
        score=network_score(network, profile.masking.score_batch),
        device=device(),
        blur_sigma=profile.masking.blur_sigma,
        kernel_size=profile.masking.kernel_size,
    )


def photographs_material() -> Material:
    """Photographs and the quality network that ship: nothing here is simulated, and nobody gave these pictures a MOS. Their
    saliency is what the decoder of Baseline-Sal-Loss predicts."""
    network = load_shipped("baseline")
    shown = open_photographs(PHOTOGRAPHS[:N_PICTURES], tuple(describe("baseline")["size"]))
    images = [one.image.copy() for one in shown]
    maps: dict[str, list[NDArray]] = {
        "saliency": [expected_saliency(image) for image in images],
        "gradcam": [extract(network, image[None], layer=network.last_features)[0] for image in images],
    }
    for number, image in enumerate(images):
        height, width = image.shape[:2]
        for name, (one,) in control_maps(1, height, width, np.random.default_rng(number)).items():
            maps.setdefault(name, []).append(one)
    captions = [f"{number}: {one.name}" for number, one in enumerate(shown, start=1)]
    return Material(images, captions, (), maps, look("baseline").label, network_score(network, 32))


def _controls(records: Sequence[Any], images: Sequence[NDArray], seed: int) -> dict[str, list[NDArray]]:
    """The control maps that Figure 2 masks these pictures by."""
    controls = []
    for record, image in zip(records, images, strict=True):
        height, width = image.shape[:2]
        controls.append(control_maps(1, height, width, picture_rng(seed, record)))
    return {name: [one[name][0] for one in controls] for name in controls[0]}


def observers_rows(profile: "Profile") -> pd.DataFrame:
    """Rows as those of Figure 2, of the network of uniform observers under the fills that it leaves out for controls; empty
    where there is no such network."""
    planned = observers_units(profile)
    results = compute(planned, profile, "uniform observers under further fills")
    return pd.concat([pd.DataFrame(), *(results[unit.name].rows for unit in planned)], ignore_index=True)


# ---------------------------------------------------------------------------------------- what the network is shown


def example(
    images: Sequence[np.ndarray], maps: Mapping[str, Sequence[np.ndarray]], fraction: float, blur_sigma: float
) -> dict[str, list[np.ndarray]]:
    """What the network is shown: images masked by each of `maps` in both orders, filled with black.

    Args:
        images: (h, w, 3) uint8, of any sizes.
        maps: label -> a map (h, w) for each image.
        fraction: share of the pixels that is masked.
        blur_sigma: of the blur of the maps, in pixels.
    """
    rows = {"unmasked": list(images)}
    for name, values in maps.items():
        masks = [_both_masks(one, fraction, blur_sigma) for one in values]
        for strategy in STRATEGIES:
            rows[f"{name}, {strategy}"] = [
                fill(image[None], mask[strategy], "black")[0] for image, mask in zip(images, masks, strict=True)
            ]
    return rows


def under_all_fills(
    image: np.ndarray, values: np.ndarray, fraction: float, blur_sigma: float
) -> dict[str, dict[str, np.ndarray]]:
    """One image masked by one map in both orders: strategy -> name of the fill -> (h, w, 3) uint8.

    Args:
        image: (h, w, 3) uint8.
        values: the map, (h, w).
        fraction, blur_sigma: as `example`.
    """
    masks = _both_masks(values, fraction, blur_sigma)
    return {strategy: {name: fill(image[None], mask, name)[0] for name in FILLS} for strategy, mask in masks.items()}


def _both_masks(values: np.ndarray, fraction: float, blur_sigma: float) -> dict[str, np.ndarray]:
    """Strategy -> mask (1, h, w) of one map (h, w)."""
    masks = masking.quantile_masks(masking.blur(values[None], blur_sigma), [fraction])
    return {strategy: masks.of(strategy, fraction) for strategy in STRATEGIES}
