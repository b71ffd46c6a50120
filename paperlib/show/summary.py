"""What one run made, told in plain text and JSON; claims as files; the parts of README that code writes."""

from __future__ import annotations

import json
import math
import re
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from paperlib import alike
from paperlib.errors import PaperlibError
from paperlib.paper import CLAIMS, look, published

if TYPE_CHECKING:
    from paperlib.experiments.artefacts import ClaimResult
    from paperlib.show.notebooks import NotebookRun

_MARKER = re.compile(r"<!-- generated:(?P<name>[\w-]+) -->\n(?P<body>.*?)<!-- /generated:(?P=name) -->", re.DOTALL)
_INDENT = " " * 6
CRITERION = (
    "A quantity holds when its mean and its whole 95 % interval lie above what is needed, a claim or a control when all of "
    "its quantities do. Where a control holds as well, the claim is no evidence for its reading."
)
"""How claims are judged, for readers of their tables."""
_CLAIMS_COLUMNS = {"Real, small": "open/claims.csv", "Simulation": "claims.csv"}
"""Columns of README's first table, and the files that fill them."""

WARNINGS = {
    "simulation": (
        "Simulation: the numbers of this run come from a small generated world with simulated observers and assessors. They "
        "test the pipeline and show the mechanism; they are no evidence about people."
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
    (`paperlib.profiles.names`). `read` is what was odd about the data, `paperlib.experiments.sets.noted.found`.
    """

    profile: str
    evidence: str = "simulation"
    artefacts: list[Artefact] = field(default_factory=list)
    claims: list[ClaimResult] = field(default_factory=list)
    notebooks: list[NotebookRun] = field(default_factory=list)
    settings: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory: int = 0
    read: tuple[str, ...] = ()

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


def text_summary(run: Run, report: Path | None) -> str:
    """What a run made, for a terminal: where tables and figures lie, the verdicts, the notebooks, time and memory."""
    parts = [f"Profile {run.profile}" + (f", with {', '.join(run.settings)}" if run.settings else "")]
    if run.warning:
        parts.append(textwrap.fill(run.warning, 100))
    if run.read:
        parts += ["", "What was read", *(f"  {sentence}" for sentence in run.read)]
    if run.artefacts:
        parts += ["", "Tables and figures"]
        parts += [f"  {artefact.name:8}{_files(artefact.files)}" for artefact in run.artefacts]
    if run.claims:
        parts += ["", "Claims of the paper, tested here", claims_text(run.claims)]
    if run.notebooks:
        parts += ["", "Notebooks"]
        for notebook in run.notebooks:
            state = "failed" if notebook.error else "as was" if notebook.unchanged else "ok"
            parts.append(f"  {state:8}{notebook.seconds:6.1f} s  {_shown(notebook.html or notebook.notebook)}")
    parts += ["", "Time"]
    parts += [f"  {step:22}{seconds:8.1f} s" for step, seconds in run.seconds.items()]
    parts.append(f"  {'total':22}{sum(run.seconds.values()):8.1f} s")
    if run.peak_memory:
        parts.append(f"  {'peak memory':22}{run.peak_memory / 2**30:8.1f} GiB in all processes")
    if report:
        parts += ["", f"Report: {_shown(report)}"]
    if run.failures:
        parts += ["", "Failed", *(f"  {failure}" for failure in run.failures)]
    return "\n".join(parts) + "\n"


def claims_text(claims: Sequence[ClaimResult]) -> str:
    """Per claim its effect with interval and n, what that is, and the verdict, which names the controls."""
    lines = []
    for claim in claims:
        lines.append(f"  {claim.id}  {effect(claim)} {count(claim)}  {claim.detail or claim.text}")
        lines.append(textwrap.fill(claim.verdict, 100, initial_indent=_INDENT, subsequent_indent=_INDENT))
    return "\n".join(lines)


def effect(one: Any) -> str:
    """Value and 95 % interval of a claim, or of a row of its parts, or that there is none."""
    if math.isnan(one.value):
        return "no value"
    known = math.isfinite(one.low) and math.isfinite(one.high)
    return f"{number(one.value)} [{number(one.low)}, {number(one.high)}]" if known else f"{number(one.value)}, no interval"


def count(one: Any) -> str:
    """What an effect is over, such as "3 repeats"."""
    return f"{one.n} {one.over.removesuffix('s') if one.n == 1 else one.over}"


def bench_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line per benchmark: whether it reaches its goal, its ratio to the peer, both names; "no peer" without one."""
    words = {True: "met", False: "MISSED", None: "no peer"}
    lines = []
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        goal = "" if row["goal"] is None else f" (goal {row['goal']})"
        lines.append(f"{words[row['met']]:8}{ratio:>10}  {row['name']} / {row['peer']}{goal}")
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Three decimals, a real minus sign, and a dash for what has no value."""
    return "–" if math.isnan(value) else f"{value:.3f}".replace("-", "−")


def to_json(value: Any, indent: int | None = 2) -> str:
    """JSON text with a final line break: dataclasses as objects, data frames as lists of rows, arrays as lists to four
    decimals; a number that does not exist is null."""
    return json.dumps(_plain(value), indent=indent, ensure_ascii=False, allow_nan=False) + "\n"


def save_claims(claims: Sequence[ClaimResult], folder: Path) -> tuple[Path, Path]:
    """Write `claims.csv` and `claims.md` into `folder`, unless those there say the same (`paperlib.alike`): per claim its
    verdict, and all quantities as `paperlib.experiments.claims.frame` has them."""
    tables = [one.parts.assign(claim=one.id, verdict=one.verdict) for one in claims]
    table = pd.concat(tables)[["claim", "verdict", *claims[0].parts.columns]]
    csv = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    alike.write({folder / "claims.csv": csv.encode(), folder / "claims.md": _claims_md(claims).encode()})
    return folder / "claims.csv", folder / "claims.md"


def readme_blocks(figures: Path) -> dict[str, str]:
    """The generated parts of README by name: `claims`, `cost` and `table1` to `table3`, from the files in `figures`.

    A part whose file is missing is left out.
    """
    blocks = {path.stem: path.read_text("utf-8") for path in sorted(figures.glob("table[1-3].md"))}
    columns = {title: figures / name for title, name in _CLAIMS_COLUMNS.items()}
    saved = {title: _saved_claims(file) for title, file in columns.items() if file.is_file()}
    if saved:
        blocks["claims"] = _readme_claims(saved)
    if (figures / "cost.json").is_file():
        from paperlib.show.cost import readme_cost

        blocks["cost"] = readme_cost(json.loads((figures / "cost.json").read_text("utf-8")))
    return blocks


def rewrite_readme(text: str, figures: Path) -> str:
    """`text` with what stands between `<!-- generated:NAME -->` and `<!-- /generated:NAME -->` made anew.

    Raises:
        PaperlibError: an opening marker without its closing one, a name for which `figures` holds no file, or a file of
            claims in another form.
    """
    blocks = readme_blocks(figures)
    opened = re.findall(r"<!-- generated:([\w-]+) -->", text)
    closed = [match["name"] for match in _MARKER.finditer(text)]
    if opened != closed:
        lost = sorted(set(opened) - set(closed)) or opened
        end = f"<!-- /generated:{lost[0]} -->"
        raise PaperlibError(f"README.md: the generated block {lost[0]!r} is not closed with {end}")
    for name in opened:
        if name not in blocks:
            known = ", ".join(sorted(blocks)) or "none"
            raise PaperlibError(f"README.md asks for the block {name!r}, but {figures} has files for: {known}")
    return _MARKER.sub(
        lambda match: (
            f"<!-- generated:{match['name']} -->\n{blocks[match['name']].strip()}\n<!-- /generated:{match['name']} -->"
        ),
        text,
    )


def _files(files: Sequence[Path]) -> str:
    """Each stem once, with its endings: `figures/table1.csv .md .tex`."""
    words = [_shown(files[0])]
    for before, file in pairwise(files):
        words.append(file.suffix if file.stem == before.stem else file.name)
    return " ".join(words)


def _shown(path: Path) -> str:
    """Relative to the working directory where it lies below it."""
    path = path.resolve()
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, pd.DataFrame):
        return _plain(value.to_dict("records"))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(np.round(value.astype(float), 4).tolist() if value.dtype.kind == "f" else value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _claims_md(claims: Sequence[ClaimResult]) -> str:
    lines = [
        "A part holds when its mean and the whole 95 % interval lie above what is needed; a claim, and a control, when all"
    ]
    lines += ["of its parts do. What stands beside a claim decides nothing."]
    for claim in claims:
        lines += ["", f"**{claim.id}** {claim.verdict}", ""]
        lines += ["| | Quantity | Mean and interval | n | Needed | |", "|:--|:--|--:|:--|--:|:--|"]
        for row in claim.parts.itertuples(index=False):
            who = f"control without {row.lacks}: {row.control}" if row.control else row.role
            cells = [who, row.quantity, effect(row), count(row), number(row.needed), row.outcome]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _saved_claims(file: Path) -> pd.DataFrame:
    table = pd.read_csv(file)
    if not {"claim", "role", "verdict"} <= set(table.columns):
        raise PaperlibError(f"{file} is no table of claims as they are saved now; make it anew: ./run_all.sh")
    return table


def _readme_claims(saved: Mapping[str, pd.DataFrame]) -> str:
    """Claim, what the paper has, and verdict and effects of each table of `save_claims`, by the heading of its column."""
    lines = ["| " + " | ".join(["Claim", "Paper", *saved]) + " |", "|:--|:--|" + ":--|" * len(saved)]
    for claim in CLAIMS.values():
        cells = [f"**[{claim.id}](notebooks/{claim.notebook})** {claim.ours}", _paper_side(claim.id)]
        cells += [_ours_side(table[(table["claim"] == claim.id) & (table["role"] == "claim")]) for table in saved.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ours_side(rows: pd.DataFrame) -> str:
    if rows.empty:
        return "–"
    effects = [f"{row.quantity} {effect(row)}, {count(row)}" for row in rows.itertuples(index=False)]
    return "<br>".join([f"**{rows['verdict'].iloc[0]}**", *effects])


_PAPER_CELLS = {
    "C1": ((1, "center_prior", "salicon", "CC"), (1, "baseline", "salicon", "CC"), (1, "transalnet", "salicon", "CC")),
    "C2": (),
    "C3": (
        (2, "baseline", "koniq10k", "SROCC"),
        (2, "baseline_gradcam_loss", "koniq10k", "SROCC"),
        (2, "baseline", "salicon", "CC"),
        (2, "baseline_gradcam_loss", "salicon", "CC"),
    ),
    "C4": tuple((3, method, "sacid", "FracCP") for method in ("psnr", "ew_psnr", "ssim", "ew_ssim")),
}


def _paper_side(identity: str) -> str:
    """Section and the published numbers that carry the claim."""
    cells = [f"{look(cell[1]).label} {cell[3]} {published(*cell):.3f}" for cell in _PAPER_CELLS[identity]]
    return "<br>".join([CLAIMS[identity].section, *cells])
