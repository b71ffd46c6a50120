"""The IQA methods of Table III behind one face: a picture, its reference and its saliency map in, one raw score out.

Names are the keys of `paperlib.paper.TABLE3`. PSNR, SSIM, EW-PSNR and EW-SSIM are `paperlib.metrics.weighted` (luma, as
in the authors' run), SGDNet is `paperlib.models.sgdnet`, all others are pyiqa's with its defaults, which the authors'
run took; so does every further metric of pyiqa, by its name there. The three Baselines are trained networks and enter
through `method_of_network`.

Nothing is downloaded: weights come from local files under their official names. Where pyiqa's checkpoint fills the
whole network, that file suffices; LPIPS, DISTS and AHIQ hold only what they learned on top of an ImageNet backbone,
whose official file of torchvision or timm is then needed too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.metrics import weighted
from paperlib.models import sgdnet
from paperlib.models.checkpoints import first_line
from paperlib.models.layers import hidden_modules
from paperlib.models.official import OfficialFile, located
from paperlib.models.quality.networks import (
    CROPS,
    build,
    higher_is_better,
    official_files,
    pieapp_by_parts,
    pyiqas_name,
    trimmed,
)
from paperlib.models.quality.offline import settings_of_pyiqa

_SGDNET_SOURCE = "https://github.com/ysyscool/SGDNet, as named in paperlib.models.sgdnet"
_BASELINES = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
SGDNETS: dict[str, sgdnet.Variant] = {"sgdnet_none": "none", "sgdnet_output": "output"}

Image = NDArray[Any]
SizeMode = Literal["full_res", "resize_384", "resize_384_512_or_512_384", "resize_384_512_or_512_384_horizontal"]
SIZE_MODES: tuple[SizeMode, ...] = get_args(SizeMode)
"""The four at which the authors scored SACID; Table III is `full_res`."""

_SHORT, _LONG = 384, 512  # of the authors' sizes

Scorer = Callable[[Image, Image | None, Image | None], float]


FORMULAS: dict[str, Callable[..., float]] = {
    "psnr": weighted.psnr,
    "ssim": weighted.ssim,
    "ew_psnr": weighted.ew_psnr,
    "ew_ssim": weighted.ew_ssim,
}


@dataclass(frozen=True)
class Traits:
    """What is known of a method before it is loaded.

    Attributes:
        name: as given.
        needs_reference: it compares a picture with the undistorted one (full reference).
        needs_saliency: it weighs with a saliency map.
        higher_is_better: False where a high score means a bad picture.
        files: the official files that it is loaded from.
    """

    name: str
    needs_reference: bool
    needs_saliency: bool
    higher_is_better: bool
    files: tuple[OfficialFile, ...]


@dataclass(frozen=True)
class Method(Traits):
    """A loaded method.

    Attributes:
        compute: of checked pictures, with None for what is not needed; use `score`.
        network: what computes it, in eval mode; None where that is a formula.
    """

    compute: Scorer
    network: nn.Module | None = None

    def score(self, distorted: Image, reference: Image | None = None, saliency: Image | None = None) -> float:
        """The score of one picture, on the method's own scale and in its own direction.

        Args:
            distorted: (h, w, 3) RGB, uint8 or floating point in [0, 1].
            reference: the undistorted picture, the same shape; left unused by methods without `needs_reference`.
            saliency: (h, w) floating point in [0, 1]; left unused by methods without `needs_saliency`.

        Raises:
            PaperlibError: reference or saliency is missing or of another size, the picture is too small for the method
                or too large for the memory, or the score is no finite number.
            ValueError: another shape, type or range.
        """
        _check(distorted, "distorted", 3)
        reference = self._companion(reference, "reference", 3, distorted) if self.needs_reference else None
        saliency = self._companion(saliency, "saliency map", 2, distorted) if self.needs_saliency else None
        height, width = distorted.shape[:2]
        try:
            score = self.compute(distorted, reference, saliency)
        except PaperlibError:
            raise
        except Exception as error:  # networks that are given a picture that does not suit them fail in many ways
            short = _is_lack_of_memory(error)
            raise PaperlibError(
                f"{self.name} cannot score a picture of {width}x{height} pixels: "
                + ("the memory does not suffice; choose a smaller size mode" if short else first_line(error))
            ) from error
        if not math.isfinite(score):
            raise PaperlibError(f"{self.name} gives {score} for a picture of {width}x{height} pixels: no score")
        return score

    def _companion(self, image: Image | None, what: str, dimensions: int, distorted: Image) -> Image:
        """The reference or the saliency map, checked."""
        if image is None:
            raise PaperlibError(f"{self.name} needs the {what} of a picture, and none was given")
        _check(image, what, dimensions)
        (height, width), (own_height, own_width) = image.shape[:2], distorted.shape[:2]
        if (height, width) != (own_height, own_width):
            raise PaperlibError(
                f"{self.name} needs a {what} of the picture's size {own_width}x{own_height}, got {width}x{height}; "
                f"resize it first"
            )
        return image


# ---- names ----------------------------------------------------------------------------------------------------------
def describe(name: str) -> Traits:
    """What a method needs and how its scores point, without loading it.

    At once for the methods of Table III; another metric of pyiqa is built with random weights to see what it asks for.

    Raises:
        PaperlibError: there is no such method.
    """
    if name in FORMULAS:
        return Traits(name, True, name.startswith("ew_"), True, ())
    if name in SGDNETS:
        file = OfficialFile(sgdnet.OFFICIAL_FILES[SGDNETS[name]], "sgdnet", _SGDNET_SOURCE, name)
        return Traits(name, False, False, sgdnet.SGDNet.higher_is_better, (file,))
    metric = metric_of(name)
    return Traits(name, _mode(metric) == "FR", False, higher_is_better(metric), official_files(metric))


def metric_of(name: str) -> str:
    """pyiqa's name of a method.

    Raises:
        PaperlibError: it has none, or none that scores single pictures.
    """
    if name in _BASELINES:
        raise PaperlibError(f"{name} is trained here and has no official file; load it and give the network instead")
    metric = pyiqas_name(name, "method", [*FORMULAS, *SGDNETS], "a key of Table III or a metric of pyiqa")
    if _mode(metric) not in ("FR", "NR") or metric in ("fid", "inception_score"):
        raise PaperlibError(f"{name} scores sets of pictures, not single ones; choose another metric")
    return metric


def _mode(metric: str) -> str | None:
    return settings_of_pyiqa()[metric].get("metric_mode")


# ---- opening --------------------------------------------------------------------------------------------------------
def open_method(
    name: str, weights_root: Path | None = None, device: torch.device | str = "cpu", crops: int | None = None
) -> Method:
    """A method with its weights, from local files alone.

    Args:
        name: a key of `paperlib.paper.TABLE3` but the Baselines', or a metric of pyiqa by its name there.
        weights_root: folder that holds the files under their official names (`describe(name).files`); what is not in it,
            or all with None, is looked for where the libraries keep it: torch's hub cache and, for backbones of timm,
            Hugging Face's.
        device: where networks compute; pictures are given and scores returned on the CPU all the same.
        crops: how many crops of a picture AHIQ (20), MANIQA (20), TReS (50) and HyperIQA (25) score; other methods
            look at the whole picture. None is the official number; fewer, at least 1 (AHIQ: 2), are for rehearsals alone.

    Raises:
        PaperlibError: no such method, a missing, damaged or unfit file.
        ValueError: `crops` below 1.
    """
    if crops is not None and crops < 1:
        raise ValueError(f"crops must be at least 1, got {crops}")
    if weights_root is not None and not weights_root.is_dir():
        raise PaperlibError(f"{name}: there is no folder of weights {weights_root}; check its path")
    traits = describe(name)
    if name in FORMULAS:
        return Method(**vars(traits), compute=FORMULAS[name])
    if name in SGDNETS:
        own = sgdnet.load_sgdnet(located(traits.files, weights_root, name)[0], SGDNETS[name])
        own.to(device)
        return Method(**vars(traits), compute=lambda image, *_: _sgdnet_score(own, image, device), network=own)
    metric = metric_of(name)
    network = _ready(trimmed(metric, build(metric, weights_root)), device)
    if crops is not None and metric in CROPS:
        attribute, fewest = CROPS[metric]
        setattr(network, attribute, max(crops, fewest))
    forward = pieapp_by_parts(network) if metric == "pieapp" else network
    return Method(**vars(traits), compute=_network_scorer(forward, device), network=network)


def method_of_network(
    name: str, network: nn.Module, higher_is_better: bool = True, device: torch.device | str = "cpu"
) -> Method:
    """A no-reference method of a loaded network, such as a Baseline.

    Args:
        name: of the method.
        network: float images (n, 3, h, w), RGB in [0, 1], to (n,) or (n, 1); switched to eval mode and moved.
        higher_is_better: False where a high score means a bad picture.
        device: where it computes.
    """
    compute = _network_scorer(_ready(network, device), device)
    return Method(name, False, False, higher_is_better, (), compute, network)


def _ready(network: nn.Module, device: torch.device | str) -> nn.Module:
    """In eval mode and on the device, with what it hides in plain lists."""
    for module in (network, *hidden_modules(network)):
        module.eval().to(device)
    return network


# ---- scoring --------------------------------------------------------------------------------------------------------
def _sgdnet_score(network: sgdnet.SGDNet, image: Image, device: torch.device | str) -> float:
    """`SGDNet.predict`, also of pictures that were resized and are no longer 8-bit."""
    if image.dtype == np.uint8:
        return network.predict(image)[0]
    prepared = cv2.resize(_unit_range(image), sgdnet.INPUT_SIZE[::-1])
    with torch.inference_mode():
        return network(_tensor(prepared, device)).item()


def _network_scorer(network: Callable[..., Tensor], device: torch.device | str) -> Scorer:
    def score(distorted: Image, reference: Image | None, _: Image | None) -> float:
        images = [_tensor(image, device) for image in (distorted, reference) if image is not None]
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            scores = network(*images)
        if scores.numel() != 1:
            raise ValueError(f"expected one score for one picture, got {tuple(scores.shape)}")
        return float(scores)

    return score


def _tensor(image: Image, device: torch.device | str) -> Tensor:
    """(1, 3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(_unit_range(image)).permute(2, 0, 1)[None].contiguous().to(device)


def _unit_range(image: Image) -> NDArray[np.float32]:
    """float32 in [0, 1]."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype.kind != "f":
        raise ValueError(f"expected uint8 or floating point in [0, 1], got {image.dtype}")
    return np.ascontiguousarray(image, np.float32)


def _check(image: Image, what: str, dimensions: int) -> None:
    """A picture has 3 dimensions and may be of 8 bits, a map has 2."""
    if image.ndim != dimensions or image.shape[2:] not in ((), (3,)) or image.size == 0:
        raise ValueError(f"{what}: expected {'(h, w, 3)' if dimensions == 3 else '(h, w)'}, got {image.shape}")
    if dimensions == 3 and image.dtype == np.uint8:
        return
    if image.dtype.kind != "f" or not (image.min() >= 0 and image.max() <= 1):
        values = f"{image.dtype}, {image.min():g} to {image.max():g}"
        raise ValueError(f"{what}: expected floating point in [0, 1], got {values}")


def _is_lack_of_memory(error: Exception) -> bool:
    told = str(error).lower()
    return isinstance(error, MemoryError) or "can't allocate" in told or "out of memory" in told


# ---- sizes ----------------------------------------------------------------------------------------------------------
def resized(image: Image, mode: SizeMode) -> Image:
    """A picture, reference or saliency map at one of the authors' sizes: bilinear, without antialiasing, not rounded.

    Args:
        image: (h, w, 3) or (h, w), uint8 or floating point in [0, 1].
        mode: `full_res` leaves it as it is; `resize_384` makes the shorter side 384; `resize_384_512_or_512_384` is 384
            high and 512 wide, upright pictures (higher than wide) 512 high and 384 wide; with `_horizontal` those are
            then transposed, so that all are 384 x 512.

    Returns:
        The image itself for `full_res`, else float32 in [0, 1].

    Raises:
        ValueError: another mode, shape or type.
    """
    if mode not in SIZE_MODES:
        raise ValueError(f"size mode must be one of {', '.join(SIZE_MODES)}, got {mode!r}")
    if mode == "full_res":
        return image
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"image must be (h, w, 3) or (h, w), got {image.shape}")
    pixels = torch.from_numpy(_unit_range(image))
    channels_first = pixels[None] if image.ndim == 2 else pixels.permute(2, 0, 1)
    height, width = image.shape[:2]
    size = _target(height, width, mode)
    made = nn.functional.interpolate(channels_first[None], size, mode="bilinear", align_corners=False)[0]
    if mode.endswith("horizontal") and height > width:
        made = made.transpose(1, 2)
    return np.ascontiguousarray((made[0] if image.ndim == 2 else made.permute(1, 2, 0)).numpy())


def _target(height: int, width: int, mode: SizeMode) -> tuple[int, int]:
    if mode == "resize_384":
        longer = int(_SHORT * max(height, width) / min(height, width))
        return (_SHORT, longer) if height <= width else (longer, _SHORT)
    return (_SHORT, _LONG) if height <= width else (_LONG, _SHORT)
