"""Figure 2 on photographs with opinion scores: every network scores the masked pictures, shard by shard.

    opinions ──┬─> saliency maps of a shard ──────┬─> scores of a shard ──> curves of a network
               └─> a network's GradCAM, its cells ┘

Each score is kept by itself in the score cache (`paperlib.engine.score_cache`), by network, picture, map and mask: other
fractions, fills or maps cost only the pictures that were not scored before, and a killed run loses one batch.

Where own pictures have gaze and no opinion scores, each network's scores of the whole pictures take their place: the
curves then tell how well a network's own ranking survives.
"""

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import groupby, product, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from paperlib.datasets import gaze, opinions
from paperlib.datasets.own_opinions import TABLE
from paperlib.engine.progress import progress
from paperlib.engine.score_cache import ScoreCache
from paperlib.engine.units import Inputs, Result, Unit, code_version
from paperlib.errors import PaperlibError
from paperlib.experiments.masked_scores import (
    HALF_IMAGE_FILL,
    UNMASKED,
    all_masks,
    control_maps,
    curve_rows,
    half_rank,
    half_rank_row,
    masked_scores,
    masking_params,
    network_score,
    whole_scores,
)
from paperlib.experiments.photo_sets import (
    Source,
    maps_units,
    network_params,
    network_places,
    network_resources,
    open_gaze_source,
    open_opinions_source,
    origins,
    reopened,
)
from paperlib.experiments.photo_sources import Origin, device, load_network, picture, require_weights, sized
from paperlib.experiments.rehearsal import write_standins
from paperlib.maps.half_image import GRID, Score, leave_one_out
from paperlib.maps.masking import Masks, Variant
from paperlib.vocabulary import STRATEGIES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

EXPERIMENT = "masking"
CHUNK = 8
"""Pictures of one size that are masked together."""


# ------------------------------------------------------------------------------------------------------------- units


def units(profile: "Profile") -> list[Unit]:
    """All units of Figure 2 on the opinion sets of `profile`.

    Raises:
        PaperlibError: data or weights are missing or unfit, or there is no network; told before anything is computed.
    """
    if profile.evidence == "stand-ins":
        write_standins(profile)
    sources = [open_source(profile, name) for name in profile.masking.opinions]
    for source in sources:
        require_weights(dict(networks(profile, source)) | _saliency(profile, source), Path(profile.weights_root))
    return [unit for source in sources for unit in source_units(profile, source)]


def open_source(profile: "Profile", name: str) -> Source:
    """Set `name` with opinion scores; own pictures without a table of them by their gaze.

    Raises:
        PaperlibError: as `paperlib.experiments.photo_sets.open_opinions_source`.
    """
    if name == "own" and profile.data_root and not (Path(profile.data_root) / TABLE).is_file():
        return open_gaze_source(profile, name)
    return open_opinions_source(profile, name)


def networks(profile: "Profile", source: Source) -> dict[str, Origin]:
    """The IQA networks whose scores are looked at.

    Raises:
        PaperlibError: the profile names none.
    """
    known = origins(profile, source)
    chosen = {method: origin for method, origin in known.items() if origin.kind in ("baseline", "quality")}
    if not chosen:
        raise PaperlibError(
            f"profile {profile.name!r} names no IQA network whose scores could be looked at: give one with "
            "--model NAME[@LAYER][=WEIGHTS]"
        )
    return chosen


def _saliency(profile: "Profile", source: Source) -> dict[str, Origin]:
    """The first saliency network or folder of maps; empty where there is none."""
    known = origins(profile, source)
    return dict([pair for pair in known.items() if pair[1].kind in ("network", "folder")][:1])


def source_units(profile: "Profile", source: Source) -> list[Unit]:
    """One unit of curves per network, with what it needs."""
    checked = Unit.of(
        EXPERIMENT,
        f"pictures/{source.name}",
        "paperlib.experiments.photo_masking:check_pictures",
        places={"root": source.root},
        cost=30.0,
        **source.params,
    )
    saliency = [maps_units(profile, source, checked, *pair) for pair in _saliency(profile, source).items()]
    found = []
    for method, origin in networks(profile, source).items():
        own_maps = maps_units(profile, source, checked, method, origin)
        shards = [
            _scores_unit(profile, source, method, origin, dict(own.params)["first"], [own, *others])
            for own, *others in zip(own_maps, *saliency, strict=True)
        ]
        found.append(
            Unit.of(
                EXPERIMENT,
                f"{method}/{source.name}",
                "paperlib.experiments.photo_masking:draw_curves",
                needs=shards,
                places={"root": source.root},
                network=method,
                seed=profile.seeds[0],
                **source.params,
            )
        )
    return found


def _scores_unit(profile: "Profile", source: Source, method: str, origin: Origin, first: int, needs: Sequence[Unit]) -> Unit:
    settings = profile.masking
    places = network_places(profile, origin) | {"root": source.root, "cache": profile.store_root / "scores"}
    return Unit.of(
        EXPERIMENT,
        f"scores/{method}/{source.name}/{first}",
        "paperlib.experiments.photo_masking:score_shard",
        needs=needs,
        places=places,
        cost=100.0,
        resources=network_resources(origin),
        first=first,
        last=dict(needs[0].params)["last"],
        n_halves=max(0, min(settings.n_halves - first, profile.photographs.shard)),
        score_batch=settings.score_batch,
        **source.params,
        **network_params(profile, origin),
        **masking_params(settings),
    )


# ----------------------------------------------------------------------------------------------------------- computes


def check_pictures(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Reads every picture of a set once, so that bad files end the run before a network is loaded."""
    pictures = reopened(params)
    check = {"opinions": opinions.check, "gaze": gaze.check}[params["face"]]
    check(pictures, progress)
    return Result(
        rows=[
            {
                "method": "pictures",
                "dataset": params["dataset"],
                "variant": "data",
                "metric": "pictures",
                "value": float(len(pictures)),
                "n": len(pictures),
            }
        ]
    )


def score_shard(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Scores of a shard's pictures under every mask.

    Arrays: `variants` (v,) texts map/strategy/fraction/fill, the first for no mask; `scores` (v, n); `half_ranks` (k,) as
    `paperlib.experiments.masked_scores.half_rank`.
    """
    records = reopened(params).records[params["first"] : params["last"]]
    groups = list(_alike(records, params))
    with ScoreCache(_cache_file(params)) as cache:
        shard = _Shard(params, inputs, cache)
        found = [shard.scores([records[place] for place in places], places) for places in progress(groups)]
        tried = [[records[place] for place in places if place < params["n_halves"]] for places in groups]
        ranks = [shard.half_ranks(some) for some in progress(tried) if some]
    order = np.concatenate(groups).argsort()
    variants = list(found[0])
    scores = np.stack([np.concatenate([one[variant] for one in found])[order] for variant in variants])
    names = np.array(["/".join(map(str, variant)) for variant in variants])
    return Result(arrays={"variants": names, "scores": scores, "half_ranks": np.concatenate(ranks or [np.empty(0)])})


def _cache_file(params: Mapping[str, Any]) -> Path:
    """One file per network and set, so that no two networks wait for each other."""
    name = f"{params['kind']}-{params['model']}-{params['content']}".encode()
    return Path(params["cache"], f"{params['dataset']}-{hashlib.sha256(name).hexdigest()[:12]}.sqlite")


def _size(params: Mapping[str, Any]) -> tuple[int, int]:
    return params["input_height"], params["input_width"]


def _alike(records: Sequence[Any], params: Mapping[str, Any]) -> Iterator[list[int]]:
    """Places of pictures that the network sees at one size, at most `CHUNK` together."""
    sizes = [_size(params) if all(_size(params)) else record.size for record in records]
    for _, group in groupby(
        sorted(range(len(records)), key=lambda place: (sizes[place], place)), key=lambda place: sizes[place]
    ):
        places = list(group)
        for start in range(0, len(places), CHUNK):
            yield places[start : start + CHUNK]


class _Shard:
    """One network at work on the pictures of one shard."""

    def __init__(self, params: Mapping[str, Any], inputs: Inputs, cache: ScoreCache):
        self.params, self.cache = params, cache
        self.levels = {name: result.arrays for name, result in zip(("gradcam", "saliency"), inputs.values(), strict=False)}
        code = sorted(code_version("paperlib.experiments.photo_sources:maker").items())
        asked = [(name, params[name]) for name in ("kind", "model", "content", "layer", "optimise", "precision")]
        self.identity = _hash(repr((code, asked)).encode())

    @cached_property
    def score(self) -> Score:
        """The network, loaded when a picture has to be scored."""
        network, _ = load_network(self.params)
        return network_score(network, self.params["score_batch"])

    def scores(self, records: Sequence[Any], places: Sequence[int]) -> dict[Variant, NDArray]:
        """Scores (n,) by variant of the pictures at `places` of the shard, from the cache as far as they are there."""
        images = np.stack([picture(record, _size(self.params)) for record in records])
        seen = self._seen(images)
        maps, importance = self._maps(records, places, images.shape[1:3]), self._importance(images, seen)
        masks = all_masks(maps, importance, self.params)
        blurred = f"{self.params['blur_sigma']} {self.params['kernel_size']}"
        made_of = {name: [f"{_hash(one)} {blurred}" for one in values] for name, values in maps.items()}
        made_of |= {"half_image": [_hash(one) for one in importance], "saliency_grid": made_of.get("saliency", [])}
        wanted = self._keys(seen, masks, made_of)
        known = self.cache.found(key for keys in wanted.values() for key in keys)
        missing = [variant for variant, keys in wanted.items() if any(key not in known for key in keys)]
        for fill in self.params["fills"]:
            new = {name: tuple(one.fraction for one in missing if one.map == name and one.fill == fill) for name in masks}
            unscored = {
                name: replace(own, fractions=tuple(dict.fromkeys(new[name]))) for name, own in masks.items() if new[name]
            }
            for variant, scores in masked_scores(self.score, images, unscored, [fill], device(), self.params["score_batch"]):
                fresh = dict(zip(wanted[variant], scores.tolist(), strict=True))
                self.cache.add(fresh)
                known |= fresh
        whole = self._once([[f"{one} whole"] for one in seen], lambda: whole_scores(self.score, images, device())[:, None])[
            :, 0
        ]
        return {UNMASKED: whole} | {variant: np.array([known[key] for key in keys]) for variant, keys in wanted.items()}

    def _seen(self, images: NDArray[np.uint8]) -> list[str]:
        """What a key begins with: the network and the picture."""
        return [f"{self.identity} {_hash(image)}" for image in images]

    def _importance(self, images: NDArray[np.uint8], seen: Sequence[str]) -> NDArray[np.float64]:
        """Importance of the cells of HalfImage, (n, rows, columns)."""
        keys = [[f"{one} cell {cell}" for cell in range(GRID[0] * GRID[1])] for one in seen]
        return self._once(keys, lambda: self._leave_one_out(images)).reshape(-1, *GRID)

    def half_ranks(self, records: Sequence[Any]) -> NDArray[np.float64]:
        """`paperlib.experiments.masked_scores.half_rank` of pictures of one size, (n,)."""
        images = np.stack([picture(record, _size(self.params)) for record in records])
        seen, batch = self._seen(images), self.params["score_batch"]
        return self._once(
            [[f"{one} rank of the half"] for one in seen],
            lambda: half_rank(self.score, images, self._importance(images, seen), device(), batch)[:, None],
        )[:, 0]

    def _leave_one_out(self, images: NDArray[np.uint8]) -> NDArray[np.float64]:
        found = leave_one_out(self.score, images, HALF_IMAGE_FILL, device=device(), batch=self.params["score_batch"])
        return found.reshape(len(images), -1)

    def _once(self, keys: list[list[str]], compute: Callable[[], NDArray]) -> NDArray[np.float64]:
        """Values by `keys`, from the cache when all are there."""
        flat = [key for row in keys for key in row]
        known = self.cache.found(flat)
        if len(known) < len(flat):
            known = dict(zip(flat, compute().ravel().tolist(), strict=True))
            self.cache.add(known)
        return np.array([[known[key] for key in row] for row in keys])

    def _maps(self, records: Sequence[Any], places: Sequence[int], size: tuple[int, int]) -> dict[str, NDArray]:
        first = self.params["first"]
        maps = {
            name: np.stack([sized(arrays[f"maps.{first + place}"], size) for place in places])
            for name, arrays in self.levels.items()
        }
        seeds = [[self.params["seed"], zlib.crc32(record.key.encode())] for record in records]
        controls = [control_maps(1, *size, np.random.default_rng(seed)) for seed in seeds]
        return maps | {name: np.concatenate([one[name] for one in controls]) for name in controls[0]}

    def _keys(
        self, seen: Sequence[str], masks: Mapping[str, Masks], made_of: Mapping[str, Sequence[str]]
    ) -> dict[Variant, list[str]]:
        """Variant -> the cache's key for each picture: what it begins with, what the masks are made of, and the variant."""
        keys = {}
        for name, own in masks.items():
            for variant in starmap(partial(Variant, name), product(STRATEGIES, own.fractions, self.params["fills"])):
                keys[variant] = [f"{one} {source} {variant}" for one, source in zip(seen, made_of[name], strict=True)]
        return keys


def _hash(content: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(content) if isinstance(content, np.ndarray) else content).hexdigest()


def draw_curves(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Rows of a network over all shards, as `paperlib.experiments.masked_scores.curve_rows`; `half_rank` where it was asked
    for."""
    shards = [result.arrays for result in inputs.values()]
    variants = [_variant(text) for text in shards[0]["variants"].tolist()]
    scores = dict(zip(variants, np.concatenate([shard["scores"] for shard in shards], axis=1), strict=True))
    pictures = reopened(params)
    if len(pictures) < 3:
        raise PaperlibError(f"{pictures.title}: a rank correlation needs at least 3 pictures, got {len(pictures)}")
    reference = pictures.mos if params["face"] == "opinions" else scores[UNMASKED]
    rng = np.random.default_rng([params["seed"], 29])
    rows = list(curve_rows(params["network"], scores, reference, rng))
    ranks = np.concatenate([shard["half_ranks"] for shard in shards])
    if len(ranks):
        rows.append(half_rank_row(params["network"], ranks))
    common = {"experiment": EXPERIMENT, "dataset": params["dataset"], "seed": params["seed"]}
    return Result(rows=pd.DataFrame(rows).assign(**common))


def _variant(text: str) -> Variant:
    name, strategy, fraction, fill = text.split("/")
    return Variant(name, strategy, float(fraction), fill)
