"""Colour photographs that ship inside installed dependencies, with a simulated gaze density (Section III-D, demo).

The pictures are real and are read by path from the wheels of scikit-image, scikit-learn and matplotlib: nothing is
downloaded. The gaze is a **simulation**: nobody's eyes were recorded. `_GAZE_POINTS` names by hand, for each
photograph, the places that a viewer would look at; the density is .80 of those + .12 centre bias + .08 uniform, the
same three parts as in the micro-world. `predicted_saliency` stands for the prediction of TranSalNet [3], with which the
paper's authors steered their encoder: it is imperfect on purpose.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from paperlib.errors import PaperlibError

SUBJECT_SHARE, CENTRE_SHARE, UNIFORM_SHARE = 0.80, 0.12, 0.08
CENTRE_SIGMA = 0.25
MULTIPLE = 16

_FILES: dict[str, tuple[str, str]] = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "grace_hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "hubble_deep_field": ("skimage", "data/hubble_deep_field.jpg"),
    "retina": ("skimage", "data/retina.jpg"),
}
PHOTOGRAPHS = tuple(_FILES)

# (x, y) relative to width and height, standard deviation relative to the shorter side, weight
_GAZE_POINTS: dict[str, tuple[tuple[float, float, float, float], ...]] = {
    "astronaut": (
        (0.435, 0.22, 0.065, 1.0),  # face
        (0.81, 0.33, 0.060, 0.3),  # shuttle
        (0.33, 0.75, 0.045, 0.25),  # mission patch
        (0.595, 0.70, 0.030, 0.15),  # name badge
        (0.76, 0.83, 0.070, 0.2),  # helmet
    ),
    "chelsea": (
        (0.38, 0.385, 0.08, 0.8),  # left eye
        (0.705, 0.46, 0.08, 0.7),  # right eye
        (0.58, 0.81, 0.08, 0.6),  # nose
    ),
    "coffee": (
        (0.47, 0.36, 0.12, 1.0),  # coffee in the cup
        (0.61, 0.72, 0.06, 0.4),  # spoon
        (0.385, 0.68, 0.05, 0.25),  # handle
    ),
    "rocket": (
        (0.505, 0.36, 0.04, 0.8),  # tip with the emblem
        (0.503, 0.60, 0.07, 0.6),  # body
        (0.50, 0.92, 0.05, 0.25),  # pad
        (0.24, 0.885, 0.03, 0.15),  # lights on the left
        (0.57, 0.93, 0.03, 0.15),  # lights on the right
    ),
    "china": (
        (0.32, 0.09, 0.03, 0.2),  # finial
        (0.32, 0.22, 0.07, 0.5),  # upper roof
        (0.33, 0.42, 0.08, 0.6),  # middle storey
        (0.33, 0.67, 0.09, 0.5),  # lower storey
        (0.73, 0.55, 0.04, 0.15),  # island
    ),
    "flower": (
        (0.48, 0.51, 0.09, 1.0),  # heart of the flower
        (0.48, 0.50, 0.18, 0.5),  # petals
        (0.60, 0.95, 0.05, 0.25),  # second flower
    ),
    "grace_hopper": (
        (0.455, 0.32, 0.05, 0.6),  # left eye
        (0.585, 0.32, 0.05, 0.6),  # right eye
        (0.52, 0.46, 0.05, 0.35),  # mouth
        (0.515, 0.11, 0.05, 0.45),  # badge on the cap
        (0.24, 0.835, 0.045, 0.25),  # name plate
        (0.78, 0.85, 0.05, 0.25),  # ribbons
    ),
    "motorcycle": (
        (0.57, 0.41, 0.08, 0.6),  # tank
        (0.56, 0.62, 0.09, 0.7),  # engine
        (0.72, 0.31, 0.06, 0.5),  # headlight
        (0.27, 0.64, 0.08, 0.3),  # rear wheel
        (0.82, 0.75, 0.08, 0.3),  # front wheel
    ),
    "hubble_deep_field": (
        (0.73, 0.545, 0.04, 0.5),  # bright orange galaxy
        (0.755, 0.665, 0.035, 0.5),  # star with spikes
        (0.125, 0.46, 0.04, 0.4),  # spiral galaxy
        (0.98, 0.56, 0.03, 0.2),
        (0.445, 0.175, 0.035, 0.3),
        (0.29, 0.125, 0.03, 0.3),
        (0.51, 0.505, 0.035, 0.3),
        (0.42, 0.82, 0.03, 0.25),
        (0.775, 0.845, 0.03, 0.2),
        (0.31, 0.38, 0.03, 0.2),
        (0.405, 0.085, 0.03, 0.2),
    ),
    "retina": (
        (0.17, 0.46, 0.07, 1.0),  # optic disc
        (0.50, 0.49, 0.07, 0.6),  # macula
        (0.22, 0.28, 0.06, 0.2),  # branching vessels
    ),
}


@dataclass(frozen=True, eq=False)
class Photograph:
    """A photograph with its simulated gaze.

    Attributes:
        name: one of `PHOTOGRAPHS`.
        image: (H, W, 3) uint8 RGB; H and W are multiples of 16.
        gaze: (H, W) float32 density of the simulated gaze, > 0 everywhere, sum 1.
    """

    name: str
    image: np.ndarray
    gaze: np.ndarray


def open_photographs(names: Sequence[str] = PHOTOGRAPHS, size: tuple[int, int] = (384, 512)) -> list[Photograph]:
    """Read photographs from the installed wheels.

    Args:
        names: which of `PHOTOGRAPHS`.
        size: (height, width) whose product bounds the area in pixels; a larger picture is area-downsized (aspect
            ratio kept), a smaller one stays; then both sides are centre-cropped to multiples of 16.

    Returns:
        The records in the order of `names`.

    Raises:
        ValueError: unknown name or a size below 64 x 64.
        PaperlibError: the installed package does not hold the picture.
    """
    unknown = [name for name in names if name not in _FILES]
    if unknown:
        raise ValueError(f"photographs must be among {', '.join(PHOTOGRAPHS)}; got {', '.join(unknown)}")
    if min(size) < 64:
        raise ValueError(f"size must be at least (64, 64), got {tuple(size)}")
    return [_open(name, size[0] * size[1]) for name in names]


def _open(name: str, area: int) -> Photograph:
    package, inside = _FILES[name]
    image = Image.fromarray(_read(package, inside))
    scale = min(1.0, np.sqrt(area / (image.width * image.height)))
    if scale < 1.0:
        image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.BOX)
    full_height, full_width = image.height, image.width
    height, width = (side // MULTIPLE * MULTIPLE for side in (full_height, full_width))
    top, left = (full_height - height) // 2, (full_width - width) // 2
    gaze = _gaze_density(_GAZE_POINTS[name], full_height, full_width)[top : top + height, left : left + width]
    pixels = np.asarray(image)[top : top + height, left : left + width]
    return Photograph(name, np.ascontiguousarray(pixels), (gaze / gaze.sum()).astype(np.float32))


def _read(package: str, inside: str) -> np.ndarray:
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else None
    if path is None or not path.is_file():
        raise PaperlibError(
            f"the photograph {inside} was expected inside the installed package {package} and is not there; "
            f"reinstall that package in the version that requirements.lock names"
        )
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _gaze_density(points: Sequence[tuple[float, float, float, float]], height: int, width: int) -> np.ndarray:
    """(height, width) float64: subject points, centre bias and a uniform floor, each normalised before mixing."""
    shorter = min(height, width)
    subject = np.zeros((height, width))
    for x, y, sigma, weight in points:
        subject += weight * _gaussian(height, width, (x, y), (sigma * shorter / width, sigma * shorter / height))
    floor = UNIFORM_SHARE / (height * width)
    return SUBJECT_SHARE * subject / subject.sum() + CENTRE_SHARE * centre_bias(height, width) + floor


def centre_bias(height: int, width: int) -> np.ndarray:
    """The centre bias of the simulated gaze: (height, width) float64, a Gaussian of a quarter of each side, sum 1."""
    return _gaussian(height, width, (0.5, 0.5), (CENTRE_SIGMA, CENTRE_SIGMA))


def _gaussian(height: int, width: int, centre: tuple[float, float], sigma: tuple[float, float]) -> np.ndarray:
    """Sum 1; `centre` and `sigma` are (x, y) relative to width and height."""
    y = ((np.arange(height)[:, None] + 0.5) / height - centre[1]) / sigma[1]
    x = ((np.arange(width)[None, :] + 0.5) / width - centre[0]) / sigma[0]
    bump = np.exp(-0.5 * (y**2 + x**2))
    return bump / bump.sum()


def predicted_saliency(photograph: Photograph, knowledge: float = 0.5) -> np.ndarray:
    """An imperfect saliency map: what the encoder and the eye-tracking weighted metrics are given.

    Half (by default) a gaze density blurred with 6 % of the shorter side, half the bottom-up spectral residual of the
    picture. The mixture stands for TranSalNet's prediction: related to where people look, never equal to it.

    Args:
        photograph: the record.
        knowledge: share of the blurred gaze in [0, 1]; the rest is spectral residual.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        ValueError: `knowledge` outside [0, 1].
    """
    if not 0.0 <= knowledge <= 1.0:
        raise ValueError(f"knowledge must lie in [0, 1], got {knowledge}")
    height, width = photograph.gaze.shape
    blurred = ndimage.gaussian_filter(photograph.gaze.astype(np.float64), 0.06 * min(height, width), mode="nearest")
    residual = spectral_residual(photograph.image).astype(np.float64)
    return _unit_range(knowledge * _unit_range(blurred) + (1 - knowledge) * _unit_range(residual)).astype(np.float32)


def spectral_residual(image: np.ndarray, width: int = 64) -> np.ndarray:
    """Spectral residual saliency (Hou & Zhang, CVPR 2007).

    The log amplitude spectrum of the picture, reduced to `width` pixels, minus its 3x3 local mean, is transformed back
    with the original phase, squared and smoothed.

    Args:
        image: (H, W, 3) uint8.
        width: width in pixels at which the spectrum is taken.

    Returns:
        (H, W) float32 in [0, 1].

    Raises:
        ValueError: not an (H, W, 3) uint8 picture.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image must be (H, W, 3) uint8, got {image.shape} {image.dtype}")
    small_height = max(1, round(image.shape[0] * width / image.shape[1]))
    small = Image.fromarray(image).convert("L").resize((width, small_height), Image.Resampling.BOX)
    spectrum = np.fft.fft2(np.asarray(small, dtype=np.float64))
    log_amplitude = np.log(np.abs(spectrum) + 1e-8)
    residual = log_amplitude - ndimage.uniform_filter(log_amplitude, 3, mode="wrap")
    energy = np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))) ** 2
    smooth = Image.fromarray(ndimage.gaussian_filter(energy, 2.5).astype(np.float32))
    large = smooth.resize((image.shape[1], image.shape[0]), Image.Resampling.BILINEAR)
    return _unit_range(np.asarray(large)).astype(np.float32)


def _unit_range(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def fingerprint(photographs: Sequence[Photograph]) -> str:
    """sha256 over names, sizes, pixels and gaze densities, as hexadecimal digits: equal only for equal sets."""
    digest = hashlib.sha256()
    for photograph in photographs:
        digest.update(f"{photograph.name} {photograph.image.shape}".encode())
        digest.update(photograph.image.tobytes())
        digest.update(photograph.gaze.tobytes())
    return digest.hexdigest()
