"""Measures maps against gaze, with map transforms fitted on other pictures, and compares methods picture by picture.

Transform and centre prior of a picture come from pictures that are not judged beside it: from the other folds, or where a
set brings pictures to fit on, from those. `fitted_on_test` fits on all judged pictures, the judged one too, as the paper
does. Measuring reads one shard of maps at a time: memory does not grow with the data set.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.datasets.gaze import fixation_map
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result
from paperlib.experiments.maps.compute import StoredShards
from paperlib.experiments.sets.opening import opened
from paperlib.maps.center_prior import GaussianPrior
from paperlib.maps.transform import MapTransform, TransformStatistics, to_levels
from paperlib.metrics.resampling import bootstrap_mean, compare_with
from paperlib.metrics.saliency import evaluate
from paperlib.sources.maps import sized

CENTER_PRIOR, SHUFFLED = "center_prior", "shuffled_map"
"""Methods without maps of their own: the prior is fitted here, and a shuffled map is that of another picture."""

LOWER_IS_BETTER = ("KLD",)

Values = dict[tuple[str, str], NDArray[np.float64]]
"""(variant, metric) -> one value per judged picture."""

Prior = Callable[[int, int], NDArray[np.float32]]
LevelsOf = Callable[[int, Prior], NDArray[np.uint8]]
"""From the number of a picture and a centre prior to the grey levels (h, w) of its map."""


def measure(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Metrics of one method's maps: raw, and after map transforms.

    Variants of the rows: `raw`; `fitted` (on pictures that are not judged); `fitted_on_test` (as the paper does); `plain`
    and `plain_fitted` (one pass, no principal component), where a score was asked for the maps. The arrays hold what single
    pictures have: `values` (k, n), and the `variants` (k,) and `metrics` (k,) of its rows.
    """
    gaze, shards = params["gaze"], list(params["maps"])
    records, method = opened(params, inputs).records, params["method"]
    folds = Folds.of(inputs[gaze].arrays["moments"], params["n_judged"], params["n_folds"])
    if method == CENTER_PRIOR:
        values = _values(records, folds, lambda index, prior: to_levels(prior(*records[index].size)))
    else:
        levels = StoredShards(inputs, shards, params["shard"])
        shift = len(records) // 2 if method == SHUFFLED else 0

        def stored(kind: str) -> LevelsOf:
            return lambda index, prior: sized(levels(kind, (index + shift) % len(records)), records[index].size)

        values = _values(records, folds, stored("maps"))
        if levels.has_plain and not shift:
            plain = _values(records, folds, stored("plain"))
            values |= {
                (label, metric): found
                for (variant, metric), found in plain.items()
                if (label := {"raw": "plain", "fitted": "plain_fitted"}.get(variant))
            }
    rows = _means(values).assign(method=method, dataset=params["dataset"], seed=params["seed"])
    variants, metrics = zip(*values, strict=True)
    arrays = {"values": np.stack([*values.values()]), "variants": np.array(variants), "metrics": np.array(metrics)}
    return Result(rows=rows, arrays=arrays)


def _means(values: Values) -> pd.DataFrame:
    """Mean over pictures; those without a value (NaN, as NSS at fixations without fixations) do not count."""
    rows = []
    for (variant, metric), one in values.items():
        known = one[~np.isnan(one)]
        mean = float(known.mean()) if len(known) else np.nan
        rows.append({"variant": variant, "metric": metric, "n": len(known), "value": mean})
    return pd.DataFrame(rows)


# ----------------------------------------------------------------------------------------------------- fitting, judging


@dataclass(frozen=True)
class Folds:
    """Who is judged by fits on whom.

    Attributes:
        judged: (n,) numbers of the judged pictures.
        fold: (n,) by which of the fits each of them is judged.
        fitted_on: for each fit the numbers of its pictures.
        priors: for each fit the centre prior of its pictures.
        prior: of all pictures that are fitted on.
    """

    judged: NDArray[np.int64]
    fold: NDArray[np.int64]
    fitted_on: Sequence[NDArray[np.int64]]
    priors: Sequence[Prior]
    prior: Prior

    @classmethod
    def of(cls, moments: NDArray[np.float64], n_judged: int, n_folds: int) -> "Folds":
        """Where pictures are left that are not judged, one fit on these; else `n_folds` fits, each on the other folds
        (number of the picture modulo their number).

        Args:
            moments: (n, 6) of the densities of all pictures (`GaussianPrior`).
            n_judged: the first so many are judged.
            n_folds: at most as many as there are pictures.
        """
        everything, judged = np.arange(len(moments)), np.arange(n_judged)
        if n_judged < len(moments):
            fold, fitted_on = np.zeros(n_judged, int), [everything[n_judged:]]
        else:
            n_folds = min(n_folds, len(moments))
            fold = judged % n_folds
            fitted_on = [everything[fold != one] for one in range(n_folds)]
        gaussians = [GaussianPrior(*numbers) for numbers in moments]

        def prior(numbers: Sequence[int]) -> Prior:
            return lru_cache(maxsize=4)(sum((gaussians[number] for number in numbers), GaussianPrior()).render)

        union = sorted(set(np.concatenate(fitted_on).tolist()))
        return cls(judged, fold, fitted_on, [prior(numbers.tolist()) for numbers in fitted_on], prior(union))


def _values(records: Sequence[Any], folds: Folds, levels: LevelsOf) -> Values:
    """Metrics of the judged pictures' maps: raw, transformed by the fit that has not seen them, and by the fit on all
    judged."""
    held_out, on_test = _fits(records, folds, levels)
    found: dict[tuple[str, str], list[float]] = {}
    for index, fold in progress(list(zip(folds.judged.tolist(), folds.fold.tolist(), strict=True))):
        record = records[index]
        own, all_seen = levels(index, folds.priors[fold]), levels(index, folds.prior)
        maps = {
            "raw": own.astype(np.float32) / 255,
            "fitted": held_out[fold].transform(own),
            "fitted_on_test": on_test.transform(all_seen),
        }
        for metric, values in _metrics(record, np.stack(list(maps.values()))).items():
            for variant, value in zip(maps, values, strict=True):
                found.setdefault((variant, metric), []).append(float(value))
    return {key: np.array(values) for key, values in found.items()}


def _metrics(record: Any, maps: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """Of maps (k, h, w) of one picture; NSS over positive density is that of the density as it is published."""
    density, fixations = record.load_density(), fixation_map(record.load_fixations(), record.size)
    found = evaluate(maps, *(np.broadcast_to(one, maps.shape) for one in (density, fixations)))
    published = record.load_published()
    if published is not None:
        found["NSS"] = evaluate(maps, np.broadcast_to(published, maps.shape))["NSS"]
    return found


def _fits(records: Sequence[Any], folds: Folds, levels: LevelsOf) -> tuple[list[MapTransform], MapTransform]:
    """The transform of each fit, and the one fitted on all judged pictures; one pass over the data."""
    others, whole = [TransformStatistics() for _ in folds.fitted_on], TransformStatistics()
    members = [set(numbers.tolist()) for numbers in folds.fitted_on]
    judged = set(folds.judged.tolist())
    for index in progress(sorted(judged.union(*members))):
        record = records[index]
        density = record.load_density()
        for statistics, fitted_on, prior in zip(others, members, folds.priors, strict=True):
            if index in fitted_on:
                statistics.add(levels(index, prior), density, prior(*record.size))
        if index in judged:
            whole.add(levels(index, folds.prior), density, folds.prior(*record.size))
    return (
        [MapTransform(*statistics.solve(), prior) for statistics, prior in zip(others, folds.priors, strict=True)],
        MapTransform(*whole.solve(), folds.prior),
    )


# ----------------------------------------------------------------------------------------------------------- differences


def differences(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Intervals and paired tests over the pictures of a set, from the results of `measure` of all methods.

    Values of pictures that the repeats share are averaged over the repeats; pictures that each repeat has of its own are
    taken together. Rows, all with the seed -1:

    - variant `interval/<variant>`: mean over pictures with a 95 % bootstrap interval;
    - variant `difference/<variant>`: mean difference from the centre prior's maps with its interval, positive where the
      method is better (KLD counts downwards);
    - variant `p_holm/<variant>`: p of a paired test of that difference (`paired_p`), Holm-corrected over the methods.
    """
    rows: list[dict[str, Any]] = []
    pooled = _pooled(params, inputs)
    for (variant, metric), methods in pooled.items():
        lows, highs = bootstrap_mean(np.stack(list(methods.values())), n_resamples=params["n_resamples"])
        for (method, one), low, high in zip(methods.items(), lows, highs, strict=True):
            span = {"low": low, "high": high, "n": int((~np.isnan(one)).sum()), "value": float(np.nanmean(one))}
            rows.append({"method": method, "variant": f"interval/{variant}", "metric": metric} | span)
        reference = pooled.get((_reference_variant(variant), metric), {}).get(CENTER_PRIOR)
        others = {method: one for method, one in methods.items() if method != CENTER_PRIOR}
        if reference is not None and others:
            rows += _compared(variant, metric, reference, others, params["n_resamples"])
    return Result(rows=pd.DataFrame(rows).assign(dataset=params["dataset"], seed=-1))


def _pooled(params: Mapping[str, Any], inputs: Inputs) -> dict[tuple[str, str], dict[str, NDArray[np.float64]]]:
    """(variant, metric) -> method -> values of the pictures of all repeats, NaN in a repeat that the method lacks; of shared
    pictures their means over the repeats."""
    found: dict[tuple[str, str], dict[str, dict[int, NDArray[np.float64]]]] = {}
    sizes: dict[int, int] = {}
    for name, method, seed in params["measured"]:
        arrays = inputs[name].arrays
        for variant, metric, one in zip(arrays["variants"], arrays["metrics"], arrays["values"], strict=True):
            found.setdefault((str(variant), str(metric)), {}).setdefault(method, {})[seed] = one
            sizes[seed] = len(one)
    if params["shared"]:
        return {
            key: {method: np.mean(list(by_seed.values()), axis=0) for method, by_seed in methods.items()}
            for key, methods in found.items()
        }
    return {
        key: {
            method: np.concatenate([by_seed.get(seed, np.full(size, np.nan)) for seed, size in sizes.items()])
            for method, by_seed in methods.items()
        }
        for key, methods in found.items()
    }


def _reference_variant(variant: str) -> str:
    """The centre prior has no one-pass maps: those are compared with its only ones."""
    return {"plain": "raw", "plain_fitted": "fitted"}.get(variant, variant)


def _compared(
    variant: str, metric: str, reference: NDArray, others: Mapping[str, NDArray], n_resamples: int
) -> list[dict[str, Any]]:
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    rows = []
    for found in compare_with(sign * reference, {name: sign * one for name, one in others.items()}, n_resamples=n_resamples):
        common = {"method": found["name"], "metric": metric, "n": found["images"]}
        span = {"value": found["difference"], "low": found["low"], "high": found["high"]}
        rows.append(common | {"variant": f"difference/{variant}"} | span)
        rows.append(common | {"variant": f"p_holm/{variant}", "value": found["p_holm"]})
    return rows
