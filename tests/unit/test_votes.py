"""Votes and scores: against choix, against hand-computed values, and back to scores that were known."""

import math

import choix
import numpy as np
import pytest

from paperlib.coding.votes import (
    LEFT,
    RIGHT,
    TIE,
    AssessorModel,
    ConnectivityWarning,
    Schedule,
    attentive,
    bradley_terry,
    count_wins,
    counted,
    foveal_response,
    schedule,
    simulate,
    watson_damage,
)


def random_wins(groups: int, size: int, seed: int, most: int = 12) -> np.ndarray:
    wins = np.random.default_rng(seed).integers(0, most, size=(groups, size, size)).astype(float)
    wins[:, np.arange(size), np.arange(size)] = 0
    return wins


def gauged(scores: np.ndarray) -> np.ndarray:
    return scores - scores.min()


# ------------------------------------------------------------------------------------------------------ Bradley-Terry


@pytest.mark.parametrize("virtual", [0.0, 0.1, 1.0])
def test_agrees_with_choix_on_the_same_counts(virtual):
    wins = random_wins(6, 12, seed=0) + 0.5 * random_wins(6, 12, seed=1, most=2)
    ours = bradley_terry(wins, virtual).scores
    for group, scores in zip(wins, ours, strict=True):
        peer = choix.ilsr_pairwise_dense(group + virtual * (1 - np.eye(12)), alpha=0, tol=1e-12, max_iter=500)
        np.testing.assert_allclose(scores, gauged(peer), atol=1e-8)


def test_scores_by_hand():
    """Three wins to one: the odds are 3, with virtual wins 3.1 to 1.1; a logit has the error 1 / sqrt(n p (1 - p)).

    Versions that meet only their neighbours: each step is the logarithm of its own odds.
    """
    wins = np.array([[[0, 3], [1, 0]]], dtype=float)
    plain = bradley_terry(wins, 0)
    np.testing.assert_allclose(plain.scores, [[math.log(3), 0]], atol=1e-12)
    np.testing.assert_allclose(plain.standard_errors, [[1 / math.sqrt(4 * 0.75 * 0.25), 0]], atol=1e-9)
    np.testing.assert_allclose(bradley_terry(wins, 0.1).scores, [[math.log(3.1 / 1.1), 0]], atol=1e-12)
    chain = np.array([[[0, 4, 0], [2, 0, 9], [0, 1, 0]]], dtype=float)
    np.testing.assert_allclose(bradley_terry(chain, 0).scores, [[math.log(2 * 9), math.log(9), 0]], atol=1e-8)


def test_standard_errors_match_repeated_studies():
    truth = np.array([0.0, 0.5, 1.0, 1.8])
    chance = 1 / (1 + np.exp(truth[None, :] - truth[:, None]))
    rng = np.random.default_rng(5)
    wins = np.zeros((1500, 4, 4))
    for i, j in zip(*np.triu_indices(4, 1), strict=True):
        wins[:, i, j] = rng.binomial(60, chance[i, j], size=1500)
        wins[:, j, i] = 60 - wins[:, i, j]
    fitted = bradley_terry(wins, 0)
    same_worst = fitted.scores.argmin(axis=1) == 0
    observed = fitted.scores[same_worst].std(axis=0)
    np.testing.assert_allclose(fitted.standard_errors[same_worst].mean(axis=0)[1:], observed[1:], rtol=0.08)


def test_a_version_that_always_wins_has_a_finite_score():
    wins = np.zeros((1, 3, 3))
    wins[0, 0, 1:] = 50
    wins[0, 1, 2] = wins[0, 2, 1] = 5
    scores = bradley_terry(wins).scores[0]
    assert np.isfinite(scores).all() and scores[0] > 4
    with pytest.raises(ValueError, match="group 0 has versions that never lost"):
        bradley_terry(wins, 0)


def test_parts_that_never_met_are_told():
    wins = np.zeros((2, 4, 4))
    wins[:, 0, 1] = wins[:, 2, 3] = 3
    wins[:, 1, 0] = wins[:, 3, 2] = 1
    wins[0, 1, 2] = wins[0, 2, 1] = 1
    with pytest.warns(ConnectivityWarning, match="1 of 2 groups .first: 1."):
        scores = bradley_terry(wins).scores
    assert np.isfinite(scores).all()
    chain = np.diag(np.ones(11), 1)[None]
    bradley_terry(chain + chain.transpose(0, 2, 1))  # met through third ones: no warning, which would be an error here


def test_count_wins_by_hand():
    wins = count_wins([0, 0, 0, 1], [0, 1, 0, 2], [1, 0, 2, 1], [LEFT, LEFT, TIE, RIGHT], 2, 3)
    np.testing.assert_array_equal(wins[0], [[0, 1, 0.5], [1, 0, 0], [0.5, 0, 0]])
    np.testing.assert_array_equal(wins[1], [[0, 0, 0], [0, 0, 1], [0, 0, 0]])
    ties = count_wins(np.zeros(20, int), np.zeros(20, int), np.ones(20, int), np.full(20, TIE), 1, 2)
    np.testing.assert_array_equal(ties, [[[0, 10], [10, 0]]])
    np.testing.assert_allclose(bradley_terry(ties).scores, 0, atol=1e-12)


# ----------------------------------------------------------------------------------------------------------- schedule


def test_schedule_shows_every_assessor_their_share():
    plan = schedule(50, 10, 12, np.random.default_rng(0), obvious=(12, 0))
    assert len(plan.image) == 50 * 28
    np.testing.assert_array_equal(np.bincount(plan.assessor), 28)
    check = plan.expected != 0
    np.testing.assert_array_equal(np.bincount(plan.assessor[check]), 3)
    shown_better = np.where(plan.expected[check] == LEFT, plan.left[check], plan.right[check])
    assert set(shown_better) == {12} and (plan.left != plan.right).all()
    assert max(plan.left[~check].max(), plan.right[~check].max()) == 11
    low, high = np.minimum(plan.left, plan.right), np.maximum(plan.left, plan.right)
    seen = set(zip(plan.assessor, plan.image, low, high, strict=True))
    assert len(seen) == len(plan.image)
    assert 0.4 < np.mean(plan.left < plan.right) < 0.6
    assert np.bincount(plan.image[~check]).min() > 80


def test_exclusion_by_hand():
    plan = Schedule(
        assessor=np.array([0, 0, 0, 1, 1, 1, 2, 2, 2]),
        image=np.zeros(9, int),
        left=np.zeros(9, int),
        right=np.ones(9, int),
        expected=np.array([LEFT, RIGHT, 0] * 3),
    )
    choice = np.array([LEFT, RIGHT, TIE, LEFT, TIE, LEFT, RIGHT, RIGHT, LEFT])
    np.testing.assert_array_equal(attentive(plan, choice), [True, False, False])
    np.testing.assert_array_equal(np.flatnonzero(counted(plan, choice)), [2])


# ---------------------------------------------------------------------------------------------------------- assessors


def study(levels: np.ndarray, model: AssessorModel, seed: int = 0, assessors: int = 400) -> tuple[Schedule, np.ndarray]:
    """A study on images whose versions have the same response everywhere; the original feels nothing."""
    rng = np.random.default_rng(seed)
    images, versions = levels.shape
    plan = schedule(assessors, images, versions, rng, obvious=(versions, int(levels[0].argmax())))
    responses = [np.broadcast_to(np.append(row, 0.0)[:, None, None], (versions + 1, 3, 4)) for row in levels]
    return plan, simulate(plan, responses, [np.ones((3, 4))] * images, rng, model)


def test_known_scores_are_recovered():
    """With normal noise of sd s, P(i over j) = Phi((l_j - l_i) / s); scores are about 1.7 (l_max - l) / s."""
    levels = np.tile(np.linspace(3, 3.8, 6), (5, 1))
    plan, choice = study(levels, AssessorModel(noise=0.4, noise_spread=0, tie=0, inattentive=0), assessors=1500)
    kept = counted(plan, choice)
    fitted = bradley_terry(
        count_wins(plan.image[kept], plan.left[kept], plan.right[kept], choice[kept], 5, 6), virtual_wins=0
    )
    expected = 1.7 * (levels.max(axis=1, keepdims=True) - levels) / 0.4
    np.testing.assert_allclose(fitted.scores, expected, atol=0.35)
    assert np.mean(np.abs(fitted.scores - expected) / np.maximum(fitted.standard_errors, 0.05)) < 2


def test_ties_below_the_threshold():
    levels = np.array([[2.0, 2.05, 3.0]] * 9)
    plan, choice = study(levels, AssessorModel(noise=0, tie=0.1, inattentive=0))
    low, high = np.minimum(plan.left, plan.right), np.maximum(plan.left, plan.right)
    assert (choice[(low == 0) & (high == 1)] == TIE).all()
    apart = (high == 2) & (plan.expected == 0)
    np.testing.assert_array_equal(choice[apart] == LEFT, plan.right[apart] == 2)


def test_inattentive_assessors_are_mostly_excluded():
    levels = np.tile(np.linspace(2, 5, 4), (6, 1))
    model = AssessorModel(noise=0.1, inattentive=0.5)
    plan, choice = study(levels, model)
    passed = attentive(plan, choice)
    assert 0.45 < passed.mean() < 0.62  # half attentive, and 1 of 27 guessers passes three checks with three answers
    assert attentive(*study(levels, AssessorModel(noise=0.1, inattentive=0))).all()


def test_assessors_judge_where_they_look():
    """Damage on one side of the picture only: whoever looks at the other side sees no difference."""
    response = np.zeros((3, 4, 8))
    response[1, :, :4] = 2.0
    response[0] += 0.0
    plan = schedule(60, 4, 2, np.random.default_rng(0), random_pairs=2, verification_pairs=0)
    left_half, right_half = np.zeros((4, 8)), np.zeros((4, 8))
    left_half[:, :4], right_half[:, 4:] = 1, 1
    model = AssessorModel(noise=0, inattentive=0)
    looks_left = simulate(plan, [response] * 4, [left_half] * 4, np.random.default_rng(1), model)
    looks_right = simulate(plan, [response] * 4, [right_half] * 4, np.random.default_rng(1), model)
    assert (looks_right == TIE).all()
    np.testing.assert_array_equal(looks_left == LEFT, plan.right == 1)


def test_the_same_seed_gives_the_same_votes():
    levels = np.tile(np.linspace(2, 3, 4), (6, 1))
    first, second, third = (study(levels, AssessorModel(), seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


# ------------------------------------------------------------------------------------------------------------- damage


def grey(level: int) -> np.ndarray:
    return np.full((16, 24, 3), level, dtype=np.uint8)


def test_damage_of_a_brightness_step_by_hand():
    """Grey 128 raised by 3: the DC coefficient moves by 8 x 3, its threshold at mid-grey is 1.40.

    Dark blocks are more sensitive: at grey 32 the threshold is (32 / 128)^.649 of that; below grey 16 it falls no further.
    """
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    np.testing.assert_array_equal(watson_damage(noise, noise), np.zeros((2, 3)))
    np.testing.assert_allclose(watson_damage(grey(131), grey(128)), 24 / 1.40, rtol=1e-6)
    ratio = watson_damage(grey(35), grey(32)) / watson_damage(grey(131), grey(128))
    np.testing.assert_allclose(ratio, 4**0.649, rtol=1e-6)
    np.testing.assert_allclose(watson_damage(grey(5), grey(2)), watson_damage(grey(11), grey(8)), rtol=1e-6)


def test_texture_masks_the_same_error():
    error = np.where(np.arange(24)[None, :, None] % 2 == 0, 6, -6)
    stripes = (grey(128) + 8 * error).astype(np.uint8)
    on_grey = watson_damage((grey(128) + error).astype(np.uint8), grey(128))
    on_stripes = watson_damage((stripes + error).astype(np.uint8), stripes)
    assert 0 < on_stripes.max() < 0.5 * on_grey.max()


def test_response_is_the_logarithm_of_damage_and_reaches_around_it():
    np.testing.assert_allclose(foveal_response(np.full((2, 5, 6), 7.0)), 3.0, rtol=1e-9)
    np.testing.assert_allclose(foveal_response(np.zeros((5, 6))), 0.0)
    damage = np.zeros((9, 9))
    damage[4, 4] = 50
    felt = foveal_response(damage)
    assert felt[4, 4] == felt.max() > felt[4, 6] > felt[4, 8] > 0


def fits(responses: list[np.ndarray], gaze: list[np.ndarray]) -> None:
    simulate(schedule(5, 3, 4, np.random.default_rng(0), 5, 0), responses, gaze, np.random.default_rng(0))


GOOD = [np.zeros((4, 2, 2))] * 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        *[
            (lambda wins=wins: bradley_terry(wins), "wins")
            for wins in [
                np.zeros((3, 3)),
                np.zeros((1, 2, 3)),
                np.zeros((1, 1, 1)),
                np.full((1, 2, 2), -1.0),
                np.full((1, 2, 2), np.nan),
            ]
        ],
        (lambda: count_wins([0], [1], [1], [1], 2, 3), "different versions"),
        (lambda: count_wins([0], [0], [1], [2], 2, 3), "choice"),
        (lambda: count_wins([2], [0], [1], [1], 2, 3), r"image must lie in \[0, 2\)"),
        (lambda: count_wins([0], [0], [3], [1], 2, 3), r"left and right in \[0, 3\)"),
        (lambda: count_wins([0, 0], [0], [1], [1], 2, 3), "one length"),
        (lambda: schedule(0, 10, 12, np.random.default_rng(0)), "assessor"),
        (lambda: schedule(5, 10, 1, np.random.default_rng(0)), "versions"),
        (lambda: schedule(5, 1, 3, np.random.default_rng(0)), "random_pairs"),
        (lambda: schedule(5, 2, 12, np.random.default_rng(0)), "verification_pairs"),
        (lambda: schedule(5, 10, 12, np.random.default_rng(0)), "obvious"),
        (lambda: AssessorModel(fixations=0), "expected fixations"),
        (lambda: AssessorModel(noise=-1.0), "no negative noise"),
        (lambda: AssessorModel(tie=-0.1), "tie"),
        (lambda: AssessorModel(inattentive=1.5), "share"),
        (lambda: fits(GOOD[:2], [np.ones((2, 2))] * 2), "3 images"),
        (lambda: fits(GOOD, [np.ones((2, 3))] * 3), r"got \(4, 2, 2\)"),
        (lambda: fits([np.zeros((2, 2, 2))] * 3, [np.ones((2, 2))] * 3), "versions"),
        (lambda: fits(GOOD, [np.zeros((2, 2))] * 3), "not all zero"),
        (lambda: foveal_response(np.zeros(4)), "damage"),
        (lambda: foveal_response(np.full((2, 2), -1.0)), "damage"),
        (lambda: watson_damage(grey(1)[:8], grey(1)), "same size"),
        (lambda: watson_damage(grey(1)[:, :20], grey(1)), "multiples of 8"),
        (lambda: watson_damage(grey(1) / 2, grey(1)), "uint8"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
