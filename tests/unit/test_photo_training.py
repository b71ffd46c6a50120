"""Table II on photographs: the whole way on stand-ins of a few pictures, with a tiny backbone and two steps."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from paperlib import experiments, profiles
from paperlib.datasets.opinion_standins import write_clive, write_koniq
from paperlib.datasets.opinions import open_opinions
from paperlib.datasets.standins import write_salicon
from paperlib.engine.store import ResultStore
from paperlib.errors import PaperlibError
from paperlib.experiments import judging
from paperlib.experiments import photo_training as photo
from paperlib.experiments.rehearsal import _save
from paperlib.metrics.correlation import srocc
from paperlib.models.backbones import create_backbone, imagenet_file
from paperlib.models.baseline import Baseline, to_unit_range

BACKBONE = "test_resnet"
SETTINGS = profiles.DualTaskSettings(
    "koniq10k", gaze_sets=("salicon",), backbones=(BACKBONE,), targets=("edge_energy", "center_only"), steps=2,
    training_height=48, training_width=64, crop_height=32, crop_width=48, deterministic=True,
)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Results of this module in a folder of their own, and no stand-ins beside those of `data`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("PAPERLIB_WORKERS", "1")
        patch.setattr(photo, "write_standins", lambda profile: None)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    import timm

    root = tmp_path_factory.mktemp("data")
    write_koniq(root / "koniq10k", 20, 0)
    write_clive(root / "clive", 4, 0)
    write_salicon(root / "salicon", 3, 0)
    torch.manual_seed(0)
    _save(timm.create_model(BACKBONE), root / "weights" / imagenet_file(BACKBONE))
    return root


def profile_of(root, settings=SETTINGS, **values):
    options = {"seeds": [0, 1], "weights_root": str(root / "weights"), "batch_size": 4, "shard": 9, "n_passes": 2,
               "input_height": 48, "input_width": 64, "methods": ["center_only"], "n_folds": 2} | values
    return replace(profiles.load("rehearsal", data_root=str(root), **options), dual_task=settings)


@pytest.fixture(scope="module")
def results(data):
    profile = profile_of(data)
    return experiments.compute(photo.units(profile), profile, "table 2")


@pytest.fixture(scope="module")
def rows(results):
    return pd.concat([result.rows for result in results.values() if len(result.rows)], ignore_index=True)


def cell(table, method, dataset, metric):
    return table.cells.set_index(["method", "dataset", "metric"]).loc[method, dataset, metric]


def test_every_row_of_the_table_is_filled(rows, data):
    table = photo.table(rows, profile_of(data))
    trained = ["baseline", "baseline_sal_loss", "baseline_gradcam_loss"]
    for method in trained:
        for column in table.columns:
            one = cell(table, method, column.dataset, column.metric)
            assert one["n"] == 2 and math.isfinite(one["value"]) and math.isfinite(one["sd"])
            assert one["published"] > 0 and one["low"] <= one["value"] <= one["high"]
    assert cell(table, "center_prior", "salicon", "CC")["value"] > 0
    assert math.isnan(cell(table, "msinet", "salicon", "CC")["value"])
    controls = table.cells[table.cells["section"] == "Control"]
    assert set(controls["n"]) == {1} and not controls["ranked"].any() and controls["method"].nunique() == 2
    assert len([note for note in table.notes if "TOST over 2 repeats" in note]) == 4
    assert "mean nothing" in table.caption


def test_scores_and_srocc_are_those_of_the_stored_network(results, data):
    weights = results[f"train/{BACKBONE}/sal_loss/edge_energy/seed1"].arrays
    network = Baseline(create_backbone(BACKBONE), decoder=True)
    network.load_state_dict({
        name.removeprefix("weights."): torch.from_numpy(value.copy()) for name, value in weights.items() if "." in name
    })
    test = open_opinions("koniq10k", data / "koniq10k", partial=True).part("test")
    with torch.no_grad():
        seen = [photo.picture(record, (48, 64))[None].copy() for record in test.records]
        expected = [network.eval()(to_unit_range(image)).item() for image in seen]
    found = results[f"quality/{BACKBONE}/sal_loss/edge_energy/koniq10k/seed1"]
    np.testing.assert_allclose(found.arrays["scores"], expected, atol=1e-5)
    row = found.rows.set_index("metric").loc["SROCC"]
    assert row["value"] == pytest.approx(srocc(expected, test.mos)) and row["n"] == len(test) == 4
    assert results[f"quality/{BACKBONE}/sal_loss/edge_energy/clive/seed1"].rows["n"].tolist() == [4, 4]


def test_training_pictures_get_their_own_maps(data, results, monkeypatch):
    """The maps are stored by part and shard; a picture's own edges tell whether they were put together in order."""
    from paperlib.maps.controls import edge_energy_maps
    from paperlib.maps.transform import to_levels

    profile, found = profile_of(data), []
    proxy_maps = photo._proxy_maps

    def remembered(params, inputs, pictures):
        found.append((pictures, proxy_maps(params, inputs, pictures)))
        return found[0][1]

    monkeypatch.setattr(photo, "_proxy_maps", remembered)
    name = f"train/{BACKBONE}/gradcam_loss/edge_energy/seed0"
    unit = next(one for one in photo.units(profile) if one.name == name)
    store = ResultStore(profile.store_root)
    again = photo.train(unit.arguments, {need.name: store.load(need) for need in unit.needs}, store.scratch(unit))
    pictures, maps = found[0]
    assert len(pictures) == 16 and pictures.splits == {"training": 14, "validation": 2}
    for index, record in enumerate(pictures.records):
        own = to_levels(edge_energy_maps(record.load_image()[None])[0])
        assert np.abs(maps.load(index).astype(int) - own).max() <= 1, record.key
    for name, array in again.arrays.items():
        np.testing.assert_array_equal(array, results[unit.name].arrays[name], err_msg=name)


def test_variants_start_alike_and_end_apart(results):
    plain, decoded, gradcam = (
        results[f"train/{BACKBONE}/{name}/seed0"].arrays
        for name in ("baseline/none", "sal_loss/edge_energy", "gradcam_loss/edge_energy")
    )
    assert set(gradcam) == set(plain)
    assert set(decoded) - set(plain) == {"weights.decoder.weight", "weights.decoder.bias"}
    assert all(one["losses"].shape == (2,) for one in (plain, decoded, gradcam))
    params = {"seed": 3, "backbone": BACKBONE}
    starts = [photo._task(params | {"variant": variant}).network.head[0].weight for variant in photo.METHODS]
    assert torch.equal(starts[0], starts[1]) and torch.equal(starts[0], starts[2])
    assert not np.array_equal(plain["weights.head.0.weight"], gradcam["weights.head.0.weight"])


def test_equivalence_is_decided_by_the_margin():
    rng = np.random.default_rng(0)
    base = 0.9 + rng.normal(0, 0.01, 10)
    shifts = {"baseline": 0.0, "baseline_sal_loss": 0.0005, "baseline_gradcam_loss": -0.03}
    rows = pd.DataFrame([
        {"method": method, "dataset": "koniq10k", "metric": "SROCC", "variant": "quality", "seed": seed,
         "value": base[seed] + shift + rng.normal(0, 0.001)}
        for method, shift in shifts.items() for seed in range(10)
    ])
    verdicts = photo.equivalence(rows, SETTINGS).set_index("method")["verdict"]
    assert verdicts.to_dict() == {"baseline_sal_loss": "equivalent", "baseline_gradcam_loss": "lower"}
    assert photo.equivalence(rows[rows["seed"] == 0], SETTINGS).empty


def test_a_picture_on_both_sides_is_named(data, tmp_path):
    shutil.copytree(data / "koniq10k", tmp_path / "koniq10k")
    (tmp_path / "koniq10k" / ".standin.json").unlink()
    whole = open_opinions("koniq10k", tmp_path / "koniq10k", partial=True)
    test, own = whole.part("test").records[0], whole.part("validation").records[0]
    shutil.copyfile(test.path, own.path)
    settings = replace(SETTINGS, quality_sets=("koniq10k",), gaze_sets=())
    unit = photo.units(profile_of(tmp_path, settings, weights_root=str(data / "weights")))[0]
    with pytest.raises(PaperlibError, match=f"1 pictures .* {own.key} = {test.key} of KonIQ-10k"):
        photo.check_leaks(unit.arguments, {}, tmp_path)


def test_a_picture_that_cannot_be_read_ends_the_run_before_any_training(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    record = open_opinions("clive", tmp_path / "data" / "clive", partial=True).records[0]
    content = record.path.read_bytes()
    unit = photo.units(profile_of(tmp_path / "data"))[0]
    record.path.write_bytes(content[:len(content) // 2])
    with pytest.raises(PaperlibError, match=f"CLIVE .*{record.key}"):
        photo.check_leaks(unit.arguments, {}, tmp_path)


def test_what_is_missing_or_unknown_is_one_sentence(data, tmp_path):
    with pytest.raises(PaperlibError, match=f"missing .*{imagenet_file(BACKBONE)}"):
        photo.units(profile_of(data, weights_root=str(tmp_path)))
    with pytest.raises(PaperlibError, match="target elephants"):
        photo.networks(replace(SETTINGS, targets=("elephants",)))
    with pytest.raises(PaperlibError, match="no split"):
        photo.training_set(open_opinions("clive", data / "clive", partial=True))


def test_networks_of_table_1_alone_need_no_weights_here(data):
    assert photo.units(profile_of(data, methods=["dbcnn"]))


def test_names_differ_and_controls_are_few(data):
    profile = profile_of(data)
    names = [unit.name for unit in photo.units(profile)]
    assert len(set(names)) == len(names)
    trained = [name for name in names if name.startswith("train/")]
    assert len(trained) == 2 * 3 + 2


def test_the_common_door_leads_here_and_claim_3_is_judged(rows, data):
    table = experiments.table(2, profile_of(data))
    assert table.cells["value"].equals(photo.table(rows, profile_of(data)).cells["value"])
    parts = judging.dual_task_parts(rows)
    expected = [
        rows.query("method == @method and dataset == 'koniq10k' and metric == 'SROCC' and seed == 1")["value"].item()
        for method in ("baseline_sal_loss", "baseline")
    ]
    assert parts["SROCC: Sal-Loss − Baseline"].loc[1] == pytest.approx(expected[0] - expected[1])
    assert all(len(series) == 2 for series in parts.values())
