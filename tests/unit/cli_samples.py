"""Small made-up artefacts for the tests of the command line, the report and the notebook runner: shapes of a real run,
invented numbers."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook

from paperlib import profiles, regenerate
from paperlib.experiments.artefacts import ClaimResult, Column, Figure1Data, Figure2Data, TableData
from paperlib.experiments.claims import ClaimParts, Control, Part, results
from paperlib.profiles import Profile
from paperlib.show import report
from paperlib.show.notebooks import NotebookRun
from paperlib.show.summary import Run


def table(number: int, profile: Profile) -> TableData:
    columns = (Column("world", "CC", 1, "CC ↑"), Column("world", "KLD", -1, "KLD ↓"))
    rows = [
        ("Dummy", "center_prior", "world", "CC", 0.5, math.nan, 0.541, True),
        ("Dummy", "center_prior", "world", "KLD", 0.8, math.nan, 0.784, True),
        ("GradCAM from IQA", "baseline", "world", "CC", 0.6, 0.01, 0.637, True),
        ("GradCAM from IQA", "baseline", "world", "KLD", 0.7, 0.02, 0.700, True),
        ("Control", "noise_map", "world", "CC", 0.1, 0.03, math.nan, False),
    ]
    cells = pd.DataFrame(rows, columns=["section", "method", "dataset", "metric", "value", "sd", "published", "ranked"])
    cells = cells.assign(low=math.nan, high=math.nan, n=len(profile.seeds))
    return TableData(f"table{number}", f"Table {'I' * number}. Made up <&>", "A caption.", columns, cells, ("A note.",))


def figure(number: int, profile: Profile) -> Figure1Data | Figure2Data:
    if number == 1:
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (2, 8, 12, 3), dtype=np.uint8)
        maps = {name: rng.random((2, 8, 12)) for name in ("Ground truth", 'GradCAM "quoted"')}
        return Figure1Data(images, maps, ("a", "b"))
    rows = [
        ("world", network, fill, name, strategy, fraction, 0.9 - fraction * slope, math.nan, math.nan, 3)
        for network in ("baseline", "unpretrained")
        for fill in ("black", "mean")
        for name in ("saliency", "gradcam")
        for strategy, slope in (("LeRF", 0.3), ("MoRF", 0.7))
        for fraction in (0.2, 0.6)
    ]
    names = ["world", "network", "fill", "map", "strategy", "fraction", "srocc", "low", "high", "n"]
    unmasked = pd.DataFrame({"world": "world", "network": ["baseline", "unpretrained"], "srocc": [0.9, 0.8]})
    return Figure2Data(pd.DataFrame(rows, columns=names), unmasked)


def claims(profile: Profile, ids: Iterable[str] | None = None) -> list[ClaimResult]:
    """C1 is the seeds and ten, a control of it the same below 0; C2 has no value at all."""
    seeds = pd.DataFrame({"value": [seed + 10.0 for seed in profile.seeds]}, index=pd.Index(profile.seeds, name="seed"))
    found = {
        "C1": ClaimParts(
            (Part.of("CC: <ours> − prior", seeds),), (Control("noise", "a network", (Part.of("CC", -seeds),)),)
        ),
        "C2": ClaimParts(()),
    }
    return results({id: one for id, one in found.items() if ids is None or id in ids}, profile)


def write_notebook(folder: Path, name: str, *cells: NotebookNode | str) -> Path:
    """A notebook of these cells; a text is a code cell."""
    made = [new_code_cell(cell) if isinstance(cell, str) else cell for cell in cells]
    for number, cell in enumerate(made):
        cell["id"] = f"{name}-{number}"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    path = folder / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=made, metadata={"kernelspec": kernel}), path)
    return path


def whole_run(
    root: Path, table: Callable[..., TableData] = table, claims: Callable[..., list[ClaimResult]] = claims
) -> tuple[Run, Path]:
    """A run of the demo below `root` with made-up results, one notebook of it failed; and its page."""
    profile = profiles.load()
    run = Run("demo", seconds={"computing": 1.25, "notebooks": 61.0}, peak_memory=3 * 2**29, values=profiles.names(profile))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regenerate, "table", table)
        patch.setattr(regenerate, "figure", figure)
        run.artefacts = [report.write_table(number, profile, root / "figures") for number in (1, 2, 3)]
        run.artefacts += [report.write_figure(number, profile, root / "figures") for number in regenerate.FIGURES]
    run.claims = claims(profile)
    folder = root / "demo" / "notebooks"
    folder.mkdir(parents=True)
    for name, error in (("03a_extracting", None), ("03b_masking", "03b_masking: cell [3] failed with <ValueError>")):
        notebook, html = folder / f"{name}.ipynb", folder / f"{name}.html"
        notebook.write_text("{}")
        html.write_text("{}")
        run.notebooks.append(NotebookRun(name, notebook, html, 2.0, error))
    return run, report.write_report(run, root / "demo" / "report")
