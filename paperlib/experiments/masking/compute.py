"""Scores a network's masked pictures, shard by shard, and draws its curves.

A shard is what a killed run loses. Its result holds the scores of its pictures under every mask.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, function
from paperlib.errors import PaperlibError
from paperlib.experiments.maps.compute import StoredLevels, together
from paperlib.experiments.masking.scores import (
    HALF_IMAGE_FILL,
    UNMASKED,
    all_masks,
    control_maps,
    curve_rows,
    half_rank,
    half_rank_row,
    masked_scores,
    network_score,
    whole_scores,
)
from paperlib.experiments.sets.opening import opened
from paperlib.maps.half_image import Score, leave_one_out
from paperlib.maps.masking import Variant
from paperlib.sources.controls import picture_rng
from paperlib.sources.maps import device, picture, sized

OWN_SCORES, OPINIONS = "own scores", "opinions"
"""What a network's scores of masked pictures are compared with: its scores of the whole ones, or what people said."""


def score_shard(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Scores of pictures `first` to `last` of a set under every mask.

    Arrays: `map`, `strategy`, `fraction`, `fill` (v,) of the masks, first none; `scores` (v, n); `half_ranks` (k,) as
    `paperlib.experiments.masking.scores.half_rank`.
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
            name: StoredLevels(inputs, shards, params["shard"])
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
        n_tried = sum(place < self.params["n_halves"] for place in places)
        if not n_tried:
            return found, np.empty(0)
        return found, half_rank(self.score, images[:n_tried], importance[:n_tried], device(), batch)

    def _maps(self, records: Sequence[Any], places: Sequence[int], size: tuple[int, int]) -> dict[str, NDArray]:
        first = self.params["first"]
        maps = {
            name: np.stack([sized(levels("maps", first + place), size) for place in places])
            for name, levels in self.levels.items()
        }
        controls = [control_maps(1, *size, picture_rng(self.params["seed"], record)) for record in records]
        return maps | {name: np.concatenate([one[name] for one in controls]) for name in controls[0]}


def draw_curves(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Rows of a network over all shards, as `paperlib.experiments.masking.scores.curve_rows`; and `half_rank`."""
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
