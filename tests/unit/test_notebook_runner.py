"""The notebook runner: parameters, kernels, failures, pages, and how outputs get back into the committed notebooks."""

import json
import sys
from pathlib import Path

import nbformat
import pytest
from cli_samples import write_notebook as make
from nbformat.v4 import new_code_cell, new_markdown_cell

from paperlib.errors import PaperlibError
from paperlib.show import notebooks

PARAMETERS = """profile = "demo"
n = 3
scale: float = 1.0  # a comment
observers = "saliency"
show = True
sizes = [1, 2]"""


def parameters_cell(source: str = PARAMETERS) -> nbformat.NotebookNode:
    return new_code_cell(source, metadata={"tags": ["parameters"]})


def shown(out: nbformat.NotebookNode) -> str:
    return out.get("text", out.get("data", {}).get("text/plain", ""))


def texts(path: Path) -> list[str]:
    """What each code cell printed or showed."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    return ["".join(map(shown, cell.outputs)) for cell in cells]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    here = tmp_path / "notebooks"
    here.mkdir()
    return here


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory):
    """One run for many tests: a good notebook, a failing one, one whose kernel dies, a good one; no home folder, and a
    user's kernel spec named python3 that leads nowhere."""
    root = tmp_path_factory.mktemp("run {with braces}")
    folder = root / "notebooks"
    folder.mkdir()
    make(
        folder,
        "01_good",
        new_markdown_cell("# Title\n[next](02_failing.ipynb)"),
        parameters_cell(),
        "import os, sys\nprint(sys.executable, os.getcwd(), os.environ['PAPERLIB_MARK'])",
        new_code_cell("import paperlib\nn * 2", metadata={"tags": ["kept"], "paperlib": {"atol": 0.01}}),
        "print('noise', file=sys.stderr)\nprint((n, scale, observers, show, sizes))",
        "",
    )
    make(folder, "02_failing", "print('first')", "1 / 0", "print('never')")
    make(folder, "03_dying", "print('alive')", "import os\nos._exit(1)", "1")
    make(folder, "04_good", "print('after the others')")
    shadow = root / "jupyter" / "kernels" / "python3"
    shadow.mkdir(parents=True)
    spec = {"argv": ["/nowhere/python"], "display_name": "Python 3", "language": "python"}
    (shadow / "kernel.json").write_text(json.dumps(spec))
    home = root / "home"
    home.write_text("a file where the home folder should be")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(home))
        patch.setenv("JUPYTER_PATH", str(root / "jupyter"))
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.delenv(name, raising=False)
        paths = notebooks.find(folder)
        before = {path: path.read_bytes() for path in paths}
        seen: list[str] = []
        runs = notebooks.run_notebooks(
            paths,
            root / "out",
            notebooks.check_parameters(paths, ["n=4", "scale=2", "sizes=(5,)"]),
            {"PAPERLIB_MARK": "mark"},
            on_done=lambda run: seen.append(run.name),
            workers=2,
        )
    assert {path: path.read_bytes() for path in paths} == before, "the originals must stay as they are"
    return {run.name: run for run in runs}, folder, seen


def test_a_notebook_that_would_show_the_same_is_not_run_again(folder: Path, tmp_path: Path) -> None:
    out, mark = tmp_path / "out", tmp_path / "runs"
    good = make(folder, "01_good", parameters_cell(), f"open({str(mark)!r}, 'a').write('x')")
    bad = make(folder, "02_bad", "1 / 0")

    def go(made_of: str = "one", **values: int) -> list[bool]:
        given = {good: values} if values else {}
        return [run.unchanged for run in notebooks.run_notebooks([good, bad], out, given, made_of=made_of)]

    assert go() == [False, False] and go() == [True, False], "what failed is run again"
    assert mark.read_text() == "x"
    assert go("two") == [False, False] and go("two") == [True, False]
    assert go("two", n=4) == [False, False] and go("") == [False, False] and go("") == [False, False]
    assert go() == [False, False]
    (out / "01_good.html").unlink()
    assert go() == [False, False] and go() == [True, False]
    make(folder, "01_good", parameters_cell(), f"open({str(mark)!r}, 'a').write('y')")
    assert go() == [False, False] and mark.read_text().endswith("y")


def test_find_goes_in_name_order_and_takes_prefixes(folder: Path) -> None:
    for name in ("03b_b", "00_start", "03a_a"):
        make(folder, name)
    assert [path.stem for path in notebooks.find(folder)] == ["00_start", "03a_a", "03b_b"]
    assert [path.stem for path in notebooks.find(folder, ["03b", "00"])] == ["00_start", "03b_b"]
    assert [path.stem for path in notebooks.find(folder, ["03"])] == ["03a_a", "03b_b"]


@pytest.mark.parametrize("prefix", ["9", "", "3a"])
def test_an_unknown_notebook_is_refused_with_the_list(folder: Path, prefix: str) -> None:
    with pytest.raises(PaperlibError, match="no notebooks"):
        notebooks.find(folder, [prefix])
    make(folder, "03a_a")
    with pytest.raises(PaperlibError, match="choose from: 03a_a"):
        notebooks.find(folder, [prefix])


def test_parameters_are_read_with_their_types(folder: Path) -> None:
    found = notebooks.parameters(make(folder, "01_a", "n = 99", parameters_cell()))
    assert found == {"profile": "demo", "n": 3, "scale": 1.0, "observers": "saliency", "show": True, "sizes": [1, 2]}
    assert notebooks.parameters(make(folder, "02_b", "n = 99")) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [("n = 3\ntwice = n * 2", "the parameters cell of 01_a"), (None, r"01_a\.ipynb is not a readable notebook")],
    ids=["computes", "damaged"],
)
def test_parameters_that_cannot_be_read_are_refused(folder: Path, text: str | None, reason: str) -> None:
    path = make(folder, "01_a", parameters_cell(text or ""))
    if text is None:
        path.write_text('{"cells": [')
    with pytest.raises(PaperlibError, match=reason):
        notebooks.parameters(path)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("n=7", 7),
        ("n=-1", -1),
        ("scale=2", 2.0),
        ("scale=1e-3", 1e-3),
        ("observers=uniform", "uniform"),
        ("observers=3", "3"),
        ("observers='a b'", "a b"),
        ("observers=a=b", "a=b"),
        ("show=false", False),
        ("show=True", True),
        ("sizes=(4, 5)", [4, 5]),
    ],
)
def test_a_value_takes_the_type_of_the_default(folder: Path, setting: str, value: object) -> None:
    path = make(folder, "01_a", parameters_cell())
    other = make(folder, "02_b", "1")
    given = notebooks.check_parameters([path, other], [setting])
    name = setting.split("=")[0]
    assert given == {path: {name: value}, other: {}}
    assert type(given[path][name]) is type(value)


@pytest.mark.parametrize("setting", ["n=2.5", "n=many", "n=True", "n=", "scale=fast", "show=1", "sizes=3"])
def test_a_value_of_another_type_is_refused(folder: Path, setting: str) -> None:
    path = make(folder, "01_a", parameters_cell())
    with pytest.raises(PaperlibError, match=r"does not fit 01_a: expected a value of type \w+ like"):
        notebooks.check_parameters([path], [setting])


def test_an_unknown_parameter_is_refused_with_the_valid_ones_of_each_notebook(folder: Path) -> None:
    paths = [make(folder, "01_a", parameters_cell("n = 3")), make(folder, "02_b", parameters_cell("depth = 2"))]
    with pytest.raises(PaperlibError, match=r"'m'; valid are\n  01_a: n = 3\n  02_b: depth = 2"):
        notebooks.check_parameters(paths, ["m=3"])


@pytest.mark.parametrize(
    ("setting", "reason"), [("n", "write --set name=value"), ("=3", "write --set"), ("profile=paper", "--profile NAME")]
)
def test_a_malformed_setting_is_refused(folder: Path, setting: str, reason: str) -> None:
    path = make(folder, "01_a", parameters_cell())
    with pytest.raises(PaperlibError, match=reason):
        notebooks.check_parameters([path], [setting])


def test_every_notebook_runs_whatever_happened_to_the_others(executed) -> None:
    runs, _, seen = executed
    assert list(runs) == sorted(seen) == ["01_good", "02_failing", "03_dying", "04_good"]
    assert [name for name, run in runs.items() if run.error] == ["02_failing", "03_dying"]
    assert texts(runs["04_good"].notebook) == ["after the others\n"]
    assert all(run.seconds > 0 for run in runs.values())


def test_the_kernel_is_this_interpreter_in_the_folder_of_the_notebook(executed) -> None:
    runs, folder, _ = executed
    printed = texts(runs["01_good"].notebook)
    assert printed[2] == f"{sys.executable} {folder} mark\n"
    assert printed[3] == "8"
    assert printed[4].startswith("(4, 2.0, 'saliency', True, [5])")


def test_a_failing_cell_is_named_and_earlier_outputs_are_kept(executed) -> None:
    run = executed[0]["02_failing"]
    assert run.error == (
        f"02_failing: cell [2] failed with ZeroDivisionError: division by zero; its outputs so far are in {run.notebook}"
    )
    assert "first\n" in texts(run.notebook)
    assert "never\n" not in texts(run.notebook)


def test_a_dead_kernel_is_told_with_its_cell(executed) -> None:
    run = executed[0]["03_dying"]
    assert run.error.startswith("03_dying: the kernel died in cell 2 ")
    assert texts(run.notebook)[0] == "alive\n"


def test_pages_lie_beside_the_notebooks_and_link_to_pages(executed) -> None:
    for run in executed[0].values():
        assert run.html == run.notebook.with_suffix(".html")
        assert run.html.is_file()
    assert 'href="02_failing.html"' in executed[0]["01_good"].html.read_text("utf-8")


def test_promote_round_trip(executed, tmp_path: Path) -> None:
    """Promoting changes outputs and counts only, a second time nothing, and a plain copy without run times is left."""
    source, folder, committed = executed[0]["01_good"].notebook, executed[1], tmp_path / "committed"
    committed.mkdir()
    target = committed / "01_good.ipynb"
    target.write_bytes((folder / "01_good.ipynb").read_bytes())
    plain = nbformat.read(source, 4)
    plain.cells = [cell for cell in plain.cells if "injected-parameters" not in cell.metadata.tags]
    nbformat.write(plain, tmp_path / "01_good.ipynb")

    assert notebooks.promote(tmp_path, committed) == [target]
    old, new = nbformat.read(folder / "01_good.ipynb", 4), nbformat.read(target, 4)
    for was, now in zip(old.cells, new.cells, strict=True):
        assert (was.id, was.source, was.metadata) == (now.id, now.source, now.metadata)
    code = [cell for cell in new.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [1, 2, 3, 4, None]
    assert code[2].outputs[0].execution_count == 3
    assert all(out.get("name") != "stderr" for cell in code for out in cell.outputs)
    text = target.read_text("utf-8")
    assert "papermill" not in text
    assert "iopub" not in text
    assert new.metadata.language_info.get("version") is None
    assert notebooks.promote(tmp_path, committed) == []


def test_promote_refuses_outputs_of_other_parameters(executed, tmp_path: Path) -> None:
    source, folder, _ = executed
    (tmp_path / "01_good.ipynb").write_bytes((folder / "01_good.ipynb").read_bytes())
    with pytest.raises(PaperlibError, match="other parameters"):
        notebooks.promote(source["01_good"].notebook.parent, tmp_path)


@pytest.mark.parametrize("failed", ["02_failing", "03_dying"])
def test_promote_refuses_a_failed_run_and_writes_nothing(executed, tmp_path: Path, failed: str) -> None:
    source, folder, _ = executed
    for name in (failed, "04_good"):
        (tmp_path / f"{name}.ipynb").write_bytes((folder / f"{name}.ipynb").read_bytes())
    with pytest.raises(PaperlibError, match=f"{failed} did not run to its end"):
        notebooks.promote(source[failed].notebook.parent, tmp_path)
    assert (tmp_path / "04_good.ipynb").read_bytes() == (folder / "04_good.ipynb").read_bytes()


def test_promote_refuses_a_notebook_that_was_edited_or_never_run(executed, folder: Path) -> None:
    made = make(folder, "04_good", "print('something else')")
    with pytest.raises(PaperlibError, match="changed after it was executed"):
        notebooks.promote(executed[0]["04_good"].notebook.parent, folder)
    made.rename(folder / "05_new.ipynb")
    with pytest.raises(PaperlibError, match="05_new has not been executed"):
        notebooks.promote(executed[0]["04_good"].notebook.parent, folder)
