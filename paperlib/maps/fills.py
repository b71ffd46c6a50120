"""What takes the place of masked pixels: the paper's two colours, and the fills that its critics would ask for.

| fill | masked pixels become | source |
|---|---|---|
| `black` | (0, 0, 0) | section III-B, upper row of Figure 2 |
| `mean` | the mean colour of ImageNet, (124, 116, 104) | section III-B, bottom row of Figure 2 |
| `image_mean` | the picture's own mean colour, over all pixels | mean per channel, as in ROAR (Hooker et al. 2019) |
| `blur` | a blurred copy of the picture, sigma 10/224 of its height | Fong and Vedaldi 2017 (sigma 10 at 224 pixels) |
| `telea` | painted in from the rest by fast marching | Telea 2004, `cv2.INPAINT_TELEA` |
| `navier_stokes` | painted in along lines of equal brightness | Bertalmio, Bertozzi, Sapiro 2001, `cv2.INPAINT_NS` |

`image_mean` and `blur` still tell something about what they hide; the others do not. The first four are one replacement
picture whatever the mask is, and are put in on the device that scores; in-painting needs the mask and runs on the CPU.
OpenCV's in-painting looks at hidden pixels too, near the border of the picture, and spreads what it saw (by up to 10 of
255 levels where we tried); here they get the mean colour first, so that nothing of them shines through.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from paperlib.models.backbones import IMAGENET_MEAN
from paperlib.vocabulary import FILLS

PAPER_FILLS = ("black", "mean")
INPAINTING_FILLS = ("telea", "navier_stokes")

Painter = Callable[[Tensor], Tensor]
"""Byte masks (..., n or 1, h, w, 3) -> uint8 pictures (..., n, h, w, 3), masked and filled.

A byte mask is uint8, all ones (255) where masked and 0 elsewhere, once per colour: on processors, bitwise operations on
such bytes are thirty times faster than selecting by truth values, and on a GPU they cost nothing either.
"""

_BLACK = (0, 0, 0)
_IMAGENET_COLOUR = tuple(round(255 * value) for value in IMAGENET_MEAN)
_BLUR_SHARE = 10 / 224
_INPAINTING = {"telea": cv2.INPAINT_TELEA, "navier_stokes": cv2.INPAINT_NS}
_INPAINTING_RADIUS = 3


def fill(images: np.ndarray, mask: np.ndarray, name: str) -> NDArray[np.uint8]:
    """A copy of images with the masked pixels filled.

    Args:
        images: (n, h, w, 3) uint8.
        mask: (n, h, w), true where masked.
        name: one of `FILLS`.

    Returns:
        (n, h, w, 3) uint8; pixels outside the mask are those of `images`.

    Raises:
        ValueError: shapes that do not fit, or as `painter`.
    """
    if images.shape[:-1] != mask.shape:
        raise ValueError(f"images {images.shape} and masks {mask.shape}: expected (n, h, w, 3) and (n, h, w)")
    return painter(images, name)(byte_masks(mask)).numpy()


def byte_masks(masks: NDArray[np.bool_], device: Any = "cpu") -> Tensor:
    """Boolean masks (..., h, w) as a `Painter` takes them: (..., h, w, 3) uint8 on the device, 255 where masked."""
    return per_colour(torch.from_numpy(np.where(masks, np.uint8(255), np.uint8(0))).to(device))


def per_colour(values: Tensor) -> Tensor:
    """(..., h, w) repeated for the colours, (..., h, w, 3): faster than broadcasting over the innermost axis later."""
    return torch.stack((values, values, values), -1)


def painter(images: np.ndarray, name: str, device: Any = "cpu") -> Painter:
    """A function that masks these images with one fill, made once and called with any number of masks.

    Args:
        images: (n, h, w, 3) uint8.
        name: one of `FILLS`.
        device: where masks come from and pictures go to, as torch takes it.

    Returns:
        The function. A picture without an unmasked pixel has nothing to paint from: in-painting gives it the mean
        colour of ImageNet.

    Raises:
        ValueError: images of another shape or type, an unknown fill, in-painting of pictures of one row or column.
    """
    if name not in FILLS:
        raise ValueError(f"fill={name!r}; expected one of: {', '.join(FILLS)}")
    if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8 or images.size == 0:
        raise ValueError(f"images {images.shape} {images.dtype}: expected (n, h, w, 3) uint8")
    images = np.ascontiguousarray(images)
    if name in INPAINTING_FILLS:
        if min(images.shape[1:3]) < 2:  # OpenCV would read beyond the picture
            raise ValueError(f"images {images.shape}: {name} needs at least 2 x 2 pixels")
        return lambda masks: _painted_in(images, masks, name)
    originals = torch.tensor(images, device=device)
    changes = torch.from_numpy(images ^ _replacements(images, name)).to(device)
    return lambda masks: (changes & masks).bitwise_xor_(originals)


def _replacements(images: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """What each picture would be with every pixel masked: (n, h, w, 3), or one row of it, (1 or n, 1, w, 3)."""
    if name == "blur":
        sigma = _BLUR_SHARE * images.shape[1]
        return np.stack([cv2.GaussianBlur(one, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101) for one in images])
    if name == "image_mean":
        return np.full_like(images[:, :1], np.rint(images.mean((1, 2), keepdims=True)))
    return np.full_like(images[:1, :1], {"black": _BLACK, "mean": _IMAGENET_COLOUR}[name])


def _painted_in(images: NDArray[np.uint8], masks: Tensor, name: str) -> Tensor:
    """Byte masks (..., n or 1, h, w, 3) -> (..., n, h, w, 3) on the masks' device."""
    shape = np.broadcast_shapes(masks.shape, images.shape)
    masked = np.broadcast_to(masks[..., 0].cpu().numpy() > 0, shape[:-1]).reshape(-1, *shape[-3:-1])
    pictures = np.broadcast_to(images, shape).reshape(-1, *shape[-3:])
    out = [_one_painted_in(*pair, name) for pair in zip(pictures, masked, strict=True)]
    return torch.from_numpy(np.stack(out).reshape(shape)).to(masks.device)


def _one_painted_in(picture: NDArray[np.uint8], masked: NDArray[np.bool_], name: str) -> NDArray[np.uint8]:
    source = np.where(masked[..., None], np.array(_IMAGENET_COLOUR, np.uint8), picture)
    if masked.all():
        return source
    painted = cv2.inpaint(source, masked.astype(np.uint8), _INPAINTING_RADIUS, _INPAINTING[name])
    return np.where(masked[..., None], painted, picture)
