"""SROCC, PLCC and FracCP of the compression study (60 images x 12 versions) beside loops over scipy.stats."""

from typing import Any

import numpy as np
from scipy import stats

from paperlib.metrics.correlation import fraccp, plcc, srocc, srocc_interval

from .timing import compare


def _scores(methods: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(methods, 60, 12)), rng.normal(size=(60, 12))


def _loop(measure: Any, scores: np.ndarray, subjective: np.ndarray) -> list[float]:
    return [measure(x, y)[0] for method in scores for x, y in zip(method, subjective, strict=True)]


def fraccp_of_one_method() -> dict[str, Any]:
    scores, subjective = _scores(1)
    return compare(
        "FracCP, 60x12, 1 method",
        "scipy kendalltau loop",
        lambda: fraccp(scores, subjective),
        lambda: _loop(stats.kendalltau, scores, subjective),
        goal=100,
        rounds=7,
    )


def fraccp_of_fifty_methods() -> dict[str, Any]:
    scores, subjective = _scores(50)
    return compare(
        "FracCP, 60x12, 50 methods",
        "scipy kendalltau loop",
        lambda: fraccp(scores, subjective),
        lambda: _loop(stats.kendalltau, scores, subjective),
        goal=500,
        rounds=3,
    )


def _three_measures(methods: int, goal: float, rounds: int) -> dict[str, Any]:
    scores, subjective = _scores(methods)
    return compare(
        f"FracCP + SROCC + PLCC, 60x12, {methods} method{'s' * (methods > 1)}",
        "scipy loops",
        lambda: [measure(scores, subjective) for measure in (fraccp, srocc, plcc)],
        lambda: [_loop(peer, scores, subjective) for peer in (stats.kendalltau, stats.spearmanr, stats.pearsonr)],
        goal,
        rounds=rounds,
    )


def three_measures_of_one_method() -> dict[str, Any]:
    return _three_measures(1, goal=100, rounds=5)


def three_measures_of_fifty_methods() -> dict[str, Any]:
    return _three_measures(50, goal=500, rounds=3)


def srocc_interval_of_400_images() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=400)
    y = x + rng.normal(size=400)

    def by_scipy() -> np.ndarray:
        rows = np.random.default_rng(0).integers(0, 400, size=(300, 400))
        return np.quantile([stats.spearmanr(x[row], y[row])[0] for row in rows], [0.025, 0.975])

    return compare(
        "bootstrap interval of SROCC, 400 images, 300 resamples",
        "scipy spearmanr loop",
        lambda: srocc_interval(x, y, 0, n_boot=300),
        by_scipy,
        goal=5,
        rounds=3,
    )


BENCHMARKS = [
    fraccp_of_one_method,
    fraccp_of_fifty_methods,
    three_measures_of_one_method,
    three_measures_of_fifty_methods,
    srocc_interval_of_400_images,
]
