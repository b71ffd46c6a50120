"""A worked example of the profile `own`: a folder as a user's own would be, for Table I, Figure 2, Table III and `code`.

    images/<photograph>_<version>.jpg     photographs that ship in installed packages, each in three versions
    fixations.csv, mos.csv                what people would have given: simulated
    my_model.py                           a small IQA network, `--model my_model:sharpness`
    photographs/, maps/                   the undistorted photographs and saliency maps for them, what `code` starts from
    reference/, saliency/, compressed/, pairs.csv, moses.csv    what `code`, assessors and `votes` make of these
    README.txt

Nobody looked and nobody voted: fixations are drawn from hand-made gaze densities, opinions from a formula, votes from the
simulated assessors of the demo's Table III. Pictures, coding, and scores out of votes are real. A folder that was not
finished is gone on with; what others wrote is never replaced.
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from paperlib.coding.polls import block_gaze, felt
from paperlib.coding.votes import Schedule, simulate
from paperlib.datasets import own, own_opinions
from paperlib.datasets.files import listing, read_rgb
from paperlib.datasets.photographs import Photograph, open_photographs, predicted_saliency
from paperlib.datasets.sacid import COMPRESSED, PARTS, REFERENCE, TABLE
from paperlib.datasets.votes_table import SIDES, read_votes
from paperlib.engine.progress import say
from paperlib.errors import PaperlibError
from paperlib.study.files import alone, csv_text, encoded, record_by, require_folder, sealed, sha256, write
from paperlib.study.folder import LOG, ORIGINAL, PAIRS, OwnStudy, code_folder
from paperlib.study.votes import score_votes, write_moses
from paperlib.vocabulary import OBSERVERS

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "china", "flower", "motorcycle")
SIZE = (176, 240)
"""Height and width whose product bounds the area; the longer side stays below 256."""

BPPS = (0.3, 0.5)
"""Bits per pixel that all of these photographs reach with every preset."""

GOOD_QUALITY = 95
BLURS = (0.6, 0.9, 1.2, 1.5, 1.8, 2.1)
"""Standard deviations in pixels of the blurred versions, photograph by photograph."""

QUALITIES = (35, 10, 30, 15, 25, 20)
"""JPEG qualities of the compressed versions, photograph by photograph."""

BEST, PER_BLUR, PER_QUALITY, MOS_SD = 4.8, 1.2, 0.03, 0.15
SUBJECTS, FIXATIONS = 12, 8
SEED = 0

MODEL = "my_model:sharpness"
_MODEL_FILE, _README = "my_model.py", "README.txt"
_INPUTS, _MAPS, _IMAGES = "photographs", "maps", "images"
_MARK, _LOCK = ".example.json", ".example.lock"
_MAKER, _FORMAT = "python -m paperlib example", 1
_KEPT, _ADVICE = "it is left as it is; give a new or empty folder", "give another folder"

COMMANDS = (
    "table 1 --profile own --data-root {folder} --model {model}",
    "figure 2 --profile own --data-root {folder} --model {model}",
    "table 3 --profile own --data-root {folder} --model {model}",
    "--profile own --only 03a --data-root {folder} --model {model}",
)
"""What one can do with the folder: words after `./run_all.sh`."""

SIMULATED = (
    "fixations.csv: drawn from gaze densities that were made by hand, nobody's eyes were recorded",
    "mos.csv: a formula of blur and JPEG quality plus noise, nobody was asked",
    "pairs.csv and moses.csv: votes of simulated assessors, nobody voted",
)


@dataclass(frozen=True)
class Example:
    """What lies in the folder.

    Attributes:
        folder: where.
        files: names of all files inside, sorted.
        images: pictures in `images/`.
        photographs: names of those that are coded for Table III.
        fresh: whether anything was written now.
    """

    folder: Path
    files: tuple[str, ...]
    images: int
    photographs: tuple[str, ...]
    fresh: bool


def write_example(folder: Path) -> Example:
    """Write the example, or what is missing of it.

    Args:
        folder: new, empty, or one that an earlier call wrote into; afterwards everything in it is the same for the same
            versions of the installed packages.

    Raises:
        PaperlibError: the folder holds something that no earlier call wrote, or that was changed since; another process
            is writing; it cannot be written.
        ComputationError: no photograph could be coded.
    """
    _known(folder)
    require_folder(folder, _ADVICE)
    with alone(folder / _LOCK, f"writing an example into {folder}", "another folder"):
        known = _known(folder)
        if known and all((folder / name).is_file() for name in known):
            return _told(folder, known, fresh=False)
        if not known:
            _mark(folder, {})
        photographs = open_photographs(PHOTOGRAPHS, SIZE)
        for name, content in _files(photographs):
            write(folder / name, content, _ADVICE)
        study = code_folder(folder / _INPUTS, str(folder / _MAPS), BPPS, folder)
        for name, reason in study.left_out.items():
            say(f"Table III goes without {name}: {reason}")
        write(study.pairs, _answered(study, photographs), _ADVICE)
        write_moses(score_votes(read_votes(study.pairs)), folder / TABLE)
        written = {name: sha256((folder / name).read_bytes()) for name in _there(folder)}
        _mark(folder, written)
        return _told(folder, written, fresh=True)


def _told(folder: Path, files: Mapping[str, str], fresh: bool) -> Example:
    images = sum(name.startswith(f"{_IMAGES}/") for name in files)
    coded = sorted({name.split("/")[1] for name in files if name.startswith(f"{COMPRESSED}/")})
    return Example(folder, tuple(sorted(files)), images, tuple(coded), fresh)


# --------------------------------------------------------------------------------------------------------- the folder


def _known(folder: Path) -> dict[str, str]:
    """Name -> fingerprint of the files of a finished example; empty for a new folder, or an example that is not finished.

    Raises:
        PaperlibError: the folder holds something else.
    """
    mark, there = record_by(_MAKER, folder / _MARK) or {}, _there(folder)
    known = mark.get("files")
    if not isinstance(known, dict):
        if os.path.lexists(folder / _MARK):
            raise PaperlibError(
                f"{folder / _MARK}, the list of an example, is damaged, or `example` did not write it; {_KEPT}"
            )
        if foreign := there:
            raise PaperlibError(f"{folder} holds {listing(foreign)} that `example` did not write; {_KEPT}")
        return {}
    if mark.get("format") != _FORMAT:
        raise PaperlibError(f"{folder} holds an example of another version of this program; {_KEPT}")
    if foreign := [name for name in there if not (name in known if known else _planned(name))]:
        raise PaperlibError(f"{folder} holds an example and besides {listing(foreign)}; {_KEPT}")
    if changed := [name for name in there if name in known and _fingerprint(folder / name) != known[name]]:
        raise PaperlibError(f"{folder} holds an example that was changed since ({listing(changed)}); {_KEPT}")
    return known


def _there(folder: Path) -> list[str]:
    """Names of all files, but for what writing and importing leave behind."""
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    return sorted(path.as_posix() for path in found if not _is_by_product(path))


def _is_by_product(path: Path) -> bool:
    return path.name in (_MARK, _LOCK, ".coding.lock") or "__pycache__" in path.parts or path.suffix == ".part"


def _planned(name: str) -> bool:
    """Whether an unfinished example may hold a file of this name."""
    alone = (own.TABLE, own_opinions.TABLE, _MODEL_FILE, _README, LOG, PAIRS, TABLE, Path(TABLE).with_suffix(".json").name)
    return name in alone or name.split("/")[0] in (_IMAGES, _INPUTS, _MAPS, *PARTS)


def _mark(folder: Path, files: Mapping[str, str]) -> None:
    write(folder / _MARK, sealed(_MAKER, {"format": _FORMAT, "files": dict(files)}), _ADVICE)


def _fingerprint(path: Path) -> str:
    try:
        return sha256(path.read_bytes())
    except OSError:
        return ""


# ---------------------------------------------------------------------------------------------------------- the files


@dataclass(frozen=True)
class _Version:
    """One picture of `images/`: a photograph, blurred with `blur` pixels and saved with a JPEG `quality`."""

    photograph: Photograph
    name: str
    blur: float
    quality: int

    @property
    def file(self) -> str:
        return f"{self.photograph.name}_{self.name}.jpg"

    @property
    def mos(self) -> float:
        """Before noise: on 1 to 5, falling with the blur and with the distance of the quality from `GOOD_QUALITY`."""
        return BEST - PER_BLUR * self.blur - PER_QUALITY * (GOOD_QUALITY - self.quality)

    def content(self) -> bytes:
        image = Image.fromarray(self.photograph.image)
        image = image.filter(ImageFilter.GaussianBlur(self.blur)) if self.blur else image
        return encoded(image, "jpeg", quality=self.quality)


def _versions(photographs: Sequence[Photograph]) -> list[_Version]:
    return [
        version
        for photograph, blur, quality in zip(photographs, BLURS, QUALITIES, strict=True)
        for version in (
            _Version(photograph, "good", 0.0, GOOD_QUALITY),
            _Version(photograph, f"blur{round(10 * blur):02}", blur, GOOD_QUALITY),
            _Version(photograph, f"jpeg{quality}", 0.0, quality),
        )
    ]


def _files(photographs: Sequence[Photograph]) -> Iterator[tuple[str, bytes | str]]:
    """Name and content of all that does not come out of `code` and `votes`."""
    versions = _versions(photographs)
    for version in versions:
        yield f"{_IMAGES}/{version.file}", version.content()
    yield own.TABLE, csv_text(own.COLUMNS, _fixations(versions))
    yield own_opinions.TABLE, csv_text(own_opinions.COLUMNS, _opinions(versions))
    for photograph in photographs:
        levels = np.round(255 * predicted_saliency(photograph)).astype(np.uint8)
        yield f"{_INPUTS}/{photograph.name}.png", encoded(photograph.image)
        yield f"{_MAPS}/{photograph.name}.png", encoded(levels)
    yield _MODEL_FILE, _MODEL_TEXT
    yield _README, _readme()


def _fixations(versions: Sequence[_Version]) -> list[tuple[str, str, int, int]]:
    """Every simulated subject looks at every picture, wherever the photograph's gaze density says."""
    lines = []
    for index, version in enumerate(versions):
        rng, density = np.random.default_rng([SEED, 0, index]), version.photograph.gaze.astype(np.float64)
        drawn = rng.choice(density.size, (SUBJECTS, FIXATIONS), p=(density / density.sum()).ravel())
        for subject, points in enumerate(drawn, 1):
            rows, columns = np.divmod(points, density.shape[1])
            lines += [(version.file, f"s{subject:02}", int(x), int(y)) for x, y in zip(columns, rows, strict=True)]
    return lines


def _opinions(versions: Sequence[_Version]) -> list[tuple[str, str]]:
    noise = np.random.default_rng([SEED, 1]).normal(0, MOS_SD, len(versions))
    return [(one.file, f"{np.clip(one.mos + error, 1, 5):.2f}") for one, error in zip(versions, noise, strict=True)]


# ---------------------------------------------------------------------------------------------------------- the votes


def _answered(study: OwnStudy, photographs: Sequence[Photograph]) -> str:
    """The schedule of `code` with the column `choice` filled by simulated assessors, as in the demo's Table III."""
    table = read_votes(study.pairs, schedule=True)
    shown = [one for one in photographs if one.name in table.images]
    places = {one.name: place for place, one in enumerate(shown)}
    image = np.array([places[name] for name in table.images])[table.image]
    plan = Schedule(table.assessor, image, table.left, table.right, table.expected)
    responses = []
    for one in shown:
        original, folder = study.folder / REFERENCE / f"{one.name}.png", study.folder / COMPRESSED / one.name
        versions = table.versions[table.images.index(one.name)]
        files = [original if version == ORIGINAL else folder / version for version in versions]
        responses.append(felt([read_rgb(file) for file in files], read_rgb(original)))
    gaze = [block_gaze(one.gaze, OBSERVERS[0]) for one in shown]
    choice = simulate(plan, responses, gaze, np.random.default_rng([SEED, 2]))
    words = {side: word for word, side in SIDES.items()}
    with study.pairs.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = [row | {"choice": words[side]} for row, side in zip(rows, choice.tolist(), strict=True)]
    return csv_text(list(rows[0]), [list(row.values()) for row in answers])


# ----------------------------------------------------------------------------------------------------------- the texts

_MODEL_TEXT = '''\
"""An IQA network of one's own: fine detail as a share of all contrast, by fixed filters. Nothing in it is trained."""

import torch
from torch import nn


class Sharpness(nn.Module):
    def __init__(self):
        super().__init__()
        slope = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
        detail = torch.tensor([[0.0, -1.0, 0.0], [-1.0, 4.0, -1.0], [0.0, -1.0, 0.0]]) / 4
        kernels = torch.stack([slope, -slope, slope.T, -slope.T, detail, -detail])
        filters = nn.Conv2d(3, len(kernels), 3, padding=1, padding_mode="replicate", bias=False)
        filters.weight.data = kernels[:, None].repeat(1, 3, 1, 1) / 3
        self.contrast = nn.Sequential(filters, nn.ReLU(), nn.AvgPool2d(8))

    def forward(self, images):  # (n, 3, height, width), RGB in [0, 1], to one score per image, higher is better
        mean = self.contrast(images).mean((2, 3))
        return mean[:, 4:].sum(1) / (mean[:, :4].sum(1) + 1e-6)


def sharpness():
    """The network, and the layer whose features become its saliency map."""
    return Sharpness(), "contrast"
'''


def _readme() -> str:
    commands = "\n".join(f"  ./run_all.sh {words.format(folder='DIR', model=MODEL)}" for words in COMMANDS)
    rates = ",".join(f"{bpp:g}" for bpp in BPPS)
    return f"""\
An example of "your own data" for the profile `own`, written by `{_MAKER} DIR`.
Put your own files in the place of these, or make a folder like this one. DIR stands for this folder.

Photographs: real, from the installed packages scikit-image and scikit-learn.
Everything that people would give is SIMULATED:
{chr(10).join(f"  * {sentence}" for sentence in SIMULATED)}
So the numbers show that the commands work, and nothing about people.

For Table I and Figure 2
  images/           {len(PHOTOGRAPHS)} photographs in 3 versions: good (JPEG quality {GOOD_QUALITY}), blurNN (Gaussian of N.N
                    pixels), jpegNN (quality NN)
  fixations.csv     image, subject, x, y; pixels of the picture, counted from 0; {SUBJECTS} subjects,
                    {FIXATIONS} fixations each
  mos.csv           image, mos; 1 to 5, higher is better:
                    {BEST:g} - {PER_BLUR:g} * blur - {PER_QUALITY:g} * ({GOOD_QUALITY} - quality) + \
noise of standard deviation {MOS_SD:g}
  my_model.py       a small IQA network; --model {MODEL} runs the function `sharpness` in it

For Table III
  photographs/      the undistorted photographs
  maps/             a saliency map for each, which the encoder is given
  reference/, saliency/, compressed/, coded.json     what this command made of them:
                      ./run_all.sh code DIR/photographs --saliency DIR/maps --bpp {rates} --out DIR
  pairs.csv         the schedule that `code` writes, its column `choice` filled by simulated assessors
  moses.csv, .json  scores out of these votes:
                      ./run_all.sh votes DIR/pairs.csv --moses DIR/moses.csv

Commands
{commands}
"""
