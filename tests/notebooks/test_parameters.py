"""Every notebook in the small world of `lecture`, and every parameter of it with other values there: it runs to its end."""

from pathlib import Path
from typing import Any

import nbformat
import pytest

from paperlib import paths
from paperlib.show import notebooks
from paperlib.vocabulary import OBSERVERS, SMOOTHINGS

VALUES: dict[str, tuple[Any, ...]] = {
    "observers": OBSERVERS,
    "smoothing": SMOOTHINGS,
    "n_passes": (1,),
    "principal_component": (False,),
    "center_mos": (True,),
    "blur_sigma": (0.0,),
    "saliency_weight": (1.0,),
    "assessors": (60,),
    "image": (0, 49),
}
NOTEBOOKS = notebooks.find(paths.NOTEBOOKS)
CHANGES = [
    *(pytest.param(path, {}, id=path.stem[:3].strip("_")) for path in NOTEBOOKS if "profile" in notebooks.parameters(path)),
    *(
        pytest.param(path, {name: value}, id=f"{path.stem[:3].strip('_')}-{name}={value}")
        for path in NOTEBOOKS
        for name, default in notebooks.parameters(path).items()
        for value in VALUES.get(name, ())
        if value != default
    ),
]


def test_every_parameter_is_changed() -> None:
    assert {name for path in NOTEBOOKS for name in notebooks.parameters(path)} == {*VALUES, "profile"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store, in which a change finds what it has in common with those before."""
    return tmp_path_factory.mktemp("lecture")


@pytest.mark.slow
@pytest.mark.parametrize(("path", "values"), CHANGES)
def test_a_notebook_runs(path: Path, values: dict[str, Any], results: Path, tmp_path: Path) -> None:
    environment = {"PAPERLIB_RESULTS": str(results), "PAPERLIB_FIGURES": str(tmp_path / "figures"), "PAPERLIB_QUIET": "1"}
    given = {"profile": "lecture"} if "profile" in notebooks.parameters(path) else {}
    (run,) = notebooks.run_notebooks([path], tmp_path, {path: given | values}, environment)
    assert run.error is None
    shown = [out for cell in nbformat.read(run.notebook, 4).cells for out in cell.get("outputs", ())]
    assert not [out for out in shown if out.get("name") == "stderr" and "Traceback" in out.text]
