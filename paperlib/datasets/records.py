"""The record that every data set gives: images with what people saw and said."""

from dataclasses import dataclass

import cv2
import numpy as np

SALICON_SIGMA = 19 / 480
"""Standard deviation of the blur that makes density maps of fixations, as a share of the height (SALICON API)."""


@dataclass(frozen=True)
class ImageSet:
    """`n` images of one size with attention and quality.

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

    def head(self, n: int) -> "ImageSet":
        """The first `n` records."""
        return ImageSet(
            self.name,
            self.images[:n],
            self.subject[:n],
            self.density[:n],
            self.fixations[:n],
            {who: scores[:n] for who, scores in self.mos.items()},
            self.levels[:n],
            self.family[:n],
            self.category[:n],
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Flat arrays for storage; `from_arrays` is the inverse. Densities are kept in half precision."""
        return {
            "images": self.images,
            "subject": self.subject,
            "density": (self.density * self._scale).astype(np.float16),
            "fixations": self.fixations,
            "levels": self.levels,
            "family": self.family,
            "category": self.category,
            **{f"mos.{who}": scores for who, scores in self.mos.items()},
        }

    @property
    def _scale(self) -> float:
        return float(self.images.shape[1] * self.images.shape[2])

    @classmethod
    def from_arrays(cls, name: str, arrays: dict[str, np.ndarray]) -> "ImageSet":
        """Rebuild a set from `to_arrays`; every density sums to 1 again."""
        density = arrays["density"].astype(np.float32)
        density /= density.sum((1, 2), keepdims=True)
        mos = {key.removeprefix("mos."): value for key, value in arrays.items() if key.startswith("mos.")}
        return cls(
            name,
            arrays["images"],
            arrays["subject"],
            density,
            arrays["fixations"],
            mos,
            arrays["levels"],
            arrays["family"],
            arrays["category"],
        )

    def fixation_maps(self) -> np.ndarray:
        """(n, h, w) uint16, number of fixations per pixel."""
        n, height, width = self.density.shape
        counts = np.zeros((n, height, width), np.uint16)
        rows, columns = self.fixations[..., 0], self.fixations[..., 1]
        np.add.at(counts, (np.arange(n)[:, None], rows, columns), 1)
        return counts

    def published_density(self, sigma: float = SALICON_SIGMA) -> np.ndarray:
        """Density maps as a data set would publish them: the fixations blurred, stored in 8 bits; (n, h, w) uint8."""
        maps = self.fixation_maps().astype(np.float32)
        blurred = (cv2.GaussianBlur(one, (0, 0), sigma * one.shape[0]) for one in maps)
        return np.stack([np.rint(255 * one / one.max()).astype(np.uint8) for one in blurred])
