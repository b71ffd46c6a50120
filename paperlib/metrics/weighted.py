"""PSNR and SSIM of an image pair, plain or weighted by a saliency map (EW-PSNR, EW-SSIM: eye-tracking weighted).

The constants are those of the paper's run: luma by studio-range BT.601, PSNR on unrounded luma with 1e-8 added to the
error, SSIM on rounded luma with an 11x11 Gaussian of sigma 1.5, valid area only, no downsampling, contrast-structure
term cut at 0. They equal pyiqa's `psnr` and `ssim` with `test_y_channel=True, color_space="ycbcr"`.

The weighted forms follow the authors' earlier public code: the squared error, or the SSIM map, is averaged with the
saliency map as weight, and for SSIM the map is first blurred by the same Gaussian window. Uniform weights give the
plain value; a constant factor on the weights changes nothing.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

WINDOW = 11
SIGMA = 1.5

_LUMA = np.array([65.481, 128.553, 24.966])
_LUMA_OFFSET = 16.0
_PSNR_EPS = 1e-8
_C1 = (0.01 * 255) ** 2
_C2 = (0.03 * 255) ** 2
_MIDDLE = 128.0


def luma(rgb: ArrayLike) -> NDArray[np.float32]:
    """Y of studio-range BT.601, (65.481 R + 128.553 G + 24.966 B) + 16 with R, G, B in [0, 1]; not rounded.

    From (H, W, 3), uint8 in 0..255 or floating point in [0, 1], to (H, W) in [16, 235].

    Raises:
        ValueError: other shapes or types, values outside the range, NaN.
    """
    image = _image(rgb, "rgb")
    if image.ndim != 3:
        raise ValueError(f"rgb: expected shape (H, W, 3), got {image.shape}")
    return _channel_sum(image) + np.float32(_LUMA_OFFSET)


def psnr(distorted: ArrayLike, reference: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Peak signal-to-noise ratio in dB on luma, 10 log10(1 / (MSE + 1e-8)) with luma on a scale of 1.

    With weights w the error is sum(w e^2) / sum(w): EW-PSNR.

    Args:
        distorted, reference: (H, W, 3) RGB or (H, W) luma, uint8 or floating point in [0, 1].
        weights: (H, W), >= 0, not all zero.

    Returns:
        dB; 80 for identical images.

    Raises:
        ValueError: shapes that differ, other types, values outside the range, NaN, weights negative or all zero.
    """
    x, y = _image_pair(distorted, reference)
    error = _luma_difference(x, y).reshape(-1)
    if weights is None:
        mean_square = np.dot(error, error) / error.size
    else:
        w = _weights(weights, x.shape[:2]).reshape(-1)
        mean_square = np.dot(w * error, error) / w.sum(dtype=np.float64)
    return -10 * math.log10(float(mean_square) / 255**2 + _PSNR_EPS)


def ssim(distorted: ArrayLike, reference: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Structural similarity on luma, mean of the SSIM map over the valid area.

    With weights w the mean is sum(v SSIM) / sum(v), v = w blurred by the SSIM window: EW-SSIM.

    Args, Raises: as `psnr`; images of at least 11x11 pixels.

    Returns:
        Value in [0, 1]; 1 for identical images.
    """
    x, y = _image_pair(distorted, reference)
    if min(x.shape[:2]) < WINDOW:
        raise ValueError(f"SSIM expects images of at least {WINDOW}x{WINDOW} pixels, got {x.shape[:2]}")
    similarity = _ssim_map(_rounded_luma(x), _rounded_luma(y)).reshape(-1)
    if weights is None:
        return float(similarity.mean(dtype=np.float64))
    blurred = _blur(_weights(weights, x.shape[:2])).reshape(-1)
    return float(np.dot(blurred, similarity) / blurred.sum(dtype=np.float64))


def ew_psnr(distorted: ArrayLike, reference: ArrayLike, saliency: ArrayLike) -> float:
    """EW-PSNR: `psnr` weighted by a saliency map (H, W)."""
    return psnr(distorted, reference, saliency)


def ew_ssim(distorted: ArrayLike, reference: ArrayLike, saliency: ArrayLike) -> float:
    """EW-SSIM: `ssim` weighted by a saliency map (H, W)."""
    return ssim(distorted, reference, saliency)


# ---- the computations -----------------------------------------------------------------------------------------------
def _channel_sum(image: NDArray) -> NDArray[np.float32]:
    """65.481 R + 128.553 G + 24.966 B for R, G, B on a scale of 1."""
    import cv2

    scale = 255 if image.dtype == np.uint8 else 1
    return np.asarray(cv2.transform(image.astype(np.float32), (_LUMA / scale)[None]), np.float32)


def _luma_difference(x: NDArray, y: NDArray) -> NDArray[np.float32]:
    """Difference of unrounded luma on a scale of 255; luma is linear, so channels are subtracted first."""
    import cv2

    difference = np.asarray(cv2.subtract(x, y, dtype=cv2.CV_32F), np.float32)
    if x.dtype == np.uint8:
        difference *= np.float32(1 / 255)
    if x.ndim == 2:
        return difference * np.float32(255)
    return np.asarray(cv2.transform(difference, _LUMA[None]), np.float32)


def _rounded_luma(image: NDArray) -> NDArray[np.float32]:
    """Luma as the integers of an 8-bit image, as SSIM's original code expects."""
    if image.ndim == 3:
        values = _channel_sum(image) + np.float32(_LUMA_OFFSET)
    elif image.dtype == np.uint8:
        return image.astype(np.float32)
    else:
        values = image.astype(np.float32) * np.float32(255)
    return np.rint(values, out=values)


def _ssim_map(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.floating]:
    """SSIM at every valid position, from four blurs: of s = x + y, d = x - y and their squares.

    4 mean(x) mean(y) = mean(s)^2 - mean(d)^2, and likewise for the covariances. s is taken about mid-grey, which leaves
    variances as they are and keeps the squares small in float32.
    """
    s, d = x + y, x - y
    s -= np.float32(2 * _MIDDLE)
    s_mean, d_mean = _blur(s), _blur(d)
    s_variance = _blur(s * s) - s_mean * s_mean
    d_variance = _blur(d * d) - d_mean * d_mean
    contrast_structure = ((s_variance - d_variance) / 2 + _C2) / ((s_variance + d_variance) / 2 + _C2)
    np.maximum(contrast_structure, 0, out=contrast_structure)
    s_mean += np.float32(2 * _MIDDLE)
    s_square, d_square = s_mean * s_mean, d_mean * d_mean
    luminance = ((s_square - d_square) / 2 + _C1) / ((s_square + d_square) / 2 + _C1)
    return luminance * contrast_structure


def _blur(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Gaussian window of SSIM, valid area only: (H, W) -> (H - 10, W - 10)."""
    import cv2

    margin = WINDOW // 2
    blurred = np.asarray(cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA), np.float32)
    return blurred[margin:-margin, margin:-margin]


# ---- checks ---------------------------------------------------------------------------------------------------------
def _image_pair(distorted: ArrayLike, reference: ArrayLike) -> tuple[NDArray, NDArray]:
    x, y = _image(distorted, "distorted"), _image(reference, "reference")
    if x.shape != y.shape:
        raise ValueError(f"expected two images of one shape, got distorted {x.shape} and reference {y.shape}")
    if x.dtype != y.dtype:
        raise ValueError(f"expected two images of one type, got distorted {x.dtype} and reference {y.dtype}")
    return x, y


def _image(values: ArrayLike, name: str) -> NDArray:
    image = np.asarray(values)
    if image.size == 0 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        raise ValueError(f"{name}: expected an image of shape (H, W, 3) or (H, W), got {image.shape}")
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    if image.dtype.kind != "f":
        raise ValueError(f"{name}: expected uint8 or floating point in [0, 1], got {image.dtype}")
    if not (image.min() >= 0 and image.max() <= 1):
        raise ValueError(f"{name}: expected values in [0, 1], got {image.min():g} to {image.max():g}")
    return np.ascontiguousarray(image, np.float32)


def _weights(weights: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Checked weights, divided by their largest."""
    array = np.asarray(weights)
    if array.dtype.kind not in "fiub" or array.shape != shape:
        raise ValueError(
            f"weights: expected real numbers of the images' shape {shape}, got {array.dtype} of shape {array.shape}; "
            "resize the saliency map to the image first"
        )
    largest = float(array.max())
    if not (array.min() >= 0 and 0 < largest < math.inf):
        raise ValueError(f"weights: expected finite values >= 0, not all zero, got {array.min():g} to {largest:g}")
    return (array / array.max()).astype(np.float32)
