"""Raw scores of coded pictures by one method of Table III, sequence by sequence.

A shard is what a killed run loses. A method that fails leaves the reason in a row, so that the others are not held up.
"""

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from paperlib.engine.progress import progress, say
from paperlib.engine.units import Inputs, Result
from paperlib.experiments.sets.opening import opened
from paperlib.maps.controls import center_only
from paperlib.models.quality.methods import Method, Traits, describe, method_of_network, open_method, resized
from paperlib.models.quality.model import QualityModel, load_quality_model
from paperlib.sources.maps import device, sized
from paperlib.sources.networks import load_trained

FAILURE = "failure"
"""Metric of the row of a method that failed; its variant is the reason."""

OWN, CENTER, SHUFFLED, UNIFORM, GAZE = "saliency", "center", "shuffled", "uniform", "gaze"
"""What EW-PSNR and EW-SSIM weigh with: the map that steered the encoder, a fixed Gaussian about the middle, another
sequence's map, nothing, or gaze itself where it is known. Any other name is that of a method whose maps are given."""


class MethodFailed(Exception):
    """A method cannot be loaded, or cannot score a picture; the message is the reason."""


def score_shard(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Sequences `first` to `last` of a coded set.

    Arrays: `scores` (sequences, versions), as the method gives them, NaN for a sequence without the reference that the
    method needs; `higher_is_better` (). A method that fails gives a row `FAILURE` instead.
    """
    coded = opened(params, inputs)
    groups = [records for _, records in coded.by_sequence()]
    chosen = groups[params["first"] : params["last"]]
    scores = np.full((len(chosen), len(groups[0])), np.nan)
    try:
        scorer = _Scorer(params, inputs, groups)
        for place, records in enumerate(progress(chosen)):
            if records[0].reference is not None or not scorer.traits.needs_reference:
                scores[place] = scorer.scores(records)
    except MethodFailed as failure:
        say(f"{params['method']}: {failure}")
        row = {"method": params["method"], "dataset": coded.name, "seed": params["seed"]}
        return Result(rows=[row | {"metric": FAILURE, "variant": str(failure)}])
    return Result(arrays={"scores": scores, "higher_is_better": np.array(scorer.traits.higher_is_better)})


class _Scorer:
    """One method at work on the sequences of one shard."""

    def __init__(self, params: Mapping[str, Any], inputs: Inputs, groups: Sequence[Sequence[Any]]):
        self.params, self.inputs, self.groups = params, inputs, groups
        self.traits = self._traits()

    def _traits(self) -> Traits:
        name = self.params["judge"]
        if self.params["training"]:
            return Traits(name, False, False, True, ())
        if self.params["network"]:
            return Traits(name, False, False, self.network.higher_is_better, ())
        return describe(name)

    @cached_property
    def network(self) -> QualityModel:
        """The user's network on the CPU."""
        weights, root = self.params["weights_file"], Path(self.params["weights_root"])
        try:
            return load_quality_model(
                self.params["network"],
                layer=self.params["layer"] or None,
                weights=Path(weights) if weights else None,
                weights_root=root if root.is_dir() else None,
            )
        except Exception as error:  # a user's own code raises what it likes
            raise MethodFailed(_sentence(error)) from error

    @cached_property
    def method(self) -> Method:
        """The method on the device, loaded when a picture has to be scored."""
        return self._loaded(device().type)

    @cached_property
    def fallback(self) -> Method:
        """The method on the CPU, for pictures that the GPU's memory does not hold."""
        return self._loaded("cpu")

    def scores(self, records: Sequence[Any]) -> list[float]:
        """Scores of one sequence's versions; equal pictures are scored once."""
        reference = self._resized(records[0].load_reference()) if self.traits.needs_reference else None
        weights = self._resized(self._map(records)) if self.traits.needs_saliency else None
        known: dict[bytes, float] = {}
        found = []
        for record in records:
            picture = record.load_image()
            key = hashlib.sha256(np.ascontiguousarray(picture).data).digest()
            if key not in known:
                known[key] = self._score(self._resized(picture), reference, weights)
            found.append(known[key])
        return found

    def _resized(self, image: NDArray[Any]) -> NDArray[Any]:
        scale = self.params["scale"]
        return resized(image, self.params["size_mode"]) if scale == 1 else downscaled(image, scale)

    def _score(self, *pictures: Any) -> float:
        try:
            return self.method.score(*pictures)
        except Exception as error:  # whatever a method does not manage is no fault of the others
            if not isinstance(error.__cause__ or error, torch.OutOfMemoryError):
                raise MethodFailed(_sentence(error)) from error
        torch.cuda.empty_cache()
        say(f"{self.params['method']}: the GPU's memory does not hold a picture, which is scored on the CPU")
        try:
            return self.fallback.score(*pictures)
        except Exception as error:
            raise MethodFailed(_sentence(error)) from error

    def _loaded(self, where: str) -> Method:
        name, root = self.params["judge"], Path(self.params["weights_root"])
        try:
            if self.params["training"]:
                network = load_trained(self.params, self.inputs[self.params["training"]].arrays)
                return method_of_network(name, network, device=where)
            if self.params["network"]:
                return method_of_network(name, deepcopy(self.network.network), self.network.higher_is_better, where)
            return open_method(name, root if self.traits.files else None, where, self.params["crops"] or None)
        except Exception as error:
            raise MethodFailed(_sentence(error)) from error

    def _map(self, records: Sequence[Any]) -> NDArray[np.float32]:
        """What the sequence's pictures are weighed with, (h, w) in [0, 1]."""
        kind, size = self.params["weights"], records[0].size
        if kind == CENTER:
            return center_only(*size)
        if kind == UNIFORM:
            return np.ones(size, np.float32)
        if kind == GAZE:
            density = records[0].load_gaze()
            return density / density.max()
        if kind in (OWN, SHUFFLED):
            lender = records[0] if kind == OWN else self._lenders[records[0].sequence]
            values = lender.load_saliency()
        else:
            values = self.inputs[self.params["maps"]].arrays[f"maps.{records[0].sequence}"].astype(np.float32)
        values = sized(values, size)
        return values / values.max()

    @cached_property
    def _lenders(self) -> dict[str, Any]:
        return lenders(self.groups)


def lenders(groups: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Sequence -> the one that lends it its map: the next of the same format, upright or not, else the next of all."""
    firsts = [records[0] for records in groups]
    found = _next_of(firsts)
    for _, same in groupby(sorted(firsts, key=_is_upright), key=_is_upright):
        members = list(same)
        if len(members) > 1:
            found |= _next_of(members)
    return found


def _next_of(records: Sequence[Any]) -> dict[str, Any]:
    return {one.sequence: records[(place + 1) % len(records)] for place, one in enumerate(records)}


def _is_upright(record: Any) -> bool:
    height, width = record.size
    return height > width


def _sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def downscaled(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """An area-downsized copy: (h, w, 3) uint8 to (scale h, scale w, 3)."""
    size = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
