"""Score and maps of any picture by the networks that ship with the companion (`paperlib.models.shipped`)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from paperlib.maps.hirescam import extract
from paperlib.models.baseline import to_unit_range
from paperlib.models.shipped import describe, load_shipped
from paperlib.sources.maps import sized

GRADCAM, SALIENCY = "GradCAM (Baseline)", "Saliency (Baseline-Sal-Loss)"


@dataclass(frozen=True, eq=False)
class Looked:
    """What they say about a picture.

    Attributes:
        score: of the Baseline, about 0 to 1, higher is better.
        gradcam: (h, w) float32 in [0, 1], why the Baseline scores so: its smoothed HiResCAM, as in section III-A.
        saliency: (h, w) float32 in [0, 1], its maximum 1, where the decoder of Baseline-Sal-Loss expects people to look.
    """

    score: float
    gradcam: NDArray[np.float32]
    saliency: NDArray[np.float32]


def look_into(image: NDArray[np.uint8]) -> Looked:
    """Score, GradCAM and saliency of a picture (h, w, 3) uint8 of any size.

    Raises:
        PaperlibError: the networks' files are missing or damaged.
    """
    baseline, seen = load_shipped("baseline"), _as_seen(image)
    with torch.inference_mode():
        score = baseline(to_unit_range(seen)).item()
    (gradcam,) = extract(baseline, seen, layer=baseline.last_features)
    return Looked(score, sized(gradcam, image.shape[:2]), expected_saliency(image))


def expected_saliency(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Where the decoder of Baseline-Sal-Loss expects people to look in a picture (h, w, 3) uint8: `Looked.saliency`.

    Raises:
        PaperlibError: the network's file is missing or damaged.
    """
    network = load_shipped("sal_loss")
    with torch.inference_mode():
        decoded = network.decode(network.features(to_unit_range(_as_seen(image))))[0].numpy()
    saliency = sized(decoded, image.shape[:2])
    return saliency / max(saliency.max(), 1e-9)


def _as_seen(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(1, h, w, 3), at the size of the networks' training."""
    height, width = describe("baseline")["size"]
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))[None]
