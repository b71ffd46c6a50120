"""Lists of files: what they name is what lies in the repositories, and nothing of the opinions is passed on."""

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from paperlib.datasets import listed_files
from paperlib.datasets.listed_files import listed

HERE = Path(listed_files.__file__).parent
LISTS = {"biq2021_sample": 3_302, "osie_files": 701, "eyecrowd_sample": 101}


@pytest.mark.parametrize(("name", "count"), LISTS.items())
def test_a_list_names_files_and_nothing_else(name: str, count: int) -> None:
    files = listed(name)
    assert len(files) == len({file.path for file in files}) == count
    assert (HERE / f"{name}.csv").read_text("utf-8").splitlines()[0] == "file,bytes,git_sha1"
    assert all(file.bytes > 0 and len(bytes.fromhex(file.git_sha1)) == 20 for file in files)


def test_the_lists_are_shipped_with_the_package() -> None:
    project = tomllib.loads((HERE.parents[1] / "pyproject.toml").read_text("utf-8"))
    assert "**/*.csv" in project["tool"]["setuptools"]["package-data"]["paperlib"]


@pytest.mark.parametrize("name", LISTS)
def test_hashes_are_those_of_git(name: str, shared: Callable[..., Path]) -> None:
    home = shared("open", name.partition("_")[0])
    paths = [home / file.path.removeprefix("data/").removeprefix("eye/") for file in listed(name)]
    command = ["git", "hash-object", "--no-filters", "--stdin-paths"]
    told = subprocess.run(command, input="\n".join(map(str, paths)), text=True, capture_output=True, check=True).stdout
    assert told.split() == [file.git_sha1 for file in listed(name)]
    assert [path.stat().st_size for path in paths] == [file.bytes for file in listed(name)]
