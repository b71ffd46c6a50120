"""What Table III of the rehearsal profile runs on: a stand-in SACID and random weights in the official file formats.

Beside `paperlib.experiments.rehearsal`, so that the methods of Table III are in no key of the other tables' results.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from paperlib.datasets.clic_standins import write_clic
from paperlib.datasets.sacid_standins import write_sacid
from paperlib.engine.progress import say
from paperlib.experiments.rehearsal import SEED
from paperlib.models.quality.methods import describe
from paperlib.models.stand_ins.quality import random_files

SEQUENCES, WITHOUT_REFERENCE = 3, 1
"""Twelve pictures each, seconds a picture for AHIQ and MANIQA; one published copy of SACID lacks 18 of 60 references."""
SIZE = (224, 288)


def write_sacid_standins(data: Path, weights: Path, methods: Iterable[str]) -> None:
    """Write what is missing: the folders `data/sacid` and `data/clic2021`, and in `weights` the files of `methods`, which are those of
    `paperlib.models.quality.methods`.

    Files that are there are left alone: other methods may load them too.
    """
    write_sacid(data / "sacid", SEQUENCES, SEED, SIZE, without_reference=WITHOUT_REFERENCE)
    write_clic(data / "clic2021", SEQUENCES, SEED, SIZE)
    for method in methods:
        missing = [file.name for file in describe(method).files if not (weights / file.name).is_file()]
        if missing:
            say(f"rehearsal: random weights of {method} in the official format")
            weights.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(dir=weights, prefix=".making-") as folder:
                random_files(method, Path(folder), SEED)
                for name in missing:
                    os.replace(Path(folder, name), weights / name)
