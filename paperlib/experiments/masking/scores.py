"""Which maps mask the pictures, how the masked ones are scored, and what the scores tell.

Maps order pixels; `half_image` and `saliency_grid` order the 12 cells of `paperlib.maps.half_image` and mask them whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paperlib.maps import half_image
from paperlib.maps.controls import blob_maps, center_only
from paperlib.maps.half_image import Score
from paperlib.maps.masking import Masks, Variant, blur, quantile_masks, variants
from paperlib.metrics.correlation import srocc
from paperlib.metrics.perturbation import Bootstrapped, aopc, area_between, srocc_curve_bootstrap
from paperlib.models.baseline import to_unit_range
from paperlib.vocabulary import STRATEGIES

MAPS = ("saliency", "gradcam", "half_image", "saliency_grid", "random", "center")
"""Where people look, the network's own GradCAM, the network's own HalfImage, where people look per cell, blobs of noise,
and the distance from the centre."""

HALF_IMAGE_FILL = "mean"
"""What a cell is filled with when its importance is measured."""

UNMASKED = Variant("none", "none", 0.0, "none")
N_BOOT = 1000


def network_score(network: nn.Module, batch: int) -> Score:
    """Scores of uint8 pictures (m, h, w, 3) on the network's device, `batch` at a time: (m,) on the CPU."""

    def score(pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            parts = [network(to_unit_range(part)).reshape(len(part)) for part in pictures.split(batch)]
        return torch.cat(parts).float().cpu()

    return score


def control_maps(n: int, height: int, width: int, rng: np.random.Generator) -> dict[str, NDArray]:
    """The maps that know nothing of the pictures: blobs of noise, and the distance from the centre; (n, h, w) each."""
    return {"random": blob_maps(n, height, width, rng), "center": np.tile(center_only(height, width), (n, 1, 1))}


def all_masks(maps: Mapping[str, NDArray], importance: NDArray | None, params: Mapping[str, Any]) -> dict[str, Masks]:
    """Masks of pictures of one size, in the order of `MAPS`.

    Args:
        maps: (n, h, w) by name.
        importance: (n, rows, columns) of `paperlib.maps.half_image.leave_one_out`; None for no masks of cells.
        params: of `masking_params`.
    """
    masks = {
        name: quantile_masks(blur(values, params["blur_sigma"], params["kernel_size"]), params["fractions"])
        for name, values in maps.items()
    }
    if importance is not None:
        size = next(iter(maps.values())).shape[1:]
        masks["half_image"] = half_image.cell_masks(importance, *size, params["cell_counts"])
        if "saliency" in maps:
            pooled = half_image.pool_to_grid(maps["saliency"], importance.shape[1:])
            masks["saliency_grid"] = half_image.cell_masks(pooled, *size, params["cell_counts"])
    return {name: masks[name] for name in MAPS if name in masks}


def masking_params(settings: Any) -> dict[str, Any]:
    """Parameters of a unit that say how pictures are masked, from `paperlib.profiles.MaskingSettings`."""
    names = ("fractions", "cell_counts", "fills", "blur_sigma", "kernel_size")
    return {name: getattr(settings, name) for name in names}


def masked_scores(
    score: Score, images: NDArray[np.uint8], masks: Mapping[str, Masks], fills: Sequence[str], device: Any, batch: int
) -> Iterator[tuple[Variant, NDArray[np.float64]]]:
    """Scores (n,) of the pictures under every variant of `masks` and `fills`."""
    for keys, pictures in variants(images, masks, fills, device=device, batch=batch):
        scores = np.asarray(score(pictures.flatten(0, 1)), np.float64).reshape(len(keys), len(images))
        yield from zip(keys, scores, strict=True)


def whole_scores(score: Score, images: NDArray[np.uint8], device: Any) -> NDArray[np.float64]:
    """Scores (n,) of the pictures as they are."""
    return np.asarray(score(torch.from_numpy(images).to(device)), np.float64)


# -------------------------------------------------------------------------------------------------------- what they tell


def curve_rows(
    network: str, scores: Mapping[Variant, NDArray], reference: NDArray, rng: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """Rows of one network over all its pictures, with bootstrap intervals; every resample draws the same pictures for all
    curves.

    `variant` is network/fill/strategy/fraction; metrics: `SROCC` of each point; `AOPC` of each curve (fraction `all`);
    `area` between LeRF and MoRF (strategy `LeRF-MoRF`), `area_lead`, how much larger it is than HalfImage's, and `p`
    of that lead. A network whose scores fall with quality is turned around.

    Args:
        network: its name.
        scores: (n,) by variant, `UNMASKED` among them.
        reference: (n,) opinion scores.
        rng: draws the resamples.
    """
    keys = list(scores)
    predicted = np.stack(list(scores.values()))
    sign = -1 if srocc(scores[UNMASKED], reference) < 0 else 1
    curves = srocc_curve_bootstrap(sign * predicted, reference, rng, N_BOOT)

    def row(map_name: str, fill: str, strategy: str, fraction: Any, metric: str, found: Bootstrapped) -> dict[str, Any]:
        low, high = found.interval()
        return {
            "method": map_name,
            "variant": f"{network}/{fill}/{strategy}/{fraction}",
            "metric": metric,
            "value": float(found.value),
            "low": float(low),
            "high": float(high),
            "n": len(reference),
        }

    for place, (name, strategy, fraction, fill) in enumerate(keys):
        one = curves.apply(lambda y, place=place: y[..., place])
        yield row(name, fill, strategy, fraction, "SROCC", one)
    areas: dict[tuple[str, str], Bootstrapped] = {}
    for name, fill in dict.fromkeys((key.map, key.fill) for key in keys if key != UNMASKED):
        points = {strategy: _points(keys, name, strategy, fill) for strategy in STRATEGIES}
        for strategy, places in points.items():
            whole = [keys.index(UNMASKED), *places.values()]
            yield row(name, fill, strategy, "all", "AOPC", curves.apply(lambda y, whole=whole: aopc(y[..., whole])))
        fractions = list(points["LeRF"])
        lerf, morf = (list(places.values()) for places in points.values())
        areas[name, fill] = curves.apply(
            lambda y, lerf=lerf, morf=morf, at=fractions: area_between(y[..., lerf], y[..., morf], at)
        )
        yield row(name, fill, "LeRF-MoRF", "all", "area", areas[name, fill])
    for (name, fill), area in areas.items():
        if name != "half_image" and (rival := areas.get(("half_image", fill))):
            lead = Bootstrapped(area.value - rival.value, area.draws - rival.draws)
            yield row(name, fill, "LeRF-MoRF", "all", "area_lead", lead)
            yield {
                "method": name,
                "variant": f"{network}/{fill}/LeRF-MoRF/all",
                "metric": "p",
                "value": float(lead.p()),
                "n": len(reference),
            }


def _points(keys: list[Variant], name: str, strategy: str, fill: str) -> dict[float, int]:
    """Fraction -> place in `keys`, ascending, of one curve; a picture that is masked whole has no rank and is left out."""
    found = {key.fraction: place for place, key in enumerate(keys) if key[:2] == (name, strategy) and key.fill == fill}
    return {fraction: found[fraction] for fraction in sorted(found) if fraction < 1}


def half_rank(score: Score, images: NDArray[np.uint8], importance: NDArray, device: Any, batch: int) -> NDArray[np.float64]:
    """How good a half leave-one-out picks: the share of all halves that keep the score nearer to the whole picture's.

    Args:
        score: the network.
        images: (n, h, w, 3).
        importance: (n, rows, columns) of `paperlib.maps.half_image.leave_one_out`.
        device, batch: as `paperlib.maps.half_image.exhaustive_halves`.

    Returns:
        (n,): 0 where it is the best of all halves; .5 is what chance gives.
    """
    grid = importance.shape[1:]
    halves = half_image.exhaustive_halves(score, images, HALF_IMAGE_FILL, grid, device, batch)
    distance = np.abs(halves.scores - halves.whole[:, None])
    kept = ~half_image.masked_cells(importance, importance[0].size // 2, "LeRF")
    chosen = (halves.kept[None] == kept[:, None]).all((2, 3)).argmax(1)
    own = np.take_along_axis(distance, chosen[:, None], 1)
    return (distance < own).mean(1)


def half_rank_row(network: str, ranks: NDArray) -> dict[str, Any]:
    """The row of one network's mean `half_rank` over pictures."""
    return {
        "method": "half_image",
        "variant": f"{network}/{HALF_IMAGE_FILL}/halves/all",
        "metric": "half_rank",
        "value": float(ranks.mean()),
        "n": len(ranks),
    }
