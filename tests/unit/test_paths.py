"""Writes are whole or not at all."""

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
