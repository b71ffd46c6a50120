"""Raw scores of coded pictures, SACID's or in its layout, by one method of Table III, sequence by sequence.

Each score is kept by itself in the score cache (`paperlib.engine.score_cache`), by method, size mode, picture,
reference and weights: another size mode or another map costs only the pictures that were not scored so before. An
interrupted run loses the picture at hand, a killed one the versions of one photograph. A method that fails leaves the
reason in a row, so that the others are not held up.
"""

import hashlib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from paperlib.datasets.sacid import SacidRecord, SacidSet, open_sacid
from paperlib.engine.progress import progress, say
from paperlib.engine.score_cache import ScoreCache
from paperlib.engine.units import Inputs, Result, code_version
from paperlib.maps.controls import center_only
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline
from paperlib.models.quality.methods import Method, Traits, describe, method_of_network, open_method
from paperlib.models.quality.model import QualityModel, load_quality_model
from paperlib.models.quality.sizes import resized

SAMPLE_SEED = 0
"""Of the sequences that a profile with `n_sequences` looks at."""

FAILURE = "failure"
"""Metric of the row of a method that failed; its variant is the reason."""

OWN, CENTER, SHUFFLED, UNIFORM = "saliency", "center", "shuffled", "uniform"
"""What EW-PSNR and EW-SSIM weigh with: the map that steered the encoder, a fixed Gaussian about the middle, another
sequence's map, or nothing. Any other name is that of a method whose maps are given."""


class MethodFailed(Exception):
    """A method cannot be loaded, or cannot score a picture; the message is the reason."""


def opened(params: Mapping[str, Any]) -> SacidSet:
    """The sequences that a unit's parameters name: `root`, `dataset`, `partial`, `n_sequences` (0 for all) and
    `fingerprint`."""
    return _opened(*(params[name] for name in ("root", "dataset", "partial", "n_sequences", "fingerprint")))


@lru_cache(maxsize=1)
def _opened(root: str, dataset: str, partial: bool, n: int, fingerprint: str) -> SacidSet:
    return sample(open_sacid(root, partial=partial, own=dataset == "own"), n)


def sample(sacid: SacidSet, n: int) -> SacidSet:
    """`n` sequences, always the same ones; all for 0."""
    return sacid.take(n, SAMPLE_SEED) if n else sacid


def score_shard(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `paperlib.experiments.photo_compression.scores_units`: sequences `first` to `last` of the set.

    Arrays: `scores` (sequences, versions), as the method gives them, NaN for a sequence without the reference that the
    method needs; `higher_is_better` (). A method that fails gives a row `FAILURE` instead.
    """
    sacid = opened(params)
    groups = [records for _, records in sacid.by_sequence()]
    chosen = groups[params["first"] : params["last"]]
    scores = np.full((len(chosen), len(groups[0])), np.nan)
    try:
        with ScoreCache(_cache_file(params)) as cache:
            scorer = _Scorer(params, inputs, cache, sacid)
            for place, records in enumerate(progress(chosen)):
                if records[0].reference is not None or not scorer.traits.needs_reference:
                    scores[place] = scorer.scores(records)
    except MethodFailed as failure:
        say(f"{params['method']}: {failure}")
        return Result(
            rows=[
                {
                    "experiment": "compression",
                    "method": params["method"],
                    "dataset": sacid.name,
                    "metric": FAILURE,
                    "variant": str(failure),
                    "seed": params["seed"],
                }
            ]
        )
    return Result(arrays={"scores": scores, "higher_is_better": np.array(scorer.traits.higher_is_better)})


def _cache_file(params: Mapping[str, Any]) -> Path:
    """One file per row and repeat, so that no two of them wait for each other."""
    name = hashlib.sha256(f"{params['method']} {params['seed']}".encode()).hexdigest()[:12]
    return Path(params["cache"], f"{params['dataset']}-{name}.sqlite")


class _Scorer:
    """One method at work on the sequences of one shard."""

    def __init__(self, params: Mapping[str, Any], inputs: Inputs, cache: ScoreCache, sacid: SacidSet):
        self.params, self.inputs, self.cache, self.sacid = params, inputs, cache, sacid
        trained = bool(params["backbone"])
        self.state = _weights(inputs[params["training"]]) if trained else {}
        self.traits = self._traits()
        code = sorted(
            (
                code_version("paperlib.models.quality.methods:open_method")
                | (code_version("paperlib.models.baseline:Baseline") if trained else {})
            ).items()
        )
        content = [params["content"], *(f"{name} {_hash(value)}" for name, value in sorted(self.state.items()))]
        self.identity = hashlib.sha256(repr((code, params["judge"], params["crops"], content)).encode()).hexdigest()

    def _traits(self) -> Traits:
        name = self.params["judge"]
        if self.state:
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
        return self._loaded("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def fallback(self) -> Method:
        """The method on the CPU, for pictures that the GPU's memory does not hold."""
        return self._loaded("cpu")

    def scores(self, records: Sequence[SacidRecord]) -> list[float]:
        """Scores of one sequence's versions; what was scored before an interruption is kept."""
        reference = records[0].load_reference() if self.traits.needs_reference else None
        weights = self._map(records) if self.traits.needs_saliency else None
        beside = " ".join(_hash(one) for one in (reference, weights) if one is not None)
        pictures = [record.load_image() for record in records]
        keys = [f"{self.identity} {self.params['size_mode']} {_hash(picture)} {beside}" for picture in pictures]
        known, fresh = self.cache.found(keys), {}
        try:
            for key, picture in zip(keys, pictures, strict=True):
                if key not in known and key not in fresh:
                    fresh[key] = self._score(*map(self._resized, (picture, reference, weights)))
        finally:
            self.cache.add(fresh)
        return [(known | fresh)[key] for key in keys]

    def _resized(self, image: NDArray[Any] | None) -> NDArray[Any] | None:
        return None if image is None else resized(image, self.params["size_mode"])

    def _score(self, *pictures: NDArray[Any] | None) -> float:
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

    def _loaded(self, device: str) -> Method:
        name, root = self.params["judge"], Path(self.params["weights_root"])
        try:
            if self.state:
                backbone = create_backbone(self.params["backbone"])
                network = Baseline(backbone, decoder=self.params["variant"] == "sal_loss")
                network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in self.state.items()})
                return method_of_network(name, network, device=device)
            if self.params["network"]:
                return method_of_network(name, deepcopy(self.network.network), self.network.higher_is_better, device)
            return open_method(name, root if self.traits.files else None, device, self.params["crops"] or None)
        except Exception as error:
            raise MethodFailed(_sentence(error)) from error

    def _map(self, records: Sequence[SacidRecord]) -> NDArray[np.float32]:
        """What the sequence's pictures are weighed with, (h, w) in [0, 1]."""
        kind, size = self.params["weights"], records[0].size
        if kind == CENTER:
            return center_only(*size)
        if kind == UNIFORM:
            return np.ones(size, np.float32)
        if kind in (OWN, SHUFFLED):
            lender = records[0] if kind == OWN else self._lenders[records[0].sequence]
            values = lender.load_saliency()
        else:
            values = self.inputs[self.params["maps"]].arrays[f"maps.{records[0].sequence}"].astype(np.float32)
        values = values if values.shape == size else cv2.resize(values, size[::-1], interpolation=cv2.INTER_LINEAR)
        return values / values.max()

    @cached_property
    def _lenders(self) -> dict[str, SacidRecord]:
        return lenders(self.sacid)


def lenders(sacid: SacidSet) -> dict[str, SacidRecord]:
    """Sequence -> the one that lends it its map: the next of the same format, upright or not, else the next of all."""
    firsts = [records[0] for _, records in sacid.by_sequence()]
    found = _next_of(firsts)
    for _, same in groupby(sorted(firsts, key=_is_upright), key=_is_upright):
        members = list(same)
        if len(members) > 1:
            found |= _next_of(members)
    return found


def _next_of(records: Sequence[SacidRecord]) -> dict[str, SacidRecord]:
    return {one.sequence: records[(place + 1) % len(records)] for place, one in enumerate(records)}


def _is_upright(record: SacidRecord) -> bool:
    height, width = record.size
    return height > width


def _weights(result: Result) -> dict[str, NDArray[Any]]:
    """The network's tensors by name, out of a stored training."""
    prefix = "weights."
    return {name.removeprefix(prefix): value for name, value in result.arrays.items() if name.startswith(prefix)}


def _sentence(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


def _hash(array: NDArray[Any]) -> str:
    digest = hashlib.sha256(repr((array.shape, str(array.dtype))).encode())
    digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()
