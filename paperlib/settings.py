"""What the user settles for a whole process: folders, models, workers, the cluster. The one reader of `PAPERLIB_*`.

The command line builds a `Settings` and puts it in use; worker processes get it pickled, kernels as their environment.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from paperlib.errors import PaperlibError

WHOLE = "whole"
"""An input size: that of each picture."""

SMALLEST = 16
"""Pixels of a side: no network sees anything in a smaller picture, and HalfImage's squares need some."""


@dataclass(frozen=True)
class Settings:
    """Each value with the variable that sets it; an empty variable counts as none. Folders are absolute.

    Args:
        results_root: `PAPERLIB_RESULTS`, the folder of all computed results; None: `results/` in the repository.
        figures_root: `PAPERLIB_FIGURES`, the folder of tables and figures; None: `figures/` in the repository for the
            demo, and beside the results for other profiles.
        data_root: `PAPERLIB_DATA_ROOT`, the folder of the data sets; None where there is none.
        weights_root: `PAPERLIB_WEIGHTS_ROOT`, the folder of weights; None: `weights/` in the data root.
        extent: `PAPERLIB_EXTENT`, how much of each set the profile `open` takes; empty: its own choice.
        input_size: `PAPERLIB_INPUT_SIZE`, size at which IQA networks see pictures, WIDTHxHEIGHT or `WHOLE`; empty: the
            profile's.
        models: `PAPERLIB_MODELS`, texts of `--model`, one a line.
        model_path: `PAPERLIB_MODEL_PATH`, where modules of such models are looked for after Python's own places; as in
            PYTHONPATH.
        megapixels: `PAPERLIB_MEGAPIXELS`, of the largest picture that is read, above 0.
        workers: `PAPERLIB_WORKERS`, the number of processes, above 0; None: one for each usable core.
        quiet: `PAPERLIB_QUIET`, neither progress bars nor messages; off when empty or 0.
        ray_address: `PAPERLIB_RAY_ADDRESS`, the cluster to compute on: HOST:PORT, auto or local; None: this machine.
        ship_code: `PAPERLIB_RAY_SHIP_CODE`, send the package along to the cluster; off when empty or 0.
        gpu_share: `PAPERLIB_RAY_GPU_SHARE`, factor in (0, 1] on the GPUs that units ask of the cluster.

    Raises:
        PaperlibError: no such input size.
    """

    results_root: Path | None = None
    figures_root: Path | None = None
    data_root: Path | None = None
    weights_root: Path | None = None
    extent: str = ""
    input_size: str = ""
    models: tuple[str, ...] = ()
    model_path: tuple[Path, ...] = ()
    megapixels: int = 68
    workers: int | None = None
    quiet: bool = False
    ray_address: str | None = None
    ship_code: bool = False
    gpu_share: float = 1.0

    def __post_init__(self) -> None:
        sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", self.input_size)
        if self.input_size not in ("", WHOLE) and not (sides and min(map(int, sides.groups())) >= SMALLEST):
            raise PaperlibError(
                f"the input size must read WIDTHxHEIGHT, such as 1024x768, or {WHOLE}, got {self.input_size!r}"
            )

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> "Settings":
        """What the variables say, by default those of this process.

        Raises:
            PaperlibError: the number of workers, the share of a GPU or the input size is none, or out of its range.
        """
        given = os.environ if variables is None else variables

        def text(name: str) -> str:
            return given.get(f"PAPERLIB_{name}", "")

        return cls(
            results_root=_folder(text("RESULTS")),
            figures_root=_folder(text("FIGURES")),
            data_root=_folder(text("DATA_ROOT")),
            weights_root=_folder(text("WEIGHTS_ROOT")),
            extent=text("EXTENT"),
            input_size=text("INPUT_SIZE"),
            models=tuple(filter(None, text("MODELS").splitlines())),
            model_path=tuple(filter(None, map(_folder, text("MODEL_PATH").split(os.pathsep)))),
            megapixels=_count("MEGAPIXELS", text("MEGAPIXELS")) or cls.megapixels,
            workers=_count("WORKERS", text("WORKERS")),
            quiet=text("QUIET") not in ("", "0"),
            ray_address=text("RAY_ADDRESS") or None,
            ship_code=text("RAY_SHIP_CODE") not in ("", "0"),
            gpu_share=_share(text("RAY_GPU_SHARE")),
        )

    def environment(self) -> dict[str, str]:
        """The variables that say the same to another process, such as a notebook's kernel."""
        values = {
            "RESULTS": self.results_root,
            "FIGURES": self.figures_root,
            "DATA_ROOT": self.data_root,
            "WEIGHTS_ROOT": self.weights_root,
            "EXTENT": self.extent,
            "INPUT_SIZE": self.input_size,
            "MODELS": "\n".join(self.models),
            "MODEL_PATH": os.pathsep.join(map(str, self.model_path)),
            "MEGAPIXELS": self.megapixels,
            "WORKERS": self.workers,
            "QUIET": int(self.quiet),
            "RAY_ADDRESS": self.ray_address,
            "RAY_SHIP_CODE": int(self.ship_code),
            "RAY_GPU_SHARE": self.gpu_share,
        }
        return {f"PAPERLIB_{name}": "" if value is None else str(value) for name, value in values.items()}

    def for_worker(self) -> "Settings":
        """The settings of a process that computes one unit at a time for this one."""
        return replace(self, workers=1, quiet=True, ray_address=None)


_IN_USE: list[Settings] = []


def current() -> Settings:
    """The settings in use, else those of the environment. Raises PaperlibError like `Settings.from_environment`."""
    return _IN_USE[-1] if _IN_USE else Settings.from_environment()


@contextmanager
def in_use(settings: Settings) -> Iterator[None]:
    """These settings are the `current` ones inside the block, in all threads."""
    _IN_USE.append(settings)
    try:
        yield
    finally:
        _IN_USE.pop()


def _folder(text: str) -> Path | None:
    return Path(text).absolute() if text else None


def _count(name: str, text: str) -> int | None:
    if text and (not text.isdecimal() or int(text) < 1):
        raise PaperlibError(f"PAPERLIB_{name} must be a positive whole number, got {text!r}")
    return int(text) if text else None


def _share(text: str) -> float:
    try:
        share = float(text or 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise PaperlibError(f"PAPERLIB_RAY_GPU_SHARE must be a number above 0 and at most 1, got {text!r}")
    return share
