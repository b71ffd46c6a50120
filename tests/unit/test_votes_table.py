"""A user's own votes: the table as arrays, the scores against choix, exclusion, connectivity, and the verb `votes`."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import choix
import numpy as np
import pytest

from paperlib import cli
from paperlib.coding import votes
from paperlib.datasets.votes_table import COLUMNS, SIDES, read_votes
from paperlib.errors import PaperlibError
from paperlib.study.votes import score_votes

Capture = pytest.CaptureFixture[str]


def write(path: Path, lines: Sequence[Sequence[str]], columns: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *lines])
    return path


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    lines = [
        ("kitchen", "q20", "q40", "right", "ben"),
        ("kitchen", "q40", "q80", "q80", "anna"),
        ("garden", "x", "y", "tie", "ben"),
        ("garden", "y", "x", "", "anna"),
        ("garden", "y", "x", " LEFT ", "anna"),
    ]
    return write(tmp_path / "votes.csv", lines)


def test_the_table_as_arrays(by_hand: Path) -> None:
    table = read_votes(by_hand)
    assert table.images == ("garden", "kitchen") and table.versions == (("x", "y"), ("q20", "q40", "q80"))
    assert table.assessors == ("anna", "ben")
    assert table.image.tolist() == [1, 1, 0, 0] and table.assessor.tolist() == [1, 0, 1, 0]
    assert table.left.tolist() == [0, 1, 0, 1] and table.right.tolist() == [1, 2, 1, 0]
    assert table.choice.tolist() == [-1, -1, 0, 1] and not table.expected.any()
    assert table.unanswered == 1, "a line without a choice is no vote"


def test_a_table_that_nobody_answered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PaperlibError, match="none of the 2 lines of .* has a choice; fill the column choice in"):
        read_votes(write(tmp_path / "votes.csv", [("k", "a", "b", "", "x"), ("k", "b", "a", " ", "x")]))


def test_sides_are_those_of_the_votes() -> None:
    assert SIDES == {"left": votes.LEFT, "tie": votes.TIE, "right": votes.RIGHT}


def test_a_version_that_is_called_like_a_side(tmp_path: Path) -> None:
    table = read_votes(write(tmp_path / "votes.csv", [("k", "right", "left", "right", "x")]))
    assert table.choice.tolist() == [votes.LEFT]


def test_other_order_and_columns(by_hand: Path, tmp_path: Path) -> None:
    with by_hand.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = ("seconds", "Assessor", "choice", "right", "left", "image")
    turned = write(tmp_path / "t.csv", [["3", *(row[name.lower()] for name in columns[1:])] for row in rows], columns)
    ours, theirs = read_votes(turned), read_votes(by_hand)
    for name in ("image", "left", "right", "choice", "assessor", "expected"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize("virtual_wins", [0.1, 0.0, 2.0])
def test_scores_agree_with_choix(tmp_path: Path, virtual_wins: float) -> None:
    """Images with 4 and 3 versions; ties, which choix has not, as half a win for each side in its matrix."""
    rng = np.random.default_rng(0)
    counts = {"k": np.zeros((4, 4)), "m": np.zeros((3, 3))}
    lines = []
    for image, wins in counts.items():
        for left in range(len(wins)):
            for right in {*range(len(wins))} - {left}:
                for _ in range(6):
                    choice = rng.choice(["left", "right", "tie"])
                    lines.append((image, f"v{left}", f"v{right}", choice, "x"))
                    wins[left, right] += {"left": 1, "tie": 0.5}.get(choice, 0)
                    wins[right, left] += {"right": 1, "tie": 0.5}.get(choice, 0)
    found = score_votes(read_votes(write(tmp_path / "votes.csv", lines)), virtual_wins)
    assert found["votes"] == found["counted"] == len(lines) == 6 * (12 + 6)
    assert found["ties"] == sum(line[3] == "tie" for line in lines)
    for image, wins in counts.items():
        regular = wins + virtual_wins * (1 - np.eye(len(wins)))
        peer = choix.ilsr_pairwise_dense(regular, alpha=0, tol=1e-12, max_iter=500)
        ours = found["images"][image]
        assert list(ours["scores"]) == [f"v{index}" for index in range(len(wins))]
        np.testing.assert_allclose([one["score"] for one in ours["scores"].values()], peer - peer.min(), atol=1e-7)
        assert ours["votes"] == wins.sum() and ours["connected"]


def test_standard_errors_of_two_versions_by_hand(tmp_path: Path) -> None:
    """Logit of 3 : 1; its variance is 1/3 + 1/1."""
    lines = [("k", "a", "b", side, "x") for side in ("left", "left", "left", "right")]
    found = score_votes(read_votes(write(tmp_path / "votes.csv", lines)), 0)["images"]["k"]["scores"]
    assert found["a"] == {"score": pytest.approx(np.log(3)), "standard_error": pytest.approx(np.sqrt(4 / 3))}
    assert found["b"] == {"score": 0, "standard_error": 0}


def test_assessors_who_miss_a_verification_are_excluded(tmp_path: Path) -> None:
    lines = [
        ("k", "original", "a", "left", "good", "left"),
        ("k", "a", "original", "right", "good", "original"),
        ("k", "a", "b", "left", "good", ""),
        ("k", "b", "a", "tie", "good", ""),
        ("k", "original", "a", "tie", "careless", "left"),
        ("k", "a", "b", "right", "careless", ""),
        ("k", "a", "b", "left", "unchecked", ""),
    ]
    found = score_votes(read_votes(write(tmp_path / "votes.csv", lines, (*COLUMNS, "expected"))))
    assert found["excluded"] == ["careless"] and found["assessors"] == 3
    assert (found["votes"], found["counted"], found["ties"], found["verifications"]) == (7, 3, 1, 3)
    scores = found["images"]["k"]["scores"]
    assert list(scores) == ["a", "b"], "the original is in verification pairs alone"
    assert scores["a"]["score"] == pytest.approx(np.log(2.6 / 0.6))


def test_parts_that_were_never_compared(tmp_path: Path) -> None:
    shown = [("k", "a", "b"), ("k", "c", "d"), ("m", "a", "b"), ("m", "b", "c")]
    lines = [(*pair, "left", "x") for pair in shown]
    found = score_votes(read_votes(write(tmp_path / "votes.csv", lines)))
    assert (found["images"]["k"]["connected"], found["images"]["m"]["connected"]) == (False, True)
    assert len(found["notes"]) == 1 and "versions of k fall into parts that were never compared" in found["notes"][0]


def test_an_image_without_counted_votes_is_told(tmp_path: Path) -> None:
    lines = [("k", "a", "b", "left", "x", ""), ("m", "a", "b", "left", "x", "left")]
    found = score_votes(read_votes(write(tmp_path / "votes.csv", lines, (*COLUMNS, "expected"))))
    assert list(found["images"]) == ["k"] and found["notes"] == ["m: no vote counts, left out"]


def test_verb(by_hand: Path, capsys: Capture) -> None:
    assert cli.main(["votes", str(by_hand), "--json", "--virtual-wins", "0.5"]) == 0
    told = json.loads(capsys.readouterr().out)
    expected = score_votes(read_votes(by_hand), 0.5)
    assert told["virtual_wins"] == 0.5 and list(told) == list(expected)
    for image, own in expected["images"].items():
        for version, score in own["scores"].items():
            assert told["images"][image]["scores"][version] == pytest.approx(score, abs=1e-9)
    assert cli.main(["votes", str(by_hand)]) == 0
    out = capsys.readouterr().out
    assert (
        "4 of 4 votes count, 1 of them ties" in out
        and "1 of 5 lines have no choice" in out
        and "0 of 2 assessors excluded" in out
    )
    kitchen = out[out.index("kitchen") :].split("\n")
    assert [line.split()[-1] for line in kitchen[2:5]] == ["q80", "q40", "q20"]


def test_default_of_the_verb_is_the_labs() -> None:
    options = cli._parser().parse_args(["votes", "x.csv"])
    assert options.virtual_wins == votes.VIRTUAL_WINS
