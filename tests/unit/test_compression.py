"""Photographs that are coded here and judged by simulated assessors, and what Table III makes of their rows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from paperlib import paper
from paperlib.coding.polls import block_gaze
from paperlib.coding.x264 import count_bytes
from paperlib.datasets.photographs import PHOTOGRAPHS, open_photographs
from paperlib.engine.units import Result
from paperlib.experiments.compression import coding, results
from paperlib.experiments.compression.coded_photographs import open_coded_photographs
from paperlib.experiments.compression.compute import METRICS, agree, preset_order
from paperlib.experiments.compression.plan import all_lines, coded_here, coding_unit, units
from paperlib.metrics.weighted import ew_psnr, psnr
from paperlib.profiles import load


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


def test_units_are_named_and_hang_on_what_decides_them(profile):
    planned = units(profile)
    names = [unit.name for unit in planned]
    assert len(set(names)) == len(names) == 2 * 2 + 2 * 2 + 10
    told = {f"agreement/{data}/seed{seed}" for data in ("photographs", "photographs_uniform") for seed in (0, 1)}
    assert told <= set(names)
    assert [unit.identity for unit in units(load("demo", seeds=2))] == [unit.identity for unit in planned]
    assert units(load("demo", bpps=(0.3, 0.4, 0.5)))[-1].identity != planned[-1].identity
    assert units(load("demo", assessors=100))[-1].identity == planned[-1].identity
    uniform = units(load("demo", seeds=1, observers="uniform"))
    assert [unit.name for unit in uniform if unit.name.startswith("votes")] == ["votes/uniform/seed0"]
    with pytest.raises(ValueError, match="n_photographs"):
        coded_here(load("demo", n_photographs=11))


@pytest.fixture(scope="module")
def coded(profile) -> Result:
    small = replace(profile.compression, bpps=(0.2, 0.4))
    unit = coding_unit(replace(profile, compression=small), "chelsea")
    return coding.code(dict(unit.params), {}, Path())


def test_code_makes_every_version(coded):
    (photograph,) = open_photographs(["chelsea"])
    ((_, records),) = open_coded_photographs({"chelsea": coded.arrays}).by_sequence()
    pictures = np.stack([record.load_image() for record in records])
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
    ((_, records),) = open_coded_photographs({"chelsea": coded.arrays}).by_sequence()
    plain, strong = (records[place].load_image() for place in (0, 2))
    reference, predicted = records[0].load_reference(), records[0].load_saliency()
    assert ew_psnr(strong, reference, predicted) > ew_psnr(plain, reference, predicted)
    assert psnr(strong, reference) < psnr(plain, reference)


def study(observers: str, seed: int, responses: list[np.ndarray], assessors: int = 150) -> Result:
    inputs = {f"coding/{index}": Result(arrays={"response": one}) for index, one in enumerate(responses)}
    return coding.poll(
        {"prepared": tuple((name, name) for name in inputs), "dataset": "photographs",
         "photographs": PHOTOGRAPHS[: len(inputs)], "observers": observers, "seed": seed,
         "assessors": assessors, "random_pairs": 8, "verification_pairs": 2, "fixations": 6, "noise": 0.2, "tie": 0.1,
         "inattentive": 0.05},
        inputs, Path(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def responses() -> list[np.ndarray]:
    """Three photographs: version 0 damaged where nobody looks, version 1 where everybody looks, version 2 intact."""
    out = []
    for photograph in open_photographs(PHOTOGRAPHS[:3]):
        gaze = block_gaze(photograph.gaze, "saliency")
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
        gaze = block_gaze(photograph.gaze, observers)
        assert gaze.shape == (44, 66) and gaze.sum() == pytest.approx(1, abs=1e-5)
    assert np.ptp(gaze) == 0


@pytest.fixture(scope="module")
def agreed(profile) -> pd.DataFrame:
    """Rows of two seeds and both kinds of observers, from scores that are the truth plus noise."""
    rng, frames = np.random.default_rng(0), []
    methods = [line.method for line in all_lines(profile)]
    for told_as in ("photographs", "photographs_uniform"):
        for seed in (0, 1):
            truth = rng.normal(size=(6, 12))
            scores = {method: truth + rng.normal(size=truth.shape) for method in methods}
            scores |= {"baseline": truth, "psnr": -truth if told_as == "photographs" else truth}
            inputs = {
                name: Result(arrays={"scores": values, "higher_is_better": np.array(True)})
                for name, values in scores.items()
            }
            params = {
                "told_as": told_as,
                "poll": "votes",
                "poll_seed": seed,
                "shards": tuple((name, 0, (name,)) for name in scores),
                "absent": (),
                "bpps": np.repeat((0.2, 0.3, 0.4), 4).tolist(),
                "presets": ("none", "p132", "p220", "p310") * 3,
                "sequences": PHOTOGRAPHS[:6],
            }
            frames.append(agree(params, inputs | {"votes": Result(arrays={"scores": truth})}, Path()).rows)
    return pd.concat(frames, ignore_index=True)


def test_a_row_per_method_metric_and_photograph(agreed):
    chosen = agreed[(agreed["dataset"] == "photographs") & (agreed["seed"] == 0)]
    chosen = chosen.set_index(["method", "metric", "variant"]).sort_index()
    assert chosen.index.is_unique and set(chosen.index.levels[2]) == set(PHOTOGRAPHS[:6])
    assert (chosen.loc[("baseline", "FracCP"), "value"] == 1).all() and (chosen.loc[("psnr", "FracCP"), "value"] == 0).all()
    assert chosen.loc[("psnr", "SROCC"), "value"].to_numpy() == pytest.approx(1), "the sign is dropped"
    assert ("bitrate_only", "FracCP") not in chosen.index and ("bitrate_only", "SROCC") in chosen.index


def test_ranks_and_weightings_are_those_of_the_profiles_observers(agreed, profile):
    ranks = results.ranks(agreed).set_index("method")
    assert ranks.loc["psnr", "rank"] == len(ranks) and ranks["rank"].min() == 1 and set(ranks["images"]) == {6}
    assert not {"bitrate_only", "preset_order", "ew_psnr_gaze", "baseline"} & set(ranks.index)
    found = results.weightings(agreed).set_index(["method", "reference"])
    assert {("ew_psnr", "psnr"), ("ew_ssim", "ew_ssim_shuffled"), ("ew_ssim", "ew_ssim_gaze")} <= set(found.index)
    value = results.claim_parts(agreed, profile).subject[0].value
    assert found.loc[("ew_psnr", "psnr"), "difference"] == pytest.approx(value)


def test_claim_parts_are_differences_per_seed_and_controls_the_same_differences(agreed, profile):
    parts = results.claim_parts(agreed, profile)
    assert [part.label for part in parts.subject] == ["FracCP: EW-PSNR − PSNR", "FracCP: EW-SSIM − SSIM"]
    gain = parts.subject[0].values
    means = agreed[agreed["metric"] == "FracCP"].groupby(["dataset", "seed", "method"])["value"].mean()
    assert list(gain.index) == [0, 1]
    assert gain[1] == pytest.approx(means["photographs", 1, "ew_psnr"] - means["photographs", 1, "psnr"])
    controls = {one.label: one for one in parts.controls}
    assert list(controls) == [
        "centre-prior weights",
        "another photograph's weights",
        "Fixed preset order",
        "uniform observers",
    ], "true gaze is no control"
    assert controls["uniform observers"].parts[0].values[0] == pytest.approx(means["photographs_uniform", 0, "ew_psnr"] - 1)
    order = means["photographs", 1, "preset_order"] - means["photographs", 1, "ssim"]
    assert controls["Fixed preset order"].parts[1].values[1] == pytest.approx(order)


def test_table_has_every_row_of_the_paper(agreed, profile):
    shown = results.table(agreed, profile)
    cells = shown.cells.set_index(["method", "dataset", "metric"])
    assert cells.index.is_unique and shown.name == "table3"
    assert {line.method for line in (*paper.TABLE3, *all_lines(profile))} <= set(shown.cells["method"])
    one = cells.loc[("psnr", "photographs", "FracCP")]
    assert one["value"] == 0 and one["sd"] == 0 and one["published"] == 0.505 and one["ranked"]
    assert cells.loc[("psnr", "photographs_uniform", "FracCP"), "value"] == 1
    assert not cells.loc[("ew_psnr_gaze", "photographs", "SROCC"), "ranked"]
    assert np.isnan(cells.loc[("lpips", "photographs", "PLCC"), "value"])
    assert cells.loc[("lpips", "photographs", "PLCC"), "published"] == 0.854
    home = agreed[agreed["dataset"] == "photographs"]
    vif = home[(home["method"] == "vif") & (home["metric"] == "PLCC")].groupby("seed")["value"].mean()
    assert len(vif) == 2 and cells.loc[("vif", "photographs", "PLCC"), "value"] == pytest.approx(vif.mean())
    assert cells.loc[("vif", "photographs", "PLCC"), "sd"] == pytest.approx(vif.std())
    assert len(shown.columns) == 4 and ".2" in shown.caption


def test_table_of_uniform_observers_has_no_second_study(agreed):
    alone = agreed[agreed["dataset"] == "photographs_uniform"].assign(dataset="photographs")
    shown = results.table(alone, load("demo", seeds=2, observers="uniform"))
    assert [column.metric for column in shown.columns] == list(METRICS)
    assert shown.cells.set_index(["method", "metric"]).loc[("psnr", "FracCP"), "value"] == 1
