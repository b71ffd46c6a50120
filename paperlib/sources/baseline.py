"""Opens a Baseline in a file, or a backbone before quality training with a head that learnt nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paperlib.models.backbones import MICROWORLD, create_backbone, load_weights
from paperlib.models.baseline import Baseline
from paperlib.models.layers import find_layer
from paperlib.sources.maps import device
from paperlib.sources.opening import optimised


def open_network(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Opener of the three kinds. `weights` is the file: of the Baseline, or of the backbone's ImageNet weights."""
    network = _loaded(params).to(device())
    network = optimised(network, params)
    return network, find_layer(network, params["layer"]) if params["layer"] else network.last_features


def _loaded(params: Mapping[str, Any]) -> Baseline:
    backbone, weights = params["model"], Path(params["weights"])
    if params["kind"] == "baseline":
        network = Baseline(create_backbone(backbone))
        load_weights(network, weights)
        return network.eval()
    torch.manual_seed(params["seed"])
    if backbone == MICROWORLD:
        return Baseline(create_backbone(backbone, pretrained=True)).eval()
    return Baseline(create_backbone(backbone, imagenet=weights)).eval()
