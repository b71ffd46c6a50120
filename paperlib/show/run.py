"""What one run made: tables, figures, claims and notebooks, and what a reader must know about the numbers."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paperlib.experiments.artefacts import ClaimResult
    from paperlib.show.notebooks import NotebookRun

WARNINGS = {
    "simulation": (
        "Simulation: all numbers here come from a small generated world with simulated observers and assessors. They test "
        "the pipeline and show the mechanism; they are no evidence about people."
    ),
    "stand-ins": (
        "Rehearsal: generated pictures in the official layouts of the data sets, and networks with random weights. The "
        "numbers mean nothing; they show that every step of the paper's run works."
    ),
}


@dataclass(frozen=True)
class Artefact:
    """A table or figure as it was written: `name` like "table1", its files, and what the page shows of it.

    `html` is the markup of a table, or of the numbers behind a figure; `alt` is a figure's description in words; `csv`
    is the name of the file among `files` that holds the numbers.
    """

    name: str
    title: str
    files: tuple[Path, ...]
    html: str = ""
    alt: str = ""
    csv: str = ""

    @property
    def data(self) -> Path | None:
        """The file with the numbers."""
        return next((file for file in self.files if file.name == self.csv), None)

    @property
    def pictures(self) -> list[tuple[Path, Path | None]]:
        """The pictures that the page shows, each with its version for narrow screens if there is one."""
        found = {file.stem: file for file in self.files if file.suffix == ".png"}
        return [(file, found.get(f"{stem}_column")) for stem, file in found.items() if not stem.endswith("_column")]


@dataclass
class Run:
    """All that one run made: filled step by step, read by the page and by the text summary.

    `evidence` is what the numbers rest on (`paperlib.profiles.Profile.evidence`), `values` are all settings of the profile
    (`paperlib.profiles.names`).
    """

    profile: str
    evidence: str = "simulation"
    artefacts: list[Artefact] = field(default_factory=list)
    claims: list["ClaimResult"] = field(default_factory=list)
    notebooks: list["NotebookRun"] = field(default_factory=list)
    settings: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
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
