"""The centre prior: where people look before knowing the image.

"A Gaussian distribution that approximates the saliency averaged over the dataset" (section III-A) is
`gaussian_center_prior`; the mean density itself, which the public benchmark of the paper's laboratory uses, is
`mean_density`. Both see every image once, so a data set may be streamed. With `leave_one_out` no image contributes to
the prior that it is judged with.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

_PIXEL_VARIANCE = 1 / 12


def mean_density(densities: Iterable[ArrayLike], leave_one_out: bool = False) -> NDArray[np.float32]:
    """Mean of the density maps, each divided by its sum first, so that every image counts the same.

    Args:
        densities: (N, H, W), or any iterable of (H, W) maps (read once); >= 0, none all zero.
        leave_one_out: give one prior per image, made of the other images; needs an array and N >= 2.

    Returns:
        (H, W), or (N, H, W) with `leave_one_out`; scaled to a maximum of 1.

    Raises:
        ValueError: no map, shapes that differ, negative, all-zero or non-finite maps.
    """
    if not leave_one_out:
        return _scaled_to_one(_sum_of_distributions(densities)[0])
    stack = _stack_for_leaving_out(densities)
    total = _sum_of_distributions(stack)[0]
    others = np.empty(stack.shape, np.float32)
    for index, density in enumerate(stack):
        others[index] = _scaled_to_one(np.maximum(total - _distribution(density, index), 0))
    return others


def gaussian_center_prior(densities: Iterable[ArrayLike], leave_one_out: bool = False) -> NDArray[np.float32]:
    """Anisotropic Gaussian with the mean and the covariance of the mean density, in pixels.

    Args:
        densities: (N, H, W), or any iterable of (H, W) maps (read once); >= 0, none all zero.
        leave_one_out: give one prior per image, made of the other images; needs an array and N >= 2.

    Returns:
        (H, W), or (N, H, W) with `leave_one_out`; scaled to a maximum of 1.

    Raises:
        ValueError: no map, shapes that differ, negative, all-zero or non-finite maps.
    """
    if not leave_one_out:
        total, _ = _sum_of_distributions(densities)
        return _gaussian(_moments(total), total.shape)
    stack = _stack_for_leaving_out(densities)
    moments = np.stack([_moments(_distribution(density, index)) for index, density in enumerate(stack)])
    others = moments.sum(axis=0) - moments
    return np.stack([_gaussian(moment, stack.shape[1:]) for moment in others])


def _sum_of_distributions(densities: Iterable[ArrayLike]) -> tuple[NDArray[np.float64], int]:
    total, count = None, 0
    for density in densities:
        distribution = _distribution(density, count)
        if total is None:
            total = distribution
        elif distribution.shape != total.shape:
            raise ValueError(f"density {count}: expected shape {total.shape} as the first, got {distribution.shape}")
        else:
            total += distribution
        count += 1
    if total is None:
        raise ValueError("expected at least one density map, got none")
    return total, count


def _distribution(density: ArrayLike, index: int) -> NDArray[np.float64]:
    array = np.asarray(density, np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"density {index}: expected shape (H, W), got {array.shape}")
    total = array.sum()
    if not (np.isfinite(total) and array.min() >= 0 and total > 0):
        raise ValueError(f"density {index}: expected finite values >= 0 with some mass, got a sum of {total:g}")
    return array / total


def _stack_for_leaving_out(densities: Iterable[ArrayLike]) -> NDArray:
    stack = np.asarray(densities)
    if stack.ndim != 3 or len(stack) < 2:
        raise ValueError(f"leave_one_out: expected an array (N, H, W) with N >= 2, got shape {stack.shape}")
    return stack


def _moments(distribution: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw moments 1, y, x, yy, xy, xx; they add up over images."""
    y, x = np.arange(distribution.shape[0]), np.arange(distribution.shape[1])
    rows, columns = distribution.sum(axis=1), distribution.sum(axis=0)
    return np.array([rows.sum(), rows @ y, columns @ x, rows @ y**2, y @ distribution @ x, columns @ x**2])


def _gaussian(moments: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    mass, y_sum, x_sum, yy, xy, xx = moments
    y_mean, x_mean = y_sum / mass, x_sum / mass
    y_variance = yy / mass - y_mean**2 + _PIXEL_VARIANCE  # mass is spread over the area of each pixel
    x_variance = xx / mass - x_mean**2 + _PIXEL_VARIANCE
    covariance = xy / mass - x_mean * y_mean
    y, x = np.arange(shape[0])[:, None] - y_mean, np.arange(shape[1])[None] - x_mean
    distance = x_variance * y**2 - 2 * covariance * x * y + y_variance * x**2
    determinant = x_variance * y_variance - covariance**2
    return _scaled_to_one(np.exp(-0.5 * distance / determinant))


def _scaled_to_one(image: NDArray[np.float64]) -> NDArray[np.float32]:
    return (image / image.max()).astype(np.float32)
