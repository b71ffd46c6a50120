"""Timings beside the peers' libraries: `python -m tests.benchmarks`, or `run_all()`.

Every `bench_*.py` in this folder registers its rows with `timing.benchmark`; each row is {name, peer, ours_ms, peer_ms,
ratio, goal, met}. A benchmark whose peer is not installed gives a row with `met` None and the reason under `peer`, so
that nothing is left out silently.
"""

import importlib
from pathlib import Path
from typing import Any

from .timing import BENCHMARKS


def run_all() -> list[dict[str, Any]]:
    """The rows of all benchmarks, file by file, each with the processor's one thread."""
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        importlib.import_module(f".{path.stem}", __name__)
    return [benchmark.row() for benchmark in BENCHMARKS]
