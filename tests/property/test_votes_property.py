"""Invariants of Bradley-Terry scores on arbitrary tournaments."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from paperlib.coding.votes import bradley_terry

pytestmark = pytest.mark.filterwarnings("ignore::paperlib.coding.votes.ConnectivityWarning")

TOURNAMENTS = st.integers(2, 9).flatmap(
    lambda size: arrays(np.float64, (2, size, size), elements=st.one_of(st.just(0.0), st.integers(0, 400).map(float)))
)


@settings(max_examples=120, deadline=None)
@given(TOURNAMENTS)
def test_expected_wins_equal_wins(wins):
    """The likelihood equations: at the maximum each version wins as often as the model expects."""
    scores = bradley_terry(wins, 0.1).scores
    full = (wins + 0.1) * ~np.eye(wins.shape[1], dtype=bool)
    trials = full + full.transpose(0, 2, 1)
    chance = 1 / (1 + np.exp(scores[:, None, :] - scores[:, :, None]))
    np.testing.assert_allclose((trials * chance).sum(axis=2), full.sum(axis=2), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(scores.min(axis=1), 0)


@settings(max_examples=60, deadline=None)
@given(TOURNAMENTS, st.integers(0, 2**32 - 1))
def test_names_do_not_matter(wins, seed):
    order = np.random.default_rng(seed).permutation(wins.shape[1])
    first, second = bradley_terry(wins), bradley_terry(wins[:, order][:, :, order])
    np.testing.assert_allclose(second.scores, first.scores[:, order], atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(TOURNAMENTS)
def test_turned_votes_turn_the_scores(wins):
    scores, turned = bradley_terry(wins).scores, bradley_terry(wins.transpose(0, 2, 1)).scores
    np.testing.assert_allclose(scores + turned, (scores + turned)[:, :1].repeat(wins.shape[1], axis=1), atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(TOURNAMENTS)
def test_more_virtual_wins_bring_scores_together(wins):
    little, much = (np.ptp(bradley_terry(wins, virtual).scores, axis=1) for virtual in (0.1, 100.0))
    assert (much <= little + 1e-9).all()
