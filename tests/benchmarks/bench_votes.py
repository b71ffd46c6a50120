"""Bradley-Terry scores of 60 images x 12 versions with 25,000 votes, against choix."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

IMAGES, VERSIONS, VOTES, GOAL, ROUNDS = 60, 12, 25_000, 50.0, 7


def from_votes() -> dict[str, Any]:
    """From single votes to scores; peer `choix.ilsr_pairwise`, the fastest of its solvers that take single votes."""
    import choix

    from paperlib.coding.votes import bradley_terry, count_wins

    image, left, right, choice = _votes()
    winner, loser = np.where(choice > 0, left, right), np.where(choice > 0, right, left)
    pairs = [list(zip(winner[image == k].tolist(), loser[image == k].tolist(), strict=True)) for k in range(IMAGES)]
    return _compare(
        "Bradley-Terry from votes", "choix.ilsr_pairwise",
        lambda: bradley_terry(count_wins(image, left, right, choice, IMAGES, VERSIONS)),
        lambda: [choix.ilsr_pairwise(VERSIONS, votes, alpha=0.1) for votes in pairs],
    )  # fmt: skip


def from_counts() -> dict[str, Any]:
    """From counted wins to scores; peer `choix.ilsr_pairwise_dense`, the fastest of all its solvers, given a matrix."""
    import choix

    from paperlib.coding.votes import VIRTUAL_WINS, bradley_terry, count_wins

    wins = count_wins(*_votes(), IMAGES, VERSIONS)
    regular = wins + VIRTUAL_WINS * (1 - np.eye(VERSIONS))
    return _compare(
        "Bradley-Terry from counted wins", "choix.ilsr_pairwise_dense",
        lambda: bradley_terry(wins), lambda: [choix.ilsr_pairwise_dense(one, alpha=0) for one in regular],
    )  # fmt: skip


def _votes() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.6, (IMAGES, VERSIONS))
    image, left = rng.integers(0, IMAGES, VOTES), rng.integers(0, VERSIONS, VOTES)
    right = (left + rng.integers(1, VERSIONS, VOTES)) % VERSIONS
    chance = 1 / (1 + np.exp(scores[image, right] - scores[image, left]))
    return image, left, right, np.where(rng.random(VOTES) < chance, 1, -1)


def _compare(name: str, peer: str, ours: Callable[[], Any], theirs: Callable[[], Any]) -> dict[str, Any]:
    ours(), theirs()
    times = np.array([(_cpu(ours, 5), _cpu(theirs, 1)) for _ in range(ROUNDS)])
    ours_ms, peer_ms = (1e3 * np.median(times, axis=0)).tolist()
    ratio = peer_ms / ours_ms
    return {"name": name, "peer": peer, "ours_ms": ours_ms, "peer_ms": peer_ms, "ratio": ratio, "goal": GOAL,
            "met": ratio >= GOAL}  # fmt: skip


def _cpu(function: Callable[[], Any], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        function()
    return (time.process_time() - start) / repeats


BENCHMARKS = [from_votes, from_counts]
