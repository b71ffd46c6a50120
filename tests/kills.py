"""Verbs that are killed at random moments: in the end they have made what an undisturbed call makes, and nothing else is
left.

    python -m tests.kills 200 [SEED]        # 200 kills, a line for each verb

Every call is a fork of a process that has loaded all modules, so that the moments fall into the work and not into imports.
"""

import hashlib
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

import psutil
from PIL import Image

from paperlib import cli
from paperlib.study import example, folder, one_picture, votes
from tests.study_samples import photograph

__all__ = ["example", "folder", "one_picture", "votes"]  # loaded before the forks
HEAVY = (
    *("torch", "papermill", "nbconvert", "paperlib.regenerate", "paperlib.show.look", "paperlib.show.notebooks"),
    *("paperlib.experiments.extracting.compute", "paperlib.experiments.extracting.explore", "paperlib.show.report"),
)
"""Modules of the costlier verbs."""

PATIENCE = 240.0
OWN = ("--profile", "own", "--data-root", "{inputs}/example", "--model", "my_model:sharpness")


@dataclass(frozen=True)
class Verb:
    """Words with `{inputs}` and `{out}` for folders; `cost` is how many calls of the cheapest verb one is worth; `prints`
    says that standard output holds results and not, for example, how many pictures were coded just now."""

    words: tuple[str, ...]
    cost: int = 1
    prints: bool = False


VERBS = {
    "code picture": Verb(("code", "{inputs}/photos/a.png", "--saliency", "center", "--bpp", "0.6", "--out", "{out}")),
    "code folder": Verb(("code", "{inputs}/photos", "--saliency", "center", "--bpp", "0.6", "--out", "{out}")),
    "votes": Verb(("votes", "{inputs}/votes.csv", "--moses", "{out}/moses.csv"), prints=True),
    "example": Verb(("example", "{out}/example"), 4),
    "look": Verb(("look", "{inputs}/photos/a.png", "--out", "{out}"), 4),
    "table": Verb(("table", "1", "--csv", *OWN), 8, prints=True),
    "figure": Verb(("figure", "1", "--out", "{out}", *OWN), 8),
    "run": Verb(("run", "--only", "03a", *OWN), 24),
}
QUICK = ("code picture", "code folder", "votes")


def make_inputs(inputs: Path, whole: bool = True) -> None:
    """Two small photographs, and votes; for all verbs also an example of the user's data."""
    (inputs / "photos").mkdir(parents=True)
    for name, photo in (("a", "coffee"), ("b", "chelsea")):
        Image.fromarray(photograph(photo)[0][:96, :128]).save(inputs / "photos" / f"{name}.png")
    pair = "a,h264v@targetbbp100=60_preset=none.png,h264v@targetbbp100=60_preset=p220.png"
    votes = [f"{pair},{('left', 'right')[number % 3 == 0]},{number}" for number in range(2000)]
    (inputs / "votes.csv").write_text("\n".join(["image,left,right,choice,assessor", *votes, ""]))
    if whole:
        example.write_example(inputs / "example")


def start(words: Sequence[str], place: Path, workers: int) -> BaseProcess:
    """A call in a process group of its own, whose results, temporary folders and output lie in `place`."""

    def call() -> None:
        os.setsid()
        (place / "tmp").mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = None
        os.environ |= {
            "TMPDIR": str(place / "tmp"),
            "PAPERLIB_RESULTS": str(place / "results"),
            "PAPERLIB_FIGURES": str(place / "figures"),
            "PAPERLIB_WORKERS": str(workers),
        }
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os._exit(cli.main(list(words)))

    process = multiprocessing.get_context("fork").Process(target=call)
    process.start()
    return process


def whole_call(words: Sequence[str], place: Path, workers: int) -> float:
    """Seconds of a call that nobody disturbs."""
    begin = time.monotonic()
    process = start(words, place, workers)
    process.join(PATIENCE)
    assert process.exitcode == 0, (place / "stderr").read_text()[-2000:]
    return time.monotonic() - begin


def kill(process: BaseProcess) -> bool:
    """Kill a call and its group; whether it was still at work."""
    at_work = process.is_alive()
    for end in (lambda: os.killpg(process.pid, signal.SIGKILL), process.kill):
        try:
            end()
        except ProcessLookupError:
            pass
    process.join()
    return at_work


def disturbed(verb: Verb, inputs: Path, place: Path, kills: int, moments: random.Random, workers: int) -> int:
    """How many of `kills` met the verb at work; asserts that nothing came of them.

    What was made is taken away after every third kill, so that there is work for the others.
    """
    calm, harsh = place / "calm", place / "harsh"

    def words(where: Path) -> list[str]:
        (where / "out").mkdir(parents=True, exist_ok=True)
        return [word.format(inputs=inputs, out=where / "out") for word in verb.words]

    seconds, hits = whole_call(words(calm), calm, workers), 0
    for number in range(kills):
        if number % 3 == 0:
            shutil.rmtree(harsh, ignore_errors=True)
        process = start(words(harsh), harsh, workers)
        time.sleep(moments.uniform(0.0, seconds))
        hits += kill(process)
    whole_call(words(harsh), harsh, workers)
    _wait_for(lambda: not _processes(place), "a process goes on")
    expected, found = traces(calm, verb.prints), traces(harsh, verb.prints)
    different = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    assert not different, f"{' '.join(verb.words)}: {different}"
    return hits


def traces(place: Path, prints: bool) -> dict[str, str]:
    """Files, folders, links and sockets by name, with what is in those that have the same content every time."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        timed = name == "stderr" or name.startswith("results/") or (name == "stdout" and not prints)
        text = b"" if timed or not path.is_file() else path.read_bytes().replace(str(place).encode(), b"")
        found[name] = f"{'folder' if path.is_dir() else 'file'} {hashlib.sha256(text).hexdigest()[:8]}"
    return found


def _processes(place: Path) -> list[psutil.Process]:
    """Those whose temporary folder lies in `place`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR", "").startswith(str(place)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            pass
    return found


def _wait_for(condition: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end, complaint
        time.sleep(0.1)


def main(kills: int, seed: int = 0) -> None:
    """Spread the kills over all verbs, the more of them the cheaper a verb."""
    moments, shares = random.Random(seed), {name: 1 / verb.cost for name, verb in VERBS.items()}
    with tempfile.TemporaryDirectory() as root:
        inputs = Path(root) / "inputs"
        make_inputs(inputs)
        for module in HEAVY:
            importlib.import_module(module)
        done = hit = 0
        for name, verb in sorted(VERBS.items(), key=lambda one: one[1].cost):
            number = max(3, round(kills * shares[name] / sum(shares.values())))
            begin, hits = time.monotonic(), 0
            for workers, part in ((1, number - number // 2), (2, number // 2)):
                hits += disturbed(verb, inputs, Path(root) / f"{name} {workers}", part, moments, workers)
            done, hit = done + number, hit + hits
            print(f"{name}: {number} kills, {hits} at work, {time.monotonic() - begin:.0f} s", flush=True)
    print(f"{done} kills, {hit} at work: all results equal, nothing left")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
