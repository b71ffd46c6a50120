"""What the tests of the verbs `code`, `votes` and `example` share: a photograph with its map, one sentence, a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from paperlib.datasets.photographs import open_photographs, predicted_saliency
from paperlib.paths import REPOSITORY

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
PATIENCE = 120.0


def photograph(name: str) -> Pair:
    """A small photograph and its 8-bit saliency map."""
    (one,) = open_photographs([name], size=(160, 208))
    return one.image, np.round(255 * predicted_saliency(one)).astype(np.uint8)


def refusal(capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence that a verb said; nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith("paperlib: ")
    return err


def kill_when(words: list[str], is_time: Callable[[], bool]) -> None:
    """Start a verb in a process of its own, and kill it without a warning."""
    process = subprocess.Popen(
        [sys.executable, "-m", "paperlib", *words],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + PATIENCE
    while not is_time():
        assert process.poll() is None and time.monotonic() < end, "it ended, or got nowhere"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
