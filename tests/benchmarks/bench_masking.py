"""Blur, masks and masked pictures of one 640x480 photograph beside torchvision and pytorch-grad-cam; the bootstrap."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from paperlib.maps.fills import PAPER_FILLS
from paperlib.maps.masking import KERNEL_SIZE, SIGMA, blur, quantile_masks, variants
from paperlib.metrics.correlation import srocc_resamples
from paperlib.models.baseline import IMAGENET_MEAN, to_unit_range

from .timing import compare

FRACTIONS = tuple(tenth / 10 for tenth in range(1, 10))


def _photograph_and_map() -> tuple[np.ndarray, np.ndarray]:
    """(1, 480, 640, 3) uint8 and a map (1, 480, 640) without equal values."""
    import cv2
    from skimage import data

    noise = np.random.default_rng(0).random((480, 640), dtype=np.float32)
    return cv2.resize(data.astronaut(), (640, 480))[None], blur(cv2.GaussianBlur(noise, (0, 0), 20)[None])


def blur_beside_torchvision() -> dict[str, Any]:
    from torchvision.transforms.functional import gaussian_blur

    maps = _photograph_and_map()[1]
    tensor, size, sigma = torch.from_numpy(maps)[:, None], [KERNEL_SIZE] * 2, [SIGMA] * 2
    return compare(
        "Gaussian blur, kernel 101, sigma 2, 480x640",
        "torchvision gaussian_blur",
        lambda: blur(maps),
        lambda: gaussian_blur(tensor, size, sigma),
        goal=150,
        rounds=3,
    )


def _ours(as_floats: bool) -> Callable[[], list[torch.Tensor]]:
    images, maps = _photograph_and_map()

    def masked() -> list[torch.Tensor]:
        masks = {"map": quantile_masks(maps, FRACTIONS)}
        steps = variants(images, masks, PAPER_FILLS)
        return [to_unit_range(pictures[0]) if as_floats else pictures[0] for _, pictures in steps]

    return masked


def _peer() -> Callable[[], list[torch.Tensor]]:
    """The library's two removers, with fills that are no more than one `torch.where`, on the network's floats.

    Its percentile is the share that stays; the pictures come in the order of ours.
    """
    from pytorch_grad_cam.metrics.perturbation_confidence import RemoveLeastRelevantFirst, RemoveMostRelevantFirst

    images, maps = _photograph_and_map()
    picture, relevance = to_unit_range(images)[0].contiguous(), torch.from_numpy(maps[0])
    colours = [torch.tensor(colour).view(3, 1, 1) for colour in ((0.0, 0.0, 0.0), IMAGENET_MEAN)]

    def masked() -> list[torch.Tensor]:
        return [
            remover(100 * (1 - fraction), lambda image, kept, colour=colour: torch.where(kept.bool(), image, colour))(
                picture, relevance
            )
            for remover in (RemoveLeastRelevantFirst, RemoveMostRelevantFirst)
            for fraction in FRACTIONS
            for colour in colours
        ]

    return masked


def masked_pictures() -> dict[str, Any]:
    return compare(
        "36 masked pictures, uint8, one map sorted once",
        "pytorch-grad-cam removers, float",
        _ours(as_floats=False),
        _peer(),
        goal=4,
        rounds=7,
        per=36,
    )


def masked_pictures_as_floats() -> dict[str, Any]:
    return compare(
        "36 masked pictures, then the network's floats",
        "pytorch-grad-cam removers, float",
        _ours(as_floats=True),
        _peer(),
        goal=4,
        rounds=7,
        per=36,
    )


def thresholds() -> dict[str, Any]:
    maps = _photograph_and_map()[1]
    return compare(
        "bands of 9 fractions, both orders",
        "np.percentile, once per fraction and order",
        lambda: quantile_masks(maps, FRACTIONS),
        lambda: [np.percentile(values, 100 * share) for values in (maps, 1 - maps) for share in FRACTIONS],
        goal=10,
        rounds=7,
    )


def bootstrap_of_curves() -> dict[str, Any]:
    from scipy import stats

    rng = np.random.default_rng(0)
    mos = rng.normal(size=2015)
    scores = mos + rng.normal(size=(18, 2015))

    def peer() -> list[float]:
        draws = np.random.default_rng(0).integers(0, mos.size, (32, mos.size))
        return [stats.spearmanr(row[drawn], mos[drawn])[0] for row in scores for drawn in draws]

    return compare(
        "SROCC of 18 points in 32 joint resamples, 2015 images",
        "scipy spearmanr loop",
        lambda: srocc_resamples(scores, mos, 0, n_boot=32),
        peer,
        goal=15,
        rounds=3,
        per=18 * 32,
    )


BENCHMARKS = [blur_beside_torchvision, masked_pictures, masked_pictures_as_floats, thresholds, bootstrap_of_curves]
