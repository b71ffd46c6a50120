"""Maps by the decoder of a network that a needed unit has trained (`paperlib.sources.trained`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray

from paperlib.datasets.pictures import Picture
from paperlib.models.baseline import to_unit_range
from paperlib.models.dual_task import ACTIVATIONS
from paperlib.sources.maps import Maker, device, of_one_size, sized
from paperlib.sources.trained import load_trained


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
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
