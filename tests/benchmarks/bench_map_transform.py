"""The fit of the map transform (256 levels + beta) beside general solvers of the same quadratic programme."""

from collections.abc import Callable
from functools import partial
from itertools import cycle, islice
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.optimize import lsq_linear

from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.transform import MapTransform, TransformStatistics, normalise

from .timing import compare


def _world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """20 maps of 64x96 with their densities and the centre prior."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:64, :96]
    y, x = 64 * rng.normal(0.5, 0.15, (20, 1, 1)), 96 * rng.normal(0.5, 0.15, (20, 1, 1))
    densities = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 200)
    return densities + rng.random(densities.shape), densities, gaussian_center_prior(densities)


def _by_bounded_least_squares(maps: np.ndarray, densities: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """The same normal equations with the curve as a sum of rises >= 0, by scipy's `lsq_linear`."""
    scaled = (maps - maps.min((1, 2), keepdims=True)) / np.ptp(maps, (1, 2), keepdims=True)
    levels = np.rint(255 * scaled).astype(int).reshape(-1)
    priors, targets = np.broadcast_to(prior, maps.shape).reshape(-1).astype(float), densities.reshape(-1)
    gram, moment = np.zeros((257, 257)), np.zeros(257)
    gram[range(256), range(256)] = np.bincount(levels, minlength=256)
    gram[256, :256] = gram[:256, 256] = np.bincount(levels, priors, minlength=256)
    gram[256, 256] = priors @ priors
    moment[:256], moment[256] = np.bincount(levels, targets, minlength=256), priors @ targets
    rises = np.eye(257)
    rises[:256, :256] = np.tril(np.ones((256, 256)))
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 1e-9)
    root, target = np.sqrt(values)[:, None] * vectors.T, vectors.T @ moment / np.sqrt(values)
    low = np.r_[-0.5, np.zeros(255), -np.inf]
    return rises @ lsq_linear(root @ rises, target, bounds=(low, np.full(257, np.inf)), tol=1e-10).x


def fit_of_one_model() -> dict[str, Any]:
    maps, densities, prior = _world()
    return compare(
        "map transform, fit of 20 maps of 96x64",
        "the same least squares by scipy lsq_linear",
        lambda: MapTransform.fit(maps, densities, prior),
        lambda: _by_bounded_least_squares(maps, densities, prior),
        goal=3,
        rounds=5,
    )


def _pictures(shape: tuple[int, int], count: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Raw float32 maps, float32 densities of maximum 1 and their centre prior; sizes relative to the height."""
    rng = np.random.default_rng(0)
    points = 40 / (shape[0] * shape[1])
    densities = [gaussian_filter((rng.random(shape) < points).astype(float), shape[0] / 25) for _ in range(count)]
    densities = np.stack([density / density.max() for density in densities]).astype(np.float32)
    noise = np.stack([gaussian_filter(rng.random(shape), shape[0] / 60) for _ in range(count)])
    return (0.3 * densities + noise).astype(np.float32), densities, gaussian_center_prior(densities)


def _normal_equations(
    maps: np.ndarray, densities: np.ndarray, prior: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and right side of the 257 unknowns (curve, beta), by whole-array NumPy as public code forms them.

    The maps are in [0, 1] already and everything is float64, so that only what public code does is timed.
    """
    gram, moment = np.zeros((257, 257)), np.zeros(257)
    diagonal, border, flat_prior = np.zeros(256), np.zeros(256), prior.reshape(-1)
    for image, density in islice(cycle(zip(maps, densities, strict=True)), count):
        levels = np.around(image * 255).astype(np.int32).reshape(-1)
        diagonal += np.bincount(levels, minlength=256)
        border += np.bincount(levels, flat_prior, minlength=256)
        moment[:256] += np.bincount(levels, density.reshape(-1), minlength=256)
        moment[256] += np.sum(density * prior)
    gram[range(256), range(256)] = diagonal
    gram[256, :256] = gram[:256, 256] = border
    gram[256, 256] = count * np.sum(prior**2)
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


def _doubles(maps: np.ndarray, densities: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, ...]:
    return normalise(maps).astype(float), densities.astype(float), prior.astype(float)


def _fit_of_1000(shape: tuple[int, int], rounds: int) -> dict[str, Any]:
    """Sums and solution. The sums are a few passes over the pixels for either side: no large factor is to be had."""
    maps, densities, prior = _pictures(shape)
    doubles = _doubles(maps, densities, prior)
    return compare(
        f"map transform, 1000 maps of {shape[1]}x{shape[0]}, sums and fit",
        "sums by NumPy from maps in [0, 1], QP by quadprog",
        lambda: MapTransform.fit_chunks(islice(cycle(zip(maps, densities, strict=True)), 1000), prior),
        lambda: by_quadprog(*_normal_equations(*doubles, 1000)),
        goal=1,
        rounds=rounds,
    )


def full_size_maps() -> dict[str, Any]:
    return _fit_of_1000((480, 640), rounds=2)


def small_maps() -> dict[str, Any]:
    return _fit_of_1000((120, 160), rounds=5)


def _fit_from_sums(peer: str, solver: Callable[[np.ndarray, np.ndarray], Callable[[], Any]]) -> dict[str, Any]:
    maps, densities, prior = _pictures((120, 160))
    statistics = TransformStatistics()
    for image, density in islice(cycle(zip(maps, densities, strict=True)), 1000):
        statistics.add(image, density, prior)
    theirs = solver(*_normal_equations(*_doubles(maps, densities, prior), 1000))
    return compare("map transform, 1000 maps, fit from their sums", peer, statistics.solve, theirs, goal=10)


def beside_quadprog() -> dict[str, Any]:
    return _fit_from_sums("QP by quadprog", lambda *equations: partial(by_quadprog, *equations))


def beside_cvxopt() -> dict[str, Any]:
    return _fit_from_sums("QP by cvxopt, sparse, its tolerances", _by_cvxopt)


BENCHMARKS = [fit_of_one_model, beside_quadprog, beside_cvxopt, full_size_maps, small_maps]
