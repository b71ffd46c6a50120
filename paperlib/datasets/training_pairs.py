"""Pictures with mean opinion scores and proxy saliency, as batches for training; both are flipped and cropped as one.

    pairs = TrainingPairs(opinions, ProxyMaps(load, fingerprint), (384, 512), (384, 384), seed=0, cache=folder)
    for batch in pairs.batches(16, first=0, workers=4): ...   # without end; `first` enters in the middle

Order and augmentation follow from (seed, epoch, index) alone: not from the number of workers, nor from where a run was
stopped and entered again. Threads make the batches ahead; a `DataLoader` with a worker process was five times slower per
batch, as each is sent from one process to the other.
"""

import math
import shutil
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.files import Problems, UnusableFile
from paperlib.datasets.pictures import SCALE, Progress
from paperlib.errors import PaperlibError
from paperlib.paths import atomic_write

_ORDER, _AUGMENTATION = 0, 1
_AHEAD = 2
_SPARE = 1.05

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class ProxyMaps:
    """Proxy saliency of the pictures of a set, by the picture's place in it.

    Attributes:
        load: gives the map of picture `index`, (h, w), uint8 or float in [0, 1]; of any size, of the picture's framing.
        fingerprint: changes whenever a map changes; names the cache.
    """

    load: Callable[[int], NDArray]
    fingerprint: str


@dataclass(frozen=True)
class PairBatch:
    """One batch.

    Attributes:
        keys: of the pictures.
        images: (n, h, w, 3) uint8 RGB, or stored features (n, c, h, w) float16 instead.
        saliency: (n, h, w) uint8; None where there is no proxy saliency.
        mos: (n,) float32 mean opinion scores from 0 to 1.
    """

    keys: tuple[str, ...]
    images: NDArray
    saliency: NDArray[np.uint8] | None
    mos: NDArray[np.float32]


def augmented(planes: Sequence[NDArray], crop: tuple[int, int] | None, rng: np.random.Generator) -> list[NDArray]:
    """The same random window of every plane (h, w) or (h, w, channels), of size `crop` (height, width) or all of it, and
    every second time its mirror image.

    Raises:
        ValueError: planes of different sizes, or smaller than the window.
    """
    sizes = {plane.shape[:2] for plane in planes}
    height, width = crop or next(iter(sizes))
    if len(sizes) != 1 or any(height > size[0] or width > size[1] for size in sizes):
        raise ValueError(f"expected planes of one size that hold a window of {height}x{width}, got {sorted(sizes)}")
    (whole,) = sizes
    top, left = (int(rng.integers(0, room + 1)) for room in (whole[0] - height, whole[1] - width))
    windows = [plane[top : top + height, left : left + width] for plane in planes]
    return [cv2.flip(window, 1) for window in windows] if rng.random() < 0.5 else windows


class TrainingPairs:
    """Pictures of one size with their scores and maps.

    Args:
        opinions: the pictures, an `OpinionSet` or a `WorldPictures`.
        maps: their proxy saliency; None to train on quality alone.
        size: (height, width) that pictures and maps are brought to before anything else; KonIQ-10k's 384x512 stay.
        crop: (height, width) of a random window; None for the whole picture.
        seed: of order and augmentation.
        cache: folder for decoded pictures and maps, shared by all runs; where None is given, or it lacks room, each is
            loaded whenever it is needed.
        workers: threads that fill the cache.
        progress: wraps the records meanwhile.
        center_mos: take the mean from the scores.
        features: gives what a network that is not trained makes of picture `index` and of its mirror image, (2, c, h, w)
            float16, which is taken instead of the picture.

    Raises:
        ValueError: a window that is larger than `size`, or any window of stored features.
        PaperlibError: pictures or maps that cannot be used; all are counted, the first are named.
    """

    def __init__(
        self,
        opinions: Any,
        maps: ProxyMaps | None,
        size: tuple[int, int],
        crop: tuple[int, int] | None = None,
        *,
        seed: int,
        cache: Path | None = None,
        workers: int = 0,
        progress: Progress | None = None,
        center_mos: bool = False,
        features: Callable[[int], NDArray] | None = None,
    ):
        if crop and features:
            raise ValueError(f"features are stored of whole pictures, expected no window, got {crop}")
        if crop and any(window > whole for window, whole in zip(crop, size, strict=True)):
            raise ValueError(f"a window of {crop} does not fit into pictures of {size}")
        self.opinions, self.size, self.crop, self.seed, self.features = opinions, size, crop, seed, features
        low, high = SCALE
        self.mos = ((opinions.mos - low) / (high - low)).astype(np.float32)
        if center_mos:
            self.mos -= self.mos.mean()
        shape, name = (len(opinions), *size), f"{opinions.fingerprint}-{size[0]}x{size[1]}"
        kinds = [] if features else [_Kind("pictures", self._picture, (*shape, 3), f"pictures-{name}.npy")]
        if maps is not None:
            kinds.append(_Kind("maps", partial(self._map, maps.load), shape, f"maps-{name}-{maps.fingerprint}.npy"))
        self._sources: list[Callable[[int], NDArray[np.uint8]]] = [kind.load for kind in kinds]
        if cache and _has_room(cache, kinds):
            kept = [self._on_disk(cache / kind.file, kind, workers, progress) for kind in kinds]
            self._sources = [array.__getitem__ for array in kept]

    def __len__(self) -> int:
        return len(self.opinions)

    def pair(self, epoch: int, index: int) -> list[NDArray]:
        """Picture (h, w, 3), or its features (c, h, w), and where there are maps, map (h, w) of record `index` as epoch
        `epoch` sees them."""
        rng = np.random.default_rng([_AUGMENTATION, self.seed, epoch, index])
        planes = [load(index) for load in self._sources]
        if self.features is None:
            return augmented(planes, self.crop, rng)
        mirrored = int(rng.random() < 0.5)
        return [self.features(index)[mirrored], *(cv2.flip(plane, 1) if mirrored else plane for plane in planes)]

    def batch(self, epoch: int, indices: Sequence[int] | NDArray[np.int64]) -> PairBatch:
        """The pairs of records `indices` as epoch `epoch` sees them."""
        pairs = [self.pair(epoch, index) for index in indices]
        images, *saliency = (np.stack(planes) for planes in zip(*pairs, strict=True))
        keys = tuple(self.opinions.records[index].key for index in indices)
        return PairBatch(keys, images, saliency[0] if saliency else None, self.mos[list(indices)])

    def batches(self, batch_size: int, first: int = 0, workers: int = 0) -> Generator[PairBatch]:
        """Batch `first`, `first + 1`, ... without end; the last incomplete batch of an epoch is left out.

        Args:
            batch_size: pictures in each.
            first: number of the first one, counted over all epochs.
            workers: threads that make batches ahead; 0 to make each when it is asked for.

        Raises:
            ValueError: fewer pictures than one batch.
        """
        plan = batch_plan(len(self), batch_size, self.seed, first)
        return _in_turn(lambda place: self.batch(*place), plan, workers)

    def _picture(self, index: int) -> NDArray[np.uint8]:
        return resized(self.opinions.records[index].load_image(), self.size)

    def _map(self, load: Callable[[int], NDArray], index: int) -> NDArray[np.uint8]:
        values = np.asarray(load(index))
        key = self.opinions.records[index].key
        if values.ndim != 2 or values.size == 0:
            raise PaperlibError(f"the proxy map of {key} has shape {values.shape}, expected (height, width)")
        if values.dtype != np.uint8:
            if not (values.min() >= 0 and values.max() <= 1):
                raise PaperlibError(f"the proxy map of {key} has values outside [0, 1]; give such, or uint8")
            values = np.rint(255 * values).astype(np.uint8)
        return resized(values, self.size)

    def _on_disk(self, file: Path, kind: "_Kind", workers: int, progress: Progress | None) -> NDArray[np.uint8]:
        """The array in `file`, written first where it is missing or cut; one process writes, others wait."""
        from filelock import FileLock

        with FileLock(f"{file}.lock"):
            kept = _mapped(file, kind.shape)
            if kept is None:
                for left in file.parent.glob(f".{file.name}.*.part"):
                    left.unlink(missing_ok=True)  # of a run that was killed; nobody else holds the lock
                with atomic_write(file) as handle:
                    header = {"descr": "|u1", "fortran_order": False, "shape": kind.shape}
                    np.lib.format.write_array_header_1_0(handle, header)
                    for row in self._rows(kind, workers, progress):
                        handle.write(np.ascontiguousarray(row))
                kept = _mapped(file, kind.shape)
        if kept is None:
            raise PaperlibError(f"{file} vanished or changed while it was read; let nothing else write to its folder")
        return kept

    def _rows(self, kind: "_Kind", workers: int, progress: Progress | None) -> Iterator[NDArray[np.uint8]]:
        places = progress(range(len(self))) if progress else range(len(self))
        problems = Problems(f"{self.opinions.title} {kind.name}")
        for row in _in_turn(partial(_or_problem, kind.load), places, workers):
            if isinstance(row, UnusableFile):
                problems.add(row.path.name, row.reason)
            else:
                yield row
        problems.raise_if_any(len(self), "restore these files from the archive of the data set")


@dataclass(frozen=True)
class _Kind:
    """Decoded pictures, or maps: what gives one, the shape of all, and the name of their file."""

    name: str
    load: Callable[[int], NDArray[np.uint8]]
    shape: tuple[int, ...]
    file: str


def _has_room(cache: Path, kinds: Sequence[_Kind]) -> bool:
    """Whether what is not there yet fits into the folder, which is made."""
    cache.mkdir(parents=True, exist_ok=True)
    needed = sum(math.prod(kind.shape) for kind in kinds if not (cache / kind.file).is_file())
    return _SPARE * needed <= shutil.disk_usage(cache).free


def _or_problem(load: Callable[[int], NDArray[np.uint8]], index: int) -> NDArray[np.uint8] | UnusableFile:
    try:
        return load(index)
    except UnusableFile as error:
        return error


def _in_turn(function: Callable[[T], R], arguments: Iterable[T], workers: int) -> Generator[R]:
    """`function` of each argument, in their order, made ahead by `workers` threads, or here by none."""
    if not workers:
        yield from map(function, arguments)
        return
    coming: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for argument in arguments:
            coming.append(pool.submit(function, argument))
            if len(coming) >= workers + _AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def batch_plan(n: int, batch_size: int, seed: int, first: int = 0) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """(epoch, indices) of batch `first`, `first + 1`, ... without end; each epoch has an order of its own.

    Raises:
        ValueError: `first` below 0, or fewer than one whole batch.
    """
    per_epoch = n // max(1, batch_size)
    if batch_size < 1 or per_epoch < 1 or first < 0:
        raise ValueError(f"{n} pictures in batches of {batch_size} from {first} on: expected at least one whole batch")
    epoch, start = divmod(first, per_epoch)
    while True:
        order = np.random.default_rng([_ORDER, seed, epoch]).permutation(n)
        for number in range(start, per_epoch):
            yield epoch, order[number * batch_size : (number + 1) * batch_size]
        epoch, start = epoch + 1, 0


def _mapped(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    with suppress(OSError, ValueError):
        kept = np.load(file, mmap_mode="r")
        if kept.shape == shape and kept.dtype == np.uint8:
            return kept
    return None


def resized(plane: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture (h, w, 3) or map (h, w) at `size` (height, width): averaged where it shrinks, else interpolated."""
    if plane.shape[:2] == tuple(size):
        return plane
    shrinks = size[0] < plane.shape[0] and size[1] < plane.shape[1]
    return np.asarray(cv2.resize(plane, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8)
