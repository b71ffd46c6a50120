"""The micro-world behind the face of the other data sets: pictures with gaze and with opinion scores.

    world = open_world(arrays, observers="saliency", n_test=500)      # arrays of `ImageSet.to_arrays`
    world.records[0].load_image(), world.records[0].load_density(), world.part("test").mos

The first `n_test` pictures are its part `"test"`, to judge by; the others are its part `"fit"`, to fit map transforms on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from paperlib.datasets.pictures import RecordSet
from paperlib.datasets.records import ImageSet

TEST, FIT = "test", "fit"
SCALE = (0.0, 100.0)


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
        """The density as a data set would publish it, of the fixations and in 8 bits: (h, w) uint8, zero in places."""
        one = slice(self.index, self.index + 1)
        return replace(self.world, density=self.world.density[one], fixations=self.world.fixations[one]).published_density()[
            0
        ]

    def load_fixations(self) -> NDArray[np.int64]:
        """(k, 2) int64 as (row, column), repeats kept."""
        return self.world.fixations[self.index].astype(np.int64)


@dataclass(frozen=True)
class WorldPictures(RecordSet[WorldRecord]):
    """Pictures of one micro-world in their order."""

    titles: ClassVar[dict[str, str]] = {"world": "micro-world", "world_shifted": "shifted micro-world"}
    name: str
    records: tuple[WorldRecord, ...]

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
    world = ImageSet.from_arrays(name, dict(arrays))
    scores: Sequence[float] = (SCALE[1] * world.mos[observers].astype(np.float64)).tolist()
    n_test = n_test or len(world)
    records = (WorldRecord(world, index, mos, TEST if index < n_test else FIT) for index, mos in enumerate(scores))
    return WorldPictures(name, tuple(records))
