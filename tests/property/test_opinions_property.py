"""Tables of opinions and the MOS scale on arbitrary input."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.datasets.koniq import read_koniq_table
from paperlib.datasets.own_opinions import read_opinions
from paperlib.errors import PaperlibError

NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)
SPLITS = st.sampled_from(["training", "validation", "test"])
SCORES = st.floats(-1e4, 1e4, allow_nan=False)
KONIQ_HEADER = b"image_name,c1,c2,c3,c4,c5,c_total,MOS,SD,set\n"


def written(header: list[str], lines: list[list[object]], mark: bool, newline: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=newline)
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue().encode("utf-8-sig" if mark else "utf-8")


def parsed(read, content: bytes):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.csv"
        path.write_bytes(content)
        return read(path)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(NAMES, SCORES, SPLITS, NAMES), min_size=2, max_size=20),
    st.permutations(["image", "mos", "split", "extra"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_was_written_is_read_in_any_column_order(lines, order, mark, newline):
    names = ["image", "mos", "split", "extra"]
    content = written(order, [[line[names.index(name)] for name in order] for line in lines], mark, newline)
    try:
        read = parsed(read_opinions, content)
    except PaperlibError as error:
        assert "expected at least two pictures of different quality" in str(error)
        assert len({line[1] for line in lines}) == 1
    else:
        assert [(one.name, one.mos, one.split) for one in read] == [line[:3] for line in lines]


@st.composite
def koniq_lines(draw):
    """Votes of some raters, and the MOS on 0..100 that they allow."""
    votes = draw(st.lists(st.integers(0, 150), min_size=5, max_size=5).filter(any))
    mean = float(np.average(range(1, 6), weights=votes))
    low, high = max(0.0, 25 * (mean - 1) - 9), min(100.0, 25 * (mean - 1) + 19)
    mos = draw(st.floats(low, high).filter(lambda value: abs(value - mean) > 1.01))
    return draw(NAMES), votes, mos, draw(SPLITS)


@settings(max_examples=150, deadline=None)
@given(st.lists(koniq_lines(), min_size=1, max_size=12), st.booleans(), st.integers(0, 11))
def test_scores_on_the_right_scale_pass_and_a_mean_of_votes_among_them_does_not(lines, shares, wrong):
    def rows(faulty: int | None):
        for index, (name, votes, mos, split) in enumerate(lines):
            mean = np.average(range(1, 6), weights=votes)
            given_votes = [vote / sum(votes) for vote in votes] if shares else votes
            yield [name, *given_votes, sum(votes), mean if index == faulty else mos, 0.5, split]

    def content(faulty: int | None) -> bytes:
        return KONIQ_HEADER + written([], list(rows(faulty)), False, "\n").partition(b"\n")[2]

    everything_low = max(mos for _, _, mos, _ in lines) <= 5
    try:
        edition, read = parsed(read_koniq_table, content(None))
    except PaperlibError as error:
        assert everything_low and "expected the MOS on 0..100" in str(error)
    else:
        assert edition == "official" and not everything_low
        assert [(one.name, one.mos, one.split) for one in read] == [(name, mos, split) for name, _, mos, split in lines]
    try:
        parsed(read_koniq_table, content(wrong % len(lines)))
    except PaperlibError as error:
        assert "1..5" in str(error) or everything_low
    else:
        raise AssertionError("a mean of votes passed as MOS")


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [
            (read_opinions, b"image,mos\n"),
            (read_opinions, b"image,mos,split\n"),
            (read_koniq_table, KONIQ_HEADER),
            (read_koniq_table, b"img_name,mos,std,split\n"),
            (read_koniq_table, b"image_name,MOS,MOS_zscore\n"),
        ]
    ),
    st.one_of(
        st.binary(max_size=200),
        st.text('ax15,.;"\n\r\0\t-e', max_size=60).map(str.encode),
        st.lists(st.sampled_from(["a.jpg", "0.2", "50", "training", "4.1", ""]), min_size=2, max_size=30).map(
            lambda cells: "\n".join(",".join(cells[start : start + 10]) for start in range(0, 30, 10)).encode()
        ),
    ),
    st.booleans(),
)
def test_any_bytes_are_read_or_refused_in_one_sentence(reader, content, with_header):
    read, header = reader
    try:
        found = parsed(read, header + content if with_header else content)
    except PaperlibError as error:
        assert len(str(error)) < 900
    else:
        opinions = found if read is read_opinions else found[1]
        assert opinions and all(one.name and np.isfinite(one.mos) for one in opinions)
