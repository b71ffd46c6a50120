"""Opens an IQA network of pyiqa or of the user."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from paperlib.models.layers import find_layer
from paperlib.models.quality.model import load_quality_model
from paperlib.sources.maps import device
from paperlib.sources.networks import optimised


def open_network(params: Mapping[str, Any], inputs: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """Opener of kind `quality`. `weights` is the user's file, or empty for the official ones in `weights_root`."""
    root, weights = Path(params["weights_root"]), params["weights"]
    model = load_quality_model(
        params["model"],
        layer=params["layer"] or None,
        weights=Path(weights) if weights else None,
        weights_root=root if root.is_dir() else None,
    ).to(device())
    network = optimised(model.network, params)
    return network, find_layer(network, model.layer_name)
