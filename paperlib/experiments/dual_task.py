"""Section III-C: one network for quality and for saliency. Table II and its controls.

The micro-world (`paperlib.experiments.world_training`) or photographs with opinion scores and with gaze
(`paperlib.experiments.photo_training`); both give the same rows, and the table is made of them.
"""

from types import ModuleType
from typing import TYPE_CHECKING

import pandas as pd

from paperlib.engine.units import Unit
from paperlib.experiments import photo_training, quality_drops, world_training
from paperlib.experiments.artefacts import TableData

if TYPE_CHECKING:
    from paperlib.profiles import Profile


def units(profile: "Profile") -> list[Unit]:
    """All units of Table II.

    Raises:
        PaperlibError: data or weights are missing or unfit; told before anything is computed.
    """
    return _side(profile).units(profile)


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table II from the rows of `units`, with the paper's numbers beside ours."""
    return _side(profile).table(rows, profile)


def equivalence(rows: pd.DataFrame, profile: "Profile") -> pd.DataFrame:
    """Does SROCC drop? TOST against the Baseline on all sets whose scores are tested.

    Returns:
        Columns `n` (repeats), `difference`, `low`, `high` and `verdict`, by method and data set; the interval says what p
        would. Empty with fewer than two repeats.
    """
    tested = quality_drops.equivalence(rows, _side(profile).references(profile))
    chosen = tested[tested["metric"] == "SROCC"].set_index(["method", "dataset"])
    return chosen[["n", "difference", "low", "high", "verdict"]]


def _side(profile: "Profile") -> ModuleType:
    """Where the networks of `profile` are trained."""
    return photo_training if profile.dual_task.training_set else world_training
