"""Tables, figures and claims of one run: computed, written to their folder, and shown on one self-contained page."""

import base64
import io
import math
import os
import platform
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from paperlib import alike, regenerate
from paperlib.experiments.artefacts import ClaimResult, Figure1Data, Figure2Data, TableData
from paperlib.experiments.claims import FAILS, HOLDS
from paperlib.paper import DATASETS, look
from paperlib.paths import FIGURES, atomic_write
from paperlib.profiles import PROFILES, Profile, load
from paperlib.show import figures, style, tables
from paperlib.show.summary import CRITERION, Artefact, Run, count, effect, number
from paperlib.show.tables import template

GRID = 12
"""Cells along the longer side of a map in the CSV file of Figure 1."""
HEAVY_PICTURE = 300_000
"""Bytes of a PNG above which the page holds it as JPEG."""
_VERSIONS = "numpy scipy pandas torch timm pyiqa av scikit-image scikit-learn matplotlib nbconvert jinja2".split()
_FOLDERS = ("data_root", "weights_root")
"""Settings that the page leaves out: they tell about a machine, not about the numbers."""
_GROUNDS = {
    "simulation": {
        "Pictures": "Tables I and II and both figures: a generated micro-world. Table III: photographs that come with "
        "installed Python packages, coded here.",
        "People": "None. Observers, their gaze, opinion scores and votes are simulated.",
        "Networks": "Trained here on the simulated scores; before, their backbone learnt to name the subjects of the "
        "micro-world. Controls say what they do otherwise.",
        "The paper's numbers": "Published values on the paper's own data, copied from its tables. They stand beside ours "
        "for the order of the rows, not for the values.",
    },
    "stand-ins": {
        "Pictures": "Generated stand-ins in the layouts of the official data sets.",
        "People": "None. Fixations and scores are generated.",
        "Networks": "The official architectures with random weights.",
        "The paper's numbers": "Published values, copied from its tables. Nothing here can be compared with them.",
    },
    "data": {
        "Pictures": "The data sets that the captions name, read from the folder of this run.",
        "People": "Fixations, scores and votes as the data sets publish them.",
        "Networks": "Official weights, or trained in this run, as the captions say.",
        "The paper's numbers": "Published values, copied from its tables.",
    },
}


def write_table(number: int, profile: Profile, folder: Path) -> Artefact:
    """Compute table `number` and write it into `folder`."""
    data = regenerate.table(number, profile)
    return _shown_table(data, tables.save_table(data, folder))


def write_figure(number: int, profile: Profile, folder: Path) -> Artefact:
    """Compute and draw figure `number` and write it into `folder`, with its data as CSV, unless those there show the same.

    `fig1` and `fig2` are as wide as two columns of the paper, `fig1_column` and `fig2_column` as wide as one;
    `fig2_extended` has all maps and fills.
    """
    data = regenerate.figure(number, profile)
    files = {
        folder / f"{name}.{kind}": content
        for name, draw in _drawings(number).items()
        for kind, content in figures.for_print(draw(data)).items()
    }
    csv = figure_frame(data).to_csv(index=False, float_format="%.6f", lineterminator="\n")
    files[folder / f"fig{number}.csv"] = csv.encode()
    alike.write(files)
    return _shown_figure(number, data, tuple(files))


def kept_runs() -> list[Run]:
    """What the repository holds of profiles whose rows are kept: their claims, tables and figures, with nothing computed."""
    return [_kept_run(load(name, rows="kept")) for name, profile in PROFILES.items() if profile.keeps_rows]


def _kept_run(profile: Profile) -> Run:
    folder = FIGURES / str(profile.kept)

    def files(stem: str) -> tuple[Path, ...]:
        return tuple(sorted(path for path in folder.glob(f"{stem}*.*")))

    data = [regenerate.table(number, profile) for number in (1, 2, 3)]
    shown = [
        _shown_figure(number, regenerate.figure(number, profile), files(f"fig{number}")) for number in regenerate.FIGURES
    ]
    shown += [_shown_table(table, files(table.name)) for table in data]
    return Run(profile.name, profile.evidence, artefacts=shown, claims=regenerate.claims(profile))


def _shown_table(data: TableData, files: Sequence[Path]) -> Artefact:
    return Artefact(data.name, data.title, tuple(files), html=tables.to_sortable_html(data), csv=f"{data.name}.csv")


def _shown_figure(number: int, data: Figure1Data | Figure2Data, files: Sequence[Path]) -> Artefact:
    titles = {1: "Figure 1: images and their saliency maps", 2: "Figure 2: quality prediction on masked images"}
    name = f"fig{number}"
    return Artefact(name, titles[number], tuple(files), html=figure_numbers(data), alt=describe(data), csv=f"{name}.csv")


def _drawings(number: int) -> dict[str, Callable[[Any], figures.PaperFigure]]:
    """Names of a figure's files, and what draws them."""
    if number == 1:
        return {"fig1": figures.figure1, "fig1_column": partial(figures.figure1, width=style.COLUMN_WIDTH)}
    return {
        "fig2": figures.figure2,
        "fig2_column": partial(figures.figure2, width=style.COLUMN_WIDTH),
        "fig2_extended": figures.figure2_extended,
    }


def describe(data: Figure1Data | Figure2Data) -> str:
    """What a figure shows, in words, for those who cannot see it."""
    if isinstance(data, Figure1Data):
        return f"{len(data.images)} images side by side; below each its maps, one row per kind: {', '.join(data.rows)}."
    gaps = figures.papers_part(figures.gap_frame(data))
    setting = gaps[["world", "network"]]
    first = gaps[(setting == setting.iloc[0]).all(axis="columns")]
    distances = "; ".join(f"{row.map} map, {row.fill} fill: {row.gap:+.2f}" for row in first.itertuples())
    return (
        "SROCC against the share of masked pixels, LeRF and MoRF curves. Mean of LeRF minus MoRF for "
        f"{look(first['network'].iloc[0]).label}: {distances}."
    )


def figure_frame(data: Figure1Data | Figure2Data) -> pd.DataFrame:
    """The data that a figure draws, one row per value.

    Figure 1: columns `picture` (from 1), `caption`, `map`, `row`, `column`, `value`: the mean of a map over the cells of a
    grid of `GRID` cells along its longer side, in [0, 1]. Figure 2: the curves, and the SROCC without mask as rows of
    `fraction` 0 without fill, map and strategy.
    """
    if isinstance(data, Figure2Data):
        unmasked = data.unmasked.assign(fraction=0.0)
        return pd.concat([unmasked, data.curves]).reindex(columns=data.curves.columns)
    captions = data.captions or [""] * len(data.images)
    rows = [
        {"picture": place, "caption": caption, "map": name, "row": row, "column": column, "value": value}
        for name, maps in data.rows.items()
        for place, (caption, values) in enumerate(zip(captions, maps, strict=True), start=1)
        for (row, column), value in np.ndenumerate(_coarse(np.asarray(values, float)))
    ]
    return pd.DataFrame(rows, columns=["picture", "caption", "map", "row", "column", "value"])


def _coarse(values: np.ndarray) -> np.ndarray:
    """Means over the cells of a grid with `GRID` cells along the longer side, fewer where there are fewer pixels."""
    counts = [max(1, min(side, round(GRID * side / max(values.shape)))) for side in values.shape]
    parts = [np.array_split(row, counts[1], axis=1) for row in np.array_split(values, counts[0], axis=0)]
    return np.array([[cell.mean() for cell in row] for row in parts])


def figure_numbers(data: Figure1Data | Figure2Data) -> str:
    """The numbers behind a figure as a table, in HTML."""
    return _agreement_html(data) if isinstance(data, Figure1Data) else _curves_html(data)


def _agreement_html(data: Figure1Data) -> str:
    """Per picture the linear correlation of every row of maps with the first one."""
    reference, *others = data.rows
    captions = data.captions or [f"picture {place + 1}" for place in range(len(data.images))]
    body = []
    for place, caption in enumerate(captions):
        values = [_correlation(data.rows[reference][place], data.rows[name][place]) for name in others]
        body.append(([f"{place + 1}: {caption}"], [(value, number(value), "") for value in values]))
    return template("numbers").render(
        caption=f"Linear correlation (CC) of the maps of each picture with its map “{reference}”, over its pixels.",
        stub=["Picture"],
        heads=others,
        rows=body,
        notes=[
            "Each number is of one picture, n 1: there is no interval. Table I has the means over all pictures, with "
            f"intervals. The CSV file holds each map as means over the cells of a grid, {GRID} along the longer side."
        ],
    )


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = (np.asarray(values, float).ravel() for values in (one, other))
    return float(np.corrcoef(one, other)[0, 1]) if one.std() and other.std() else float("nan")


def _curves_html(data: Figure2Data) -> str:
    """Per world, network, fill, map and strategy, SROCC at every masked share with its interval."""
    keys = ["world", "network", "fill", "map", "strategy"]
    curves = data.curves
    shares = sorted(curves["fraction"].unique())
    counts = sorted(curves["n"].dropna().astype(int).unique())
    n = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}" if counts else "not given"
    body = []
    for (world, network, fill, name, strategy), part in curves.groupby(keys, sort=False):
        cells = {row.fraction: (row.srocc, number(row.srocc), _interval(row.low, row.high)) for row in part.itertuples()}
        names = [DATASETS.get(world, world), look(network).label, style.fill_label(fill), style.map_look(name).label]
        body.append(([*names, strategy], [cells.get(share, (float("nan"), tables.MISSING, "")) for share in shares]))
    notes = [f"n, the masked pictures of all repeats that a number is over: {n}."]
    bare = curves["low"].isna() & curves["srocc"].notna()
    notes.append(
        "No intervals: these curves were not resampled."
        if bare.all()
        else "Small: 95 % bootstrap interval over pictures, mean over repeats."
    )
    if len(data.unmasked):
        whole = "; ".join(
            f"{look(row.network).label} in {DATASETS.get(row.world, row.world)} {number(row.srocc)}"
            for row in data.unmasked.itertuples()
        )
        notes.append(f"Without mask: {whole}.")
    if any(cell[1] == tables.MISSING for _, cells in body for cell in cells):
        notes.append(f"A dash ({tables.MISSING}): this map is not masked at that share; maps of 12 cells lose whole cells.")
    return template("numbers").render(
        caption="SROCC of predicted and true scores by the share of masked pixels.",
        stub=["World", "Network", "Fill", "Map", "Strategy"],
        heads=[f"{share:.0%}" for share in shares],
        rows=body,
        notes=notes,
    )


def _interval(low: float, high: float) -> str:
    return f"[{number(low)}, {number(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def write_report(run: Run, folder: Path, before: Sequence[Run] = ()) -> Path:
    """Write `folder`/index.html: claims, figures and tables of the runs `before` and then of this one; links to the executed
    notebooks, what the numbers rest on, and the run itself. Nothing comes from outside, and the data of tables and figures
    are inside the page as well.

    Returns:
        The page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    page = folder / "index.html"
    text = template("report").render(
        run=run,
        parts=[*before, run],
        effect=effect,
        count=count,
        mark=_mark,
        criterion=CRITERION,
        grounds=_GROUNDS.get(run.evidence, _GROUNDS["data"]).items(),
        settings={name: _shown(value) for name, value in run.values.items() if name not in _FOLDERS},
        versions={"Python": platform.python_version(), "System": f"{platform.system()} {platform.machine()}"}
        | {name: version(name) for name in _VERSIONS},
        picture=_picture_uri,
        csv=_csv_uri,
        number=number,
        link=lambda path: Path(os.path.relpath(path, folder)).as_posix(),
    )
    with atomic_write(page, "w") as file:
        file.write(text)
    return page


def _mark(claim: ClaimResult) -> str:
    """A tick for a claim that holds while no control does, a cross for one that does not hold, a dash for all others."""
    controls = claim.parts[claim.parts["role"] == "control"]
    shared = any((parts["outcome"] == HOLDS).all() for _, parts in controls.groupby("control"))
    return {HOLDS: "–" if shared else "✓", FAILS: "✗"}.get(claim.outcome, "–")


def _shown(value: Any) -> str:
    """A setting in short words, lists within lists in brackets; nothing for an empty one."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(f"({_shown(one)})" if isinstance(one, tuple | list) else _shown(one) for one in value)
    return str(value)


def _picture_uri(path: Path) -> str:
    """A PNG as it is, or as JPEG where that spares much of a heavy one."""
    content, kind = path.read_bytes(), "png"
    if len(content) > HEAVY_PICTURE:
        with Image.open(io.BytesIO(content)) as picture:
            light = io.BytesIO()
            picture.convert("RGB").save(light, "JPEG", quality=88, subsampling=0, optimize=True)
        content, kind = min((content, "png"), (light.getvalue(), "jpeg"), key=lambda one: len(one[0]))
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _csv_uri(path: Path) -> str:
    return f"data:text/csv;charset=utf-8;base64,{base64.b64encode(path.read_bytes()).decode()}"
