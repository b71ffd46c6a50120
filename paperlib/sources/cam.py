"""Maps out of an IQA network by `paperlib.maps.hirescam`, and the network as its units run it.

A network is opened by a function of a module of this room, named by `Source.opener`, that is called as
`open_network(params, inputs)` with a unit's parameters and the results of needed units, and returns the network on the
device, in evaluation mode, with its feature layer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from paperlib.datasets.pictures import Picture
from paperlib.maps.hirescam import extract
from paperlib.models.baseline import to_unit_range
from paperlib.models.inference import prepare
from paperlib.sources.maps import Maker, device, of_one_size, sized

PROBE = 192, 256
"""Size of the picture that a network is tried on, where it sees pictures of any size."""


def score_maps(params: Mapping[str, Any], network: nn.Module, layer: nn.Module) -> Maker:
    """Maps that the score of `network` gives reasons with: smoothed as the unit says, and of one pass."""
    smoothed = {"smoothing": params["smoothing"], "principal_component": params["principal_component"]}
    plain = {"smoothing": "none", "principal_component": False}
    return _maker(params, network, layer, {"maps": smoothed, "plain": plain})


def activation_maps(params: Mapping[str, Any], network: nn.Module, layer: nn.Module) -> Maker:
    """Maps of the features alone, without any score."""
    return _maker(
        params, network, layer, {"maps": {"method": "activation", "smoothing": "none", "principal_component": False}}
    )


def _maker(params: Mapping[str, Any], network: nn.Module, layer: nn.Module, ways: Mapping[str, Mapping[str, Any]]) -> Maker:
    options = {name: params[name] for name in ("n_passes", "max_angle", "precision")} | {"layer": layer}

    def make(records: Sequence[Picture]) -> dict[str, list[NDArray]]:
        found: dict[str, list[NDArray]] = {name: [] for name in ways}
        for group, pictures in of_one_size(records, (params["input_height"], params["input_width"])):
            for name, way in ways.items():
                maps = extract(network, pictures, **options, **way)
                found[name] += [sized(one, record.size) for one, record in zip(maps, group, strict=True)]
        return found

    return make


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
