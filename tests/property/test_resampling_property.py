"""What must hold of intervals, sign-flip tests and Holm's correction for every input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paperlib.metrics.resampling import bootstrap_mean, holm, paired_p

TENTHS = st.integers(-100, 100).map(lambda value: value / 10)
SAMPLES = st.integers(2, 20).flatmap(lambda count: arrays(np.float64, count, elements=TENTHS))
P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.just(np.nan)), min_size=1, max_size=12).map(np.array)


@given(P_VALUES, st.randoms())
def test_holm(p: np.ndarray, random) -> None:
    adjusted, missing = holm(p), np.isnan(p)
    np.testing.assert_array_equal(np.isnan(adjusted), missing)
    kept, raised = p[~missing], adjusted[~missing]
    assert (raised >= kept).all() and (raised <= 1).all()
    assert (raised <= np.minimum(1, kept * kept.size)).all()  # never harsher than Bonferroni
    order = np.argsort(kept, kind="stable")
    assert (np.diff(raised[order]) >= 0).all()
    shuffled = random.sample(range(p.size), p.size)
    np.testing.assert_array_equal(holm(p[shuffled]), adjusted[shuffled])


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([-4.0, -1.0, 0.5, 8.0]))
def test_p_sees_neither_sign_nor_scale(sample: np.ndarray, factor: float) -> None:
    p = paired_p(sample, 200)
    assert 0 < p <= 1
    assert paired_p(factor * sample, 200) == p
    if len(sample) <= 15:
        assert paired_p(np.sort(sample), 200) == p
        assert paired_p(np.r_[sample, np.nan], 200) == p


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([0.25, 3.0]), TENTHS)
def test_the_interval_moves_with_the_values(sample: np.ndarray, factor: float, shift: float) -> None:
    low, high = bootstrap_mean(sample, 200)
    assert sample.min() - 1e-9 <= low <= high <= sample.max() + 1e-9
    assert bootstrap_mean(factor * sample + shift, 200) == pytest.approx(
        (factor * low + shift, factor * high + shift), abs=1e-9
    )
    assert bootstrap_mean(-sample, 200) == pytest.approx((-high, -low), abs=1e-9)
    narrow = bootstrap_mean(sample, 200, confidence=0.5)
    assert low <= narrow[0] <= narrow[1] <= high
