"""Table II of the micro-world: the three variants of section III-C, tested at home and in a shifted world."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from paperlib import paper
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.experiments.artefacts import Column, TableData
from paperlib.experiments.dual_task_table import EXPERIMENT, QUALITY, cells, columns
from paperlib.experiments.networks import load_network, load_world, network_unit, scores, world_unit
from paperlib.experiments.quality_drops import verdicts
from paperlib.experiments.world_maps import map_unit
from paperlib.metrics.correlation import plcc, srocc

if TYPE_CHECKING:
    from paperlib.profiles import Profile

DUAL = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
METHODS = ("center_prior", *DUAL, "saliency_net")
SUPERVISED = ("msinet", "transalnet")
"""Rows of the paper's table that have no counterpart here."""

WORLDS = ("world", "world_shifted")
COUNTERPARTS = {
    ("world", "quality"): "koniq10k",
    ("world_shifted", "quality"): "clive",
    ("world", "gaze"): "salicon",
    ("world_shifted", "gaze"): "cat2000",
}
"""Which of the paper's data sets each world stands for."""


def score_unit(profile: "Profile", variant: str, seed: int) -> Unit:
    """Agreement of one network's scores with MOS in both worlds in repeat `seed`."""
    tests = [world_unit(profile, f"{world}/test", seed) for world in WORLDS]
    return Unit.of(
        EXPERIMENT,
        f"{variant}/quality/seed{seed}",
        "paperlib.experiments.world_training:measure",
        needs=[*tests, network_unit(profile, variant, seed)],
        cost=3.0,
        method=variant,
        observers=profile.observers,
        seed=seed,
        n_test=profile.world.n_test,
    )


def units(profile: "Profile") -> list[Unit]:
    """All units of Table II; those of the saliency columns at home are Table I's."""
    return [score_unit(profile, variant, seed) for seed in profile.seeds for variant in DUAL] + [
        map_unit(profile, method, world, seed) for seed in profile.seeds for world in WORLDS for method in METHODS
    ]


def measure(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `score_unit`."""
    worlds = [name for name in inputs if name.startswith("world")]
    (network,) = (load_network(inputs[name]) for name in inputs if name not in worlds)
    rows = []
    for name in worlds:
        world = load_world(inputs[name], name.split("/")[0]).head(params["n_test"])
        predicted, mos = scores(network, world.images), world.mos[params["observers"]]
        for metric, agreement in (("SROCC", srocc), ("PLCC", plcc)):
            rows.append(
                {
                    "experiment": EXPERIMENT,
                    "method": params["method"],
                    "dataset": world.name,
                    "metric": metric,
                    "variant": "quality",
                    "seed": params["seed"],
                    "value": float(agreement(predicted, mos)),
                    "n": len(world),
                }
            )
    return Result(rows=pd.DataFrame(rows))


def table(rows: pd.DataFrame, profile: "Profile") -> TableData:
    """Table II from the rows of `units`, with the paper's numbers beside ours, and the verdicts on SROCC as notes."""
    lines = [("", method) for method in (*METHODS, *SUPERVISED)]
    shown = columns(WORLDS, WORLDS)
    return TableData(
        "table2",
        "Table II: two tasks at once",
        _caption(profile),
        shown,
        cells(rows, lines, shown, _published),
        (*NOTES, *verdicts(rows, references(profile))),
    )


def references(profile: "Profile") -> dict[str, str]:
    """Network -> the Baseline, for every other network that is trained on scores."""
    return dict.fromkeys(DUAL[1:], DUAL[0])


def _published(method: str, column: Column) -> float | None:
    kind = "quality" if column.metric in dict(QUALITY) else "gaze"
    return paper.published(2, method, COUNTERPARTS[column.dataset, kind], column.metric)


def _caption(profile: "Profile") -> str:
    world = profile.world
    return (
        f"Ours: micro-world, a simulation; {len(profile.seeds)} repeats, mean ± sd; {profile.observers} observers. "
        f"`world` ({' and '.join(world.families)}) stands for KonIQ-10k and SALICON, `world_shifted` "
        f"({' and '.join(world.shifted_families)}, unknown subjects) for CLIVE and CAT2000, whose numbers are the "
        "paper's. The columns are different worlds: compare the order of the rows, not the values."
    )


NOTES = (
    "Maps after map transforms fitted on other images of the same world. Baseline and Baseline-GradCAM-Loss: the "
    + "extraction of section III-A; Baseline-Sal-Loss and the saliency net: their decoder.",
)
