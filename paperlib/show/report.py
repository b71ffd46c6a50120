"""Tables, figures and claims of one run: computed, written to their folder, and shown on one self-contained page."""

import base64
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from paperlib import experiments
from paperlib.experiments.artefacts import ClaimResult, Figure1Data, Figure2Data
from paperlib.paper import look
from paperlib.paths import atomic_write
from paperlib.profiles import Profile
from paperlib.show import figures, tables
from paperlib.show.summary import WARNINGS, number

if TYPE_CHECKING:
    from paperlib.show.notebooks import NotebookRun

TABLES = (1, 2, 3)
FIGURES = (1, 2)
_VERSIONS = ("numpy", "torch", "timm", "pyiqa", "av", "scikit-image", "scikit-learn", "matplotlib")


@dataclass(frozen=True)
class Artefact:
    """A table or figure as it was written: `name` like "table1", its files, and what the page shows of it.

    `html` is the markup of a table, or of the numbers behind a figure; `alt` is a figure's description in words.
    """

    name: str
    title: str
    files: tuple[Path, ...]
    html: str = ""
    alt: str = ""


@dataclass
class Run:
    """All that one run made: filled step by step, read by the page and by the text summary.

    `evidence` is what the numbers rest on (`paperlib.profiles.Profile.evidence`).
    """

    profile: str
    evidence: str = "simulation"
    artefacts: list[Artefact] = field(default_factory=list)
    claims: list[ClaimResult] = field(default_factory=list)
    notebooks: list["NotebookRun"] = field(default_factory=list)
    settings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0

    @property
    def warning(self) -> str:
        """What a reader must know about the numbers; empty for real data."""
        return WARNINGS.get(self.evidence, "")

    @property
    def failures(self) -> list[str]:
        """One sentence per failed notebook."""
        return [run.error for run in self.notebooks if run.error]

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Add the block's wall time to `seconds[step]`."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[step] = self.seconds.get(step, 0.0) + time.perf_counter() - start


def write_table(number: int, profile: Profile, folder: Path) -> Artefact:
    """Compute table `number` and write it into `folder`."""
    data = experiments.table(number, profile)
    files = tuple(tables.save_table(data, folder))
    return Artefact(f"table{number}", data.title, files, html=tables.to_html(data))


def write_figure(number: int, profile: Profile, folder: Path) -> Artefact:
    """Compute and draw figure `number` and write it into `folder`; Figure 2 also as `fig2_extended`, with all maps and
    fills."""
    data = experiments.figure(number, profile)
    ways = {
        1: {"fig1": figures.figure1}, 2: {"fig2": figures.figure2, "fig2_extended": figures.figure2_extended},
    }[number]
    files = tuple(file for name, draw in ways.items() for file in figures.save_figure(draw(data), name, folder))
    titles = {1: "Figure 1: images and their saliency maps", 2: "Figure 2: quality prediction on masked images"}
    return Artefact(f"fig{number}", titles[number], files, html=_numbers(data), alt=describe(data))


def describe(data: Figure1Data | Figure2Data) -> str:
    """What a figure shows, in words, for those who cannot see it."""
    if isinstance(data, Figure1Data):
        return f"{len(data.images)} images side by side; below each its maps, one row per kind: {', '.join(data.rows)}."
    gaps = figures.papers_part(figures.gap_frame(data))
    setting = gaps[["world", "network"]]
    first = gaps[(setting == setting.iloc[0]).all(axis="columns")]
    distances = "; ".join(f"{row.map} map, {row.fill} fill: {row.gap:+.2f}" for row in first.itertuples())
    return ("SROCC against the share of masked pixels, LeRF and MoRF curves. Mean of LeRF minus MoRF for "
            f"{look(first['network'].iloc[0]).label}: {distances}.")


def _numbers(data: Figure1Data | Figure2Data) -> str:
    """The curves of a figure as a table; pictures have none."""
    if isinstance(data, Figure1Data):
        return ""
    return figures.curve_frame(data).reset_index().to_html(index=False, border=0, justify="left", na_rep="–")


def write_report(run: Run, folder: Path) -> Path:
    """Write `folder`/index.html: claims, tables, figures, links to the executed notebooks; nothing comes from outside.

    Returns:
        The page's path.

    Raises:
        OSError: the folder cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("paperlib.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": _data_uri, "number": number, "relative": lambda path: _link(path, folder)}
    page = folder / "index.html"
    text = environment.get_template("report.html.jinja").render(
        run=run,
        tables=[artefact for artefact in run.artefacts if not artefact.alt],
        figures=[artefact for artefact in run.artefacts if artefact.alt],
        versions={"Python": platform.python_version()} | {name: version(name) for name in _VERSIONS},
    )
    with atomic_write(page, "w") as file:
        file.write(text)
    return page


def _data_uri(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode()


def _link(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()
