"""NSS, SIM, CC and KLD of N maps beside pysaliency's functions, from the same inputs."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
from scipy.ndimage import gaussian_filter

from paperlib.maps.transform import normalise
from paperlib.metrics.saliency import evaluate

from .timing import Sides, benchmark


def pysaliency_metrics() -> ModuleType:
    """`metrics.py` of an installed pysaliency, loaded alone: the package itself needs an old setuptools.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    package = importlib.util.find_spec("pysaliency")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("pysaliency is not installed", name="pysaliency")
    path = Path(next(iter(package.submodule_search_locations))) / "metrics.py"
    spec = importlib.util.spec_from_file_location("pysaliency_metrics_alone", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@benchmark("NSS+SIM+CC+KLD, 500 maps of 96x64, per map", "pysaliency metrics.py, float64", 500, (64, 96), goal=5, per=500)
@benchmark(
    "NSS+SIM+CC+KLD, 8 maps of 640x480, per map", "pysaliency metrics.py, float32", 8, (480, 640), np.float32, goal=10, per=8
)
@benchmark("NSS+SIM+CC+KLD, 8 maps of 640x480, per map", "pysaliency metrics.py, float64", 8, (480, 640), goal=20, per=8)
def beside_pysaliency(count: int, shape: tuple[int, int], dtype: type = np.float64) -> Sides:
    """Float32 predictions that span 0 to 1, and densities of blurred fixations; sizes relative to the height.

    The peer's inputs are cast to `dtype` beforehand (it was written for float64).
    """
    peer, rng = pysaliency_metrics(), np.random.default_rng(0)
    points = 40 / (shape[0] * shape[1])
    predictions = normalise([gaussian_filter(rng.random(shape), shape[0] / 40) for _ in range(count)]) ** 2
    fixations = [(rng.random(shape) < points).astype(float) for _ in range(count)]
    densities = np.stack([gaussian_filter(some, shape[0] / 25) for some in fixations]).astype(np.float32)
    cast = predictions.astype(dtype), densities.astype(dtype)

    def theirs() -> list[tuple[float, ...]]:
        rows = []
        with np.errstate(divide="ignore"):
            for s, d in zip(*cast, strict=True):
                y, x = np.nonzero(d > d.max() / 510)
                rows.append((peer.NSS(s, x, y).mean(), peer.SIM(s, d), peer.CC(s, d), peer.MIT_KLDiv(s, d)))
        return rows

    return lambda: evaluate(predictions, densities), theirs
