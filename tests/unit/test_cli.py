"""The command line: what goes to stdout, what to stderr, exit codes, and where files are written."""

import importlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import cli_samples
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell

from paperlib import cli, paper, paths, profiles, regenerate
from paperlib.errors import PaperlibError
from paperlib.settings import current
from paperlib.show import figures, notebooks, tables
from paperlib.show.notebooks import NotebookRun

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


@pytest.fixture
def prepared() -> list[profiles.Profile]:
    """The profiles that were asked to be computed."""
    return []


@pytest.fixture(autouse=True)
def fake_world(monkeypatch: Patch, tmp_path: Path, prepared: list) -> None:
    """Made-up results at once, in folders of the test."""
    for name in ("table", "figure", "claims"):
        monkeypatch.setattr(regenerate, name, getattr(cli_samples, name), raising=False)
    monkeypatch.setattr(regenerate, "prepare", prepared.append, raising=False)
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PAPERLIB_FIGURES", str(tmp_path / "figures"))


@pytest.fixture
def fake_notebooks(monkeypatch: Patch, tmp_path: Path) -> dict:
    """Three notebooks with parameters, and a runner that only notes what it was given."""
    folder, given = tmp_path / "notebooks", {"failing": ()}
    folder.mkdir()
    first = "profile = 'demo'\nn = 3\nobservers = 'saliency'"
    for name, source in {"03a_extracting": first, "03c_dual": "n = 2", "04_discussion": ""}.items():
        cli_samples.write_notebook(folder, name, new_code_cell(source, metadata={"tags": ["parameters"]}))
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)

    def run(chosen, output, values, environment, on_done, workers, made_of):
        given.update(
            workers=workers,
            made_of=made_of,
            names=[path.stem for path in chosen],
            output=output,
            environment=environment,
            values={path.stem: value for path, value in values.items()},
        )
        errors = {name: f"{name}: broke" for name in given["failing"]}
        return [NotebookRun(path.stem, output / path.name, None, 1.5, errors.get(path.stem)) for path in chosen]

    monkeypatch.setattr(notebooks, "run_notebooks", run)
    monkeypatch.setattr(regenerate, "made_of", lambda profile: "as before")
    for name in ("figure1", "figure2", "figure2_extended"):
        monkeypatch.setattr(figures, name, lambda data, **_: Figure(figsize=(1, 1)))
    return given


def test_help_is_light() -> None:
    """No heavy package at the start: the help has to come at once."""
    script = "import sys; from paperlib.cli import main; code = main(['--help']); print(code, *sorted(sys.modules))"
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=paths.REPOSITORY, capture_output=True, text=True, check=True)
    code, *modules = run.stdout.splitlines()[-1].split()
    assert code == "0"
    assert not {"numpy", "pandas", "torch", "matplotlib", "papermill", "nbformat", "jinja2", "psutil"} & set(modules)


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["tabel"],
        ["table"],
        ["table", "4"],
        ["table", "one"],
        ["table", "1", "--csv", "--json"],
        ["figure", "3"],
        ["claims", "--seeds", "0"],
        ["claims", "--seeds", "x"],
        ["run", "--onyl", "03a"],
        ["bench", "fast"],
    ],
)
def test_wrong_words_exit_with_2_and_keep_stdout_empty(words: list[str], capsys: Capture) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: python -m paperlib" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["table", "1", "--profile", "demoo"], "there is no profile 'demoo'; choose one of: demo"),
        (["figure", "1", "--profile", "demoo"], "there is no profile 'demoo'"),
        (["claims", "--profile", "demoo"], "there is no profile 'demoo'"),
        (["prepare", "--profile", "demoo"], "there is no profile 'demoo'"),
        (["run", "--profile", "demoo"], "there is no profile 'demoo'"),
        (["promote", "--profile", "paper"], "notebooks/ holds outputs of the demo profile, not of 'paper'"),
    ],
)
def test_wrong_input_is_one_sentence_and_2(words: list[str], sentence: str, capsys: Capture) -> None:
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"paperlib: {sentence}")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("flag", "make"),
    [("--csv", tables.to_csv), ("--markdown", tables.to_markdown), ("--latex", tables.to_latex), (None, tables.to_text)],
)
def test_table_prints_what_the_library_makes(flag: str | None, make, capsys: Capture) -> None:
    assert cli.main(["table", "2", *([flag] if flag else [])]) == 0
    assert capsys.readouterr().out.rstrip("\n") == make(cli_samples.table(2, profiles.load())).rstrip("\n")


def test_table_json_is_strict_json(capsys: Capture) -> None:
    assert cli.main(["table", "1", "--json"]) == 0

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    data = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert data["name"] == "table1"
    assert data["columns"][0] == {"dataset": "world", "metric": "CC", "direction": 1, "heading": "CC ↑"}
    assert data["cells"][2] == {
        "section": "GradCAM from IQA",
        "method": "baseline",
        "dataset": "world",
        "metric": "CC",
        "value": 0.6,
        "sd": 0.01,
        "published": 0.637,
        "ranked": True,
        "low": None,
        "high": None,
        "n": 3,
    }
    assert data["cells"][4]["published"] is None


def test_stdout_holds_data_alone(monkeypatch: Patch, capfd: Capture) -> None:
    """Whatever prints during a computation, Python, native code or a child process, ends on stderr."""

    def noisy(number: int, profile: profiles.Profile):
        print("from Python")
        os.write(1, b"from native code\n")
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
        return cli_samples.table(number, profile)

    monkeypatch.setattr(regenerate, "table", noisy)
    assert cli.main(["table", "1", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["name"] == "table1"
    assert [line for line in err.splitlines() if line.startswith("from ")] == [
        "from Python",
        "from native code",
        "from a child",
    ]


def test_figure_writes_and_prints_the_paths(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["figure", "2"]) == 0
    assert capsys.readouterr().out.split() == [
        *(
            str(tmp_path / "figures" / f"{name}.{kind}")
            for name in ("fig2", "fig2_column", "fig2_extended")
            for kind in ("png", "pdf")
        ),
        str(tmp_path / "figures" / "fig2.csv"),
    ]
    assert cli.main(["figure", "1", "--out", str(tmp_path / "else")]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.parent for path in printed] == [tmp_path / "else"] * 5
    assert all(path.stat().st_size > 1000 for path in printed)


def test_figure_json_is_the_data_and_writes_nothing(tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["figure", "1", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    expected = cli_samples.figure(1, profiles.load())
    np.testing.assert_array_equal(data["images"], expected.images)
    np.testing.assert_allclose(data["rows"]["Ground truth"], expected.rows["Ground truth"], atol=5e-5)
    assert cli.main(["figure", "2", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["curves"]) == len(cli_samples.figure(2, profiles.load()).curves)
    assert not (tmp_path / "figures").exists()


def test_claims_as_json_and_as_text(capsys: Capture) -> None:
    """Seeds 0 to 4 and ten as values: mean 12, t interval 12 ± 2.776 sqrt(2.5 / 5)."""
    assert cli.main(["claims", "--json", "--seeds", "5"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    ours, control = first.pop("parts")
    assert (first.pop("low"), first.pop("high")) == pytest.approx((10.0368, 13.9632), abs=1e-4)
    assert first == {
        "id": "C1",
        "text": paper.CLAIMS["C1"].text,
        "value": 12.0,
        "n": 5,
        "over": "repeats",
        "outcome": "holds",
        "verdict": "holds; no control does",
        "profile": "demo",
        "detail": "CC: <ours> − prior",
    }
    assert (ours["role"], ours["value"], ours["outcome"]) == ("claim", 12.0, "holds")
    assert (control["control"], control["lacks"], control["outcome"]) == ("noise", "a network", "does not hold")
    assert (second["value"], second["low"], second["high"], second["verdict"]) == (None, None, None, "not testable")
    assert cli.main(["claims"]) == 0
    assert (
        "  C1  11.000 [8.516, 13.484] 3 repeats  CC: <ours> − prior\n      holds; no control does\n"
        in capsys.readouterr().out
    )


def test_a_run_keeps_the_verdicts_effects_and_controls(fake_notebooks: dict, prepared: list, tmp_path: Path) -> None:
    assert cli.main(["run"]) == 0
    table = pd.read_csv(tmp_path / "figures" / "claims.csv")
    assert table["value"].to_list() == [11, -11] and set(table["verdict"]) == {"holds; no control does"}
    assert (table["claim"] == "C1").all() and table["n"].to_list() == [3, 3]
    text = (tmp_path / "figures" / "claims.md").read_text("utf-8")
    assert "**C1** holds; no control does" in text and "**C2** not testable" in text
    assert "| claim | CC: <ours> − prior | 11.000 [8.516, 13.484] | 3 repeats | 0.000 | holds |" in text
    assert "| control without a network: noise | CC | −11.000 [−13.484, −8.516] | 3 repeats |" in text


def test_run_does_everything(fake_notebooks: dict, prepared: list, tmp_path: Path, capsys: Capture) -> None:
    assert cli.main(["run"]) == 0
    assert prepared == [profiles.load()]
    assert fake_notebooks["names"] == ["03a_extracting", "03c_dual", "04_discussion"]
    assert fake_notebooks["output"] == tmp_path / "results" / "demo" / "notebooks"
    assert fake_notebooks["environment"]["PAPERLIB_FIGURES"] == str(tmp_path / "figures")
    assert fake_notebooks["workers"] == 2
    assert not any(fake_notebooks["values"].values())
    drawn = ("fig1", "fig1_column", "fig2", "fig2_column", "fig2_extended")
    names = {f"{name}.{kind}" for name in drawn for kind in ("png", "pdf")} | {"fig1.csv", "fig2.csv"}
    names |= {f"table{number}.{kind}" for number in (1, 2, 3) for kind in ("csv", "md", "tex")} | {"claims.csv", "claims.md"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    out = capsys.readouterr().out
    page = tmp_path / "results" / "demo" / "report" / "index.html"
    for expected in (
        "Simulation:",
        "table3",
        "fig2",
        "holds; no control does",
        "not testable",
        "03c_dual",
        "total",
        str(page),
    ):
        assert expected in out
    first = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert cli.main(["run"]) == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()} == first, "the same bytes again"


@pytest.mark.parametrize(
    ("only", "names", "files", "claims"),
    [
        ("03c", ["03c_dual"], {f"table2.{kind}" for kind in ("csv", "md", "tex")}, set()),
        (
            "03a_ex",
            ["03a_extracting"],
            {"table1.csv", "table1.md", "table1.tex", "fig1.csv"}
            | {f"{name}.{kind}" for name in ("fig1", "fig1_column") for kind in ("png", "pdf")},
            {"C1"},
        ),
        ("04", ["04_discussion"], {"claims.csv", "claims.md"}, {"C1", "C2"}),
    ],
)
def test_only_computes_what_the_notebook_is_about(
    fake_notebooks: dict, prepared: list, tmp_path: Path, capsys: Capture, only: str, names: list, files: set, claims: set
) -> None:
    assert cli.main(["run", "--only", only]) == 0
    out = capsys.readouterr().out
    assert {claim for claim in ("C1", "C2") if f"  {claim}  " in out} == claims
    assert fake_notebooks["names"] == names
    assert {path.name for path in (tmp_path / "figures").iterdir()} == files
    assert prepared == []


def test_settings_never_touch_the_plain_figures(
    fake_notebooks: dict, monkeypatch: Patch, tmp_path: Path, capsys: Capture
) -> None:
    """A parameter goes to the notebooks that have it; one that the profile knows changes tables and figures as well."""
    seen = []

    def table(number: int, profile: profiles.Profile):
        seen.append(profile)
        return cli_samples.table(number, profile)

    monkeypatch.setattr(regenerate, "table", table)
    assert cli.main(["run", "--set", "n=4", "--set", "observers=uniform"]) == 0
    custom = tmp_path / "results" / "demo" / "custom"
    assert fake_notebooks["values"] == {
        "03a_extracting": {"n": 4, "observers": "uniform"},
        "03c_dual": {"n": 4},
        "04_discussion": {},
    }
    assert fake_notebooks["output"] == custom / "notebooks"
    assert fake_notebooks["workers"] == 1
    assert fake_notebooks["environment"]["PAPERLIB_FIGURES"] == str(custom / "figures")
    assert {profile.observers for profile in seen if profile.rows == "computed"} == {"uniform"}
    assert (custom / "figures" / "table1.csv").is_file()
    assert (custom / "report" / "index.html").is_file()
    assert not (tmp_path / "figures").exists()
    out = capsys.readouterr().out
    assert "with n=4, observers=uniform" in out
    assert str(custom / "figures" / "table1.csv") in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--set", "m=4"], "no notebook has a parameter 'm'; valid are\n  03a_extracting: n = 3, observers = 'sal"),
        (["--set", "observers=a", "--only", "03c"], "no notebook has a parameter 'observers'; valid are\n  03c_du"),
        (["--set", "n=many"], "n=many does not fit 03a_extracting"),
        (["--set", "observers=nobody"], "observers='nobody' is not known; choose from: saliency, uniform"),
        (["--only", "05"], "no notebook starts with '05'; choose from: 03a_extracting, 03c_dual, 04_discussion"),
    ],
)
def test_run_refuses_before_anything_is_computed(
    fake_notebooks: dict, prepared: list, tmp_path: Path, capsys: Capture, words: list[str], sentence: str
) -> None:
    assert cli.main(["run", *words]) == 2
    assert capsys.readouterr().err.startswith(f"paperlib: {sentence}")
    assert prepared == []
    assert "names" not in fake_notebooks
    assert not (tmp_path / "results").exists()


def test_a_failing_notebook_is_told_and_gives_1(fake_notebooks: dict, tmp_path: Path, capsys: Capture) -> None:
    fake_notebooks["failing"] = ("03c_dual",)
    assert cli.main(["run"]) == 1
    assert "03c_dual: broke" in capsys.readouterr().out
    assert "03c_dual: broke" in (tmp_path / "results" / "demo" / "report" / "index.html").read_text("utf-8")


def test_other_profiles_write_beside_their_results(fake_notebooks: dict, monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setitem(profiles.PROFILES, "other", profiles.Profile("other"))
    monkeypatch.delenv("PAPERLIB_FIGURES")
    assert cli.main(["run", "--profile", "other"]) == 0
    assert (tmp_path / "results" / "other" / "figures" / "table1.csv").is_file()
    assert fake_notebooks["values"]["03a_extracting"] == {"profile": "other"}
    assert "Simulation" not in (tmp_path / "results" / "other" / "report" / "index.html").read_text("utf-8")


def test_notebooks_get_the_values_of_the_profile(fake_notebooks: dict, monkeypatch: Patch) -> None:
    other = profiles.Profile("other", extraction=profiles.ExtractionSettings(n_passes=2))
    monkeypatch.setitem(profiles.PROFILES, "other", other)
    values = new_code_cell('profile = "demo"\nn_passes = 6\nimage = 3', metadata={"tags": ["parameters"]})
    cli_samples.write_notebook(paths.NOTEBOOKS, "03b_passes", values)
    assert cli.main(["run", "--profile", "other"]) == 0
    assert fake_notebooks["values"]["03b_passes"] == {"profile": "other", "n_passes": 2}
    assert cli.main(["run", "--profile", "other", "--set", "n_passes=3"]) == 0
    assert fake_notebooks["values"]["03b_passes"]["n_passes"] == 3


def test_a_profile_without_every_section_says_what_it_runs(
    fake_notebooks: dict, monkeypatch: Patch, capsys: Capture
) -> None:
    monkeypatch.setitem(profiles.PROFILES, "partial", profiles.Profile("partial", ("03a",)))
    assert cli.main(["run", "--profile", "partial"]) == 2
    assert "--only 03a" in capsys.readouterr().err
    assert cli.main(["run", "--profile", "partial", "--only", "03a"]) == 0


def test_folders_and_models_go_to_everyone(monkeypatch: Patch, tmp_path: Path, capsys: Capture) -> None:
    for name in ("PAPERLIB_DATA_ROOT", "PAPERLIB_WEIGHTS_ROOT", "PAPERLIB_MODELS"):
        monkeypatch.setenv(name, "")
    (tmp_path / "data").mkdir()
    seen = []
    monkeypatch.setattr(regenerate, "prepare", lambda profile: seen.append((profile, current())))
    words = ["--data-root", str(tmp_path / "data"), "--model", "a@b=c", "--model", "d", "--ray-address", "auto"]
    assert cli.main(["prepare", "--profile", "own", *words]) == 0
    ((own, settings),) = seen
    assert (settings.model_path, settings.ray_address) == ((Path.cwd(), tmp_path / "data"), "auto")
    assert (own.data_root, own.weights_root) == (str(tmp_path / "data"), str(tmp_path / "data" / "weights"))
    assert own.models == (f"a@b={Path.cwd() / 'c'}", "d"), "kernels run in another folder"
    assert cli.main(["prepare", "--data-root", str(tmp_path / "nowhere")]) == 2
    assert "there is no folder" in capsys.readouterr().err


def test_results_option_goes_to_everyone(fake_notebooks: dict, tmp_path: Path, capsys: Capture) -> None:
    elsewhere = str(tmp_path / "elsewhere")
    assert cli.main(["prepare", "--results", elsewhere]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'elsewhere' / 'demo'}\n"
    assert cli.main(["run", "--results", elsewhere]) == 0
    kernel = fake_notebooks["environment"]
    assert (kernel["PAPERLIB_RESULTS"], kernel["PAPERLIB_QUIET"]) == (elsewhere, "1")


def test_a_variable_without_sense_is_told_at_once(monkeypatch: Patch, prepared: list, capsys: Capture) -> None:
    monkeypatch.setenv("PAPERLIB_WORKERS", "many")
    assert cli.main(["prepare"]) == 2
    assert "PAPERLIB_WORKERS must be a positive whole number, got 'many'" in capsys.readouterr().err
    assert prepared == []


@pytest.mark.parametrize(
    ("error", "code"), [(PaperlibError("one sentence"), 2), (KeyError("boom"), 1), (KeyboardInterrupt(), 130)]
)
def test_exit_codes(monkeypatch: Patch, capsys: Capture, error: BaseException, code: int) -> None:
    def fail(number: int, profile: profiles.Profile) -> None:
        raise error

    monkeypatch.setattr(regenerate, "table", fail)
    assert cli.main(["table", "1"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err


def test_an_unexpected_error_leaves_its_traceback_in_a_file(monkeypatch: Patch, tmp_path: Path, capsys: Capture) -> None:
    monkeypatch.setattr(regenerate, "table", lambda number, profile: {}["no such key"])
    assert cli.main(["table", "1"]) == 1
    err = capsys.readouterr().err
    assert "KeyError: 'no such key'" in err
    (log,) = (tmp_path / "results" / "logs").iterdir()
    assert str(log) in err
    assert "Traceback (most recent call last)" in log.read_text()
    assert cli.main(["table", "1", "--debug"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.fixture
def fake_benchmarks(monkeypatch: Patch) -> list[dict]:
    row = {"name": "NSS", "peer": "pysaliency", "ours_ms": 1.0, "peer_ms": 2.0, "ratio": 0.5, "goal": 1.0, "met": True}
    missing = dict.fromkeys(("ours_ms", "peer_ms", "ratio", "goal", "met"))
    rows = [row, row | {"name": "KLD", "ratio": 1.5, "met": False}, {"name": "CC", "peer": "not installed"} | missing]
    module = ModuleType("tests.benchmarks")
    module.run_all = lambda: rows
    monkeypatch.setitem(sys.modules, "tests.benchmarks", module)
    monkeypatch.setattr(importlib.import_module("tests"), "benchmarks", module, raising=False)
    return rows


def test_bench(fake_benchmarks: list[dict], capsys: Capture) -> None:
    assert cli.main(["bench", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == fake_benchmarks
    assert cli.main(["bench"]) == 0
    _, second, third = capsys.readouterr().out.splitlines()
    assert second.split(maxsplit=2) == ["MISSED", "1.50", "KLD / pysaliency (goal 1.0)"]
    assert third.split(maxsplit=2) == ["no", "peer", "CC / not installed"]


@pytest.fixture
def lab(fake_notebooks: dict, monkeypatch: Patch) -> Callable[..., dict]:
    """`lab("--port", "9000")` is what the verb would start: its words and environment; with a display."""
    started: dict = {}
    monkeypatch.setattr(os, "execve", lambda path, words, env: started.update(words=words, environment=env))
    monkeypatch.setenv("DISPLAY", ":0")
    (paths.NOTEBOOKS / "00_start_here.ipynb").write_text("{}")

    def start(*words: str) -> dict:
        started["code"] = cli.main(["lab", *words])
        return started

    return start


def test_lab_listens_on_this_machine_only(lab: Callable[..., dict]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = lab("--port", str(port), "--no-browser")
    words = started["words"]
    assert words[:3] == [sys.executable, "-m", "jupyterlab"]
    assert "--ServerApp.ip=127.0.0.1" in words
    assert f"--ServerApp.port={port}" in words and "--no-browser" in words
    assert not any("token" in word or "password" in word for word in words), "Jupyter's own random token must stay on"
    assert words[-1] == "--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb"
    assert f"--ServerApp.root_dir={paths.NOTEBOOKS.parent}" in words
    assert str(paths.REPOSITORY) in started["environment"]["PYTHONPATH"].split(os.pathsep)
    assert started["environment"]["JUPYTER_PREFER_ENV_PATH"] == "1", "a kernel python3 of the user must not win"


def test_lab_opens_a_browser_where_there_is_a_display(lab: Callable[..., dict], monkeypatch: Patch, capsys: Capture) -> None:
    words = lab()["words"]
    assert "--no-browser" not in words and not any("port" in word for word in words)
    assert "no display" not in capsys.readouterr().err
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    assert "--no-browser" in lab()["words"]
    assert "there is no display here" in capsys.readouterr().err
    monkeypatch.setenv("BROWSER", "lynx")
    assert "--no-browser" not in lab()["words"]
    monkeypatch.delenv("BROWSER")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "--no-browser" not in lab()["words"]


def test_lab_settings_ask_the_network_for_nothing(lab: Callable[..., dict], monkeypatch: Patch) -> None:
    from jupyterlab_server.settings_utils import _get_overrides

    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "/of/the/user")
    environment = lab()["environment"]
    assert environment["JUPYTER_CONFIG_PATH"].split(os.pathsep)[0] == "/of/the/user"
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", environment["JUPYTER_CONFIG_PATH"])
    settings, _ = _get_overrides("/nowhere")
    told = settings["@jupyterlab/apputils-extension:notification"]
    assert told == {"checkForUpdates": False, "fetchNews": "false"}


def test_lab_without_its_first_notebook(fake_notebooks: dict, capsys: Capture) -> None:
    assert cli.main(["lab"]) == 2
    assert "there is no notebook" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "-1", "high"])
def test_lab_takes_real_ports_alone(port: str, lab: Callable[..., dict], capsys: Capture) -> None:
    assert lab("--port", port)["code"] == 2
    assert "--port" in capsys.readouterr().err


def test_pretrain_hands_over_only_what_was_said(monkeypatch: Patch, capsys: Capture) -> None:
    given = {}
    module = ModuleType("paperlib.tasks.pretrain")
    module.pretrain_command = lambda **settings: given.update(settings) or 0.987
    monkeypatch.setitem(sys.modules, "paperlib.tasks.pretrain", module)
    assert cli.main(["pretrain", "--images", "50", "--out", "x.safetensors"]) == 0
    assert given == {"images": 50, "out": Path("x.safetensors")}
    assert capsys.readouterr().out == "accuracy 0.987\n"


def test_readme_is_rewritten_once(monkeypatch: Patch, tmp_path: Path, capsys: Capture) -> None:
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    monkeypatch.setattr(paths, "FIGURES", tmp_path / "figures")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- generated:table1 -->\nstale words\n<!-- /generated:table1 -->\nafter\n")
    tables.save_table(cli_samples.table(1, profiles.load()), tmp_path / "figures")
    assert cli.main(["readme"]) == 0
    assert capsys.readouterr().out == f"{readme}\n{tmp_path / 'DATA.md'}\n"
    text = readme.read_text("utf-8")
    assert "stale words" not in text
    assert text.startswith("before\n<!-- generated:table1 -->\n### Table I.")
    assert cli.main(["readme"]) == 0
    assert capsys.readouterr().out == ""
    assert readme.read_text("utf-8") == text
