"""The command line when the world around it fails: unwritable folders, full disks, closed pipes, Ctrl-C."""

import errno
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from paperlib import cli, paths, regenerate
from paperlib.show import notebooks
from tests.unit.cli_samples import write_notebook

STUB = """
import errno, os, sys, time
from paperlib import cli, paths, regenerate
from paperlib.experiments import claims
(claim,) = claims.results({{"C1": claims.ClaimParts(())}}, __import__("paperlib.profiles").profiles.load())
regenerate.claims = lambda profile, ids=None: [claim] * 2000
{extra}
sys.exit(cli.main(sys.argv[1:]))
"""


def start(*words: str, extra: str = "", **options) -> subprocess.Popen:
    """The command line in a process of its own, with made-up claims at once."""
    command = [sys.executable, "-c", STUB.format(extra=extra), *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    return subprocess.Popen(command, cwd=paths.REPOSITORY, text=True, **pipes)


@pytest.fixture(autouse=True)
def folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PAPERLIB_FIGURES", str(tmp_path / "figures"))


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stands for notebooks/."""
    here = tmp_path / "notebooks"
    here.mkdir()
    monkeypatch.setattr(paths, "NOTEBOOKS", here)
    return here


def test_a_reader_that_stops_is_no_error() -> None:
    process = start("claims", "--json")
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_full_disk_behind_stdout_is_one_sentence() -> None:
    full = """
import io
class Full(io.StringIO):
    def flush(self):
        if not self.closed and self.tell():
            self.truncate(0), self.seek(0)
            raise OSError(errno.ENOSPC, "No space left on device")
sys.stdout = Full()
"""
    process = start("claims", "--json", extra=full)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the disk is full" in err
    assert "Traceback" not in err


def test_a_closed_stdout_is_no_error() -> None:
    command = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-c", STUB.format(extra=""), "claims"]
    run = subprocess.run(command, cwd=paths.REPOSITORY, stderr=subprocess.PIPE, text=True)
    assert (run.returncode, run.stderr) == (0, "")


def test_interrupting_a_computation_gives_130() -> None:
    busy = "regenerate.prepare = lambda profile: (print('busy', flush=True), time.sleep(60))"
    process = start("prepare", extra=busy)
    assert process.stderr.readline() == "busy\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "interrupted" in err
    assert "Traceback" not in err


MOMENTS = 6
FIRST_LINES = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)  # as the first lines of paperlib do: what is before them is Python's own start
print(flush=True)
sys.argv = ["paperlib", *sys.argv[1:]]
runpy.run_module("paperlib", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("presses", [1, 2])
def test_interrupting_a_start(tmp_path: Path, presses: int) -> None:
    """At moments spread over a start, once or twice in a row: one sentence or the signal, and nothing is left."""
    table, temporary, moments = tmp_path / "votes.csv", tmp_path / "tmp", random.Random(presses)
    table.write_text("image,left,right,choice,assessor\nk,a,b,left,x\n")
    temporary.mkdir()
    command = [sys.executable, "-c", FIRST_LINES, "votes", str(table), "--moses", str(tmp_path / "made" / "moses.csv")]
    environment = os.environ | {"PYTHONPATH": str(paths.REPOSITORY), "TMPDIR": str(temporary)}

    def begin() -> subprocess.Popen:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "\n"
        return process

    with begin() as process:
        start = time.monotonic()
        process.communicate(timeout=60)
    assert process.returncode == 2
    seconds = time.monotonic() - start
    for part in range(MOMENTS):
        process = begin()
        time.sleep(seconds * (part + 0.5) / MOMENTS)
        for _ in range(presses):
            process.send_signal(signal.SIGINT)
            time.sleep(moments.uniform(0.0, 0.1))
        out, err = process.communicate(timeout=60)
        assert process.returncode in (130, 2, -signal.SIGINT), err
        assert err.count("paperlib: ") <= 1 and len(err.strip().splitlines()) <= 1 and not out
        assert not list(temporary.iterdir()) and not (tmp_path / "made").exists()


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def _in_an_import() -> None:
    try:
        press()
    except KeyboardInterrupt:
        raise ImportError from None


def _where_it_is_swallowed() -> None:
    with suppress(KeyboardInterrupt):
        press()


def _while_an_object_is_disposed_of() -> None:
    class Last:
        def __del__(self) -> None:
            press()

    Last()
    time.sleep(10)
    raise AssertionError("went on")


def _twice() -> None:
    try:
        press()
    finally:
        press()
        print("put in order", file=sys.stderr)


@pytest.mark.parametrize("where", [_in_an_import, _where_it_is_swallowed, _while_an_object_is_disposed_of, _twice])
def test_an_interruption_is_one_wherever_it_falls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, where: Callable[[], None]
) -> None:
    monkeypatch.setattr(regenerate, "prepare", lambda profile: where())
    handler = signal.getsignal(signal.SIGINT)
    assert cli.main(["prepare"]) == 130
    *before, told = filter(None, capsys.readouterr().err.splitlines())
    assert before == ["put in order"] * (where is _twice) and told.startswith("paperlib: interrupted")
    assert signal.getsignal(signal.SIGINT) is handler


def test_interrupting_a_notebook_leaves_no_kernel_behind(folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "kernel"
    source = f"import os, time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\ntime.sleep(120)"
    write_notebook(folder, "05_long", source)
    process = start("run", "--only", "05", extra=f"from pathlib import Path\npaths.NOTEBOOKS = Path({str(folder)!r})")
    deadline = time.monotonic() + 60
    while not (marker.is_file() and marker.read_text()) and time.monotonic() < deadline:
        time.sleep(0.1)
    kernel = int(marker.read_text())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    psutil.wait_procs([psutil.Process(kernel)] if psutil.pid_exists(kernel) else [], timeout=10)
    assert not psutil.pid_exists(kernel)


@pytest.mark.parametrize("words", [["prepare"], ["run"], ["figure", "1"]])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_computed(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture, words: list[str]
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("computed something")

    for name in ("prepare", "table", "figure", "claims"):
        monkeypatch.setattr(regenerate, name, never, raising=False)
    write_notebook(folder, "03a_a", "1")
    for name in ("results", "figures"):
        (tmp_path / name).write_text("a file where a folder should be")
    assert cli.main(words) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"paperlib: cannot write to {tmp_path}")
    assert "choose another folder with" in err and ("--out" if "figure" in words else "--results DIR") in err


def test_a_full_disk_during_the_computation_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(number: int, profile: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(regenerate, "table", full, raising=False)
    assert cli.main(["table", "1"]) == 1
    assert capsys.readouterr().err == (
        "paperlib: the disk is full; make room, then start the same command again: finished results are kept\n"
    )


def test_a_traceback_finds_another_folder_when_results_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "results").write_text("a file")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(regenerate, "table", lambda number, profile: 1 / 0, raising=False)
    assert cli.main(["table", "1"]) == 1
    (log,) = tmp_path.glob("paperlib-*.log")
    assert str(log) in capsys.readouterr().err
    assert "ZeroDivisionError" in log.read_text()


def test_a_damaged_notebook_is_named_before_anything_runs(folder: Path, capsys: pytest.CaptureFixture) -> None:
    good = write_notebook(folder, "03a_a", "1")
    (folder / "03b_b.ipynb").write_text(good.read_text()[:100])
    assert cli.main(["run"]) == 2
    assert "03b_b.ipynb is not a readable notebook" in capsys.readouterr().err


def test_a_kernel_that_never_starts_is_tried_twice_and_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    script = tmp_path / "python"
    script.write_text(f"#!/bin/sh\necho x >> '{tries}'\nexit 1\n")
    script.chmod(0o755)
    path = write_notebook(tmp_path, "01_a", "1")
    monkeypatch.setattr(sys, "executable", str(script))
    (run,) = notebooks.run_notebooks([path], tmp_path / "out", {})
    assert run.error.startswith("01_a: the kernel d")
    assert tries.read_text().split() == ["x", "x"]


def test_promoting_a_damaged_copy_leaves_the_committed_notebook(tmp_path: Path) -> None:
    committed, executed = tmp_path / "committed", tmp_path / "executed"
    committed.mkdir(), executed.mkdir()
    path = write_notebook(committed, "01_a", "1")
    before = path.read_bytes()
    (executed / "01_a.ipynb").write_text(json.dumps({"cells": "none"}))
    with pytest.raises(cli.PaperlibError, match=r"executed/01_a\.ipynb is not a readable notebook"):
        notebooks.promote(executed, committed)
    assert path.read_bytes() == before


def test_lab_refuses_a_port_that_is_taken(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *started: pytest.fail("started on another port"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["lab", "--port", str(port), "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert f"cannot listen on port {port}" in error and "choose another" in error
