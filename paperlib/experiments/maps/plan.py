"""Units that make maps: which source, of which pictures, with which network and how it is asked."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paperlib.datasets.contents import digests, remembering
from paperlib.datasets.files import is_coloured, listing
from paperlib.datasets.own import MAP_PREFIX, map_folders
from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.extracting.compute import CENTER_PRIOR, SHUFFLED
from paperlib.experiments.sets.noted import note
from paperlib.experiments.sets.plan import OWN, Pictures, seen_size
from paperlib.models.official import official_path
from paperlib.paths import results_root
from paperlib.sources.source import KNOWN, Source, of_user, official_files, require_weights, weights_fingerprint

if TYPE_CHECKING:
    from paperlib.profiles import Profile


BEFORE_TRAINING = ("pretrained_activation", "pretrained_norm", "random_head")
"""Rows that show the first backbone before quality training."""


_LOOKED_AT = 3
"""Maps of a folder that a plan decodes."""


@dataclass(frozen=True)
class Made:
    """A source with what makes it at hand here.

    Attributes:
        source: where maps come from.
        training: the unit that trains its network; None for all others.
        recipe: parameters that build a trained network again.
        label: names that network among all that are trained, in names of units; empty for all others.
        seed: the repeat in which it was trained.
    """

    source: Source
    training: Unit | None = None
    recipe: tuple[tuple[str, Any], ...] = ()
    label: str = ""
    seed: int = 0


def name_of(pictures: Pictures, method: str, made: Made | None) -> str:
    """What the maps of a method on a set are called: a trained network by its own name and, where the set does not tell the
    repeat, that of its training."""
    if made is None or made.training is None:
        return method
    return made.label if pictures.generated else f"{made.label}/seed{made.seed}"


def published_sources(profile: "Profile") -> dict[str, Source]:
    """The methods of `profile` that are known by name, those before quality training on the profile's first backbone."""
    backbone = profile.dual_task.backbones[0]
    chosen = {method: KNOWN[method] for method in profile.photographs.methods if method in KNOWN}
    if profile.photographs.networks == "shipped" and "baseline" in chosen:
        chosen["baseline"] = Source("shipped", "baseline")
    return chosen | {method: replace(chosen[method], model=backbone) for method in BEFORE_TRAINING if method in chosen}


def known_sources(profile: "Profile", pictures: Pictures) -> dict[str, Made]:
    """The methods whose maps of a set are made of files or of nothing: those of `profile`, the user's folders and models."""
    chosen = published_sources(profile)
    if pictures.name == OWN:
        folders = map_folders_of(pictures)
        if taken := sorted(set(folders) & {*KNOWN, CENTER_PRIOR, SHUFFLED}):
            raise PaperlibError(
                f"the folders {listing(MAP_PREFIX + name for name in taken)} have names of rows of ours; rename them, for "
                f"example to {MAP_PREFIX}my_{taken[0]}"
            )
        chosen |= {name: Source("folder", name) for name in folders}
    models = of_user(profile.models, profile.model_folders)
    if taken := sorted(chosen.keys() & models.keys()):
        raise PaperlibError(f"a model and another row are both called {listing(taken)}; rename the folder or the module")
    chosen |= models
    return {method: Made(source) for method, source in chosen.items()}


def note_colours(pictures: Pictures) -> None:
    """Look at some maps of every folder beside the user's pictures, and note those that are read by their luma."""
    if pictures.name != OWN:
        return
    for name, files in map_folders(pictures.root, pictures.keys).items():
        coloured = [path.name for path in list(files.values())[:_LOOKED_AT] if is_coloured(path)]
        if coloured:
            told = f"maps are in colours, of which the luma is read: {listing(coloured)}"
            note(pictures.root, MAP_PREFIX + name, len(files), [told])


def map_folders_of(pictures: Pictures) -> list[str]:
    """Names of the folders of maps beside the user's pictures."""
    return list(map_folders(pictures.root, pictures.keys))


def maps_units(profile: "Profile", pictures: Pictures, after: Sequence[Unit], method: str, made: Made) -> list[Unit]:
    """The maps of one method, one unit per shard; they start when the units `after`, which read the whole set, are done."""
    source, shard = made.source, shard_length(profile, pictures)
    params = network_params(profile, made, seen_size(profile, pictures)) | {"maker": source.maker, "seed": pictures.seed}
    if source.asks_score:
        smoothing = profile.extraction
        params |= {"smoothing": smoothing.smoothing, "principal_component": smoothing.principal_component}
    if source.kind == "folder":
        params["content"] = _folder_content(pictures, source.model)
    return [
        pictures.unit(
            "maps",
            f"{name_of(pictures, method, made)}/{pictures.face}/{pictures.label}/{first}",
            "paperlib.experiments.maps.compute:make_maps",
            needs=[*after, *([made.training] if made.training else [])],
            places=network_places(profile, source),
            calls=source.calls,
            cost=20.0 if source.asks_score else 5.0,
            resources=network_resources(source),
            first=first,
            last=min(first + shard, pictures.n),
            **params,
        )
        for first in range(0, pictures.n, shard)
    ]


def shard_length(profile: "Profile", pictures: Pictures) -> int:
    """Pictures whose maps are made and stored together; a micro-world is small and stays whole."""
    return pictures.n if pictures.generated else profile.photographs.shard


def network_params(profile: "Profile", made: Made, seen: tuple[int, int]) -> dict[str, Any]:
    """Parameters of a unit that make a network of `made` and say how pictures are put through it, at which size they are
    `seen` (height, width; zeros for their own)."""
    settings, smoothing, source = profile.photographs, profile.extraction, made.source
    params: dict[str, Any] = {"kind": source.kind, "model": source.model, "network_opener": source.opener}
    params["content"] = "" if source.kind == "folder" else content_of(profile, source)
    if source.sees_features or source.kind == "decoder":
        params |= {
            "layer": source.layer,
            "input_height": seen[0],
            "input_width": seen[1],
            "optimise": settings.optimise,
            "precision": settings.precision,
            "n_passes": smoothing.n_passes,
            "max_angle": smoothing.max_angle,
        }
    if made.training:
        params |= dict(made.recipe) | {"training": made.training.name}
    return params


def content_of(profile: "Profile", source: Source) -> str:
    """What the files hold that make `source`; nothing is looked up where sets are taken for granted, to count work."""
    if profile.assumed:
        return "assumed"
    with remembering(results_root()):
        return weights_fingerprint(source, Path(profile.weights_root), profile.model_folders)


def require_weights_of(profile: "Profile", sources: Iterable[Source]) -> None:
    """Raises PaperlibError when files of weights are missing that `sources` need."""
    if not profile.assumed:
        require_weights(sources, Path(profile.weights_root))


def network_resources(source: Source) -> dict[str, float]:
    """What a unit that runs `source` occupies on a cluster: a GPU for a network."""
    return {"gpus": 1.0} if source.runs_network else {}


def network_places(profile: "Profile", source: Source) -> dict[str, Any]:
    """Where a unit finds the weights of `source`: the user's file, else the one official file, else the folder of
    weights."""
    root = Path(profile.weights_root)
    weights = source.weights
    if not weights and source.kind != "quality":
        weights = "".join(str(official_path(file, root)) for file in official_files(source)[:1])
    return {"weights_root": profile.weights_root, "weights": weights}


def _folder_content(pictures: Pictures, name: str) -> str:
    """What a folder of maps holds."""
    files = map_folders(pictures.root, pictures.keys)[name]
    with remembering(results_root()):
        listing = [f"{key} {digest}" for key, digest in zip(files, digests(files.values()), strict=True)]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:16]
