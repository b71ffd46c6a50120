"""Maps out of an IQA network by `paperlib.maps.hirescam`.

The network is opened by the function that the parameter `network_opener` names, see `paperlib.sources.networks`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from paperlib.datasets.files import listing
from paperlib.datasets.pictures import Picture
from paperlib.engine.units import function
from paperlib.errors import PaperlibError
from paperlib.maps.hirescam import extract
from paperlib.sources.maps import Maker, of_one_size, sized


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of maps that a network's score gives reasons with: smoothed as the unit says, and of one pass."""
    smoothed = {"smoothing": params["smoothing"], "principal_component": params["principal_component"]}
    plain = {"smoothing": "none", "principal_component": False}
    return _maker(params, inputs, {"maps": smoothed, "plain": plain})


def make_activations(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of maps of a network's features alone, without any score: the sum of their positive part over channels."""
    return _of_features("activation", params, inputs)


def make_norms(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """As `make_activations`, of their Euclidean norm over channels."""
    return _of_features("norm", params, inputs)


def _of_features(method: str, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> Maker:
    return _maker(params, inputs, {"maps": {"method": method, "smoothing": "none", "principal_component": False}})


def _maker(params: Mapping[str, Any], inputs: Mapping[str, Any], ways: Mapping[str, Mapping[str, Any]]) -> Maker:
    network, layer = function(params["network_opener"])(params, inputs)
    options = {name: params[name] for name in ("n_passes", "max_angle", "precision")} | {"layer": layer}

    def make(records: Sequence[Picture]) -> dict[str, list[NDArray]]:
        found: dict[str, list[NDArray]] = {name: [] for name in ways}
        for group, pictures in of_one_size(records, (params["input_height"], params["input_width"])):
            for name, way in ways.items():
                maps = _extracted(network, pictures, [record.key for record in group], params, {**options, **way})
                found[name] += [sized(one, record.size) for one, record in zip(maps, group, strict=True)]
        return found

    return make


def _extracted(
    network: nn.Module, pictures: NDArray[np.uint8], keys: Sequence[str], params: Mapping[str, Any], way: Mapping[str, Any]
) -> NDArray[np.floating]:
    """Maps (n, h, w) of pictures.

    Raises:
        PaperlibError: values that are not finite; the picture is named.
    """
    try:
        maps = extract(network, pictures, **way)
    except np.linalg.LinAlgError:  # of values that are not finite
        plain = {**way, "smoothing": "none", "principal_component": False}
        maps = extract(network, pictures, **plain)
    bad = [key for key, one in zip(keys, maps, strict=True) if not np.isfinite(one).all()]
    if bad:
        raise PaperlibError(
            f"the network {params['model']} gives NaN or infinity for {listing(bad)}; mend the network, or take the "
            "pictures out"
        )
    return np.asarray(maps)
