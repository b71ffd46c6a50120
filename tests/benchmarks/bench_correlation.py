"""SROCC, PLCC and FracCP of the compression study (60 images x 12 versions), and their bootstrap, beside scipy.stats."""

from typing import Any

import numpy as np
from scipy import stats

from paperlib.metrics.correlation import fraccp, plcc, srocc, srocc_resamples
from paperlib.metrics.perturbation import srocc_curve_bootstrap

from .timing import Sides, benchmark


def _scores(methods: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(methods, 60, 12)), rng.normal(size=(60, 12))


def _loop(measure: Any, scores: np.ndarray, subjective: np.ndarray) -> list[float]:
    return [measure(x, y)[0] for method in scores for x, y in zip(method, subjective, strict=True)]


@benchmark("FracCP, 60x12, 50 methods", "scipy kendalltau loop", 50, goal=500, rounds=3)
@benchmark("FracCP, 60x12, 1 method", "scipy kendalltau loop", 1, goal=100, rounds=7)
def fraccp_alone(methods: int) -> Sides:
    scores, subjective = _scores(methods)
    return lambda: fraccp(scores, subjective), lambda: _loop(stats.kendalltau, scores, subjective)


@benchmark("FracCP + SROCC + PLCC, 60x12, 50 methods", "scipy loops", 50, goal=500, rounds=3)
@benchmark("FracCP + SROCC + PLCC, 60x12, 1 method", "scipy loops", 1, goal=100, rounds=5)
def three_measures(methods: int) -> Sides:
    scores, subjective = _scores(methods)
    return (
        lambda: [measure(scores, subjective) for measure in (fraccp, srocc, plcc)],
        lambda: [_loop(peer, scores, subjective) for peer in (stats.kendalltau, stats.spearmanr, stats.pearsonr)],
    )


@benchmark("bootstrap interval of SROCC, 400 images, 300 resamples", "scipy spearmanr loop", goal=5, rounds=3)
def interval() -> Sides:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = x + rng.normal(size=400)

    def by_scipy() -> np.ndarray:
        rows = np.random.default_rng(0).integers(0, 400, size=(300, 400))
        return np.quantile([stats.spearmanr(x[row], y[row])[0] for row in rows], [0.025, 0.975])

    return lambda: srocc_curve_bootstrap(x, y, 0, n_boot=300).interval(), by_scipy


@benchmark("SROCC of 18 points in 32 joint resamples, 2015 images", "scipy spearmanr loop", goal=15, rounds=3, per=18 * 32)
def bootstrap_of_curves() -> Sides:
    rng = np.random.default_rng(0)
    mos = rng.normal(size=2015)
    scores = mos + rng.normal(size=(18, 2015))

    def by_scipy() -> list[float]:
        draws = np.random.default_rng(0).integers(0, mos.size, (32, mos.size))
        return [stats.spearmanr(row[drawn], mos[drawn])[0] for row in scores for drawn in draws]

    return lambda: srocc_resamples(scores, mos, 0, n_boot=32), by_scipy
