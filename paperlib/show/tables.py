"""Tables as CSV, Markdown, LaTeX, HTML and plain text, all made from one `TableData`.

Every format shows the mean to three decimals, "± sd" over repeats and "[low, high]" where there is an interval, the
paper's number beside ours with the difference (ours - paper) where it published one, and an en dash where nothing was
computed. Best, second and third are marked per column among the ranked rows, at the printed precision: equal printed
values share a mark, and the next different value takes the next mark. A dagger follows means whose cell is `alike`; the
table's notes say to what.

Every function here that takes a `TableData` raises ValueError where its cells lack a column, name a section, method, data
set and metric twice, or contain a (data set, metric) that `table.columns` does not, and where two columns of a data set
share a heading.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import accumulate, groupby, pairwise
from math import isfinite, nan, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from paperlib import alike
from paperlib.paper import DATASETS, look
from paperlib.show import style

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

    from paperlib.experiments.artefacts import TableData

DECIMALS = 3
MISSING = "–"
ALIKE = "†"
WIDTH = 110

_KEY = ["section", "method", "dataset", "metric"]
_NUMBERS = ["value", "sd", "low", "high", "published"]
_CELL_COLUMNS = {*_KEY, *_NUMBERS, "n", "ranked"}
_PLACES = ("", "best", "second", "third")
_NO_MARKS = (("", ""),) * 4
_MARKDOWN_MARKS = (("", ""), ("**", "**"), ("<ins>", "</ins>"), ("*", "*"))


class Cell(NamedTuple):
    """One cell: numbers as computed, `rank` 1, 2 or 3 when it takes a mark, else 0, whether it takes a dagger, and what the
    mean is over."""

    value: float
    sd: float
    low: float
    high: float
    published: float
    rank: int
    alike: bool = False
    n: int = 0

    @property
    def mean(self) -> str:
        """The value to three decimals, or the dash."""
        return _decimals(self.value)

    @property
    def dagger(self) -> str:
        """The dagger of a value that is `alike`, empty without."""
        return ALIKE if self.alike and _finite(self.value) else ""

    @property
    def spread(self) -> str:
        """ "± sd" over repeats, empty without."""
        return f"± {_decimals(self.sd)}" if _finite(self.value, self.sd) else ""

    @property
    def interval(self) -> str:
        """ "[low, high]", empty without."""
        return f"[{_decimals(self.low)}, {_decimals(self.high)}]" if _finite(self.value, self.low, self.high) else ""

    @property
    def place(self) -> str:
        """ "best", "second", "third" or empty."""
        return _PLACES[self.rank]

    @property
    def over_repeats(self) -> str:
        """ "[low, high]" of Student's 95 % t interval from the spread over `n` repeats, for a cell without another one."""
        if self.interval or self.n < 2 or not _finite(self.value, self.sd):
            return ""
        from scipy.stats import t

        half = t.ppf(0.975, self.n - 1) * self.sd / sqrt(self.n)
        return f"[{_decimals(self.value - half)}, {_decimals(self.value + half)}]"

    @property
    def paper(self) -> str:
        """The paper's number, or the dash."""
        return _decimals(self.published)

    @property
    def difference(self) -> str:
        """Ours minus the paper's, signed, or the dash."""
        return _decimals(self.value - self.published, sign="+")


_EMPTY = Cell(nan, nan, nan, nan, nan, 0)


class _Row(NamedTuple):
    section: str
    label: str
    cells: tuple[Cell, ...]


class TableView:
    """What a notebook shows for a table: HTML where it can, else plain text. Both are the same in every run. `folded` is
    the line below which the HTML is folded; without one it lies open."""

    def __init__(self, table: TableData, folded: str = "") -> None:
        self.table, self.folded = table, folded

    def __repr__(self) -> str:
        return to_text(self.table)

    def _repr_html_(self) -> str:
        table = to_html(self.table)
        return f"<details><summary>{self.folded}</summary>{table}</details>" if self.folded else table


def display(table: TableData, folded: str = "") -> TableView:
    """The table as an object for the last line of a notebook cell; with a text, folded below it."""
    _validate(table)
    return TableView(table, folded)


class Folded:
    """A frame that a page shows when it is unfolded; where there are no pages, as text."""

    def __init__(self, frame: pd.DataFrame, summary: str) -> None:
        self.frame, self.summary = frame, summary

    def __repr__(self) -> str:
        return f"{self.summary}\n{self.frame.to_string()}"

    def _repr_html_(self) -> str:
        return f"<details><summary>{self.summary}</summary>\n{self.frame.to_html(border=0)}\n</details>"


def folded(frame: pd.DataFrame, summary: str) -> Folded:
    """The frame below a line that unfolds it, for the last line of a notebook cell."""
    return Folded(frame, summary)


def areas(summaries: pd.DataFrame) -> pd.DataFrame:
    """`paperlib.experiments.masking.results.summaries` by name: a row per network and map, a column per fill, in each cell
    the area between LeRF and MoRF with its interval."""
    cells = summaries.assign(
        network=summaries["network"].map(lambda name: look(name).label),
        map=summaries["map"].map(lambda name: style.map_look(name).label),
        fill=summaries["fill"].map(style.fill_label),
        area=[_with_interval(*numbers) for numbers in summaries[["area", "low", "high"]].to_numpy()],
    )
    wide = cells.pivot(index=["network", "map"], columns="fill", values="area")
    order = cells.drop_duplicates(["network", "map"]).set_index(["network", "map"]).index
    return wide.reindex(order, columns=dict.fromkeys(cells["fill"])).rename_axis(columns=None).fillna(MISSING)


def leads(compared: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What `paperlib.experiments.masking.results.leads` found, by the name of the pictures, and of the network where there
    are several: both areas, and the lead over HalfImage with its interval."""
    found = pd.concat({name: one for name, one in compared.items() if len(one)}, names=["pictures"]).reset_index(level=0)
    several = found.groupby("pictures")["network"].transform("nunique") > 1
    networks = found["network"].map(lambda name: look(name).label)
    found["pictures"] = found["pictures"].mask(several, found["pictures"] + ", " + networks)
    found["masked by"] = found["map"].map(lambda name: style.map_look(name).label)
    found["fill"] = found["fill"].map(style.fill_label)
    found["HalfImage"] = found["half_image"]
    found["lead"] = [_with_interval(*numbers) for numbers in found[["lead", "lead_low", "lead_high"]].to_numpy()]
    columns = ["pictures", "masked by", "fill", "area", "HalfImage", "lead"]
    return found[columns].round(DECIMALS).set_index(columns[:3])


def claim_quantities(parts: pd.DataFrame) -> pd.DataFrame:
    """`paperlib.experiments.claims.frame` as a page has room for: whose quantity, which, its mean with interval, outcome."""
    measured = [_with_interval(*numbers) for numbers in parts[["value", "low", "high"]].to_numpy()]
    over = [f"{row.n} {row.over}" for row in parts.itertuples()]
    whose = parts["control"].where(parts["control"] != "", parts["role"])
    shown = pd.DataFrame({"of": whose, "quantity": parts["quantity"], "mean": measured, "over": over})
    return shown.assign(outcome=parts["outcome"]).set_index(["of", "quantity"])


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{_decimals(value)} [{_decimals(low)}, {_decimals(high)}]"


def only(table: TableData, metrics: Sequence[str]) -> TableData:
    """The table with the columns of some metrics alone, as a page has room for."""
    columns = tuple(column for column in table.columns if column.metric in metrics)
    return replace(table, columns=columns, cells=table.cells[table.cells["metric"].isin(metrics)])


def dashed(frame: pd.DataFrame, decimals: int = 2) -> pd.DataFrame:
    """The numbers of a frame as text with so many decimals, and a dash where there is none."""
    return frame.map(lambda value: f"{round(value, decimals) + 0.0:.{decimals}f}" if isfinite(value) else MISSING)


def to_csv(table: TableData) -> str:
    """Tidy comma-separated values, one line per cell, numbers to six decimals, empty where there is none."""
    ranks = {key: cell.rank for key, cell in _cells(table).items()}
    cells = table.cells
    tidy = pd.DataFrame(
        {
            "section": cells["section"],
            "method": cells["method"],
            "label": [look(method).label for method in cells["method"]],
            "dataset": cells["dataset"],
            "metric": cells["metric"],
            **{name: [_fixed(value) for value in cells[name]] for name in ("value", "sd", "low", "high")},
            "n": [str(int(n)) if _finite(n) else "" for n in cells["n"]],
            "published": [_fixed(value) for value in cells["published"]],
            "difference": [_fixed(value) for value in cells["value"] - cells["published"]],
            **({"p_holm": [_fixed(value) for value in cells["p_holm"]]} if "p_holm" in cells else {}),
            "ranked": cells["ranked"].astype(bool),
            "rank": [ranks[key] or "" for key in cells[_KEY].itertuples(index=False, name=None)],
        }
    )
    return tidy.to_csv(index=False, lineterminator="\n")


def to_text(table: TableData) -> str:
    """Plain text for a terminal: one block per data set, ours and the paper's side by side."""
    blocks = []
    for dataset, heads, body in _blocks(table, _rows(table), "\n", _NO_MARKS):
        lines = [line.rstrip() for line in _grid("plain", heads, body).splitlines()]
        head = max(text.count("\n") for text in heads) + 1
        blocks.append("\n".join([dataset, "", *lines[:head], "", *lines[head:]]))
    prose = [textwrap.fill(line, WIDTH) for line in (table.title, table.caption)]
    notes = [textwrap.fill(note, WIDTH) for note in table.notes]
    return "\n\n".join(filter(None, [*prose, *blocks, *notes]))


def to_markdown(table: TableData) -> str:
    """GitHub's Markdown: one table per data set; **best**, underlined second, *third*."""
    rows = _rows(table)
    parts = [f"### {_pipe(table.title)}", _pipe(table.caption)]
    for dataset, heads, body in _blocks(table, rows, "<br>", _MARKDOWN_MARKS):
        escaped = [[_pipe(text) for text in line] for line in body]
        parts += [f"**{_pipe(dataset)}**", _grid("pipe", [_pipe(head) for head in heads], escaped)]
    parts += [_pipe(note) for note in table.notes]
    if _any_mark(rows):
        parts.append("Best in **bold**, second <ins>underlined</ins>, third in *italics*.")
    return "\n\n".join(filter(None, parts)) + "\n"


def to_latex(table: TableData) -> str:
    r"""A `table*` for a paper; needs the packages booktabs and graphicx.

    A method with published numbers takes a second line with them, or a single one if it has no others. A table that is
    too wide or too high for the page is scaled down. \textbf best, \underline second, \textit third.
    """
    rows = _rows(table)
    typed = any(row.section for row in rows)
    spans = _spans(table)
    caption = " ".join(filter(None, [_tex_title(table.title), table.caption]))
    stub = ["Type", "Method"] if typed else ["Method"]
    heads = [rf"\multicolumn{{{span}}}{{c}}{{{_tex(name)}}}" for name, span in spans]
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{_tex(caption)}}}",
        rf"\label{{tab:{table.name}}}",
        r"\resizebox*{!}{\ifdim\totalheight>.68\textheight .68\textheight\else\totalheight\fi}{%",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * len(stub)}{'r' * len(table.columns)}}}",
        r"\toprule",
        _tex_line([""] * len(stub) + heads),
        _tex_rules(spans, len(stub)),
        _tex_line(stub + [_tex(column.heading) for column in table.columns]),
    ]
    for section, members in groupby(rows, key=lambda row: row.section):
        lines.append(r"\midrule")
        for place, row in enumerate(members):
            first = [_tex(section) if place == 0 else ""] if typed else []
            paper = [rf"\footnotesize {_tex(cell.paper)}" for cell in row.cells]
            ours, theirs = any(_finite(cell.value) for cell in row.cells), _any_published(row.cells)
            if ours or not theirs:
                lines.append(_tex_line([*first, _tex(row.label), *map(_tex_cell, row.cells)]))
            if ours and theirs:
                lines.append(_tex_line([""] * len(first) + [r"\quad\footnotesize paper", *paper]))
            elif theirs:
                lines.append(_tex_line([*first, rf"{_tex(row.label)}, {{\footnotesize paper}}", *paper]))
    lines += [r"\bottomrule", r"\end{tabular}}}"]
    notes = [_tex(note) for note in table.notes]
    if _any_mark(rows):
        notes.append(r"Best in \textbf{bold}, second \underline{underlined}, third in \textit{italics}.")
    lines += [rf"\par\smallskip\footnotesize {note}" for note in notes]
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def to_html(table: TableData) -> str:
    """HTML for notebooks and the report: caption, headers with scope, ours above the paper's; no script, no random ids."""
    rows = _rows(table)
    sections = [(name, list(members)) for name, members in groupby(rows, key=lambda row: row.section)]
    return _rendered("table", table, rows, sections=sections)


def to_sortable_html(table: TableData) -> str:
    """HTML for a page that sorts its tables: one body, the type below the method's name, and in each cell the number to
    sort by, mean, spread, interval, n, and the paper's number.

    The page brings style and script; without them the table is whole. Where a cell has no interval over pictures, the one
    over repeats is given (`Cell.over_repeats`), and the notes say so.
    """
    rows = _rows(table)
    return _rendered("sortable_table", table, rows, notes=[*table.notes, *_number_notes(rows)])


def template(name: str) -> Template:
    """The template `name` of the folder `templates`; what it is not given is an error, never an empty place."""
    return _environment().get_template(f"{name}.html.jinja")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("paperlib.show"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["coded"] = _coded
    return environment


def _coded(text: str) -> Markup:
    """Prose in which `` `names` `` are set as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _rendered(name: str, table: TableData, rows: Sequence[_Row], **more: object) -> str:
    common = {"tags": ("span", "b", "u", "i"), "missing": MISSING, "marked": _any_mark(rows), "spans": _spans(table)}
    return template(name).render(table=table, rows=rows, **common, **more)


def _number_notes(rows: Sequence[_Row]) -> list[str]:
    """What the parts of a cell are, and why some have fewer."""
    every = [cell for row in rows for cell in row.cells]
    cells = [cell for cell in every if _finite(cell.value)]
    notes = ["± is the standard deviation over repeats"] if any(cell.spread for cell in cells) else []
    if any(cell.interval for cell in cells):
        notes.append("brackets hold the 95 % interval that the caption names")
    if any(cell.over_repeats for cell in cells):
        where = ", where nothing was resampled," if any(cell.interval for cell in cells) else ""
        notes.append(f"brackets{where} hold Student's 95 % interval of the mean over the n repeats")
    notes.append("n is the number of repeats or pictures that the mean is over")
    sentences = [f"How to read a cell: {'; '.join(notes)}."]
    if any(not cell.spread for cell in cells):
        sentences.append("Without ±: computed in one repeat only, so that there is no spread over repeats.")
    if any(not (cell.interval or cell.over_repeats) for cell in cells):
        sentences.append("Without brackets: a single value, over which nothing can be resampled.")
    if len(cells) < len(every):
        sentences.append(f"A dash ({MISSING}): this run did not compute the number, or the method has none.")
    return sentences


def save_table(table: TableData, folder: str | Path) -> tuple[Path, ...]:
    """Write `<name>.csv`, `<name>.md` and `<name>.tex` into `folder`, unless those there say the same (`paperlib.alike`).

    Returns:
        The three paths.

    Raises:
        OSError: the folder cannot be written.
    """
    texts = {"csv": to_csv(table), "md": to_markdown(table), "tex": to_latex(table)}
    files = {Path(folder, f"{table.name}.{suffix}"): text.encode() for suffix, text in texts.items()}
    alike.write(files)
    return tuple(files)


def _validate(table: TableData) -> None:
    headings = [(_dataset(column.dataset), column.heading) for column in table.columns]
    if len(set(headings)) < len(headings):
        raise ValueError(f"table {table.name}: expected different headings within a data set, got {headings}")
    missing = _CELL_COLUMNS - set(table.cells.columns)
    if missing:
        raise ValueError(f"table {table.name}: expected cells with {sorted(_CELL_COLUMNS)}, lacking {sorted(missing)}")
    double = table.cells[table.cells.duplicated(_KEY)]
    if len(double):
        raise ValueError(
            f"table {table.name}: expected one cell per section, method, data set and metric, got two of "
            f"{tuple(double.iloc[0][_KEY])}; average over repeats first"
        )
    known = {(column.dataset, column.metric) for column in table.columns}
    got = set(table.cells[["dataset", "metric"]].itertuples(index=False, name=None))
    if got - known:
        raise ValueError(
            f"table {table.name}: expected data set and metric in {sorted(known)}, got "
            f"{sorted(got - known)}; add a Column or drop the cells"
        )


def _cells(table: TableData) -> dict[tuple[str, str, str, str], Cell]:
    """(section, method, dataset, metric) -> cell, ranked per column."""
    _validate(table)
    directions = {(column.dataset, column.metric): column.direction for column in table.columns}
    ranks = pd.Series(0, index=table.cells.index)
    for column, group in table.cells.groupby(["dataset", "metric"], sort=False):
        ranked = group[group["ranked"].astype(bool)]
        ranks.update(_ranks(ranked["value"], directions[column]))
    numbers = table.cells[_NUMBERS].astype(float).itertuples(index=False, name=None)
    counts = table.cells["n"].fillna(0).astype(int)
    keys = table.cells[_KEY].itertuples(index=False, name=None)
    alike = table.cells["alike"].astype(bool) if "alike" in table.cells else [False] * len(table.cells)
    return {
        key: Cell(value, sd, low, high, published, int(rank), bool(same), n)
        for key, (value, sd, low, high, published), rank, same, n in zip(keys, numbers, ranks, alike, counts, strict=True)
    }


def _ranks(values: pd.Series, direction: int) -> pd.Series:
    """1, 2, 3 for the three best different printed values, else 0."""
    if direction == 0 or values.notna().sum() < 2:
        return pd.Series(0, index=values.index)
    printed = values.map(lambda value: round(float(value), DECIMALS))
    places = printed.rank(method="dense", ascending=direction < 0)
    return places.where(places <= 3, 0).fillna(0).astype(int)


def _rows(table: TableData) -> list[_Row]:
    """One row per section and method; sections and methods in order of appearance."""
    cells = _cells(table)
    sections = list(dict.fromkeys(table.cells["section"]))
    names = dict.fromkeys(table.cells[["section", "method"]].itertuples(index=False, name=None))
    return [
        _Row(
            section,
            look(method).label,
            tuple(cells.get((section, method, column.dataset, column.metric), _EMPTY) for column in table.columns),
        )
        for section, method in sorted(names, key=lambda name: sections.index(name[0]))
    ]


def _blocks(
    table: TableData, rows: Sequence[_Row], newline: str, marks: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Per data set: its name, the headings, and the rows as text; a section is named in its first row only."""
    typed = any(row.section for row in rows)
    for dataset in dict.fromkeys(column.dataset for column in table.columns):
        places = [place for place, column in enumerate(table.columns) if column.dataset == dataset]
        here = [row for row in rows if any(row.cells[place] != _EMPTY for place in places)]
        paired = {place: _any_published(row.cells[place] for row in here) for place in places}
        heads = ["Type", "Method"] if typed else ["Method"]
        for place in places:
            heading = table.columns[place].heading
            heads += [f"{heading}{newline}ours", f"{newline}paper", f"{newline}diff."] if paired[place] else [heading]
        body = []
        for section, members in groupby(here, key=lambda row: row.section):
            for number, row in enumerate(members):
                line = [section if number == 0 else ""] if typed else []
                line.append(row.label)
                for place in places:
                    cell = row.cells[place]
                    line.append(_joined(cell, newline, *marks[cell.rank]))
                    line += [cell.paper, cell.difference] if paired[place] else []
                body.append(line)
        yield _dataset(dataset), heads, body


def _grid(tablefmt: str, heads: list[str], body: list[list[str]]) -> str:
    from tabulate import tabulate

    names = heads.index("Method") + 1
    align = ("left",) * names + ("right",) * (len(heads) - names)
    return tabulate(body, headers=heads, tablefmt=tablefmt, disable_numparse=True, colalign=align)


def _joined(cell: Cell, newline: str, before: str = "", after: str = "") -> str:
    mean = " ".join(filter(None, (f"{before}{cell.mean}{after}{cell.dagger}", cell.spread)))
    return newline.join(filter(None, (mean, cell.interval)))


def _spans(table: TableData) -> list[tuple[str, int]]:
    """Data sets over the columns: name and number of neighbouring columns."""
    neighbours = groupby(table.columns, key=lambda column: column.dataset)
    return [(_dataset(key), len(list(columns))) for key, columns in neighbours]


def _dataset(key: str) -> str:
    return DATASETS.get(key, key)


def _any_mark(rows: Sequence[_Row]) -> bool:
    return any(cell.rank for row in rows for cell in row.cells)


def _any_published(cells: Iterable[Cell]) -> bool:
    return any(_finite(cell.published) for cell in cells)


def _finite(*values: float) -> bool:
    return all(isfinite(value) for value in values)


def _decimals(value: float, sign: str = "") -> str:
    """Three decimals with an ASCII sign, so that a number stays one number for whoever compares texts."""
    return f"{round(float(value), DECIMALS) + 0.0:{sign}.{DECIMALS}f}" if _finite(value) else MISSING


def _fixed(value: float) -> str:
    return f"{round(float(value), 6) + 0.0:.6f}" if _finite(value) else ""


def _pipe(text: str) -> str:
    return text.replace("|", r"\|")


_TEX = str.maketrans(
    {
        **{character: f"\\{character}" for character in "&%$#_{}"},
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"$<$",
        ">": r"$>$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "↑": r"$\uparrow$",
        "↓": r"$\downarrow$",
        "→": r"$\to$",
        "±": r"$\pm$",
        "×": r"$\times$",
        "·": r"$\cdot$",
        "Δ": r"$\Delta$",
        "β": r"$\beta$",
        "−": "$-$",
        "–": "--",
        "…": r"\dots{}",
        "“": "``",
        "”": "''",
        "’": "'",
        "†": r"$^{\dagger}$",
    }
)


def _tex(text: str) -> str:
    return text.translate(_TEX)


def _tex_title(title: str) -> str:
    """The title as a sentence; LaTeX numbers its tables itself, so that the paper's number goes to the end."""
    words = re.sub(r"^(Table [IVX]+): (.)(.*)$", lambda m: f"{m[2].upper()}{m[3]} ({m[1]} of the paper)", title)
    return words if words.endswith((".", "!", "?")) or not words else f"{words}."


def _tex_line(fields: list[str]) -> str:
    return " & ".join(fields) + r" \\"


def _tex_rules(spans: list[tuple[str, int]], stub: int) -> str:
    edges = accumulate((span for _, span in spans), initial=stub)
    return " ".join(rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in pairwise(edges))


def _tex_cell(cell: Cell) -> str:
    mark = ("{}", r"\textbf{{{}}}", r"\underline{{{}}}", r"\textit{{{}}}")[cell.rank]
    mean = mark.format(_tex(cell.mean.replace("-", "−")))
    spread = rf"\,{{\footnotesize {_tex(cell.spread)}}}" if cell.spread else ""
    interval = rf" {{\scriptsize {cell.interval}}}" if cell.interval else ""
    return mean + _tex(cell.dagger) + spread + interval
