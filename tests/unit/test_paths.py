"""Writes are whole or not at all, and what a kill leaves is gone with the next."""

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading

import pytest

from paperlib.paths import atomic_write, in_the_way, temporary_folder


def test_new_content_under_the_final_name_only(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    with atomic_write(target, "w") as file:
        file.write("π")
        assert not target.exists()
    assert target.read_text(encoding="utf-8") == "π"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")
    with pytest.raises(RuntimeError), atomic_write(target) as file:
        file.write(b"half of the n")
        raise RuntimeError
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664), (0o022, 0o644)])
def test_others_may_read_what_the_users_umask_lets_them(umask, mode, tmp_path):
    target = str(tmp_path / "f")
    code = f"import os; os.umask({umask}); from paperlib.paths import atomic_write\nwith atomic_write({target!r}): pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == mode


def test_what_a_kill_left_of_a_write_goes_with_the_next(tmp_path):
    target = tmp_path / "file.txt"
    code = f"import os\nfrom paperlib.paths import atomic_write\nwith atomic_write({str(target)!r}) as f: "
    subprocess.run([sys.executable, "-c", code + "f.write(b'long half'), f.flush(), os.kill(os.getpid(), 9)"])
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"long half"] and not target.exists()
    with atomic_write(target) as file:
        file.write(b"new")
    assert target.read_bytes() == b"new" and list(tmp_path.iterdir()) == [target]


def test_writers_of_one_file_wait_for_each_other(tmp_path):
    target, order = tmp_path / "file.txt", []

    def write(text):
        with atomic_write(target, "w") as file:
            order.append(text)
            file.write(text)

    with atomic_write(target, "w") as file:
        others = [threading.Thread(target=write, args=(text,)) for text in ("second", "third")]
        for other in others:
            other.start()
        file.write("first")
        assert not order
    for other in others:
        other.join(60)
    assert sorted(order) == ["second", "third"] and target.read_text() == order[-1] and list(tmp_path.iterdir()) == [target]


def test_a_folder_in_its_place_is_named_and_left_alone(tmp_path):
    target = tmp_path / "file.txt"
    (target / "theirs").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as told, atomic_write(target):
        pass
    assert in_the_way(told.value).startswith(f"{target} cannot be used (a folder where a file belongs); move it away")
    assert list(tmp_path.iterdir()) == [target]


def test_temporary_folders_of_killed_processes_are_removed_and_those_of_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = "from paperlib.paths import temporary_folder\nwith temporary_folder() as f: print(f, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(tmp_path)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        theirs = other.stdout.readline().strip()
        with temporary_folder() as ours:
            assert {str(path) for path in tmp_path.iterdir()} == {theirs, str(ours)}
        other.send_signal(signal.SIGKILL)
    with temporary_folder() as ours:
        assert list(tmp_path.iterdir()) == [ours] and stat.S_IMODE(ours.stat().st_mode) == 0o700
    assert not list(tmp_path.iterdir())
