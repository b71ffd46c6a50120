"""The report page, the text summary, claims over seeds, and the generated parts of README."""

import base64
import math
from html.parser import HTMLParser
from pathlib import Path

import cli_samples
import pytest
from cli_samples import claim_parts, claims

from paperlib import experiments, paths, profiles
from paperlib.errors import PaperlibError
from paperlib.show import report, summary, tables
from paperlib.show.notebooks import NotebookRun

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


class Page(HTMLParser):
    """Tags with their attributes, and whether every tag was closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
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
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[report.Run, Path]:
    """A whole run with made-up results, one notebook of it failed, and its page."""
    root = tmp_path_factory.mktemp("root")
    profile = profiles.load()
    run = report.Run("demo", seconds={"computing": 1.25, "notebooks": 61.0}, peak_memory=3 * 2**29)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("table", "figure"):
            patch.setattr(experiments, name, getattr(cli_samples, name), raising=False)
        run.artefacts = [report.write_table(number, profile, root / "figures") for number in report.TABLES]
        run.artefacts += [report.write_figure(number, profile, root / "figures") for number in report.FIGURES]
    run.claims = claims(profile)
    notebooks = root / "demo" / "notebooks"
    notebooks.mkdir(parents=True)
    for name, error in (("03a_extracting", None), ("03b_masking", "03b_masking: cell [3] failed with <ValueError>")):
        notebook, html = notebooks / f"{name}.ipynb", notebooks / f"{name}.html"
        notebook.write_text("{}")
        html.write_text("")
        run.notebooks.append(NotebookRun(name, notebook, html, 2.0, error))
    return run, report.write_report(run, root / "demo" / "report")


@pytest.fixture(scope="module")
def page(written: tuple[report.Run, Path]) -> Page:
    return Page(written[1].read_text("utf-8"))


def test_the_page_loads_nothing_from_outside(written: tuple[report.Run, Path], page: Page) -> None:
    assert not page.all("script", "link", "iframe", "object", "embed", "base")
    for attributes in page.all("img", "source", "video", "audio"):
        assert attributes["src"].startswith("data:image/png;base64,")
    text = written[1].read_text("utf-8")
    assert "@import" not in text
    assert "url(" not in text
    assert not [link["href"] for link in page.all("a") if ":" in link["href"]]


def test_every_picture_says_what_it_shows_and_is_the_file(written: tuple[report.Run, Path], page: Page) -> None:
    pictures = page.all("img")
    assert len(pictures) == 3
    assert pictures[0]["alt"].endswith('one row per kind: Ground truth, GradCAM "quoted".')
    # LeRF falls by 0.3 and MoRF by 0.7 per share; over shares 0.2 and 0.6 they differ by 0.4 * 0.4 on average
    assert "saliency map, black fill: +0.16" in pictures[1]["alt"]
    for picture, name in zip(pictures, ("fig1", "fig2", "fig2_extended"), strict=True):
        (file,) = [path for path in written[0].artefacts[3 + (name != "fig1")].files if path.name == f"{name}.png"]
        assert base64.b64decode(picture["src"].partition(",")[2]) == file.read_bytes()


def test_figure2_comes_with_its_extended_version(written: tuple[report.Run, Path], page: Page) -> None:
    artefact = written[0].artefacts[4]
    names = ["fig2.png", "fig2.pdf", "fig2_extended.png", "fig2_extended.pdf"]
    assert [path.name for path in artefact.files] == names and all(path.stat().st_size > 1000 for path in artefact.files)
    links = [link["href"].rpartition("/")[2] for link in page.all("a")]
    assert [name for name in links if name in names] == names
    assert artefact.files[0].read_bytes() != artefact.files[2].read_bytes()


def test_links_lead_to_files_that_are_there(written: tuple[report.Run, Path], page: Page) -> None:
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    links = [link["href"] for link in page.all("a")]
    assert "../notebooks/03a_extracting.html" in links
    assert "../notebooks/03a_extracting.ipynb" in links
    for link in links:
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
    assert report.WARNINGS["simulation"] in words
    assert words.index("Simulation:") < words.index("Claims of the paper")
    assert "Words of the <paper>." in words
    assert "✓ holds" in words
    assert "– not testable" in words
    assert "03b_masking: cell [3] failed with <ValueError>" in words
    assert "0.541" in words, "the paper's number stands beside ours"


def test_print_and_dark_screens_are_thought_of(written: tuple[report.Run, Path]) -> None:
    text = written[1].read_text("utf-8")
    assert "@media print" in text
    assert "prefers-color-scheme: dark" in text


def test_summary_names_every_file_verdict_and_time(
    written: tuple[report.Run, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, path = written
    monkeypatch.chdir(path.parents[2])
    text = summary.text_summary(run, path)
    assert "  table2  figures/table2.csv .md .tex\n" in text
    assert "  fig1    figures/fig1.png .pdf\n" in text
    assert "  C1  holds         1.000 [0.000, 2.000] n=3\n" in text
    assert "  ok         2.0 s  demo/notebooks/03a_extracting.html\n" in text
    assert "  failed     2.0 s  demo/notebooks/03b_masking.html\n" in text
    assert "  total                     62.2 s\n" in text or "  total                     62.3 s\n" in text
    assert "1.5 GiB" in text
    assert "Report: demo/report/index.html" in text


def test_claims_over_seeds_against_numbers_by_hand() -> None:
    table = summary.claims_over_seeds(claim_parts(profiles.load(seeds=(0, 3))))
    assert table["claim"].to_list() == ["C1", "C1", "C4", "C4"]
    assert table["mean"].to_list() == [1.5, -1.5, 2.5, 0.0]
    assert table["sd"].to_list() == pytest.approx([math.sqrt(4.5)] * 3 + [math.nan], nan_ok=True)
    assert table["holds_in"].to_list() == [1, 1, 2, 2], "seed 0 gives C1 no advantage, and a control decides nothing"
    assert summary.claims_over_seeds(claim_parts(profiles.load(seeds=(2,))))["sd"].isna().all()


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    """A folder with a table and claims that the registry knows."""
    profile = profiles.load()
    tables.save_table(cli_samples.table(1, profile), tmp_path)
    summary.save_claims(summary.claims_over_seeds(claim_parts(profiles.load(seeds=(0, 3)))), tmp_path)
    return tmp_path


def test_readme_blocks_are_replaced_and_the_rest_is_kept(figures: Path) -> None:
    text = (
        "# Title\n\n<!-- generated:claims -->\n<!-- /generated:claims -->\n\nwords\n"
        "<!-- generated:table1 -->\nstale words\n\n<!-- /generated:table1 -->\nend"
    )
    new = summary.rewrite_readme(text, figures)
    assert new.startswith("# Title\n\n<!-- generated:claims -->\n| Claim | Notebook | Paper |")
    assert new.endswith("<!-- /generated:table1 -->\nend")
    assert "\n\nwords\n" in new
    assert "stale words" not in new
    assert summary.rewrite_readme(new, figures) == new
    assert summary.rewrite_readme("no blocks", figures) == "no blocks"


def test_the_claims_block_shows_notebook_paper_demo_and_control(figures: Path) -> None:
    rows = summary.readme_blocks(figures)["claims"].splitlines()[2:]
    first, last = ([cell.strip() for cell in row.split("|")[1:-1]] for row in rows)
    assert first[0].startswith("**C1** The GradCAM map of an IQA network beats")
    assert last[1] == "[03d](notebooks/03d_nonuniform_compression.ipynb)"
    assert last[2].split("<br>") == [
        "III-D, Table III", "PSNR FracCP 0.505", "EW-PSNR FracCP 0.678", "SSIM FracCP 0.502", "EW-SSIM FracCP 0.636",
    ]
    quantity = "CC: Baseline − centre prior"
    assert first[3:] == [f"{quantity} 1.500 ± 2.121", f"{quantity} −1.500 ± 2.121", "1 of 2 seeds"]
    assert last[3:] == ["FracCP: EW-PSNR − PSNR 2.500 ± 2.121", "–", "2 of 2 seeds"]


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


def test_readme_is_what_the_command_would_write() -> None:
    text = (paths.REPOSITORY / "README.md").read_text("utf-8")
    assert "<!-- generated:claims -->" in text
    assert summary.rewrite_readme(text, paths.FIGURES) == text, "run: python -m paperlib readme"
