"""A fixed order of presets as a method: what it is to beat in FracCP."""

import numpy as np


def preset_order(truth: np.ndarray, presets: np.ndarray) -> np.ndarray:
    """A fixed order of presets as a method: each version scores the mean of its preset over the *other* images.

    Args:
        truth: (images, versions) subjective scores, at least 2 images.
        presets: (versions,) preset of each version, the same in all images.

    Returns:
        (images, versions).

    Raises:
        ValueError: fewer than two images, or lengths that differ.
    """
    if truth.ndim != 2 or len(truth) < 2 or presets.shape != truth.shape[1:]:
        raise ValueError(
            f"expected truth (images >= 2, versions) and presets (versions,), got {truth.shape} and {presets.shape}"
        )
    _, index = np.unique(presets, return_inverse=True)
    same = index[:, None] == index[None, :]
    per_image = truth @ (same / same.sum(axis=0))
    return (per_image.sum(axis=0) - per_image) / (len(truth) - 1)
