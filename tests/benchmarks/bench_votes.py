"""Bradley-Terry scores of 60 images x 12 versions with 25,000 votes, against choix."""

import numpy as np

from paperlib.coding.votes import VIRTUAL_WINS, bradley_terry, count_wins

from .timing import Sides, benchmark

IMAGES, VERSIONS, VOTES = 60, 12, 25_000


def _votes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.6, (IMAGES, VERSIONS))
    image, left = rng.integers(0, IMAGES, VOTES), rng.integers(0, VERSIONS, VOTES)
    right = (left + rng.integers(1, VERSIONS, VOTES)) % VERSIONS
    chance = 1 / (1 + np.exp(scores[image, right] - scores[image, left]))
    return image, left, right, np.where(rng.random(VOTES) < chance, 1, -1)


@benchmark("Bradley-Terry from votes", "choix.ilsr_pairwise", goal=50, rounds=7)
def from_votes() -> Sides:
    """From single votes to scores; peer `choix.ilsr_pairwise`, the fastest of its solvers that take single votes."""
    import choix

    image, left, right, choice = _votes()
    winner, loser = np.where(choice > 0, left, right), np.where(choice > 0, right, left)
    pairs = [list(zip(winner[image == k].tolist(), loser[image == k].tolist(), strict=True)) for k in range(IMAGES)]
    return (
        lambda: bradley_terry(count_wins(image, left, right, choice, IMAGES, VERSIONS)),
        lambda: [choix.ilsr_pairwise(VERSIONS, votes, alpha=0.1) for votes in pairs],
    )


@benchmark("Bradley-Terry from counted wins", "choix.ilsr_pairwise_dense", goal=50, rounds=7)
def from_counts() -> Sides:
    """From counted wins to scores; peer `choix.ilsr_pairwise_dense`, the fastest of all its solvers, given a matrix."""
    import choix

    wins = count_wins(*_votes(), IMAGES, VERSIONS)
    regular = wins + VIRTUAL_WINS * (1 - np.eye(VERSIONS))
    return lambda: bradley_terry(wins), lambda: [choix.ilsr_pairwise_dense(one, alpha=0) for one in regular]
