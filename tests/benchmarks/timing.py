"""How the benchmarks measure: interleaved rounds in one process, processor time, median of each side."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

Sides = tuple[Callable[[], Any], Callable[[], Any] | float]
"""Ours and the peer's: functions without arguments; a number for the peer is a time in milliseconds that we set."""


@dataclass(frozen=True)
class Benchmark:
    """One row: what is measured, the library or method beside it, and the ratio of the peer's time to ours that we want
    to reach. `sides` prepares both functions; each is timed `rounds` times, and a call handles `per` items."""

    name: str
    peer: str
    sides: Callable[[], Sides]
    goal: float
    rounds: int = 9
    per: int = 1

    def row(self) -> dict[str, Any]:
        """Medians of processor time per item; the first call of each side is not timed."""
        with _one_thread():
            try:
                ours, theirs = self.sides()
                ours()
                if callable(theirs):
                    theirs()
                pairs = [(_milliseconds(ours), _milliseconds(theirs)) for _ in range(self.rounds)]
            except ImportError as error:
                missing = dict.fromkeys(("ours_ms", "peer_ms", "ratio", "goal", "met"))
                return {"name": self.name, "peer": f"not installed: {error.name or error}"} | missing
        ours_ms, peer_ms = (statistics.median(side) / self.per for side in zip(*pairs, strict=True))
        ratio = peer_ms / ours_ms
        return {
            "name": self.name,
            "peer": self.peer,
            "ours_ms": round(ours_ms, 4),
            "peer_ms": round(peer_ms, 4),
            "ratio": round(ratio, 2),
            "goal": self.goal,
            "met": ratio >= self.goal,
        }


BENCHMARKS: list[Benchmark] = []


def benchmark(name: str, peer: str, *given: Any, **settings: Any) -> Callable[[Callable[..., Sides]], Callable[..., Sides]]:
    """Registers the decorated function, called with `given`, as the sides of a benchmark."""

    def register(sides: Callable[..., Sides]) -> Callable[..., Sides]:
        BENCHMARKS.append(Benchmark(name, peer, partial(sides, *given), **settings))
        return sides

    return register


def _milliseconds(side: Callable[[], Any] | float) -> float:
    """Processor time of one call; short calls are repeated, as the clock is coarse."""
    if not callable(side):
        return side
    repeats, elapsed = 0, 0.0
    start = time.process_time()
    while elapsed < 0.005:
        side()
        repeats += 1
        elapsed = time.process_time() - start
    return 1000 * elapsed / repeats


@contextmanager
def _one_thread() -> Iterator[None]:
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
