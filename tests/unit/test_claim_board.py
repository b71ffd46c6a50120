"""Claims as a small table, and as dots: a claim and its controls by hand."""

import math
from dataclasses import replace

import pandas as pd
import pytest

from paperlib.experiments.artefacts import ClaimResult
from paperlib.experiments.claims import ClaimParts, Control, Part, frame, headline, judge, verdict
from paperlib.show.claim_board import board, every, folded, meeting, quantity
from paperlib.show.figures import claim_dots


def part(label: str, low: float, high: float, needed: float = 0.0) -> Part:
    return Part(label, pd.Series([(low + high) / 2]), low, high, 300, "pictures", needed)


def result(subject: tuple[Part, ...], controls: tuple[Control, ...] = ()) -> ClaimResult:
    parts = ClaimParts(subject, controls)
    shown = headline(subject)
    assert shown is not None
    numbers = (shown.value, shown.low, shown.high, shown.n, shown.over)
    return ClaimResult("C1", "text", *numbers, judge(subject), verdict(parts), "demo", shown.label, frame(parts))


@pytest.fixture
def claim() -> ClaimResult:
    as_good = Control("pretrained", "training", (part("CC", 0.1, 0.3), part("KLD", 0.2, 0.4)))
    half = Control("edges", "a network", (part("CC", 0.1, 0.3), part("KLD", -0.6, -0.2)))
    return result((part("CC", 0.4, 0.6, needed=0.1), part("KLD", -0.1, 0.3)), (as_good, half))


def test_the_board_shows_what_decides_and_which_controls_hold(claim: ClaimResult) -> None:
    assert board([claim]).loc["C1"].to_dict() == {
        "outcome": "not decided",
        "decided by": "KLD",
        "effect (needed)": "0.100 (0)",
        "95 % interval": "-0.100 to 0.300, over 300 pictures",
        "controls that hold too": "pretrained",
    }
    assert meeting(claim) == ["pretrained"]


def test_a_claim_without_numbers_has_none_on_the_board() -> None:
    nothing = Part("CC", pd.Series(dtype=float), math.nan, math.nan, 0, "pictures")
    row = board([result((nothing,))]).loc["C1"]
    assert row["effect (needed)"] == row["95 % interval"] == "" and row["controls that hold too"] == "none"


def test_a_quantity_is_found_by_its_name_and_control(claim: ClaimResult) -> None:
    assert quantity([claim], "C1", "CC").needed == 0.1
    assert quantity([claim], "C1", "KLD", "edges").value == pytest.approx(-0.4)
    missing = quantity([claim], "C1", "CC", "noise")
    assert missing.outcome == "not testable" and math.isnan(missing.value) and missing.n == 0


def test_a_folded_table_has_its_numbers_and_stays_folded() -> None:
    text = folded(pd.DataFrame({"a": [0.12345, math.nan]}), "All of it").markdown
    assert text.startswith("<details><summary>All of it</summary>") and text.endswith("</details>")
    assert "<td>0.123</td>" in text and "<td></td>" in text


def test_every_quantity_is_listed_with_its_claim(claim: ClaimResult) -> None:
    text = every([claim, replace(claim, id="C2")], "All").markdown
    assert text.count("<th>C1</th>") == text.count("<th>C2</th>") == len(claim.parts)
    assert text.count("<td>-0.400</td>") == 2, "the value of one control in both"


def test_dots_stand_above_what_is_needed_and_controls_show_what_decides(claim: ClaimResult) -> None:
    (ax,) = claim_dots([claim]).axes
    dots = [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
    assert dots == pytest.approx([0.4, 0.1, 0.2, -0.4])
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["CC", "KLD", "without training: pretrained", "without a network: edges"]
    assert "not decided" in ax.get_title()


def test_a_claim_without_numbers_has_no_panel() -> None:
    assert not claim_dots([result((Part("CC", pd.Series(dtype=float), math.nan, math.nan, 0, "pictures"),))]).axes
