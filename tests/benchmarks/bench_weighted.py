"""PSNR, SSIM and their weighted forms on one 640x480 RGB pair."""

from collections.abc import Callable
from typing import Any

import numpy as np

from paperlib.metrics.weighted import luma, psnr, ssim

from .timing import Sides, benchmark


def _pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distorted and reference uint8 photograph, and a saliency map."""
    import cv2
    from skimage import data

    rng = np.random.default_rng(0)
    reference = cv2.resize(data.astronaut(), (640, 480))
    distorted = np.clip(reference + rng.normal(0, 8, reference.shape), 0, 255).astype(np.uint8)
    return distorted, reference, cv2.GaussianBlur(rng.random((480, 640), dtype=np.float32), (0, 0), 20)


@benchmark("EW-SSIM", "pyiqa ssim on Y (unweighted)", ssim, True, goal=30, rounds=3)
@benchmark("SSIM on Y", "pyiqa ssim on Y", ssim, False, goal=30, rounds=3)
@benchmark("EW-PSNR", "pyiqa psnr on Y (unweighted)", psnr, True, goal=3)
@benchmark("PSNR on Y", "pyiqa psnr on Y", psnr, False, goal=3)
def beside_pyiqa(measure: Callable[..., float], weighted: bool) -> Sides:
    import torch
    from pyiqa.archs.psnr_arch import PSNR
    from pyiqa.archs.ssim_arch import SSIM

    *images, saliency = _pair()
    tensors = [torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255 for image in images]
    metric = {psnr: PSNR, ssim: SSIM}[measure](test_y_channel=True, color_space="ycbcr")

    def theirs() -> Any:
        with torch.no_grad():
            return metric(*tensors)

    return lambda: measure(*images, saliency if weighted else None), theirs


@benchmark("PSNR on Y", "skimage, RGB", goal=1)
def psnr_beside_skimage() -> Sides:
    from skimage.metrics import peak_signal_noise_ratio

    x, y, _ = _pair()
    return lambda: psnr(x, y), lambda: peak_signal_noise_ratio(y, x)


@benchmark("SSIM on Y", "skimage, Gaussian window, on Y", goal=1)
def ssim_beside_skimage() -> Sides:
    from skimage.metrics import structural_similarity

    x, y, _ = _pair()
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    return lambda: ssim(x, y), lambda: structural_similarity(luma(x), luma(y), **settings)
