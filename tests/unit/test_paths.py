"""Writes are whole or not at all."""

import stat
import subprocess
import sys

import pytest

from paperlib.paths import atomic_write


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
