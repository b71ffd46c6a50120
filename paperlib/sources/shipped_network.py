"""Opens a quality network that ships with the companion (`paperlib.models.shipped`) as a source of maps and scores."""

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

from paperlib.models.layers import find_layer
from paperlib.models.shipped import load_shipped
from paperlib.sources.maps import device
from paperlib.sources.networks import optimised


def open_network(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Opener of kind `shipped`, see `paperlib.sources.networks`; `model` is the variant."""
    ready = optimised(copy.deepcopy(load_shipped(params["model"])).to(device()), params)
    return ready, find_layer(ready, params["layer"] or "backbone")
