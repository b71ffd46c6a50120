"""One list of versions: pyproject.toml holds ranges, requirements.lock pins, environment.yml points at the lock."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import make_environment

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
ENVIRONMENT = (REPOSITORY / "environment.yml").read_text(encoding="utf-8")

PINS = [Requirement(line) for line in LOCK.splitlines() if line and not line.lstrip().startswith("#")]
WANTED = [
    Requirement(text)
    for group in (PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values())
    for text in group
]
PYTHONS = ("3.11", "3.12", "3.13")

OUR_HIDDEN_FOLDERS = {".ci", ".github"}
NOT_OURS = {"results", "__pycache__", "build", "dist"}
MACHINE_PATHS = re.compile(
    r"(?<![\w.~-])/(?:root|home/[\w.-]+|Users/[\w.-]+)/"
    r"|[A-Za-z]:\\{1,2}Users\\"
    r"|\bfile:/{2}"
)


def marker_environment(python: str, platform: str) -> dict[str, str]:
    system = {"linux": "Linux", "darwin": "Darwin"}[platform]
    return {
        "python_version": python,
        "python_full_version": f"{python}.4",
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": "x86_64" if platform == "linux" else "arm64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_lock_pins_every_dependency_once_within_its_range(python: str, platform: str) -> None:
    environment = marker_environment(python, platform)
    pinned: dict[str, list[str]] = {}
    for pin in PINS:
        if pin.marker is None or pin.marker.evaluate(environment):
            (exact,) = pin.specifier
            assert exact.operator == "==", f"{pin} is not pinned"
            pinned.setdefault(canonicalize_name(pin.name), []).append(exact.version)
    twice = {name: versions for name, versions in pinned.items() if len(versions) > 1}
    assert not twice
    for wanted in WANTED:
        if wanted.marker is None or wanted.marker.evaluate(environment):
            (version,) = pinned.get(canonicalize_name(wanted.name), ["no version"])
            assert version != "no version" and version in wanted.specifier, f"{wanted}, but the lock has {version}"


def test_lock_names_no_place_to_get_things_from() -> None:
    assert not re.search(r"https?:|\bfile:| @ |--|^\s*[./]", LOCK, re.MULTILINE)


def test_build_for_cpus_leaves_out_what_only_cuda_needs() -> None:
    """By the comments of the lock, which say for each package what needs it."""
    needed_by: dict[str, set[str]] = {}
    for line in LOCK.splitlines():
        if not line.lstrip().startswith("#"):
            name = line.partition("==")[0]
        needed_by.setdefault(name, set()).update(re.findall(r"^\s+#\s+(?:via )?(?!via$)([\w.-]+)", line))
    kept = {line.partition("==")[0] for line in make_environment.pins("cpu").splitlines() if "==" in line}
    left_out = needed_by.keys() - kept
    assert len(left_out) > 15
    assert {name for name in left_out if not needed_by[name] <= left_out | {"torch"}} == set()
    assert {name for name in kept if needed_by[name] <= left_out} == set()


def test_pins_of_the_build_for_cpus_are_those_of_the_lock_and_of_no_other_build() -> None:
    for name in ("torch", "torchvision"):
        (locked,) = (pin.specifier for pin in PINS if pin.name == name)
        (text,) = re.findall(rf"^{name}==.+$", make_environment.pins("cpu"), re.MULTILINE)
        (version,) = (pin.version for pin in Requirement(text).specifier)
        assert version.endswith("+cpu") and version in locked
        assert version.removesuffix("+cpu") not in Requirement(text).specifier


def test_lock_leaves_out_what_the_project_excludes() -> None:
    """opencv-python needs libGL and X11 and overwrites opencv-python-headless, which every server can load."""
    excluded = PROJECT["tool"]["uv"]["exclude-dependencies"]
    assert "opencv-python" in excluded
    assert not {canonicalize_name(pin.name) for pin in PINS} & set(excluded)


def test_environment_yml_names_an_allowed_python_and_the_lock() -> None:
    (python,) = re.findall(r"^  - python (.+)$", ENVIRONMENT, re.MULTILINE)
    allowed = Requirement(f"python {python}").specifier
    for version in PYTHONS:
        assert f"{version}.4" in allowed
        assert f"{version}.4" in Requirement(f"python {PROJECT['project']['requires-python']}").specifier
    assert "3.10.14" not in allowed
    entries = re.findall(r"^ +- (.+)$", ENVIRONMENT.partition("dependencies:")[2], re.MULTILINE)
    assert entries == [f"python {python}", "pip", "pip:", "-r requirements.lock"]


def our_files(folder: Path = REPOSITORY) -> Iterator[Path]:
    """The files of the repository, without environments, caches and results."""
    for path in sorted(folder.iterdir()):
        if path.is_file():
            yield path
        elif path.name in OUR_HIDDEN_FOLDERS or not (path.name.startswith(".") or path.name in NOT_OURS):
            yield from our_files(path)


def test_no_file_names_a_path_of_some_machine() -> None:
    own = [place for place in (str(REPOSITORY), str(Path.home())) if place.count("/") > 1]
    named = []
    for path in our_files():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found = MACHINE_PATHS.search(text)
        if found or any(place + "/" in text for place in own):
            named.append(f"{path.relative_to(REPOSITORY)}: {found[0] if found else 'a path of this machine'}")
    assert not named, "\n".join(named)


@pytest.mark.parametrize("text", ["|root|x", "open('|home|ann|x')", "|Users|bob|x", "C:**Users**x", "file:|||x"])
def test_the_reader_of_paths_sees_them(text: str) -> None:
    assert MACHINE_PATHS.search(text.replace("|", "/").replace("*", "\\"))


def test_scripts_can_be_run() -> None:
    for script in (REPOSITORY / "run_all.sh", REPOSITORY / ".ci" / "run"):
        assert script.stat().st_mode & 0o111, f"{script.name} is not executable"
        assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
