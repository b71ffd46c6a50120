"""Solving the fit of the map transform (256 levels + beta) beside a general solver of the same quadratic programme."""

from typing import Any

import numpy as np
from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.transform import MapTransform
from scipy.optimize import lsq_linear

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


BENCHMARKS = [fit_of_one_model]
