"""Sets of photographs as units see them, and the maps of their pictures, made shard by shard.

A set has one of two faces: pictures with gaze (`"gaze"`, `paperlib.datasets.gaze`) or pictures with opinion scores
(`"opinions"`, `paperlib.datasets.opinions`). Maps are stored as 256 grey levels, which is what map transforms and the
paper's 8-bit maps see of them anyway.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paperlib.datasets.gaze import GazeRecord, GazeSet, open_gaze
from paperlib.datasets.opinions import OpinionSet, open_opinions
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.photo_sources import (
    ORIGINS,
    SCORE_KINDS,
    Origin,
    folder_origins,
    maker,
    own_origins,
    picture,
    sized,
    weights_fingerprint,
)
from paperlib.maps.transform import to_levels

if TYPE_CHECKING:
    from paperlib.profiles import Profile

CHUNK = 8
"""Records in memory at once."""

SAMPLE_SEED = 0
"""Of the pictures that a profile with `n_images` or `n_masked` looks at."""

_OPENERS: dict[str, Callable[..., GazeSet | OpinionSet]] = {"gaze": open_gaze, "opinions": open_opinions}
_ADVICE = {
    ("gaze", "own"): ", a folder with images/ and fixations.csv (columns image, subject, x, y)",
    ("opinions", "own"): ", a folder with images/ and mos.csv (columns image, mos)",
}
_OWN_OPTIONS = ("n_images", "part")
"""Which of a source's options choose among the records of the opened set."""


@dataclass(frozen=True)
class Source:
    """A data set as the units see it: opened, with what opens it again elsewhere."""

    face: str
    pictures: GazeSet | OpinionSet
    root: Path
    options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Key of the data set."""
        return self.pictures.name

    @property
    def keys(self) -> list[str]:
        """Keys of the pictures, in the set's order."""
        return [record.key for record in self.pictures.records]

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of a unit that name the data set and its content."""
        return {"face": self.face, "dataset": self.name, "fingerprint": self.pictures.fingerprint, **self.options}


def open_gaze_source(profile: "Profile", name: str) -> Source:
    """Eye-tracking set `name` of `profile`, with the profile's edition, blur and number of pictures.

    Raises:
        PaperlibError: as `paperlib.datasets.gaze.open_gaze`; the profile names no folder of data.
    """
    settings = profile.photographs
    blur = {"sigma_px": settings.sigma_px, "px_per_degree": settings.px_per_degree} if name == "own" else {}
    options: dict[str, Any] = {key: value for key, value in blur.items() if value}
    if name == "salicon" and settings.edition:
        options["edition"] = settings.edition
    return _open_source(profile, "gaze", name, options | {"n_images": settings.n_images})


def open_opinions_source(profile: "Profile", name: str) -> Source:
    """The pictures of opinion set `name` that `profile` masks: of its test part, where it has parts.

    Raises:
        PaperlibError: as `paperlib.datasets.opinions.open_opinions`; the profile names no folder of data.
    """
    options: dict[str, Any] = {"part": "test", "n_images": profile.masking.n_masked}
    if profile.evidence == "stand-ins":
        options["partial"] = True
    return _open_source(profile, "opinions", name, options)


def _open_source(profile: "Profile", face: str, name: str, options: Mapping[str, Any]) -> Source:
    if not profile.data_root:
        advice = _ADVICE.get((face, name), "")
        raise PaperlibError(f"profile {profile.name!r} needs the folder of its data: give --data-root DIR{advice}")
    root = _home(Path(profile.data_root), name)
    with told_how_to_get(profile, name):
        return Source(face, _opened(face, name, root, options), root, options)


@contextmanager
def told_how_to_get(profile: "Profile", name: str) -> Iterator[None]:
    """What a loader refuses comes with the command that gets the data set.

    Raises:
        PaperlibError: as the block, with a word more where the data set is a published one.
    """
    try:
        yield
    except PaperlibError as error:
        if name == "own" or profile.evidence != "data":
            raise
        raise PaperlibError(f"{error} (`python -m paperlib data fetch {name}` gets it or says how)") from error


def _home(root: Path, name: str) -> Path:
    """The data set's own folder below the data root, in upper or lower case; the root itself where there is none."""
    return next((root / folder for folder in (name, name.upper()) if (root / folder).is_dir()), root)


def _opened(face: str, name: str, root: Path, options: Mapping[str, Any]) -> GazeSet | OpinionSet:
    pictures = _OPENERS[face](name, root, **{key: value for key, value in options.items() if key not in _OWN_OPTIONS})
    if isinstance(pictures, OpinionSet) and options.get("part") in pictures.splits:
        pictures = pictures.part(options["part"])
    return pictures.take(options["n_images"], SAMPLE_SEED) if options["n_images"] else pictures


def reopened(params: Mapping[str, Any]) -> GazeSet | OpinionSet:
    """The set that a unit's parameters (`Source.params`) and its place `root` name."""
    options = {
        key: params[key] for key in ("edition", "sigma_px", "px_per_degree", "partial", *_OWN_OPTIONS) if key in params
    }
    return _opened(params["face"], params["dataset"], Path(params["root"]), options)


def origins(profile: "Profile", source: Source) -> dict[str, Origin]:
    """The methods whose maps of one data set a profile can make, without centre prior and shuffled map."""
    chosen = {method: ORIGINS[method] for method in profile.photographs.methods}
    if source.name == "own":
        chosen |= folder_origins(source.root, source.keys)
    return chosen | own_origins(profile.models)


# ---------------------------------------------------------------------------------------------------------------- maps


def maps_units(profile: "Profile", source: Source, after: Unit, method: str, origin: Origin) -> list[Unit]:
    """The maps of one method, one unit per shard; they start when unit `after`, which reads the whole set, is done."""
    settings = profile.photographs
    params = network_params(profile, origin)
    if origin.kind in SCORE_KINDS:
        smoothing = profile.extraction
        params |= {"smoothing": smoothing.smoothing, "principal_component": smoothing.principal_component}
    if origin.kind == "folder":
        params["content"] = _folder_content(source, origin.model)
    n = len(source.pictures)
    return [
        Unit.of(
            "maps",
            f"{method}/{source.face}/{source.name}/{first}",
            "paperlib.experiments.photo_sets:make_maps",
            needs=[after],
            places=network_places(profile, origin) | {"root": source.root},
            cost=20.0 if origin.kind in SCORE_KINDS else 5.0,
            resources=network_resources(origin),
            first=first,
            last=min(first + settings.shard, n),
            **source.params,
            **params,
        )
        for first in range(0, n, settings.shard)
    ]


def network_params(profile: "Profile", origin: Origin) -> dict[str, Any]:
    """Parameters of a unit that make a network of `origin` and say how pictures are put through it."""
    settings, smoothing = profile.photographs, profile.extraction
    params: dict[str, Any] = {"kind": origin.kind, "model": origin.model, "seed": profile.seeds[0]}
    params["content"] = "" if origin.kind == "folder" else weights_fingerprint(origin, Path(profile.weights_root))
    if origin.kind in (*SCORE_KINDS, "activation"):
        params |= {
            "layer": origin.layer,
            "input_height": settings.input_height,
            "input_width": settings.input_width,
            "optimise": settings.optimise,
            "precision": settings.precision,
            "n_passes": smoothing.n_passes,
            "max_angle": smoothing.max_angle,
        }
    return params


def network_resources(origin: Origin) -> dict[str, float]:
    """What a unit that runs `origin` occupies on a cluster: a GPU for a network."""
    return {"gpus": 1.0} if origin.kind in (*SCORE_KINDS, "activation", "network") else {}


def network_places(profile: "Profile", origin: Origin) -> dict[str, Any]:
    """Where a unit finds the weights of `origin`."""
    return {"weights_root": profile.weights_root, "weights": origin.weights}


def _folder_content(source: Source, name: str) -> str:
    """What a folder of maps holds, as far as its listing tells."""
    import hashlib

    from paperlib.datasets.own import map_folders

    files = map_folders(source.root, source.keys)[name]
    listing = [f"{key} {path.name} {path.stat().st_size}" for key, path in files.items()]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:16]


def make_maps(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `maps_units`: arrays `maps.<index>` and `plain.<index>`, (h, w) uint8 grey levels."""
    records = reopened(params).records[params["first"] : params["last"]]
    make = maker(params, [record.key for record in records])
    arrays: dict[str, np.ndarray] = {}
    for start in progress(range(0, len(records), CHUNK)):
        for kind, maps in make(records[start : start + CHUNK]).items():
            arrays |= {f"{kind}.{params['first'] + start + place}": to_levels(one) for place, one in enumerate(maps)}
    return Result(arrays=arrays)


class AsSeen:
    """Pictures with gaze, and what belongs to them, at the size at which networks see them.

    Args:
        records: of an eye-tracking set.
        profile: says that size.
    """

    def __init__(self, records: Sequence[GazeRecord], profile: "Profile"):
        seen = (profile.photographs.input_height, profile.photographs.input_width)
        self.records = records
        self.sizes = [seen if all(seen) else record.size for record in records]

    @property
    def captions(self) -> tuple[str, ...]:
        """Keys of the pictures."""
        return tuple(record.key for record in self.records)

    def images(self) -> list[np.ndarray]:
        """(h, w, 3) uint8 each."""
        return [picture(*pair) for pair in zip(self.records, self.sizes, strict=True)]

    def densities(self) -> list[np.ndarray]:
        """Gaze density, (h, w) float32 each."""
        return [sized(record.load_density(), size) for record, size in zip(self.records, self.sizes, strict=True)]

    def maps(self, levels: Mapping[str, np.ndarray], kind: str = "maps") -> list[np.ndarray]:
        """Maps (h, w) float32 in [0, 1] from the arrays of `make_maps`, those of a set's first pictures."""
        return [sized(levels[f"{kind}.{index}"], size).astype(np.float32) / 255 for index, size in enumerate(self.sizes)]


class StoredLevels:
    """Grey levels of the shards of one method by image, with the last shards in memory.

    Args:
        inputs: holds the results of `maps_units`.
        shards: their names, in order.
        shard: pictures of each but the last.
    """

    def __init__(self, inputs: Inputs, shards: Sequence[str], shard: int):
        self.arrays = lru_cache(maxsize=2)(lambda place: inputs[shards[place]].arrays)
        self.shard = shard
        self.has_plain = any(key.startswith("plain.") for key in self.arrays(0))

    def __call__(self, kind: str, index: int) -> np.ndarray:
        """(h, w) uint8 of `"maps"` or `"plain"` for image `index` of the set."""
        return self.arrays(index // self.shard)[f"{kind}.{index}"]
