"""The published numbers against a second transcription; registry, claims and errata against the paper's text."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from paperlib import paper

SharedFile = Callable[..., Path]
HEADINGS = {1: "TABLE I:", 2: "TABLE II:", 3: "TABLE III:"}
MARKS = re.compile(r"</?[iub]>|\s*\[\d+\]")


@pytest.fixture(scope="module")
def text(shared: SharedFile) -> str:
    return shared("paper", "paper.txt").read_text(encoding="utf-8")


def transcribed(text: str, table: int) -> list[tuple[str, str, list[float | None]]]:
    """(type, label, values) of the rows that follow a table's heading, read from the tabs of the paper's text."""
    lines = text[text.index(HEADINGS[table]) :].splitlines()[1:]
    rows, kind = [], ""
    for line in lines:
        fields = [MARKS.sub("", field).strip() for field in line.split("\t")]
        if len(fields) < 4:
            if rows:
                break
            continue
        numbers = [field for field in fields if re.fullmatch(r"\d[.,]\d+|-", field)]
        if not numbers:
            continue
        names = fields[: len(fields) - len(numbers)]
        kind = names[0] or kind if len(names) == 2 else ""
        rows.append((kind, names[-1], [None if n == "-" else float(n.replace(",", ".")) for n in numbers]))
    return rows


ORDER = {
    1: [("salicon", m) for m in ("NSS", "SIM", "CC", "KLD")],
    2: [("koniq10k", "SROCC"), ("koniq10k", "PLCC"), ("clive", "SROCC"), ("clive", "PLCC")]
    + [(d, m) for d in ("salicon", "cat2000") for m in ("NSS", "SIM", "CC", "KLD")],
    3: [("sacid", "SROCC"), ("sacid", "PLCC"), ("sacid", "FracCP")],
}


@pytest.mark.parametrize(("table", "rows", "numbers"), [(1, 8, 32), (2, 6, 60), (3, 25, 75)])
def test_every_published_number_equals_the_papers_text(text: str, table: int, rows: int, numbers: int) -> None:
    expected = transcribed(text, table)
    assert len(expected) == rows == len(paper.TABLES[table])
    assert sum(value is not None for *_, values in expected for value in values) == numbers
    for row, (kind, label, values) in zip(paper.TABLES[table], expected, strict=True):
        assert (row.section, row.label) == (kind, label)
        ours = [paper.published(table, row.method, dataset, metric) for dataset, metric in ORDER[table]]
        assert ours == values, label
        assert len(row.values) == sum(value is not None for value in values)


def test_a_few_numbers_read_by_eye() -> None:
    assert paper.published(1, "center_prior", "salicon", "KLD") == 0.784
    assert paper.published(2, "baseline_gradcam_loss", "cat2000", "NSS") == 0.382
    assert paper.published(3, "sgdnet_output", "sacid", "FracCP") == 0.687


def test_what_the_paper_does_not_give_is_none() -> None:
    assert paper.published(1, "baseline", "salicon", "NSS_fix") is None
    assert paper.published(2, "center_prior", "koniq10k", "SROCC") is None
    assert paper.published(3, "bitrate_only", "sacid", "SROCC") is None
    assert paper.published(1, "baseline", "world", "CC") is None


@pytest.mark.parametrize("call", [lambda: paper.published(4, "psnr", "sacid", "SROCC"), lambda: paper.section(0, "psnr")])
def test_there_are_three_tables(call: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="expected table 1, 2 or 3"):
        call()


def test_section_is_the_papers_type_of_that_table() -> None:
    assert paper.section(1, "dbcnn") == "GradCAM from IQA"
    assert paper.section(3, "dbcnn") == "NR"
    assert paper.section(2, "baseline") == paper.METHODS["baseline"].group
    assert paper.section(1, "noise_map") == "Control"


def test_the_published_tables_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        paper.TABLE1[0].values["salicon", "NSS"] = 1.0
    with pytest.raises(TypeError):
        paper.METHODS["mine"] = paper.look("mine")


def test_every_method_of_the_tables_has_one_look() -> None:
    used = {row.method for table in paper.TABLES.values() for row in table}
    assert used <= set(paper.METHODS)
    looks = [(method.colour, method.marker) for method in paper.METHODS.values()]
    assert len(set(looks)) == len(looks)
    assert len({method.label for method in paper.METHODS.values()}) == len(paper.METHODS)
    assert all(key == method.key for key, method in paper.METHODS.items())


def test_colours_come_from_a_palette_for_the_colour_blind_and_show_on_white() -> None:
    import seaborn
    from matplotlib.colors import to_hex, to_rgb
    from matplotlib.markers import MarkerStyle

    safe = {to_hex(colour) for colour in seaborn.color_palette("colorblind")} | {"#000000"}
    for method in paper.METHODS.values():
        assert method.colour in safe
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(method.colour)]
        luminance = sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))  # WCAG 2.2
        assert 1.05 / (luminance + 0.05) > 2.2, method
        MarkerStyle(method.marker)


def test_an_unknown_method_is_called_by_its_key() -> None:
    mine = paper.look("my_model")
    assert (mine.label, mine.group) == ("my_model", "Own")
    assert mine not in paper.METHODS.values()


def prose(text: str) -> str:
    """The running text without figure captions, which interrupt sentences."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("Fig.")]
    return re.sub(r"\s+", " ", " ".join(lines))


@pytest.mark.parametrize("claim", paper.CLAIMS.values(), ids=lambda claim: claim.id)
def test_claims_quote_the_paper_shortly(claim: paper.Claim, text: str) -> None:
    assert claim.text in prose(text)
    assert len(claim.text.split()) <= 25
    assert re.match(r"III-[A-D], (Table|Fig\.) ", claim.section)
    assert re.fullmatch(r"03[a-d]_\w+\.ipynb", claim.notebook)


def test_errata_are_numbered_and_complete() -> None:
    dropped = {5, 24}  # typography and spelling; the others keep their numbers, which texts name
    assert [erratum.number for erratum in paper.ERRATA] == sorted({*range(1, 26)} - dropped)
    for erratum in paper.ERRATA:
        assert all(getattr(erratum, name).strip() for name in ("where", "says", "finding", "source")), erratum.number


def test_the_arithmetic_of_the_errata_follows_from_the_tables() -> None:
    def value(table: int, method: str, metric: str, dataset: str = "sacid") -> float:
        found = paper.published(table, method, dataset, metric)
        assert found is not None
        return found

    def gain(better: str, base: str, metric: str) -> str:
        return f"{value(3, better, metric) - value(3, base, metric):.3f}".removeprefix("0")

    findings = {erratum.number: erratum.finding for erratum in paper.ERRATA}
    for method in ("psnr", "ssim"):
        for metric in ("FracCP", "SROCC"):
            assert "+" + gain(f"ew_{method}", method, metric) in findings[15]
    assert value(3, "ew_ssim", "PLCC") == 0.867 < value(3, "ssim", "PLCC") == 0.880
    for metric in ("SROCC", "PLCC", "FracCP"):
        assert gain("sgdnet_output", "sgdnet_none", metric) + " " + metric in findings[16]
    for metric in ("SROCC", "FracCP"):
        assert gain("baseline_sal_loss", "baseline", metric) + " " + metric in findings[16].replace("\n", " ")
    assert value(3, "baseline_gradcam_loss", "SROCC") < value(3, "baseline", "SROCC")
    by_fraccp = sorted(paper.TABLE3, key=lambda row: -row.values["sacid", "FracCP"])
    assert [row.method for row in by_fraccp[:3]] == ["sgdnet_output", "ew_psnr", "dbcnn"]
    assert by_fraccp[0].values["sacid", "FracCP"] < 0.717
    assert [row.method for row in paper.TABLE3 if row.values["sacid", "SROCC"] >= 0.900] == ["dbcnn"]
    both = {row.method for row in paper.TABLE1} & {row.method for row in paper.TABLE2}
    differing = [
        method
        for method in both
        if any(value(1, method, m, "salicon") != value(2, method, m, "salicon") for m in ("NSS", "SIM", "CC", "KLD"))
    ]
    assert differing == ["center_prior"]
