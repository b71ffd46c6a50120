"""Tables: marks, missing values and the paper's numbers in every format, on a table made by hand."""

import csv
import io
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paperlib.experiments.artefacts import Column, TableData
from paperlib.paths import FIGURES
from paperlib.show import tables

NAN = float("nan")
COLUMNS = (
    Column("world", "CC", +1, "CC ↑"),
    Column("world", "KLD", -1, "KLD ↓"),
    Column("world_shifted", "CC", +1, "CC ↑"),
    Column("world", "bpp", 0, "bpp"),
)


def cell(section: str, method: str, dataset: str, metric: str, value: float, **more: float | bool) -> dict:
    numbers = {"sd": NAN, "low": NAN, "high": NAN, "n": 1, "published": NAN, "ranked": True, **more}
    return {"section": section, "method": method, "dataset": dataset, "metric": metric, "value": value, **numbers}


CELLS = [
    cell("Dummy", "center_prior", "world", "CC", 0.5414, published=0.541),
    cell("Dummy", "center_prior", "world", "KLD", 0.784, published=0.784),
    cell("GradCAM from IQA", "baseline", "world", "CC", 0.7001, sd=0.0123, low=0.65, high=0.75, n=3, published=0.637),
    cell("GradCAM from IQA", "baseline", "world", "KLD", 0.3, sd=0.02, n=3, published=0.7),
    cell("GradCAM from IQA", "baseline", "world_shifted", "CC", -0.12),
    cell("SOTA SP", "saliency_net", "world", "CC", 0.7004),
    cell("SOTA SP", "saliency_net", "world", "KLD", 0.25),
    cell("SOTA SP", "transalnet", "world", "CC", NAN, n=0, published=0.903),
    cell("Control", "noise_map", "world", "CC", 0.99, ranked=False),
    cell("Control", "noise_map", "world", "KLD", 0.01, ranked=False),
    cell("GradCAM from IQA", "my_50%_{net}|x", "world", "CC", 0.6),
    cell("GradCAM from IQA", "my_50%_{net}|x", "world", "bpp", 0.08),
    cell("GradCAM from IQA", "baseline", "world", "bpp", 0.16),
]


def make(cells: list[dict] = CELLS, columns: tuple[Column, ...] = COLUMNS, **more: str) -> TableData:
    texts = {"name": "table9", "title": "Table IX", "caption": "Ours & theirs: 100 % <different> worlds_2.", **more}
    return TableData(**texts, columns=columns, cells=pd.DataFrame(cells), notes=("n counts repeats.",))


def test_a_folded_frame_is_closed_on_a_page_and_plain_elsewhere() -> None:
    shown = tables.folded(pd.DataFrame({"x": [0.5]}, ["row"]), "All of it")
    page = shown._repr_html_()
    assert page.startswith("<details><summary>All of it</summary>") and page.endswith("</table>\n</details>")
    assert repr(shown).splitlines()[0] == "All of it" and "0.5" in repr(shown) and "0.5" in page


def test_areas_stand_by_name_a_column_per_fill() -> None:
    rows = [("baseline", "mean", "saliency", 0.5, 0.4, 0.6), ("baseline", "black", "saliency", 0.25, -0.1, 0.6)]
    rows += [("uniform_observers", "mean", "half_image", 0.1, NAN, NAN)]
    found = tables.areas(pd.DataFrame(rows, columns=["network", "fill", "map", "area", "low", "high"]))
    assert found.columns.tolist() == ["ImageNet mean", "black"]
    assert found.loc["Baseline", "Saliency"].tolist() == ["0.500 [0.400, 0.600]", "0.250 [-0.100, 0.600]"]
    assert found.loc["Baseline, uniform observers"].iloc[0].tolist() == ["0.100 [–, –]", "–"]


def test_leads_stand_by_name_under_the_pictures() -> None:
    one = {
        "map": "gradcam",
        "fill": "mean",
        "area": 0.50049,
        "half_image": 0.4,
        "lead": 0.1,
        "lead_low": -0.1,
        "lead_high": 0.3,
    }
    here = pd.DataFrame([one | {"network": "baseline"}])
    found = tables.leads({"here": here, "nowhere": here[:0]})
    expected = {"area": 0.5, "HalfImage": 0.4, "lead": "0.100 [-0.100, 0.300]"}
    assert found.to_dict("index") == {("here", "GradCAM", "ImageNet mean"): expected}
    there = pd.concat([here, here.assign(network="topiq")])
    names = tables.leads({"here": here, "there": there}).index.get_level_values("pictures")
    assert names.tolist() == ["here", "there, Baseline", "there, TOPIQ"]


def test_quantities_of_a_claim_say_whose_they_are() -> None:
    columns = ["role", "control", "quantity", "value", "low", "high", "n", "over", "outcome"]
    rows = [("claim", "", "area", 0.5, 0.4, 0.6, 3, "repeats", "holds")]
    rows += [("control", "HalfImage", "area", -0.5, -0.6, -0.4, 9, "pictures", "does not hold")]
    found = tables.claim_quantities(pd.DataFrame(rows, columns=columns))
    assert found.loc[("claim", "area")].tolist() == ["0.500 [0.400, 0.600]", "3 repeats", "holds"]
    assert found.loc[("HalfImage", "area")].tolist() == ["-0.500 [-0.600, -0.400]", "9 pictures", "does not hold"]


@pytest.fixture
def table() -> TableData:
    return make()


class Html(HTMLParser):
    """Every cell's tag, attributes and text; complains about tags that do not match."""

    VOID = {"br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[tuple[str, dict, str]] = []
        self.rows: list[list[tuple[str, dict, str]]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        if tag in self.VOID:
            self.handle_data("\n")
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            tag, attrs, text = self.rows[-1][-1]
            self.rows[-1][-1] = (tag, attrs, text + data)


def test_marks_follow_direction_and_leave_controls_out(table: TableData) -> None:
    ranks = pd.read_csv(io.StringIO(tables.to_csv(table))).set_index(["method", "dataset", "metric"])["rank"].fillna(0)
    assert ranks["baseline", "world", "CC"] == ranks["saliency_net", "world", "CC"] == 1  # both print 0.700
    assert ranks["my_50%_{net}|x", "world", "CC"] == 2
    assert ranks["center_prior", "world", "CC"] == 3
    assert ranks["transalnet", "world", "CC"] == 0
    assert [ranks[m, "world", "KLD"] for m in ("saliency_net", "baseline", "center_prior")] == [1, 2, 3]
    assert ranks["noise_map", "world", "CC"] == ranks["noise_map", "world", "KLD"] == 0
    assert ranks["baseline", "world_shifted", "CC"] == 0  # nothing to compare with
    assert ranks["baseline", "world", "bpp"] == 0  # a column without direction


def grids(table: TableData) -> list[list[list[str]]]:
    """The tables of the Markdown, one per data set: lines of cells, without the rule below the head."""
    found = re.findall(r"(?:^\|.*\n?)+", tables.to_markdown(table), flags=re.MULTILINE)
    return [
        [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in grid.splitlines() if "|:-" not in line]
        for grid in found
    ]


def column(table: TableData, heading: str) -> list[str]:
    """What stands below a heading of the first data set, marks taken away."""
    head, *body = grids(table)[0]
    return [re.sub(r"</?ins>|\*", "", line[head.index(heading)]) for line in body]


def test_markdown_sets_ours_beside_the_papers_one_table_per_data_set(table: TableData) -> None:
    world, shifted = grids(table)
    heads = ["CC ↑<br>ours", "<br>paper", "<br>diff.", "KLD ↓<br>ours", "<br>paper", "<br>diff.", "bpp"]
    assert world[0] == ["Type", "Method", *heads] and shifted[0] == ["Type", "Method", "CC ↑"]
    assert [line[:5] for line in world[1:]] == [
        ["Dummy", "Center Prior", "*0.541*", "0.541", "+0.000"],
        ["GradCAM from IQA", "Baseline", "**0.700** ± 0.012<br>[0.650, 0.750]", "0.637", "+0.063"],
        ["", r"my_50%_{net}\|x", "<ins>0.600</ins>", "–", "–"],
        ["SOTA SP", "Saliency net", "**0.700**", "–", "–"],
        ["", "TranSalNet", "–", "0.903", "–"],
        ["Control", "Noise map", "0.990", "–", "–"],
    ]
    assert shifted[1:] == [["GradCAM from IQA", "Baseline", "-0.120"]]
    assert {len(line) for line in world} == {9}


def test_csv_gives_the_numbers_back(table: TableData) -> None:
    text = tables.to_csv(table)
    back = pd.read_csv(io.StringIO(text))
    for name in ("value", "sd", "low", "high", "published"):
        np.testing.assert_allclose(back[name], table.cells[name], atol=5e-7, equal_nan=True)
    for name in ("section", "method", "dataset", "metric", "n", "ranked"):
        assert back[name].tolist() == table.cells[name].tolist(), name
    np.testing.assert_allclose(back["difference"], table.cells["value"] - table.cells["published"], atol=1e-6)
    assert "\r" not in text and "0.541400" in text and "nan" not in text.lower()


def unescaped(text: str, what: str) -> list[str]:
    return re.findall(rf"(?<!\\){what}", text)


def test_latex_is_balanced_escaped_and_even(table: TableData) -> None:
    text = tables.to_latex(table)
    assert len(unescaped(text, r"\{")) == len(unescaped(text, r"\}"))
    assert len(unescaped(text, r"\$")) % 2 == 0
    begun, ended = (re.findall(rf"\\{word}{{([a-z*]+)}}", text) for word in ("begin", "end"))
    assert begun == ended[::-1] == ["table*", "tabular"]
    assert text.isascii() and not unescaped(text, "_") and r"my\_50\%\_\{net\}" in text
    body = text[text.index("\\toprule") : text.index("\\bottomrule")]
    for line in (line for line in body.splitlines() if line.endswith(r"\\") and "multicolumn" not in line):
        assert len(unescaped(line, "&")) == 2 + len(COLUMNS) - 1, line
    assert r"\textbf{0.700}" in text and r"\underline{0.600}" in text and r"\textit{0.541}" in text
    assert r"$-$0.120" in text and "0.990" in text and r"{0.990}" not in text
    assert re.search(r"quad\\footnotesize paper & \\footnotesize 0\.637", text)
    assert r"TranSalNet, {\footnotesize paper} & \footnotesize 0.903" in text and text.count("TranSalNet") == 1


def test_latex_numbers_the_table_itself() -> None:
    text = tables.to_latex(make(title="Table II: two tasks", caption="Ours."))
    assert r"\caption{Two tasks (Table II of the paper). Ours.}" in text and r"\label{tab:table9}" in text
    assert r"\caption{Table IX. Ours" in tables.to_latex(make())


KNOWN_COMMANDS = {
    *"begin end centering caption label resizebox ifdim width textwidth totalheight textheight".split(),
    *"else fi toprule midrule bottomrule cmidrule multicolumn textbf underline textit footnotesize".split(),
    *"scriptsize quad par smallskip uparrow downarrow pm times cdot leq geq".split(),
    *"to Delta beta dagger textasciitilde textasciicircum textbackslash dots".split(),
}
FORMS = (tables.to_text, tables.to_markdown, tables.to_latex, tables.to_html)
PREAMBLE = "\\documentclass[twocolumn]{article}\\usepackage{booktabs,graphicx}\\begin{document}\n"


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_committed_latex_is_whole(number: int) -> None:
    text = (FIGURES / f"table{number}.tex").read_text("utf-8")
    assert text.isascii() and set(re.findall(r"\\([A-Za-z]+)", text)) <= KNOWN_COMMANDS
    columns = re.search(r"\\begin{tabular}{([lr]+)}", text)[1]
    body = text[text.index(r"\toprule") + 8 : text.index(r"\bottomrule")]
    for line in (line for line in body.splitlines() if line.endswith(r"\\")):
        spans = [int(span) - 1 for span in re.findall(r"\\multicolumn{(\d+)}", line)]
        assert len(unescaped(line, "&")) + 1 + sum(spans) == len(columns), line
    assert text.count("\\begin{") == text.count("\\end{") == 2
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert rule in text
    assert r"\hline" not in text and "|" not in columns, "booktabs"


def test_latex_compiles(table: TableData, tmp_path: Path) -> None:
    if not (latex := shutil.which("pdflatex")):
        pytest.skip("pdflatex is not installed")
    tex = [(FIGURES / f"table{number}.tex").read_text("utf-8") for number in (1, 2, 3)] + [tables.to_latex(table)]
    (tmp_path / "all.tex").write_text(PREAMBLE + "\\clearpage\n".join(tex) + "\\end{document}\n", "utf-8")
    command = [latex, "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode("latin-1")[-2000:]


def test_latex_of_a_table_without_types_has_no_type_column() -> None:
    cells = [{**one, "section": ""} for one in CELLS]
    text = tables.to_latex(make(cells))
    assert "Type" not in text and rf"\begin{{tabular}}{{l{'r' * len(COLUMNS)}}}" in text
    assert r"\cmidrule(lr){2-3}" in text
    assert "Type" not in tables.to_markdown(make(cells))
    assert "rowgroup" not in tables.to_html(make(cells)).split("</style>")[1]


def test_html_is_well_formed_and_names_its_headers(table: TableData) -> None:
    html = tables.to_html(table)
    page = Html(html)
    scopes = [attrs.get("scope") for row in page.rows for tag, attrs, _ in row if tag == "th"]
    assert None not in scopes and {"col", "colgroup", "row", "rowgroup"} == set(scopes)
    assert html.count("<caption>") == 1 and "<script" not in html
    assert "100 % &lt;different&gt; worlds_2." in html
    body = {row[0][2]: [text for _, _, text in row[1:]] for row in page.rows if row[0][1].get("scope") == "row"}
    assert all(len(values) == len(COLUMNS) for values in body.values())
    assert body["Baseline"][0] == "0.700 ± 0.012\n[0.650, 0.750]\npaper 0.637 (+0.063)"
    assert body["TranSalNet"][0] == "–\npaper 0.903"
    assert "<b>0.700</b>" in html and "<u>0.600</u>" in html and "<i>0.541</i>" in html


def sortable(cells: list[dict] = CELLS, **more: str) -> tuple[Html, str]:
    html = tables.to_sortable_html(make(cells, **more))
    return Html(html), html


def test_sortable_html_has_one_body_and_the_number_of_every_cell() -> None:
    page, html = sortable()
    assert html.count("<tbody>") == html.count('<table class="sortable">') == 1 and "<style" not in html
    body = [row for row in page.rows if row[0][1].get("scope") == "row"]
    assert [row[0][2] for row in body] == [
        "Center Prior Dummy",
        "Baseline GradCAM from IQA",
        "my_50%_{net}|x GradCAM from IQA",
        "Saliency net SOTA SP",
        "TranSalNet SOTA SP",
        "Noise map Control",
    ]
    (direct,) = [row for row in page.rows if row[0][2] == "Method"]
    assert len(direct) == 1 + len(COLUMNS) and all(attrs["scope"] == "col" for _, attrs, _ in direct)
    kld = {row[0][2].split()[0]: row[2][1].get("data-value") for row in body}
    assert {name: value and float(value) for name, value in kld.items()} == {
        "Center": 0.784,
        "Baseline": 0.3,
        "my_50%_{net}|x": None,
        "Saliency": 0.25,
        "TranSalNet": None,
        "Noise": 0.01,
    }
    assert {row[2][2] for row in body if "data-value" not in row[2][1]} == {tables.MISSING}


def test_sortable_html_gives_interval_and_n_with_every_number() -> None:
    page, html = sortable()
    body = {row[0][2].split()[0]: [text for _, _, text in row[1:]] for row in page.rows[1:]}
    assert body["Baseline"][0] == "0.700, best ± 0.012[0.650, 0.750] n 3paper 0.637 (+0.063)"
    # Student's t: 0.3 ± 4.302653 * 0.02 / sqrt(3)
    assert body["Baseline"][1] == "0.300, second ± 0.020[0.250, 0.350] n 3paper 0.700 (-0.400)"
    assert body["Baseline"][2] == "-0.120n 1"
    for words in (
        "where nothing was resampled, hold Student",
        "Without ±",
        "Without brackets",
        "A dash",
        "n counts repeats.",
    ):
        assert words in html
    only = [cell("", "baseline", "world", "CC", 0.5, sd=0.1, low=0.4, high=0.6, n=3)]
    _, complete = sortable(only)
    assert not any(words in complete for words in ("Student", "Without", "Best in")), "no word on what does not occur"


def test_sortable_html_says_the_marks_in_words_by_the_direction_of_the_column() -> None:
    page, _ = sortable()
    kld = {row[0][2].split()[0]: row[2][2] for row in page.rows if row[0][1].get("scope") == "row"}
    places = {name: [place for place in ("best", "second", "third") if place in text] for name, text in kld.items()}
    assert places == {
        "Saliency": ["best"],
        "Baseline": ["second"],
        "Center": ["third"],
        "TranSalNet": [],
        "Noise": [],
        "my_50%_{net}|x": [],
    }


def test_sortable_html_is_safe_and_sets_names_as_code() -> None:
    _, html = sortable(caption="Ours: `world_2` & <b>bold</b>.", title="T <x>")
    assert "<code>world_2</code> &amp; &lt;b&gt;bold&lt;/b&gt;." in html and "T &lt;x&gt;" in html


def test_display_shows_html_and_plain_text_that_never_change(table: TableData) -> None:
    view, again = tables.display(table), tables.display(make())
    assert view._repr_html_() == again._repr_html_() == tables.to_html(table)
    assert repr(view) == repr(again)
    assert not re.search(r"0x[0-9a-f]+", repr(view) + view._repr_html_())
    for text in ("Table IX", "Baseline", "0.700 ± 0.012", "[0.650, 0.750]", "0.637", "–", "n counts repeats."):
        assert text in repr(view)


def test_a_folded_table_lies_below_its_line(table: TableData) -> None:
    html = tables.display(table, folded="In full")._repr_html_()
    assert html == f"<details><summary>In full</summary>{tables.to_html(table)}</details>"


def test_a_difference_that_rounds_to_zero_has_no_minus() -> None:
    one = tables.Cell(0.5999999, NAN, NAN, NAN, 0.6, 0)
    assert one.difference == "+0.000"
    assert tables.Cell(-0.0001, NAN, NAN, NAN, NAN, 0).mean == "0.000"


def test_saving_twice_gives_the_same_bytes_and_leaves_nothing_else(table: TableData, tmp_path: Path) -> None:
    first = {path.name: path.read_bytes() for path in tables.save_table(table, tmp_path / "a")}
    second = {path.name: path.read_bytes() for path in tables.save_table(make(), tmp_path / "b")}
    assert first == second and set(first) == {"table9.csv", "table9.md", "table9.tex"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == set(first)
    assert list(csv.reader(io.StringIO(first["table9.csv"].decode())))[0][0] == "section"


@pytest.mark.parametrize(
    ("cells", "columns", "message"),
    [
        (CELLS + CELLS[:1], COLUMNS, "got two of"),
        (CELLS, COLUMNS[1:], "got .*'CC'"),
        ([{k: v for k, v in one.items() if k != "sd"} for one in CELLS], COLUMNS, "lacking .*sd"),
        (CELLS, (*COLUMNS, Column("world", "SIM", 1, "CC ↑")), "different headings"),
    ],
)
def test_what_is_no_table_is_refused(cells: list[dict], columns: tuple[Column, ...], message: str) -> None:
    for form in (*FORMS, tables.to_csv, tables.to_sortable_html, tables.display):
        with pytest.raises(ValueError, match=message):
            form(make(cells, columns))


def test_one_method_in_two_sections_makes_two_rows() -> None:
    cells = [
        cell("Raw", "baseline", "world", "CC", 0.5, ranked=False),
        cell("Fitted", "baseline", "world", "CC", 0.7, ranked=False),
    ]
    assert [line[:3] for line in grids(make(cells))[0][1:]] == [
        ["Raw", "Baseline", "0.500"],
        ["Fitted", "Baseline", "0.700"],
    ]


ALIKE = {("saliency_net", "CC"), ("transalnet", "CC"), ("noise_map", "KLD")}


def with_daggers() -> TableData:
    """p is .05 or more for (method, metric) in ALIKE; a value that is missing takes no dagger all the same."""
    marked = [(one["method"], one["metric"]) in ALIKE for one in CELLS]
    cells = [{**one, "p_holm": 0.3 if alike else 0.001, "alike": alike} for one, alike in zip(CELLS, marked, strict=True)]
    return make(cells)


def test_a_dagger_stands_at_the_cell_and_at_no_other_of_its_row() -> None:
    table = with_daggers()
    cc, kld = (column(table, f"{heading}<br>ours") for heading in ("CC ↑", "KLD ↓"))
    assert cc == ["0.541", "0.700 ± 0.012<br>[0.650, 0.750]", "0.600", "0.700†", "–", "0.990"]
    assert kld == ["0.784", "0.300 ± 0.020", "–", "0.250", "–", "0.010†"]
    for text in (tables.to_text(table), tables.to_markdown(table), tables.to_html(table)):
        assert text.count("†") == 2
    assert "**0.700**†" in tables.to_markdown(table)
    html = tables.to_html(table)
    assert "<b>0.700</b><sup>†</sup>" in html and "<span>0.010</span><sup>†</sup>" in html
    latex = tables.to_latex(table)
    assert latex.isascii() and latex.count(r"$^{\dagger}$") == 2 and r"\textbf{0.700}$^{\dagger}$" in latex
    Html(html)


def test_csv_keeps_plain_numbers_beside_daggers() -> None:
    back = pd.read_csv(io.StringIO(tables.to_csv(with_daggers())))
    assert "†" not in tables.to_csv(with_daggers()) and back["value"].dtype == float
    assert sorted(set(back["p_holm"])) == [0.001, 0.3]


def test_tables_without_a_test_have_no_dagger(table: TableData) -> None:
    for form in FORMS:
        assert "†" not in form(table) and "dagger" not in form(table)


def test_numbers_of_a_frame_get_decimals_and_a_dash_where_there_is_none() -> None:
    frame = pd.DataFrame({"one": [0.126, -0.004], "two": [NAN, 2.0]})
    assert tables.dashed(frame).to_numpy().tolist() == [["0.13", "–"], ["0.00", "2.00"]]
    assert tables.dashed(frame, 3)["one"].tolist() == ["0.126", "-0.004"]
