"""Map transform of reference [37]: one monotone brightness curve plus a weighted centre prior per model.

T(S) = curve[bin(S)] + beta * centre prior, clipped to [0, 1], with curve and beta fitted by least squares to the
density maps of a whole data set at once: sum (density - curve[bin(S)] - beta prior)^2 is smallest, the curve never
falls. The paper applies it before every metric of Table I, fitted on the maps that it is scored with.

**A warning that belongs to the method**: with a flat curve the result is the centre prior itself, so in squared error
any map, white noise too, ends at least as good as the centre prior. Always show noise and shuffled maps beside it.

The fit is a convex quadratic programme in 257 unknowns. For a fixed beta the best curve is a weighted isotonic
regression, clipped to the bounds; the error left over is convex in beta and its slope is known, so one root search ends
it. The data enter through sums per level alone (`TransformStatistics`): memory and the search do not grow with the
number of images, pictures may differ in size, and each image is read once for any number of held-out fits.

**8-bit maps** (uint8) are taken as the 256 levels that they are, without another scaling by their own extremes. What
the fit sees of any other map is `to_levels` of it, so storing that in 8 bits loses nothing for the transform.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

PriorOfSize = Callable[[int, int], ArrayLike]
"""(height, width) -> (height, width) centre prior, as `GaussianPrior.render` of paperlib.maps.center_prior."""

_LEVELS = 256
_LOW, _HIGH = -0.5, 1.0  # of the curve, as in the Python version of the public code (ss_robust_metric2); beta is free
_ONE = np.ones(1)


def normalise(maps: ArrayLike) -> NDArray[np.float32]:
    """Each map scaled to [0, 1] by its own minimum and maximum; a constant map becomes zeros.

    Args:
        maps: (H, W) or (N, H, W), finite.

    Returns:
        The same shape.

    Raises:
        ValueError: other shapes, NaN or infinite values.
    """
    array = _real_maps(maps)
    return _scale(array, (-2, -1), np.empty(array.shape, _working_type(array))).astype(np.float32, copy=False)


def to_levels(maps: ArrayLike) -> NDArray[np.uint8]:
    """What the transform sees of maps, in 8 bits: `rint(255 normalise(maps))`; uint8 maps are returned as they are.

    Fitting and transforming these gives the same as fitting and transforming the maps. Args, Raises: as `normalise`.
    """
    array = _real_maps(maps)
    if array.dtype == np.uint8:
        return array
    levels = normalise(array)
    levels *= np.float32(_LEVELS - 1)
    return np.rint(levels, out=levels).astype(np.uint8)


@dataclass(frozen=True)
class MapTransform:
    """A fitted transform of one model's maps.

    Attributes:
        curve: (256,) brightness curve, never falling.
        beta: weight of the centre prior.
        center_prior: (H, W) prior of the fit, or a function (height, width) -> (height, width) where sizes differ.
    """

    curve: NDArray[np.float64]
    beta: float
    center_prior: NDArray[np.float32] | PriorOfSize

    @classmethod
    def fit(cls, maps: ArrayLike, densities: ArrayLike, center_prior: ArrayLike) -> "MapTransform":
        """Fit one transform to N maps and their density maps.

        Args:
            maps: (N, H, W), raw maps of one model, `normalise` is applied here; or uint8 levels, taken as they are.
            densities: (N, H, W), >= 0, none all zero; each is divided by its maximum here.
            center_prior: (H, W), finite, not all zero, on the densities' scale (maximum 1).

        Raises:
            ValueError: shapes that differ, no map, or as `TransformStatistics.add`.
        """
        images, truths, prior = np.asarray(maps), np.asarray(densities), np.asarray(center_prior, np.float32)
        if images.ndim != 3 or not images.shape == truths.shape == (len(images), *prior.shape):
            raise ValueError(
                f"expected maps and densities of one shape (N, H, W) with the prior's size {prior.shape}, "
                f"got {images.shape} and {truths.shape}"
            )
        statistics = TransformStatistics()
        for image, truth in zip(images, truths, strict=True):
            statistics.add(image, truth, prior)
        return cls(*statistics.solve(), prior)

    def transform(self, maps: ArrayLike) -> NDArray[np.float32]:
        """Apply the fitted transform to raw maps, which are normalised first, or to uint8 levels.

        Args:
            maps: (N, H, W) or (H, W), of the prior's size.

        Returns:
            The same shape, in [0, 1].

        Raises:
            ValueError: another size, or as `normalise`.
        """
        array = _real_maps(maps)
        size = array.shape[-2:]
        prior = np.asarray(self.center_prior(*size) if callable(self.center_prior) else self.center_prior, np.float32)
        if prior.shape != size:
            raise ValueError(f"maps: expected the prior's size {prior.shape}, got {size}")
        curve = self.curve.astype(np.float32)
        offset = (np.float32(self.beta) * prior).reshape(-1)
        scratch = _scratch(offset.size)
        result = np.empty((array.size // offset.size, offset.size), np.float32)
        for image, values in zip(array.reshape(result.shape), result, strict=True):
            np.take(curve, scratch.levels_of(image), out=values, mode="clip")
            values += offset
            np.clip(values, 0, 1, out=values)
        return result.reshape(array.shape)


class TransformStatistics:
    """Sums over images that determine a fit.

    Attributes:
        images: number of images in the sums.
    """

    def __init__(self) -> None:
        self.images = 0
        self._products = np.zeros(2)  # prior^2, prior * density
        self._per_level = np.zeros((3, _LEVELS))  # pixels, prior, density

    def add(self, saliency: ArrayLike, density: ArrayLike, center_prior: ArrayLike) -> None:
        """Count one image; after an error the sums are as before.

        Args:
            saliency: (H, W), a raw map, or uint8 levels.
            density: (H, W), >= 0, not all zero; divided by its maximum here.
            center_prior: (H, W), finite, not all zero.

        Raises:
            ValueError: shapes that differ, maps as `normalise`, a bad density or prior.
        """
        image, truth, prior = _real_maps(saliency), np.asarray(density), np.asarray(center_prior)
        if image.ndim != 2 or not image.shape == truth.shape == prior.shape:
            raise ValueError(
                f"expected a map, a density and a prior of one shape (H, W), got {image.shape}, {truth.shape} and "
                f"{prior.shape}"
            )
        largest = _largest_density(truth, self.images)
        scratch = _scratch(image.size)
        scratch.levels_of(image.reshape(-1))
        np.copyto(scratch.prior, prior.reshape(-1), casting="same_kind")
        prior_square = float(scratch.prior @ scratch.prior)
        if not 0 < prior_square < np.inf:
            raise ValueError("center_prior: expected a finite map (H, W) that is not all zero")
        np.copyto(scratch.density, truth.reshape(-1))
        self.images += 1
        self._products += prior_square, float(scratch.prior @ scratch.density) / largest
        pixels, priors, densities = scratch.sums_per_level()
        self._per_level += pixels, priors, densities / largest

    def solve(self) -> tuple[NDArray[np.float64], float]:
        """The curve (256,) and beta of least squared error; levels that no pixel has lie between their neighbours.

        Raises:
            ValueError: no image.
        """
        if self.images == 0:
            raise ValueError("expected at least one map to fit, got none")
        used = self._per_level[0] > 0
        pixels, prior, density = self._per_level[:, used]
        prior_square, prior_density = self._products.tolist()

        def best_curve(beta: float) -> tuple[NDArray[np.float64], float]:
            """The curve for one beta, and how its sum with the prior changes with beta while its steps stay."""
            curve, starts = _isotonic((density - beta * prior) / pixels, pixels)
            steps = curve[starts]
            inside = (steps > _LOW) & (steps < _HIGH)
            prior_of_steps = np.add.reduceat(prior, starts)[inside]
            change = -float((prior_of_steps**2 / np.add.reduceat(pixels, starts)[inside]).sum())
            return np.clip(curve, _LOW, _HIGH), change

        def slope(beta: float) -> tuple[float, float]:
            """Half the derivative of the squared error by beta, linear between kinks, and its own derivative."""
            curve, change = best_curve(beta)
            return beta * prior_square + float(curve @ prior) - prior_density, prior_square + change

        # the curve is bounded, and so is the beta at which the slope can vanish
        reach = max(abs(_LOW), abs(_HIGH)) * float(np.abs(prior).sum())
        beta = _root_of_rising(slope, (prior_density - reach) / prior_square, (prior_density + reach) / prior_square)
        levels = np.arange(_LEVELS)
        return np.interp(levels, levels[used], best_curve(beta)[0]), beta


class _Scratch:
    """Buffers for pictures of one number of pixels, reused from image to image.

    Sums per level are products of a sparse one-column matrix (row: level, value: weight) with 1: one pass over the
    pixels, twice as fast as `bincount`.
    """

    def __init__(self, pixels: int):
        from scipy.sparse import csc_array

        self.pixels = pixels
        self.floats, self.levels = np.empty(pixels, np.float32), np.zeros(pixels, np.int32)
        self.prior, self.density = np.empty(pixels), np.empty(pixels)
        column = np.array([0, pixels], np.int32)
        self.columns = [
            csc_array((weights, self.levels, column), shape=(_LEVELS, 1), copy=False)
            for weights in (np.ones(pixels), self.prior, self.density)
        ]

    def levels_of(self, image: NDArray) -> NDArray[np.int32]:
        """Level of each pixel of a flat map; overwrites `levels`, `floats` and `density`."""
        if image.dtype == np.uint8:
            np.copyto(self.levels, image)
            return self.levels
        buffer = self.floats if _working_type(image) == np.float32 else self.density
        np.copyto(self.floats, _scale(image, None, buffer), casting="same_kind")
        self.floats *= np.float32(_LEVELS - 1)
        np.copyto(self.levels, np.rint(self.floats, out=self.floats), casting="unsafe")
        return self.levels

    def sums_per_level(self) -> list[NDArray[np.float64]]:
        """Number of pixels, prior and density summed per level: three of (256,)."""
        return [column @ _ONE for column in self.columns]


_of_this_thread = threading.local()


def _scratch(pixels: int) -> _Scratch:
    """This thread's buffers: those of the last size are kept."""
    kept = getattr(_of_this_thread, "scratch", None)
    if kept is None or kept.pixels != pixels:
        kept = _of_this_thread.scratch = _Scratch(pixels)
    return kept


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray]:
    """The never falling values nearest by weighted squares, and where each of their steps starts."""
    from scipy.optimize import isotonic_regression

    result = isotonic_regression(values, weights=weights)
    return result.x, result.blocks[:-1]


def _root_of_rising(function: Callable[[float], tuple[float, float]], low: float, high: float) -> float:
    """Where a continuous, never falling function is 0 in [low, high]; the nearer end where it has one sign.

    Newton's steps, exact on a linear piece; halving wherever a step leaves the bracket or does not shrink by half.
    `function` gives value and derivative.
    """
    if function(low)[0] >= 0:
        return low
    if function(high)[0] <= 0:
        return high
    point, last_step, tolerance = (low + high) / 2, high - low, 1e-15 * (high - low)
    while True:
        value, derivative = function(point)
        if value == 0:
            return point
        low, high = (point, high) if value < 0 else (low, point)
        target = point - value / derivative if derivative > 0 else np.inf
        if not (low < target < high and abs(target - point) <= last_step / 2):
            target = (low + high) / 2
        step = abs(target - point)
        if step <= tolerance:
            return target
        point, last_step = target, step


def _scale(maps: NDArray, axes: tuple[int, int] | None, out: NDArray) -> NDArray:
    """Maps scaled to [0, 1] by their extremes over `axes` (None: all), into `out`."""
    low, high = maps.min(axis=axes, keepdims=True), maps.max(axis=axes, keepdims=True)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError("maps: expected finite values, got NaN or infinity; clean the maps first")
    low, high = low.astype(out.dtype), high.astype(out.dtype)
    half_span = high / 2 - low / 2  # halves, because the span of huge values overflows
    np.divide(maps, out.dtype.type(2), out=out, casting="same_kind")
    out -= low / 2
    out /= np.where(half_span > 0, half_span, out.dtype.type(1))
    return out


def _working_type(maps: NDArray) -> type[np.floating]:
    return np.float32 if maps.dtype == np.float32 else np.float64


def _real_maps(maps: ArrayLike) -> NDArray:
    array = np.asarray(maps)
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "fiub":
        raise ValueError(f"maps: expected real numbers of shape (N, H, W) or (H, W), got {array.dtype} {array.shape}")
    return array


def _largest_density(density: NDArray, index: int) -> float:
    smallest, largest = float(density.min()), float(density.max())
    if not (smallest >= 0 and 0 < largest < np.inf):
        raise ValueError(f"density {index}: expected finite values >= 0, not all zero, got {smallest:g} to {largest:g}")
    return largest
