"""What must hold of two one-sided tests for every input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paperlib.metrics.equivalence import tost

THOUSANDTHS = st.integers(-60, 60).map(lambda value: value / 1000)
PAIRS = st.integers(2, 12).flatmap(lambda n: arrays(np.float64, (2, n), elements=THOUSANDTHS))
MARGINS = st.sampled_from([0.0005, 0.01, 0.03])


@settings(deadline=None)
@given(PAIRS, MARGINS, st.booleans())
def test_both_sides_mirror_each_other(pair: np.ndarray, margin: float, paired: bool) -> None:
    one, two = tost(*pair, margin, paired=paired), tost(*pair[::-1], margin, paired=paired)
    assert (one["p_lower"], one["p_upper"]) == pytest.approx((two["p_upper"], two["p_lower"]), rel=1e-6, abs=1e-12)
    assert (one["low"], one["high"]) == pytest.approx((-two["high"], -two["low"]), abs=1e-9)
    mirror = {"lower": "higher", "higher": "lower"}
    assert two["verdict"] == mirror.get(one["verdict"], one["verdict"])


@settings(deadline=None)
@given(PAIRS, MARGINS, st.booleans())
def test_the_interval_and_p_agree(pair: np.ndarray, margin: float, paired: bool) -> None:
    found = tost(*pair, margin, paired=paired)
    assert 0 <= found["p"] <= 1 and found["low"] <= found["difference"] <= found["high"]
    room = margin - max(abs(found["low"]), abs(found["high"]))
    if abs(room) > 1e-9:
        assert (room > 0) == (found["p"] < 0.05) == (found["verdict"] == "equivalent")
    assert found["p"] == max(found["p_lower"], found["p_upper"])


@settings(deadline=None)
@given(PAIRS, st.booleans())
def test_a_wider_margin_is_easier(pair: np.ndarray, paired: bool) -> None:
    p = [tost(*pair, margin, paired=paired)["p"] for margin in (0.001, 0.01, 0.1)]
    assert p[0] >= p[1] >= p[2]


@settings(deadline=None)
@given(PAIRS, MARGINS, st.sampled_from([0.5, 4.0]))
def test_units_do_not_matter(pair: np.ndarray, margin: float, factor: float) -> None:
    found, scaled = tost(*pair, margin), tost(*(factor * pair), factor * margin)
    assert scaled["p"] == pytest.approx(found["p"], abs=1e-12)
    assert scaled["low"] == pytest.approx(factor * found["low"], abs=1e-12)
