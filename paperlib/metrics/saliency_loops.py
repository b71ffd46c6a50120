"""Compiled loops of `paperlib.metrics.saliency.evaluate`: each reads two maps once and keeps all the sums it needs.

Sums run in float32 over `_RUN` values, which the compiler does many at a time, and in float64 over those runs: about
1e-8 of relative error at the price of float32. Compilation takes half a second per process and is not cached on disk.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import float32, float64, njit, types, void
from numpy.typing import NDArray

_RUN = 256

_MAP = types.Array(float32, 1, "C", readonly=True)

Map = NDArray[np.float32]
Loop = TypeVar("Loop", bound=Callable[..., Any])


def _compiled(signature: Any) -> Callable[[Loop], Loop]:
    """Sums in any order; NaN and infinity stay what they are."""
    return njit(signature, fastmath={"reassoc", "contract", "arcp", "nsz"}, error_model="numpy")


@_compiled(types.UniTuple(float64, 2)(_MAP, _MAP))
def sums(s: Map, d: Map) -> tuple[float, float]:
    """Sums of s and d over two flat maps."""
    s_sum, d_sum = np.float64(0), np.float64(0)
    for start in range(0, s.size, _RUN):
        s_run, d_run = np.float32(0), np.float32(0)
        s_part, d_part = s[start : start + _RUN], d[start : start + _RUN]
        for i in range(s_part.size):
            s_run += s_part[i]
            d_run += d_part[i]
        s_sum += s_run
        d_sum += d_run
    return s_sum, d_sum


@_compiled(types.UniTuple(float64, 5)(_MAP, _MAP, float32, float32))
def moments(s: Map, d: Map, s_origin: np.float32, d_origin: np.float32) -> tuple[float, float, float, float, float]:
    """Sums of u, v, u^2, v^2 and u v, where u = s - s_origin and v = d - d_origin; origins near the means keep the
    variances of maps of low contrast."""
    u_sum, v_sum, uu_sum = np.float64(0), np.float64(0), np.float64(0)
    vv_sum, uv_sum = np.float64(0), np.float64(0)
    for start in range(0, s.size, _RUN):
        u_run, v_run, uu_run = np.float32(0), np.float32(0), np.float32(0)
        vv_run, uv_run = np.float32(0), np.float32(0)
        s_part, d_part = s[start : start + _RUN], d[start : start + _RUN]
        for i in range(s_part.size):
            u, v = s_part[i] - s_origin, d_part[i] - d_origin
            u_run += u
            v_run += v
            uu_run += u * u
            vv_run += v * v
            uv_run += u * v
        u_sum += u_run
        v_sum += v_run
        uu_sum += uu_run
        vv_sum += vv_run
        uv_sum += uv_run
    return u_sum, v_sum, uu_sum, vv_sum, uv_sum


@_compiled(types.UniTuple(float64, 3)(_MAP, _MAP, *5 * [float32]))
def overlap(
    s: Map, d: Map, cut: np.float32, s_origin: np.float32, s_shift: np.float32, d_shift: np.float32, ratio: np.float32
) -> tuple[float, float, float]:
    """Number of pixels with d > cut, the sum of s - s_origin there, and that of |(s + s_shift) ratio - (d + d_shift)|."""
    count, there, distance = np.float64(0), np.float64(0), np.float64(0)
    for start in range(0, s.size, _RUN):
        count_run, there_run, distance_run = np.float32(0), np.float32(0), np.float32(0)
        s_part, d_part = s[start : start + _RUN], d[start : start + _RUN]
        for i in range(s_part.size):
            u, v = s_part[i], d_part[i]
            positive = np.float32(v > cut)
            count_run += positive
            there_run += (u - s_origin) * positive
            distance_run += abs((u + s_shift) * ratio - (v + d_shift))
        count += count_run
        there += there_run
        distance += distance_run
    return count, there, distance


@_compiled(void(_MAP, _MAP, float32[::1], *5 * [float32]))
def quotients(
    s: Map,
    d: Map,
    out: Map,
    s_shift: np.float32,
    d_shift: np.float32,
    ratio: np.float32,
    p_floor: np.float32,
    eps: np.float32,
) -> None:
    """(d + d_shift) / ((s + s_shift) ratio + p_floor) + eps into `out`."""
    for i in range(s.size):
        out[i] = (d[i] + d_shift) / ((s[i] + s_shift) * ratio + p_floor) + eps


@_compiled(float64(_MAP, _MAP))
def dot(x: Map, y: Map) -> float:
    """Sum of x y."""
    total = np.float64(0)
    for start in range(0, x.size, _RUN):
        run = np.float32(0)
        x_part, y_part = x[start : start + _RUN], y[start : start + _RUN]
        for i in range(x_part.size):
            run += x_part[i] * y_part[i]
        total += run
    return total
