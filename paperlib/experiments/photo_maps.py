"""Table I on photographs with eye tracking: maps of every method, shard by shard, measured with held-out transforms.

    gaze data ──┬─> maps of a shard (GPU) ──┬─> measured (CPU) ──> differences
                └───────────────────────────┘

The gaze data of a set are read whole before any map is made, so that bad files end the run at once. Maps are stored as
256 grey levels, which is what the map transform sees of them anyway. Measuring reads one shard at a time: memory does
not grow with the data set. Transform and centre prior of an image come from the other folds (image number modulo
`n_folds`); `fitted_on_test` uses all images, the judged one too, as the paper does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paperlib.datasets.gaze import GazeRecord, GazeSet, check, fixation_map, open_gaze
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.image_values import differences_unit, tidy_values
from paperlib.experiments.photo_sources import (
    ORIGINS,
    SCORE_KINDS,
    Origin,
    folder_origins,
    maker,
    own_origins,
    picture,
    require_weights,
    scoring_network,
    sized,
    weights_fingerprint,
)
from paperlib.experiments.rehearsal import write_standins
from paperlib.maps.center_prior import GaussianPrior
from paperlib.maps.transform import MapTransform, TransformStatistics, to_levels
from paperlib.metrics.saliency import evaluate
from paperlib.paper import look

if TYPE_CHECKING:
    from paperlib.profiles import Profile

CHUNK = 8
"""Records in memory at once."""

SAMPLE_SEED = 0
"""Of the pictures that a profile with `n_images` looks at."""

EXPERIMENT = "extraction"

_ADVICE = {"own": ", a folder with images/ and fixations.csv (columns image, subject, x, y)"}


# ------------------------------------------------------------------------------------------------------------- units


@dataclass(frozen=True)
class Source:
    """A data set as the units see it: opened, with what opens it again elsewhere."""

    gaze_set: GazeSet
    root: Path
    options: Mapping[str, Any]

    @property
    def params(self) -> dict[str, Any]:
        """Parameters that name the data set and its content."""
        return {"dataset": self.gaze_set.name, "fingerprint": self.gaze_set.fingerprint, **self.options}


def open_source(profile: "Profile", name: str) -> Source:
    """Data set `name` of `profile`.

    Raises:
        PaperlibError: as `paperlib.datasets.gaze.open_gaze`.
    """
    if not profile.data_root:
        raise PaperlibError(f"profile {profile.name!r} needs the folder of its data: give --data-root DIR" + _ADVICE.get(name, ""))
    settings = profile.photographs
    blur = {"sigma_px": settings.sigma_px, "px_per_degree": settings.px_per_degree} if name == "own" else {}
    options: dict[str, Any] = {key: value for key, value in blur.items() if value}
    if name == "salicon" and settings.edition:
        options["edition"] = settings.edition
    options["n_images"] = settings.n_images
    root = _home(Path(profile.data_root), name)
    return Source(_opened(name, root, options), root, options)


def _home(root: Path, name: str) -> Path:
    """The data set's own folder below the data root, in upper or lower case; the root itself where there is none."""
    return next((root / folder for folder in (name, name.upper()) if (root / folder).is_dir()), root)


def _opened(name: str, root: Path, options: Mapping[str, Any]) -> GazeSet:
    others = {key: value for key, value in options.items() if key != "n_images"}
    gaze_set = open_gaze(name, root, **others)
    return gaze_set.take(options["n_images"], SAMPLE_SEED) if options["n_images"] else gaze_set


def origins(profile: "Profile", source: Source) -> dict[str, Origin]:
    """The methods whose maps are measured on one data set, without centre prior and shuffled map."""
    chosen = {method: ORIGINS[method] for method in profile.photographs.methods}
    if source.gaze_set.name == "own":
        chosen |= folder_origins(source.root, [record.key for record in source.gaze_set.records])
    return chosen | own_origins(profile.models)


def units(profile: "Profile") -> list[Unit]:
    """All units of Table I on the data sets of `profile`.

    Raises:
        PaperlibError: data or weights are missing or unfit; told before anything is computed.
    """
    if profile.evidence == "stand-ins":
        write_standins(profile)
    out = []
    sources = [open_source(profile, name) for name in profile.photographs.datasets]
    for source in sources:
        require_weights(origins(profile, source), Path(profile.weights_root))
    for source in sources:
        measured = measured_units(profile, source)
        out += [gaze_unit(profile, source), *measured.values(),
                differences_unit(EXPERIMENT, source.gaze_set.name, measured.values(), profile.extraction.n_resamples)]
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
    return Unit.of(EXPERIMENT, f"gaze/{source.gaze_set.name}", "paperlib.experiments.photo_maps:read_gaze",
                   places={"root": source.root}, cost=50.0, **source.params)


def maps_units(profile: "Profile", source: Source, gaze: Unit, method: str, origin: Origin) -> list[Unit]:
    """The maps of one method, one unit per shard."""
    settings, smoothing = profile.photographs, profile.extraction
    params: dict[str, Any] = {"kind": origin.kind, "model": origin.model, "seed": profile.seeds[0]}
    if origin.kind in (*SCORE_KINDS, "activation"):
        params |= {"layer": origin.layer, "input_height": settings.input_height, "input_width": settings.input_width,
                   "optimise": settings.optimise, "precision": settings.precision, "n_passes": smoothing.n_passes,
                   "max_angle": smoothing.max_angle}
    if origin.kind in SCORE_KINDS:
        params |= {"smoothing": smoothing.smoothing, "principal_component": smoothing.principal_component}
    weights_root = Path(profile.weights_root)
    if origin.kind == "folder":
        params["content"] = _folder_content(source, origin.model)
    else:
        params["content"] = weights_fingerprint(origin, weights_root)
    places = {"root": source.root, "weights_root": weights_root, "weights": origin.weights}
    n = len(source.gaze_set)
    return [
        Unit.of(
            EXPERIMENT, f"maps/{method}/{source.gaze_set.name}/{first}", "paperlib.experiments.photo_maps:make_maps",
            needs=[gaze], places=places, cost=20.0 if origin.kind in SCORE_KINDS else 5.0, first=first,
            last=min(first + settings.shard, n), **source.params, **params,
        )
        for first in range(0, n, settings.shard)
    ]


def _folder_content(source: Source, name: str) -> str:
    """What a folder of maps holds, as far as its listing tells."""
    import hashlib

    from paperlib.datasets.own import map_folders

    files = map_folders(source.root, [record.key for record in source.gaze_set.records])[name]
    listing = [f"{key} {path.name} {path.stat().st_size}" for key, path in files.items()]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:16]


def _measured_unit(profile: "Profile", source: Source, gaze: Unit, method: str, maps: Sequence[Unit]) -> Unit:
    return Unit.of(
        EXPERIMENT, f"{method}/{source.gaze_set.name}", "paperlib.experiments.photo_maps:measure", needs=[gaze, *maps],
        places={"root": source.root}, cost=10.0, method=method, n_folds=profile.photographs.n_folds, shard=profile.photographs.shard,
        seed=profile.seeds[0], **source.params,
    )


# ----------------------------------------------------------------------------------------------------------- computes


def _reopened(params: Mapping[str, Any]) -> GazeSet:
    options = {key: params[key] for key in ("edition", "sigma_px", "px_per_degree", "n_images") if key in params}
    return _opened(params["dataset"], Path(params["root"]), options)


def read_gaze(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `gaze_unit`: rows of counts, arrays `moments` (n, 6) of the densities (`GaussianPrior`)."""
    gaze_set = _reopened(params)
    moments: list[tuple[float, ...]] = []
    statistics = check(gaze_set, progress, lambda density: moments.append(astuple(GaussianPrior.of(density))))
    if statistics.pictures < 2:
        raise PaperlibError(f"{gaze_set.title}: at least 2 pictures with gaze are needed, since transform and centre prior of "
                            "one come from the others; got 1")
    counts = {name: getattr(statistics, name) for name in (
        "pictures", "fixations", "dropped", "without_fixations", "observers", "density_mean", "density_sd", "density_support",
    )}
    rows = pd.DataFrame([
        {"experiment": EXPERIMENT, "method": "gaze", "dataset": gaze_set.name, "variant": "data", "metric": name,
         "value": np.nan if value is None else float(value), "n": len(gaze_set)}
        for name, value in counts.items()
    ])
    return Result(rows=rows, arrays={"moments": np.array(moments)})


def make_maps(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `maps_units`: arrays `maps.<index>` and `plain.<index>`, (h, w) uint8 grey levels."""
    records = _reopened(params).records[params["first"]:params["last"]]
    make = maker(params, [record.key for record in records])
    arrays: dict[str, np.ndarray] = {}
    for start in progress(range(0, len(records), CHUNK)):
        for kind, maps in make(records[start:start + CHUNK]).items():
            arrays |= {f"{kind}.{params['first'] + start + place}": to_levels(one) for place, one in enumerate(maps)}
    return Result(arrays=arrays)


def measure(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `measured_units`: variants and arrays as in `paperlib.experiments.world_maps.measure`."""
    gaze, *shards = inputs
    records = _reopened(params).records
    folds = _Folds(inputs[gaze].arrays["moments"], min(params["n_folds"], len(records)))
    if params["method"] == "center_prior":
        values = _values(records, folds, lambda index, prior: to_levels(prior(*records[index].size)))
    else:
        levels = _Levels(inputs, shards, params["shard"])
        shift = len(records) // 2 if params["method"] == "shuffled_map" else 0

        def stored(kind: str) -> LevelsOf:
            return lambda index, prior: sized(levels(kind, (index + shift) % len(records)), records[index].size)

        values = _values(records, folds, stored("maps"))
        if levels.has_plain and not shift:
            plain = _values(records, folds, stored("plain"))
            values |= {(label, metric): plain[variant, metric]
                       for variant, label in (("raw", "plain"), ("fitted", "plain_fitted"))
                       for metric in dict.fromkeys(metric for _, metric in plain)}
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
        self.others = [
            self._prior([prior for index, prior in enumerate(priors) if index % n != fold]) for fold in range(n)
        ]

    @staticmethod
    def _prior(priors: Sequence[GaussianPrior]) -> Prior:
        return lru_cache(maxsize=4)(sum(priors, GaussianPrior()).render)


class _Levels:
    """Stored grey levels by image, with the last shards in memory."""

    def __init__(self, inputs: Inputs, shards: Sequence[str], shard: int):
        self.arrays = lru_cache(maxsize=2)(lambda shard: inputs[shards[shard]].arrays)
        self.shard = shard
        self.has_plain = any(key.startswith("plain.") for key in self.arrays(0))

    def __call__(self, kind: str, index: int) -> np.ndarray:
        return self.arrays(index // self.shard)[f"{kind}.{index}"]


def _values(records: Sequence[GazeRecord], folds: _Folds, levels: LevelsOf) -> dict[tuple[str, str], np.ndarray]:
    """(variant, metric) -> (n,) for the raw maps, and for the maps transformed by held-out fits and by the fit on all."""
    held_out, on_test = _fits(records, folds, levels)
    found: dict[tuple[str, str], list[float]] = {}
    for index, record in enumerate(progress(records)):
        fold = index % folds.n
        density, fixations = record.load_density(), fixation_map(record.load_fixations(), record.size)
        own, all_seen = levels(index, folds.others[fold]), levels(index, folds.whole)
        maps = {"raw": own.astype(np.float32) / 255, "fitted": held_out[fold].transform(own),
                "fitted_on_test": on_test.transform(all_seen)}
        stack = np.stack(list(maps.values()))
        metrics = evaluate(stack, *(np.broadcast_to(one, stack.shape) for one in (density, fixations)))
        for metric, values in metrics.items():
            for variant, value in zip(maps, values, strict=True):
                found.setdefault((variant, metric), []).append(float(value))
    return {key: np.array(values) for key, values in found.items()}


def _fits(
    records: Sequence[GazeRecord], folds: _Folds, levels: LevelsOf
) -> tuple[list[MapTransform], MapTransform]:
    """For each fold the transform fitted on the other folds, and the one fitted on all images; one pass over the data."""
    others, whole = [TransformStatistics() for _ in range(folds.n)], TransformStatistics()
    for index, record in enumerate(progress(records)):
        density = record.load_density()
        for fold, statistics in enumerate(others):
            if fold != index % folds.n:
                prior = folds.others[fold]
                statistics.add(levels(index, prior), density, prior(*record.size))
        whole.add(levels(index, folds.whole), density, folds.whole(*record.size))
    return ([MapTransform(*statistics.solve(), prior) for statistics, prior in zip(others, folds.others, strict=True)],
            MapTransform(*whole.solve(), folds.whole))


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
    return open_source(profile, profile.photographs.datasets[0])


def _figure_methods(known: Mapping[str, Origin]) -> dict[str, Origin]:
    chosen = {}
    for kinds in (("network", "folder"), SCORE_KINDS):
        method = next((method for method, origin in known.items() if origin.kind in kinds), None)
        if method is not None:
            chosen[method] = known[method]
    return chosen


def examples(results: Mapping[str, Result], profile: "Profile", n: int) -> dict[str, Any]:
    """Arguments of `paperlib.experiments.extraction.Examples`: the first `n` pictures, brought to the networks' size.

    Raises:
        PaperlibError: the profile names no IQA network.
    """
    source = _first_source(profile)
    records = source.gaze_set.records[:n]
    known = origins(profile, source)
    chosen = _figure_methods(known)
    method = next((method for method, origin in chosen.items() if origin.kind in SCORE_KINDS), None)
    if method is None:
        raise PaperlibError(f"profile {profile.name!r} names no IQA network whose maps could be shown: give one with --model "
                            "NAME[@LAYER][=WEIGHTS]")
    settings = profile.photographs
    size = (settings.input_height or records[0].size[0], settings.input_width or records[0].size[1])
    stored: dict[str, dict[str, np.ndarray]] = {}
    for role, result in results.items():
        stored.setdefault(role.rpartition("/")[0], {}).update(result.arrays)
    maps = {
        look(name).label: np.stack([
            sized(arrays[f"maps.{index}"], size).astype(np.float32) / 255 for index in range(len(records))
        ])
        for name, arrays in stored.items()
    }
    network, layer = scoring_network(known[method], profile)
    density = [sized(record.load_density(), size) for record in records]
    return {
        "images": np.stack([picture(record, size) for record in records]), "density": np.stack(density),
        "network": network, "layer": layer, "maps": maps, "captions": tuple(record.key for record in records),
    }
