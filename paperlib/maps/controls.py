"""Maps that know nothing, or too little: what every table of saliency maps should be read against."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

_BLUR_SHARE = 1 / 40
_CENTER_SHARE = 1 / 4
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def noise_maps(n: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """(n, height, width) float32, independent uniform noise in [0, 1]."""
    return rng.random((n, height, width), dtype=np.float32)


def shuffled_maps(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same maps (n, h, w), each given to another image: a random cyclic order leaves none in its place.

    Raises:
        ValueError: fewer than two maps, which cannot change places.
    """
    if len(maps) < 2:
        raise ValueError(f"{len(maps)} map(s): expected at least 2 to change places")
    order = rng.permutation(len(maps))
    shuffled = np.empty_like(maps)
    shuffled[order] = maps[np.roll(order, 1)]
    return shuffled


def edge_energy_maps(images: ArrayLike, blur: float = _BLUR_SHARE) -> NDArray[np.float32]:
    """Magnitude of the luma gradient (Sobel), blurred: where the picture has detail, whatever it shows.

    Args:
        images: (n, h, w, 3) uint8, RGB.
        blur: standard deviation of the Gaussian blur as a share of the height; 0 leaves the edges sharp.

    Returns:
        (n, h, w), >= 0, in grey levels per pixel; a picture of one colour gives zeros. Borders are mirrored.

    Raises:
        ValueError: other shapes or types, a negative blur.
    """
    import cv2

    pictures = np.asarray(images)
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or pictures.dtype != np.uint8 or 0 in pictures.shape[1:3]:
        raise ValueError(f"images: expected uint8 of shape (n, h, w, 3), got {pictures.dtype} {pictures.shape}")
    if not 0 <= blur < np.inf:
        raise ValueError(f"blur: expected a share of the height >= 0, got {blur}")
    height = pictures.shape[1]
    energy = np.empty(pictures.shape[:3], np.float32)
    for picture, target in zip(pictures, energy, strict=True):
        luma = picture @ _LUMA
        across, down = (cv2.Sobel(luma, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
        target[:] = cv2.magnitude(across, down)
        if blur:
            target[:] = cv2.GaussianBlur(target, (0, 0), blur * height, borderType=cv2.BORDER_REFLECT)
    return energy


def center_only(height: int, width: int) -> NDArray[np.float32]:
    """A fixed Gaussian about the middle, standard deviations a quarter of height and width: no data behind it.

    Returns:
        (height, width), in pixels; maximum 1 (reached at a pixel where the size is odd).

    Raises:
        ValueError: a size below 1.
    """
    if height < 1 or width < 1:
        raise ValueError(f"expected a height and a width of at least 1, got {height} and {width}")
    y, x = (((np.arange(size) + 0.5) / size - 0.5) / _CENTER_SHARE for size in (height, width))
    return np.exp(-0.5 * (y[:, None] ** 2 + x**2)).astype(np.float32)


def blob_maps(n: int, height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Blobs of noise: uniform noise on a grid of 8 x 12, enlarged by cubic interpolation; as smooth as saliency maps are.

    Returns:
        (n, height, width), about 0 to 1 (the interpolation overshoots a little).
    """
    import cv2

    noise = noise_maps(n, 8, 12, rng)
    return np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_CUBIC) for one in noise])
