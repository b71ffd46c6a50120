"""Section III-D: does saliency help to judge images that were coded with saliency? Table III and its controls.

Photographs coded here and simulated assessors (`paperlib.experiments.world_compression`), or SACID or own photographs and
what people said (`paperlib.experiments.photo_compression`).
"""

from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd

from paperlib.engine.units import Unit
from paperlib.experiments import photo_compression, world_compression
from paperlib.experiments.artefacts import TableData

if TYPE_CHECKING:
    from paperlib.profiles import Profile


def units(profile: "Profile") -> list[Unit]:
    """All units of Table III.

    Raises:
        PaperlibError: data are missing or unfit; told before anything is computed.
    """
    return _side(profile).units(profile)


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table III from the rows of `units`, with the paper's numbers beside ours."""
    return _side(profile).table(rows, profile)


def claim_parts(rows: pd.DataFrame) -> dict[str, pd.Series]:
    """C4: gains of the eye-tracking weighted metrics over the plain ones, over repeats (photographs, where people voted)."""
    return (photo_compression if _is_voted(rows) else world_compression).claim_parts(rows)


def ranks(rows: pd.DataFrame) -> pd.DataFrame:
    """`paperlib.experiments.photo_compression.ranks`, of the profile's observers."""
    return photo_compression.ranks(_by_photograph(rows))


def weightings(rows: pd.DataFrame) -> pd.DataFrame:
    """`paperlib.experiments.photo_compression.weightings`, of the profile's observers."""
    return photo_compression.weightings(_by_photograph(rows))


def _by_photograph(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of single photographs; networks of the micro-world, which never saw one, are left out."""
    if _is_voted(rows):
        return rows
    return world_compression.single_photographs(rows[~rows["method"].isin(world_compression.NETWORKS)])


def _is_voted(rows: pd.DataFrame) -> bool:
    return not set(photo_compression.DATASETS).isdisjoint(rows["dataset"])


def _side(profile: "Profile") -> ModuleType:
    """Whose pictures and scores `profile` looks at."""
    return photo_compression if profile.compression.compression_set else world_compression
