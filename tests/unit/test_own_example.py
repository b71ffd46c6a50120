"""The worked example of one's own data: a folder that every loader opens, that is never mistaken for another, and whose
network is found by everyone who computes."""

import csv
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from scipy import stats

from paperlib import cli, profiles
from paperlib.datasets.own import open_own
from paperlib.datasets.own_opinions import open_own_opinions
from paperlib.datasets.photographs import open_photographs
from paperlib.datasets.sacid import open_sacid, read_scores
from paperlib.datasets.votes_table import read_votes
from paperlib.engine.units import function
from paperlib.errors import PaperlibError
from paperlib.experiments import available
from paperlib.experiments.extracting import explore
from paperlib.experiments.maps.plan import Made, network_params, network_places
from paperlib.paths import REPOSITORY
from paperlib.settings import Settings, in_use
from paperlib.sources import source
from paperlib.sources.source import find_module
from paperlib.study import example as own_example
from paperlib.study.example import MODEL, PHOTOGRAPHS, write_example
from paperlib.study.folder import code_folder
from paperlib.study.votes import score_votes
from tests.study_samples import kill_when, refusal

Capture = pytest.CaptureFixture[str]
Patch = pytest.MonkeyPatch


def environment(patch: Patch, results: Path) -> None:
    for name in ("DATA_ROOT", "WEIGHTS_ROOT", "MODELS", "MODEL_PATH"):  # the command line writes them
        patch.setenv(f"PAPERLIB_{name}", "")
    patch.setenv("PAPERLIB_RESULTS", str(results))
    patch.setenv("PAPERLIB_WORKERS", "1")
    patch.setenv("PAPERLIB_QUIET", "1")
    patch.setattr(sys, "path", [*sys.path])
    patch.setattr(sys, "dont_write_bytecode", True)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: Patch) -> Iterator[None]:
    environment(monkeypatch, tmp_path / "results")
    yield
    sys.modules.pop("my_model", None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An example; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        environment(patch, folder / "results")
        write_example(folder / "own")
    return folder / "own"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# ---- what lies in it ------------------------------------------------------------------------------------------------
def test_every_loader_opens_it(made: Path) -> None:
    gaze, opinions, coded = open_own(made), open_own_opinions(made), open_sacid(made, own=True)
    names = {record.key for record in gaze.records}
    assert len(names) == 3 * len(PHOTOGRAPHS) and names == {record.key for record in opinions.records}
    assert not any("outside" in note or "left out" in note for note in (*gaze.notes, *opinions.notes, *coded.notes))
    assert set(coded.scores.sequences) == set(PHOTOGRAPHS) and len(coded.scores.versions) == 8
    assert np.isfinite(coded.scores.subjective).all()
    assert any("MOS: 1..5 became 0..100" in note for note in opinions.notes)
    assert max(max(record.size) for record in gaze.records) <= 256
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_DATA_ROOT", str(made))
        assert available.without_data(profiles.load("own")) == {}


def test_fixations_follow_the_gaze_density(made: Path) -> None:
    """Drawn fixations fall on the densest tenth of the density as often as the density says, within 4 standard errors."""
    rows = table(made / "fixations.csv")
    assert len({row["subject"] for row in rows}) == own_example.SUBJECTS
    for photograph in open_photographs(PHOTOGRAPHS, own_example.SIZE):
        own = [row for row in rows if row["image"].startswith(f"{photograph.name}_")]
        x, y = (np.array([int(row[axis]) for row in own]) for axis in "xy")
        dense = photograph.gaze > np.quantile(photograph.gaze, 0.9)
        share, n = float(photograph.gaze[dense].sum()), len(own)
        assert abs(dense[y, x].mean() - share) < 4 * np.sqrt(share * (1 - share) / n), photograph.name


def test_opinions_follow_the_stated_formula(made: Path) -> None:
    """What README says about MOS, read out of the names of the pictures, holds to the noise that it states."""
    stated = re.search(
        r"([\d.]+) - ([\d.]+) \* blur - ([\d.]+) \* \(95 - quality\) \+ .* deviation ([\d.]+)",
        (made / "README.txt").read_text(),
    )
    assert stated
    best, per_blur, per_quality, sd = map(float, stated.groups())
    errors = []
    for row in table(made / "mos.csv"):
        kind, number = re.fullmatch(r".*_(good|blur|jpeg)(\d*)\.jpg", row["image"]).groups()
        blur, quality = int(number) / 10 if kind == "blur" else 0, int(number) if kind == "jpeg" else 95
        errors.append(float(row["mos"]) - (best - per_blur * blur - per_quality * (95 - quality)))
    assert stats.kstest(np.clip(errors, -1, 1) / sd, "norm").pvalue > 0.01 and np.max(np.abs(errors)) < 4 * sd


def test_votes_are_those_that_are_scored(made: Path) -> None:
    """moses.csv is what `votes` makes of pairs.csv, most assessors are attentive, and plain versions of few bits lose."""
    found, scores = score_votes(read_votes(made / "pairs.csv")), read_scores(made / "moses.csv")
    for name, written in zip(scores.sequences, scores.subjective, strict=True):
        own = found["images"][name]["scores"]
        expected = [own[f"{version.test_case}.png"]["score"] for version in scores.versions]
        np.testing.assert_allclose(written, expected, atol=1e-6)
    assert 0 < found["assessors"] - len(found["excluded"]) and len(found["excluded"]) < 0.3 * found["assessors"]
    assert scores.subjective[:, scores.bpps == 0.3].mean() < scores.subjective[:, scores.bpps == 0.5].mean()


def test_the_commands_of_the_readme_make_the_same_coding(made: Path, tmp_path: Path) -> None:
    """`code` on photographs/ and maps/, as README tells, gives the pictures that lie there."""
    code_folder(made / "photographs", str(made / "maps"), own_example.BPPS, tmp_path / "again")
    for part in ("reference", "saliency", "compressed"):
        assert contents(tmp_path / "again" / part) == contents(made / part)


def test_says_what_is_simulated(made: Path, capsys: Capture) -> None:
    assert cli.main(["example", str(made)]) == 0
    out = capsys.readouterr().out
    readme = (made / "README.txt").read_text()
    for name in ("fixations.csv", "mos.csv", "moses.csv"):
        assert any(name in line for line in out.splitlines() if line.startswith("simulated"))
    assert "SIMULATED" in readme and all(sentence in readme for sentence in own_example.SIMULATED)
    assert cli.main(["example", str(made), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert not told["written"] and told["images"] == 18 and set(told["photographs"]) == set(PHOTOGRAPHS)
    assert all(command in out for command in told["commands"]) and str(made) in told["commands"][0]
    top = {path.name for path in made.iterdir() if not path.name.startswith(".")}
    assert {name for name in top if name not in readme} == {"README.txt", "moses.json"} and "moses.csv, .json" in readme


# ---- written once, whole, over nothing ------------------------------------------------------------------------------
def test_a_second_call_writes_nothing(made: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.suffix != ".lock"}
    assert not write_example(made).fresh
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*") if path.suffix != ".lock"} == before


@pytest.mark.parametrize("name", ["mos.csv", "images/mine.jpg", "notes.txt", ".example.json"])
def test_foreign_folders_are_refused(tmp_path: Path, name: str) -> None:
    """The user's own data are left as they are, down to a mark that is none."""
    (tmp_path / "own" / name).parent.mkdir(parents=True)
    (tmp_path / "own" / name).write_text("{}")
    (tmp_path / "own" / "mine.txt").write_text("mine")
    with pytest.raises(PaperlibError, match="did not write"):
        write_example(tmp_path / "own")
    assert contents(tmp_path / "own") == {name: b"{}", "mine.txt": b"mine"}


def test_a_changed_example_is_refused(tmp_path: Path) -> None:
    """A table of the user's own in it, or a picture added, stays; what was taken out comes back."""
    own = tmp_path / "own"
    write_example(own)
    whole = contents(own)
    (own / "my_model.py").unlink()
    assert write_example(own).fresh and contents(own) == whole
    (own / "images" / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(PaperlibError, match=r"besides images/mine\.jpg"):
        write_example(own)
    (own / "images" / "mine.jpg").unlink()
    (own / "mos.csv").write_text("image,mos\nmine.jpg,3\n")
    with pytest.raises(PaperlibError, match=r"changed since \(mos\.csv\)"):
        write_example(own)
    assert (own / "mos.csv").read_text() == "image,mos\nmine.jpg,3\n"


def test_two_at_once(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    with FileLock(tmp_path / "own" / ".example.lock"), pytest.raises(PaperlibError, match="another process"):
        write_example(tmp_path / "own")


def test_a_killed_call_is_gone_on_with(made: Path, tmp_path: Path) -> None:
    """Killed while it codes; what stands there is not taken for an example, and the next call ends in the same bytes."""
    own = tmp_path / "own"
    kill_when(["example", str(own)], lambda: any(own.glob("compressed/*/*.json")))
    assert not (own / "moses.csv").exists() and json.loads((own / ".example.json").read_text())["files"] == {}
    (own / ".mos.csv.abc.part").write_bytes(b"left behind by a kill")
    assert write_example(own).fresh
    after = contents(own)
    after.pop(".mos.csv.abc.part", None)
    assert after == contents(made)


# ---- its network ----------------------------------------------------------------------------------------------------
def test_table_three_has_a_row_of_the_network(made: Path, tmp_path: Path, monkeypatch: Patch, capsys: Capture) -> None:
    """One command, from any folder: the module is found in the folder of the data."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["table", "3", "--profile", "own", "--data-root", str(made), "--model", MODEL, "--json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    own = {cell["metric"]: cell for cell in cells if cell["method"] == MODEL}
    assert {name: cell["n"] for name, cell in own.items()} == dict.fromkeys(("SROCC", "PLCC", "FracCP"), len(PHOTOGRAPHS))
    assert own["SROCC"]["value"] > 0.7


def test_its_scores_follow_the_opinions(made: Path) -> None:
    """So that Figure 2 has something to lose: each photograph's blurred version scores below its good one, and all scores
    correlate with MOS, by scipy."""
    import torch

    profile = profiles.load("own", data_root=str(made), models=(MODEL,), model_folders=(str(made),))
    own = Made(source.of_user(profile.models, profile.model_folders)[MODEL])
    params = network_params(profile, own, (64, 96)) | network_places(profile, own.source) | {"optimise": False}
    network, layer = function(own.source.opener)(params, {})
    assert layer is network.contrast
    records = open_own_opinions(made).records
    with torch.inference_mode():
        scores = [float(network(torch.from_numpy(record.load_image()).permute(2, 0, 1)[None] / 255)) for record in records]
    assert stats.spearmanr(scores, [record.mos for record in records]).statistic > 0.5
    by_key = {record.key: score for record, score in zip(records, scores, strict=True)}
    for name in PHOTOGRAPHS:
        good, blurred = (
            next(score for key, score in by_key.items() if key.startswith(f"{name}_{kind}")) for kind in ("good", "blur")
        )
        assert good > blurred


def test_kernels_and_workers_find_it(made: Path, tmp_path: Path) -> None:
    """A process elsewhere with the environment of a notebook's kernel computes Table III in workers of its own."""
    code = (
        "from paperlib import profiles, regenerate\n"
        "if __name__ == '__main__':\n"
        "    cells = regenerate.table(3, profiles.load('own', scored_methods=['psnr'])).cells\n"
        f"    print(cells[cells['method'] == {MODEL!r}]['n'].tolist())\n"
    )
    kernel = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "PAPERLIB_DATA_ROOT": str(made),
        "PAPERLIB_MODELS": MODEL,
        "PAPERLIB_WORKERS": "2",
        "PAPERLIB_MODEL_PATH": os.pathsep.join([str(tmp_path), str(made)]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    (tmp_path / "numpy.py").write_text("raise RuntimeError('a file of the user took the place of a package')")
    (tmp_path / "elsewhere").mkdir()
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path / "elsewhere", env=kernel, capture_output=True, text=True, check=False
    )
    assert run.stdout.strip() == str([len(PHOTOGRAPHS)] * 3), run.stderr


def test_the_first_folder_is_searched_first(made: Path, tmp_path: Path) -> None:
    (tmp_path / "my_model.py").write_text((made / "my_model.py").read_text())
    with in_use(Settings(model_path=(tmp_path, made))):
        assert find_module("my_model", profiles.load("own").model_folders) == tmp_path / "my_model.py"


@pytest.mark.parametrize("name", ["nowhere_at_all:sharpness", "nowhere.at.all:sharpness"])
def test_a_module_that_is_nowhere_is_told_at_once(made: Path, capsys: Capture, name: str) -> None:
    assert cli.main(["table", "1", "--profile", "own", "--data-root", str(made), "--model", name]) == 2
    said = refusal(capsys)
    assert f"no module {name.partition(':')[0]}" in said and str(made) in said


@pytest.mark.parametrize(("pooling", "is_there"), [(1, False), (2, True)])
def test_a_layer_of_many_places_is_compared_without_eigengradcam(pooling: int, is_there: bool) -> None:
    """Its matrix of all places by all places took 21 GiB of memory for a network without pooling, and the kernel with it."""
    from torch import nn

    layer = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.ReLU(), nn.AvgPool2d(pooling))
    network = nn.Sequential(layer, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)).eval()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, size, np.uint8) for size in ((40, 40, 3), (100, 104, 3))]
    densities = [rng.random(image.shape[:2], np.float32) for image in images]
    shown = explore.Examples(images, densities, network, layer, {})
    pictures, agreement = explore.compare_cams(shown, ("hirescam", "eigengradcam"))
    assert ("eigengradcam" in pictures.rows) == is_there == agreement.loc["eigengradcam"].notna().all()
    assert "hirescam" in pictures.rows and not layer._forward_hooks
