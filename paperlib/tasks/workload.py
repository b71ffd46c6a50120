"""How much work a profile on photographs is, counted without its data: units, maps, scores and steps of each table.

Numbers of pictures are the official ones of the data sets; everything else follows from the profile. A test holds these
counts equal to the units themselves, name by name.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from paperlib.datasets import cat2000, clive, koniq, sacid, salicon
from paperlib.errors import PaperlibError
from paperlib.experiments.masked_scores import MAPS
from paperlib.experiments.photo_compression import BASELINES, ON_CPU, Line, all_lines
from paperlib.experiments.photo_sources import ORIGINS, SCORE_KINDS, Origin, own_origins
from paperlib.experiments.photo_training import PARTS, SUPERVISED, Network, networks
from paperlib.maps.half_image import GRID, all_halves
from paperlib.maps.smoothing import passes
from paperlib.vocabulary import STRATEGIES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

NETWORK_KINDS = (*SCORE_KINDS, "activation", "network")
"""Kinds of `Origin` that run a network."""

_CELLS = math.prod(GRID)
_LEFT_OUT = _CELLS + 1
_HALVES = len(all_halves(GRID)) + 1
"""Pictures that HalfImage scores to weigh the cells, and to try every half: each with the whole picture once."""


@dataclass(frozen=True)
class SetSize:
    """What is counted of a data set.

    Attributes:
        pictures: all that are looked at.
        height, width: of a picture, in pixels.
        parts: pictures by part of the split; empty where there is none.
    """

    pictures: int
    height: int
    width: int
    parts: Mapping[str, int] = field(default_factory=dict)

    @property
    def megapixels(self) -> float:
        """Of one picture."""
        return self.height * self.width / 1e6


OFFICIAL = {
    "salicon": SetSize(salicon.PICTURES["val"], *salicon.SIZE),
    "cat2000": SetSize(cat2000.PICTURES, *cat2000.SIZE),
    "koniq10k": SetSize(koniq.PUBLISHED.pictures, *koniq.SIZES["512x384"], dict(koniq.PUBLISHED.split[1])),
    "clive": SetSize(clive.PUBLISHED.pictures, 500, 500),
    "sacid": SetSize(sacid.PUBLISHED.pictures, 1324, 1984),
}
"""Of the data sets of `paperlib.datasets`, as published; a few pictures of CLIVE are larger.

SACID's pictures differ in size: here all have the mean of the test pictures of CLIC 2021, 157.57 megapixels for 60.
"""

VERSIONS = 12
"""Coded pictures of each photograph of SACID: 3 bit-rates with 4 presets."""


@dataclass(frozen=True)
class Kind:
    """A kind of work, measured once and counted often.

    Attributes:
        what: `"map"` (the map of a picture by `origin`), `"score"` (of a masked picture by `origin`), `"step"` (of
            training `origin`'s backbone as `variant`), `"measuring"` (transforms and metrics of a map), `"judge"` (the
            score of a coded picture by `origin`: a Baseline, the user's network, or of kind `METHOD` one of
            `paperlib.models.quality.methods`).
    """

    what: str
    origin: Origin = Origin("")
    variant: str = ""

    @property
    def on_device(self) -> bool:
        """Whether a network works; the rest stays on the processor."""
        if self.what == "judge":
            return self.origin.model not in ON_CPU
        return self.what in ("score", "step") or self.origin.kind in NETWORK_KINDS

    @property
    def per(self) -> str:
        """What amounts of it count."""
        if self.what == "judge":
            return "coded picture"
        if not self.on_device:
            return "megapixel"
        return {"map": "picture", "score": "masked picture", "step": "step"}[self.what]

    @property
    def label(self) -> str:
        """What a reader calls it."""
        activations = "activations" if self.origin.kind == "activation" else ""
        name = " ".join(filter(None, (self.variant, self.origin.model or self.origin.kind, activations)))
        return f"{self.what}: {name}" if name else self.what


MEASURING = Kind("measuring")
METHOD = "method"
"""Kind of the `Origin` of a method of Table III."""


@dataclass(frozen=True)
class Work:
    """Units that are alike but for the pictures of their shards.

    Attributes:
        name: experiment and name of the units, without the shard's first picture; tables share work of one name.
        units: how many.
        kind: what they do; None for reading, checking and statistics, which are not estimated.
        amount: how often, in `kind.per`.
    """

    name: str
    units: int = 1
    kind: Kind | None = None
    amount: float = 0.0


def tables(profile: "Profile", sets: Mapping[str, SetSize] = OFFICIAL) -> dict[str, list[Work]]:
    """The work of each table and figure on photographs; Figure 1 shows maps of Table I.

    Raises:
        PaperlibError: the profile runs on the micro-world, or on data whose pictures are not counted in `sets`; its
            weighting model is none of `paperlib.experiments.photo_sources.ORIGINS`.
    """
    chosen = {
        "Table I": (profile.photographs.datasets, _table_1),
        "Figure 2": (profile.masking.opinions, _figure_2),
        "Table II": (_table_2_sets(profile), _table_2),
        "Table III": (tuple(filter(None, [profile.compression.compression_set])), _table_3),
    }
    used = {title: names for title, (names, _) in chosen.items() if names}
    if not used:
        raise PaperlibError(
            f"profile {profile.name!r} has no section on photographs whose cost could be counted; give --profile paper"
        )
    unknown = sorted({name for names in used.values() for name in names} - sets.keys())
    if unknown:
        raise PaperlibError(
            f"the number of pictures of {', '.join(unknown)} is not known beforehand; cost is counted for "
            f"{', '.join(sets)}: give --profile paper"
        )
    return {title: list(chosen[title][1](profile, sets)) for title in used}


def forward_passes(kind: Kind, profile: "Profile") -> int:
    """Forward passes of one map or score; a map that asks for a score goes back through the network as often.

    A coded picture counts as one, however many crops of it are scored, and with its reference.
    """
    if kind.what == "step" or not kind.on_device:
        return 0
    return smoothing_passes(profile) + 1 if kind.what == "map" and kind.origin.kind in SCORE_KINDS else 1


def smoothing_passes(profile: "Profile") -> int:
    """Views of a picture whose maps are averaged; the plain map beside it takes one more."""
    settings = profile.extraction
    return len(passes(settings.smoothing, settings.n_passes, settings.max_angle))


def _known(profile: "Profile") -> dict[str, Origin]:
    return {method: ORIGINS[method] for method in profile.photographs.methods} | own_origins(profile.models)


def _map_kind(origin: Origin) -> Kind:
    """A random head costs what a trained one does, and measuring needs no file of the user."""
    return Kind("map", replace(origin, kind="baseline", weights="") if origin.kind == "random_head" else origin)


def _drawn(n: int, most: int) -> int:
    """Pictures of `n` that are looked at; 0 is no limit."""
    return min(n, most) if most else n


# ------------------------------------------------------------------------------------------------------------- Table I


def _table_1(profile: "Profile", sets: Mapping[str, SetSize]) -> Iterator[Work]:
    for name in profile.photographs.datasets:
        size = _gaze_size(profile, sets[name])
        yield Work(f"extraction/gaze/{name}")
        yield _measured("extraction/center_prior", name, size)
        for method, origin in _known(profile).items():
            yield from _method(profile, method, origin, name, size)
        if any(origin.kind in (*SCORE_KINDS, "network") for origin in _known(profile).values()):
            yield _measured("extraction/shuffled_map", name, size)
        yield Work(f"extraction/differences/{name}")


def _gaze_size(profile: "Profile", size: SetSize) -> SetSize:
    return replace(size, pictures=_drawn(size.pictures, profile.photographs.n_images))


def _method(profile: "Profile", method: str, origin: Origin, name: str, size: SetSize) -> Iterator[Work]:
    """Maps of a method on a set with gaze, and their measuring."""
    yield _maps(profile, f"maps/{method}/gaze/{name}", origin, size)
    yield _measured(f"extraction/{method}", name, size, plain_too=origin.kind in SCORE_KINDS)


def _maps(profile: "Profile", name: str, origin: Origin, size: SetSize) -> Work:
    kind = _map_kind(origin)
    amount = size.pictures * (1 if kind.on_device else size.megapixels)
    return Work(name, _shards(profile, size.pictures), kind, amount)


def _shards(profile: "Profile", n: int) -> int:
    return math.ceil(n / profile.photographs.shard)


def _measured(prefix: str, name: str, size: SetSize, plain_too: bool = False, seed: str = "") -> Work:
    """Measuring of the maps of a set; maps of one pass, where there are such, are measured as well."""
    return Work(f"{prefix}/{name}{seed}", 1, MEASURING, size.pictures * size.megapixels * (1 + plain_too))


# ------------------------------------------------------------------------------------------------------------ Figure 2


def _figure_2(profile: "Profile", sets: Mapping[str, SetSize]) -> Iterator[Work]:
    known = _known(profile)
    scoring = {method: origin for method, origin in known.items() if origin.kind in ("baseline", "quality")}
    saliency = [pair for pair in known.items() if pair[1].kind == "network"][:1]
    for name in profile.masking.opinions:
        size = _test_size(sets[name], profile.masking.n_masked)
        yield Work(f"masking/pictures/{name}")
        for method, origin in [*saliency, *scoring.items()]:
            yield _maps(profile, f"maps/{method}/opinions/{name}", origin, size)
        for method, origin in scoring.items():
            amount = scored_pictures(profile, size.pictures, bool(saliency))
            yield Work(f"masking/scores/{method}/{name}", _shards(profile, size.pictures), Kind("score", origin), amount)
            yield Work(f"masking/{method}/{name}")


def _test_size(size: SetSize, most: int = 0) -> SetSize:
    return replace(size, pictures=_drawn(size.parts.get("test", size.pictures), most))


def scored_pictures(profile: "Profile", n: int, saliency: bool) -> int:
    """Pictures that one network of Figure 2 scores: `n` of them whole, under every mask and for HalfImage.

    Args:
        profile: its masking settings count.
        n: pictures.
        saliency: whether there are maps of where people look.
    """
    settings = profile.masking
    maps = [name for name in MAPS if saliency or not name.startswith("saliency")]
    on_cells = sum(name in ("half_image", "saliency_grid") for name in maps)
    shares = (len(maps) - on_cells) * len(settings.fractions) + on_cells * len(settings.cell_counts)
    return n * (1 + _LEFT_OUT + shares * len(STRATEGIES) * len(settings.fills)) + min(n, settings.n_halves) * _HALVES


# ------------------------------------------------------------------------------------------------------------ Table II


def _table_2_sets(profile: "Profile") -> tuple[str, ...]:
    settings = profile.dual_task
    return (settings.training_set, *settings.quality_sets, *settings.gaze_sets) if settings.training_set else ()


def _table_2(profile: "Profile", sets: Mapping[str, SetSize]) -> Iterator[Work]:
    settings = profile.dual_task
    repeats = list(_repeats(profile))
    gazes = {name: _gaze_size(profile, sets[name]) for name in settings.gaze_sets}
    yield from _before_training(profile, [network for network, _ in repeats], sets)
    for network, seed in repeats:
        yield from _repeat(profile, network, f"/seed{seed}", sets, gazes)
    for name, size in gazes.items():
        yield Work(f"extraction/gaze/{name}")
        yield _measured("extraction/center_prior", name, size)
        for method in SUPERVISED:
            if method in profile.photographs.methods:
                yield from _method(profile, method, ORIGINS[method], name, size)


def _repeats(profile: "Profile") -> Iterator[tuple[Network, int]]:
    """What is trained; controls for the first seeds only."""
    for position, seed in enumerate(profile.seeds):
        for network in networks(profile.dual_task):
            if network.section != "Control" or position < profile.n_control_seeds:
                yield network, seed


def _before_training(profile: "Profile", trained: Sequence[Network], sets: Mapping[str, SetSize]) -> Iterator[Work]:
    """The check of the pictures, and the proxy maps that `trained` learn from."""
    name = profile.dual_task.training_set
    yield Work(f"dual_task/leaks/{name}")
    for target in dict.fromkeys(network.target for network in trained if network.target):
        yield from _proxy(profile, target, name, sets[name])


def _proxy(profile: "Profile", target: str, name: str, size: SetSize) -> Iterator[Work]:
    yield Work(f"dual_task/proxy/{target}")
    for part in PARTS:
        own = replace(size, pictures=size.parts[part])
        yield _maps(profile, f"maps/proxy {target}, {part}/opinions/{name}", ORIGINS[target], own)


def _repeat(
    profile: "Profile", network: Network, seed: str, sets: Mapping[str, SetSize], gazes: Mapping[str, SetSize]
) -> Iterator[Work]:
    """A training with its two tests; maps of a decoder take a forward pass, like a score."""
    settings, origin = profile.dual_task, Origin("baseline", network.backbone)
    decodes, score = network.variant == "sal_loss", Kind("score", origin)
    yield _training(profile, network, seed)
    yield Work(f"dual_task/losses/{network.name}{seed}")
    for name in settings.quality_sets:
        yield Work(f"dual_task/quality/{network.name}/{name}{seed}", 1, score, _test_size(sets[name]).pictures)
    for name, size in gazes.items():
        maps = f"dual_task/maps/{network.name}/{name}{seed}"
        yield Work(maps, _shards(profile, size.pictures), score if decodes else Kind("map", origin), size.pictures)
        yield _measured(f"dual_task/saliency/{network.name}", name, size, not decodes, seed)


def _training(profile: "Profile", network: Network, seed: str) -> Work:
    step = Kind("step", Origin("baseline", network.backbone), network.variant)
    return Work(f"dual_task/train/{network.name}{seed}", 1, step, profile.dual_task.steps)


# ----------------------------------------------------------------------------------------------------------- Table III


def _table_3(profile: "Profile", sets: Mapping[str, SetSize]) -> Iterator[Work]:
    """Weights and references are taken to be at hand for every method."""
    settings = profile.compression
    name = settings.compression_set
    n = _drawn(sets[name].pictures // VERSIONS, settings.n_sequences)
    yield Work(f"compression/pictures/{name}")
    yield from _baselines(profile, sets)
    if any(line.weights == settings.weighting_model for line in all_lines(profile)):
        yield _reference_maps(profile, name, replace(sets[name], pictures=n))
    for line, kind, seed in _judged(profile):
        shards = math.ceil(n / settings.sequence_shard)
        yield Work(f"compression/scores/{line.method}/seed{seed}", shards, kind, n * VERSIONS)
    yield Work(f"compression/agreement/{name}")


def _baselines(profile: "Profile", sets: Mapping[str, SetSize]) -> Iterator[Work]:
    """Table II's trainings of the Baselines that are among the methods, with what they need."""
    trained = list(_trained(profile))
    if trained:
        yield from _before_training(profile, [network for network, _ in trained], sets)
    for network, seed in trained:
        yield _training(profile, network, f"/seed{seed}")


def _trained(profile: "Profile") -> Iterator[tuple[Network, int]]:
    if profile.dual_task.training_set:
        wanted = set(BASELINES).intersection(profile.compression.scored_methods)
        yield from (repeat for repeat in _repeats(profile) if repeat[0].method in wanted)


def _reference_maps(profile: "Profile", name: str, size: SetSize) -> Work:
    """Maps of the photographs by another model, in one unit."""
    method = profile.compression.weighting_model
    if method not in ORIGINS:
        raise PaperlibError(f"weighting_model={method!r} is not known; choose from: {', '.join(ORIGINS)}")
    return replace(_maps(profile, f"compression/maps/{method}/{name}", ORIGINS[method], size), units=1)


def _judged(profile: "Profile") -> Iterator[tuple[Line, Kind, int]]:
    """The rows of Table III, once per seed; networks with official weights have seed 0 alone."""
    trained = list(_trained(profile))
    for line in all_lines(profile):
        if line.judge in BASELINES:
            for network, seed in trained:
                if network.method == line.judge:
                    yield line, Kind("judge", Origin("baseline", network.backbone)), seed
        else:
            yield line, Kind("judge", line.origin or Origin(METHOD, line.judge)), 0


def together(works: Mapping[str, Sequence[Work]]) -> list[Work]:
    """All work of all tables, once where tables share it."""
    return list({work.name: work for some in works.values() for work in some}.values())
