"""Tables as a DataFrame, CSV, Markdown, LaTeX and HTML, all made from one `TableData`.

Every format shows the mean to three decimals, "± sd" over repeats and "[low, high]" where there is an interval, the
paper's number beside ours with the difference (ours - paper) where it published one, and an en dash where nothing was
computed. Best, second and third are marked per column among the ranked rows, at the printed precision: equal printed
values share a mark, and the next different value takes the next mark. A dagger follows means whose cell is `alike`; the
table's notes say to what.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import accumulate, groupby, pairwise
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from paperlib.paper import DATASETS, look
from paperlib.paths import atomic_write

if TYPE_CHECKING:
    from jinja2 import Template

    from paperlib.experiments.artefacts import TableData

DECIMALS = 3
MISSING = "–"
ALIKE = "†"
WIDTH = 110

_KEY = ["section", "method", "dataset", "metric"]
_NUMBERS = ["value", "sd", "low", "high", "published"]
_CELL_COLUMNS = {*_KEY, *_NUMBERS, "n", "ranked"}
_NO_MARKS = (("", ""),) * 4
_MARKDOWN_MARKS = (("", ""), ("**", "**"), ("<ins>", "</ins>"), ("*", "*"))


class Cell(NamedTuple):
    """One cell: numbers as computed, `rank` 1, 2 or 3 when it takes a mark, else 0, and whether it takes a dagger."""

    value: float
    sd: float
    low: float
    high: float
    published: float
    rank: int
    alike: bool = False

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
        """"± sd" over repeats, empty without."""
        return f"± {_decimals(self.sd)}" if _finite(self.value, self.sd) else ""

    @property
    def interval(self) -> str:
        """"[low, high]", empty without."""
        return f"[{_decimals(self.low)}, {_decimals(self.high)}]" if _finite(self.value, self.low, self.high) else ""

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
    """What a notebook shows for a table: HTML where it can, else plain text. Both are the same in every run."""

    def __init__(self, table: TableData) -> None:
        self.table = table

    def __repr__(self) -> str:
        return to_text(self.table)

    def _repr_html_(self) -> str:
        return to_html(self.table)


def display(table: TableData) -> TableView:
    """The table as an object for the last line of a notebook cell.

    Raises:
        ValueError: see `to_frame`.
    """
    _validate(table)
    return TableView(table)


def to_frame(table: TableData, formatted: bool = True) -> pd.DataFrame:
    """The table side by side.

    Args:
        table: what an experiment computed.
        formatted: strings as in every other format; else floats (the mean, the paper's number, the difference).

    Returns:
        Rows (section, method label), columns (data set, metric heading, "ours" | "paper" | "difference"); the last two
        only under columns for which the paper published something.

    Raises:
        ValueError: cells lack a column of `TableData`, name a section, method, data set and metric twice, or contain a
            (data set, metric) that `table.columns` does not; or two columns of a data set share a heading.
    """
    _validate(table)
    rows = _rows(table)
    index = pd.MultiIndex.from_tuples([(row.section, row.label) for row in rows], names=["Type", "Method"])
    columns: dict[tuple[str, str, str], list[str] | list[float]] = {}
    for position, column in enumerate(table.columns):
        cells = [row.cells[position] for row in rows]
        name = (_dataset(column.dataset), column.heading)
        columns[*name, "ours"] = [_joined(cell, " ") if formatted else cell.value for cell in cells]
        if _any_published(cells):
            columns[*name, "paper"] = [cell.paper if formatted else cell.published for cell in cells]
            columns[*name, "difference"] = [
                cell.difference if formatted else cell.value - cell.published for cell in cells
            ]
    frame = pd.DataFrame(columns, index=index)
    frame.columns.names = ["Data set", "Metric", ""]
    return frame


def to_csv(table: TableData) -> str:
    """Tidy comma-separated values, one line per cell, numbers to six decimals, empty where there is none.

    Raises:
        ValueError: see `to_frame`.
    """
    _validate(table)
    cells = table.cells
    ranks = {key: cell.rank for key, cell in _cells(table).items()}
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
    """Plain text for a terminal: one block per data set, ours and the paper's side by side.

    Raises:
        ValueError: see `to_frame`.
    """
    _validate(table)
    blocks = []
    for dataset, heads, body in _blocks(table, "\n", marks=_NO_MARKS):
        lines = [line.rstrip() for line in _grid("plain", heads, body).splitlines()]
        head = max(text.count("\n") for text in heads) + 1
        blocks.append("\n".join([dataset, "", *lines[:head], "", *lines[head:]]))
    prose = [textwrap.fill(line, WIDTH) for line in (table.title, table.caption)]
    notes = [textwrap.fill(note, WIDTH) for note in table.notes]
    return "\n\n".join(filter(None, [*prose, *blocks, *notes]))


def to_markdown(table: TableData) -> str:
    """GitHub's Markdown: one table per data set; **best**, underlined second, *third*.

    Raises:
        ValueError: see `to_frame`.
    """
    _validate(table)
    parts = [f"### {_pipe(table.title)}", _pipe(table.caption)]
    for dataset, heads, body in _blocks(table, "<br>", marks=_MARKDOWN_MARKS):
        escaped = [[_pipe(text) for text in line] for line in body]
        parts += [f"**{_pipe(dataset)}**", _grid("pipe", [_pipe(head) for head in heads], escaped)]
    parts += [_pipe(note) for note in table.notes]
    if _any_mark(table):
        parts.append("Best in **bold**, second <ins>underlined</ins>, third in *italics*.")
    return "\n\n".join(filter(None, parts)) + "\n"


def to_latex(table: TableData) -> str:
    r"""A `table*` for a paper; needs the packages booktabs and graphicx.

    A method with published numbers takes a second line with them. \textbf best, \underline second, \textit third.

    Raises:
        ValueError: see `to_frame`.
    """
    _validate(table)
    rows = _rows(table)
    typed = any(row.section for row in rows)
    spans = _spans(table)
    stub = ["Type", "Method"] if typed else ["Method"]
    heads = [rf"\multicolumn{{{span}}}{{c}}{{{_tex(name)}}}" for name, span in spans]
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{_tex(table.title)} {_tex(table.caption)}}}",
        rf"\label{{tab:{table.name}}}",
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
            lines.append(_tex_line([*first, _tex(row.label), *map(_tex_cell, row.cells)]))
            if _any_published(row.cells):
                paper = [rf"\footnotesize {_tex(cell.paper)}" for cell in row.cells]
                lines.append(_tex_line([""] * len(first) + [r"\quad\footnotesize paper", *paper]))
    lines += [r"\bottomrule", r"\end{tabular}}"]
    notes = [_tex(note) for note in table.notes]
    if _any_mark(table):
        notes.append(r"Best in \textbf{bold}, second \underline{underlined}, third in \textit{italics}.")
    lines += [rf"\par\smallskip\footnotesize {note}" for note in notes]
    lines.append(r"\end{table*}")
    return "\n".join(lines) + "\n"


def to_html(table: TableData) -> str:
    """HTML for notebooks and the report: caption, headers with scope, ours above the paper's; no script, no random ids.

    Raises:
        ValueError: see `to_frame`.
    """
    _validate(table)
    sections = [(name, list(rows)) for name, rows in groupby(_rows(table), key=lambda row: row.section)]
    return _template().render(table=table, sections=sections, spans=_spans(table), tags=("span", "b", "u", "i"),
                              missing=MISSING, marked=_any_mark(table))


def save_table(table: TableData, folder: str | Path) -> tuple[Path, Path, Path]:
    """Write `<name>.csv`, `<name>.md` and `<name>.tex` into `folder`, each at once or not at all.

    Returns:
        The three paths.

    Raises:
        ValueError: see `to_frame`.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    written = []
    for suffix, text in (("csv", to_csv(table)), ("md", to_markdown(table)), ("tex", to_latex(table))):
        path = folder / f"{table.name}.{suffix}"
        with atomic_write(path, "wb") as file:
            file.write(text.encode())
        written.append(path)
    return tuple(written)


def _validate(table: TableData) -> None:
    headings = [(_dataset(column.dataset), column.heading) for column in table.columns]
    if len(set(headings)) < len(headings):
        raise ValueError(f"table {table.name}: expected different headings within a data set, got {headings}")
    missing = _CELL_COLUMNS - set(table.cells.columns)
    if missing:
        raise ValueError(f"table {table.name}: expected cells with {sorted(_CELL_COLUMNS)}, lacking {sorted(missing)}")
    double = table.cells[table.cells.duplicated(_KEY)]
    if len(double):
        raise ValueError(f"table {table.name}: expected one cell per section, method, data set and metric, got two of "
                         f"{tuple(double.iloc[0][_KEY])}; average over repeats first")
    known = {(column.dataset, column.metric) for column in table.columns}
    got = set(table.cells[["dataset", "metric"]].itertuples(index=False, name=None))
    if got - known:
        raise ValueError(f"table {table.name}: expected data set and metric in {sorted(known)}, got "
                         f"{sorted(got - known)}; add a Column or drop the cells")


def _cells(table: TableData) -> dict[tuple[str, str, str, str], Cell]:
    """(section, method, dataset, metric) -> cell, ranked per column."""
    directions = {(column.dataset, column.metric): column.direction for column in table.columns}
    ranks = pd.Series(0, index=table.cells.index)
    for column, group in table.cells.groupby(["dataset", "metric"], sort=False):
        ranked = group[group["ranked"].astype(bool)]
        ranks.update(_ranks(ranked["value"], directions[column]))
    numbers = table.cells[_NUMBERS].astype(float).itertuples(index=False, name=None)
    keys = table.cells[_KEY].itertuples(index=False, name=None)
    alike = table.cells["alike"].astype(bool) if "alike" in table.cells else [False] * len(table.cells)
    return {
        key: Cell(*values, int(rank), bool(same))
        for key, values, rank, same in zip(keys, numbers, ranks, alike, strict=True)
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
        _Row(section, look(method).label,
             tuple(cells.get((section, method, column.dataset, column.metric), _EMPTY) for column in table.columns))
        for section, method in sorted(names, key=lambda name: sections.index(name[0]))
    ]


def _blocks(
    table: TableData, newline: str, marks: tuple[tuple[str, str], ...]
) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Per data set: its name, the headings, and the rows as text; a section is named in its first row only."""
    rows = _rows(table)
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


def _any_mark(table: TableData) -> bool:
    return any(cell.rank for cell in _cells(table).values())


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
        "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
        "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "≤": r"$\leq$", "≥": r"$\geq$",
        "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", "±": r"$\pm$", "×": r"$\times$", "·": r"$\cdot$",
        "Δ": r"$\Delta$", "β": r"$\beta$", "−": "$-$", "–": "--", "…": r"\dots{}", "“": "``", "”": "''", "’": "'",
        "†": r"$^{\dagger}$",
    }
)


def _tex(text: str) -> str:
    return text.translate(_TEX)


def _tex_line(fields: list[str]) -> str:
    return " & ".join(fields) + r" \\"


def _tex_rules(spans: list[tuple[str, int]], stub: int) -> str:
    ends = accumulate((span for _, span in spans), initial=stub)
    edges = list(pairwise(ends))
    return " ".join(rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in edges)


def _tex_cell(cell: Cell) -> str:
    mark = ("{}", r"\textbf{{{}}}", r"\underline{{{}}}", r"\textit{{{}}}")[cell.rank]
    mean = mark.format(_tex(cell.mean.replace("-", "−")))
    spread = rf"\,{{\footnotesize {_tex(cell.spread)}}}" if cell.spread else ""
    interval = rf" {{\scriptsize {cell.interval}}}" if cell.interval else ""
    return mean + _tex(cell.dagger) + spread + interval


_HTML = """\
<style>
.paperlib-table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.paperlib-table caption { caption-side: top; text-align: left; padding-bottom: 0.6em; }
.paperlib-table th, .paperlib-table td { padding: 0.25em 0.7em; text-align: right; vertical-align: top; }
.paperlib-table th[scope="row"], .paperlib-table th[scope="rowgroup"] { text-align: left; }
.paperlib-table th[scope="row"] { font-weight: normal; }
.paperlib-table th[scope="rowgroup"] { padding-top: 0.7em; }
.paperlib-table th[scope="colgroup"] { text-align: center; }
.paperlib-table thead { border-bottom: 1px solid; }
.paperlib-table td { white-space: nowrap; }
.paperlib-table small { opacity: 0.75; }
</style>
<table class="paperlib-table">
<caption><strong>{{ table.title }}</strong> {{ table.caption }}</caption>
<colgroup></colgroup>
{% for name, span in spans %}
<colgroup span="{{ span }}"></colgroup>
{% endfor %}
<thead>
<tr><td></td>{% for name, span in spans %}<th scope="colgroup" colspan="{{ span }}">{{ name }}</th>{% endfor %}</tr>
<tr><th scope="col">Method</th>
{%- for column in table.columns %}<th scope="col">{{ column.heading }}</th>{% endfor %}</tr>
</thead>
{% for section, rows in sections %}
<tbody>
{% if section %}
<tr><th scope="rowgroup" colspan="{{ table.columns | length + 1 }}">{{ section }}</th></tr>
{% endif %}
{% for row in rows %}
<tr><th scope="row">{{ row.label }}</th>
{%- for cell in row.cells %}
<td><{{ tags[cell.rank] }}>{{ cell.mean }}</{{ tags[cell.rank] }}>
{%- if cell.dagger %}<sup>{{ cell.dagger }}</sup>{% endif %}
{%- if cell.spread %} {{ cell.spread }}{% endif %}
{%- if cell.interval %}<br><small>{{ cell.interval }}</small>{% endif %}
{%- if cell.paper != missing %}<br><small>paper {{ cell.paper }}
{%- if cell.difference != missing %} ({{ cell.difference }}){% endif %}</small>{% endif %}</td>
{%- endfor %}</tr>
{% endfor %}
</tbody>
{% endfor %}
</table>
{% for note in table.notes %}
<p><small>{{ note }}</small></p>
{% endfor %}
{% if marked %}
<p><small>Best in <b>bold</b>, second <u>underlined</u>, third in <i>italics</i>.</small></p>
{% endif %}
"""


@cache
def _template() -> Template:
    from jinja2 import Environment

    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_HTML)
