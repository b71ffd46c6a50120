"""The units behind Table III.

    coded set ──┬─> scores of a method, shard by shard ──┬─> agreement per photograph, with people or with each poll
    training ───┤   (the three Baselines)                │
    maps ───────┘   (EW metrics, another model)  <───────┘   bit-rate alone, fixed order of presets

A coded set is SACID, or a user's own folder in its layout, with what people said; or photographs that are coded here, with
polls of simulated assessors. A method that lacks its weights or fails leaves its reason in a row, and is tried again in the
next run.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paperlib import paper
from paperlib.datasets.contents import remembering
from paperlib.datasets.photographs import PHOTOGRAPHS, fingerprint
from paperlib.datasets.sacid import holds_scores_alone, open_sacid, open_scores
from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.coded_photographs import photographs_named
from paperlib.experiments.compression.scoring import CENTER, GAZE, OWN, SHUFFLED, UNIFORM
from paperlib.experiments.maps.plan import Made, content_of, network_params, network_places, network_resources
from paperlib.experiments.sets.noted import note
from paperlib.experiments.sets.opening import SAMPLE_SEED
from paperlib.experiments.sets.plan import home, told_how_to_get, unit_on
from paperlib.experiments.training.plan import Training, trainings
from paperlib.models.official import OfficialFile, official_path
from paperlib.models.quality.methods import SIZE_MODES, describe
from paperlib.models.quality.model import expected_files
from paperlib.paths import results_root
from paperlib.sources.source import (
    KNOWN,
    Source,
    file_fingerprint,
    files_and_command,
    missing_files,
    of_user,
    official_files,
)
from paperlib.vocabulary import OBSERVERS

if TYPE_CHECKING:
    from paperlib.profiles import Profile

EXPERIMENT = "compression"
SACID, OWN_DATA, CODED_HERE = DATASETS = ("sacid", "own", "photographs")
"""Sets that Table III is made on: the paper's, the user's own photographs (`paperlib.study.folder`), and those that ship
inside dependencies."""
BASELINES = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
WEIGHTED = ("ew_psnr", "ew_ssim")
ON_CPU = ("psnr", "ssim", *WEIGHTED)
"""Methods without a network."""

_FEW = 2
_SCORING, _COMPUTE, _CODING = (f"paperlib.experiments.compression.{name}" for name in ("scoring", "compute", "coding"))


# ------------------------------------------------------------------------------------------------------------ coded sets


@dataclass(frozen=True)
class Poll:
    """Whose scores the methods are compared with.

    Attributes:
        told_as: the data set of the rows.
        seed: repeat of the votes.
        unit: simulates the votes; None where people's scores lie beside the pictures.
    """

    told_as: str
    seed: int
    unit: Unit | None = None


@dataclass(frozen=True)
class Coded:
    """A coded set as units see it.

    Attributes:
        name: key of the set.
        opener: `"module:function"` that opens it.
        root: folder in which its files lie.
        options: of the opener.
        n_sequences: drawn of it; 0 for all.
        fingerprint: of what files hold.
        sequences: names of the photographs.
        bpps, presets: of each version.
        checked: the unit that reads every picture once; None for a set that is coded here.
        coding: photograph -> the unit that codes it.
        polls: whose scores there are; one for a set that people judged.
        has_pictures: whether there is more than scores.
    """

    name: str
    opener: str
    root: Path
    options: tuple[tuple[str, Any], ...]
    n_sequences: int
    fingerprint: str
    sequences: tuple[str, ...]
    bpps: tuple[float, ...]
    presets: tuple[str, ...]
    checked: Unit | None
    coding: tuple[tuple[str, Unit], ...]
    polls: tuple[Poll, ...]
    has_pictures: bool = True

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of a unit that name the set and its content."""
        return {
            "dataset": self.name,
            "opener": self.opener,
            "options": self.options,
            "part": "",
            "n_images": self.n_sequences,
            "fingerprint": self.fingerprint,
            "prepared": tuple((photograph, unit.name) for photograph, unit in self.coding),
        }

    @property
    def n(self) -> int:
        """Number of coded pictures."""
        return len(self.sequences) * len(self.bpps)

    @property
    def needs(self) -> list[Unit]:
        """Units without which the set cannot be opened, or is not known to be sound."""
        return [*([self.checked] if self.checked else []), *(unit for _, unit in self.coding)]

    def unit(self, name: str, compute: str, needs: Sequence[Unit] = (), **rest: Any) -> Unit:
        """`paperlib.experiments.sets.plan.unit_on` this set."""
        return unit_on(self, EXPERIMENT, name, compute, needs, **rest)


def coded_set(profile: "Profile") -> Coded:
    """The coded set of `profile`.

    Raises:
        PaperlibError: as `paperlib.datasets.sacid.open_sacid`; no such set; no folder of data; too few sequences, bit-rates
            or presets.
    """
    name = profile.compression.compression_set
    if name not in DATASETS:
        raise PaperlibError(f"compression_set={name!r}: Table III knows {', '.join(map(repr, DATASETS))}")
    return coded_here(profile) if name == CODED_HERE else _in_files(profile, name)


def _in_files(profile: "Profile", name: str) -> Coded:
    if not profile.data_root:
        raise PaperlibError(
            f"profile {profile.name!r} needs the folder of its data: give --data-root DIR, with {_INSIDE[name]} in it"
        )
    n, root = profile.compression.n_sequences, home(Path(profile.data_root), name)
    options: dict[str, Any] = {"partial": profile.evidence == "stand-ins", "own": name == OWN_DATA}
    options |= sacid_extent(profile) if name == SACID else {}
    if name == SACID and "03d" in profile.optional and holds_scores_alone(root):
        return _scores_alone(root)
    found = Coded(
        name, "paperlib.datasets.sacid:open_sacid", root, tuple(options.items()), n, "", (), (), (), None, (),
        (Poll(name, 0),),
    )  # fmt: skip
    if profile.assumed:
        known = {key: number for key, part, number in profile.assumed if not part}
        sequences = tuple(f"{place:04}" for place in range(min(n, known[name]) if n else known[name]))
        bpps, presets = np.repeat((0.08, 0.12, 0.16), 4).tolist(), ("none", "p132", "p220", "p310") * 3
        found = replace(found, fingerprint="assumed", sequences=sequences, bpps=tuple(bpps), presets=presets)
    else:
        with told_how_to_get(profile, name):
            pictures = open_sacid(root, **options)
        pictures = pictures.take(n, SAMPLE_SEED) if n else pictures
        scores = pictures.scores
        rates, kinds = set(scores.bpps.tolist()), set(scores.presets.tolist())
        if min(len(scores.sequences), len(rates), len(kinds)) < _FEW or len(scores.versions) != len(rates) * len(kinds):
            raise PaperlibError(
                f"{pictures.title}: Table III needs at least {_FEW} sequences, bit-rates and presets, every "
                f"preset at every bit-rate, got {len(scores.sequences)}, {len(rates)} and {len(kinds)}"
            )
        note(root, pictures.title, len(pictures), pictures.notes)
        with remembering(results_root()):
            fingerprint = pictures.fingerprint
        found = replace(
            found, fingerprint=fingerprint, sequences=scores.sequences,
            bpps=tuple(scores.bpps.tolist()), presets=tuple(scores.presets.tolist()),
        )  # fmt: skip
    return replace(found, checked=found.unit(f"pictures/{name}", f"{_COMPUTE}:check_pictures", cost=60.0))


def _scores_alone(root: Path) -> Coded:
    """SACID without pictures, on which only the methods that see none are measured."""
    opened = open_scores(root)
    scores = opened.scores
    found = Coded(
        SACID, "paperlib.datasets.sacid:open_scores", root, (), 0, opened.fingerprint, scores.sequences,
        tuple(scores.bpps.tolist()), tuple(scores.presets.tolist()), None, (), (Poll(SACID, 0),), False,
    )  # fmt: skip
    return replace(found, checked=found.unit(f"scores/{SACID}", f"{_COMPUTE}:count_scores"))


def sacid_extent(profile: "Profile") -> dict[str, Any]:
    """Options of `paperlib.datasets.sacid.open_sacid` for a profile that asks for less than all of it."""
    if profile.evidence != "data" or profile.extent == "all":
        return {}
    return {"extent": "sample"} if profile.extent == "sample" else {"partial": True}


_INSIDE = {SACID: "SACID", OWN_DATA: "the folders that `python -m paperlib code FOLDER` writes and moses.csv"}


def coded_here(profile: "Profile") -> Coded:
    """The photographs that ship inside dependencies, coded and judged as `profile` says."""
    settings = profile.compression
    if not _FEW <= settings.n_photographs <= len(PHOTOGRAPHS):
        raise ValueError(f"n_photographs must lie in [{_FEW}, {len(PHOTOGRAPHS)}], got {settings.n_photographs}")
    names = PHOTOGRAPHS[: settings.n_photographs]
    presets = tuple(name for name, _ in settings.presets)
    coding = tuple((name, coding_unit(profile, name)) for name in names)
    found = Coded(
        CODED_HERE, "paperlib.experiments.compression.coded_photographs:open_coded_photographs", Path(), (), 0,
        fingerprint(photographs_named(names)), names, tuple(bpp for bpp in settings.bpps for _ in presets),
        presets * len(settings.bpps), None, coding, (),
    )  # fmt: skip
    return replace(found, polls=tuple(_polls(profile, found)))


def coding_unit(profile: "Profile", name: str) -> Unit:
    """All versions of one photograph, and how much damage is seen where."""
    settings = profile.compression
    return Unit.of(
        EXPERIMENT, f"coding/{name}", f"{_CODING}:code", cost=2.0, dataset=CODED_HERE, photograph=name,
        fingerprint=fingerprint(photographs_named([name])), bpps=settings.bpps, presets=settings.presets,
        encoder_preset=settings.encoder_preset,
    )  # fmt: skip


def _polls(profile: "Profile", coded: Coded) -> Iterator[Poll]:
    """Votes of simulated assessors, repeat by repeat: of the profile's observers, then of the control's."""
    kinds = [profile.observers, *(kind for kind in OBSERVERS[1:] if kind != profile.observers)]
    for kind in kinds:
        told_as = CODED_HERE if kind == profile.observers else f"{CODED_HERE}_{kind}"
        for seed in profile.seeds:
            yield Poll(told_as, seed, _votes_unit(profile, coded, kind, seed))


def _votes_unit(profile: "Profile", coded: Coded, observers: str, seed: int) -> Unit:
    settings = profile.compression
    return coded.unit(
        f"votes/{observers}/seed{seed}", f"{_CODING}:poll", photographs=coded.sequences, observers=observers, seed=seed,
        assessors=settings.assessors, random_pairs=settings.random_pairs, verification_pairs=settings.verification_pairs,
        fixations=settings.fixations_per_pair, noise=settings.assessor_noise, tie=settings.tie_threshold,
        inattentive=settings.inattentive,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ the table


def units(profile: "Profile") -> list[Unit]:
    """The units of Table III with rows: what prepares the coded set, and the agreement of all methods with every poll.

    Raises:
        PaperlibError: the data are missing or unfit, a method or a size mode that there is not.
    """
    settings = profile.compression
    if settings.size_mode not in SIZE_MODES:
        raise PaperlibError(f"size_mode={settings.size_mode!r} is not known; choose from: {', '.join(SIZE_MODES)}")
    coded = coded_set(profile)
    polls = [poll.unit for poll in coded.polls if poll.unit]
    agreement = [agreement_unit(profile, coded, poll) for poll in coded.polls]
    return [*([coded.checked] if coded.checked else []), *agreement, *polls, *(unit for _, unit in coded.coding)]


@dataclass(frozen=True)
class Line:
    """A row of Table III that pictures are scored for.

    Attributes:
        method: its key, or its label where `paperlib.paper.METHODS` has none.
        judge: the method of `paperlib.models.quality.methods` that scores, or a Baseline, or the user's network.
        weights: what EW metrics weigh with (`paperlib.experiments.compression.scoring`).
        source: of the user's network; None for the other methods.
    """

    method: str
    judge: str
    weights: str = OWN
    source: Source | None = None


def lines(profile: "Profile") -> list[Line]:
    """The rows of `profile` that pictures are scored for: its methods, then controls of the EW metrics among them.

    The user's networks (`own_lines`) come on top."""
    methods = profile.compression.scored_methods
    controls = [*profile.compression.weightings, *filter(None, [profile.compression.weighting_model])]
    return [Line(method, method) for method in methods] + [
        Line(weighted_key(judge, kind), judge, kind) for judge in WEIGHTED if judge in methods for kind in controls
    ]


def own_lines(profile: "Profile") -> list[Line]:
    """A row for each of the user's networks; backbones before quality training judge nothing and have none.

    Raises:
        PaperlibError: a text of another form, or a network that does not judge single pictures.
    """
    networks = {
        name: source for name, source in of_user(profile.models, profile.model_folders).items() if source.kind == "quality"
    }
    for name in networks:
        expected_files(name)
    return [Line(name, name, source=source) for name, source in networks.items()]


def all_lines(profile: "Profile") -> list[Line]:
    """`lines` and `own_lines`; a network of the user takes the place of the method of its name."""
    own = own_lines(profile)
    names = {line.method for line in own}
    return [*(line for line in lines(profile) if line.method not in names), *own]


def weighted_key(judge: str, kind: str) -> str:
    """Key, or label, of an EW metric with other weights."""
    key = f"{judge}_{kind}"
    return key if key in paper.METHODS else f"{paper.look(judge).label}, {paper.look(kind).label}"


def agreement_unit(profile: "Profile", coded: Coded, poll: Poll) -> Unit:
    """Agreement of all methods with one poll; needs the scores of every method that is at hand, and of networks that are
    trained in repeats those of the poll's repeat, where it has one."""
    needs, shards, absent = [], [], []
    for line in all_lines(profile):
        if not coded.has_pictures:
            absent.append((line.method, _NO_PICTURES))
            continue
        try:
            for seed, found in scores_units(profile, coded, line).items():
                if poll.unit is None or line.judge not in BASELINES or seed == poll.seed:
                    needs += found
                    shards.append((line.method, seed, tuple(unit.name for unit in found)))
        except _Absent as reason:
            absent.append((line.method, str(reason)))
    return coded.unit(
        f"agreement/{poll.told_as}" + (f"/seed{poll.seed}" if poll.unit else ""),
        f"{_COMPUTE}:agree",
        needs=[*needs, *([poll.unit] if poll.unit else [])],
        shards=shards,
        absent=absent,
        size_mode=profile.compression.size_mode,
        sequences=coded.sequences,
        bpps=coded.bpps,
        presets=coded.presets,
        poll=poll.unit.name if poll.unit else "",
        poll_seed=poll.seed,
        told_as=poll.told_as,
    )


_NO_PICTURES = "the coded pictures are not here; `python -m paperlib data fetch sacid --profile open` gets them or says how"


class _Absent(Exception):
    """What a row needs is not there; the message says what."""


def scores_units(profile: "Profile", coded: Coded, line: Line) -> dict[int, list[Unit]]:
    """Seed -> the units that score the shards; networks with official weights have one seed.

    Raises:
        _Absent: files of weights are missing, or there is no such training.
        PaperlibError: there is no such method.
    """
    settings = profile.compression
    if line.judge in BASELINES:
        return {
            one.seed: _shards(
                profile, coded, line, [one.unit], seed=one.seed, training=one.unit.name, scale=settings.network_scale,
                **{name: value for name, value in one.recipe if name in ("backbone", "variant")},
            )
            for one in _trainings(profile, line.judge)
        }  # fmt: skip
    if line.source is not None:
        _require_files(profile, official_files(line.source))
        content = content_of(profile, line.source)
        return {0: _shards(profile, coded, line, [], network=line.source.model, layer=line.source.layer, content=content)}
    files, root = describe(line.judge).files, Path(profile.weights_root)
    _require_files(profile, files)
    maps = [] if line.weights in (OWN, CENTER, SHUFFLED, UNIFORM, GAZE) else [maps_unit(profile, coded, line.weights)]
    with remembering(results_root()):
        prints = [] if profile.assumed else [file_fingerprint([official_path(file, root)]) for file in files]
    names = maps[0].name if maps else ""
    return {0: _shards(profile, coded, line, maps, maps=names, content=" ".join(prints), crops=settings.crops)}


def _require_files(profile: "Profile", files: Iterable[OfficialFile]) -> None:
    missing = [] if profile.assumed else missing_files(files, Path(profile.weights_root))
    if missing:
        raise _Absent(f"weights are missing: {files_and_command(missing)}")


def _trainings(profile: "Profile", method: str) -> list[Training]:
    """Table II's trainings of a Baseline, one per seed."""
    if "03c" not in profile.sections:
        raise _Absent(f"profile {profile.name!r} trains no network on photographs")
    try:
        found = [one for one in trainings(profile) if one.network.method == method]
    except PaperlibError as error:
        raise _Absent(f"it cannot be trained: {error}") from error
    if not found:
        raise _Absent("Table II of this profile does not train it")
    return found


def _shards(profile: "Profile", coded: Coded, line: Line, needs: Sequence[Unit], seed: int = 0, **own: Any) -> list[Unit]:
    settings, n = profile.compression, len(coded.sequences)
    length = n if coded.coding else settings.sequence_shard
    texts = ("training", "backbone", "variant", "network", "layer", "maps", "content")
    params = dict.fromkeys(texts, "") | {"crops": 0, "scale": 1.0} | own
    formula = line.judge in ON_CPU
    return [
        coded.unit(
            f"scores/{line.method}/seed{seed}/{first}",
            f"{_SCORING}:score_shard",
            needs=needs,
            places={"weights_root": profile.weights_root, "weights_file": line.source.weights if line.source else ""},
            cost=5.0 if formula else 100.0,
            resources={} if formula else {"gpus": 1.0},
            first=first,
            last=min(first + length, n),
            method=line.method,
            judge=line.judge,
            weights=line.weights,
            seed=seed,
            size_mode=settings.size_mode,
            **params,
        )
        for first in range(0, n, length)
    ]


def maps_unit(profile: "Profile", coded: Coded, method: str) -> Unit:
    """Maps of the references by another model.

    Raises:
        PaperlibError: there is no such method.
        _Absent: files of weights are missing.
    """
    if method not in KNOWN:
        raise PaperlibError(f"weighting_model={method!r} is not known; choose from: {', '.join(KNOWN)}")
    source, smoothing = KNOWN[method], profile.extraction
    _require_files(profile, official_files(source))
    return coded.unit(
        f"maps/{method}/{coded.name}",
        f"{_COMPUTE}:make_maps",
        places=network_places(profile, source),
        calls=source.calls,
        cost=20.0,
        resources=network_resources(source),
        maker=source.maker,
        seed=profile.seeds[0],
        smoothing=smoothing.smoothing,
        principal_component=smoothing.principal_component,
        **network_params(profile, Made(source), (profile.photographs.input_height, profile.photographs.input_width)),
    )
