"""Timings beside the peers' libraries: `python -m tests.benchmarks`, or `run_all()`.

Every `bench_*.py` in this folder holds a list `BENCHMARKS` of functions without arguments; each returns one row
{name, peer, ours_ms, peer_ms, ratio, goal, met}. A benchmark whose peer is not installed gives a row with `met` None
and the reason under `peer`, so that nothing is left out silently.
"""

import importlib
from pathlib import Path
from typing import Any

from .timing import one_thread


def run_all() -> list[dict[str, Any]]:
    """The rows of all benchmarks, file by file, each with the processor's one thread."""
    rows = []
    for path in sorted(Path(__file__).parent.glob("bench_*.py")):
        module = importlib.import_module(f".{path.stem}", __name__)
        for benchmark in module.BENCHMARKS:
            with one_thread():
                rows.append(_row(benchmark))
    return rows


def _row(benchmark: Any) -> dict[str, Any]:
    try:
        return benchmark()
    except ImportError as error:
        missing = dict.fromkeys(("ours_ms", "peer_ms", "ratio", "goal", "met"))
        return {"name": benchmark.__name__, "peer": f"not installed: {error.name or error}"} | missing
