"""What `run_all.sh` asks about Python environments: what one lacks, and to make one. Needs Python 3.11 and nothing else."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
import urllib.request
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
LOG = ROOT / "results" / "install.log"
INDEX = "https://download.pytorch.org/whl/cpu"
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
OF_A_BUILD = re.compile(r"^((?:cuda|nvidia)-[\w-]+|torch|torchvision|triton)==", re.MULTILINE)
BUILDS = {
    "cpu": ("for CPUs alone: about 3.5 GB with all packages", "a minute or two", 6),
    "cuda": ("as locked, on Linux with CUDA: about 8 GB with all packages", "a few minutes", 12),
}
"""What it is, how long it takes, and how many GB of free disk it is made in."""


def fail(sentence: str) -> NoReturn:
    sys.exit(f"run_all.sh: {sentence}")


def lacking(verb: str) -> str:
    """The first requirement of pyproject.toml that this Python does not satisfy."""
    try:
        from packaging.requirements import Requirement
    except ImportError:
        return "packaging"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in project["dependencies"] + (project["optional-dependencies"]["test"] if verb == "test" else []):
        wanted = Requirement(text)
        if wanted.marker is None or wanted.marker.evaluate():
            try:
                if not wanted.specifier.contains(version(wanted.name), prereleases=True):
                    return text
            except PackageNotFoundError:
                return text
    return ""


def pins(build: str) -> str:
    """The lock; for CPUs without what CUDA needs, and with versions that no other build of PyTorch has."""
    if build == "cuda":
        return LOCK
    lines = [line for line in LOCK.splitlines() if line.startswith("torch") or not OF_A_BUILD.match(line)]
    return re.sub(r"^(torch|torchvision)==[^\s;]+", r"\g<0>+cpu", "\n".join(lines) + "\n", flags=re.MULTILINE)


def choose_build() -> tuple[str, str]:
    """`cpu` or `cuda`, and why it is not the smaller one."""
    asked = os.environ["PAPERLIB_TORCH"]
    if asked != "auto":
        return asked, ""
    if shutil.which("nvidia-smi"):
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
        if listed.stdout.startswith("GPU"):
            return "cuda", ", for the NVIDIA GPU"
    try:
        urllib.request.urlopen(f"{INDEX}/torch/", timeout=5).close()
    except Exception:  # network, proxy, certificate: whatever it is, uv would not come through either
        return "cuda", f"; the build for CPUs is smaller, but {INDEX} cannot be reached"
    return "cpu", ""


def make(prefix: Path, base: str) -> None:
    """Make `prefix` with the Python `base`, or complete it where `base` is its own."""
    python, stamp = str(prefix / "bin" / "python"), prefix / ".paperlib.lock"
    completing = base == python and not (stamp.exists() and not stamp.stat().st_size)
    os.environ |= {"PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    build, why = choose_build()
    size, time, needed = BUILDS[build]

    def run(*command: str) -> bool:
        with LOG.open("a") as log:
            return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log).returncode == 0

    def give_up(sentence: str) -> NoReturn:
        last = LOG.read_text(errors="replace").strip().rpartition("\n")[2]
        fail(f"{sentence}: {last} (log: {LOG}). Check the network and the disk, {needed} GB, and run again.")

    free = shutil.disk_usage(ROOT).free // 1024**3
    if not completing and free < needed:
        fail(
            f"the environment needs {needed} GB of free disk and {ROOT} has {free} GB: "
            "make room there, or activate an environment that satisfies pyproject.toml."
        )
    what = "completing" if completing else "making"
    print(f"run_all.sh: {what} the environment in {prefix.name} (once, {time}; log: {LOG}).", file=sys.stderr)
    print(f"run_all.sh: PyTorch {size}{why}.", file=sys.stderr)

    if base != python:
        shutil.rmtree(prefix, ignore_errors=True)
    prefix.mkdir(exist_ok=True)
    stamp.write_text("")  # empty until the end, so that a killed installation is recognised
    if base != python and not run(base, "-m", "venv", str(prefix)):
        give_up(f"{base} -m venv failed")
    if not (run(python, "-m", "pip", "--version") or run(python, "-m", "ensurepip")):
        give_up(f"pip could not be set up in {prefix.name}")
    if completing:  # both builds satisfy the same pin
        run(python, "-m", "pip", "uninstall", "--yes", *OF_A_BUILD.findall(LOCK))
    wanted = prefix / "wanted.txt"
    wanted.write_text(pins(build), encoding="utf-8")
    backend, indexes = (["--torch-backend=cpu"], ["--extra-index-url", INDEX]) if build == "cpu" else ([], [])
    uv = [python, "-m", "uv", "pip", "install", "--python", python, "--no-deps", "--compile-bytecode", *backend]
    if not (run(python, "-m", "pip", "install", "uv") and run(*uv, "-r", str(wanted))):
        print("run_all.sh: uv did not succeed; trying plain pip, which takes longer.", file=sys.stderr)
        if not run(python, "-m", "pip", "install", "--no-deps", *indexes, "-r", str(wanted)):
            give_up("the packages of requirements.lock could not be installed")
    wanted.unlink()

    check = subprocess.run([python, "-I", __file__, "lacking", "run"], stderr=subprocess.PIPE, text=True)
    if check.returncode:
        fail(f"{prefix} was made but lacks {check.stderr.strip()}: remake requirements.lock from pyproject.toml.")
    for packages in prefix.glob("lib/python3*/site-packages"):
        (packages / "paperlib.pth").write_text("../../../..\n")  # this repository, seen from there: survives a move
    (prefix / ".paperlib.torch").write_text(f"{build}\n")
    stamp.write_text(LOCK, encoding="utf-8")


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.argv[1] == "lacking":
        sys.exit(lacking(sys.argv[2]) or 0)
    make(Path(sys.argv[2]), sys.argv[3])
