"""Table I on photographs: the whole way on a small stand-in folder of one's own, with a folder of maps and a network."""

import math

import numpy as np
import pandas as pd
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


def test_the_truth_differs_from_the_prior_and_by_nothing_else_more_surely(table):
    p = table.cells[table.cells["metric"] == "CC"].set_index("method")["p_holm"]
    assert p["truth"] == p.min() and math.isnan(p["center_prior"])


def spans(*entries):
    frame = pd.DataFrame(entries, columns=["dataset", "method", "variant", "value"])
    return frame.assign(metric="CC", seed=-1, low=frame["value"] - 0.1, high=frame["value"] + 0.1, n=7)


def test_ingredients_stand_in_their_order_and_set_by_set_with_table_ones_intervals():
    rows = spans(
        ("b", "fastgaze", "interval/fitted", 0.9),
        ("b", "baseline", "interval/fitted", 0.5),
        ("b", "baseline", "interval/raw", 0.1),
        ("b", "edge_energy", "interval/fitted", 0.2),
        ("b", "center_prior", "interval/fitted", 0.4),
        ("a", "uniform_observers", "interval/fitted", 0.3),
        ("a", "center_prior", "difference/fitted", 0.6),
    )
    found = results.ingredients(pd.concat([rows, rows.assign(metric="KLD")]), profiles.load("open", rows="kept"))
    assert found[["dataset", "method", "value"]].values.tolist() == [
        ["b", "center_prior", 0.4],
        ["b", "baseline", 0.5],
        ["b", "supervised", 0.9],
        ["a", "uniform_observers", 0.3],
    ]
    assert set(found["evidence"]) == {"data"} and set(found["n"]) == {7}
    np.testing.assert_allclose(found["high"] - found["low"], 0.2)


def test_ingredients_are_the_cells_of_table_one(profile, table):
    found = results.ingredients(regenerate.rows("extracting", profile), profile).set_index("method").loc["center_prior"]
    cell = table.cells.set_index(["method", "metric"]).loc[("center_prior", "CC")]
    assert found[["low", "high"]].tolist() == cell[["low", "high"]].tolist() and found["value"] == pytest.approx(
        cell["value"]
    )


def test_steps_of_the_first_set_have_names_for_people():
    rows = spans(
        ("osie", "baseline", "raw", 0.2),
        ("osie", "baseline", "fitted", 0.4),
        ("osie", "baseline", "plain", 0.3),
        ("osie", "center_prior", "raw", 0.1),
        ("eyecrowd", "baseline", "raw", 0.8),
    ).assign(seed=0)
    found = results.step_by_step(
        pd.concat([rows, rows.assign(seed=1, value=rows["value"] + 0.1)]), ["center_prior", "noise_map", "baseline"]
    )
    assert found.index.tolist() == ["Center Prior", "Noise map", "Baseline"]
    assert found.columns.tolist() == [("OSIE", step) for step in results.STEPS.values()]
    np.testing.assert_allclose(found.to_numpy(), [[np.nan, 0.15, np.nan], [np.nan] * 3, [0.35, 0.25, 0.45]])


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
