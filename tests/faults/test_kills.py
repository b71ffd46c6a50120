"""Verbs that are killed, a few times each; `python -m tests.kills 200` does it often and for more of them."""

import random
from pathlib import Path

import pytest

from tests import kills


@pytest.mark.parametrize(("name", "workers"), [(name, workers) for name in kills.QUICK for workers in (1, 2)])
def test_a_killed_verb_leaves_no_trace(name: str, workers: int, tmp_path: Path) -> None:
    kills.make_inputs(tmp_path / "inputs", whole=False)
    kills.disturbed(kills.VERBS[name], tmp_path / "inputs", tmp_path, 4, random.Random(workers), workers)
