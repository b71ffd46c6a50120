"""Section III-C: the whole way on stand-ins of a few pictures, with a tiny backbone and two steps; and quality drops."""

import math
import shutil
from collections import Counter
from dataclasses import replace
from importlib import import_module

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save

from paperlib import cli, profiles, regenerate
from paperlib.datasets import registry
from paperlib.datasets.registry import open_opinions
from paperlib.engine.units import function
from paperlib.errors import PaperlibError
from paperlib.experiments.claims import Part
from paperlib.experiments.dual_task import explore
from paperlib.experiments.dual_task import results as told
from paperlib.experiments.dual_task.plan import units as planned
from paperlib.experiments.running import compute
from paperlib.experiments.training import plan
from paperlib.experiments.training.checking import check_leaks
from paperlib.maps.controls import edge_energy_maps
from paperlib.maps.transform import to_levels
from paperlib.metrics.correlation import srocc
from paperlib.metrics.equivalence import tost
from paperlib.models.backbones import create_backbone, imagenet_file
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.stages import cut
from paperlib.rehearsal.koniq_clive import write_clive, write_koniq
from paperlib.rehearsal.salicon_cat2000 import write_salicon
from paperlib.rehearsal.write import save_network
from paperlib.show import tables
from paperlib.sources.maps import picture
from paperlib.sources.source import Source, baseline_file
from paperlib.tasks import export

BACKBONE = "test_resnet"
SETTINGS = profiles.DualTaskSettings(
    "koniq10k",
    gaze_sets=("salicon",),
    backbones=(BACKBONE,),
    targets=("edge_energy", "center_only"),
    steps=2,
    training_height=48,
    training_width=64,
    crop_height=32,
    crop_width=48,
    deterministic=True,
)


@pytest.fixture(scope="module", autouse=True)
def place(tmp_path_factory):
    """Results of this module in a folder of their own, and no stand-ins beside those of `data`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("PAPERLIB_WORKERS", "1")
        patch.setattr(regenerate, "make_ready", lambda profile: None)
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
    save_network(timm.create_model(BACKBONE), root / "weights" / imagenet_file(BACKBONE))
    return root


def profile_of(root, settings=SETTINGS, **values):
    options = {
        "seeds": [0, 1],
        "weights_root": str(root / "weights"),
        "batch_size": 4,
        "shard": 9,
        "n_passes": 2,
        "input_height": 48,
        "input_width": 64,
        "methods": ["center_only"],
        "n_folds": 2,
    } | values
    return replace(profiles.load("rehearsal", data_root=str(root), **options), dual_task=settings)


@pytest.fixture(scope="module")
def results(data):
    profile = profile_of(data)
    trained = [one.unit for one in plan.trainings(profile)]
    return compute([*planned(profile), *trained], profile, "table 2")


@pytest.fixture(scope="module")
def rows(results):
    return pd.concat([result.rows for result in results.values() if len(result.rows)], ignore_index=True)


def cell(table, method, dataset, metric):
    return table.cells.set_index(["method", "dataset", "metric"]).loc[method, dataset, metric]


def test_every_row_of_the_table_is_filled(rows, data):
    table = told.table(rows, profile_of(data))
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
    network.load_state_dict(
        {name.removeprefix("weights."): torch.from_numpy(value.copy()) for name, value in weights.items() if "." in name}
    )
    test = open_opinions("koniq10k", data / "koniq10k", partial=True).part("test")
    with torch.no_grad():
        seen = [picture(record, (48, 64))[None].copy() for record in test.records]
        expected = [network.eval()(to_unit_range(image)).item() for image in seen]
    found = results[f"quality/{BACKBONE}/sal_loss/edge_energy/koniq10k/seed1"]
    np.testing.assert_allclose(found.arrays["scores"], expected, atol=1e-5)
    row = found.rows.set_index("metric").loc["SROCC"]
    assert row["value"] == pytest.approx(srocc(expected, test.mos)) and row["n"] == len(test) == 4
    assert results[f"quality/{BACKBONE}/sal_loss/edge_energy/clive/seed1"].rows["n"].tolist() == [4, 4]


def test_training_pictures_get_their_own_maps(data, results):
    """The maps are stored by part and shard; a picture's own edges tell whether they stand in order."""
    profile = profile_of(data)
    whole = open_opinions("koniq10k", data / "koniq10k", partial=True)
    (one,) = [one for one in plan.trainings(profile) if one.name == f"{BACKBONE}/gradcam_loss/edge_energy/seed0"]
    stored = compute([unit for unit in one.unit.needs if unit.experiment == "maps"], profile, "maps")
    for part in profile.dual_task.training_parts:
        levels = {
            key: value
            for name, result in stored.items()
            if name.startswith(f"proxy edge_energy, {part}/")
            for key, value in result.arrays.items()
        }
        for index, record in enumerate(whole.part(part).records):
            own = to_levels(edge_energy_maps(record.load_image()[None])[0])
            assert np.abs(levels[f"maps.{index}"].astype(int) - own).max() <= 1, record.key


def test_stored_features_give_the_loss_of_the_pictures_and_only_the_rest_is_trained(data):
    """`test_resnet` cut behind layer2: features of the frozen part, read back, against the whole network on the pictures."""
    settings = replace(SETTINGS, frozen_until="layer2", crop_height=0, crop_width=0, targets=("edge_energy",))
    profile = profile_of(data, settings)
    (one,) = [one for one in plan.trainings(profile) if one.name == f"{BACKBONE}/gradcam_loss/edge_energy/seed0"]
    inputs = compute([*one.unit.needs, one.unit], profile, "trained")
    trained = inputs[one.unit.name].arrays
    pictures = open_opinions("koniq10k", data / "koniq10k", partial=True).part("training")
    network = Baseline(create_backbone(BACKBONE, imagenet=data / "weights" / imagenet_file(BACKBONE))).eval()
    first, rest = cut(network.backbone, "layer2")
    shards = [one for name, one in inputs.items() if name.startswith(f"features/{BACKBONE}/koniq10k/training/")]
    stored = {name: value for shard in shards for name, value in shard.arrays.items()}
    pixels = np.stack(
        [cv2.resize(record.load_image(), (64, 48), interpolation=cv2.INTER_AREA) for record in pictures.records]
    )
    images = to_unit_range(pixels)
    with torch.no_grad():
        expected = torch.stack([network.features(images), network.features(images.flip(3))], 1)
        got = rest(torch.from_numpy(np.concatenate([stored[f"features.{n}"] for n in range(len(pixels))])).float())
    torch.testing.assert_close(got.reshape(expected.shape), expected, rtol=2e-3, atol=2e-3 * float(expected.abs().max()))
    frozen = {f"weights.backbone.network.{name}" for name in trained_names(network.backbone.network, first)}
    start = {f"weights.{name}": value.numpy() for name, value in network.state_dict().items()}
    changed = {
        name for name, value in trained.items() if name.startswith("weights.") and not np.array_equal(value, start[name])
    }
    assert frozen and not frozen & changed
    assert any(name.startswith("weights.backbone.network.layer4") for name in changed)


def trained_names(network: torch.nn.Module, part: torch.nn.Module) -> list[str]:
    """Names of the state of `network` that belongs to `part`, running statistics included."""
    held = {value.data_ptr() for value in part.state_dict().values()}
    return [name for name, value in network.state_dict().items() if value.data_ptr() in held]


def test_variants_start_alike_and_end_apart(results):
    plain, decoded, gradcam = (
        results[f"train/{BACKBONE}/{name}/seed0"].arrays
        for name in ("baseline/none", "sal_loss/edge_energy", "gradcam_loss/edge_energy")
    )
    assert set(gradcam) == set(plain)
    assert set(decoded) - set(plain) == {"weights.decoder.weight", "weights.decoder.bias"}
    assert all(one["losses"].shape == (2,) for one in (plain, decoded, gradcam))
    assert not np.array_equal(plain["weights.head.0.weight"], gradcam["weights.head.0.weight"])


def test_every_network_is_compared_with_the_baseline_of_its_backbone():
    profile = profiles.load("paper", backbones=["efficientnet_b0", "resnet50"], targets=["msinet", "center_only"])
    found = told.references(profile)
    assert found["baseline_sal_loss"] == found["baseline_gradcam_loss"] == "baseline"
    assert found["baseline_sal_loss_resnet50"] == "baseline_resnet50"
    assert len(found) == 8 and set(found.values()) == {"baseline", "baseline_resnet50"}
    assert told.references(profiles.load("paper", variants=["sal_loss"])) == {}


def test_a_picture_on_both_sides_is_named(data, tmp_path):
    shutil.copytree(data / "koniq10k", tmp_path / "koniq10k")
    (tmp_path / "koniq10k" / ".standin.json").unlink()
    whole = open_opinions("koniq10k", tmp_path / "koniq10k", partial=True)
    test, own = whole.part("test").records[0], whole.part("validation").records[0]
    shutil.copyfile(test.path, own.path)
    settings = replace(SETTINGS, quality_sets=("koniq10k",), gaze_sets=())
    unit = planned(profile_of(tmp_path, settings, weights_root=str(data / "weights")))[0]
    with pytest.raises(PaperlibError, match=f"1 pictures .* {own.key} = {test.key} of KonIQ-10k"):
        check_leaks(unit.arguments, {}, tmp_path)


def test_a_picture_that_cannot_be_read_ends_the_run_before_any_training(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    record = open_opinions("clive", tmp_path / "data" / "clive", partial=True).records[0]
    content = record.path.read_bytes()
    unit = planned(profile_of(tmp_path / "data"))[0]
    record.path.write_bytes(content[: len(content) // 2])
    with pytest.raises(PaperlibError, match=f"CLIVE .*{record.key}"):
        check_leaks(unit.arguments, {}, tmp_path)


def test_what_is_missing_or_unknown_is_one_sentence(data, tmp_path):
    with pytest.raises(PaperlibError, match=f"missing .*{imagenet_file(BACKBONE)}"):
        planned(profile_of(data, weights_root=str(tmp_path)))
    with pytest.raises(PaperlibError, match="target elephants"):
        plan.networks(profile_of(data, replace(SETTINGS, targets=("elephants",))))


def test_networks_of_table_1_alone_need_no_weights_here(data):
    assert planned(profile_of(data, methods=["dbcnn"]))


def test_planning_opens_a_set_no_more_often_for_more_repeats_and_networks(data, monkeypatch):
    opened = Counter()
    for name in ("koniq10k", "clive"):
        module, _, opener = registry.opener_of(name, "opinions").partition(":")
        monkeypatch.setattr(f"{module}.{opener}", counting(opened, name, getattr(import_module(module), opener)))
    planned(profile_of(data, seeds=[5, 6, 7]))
    assert opened == {"koniq10k": 5, "clive": 2}


def counting(counts, name, function):
    def counted(*args, **options):
        counts[name] += 1
        return function(*args, **options)

    return counted


ALL = {"baseline", "baseline_sal_loss", "baseline_gradcam_loss", "saliency_net"}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"saliency_loss": "kld"}, ALL - {"baseline"}),
        ({"saliency_weight": 1.0}, {"baseline_sal_loss", "baseline_gradcam_loss"}),
        ({"weighting": "uncertainty"}, {"baseline_sal_loss", "baseline_gradcam_loss"}),
        ({"activation": "relu"}, {"baseline_sal_loss", "saliency_net"}),
        ({"channels": "mean"}, {"baseline_gradcam_loss"}),
        ({"head_lr": 1.0}, ALL),
    ],
)
def test_a_training_hangs_on_the_settings_that_it_reads(change, stale):
    def identities(**changes):
        found = plan.trainings(profiles.load("demo", **changes))
        return {one.network.method: one.unit.identity for one in found if one.seed == 0 and one.network.method in ALL}

    before, after = identities(), identities(**change)
    assert {method for method in ALL if before[method] != after[method]} == stale


def test_with_learned_weights_no_training_hangs_on_the_fixed_one():
    one, two = (plan.trainings(profiles.load("demo", weighting="uncertainty", saliency_weight=w)) for w in (0.3, 1.0))
    assert [training.unit.identity for training in one] == [training.unit.identity for training in two]


def test_fewer_pictures_than_one_batch_are_one_sentence(data):
    for profile in (profiles.load("demo", n_train=31), profile_of(data, batch_size=21)):
        with pytest.raises(PaperlibError, match="pictures to train on, fewer than one batch of"):
            plan.trainings(profile)


def test_names_differ_and_controls_are_few(data):
    for names in ([unit.name for unit in planned(profile_of(data))], [one.name for one in plan.trainings(profile_of(data))]):
        assert len(set(names)) == len(names)
    assert len(names) == 2 * 3 + 2


def test_what_the_table_asks_for_stays_small(results, data):
    """Weights and maps would not fit into memory at the paper's size."""
    for unit in planned(profile_of(data)):
        result = results[unit.name]
        assert len(result.rows) and not any(name.startswith(("weights.", "maps.")) for name in result.arrays), unit.name
    name = f"{BACKBONE}/baseline/none/seed1"
    losses, trained = results[f"losses/{name}"], results[f"train/{name}"]
    np.testing.assert_array_equal(losses.arrays["losses"], trained.arrays["losses"])
    pd.testing.assert_frame_equal(losses.rows, trained.rows)


# -------------------------------------------------------------------------------------------------- another backbone


def test_rows_of_resnet50_are_the_papers_where_it_has_them():
    settings = replace(SETTINGS, backbones=("efficientnet_b0", "resnet50", "resnet18"))
    named = {
        (one.backbone, one.variant, one.target): one.method
        for one in plan.networks(replace(profiles.load("paper"), dual_task=settings))
    }
    assert named["efficientnet_b0", "baseline", ""] == "baseline"
    assert named["resnet50", "baseline", ""] == "baseline_resnet50"
    assert named["resnet50", "gradcam_loss", "edge_energy"] == "baseline_gradcam_loss_resnet50"
    assert named["resnet50", "sal_loss", "center_only"] == "Baseline-Sal-Loss, resnet50, target center_only"
    assert named["resnet18", "sal_loss", "edge_energy"] == "Baseline-Sal-Loss, resnet18"
    assert len(set(named.values())) == len(named)
    rows = pd.DataFrame(
        [
            (method, *cell, 0, 0.5, math.nan, math.nan)
            for method in named.values()
            for cell in (("salicon", "CC", "fitted"), ("koniq10k", "SROCC", "quality"))
        ],
        columns=["method", "dataset", "metric", "variant", "seed", "value", "low", "high"],
    )
    table = told.table(rows, replace(profiles.load("paper"), dual_task=settings))
    assert cell(table, "baseline_resnet50", "salicon", "CC")["published"] == 0.590
    assert cell(table, "baseline", "salicon", "CC")["published"] == 0.637
    assert cell(table, "baseline", "koniq10k", "SROCC")["published"] == 0.913
    assert math.isnan(cell(table, "baseline_resnet50", "koniq10k", "SROCC")["published"])
    assert math.isnan(cell(table, "baseline_gradcam_loss_resnet50", "salicon", "CC")["published"])
    assert told.RESNET_NOTE in table.notes and "Baseline-ResNet50-GradCAM-Loss" in tables.to_text(table)
    assert told.RESNET_NOTE not in told.table(rows, replace(profiles.load("paper"), dual_task=SETTINGS)).notes


# -------------------------------------------------------------------------------------------------------------- export


def test_an_exported_baseline_gives_the_scores_of_the_trained_one(results, data, tmp_path):
    """Read as Table I and Figure 2 read it."""
    profile = profile_of(data)
    (file,) = export.export_baselines(profile, tmp_path)
    assert file.name == baseline_file(BACKBONE)
    assert [path.name for path in tmp_path.iterdir()] == [file.name], "nothing half written is left"
    source = Source("baseline", BACKBONE)
    params = {"kind": source.kind, "model": BACKBONE, "layer": "", "weights": str(file), "optimise": False}
    network, _ = function(source.opener)(params, {})
    test = open_opinions("koniq10k", data / "koniq10k", partial=True).part("test")
    with torch.no_grad():
        found = [network(to_unit_range(picture(record, (48, 64))[None].copy())).item() for record in test.records]
    expected = results[f"quality/{BACKBONE}/baseline/none/koniq10k/seed0"].arrays["scores"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.ptp(expected) > 1e-5


def test_an_export_says_where_it_comes_from_and_can_be_repeated(results, data, tmp_path):
    profile = profile_of(data)
    (file,) = export.export_baselines(profile, tmp_path)
    origin, content = export.origin_of(file), file.read_bytes()
    (unit,) = (one.unit for one in plan.trainings(profile) if one.name == f"{BACKBONE}/baseline/none/seed0")
    assert (origin["key"], origin["profile"], origin["evidence"]) == (unit.key, "rehearsal", "stand-ins")
    known = {name: origin["params"][name] for name in ("dataset", "steps", "seed", "backbone", "variant")}
    assert known == {"dataset": "koniq10k", "steps": 2, "seed": 0, "backbone": BACKBONE, "variant": "baseline"}
    export.export_baselines(profile, tmp_path)
    assert file.read_bytes() == content


def test_weights_of_another_origin_are_never_replaced(results, data, tmp_path):
    for content in (b"not weights", save({"x": np.zeros(3)})):
        file = tmp_path / baseline_file(BACKBONE)
        file.write_bytes(content)
        with pytest.raises(PaperlibError, match="no export wrote.*--out"):
            export.export_baselines(profile_of(data), tmp_path)
        assert file.read_bytes() == content


def test_without_a_training_the_export_is_one_sentence(results, data, tmp_path, capsys, monkeypatch):
    with pytest.raises(PaperlibError, match="no trained Baseline of profile 'rehearsal' yet"):
        export.export_baselines(profile_of(data, batch_size=5), tmp_path)
    assert not list(tmp_path.iterdir())
    assert cli.main(["export"]) == 2
    assert "'demo' trains no network on photographs" in capsys.readouterr().err
    known = profile_of(data)
    monkeypatch.setattr(profiles, "load", lambda name: known)
    assert cli.main(["export", "--profile", "rehearsal", "--out", str(tmp_path / "new")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'new' / baseline_file(BACKBONE)}\n"


def test_the_common_door_leads_here_and_claim_3_is_judged(rows, data):
    table = regenerate.table(2, profile_of(data))
    assert table.cells["value"].equals(told.table(rows, profile_of(data)).cells["value"])
    parts = told.claim_parts(rows, profile_of(data))
    expected = [
        rows.query("method == @method and dataset == 'koniq10k' and metric == 'SROCC' and seed == 1")["value"].item()
        for method in ("baseline_sal_loss", "baseline")
    ]
    first = parts.subject[0]
    assert first.label == "SROCC: Sal-Loss − Baseline" and first.needed == -0.02
    assert first.values.loc[1] == pytest.approx(expected[0] - expected[1])
    assert {part.n for part in (*parts.subject, *parts.beside)} == {2}
    (control,) = parts.controls
    assert (control.label, control.lacks) == ("Centre only as target", "the picture")
    assert [part.needed for part in control.parts] == [-0.02, 0.1] * (len(control.parts) // 2)


def test_the_decoder_adds_a_weight_per_channel_and_a_bias_and_the_gradcam_loss_nothing(data):
    counts = explore.parameters(profile_of(data))["parameters"]
    assert counts["baseline_gradcam_loss"] == counts["baseline"]
    assert counts["baseline_sal_loss"] == counts["baseline"] + 96 + 1
    assert len(counts) == 3


def test_pictures_get_the_maps_of_all_networks_at_the_size_that_networks_see(results, data):
    shown = explore.learnt_maps(profile_of(data))
    assert [image.shape for image in shown.images] == [(48, 64, 3)] * 3 and len(shown.captions) == 3
    assert list(shown.rows) == ["Gaze density", "Baseline", "Baseline-Sal-Loss", "Baseline-GradCAM-Loss"]
    for maps in shown.rows.values():
        assert [one.shape for one in maps] == [(48, 64)] * 3 and all(one.max() <= 1 for one in maps)


def test_home_is_the_first_set_of_each_block(data):
    rows = pd.DataFrame(
        [
            (method, dataset, variant)
            for method in ("baseline", "center_prior")
            for dataset in ("world", "world_shifted", "koniq10k", "clive", "salicon", "cat2000")
            for variant in ("quality", "fitted", "raw")
        ],
        columns=["method", "dataset", "variant"],
    )
    for profile, sets in ((profiles.load("demo"), {"world"}), (profile_of(data), {"koniq10k", "salicon"})):
        home = told.at_home(rows, profile)
        assert set(home["dataset"]) == sets and set(home["method"]) == {"baseline"}
        assert set(home["variant"]) == {"quality", "fitted"} and len(home) == 2 * len(sets)


def test_the_short_table_names_methods_and_sets_and_keeps_scores_before_maps():
    real = profiles.load("open", rows="kept")
    rows = pd.DataFrame(
        [
            ("center_prior", "osie", "CC", "fitted", 0, 0.5),
            ("baseline", "osie", "CC", "fitted", 0, 0.25),
            ("baseline", "osie", "CC", "raw", 0, 0.75),
            ("baseline", "biq2021", "SROCC", "quality", 0, 0.5),
            ("baseline", "biq2021", "SROCC", "quality", 1, 1.0),
            ("baseline", "biq2021", "PLCC", "quality", 1, 1.0),
            ("Baseline-Sal-Loss, tf_efficientnet_lite0, target center_only", "osie", "CC", "fitted", 0, 0.125),
        ],
        columns=["method", "dataset", "metric", "variant", "seed", "value"],
    ).assign(low=math.nan, high=math.nan, n=1)
    found = told.short_table(rows, real)
    assert list(found.columns) == ["SROCC (BIQ2021)", "CC (OSIE)"]
    assert found.T.to_dict("list") == {
        "Center Prior": ["–", "0.500"],
        "Baseline": ["0.750 ± 0.354", "0.250"],
        "Baseline-Sal-Loss, Centre only as target": ["–", "0.125"],
    }


def test_a_quantity_is_spelled_with_signs_and_with_its_interval_where_there_is_one():
    three = Part("", pd.Series([-0.25, -0.25, -0.25]), -0.5, 0.125, 3, "repeats")
    assert told.spelled(three) == "−0.250 [−0.500, +0.125]"
    assert told.spelled(Part("", pd.Series([0.25]), math.nan, math.nan, 1, "repeats")) == "+0.250"


def test_verdicts_on_quality_are_told_by_names():
    found = told.equivalence(regenerate.rows("dual_task", profiles.load("open", rows="kept")), profiles.load("open"))
    assert list(found.index) == [("BIQ2021", "Baseline-Sal-Loss"), ("BIQ2021", "Baseline-GradCAM-Loss")]
    assert found["low"].le(found["difference"]).all() and found["difference"].le(found["high"]).all()


# ------------------------------------------------------------------------------------------------------ quality drops

REFERENCES = {"baseline_sal_loss": "baseline", "baseline_gradcam_loss": "baseline"}


def scored(seeds: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    base = 0.9 + rng.normal(0, 0.01, seeds)
    shifts = {"baseline": 0.0, "baseline_sal_loss": 0.0005, "baseline_gradcam_loss": -0.03}
    return pd.DataFrame(
        [
            (method, dataset, metric, "quality", seed, base[seed] + shift + rng.normal(0, 0.001))
            for method, shift in shifts.items()
            for seed in range(seeds)
            for dataset in ("koniq10k", "clive")
            for metric in ("SROCC", "PLCC")
        ],
        columns=["method", "dataset", "metric", "variant", "seed", "value"],
    )


def test_the_margin_decides():
    found = told.drops(scored(10), REFERENCES)
    assert len(found) == 8 and set(found["n"]) == {10}
    assert found.groupby("method")["verdict"].unique().map(list).to_dict() == {
        "baseline_sal_loss": ["equivalent"],
        "baseline_gradcam_loss": ["lower"],
    }


def test_repeats_are_paired_by_seed():
    rows = scored(6).sample(frac=1, random_state=0)
    rows = rows[~((rows["method"] == "baseline") & (rows["seed"] == 4))]
    pairs = rows[(rows["dataset"] == "clive") & (rows["metric"] == "SROCC")].pivot(
        index="seed", columns="method", values="value"
    )
    pairs = pairs.dropna()
    expected = tost(pairs["baseline_sal_loss"], pairs["baseline"])
    found = (
        told.drops(rows, REFERENCES).set_index(["method", "dataset", "metric"]).loc["baseline_sal_loss", "clive", "SROCC"]
    )
    assert found["n"] == 5 and found["difference"] == expected["difference"] and found["p"] == expected["p"]


def test_one_repeat_or_no_baseline_says_nothing():
    assert told.drops(scored(1), REFERENCES).empty and told.verdicts(scored(1), REFERENCES) == ()
    assert told.drops(scored(5), {"baseline_sal_loss": "another"}).empty


def test_verdicts_name_data_networks_and_margin():
    sentences = told.verdicts(scored(10), REFERENCES)
    assert len(sentences) == 4
    assert "KonIQ-10k, SROCC, Baseline-Sal-Loss against" in sentences[0] and "equivalent within 0.01" in sentences[0]
    assert "TOST over 10 repeats" in sentences[0] and "lower within" not in sentences[0]
