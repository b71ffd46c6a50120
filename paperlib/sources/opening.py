"""What the openers of networks have in common.

A network is opened by a function of a module of this room, named by `Source.opener`, that is called as
`open_network(params, inputs)` with a unit's parameters and the results of needed units, and returns the network on the
device, in evaluation mode, with its feature layer.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from paperlib.models.baseline import to_unit_range
from paperlib.models.folding import prepare
from paperlib.sources.maps import device

PROBE = 192, 256
"""Size of the picture that a network is tried on, where it sees pictures of any size."""


def optimised(network: nn.Module, params: Mapping[str, Any]) -> nn.Module:
    """The same network with folded batch normalisations, channels last; as it is where folding would change it."""
    if not params["optimise"]:
        return network
    height, width = params["input_height"] or PROBE[0], params["input_width"] or PROBE[1]
    probe = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    try:
        return prepare(network, to_unit_range(probe).to(device()))
    except (ValueError, RuntimeError, TypeError):
        return network
