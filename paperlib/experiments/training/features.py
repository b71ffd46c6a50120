"""Stores what the part of a backbone that is not trained makes of every picture, once for all trainings."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from paperlib.datasets.training_pairs import resized
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result
from paperlib.experiments.sets.opening import opened
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.folding import prepare
from paperlib.models.stages import cut
from paperlib.sources.maps import device
from paperlib.sources.networks import pretrained_backbone

_TOGETHER = 8


def store_features(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Arrays `features.<index>` (2, c, h, w) float16: of a picture and of its mirror image, both brought to the size of
    training, by the modules up to `frozen_until`."""
    records = opened(params, inputs).records[params["first"] : params["last"]]
    network = Baseline(pretrained_backbone(params["backbone"], params["weights"])).eval()
    size = params["training_height"], params["training_width"]
    first, _ = cut(network.backbone, params["frozen_until"])
    frozen = prepare(first, torch.zeros(1, 3, *size)).to(device())
    mean, sd = network.mean.to(device()), network.sd.to(device())
    arrays: dict[str, NDArray[np.float16]] = {}
    for start in progress(range(0, len(records), _TOGETHER)):
        pictures = np.stack([resized(record.load_image(), size) for record in records[start : start + _TOGETHER]])
        images = (to_unit_range(pictures).to(device()) - mean) / sd
        with torch.inference_mode():
            both = torch.stack([frozen(images), frozen(images.flip(3))], dim=1).half().cpu().numpy()
        arrays |= {f"features.{params['first'] + start + place}": one for place, one in enumerate(both)}
    return Result(arrays=arrays)
