"""The units behind Table II, and the film of a training.

training ──┬─> scores of a test set ──> SROCC, PLCC
gaze set ──┴─> maps of a shard ──> measured, as for Table I
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from paperlib.engine.units import Unit
from paperlib.experiments.extracting.compute import CENTER_PRIOR
from paperlib.experiments.extracting.plan import measured_unit
from paperlib.experiments.maps.plan import known_sources
from paperlib.experiments.sets.plan import WORLDS, Pictures, gaze_pictures, opinion_pictures, repeats
from paperlib.experiments.training.plan import EXPERIMENT, METHODS, Network, Training, losses_unit, made, trainings

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SUPERVISED = ("msinet", "transalnet", "fastgaze")
"""Rows of Table II that are not trained here; they are Table I's."""


def units(profile: "Profile") -> list[Unit]:
    """All units of Table II with rows; networks and maps, which are large, are only needs of them, to stay in the store.

    Raises:
        PaperlibError: data or weights are missing or unfit; told before anything is computed.
    """
    settings, planned = profile.dual_task, [one for one in trainings(profile) if is_shown(one.network)]
    scored, gazed = sets_to_test_on(profile, settings.quality_sets, settings.gaze_sets)
    found = [need for need in planned[0].unit.needs if need.name.startswith("leaks/")]
    for one in planned:
        found += [losses_unit(one), *units_that_test(profile, one, scored, gazed)]
    for pictures in (one for several in gazed.values() for one in several.values()):
        others = {name: one for name, one in known_sources(profile, pictures).items() if name in SUPERVISED}
        found.append(measured_unit(profile, pictures, CENTER_PRIOR))
        found += [measured_unit(profile, pictures, name, one) for name, one in others.items()]
    return found


def is_shown(network: Network) -> bool:
    """Whether Table II has a row of it: the variants, and a network that learns gaze alone."""
    return not network.departs or network.variant == "saliency"


SetsByRepeat = Mapping[str, Mapping[int, Pictures]]
"""By name and by repeat; a set that all repeats share stands under the first one alone."""


def sets_to_test_on(
    profile: "Profile", quality_sets: Iterable[str], gaze_sets: Iterable[str]
) -> tuple[SetsByRepeat, SetsByRepeat]:
    """The sets that scores and maps are tested on, each opened once.

    Raises:
        PaperlibError: as `opinion_pictures` and `gaze_pictures` of `paperlib.experiments.sets.plan`.
    """
    part = profile.dual_task.quality_part
    scored = {
        name: {seed: opinion_pictures(profile, name, part, seed=seed) for seed in repeats(profile, name)}
        for name in quality_sets
    }
    gazed = {name: {seed: gaze_pictures(profile, name, seed) for seed in repeats(profile, name)} for name in gaze_sets}
    return scored, gazed


def units_that_test(profile: "Profile", training: Training, scored: SetsByRepeat, gazed: SetsByRepeat) -> list[Unit]:
    """A network's scores beside opinions, where it learned scores, and its maps beside gaze, measured as in Table I."""
    opinions, gazes = (
        [several.get(training.seed) or next(iter(several.values())) for several in sets.values()] for sets in (scored, gazed)
    )
    quality = [] if training.network.variant == "saliency" else [_quality_unit(profile, training, test) for test in opinions]
    return quality + [measured_unit(profile, test, training.network.method, made(training)) for test in gazes]


def _quality_unit(profile: "Profile", training: Training, test: Pictures) -> Unit:
    seen, network = profile.photographs, training.network
    return test.unit(
        EXPERIMENT,
        f"quality/{network.name}/{test.name}/seed{training.seed}",
        "paperlib.experiments.dual_task.compute:measure_quality",
        needs=[training.unit],
        cost=3.0 if test.generated else 50.0,
        training=training.unit.name,
        method=network.method,
        seed=training.seed,
        input_height=seen.input_height,
        input_width=seen.input_width,
        **dict(training.recipe),
    )


def shown_pictures(profile: "Profile") -> Pictures:
    """The first set with gaze, of the first repeat."""
    return gaze_pictures(profile, profile.dual_task.gaze_sets[0], profile.seeds[0])


def shown_trainings(profile: "Profile", methods: tuple[str, ...]) -> dict[str, Training]:
    """The first repeat's trainings of `methods`."""
    return {
        one.network.method: one
        for one in trainings(profile)
        if one.seed == profile.seeds[0] and one.network.method in methods
    }


# ----------------------------------------------------------------------------------------------------------------- film


def film_units(profile: "Profile") -> dict[str, Unit]:
    """Method -> the film of its training in the first repeat; empty where networks train on files, for hours."""
    if profile.dual_task.training_set not in WORLDS:
        return {}
    return {method: _film_unit(profile, one) for method, one in shown_trainings(profile, tuple(METHODS.values())).items()}


def _film_unit(profile: "Profile", training: Training) -> Unit:
    """A training, watched. Its parameters are those of the training, and how maps are made and measured."""
    test = opinion_pictures(profile, profile.dual_task.gaze_sets[0], "test", seed=training.seed)
    smoothing = profile.extraction
    return Unit.of(
        "training_film",
        f"{training.network.method}/film/seed{training.seed}",
        "paperlib.experiments.dual_task.film:film",
        cost=30.0,
        needs=[*training.unit.needs, *test.needs],
        places=dict(training.unit.places),
        calls=[*training.unit.calls, test.opener],
        **dict(training.unit.params),
        test=tuple(test.params.items()),
        steps_per_epoch=profile.world.n_train // profile.training.batch_size,
        n_passes=smoothing.n_passes,
        max_angle=smoothing.max_angle,
        smoothing=smoothing.smoothing,
        principal_component=smoothing.principal_component,
    )
