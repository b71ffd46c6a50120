"""Saliency metrics: NSS, SIM, CC and KLD, each with its conventions named after who uses them.

One function per metric states the equation in float64 for one map. `evaluate` gives the same numbers for many maps,
many times faster: compiled loops read each map a few times and nothing is allocated per map. A map that is unsafe in float32
(nearly constant, huge values, a KLD made of few pixels) is handed to the plain equations.

Definitions: Bylinskii et al., "What do different evaluation metrics tell us about saliency models?", arXiv 1604.03605.
Conventions differ between code bases and move the numbers; they are arguments here, never hidden:

- NSS: `nss` averages over fixations (the field's definition), `nss_positive_density` over all pixels where the density
  map is positive. The second is what the public benchmark code of the paper's laboratory computes when it is given a
  density map, and the one that gives values near the paper's 0.6.
- SIM: see `SIM_CONVENTIONS`. KLD: see `KLD_CONVENTIONS`.

A predicted map (H, W) may be any finite real map for NSS and CC. SIM and KLD read it as a distribution: it must not be
negative (except where the convention shifts it), and a map without mass counts as uniform, as in pysaliency. A density
(H, W) is the ground truth, >= 0 and not all zero, of any scale. Whatever is not so is refused with a ValueError that says
what was expected.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

SimConvention = Literal["unit_sum", "mit", "pysaliency"]
KldConvention = Literal["mit", "pysaliency", "msinet"]

SIM_CONVENTIONS: dict[str, str] = {
    "unit_sum": "both maps divided by their sum (MSU benchmark, the paper's laboratory); negative values are refused",
    "mit": "both maps scaled to [0, 1] by their minimum and maximum first, then divided by their sum (MIT code)",
    "pysaliency": "a negative minimum is subtracted first, then both maps are divided by their sum (pysaliency)",
}


@dataclass(frozen=True)
class _KldConstants:
    """`eps` guards quotient and logarithm, `floor` is added to both raw maps, `shifts` subtracts a negative minimum."""

    eps: float
    floor: float
    shifts: bool


KLD_CONVENTIONS: dict[str, _KldConstants] = {
    "mit": _KldConstants(eps=2.2204e-16, floor=0.0, shifts=False),  # MIT benchmark, MSU benchmark, TranSalNet
    "pysaliency": _KldConstants(eps=0.0, floor=1e-20, shifts=True),  # pysaliency's image_based_kl_divergence
    "msinet": _KldConstants(eps=1e-7, floor=0.0, shifts=False),  # MSI-Net's training loss
}

HALF_QUANTUM = 0.5 / 255
"""Share of a density map's maximum below which its 8-bit version is 0, that is round(255 d / max d) == 0."""

_BLOCK = 38400
_MIN_RELATIVE_VARIANCE = 0.02
_MAX_FAST_KLD = 2.0
_SAFE_SUM = 1e15


# ---- one map, the plain equations -----------------------------------------------------------------------------------
def nss(saliency: ArrayLike, fixation_map: ArrayLike) -> float:
    """Normalised scanpath saliency: mean z-score of the map at the fixations (1604.03605, eq. of NSS).

    The standard deviation is the population's (divisor n), as in pysaliency.

    Args:
        saliency: (H, W), the predicted map.
        fixation_map: (H, W), number of fixations per pixel, >= 0. Counts weigh each fixation (Tuebingen); pass
            `fixation_map > 0` to merge fixations on one pixel (MIT).

    Returns:
        Mean z-score; 0 for a constant map (no pixel stands out, as in pysaliency), NaN where there is no fixation.
    """
    prediction = _finite_map(saliency, "saliency")
    counts = _fixation_counts(fixation_map, prediction.shape)
    total = counts.sum()
    if total == 0:
        return math.nan
    return float((_z_scores(prediction) * counts).sum() / total)


def nss_positive_density(saliency: ArrayLike, density: ArrayLike, threshold: float = HALF_QUANTUM) -> float:
    """Mean z-score of the map over all pixels with a positive density: the convention that gives the paper's ~0.6.

    Public density maps are 8-bit images, so "positive" means that `round(255 d / max d) > 0`. That is the default here
    and changes nothing for a map read from an 8-bit file, while a map kept in floating point (which may have a floor
    and thus no zero at all) is read as its 8-bit version would be.

    Args:
        saliency, density: (H, W), the predicted map and the ground truth.
        threshold: a pixel counts where `density > threshold * max(density)`; 0 means literally "above zero"; up to 0.99.

    Returns:
        Mean z-score; 0 for a constant map and (up to rounding) where every pixel counts.
    """
    _check_threshold(threshold)
    prediction = _finite_map(saliency, "saliency")
    truth = _density_map(density, prediction.shape)
    return float(_z_scores(prediction)[truth > _cut(threshold, truth.max())].mean())


def sim(saliency: ArrayLike, density: ArrayLike, convention: SimConvention = "unit_sum") -> float:
    """Similarity (histogram intersection): sum of min(P, Q) of two maps of unit sum (1604.03605).

    Args:
        saliency, density: (H, W), the predicted map P and the ground truth Q.
        convention: how both maps become distributions, see `SIM_CONVENTIONS`; "unit_sum" refuses negative predictions.

    Returns:
        Value in [0, 1]; 1 for proportional maps.
    """
    _check_convention(convention, SimConvention)
    prediction = _finite_map(saliency, "saliency")
    truth = _density_map(density, prediction.shape)
    if convention == "unit_sum":
        _refuse_negative(prediction.min(), "SIM convention 'unit_sum'")
    shifts = [_sim_shift(convention, image.min()) for image in (prediction, truth)]
    return float(np.minimum(_unit_sum(prediction + shifts[0]), _unit_sum(truth + shifts[1])).sum())


def cc(saliency: ArrayLike, density: ArrayLike) -> float:
    """Linear correlation coefficient of two maps, pixel by pixel (1604.03605).

    Args:
        saliency, density: (H, W), the predicted map and the ground truth.

    Returns:
        Value in [-1, 1]; 0 for a constant prediction (as pysaliency), NaN for a constant density, where the
        correlation is undefined.
    """
    prediction = _finite_map(saliency, "saliency")
    truth = _density_map(density, prediction.shape)
    if truth.min() == truth.max():
        return math.nan
    product = (_z_scores(prediction) * _z_scores(truth)).mean()
    return float(np.clip(product, -1.0, 1.0))


def kld(saliency: ArrayLike, density: ArrayLike, convention: KldConvention = "mit") -> float:
    """Kullback-Leibler divergence of the ground truth Q from the prediction P: sum Q log(eps + Q / (P + eps)).

    A predicted zero where Q > 0 costs log(1 / eps), 36 nats under "mit": blur or floor predictions first.

    Args:
        saliency, density: (H, W), the predicted map P and the ground truth Q.
        convention: the constants, see `KLD_CONVENTIONS`; only "pysaliency" takes negative predictions.

    Returns:
        Divergence in nats, 0 for proportional maps (to within eps).
    """
    _check_convention(convention, KldConvention)
    constants = KLD_CONVENTIONS[convention]
    prediction = _finite_map(saliency, "saliency")
    truth = _density_map(density, prediction.shape)
    if not constants.shifts:
        _refuse_negative(prediction.min(), f"KLD convention '{convention}'")
    p = _unit_sum(prediction + _kld_shift(constants, prediction.min()) + constants.floor)
    q = _unit_sum(truth + constants.floor)
    return float((q * np.log(constants.eps + q / (p + constants.eps))).sum())


# ---- many maps, fast ------------------------------------------------------------------------------------------------
def evaluate(
    saliency: ArrayLike,
    density: ArrayLike,
    fixations: ArrayLike | None = None,
    *,
    sim_convention: SimConvention = "unit_sum",
    kld_convention: KldConvention = "mit",
    threshold: float = HALF_QUANTUM,
) -> dict[str, NDArray[np.float64]]:
    """All metrics of N maps at once; equal to the functions above within 1e-6.

    Args:
        saliency, density: (N, H, W), predicted maps and the ground truth; predictions >= 0 unless both conventions shift.
        fixations: (N, H, W), fixations per pixel, or None.
        sim_convention, kld_convention, threshold: see `SIM_CONVENTIONS`, `KLD_CONVENTIONS`, `nss_positive_density`.

    Returns:
        (N,) arrays under "NSS" (over pixels of positive density, the paper's), "SIM", "CC", "KLD", and "NSS_fix" (at
        fixations, NaN for maps without any) where fixations are given.

    Raises:
        ValueError: as the single functions; the message names the index of the map.
    """
    _check_threshold(threshold)
    _check_convention(sim_convention, SimConvention)
    _check_convention(kld_convention, KldConvention)
    predictions, truths = _map_stack(saliency, "saliency"), _map_stack(density, "density")
    _check_same_shape("density", truths.shape, predictions.shape)
    counts = None if fixations is None else _map_stack(fixations, "fixations")
    if counts is not None:
        _check_same_shape("fixations", counts.shape, predictions.shape)

    names = ("NSS", "SIM", "CC", "KLD") if counts is None else ("NSS", "NSS_fix", "SIM", "CC", "KLD")
    values = {name: np.empty(len(predictions)) for name in names}
    kernel = _FastKernel(predictions[0].size, sim_convention, KLD_CONVENTIONS[kld_convention], threshold)
    for index, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        count = None if counts is None else counts[index]
        try:
            row = kernel.measure(prediction.reshape(-1), truth.reshape(-1), None if count is None else count.reshape(-1))
            if row is None:
                row = _measure_exactly(prediction, truth, count, sim_convention, kld_convention, threshold)
        except ValueError as error:
            raise ValueError(f"map {index}: {error}") from None
        for name in names:
            values[name][index] = row[name]
    return values


def _measure_exactly(
    saliency: NDArray,
    density: NDArray,
    fixations: NDArray | None,
    sim_convention: SimConvention,
    kld_convention: KldConvention,
    threshold: float,
) -> dict[str, float]:
    """The plain equations for one map: the way for maps that the float32 kernel declines, and for bad ones."""
    row = {
        "NSS": nss_positive_density(saliency, density, threshold),
        "SIM": sim(saliency, density, sim_convention),
        "CC": cc(saliency, density),
        "KLD": kld(saliency, density, kld_convention),
    }
    if fixations is not None:
        row["NSS_fix"] = nss(saliency, fixations)
    return row


class _FastKernel:
    """All metrics of one map from a few readings of it: float32 values, sums close to float64.

    The loops are compiled (imported on first use); only the logarithm is OpenCV's, over blocks that stay in cache. P and
    Q are both kept at the density's sum, so that Q needs no scaling; then the sum of min(P, Q) is `total - L1(P, Q) / 2`.
    `measure` returns None where float32 is not safe, or where the input is one that the plain equations refuse.
    """

    def __init__(self, pixels: int, sim_convention: SimConvention, kld_constants: _KldConstants, threshold: float):
        import cv2

        from paperlib.metrics import saliency_loops

        self.log, self.loops = cv2.log, saliency_loops
        size = min(pixels, _BLOCK)
        self.blocks = [slice(start, min(start + size, pixels)) for start in range(0, pixels, size)]
        self.quotients = np.empty(size, np.float32)
        self.pixels = pixels
        self.sim_convention = sim_convention
        self.constants = kld_constants
        self.threshold = threshold
        self.casts: dict[str, NDArray[np.float32]] = {}

    def measure(self, s: NDArray, d: NDArray, f: NDArray | None) -> dict[str, float] | None:
        """The metrics of one flattened map, or None."""
        if f is not None and not f.min() >= 0:
            return None
        with np.errstate(all="ignore"):
            s, d = self._as_float32(s, "saliency"), self._as_float32(d, "density")
            sums = self._sums(s, d, None if f is None else self._as_float32(f, "fixations"))
            return self._metrics(s, d, sums) if self._is_safe(sums) else None

    def _as_float32(self, flat: NDArray, role: str) -> NDArray[np.float32]:
        """One map as float32: itself, or a buffer that is used again for the next map."""
        if flat.dtype == np.float32 and flat.flags.c_contiguous:
            return flat
        buffer = self.casts.setdefault(role, np.empty(self.pixels, np.float32))
        np.copyto(buffer, flat, casting="unsafe")
        return buffer

    def _sums(self, s: NDArray, d: NDArray, f: NDArray | None) -> dict[str, float]:
        """Extremes, sums, variances and covariance of both maps; sums at fixations of counts and of s above its origin."""
        sums: dict[str, Any] = dict(zip(("s", "d"), self.loops.sums(s, d), strict=True))
        origins = [np.float32(sums[name] / self.pixels) for name in ("s", "d")]
        u, v, uu, vv, uv = (total / self.pixels for total in self.loops.moments(s, d, *origins))
        sums |= {
            "s_mean": origins[0] + u,
            "s_origin": float(origins[0]),
            "ss": uu - u * u,
            "dd": vv - v * v,
            "sd": uv - u * v,
        }
        sums |= {"s_min": float(s.min()), "d_min": float(d.min()), "d_max": float(d.max()), "f": 0.0, "fs": 0.0}
        if f is not None:
            _, sums["f"], _, _, sums["fs"] = self.loops.moments(s, f, origins[0], np.float32(0))
        return sums

    def _is_safe(self, sums: dict[str, float]) -> bool:
        """Whether finite sums, enough variance and a moderate scale let float32 keep six decimals."""
        if not all(map(math.isfinite, sums.values())):
            return False
        shifted_by_both = self.sim_convention != "unit_sum" and self.constants.shifts
        if sums["d_min"] < 0 or (sums["s_min"] < 0 and not shifted_by_both):
            return False
        return all(
            1 / _SAFE_SUM < total < _SAFE_SUM and variance >= _MIN_RELATIVE_VARIANCE * (total / self.pixels) ** 2
            for total, variance in ((sums["s"], sums["ss"]), (sums["d"], sums["dd"]))
        )

    def _metrics(self, s: NDArray, d: NDArray, sums: dict[str, float]) -> dict[str, float] | None:
        shifts = [_sim_shift(self.sim_convention, sums[name]) for name in ("s_min", "d_min")]
        ratio, total = self._scaling(sums, *shifts)
        scalars = map(np.float32, (_cut(self.threshold, sums["d_max"]), sums["s_origin"], *shifts, ratio))
        positive, there, distance = self.loops.overlap(s, d, *scalars)
        divergence = self._divergence(s, d, sums)
        if not divergence < _MAX_FAST_KLD:
            return None
        above, deviation = sums["s_mean"] - sums["s_origin"], math.sqrt(sums["ss"])
        return {
            "NSS": (there / positive - above) / deviation,
            "NSS_fix": (sums["fs"] / sums["f"] - above) / deviation if sums["f"] else math.nan,
            "SIM": 1 - distance / (2 * total),
            "CC": min(1.0, max(-1.0, sums["sd"] / (deviation * math.sqrt(sums["dd"])))),
            "KLD": divergence,
        }

    def _scaling(self, sums: dict[str, float], s_shift: float, d_shift: float) -> tuple[float, float]:
        """The factor that gives the shifted prediction the sum of the shifted density, and that sum."""
        total = sums["d"] + self.pixels * d_shift
        return total / (sums["s"] + self.pixels * s_shift), total

    def _divergence(self, s: NDArray, d: NDArray, sums: dict[str, float]) -> float:
        """KLD; `p_floor` is the eps beside P, at the density's sum."""
        eps, floor = self.constants.eps, self.constants.floor
        s_shift = _kld_shift(self.constants, sums["s_min"]) + floor
        ratio, total = self._scaling(sums, s_shift, floor)
        scalars = tuple(map(np.float32, (s_shift, floor, ratio, total * eps, eps)))
        divergence = 0.0
        for part in self.blocks:
            q, quotients = d[part], self.quotients[: d[part].size]
            self.loops.quotients(s[part], q, quotients, *scalars)
            self.log(quotients, dst=quotients)
            divergence += self.loops.dot(q, quotients)
        return divergence / total


# ---- shared pieces --------------------------------------------------------------------------------------------------
def _z_scores(image: NDArray) -> NDArray:
    """Zero mean and unit population deviation; zeros for a constant map."""
    if image.min() == image.max():
        return np.zeros_like(image)
    centred = image / np.abs(image).max()
    centred -= centred.mean()
    return centred / centred.std()


def _cut(threshold: float, maximum: float) -> float:
    """Density above which a pixel counts; a hair higher, so that ties fall below it in float32 and float64 alike."""
    return float(threshold * maximum * (1 + 1e-6))


def _unit_sum(image: NDArray) -> NDArray:
    """The map as a distribution; uniform where it has no mass."""
    peak = image.max()
    if peak <= 0:
        return np.full_like(image, 1 / image.size)
    scaled = image / peak
    return scaled / scaled.sum()


def _sim_shift(convention: str, minimum: float) -> float:
    """What SIM's convention adds to a map before the division by its sum (a common factor cancels there)."""
    if convention == "mit":
        return -minimum
    return max(0.0, -minimum) if convention == "pysaliency" else 0.0


def _kld_shift(constants: _KldConstants, minimum: float) -> float:
    """What KLD's convention adds to a predicted map, besides its floor, before the division by its sum."""
    return max(0.0, -minimum) if constants.shifts else 0.0


def _finite_map(image: ArrayLike, name: str) -> NDArray[np.float64]:
    array = _real_array(image, name)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected one map of shape (H, W), got shape {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite values, got NaN or infinity; clean the map first")
    return array


def _density_map(density: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = _finite_map(density, "density")
    _check_same_shape("density", array.shape, shape)
    if array.min() < 0:
        raise ValueError(f"density: expected values >= 0, got a minimum of {array.min():g}")
    if array.max() == 0:
        raise ValueError("density: expected some mass, got a map of zeros; leave images without gaze data out")
    return array


def _fixation_counts(fixation_map: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = _finite_map(fixation_map, "fixations")
    _check_same_shape("fixations", array.shape, shape)
    if array.min() < 0:
        raise ValueError(f"fixations: expected counts >= 0, got {array.min():g}")
    return array


def _map_stack(maps: ArrayLike, name: str) -> NDArray:
    array = _real_array(maps, name)
    if array.ndim != 3 or array.size == 0:
        raise ValueError(f"{name}: expected maps of shape (N, H, W), got shape {array.shape}")
    return array


def _real_array(values: ArrayLike, name: str) -> NDArray:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, got dtype {array.dtype}")
    return array


def _refuse_negative(minimum: float, who: str) -> None:
    if minimum < 0:
        raise ValueError(
            f"saliency: {who} expects values >= 0, got a minimum of {minimum:g}; scale the map to [0, 1] first "
            "(paperlib.maps.transform.normalise) or choose the convention 'pysaliency'"
        )


def _check_same_shape(name: str, got: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if got != expected:
        raise ValueError(f"{name}: expected the shape of saliency {expected}, got {got}; resize the prediction first")


def _check_threshold(threshold: float) -> None:
    if not 0 <= threshold <= 0.99:
        raise ValueError(f"threshold: expected a share of the maximum in [0, 0.99], got {threshold}")


def _check_convention(convention: str, choices: object) -> None:
    if convention not in get_args(choices):
        raise ValueError(f"convention: expected one of {', '.join(get_args(choices))}, got {convention!r}")
