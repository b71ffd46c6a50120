"""Opens a network that a needed unit has trained.

That unit is named by the parameter `training`; its result holds `weights.<name>` of a Baseline, see
`paperlib.experiments.training.compute`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline
from paperlib.models.dual_task import WITH_DECODER
from paperlib.sources.maps import device
from paperlib.sources.opening import optimised

WEIGHTS = "weights."


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
