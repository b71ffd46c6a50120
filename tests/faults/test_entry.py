"""`run_all.sh` on machines that are not in order: every environment here is a fake, nothing is downloaded."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COPIED = ("run_all.sh", "make_environment.py", "requirements.lock", "environment.yml", "pyproject.toml", ".ci/run")
TOOLS = "bash env cat cp rm mkdir mktemp cmp dirname readlink touch tail tr sed tee grep flock perl sleep date".split()
INDEX = "https://download.pytorch.org/whl/cpu"

MAKER = """
import io, os, runpy, shutil, sys, types, urllib.request


def urlopen(url, timeout):
    with open(os.environ["FAKE_LOG"], "a") as log:
        log.write("index\\n")
    assert url.startswith(ADDRESS) and timeout <= 10
    if os.environ.get("FAKE_INDEX") != "up":
        raise OSError("no route to host")
    return io.BytesIO()


urllib.request.urlopen = urlopen
shutil.disk_usage = lambda path: types.SimpleNamespace(free=int(os.environ.get("FAKE_FREE_GB", 500)) * 1024**3)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
""".replace("ADDRESS", repr(INDEX))
"""`make_environment.py` in this very Python, with a network and a disk that are told by FAKE_INDEX and FAKE_FREE_GB."""

FAKE_PYTHON = """#!/usr/bin/env bash
# Stands for a Python: notes what it is asked for in $FAKE_LOG and keeps "installed" packages as a file of its prefix.
here=$(dirname "$0")/..
safe=no
[ "$1" != -P ] || { safe=yes; shift; }
case "$1 ${2:-}" in
"-c ") ;;
"-c import tomllib") exit TOO_OLD ;;
-c*) echo "No module named 'ensurepip'"; exit PROBE ;;
--version*) echo "Python VERSION" ;;
"-I "*)
    [ "$3" != make ] || exec REAL -I -c "$FAKE_MAKER" "${@:2}"
    [ -e "$here/installed" ] || { echo torch >&2; exit 1; } ;;
"-m venv")
    echo "venv" >>"$FAKE_LOG"
    mkdir -p "$3/bin" "$3/lib/python3.12/site-packages"
    cp "$0" "$3/bin/python" ;;
"-m pip")
    [ "$3" = uninstall ] && { echo "pip uninstall ${*: -1}" >>"$FAKE_LOG"; exit; }
    echo "pip ${*:3}" >>"$FAKE_LOG"
    [ "$3" = --version ] && exit
    [ "${*: -1}" = uv ] && exit "${FAKE_UV_BOOTSTRAP:-0}"
    [ -z "${FAKE_COMPLAINT:-}" ] || echo "$FAKE_COMPLAINT"
    [ "${FAKE_PIP:-0}" = 0 ] || exit "$FAKE_PIP"
    cp "${*: -1}" "$here/installed" ;;
"-m uv")
    case "$*" in *--torch-backend=cpu*) echo "uv cpu" ;; *) echo "uv" ;; esac >>"$FAKE_LOG"
    [ "${FAKE_UV:-0}" = 0 ] || exit "$FAKE_UV"
    sleep "${FAKE_SECONDS:-0}"
    cp "${*: -1}" "$here/installed" ;;
"-m ruff" | "-m mypy")
    echo "${*:2}" >>"$FAKE_LOG"
    [ "${*:2}" != "${FAKE_FINDING:-}" ] || exit 1 ;;
"-m paperlib" | "-m pytest")
    echo "$2" >>"$FAKE_LOG"
    echo "$2: ${*:3}"
    echo "prefix: $(CDPATH= cd -P "$here" && pwd)"
    echo "cwd: $PWD"
    echo "safe: $safe"
    echo "home: $HOME"
    echo "path: $PYTHONPATH"
    exit "${FAKE_STATUS:-0}" ;;
*) echo "unexpected: $*" >>"$FAKE_LOG"; exit 99 ;;
esac
"""

FAKE_CONDA = """#!/usr/bin/env bash
echo "conda $1 ${*: -2}" >>"$FAKE_LOG"
[ "${FAKE_CONDA:-0}" = 0 ] || exit "$FAKE_CONDA"
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/bin" "$2/lib/python3.12/site-packages"
cp "$(command -v python3)" "$2/bin/python"
"""

FAKE_NVIDIA_SMI = """#!/usr/bin/env bash
echo "nvidia-smi $*" >>"$FAKE_LOG"
echo "$FAKE_GPU"
"""


class Machine:
    """A copy of the entry files in a folder with blanks in its name, and a PATH that holds only what is put there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "a copy of it"
        self.bin = folder / "bin"
        self.home = folder / "home"
        self.elsewhere = folder / "elsewhere"
        self.calls = folder / "calls.log"
        for made in (self.root / ".ci", self.bin, self.home, self.elsewhere):
            made.mkdir(parents=True)
        for name in COPIED:
            shutil.copy(REPOSITORY / name, self.root / name)
        for tool in TOOLS:
            if found := shutil.which(tool):
                (self.bin / tool).symlink_to(found)
        self.python()

    def program(self, name: str, text: str, folder: Path | None = None) -> Path:
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def python(self, name: str = "python3", version: str = "3.12.4", probe: int = 0, folder: Path | None = None) -> Path:
        text = FAKE_PYTHON.replace("VERSION", version).replace("PROBE", str(probe)).replace("REAL", sys.executable)
        text = text.replace("TOO_OLD", str(int(probe == 3)))
        return self.program(name, text, folder)

    def environment(self, folder: Path, complete: bool = True) -> Path:
        self.python("python", folder=folder / "bin")
        (folder / "lib" / "python3.12" / "site-packages").mkdir(parents=True)
        if complete:
            (folder / "installed").touch()
        return folder

    def variables(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.bin), "HOME": str(self.home), "FAKE_LOG": str(self.calls), "FAKE_MAKER": MAKER, **more}

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self.root / "run_all.sh"), *arguments],
            cwd=self.elsewhere,
            env=self.variables(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments, **more)
        out, err = process.communicate(timeout=60)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def called(self) -> list[str]:
        """The calls since the last time this was asked."""
        calls = self.calls.read_text().splitlines() if self.calls.exists() else []
        self.calls.unlink(missing_ok=True)
        return calls

    def stamped(self, prefix: str = ".venv") -> bool:
        stamp = self.root / prefix / ".paperlib.lock"
        return stamp.exists() and stamp.read_bytes() == (self.root / "requirements.lock").read_bytes()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def ready(machine: Machine) -> Machine:
    """A machine with a complete environment."""
    machine.environment(machine.root / ".venv")
    return machine


def told(run: "subprocess.CompletedProcess[str]", *parts: str) -> None:
    """The run failed with one sentence on stderr, nothing on stdout, and the sentence holds `parts`."""
    assert run.returncode not in (0, 99)
    assert run.stdout == ""
    sentence = run.stderr.splitlines()[-1]
    assert run.stderr.count("run_all.sh: ") == len(run.stderr.splitlines()), run.stderr
    for part in parts:
        assert part in sentence
    assert "Traceback" not in run.stderr


MADE = ["index", "venv", "pip --version", "pip install uv", "uv"]
COMPLETED = ["index", "pip --version", "pip uninstall triton", "pip install uv", "uv"]
CHECKS = ["ruff check .", "ruff format --check .", "mypy"]


# ---------------------------------------------------------------------------------------------- the usual starts
def test_help_needs_no_environment(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    before = sorted(machine.root.rglob("*"))
    for word in ("--help", "-h", "help"):
        run = machine.run(word)
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("Usage: ./run_all.sh")
    assert sorted(machine.root.rglob("*")) == before


def test_first_start_makes_the_environment_and_the_second_only_uses_it(machine: Machine) -> None:
    first = machine.run()
    assert first.returncode == 0, first.stderr
    assert first.stdout.splitlines()[:2] == ["paperlib: run", f"prefix: {machine.root}/.venv"]
    assert machine.called() == [*MADE, "paperlib"]
    assert machine.stamped()
    (link,) = (machine.root / ".venv").rglob("paperlib.pth")
    assert (link.parent / link.read_text().strip()).resolve() == machine.root
    second = machine.run()
    assert (second.returncode, second.stderr) == (0, "")
    assert machine.called() == ["paperlib"]


@pytest.mark.parametrize(
    ("arguments", "handed_over"),
    [
        ([], "run"),
        (["--profile", "demo"], "run --profile demo"),
        (["run", "--only", "03a"], "run --only 03a"),
        (["--set", "name=a value"], "run --set name=a value"),
        (["table", "1", "--json"], "table 1 --json"),
        (["table", "--help"], "table --help"),
        (["bench"], "bench"),
        (["data", "fetch", "sacid"], "data fetch sacid"),
    ],
)
def test_verbs_are_handed_over(ready: Machine, arguments: list[str], handed_over: str) -> None:
    assert ready.run(*arguments).stdout.splitlines()[0] == f"paperlib: {handed_over}"


def test_status_and_folder_of_the_caller_are_kept(ready: Machine) -> None:
    run = ready.run("claims", FAKE_STATUS="7")
    assert run.returncode == 7
    assert f"cwd: {ready.elsewhere}" in run.stdout
    assert "safe: yes" in run.stdout, "no file of that folder takes the place of a module of Python's"
    assert f"path: {ready.root}" in run.stdout


def test_a_link_to_the_script_finds_the_repository(ready: Machine) -> None:
    link = ready.elsewhere / "paper"
    link.symlink_to(ready.root / "run_all.sh")
    run = subprocess.run([link, "bench"], env=ready.variables(), capture_output=True, text=True)
    assert f"prefix: {ready.root}/.venv" in run.stdout


SIDE_BY_SIDE = "-n logical --maxprocesses 4 --dist loadfile"


@pytest.mark.parametrize(
    ("arguments", "first", "pytest_arguments"),
    [
        ([], [*CHECKS, "paperlib"], f"tests notebooks -m not slow {SIDE_BY_SIDE}"),
        (["-x", "-q"], [*CHECKS, "paperlib"], f"tests notebooks -m not slow {SIDE_BY_SIDE} -x -q"),
        (["--slow", "-x"], [*CHECKS, "paperlib"], f"tests notebooks {SIDE_BY_SIDE} -x"),
        (["--quick", "-x"], [], f"tests/unit tests/property -m not slow and not medium {SIDE_BY_SIDE} -x"),
        (["tests/unit", "-k", "ssim"], [], "tests/unit -k ssim"),
        (["tests/notebooks/test_tolerance.py"], [], "tests/notebooks/test_tolerance.py"),
        (["notebooks/00_start_here.ipynb"], ["paperlib"], "notebooks/00_start_here.ipynb"),
        (["tests/unit", "notebooks"], ["paperlib"], "tests/unit notebooks"),
    ],
)
def test_tests_are_one_pytest_session(ready: Machine, arguments: list[str], first: list[str], pytest_arguments: str) -> None:
    run = ready.run("test", *arguments)
    assert ready.called() == [*first, "pytest"]
    prepared = "paperlib" in first
    assert ("paperlib: prepare --profile demo" in run.stdout) == prepared
    assert f"pytest: --nbval --nbval-current-env {pytest_arguments}\n" in run.stdout
    assert run.stdout.count(f"cwd: {ready.root}\n") == 1 + prepared


def test_failed_tests_and_failed_preparation_give_their_status(ready: Machine) -> None:
    assert ready.run("test", "tests", FAKE_STATUS="1").returncode == 1
    ready.called()
    assert ready.run("test", FAKE_STATUS="2").returncode == 2
    assert ready.called() == [*CHECKS, "paperlib"]


@pytest.mark.parametrize("check", CHECKS)
def test_a_finding_in_the_code_is_told_and_no_test_is_run(ready: Machine, check: str) -> None:
    told(ready.run("test", FAKE_FINDING=check), f"no test was run, because the code did not pass: {check};")
    assert ready.called() == CHECKS
    assert ready.run("test", "tests", FAKE_FINDING=check).returncode == 0


@pytest.mark.parametrize("closed", ["<&-", "<&- 2>&-", "<&- >&-"])
def test_closed_streams(machine: Machine, closed: str) -> None:
    command = f'"{machine.root}/run_all.sh" bench {closed}'
    run = subprocess.run(["bash", "-c", command], env=machine.variables(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert machine.called() == [*MADE, "paperlib"]
    assert ("paperlib: bench" in run.stdout) == (">&- " not in f"{closed} ".replace("2>&- ", ""))


@pytest.mark.parametrize("home", ["/nowhere/at/all", ""])
def test_home_that_cannot_be_written(machine: Machine, home: str) -> None:
    run = machine.run("bench", HOME=home)
    assert run.returncode == 0, run.stderr
    assert f"home: {machine.root}/results/.cache/home" in run.stdout


def test_writable_home_is_left_alone(machine: Machine) -> None:
    assert f"home: {machine.home}" in machine.run("bench").stdout


# ----------------------------------------------------------------------------------- environments that are there
@pytest.mark.parametrize("variable", ["VIRTUAL_ENV", "CONDA_PREFIX"])
def test_active_environment_that_satisfies_is_used_as_it_is(machine: Machine, variable: str) -> None:
    active = machine.environment(machine.elsewhere / "active")
    before = sorted(active.rglob("*"))
    run = machine.run(**{variable: str(active)})
    assert f"prefix: {active}" in run.stdout
    assert machine.called() == ["paperlib"]
    assert sorted(active.rglob("*")) == before
    assert not (machine.root / ".venv").exists()


def test_active_environment_that_lacks_something_is_left_alone(machine: Machine) -> None:
    active = machine.environment(machine.elsewhere / "active", complete=False)
    run = machine.run(VIRTUAL_ENV=str(active))
    assert f"prefix: {machine.root}/.venv" in run.stdout
    assert not (active / "installed").exists()


def test_foreign_venv_is_used_where_it_satisfies(ready: Machine) -> None:
    assert ready.run().stderr == ""
    assert ready.called() == ["paperlib"]


def test_foreign_venv_that_lacks_something_is_completed_in_place(machine: Machine) -> None:
    kept = machine.environment(machine.root / ".venv", complete=False) / "lib" / "theirs.py"
    kept.touch()
    assert machine.run().returncode == 0
    assert machine.called() == [*COMPLETED, "paperlib"]
    assert kept.exists() and machine.stamped()


def test_foreign_venv_of_an_old_python_is_not_deleted(machine: Machine) -> None:
    machine.environment(machine.root / ".venv", complete=False)
    machine.python("python", "3.9.2", probe=3, folder=machine.root / ".venv" / "bin")
    told(machine.run(), ".venv holds Python 3.9.2", "3.11", "remove .venv")
    assert (machine.root / ".venv" / "bin" / "python").exists()


def test_changed_lock_updates_in_place(machine: Machine) -> None:
    machine.run()
    machine.called()
    with (machine.root / "requirements.lock").open("a") as lock:
        lock.write("# remade\n")
    assert machine.run().returncode == 0
    assert machine.called() == [*COMPLETED, "paperlib"]
    assert machine.stamped()


def test_moved_repository_keeps_its_environment(machine: Machine) -> None:
    machine.run()
    machine.called()
    machine.root = machine.root.rename(machine.root.with_name("moved here"))
    assert f"prefix: {machine.root}/.venv" in machine.run().stdout
    assert machine.called() == ["paperlib"]


def test_chosen_python_makes_the_environment(machine: Machine) -> None:
    chosen = machine.python("mine", folder=machine.elsewhere)
    machine.program("conda", FAKE_CONDA)
    (machine.bin / "python3").unlink()
    assert machine.run(PAPERLIB_PYTHON=str(chosen)).returncode == 0
    assert machine.called() == [*MADE, "paperlib"]


# ------------------------------------------------------------------------------------------------------- conda
CONDA_CALLS = ["conda create python>=3.11,<3.14 pip"]


@pytest.mark.parametrize("tool", ["conda", "mamba", "micromamba"])
def test_conda_is_preferred_where_it_is_installed(machine: Machine, tool: str) -> None:
    machine.program(tool, FAKE_CONDA)
    run = machine.run()
    assert f"prefix: {machine.root}/.conda" in run.stdout
    assert machine.called() == [*CONDA_CALLS, *MADE[:1], *MADE[2:], "paperlib"]
    assert machine.stamped(".conda")
    assert machine.run().stderr == ""
    assert machine.called() == ["paperlib"]


def test_failing_conda_leads_to_venv_unless_it_is_wanted(machine: Machine) -> None:
    machine.program("conda", FAKE_CONDA)
    told(machine.run(FAKE_CONDA="1", PAPERLIB_CONDA="1"), "conda", "install.log")
    assert machine.called() == CONDA_CALLS
    assert f"prefix: {machine.root}/.venv" in machine.run(FAKE_CONDA="1").stdout
    assert machine.called() == [*CONDA_CALLS, *MADE, "paperlib"]


def test_conda_can_be_switched_off(machine: Machine) -> None:
    machine.program("conda", FAKE_CONDA)
    machine.run(PAPERLIB_CONDA="0")
    assert machine.called() == [*MADE, "paperlib"]


# ---------------------------------------------------------------------------------------------------- failures
def test_old_python(machine: Machine) -> None:
    machine.python(version="3.8.10", probe=3)
    told(machine.run(), "Python 3.11 or newer", "is needed", "python3 is Python 3.8.10", "PAPERLIB_PYTHON")
    assert not (machine.root / ".venv").exists()


def test_no_python(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    told(machine.run(), "Python 3.11 or newer", "is needed")


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13"])
def test_newer_python_beside_an_old_one(machine: Machine, name: str) -> None:
    machine.python(version="3.8.10", probe=3)
    machine.python(name)
    assert machine.run().returncode == 0
    assert machine.called() == [*MADE, "paperlib"]


def test_python_that_does_not_start(machine: Machine) -> None:
    machine.program("python3", "#!/usr/bin/env bash\nexit 127\n")
    machine.python("python3.11")
    assert machine.run().returncode == 0


def test_no_venv_module(machine: Machine) -> None:
    machine.python(version="3.11.2", probe=4)
    told(machine.run(), "python3 is Python 3.11.2 (No module named 'ensurepip')", "with venv (python3-venv")


def test_chosen_python_is_missing(machine: Machine) -> None:
    told(machine.run(PAPERLIB_PYTHON="/no/such/python"), "PAPERLIB_PYTHON=/no/such/python")


def test_chosen_python_is_old(machine: Machine) -> None:
    chosen = machine.python("mine", "3.10.1", probe=3, folder=machine.elsewhere)
    told(machine.run(PAPERLIB_PYTHON=str(chosen)), "Python 3.11 or newer", "3.10.1")


@pytest.mark.parametrize("broken", ["FAKE_UV_BOOTSTRAP", "FAKE_UV"])
def test_plain_pip_takes_over_from_uv(machine: Machine, broken: str) -> None:
    run = machine.run(**{broken: "1"})
    assert run.returncode == 0, run.stderr
    calls = machine.called()
    assert calls[-2:] == [f"pip install --no-deps -r {machine.root}/.venv/wanted.txt", "paperlib"]
    assert machine.stamped()


def test_failed_install_names_the_log_and_is_repaired_by_the_next_start(machine: Machine) -> None:
    run = machine.run(FAKE_UV="1", FAKE_PIP="1", FAKE_COMPLAINT="no route to host")
    told(run, "could not be installed", f"{machine.root}/results/install.log")
    assert "no route to host" in (machine.root / "results" / "install.log").read_text()
    assert not machine.stamped()
    machine.called()
    assert machine.run().returncode == 0
    assert machine.called() == [*MADE, "paperlib"]


def test_lock_that_does_not_satisfy_the_project(machine: Machine) -> None:
    python = machine.bin / "python3"
    python.write_text(python.read_text().replace('cp "${*: -1}" "$here/installed"', "true"))
    told(machine.run(), "lacks torch", "requirements.lock")


def test_too_little_disk(machine: Machine) -> None:
    told(machine.run(FAKE_FREE_GB="3"), "12 GB", "3 GB", str(machine.root))
    assert machine.called() == ["index"]
    assert not (machine.root / ".venv").exists()


def test_disk_runs_full_while_installing(machine: Machine) -> None:
    run = machine.run(FAKE_UV="1", FAKE_PIP="1", FAKE_COMPLAINT="OSError: [Errno 28] No space left on device")
    told(run, "No space left on device", "the disk, 12 GB", "install.log")


def test_colon_in_the_path(machine: Machine) -> None:
    machine.root = machine.root.rename(machine.root.with_name("a:b"))
    told(machine.run(), "colon")


@pytest.mark.parametrize("folder_only", [True, False])
def test_half_made_environment_without_a_python_is_remade(machine: Machine, folder_only: bool) -> None:
    (machine.root / ".venv" / "bin").mkdir(parents=True)
    if not folder_only:
        (machine.root / ".venv" / "bin" / "python").symlink_to("/no/such/python")
    assert machine.run().returncode == 0
    assert machine.called() == [*MADE, "paperlib"]


def wait_for_call(machine: Machine, call: str) -> None:
    for _ in range(600):
        if machine.calls.exists() and call in machine.calls.read_text().splitlines():
            return
        time.sleep(0.02)
    pytest.fail(f"{call} was never called")


@pytest.mark.parametrize("flock", [True, False])
def test_killed_install_is_repaired(machine: Machine, flock: bool) -> None:
    if not flock:
        (machine.bin / "flock").unlink(missing_ok=True)
    process = machine.start(FAKE_SECONDS="30")
    wait_for_call(machine, "uv")
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    machine.called()
    (machine.root / ".venv" / "installed").touch()  # looks complete from outside, but was never finished
    assert machine.run().returncode == 0
    assert machine.called() == [*MADE, "paperlib"]
    assert machine.stamped()


@pytest.mark.parametrize("flock", [True, False])
def test_two_starts_at_once_install_once(machine: Machine, flock: bool) -> None:
    if not flock:
        (machine.bin / "flock").unlink(missing_ok=True)
    first = machine.start("bench", FAKE_SECONDS="0.5")
    wait_for_call(machine, "uv")
    second = machine.run("claims")
    out, _ = first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert "paperlib: bench" in out and "paperlib: claims" in second.stdout
    assert sorted(machine.called()) == sorted([*MADE, "paperlib", "paperlib"])


# --------------------------------------------------------------------------------------- the build of PyTorch
FOR_CPUS = [*MADE[:-1], "uv cpu"]


def installed(machine: Machine) -> list[str]:
    return (machine.root / ".venv" / "installed").read_text().splitlines()


def test_without_gpu_the_build_for_cpus_is_taken_where_its_index_answers(machine: Machine) -> None:
    run = machine.run(FAKE_INDEX="up")
    assert machine.called() == [*FOR_CPUS, "paperlib"]
    assert "(once, a minute or two; log" in run.stderr
    assert "PyTorch for CPUs alone: about 3.5 GB with all packages." in run.stderr
    assert machine.stamped()
    assert machine.run().stderr == "", "an environment that is there needs no index"
    assert machine.called() == ["paperlib"]


def test_versions_of_the_build_for_cpus_are_those_of_the_lock(machine: Machine) -> None:
    machine.run(FAKE_INDEX="up")
    lock = (machine.root / "requirements.lock").read_text().splitlines()
    pinned = [line.replace("+cpu", "") for line in installed(machine)]
    assert pinned == [line for line in lock if line in pinned]
    left_out = {line.partition("==")[0] for line in lock if line not in pinned}
    assert {name for name in left_out if not name.startswith(("nvidia-", "cuda-"))} == {"triton"}
    assert [line.partition("==")[0] for line in installed(machine) if "+cpu" in line] == ["torch", "torchvision"]


def test_without_gpu_and_index_the_lock_is_taken_as_it_is(machine: Machine) -> None:
    run = machine.run()
    assert machine.called() == [*MADE, "paperlib"]
    assert f"with CUDA: about 8 GB with all packages; the build for CPUs is smaller, but {INDEX} cannot" in run.stderr
    assert installed(machine) == (machine.root / "requirements.lock").read_text().splitlines()


@pytest.mark.parametrize(
    ("listed", "made"), [("GPU 0: NVIDIA (UUID: GPU-1)", MADE[1:]), ("No devices were found", FOR_CPUS), ("", FOR_CPUS)]
)
def test_cuda_is_for_machines_with_a_gpu(machine: Machine, listed: str, made: list[str]) -> None:
    machine.program("nvidia-smi", FAKE_NVIDIA_SMI)
    run = machine.run(FAKE_GPU=listed, FAKE_INDEX="up")
    assert machine.called() == ["nvidia-smi -L", *made, "paperlib"]
    assert ("for the NVIDIA GPU" in run.stderr) == (made != FOR_CPUS)


@pytest.mark.parametrize(("build", "uv", "size"), [("cpu", "uv cpu", "3.5 GB"), ("cuda", "uv", "8 GB")])
@pytest.mark.parametrize("index", ["up", "down"])
def test_build_asked_for_is_taken_whatever_is_there(machine: Machine, build: str, uv: str, size: str, index: str) -> None:
    machine.program("nvidia-smi", FAKE_NVIDIA_SMI)
    run = machine.run(PAPERLIB_TORCH=build, FAKE_GPU="GPU 0: NVIDIA", FAKE_INDEX=index)
    assert machine.called() == [*MADE[1:-1], uv, "paperlib"]
    assert f"about {size} with all packages." in run.stderr
    assert machine.run(PAPERLIB_TORCH=build).stderr == machine.run(PAPERLIB_TORCH="auto").stderr == ""


def test_another_build_replaces_the_one_that_is_there(machine: Machine) -> None:
    for build, uv in (("cuda", "uv"), ("cpu", "uv cpu"), ("cuda", "uv")):
        machine.run(PAPERLIB_TORCH=build)
        calls = machine.called()
        assert calls[-2:] == [uv, "paperlib"]
    assert calls[:-1] == COMPLETED[1:]


def test_build_for_cpus_asks_for_less_disk(machine: Machine) -> None:
    told(machine.run(FAKE_INDEX="up", FAKE_FREE_GB="5"), "needs 6 GB")
    told(machine.run(FAKE_FREE_GB="7"), "needs 12 GB")
    assert machine.run(FAKE_INDEX="up", FAKE_FREE_GB="7").returncode == 0


def test_plain_pip_takes_the_build_for_cpus_too(machine: Machine) -> None:
    machine.run(FAKE_UV="1", PAPERLIB_TORCH="cpu")
    assert machine.called()[-2] == f"pip install --no-deps --extra-index-url {INDEX} -r {machine.root}/.venv/wanted.txt"
    assert any(line.startswith("torch==") and line.endswith("+cpu") for line in installed(machine))


@pytest.mark.parametrize("value", ["gpu", "CPU", "cpu cuda"])
def test_unknown_build(ready: Machine, value: str) -> None:
    run = ready.run(PAPERLIB_TORCH=value)
    told(run, f"PAPERLIB_TORCH is auto, cpu or cuda, not '{value}'.")
    assert run.returncode == 2 and ready.called() == []


# ---------------------------------------------------------------------------------------- the checks in Python
def real_python(machine: Machine, dependency: str) -> "subprocess.CompletedProcess[str]":
    """Start with this very interpreter, in a project that asks for `dependency` alone, and no disk to install on."""
    (machine.root / "pyproject.toml").write_text(
        f'[project]\ndependencies = ["{dependency}"]\n[project.optional-dependencies]\ntest = ["absent-package"]\n'
    )
    (machine.root / "paperlib").mkdir()
    (machine.root / "paperlib" / "__init__.py").touch()
    (machine.root / "paperlib" / "__main__.py").write_text("import sys\nprint(sys.argv[1:])\n")
    with_fakes = f'[ "$3" != make ] || exec {sys.executable} -I -c "$FAKE_MAKER" "${{@:2}}"'
    machine.program("real", f'#!/usr/bin/env bash\n{with_fakes}\nexec {sys.executable} "$@"\n')
    return machine.run("bench", PAPERLIB_PYTHON=str(machine.bin / "real"), FAKE_FREE_GB="0")


@pytest.mark.parametrize("dependency", ["packaging", "packaging>=20", "absent-package; sys_platform == 'never'"])
def test_real_python_that_satisfies(machine: Machine, dependency: str) -> None:
    run = real_python(machine, dependency)
    assert (run.stdout, run.stderr) == ("['bench']\n", "")


@pytest.mark.parametrize("dependency", ["packaging>=99999", "absent-package"])
def test_real_python_that_lacks_something(machine: Machine, dependency: str) -> None:
    told(real_python(machine, dependency), "12 GB")


def test_tests_ask_for_the_test_packages_too(machine: Machine) -> None:
    real_python(machine, "packaging")
    told(machine.run("test", PAPERLIB_PYTHON=str(machine.bin / "real"), FAKE_FREE_GB="0"), "12 GB")


# --------------------------------------------------------------------------------------------------- .ci/run
RUN_ALL = """#!/usr/bin/env bash
echo "$*" >>"$FAKE_LOG"
case $* in
test*) echo 'noise in 3s'; echo "$TOTALS"; exit "${TESTS:-0}" ;;
*rehearsal) exit "${REHEARSAL:-0}" ;;
*) echo 'summary of the demo'; exit "${DEMO:-0}" ;;
esac
"""


def ci(machine: Machine, totals: str = "== 1 passed in 1.00s ==", **more: str) -> "subprocess.CompletedProcess[str]":
    """`.ci/run` from another folder, with a `run_all.sh` that prints these totals."""
    machine.program("run_all.sh", RUN_ALL, machine.root)
    variables = machine.variables(TOTALS=totals, **more)
    command = machine.root / ".ci" / "run"
    return subprocess.run([command], cwd=machine.elsewhere, env=variables, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("totals", "last"),
    [
        ("===== 12 passed, 3 skipped in 4.56s =====", "12 passed, 3 skipped in 4.56s"),
        ("== 1 failed, 12 passed in 400.12s (0:06:40) ==", "1 failed, 12 passed in 400.12s (0:06:40)"),
        ("12 passed in 4.56s", "12 passed in 4.56s"),
        ("ERROR: refused", "no test totals: pytest did not get to its end"),
    ],
)
def test_ci_prints_the_totals_last(machine: Machine, totals: str, last: str) -> None:
    run = ci(machine, totals)
    assert run.returncode == 0
    assert run.stdout.splitlines()[-1] == last
    assert [line.partition(":")[0] for line in run.stdout.splitlines()[-4:-1]] == [
        "./run_all.sh test --slow",
        "./run_all.sh --profile demo",
        "./run_all.sh --profile rehearsal",
    ]
    assert [call.split()[0] for call in machine.called()] == ["test", "--profile", "--profile"]


@pytest.mark.parametrize("failing", ["TESTS", "DEMO", "REHEARSAL"])
def test_ci_fails_when_any_part_fails(machine: Machine, failing: str) -> None:
    run = ci(machine, **{failing: "5"})
    assert run.returncode == 1
    assert run.stdout.splitlines()[-1] == "1 passed in 1.00s"
    assert len(machine.called()) == 3


APT_GET = """#!/usr/bin/env bash
echo "apt-get $*" >>"$FAKE_LOG"
echo 'E: no route to the archive' >&2
exit "${FAKE_APT:-0}"
"""


@pytest.mark.parametrize("status", ["0", "100"])
@pytest.mark.parametrize("there", [True, False])
def test_ci_gets_a_browser_where_it_can_and_goes_on_without(machine: Machine, there: bool, status: str) -> None:
    machine.program("apt-get", APT_GET)
    if there:
        machine.program("chromium-browser", "#!/bin/sh")
    run = ci(machine, FAKE_APT=status)
    assert run.returncode == 0
    assert run.stdout.splitlines()[-1] == "1 passed in 1.00s"
    asked = [call for call in machine.called() if call.startswith("apt-get")]
    if there:
        assert asked == [] and "no browser" not in run.stderr
    elif os.geteuid() == 0:
        assert asked[0].endswith("update")
        assert (len(asked) == 2 and asked[1].endswith("chromium")) if status == "0" else len(asked) == 1
        assert ("no route to the archive" in run.stderr) == (status != "0")
    else:
        assert asked == [] and "no browser" in run.stderr
