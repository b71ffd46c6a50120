"""Real gaze on real photographs (OSIE): our densities and fixations give the figures that were computed without us; and
the files of SALICON are read as pysaliency reads them."""

import importlib.util
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from paperlib.datasets.files import read_grey
from paperlib.datasets.gaze import GazeSet, check, fixation_map
from paperlib.datasets.own import map_folders
from paperlib.datasets.registry import open_gaze
from paperlib.metrics.saliency import evaluate
from paperlib.rehearsal.salicon_cat2000 import write_salicon

FIGURES = {
    "fastgaze": {"NSS_fix": 1.600, "SIM": 0.465, "CC": 0.531, "KLD": 1.055},
    "Gaussian, sigma (W/4, H/4)": {"NSS_fix": 0.821, "SIM": 0.380, "CC": 0.308, "KLD": 1.270},
    "aim": {"NSS_fix": 1.148},
}
"""From ../shared/real_gaze/README.md: SIM after min-max scaling (MIT), KLD with eps 2.2e-16, sigma 24 px."""
ROUNDING = 5.5e-4

# fmt: off
PEDESTALS = (
    0.0763, 0.1858, 0.0306, 0.2337, 0.1596, 0.1735, 0.0090, 0.1896, 0.0695, 0.0717, 0.0979, 0.1316, 0.0503, 0.1994,
    0.1150, 0.0380, 0.0181, 0.0604, 0.0631, 0.0390, 0.0251, 0.1206, 0.1552, 0.0642, 0.0479, 0.0656, 0.1194, 0.0532,
    0.0410, 0.0462, 0.0654, 0.2740, 0.0519, 0.0969, 0.0487, 0.1146, 0.0629, 0.0219, 0.1567, 0.0543,
)
# fmt: on
"""min / (max - min) of FastGaze's softmax on each picture, from its public weights: the stored 8-bit maps are min-max
scaled, which NSS, CC and MIT's SIM do not see, but KLD does."""


@pytest.fixture(scope="module")
def real(shared: Callable[..., Path]) -> tuple[Path, GazeSet]:
    root = shared("real_gaze")
    return root, open_gaze("own", root, sigma_px=24)


def measured(real: tuple[Path, GazeSet], predictions: list[np.ndarray]) -> dict[str, float]:
    """Means over the pictures, one picture at a time."""
    rows = []
    for record, prediction in zip(real[1].records, predictions, strict=True):
        counts = fixation_map(record.load_fixations(), record.size)
        values = evaluate(prediction[None], record.load_density()[None], counts[None], sim_convention="mit")
        rows.append({name: value[0] for name, value in values.items()})
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def test_counts(real: tuple[Path, GazeSet]) -> None:
    statistics = check(real[1])
    assert (statistics.pictures, statistics.fixations, statistics.dropped, statistics.observers) == (40, 5692, 0, 15)


@pytest.mark.parametrize("model", ["fastgaze", "aim"])
def test_stored_maps(real: tuple[Path, GazeSet], model: str) -> None:
    files = map_folders(real[0])[model]
    got = measured(real, [read_grey(files[record.key]) for record in real[1].records])
    for metric, value in FIGURES[model].items():
        if metric != "KLD":
            assert got[metric] == pytest.approx(value, abs=ROUNDING), metric


def test_kld_of_fastgaze_with_the_pedestal_that_min_max_scaling_removed(real: tuple[Path, GazeSet]) -> None:
    files = map_folders(real[0])["fastgaze"]
    maps = [read_grey(files[record.key]) / 255 + add for record, add in zip(real[1].records, PEDESTALS, strict=True)]
    got = measured(real, maps)
    for metric, value in FIGURES["fastgaze"].items():
        assert got[metric] == pytest.approx(value, abs=ROUNDING), metric


def test_gaussian_centre_prior(real: tuple[Path, GazeSet]) -> None:
    rows, columns = np.mgrid[:600, :800]
    prior = np.exp(-0.5 * (((rows - 299.5) / 150) ** 2 + ((columns - 399.5) / 200) ** 2)).astype(np.float32)
    got = measured(real, [prior] * 40)
    for metric, value in FIGURES["Gaussian, sigma (W/4, H/4)"].items():
        assert got[metric] == pytest.approx(value, abs=ROUNDING), metric


def test_salicon_files_as_pysaliency_reads_them(tmp_path: Path, monkeypatch) -> None:
    if importlib.util.find_spec("pysaliency") is None:
        pytest.skip("pysaliency is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pysaliency.external_datasets import salicon as peer

    for split in ("train", "val"):
        write_salicon(tmp_path / split, 3, 5, split=split)
        shutil.copytree(tmp_path / split / "fixations", tmp_path / "packed", dirs_exist_ok=True)
    archive = shutil.make_archive(str(tmp_path / "fixations"), "zip", tmp_path / "packed")
    monkeypatch.setattr(peer, "download_file_from_google_drive", lambda _, target: shutil.copy(archive, target))
    monkeypatch.setattr(peer, "check_file_hash", lambda *_: None)
    theirs = dict(zip(("train", "val"), peer._get_SALICON_fixations(None, "x", "2017", "fixations"), strict=True))

    for split, points in theirs.items():
        inside = (points.x >= 0) & (points.x < 640) & (points.y >= 0) & (points.y < 480)
        gaze_set = open_gaze("salicon", tmp_path / split, split=split)
        statistics = check(gaze_set)
        assert (statistics.fixations, statistics.dropped) == (inside.sum(), (~inside).sum())
        for number, record in enumerate(gaze_set.records):
            own = inside & (points.n == number)
            np.testing.assert_array_equal(record.load_fixations(), np.stack([points.y[own], points.x[own]], axis=1))
