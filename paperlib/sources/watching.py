"""Which files a network of the user is made of: it is built once, in a process of its own, and every file that Python opens
meanwhile is noted, as is every module that it imports.

    files_behind("mynet:model", [folder])     # mynet.py, layers.py that it imports, weights.pth that it loads

Files of Python, of installed packages and of this companion are not among them. What is loaded past Python's `open`, by a
library of its own, is seen only where the module names it; what comes from a network is not seen.
"""

import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from paperlib.errors import PaperlibError
from paperlib.paths import REPOSITORY

_LONGEST = 600.0
"""Seconds that building a network may take."""
_LONGEST_NAME = 256
_NOT_OF_THE_USER = ("/dev", "/proc", "/sys", "/etc", "/usr/share", "/usr/lib")


def files_behind(model: str, folders: Sequence[str]) -> list[Path]:
    """The files that decide a network, sorted.

    Args:
        model: `package.module:factory`.
        folders: where modules of the user are looked for besides Python's own places.

    Raises:
        PaperlibError: the network cannot be built.
    """
    path = os.pathsep.join(dict.fromkeys(one for one in (str(REPOSITORY), *sys.path) if one))
    child = [sys.executable, "-P", "-c", f"from paperlib.sources import watching; watching.tell({model!r})"]
    try:
        run = subprocess.run(
            child, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, timeout=_LONGEST
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise PaperlibError(f"--model {model}: building it took more than {_LONGEST:.0f} s") from error
    if run.returncode:
        last = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise PaperlibError(f"--model {model}: it cannot be built: {last}")
    return [Path(name) for name in json.loads(run.stdout.splitlines()[-1])]


def tell(model: str) -> None:
    """Print the files behind a network as a list in JSON, in the last line; run in a process that ends then."""
    opened: set[str] = set()

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        reads = event == "open" and not str(arguments[1] or "r").startswith(("w", "x", "a"))
        if reads and isinstance(arguments[0], str | bytes):
            opened.add(os.path.abspath(os.fsdecode(arguments[0])))

    import torch  # noqa: F401  # its own files are opened before anything is noted

    sys.addaudithook(note)
    module, _, factory = model.partition(":")
    with redirect_stdout(sys.stderr):
        getattr(importlib.import_module(module), factory)()
    seen = opened.copy()
    imported = [getattr(one, "__file__", None) for one in list(sys.modules.values())]
    own = {Path(name) for name in (*imported, *seen) if name and _of_the_user(name)}
    named = {file for one in own if one.suffix == ".py" for file in _named_in(one)}
    files = sorted(file for file in own | named if file.suffix != ".pyc")
    print(json.dumps([str(file) for file in files]))


def _of_the_user(name: str) -> bool:
    path = Path(name)
    if not path.is_absolute() or not path.is_file():  # some modules of torch have made-up places
        return False
    if any(path.is_relative_to(one) for one in _NOT_OF_THE_USER):
        return False
    if "site-packages" in path.parts or "dist-packages" in path.parts or path.is_relative_to(REPOSITORY / "paperlib"):
        return False
    return not any(path.is_relative_to(root) for root in {sys.prefix, sys.base_prefix} - {"/", "/usr"})


def _named_in(module: Path) -> Iterator[Path]:
    """Files that stand by name in a module: beside it, or where the command was started."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and 0 < len(node.value) < _LONGEST_NAME:
            for folder in (module.parent, Path.cwd()):
                with suppress(OSError, ValueError):
                    if (folder / node.value).is_file():
                        yield (folder / node.value).resolve()
