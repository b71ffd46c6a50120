"""The units behind Figure 2.

    set with opinions ──┬─> saliency maps ──────┬─> scores of a shard under every mask ──> curves of a network
                        └─> a network's GradCAM ┘

Where own pictures have gaze and no opinion scores, each network's scores of the whole pictures take their place: the
curves then tell how well a network's own ranking survives.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from paperlib.datasets.own_opinions import TABLE
from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.extracting.plan import sources_of
from paperlib.experiments.maps.plan import (
    Made,
    maps_units,
    network_params,
    network_places,
    network_resources,
    note_colours,
    require_weights_of,
    shard_length,
)
from paperlib.experiments.masking.compute import OPINIONS, OWN_SCORES
from paperlib.experiments.sets.plan import (
    OWN,
    WORLDS,
    Pictures,
    gaze_pictures,
    gaze_unit,
    opinion_pictures,
    pictures_unit,
    repeats,
    seen_size,
)
from paperlib.maps.fills import PAPER_FILLS
from paperlib.paper import look
from paperlib.sources.source import KNOWN

if TYPE_CHECKING:
    from paperlib.profiles import Profile

EXPERIMENT = "masking"
UNIFORM = "uniform_observers"
"""The Baseline of observers who look everywhere alike."""

SHARD = 25
"""Pictures that are scored together: what a killed run loses. A micro-world's are small and stay whole."""

_COMPUTE = "paperlib.experiments.masking.compute"


def units(profile: "Profile") -> list[Unit]:
    """All units of Figure 2 on the sets of `profile`.

    Raises:
        PaperlibError: data or weights are missing or unfit, or there is no network; told before anything is computed.
    """
    opened = [masked_pictures(profile, name, seed) for name in profile.masking.opinions for seed in repeats(profile, name)]
    for pictures in opened:
        used = {**tested_networks(profile, pictures), **saliency_source(profile, pictures)}
        require_weights_of(profile, (one.source for one in used.values()))
        note_colours(pictures)
    return [unit for pictures in opened for unit in curves_units(profile, pictures)]


def masked_pictures(profile: "Profile", name: str, seed: int, observers: str = "") -> Pictures:
    """The pictures of set `name` that are masked, with opinion scores; own ones without a table of them with gaze.

    Raises:
        PaperlibError: as `paperlib.experiments.sets.plan.opinion_pictures`.
    """
    if name == OWN and profile.data_root and not (Path(profile.data_root) / TABLE).is_file():
        return gaze_pictures(profile, name, seed)
    return opinion_pictures(profile, name, "test", profile.masking.n_masked, seed, observers)


def mapped_pictures(profile: "Profile", pictures: Pictures) -> Pictures:
    """Whose maps mask `pictures`: the whole set that Table I shows where these are its first ones, else they themselves."""
    return gaze_pictures(profile, pictures.name, pictures.seed) if pictures.name in WORLDS else pictures


def tested_networks(profile: "Profile", pictures: Pictures) -> dict[str, Made]:
    """The IQA networks whose scores are looked at.

    Raises:
        PaperlibError: the profile names none.
    """
    known = {method: one for method, one in sources_of(profile, pictures).items() if one.source.scores}
    wanted = profile.masking.masked_networks or tuple(known)
    chosen = {method: known[method] for method in wanted if method in known}
    if not chosen:
        raise PaperlibError(
            f"profile {profile.name!r} names no IQA network whose scores could be looked at: give one with "
            "--model NAME[@LAYER][=WEIGHTS]"
        )
    return chosen


def saliency_source(profile: "Profile", pictures: Pictures) -> dict[str, Made]:
    """What says where people look, by its method: gaze itself where the set knows it, else the first saliency network or
    folder of maps; empty where there is none."""
    if pictures.name in WORLDS:
        return {"gaze": Made(KNOWN["gaze"])}
    known = sources_of(profile, pictures)
    return dict([pair for pair in known.items() if pair[1].source.says_where_people_look][:1])


def observers_units(profile: "Profile") -> list[Unit]:
    """The curves of the network of uniform observers, on the profile's first set, under the fills that Figure 2 leaves out
    for controls: what notebook 03b needs besides `units`. None where there is no such network."""
    name = profile.masking.opinions[0]
    opened = [masked_pictures(profile, name, seed) for seed in repeats(profile, name)] if name in WORLDS else []
    return [
        curves_unit(profile, pictures, UNIFORM, known[UNIFORM], fill)
        for pictures in opened
        if UNIFORM in (known := tested_networks(profile, pictures))
        for fill in profile.masking.fills
        if fill not in PAPER_FILLS
    ]


def curves_units(profile: "Profile", pictures: Pictures) -> list[Unit]:
    """One unit of curves per network, with what it needs; a control's network is judged by what its own observers say."""
    return [curves_unit(profile, pictures, method, one) for method, one in tested_networks(profile, pictures).items()]


def curves_unit(profile: "Profile", pictures: Pictures, method: str, made: Made, fill: str = "") -> Unit:
    """The curves of one network, under its fills or under another one alone."""
    judged_by = dict(made.recipe).get("observers", "")
    if judged_by:
        pictures = masked_pictures(profile, pictures.name, pictures.seed, judged_by)
    scored = scores_units(profile, pictures, method, made, fill)
    return pictures.unit(
        EXPERIMENT,
        "/".join(filter(None, (method, pictures.label, fill))),
        f"{_COMPUTE}:draw_curves",
        needs=scored,
        scored=[unit.name for unit in scored],
        network=method,
        reference=OPINIONS if pictures.face == "opinions" else OWN_SCORES,
        seed=pictures.seed,
    )


def map_units(profile: "Profile", pictures: Pictures, method: str, made: Made) -> dict[str, list[Unit]]:
    """What masks the pictures besides controls: the network's own maps (`gradcam`), and where people look (`saliency`)."""
    mapped = mapped_pictures(profile, pictures)
    after = [gaze_unit(mapped)] if mapped.face == "gaze" and mapped.generated else [pictures_unit(mapped)]
    found = {"gradcam": maps_units(profile, mapped, after, method, made), "saliency": []}
    for name, source in saliency_source(profile, pictures).items():
        found["saliency"] = maps_units(profile, mapped, after, name, source)
    return found


def scores_units(profile: "Profile", pictures: Pictures, method: str, made: Made, fill: str = "") -> list[Unit]:
    """The scores of one network under every mask, shard by shard: a control's under the paper's fills alone, or any under
    the `fill` that is named."""
    settings, mapped = profile.masking, mapped_pictures(profile, pictures)
    length = shard_length(profile, mapped)
    shard = pictures.n if pictures.generated else SHARD
    is_control = look(method).group == "Control"
    fills = [name for name in settings.fills if name == fill or not fill and is_control and name in PAPER_FILLS]
    halves = 0 if is_control or pictures.seed != profile.seeds[0] else settings.n_halves
    maps = map_units(profile, pictures, method, made)
    found = []
    for first in range(0, pictures.n, shard):
        last = min(first + shard, pictures.n)
        covering = {name: [unit for unit in some if _overlaps(unit, first, last)] for name, some in maps.items()}
        needed = [unit for some in covering.values() for unit in some]
        found.append(
            pictures.unit(
                EXPERIMENT,
                "/".join(filter(None, ("scores", method, pictures.label, str(first), fill))),
                f"{_COMPUTE}:score_shard",
                needs=[*needed, *([made.training] if made.training else [])],
                places=network_places(profile, made.source),
                calls=[made.source.opener],
                cost=100.0,
                resources=network_resources(made.source),
                first=first,
                last=last,
                seed=pictures.seed,
                n_halves=max(0, min(halves - first, last - first)),
                score_batch=settings.score_batch,
                shard=length,
                gradcam=[unit.name for unit in maps["gradcam"]],
                saliency=[unit.name for unit in maps["saliency"]],
                fills=fills or settings.fills,
                fractions=settings.fractions,
                cell_counts=settings.cell_counts,
                blur_sigma=settings.blur_sigma,
                kernel_size=settings.kernel_size,
                **network_params(profile, made, seen_size(profile, pictures)),
            )
        )
    return found


def _overlaps(unit: Unit, first: int, last: int) -> bool:
    params = dict(unit.params)
    return params["first"] < last and params["last"] > first
