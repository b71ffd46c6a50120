"""Stand-ins for the eye-tracking data sets: generated pictures and gaze in the official layouts, byte for byte the same
for the same arguments and library versions.

They prove that every line that reads the real data runs (profile `rehearsal`); their numbers mean nothing. Pictures are
scenes of the micro-world, enlarged and given texture, so that codecs and networks find structure. Gaze is drawn from
each scene's gaze density, which holds its subject and a centre bias; nobody's eyes were recorded.

A tree is written file by file, each atomically, and a manifest with its names, sizes and one content hash comes last. A
finished tree is recognised and left alone; a half-written one is completed, without drawing what is there already.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from paperlib.datasets import cat2000, salicon
from paperlib.datasets.gaze import blur, fixation_map
from paperlib.datasets.microworld import generate
from paperlib.datasets.photographs import spectral_residual
from paperlib.errors import PaperlibError
from paperlib.paths import atomic_write

MANIFEST = ".standin.json"
FORMAT = 1

SCENE_HEIGHT = 72
OBSERVERS = 55
OBSERVERS_WITHOUT_FIXATIONS = 0.05
OUTSIDE = 0.004
SAMPLES_PER_FIXATION = 8
CAT2000_OBSERVERS = 18
CAT2000_SIGMA = 40
BAR_GREY = 126
OWN_SIZES = ((480, 640), (600, 800), (450, 600))
OWN_OBSERVERS = 15
FIXATIONS_PER_OBSERVER = 9

_TEXTURE = ((64, 9.0), (16, 6.0), (4, 5.0))
_STREAMS = {"salicon": 0, "cat2000": 1, "own": 2, "koniq10k": 3, "clive": 4, "own opinions": 5, "sacid": 6, "clic2021": 7}

Thunk = Callable[[], bytes]


def write_salicon(
    root: str | Path, n: int, seed: int, edition: salicon.Edition = "2017", split: salicon.Split = "val"
) -> Path:
    """Write `n` pictures of one split of a stand-in SALICON: images, fixations and maps, and return its folder.

    As in the real files, gaze is a struct array with `location`, `timestamp` and `fixations`, (x, y) from 1 on; some
    observers have no fixation; in edition 2017 some points lie in column 641. The mean number of fixations per picture
    is the edition's own.

    Raises:
        ValueError: `n` below 1, a negative seed, an unknown edition or split.
        PaperlibError: `root` holds something else.
    """
    if split not in salicon.TOTALS or edition not in salicon.TOTALS[split]:
        raise ValueError(f"there is no edition {edition!r} of split {split!r}; choose 2015 or 2017, train or val")
    scenes = Scenes("salicon", n, seed, [salicon.SIZE] * n)
    numbers = np.sort(np.random.default_rng([seed, 7]).choice(581_929, n, replace=False) + 1)
    per_picture = salicon.TOTALS[split][edition] / salicon.PICTURES[split]
    looks = lru_cache(maxsize=1)(lambda index: _observers(scenes, index, per_picture, outside=edition == "2017"))
    files: dict[str, Thunk] = {}
    for index, number in enumerate(numbers):
        key = f"COCO_{split}2014_{number:012d}"
        files[f"images/{split}/{key}.jpg"] = lambda i=index: jpeg_bytes(scenes.picture(i), 90)
        files[f"fixations/{split}/{key}.mat"] = lambda i=index, key=key: _salicon_mat(key, looks(i), scenes.rng(i, 3))
        files[f"maps/{split}/{key}.png"] = lambda i=index: png_bytes(_density(looks(i), salicon.SIZE, salicon.API_SIGMA))
    settings = {"set": "salicon", "n": n, "seed": seed, "edition": edition, "split": split}
    return write_tree(Path(root), settings, files)


def write_cat2000(root: str | Path, per_category: int, seed: int, categories: Sequence[str] = cat2000.CATEGORIES) -> Path:
    """Write `root/trainSet` of a stand-in CAT2000 and return `root`.

    Two of three pictures have grey bars, at the sides or above and below. The folders Output with a model's maps and
    the file allFixData.mat, which readers must skip, are there too; file numbers have gaps.

    Raises:
        ValueError: `per_category` below 1 or above 100, no category, a negative seed.
        PaperlibError: `root` holds something else.
    """
    if not 1 <= per_category <= 100 or not categories:
        raise ValueError(f"expected 1 to 100 pictures in at least one category, got {per_category} in {categories}")
    n = per_category * len(categories)
    boxes = [_content(index) for index in range(n)]
    scenes = Scenes("cat2000", n, seed, [(bottom - top, right - left) for top, bottom, left, right in boxes])
    looks = lru_cache(maxsize=1)(lambda index: _looks_inside(scenes, index, boxes[index]))
    files: dict[str, Thunk] = {}
    for index in range(n):
        category, number = categories[index // per_category], f"{2 * (index % per_category) + 1:03d}"
        files[f"trainSet/Stimuli/{category}/{number}.jpg"] = lambda i=index: jpeg_bytes(
            _with_bars(scenes.picture(i), boxes[i]), 85
        )
        files[f"trainSet/Stimuli/{category}/Output/{number}_SaliencyMap.jpg"] = lambda i=index: jpeg_bytes(
            _grey(spectral_residual(scenes.image(i))), 85
        )
        files[f"trainSet/FIXATIONLOCS/{category}/{number}.mat"] = lambda i=index: mat_bytes(
            {"fixLocs": (fixation_map(looks(i), cat2000.SIZE) > 0).astype(np.uint8)}
        )
        files[f"trainSet/FIXATIONMAPS/{category}/{number}.jpg"] = lambda i=index: jpeg_bytes(
            _density([looks(i)], cat2000.SIZE, CAT2000_SIGMA), 90
        )
    files["trainSet/allFixData.mat"] = lambda: mat_bytes({"allData": np.zeros((1, 1))})
    settings = {"set": "cat2000", "per_category": per_category, "seed": seed, "categories": list(categories)}
    return write_tree(Path(root), settings, files)


def write_own(root: str | Path, n: int, seed: int) -> Path:
    """Write a stand-in of a user's folder and return it: `images/` of three sizes, `fixations.csv`, and the maps of one
    model (spectral residual) in `saliency_residual/`.

    Raises:
        ValueError: `n` below 1, a negative seed.
        PaperlibError: `root` holds something else.
    """
    scenes = Scenes("own", n, seed, [OWN_SIZES[index % len(OWN_SIZES)] for index in range(n)])
    files: dict[str, Thunk] = {}
    for index in range(n):
        files[f"images/{index + 1001}.jpg"] = lambda i=index: jpeg_bytes(scenes.picture(i), 90)
        files[f"saliency_residual/{index + 1001}.png"] = lambda i=index: png_bytes(
            _grey(spectral_residual(scenes.picture(i)))
        )
    files["fixations.csv"] = lambda: _own_table(scenes, n)
    return write_tree(Path(root), {"set": "own", "n": n, "seed": seed}, files)


# ---- the tree -------------------------------------------------------------------------------------------------------
def write_tree(root: Path, settings: dict[str, Any], files: dict[str, Thunk]) -> Path:
    """Write the files of a stand-in tree that are not there yet, and return its folder.

    Args:
        root: the tree's folder.
        settings: what its content depends on; a tree of other settings is replaced.
        files: name inside the tree -> what makes its content.

    Raises:
        PaperlibError: `root` holds something else.
    """
    settings = settings | {"format": FORMAT}
    manifest = _read_manifest(root)
    if manifest.get("settings") != settings:
        for name in manifest.get("files", {}):
            (root / name).unlink(missing_ok=True)
        manifest = {"settings": settings, "files": dict.fromkeys(files), "sha256": None}
        _write_manifest(root, manifest)
    sizes = manifest["files"]
    missing = [name for name in files if not _is_there(root / name, sizes[name])]
    if not missing and manifest["sha256"]:
        return root
    for name in missing:
        with atomic_write(root / name) as file:
            file.write(files[name]())
    digest = hashlib.sha256()
    for name in files:
        content = (root / name).read_bytes()
        sizes[name] = len(content)
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    _write_manifest(root, manifest | {"sha256": digest.hexdigest()})
    return root


def _is_there(path: Path, size: int | None) -> bool:
    return path.is_file() and size in (None, path.stat().st_size)


def _read_manifest(root: Path) -> dict[str, Any]:
    """The manifest of a finished or begun tree; empty for an empty folder."""
    try:
        manifest = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(manifest["files"], dict):
            return manifest
    except FileNotFoundError:
        if not root.is_dir() or not any(root.iterdir()):
            return {}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise PaperlibError(f"{root} is not empty and holds no stand-in data of ours; choose another folder for it")


def _write_manifest(root: Path, manifest: dict[str, Any]) -> None:
    with atomic_write(root / MANIFEST, "w") as file:
        json.dump(manifest, file, indent=1)


# ---- pictures -------------------------------------------------------------------------------------------------------
@dataclass
class Scenes:
    """Pictures and gaze of one tree, made when they are asked for.

    Attributes:
        name: of the data set; chooses the random streams.
        n, seed: as in the writers.
        sizes: (height, width) of each picture, all of about the same aspect ratio.
    """

    name: str
    n: int
    seed: int
    sizes: list[tuple[int, int]]

    def __post_init__(self) -> None:
        if self.n < 1 or self.seed < 0:
            raise ValueError(f"n={self.n}, seed={self.seed}: expected n of at least 1 and a seed of at least 0")
        self._world = lru_cache(maxsize=1)(self._generate)

    def _generate(self) -> Any:
        height, width = self.sizes[0]
        return generate(
            self.n,
            self.seed + 1_000_003 * _STREAMS[self.name],
            height=SCENE_HEIGHT,
            width=round(SCENE_HEIGHT * width / height),
            families=("blur",),
            level_beta=(1.0, 6.0),
        )

    def rng(self, index: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, _STREAMS[self.name], index, purpose])

    def image(self, index: int) -> NDArray[np.uint8]:
        """The small scene, (h, w, 3) uint8 RGB."""
        return self._world().images[index]

    def picture(self, index: int) -> NDArray[np.uint8]:
        """The scene at its size with texture of three scales, (h, w, 3) uint8 RGB."""
        height, width = self.sizes[index]
        rng = self.rng(index, 1)
        large = cv2.resize(self.image(index), (width, height), interpolation=cv2.INTER_CUBIC)
        texture = np.zeros((height, width), np.float32)
        for scale, strength in _TEXTURE:
            grain = rng.standard_normal((-(-height // scale), -(-width // scale)), np.float32) * strength
            texture += cv2.resize(grain, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.clip(large + texture[..., None], 0, 255).astype(np.uint8)

    def points(self, index: int, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """(count, 2) gaze points (row, column) in pixels of the picture, from -0.5 to the size - 0.5."""
        density = self._world().density[index].astype(np.float64)
        cells = rng.choice(density.size, count, p=(density / density.sum()).ravel())
        places = np.stack(np.unravel_index(cells, density.shape), axis=1) + rng.random((count, 2))
        return places / density.shape * self.sizes[index] - 0.5


def _content(index: int) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) of the picture in the frame of CAT2000: full, bars at the sides, above and below."""
    height, width = cat2000.SIZE
    bars = index % 3
    side, above = (240 if bars == 1 else 0), (128 if bars == 2 else 0)
    return above, height - above, side, width - side


def _with_bars(picture: NDArray[np.uint8], box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    frame = np.full((*cat2000.SIZE, 3), BAR_GREY, np.uint8)
    frame[box[0] : box[1], box[2] : box[3]] = picture
    return frame


# ---- gaze -----------------------------------------------------------------------------------------------------------
def _pixels(points: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.int64]:
    return np.clip(np.rint(points), 0, np.asarray(size) - 1).astype(np.int64)


def _observers(scenes: Scenes, index: int, per_picture: float, outside: bool) -> list[NDArray[np.int64]]:
    """Fixations of each observer of a SALICON picture, (row, column) from 0 on; a few in the column after the last."""
    rng = scenes.rng(index, 2)
    looking = rng.random(OBSERVERS) >= OBSERVERS_WITHOUT_FIXATIONS
    looking[:2] = False, True
    counts = np.where(looking, rng.poisson(per_picture / (OBSERVERS * (1 - OBSERVERS_WITHOUT_FIXATIONS)), OBSERVERS), 0)
    counts[1] = max(counts[1], 1)
    pixels = _pixels(scenes.points(index, int(counts.sum()), rng), salicon.SIZE)
    if outside:
        beyond = rng.random(len(pixels)) < OUTSIDE
        beyond[0] = True
        pixels[beyond, 1] = salicon.SIZE[1]
    return np.split(pixels, np.cumsum(counts)[:-1])


def _looks_inside(scenes: Scenes, index: int, box: tuple[int, int, int, int]) -> NDArray[np.int64]:
    rng = scenes.rng(index, 2)
    points = scenes.points(index, CAT2000_OBSERVERS * FIXATIONS_PER_OBSERVER * 2, rng)
    return _pixels(points, scenes.sizes[index]) + np.array([box[0], box[2]])


def _density(looks: list[NDArray[np.int64]], size: tuple[int, int], sigma: float) -> NDArray[np.uint8]:
    """Published density map: blurred fixations, scaled to 8 bits."""
    points = np.concatenate(looks)
    inside = points[(points < np.asarray(size)).all(axis=1)]
    density = blur(fixation_map(inside, size), sigma)
    return _grey(density / density.max())


def _salicon_mat(key: str, looks: list[NDArray[np.int64]], rng: np.random.Generator) -> bytes:
    gaze = np.empty((len(looks), 1), [("location", object), ("timestamp", object), ("fixations", object)])
    for viewing, pixels in zip(gaze[:, 0], looks, strict=True):
        fixations = pixels[:, ::-1].astype(np.uint16) + np.uint16(1)
        samples = np.repeat(fixations, SAMPLES_PER_FIXATION, axis=0).astype(np.int64)
        samples += rng.integers(-4, 5, samples.shape)
        viewing["location"] = np.clip(samples, 1, salicon.SIZE[::-1]).astype(np.uint16)
        viewing["timestamp"] = (np.arange(len(samples))[:, None] * 10).astype(np.uint32)
        viewing["fixations"] = fixations
    return mat_bytes({"image": key, "resolution": np.array([salicon.SIZE], np.uint16), "gaze": gaze})


def _own_table(scenes: Scenes, n: int) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["image", "subject", "order", "x", "y", "duration_ms"])
    for index in range(n):
        rng, size = scenes.rng(index, 2), np.asarray(scenes.sizes[index])
        for subject in range(OWN_OBSERVERS):
            points = np.clip(scenes.points(index, FIXATIONS_PER_OBSERVER, rng), 0, size - 1)
            durations = rng.integers(80, 600, len(points))
            for order, ((y, x), duration) in enumerate(zip(points, durations, strict=True)):
                writer.writerow([f"{index + 1001}.jpg", subject, order, f"{x:.1f}", f"{y:.1f}", duration])
    return text.getvalue().encode()


# ---- file formats ---------------------------------------------------------------------------------------------------
def jpeg_bytes(image: NDArray[np.uint8], quality: int) -> bytes:
    """A JPEG file of an RGB (h, w, 3) or grey (h, w) picture; `quality` from 1 to 100."""
    return cv2.imencode(".jpg", _for_opencv(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def bmp_bytes(image: NDArray[np.uint8]) -> bytes:
    """A BMP file of an RGB (h, w, 3) picture."""
    return cv2.imencode(".bmp", _for_opencv(image))[1].tobytes()


def _for_opencv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BGR, as OpenCV expects, from RGB; grey as it is."""
    return image[..., ::-1] if image.ndim == 3 else image


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of an RGB (h, w, 3) or grey (h, w) picture."""
    return cv2.imencode(".png", _for_opencv(image))[1].tobytes()


def _grey(unit: NDArray[np.float32]) -> NDArray[np.uint8]:
    """[0, 1] in 8 bits."""
    return np.rint(255 * unit).astype(np.uint8)


def mat_bytes(variables: dict[str, Any]) -> bytes:
    """A MATLAB 5 file without the date that SciPy writes into its first 116 bytes."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=True)
    return b"MATLAB 5.0 MAT-file, stand-in data".ljust(116) + buffer.getvalue()[116:]
