"""Data sets as values: which one, which part, how it is opened, and the unit that prepares it.

Sets of photographs lie in folders; plans open them to know how many pictures they have and what they hold, and read no
picture. Micro-worlds are made by a unit, one per repeat, and a plan knows all about them beforehand.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from paperlib.datasets import microworld, registry
from paperlib.datasets.contents import remembering
from paperlib.datasets.files import listing, spell_size
from paperlib.datasets.world_pictures import TEST
from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.sets.noted import note
from paperlib.experiments.sets.opening import opened
from paperlib.paths import results_root
from paperlib.settings import SMALLEST, WHOLE

if TYPE_CHECKING:
    from paperlib.profiles import Profile

WORLDS = ("world", "world_shifted")
"""Micro-worlds; the shifted one has other distortions and other subjects."""

OWN = "own"

FIRST_SEED = {("world", "train"): 100, ("world", TEST): 200, ("world_shifted", TEST): 300}
"""First random seed of each part of the micro-worlds; repeat s takes the next ones, so no two parts share an image."""

_LARGE, _SEEN, _STEP = 4_000_000, 768 * 1024, 32
"""Own pictures of more pixels than the first are seen at about as many as the second, by sides that the third divides."""

_SECONDS = 8e-7
"""Of an EfficientNet-B0 per pixel and view, on two cores (README, what it costs)."""

_READING = "paperlib.experiments.sets.reading"
_ADVICE = {
    ("gaze", OWN): ", a folder with images/ and fixations.csv (columns image, subject, x, y)",
    ("opinions", OWN): ", a folder with images/ and mos.csv (columns image, mos)",
}


@dataclass(frozen=True)
class Pictures:
    """A data set, or a part of it, as units see it.

    Attributes:
        face: `"gaze"` or `"opinions"`: what its records tell besides the picture.
        name: key of the data set.
        opener: `"module:function"` that opens it.
        options: of the opener.
        part: of its split; empty for all of it.
        n_images: drawn of it; 0 for all.
        root: folder in which its files lie.
        fingerprint: of what the files hold; empty for a generated set.
        generated: the unit that generates its pictures; None where files hold them.
        keys: of the pictures, in the set's order, where files hold them.
        seen: (height, width) at which networks see all pictures where the profile names no size; zeros for their own.
        seed: the repeat that it belongs to; the profile's first for a set that all repeats share.
        n: number of pictures; n_judged of them, the first ones, are judged, and the others serve to fit map transforms.
            Where all are judged, each is judged by fits on others of them.
    """

    face: str
    name: str
    opener: str
    options: tuple[tuple[str, Any], ...]
    part: str
    n_images: int
    root: Path
    fingerprint: str
    seed: int
    n: int
    n_judged: int
    generated: Unit | None = None
    keys: tuple[str, ...] = field(default=(), repr=False, compare=False)
    seen: tuple[int, int] = (0, 0)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of a unit that name the set and its content."""
        return {
            "face": self.face,
            "dataset": self.name,
            "opener": self.opener,
            "options": self.options,
            "part": self.part,
            "n_images": self.n_images,
            "fingerprint": self.fingerprint,
            "prepared": self.generated.name if self.generated else "",
        }

    @property
    def needs(self) -> list[Unit]:
        """Units without whose results the set cannot be opened."""
        return [self.generated] if self.generated else []

    @property
    def label(self) -> str:
        """Name of the set in the names of units; those of a set that belongs to a repeat name that as well."""
        return f"{self.name}/seed{self.seed}" if self.generated else self.name

    def open(self, inputs: Mapping[str, Any] | None = None) -> Any:
        """The opened set; a generated one out of the results of its unit."""
        return opened(self.params | {"root": self.root}, inputs or {})

    def unit(self, experiment: str, name: str, compute: str, needs: Sequence[Unit], **rest: Any) -> Unit:
        """`unit_on` this set."""
        return unit_on(self, experiment, name, compute, needs, **rest)


class Opened(Protocol):
    """A set as units see it: its opener, its folder, the parameters that name its content, and units that it needs."""

    @property
    def opener(self) -> str: ...

    @property
    def root(self) -> Path: ...

    @property
    def params(self) -> dict[str, Any]: ...

    @property
    def needs(self) -> list[Unit]: ...


def unit_on(pictures: Opened, experiment: str, name: str, compute: str, needs: Sequence[Unit], **rest: Any) -> Unit:
    """A unit that looks at a set: `Unit.of` with the set's parameters, place, opener and needs added."""
    places = {"root": pictures.root} | rest.pop("places", {})
    calls = [pictures.opener, *rest.pop("calls", ())]
    needed = [*(one for one in pictures.needs if one not in needs), *needs]
    return Unit.of(experiment, name, compute, needs=needed, places=places, calls=calls, **(pictures.params | rest))


def seen_size(profile: "Profile", pictures: Pictures) -> tuple[int, int]:
    """(height, width) at which the IQA networks of `profile` see pictures of a set; zeros for their own."""
    size = profile.photographs.input_height, profile.photographs.input_width
    return size if any(size) else pictures.seen


def repeats(profile: "Profile", name: str) -> tuple[int, ...]:
    """Repeats that have a set of this name of their own; the first alone for a set that all share."""
    return profile.seeds if name in WORLDS else profile.seeds[:1]


def gaze_pictures(profile: "Profile", name: str, seed: int | None = None) -> Pictures:
    """Pictures with gaze: of an eye-tracking set with the profile's edition, blur and number, or of a micro-world's test
    part.

    Raises:
        PaperlibError: as `paperlib.datasets.registry.open_gaze`; the profile names no folder of data.
    """
    if name in WORLDS:
        return _world(profile, name, TEST, seed)
    settings = profile.photographs
    blur = {"sigma_px": settings.sigma_px, "px_per_degree": settings.px_per_degree} if name == OWN else {}
    options: dict[str, Any] = {key: value for key, value in blur.items() if value}
    if name == "salicon" and settings.edition:
        options["edition"] = settings.edition
    if name in registry.SAMPLED:
        options["extent"] = profile.extent
    return _in_files(profile, "gaze", name, options, "", settings.n_images)


def opinion_pictures(
    profile: "Profile", name: str, part: str, n_images: int = 0, seed: int | None = None, observers: str = ""
) -> Pictures:
    """Pictures with opinion scores: a part of an opinion set, where it has parts, or of a micro-world.

    Args:
        profile: where data lie.
        name: of the set.
        part: `"test"`; `"train"` of a micro-world; empty for a whole set.
        n_images: drawn of it; 0 for all.
        seed: repeat, of a micro-world.
        observers: whose scores, of a micro-world; the profile's when empty.

    Raises:
        PaperlibError: as `paperlib.datasets.registry.open_opinions`; the profile names no folder of data.
    """
    if name in WORLDS:
        world = _world(profile, name, part, seed, observers)
        n = min(n_images or world.n_judged, world.n_judged)
        return replace(world, face="opinions", part=TEST, n_images=n, n=n, n_judged=n)
    options: dict[str, Any] = {"partial": True} if profile.evidence == "stand-ins" else {}
    if name in registry.SAMPLED:
        options = {"extent": profile.extent}
    return _in_files(profile, "opinions", name, options, part, n_images)


def _world(profile: "Profile", name: str, part: str, seed: int | None, observers: str = "") -> Pictures:
    """A micro-world of one repeat. A test part holds `n_test` pictures to judge by, then `n_fit` to fit transforms on."""
    seed = profile.seeds[0] if seed is None else seed
    world, is_test = profile.world, part == TEST
    n = world.n_test + profile.extraction.n_fit if is_test else world.n_train
    n_judged = world.n_test if is_test else n
    unit = Unit.of(
        "worlds", f"{name}/{part}/seed{seed}", "paperlib.experiments.sets.generating:generate", cost=5.0,
        name=name, n=n, n_judged=n_judged, repeat=seed, seed=FIRST_SEED[name, part] + seed,
        height=world.height, width=world.width, center_bias=world.center_bias, two_subjects=world.two_subjects,
        families=world.families if name == WORLDS[0] else world.shifted_families,
        categories=microworld.FAMILIAR if name == WORLDS[0] else microworld.UNFAMILIAR,
    )  # fmt: skip
    options = {"name": name, "observers": observers or profile.observers, "n_test": n_judged}
    opener = "paperlib.datasets.world_pictures:open_world"
    return Pictures("gaze", name, opener, tuple(options.items()), "", 0, Path(), "", seed, n, n_judged, unit)


def _in_files(profile: "Profile", face: str, name: str, options: Mapping[str, Any], part: str, n_images: int) -> Pictures:
    if not profile.data_root:
        advice = _ADVICE.get((face, name), "")
        raise PaperlibError(f"profile {profile.name!r} needs the folder of its data: give --data-root DIR{advice}")
    opener = registry.opener_of(name, face)
    root = home(Path(profile.data_root), name)
    found = Pictures(face, name, opener, tuple(options.items()), part, n_images, root, "", profile.seeds[0], 0, 0)
    if profile.assumed:
        n = {(key, which): number for key, which, number in profile.assumed}[name, part]
        n = min(n, n_images) if n_images else n
        return replace(found, fingerprint="assumed", n=n, n_judged=n)
    with told_how_to_get(profile, name), remembering(results_root()):
        pictures = found.open()
        fingerprint = pictures.fingerprint
    _require_size(pictures)
    seen, told = _seen(profile, pictures) if name == OWN else ((0, 0), [])
    note(root, pictures.title, len(pictures), [*getattr(pictures, "notes", ()), *told])
    n, keys = len(pictures), tuple(record.key for record in pictures.records)
    if name == OWN:
        found = replace(found, options=(*found.options, ("content", fingerprint)))
    return replace(found, fingerprint=fingerprint, n=n, n_judged=n, keys=keys, seen=seen)


def _require_size(pictures: Any) -> None:
    small = [record.key for record in pictures.records if min(record.size) < SMALLEST]
    if small:
        raise PaperlibError(
            f"{len(small)} of {len(pictures)} pictures of {pictures.title} have a side of fewer than {SMALLEST} pixels: "
            f"{listing(small)}; take them out"
        )


def _seen(profile: "Profile", pictures: Any) -> tuple[tuple[int, int], list[str]]:
    """`Pictures.seen` of own pictures, and a note where some are large."""
    settings = profile.photographs
    large = {record.key: record.size for record in pictures.records if math.prod(record.size) > _LARGE}
    if not large or settings.input_height:
        return (0, 0), []
    which = f"{len(large)} have more than {_LARGE // 10**6} megapixels ({listing(large)})"
    if settings.large_whole:
        views = (profile.extraction.n_passes + 1) * sum(map(math.prod, large.values()))
        minutes = math.ceil(views * _SECONDS / 60)
        return (0, 0), [f"{which}, and networks see them whole: an EfficientNet takes about {minutes} min on two cores"]
    height, width = max(large.values(), key=math.prod)
    scale = math.sqrt(_SEEN / (height * width)) / _STEP
    seen = max(1, round(height * scale)) * _STEP, max(1, round(width * scale)) * _STEP
    told = f"{which}, so that networks see all at {spell_size(seen)}; --input-size WIDTHxHEIGHT, or {WHOLE}, is another"
    return seen, [told]


@contextmanager
def told_how_to_get(profile: "Profile", name: str) -> Iterator[None]:
    """What a loader refuses comes with the command that gets the data set.

    Raises:
        PaperlibError: as the block, with a word more where the data set is a published one.
    """
    try:
        yield
    except PaperlibError as error:
        if name == OWN or profile.evidence != "data":
            raise
        command = f"python -m paperlib data fetch {name}{'' if profile.name == 'paper' else f' --profile {profile.name}'}"
        raise PaperlibError(f"{error} (`{command}` gets it or says how)") from error


def home(root: Path, name: str) -> Path:
    """The data set's own folder below the data root, in upper or lower case; the root itself where there is none."""
    return next((root / folder for folder in (name, name.upper()) if (root / folder).is_dir()), root)


# ------------------------------------------------------------------------------------------------------------- prepare


def gaze_unit(pictures: Pictures) -> Unit:
    """What prepares a set with gaze for measuring: reads everything once, and keeps the moments of each density for centre
    priors."""
    return pictures.generated or pictures.unit(
        "extraction", f"gaze/{pictures.label}", f"{_READING}:read_gaze", [], cost=50.0
    )


def pictures_unit(pictures: Pictures) -> Unit:
    """What prepares a set for being scored: reads every picture once."""
    name = f"pictures/{pictures.label}"
    return pictures.generated or pictures.unit("masking", name, f"{_READING}:read_pictures", [], cost=30.0)
