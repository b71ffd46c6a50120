"""Maps that lie beside the user's pictures, in folders `saliency_<name>`."""

from collections.abc import Mapping, Sequence
from typing import Any

from paperlib.datasets.files import read_grey
from paperlib.datasets.own import map_folders
from paperlib.sources.maps import Maker, sized


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `folder`."""
    files = map_folders(params["root"], keys)[params["model"]]
    return lambda records: {"maps": [sized(read_grey(files[record.key]), record.size) for record in records]}
