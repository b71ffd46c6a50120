"""What section II tells, in small: the statistic of natural scenes that early quality methods measure, on photographs that
are there in any installation."""

from collections.abc import Mapping

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
WINDOW, WINDOW_SD = 7, 7 / 6  # pixels: the window of BRISQUE
BLUR_SD, NOISE_SD = 2.0, 15.0  # pixels; levels of 255

PLAIN, BLURRED, NOISY = "undamaged", "blurred", "noisy"


def mscn(luminance: NDArray, constant: float = 1.0) -> NDArray[np.float64]:
    """Mean-subtracted, contrast-normalised coefficients (Mittal, Moorthy and Bovik 2012 [8]): how far each pixel lies from
    the mean around it, in standard deviations around it.

    Mean and standard deviation are weighted by a Gaussian window, two passes each.

    Args:
        luminance: (h, w), 0 to 255.
        constant: added to the standard deviation, so that flat places do not divide by zero.

    Returns:
        (h, w); about 0 on average.
    """
    values = np.asarray(luminance, np.float64)
    mean = _windowed(values)
    variance = _windowed(values**2) - mean**2
    return (values - mean) / (np.sqrt(variance.clip(0)) + constant)


def _windowed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(cv2.GaussianBlur(values, (WINDOW, WINDOW), WINDOW_SD, borderType=cv2.BORDER_REFLECT_101))


def versions(image: NDArray[np.uint8], seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Luminance of a photograph (h, w, 3) as it is, blurred, and with noise: name -> (h, w), 0 to 255."""
    plain = image @ np.array(LUMA)
    noise = np.random.default_rng(seed).normal(0, NOISE_SD, plain.shape)
    return {PLAIN: plain, BLURRED: np.asarray(cv2.GaussianBlur(plain, (0, 0), BLUR_SD)), NOISY: (plain + noise).clip(0, 255)}


def spread(photographs: Mapping[str, NDArray[np.uint8]]) -> pd.DataFrame:
    """Standard deviation of the coefficients: a row per photograph (name -> (h, w, 3)), a column per version of it."""
    found = {
        name: {version: mscn(one).std() for version, one in versions(image).items()} for name, image in photographs.items()
    }
    return pd.DataFrame.from_dict(found, orient="index")
