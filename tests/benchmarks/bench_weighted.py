"""PSNR, SSIM and their weighted forms on one 640x480 RGB pair."""

from collections.abc import Callable
from typing import Any

import numpy as np

from paperlib.metrics.weighted import ew_psnr, ew_ssim, luma, psnr, ssim

from .timing import compare


def _pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distorted and reference uint8 photograph, and a saliency map."""
    import cv2
    from skimage import data

    rng = np.random.default_rng(0)
    reference = cv2.resize(data.astronaut(), (640, 480))
    distorted = np.clip(reference + rng.normal(0, 8, reference.shape), 0, 255).astype(np.uint8)
    return distorted, reference, cv2.GaussianBlur(rng.random((480, 640), dtype=np.float32), (0, 0), 20)


def _pyiqa(kind: str) -> Callable[[], Any]:
    import torch
    from pyiqa.archs.psnr_arch import PSNR
    from pyiqa.archs.ssim_arch import SSIM

    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in _pair()[:2]]
    metric = {"psnr": PSNR, "ssim": SSIM}[kind](test_y_channel=True, color_space="ycbcr")

    def score() -> Any:
        with torch.no_grad():
            return metric(*tensors)

    return score


def psnr_beside_pyiqa() -> dict[str, Any]:
    x, y, _ = _pair()
    return compare("PSNR on Y", "pyiqa psnr on Y", lambda: psnr(x, y), _pyiqa("psnr"), goal=3)


def ew_psnr_beside_pyiqa() -> dict[str, Any]:
    x, y, weights = _pair()
    return compare("EW-PSNR", "pyiqa psnr on Y (unweighted)", lambda: ew_psnr(x, y, weights), _pyiqa("psnr"), goal=3)


def psnr_beside_skimage() -> dict[str, Any]:
    from skimage.metrics import peak_signal_noise_ratio

    x, y, _ = _pair()
    return compare("PSNR on Y", "skimage, RGB", lambda: psnr(x, y), lambda: peak_signal_noise_ratio(y, x), goal=1)


def ssim_beside_pyiqa() -> dict[str, Any]:
    x, y, _ = _pair()
    return compare("SSIM on Y", "pyiqa ssim on Y", lambda: ssim(x, y), _pyiqa("ssim"), goal=30, rounds=3)


def ew_ssim_beside_pyiqa() -> dict[str, Any]:
    x, y, weights = _pair()
    peer = "pyiqa ssim on Y (unweighted)"
    return compare("EW-SSIM", peer, lambda: ew_ssim(x, y, weights), _pyiqa("ssim"), goal=30, rounds=3)


def ssim_beside_skimage() -> dict[str, Any]:
    from skimage.metrics import structural_similarity

    x, y, _ = _pair()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return compare(
        "SSIM on Y",
        "skimage, Gaussian window, on Y",
        lambda: ssim(x, y),
        lambda: structural_similarity(luma(x), luma(y), **settings),
        goal=1,
    )


BENCHMARKS = [
    psnr_beside_pyiqa,
    ew_psnr_beside_pyiqa,
    psnr_beside_skimage,
    ssim_beside_pyiqa,
    ew_ssim_beside_pyiqa,
    ssim_beside_skimage,
]
