"""Pictures of a micro-world: as arrays (`ImageSet`), and behind the face of the other data sets (`WorldPictures`).

    world = open_world(arrays, observers="saliency", n_test=500)      # arrays of `ImageSet.to_arrays`
    world.records[0].load_image(), world.records[0].load_density(), world.part("test").mos

The first `n_test` pictures are its part `"test"`, to judge by; the others are its part `"fit"`, to fit map transforms on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.pictures import SALICON_SIGMA, SCALE, RecordSet

TEST, FIT = "test", "fit"


@dataclass(frozen=True)
class ImageSet:
    """`n` images of one size with what people saw and said.

    Attributes:
        name: data-set key, for example `"world"`.
        images: (n, h, w, 3) uint8, RGB.
        subject: (n, h, w) uint8, the subject's mask, 0 to 255 (soft edges).
        density: (n, h, w) float32, gaze density; each map sums to 1.
        fixations: (n, k, 2) int16, sampled fixations as (row, column).
        mos: observers -> (n,) float32, mean opinion score; higher is better.
        levels: (n, 2) float32 in [0, 1], distortion level at the subject and around it.
        family: (n,) distortion family of each image.
        category: (n,) int16, what the subject is.
    """

    name: str
    images: np.ndarray
    subject: np.ndarray
    density: np.ndarray
    fixations: np.ndarray
    mos: dict[str, np.ndarray]
    levels: np.ndarray
    family: np.ndarray
    category: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Flat arrays for storage; `from_arrays` is the inverse. Densities are kept in half precision."""
        pixels = float(self.images.shape[1] * self.images.shape[2])
        return {
            "images": self.images,
            "subject": self.subject,
            "density": (self.density * pixels).astype(np.float16),
            "fixations": self.fixations,
            "levels": self.levels,
            "family": self.family,
            "category": self.category,
            **{f"mos.{who}": scores for who, scores in self.mos.items()},
        }

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> "ImageSet":
        """Rebuild a set from `to_arrays`; every density sums to 1 again."""
        density = arrays["density"].astype(np.float32)
        density /= density.sum((1, 2), keepdims=True)
        mos = {key.removeprefix("mos."): value for key, value in arrays.items() if key.startswith("mos.")}
        names = ("images", "subject", "fixations", "levels", "family", "category")
        return cls(name=name, density=density, mos=mos, **{key: arrays[key] for key in names})

    def fixation_map(self, index: int) -> NDArray[np.uint16]:
        """(h, w), number of fixations per pixel of image `index`."""
        counts = np.zeros(self.density.shape[1:], np.uint16)
        np.add.at(counts, (self.fixations[index, :, 0], self.fixations[index, :, 1]), 1)
        return counts


@dataclass(frozen=True, eq=False)
class WorldRecord:
    """Picture `index` of a micro-world.

    Attributes:
        world: all its pictures.
        index: which of them.
        mos: what the chosen observers say of it, from 0 to 100 as in every set.
        split: `"test"` or `"fit"`.
    """

    world: ImageSet = field(repr=False)
    index: int
    mos: float
    split: str

    @property
    def key(self) -> str:
        """Unique in its world, in the order of the pictures."""
        return f"{self.index:05}"

    @property
    def signature(self) -> str:
        """Nothing beyond the key: the unit that made the world is known by all that decides it."""
        return ""

    @property
    def files(self) -> tuple[Path, ...]:
        """None."""
        return ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width = self.world.images.shape[1:3]
        return height, width

    @property
    def caption(self) -> str:
        """Which distortion, and where it is worse."""
        at_subject, around = self.world.levels[self.index]
        return f"{self.world.family[self.index]}, {'subject' if at_subject > around else 'surround'} worse"

    def load_image(self) -> NDArray[np.uint8]:
        """(h, w, 3) uint8 RGB."""
        return self.world.images[self.index]

    def load_density(self) -> NDArray[np.float32]:
        """The density that the observers look by, (h, w) float32, positive everywhere."""
        return self.world.density[self.index]

    def load_published(self) -> NDArray[np.uint8]:
        """The density as a data set would publish it: the fixations blurred, in 8 bits; (h, w) uint8, zero in places."""
        counts = self.world.fixation_map(self.index).astype(np.float32)
        blurred = cv2.GaussianBlur(counts, (0, 0), SALICON_SIGMA * len(counts))
        return np.rint(255 * blurred / blurred.max()).astype(np.uint8)

    def load_fixations(self) -> NDArray[np.int64]:
        """(k, 2) int64 as (row, column), repeats kept."""
        return self.world.fixations[self.index].astype(np.int64)


@dataclass(frozen=True)
class WorldPictures(RecordSet[WorldRecord]):
    """Pictures of one micro-world in their order."""

    @property
    def mos(self) -> NDArray[np.float64]:
        """(n,) opinion scores, from 0 to 100."""
        return np.array([record.mos for record in self.records])

    @property
    def splits(self) -> dict[str, int]:
        """Part -> number of its pictures."""
        return {part: n for part in (TEST, FIT) if (n := sum(record.split == part for record in self.records))}

    def part(self, name: str) -> "WorldPictures":
        """The pictures of part `"test"` or `"fit"`.

        Raises:
            ValueError: it has none.
        """
        return self.holding([record for record in self.records if record.split == name])

    def take(self, n: int, seed: int) -> "WorldPictures":
        """The first `n` pictures, which are as random as any; all where there are no more than `n`."""
        return self.holding(self.records[:n])


def open_world(
    arrays: Mapping[str, NDArray], name: str = "world", observers: str = "saliency", n_test: int = 0
) -> WorldPictures:
    """The pictures in `arrays`.

    Args:
        arrays: of `ImageSet.to_arrays`.
        name: key of the set.
        observers: whose opinion scores the pictures have.
        n_test: how many belong to part `"test"`; 0 for all.
    """
    world = ImageSet.from_arrays(name, arrays)
    scores: list[float] = (SCALE[1] * world.mos[observers].astype(np.float64)).tolist()
    n_test = n_test or len(world)
    records = (WorldRecord(world, index, mos, TEST if index < n_test else FIT) for index, mos in enumerate(scores))
    return WorldPictures(name, tuple(records))
