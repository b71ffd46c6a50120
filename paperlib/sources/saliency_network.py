"""Maps of a saliency network (`paperlib.models.saliency`)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from paperlib.models.saliency import load_saliency_network
from paperlib.sources.maps import Maker, device


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `network`; `weights` is its official file."""
    network = load_saliency_network(params["model"], Path(params["weights"]), device())
    return lambda records: {"maps": [network.predict(record.load_image()) for record in records]}
