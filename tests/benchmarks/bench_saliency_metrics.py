"""NSS, SIM, CC and KLD of N maps beside pysaliency's functions, from the same inputs."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from paperlib.maps.transform import normalise
from paperlib.metrics.saliency import evaluate

from .timing import compare


def _pysaliency_metrics() -> ModuleType:
    """`metrics.py` of an installed pysaliency, loaded alone: the package itself needs an old setuptools."""
    package = importlib.util.find_spec("pysaliency")
    if package is None:
        raise ModuleNotFoundError("pysaliency is not installed", name="pysaliency")
    path = Path(next(iter(package.submodule_search_locations))) / "metrics.py"
    spec = importlib.util.spec_from_file_location("pysaliency_metrics_alone", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _maps(count: int, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """float32 predictions that span 0 to 1, and densities of blurred fixations; sizes relative to the height."""
    rng = np.random.default_rng(0)
    points = 40 / (shape[0] * shape[1])
    predictions = normalise([gaussian_filter(rng.random(shape), shape[0] / 40) for _ in range(count)]) ** 2
    densities = [gaussian_filter((rng.random(shape) < points).astype(float), shape[0] / 25) for _ in range(count)]
    return predictions, np.stack(densities).astype(np.float32)


def _by_pysaliency(peer: ModuleType, predictions: np.ndarray, densities: np.ndarray) -> list[tuple[float, ...]]:
    rows = []
    with np.errstate(divide="ignore"):
        for s, d in zip(predictions, densities, strict=True):
            y, x = np.nonzero(d > d.max() / 510)
            rows.append((peer.NSS(s, x, y).mean(), peer.SIM(s, d), peer.CC(s, d), peer.MIT_KLDiv(s, d)))
    return rows


def _bench(count: int, shape: tuple[int, int], goal: float, dtype: type = np.float64) -> dict[str, Any]:
    """Ours from float32 maps; the peer's inputs are cast to `dtype` beforehand (it was written for float64)."""
    peer = _pysaliency_metrics()
    predictions, densities = _maps(count, shape)
    cast = predictions.astype(dtype), densities.astype(dtype)
    return compare(
        f"NSS+SIM+CC+KLD, {count} maps of {shape[1]}x{shape[0]}, per map",
        f"pysaliency metrics.py, {np.dtype(dtype)}",
        lambda: evaluate(predictions, densities),
        lambda: _by_pysaliency(peer, *cast),
        goal,
        per=count,
    )


def full_size_maps() -> dict[str, Any]:
    return _bench(8, (480, 640), goal=20)


def full_size_maps_in_single_precision() -> dict[str, Any]:
    return _bench(8, (480, 640), goal=10, dtype=np.float32)


def demo_maps() -> dict[str, Any]:
    return _bench(500, (64, 96), goal=5)


BENCHMARKS = [full_size_maps, full_size_maps_in_single_precision, demo_maps]
