"""The report page, the text summary, claims as files, and the generated parts of README."""

import base64
import csv
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cli_samples
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from paperlib import paths, profiles
from paperlib.errors import PaperlibError
from paperlib.experiments.artefacts import Figure1Data
from paperlib.show import report, summary, tables
from paperlib.show.summary import WARNINGS, Artefact, Run

VOID = {"meta", "link", "img", "br", "hr", "input", "col", "source"}


class Page(HTMLParser):
    """Tags with their attributes, and whether every tag was closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.text = text
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)

    def all(self, *names: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    return cli_samples.whole_run(tmp_path_factory.mktemp("root"))


@pytest.fixture(scope="module")
def page(written: tuple[Run, Path]) -> Page:
    return Page(written[1].read_text("utf-8"))


def content(uri: str) -> bytes:
    """What a `data:` address holds."""
    return base64.b64decode(uri.partition(";base64,")[2], validate=True)


def test_the_page_loads_nothing_from_outside(written: tuple[Run, Path], page: Page) -> None:
    assert not page.all("link", "iframe", "object", "embed", "base")
    assert all("src" not in script for script in page.all("script"))
    for attributes in page.all("img", "source", "video", "audio"):
        assert re.match(r"data:image/(png|jpeg);base64,", attributes.get("src") or attributes["srcset"])
    text = written[1].read_text("utf-8")
    assert "@import" not in text
    assert "url(" not in text and "fetch(" not in text and "import(" not in text
    outside = {link["href"] for link in page.all("a") if ":" in link["href"] and not link["href"].startswith("data:")}
    assert outside == {"https://arxiv.org/abs/2405.04997"}, "a link to read, nothing that is loaded"
    assert written[1].stat().st_size < 3_000_000


def test_every_picture_says_what_it_shows_and_is_the_file(written: tuple[Run, Path], page: Page) -> None:
    pictures, narrow = page.all("img"), page.all("source")
    assert len(pictures) == 3 and len(narrow) == 2
    assert pictures[0]["alt"].endswith('one row per kind: Ground truth, GradCAM "quoted".')
    # LeRF falls by 0.3 and MoRF by 0.7 per share; over shares 0.2 and 0.6 they differ by 0.4 * 0.4 on average
    assert "saliency map, black fill: +0.16" in pictures[1]["alt"]
    files = {file.name: file for artefact in written[0].artefacts[3:] for file in artefact.files}
    shown = [one["src"] for one in pictures] + [one["srcset"] for one in narrow]
    names = ("fig1", "fig2", "fig2_extended", "fig1_column", "fig2_column")
    for uri, name in zip(shown, names, strict=True):
        with Image.open(files[f"{name}.png"]) as file, Image.open(io.BytesIO(content(uri))) as inside:
            assert file.size == inside.size
            exact, got = (np.asarray(one.convert("RGB"), float) for one in (file, inside))
            assert np.abs(exact - got).mean() < 2, name


def test_a_heavy_picture_is_held_as_jpeg(tmp_path: Path) -> None:
    ramps = np.indices((400, 600)).sum(0)[..., None] * [0.2, 0.15, 0.1]
    noisy = ramps + np.random.default_rng(0).normal(0, 4, (400, 600, 3)) + 20
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "heavy.png")
    assert (tmp_path / "heavy.png").stat().st_size > report.HEAVY_PICTURE
    run = Run("demo", artefacts=[Artefact("fig1", "Figure 1: noise", (tmp_path / "heavy.png",), alt="noise")])
    page = Page(report.write_report(run, tmp_path / "report").read_text("utf-8"))
    (uri,) = [picture["src"] for picture in page.all("img")]
    assert uri.startswith("data:image/jpeg") and len(content(uri)) < report.HEAVY_PICTURE
    with Image.open(io.BytesIO(content(uri))) as picture:
        assert np.abs(np.asarray(picture, float) - noisy).mean() < 4


def test_figures_come_with_their_versions_and_data(written: tuple[Run, Path], page: Page) -> None:
    first, second = written[0].artefacts[3:]
    names = ["fig2", "fig2_column", "fig2_extended"]
    files = [f"{name}.{kind}" for name in names for kind in ("png", "pdf")] + ["fig2.csv"]
    assert [path.name for path in second.files] == files and all(path.stat().st_size > 300 for path in second.files)
    links = [link["href"].rpartition("/")[2] for link in page.all("a") if not link["href"].startswith("data:")]
    assert [name for name in links if name in files] == files
    assert second.files[0].read_bytes() != second.files[4].read_bytes()
    assert first.data.name == "fig1.csv" and second.data.name == "fig2.csv"


def test_data_are_in_the_page_and_beside_it(written: tuple[Run, Path], page: Page) -> None:
    kept = {link["download"]: content(link["href"]) for link in page.all("a") if "download" in link}
    assert list(kept) == ["fig1.csv", "fig2.csv", "table1.csv", "table2.csv", "table3.csv"]
    for artefact in written[0].artefacts:
        assert kept[artefact.csv] == artefact.data.read_bytes()
        assert len(list(csv.reader(io.StringIO(kept[artefact.csv].decode())))) > 2


def test_the_data_of_figure_2_are_the_curves() -> None:
    data = cli_samples.figure(2, profiles.load())
    frame = report.figure_frame(data)
    assert frame.columns.tolist() == data.curves.columns.tolist()
    whole, curves = frame[frame["fraction"] == 0], frame[frame["fraction"] > 0]
    pd.testing.assert_frame_equal(curves.reset_index(drop=True), data.curves, check_dtype=False)
    assert whole["srocc"].tolist() == [0.9, 0.8] and whole["map"].isna().all()


def test_the_data_of_figure_1_are_means_over_a_grid() -> None:
    data = cli_samples.figure(1, profiles.load())
    frame = report.figure_frame(data)
    assert len(frame) == 2 * 2 * 8 * 12, "8x12 pixels are a grid of 8x12 cells"
    one = frame[(frame["picture"] == 2) & (frame["map"] == "Ground truth")].pivot(
        index="row", columns="column", values="value"
    )
    np.testing.assert_allclose(one, data.rows["Ground truth"][1])
    large = np.arange(24 * 48, dtype=float).reshape(24, 48)
    images = [np.zeros((*shape, 3), np.uint8) for shape in ((24, 48), (1, 500))]
    coarse = report.figure_frame(Figure1Data(images, {"Ground truth": [large, np.ones((1, 500))]}, ()))
    np.testing.assert_allclose(coarse["value"][:72], large.reshape(6, 4, 12, 4).mean((1, 3)).ravel())
    assert len(coarse) == 6 * 12 + 1 * 12


def test_links_lead_to_files_that_are_there(written: tuple[Run, Path], page: Page) -> None:
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [link["href"] for link in page.all("a")]
    assert "../notebooks/03a_extracting.html" in links
    assert "../notebooks/03a_extracting.ipynb" in links
    for link in (link for link in links if not link.startswith(("data:", "https:"))):
        assert link[1:] in anchors if link.startswith("#") else (written[1].parent / link).is_file(), link


def test_the_page_is_well_formed_and_has_one_outline(page: Page) -> None:
    assert not page.open
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(deeper - level <= 1 for level, deeper in zip(levels, levels[1:], strict=False))
    assert page.all("html")[0]["lang"] == "en"
    identifiers = [attributes["id"] for _, attributes in page.tags if attributes.get("id")]
    assert len(identifiers) == len(set(identifiers))


def test_the_page_tells_what_is_simulated_what_holds_and_what_failed(page: Page) -> None:
    words = " ".join(" ".join(page.words).split())
    assert WARNINGS["simulation"] in words
    assert words.index("Simulation:") < words.index("Claims of the paper")
    assert "CC: <ours> − prior: 11.000 [8.516, 13.484], 3 repeats, holds" in words
    assert "control without a network (noise), CC: −11.000 [−13.484, −8.516], 3 repeats, does not hold" in words
    assert "✓ holds" in words
    assert "– not testable" in words
    assert "03b_masking: cell [3] failed with <ValueError>" in words
    assert "0.541" in words, "the paper's number stands beside ours"


def test_print_and_dark_screens_are_thought_of(written: tuple[Run, Path]) -> None:
    text = written[1].read_text("utf-8")
    assert "@media print" in text and "@page wide" in text
    assert "prefers-color-scheme: dark" in text
    assert text.index("@media print") > text.index('data-theme="dark"'), "a dark screen prints on white"


def themes(text: str) -> dict[str, dict[str, str]]:
    """The colours of the page on light and on dark screens."""
    found = re.findall(r':root\[data-theme="(\w+)"\] {([^}]*)}', text)
    return {name: dict(re.findall(r"--([\w-]+): (#\w{6});", block)) for name, block in found}


def luminance(colour: str) -> float:
    rgb = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(written: tuple[Run, Path], theme: str) -> None:
    colours = themes(written[1].read_text("utf-8"))[theme]
    pairs = [(ink, ground) for ink in ("ink", "soft", "link", "yes", "no") for ground in ("paper", "tint")]
    for ink, ground in [*pairs, ("ink", "note")]:
        lighter, darker = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (ink, ground)
    focus, paper = sorted((luminance(colours["focus"]), luminance(colours["paper"])))
    assert (paper + 0.05) / (focus + 0.05) >= 3


def test_the_page_is_made_for_keyboards_and_screen_readers(page: Page) -> None:
    identifiers = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    first = page.all("a")[0]
    assert first["class"] == "skip" and first["href"] == "#content" and "content" in identifiers
    assert [tag for tag, _ in page.tags if tag in ("header", "nav", "main", "footer")] == ["header", "nav", "main", "footer"]
    labels = [box["aria-label"] for box in page.all("div") if box.get("role") == "region"]
    assert len(labels) == len(set(labels)) == page.text.count('class="scroll"')
    assert all(box.get("tabindex") == "0" for box in page.all("div") if box.get("role") == "region"), "scrolled by keys"
    heads = page.all("th")
    assert heads and all(head.get("scope") in ("col", "row", "colgroup") for head in heads)
    assert all(attributes.get("aria-labelledby") in identifiers for attributes in page.all("section"))
    assert next(attributes for attributes in page.all("p") if attributes.get("id") == "sorted")["role"] == "status"


def test_scripts_add_what_is_not_needed_to_read(page: Page) -> None:
    hidden = [attributes for _, attributes in page.tags if "hidden" in attributes]
    assert {attributes.get("id") or attributes["class"] for attributes in hidden} == {"theme", "soft scripted"}
    assert not [attributes for attributes in page.all("th") if "aria-sort" in attributes], "no sorting without the script"
    assert {"click"} < set(re.findall(r'addEventListener\("(\w+)"', page.text))


def test_cells_can_be_sorted_as_numbers(page: Page) -> None:
    cells = [cell for cell in page.all("td") if "number" in (cell.get("class") or "").split() and "data-value" in cell]
    assert len(cells) > 20 and all(math.isfinite(float(cell["data-value"])) for cell in cells)
    (first,) = set(re.findall(r'<td class="number" data-value="([\d.]+)">\s*<u>0.500</u>', page.text))
    assert float(first) == 0.5


def test_every_number_has_interval_and_n_or_a_reason(page: Page) -> None:
    words = " ".join(" ".join(page.words).split())
    # Student's t of 3 repeats: 0.6 ± 4.302653 * 0.01 / sqrt(3)
    assert "0.600 , best ± 0.010 [0.575, 0.625] n 3" in words
    assert "Without brackets: a single value" in words and "Without ±: computed in one repeat only" in words
    assert "Student's 95 % interval of the mean over the n repeats" in words
    assert "not testable" in words and "no value" in words, "C2 has none"
    assert "n, the masked pictures of all repeats that a number is over: 3." in words
    assert "No intervals: these curves were not resampled." in words
    assert "Each number is of one picture, n 1: there is no interval." in words


def test_curves_with_intervals_show_them() -> None:
    data = cli_samples.figure(2, profiles.load())
    bands = data.curves.assign(low=data.curves["srocc"] - 0.1, high=data.curves["srocc"] + 0.1)
    html = report.figure_numbers(type(data)(bands, data.unmasked))
    (value,) = set(re.findall(r'data-value="([\d.]+)">0.840<small>\[0.740, 0.940\]</small></td>', html))
    assert float(value) == pytest.approx(0.84)
    assert "95 % bootstrap interval over pictures" in html and "No intervals" not in html


def test_agreement_of_maps_is_their_correlation() -> None:
    data = cli_samples.figure(1, profiles.load())
    one, other = (maps[0].ravel() for maps in data.rows.values())
    expected = pd.Series(one).corr(pd.Series(other))
    value = float(re.findall(r'data-value="([^"]+)"', report.figure_numbers(data))[0])
    assert value == pytest.approx(expected)


def test_the_page_tells_what_the_numbers_rest_on_and_how_they_were_made(page: Page) -> None:
    words = " ".join(" ".join(page.words).split())
    assert "What the numbers rest on" in words and "Observers, their gaze, opinion scores and votes are simulated" in words
    assert "n_passes 6" in words and "bpps 0.2, 0.3, 0.4" in words and "weighting_model not set" in words
    assert "(none, None), (p132, (60, 40))" in words and "data_root" not in words
    for version in ("Python 3.", "torch ", "nbconvert ", "1.5 GiB"):
        assert version in words


@pytest.mark.parametrize(("evidence", "words"), [("stand-ins", "random weights"), ("data", "as the data sets publish them")])
def test_other_evidence_is_named(tmp_path: Path, evidence: str, words: str) -> None:
    text = report.write_report(Run("other", evidence), tmp_path).read_text("utf-8")
    assert words in text and "simulated" not in text
    assert not Page(text).open


def test_summary_names_every_file_verdict_and_time(written: tuple[Run, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, path = written
    monkeypatch.chdir(path.parents[2])
    text = summary.text_summary(run, path)
    assert "  table2  figures/table2.csv .md .tex\n" in text
    assert "  fig1    figures/fig1.png .pdf fig1_column.png .pdf fig1.csv\n" in text
    assert "  C1  11.000 [8.516, 13.484] 3 repeats  CC: <ours> − prior\n      holds; no control does\n" in text
    assert "  ok         2.0 s  demo/notebooks/03a_extracting.html\n" in text
    assert "  failed     2.0 s  demo/notebooks/03b_masking.html\n" in text
    assert "  total                     62.2 s\n" in text or "  total                     62.3 s\n" in text
    assert "1.5 GiB" in text
    assert "Report: demo/report/index.html" in text


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """A folder with a table and claims that the registry knows."""
    profile = profiles.load()
    tables.save_table(cli_samples.table(1, profile), tmp_path)
    summary.save_claims(cli_samples.claims(profile), tmp_path)
    return tmp_path


def test_readme_blocks_are_replaced_and_the_rest_is_kept(figures: Path) -> None:
    text = (
        "# Title\n\n<!-- generated:claims -->\n<!-- /generated:claims -->\n\nwords\n"
        "<!-- generated:table1 -->\nstale words\n\n<!-- /generated:table1 -->\nend"
    )
    new = summary.rewrite_readme(text, figures)
    assert new.startswith("# Title\n\n<!-- generated:claims -->\n| Claim | Paper | Simulation |")
    assert new.endswith("<!-- /generated:table1 -->\nend")
    assert "\n\nwords\n" in new
    assert "stale words" not in new
    assert summary.rewrite_readme(new, figures) == new
    assert summary.rewrite_readme("no blocks", figures) == "no blocks"


def test_the_claims_block_shows_paper_and_simulation_and_real_numbers_once_there_are_some(figures: Path) -> None:
    heads, _, *rows = summary.readme_blocks(figures)["claims"].splitlines()
    assert heads == "| Claim | Paper | Simulation |"
    first, second, _, last = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert first[0].startswith("**[C1](notebooks/03a_extracting_saliency.ipynb)** The GradCAM map of an IQA network beats")
    assert last[1].split("<br>") == [
        "III-D, Table III",
        "PSNR FracCP 0.505",
        "EW-PSNR FracCP 0.678",
        "SSIM FracCP 0.502",
        "EW-SSIM FracCP 0.636",
    ]
    ours = "**holds; no control does**<br>CC: <ours> − prior 11.000 [8.516, 13.484], 3 repeats"
    assert (first[2], second[2]) == (ours, "–")
    (figures / "open").mkdir()
    summary.save_claims(cli_samples.claims(profiles.load(seeds=(5,)), ["C1"]), figures / "open")
    heads, _, row, *_ = summary.readme_blocks(figures)["claims"].splitlines()
    assert heads == "| Claim | Paper | Real, small | Simulation |"
    assert [cell.strip() for cell in row.split("|")[3:-1]] == [
        "**not decided**<br>CC: <ours> − prior 15.000, no interval, 1 repeat",
        ours,
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<!-- generated:claims -->\nno end", "the generated block 'claims' is not closed"),
        ("<!-- generated:table9 -->\n<!-- /generated:table9 -->", "asks for the block 'table9'.*claims, table1"),
    ],
)
def test_a_broken_block_is_named(figures: Path, text: str, sentence: str) -> None:
    with pytest.raises(PaperlibError, match=sentence):
        summary.rewrite_readme(text, figures)


def test_claims_in_another_form_are_one_sentence(figures: Path) -> None:
    (figures / "claims.csv").write_text("claim,mean\nC1,1\n")
    with pytest.raises(PaperlibError, match="claims.csv is no table of claims.*run_all.sh"):
        summary.readme_blocks(figures)


def test_readme_is_what_the_command_would_write() -> None:
    text = (paths.REPOSITORY / "README.md").read_text("utf-8")
    assert "<!-- generated:claims -->" in text
    assert summary.rewrite_readme(text, paths.FIGURES) == text, "run: python -m paperlib readme"


@pytest.mark.parametrize(
    ("outcome", "controls", "mark"),
    [
        ("holds", ["does not hold"], "✓"),
        ("holds", ["holds"], "–"),
        ("holds", ["holds", "not decided"], "✓"),
        ("does not hold", ["holds"], "✗"),
        ("not decided", [], "–"),
    ],
)
def test_a_tick_stands_only_where_no_control_does_as_well(
    outcome: str, controls: list[str], mark: str, tmp_path: Path
) -> None:
    (claim, *_) = cli_samples.claims(profiles.load())
    part = {"role": "control", "control": "A", "lacks": "", "quantity": "CC", "n": 3, "over": "repeats"}
    part |= dict.fromkeys(["value", "low", "high", "needed"], 0.0)
    parts = pd.DataFrame([part | {"outcome": one} for one in controls], columns=[*part, "outcome"])
    page = report.write_report(Run("demo", claims=[replace(claim, outcome=outcome, verdict="told", parts=parts)]), tmp_path)
    assert f"{mark} told</td>" in page.read_text("utf-8")
