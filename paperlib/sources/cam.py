"""Maps out of an IQA network by `paperlib.maps.hirescam`.

The network is opened by the function that the parameter `network_opener` names, see `paperlib.sources.networks`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from paperlib.datasets.pictures import Picture
from paperlib.engine.units import function
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
                maps = extract(network, pictures, **options, **way)
                found[name] += [sized(one, record.size) for one, record in zip(maps, group, strict=True)]
        return found

    return make
