"""What the writers of stand-ins share: generated pictures with gaze, trees of files, and file formats.

Stand-ins prove that every line that reads the real data runs (profile `rehearsal`); their numbers mean nothing. They have
the official layouts, byte for byte the same for the same arguments and library versions. Pictures are scenes of the
micro-world, enlarged and given texture, so that codecs and networks find structure. Gaze is drawn from each scene's gaze
density, which holds its subject and a centre bias; nobody's eyes were recorded.

A tree is written file by file, each atomically, and a manifest with its names, sizes and one content hash comes last. A
finished tree is recognised and left alone; a half-written one is completed, without drawing what is there already.
"""

import csv
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.microworld import generate
from paperlib.datasets.world_pictures import ImageSet
from paperlib.errors import PaperlibError
from paperlib.json_files import read_json
from paperlib.paths import atomic_write

MANIFEST = ".standin.json"
FORMAT = 1
SCENE_HEIGHT = 72

_TEXTURE = ((64, 9.0), (16, 6.0), (4, 5.0))
_STREAMS = {"salicon": 0, "cat2000": 1, "own": 2, "koniq10k": 3, "clive": 4, "own opinions": 5, "sacid": 6, "clic2021": 7}

Thunk = Callable[[], bytes]


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

    @cached_property
    def _world(self) -> ImageSet:
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
        """A random stream of its own for a picture and a purpose."""
        return np.random.default_rng([self.seed, _STREAMS[self.name], index, purpose])

    def image(self, index: int) -> NDArray[np.uint8]:
        """The small scene, (h, w, 3) uint8 RGB."""
        return self._world.images[index]

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
        density = self._world.density[index].astype(np.float64)
        cells = rng.choice(density.size, count, p=(density / density.sum()).ravel())
        places = np.stack(np.unravel_index(cells, density.shape), axis=1) + rng.random((count, 2))
        return places / density.shape * self.sizes[index] - 0.5


# ---- the tree -------------------------------------------------------------------------------------------------------
def write_tree(root: Path, settings: dict[str, Any], files: Mapping[str, Thunk]) -> Path:
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
    if manifest.get("settings") != settings or manifest["files"].keys() != files.keys():
        for name in manifest.get("files", {}):
            (root / name).unlink(missing_ok=True)
        manifest = {"settings": settings, "files": dict.fromkeys(files), "sha256": None}
        _write_manifest(root, manifest)
    sizes = manifest["files"]
    missing = [name for name in files if not _is_there(root / name, sizes[name])]
    if not missing and manifest.get("sha256"):
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
        manifest = read_json(root / MANIFEST)
        if all((root / name).resolve().is_relative_to(root.resolve()) for name in manifest["files"].keys()):
            return manifest
    except FileNotFoundError:
        if not root.is_dir() or not any(root.iterdir()):
            return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise PaperlibError(f"{root} is not empty and holds no stand-in data of ours; choose another folder for it")


def _write_manifest(root: Path, manifest: dict[str, Any]) -> None:
    with atomic_write(root / MANIFEST, "w") as file:
        json.dump(manifest, file, indent=1)


# ---- file formats ---------------------------------------------------------------------------------------------------
def jpeg_bytes(image: NDArray[np.uint8], quality: int) -> bytes:
    """A JPEG file of an RGB (h, w, 3) or grey (h, w) picture; `quality` from 1 to 100."""
    return cv2.imencode(".jpg", _for_opencv(image), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _for_opencv(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BGR, as OpenCV expects, from RGB; grey as it is."""
    return image[..., ::-1] if image.ndim == 3 else image


def png_bytes(image: NDArray[np.uint8]) -> bytes:
    """A PNG file of an RGB (h, w, 3) or grey (h, w) picture."""
    return cv2.imencode(".png", _for_opencv(image))[1].tobytes()


def bmp_bytes(image: NDArray[np.uint8]) -> bytes:
    """A BMP file of an RGB (h, w, 3) picture."""
    return cv2.imencode(".bmp", _for_opencv(image))[1].tobytes()


def in_8_bits(unit: NDArray[np.floating]) -> NDArray[np.uint8]:
    """[0, 1] in 8 bits."""
    return np.rint(255 * unit).astype(np.uint8)


def mat_bytes(variables: dict[str, Any]) -> bytes:
    """A MATLAB 5 file without the date that SciPy writes into its first 116 bytes."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, variables, do_compression=True)
    return b"MATLAB 5.0 MAT-file, stand-in data".ljust(116) + buffer.getvalue()[116:]


def csv_bytes(header: Sequence[object], lines: Iterable[Sequence[object]]) -> bytes:
    """A comma-separated table; lines end in \\n."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue().encode()
