"""How much work a profile is, counted without its data: its real units, planned for official numbers of pictures, and what
each of them does.

Nothing of a plan is written again here: units come from the sections, and only what one unit does is known.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from paperlib.datasets import cat2000, clive, koniq, sacid, salicon
from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.plan import CODED_HERE, ON_CPU
from paperlib.experiments.extracting.compute import SHUFFLED
from paperlib.experiments.masking.compute import MAPS
from paperlib.experiments.sets.plan import WORLDS
from paperlib.maps.half_image import GRID, all_halves
from paperlib.maps.smoothing import passes
from paperlib.regenerate import SECTIONS
from paperlib.sources.source import Source
from paperlib.vocabulary import STRATEGIES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

TITLES = {"extracting": "Table I", "masking": "Figure 2", "dual_task": "Table II", "compression": "Table III"}
"""Section -> what it makes; Figure 1 shows maps of Table I."""

VERSIONS = 12
"""Coded pictures of each photograph of SACID: 3 bit-rates with 4 presets."""

_LEFT_OUT = math.prod(GRID) + 1
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


_KONIQ_PARTS = koniq.PUBLISHED.split[1] if koniq.PUBLISHED.split else {}

OFFICIAL = {
    "salicon": SetSize(salicon.PICTURES["val"], *salicon.SIZE),
    "cat2000": SetSize(cat2000.PICTURES, *cat2000.SIZE),
    "koniq10k": SetSize(koniq.PUBLISHED.pictures, *koniq.SIZES["512x384"], _KONIQ_PARTS),
    "clive": SetSize(clive.PUBLISHED.pictures, 500, 500),
    "sacid": SetSize(sacid.PUBLISHED.pictures, 1324, 1984),
}
"""Of the data sets of `paperlib.datasets`, as published; a few pictures of CLIVE are larger.

SACID's pictures differ in size: here all have the mean of the test pictures of CLIC 2021, 157.57 megapixels for 60.
"""


@dataclass(frozen=True)
class Kind:
    """A kind of work, measured once and counted often.

    Attributes:
        what: `"map"` (the map of a picture by `source`), `"score"` (of a masked picture by `source`), `"step"` (of
            training `source`'s backbone as `variant`), `"measuring"` (transforms and metrics of a map), `"judge"` (the
            score of a coded picture by `source`: a Baseline, the user's network, or of kind `METHOD` one of
            `paperlib.models.quality.methods`).
    """

    what: str
    source: Source = Source("noise")
    variant: str = ""

    @property
    def on_device(self) -> bool:
        """Whether a network works; the rest stays on the processor."""
        if self.what == "judge":
            return self.source.model not in ON_CPU
        return self.what in ("score", "step") or (self.what == "map" and self.source.runs_network)

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
        if self.what == "measuring":
            return self.what
        features = {"activation": "activations", "norm": "norms"}.get(self.source.kind, "")
        name = " ".join(filter(None, (self.variant, self.source.model or self.source.kind, features)))
        return f"{self.what}: {name}"


MEASURING = Kind("measuring")
METHOD = "method"
"""Kind of the `Source` of a method of Table III."""


@dataclass(frozen=True)
class Work:
    """What one unit does.

    Attributes:
        name: experiment and name of the unit; tables share units of one name.
        kind: what it does; None for reading, checking and statistics, which are not estimated.
        amount: how often, in `kind.per`.
    """

    name: str
    kind: Kind | None = None
    amount: float = 0.0


def tables(profile: "Profile", sets: Mapping[str, SetSize] = OFFICIAL) -> dict[str, list[Work]]:
    """The work of each table and figure.

    Raises:
        PaperlibError: the profile runs on the micro-world, or on data whose pictures are not counted in `sets`; its
            weighting model is no known source.
    """
    if profile.evidence == "simulation":
        raise PaperlibError(
            f"profile {profile.name!r} has no section on photographs whose cost could be counted; give --profile paper"
        )
    settings = profile.dual_task
    used = {*profile.photographs.datasets, *profile.masking.opinions, *settings.quality_sets, *settings.gaze_sets}
    used |= {settings.training_set, profile.compression.compression_set}
    if unknown := sorted(used - sets.keys() - {CODED_HERE, *WORLDS}):
        raise PaperlibError(
            f"the number of pictures of {', '.join(unknown)} is not known beforehand; cost is counted for "
            f"{', '.join(sets)}: give --profile paper"
        )
    counted = replace(profile, assumed=tuple(_numbers(sets)), data_root=profile.data_root or ".")
    planned = {
        TITLES[section.package]: _behind(section.of("plan", "units")(counted))
        for section in SECTIONS.values()
        if section.notebook in profile.sections
    }
    return {title: [_work(unit, sets) for unit in units] for title, units in planned.items()}


def _numbers(sets: Mapping[str, SetSize]) -> Iterator[tuple[str, str, int]]:
    """(set, part, pictures) as `paperlib.profiles.Profile.assumed` has them; of SACID photographs."""
    for name, size in sets.items():
        yield name, "", size.pictures // VERSIONS if name == "sacid" else size.pictures
        for part in ("training", "validation", "test"):
            yield name, part, size.parts.get(part, size.pictures)


def _behind(units: Iterable[Unit]) -> list[Unit]:
    """The units and all that they need, each once."""
    known: dict[tuple[str, str], Unit] = {}
    waiting = list(units)
    while waiting:
        unit = waiting.pop()
        if (unit.experiment, unit.name) not in known:
            known[unit.experiment, unit.name] = unit
            waiting += unit.needs
    return list(known.values())


def together(works: Mapping[str, Sequence[Work]]) -> list[Work]:
    """All work of all tables, once where tables share it."""
    return list({work.name: work for some in works.values() for work in some}.values())


# ----------------------------------------------------------------------------------------------------- what a unit does


def _work(unit: Unit, sets: Mapping[str, SetSize]) -> Work:
    """Of units that read, check or take statistics nothing is estimated."""
    given = unit.arguments
    size = sets.get(given.get("dataset", ""), SetSize(0, 0, 0))
    pictures = given["last"] - given["first"] if "first" in given else size.pictures // VERSIONS
    kind, amount = None, 0.0
    match unit.compute.rpartition(".")[2]:
        case "compute:make_maps":
            kind = _map_kind(given)
            amount = pictures * (1 if kind.on_device else size.megapixels)
        case "compute:measure":
            kind, amount = MEASURING, given["n_judged"] * size.megapixels * (2 if _has_plain_maps(unit) else 1)
        case "compute:score_shard":
            kind = Kind("score", Source(given["kind"], given["model"], given["layer"]))
            amount = pictures * (1 + _LEFT_OUT + _masks(given)) + given["n_halves"] * _HALVES
        case "compute:train":
            kind, amount = Kind("step", Source("baseline", given["backbone"]), given["variant"]), given["steps"]
        case "compute:measure_quality":
            kind, amount = Kind("score", Source("baseline", given["backbone"])), size.parts.get("test", size.pictures)
        case "scoring:score_shard":
            kind, amount = Kind("judge", _judge(given)), pictures * VERSIONS
    return Work(f"{unit.experiment}/{unit.name}", kind, amount)


def _map_kind(given: Mapping[str, Any]) -> Kind:
    """A random head costs what a trained one does, and so does a network that is trained here; the map of a decoder takes a
    forward pass, like a score."""
    if given["kind"] == "decoder":
        return Kind("score", Source("baseline", given["model"]))
    name = "baseline" if given["kind"] in ("random_head", "trained") else given["kind"]
    return Kind("map", Source(name, given["model"], given.get("layer", "")))


def _has_plain_maps(unit: Unit) -> bool:
    """Whether maps of one pass are measured beside those of all."""
    return dict(unit.params)["method"] != SHUFFLED and any("smoothing" in dict(need.params) for need in unit.needs)


def _masks(given: Mapping[str, Any]) -> int:
    """How often each picture is masked."""
    maps = [name for name in MAPS if given["saliency"] or not name.startswith("saliency")]
    on_cells = sum(name in ("half_image", "saliency_grid") for name in maps)
    shares = (len(maps) - on_cells) * len(given["fractions"]) + on_cells * len(given["cell_counts"])
    return shares * len(STRATEGIES) * len(given["fills"])


def _judge(given: Mapping[str, Any]) -> Source:
    if given["network"]:
        return Source("quality", given["network"], given["layer"], given["weights_file"])
    return Source("baseline", given["backbone"]) if given["training"] else Source(METHOD, given["judge"])


def forward_passes(kind: Kind, profile: "Profile") -> int:
    """Forward passes of one map or score; a map that asks for a score goes back through the network as often.

    A map is averaged over views of the picture, and the plain one beside it takes one more. A coded picture counts as one,
    however many crops of it are scored, and with its reference.
    """
    if kind.what == "step" or not kind.on_device:
        return 0
    settings = profile.extraction
    views = len(passes(settings.smoothing, settings.n_passes, settings.max_angle))
    return views + 1 if kind.what == "map" and kind.source.asks_score else 1
