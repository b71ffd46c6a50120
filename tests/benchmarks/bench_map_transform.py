"""The fit of the map transform (256 levels + beta) beside quadprog and cvxopt, solvers of the same quadratic programme.

Their sums are formed by whole-array NumPy, as public code does, from maps in [0, 1].
"""

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.transform import TransformStatistics, normalise

from .timing import Sides, benchmark

COUNT = 1000


class _World:
    """Raw float32 maps, float32 densities of maximum 1 and their centre prior; sizes relative to the height.

    The sums go over 1000 pictures, made of 8; `maps in [0, 1]` and everything else of the peer's are float64, so that
    only what public code does is timed.
    """

    def __init__(self, shape: tuple[int, int]):
        rng, places = np.random.default_rng(0), range(8)
        points = 40 / (shape[0] * shape[1])
        densities = [gaussian_filter((rng.random(shape) < points).astype(float), shape[0] / 25) for _ in places]
        self.densities = np.stack([density / density.max() for density in densities]).astype(np.float32)
        noise = np.stack([gaussian_filter(rng.random(shape), shape[0] / 60) for _ in places])
        self.maps = (0.3 * self.densities + noise).astype(np.float32)
        self.prior = gaussian_center_prior(self.densities)
        self.doubles = [some.astype(float) for some in (normalise(self.maps), self.densities, self.prior)]

    def statistics(self) -> TransformStatistics:
        statistics = TransformStatistics()
        for image, density in islice(cycle(zip(self.maps, self.densities, strict=True)), COUNT):
            statistics.add(image, density, self.prior)
        return statistics

    def normal_equations(self) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and right side of the 257 unknowns (curve, beta), as public code forms them."""
        maps, densities, prior = self.doubles
        gram, moment = np.zeros((257, 257)), np.zeros(257)
        diagonal, border, flat_prior = np.zeros(256), np.zeros(256), prior.reshape(-1)
        for image, density in islice(cycle(zip(maps, densities, strict=True)), COUNT):
            levels = np.around(image * 255).astype(np.int32).reshape(-1)
            diagonal += np.bincount(levels, minlength=256)
            border += np.bincount(levels, flat_prior, minlength=256)
            moment[:256] += np.bincount(levels, density.reshape(-1), minlength=256)
            moment[256] += np.sum(density * prior)
        gram[range(256), range(256)] = diagonal
        gram[256, :256] = gram[:256, 256] = border
        gram[256, 256] = COUNT * np.sum(prior**2)
        return gram, moment


def _constraints() -> tuple[np.ndarray, np.ndarray]:
    """Rows and limits of `rows @ (curve, beta) >= limits`: the curve never falls and stays in [-0.5, 1]."""
    rows = np.zeros((257, 257))
    rows[range(255), range(255)], rows[range(255), range(1, 256)] = -1, 1
    rows[255, 0], rows[256, 255] = 1, -1
    return rows, np.r_[np.zeros(255), -0.5, -1]


def by_quadprog(gram: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Curve and beta of least squared error; a hair on the diagonal, as quadprog wants it definite."""
    from quadprog import solve_qp

    rows, limits = _constraints()
    scale = gram[256, 256]
    return solve_qp(gram / scale + 1e-12 * np.eye(257), moment / scale, rows.T, limits)[0]


def _by_cvxopt(gram: np.ndarray, moment: np.ndarray) -> Callable[[], Any]:
    """The same with sparse matrices, as the public code of the method has them, at cvxopt's tolerances; ready to call.

    Only solving is timed: the conversion from dense matrices is ours.
    """
    from cvxopt import matrix, solvers, spmatrix

    def sparse(dense: np.ndarray) -> Any:
        i, j = np.nonzero(dense)
        return spmatrix(dense[i, j], i, j, size=dense.shape)

    rows, limits = _constraints()
    problem = sparse(gram), matrix(-moment), sparse(-rows), matrix(-limits)
    return lambda: solvers.qp(*problem, options={"show_progress": False})


SUMS = "sums by NumPy from maps in [0, 1], QP by quadprog"


@benchmark("map transform, 1000 maps of 160x120, sums and fit", SUMS, (120, 160), goal=1, rounds=5)
@benchmark("map transform, 1000 maps of 640x480, sums and fit", SUMS, (480, 640), goal=1, rounds=2)
def sums_and_fit(shape: tuple[int, int]) -> Sides:
    """The sums are a few passes over the pixels for either side: no large factor is to be had."""
    world = _World(shape)
    return lambda: world.statistics().solve(), lambda: by_quadprog(*world.normal_equations())


@benchmark(
    "map transform, 1000 maps, fit from their sums", "QP by quadprog", lambda *sums: partial(by_quadprog, *sums), goal=10
)
@benchmark("map transform, 1000 maps, fit from their sums", "QP by cvxopt, sparse, its tolerances", _by_cvxopt, goal=10)
def fit_from_sums(solver: Callable[[np.ndarray, np.ndarray], Callable[[], Any]]) -> Sides:
    world = _World((120, 160))
    return world.statistics().solve, solver(*world.normal_equations())
