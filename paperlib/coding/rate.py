"""Search for the rate factor at which a picture takes an asked number of bits per pixel."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter

from paperlib.coding.x264 import BITS_PER_QP, CRF_RANGE, CodedPicture, StillEncoder

_START_CRF = 36.0
_MOST_ENCODES = 20
_LOG_BITS_PER_CRF = -math.log(BITS_PER_QP)


@dataclass(frozen=True)
class CrfSearch:
    """Outcome of a search: the best `crf`, the `bpp` it gives, whether that `reached` the target within the tolerance,
    and the number of `encodes` it took."""

    crf: float
    bpp: float
    reached: bool
    encodes: int


@dataclass(frozen=True, eq=False)
class RateResult:
    """A coded picture and the search that led to it."""

    coded: CodedPicture
    search: CrfSearch


def search_crf(
    bpp_at: Callable[[float], float], target: float, tolerance: float = 0.01, limits: tuple[float, float] = CRF_RANGE
) -> CrfSearch:
    """Find the CRF whose bit-rate is within `tolerance` of `target`.

    Steps along log(bpp), which is nearly linear in the CRF (2.24 times the bits for 6 QP), inside a bracket that
    shrinks with every encode; after two steps on one side the bracket is halved. Ends after 20 encodes at most.

    Args:
        bpp_at: bits per pixel at a CRF, falling with it.
        target: bits per pixel, > 0.
        tolerance: allowed relative error, > 0.
        limits: lowest and highest CRF.

    Returns:
        The tried CRF nearest to the target (by the ratio of the bit-rates). `reached` is False where the target lies
        outside what `limits` can give, or where the coder jumps over it.

    Raises:
        ValueError: an argument out of range.
    """
    if not (target > 0 and math.isfinite(target)):
        raise ValueError(f"target bpp must be a positive number, got {target}")
    if not tolerance > 0 or not limits[0] < limits[1]:
        raise ValueError(f"tolerance must be > 0 and limits (low, high), got {tolerance}, {limits}")
    low, high = limits
    error_low: float | None = None
    error_high: float | None = None
    crf = min(max(_START_CRF, low), high)
    tried: list[tuple[float, float, float]] = []
    side = 0
    while len(tried) < _MOST_ENCODES:
        bpp = bpp_at(crf)
        error = math.log(bpp / target)
        tried.append((abs(error), crf, bpp))
        if abs(bpp / target - 1) <= tolerance:
            break
        if error > 0:
            side = max(side, 0) + 1
            low, error_low = crf, error
        else:
            side = min(side, 0) - 1
            high, error_high = crf, error
        if high - low < 1e-3 or crf == limits[error > 0]:
            break
        if error_low is None or error_high is None:
            crf = min(max(crf - 1.1 * error / _LOG_BITS_PER_CRF, low), high)
        elif abs(side) > 2:
            crf = 0.5 * (low + high)
        else:
            crf = low + (high - low) * error_low / (error_low - error_high)
    _, crf, bpp = min(tried, key=itemgetter(0))
    return CrfSearch(crf, bpp, abs(bpp / target - 1) <= tolerance, len(tried))


def encode_at_rate(encoder: StillEncoder, target_bpp: float) -> RateResult:
    """Code a picture, with or without QP offsets, as near to an asked bit-rate as `search_crf` gets.

    `search.reached` tells whether the target was met: small or strongly textured pictures have a floor that QP 51 cannot
    get under. Bits per pixel of slices and parameter sets count.
    """
    streams: dict[float, bytes] = {}

    def bpp_at(crf: float) -> float:
        streams[crf] = encoder.stream(crf)
        return encoder.bpp(streams[crf])

    search = search_crf(bpp_at, target_bpp)
    return RateResult(encoder.coded(streams[search.crf]), search)
