"""How the benchmarks measure: interleaved rounds in one process, processor time, median of each side."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def compare(
    name: str, peer: str, ours: Callable[[], Any], theirs: Callable[[], Any], goal: float, rounds: int = 9, per: int = 1
) -> dict[str, Any]:
    """Time `ours` and `theirs` in turn and give one row.

    Args:
        name: what is measured.
        peer: library or method that it is measured against.
        ours, theirs: functions without arguments; the first call of each is not timed.
        goal: ratio of the peer's time to ours that we want to reach.
        rounds: timed calls of each.
        per: items handled in one call; times are given per item.

    Returns:
        {name, peer, ours_ms, peer_ms, ratio, goal, met}; milliseconds of processor time per item, medians.
    """
    ours()
    theirs()
    pairs = [(_processor_ms(ours), _processor_ms(theirs)) for _ in range(rounds)]
    ours_ms, peer_ms = (statistics.median(side) / per for side in zip(*pairs, strict=True))
    ratio = peer_ms / ours_ms
    return {
        "name": name,
        "peer": peer,
        "ours_ms": round(ours_ms, 4),
        "peer_ms": round(peer_ms, 4),
        "ratio": round(ratio, 2),
        "goal": goal,
        "met": ratio >= goal,
    }


def _processor_ms(function: Callable[[], Any]) -> float:
    """Processor time of one call; short calls are repeated, as the clock is coarse."""
    repeats, elapsed = 0, 0.0
    start = time.process_time()
    while elapsed < 0.005:
        function()
        repeats += 1
        elapsed = time.process_time() - start
    return 1000 * elapsed / repeats


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep BLAS, OpenMP, OpenCV and torch at one thread each inside the block."""
    import cv2
    import torch
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])
