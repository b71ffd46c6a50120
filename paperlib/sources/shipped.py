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
    height, width = describe("baseline")["size"]
    seen = np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))[None]
    baseline, dual = load_shipped("baseline"), load_shipped("sal_loss")
    with torch.inference_mode():
        score = baseline(to_unit_range(seen)).item()
        decoded = dual.decode(dual.features(to_unit_range(seen)))[0].numpy()
    (gradcam,) = extract(baseline, seen, layer=baseline.last_features)
    size = image.shape[:2]
    saliency = sized(decoded, size)
    return Looked(score, sized(gradcam, size), saliency / max(saliency.max(), 1e-9))
