"""Table I on photographs: the whole way on a small stand-in folder of one's own, with a folder of maps and a network."""

import numpy as np
import pytest
import torch
from PIL import Image

from paperlib import profiles, regenerate
from paperlib.datasets.own import open_own
from paperlib.errors import PaperlibError
from paperlib.experiments.extracting import explore, plan, results
from paperlib.metrics.saliency import evaluate
from paperlib.sources import source
from tests.own_standins import write_own


class TinyIqa(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.layer = torch.nn.Conv2d(3, 6, 5, stride=8, padding=2)
        self.head = torch.nn.Conv2d(6, 1, 3)

    def forward(self, images):
        return self.head(self.layer(images).relu()).mean((1, 2, 3))


def tiny_iqa():
    return TinyIqa(), "layer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven pictures; the maps of `saliency_truth` are their own densities."""
    root = tmp_path_factory.mktemp("own")
    write_own(root, 7, 0)
    (root / "saliency_truth").mkdir()
    for record in open_own(root).records:
        density = record.load_density()
        Image.fromarray(np.rint(255 * density / density.max()).astype(np.uint8)).save(
            root / "saliency_truth" / f"{record.image.stem}.png"
        )
    return root


@pytest.fixture(scope="module")
def profile(folder, tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
    patch.setenv("PAPERLIB_WORKERS", "1")
    yield profiles.load("own", data_root=str(folder), models=[f"{__name__}:tiny_iqa"], shard=3, n_passes=2, n_resamples=500)
    patch.undo()


@pytest.fixture(scope="module")
def table(profile):
    return regenerate.table(1, profile)


def value(table, method, metric):
    cells = table.cells.set_index(["method", "metric"])["value"]
    return cells[method, metric]


def test_every_row_is_there_with_intervals(table):
    methods = set(table.cells["method"])
    assert {
        "center_prior",
        "truth",
        "residual",
        f"{__name__}:tiny_iqa",
        "noise_map",
        "shuffled_map",
        "center_only",
        "edge_energy",
    } == methods
    cells = table.cells.dropna(subset="value")
    assert len(cells) == len(table.cells)
    assert (cells["low"] <= cells["value"] + 1e-9).all() and (cells["value"] <= cells["high"] + 1e-9).all()


def test_the_truth_as_a_map_is_nearly_perfect_and_noise_is_the_prior(table):
    assert value(table, "truth", "CC_raw") > 0.99
    assert value(table, "truth", "CC") > 0.98
    assert value(table, "noise_map", "CC_raw") < 0.1
    assert abs(value(table, "noise_map", "CC") - value(table, "center_prior", "CC")) < 0.1


def test_raw_rows_equal_the_metrics_called_directly(folder, table):
    found = []
    for record in open_own(folder).records:
        levels = np.asarray(Image.open(folder / "saliency_truth" / f"{record.image.stem}.png"), np.float32)
        found.append(evaluate((levels / 255)[None], record.load_density()[None])["KLD"][0])
    assert value(table, "truth", "KLD_raw") == pytest.approx(np.mean(found), abs=1e-6)


def test_results_do_not_depend_on_shards(profile, table):
    other = regenerate.table(
        1, profiles.load("own", data_root=profile.data_root, models=profile.models, shard=50, n_passes=2, n_resamples=500)
    )
    np.testing.assert_allclose(other.cells["value"], table.cells["value"], atol=1e-6)


def test_differences_name_what_beats_the_prior(profile, table):
    frame = results.differences(regenerate.rows("extracting", profile))
    assert frame["difference"].idxmax() == "truth" and frame.loc["truth", "low"] > 0
    assert frame.loc["truth", "p_holm"] == frame["p_holm"].min()


def test_figure_shows_the_network_and_the_folder(profile, table):
    data = regenerate.figure(1, profile)
    assert list(data.rows) == ["Gaze density", "residual", f"{__name__}:tiny_iqa"]


def test_the_explorer_gives_the_networks_of_the_profile(profile, table):
    material = explore.material(profile)
    assert list(material.networks) == [f"{__name__}:tiny_iqa"]
    view = explore.explore(material, material.standard)
    stored = explore.examples(profile).maps[f"{__name__}:tiny_iqa"][0]
    np.testing.assert_allclose(view.saliency / view.saliency.max(), stored, atol=0.01)


@pytest.mark.parametrize(
    ("models", "complaint"),
    [(["=x"], "names no model"), (["topiq=nowhere.pth"], "no file of weights"), (["topiq", "topiq"], "give each once")],
)
def test_bad_models_are_told(models, complaint):
    with pytest.raises(PaperlibError, match=complaint):
        source.of_user(models)


def test_missing_data_and_weights_are_told_before_any_work(monkeypatch, folder):
    monkeypatch.delenv("PAPERLIB_DATA_ROOT", raising=False)
    with pytest.raises(PaperlibError, match="--data-root"):
        plan.units(profiles.load("own"))
    with pytest.raises(PaperlibError, match=r"1 file\(s\) of weights are missing"):
        plan.units(profiles.load("own", data_root=str(folder), models=["topiq"]))
