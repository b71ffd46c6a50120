"""Map transform of reference [37]: one monotone brightness curve plus a weighted centre prior per model.

T(S) = curve[bin(S)] + beta * centre prior, clipped to [0, 1], with curve and beta fitted by least squares to the
density maps of a whole data set at once: sum (density - curve[bin(S)] - beta prior)^2 is smallest, the curve never
falls. The paper applies it before every metric of Table I, fitted on the maps that it is scored with.

**A warning that belongs to the method**: with a flat curve the result is the centre prior itself, so in squared error
any map, white noise too, ends at least as good as the centre prior. Always show noise and shuffled maps beside it.

The fit is a convex quadratic programme in 257 unknowns. For a fixed beta the best curve is a weighted isotonic
regression, clipped to the bounds; the error left over is convex in beta and its slope is known, so one root search ends
it. The data enter through sums per bin alone: memory and the search do not grow with the number of images.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bounds = Literal["python", "matlab"]

_CURVE_BOUNDS: dict[str, tuple[float, float]] = {"python": (-0.5, 1.0), "matlab": (0.0, 1.0)}
_BETA_BOUNDS: dict[str, tuple[float, float]] = {"python": (-np.inf, np.inf), "matlab": (0.0, 1.0)}


def normalise(maps: ArrayLike) -> NDArray[np.float32]:
    """Each map scaled to [0, 1] by its own minimum and maximum; a constant map becomes zeros.

    Args:
        maps: (H, W) or (N, H, W), finite.

    Returns:
        The same shape.

    Raises:
        ValueError: other shapes, NaN or infinite values.
    """
    array = np.asarray(maps)
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "fiub":
        raise ValueError(f"maps: expected real numbers of shape (N, H, W) or (H, W), got {array.dtype} {array.shape}")
    if array.dtype != np.float32:
        array = array.astype(np.float64)
    low, high = array.min(axis=(-2, -1), keepdims=True), array.max(axis=(-2, -1), keepdims=True)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError("maps: expected finite values, got NaN or infinity; clean the maps first")
    half_span = high / 2 - low / 2  # halves, because the span of huge values overflows
    result = (array / 2 - low / 2) / np.where(half_span > 0, half_span, 1)
    return result.astype(np.float32, copy=False)


@dataclass(frozen=True)
class MapTransform:
    """A fitted transform of one model's maps.

    Attributes:
        curve: (bins,) brightness curve, never falling.
        beta: weight of the centre prior.
        center_prior: (H, W) prior of the fit.
    """

    curve: NDArray[np.float64]
    beta: float
    center_prior: NDArray[np.float32]

    @classmethod
    def fit(
        cls,
        maps: ArrayLike,
        densities: ArrayLike,
        center_prior: ArrayLike,
        bins: int = 256,
        bounds: Bounds = "python",
    ) -> "MapTransform":
        """Fit one transform to N maps and their density maps.

        Args:
            maps: (N, H, W), raw maps of one model; `normalise` is applied here.
            densities: (N, H, W), >= 0, none all zero; each is divided by its maximum here.
            center_prior: (H, W), finite, not all zero, on the densities' scale (maximum 1).
            bins: number of grey levels that the curve distinguishes.
            bounds: of the two public versions of the method (ss_robust_metric2): "python" keeps the curve in [-0.5, 1]
                and leaves beta free, "matlab" keeps curve and beta in [0, 1].

        Raises:
            ValueError: shapes that differ, maps as `normalise`, densities negative, all zero or not finite, bins < 2,
                unknown bounds.
        """
        return cls.fit_chunks([(maps, densities)], center_prior, bins, bounds)

    @classmethod
    def fit_chunks(
        cls,
        chunks: Iterable[tuple[ArrayLike, ArrayLike]],
        center_prior: ArrayLike,
        bins: int = 256,
        bounds: Bounds = "python",
    ) -> "MapTransform":
        """As `fit`, from an iterable of (maps, densities), each (H, W) or (n, H, W), read once and not kept."""
        if bounds not in get_args(Bounds):
            raise ValueError(f"bounds: expected one of {', '.join(get_args(Bounds))}, got {bounds!r}")
        if bins < 2:
            raise ValueError(f"bins: expected at least 2, got {bins}")
        prior = _checked_prior(center_prior)
        statistics = _Statistics(prior, bins)
        for maps, densities in chunks:
            statistics.add(maps, densities)
        if statistics.images == 0:
            raise ValueError("expected at least one map to fit, got none")
        curve, beta = statistics.solve(bounds)
        return cls(curve, beta, prior)

    def transform(self, maps: ArrayLike) -> NDArray[np.float32]:
        """Apply the fitted transform to raw maps, which are normalised first.

        Args:
            maps: (N, H, W) or (H, W) of the prior's size.

        Returns:
            The same shape, in [0, 1].

        Raises:
            ValueError: another size, or as `normalise`.
        """
        scaled = normalise(maps)
        if scaled.shape[-2:] != self.center_prior.shape:
            raise ValueError(f"maps: expected the prior's size {self.center_prior.shape}, got {scaled.shape[-2:]}")
        curve = self.curve.astype(np.float32)
        result = curve[_bins(scaled, len(curve))] + np.float32(self.beta) * self.center_prior
        return np.clip(result, 0, 1, out=result)


class _Statistics:
    """Sums per bin that determine the fit: pixels, prior, density; and the sums of prior^2 and prior * density."""

    def __init__(self, center_prior: NDArray[np.float32], bins: int):
        self.center_prior = center_prior
        self.flat_prior = center_prior.reshape(-1).astype(np.float64)
        self.images = 0
        self.pixels, self.prior, self.density = np.zeros(bins), np.zeros(bins), np.zeros(bins)
        self.prior_density = 0.0

    def add(self, maps: ArrayLike, densities: ArrayLike) -> None:
        images, truths = np.asarray(maps), np.asarray(densities)
        if images.shape != truths.shape or images.shape[-2:] != self.center_prior.shape or images.ndim not in (2, 3):
            raise ValueError(
                f"expected maps and densities of one shape (N, H, W) with the prior's size {self.center_prior.shape}, "
                f"got {images.shape} and {truths.shape}"
            )
        size = len(self.pixels)
        for image, truth in zip(
            images.reshape(-1, *images.shape[-2:]), truths.reshape(-1, *truths.shape[-2:]), strict=True
        ):
            levels = _bins(normalise(image), size).reshape(-1)
            target = _scaled_density(truth, self.images).reshape(-1)
            self.pixels += np.bincount(levels, minlength=size)
            self.prior += np.bincount(levels, self.flat_prior, minlength=size)
            self.density += np.bincount(levels, target, minlength=size)
            self.prior_density += float(self.flat_prior @ target)
            self.images += 1

    def solve(self, bounds: Bounds) -> tuple[NDArray[np.float64], float]:
        """The curve and beta of least squared error."""
        used = self.pixels > 0
        pixels, prior, density = self.pixels[used], self.prior[used], self.density[used]
        prior_square = self.images * float(self.flat_prior @ self.flat_prior)
        low, high = _CURVE_BOUNDS[bounds]

        def best_curve(beta: float) -> NDArray[np.float64]:
            return np.clip(_isotonic((density - beta * prior) / pixels, pixels), low, high)

        def slope(beta: float) -> float:
            return beta * prior_square + float(best_curve(beta) @ prior) - self.prior_density

        # the curve is bounded, and so is the beta at which the slope can vanish
        reach = max(abs(low), abs(high)) * float(np.abs(prior).sum())
        ends = np.array([self.prior_density - reach, self.prior_density + reach]) / prior_square
        beta = _root_of_rising(slope, *np.clip(ends, *_BETA_BOUNDS[bounds]).tolist())
        levels = np.arange(len(self.pixels))
        return np.interp(levels, levels[used], best_curve(beta)), beta


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.optimize import isotonic_regression

    return isotonic_regression(values, weights=weights).x


def _root_of_rising(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a continuous, never falling function is 0 in [low, high]; the nearer end where it has one sign."""
    from scipy.optimize import brentq

    at_low, at_high = function(low), function(high)
    if at_low >= 0:
        return low
    if at_high <= 0:
        return high
    return float(brentq(function, low, high, xtol=1e-12, rtol=1e-12))


def _bins(maps: NDArray[np.float32], bins: int) -> NDArray[np.intp]:
    return np.rint(maps * np.float32(bins - 1)).astype(np.intp)


def _checked_prior(center_prior: ArrayLike) -> NDArray[np.float32]:
    prior = np.asarray(center_prior, np.float32)
    if prior.ndim != 2 or not np.isfinite(prior).all() or not prior.any():
        raise ValueError(f"center_prior: expected a finite map (H, W) that is not all zero, got shape {prior.shape}")
    return prior


def _scaled_density(density: NDArray, index: int) -> NDArray[np.float64]:
    array = density.astype(np.float64)
    largest = array.max()
    if not (array.min() >= 0 and 0 < largest < np.inf):
        raise ValueError(
            f"density {index}: expected finite values >= 0, not all zero, got {array.min():g} to {largest:g}"
        )
    return array / largest
