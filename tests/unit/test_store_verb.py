"""The verb `store` from outside: what it lists, what it removes at each level, and what it never touches."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paperlib import cli, profiles, regenerate
from paperlib.engine.local import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.profiles import Profile
from paperlib.tasks import sensitivity
from tests.engine_samples import make, toys

__all__ = ["make", "toys"]  # fixtures

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch
Make = Callable[..., Unit]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: Patch) -> Path:
    """The folder of results, not yet there."""
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PAPERLIB_QUIET", "1")
    for name in ("DATA_ROOT", "WEIGHTS_ROOT", "MODELS"):
        monkeypatch.setenv(f"PAPERLIB_{name}", "")
    return tmp_path / "results"


@pytest.fixture
def plans(monkeypatch: Patch) -> dict[tuple[str, str], list[Unit]]:
    """What is planned, by profile and section; other profiles lack their data."""
    found: dict[tuple[str, str], list[Unit]] = {}

    def planned(profile: Profile, section: str) -> list[Unit]:
        if (profile.name, "any") not in found and profile.name != "demo":
            raise PaperlibError(f"{profile.name} lacks its data")
        return found.get((profile.name, section), [])

    monkeypatch.setattr(regenerate, "planned", planned)
    monkeypatch.setattr(sensitivity, "planned", lambda profile: found.get(("demo", "sensitivity"), []))
    return found


def compute(*units: Unit, profile: str = "demo") -> ResultStore:
    store = ResultStore(profiles.load(profile).store_root)
    run(units, store, workers=1, title="toys")
    return store


def told(capsys: Capture, *words: str) -> tuple[int, str, str]:
    code = cli.main(["store", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def listed(capsys: Capture, *words: str) -> dict[tuple[str, str, str], int]:
    """(place, name, state) -> how many."""
    rows = json.loads(told(capsys, *words, "--json")[1])
    assert all(row["size"] >= 0 for row in rows)
    return {(row["place"], row["name"], row["state"]): row["count"] for row in rows}


def present(folder: Path) -> set[str]:
    """All files but locks."""
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and "locks" not in path.parts
    }


def put(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.mark.parametrize("exists", [False, True])
def test_nothing_is_stored(exists: bool, root: Path, plans: dict, capsys: Capture) -> None:
    if exists:
        root.mkdir()
    assert told(capsys, "ls") == (0, f"Nothing is stored in {root}.\n", "")
    assert told(capsys, "clean", "--everything")[:2] == (0, "Freed 0 bytes.\n")
    assert root.exists() == exists
    assert listed(capsys, "ls", "--profile", "demo") == {}


def test_what_no_plan_needs_is_removed(root: Path, plans: dict, make: Make, capsys: Capture) -> None:
    base, taught, tried = make("base"), make("lecture"), make("tried")
    top, other = make("top", needs=[base]), make("other", seed=5)
    plans["demo", "masking"], plans["demo", "extracting"], plans["demo", "sensitivity"] = [top], [taught], [tried]
    store = compute(base, top, taught, tried, other)
    assert listed(capsys, "ls") == {("demo", "toys", "needed"): 4, ("demo", "toys", "left over"): 1}
    before = present(root)
    code, out, _ = told(capsys, "clean", "--dry-run")
    assert code == 0 and out.splitlines()[1].startswith("Would free") and present(root) == before
    code, out, _ = told(capsys, "clean")
    assert code == 0 and "Freed " in out and "demo/toys" in out
    assert store.load(other) is None and all(store.load(unit) for unit in (base, top, taught, tried))
    assert told(capsys, "clean")[1].startswith("Freed 0 bytes.")
    assert "needed" in told(capsys, "ls")[1]


def test_results_of_other_code_are_left_over(root: Path, plans: dict, make: Make, capsys: Capture) -> None:
    unit = make("base")
    plans["demo", "masking"] = [unit]
    store = compute(unit)
    for path in (root / "demo" / "toys").iterdir():
        path.rename(path.with_name(path.name.replace(unit.key, f"{unit.identity}-0123456789abcdef")))
    put(store.scratch(unit) / "checkpoint")
    put(root / "demo" / "scratch" / f"{unit.identity}-0123456789abcdef" / "checkpoint")
    left = {("demo", "toys", "left over"): 1, ("demo", "scratch", "left over"): 1}
    assert listed(capsys, "ls") == left | {("demo", "scratch", "needed"): 1}
    told(capsys, "clean")
    assert present(root) == {f"demo/scratch/{unit.key}/checkpoint"}


@pytest.mark.parametrize("damage", ["manifest", "size", "gone", "fragment"])
def test_a_damaged_result_is_left_over(damage: str, root: Path, plans: dict, make: Make, capsys: Capture) -> None:
    unit, whole = make("base"), make("whole")
    plans["demo", "masking"] = [unit, whole]
    store = compute(unit, whole)
    folder = root / "demo" / "toys"
    if damage == "manifest":
        (folder / f"{unit.key}.json").write_text("{")
    elif damage == "size":
        (folder / f"{unit.key}.npz").write_bytes(b"short")
    elif damage == "gone":
        (folder / f"{unit.key}.parquet").unlink()
    else:
        put(folder / f".{unit.key}.npz.abc.part")
    states = {("demo", "toys", "needed"): 1 + (damage == "fragment"), ("demo", "toys", "left over"): 1}
    assert listed(capsys, "ls") == states
    assert told(capsys, "clean")[0] == 0
    assert (store.load(unit) is not None) == (damage == "fragment") and store.load(whole)
    assert not [path for path in folder.iterdir() if path.suffix == ".part"]


def test_what_cannot_be_made_again_takes_a_word_of_its_own(root: Path, plans: dict, make: Make, capsys: Capture) -> None:
    old = make("old")
    store = compute(old, profile="open")
    put(root / "open" / "data" / "osie" / "picture.jpg")
    put(root / "open" / "scores" / "pairs" / "maps.npy")
    code, out, _ = told(capsys, "clean", "--all")
    assert code == 0 and store.load(old)
    assert "unsure" in out and all(f"open/{name}" in out for name in ("toys", "data", "scores"))
    assert "not known of open: open lacks its data" in out
    code, out, _ = told(capsys, "clean", "--everything")
    assert all(f"open: {name}" in out for name in ("toys", "data", "scores")) and not present(root)


def test_results_of_other_data_are_not_taken_for_left_over(root: Path, plans: dict, make: Make, capsys: Capture) -> None:
    now, other = make("now"), make("other")
    plans["own", "any"], plans["own", "masking"] = [], [now]
    compute(now, other, profile="own")
    put(root / "own" / "toys" / f"{now.identity}-0123456789abcdef.parquet")
    states = ("needed", "unsure", "left over")
    assert listed(capsys, "ls") == {("own", "toys", state): 1 for state in states}


def test_files_of_users_stay(root: Path, plans: dict, make: Make, capsys: Capture, tmp_path: Path) -> None:
    unit = make("base")
    plans["demo", "masking"] = [unit]
    compute(unit)
    yours = {
        "coded/study/pairs.csv",
        "looked/me_look.png",
        "thesis.tex",
        "demo/toys/notes.txt",
        "demo/mine.txt",
        "demo/own/a",
    }
    for name in yours | {"contents.sqlite", "logs/a.log", "demo/notebooks/01.ipynb", "demo/custom/figures/fig2.png"}:
        put(root / name)
    put(tmp_path / "elsewhere" / "picture.png")
    (root / "demo" / "report").symlink_to(tmp_path / "elsewhere")
    assert told(capsys, "clean")[0] == 0 and (root / "contents.sqlite").exists()
    code, out, _ = told(capsys, "clean", "--everything")
    assert code == 0 and present(root) == yours and (tmp_path / "elsewhere" / "picture.png").exists()
    assert all(name in out for name in ("coded", "looked", "thesis.tex", "demo/notes.txt"))
    assert not (root / "demo" / "report").is_symlink()


def test_what_is_made_in_seconds_can_go_alone(root: Path, plans: dict, make: Make, capsys: Capture) -> None:
    unit = make("base")
    plans["demo", "masking"] = [unit, large := make("large")]
    store = compute(unit)
    with store.lock(large):
        store.save(large, type(store.load(unit))(arrays={"a": np.random.default_rng(0).random(200_000)}), seconds=0.1)
    assert listed(capsys, "ls") == {("demo", "toys", "needed"): 1, ("demo", "toys", "quick"): 1}
    told(capsys, "clean")
    assert store.load(large)
    told(capsys, "clean", "--quick")
    assert store.load(unit) and not store.load(large)


HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    input()
"""


def test_a_running_computation_is_not_disturbed(root: Path, plans: dict, make: Make, capsys: Capture) -> None:
    left, busy = make("left"), make("busy")
    store = compute(left)
    command = [sys.executable, "-c", HOLD, str(store.lock(busy).lock_file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        code, out, err = told(capsys, "clean")
        assert (code, out) == (2, "") and "a run is computing in" in err and store.load(left)
        assert told(capsys, "clean", "--dry-run")[0] == 0
        holder.communicate("\n")
    assert told(capsys, "clean")[0] == 0 and store.load(left) is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ls", "--all"], "belong to `store clean`; leave them out of ls"),
        (["ls", "--dry-run"], "belong to `store clean`"),
        (["ls", "--profile", "demoo"], "there is no profile 'demoo'"),
        (["clean", "--all", "--everything"], "not allowed with argument"),
        (["empty"], "invalid choice: 'empty'"),
    ],
)
def test_wrong_words(words: list[str], sentence: str, root: Path, capsys: Capture) -> None:
    code, out, err = told(capsys, *words)
    assert (code, out) == (2, "") and sentence in err


def test_the_real_plans_of_the_demo(root: Path, capsys: Capture) -> None:
    """What a run computes first is needed, and the same world with other settings is not."""
    from paperlib.experiments.sets.plan import opinion_pictures

    small = profiles.load("demo", n_test=7, n_fit=7)
    unit = opinion_pictures(small, "world", "test").generated
    assert unit is not None
    compute(unit)
    put(root / "demo" / "worlds" / "README")
    planned = opinion_pictures(profiles.load("demo"), "world", "test").generated
    assert planned is not None
    put(ResultStore(root / "demo").scratch(planned) / "a")
    assert listed(capsys, "ls") == {
        ("demo", "worlds", "left over"): 1, ("demo", "scratch", "needed"): 1, ("demo", "README", "yours"): 1,
        ("", "contents.sqlite", "made again"): 1,
    }  # fmt: skip
