"""Looks for pictures that are trained on and tested on."""

from pathlib import Path
from typing import Any

from paperlib.datasets import opinions
from paperlib.datasets.files import listing
from paperlib.engine.progress import progress
from paperlib.engine.units import Inputs, Result
from paperlib.errors import PaperlibError
from paperlib.experiments.sets.opening import opened
from paperlib.experiments.training.compute import training_set


def check_leaks(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Rows of counts.

    Raises:
        PaperlibError: pictures that cannot be read; pictures that are trained on and tested on.
    """
    own = training_set(params, inputs)
    rows, leaks = [_count_row(own)], []
    for number, told in enumerate(params["tests"]):
        test = opened(dict(told) | {"root": params[f"root_{number}"]}, inputs)
        leaks += [f"{key} = {twin} of {test.title}" for key, twin in opinions.overlap(own, test, progress)]
        if test.name != params["dataset"]:
            opinions.check(test, progress)
        rows.append(_count_row(test))
    if leaks:
        raise PaperlibError(
            f"{len(leaks)} pictures that {own.title} is trained on are tested on as well, equal in "
            f"every pixel: {listing(leaks)}; take them out of the training part, or restore the "
            "official split"
        )
    return Result(rows=rows)


def _count_row(pictures: Any) -> dict[str, Any]:
    count = {"metric": "pictures", "value": float(len(pictures)), "n": len(pictures)}
    return {"method": "pictures", "dataset": pictures.name, "variant": "data"} | count
