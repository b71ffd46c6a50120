"""Our numbers beside those of libraries and data that we did not write."""

import csv
import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import ndimage, spatial, special, stats

from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.metrics.correlation import fraccp, plcc, srocc
from paperlib.metrics.saliency import evaluate
from paperlib.metrics.weighted import luma, psnr, ssim
from tests.benchmarks import bench_saliency_metrics

SALIENCY_TOLERANCE, CORRELATION_TOLERANCE = 1e-6, 1e-12
PSNR_TOLERANCE, SSIM_TOLERANCE = 1e-4, 1e-4  # dB


def random_maps(seed: int, count: int = 6, shape: tuple[int, int] = (60, 80)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Smooth predictions, densities of blurred fixations, and the fixations; from easy to awkward."""
    rng = np.random.default_rng(seed)
    fixations = (rng.random((count, *shape)) < 0.01).astype(np.int64)
    fixations[:, 5, 5] += 2
    density = ndimage.gaussian_filter(fixations.astype(float), (0, 4, 4))
    prediction = ndimage.gaussian_filter(rng.random((count, *shape)), (0, 3, 3)) - 0.45
    prediction = np.maximum(prediction, 0) + density * rng.random((count, 1, 1))
    prediction[0] += 1e-3
    prediction[1] = 5 + 0.01 * rng.random(shape)
    prediction[2] = 0
    prediction[3] = 7
    density[4] = np.round(255 * density[4] / density[4].max())
    return prediction, density, fixations


# ---- saliency metrics -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saliency_metrics_equal_the_textbook_through_scipy(dtype: type) -> None:
    prediction, density, fixations = (stack[[0, 1, 4, 5]] for stack in random_maps(1))
    prediction = prediction.astype(dtype) + dtype(1e-3)
    got = evaluate(prediction, density, fixations)
    for index, (s, d, f) in enumerate(zip(prediction.astype(float), density, fixations, strict=True)):
        z = stats.zscore(s, axis=None)
        p, q = s.ravel() / s.sum(), d.ravel() / d.sum()
        expected = {
            "NSS": z[np.round(255 * d / d.max()) > 0].mean(),
            "NSS_fix": np.repeat(z.ravel(), f.ravel()).mean(),
            "SIM": 1 - spatial.distance.cityblock(p, q) / 2,
            "CC": np.corrcoef(p, q)[0, 1],
            "KLD": special.rel_entr(q, p).sum(),
        }
        for name, value in expected.items():
            assert got[name][index] == pytest.approx(value, abs=SALIENCY_TOLERANCE), name


@pytest.fixture(scope="module")
def pysaliency_metrics() -> ModuleType:
    if importlib.util.find_spec("pysaliency") is None:
        pytest.skip("pysaliency is not installed")
    return bench_saliency_metrics.pysaliency_metrics()


def assert_pysaliencys(peer: ModuleType, prediction: np.ndarray, density: np.ndarray, fixations: np.ndarray) -> None:
    got = evaluate(prediction, density, fixations)
    for index, (s, d, f) in enumerate(zip(prediction.astype(float), density.astype(float), fixations, strict=True)):
        rows, columns = np.nonzero(f)
        with np.errstate(divide="ignore", invalid="ignore"):
            expected = {
                "NSS": peer.NSS(s, *np.nonzero(np.round(255 * d / d.max()) > 0)[::-1]).mean(),
                "NSS_fix": np.repeat(peer.NSS(s, columns, rows), f[rows, columns]).mean(),
                "SIM": peer.SIM(s, d),
                "CC": peer.CC(s, d),
                "KLD": peer.MIT_KLDiv(s, d),
            }
        for name, value in expected.items():
            assert got[name][index] == pytest.approx(value, abs=SALIENCY_TOLERANCE), (name, index)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_saliency_metrics_equal_pysaliency(pysaliency_metrics: ModuleType, seed: int, dtype: type) -> None:
    prediction, density, fixations = random_maps(seed)
    assert_pysaliencys(pysaliency_metrics, prediction.astype(dtype), density.astype(dtype), fixations)


def test_conventions_equal_pysaliency(pysaliency_metrics: ModuleType) -> None:
    prediction, density, _ = random_maps(7)
    prediction = prediction - 0.01
    got = evaluate(prediction, density, sim_convention="pysaliency", kld_convention="pysaliency")
    for index, (s, d) in enumerate(zip(prediction, density, strict=True)):
        assert got["SIM"][index] == pytest.approx(pysaliency_metrics.SIM(s, d), abs=1e-6)
        assert got["KLD"][index] == pytest.approx(pysaliency_metrics.image_based_kl_divergence(s, d), abs=1e-6)


@pytest.fixture(scope="module")
def real_gaze(shared: Callable[..., Path]) -> dict[str, np.ndarray]:
    """40 photographs of OSIE: fixation counts, their density (sigma 24 px), and the maps of the network FastGaze."""
    import cv2

    with shared("real_gaze", "fixations.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = sorted({row["image"] for row in rows})
    fixations = np.zeros((len(names), 600, 800), np.int64)
    for row in rows:
        fixations[names.index(row["image"]), round(float(row["y"])), round(float(row["x"]))] += 1
    maps = [shared("real_gaze", "saliency_fastgaze", name.replace(".jpg", ".png")) for name in names]
    return {
        "fixations": fixations,
        "density": np.stack(
            [cv2.GaussianBlur(counts.astype(np.float32), (0, 0), 24, borderType=cv2.BORDER_CONSTANT) for counts in fixations]
        ),
        "fastgaze": np.stack([cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in maps]),
    }


def test_levels_on_real_gaze(real_gaze: dict[str, np.ndarray]) -> None:
    """Values that were measured by other code when the photographs were collected (README beside them)."""
    fixations, density = real_gaze["fixations"], real_gaze["density"]
    rows, columns = np.mgrid[:600, :800]
    gaussian = np.exp(-0.5 * (((rows - 299.5) / 150) ** 2 + ((columns - 399.5) / 200) ** 2))
    prior = evaluate(np.broadcast_to(gaussian, density.shape), density, fixations, sim_convention="mit")
    for name, value in {"NSS_fix": 0.821, "SIM": 0.380, "CC": 0.308, "KLD": 1.270}.items():
        assert prior[name].mean() == pytest.approx(value, abs=6e-4), name
    network = evaluate(real_gaze["fastgaze"], density, fixations)
    assert network["NSS_fix"].mean() == pytest.approx(1.600, abs=6e-4)


def test_the_papers_nss_does_not_reward_being_right(real_gaze: dict[str, np.ndarray]) -> None:
    """On real gaze "density > 0" gives values like the paper's, and puts the centre prior above the truth."""
    density = real_gaze["density"]
    prior = np.broadcast_to(gaussian_center_prior(density), density.shape)
    levels = {
        name: evaluate(maps, density, real_gaze["fixations"])
        for name, maps in {"network": real_gaze["fastgaze"], "prior": prior, "truth": density}.items()
    }
    paper = {name: level["NSS"].mean() for name, level in levels.items()}
    field = {name: level["NSS_fix"].mean() for name, level in levels.items()}
    assert all(0.5 < value < 0.65 for value in paper.values())
    assert paper["prior"] > paper["network"] > paper["truth"]
    assert field["prior"] < field["network"] < field["truth"]


def test_saliency_metrics_equal_pysaliency_on_real_gaze(
    pysaliency_metrics: ModuleType, real_gaze: dict[str, np.ndarray]
) -> None:
    assert_pysaliencys(pysaliency_metrics, *(real_gaze[name][:8] for name in ("fastgaze", "density", "fixations")))


# ---- correlation ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("ties", [False, True])
def test_correlations_equal_scipy(ties: bool) -> None:
    rng = np.random.default_rng(0)
    scores, subjective = rng.normal(size=(20, 60, 12)), rng.normal(size=(60, 12))
    if ties:
        scores, subjective = scores.round(), subjective.round()
    peers = [(srocc, lambda x, y: stats.spearmanr(x, y)[0]), (plcc, lambda x, y: stats.pearsonr(x, y)[0])]
    if not ties:
        peers.append((fraccp, lambda x, y: (stats.kendalltau(x, y)[0] + 1) / 2))
    for measure, peer in peers:
        expected = [[peer(*pair) for pair in zip(method, subjective, strict=True)] for method in scores]
        np.testing.assert_allclose(measure(scores, subjective), expected, rtol=0, atol=CORRELATION_TOLERANCE)


def test_fraccp_with_ties_equals_counting() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        x, y = rng.integers(0, 5, 9), rng.integers(0, 5, 9)
        pairs = [(i, j) for i in range(9) for j in range(i) if y[i] != y[j]]
        expected = np.mean([(x[i] - x[j]) * (y[i] - y[j]) > 0 for i, j in pairs])
        assert fraccp(x, y) == pytest.approx(expected, abs=1e-15)


# ---- PSNR and SSIM --------------------------------------------------------------------------------------------------
def photographs() -> list[tuple[np.ndarray, np.ndarray]]:
    """(distorted, reference) uint8 pairs: noise, blur, coarse quantisation, a shift of brightness; odd sizes."""
    import cv2
    from skimage import data

    rng = np.random.default_rng(0)
    astronaut, coffee, flat = (
        data.astronaut()[40:200, 100:351],
        data.coffee()[::2, ::2],
        np.full((64, 96, 3), 130, np.uint8),
    )
    noisy = np.clip(astronaut + rng.normal(0, 15, astronaut.shape), 0, 255).astype(np.uint8)
    return [
        (noisy, astronaut),
        (cv2.GaussianBlur(coffee, (0, 0), 2), coffee),
        (coffee // 64 * 64, coffee),
        (np.clip(flat + rng.normal(0, 2, flat.shape), 0, 255).astype(np.uint8), flat),
        (np.minimum(astronaut.astype(int) + 30, 255).astype(np.uint8), astronaut),
    ]


@pytest.mark.parametrize("number", range(5))
def test_psnr_and_ssim_equal_pyiqa(number: int) -> None:
    import torch
    from pyiqa.archs.psnr_arch import PSNR
    from pyiqa.archs.ssim_arch import SSIM
    from pyiqa.archs.ssim_arch import ssim as ssim_of_luma

    distorted, reference = photographs()[number]
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in (distorted, reference)]
    settings = {"test_y_channel": True, "color_space": "ycbcr"}
    assert psnr(distorted, reference) == pytest.approx(PSNR(**settings)(*tensors).item(), abs=PSNR_TOLERANCE)
    assert ssim(distorted, reference) == pytest.approx(SSIM(**settings)(*tensors).item(), abs=SSIM_TOLERANCE)

    # pyiqa has no weighted form: its SSIM map in float64, and its squared error, weighted here
    rng = np.random.default_rng(number)
    weights = ndimage.gaussian_filter(rng.random(reference.shape[:2]), 5) - 0.45
    weights = np.maximum(weights, 0)
    rounded = [torch.from_numpy(np.rint(luma(image)))[None, None].double() for image in (distorted, reference)]
    similarity = ssim_of_luma(*rounded, data_range=255, get_ssim_map=True)[0, 0].numpy()
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    blurred = ndimage.correlate1d(ndimage.correlate1d(weights, kernel, axis=0), kernel, axis=1)[5:-5, 5:-5]
    assert ssim(distorted, reference, weights) == pytest.approx(np.average(similarity, weights=blurred), abs=SSIM_TOLERANCE)
    error = ((luma(distorted).astype(float) - luma(reference)) / 255) ** 2
    expected = -10 * np.log10(np.average(error, weights=weights) + 1e-8)
    assert psnr(distorted, reference, weights) == pytest.approx(expected, abs=PSNR_TOLERANCE)
