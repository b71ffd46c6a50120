"""Tables of fixations, blur and fixation maps on arbitrary input."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.datasets.gaze import Gaze, blur, fixation_map
from paperlib.datasets.own import read_fixations
from paperlib.errors import PaperlibError

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: round(value, 3))
TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)
LINES = st.lists(st.tuples(TEXTS, TEXTS, NUMBERS, NUMBERS, TEXTS), min_size=1, max_size=20)
ORDERS = st.permutations(["image", "subject", "x", "y", "extra"])


def parsed(content: bytes) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fixations.csv"
        path.write_bytes(content)
        return read_fixations(path)


@settings(max_examples=150, deadline=None)
@given(LINES, ORDERS, st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_what_was_written_is_read_in_any_column_order(lines, order, mark, newline):
    names = ["image", "subject", "x", "y", "extra"]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=newline)
    writer.writerow(order)
    writer.writerows([line[names.index(name)] for name in order] for line in lines)
    table = parsed(text.getvalue().encode("utf-8-sig" if mark else "utf-8"))
    expected: dict[str, list] = {}
    for image, subject, x, y, _ in lines:
        expected.setdefault(image, []).append((subject, x, y))
    assert table == expected
    assert list(table) == list(expected)


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=200).map(lambda raw: b"image,subject,x,y\n" + raw),
        st.text('ax1,.;"\n\r\0\t-e', max_size=60).map(lambda text: ("image,subject,x,y\n" + text).encode()),
    )
)
def test_any_bytes_are_read_or_refused_in_one_sentence(content):
    try:
        table = parsed(content)
    except PaperlibError as error:
        assert len(str(error)) < 800
    else:
        assert all(lines and all(np.isfinite((line.x, line.y)).all() for line in lines) for lines in table.values())


SIZES = st.tuples(st.integers(1, 25), st.integers(1, 25))
POINTS = st.lists(st.tuples(st.floats(-5, 30), st.floats(-5, 30)), max_size=30)


@settings(max_examples=150, deadline=None)
@given(POINTS, SIZES, st.floats(0.3, 40))
def test_no_point_is_lost_and_mass_is_never_gained(points, size, sigma):
    rows, columns = np.array(points).reshape(-1, 2).T
    gaze = Gaze.from_points(rows, columns, size, None)
    assert len(gaze.fixations) + gaze.dropped == len(points)
    counts = fixation_map(gaze.fixations, size)
    assert counts.sum() == len(gaze.fixations)
    density = blur(counts, sigma)
    assert density.shape == size and (density >= 0).all()
    assert density.sum() <= counts.sum() * (1 + 1e-5)
    mirrored = blur(counts[::-1, ::-1], sigma)[::-1, ::-1]
    np.testing.assert_allclose(density, mirrored, rtol=1e-4, atol=1e-7)
