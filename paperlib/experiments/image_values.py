"""From values of single images to what a table shows: means, intervals over images, differences from the centre prior."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from paperlib.engine.units import Inputs, Result, Unit
from paperlib.metrics.resampling import bootstrap_mean, compare_with

REFERENCE = "center_prior"
LOWER_IS_BETTER = ("KLD",)

Values = Mapping[tuple[str, str], np.ndarray]
"""(variant, metric) -> (n,) one value per image."""


def tidy_values(values: Mapping[str, Values]) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Rows with the mean over images for each method, variant and metric, and arrays with the values of single images.

    Images without a value (NaN, as NSS at fixations without fixations) do not count.
    """
    rows, arrays = [], {}
    for method, by_variant in values.items():
        for (variant, metric), one in by_variant.items():
            known = one[~np.isnan(one)]
            rows.append(
                {
                    "method": method,
                    "variant": variant,
                    "metric": metric,
                    "n": len(known),
                    "value": float(known.mean()) if len(known) else np.nan,
                }
            )
            arrays[f"{method}|{variant}|{metric}"] = one
    return pd.DataFrame(rows), arrays


def differences_unit(experiment: str, dataset: str, measured: Iterable[Unit], n_resamples: int) -> Unit:
    """Intervals and paired tests over the images of `dataset`, from units whose arrays are those of `tidy_values`.

    The images of all repeats are taken together. Rows of the result, all with the seed -1:

    - variant `interval/<variant>`: mean over images with a 95 % bootstrap interval;
    - variant `difference/<variant>`: mean difference from the centre prior's maps with its interval, positive where the
      method is better (KLD counts downwards);
    - variant `p_holm/<variant>`: p of a paired sign-flip test of that difference, Holm-corrected over the methods.
    """
    needs = list(measured)
    return Unit.of(
        experiment,
        f"differences/{dataset}",
        "paperlib.experiments.image_values:differences",
        needs=needs,
        dataset=dataset,
        experiment=experiment,
        n_resamples=n_resamples,
        seeds=[dict(unit.params)["seed"] for unit in needs],
    )


def differences(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `differences_unit`."""
    rows: list[dict[str, Any]] = []
    pooled = _pooled(inputs, params["seeds"])
    for (variant, metric), methods in pooled.items():
        lows, highs = bootstrap_mean(np.stack(list(methods.values())), n_resamples=params["n_resamples"])
        for (method, one), low, high in zip(methods.items(), lows, highs, strict=True):
            rows.append(
                {
                    "method": method,
                    "variant": f"interval/{variant}",
                    "metric": metric,
                    "low": low,
                    "high": high,
                    "n": int((~np.isnan(one)).sum()),
                    "value": float(np.nanmean(one)),
                }
            )
        reference = pooled.get((_reference_variant(variant), metric), {}).get(REFERENCE)
        others = {method: one for method, one in methods.items() if method != REFERENCE}
        if reference is not None and others:
            rows += _compared(variant, metric, reference, others, params["n_resamples"])
    frame = pd.DataFrame(rows).assign(experiment=params["experiment"], dataset=params["dataset"], seed=-1)
    return Result(rows=frame)


def _pooled(inputs: Inputs, seeds: Sequence[int]) -> dict[tuple[str, str], dict[str, np.ndarray]]:
    """(variant, metric) -> method -> values of the images of all repeats, NaN in a repeat that the method lacks."""
    found: dict[tuple[str, str], dict[str, dict[int, np.ndarray]]] = {}
    sizes: dict[int, int] = {}
    for name, seed in zip(inputs, seeds, strict=True):
        for key, one in inputs[name].arrays.items():
            if key.count("|") == 2:
                method, variant, metric = key.split("|")
                found.setdefault((variant, metric), {}).setdefault(method, {})[seed] = one
                sizes[seed] = len(one)
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
    variant: str, metric: str, reference: np.ndarray, others: Mapping[str, np.ndarray], n_resamples: int
) -> list[dict[str, Any]]:
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    rows = []
    for found in compare_with(sign * reference, {name: sign * one for name, one in others.items()}, n_resamples=n_resamples):
        common = {"method": found["name"], "metric": metric, "n": found["images"]}
        rows.append(
            common
            | {"variant": f"difference/{variant}", "value": found["difference"], "low": found["low"], "high": found["high"]}
        )
        rows.append(common | {"variant": f"p_holm/{variant}", "value": found["p_holm"]})
    return rows
