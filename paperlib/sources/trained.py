"""Maps of a network that a needed unit has trained: asked of its score, or made by its decoder.

That unit is named by the parameter `training`; its result holds `weights.<name>` of a Baseline, see
`paperlib.experiments.training.compute`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from paperlib.datasets.pictures import Picture
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.dual_task import ACTIVATIONS, WITH_DECODER
from paperlib.sources.cam import optimised, score_maps
from paperlib.sources.maps import Maker, device, of_one_size, sized

WEIGHTS = "weights."


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `trained`."""
    return score_maps(params, *open_network(params, inputs))


def make_decoded(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `decoder`."""
    network = load_trained(params, inputs[params["training"]].arrays).to(device())
    activate = ACTIVATIONS[params["activation"]]

    def decode(records: Sequence[Picture]) -> dict[str, list[NDArray]]:
        maps: list[NDArray] = []
        with torch.no_grad():
            for group, images in of_one_size(records, (params["input_height"], params["input_width"])):
                grids = activate(network.decoder(network.features(to_unit_range(images).to(device())))[:, 0])
                found = grids.float().cpu().numpy()
                maps += [sized(one, record.size) for one, record in zip(found, group, strict=True)]
        return {"maps": maps}

    return decode


def open_network(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Opener of kind `trained`."""
    network = optimised(load_trained(params, inputs[params["training"]].arrays).to(device()), params)
    return network, network.last_features


def load_trained(params: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Baseline:
    """The network of a training's result, on the CPU, in evaluation mode.

    Args:
        params: `backbone` and `variant` say how it is built (`paperlib.models.dual_task.VARIANTS`).
        arrays: `weights.<name>` are the tensors of its state.
    """
    network = Baseline(create_backbone(params["backbone"]), decoder=params["variant"] in WITH_DECODER)
    network.load_state_dict(trained_state(arrays))
    return network.eval()


def trained_state(arrays: Mapping[str, NDArray]) -> dict[str, torch.Tensor]:
    """The tensors of a training's result by name."""
    return {
        name.removeprefix(WEIGHTS): torch.from_numpy(np.array(value))
        for name, value in arrays.items()
        if name.startswith(WEIGHTS)
    }
