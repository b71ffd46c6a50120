"""Map transform of reference [37]: one monotone brightness curve plus a weighted centre prior per model.

T(S) = curve[bin(S)] + beta * centre prior, clipped to [0, 1], with curve and beta fitted by least squares to the
density maps of a whole data set at once: sum (density - curve[bin(S)] - beta prior)^2 is smallest, the curve never
falls. The paper applies it before every metric of Table I, fitted on the maps that it is scored with.

**A warning that belongs to the method**: with a flat curve the result is the centre prior itself, so in squared error
any map, white noise too, ends at least as good as the centre prior. Always show noise and shuffled maps beside it.

The fit is a convex quadratic programme in 257 unknowns. For a fixed beta the best curve is a weighted isotonic
regression, clipped to the bounds; the error left over is convex in beta and its slope is known, so one root search ends
it. The data enter through sums per bin alone (`TransformStatistics`): memory and the search do not grow with the
number of images, pictures may differ in size, and the sums of parts of a data set add up, so that each image is read
once for any number of held-out fits.

**8-bit maps** (uint8) are taken as the 256 levels that they are, without another scaling by their own extremes. What
the fit sees of any other map is `to_levels` of it, so storing that in 8 bits loses nothing for the transform.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

Bounds = Literal["python", "matlab"]
PriorOfSize = Callable[[int, int], ArrayLike]
"""(height, width) -> (height, width) centre prior, as `GaussianPrior.render` of paperlib.maps.center_prior."""

_CURVE_BOUNDS: dict[str, tuple[float, float]] = {"python": (-0.5, 1.0), "matlab": (0.0, 1.0)}
_BETA_BOUNDS: dict[str, tuple[float, float]] = {"python": (-np.inf, np.inf), "matlab": (0.0, 1.0)}
_LEVELS = 256
_SIZES_KEPT = 8
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

    Args:
        maps: (H, W) or (N, H, W), finite.

    Returns:
        The same shape. Fitting and transforming these gives the same as fitting and transforming the maps.

    Raises:
        ValueError: as `normalise`.
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
        curve: (bins,) brightness curve, never falling.
        beta: weight of the centre prior.
        center_prior: (H, W) prior of the fit, or a function (height, width) -> (height, width) where sizes differ.
    """

    curve: NDArray[np.float64]
    beta: float
    center_prior: NDArray[np.float32] | PriorOfSize
    _priors: "_Priors" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_priors", _Priors(self.center_prior))

    @classmethod
    def fit(
        cls,
        maps: ArrayLike,
        densities: ArrayLike,
        center_prior: ArrayLike | PriorOfSize,
        bins: int = _LEVELS,
        bounds: Bounds = "python",
    ) -> "MapTransform":
        """Fit one transform to N maps and their density maps.

        Args:
            maps: (N, H, W), raw maps of one model, `normalise` is applied here; or uint8 levels, taken as they are.
            densities: (N, H, W), >= 0, none all zero; each is divided by its maximum here.
            center_prior: (H, W), finite, not all zero, on the densities' scale (maximum 1); or a function
                (height, width) -> such a map.
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
        center_prior: ArrayLike | PriorOfSize,
        bins: int = _LEVELS,
        bounds: Bounds = "python",
    ) -> "MapTransform":
        """As `fit`, from an iterable of (maps, densities), each (H, W) or (n, H, W), read once and not kept.

        With a function as `center_prior` the chunks may differ in size.
        """
        _check_bounds(bounds)
        statistics = TransformStatistics(bins)
        prior = center_prior if callable(center_prior) else _checked_prior(center_prior)
        priors = _Priors(prior)
        for maps, densities in chunks:
            images, truths = np.asarray(maps), np.asarray(densities)
            if images.shape != truths.shape or images.ndim not in (2, 3) or not priors.fit(images.shape[-2:]):
                raise ValueError(
                    f"expected maps and densities of one shape (N, H, W) with {priors.wanted}, "
                    f"got {images.shape} and {truths.shape}"
                )
            rendered = priors.at(*images.shape[-2:])
            for image, truth in zip(
                images.reshape(-1, *images.shape[-2:]), truths.reshape(-1, *truths.shape[-2:]), strict=True
            ):
                statistics.add(image, truth, rendered)
        curve, beta = statistics.solve(bounds)
        return cls(curve, beta, prior)

    def transform(self, maps: ArrayLike) -> NDArray[np.float32]:
        """Apply the fitted transform to raw maps, which are normalised first, or to uint8 levels.

        Args:
            maps: (N, H, W) or (H, W), of the prior's size where the prior is an array.

        Returns:
            The same shape, in [0, 1].

        Raises:
            ValueError: another size, or as `normalise`.
        """
        array = _real_maps(maps)
        height, width = array.shape[-2:]
        if not self._priors.fit((height, width)):
            raise ValueError(f"maps: expected {self._priors.wanted}, got {(height, width)}")
        curve = self.curve.astype(np.float32)
        offset = (np.float32(self.beta) * self._priors.at(height, width)).reshape(-1)
        scratch = _scratch(offset.size, len(curve))
        result = np.empty((array.size // offset.size, offset.size), np.float32)
        for image, values in zip(array.reshape(result.shape), result, strict=True):
            np.take(curve, scratch.levels_of(image), out=values, mode="clip")
            values += offset
            np.clip(values, 0, 1, out=values)
        return result.reshape(array.shape)


class TransformStatistics:
    """Sums over images that determine a fit; those of parts of a data set add up to those of the whole.

    The fit on all folds but k is `sum(parts[:k] + parts[k + 1:], TransformStatistics()).solve()`, with parts that were
    all made with the same prior. `to_array` and `from_array` store the sums as numbers; pickles hold the same.
    """

    def __init__(self, bins: int = _LEVELS):
        """The empty sum, for a curve of `bins` grey levels (at least 2, else ValueError)."""
        if bins < 2:
            raise ValueError(f"bins: expected at least 2, got {bins}")
        self._scalars = np.zeros(3)  # images, prior^2, prior * density
        self._per_bin = np.zeros((3, bins))  # pixels, prior, density

    @property
    def images(self) -> int:
        """Number of images in the sums."""
        return int(self._scalars[0])

    @property
    def bins(self) -> int:
        """Number of grey levels."""
        return self._per_bin.shape[1]

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
        scratch = _scratch(image.size, self.bins)
        scratch.levels_of(image.reshape(-1))
        np.copyto(scratch.prior, prior.reshape(-1), casting="same_kind")
        prior_square = float(scratch.prior @ scratch.prior)
        if not 0 < prior_square < np.inf:
            raise ValueError("center_prior: expected a finite map (H, W) that is not all zero")
        np.copyto(scratch.density, truth.reshape(-1))
        self._scalars += 1, prior_square, float(scratch.prior @ scratch.density) / largest
        pixels, priors, densities = scratch.sums_per_bin()
        self._per_bin += pixels, priors, densities / largest

    def __add__(self, other: "TransformStatistics") -> "TransformStatistics":
        """The sums over both sets of images (ValueError where their numbers of bins differ)."""
        if self.bins != other.bins:
            raise ValueError(f"expected statistics of equal numbers of bins, got {self.bins} and {other.bins}")
        return TransformStatistics.from_array(self.to_array() + other.to_array())

    def to_array(self) -> NDArray[np.float64]:
        """(3 + 3 bins,): images, sum of prior^2, sum of prior * density; pixels, prior and density per bin."""
        return np.r_[self._scalars, self._per_bin.reshape(-1)]

    @classmethod
    def from_array(cls, numbers: ArrayLike) -> "TransformStatistics":
        """The inverse of `to_array` (ValueError for another length)."""
        array = np.asarray(numbers, np.float64)
        if array.ndim != 1 or array.size < 9 or array.size % 3:
            raise ValueError(f"expected 3 + 3 bins numbers as `to_array` gives them, got shape {array.shape}")
        statistics = cls(array.size // 3 - 1)
        statistics._scalars[:] = array[:3]
        statistics._per_bin[:] = array[3:].reshape(3, -1)
        return statistics

    def solve(self, bounds: Bounds = "python") -> tuple[NDArray[np.float64], float]:
        """The curve (bins,) and beta of least squared error; levels that no pixel has lie between their neighbours.

        Raises:
            ValueError: no image, unknown bounds.
        """
        _check_bounds(bounds)
        if self.images == 0:
            raise ValueError("expected at least one map to fit, got none")
        used = self._per_bin[0] > 0
        pixels, prior, density = self._per_bin[:, used]
        _, prior_square, prior_density = self._scalars.tolist()
        low, high = _CURVE_BOUNDS[bounds]

        def best_curve(beta: float) -> tuple[NDArray[np.float64], float]:
            """The curve for one beta, and how its sum with the prior changes with beta while its steps stay."""
            curve, starts = _isotonic((density - beta * prior) / pixels, pixels)
            steps = curve[starts]
            inside = (steps > low) & (steps < high)
            prior_of_steps = np.add.reduceat(prior, starts)[inside]
            change = -float((prior_of_steps**2 / np.add.reduceat(pixels, starts)[inside]).sum())
            return np.clip(curve, low, high), change

        def slope(beta: float) -> tuple[float, float]:
            """Half the derivative of the squared error by beta, linear between kinks, and its own derivative."""
            curve, change = best_curve(beta)
            return beta * prior_square + float(curve @ prior) - prior_density, prior_square + change

        # the curve is bounded, and so is the beta at which the slope can vanish
        reach = max(abs(low), abs(high)) * float(np.abs(prior).sum())
        ends = np.array([prior_density - reach, prior_density + reach]) / prior_square
        beta = _root_of_rising(slope, *np.clip(ends, *_BETA_BOUNDS[bounds]).tolist())
        levels = np.arange(self.bins)
        return np.interp(levels, levels[used], best_curve(beta)[0]), beta

    def __reduce__(self) -> tuple[Callable, tuple[NDArray[np.float64]]]:
        return TransformStatistics.from_array, (self.to_array(),)


class _Priors:
    """A centre prior by size: one array, or a function whose last sizes are kept."""

    def __init__(self, center_prior: NDArray[np.float32] | PriorOfSize):
        self.source = center_prior
        self.rendered: dict[tuple[int, int], NDArray[np.float32]] = {}

    def __getstate__(self) -> dict[str, object]:
        return {"source": self.source, "rendered": {}}

    @property
    def wanted(self) -> str:
        return "any size" if callable(self.source) else f"the prior's size {self.source.shape}"

    def fit(self, size: tuple[int, ...]) -> bool:
        return callable(self.source) or size == self.source.shape

    def at(self, height: int, width: int) -> NDArray[np.float32]:
        if not callable(self.source):
            return self.source
        if (height, width) not in self.rendered:
            prior = _checked_prior(self.source(height, width))
            if prior.shape != (height, width):
                raise ValueError(f"center_prior: expected a map of {(height, width)} for this size, got {prior.shape}")
            if len(self.rendered) == _SIZES_KEPT:
                del self.rendered[next(iter(self.rendered))]
            self.rendered[height, width] = prior
        return self.rendered[height, width]


class _Scratch:
    """Buffers for pictures of one number of pixels, reused from image to image.

    Sums per bin are products of a sparse one-column matrix (row: level, value: weight) with 1: one pass over the
    pixels, twice as fast as `bincount`.
    """

    def __init__(self, pixels: int, bins: int):
        from scipy.sparse import csc_array

        self.size = pixels, bins
        self.floats, self.levels = np.empty(pixels, np.float32), np.zeros(pixels, np.int32)
        self.prior, self.density = np.empty(pixels), np.empty(pixels)
        column = np.array([0, pixels], np.int32)
        self.columns = [
            csc_array((weights, self.levels, column), shape=(bins, 1), copy=False)
            for weights in (np.ones(pixels), self.prior, self.density)
        ]

    def levels_of(self, image: NDArray) -> NDArray[np.int32]:
        """Level of each pixel of a flat map; overwrites `levels`, `floats` and `density`."""
        bins = self.size[1]
        if image.dtype == np.uint8 and bins == _LEVELS:
            np.copyto(self.levels, image)
            return self.levels
        if image.dtype == np.uint8:
            np.divide(image, np.float32(_LEVELS - 1), out=self.floats)
        else:
            buffer = self.floats if _working_type(image) == np.float32 else self.density
            np.copyto(self.floats, _scale(image, None, buffer), casting="same_kind")
        self.floats *= np.float32(bins - 1)
        np.copyto(self.levels, np.rint(self.floats, out=self.floats), casting="unsafe")
        return self.levels

    def sums_per_bin(self) -> list[NDArray[np.float64]]:
        """Number of pixels, prior and density summed per level: three of (bins,)."""
        return [column @ _ONE for column in self.columns]


_of_this_thread = threading.local()


def _scratch(pixels: int, bins: int) -> _Scratch:
    """This thread's buffers: those of the last size are kept."""
    kept = getattr(_of_this_thread, "scratch", None)
    if kept is None or kept.size != (pixels, bins):
        kept = _of_this_thread.scratch = _Scratch(pixels, bins)
    return kept


def _isotonic(values: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray]:
    """The never falling values nearest by weighted squares, and where each of their steps starts."""
    from scipy.optimize import isotonic_regression

    result = isotonic_regression(values, weights=weights)
    return result.x, result.blocks[:-1]


def _root_of_rising(function: Callable[[float], tuple[float, float]], low: float, high: float) -> float:
    """Where a continuous, never falling function is 0 in [low, high]; the nearer end where it has one sign.

    Newton's steps, exact on a linear piece; halving wherever a step leaves the bracket or does not shrink by half.

    Args:
        function: gives value and derivative.
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


def _check_bounds(bounds: str) -> None:
    if bounds not in get_args(Bounds):
        raise ValueError(f"bounds: expected one of {', '.join(get_args(Bounds))}, got {bounds!r}")


def _checked_prior(center_prior: ArrayLike) -> NDArray[np.float32]:
    prior = np.asarray(center_prior, np.float32)
    if prior.ndim != 2 or not np.isfinite(prior).all() or not prior.any():
        raise ValueError(f"center_prior: expected a finite map (H, W) that is not all zero, got shape {prior.shape}")
    return prior


def _largest_density(density: NDArray, index: int) -> float:
    smallest, largest = float(density.min()), float(density.max())
    if not (smallest >= 0 and 0 < largest < np.inf):
        raise ValueError(f"density {index}: expected finite values >= 0, not all zero, got {smallest:g} to {largest:g}")
    return largest
