"""What an experiment hands over to be shown: the data of a table, of a figure, and the outcome of a claim."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

STANDINS = {
    "simulation": "",
    "stand-ins": "Rehearsal: generated pictures and random weights, the numbers mean nothing. ",
    "data": "",
}
"""What a caption begins with, by what the numbers rest on (`paperlib.profiles.Profile.evidence`)."""


@dataclass(frozen=True)
class Column:
    """One column of a table. `direction` is +1 (higher is better), -1 (lower is better) or 0 (no ranking)."""

    dataset: str
    metric: str
    direction: int
    heading: str


@dataclass(frozen=True)
class TableData:
    """A table as data.

    `cells` has one row per (method, dataset, metric): `section` (the rows' group, in order of appearance), `method`
    (key of `paperlib.paper.METHODS`), `dataset`, `metric`, `value` (mean over repeats), `sd` (over repeats; NaN with
    one), `low`, `high` (95 % interval; NaN when there is none), `n` (repeats or images, see the caption), `published`
    (the paper's number; NaN where it has none) and `ranked` (False for controls, which take no best/second/third mark).
    It may have `p_holm` (corrected p of the difference from a reference) and `alike` (True where that difference does not
    survive: the cell takes a dagger, which the notes explain).
    """

    name: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    cells: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure1Data:
    """Panels of Figure 1: `images` (h, w, 3) uint8 and, per row label, a map (h, w) in [0, 1] for each image.

    Images and rows are stacked arrays, or lists of arrays where the images differ in size.
    """

    images: Sequence[np.ndarray]
    rows: Mapping[str, Sequence[np.ndarray]]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Figure2Data:
    """Curves of Figure 2: tidy `curves` with columns `world`, `network`, `fill`, `map`, `strategy`, `fraction`, `srocc`,
    `low`, `high`, `n`, and `unmasked`, the SROCC without any mask per (world, network)."""

    curves: pd.DataFrame
    unmasked: pd.DataFrame


@dataclass(frozen=True)
class ClaimResult:
    """The outcome of one claim here.

    `value` is the mean of the quantity `detail`, `low` and `high` are the ends of its 95 % interval over `n` of what `over`
    says. `outcome` is "holds", "not decided" (the mean exceeds what is needed, the interval does not), "does not hold" or
    "not testable"; `verdict` names the controls as well. `parts` are all quantities (`paperlib.experiments.claims.frame`).
    """

    id: str
    text: str
    value: float
    low: float
    high: float
    n: int
    over: str
    outcome: str
    verdict: str
    profile: str
    detail: str
    parts: pd.DataFrame
