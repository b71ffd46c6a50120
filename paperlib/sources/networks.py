"""Opens Baselines: in a file, before quality training, or trained by a needed unit; and decodes maps with the latter.

A network is opened by a function that `Source.opener` names, called as `open_network(params, inputs)` with a unit's
parameters and the results of needed units. It returns the network on the device, in evaluation mode, and its feature layer.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from paperlib.datasets.pictures import Picture
from paperlib.models.backbones import Backbone, create_backbone, load_weights
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.folding import prepare
from paperlib.models.layers import find_layer
from paperlib.sources.maps import Maker, device, of_one_size, sized

PROBE = 192, 256
"""Size of the picture that a network is tried on, where it sees pictures of any size."""

WEIGHTS = "weights."
"""Before the names of tensors in a training's result, see `paperlib.experiments.training.compute`."""


def optimised(network: nn.Module, params: Mapping[str, Any]) -> nn.Module:
    """The same network with folded batch normalisations, channels last; as it is where folding would change it."""
    if not params["optimise"]:
        return network
    height, width = params["input_height"] or PROBE[0], params["input_width"] or PROBE[1]
    probe = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    try:
        return prepare(network, to_unit_range(probe).to(device()))
    except Exception:  # a network of the user that takes pictures of one size may refuse the probe in any way
        return network


def open_network(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Opener of kinds `baseline`, `random_head`, `activation` and `norm`.

    `weights` is the file: of the Baseline, or of the backbone's ImageNet weights under a head that learnt nothing (empty:
    its bundled ones).
    """
    return _with_layer(_loaded(params), params, params["layer"])


def open_trained(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Opener of kind `trained`; the parameter `training` names the needed unit."""
    return _with_layer(load_trained(params, inputs[params["training"]].arrays), params)


def make_decoded(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `decoder`: maps by the decoder of a network that a needed unit has trained."""
    network = load_trained(params, inputs[params["training"]].arrays).to(device())

    def decode(records: Sequence[Picture]) -> dict[str, list[NDArray]]:
        maps: list[NDArray] = []
        with torch.no_grad():
            for group, images in of_one_size(records, (params["input_height"], params["input_width"])):
                grids = network.decode(network.features(to_unit_range(images).to(device())), params["activation"])
                found = grids.float().cpu().numpy()
                maps += [sized(one, record.size) for one, record in zip(found, group, strict=True)]
        return {"maps": maps}

    return decode


def pretrained_backbone(name: str, weights: str) -> Backbone:
    """A backbone as it is before quality training: with the weights of the file `weights`, or its bundled ones where that
    is empty (see `paperlib.models.backbones`)."""
    return create_backbone(name, pretrained=True, imagenet=Path(weights) if weights else None)


def load_trained(params: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Baseline:
    """The network of a training's result, on the CPU, in evaluation mode.

    Args:
        params: `backbone` is the name of its backbone.
        arrays: `weights.<name>` are the tensors of its state.
    """
    state = {
        name.removeprefix(WEIGHTS): torch.from_numpy(np.array(value))
        for name, value in arrays.items()
        if name.startswith(WEIGHTS)
    }
    network = Baseline(create_backbone(params["backbone"]), decoder=any(name.startswith("decoder.") for name in state))
    network.load_state_dict(state)
    return network.eval()


def _with_layer(network: Baseline, params: Mapping[str, Any], layer: str = "") -> tuple[nn.Module, nn.Module]:
    ready = optimised(network.to(device()), params)
    return ready, find_layer(ready, layer or "backbone")


def _loaded(params: Mapping[str, Any]) -> Baseline:
    backbone = params["model"]
    if params["kind"] == "baseline":
        network = Baseline(create_backbone(backbone))
        load_weights(network, Path(params["weights"]))
        return network.eval()
    torch.manual_seed(params["seed"])
    return Baseline(pretrained_backbone(backbone, params["weights"])).eval()
