"""Section III-D as an experiment: against pyiqa, and on small studies of our own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from paperlib.experiments.world_compression import block_gaze, claim_parts, preset_order, table, weight_maps

from paperlib import paper
from paperlib.coding.x264 import count_bytes
from paperlib.datasets.photographs import PHOTOGRAPHS, open_photographs
from paperlib.engine.units import Result
from paperlib.experiments import compression as door
from paperlib.experiments import world_compression as compression
from paperlib.profiles import Profile, load


@pytest.fixture(scope="module")
def profile():
    return load("demo", seeds=2)


def test_preset_order_leaves_the_own_image_out():
    truth = np.array([[0.0, 1, 0, 3], [5, 0, 7, 0], [2, 2, 4, 4]])
    found = preset_order(truth, np.array([0, 1, 0, 1]))
    np.testing.assert_allclose(found[0], [(6 + 3) / 2, (0 + 3) / 2] * 2)
    np.testing.assert_allclose(found[2], [(0 + 6) / 2, (2 + 0) / 2] * 2)
    with pytest.raises(ValueError, match="images >= 2"):
        preset_order(truth[:1], np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match="presets"):
        preset_order(truth, np.array([0, 1]))


# --------------------------------------------------------------------------------------------------------------- units


def test_units_are_named_and_shared(profile, monkeypatch):
    from paperlib.engine.units import Unit
    from paperlib.experiments import networks

    def fake(profile, seed):
        return {"baseline": Unit.of("networks", f"baseline/seed{seed}", "a:b", seed=seed)}

    monkeypatch.setattr(networks, "baseline_units", fake)
    units = compression.units(profile)
    names = [unit.name for unit in units]
    assert len(set(names)) == len(names) == 2 * 2 + 2 * 2 + 10
    assert {f"agreement/{kind}/seed{seed}" for kind in ("saliency", "uniform") for seed in (0, 1)} <= set(names)
    again = compression.units(load("demo", seeds=2))
    assert [unit.identity for unit in again] == [unit.identity for unit in units]

    def coding(changed: Profile) -> str:
        return compression.units(changed)[-1].identity

    assert coding(load("demo", bpps=(0.3, 0.4, 0.5))) != coding(profile)
    assert coding(load("demo", assessors=100)) == coding(profile)
    uniform = compression.units(load("demo", seeds=1, observers="uniform"))
    assert [unit.name for unit in uniform if unit.name.startswith("votes")] == ["votes/uniform/seed0"]
    with pytest.raises(ValueError, match="n_photographs"):
        compression.units(load("demo", n_photographs=11))


@pytest.fixture(scope="module")
def coded(profile) -> Result:
    small = replace(profile.compression, bpps=(0.2, 0.4))
    unit = compression.coding_unit(replace(profile, compression=small), PHOTOGRAPHS.index("chelsea"))
    return compression.code(dict(unit.params), {}, Path())


def test_code_makes_every_version(coded):
    (photograph,) = open_photographs(["chelsea"])
    pictures = compression.versions(coded)
    assert pictures.shape == (8, *photograph.image.shape)
    rows = coded.rows.set_index(["variant", "method", "metric"])["value"]
    for index, (bpp, preset) in enumerate((b, p) for b in (0.2, 0.4) for p in ("none", "p132", "p220", "p310")):
        key = (f"chelsea@{bpp}", preset)
        stream = coded.arrays[f"stream{index}"].tobytes()
        assert rows[(*key, "bpp")] == pytest.approx(bpp, rel=0.01) and rows[(*key, "reached")] == 1
        assert 8 * count_bytes(stream) / photograph.image[..., 0].size == pytest.approx(rows[(*key, "bpp")])
    share = rows.xs("share", level="metric")
    np.testing.assert_allclose(share.xs("p310", level="method"), 0.8, atol=0.01)
    np.testing.assert_allclose(share.xs("p132", level="method"), 0.4, atol=0.01)
    assert share.xs("none", level="method").isna().all()


def test_response_falls_with_the_bit_rate(coded):
    response = coded.arrays["response"]
    assert response.shape == (9, 288 // 8, 448 // 8) and response.dtype == np.float32
    assert (response[-1] == 0).all() and response[:-1].min() >= 0
    mean = response.mean(axis=(1, 2))
    assert (mean[4:8] < mean[:4]).all()


def test_saliency_driven_versions_are_better_where_gaze_is(coded):
    from paperlib.metrics.weighted import ew_psnr, psnr

    (photograph,) = open_photographs(["chelsea"])
    plain, strong = compression.versions(coded)[[0, 2]]
    maps = weight_maps(photograph, photograph)
    assert ew_psnr(strong, photograph.image, maps["predicted"]) > ew_psnr(plain, photograph.image, maps["predicted"])
    assert psnr(strong, photograph.image) < psnr(plain, photograph.image)


def study(observers: str, seed: int, responses: list[np.ndarray], assessors: int = 150) -> Result:
    inputs = {f"coding/{index}": Result(arrays={"response": one}) for index, one in enumerate(responses)}
    return compression.poll(
        {"coded": tuple(inputs), "photographs": PHOTOGRAPHS[: len(inputs)], "observers": observers, "seed": seed,
         "assessors": assessors, "random_pairs": 8, "verification_pairs": 2, "fixations": 6, "noise": 0.2, "tie": 0.1,
         "inattentive": 0.05},
        inputs, Path(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def responses() -> list[np.ndarray]:
    """Three photographs: version 0 damaged where nobody looks, version 1 where everybody looks, version 2 intact."""
    out = []
    for photograph in open_photographs(PHOTOGRAPHS[:3]):
        gaze = block_gaze(photograph, "saliency")
        watched = (gaze > np.quantile(gaze, 0.85)).astype(np.float32)
        out.append(np.stack([2 * (1 - watched), 2 * watched, 0 * watched + 0.05, 0 * watched]))
    return out


def test_observers_decide_which_damage_counts(responses):
    saliency, uniform = (study(kind, 0, responses).arrays["scores"] for kind in ("saliency", "uniform"))
    assert (saliency.argmin(axis=1) == 1).all() and (uniform.argmin(axis=1) == 0).all()
    assert (saliency.argmax(axis=1) == 2).all() and (uniform.argmax(axis=1) == 2).all()


def test_votes_depend_on_the_seed_alone(responses):
    first, second, third = (study("saliency", seed, responses) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.arrays["wins"], second.arrays["wins"])
    assert (first.arrays["wins"] != third.arrays["wins"]).any()
    values = first.rows.set_index("metric")["value"]
    assert values["votes"] == first.arrays["wins"].sum() and 0 < values["excluded"] < 0.4
    assert (first.arrays["scores"].min(axis=1) == 0).all()


def test_block_gaze_sums_to_one():
    (photograph,) = open_photographs(["rocket"])
    for observers in ("saliency", "uniform"):
        gaze = block_gaze(photograph, observers)
        assert gaze.shape == (44, 66) and gaze.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(gaze) == 0


def test_weight_maps_fit_the_photograph():
    first, second = open_photographs(["chelsea", "retina"])
    maps = weight_maps(first, second)
    assert set(maps) == set(compression.WEIGHTINGS.values())
    assert all(one.shape == (288, 448) and one.min() >= 0 and one.max() > 0 for one in maps.values())
    assert abs(np.corrcoef(maps["shuffled"].ravel(), maps["gaze"].ravel())[0, 1]) < 0.6
    assert np.corrcoef(maps["predicted"].ravel(), maps["gaze"].ravel())[0, 1] > 0.6


@pytest.fixture(scope="module")
def agreed() -> pd.DataFrame:
    """Rows of two seeds and both kinds of observers, from scores that are the truth plus noise."""
    rng = np.random.default_rng(0)
    frames = []
    for observers in ("saliency", "uniform"):
        for seed in (0, 1):
            truth = rng.normal(size=(6, 12))
            methods = dict.fromkeys(m for section in compression.ROWS.values() for m in section)
            made = [method for method in methods if method not in ("bitrate_only", "preset_order")]
            arrays = {method: truth + rng.normal(size=truth.shape) for method in made}
            arrays["psnr"] = -truth if observers == "saliency" else truth
            scored = {f"scores/{i}": Result(arrays={m: v[i] for m, v in arrays.items()}) for i in range(6)}
            inputs = dict(scored)
            inputs |= {"networks": Result(arrays={"baseline": truth}), "votes": Result(arrays={"scores": truth})}
            params = {
                "scored": tuple(scored),
                "judged": "networks",
                "poll": "votes",
                "observers": observers,
                "seed": seed,
                "bpps": (0.2, 0.3, 0.4),
                "presets": ("none", "p132", "p220", "p310"),
                "n_bootstrap": 200,
                "photographs": PHOTOGRAPHS[:6],
            }
            frames.append(compression.agree(params, inputs, Path()).rows)
    return pd.concat(frames, ignore_index=True)


def test_agree_gives_one_row_per_method_and_metric(agreed):
    chosen = agreed[(agreed["variant"] == "saliency") & (agreed["seed"] == 0) & (agreed["dataset"] == compression.DATASET)]
    chosen = chosen.set_index(["method", "metric"])
    assert chosen.index.is_unique
    assert chosen.loc[("baseline", "FracCP"), "value"] == 1 and chosen.loc[("psnr", "FracCP"), "value"] == 0
    assert chosen.loc[("psnr", "SROCC"), "value"] == pytest.approx(1)  # the sign is dropped
    assert ("bitrate_only", "FracCP") not in chosen.index and ("bitrate_only", "SROCC") in chosen.index
    inner = chosen.loc[("vif", "FracCP")]
    assert inner["low"] < inner["value"] < inner["high"] and inner["n"] == 6


def test_means_are_those_of_single_photographs(agreed):
    means = agreed[agreed["dataset"] == compression.DATASET].set_index(["variant", "seed", "method", "metric"])["value"]
    single = agreed[agreed["dataset"] != compression.DATASET]
    assert set(single["dataset"]) == {f"photographs/{name}" for name in PHOTOGRAPHS[:6]}
    again = single.groupby(["variant", "seed", "method", "metric"])["value"].mean()
    pd.testing.assert_series_equal(again.sort_index(), means.sort_index())
    chosen = compression.single_photographs(agreed)
    assert len(chosen) * 2 == len(single) and set(chosen["variant"]) == set(PHOTOGRAPHS[:6])


def test_ranks_and_weightings_are_those_of_the_profiles_observers(agreed):
    ranks = door.ranks(agreed).set_index("method")
    assert ranks.loc["psnr", "rank"] == len(ranks) and ranks["rank"].min() == 1 and set(ranks["images"]) == {6}
    assert not {"bitrate_only", "preset_order", "ew_psnr_gaze", "baseline"} & set(ranks.index)
    found = door.weightings(agreed).set_index(["method", "reference"])
    assert {("ew_psnr", "psnr"), ("ew_ssim", "ew_ssim_shuffled"), ("ew_ssim", "ew_ssim_gaze")} <= set(found.index)
    value = claim_parts(agreed)["FracCP: EW-PSNR − PSNR"].mean()
    assert found.loc[("ew_psnr", "psnr"), "difference"] == pytest.approx(value)


def test_claim_parts_are_differences_per_seed(agreed):
    parts = claim_parts(agreed)
    gain = parts["FracCP: EW-PSNR − PSNR"]
    whole = agreed[agreed["dataset"] == compression.DATASET]
    value = whole[whole["metric"] == "FracCP"].set_index(["variant", "seed", "method"])["value"]
    assert list(gain.index) == [0, 1]
    assert gain[1] == value["saliency", 1, "ew_psnr"] - value["saliency", 1, "psnr"]
    control = parts["control, uniform observers, FracCP: EW-PSNR − PSNR"]
    assert control[0] == value["uniform", 0, "ew_psnr"] - 1
    assert len(parts) == 8 and sum(not label.startswith("control") for label in parts) == 2


def test_table_has_every_row_of_the_paper(agreed, profile):
    shown = table(agreed, profile)
    cells = shown.cells.set_index(["method", "dataset", "metric"])
    assert cells.index.is_unique and shown.name == "table3"
    assert {line.method for line in paper.TABLE3} <= set(shown.cells["method"])
    assert {m for methods in compression.ROWS.values() for m in methods} <= set(shown.cells["method"])
    psnr = cells.loc[("psnr", "photographs", "FracCP")]
    assert psnr["value"] == 0 and psnr["sd"] == 0 and psnr["published"] == 0.505 and psnr["ranked"]
    assert cells.loc[("psnr", "photographs_uniform", "FracCP"), "value"] == 1
    assert not cells.loc[("ew_psnr_gaze", "photographs", "SROCC"), "ranked"]
    assert np.isnan(cells.loc[("lpips", "photographs", "PLCC"), "value"])
    assert cells.loc[("lpips", "photographs", "PLCC"), "published"] == 0.854
    whole = agreed[agreed["dataset"] == compression.DATASET]
    vif = whole.set_index(["method", "metric", "variant"]).loc[("vif", "PLCC", "saliency"), "value"]
    assert len(vif) == 2 and cells.loc[("vif", "photographs", "PLCC"), "value"] == pytest.approx(vif.mean())
    assert len(shown.columns) == 4 and ".2" in shown.caption


def test_table_of_uniform_observers_has_no_second_study(agreed):
    shown = table(agreed[agreed["variant"] == "uniform"], load("demo", seeds=2, observers="uniform"))
    assert {column.dataset for column in shown.columns} == {"photographs"}
    assert shown.cells.set_index(["method", "metric"]).loc[("psnr", "FracCP"), "value"] == 1


# ------------------------------------------------------------------------------------------------ metrics and networks


@pytest.mark.filterwarnings("ignore")
def test_pyiqa_scores_rank_mild_above_strong_damage_and_match_pyiqa():
    import pyiqa
    import torch
    from scipy import ndimage

    (photograph,) = open_photographs(["chelsea"], (200, 260))
    reference = photograph.image
    blurred = [ndimage.gaussian_filter(reference, (sigma, sigma, 0)) for sigma in (0.6, 2.5)]
    found = compression.pyiqa_scores(np.stack(blurred), reference)
    assert list(found) == ["ms_ssim", *compression.PYIQA]
    for name, (mild, strong) in found.items():
        if name != "piqe":  # no-reference: it answers to blockiness and noise
            assert mild > strong, name
    tensors = [torch.from_numpy(one).permute(2, 0, 1)[None].float() / 255 for one in (*blurred, reference)]
    peer = pyiqa.create_metric("ms_ssim", device="cpu")
    for picture, ours in zip(tensors[:2], found["ms_ssim"], strict=True):
        assert ours == pytest.approx(float(peer(picture, tensors[2])), abs=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_networks_score_any_size():
    import torch

    from paperlib.models.backbones import create_tiny_backbone
    from paperlib.models.baseline import Baseline

    torch.manual_seed(0)
    network = Baseline(create_tiny_backbone(pretrained=False), (8,)).eval()
    images = np.random.default_rng(0).integers(0, 256, size=(3, 64, 96, 3), dtype=np.uint8)
    scores = compression.network_scores(network, images)
    assert scores.shape == (3,) and scores.dtype == np.float64 and np.ptp(scores) > 0
    halved = compression.downscaled(images, 0.5)
    assert halved.shape == (3, 32, 48, 3)
    mean_of_four = images[0, :2, :2].mean(axis=(0, 1))
    np.testing.assert_allclose(halved[0, 0, 0], mean_of_four, atol=1.01)  # two passes, each rounded
