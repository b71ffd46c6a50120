"""The centre prior: where people look before knowing the image.

"A Gaussian distribution that approximates the saliency averaged over the dataset" (section III-A) is
`gaussian_center_prior`. It sees every image once, so a data set may be streamed. Where pictures differ in size,
`GaussianPrior` holds the same Gaussian in shares of height and width: made of densities of any size, added over parts of
a data set (the prior of a fold is the sum of the other folds' priors) and rendered at any size.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PIXEL_VARIANCE = 1 / 12


@dataclass(frozen=True)
class GaussianPrior:
    """Raw moments of density maps of unit mass, in shares of height and width; they add up over images.

    `GaussianPrior()` is the empty sum, so that `sum(parts, GaussianPrior())` joins any parts.

    Attributes:
        mass: number of images.
        y, x: sums of the images' mean positions, from 0 (top, left) to 1.
        yy, xy, xx: sums of the images' second moments about 0.
    """

    mass: float = 0.0
    y: float = 0.0
    x: float = 0.0
    yy: float = 0.0
    xy: float = 0.0
    xx: float = 0.0

    @classmethod
    def of(cls, density: ArrayLike, index: int = 0) -> "GaussianPrior":
        """The moments of one density map (H, W), >= 0, not all zero; errors tell its index.

        Raises:
            ValueError: another shape, negative, all-zero or non-finite values.
        """
        array = np.asarray(density, np.float64)
        if array.ndim != 2 or array.size == 0:
            raise ValueError(f"density {index}: expected shape (H, W), got {array.shape}")
        total = float(array.sum())
        if not (np.isfinite(total) and array.min() >= 0 and total > 0):
            raise ValueError(f"density {index}: expected finite values >= 0 with some mass, got a sum of {total:g}")
        height, width = array.shape
        y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
        rows, columns = array.sum(axis=1), array.sum(axis=0)
        spread = total * _PIXEL_VARIANCE  # mass is spread over the area of each pixel
        sums = (rows @ y, columns @ x, rows @ y**2 + spread / height**2, y @ (array @ x), columns @ x**2 + spread / width**2)
        return cls(1.0, *(float(value / total) for value in sums))

    def __add__(self, other: "GaussianPrior") -> "GaussianPrior":
        """The moments of both sets of images together."""
        return GaussianPrior(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def render(self, height: int, width: int) -> NDArray[np.float32]:
        """The Gaussian on a grid of pixels: (height, width), maximum 1.

        Raises:
            ValueError: a size below 1, or a prior of no image.
        """
        if height < 1 or width < 1:
            raise ValueError(f"expected a height and a width of at least 1, got {height} and {width}")
        if not self.mass > 0:
            raise ValueError("expected a prior made of at least one density map, got none")
        y_mean, x_mean = self.y / self.mass, self.x / self.mass
        y_variance, x_variance = self.yy / self.mass - y_mean**2, self.xx / self.mass - x_mean**2
        covariance = self.xy / self.mass - x_mean * y_mean
        y = ((np.arange(height) + 0.5) / height - y_mean)[:, None]
        x = ((np.arange(width) + 0.5) / width - x_mean)[None]
        determinant = x_variance * y_variance - covariance**2
        exponent = (-0.5 * x_variance / determinant) * y**2 + (-0.5 * y_variance / determinant) * x**2
        exponent += (covariance / determinant * y) * x
        exponent -= exponent.max()  # a narrow Gaussian on a coarse grid would underflow everywhere
        return np.exp(exponent, out=exponent).astype(np.float32)


def gaussian_center_prior(densities: Iterable[ArrayLike]) -> NDArray[np.float32]:
    """Anisotropic Gaussian with the mean and the covariance of the mean density, in pixels.

    Each map is divided by its sum first, so that every image counts the same.

    Args:
        densities: (N, H, W), or any iterable of (H, W) maps (read once); >= 0, none all zero.

    Returns:
        (H, W), scaled to a maximum of 1.

    Raises:
        ValueError: no map, shapes that differ, negative, all-zero or non-finite maps.
    """
    whole, shape = GaussianPrior(), None
    for index, density in enumerate(densities):
        whole += GaussianPrior.of(density, index)
        size = np.shape(density)
        if shape is not None and size != shape:
            raise ValueError(f"density {index}: expected shape {shape} as the first, got {size}")
        shape = size
    if shape is None:
        raise ValueError("expected at least one density map, got none")
    return whole.render(*shape)
