"""The units behind Table I and Figure 1.

set with gaze ──┬─> maps of a shard, by every source ──┬─> measured, a unit per method ──> differences
                └──────────────────────────────────────┘
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from paperlib.engine.units import Unit
from paperlib.experiments.extracting.compute import CENTER_PRIOR, SHUFFLED
from paperlib.experiments.maps.plan import (
    Made,
    known_sources,
    maps_units,
    name_of,
    note_colours,
    require_weights_of,
    shard_length,
)
from paperlib.experiments.sets.plan import Pictures, gaze_pictures, gaze_unit, repeats
from paperlib.experiments.training.plan import made, trainings

if TYPE_CHECKING:
    from paperlib.profiles import Profile

EXPERIMENT = "extraction"

_COMPUTE = "paperlib.experiments.extracting.compute"


def units(profile: "Profile") -> list[Unit]:
    """All units of Table I on the data sets of `profile`, and those that prepare the sets.

    Raises:
        PaperlibError: data or weights are missing or unfit; told before anything is computed.
    """
    found: list[Unit] = []
    opened = {name: [gaze_pictures(profile, name, seed) for seed in repeats(profile, name)] for name in _names(profile)}
    for several in opened.values():
        for pictures in several:
            sources = (one.source for one in sources_of(profile, pictures).values())
            require_weights_of(profile, sources)
            note_colours(pictures)
    for name, several in opened.items():
        measured = [unit for pictures in several for unit in measured_units(profile, pictures).values()]
        measured += [unit for pictures in several for unit in repeated_units(profile, pictures)]
        found += [gaze_unit(pictures) for pictures in several]
        shared = not any(pictures.generated for pictures in several)
        found += [*measured, differences_unit(name, measured, profile.extraction.n_resamples, shared)]
    return found


def _names(profile: "Profile") -> tuple[str, ...]:
    return profile.photographs.datasets


def sources_of(profile: "Profile", pictures: Pictures) -> dict[str, Made]:
    """The methods with maps of their own on a set, in the order of the profile: of files and controls, and of networks that
    are trained here, where the profile takes those."""
    untrained = known_sources(profile, pictures)
    known = dict(untrained)
    if profile.photographs.networks == "trained":
        known |= {one.network.method: made(one) for one in trainings(profile) if one.seed == pictures.seed}
    listed = [method for method in profile.photographs.methods if method in known]
    rest = [method for method in untrained if method not in listed]
    return {method: known[method] for method in (*listed, *rest)}


def measured_units(profile: "Profile", pictures: Pictures) -> dict[str, Unit]:
    """Method -> unit that measures its maps, the centre prior first; the shuffled maps are those of the first network or
    folder."""
    known = sources_of(profile, pictures)
    measured = {CENTER_PRIOR: measured_unit(profile, pictures, CENTER_PRIOR)}
    measured |= {method: measured_unit(profile, pictures, method, one) for method, one in known.items()}
    first = next((method for method, one in known.items() if one.source.runs_network or one.source.kind == "folder"), None)
    if first is not None:
        lent = maps_units(profile, pictures, [gaze_unit(pictures)], first, known[first])
        measured[SHUFFLED] = _measured(profile, pictures, SHUFFLED, SHUFFLED, lent, pictures.seed)
    return measured


def repeated_units(profile: "Profile", pictures: Pictures) -> list[Unit]:
    """Measure the maps of networks that are trained here in the other repeats, on a set that all repeats share."""
    if pictures.generated or profile.photographs.networks != "trained":
        return []
    repeated = [
        one for one in trainings(profile) if one.seed != pictures.seed and one.network.method in profile.photographs.methods
    ]
    return [measured_unit(profile, pictures, one.network.method, made(one)) for one in repeated]


def measured_unit(profile: "Profile", pictures: Pictures, method: str, made: Made | None = None) -> Unit:
    """Measures the maps of one method on a set.

    Args:
        profile: how maps are made.
        pictures: the set.
        method: its key in rows.
        made: its source; None for the centre prior.
    """
    seed = made.seed if made and made.training else pictures.seed
    maps = maps_units(profile, pictures, [gaze_unit(pictures)], method, made) if made else []
    return _measured(profile, pictures, method, name_of(pictures, method, made), maps, seed)


def _measured(profile: "Profile", pictures: Pictures, method: str, label: str, maps: Sequence[Unit], seed: int) -> Unit:
    gaze = gaze_unit(pictures)
    return pictures.unit(
        EXPERIMENT,
        f"{label}/{pictures.label}",
        f"{_COMPUTE}:measure",
        needs=[gaze, *maps],
        cost=10.0,
        gaze=gaze.name,
        maps=[unit.name for unit in maps],
        method=method,
        seed=seed,
        n_judged=pictures.n_judged,
        n_folds=profile.photographs.n_folds,
        shard=shard_length(profile, pictures),
    )


def differences_unit(name: str, measured: Iterable[Unit], n_resamples: int, shared: bool) -> Unit:
    """Intervals and paired tests over the pictures of set `name`, from the units that measured it; `shared` tells whether
    the repeats look at the same pictures."""
    needs = list(measured)
    return Unit.of(
        EXPERIMENT,
        f"differences/{name}",
        f"{_COMPUTE}:differences",
        needs=needs,
        dataset=name,
        n_resamples=n_resamples,
        shared=shared,
        measured=[(unit.name, *_told(unit)) for unit in needs],
    )


def _told(unit: Unit) -> tuple[Any, Any]:
    params = dict(unit.params)
    return params["method"], params["seed"]


# ------------------------------------------------------------------------------------------------------------ Figure 1


def figure_sources(profile: "Profile", pictures: Pictures) -> dict[str, Made]:
    """Whose maps Figure 1 shows: of the first source that says where people look, and of the first IQA network."""
    known = sources_of(profile, pictures)
    wanted = (lambda one: one.source.says_where_people_look, lambda one: one.source.asks_score)
    firsts = (next((method for method, one in known.items() if fits(one)), None) for fits in wanted)
    return {method: known[method] for method in firsts if method is not None}


def figure_pictures(profile: "Profile") -> Pictures:
    """The set that Figure 1 shows pictures of: the first one, of the first repeat."""
    return gaze_pictures(profile, _names(profile)[0], profile.seeds[0])


def figure_units(profile: "Profile", pictures: Pictures, n: int) -> dict[str, list[Unit]]:
    """Method -> the units that hold its maps of the first `n` pictures."""
    return {
        method: [
            unit
            for unit in maps_units(profile, pictures, [gaze_unit(pictures)], method, one)
            if dict(unit.params)["first"] < n
        ]
        for method, one in figure_sources(profile, pictures).items()
    }
