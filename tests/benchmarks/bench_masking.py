"""Blur, masks and masked pictures of one 640x480 photograph beside torchvision and pytorch-grad-cam."""

import numpy as np
import torch

from paperlib.maps.fills import PAPER_FILLS
from paperlib.maps.masking import KERNEL_SIZE, SIGMA, blur, quantile_masks, variants
from paperlib.models.backbones import IMAGENET_MEAN
from paperlib.models.baseline import to_unit_range

from .timing import Sides, benchmark

FRACTIONS = tuple(tenth / 10 for tenth in range(1, 10))


def _photograph_and_map() -> tuple[np.ndarray, np.ndarray]:
    """(1, 480, 640, 3) uint8 and a map (1, 480, 640) without equal values."""
    import cv2
    from skimage import data

    noise = np.random.default_rng(0).random((480, 640), dtype=np.float32)
    return cv2.resize(data.astronaut(), (640, 480))[None], blur(cv2.GaussianBlur(noise, (0, 0), 20)[None])


@benchmark("Gaussian blur, kernel 101, sigma 2, 480x640", "torchvision gaussian_blur", goal=150, rounds=3)
def blur_beside_torchvision() -> Sides:
    from torchvision.transforms.functional import gaussian_blur

    maps = _photograph_and_map()[1]
    tensor = torch.from_numpy(maps)[:, None]
    return lambda: blur(maps), lambda: gaussian_blur(tensor, [KERNEL_SIZE] * 2, [SIGMA] * 2)


@benchmark(
    "36 masked pictures, then the network's floats", "pytorch-grad-cam removers, float", True, goal=4, rounds=7, per=36
)
@benchmark(
    "36 masked pictures, uint8, one map sorted once", "pytorch-grad-cam removers, float", False, goal=4, rounds=7, per=36
)
def masked_pictures(as_floats: bool) -> Sides:
    """The library's two removers, with fills that are no more than one `torch.where`, on the network's floats.

    Its percentile is the share that stays; the pictures come in the order of ours.
    """
    from pytorch_grad_cam.metrics.perturbation_confidence import RemoveLeastRelevantFirst, RemoveMostRelevantFirst

    images, maps = _photograph_and_map()
    picture, relevance = to_unit_range(images)[0].contiguous(), torch.from_numpy(maps[0])
    colours = [torch.tensor(colour).view(3, 1, 1) for colour in ((0.0, 0.0, 0.0), IMAGENET_MEAN)]

    def ours() -> list[torch.Tensor]:
        steps = variants(images, {"map": quantile_masks(maps, FRACTIONS)}, PAPER_FILLS)
        return [to_unit_range(pictures[0]) if as_floats else pictures[0] for _, pictures in steps]

    def theirs() -> list[torch.Tensor]:
        return [
            remover(100 * (1 - fraction), lambda image, kept, colour=colour: torch.where(kept.bool(), image, colour))(
                picture, relevance
            )
            for remover in (RemoveLeastRelevantFirst, RemoveMostRelevantFirst)
            for fraction in FRACTIONS
            for colour in colours
        ]

    return ours, theirs


@benchmark("bands of 9 fractions, both orders", "np.percentile, once per fraction and order", goal=10, rounds=7)
def thresholds() -> Sides:
    maps = _photograph_and_map()[1]
    return (
        lambda: quantile_masks(maps, FRACTIONS),
        lambda: [np.percentile(values, 100 * share) for values in (maps, 1 - maps) for share in FRACTIONS],
    )
