"""Maps of a Baseline in a file, and of a backbone before quality training: with a head that learnt nothing, or without."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paperlib.models.backbones import MICROWORLD, create_backbone, load_weights
from paperlib.models.baseline import Baseline
from paperlib.models.layers import find_layer
from paperlib.sources.cam import activation_maps, optimised, score_maps
from paperlib.sources.maps import Maker, device


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kinds `baseline` and `random_head`."""
    return score_maps(params, *open_network(params, inputs))


def make_activations(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `activation`."""
    return activation_maps(params, *open_network(params, inputs))


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
