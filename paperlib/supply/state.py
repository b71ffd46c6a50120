"""What is there of the catalogue: found where, whole or not, of which fingerprint.

`look` lists names, reads headers and the ends of files; `verify` reads everything. Both open data sets with the loaders
that the computations use, and find weights as they do.
"""

import hashlib
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file

from paperlib.datasets import biq2021, cat2000, clive, eyecrowd, gaze, koniq, opinions, osie, registry, sacid, salicon
from paperlib.datasets.contents import remembering
from paperlib.datasets.files import IMAGE_SUFFIXES, Problems, UnusableFile, list_files, list_folders, listing, read_rgb
from paperlib.datasets.listed_files import listed
from paperlib.engine.progress import progress
from paperlib.errors import PaperlibError
from paperlib.experiments.compression.plan import sacid_extent
from paperlib.models import saliency, sgdnet
from paperlib.models.checkpoints import read_tensors
from paperlib.models.official import TIMM, cache_folder, find_official
from paperlib.models.quality.methods import SGDNETS
from paperlib.paths import results_root
from paperlib.sources.source import file_fingerprint
from paperlib.supply.catalogue import DOWNLOADS, Item, Part, needed_by
from paperlib.supply.transfer import has_hash, in_units

if TYPE_CHECKING:
    from paperlib.profiles import Profile

Condition = Literal["present", "missing", "incomplete", "wrong edition", "damaged", "to be trained"]

_OTHER_EDITION = re.compile(r"edition|test set|the split|scale|not 640x480|not 1920x1080", re.IGNORECASE)
"""Words by which the loaders say that good files are not those that were meant."""
_PACKED = (".zip", ".tgz", ".gz", ".tar", ".xz")
_HDF5 = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Found:
    """What is there of an item.

    Attributes:
        item: of the catalogue.
        condition: in one word or two.
        where: folder or file; of what is missing, where it would go.
        place: "data root", "folder of weights", "cache of torch" or "cache of Hugging Face".
        detail: one sentence where there is something to say.
        fingerprint: of what is there; empty where nothing is, or no loader can open it.
        size: bytes on disk.
        needed_by: tables and figures of the profile.
    """

    item: Item
    condition: Condition
    where: Path
    place: str
    detail: str = ""
    fingerprint: str = ""
    size: int = 0
    needed_by: tuple[str, ...] = ()

    @property
    def is_there(self) -> bool:
        """Nothing has to be done about it."""
        return self.condition == "present"


def look_at(profile: "Profile", chosen: Sequence[Item], thorough: bool = False) -> list[Found]:
    """What is there of the chosen items, for a profile.

    Args:
        profile: names the folders, and who needs what.
        chosen: items of the catalogue.
        thorough: decode every picture, compute every hash.
    """
    needed = needed_by(profile)
    with remembering(results_root()):
        return [
            (_look_at_set if item.kind == "data set" else _look_at_file)(item, profile, needed.get(item.name, ()), thorough)
            for item in progress(chosen, desc="reading" if thorough else "looking")
        ]


# ---- data sets ------------------------------------------------------------------------------------------------------
def folder_of(item: Item, profile: "Profile") -> Path:
    """The data set's own folder, in upper or lower case where it is there; else the one that it would get."""
    root = Path(profile.data_root)
    return next((root / name for name in (item.name, item.name.upper()) if (root / name).is_dir()), root / item.name)


def missing_parts(item: Item, folder: Path) -> list[Part]:
    """Parts of a data set of which nothing lies in its folder, or one folder below."""
    bases = [folder, *list_folders(folder)]
    return [part for part in item.parts if not any(any(base.glob(pattern)) for base in bases for pattern in part.there)]


def archives_of(item: Item, profile: "Profile", part: Part | None = None) -> list[Path]:
    """Archives of a data set, or of one part, that lie in its folder, among the downloads, or in the data root itself."""
    patterns = [name.casefold() for one in item.parts if part in (None, one) for name in one.archives]
    root = Path(profile.data_root)
    return [
        path
        for folder in (folder_of(item, profile), root / DOWNLOADS / item.name, root / DOWNLOADS, root)
        for path in list_files(folder, _PACKED)
        if any(fnmatch(path.name.casefold(), pattern) for pattern in patterns)
    ]


def _look_at_set(item: Item, profile: "Profile", needed: tuple[str, ...], thorough: bool) -> Found:
    folder = folder_of(item, profile)

    def found(condition: Condition, detail: str = "", opened: Any = None) -> Found:
        fingerprint, size = ("", 0) if opened is None else (opened.fingerprint, opened.n_bytes)
        return Found(item, condition, folder, "data root", detail, fingerprint, size, needed)

    if not profile.data_root:
        return found("missing", "no data root is given: --data-root DIR")
    if item.name not in _DOORS:
        return _look_at_pictures(item, folder, found, thorough)
    door = _DOORS[item.name]
    options, pictures = door.options(profile), door.pictures_of(profile)
    is_part = profile.evidence == "stand-ins" or (profile.extent == "found" and bool(door.sample))
    root = folder if folder.is_dir() else Path(profile.data_root)
    try:
        opened = door.open(root, **(dict([door.part] if is_part else []) | options))
        if thorough:
            door.check(opened, progress)
    except PaperlibError as error:
        return _unfit(item, profile, door, root, error, found)
    if len(opened) < pictures and not is_part:
        return found("incomplete", f"{len(opened)} of {pictures} pictures", opened)
    return found("present", "; ".join(opened.notes), opened)


def _unfit(
    item: Item, profile: "Profile", door: "_Door", root: Path, error: PaperlibError, found: Callable[..., Found]
) -> Found:
    """What is wrong with a data set that its loader refuses."""
    folder = folder_of(item, profile)
    absent = missing_parts(item, folder)
    if len(absent) == len(item.parts) and (not folder.is_dir() or not _has_files(folder)):
        packed = listing(path.name for path in archives_of(item, profile))
        hint = f"{packed} is there, still packed: `python -m paperlib data fetch {item.name}` unpacks it"
        return found("missing", hint if packed else "")
    try:
        part = door.open(root, **dict([door.part]))
    except PaperlibError:
        if not isinstance(error, UnusableFile) and _OTHER_EDITION.search(str(error)):
            return found("wrong edition", str(error))
        if absent:
            return found("incomplete", f"lacks {listing(one.what for one in absent)}; {error}")
        return found("damaged", str(error))
    if len(part) < (pictures := door.pictures_of(profile)):
        return found("incomplete", f"{len(part)} of {pictures} pictures; {error}", part)
    return found("wrong edition" if _OTHER_EDITION.search(str(error)) else "damaged", str(error), part)


def _has_files(folder: Path) -> bool:
    """Whether anything but archives and hidden files lies below a folder."""
    return any(
        path.is_file()
        and path.suffix.lower() not in (*_PACKED, ".part", ".json")
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        for path in folder.rglob("*")
    )


def _look_at_pictures(item: Item, folder: Path, found: Callable[..., Found], thorough: bool) -> Found:
    """A plain folder of pictures, which no loader knows."""
    pictures = [path for one in (folder, *list_folders(folder)) for path in list_files(one, IMAGE_SUFFIXES)]
    if not pictures:
        return found("missing")
    if thorough:
        problems = Problems(f"pictures of {item.name}")
        for path in progress(pictures, desc=item.name):
            with problems.collecting():
                read_rgb(path)
        try:
            problems.raise_if_any(len(pictures), "get them again")
        except PaperlibError as error:
            return found("damaged", str(error))
    sizes = {path: path.stat().st_size for path in sorted(pictures)}
    listed = "\n".join(f"{path.name} {size}" for path, size in sizes.items())
    fingerprint = hashlib.sha256(listed.encode()).hexdigest()[:16]
    return Found(item, "present", folder, "data root", f"{len(pictures)} pictures", fingerprint, sum(sizes.values()))


@dataclass(frozen=True)
class _Door:
    """How a data set is opened.

    Attributes:
        pictures: of the whole set.
        open: the loader, strict unless told that the set is a `part`.
        check: reads every picture once.
        options: those that a profile asks for.
        part: the option, and its value, by which the loader takes what is there.
        sample: pictures of a profile whose extent is a sample; 0 for a set that is always opened whole.
    """

    pictures: int
    open: Callable[..., Any]
    check: Callable[..., Any]
    options: Callable[["Profile"], dict[str, Any]] = lambda profile: {}
    part: tuple[str, Any] = ("partial", True)
    sample: int = 0

    def pictures_of(self, profile: "Profile") -> int:
        """Pictures that `profile` asks for."""
        return self.sample if self.sample and profile.extent == "sample" else self.pictures


def _edition(profile: "Profile") -> dict[str, Any]:
    return {"edition": profile.photographs.edition} if profile.photographs.edition else {}


def _sampled(pictures: int, face: str, name: str, check: Callable[..., Any], listing: str) -> _Door:
    """The door of one of `registry.SAMPLED`."""
    sample = sum(file.path.lower().endswith(IMAGE_SUFFIXES) for file in listed(listing))
    opener = {"gaze": registry.open_gaze, "opinions": registry.open_opinions}[face]
    return _Door(
        pictures, partial(opener, name), check, lambda profile: {"extent": profile.extent}, ("extent", "found"), sample
    )


_DOORS = {
    "salicon": _Door(salicon.PICTURES["val"], partial(registry.open_gaze, "salicon"), gaze.check, _edition),
    "cat2000": _Door(cat2000.PICTURES, partial(registry.open_gaze, "cat2000"), gaze.check),
    "koniq10k": _Door(koniq.PUBLISHED.pictures, partial(registry.open_opinions, "koniq10k"), opinions.check),
    "clive": _Door(clive.PUBLISHED.pictures, partial(registry.open_opinions, "clive"), opinions.check),
    "sacid": _Door(sacid.PUBLISHED.pictures, sacid.open_sacid, sacid.check, sacid_extent, sample=sacid.SAMPLE_PICTURES),
    "biq2021": _sampled(biq2021.PICTURES, "opinions", "biq2021", opinions.check, "biq2021_sample"),
    "osie": _sampled(osie.OSIE.pictures, "gaze", "osie", gaze.check, osie.OSIE.sample),
    "eyecrowd": _sampled(eyecrowd.EYECROWD.pictures, "gaze", "eyecrowd", gaze.check, eyecrowd.EYECROWD.sample),
}


# ---- weights --------------------------------------------------------------------------------------------------------
def target_of(item: Item, profile: "Profile") -> Path:
    """Where a file of weights goes: into its library's cache, or into the folder of weights."""
    if item.file is None:
        raise ValueError(f"{item.name} is a data set, expected weights")
    if item.source is None or not item.file.cache:
        return Path(profile.weights_root) / item.file.name
    folder = cache_folder(item.file)
    return folder if item.file.cache == TIMM else folder / item.file.name


def _look_at_file(item: Item, profile: "Profile", needed: tuple[str, ...], thorough: bool) -> Found:
    file = item.file
    if file is None:
        raise ValueError(f"{item.name} is a data set, expected weights")
    root = Path(profile.weights_root)
    path = find_official(file, root)
    where = path or target_of(item, profile)
    own = where.parent == root
    place = "folder of weights" if own else "cache of Hugging Face" if file.cache == TIMM else "cache of torch"

    def found(condition: Condition, detail: str = "", fingerprint: str = "") -> Found:
        return Found(item, condition, where, place, detail, fingerprint, path.stat().st_size if path else 0, needed)

    if path is None:
        if item.is_made_here:
            return found("to be trained", "train Table II, then `python -m paperlib export` writes it")
        begun = where.with_name(f"{where.name}.part")
        if not begun.is_file():
            return found("missing")
        arrived = in_units(begun.stat().st_size)
        return found("incomplete", f"{arrived} have arrived; `python -m paperlib data fetch {item.name}` goes on")
    if fault := structural_fault(path) or (_content_fault(item, path) if thorough else ""):
        return found("damaged", f"{path.name} {fault}; delete it and get it again")
    return found("present", "", file_fingerprint([path]))


def structural_fault(path: Path) -> str:
    """What the ends of a file tell: empty, cut off, or no file of weights at all; empty where nothing is wrong.

    A file of PyTorch's old format, which is no archive, cannot be told from its beginning.
    """
    with path.open("rb") as stream:
        head = stream.read(512)
    if not head:
        return "is empty"
    if head.lstrip()[:1] == b"<" or head.startswith(b"version https://git-lfs"):
        return "is a web page or a pointer, not the file itself"
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "np"):
                return ""
        except SafetensorError as error:
            return f"is cut off, or is no safetensors file ({error})"
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        return "is cut off"
    if path.suffix == ".pkl" and not head.startswith(_HDF5):
        return "is no HDF5 file"
    return ""


def _content_fault(item: Item, path: Path) -> str:
    """What the hash, or the network's own loader, tells."""
    known = item.source.known_hash if item.source else ""
    if not has_hash(path, known):
        return f"has another content than the official file ({known})"
    try:
        _read(item, path)
    except Exception as error:  # a damaged file fails in many ways
        return f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    return ""


def _read(item: Item, path: Path) -> None:
    """Read a file of weights as tensors, never as a program."""
    if item.name in saliency.OFFICIAL_FILES:
        saliency.load_saliency_network(item.name, path)
    elif item.name in SGDNETS:
        sgdnet.load_sgdnet(path, SGDNETS[item.name])
    elif path.suffix == ".safetensors":
        load_file(path)
    elif item.file is not None and item.file.cache == "clip":
        with zipfile.ZipFile(path) as archive:  # TorchScript, which `weights_only` does not read
            if broken := archive.testzip():
                raise PaperlibError(f"{broken} inside it is damaged")
    else:
        read_tensors(path)


# ---- the user's own folder ------------------------------------------------------------------------------------------
def look_at_own(profile: "Profile", thorough: bool = False) -> tuple[bool, list[str]]:
    """Whether the folder of the profile `own` can be used, and sentences on what is in it; where `thorough`, everything is
    decoded."""
    from paperlib.experiments.available import without_data
    from paperlib.experiments.compression.plan import coded_set
    from paperlib.experiments.sets.opening import opened
    from paperlib.experiments.sets.plan import gaze_pictures, opinion_pictures
    from paperlib.sources.source import of_user, require_weights

    if not profile.data_root:
        advice = (
            "with images/ and fixations.csv (columns image, subject, x, y), mos.csv (columns image, mos), or both, or "
            "with pictures that `python -m paperlib code FOLDER` made"
        )
        return False, [f"profile 'own' needs your folder: give --data-root DIR, {advice}"]
    lines: list[str] = []
    faults: list[str] = []
    usable = False
    absent, root = without_data(profile), Path(profile.data_root)
    looks: tuple[tuple[str, bool, Callable[[], Any], Callable[..., Any], str], ...] = (
        ("03a", (root / "fixations.csv").is_file(), lambda: gaze_pictures(profile, "own"), gaze.check, "Table I"),
        ("03b", (root / "mos.csv").is_file(), lambda: opinion_pictures(profile, "own", "test"), opinions.check, "Figure 2"),
        ("03d", True, lambda: coded_set(profile), sacid.check, "Table III"),
    )
    for notebook, is_there, opener, check, what in looks:
        if notebook in absent:
            lines.append(absent[notebook])
            continue
        try:
            pictures = opener()
            found = opened(pictures.params | {"root": pictures.root}, {})
            if thorough:
                check(found, progress)
        except PaperlibError as error:
            (faults if is_there else lines).append(f"{what}: {error}")
            continue
        usable = True
        lines.append(f"{what}: {pictures.n} pictures, fingerprint {pictures.fingerprint}")
        lines += [f"  {note}" for note in found.notes]
    try:
        require_weights(of_user(profile.models, profile.model_folders).values(), Path(profile.weights_root))
    except PaperlibError as error:
        faults.append(str(error))
    return usable and not faults, lines + faults
