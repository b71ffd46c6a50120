"""The score cache: what was added is found, in whole batches only, whatever happens to the process or the file."""

import math
import multiprocessing
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paperlib.engine.score_cache import ScoreCache
from paperlib.errors import PaperlibError


def test_what_was_added_is_found_by_the_next_process(tmp_path: Path) -> None:
    with ScoreCache(tmp_path / "new" / "cache.sqlite") as cache:
        assert cache.found(["a"]) == {}
        cache.add({"a": 1.5, "b": -2.0})
    with ScoreCache(tmp_path / "new" / "cache.sqlite") as cache:
        assert cache.found(["b", "c", "a"]) == {"b": -2.0, "a": 1.5}


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False), max_size=40), st.data())
def test_it_behaves_like_a_dictionary(tmp_path_factory: pytest.TempPathFactory, scores: dict[str, float], data) -> None:
    with ScoreCache(tmp_path_factory.mktemp("cache") / "c.sqlite") as cache:
        cache.add(scores)
        asked = data.draw(st.lists(st.text() | st.sampled_from([*scores, ""]), unique=True))
        assert cache.found(asked) == {key: scores[key] for key in asked if key in scores}


def test_more_keys_than_one_question_holds(tmp_path: Path) -> None:
    scores = {f"key{number}": float(number) for number in range(2500)}
    with ScoreCache(tmp_path / "c.sqlite") as cache:
        cache.add(scores)
        assert cache.found(scores) == scores


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_refused_with_its_batch(tmp_path: Path, wrong: float) -> None:
    with ScoreCache(tmp_path / "c.sqlite") as cache:
        with pytest.raises(ValueError, match="1 of 2 scores are NaN or infinite, the first for 'bad'"):
            cache.add({"good": 1.0, "bad": wrong})
        assert cache.found(["good"]) == {}


KILLED = """
import os, signal, sys
from paperlib.engine.score_cache import ScoreCache
with ScoreCache(sys.argv[1]) as cache:
    cache.add({f"first{i}": float(i) for i in range(100)})
    connection = cache._connection
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO scores VALUES (?, ?)", [(bytes([i]) * 16, 1.0) for i in range(100)])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_in_the_middle_of_a_batch_loses_that_batch_alone(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with ScoreCache(file) as cache:
        assert len(cache.found(f"first{i}" for i in range(100))) == 100
        assert cache._connection.execute("SELECT count(*) FROM scores").fetchone() == (100,)


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "c.sqlite"
    with ScoreCache(file) as cache:
        cache.add({f"key{number}": 0.5 for number in range(5000)})
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"no database at all" * 100)
    with ScoreCache(file) as cache:
        cache.add({"new": 1.0})
        assert cache.found(["key1", "new"]) == {"new": 1.0}
    assert (tmp_path / "c.sqlite.damaged").is_file()
    assert "is damaged" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PaperlibError, match="the score cache .* cannot be used"):
        ScoreCache(tmp_path / "file" / "c.sqlite")
    with pytest.raises(PaperlibError, match="cannot be used"):
        ScoreCache(tmp_path)


def add_many(file: Path, name: str) -> None:
    with ScoreCache(file) as cache:
        for batch in range(20):
            cache.add({f"{name}/{batch}/{i}": float(i) for i in range(20)})


def test_two_processes_add_at_once(tmp_path: Path) -> None:
    file = tmp_path / "c.sqlite"
    processes = [multiprocessing.get_context("spawn").Process(target=add_many, args=(file, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    connection = sqlite3.connect(file)
    assert connection.execute("SELECT count(*) FROM scores").fetchone() == (800,)
    connection.close()
