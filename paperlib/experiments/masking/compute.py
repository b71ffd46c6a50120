"""Scores a network's masked pictures, shard by shard, and draws its curves.

A shard is what a killed run loses. Its result holds the scores of its pictures under every mask.

Maps order pixels; `half_image` and `saliency_grid` order the 12 cells of `paperlib.maps.half_image` and mask them whole.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property, partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paperlib.datasets.files import listing
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, function
from paperlib.errors import PaperlibError
from paperlib.experiments.maps.compute import StoredShards, together
from paperlib.experiments.sets.opening import opened
from paperlib.maps.controls import blob_maps, center_only
from paperlib.maps.half_image import Score, cell_masks, exhaustive_halves, leave_one_out, masked_cells, pool_to_grid
from paperlib.maps.masking import Masks, Variant, blur, quantile_masks, variants
from paperlib.metrics.correlation import srocc
from paperlib.metrics.perturbation import Bootstrapped, aopc, area_between, srocc_curve_bootstrap
from paperlib.models.baseline import to_unit_range
from paperlib.sources.controls import picture_rng
from paperlib.sources.maps import device, picture, sized
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
        _, height, width = next(iter(maps.values())).shape
        masks["half_image"] = cell_masks(importance, height, width, params["cell_counts"])
        if "saliency" in maps:
            pooled = pool_to_grid(maps["saliency"], importance.shape[1:])
            masks["saliency_grid"] = cell_masks(pooled, height, width, params["cell_counts"])
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
        yield row(name, fill, strategy, fraction, "SROCC", curves.apply(itemgetter((..., place))))
    areas: dict[tuple[str, str], Bootstrapped] = {}
    for name, fill in dict.fromkeys((key.map, key.fill) for key in keys if key != UNMASKED):
        points = {strategy: _points(keys, name, strategy, fill) for strategy in STRATEGIES}
        for strategy, places in points.items():
            whole = [keys.index(UNMASKED), *places.values()]
            yield row(name, fill, strategy, "all", "AOPC", curves.apply(itemgetter((..., whole))).apply(aopc))
        fractions = list(points["LeRF"])
        lerf, morf = (list(places.values()) for places in points.values())
        areas[name, fill] = curves.apply(partial(_area, lerf=lerf, morf=morf, fractions=fractions))
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


def _area(curves: NDArray, lerf: list[int], morf: list[int], fractions: list[float]) -> NDArray:
    """The area between two of the curves (..., masks), which lie at the places `lerf` and `morf`."""
    return area_between(curves[..., lerf], curves[..., morf], fractions)


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
    halves = exhaustive_halves(score, images, HALF_IMAGE_FILL, grid, device, batch)
    distance = np.abs(halves.scores - halves.whole[:, None])
    kept = ~masked_cells(importance, importance[0].size // 2, "LeRF")
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


# --------------------------------------------------------------------------------------------------------------- units


OWN_SCORES, OPINIONS = "own scores", "opinions"
"""What a network's scores of masked pictures are compared with: its scores of the whole ones, or what people said."""


def score_shard(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Scores of pictures `first` to `last` of a set under every mask.

    Arrays: `map`, `strategy`, `fraction`, `fill` (v,) of the masks, first none; `scores` (v, n); `half_ranks` (k,) as
    `half_rank`.
    """
    shard = _Shard(params, inputs)
    records = opened(params, inputs).records[params["first"] : params["last"]]
    groups = list(_alike(records, params))
    looked = [shard.look_at([records[place] for place in places], places) for places in progress(groups)]
    found, ranks = zip(*looked, strict=True)
    order = np.concatenate(groups).argsort()
    keys = list(found[0])
    scores = np.stack([np.concatenate([one[key] for one in found])[order] for key in keys])
    names = {name: np.array([getattr(key, name) for key in keys]) for name in Variant._fields}
    return Result(arrays=names | {"scores": scores, "half_ranks": np.concatenate(ranks)})


def _size(params: Mapping[str, Any]) -> tuple[int, int]:
    return params["input_height"], params["input_width"]


def _alike(records: Sequence[Any], params: Mapping[str, Any]) -> Iterator[list[int]]:
    """Places of pictures that the network sees at one size, as many as are masked together."""
    sizes = [_size(params) if all(_size(params)) else record.size for record in records]
    order = sorted(range(len(records)), key=lambda place: (sizes[place], place))
    for size, group in groupby(order, key=lambda place: sizes[place]):
        places, length = list(group), together(size)
        for start in range(0, len(places), length):
            yield places[start : start + length]


class _Shard:
    """One network at work on the pictures of one shard."""

    def __init__(self, params: Mapping[str, Any], inputs: Inputs):
        self.params, self.inputs = params, inputs
        self.levels = {
            name: StoredShards(inputs, shards, params["shard"])
            for name, shards in (("gradcam", params["gradcam"]), ("saliency", params["saliency"]))
            if shards
        }

    @cached_property
    def score(self) -> Score:
        """The network under test."""
        network, _ = function(self.params["network_opener"])(self.params, self.inputs)
        return network_score(network, self.params["score_batch"])

    def look_at(
        self, records: Sequence[Any], places: Sequence[int]
    ) -> tuple[dict[Variant, NDArray[np.float64]], NDArray[np.float64]]:
        """Scores (n,) by mask of the pictures at `places` of the shard, which are of one size; and `half_rank` (k,) of
        those on which all halves are tried."""
        images = np.stack([picture(record, _size(self.params)) for record in records])
        fills, batch = self.params["fills"], self.params["score_batch"]
        importance = leave_one_out(self.score, images, HALF_IMAGE_FILL, device=device(), batch=batch)
        masks = all_masks(self._maps(records, places, images.shape[1:3]), importance, self.params)
        found = {UNMASKED: whole_scores(self.score, images, device())}
        found |= dict(masked_scores(self.score, images, masks, fills, device(), batch))
        self._require_finite(found, records)
        n_tried = sum(place < self.params["n_halves"] for place in places)
        if not n_tried:
            return found, np.empty(0)
        return found, half_rank(self.score, images[:n_tried], importance[:n_tried], device(), batch)

    def _require_finite(self, found: Mapping[Variant, NDArray[np.float64]], records: Sequence[Any]) -> None:
        for variant, scores in found.items():
            if bad := [record.key for record, score in zip(records, scores, strict=True) if not np.isfinite(score)]:
                how = "unmasked" if variant == UNMASKED else f"masked by {' '.join(map(str, variant))}"
                raise PaperlibError(
                    f"the network {self.params['model']} scores {listing(bad)} as NaN or infinity, {how}; mend the network, "
                    "or take the pictures out"
                )

    def _maps(self, records: Sequence[Any], places: Sequence[int], size: tuple[int, int]) -> dict[str, NDArray]:
        first = self.params["first"]
        maps = {
            name: np.stack([sized(levels("maps", first + place), size) for place in places])
            for name, levels in self.levels.items()
        }
        controls = [control_maps(1, *size, picture_rng(self.params["seed"], record)) for record in records]
        return maps | {name: np.concatenate([one[name] for one in controls]) for name in controls[0]}


def draw_curves(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Rows of a network over all shards, as `curve_rows`; and `half_rank`."""
    shards = [inputs[name].arrays for name in params["scored"]]
    keys = [
        Variant(str(name), str(strategy), float(fraction), str(fill))
        for name, strategy, fraction, fill in zip(*(shards[0][name] for name in Variant._fields), strict=True)
    ]
    scores = dict(zip(keys, np.concatenate([shard["scores"] for shard in shards], axis=1), strict=True))
    pictures = opened(params, inputs)
    if len(pictures) < 3:
        raise PaperlibError(f"{pictures.title}: a rank correlation needs at least 3 pictures, got {len(pictures)}")
    reference = pictures.mos if params["reference"] == OPINIONS else scores[UNMASKED]
    rng = np.random.default_rng([params["seed"], 29])
    rows = list(curve_rows(params["network"], scores, reference, rng))
    ranks = np.concatenate([shard["half_ranks"] for shard in shards])
    if len(ranks):
        rows.append(half_rank_row(params["network"], ranks))
    return Result(rows=pd.DataFrame(rows).assign(dataset=params["dataset"], seed=params["seed"]))
