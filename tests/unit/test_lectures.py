"""What is computed before a lecture: changes of parameters that the notebooks have, of the notebooks that have them."""

import ast

import nbformat
import pytest

from paperlib import paths, profiles, regenerate
from paperlib.errors import PaperlibError
from paperlib.tasks import lecture as lectures


def parameters(notebook: str) -> dict[str, object]:
    (file,) = paths.NOTEBOOKS.glob(f"{notebook}_*.ipynb")
    cells = nbformat.read(file, 4).cells
    (cell,) = (cell for cell in cells if "parameters" in cell.metadata.get("tags", ()))
    return {node.targets[0].id: ast.literal_eval(node.value) for node in ast.parse(cell.source).body}


def test_every_parameter_of_an_experiment_is_changed_once() -> None:
    changed = [(notebook, name) for values, notebooks in lectures.CHANGES for name in values for notebook in notebooks]
    there = [
        (notebook, name)
        for section in regenerate.SECTIONS.values()
        for notebook in [section.notebook]
        for name in parameters(notebook)
        if name != "profile"
    ]
    assert sorted(changed) == sorted(there)
    for values, notebooks in lectures.CHANGES:
        for notebook in notebooks:
            assert all(type(value) is type(parameters(notebook)[name]) for name, value in values.items())
            assert all(value != parameters(notebook)[name] for name, value in values.items())


def test_changed_profiles_are_prepared_after_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[profiles.Profile] = []
    monkeypatch.setattr(regenerate, "prepare", prepared.append)
    lectures.prepare(profiles.load("demo"))
    assert prepared[0] == profiles.load("demo") and len(prepared) == len(lectures.CHANGES) + 1
    assert prepared[1].observers == "uniform" and prepared[1].sections == ("03a", "03b", "03c", "03d")
    assert [one.extraction.n_passes for one in prepared if one.sections == ("03a",)][0] == 1


def test_other_profiles_are_refused() -> None:
    with pytest.raises(PaperlibError, match="on the demo, got profile 'paper'"):
        lectures.prepare(profiles.load("paper"))
