"""Table I on photographs with eye tracking: maps of every method, shard by shard, measured with held-out transforms.

    gaze data ──┬─> maps of a shard (GPU) ──┬─> measured (CPU) ──> differences
                └───────────────────────────┘

The gaze data of a set are read whole before any map is made, so that bad files end the run at once. Measuring reads one
shard of maps at a time: memory does not grow with the data set. Transform and centre prior of an image come from the
other folds (image number modulo `n_folds`); `fitted_on_test` uses all images, the judged one too, as the paper does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paperlib.datasets.gaze import GazeRecord, check, fixation_map
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.image_values import differences_unit, tidy_values
from paperlib.experiments.photo_sets import AsSeen, Source, StoredLevels, maps_units, open_gaze_source, origins, reopened
from paperlib.experiments.photo_sources import SCORE_KINDS, Origin, require_weights, scoring_network, sized
from paperlib.experiments.rehearsal import write_standins
from paperlib.maps.center_prior import GaussianPrior
from paperlib.maps.transform import MapTransform, TransformStatistics, to_levels
from paperlib.metrics.saliency import evaluate
from paperlib.paper import look

if TYPE_CHECKING:
    from paperlib.profiles import Profile

EXPERIMENT = "extraction"


# ------------------------------------------------------------------------------------------------------------- units


def units(profile: "Profile") -> list[Unit]:
    """All units of Table I on the data sets of `profile`.

    Raises:
        PaperlibError: data or weights are missing or unfit; told before anything is computed.
    """
    if profile.evidence == "stand-ins":
        write_standins(profile)
    out = []
    sources = [open_gaze_source(profile, name) for name in profile.photographs.datasets]
    for source in sources:
        require_weights(origins(profile, source), Path(profile.weights_root))
    for source in sources:
        measured = measured_units(profile, source)
        out += [
            gaze_unit(profile, source),
            *measured.values(),
            differences_unit(EXPERIMENT, source.name, measured.values(), profile.extraction.n_resamples),
        ]
    return out


def measured_units(profile: "Profile", source: Source) -> dict[str, Unit]:
    """Method -> unit that measures its maps; the shuffled maps are those of the first network or folder."""
    gaze, known = gaze_unit(profile, source), origins(profile, source)
    shards = {method: maps_units(profile, source, gaze, method, origin) for method, origin in known.items()}
    measured = {"center_prior": _measured_unit(profile, source, gaze, "center_prior", [])}
    measured |= {method: _measured_unit(profile, source, gaze, method, maps) for method, maps in shards.items()}
    first = next((method for method, origin in known.items() if origin.kind in (*SCORE_KINDS, "network", "folder")), None)
    if first is not None:
        measured["shuffled_map"] = _measured_unit(profile, source, gaze, "shuffled_map", shards[first])
    return measured


def gaze_unit(profile: "Profile", source: Source) -> Unit:
    """Reads all gaze data of a set once, and keeps the moments of each image's density for centre priors."""
    return Unit.of(
        EXPERIMENT,
        f"gaze/{source.name}",
        "paperlib.experiments.photo_maps:read_gaze",
        places={"root": source.root},
        cost=50.0,
        **source.params,
    )


def _measured_unit(profile: "Profile", source: Source, gaze: Unit, method: str, maps: Sequence[Unit]) -> Unit:
    return Unit.of(
        EXPERIMENT,
        f"{method}/{source.name}",
        "paperlib.experiments.photo_maps:measure",
        needs=[gaze, *maps],
        places={"root": source.root},
        cost=10.0,
        method=method,
        n_folds=profile.photographs.n_folds,
        shard=profile.photographs.shard,
        seed=profile.seeds[0],
        **source.params,
    )


# ----------------------------------------------------------------------------------------------------------- computes


def read_gaze(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `gaze_unit`: rows of counts, arrays `moments` (n, 6) of the densities (`GaussianPrior`)."""
    gaze_set = reopened(params)
    moments: list[tuple[float, ...]] = []
    statistics = check(gaze_set, progress, lambda density: moments.append(astuple(GaussianPrior.of(density))))
    if statistics.pictures < 2:
        raise PaperlibError(
            f"{gaze_set.title}: at least 2 pictures with gaze are needed, since transform and centre prior of "
            "one come from the others; got 1"
        )
    counts = {
        name: getattr(statistics, name)
        for name in (
            "pictures",
            "fixations",
            "dropped",
            "without_fixations",
            "observers",
            "density_mean",
            "density_sd",
            "density_support",
        )
    }
    rows = pd.DataFrame(
        [
            {
                "experiment": EXPERIMENT,
                "method": "gaze",
                "dataset": gaze_set.name,
                "variant": "data",
                "metric": name,
                "value": np.nan if value is None else float(value),
                "n": len(gaze_set),
            }
            for name, value in counts.items()
        ]
    )
    return Result(rows=rows, arrays={"moments": np.array(moments)})


def measure(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `measured_units`: variants and arrays as in `paperlib.experiments.world_maps.measure`."""
    gaze, *shards = inputs
    records = reopened(params).records
    folds = _Folds(inputs[gaze].arrays["moments"], min(params["n_folds"], len(records)))
    if params["method"] == "center_prior":
        values = _values(records, folds, lambda index, prior: to_levels(prior(*records[index].size)))
    else:
        levels = StoredLevels(inputs, shards, params["shard"])
        shift = len(records) // 2 if params["method"] == "shuffled_map" else 0

        def stored(kind: str) -> LevelsOf:
            return lambda index, prior: sized(levels(kind, (index + shift) % len(records)), records[index].size)

        values = _values(records, folds, stored("maps"))
        if levels.has_plain and not shift:
            plain = _values(records, folds, stored("plain"))
            values |= {
                (label, metric): plain[variant, metric]
                for variant, label in (("raw", "plain"), ("fitted", "plain_fitted"))
                for metric in dict.fromkeys(metric for _, metric in plain)
            }
    rows, arrays = tidy_values({params["method"]: values})
    rows = rows.assign(experiment=EXPERIMENT, dataset=params["dataset"], seed=params["seed"])
    return Result(rows=rows, arrays=arrays)


Prior = Callable[[int, int], np.ndarray]
LevelsOf = Callable[[int, Prior], np.ndarray]
"""From the number of an image and a centre prior to the grey levels (h, w) of its map."""


class _Folds:
    """Centre priors: of all images, and for each fold of the images outside it."""

    def __init__(self, moments: np.ndarray, n: int):
        priors = [GaussianPrior(*numbers) for numbers in moments]
        self.n = n
        self.whole = self._prior(priors)
        self.others = [self._prior([prior for index, prior in enumerate(priors) if index % n != fold]) for fold in range(n)]

    @staticmethod
    def _prior(priors: Sequence[GaussianPrior]) -> Prior:
        return lru_cache(maxsize=4)(sum(priors, GaussianPrior()).render)


def _values(records: Sequence[GazeRecord], folds: _Folds, levels: LevelsOf) -> dict[tuple[str, str], np.ndarray]:
    """(variant, metric) -> (n,) for the raw maps, and for the maps transformed by held-out fits and by the fit on all."""
    held_out, on_test = _fits(records, folds, levels)
    found: dict[tuple[str, str], list[float]] = {}
    for index, record in enumerate(progress(records)):
        fold = index % folds.n
        density, fixations = record.load_density(), fixation_map(record.load_fixations(), record.size)
        own, all_seen = levels(index, folds.others[fold]), levels(index, folds.whole)
        maps = {
            "raw": own.astype(np.float32) / 255,
            "fitted": held_out[fold].transform(own),
            "fitted_on_test": on_test.transform(all_seen),
        }
        stack = np.stack(list(maps.values()))
        metrics = evaluate(stack, *(np.broadcast_to(one, stack.shape) for one in (density, fixations)))
        for metric, values in metrics.items():
            for variant, value in zip(maps, values, strict=True):
                found.setdefault((variant, metric), []).append(float(value))
    return {key: np.array(values) for key, values in found.items()}


def _fits(records: Sequence[GazeRecord], folds: _Folds, levels: LevelsOf) -> tuple[list[MapTransform], MapTransform]:
    """For each fold the transform fitted on the other folds, and the one fitted on all images; one pass over the data."""
    others, whole = [TransformStatistics() for _ in range(folds.n)], TransformStatistics()
    for index, record in enumerate(progress(records)):
        density = record.load_density()
        for fold, statistics in enumerate(others):
            if fold != index % folds.n:
                prior = folds.others[fold]
                statistics.add(levels(index, prior), density, prior(*record.size))
        whole.add(levels(index, folds.whole), density, folds.whole(*record.size))
    return (
        [MapTransform(*statistics.solve(), prior) for statistics, prior in zip(others, folds.others, strict=True)],
        MapTransform(*whole.solve(), folds.whole),
    )


# ----------------------------------------------------------------------------------------------------------- examples


def figure_units(profile: "Profile", n: int) -> dict[str, Unit]:
    """The shards that hold the maps of the first `n` pictures of the first data set, by method: of the first IQA network
    and of the first saliency network or folder of maps."""
    source = _first_source(profile)
    gaze = gaze_unit(profile, source)
    chosen = _figure_methods(origins(profile, source))
    return {
        f"{method}/{place}": unit
        for method, origin in chosen.items()
        for place, unit in enumerate(maps_units(profile, source, gaze, method, origin))
        if dict(unit.params)["first"] < n
    }


def _first_source(profile: "Profile") -> Source:
    if profile.evidence == "stand-ins":
        write_standins(profile)
    return open_gaze_source(profile, profile.photographs.datasets[0])


def _figure_methods(known: Mapping[str, Origin]) -> dict[str, Origin]:
    chosen = {}
    for kinds in (("network", "folder"), SCORE_KINDS):
        method = next((method for method, origin in known.items() if origin.kind in kinds), None)
        if method is not None:
            chosen[method] = known[method]
    return chosen


def examples(results: Mapping[str, Result], profile: "Profile", n: int) -> dict[str, Any]:
    """Arguments of `paperlib.experiments.extraction.Examples`: the first `n` pictures, at the size at which networks see
    them.

    Raises:
        PaperlibError: the profile names no IQA network.
    """
    source = _first_source(profile)
    shown = AsSeen(source.pictures.records[:n], profile)
    known = origins(profile, source)
    chosen = _figure_methods(known)
    method = next((method for method, origin in chosen.items() if origin.kind in SCORE_KINDS), None)
    if method is None:
        raise PaperlibError(
            f"profile {profile.name!r} names no IQA network whose maps could be shown: give one with --model "
            "NAME[@LAYER][=WEIGHTS]"
        )
    stored: dict[str, dict[str, np.ndarray]] = {}
    for role, result in results.items():
        stored.setdefault(role.rpartition("/")[0], {}).update(result.arrays)
    network, layer = scoring_network(known[method], profile)
    return {
        "images": shown.images(),
        "density": shown.densities(),
        "network": network,
        "layer": layer,
        "maps": {look(name).label: shown.maps(levels) for name, levels in stored.items()},
        "captions": shown.captions,
    }
