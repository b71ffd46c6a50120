"""Where people did look, as a map: the set's own gaze density, with its maximum at 1."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import NDArray

from paperlib.datasets.pictures import Picture
from paperlib.sources.maps import Maker

if TYPE_CHECKING:
    from paperlib.datasets.gaze import GazeRecord


def make(params: Mapping[str, Any], keys: Sequence[str], inputs: Mapping[str, Any]) -> Maker:
    """Maker of kind `gaze`."""

    def densities(records: Sequence[Picture]) -> dict[str, list[NDArray]]:
        found = (cast("GazeRecord", record).load_density() for record in records)
        return {"maps": [density / density.max() for density in found]}

    return densities
