"""Checks coded pictures, makes maps of their references, and measures every method's agreement with people or polls."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.datasets import sacid as sacid_set
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, function
from paperlib.experiments.compression.scoring import FAILURE
from paperlib.experiments.sets.opening import opened
from paperlib.maps.transform import to_levels
from paperlib.metrics.agreement import per_image

METRICS = ("SROCC", "PLCC", "FracCP")
BITRATE, PRESETS = "bitrate_only", "preset_order"
"""Methods that see no picture: they order by bit-rate, and by what the preset is worth on other photographs."""


def check_pictures(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `check_unit`: rows of counts.

    Raises:
        PaperlibError: pictures that cannot be read; all are counted, the first are named.
    """
    pictures = opened(params, inputs)
    counts = sacid_set.check(pictures, progress)
    common = {"method": "pictures", "dataset": pictures.name, "variant": "data", "n": counts["pictures"]}
    return Result(rows=[common | {"metric": name, "value": float(value)} for name, value in counts.items()])


def count_scores(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Rows of counts as those of `check_pictures`, for scores without pictures."""
    counts = {"sequences": len(opened(params, inputs).scores.sequences), "pictures": 0, "references": 0}
    common = {"method": "pictures", "dataset": params["dataset"], "variant": "data"}
    return Result(rows=[common | {"metric": name, "value": float(value)} for name, value in counts.items()])


@dataclass(frozen=True)
class _Original:
    """A sequence's picture before coding, as the methods that make maps see pictures."""

    record: Any

    @property
    def key(self) -> str:
        return self.record.sequence

    @property
    def size(self) -> tuple[int, int]:
        return self.record.size

    def load_image(self) -> NDArray[np.uint8]:
        return self.record.load_reference()


def make_maps(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Arrays `maps.<sequence>`, (h, w) uint8 grey levels, of the sequences with a reference."""
    firsts = [records[0] for _, records in opened(params, inputs).by_sequence()]
    originals = [_Original(record) for record in firsts if record.reference is not None]
    make = function(params["maker"])(params, [one.key for one in originals], inputs)
    return Result(arrays={f"maps.{one.key}": to_levels(make([one])["maps"][0]) for one in progress(originals)})


def agree(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Agreement of all methods with people's scores, or with those of a poll.

    Rows: SROCC, PLCC (absolute values, as in the authors' notebook) and FracCP of every method, repeat and sequence,
    which is the variant; a sequence without a value has none. One row `FAILURE` per method without scores, with the reason.
    """
    bpps, presets = np.array(params["bpps"]), np.array(params["presets"])
    truth = inputs[params["poll"]].arrays["scores"] if params["poll"] else opened(params, inputs).scores.subjective
    raw, failed = _raw_scores(params, inputs)
    raw |= {(BITRATE, 0): np.broadcast_to(bpps, truth.shape), (PRESETS, 0): preset_order(truth, presets)}
    found = per_image(np.stack([*raw.values()]), truth, bpps, drop_sign=True)
    measured = dict(zip(METRICS, (found.srocc, found.plcc, found.fraccp), strict=True))
    common = {"dataset": params["told_as"], "n": len(bpps)}
    rows = [
        common
        | {
            "method": method,
            "metric": metric,
            "variant": sequence,
            "seed": params["poll_seed"] if params["poll"] else seed,
            "value": float(value),
        }
        for place, (method, seed) in enumerate(raw)
        for metric, values in measured.items()
        for sequence, value in zip(params["sequences"], values[place], strict=True)
        if np.isfinite(value) and (method, metric) != (BITRATE, "FracCP")
    ]
    absent = {"dataset": params["told_as"], "metric": FAILURE}
    rows += [absent | {"method": method, "variant": reason} for method, reason in failed.items()]
    return Result(rows=pd.DataFrame(rows))


def _raw_scores(
    params: Mapping[str, Any], inputs: Inputs
) -> tuple[dict[tuple[str, int], NDArray[np.float64]], dict[str, str]]:
    """Scores (sequences, versions) by (method, seed), higher is better; and the reasons of methods without any."""
    scores, failed = {}, dict(params["absent"])
    for method, seed, names in params["shards"]:
        results = [inputs[name] for name in names]
        reasons = [reason for result in results for reason in result.rows.loc[result.rows["metric"] == FAILURE, "variant"]]
        if reasons:
            failed[method] = reasons[0]
            continue
        own = np.concatenate([result.arrays["scores"] for result in results])
        scores[method, seed] = own if results[0].arrays["higher_is_better"] else -own
    return {key: own for key, own in scores.items() if key[0] not in failed}, failed


def preset_order(truth: np.ndarray, presets: np.ndarray) -> np.ndarray:
    """A fixed order of presets as a method: each version scores the mean of its preset over the *other* images.

    Args:
        truth: (images, versions) subjective scores, at least 2 images.
        presets: (versions,) preset of each version, the same in all images.

    Returns:
        (images, versions).

    Raises:
        ValueError: fewer than two images, or lengths that differ.
    """
    if truth.ndim != 2 or len(truth) < 2 or presets.shape != truth.shape[1:]:
        raise ValueError(
            f"expected truth (images >= 2, versions) and presets (versions,), got {truth.shape} and {presets.shape}"
        )
    _, index = np.unique(presets, return_inverse=True)
    same = index[:, None] == index[None, :]
    per_image = truth @ (same / same.sum(axis=0))
    return (per_image.sum(axis=0) - per_image) / (len(truth) - 1)
