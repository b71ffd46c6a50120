"""Table III on SACID: the whole way on small stand-ins, with methods that need no weights and methods made up here."""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from paperlib import paper, profiles, regenerate
from paperlib.datasets.sacid import open_sacid, read_scores
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.errors import ComputationError, PaperlibError
from paperlib.experiments.compression import plan, results, scoring
from paperlib.experiments.compression.compute import METRICS, agree
from paperlib.experiments.training.plan import Network, Training
from paperlib.metrics import weighted
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.official import OfficialFile
from paperlib.models.quality import methods as iqa_methods
from paperlib.models.quality.methods import Method, Traits
from paperlib.rehearsal.sacid import write_sacid
from paperlib.show import tables

SEQUENCES = 5
PLAIN = ("psnr", "ssim", "ew_ssim", "ew_psnr")
BACKBONE = "test_resnet"
SCORED = []
"""(method, device) of every picture that a method made up here was given."""

FILE = OfficialFile("sharpness.pth", "pyiqa", "nowhere")
TRAITS = {
    "sharpness": Traits("sharpness", False, False, True, ()),
    "damage": Traits("damage", True, False, False, ()),
    "broken": Traits("broken", False, False, True, ()),
    "hungry": Traits("hungry", False, False, True, ()),
    "musiq": Traits("musiq", False, False, True, (FILE,)),
}
BROKEN = []
"""Why the method `broken` fails; it works while this is empty."""


def compute(name, device):
    def score(distorted, reference, saliency):
        SCORED.append((name, device))
        if name == "hungry" and device == "cuda":
            raise torch.OutOfMemoryError("CUDA out of memory")
        if name == "broken" and BROKEN:
            raise BROKEN[0]
        if name == "damage":
            return float(np.abs(distorted.astype(float) - reference).mean())
        return float(np.diff(distorted.astype(float), axis=0).std())

    return score


def describe(name):
    return TRAITS.get(name) or iqa_methods.describe(name)


def open_method(name, root=None, device="cpu", crops=None):
    if name not in TRAITS:
        return iqa_methods.open_method(name, root, "cpu", crops)
    return Method(**vars(TRAITS[name]), compute=compute(name, device))


@pytest.fixture(autouse=True)
def methods(monkeypatch):
    monkeypatch.setattr(scoring, "describe", describe)
    monkeypatch.setattr(scoring, "open_method", open_method)
    monkeypatch.setattr(plan, "describe", describe)
    monkeypatch.setattr(regenerate, "make_ready", lambda profile: None)
    monkeypatch.setenv("PAPERLIB_WORKERS", "1")
    SCORED.clear()
    BROKEN.clear()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    write_sacid(root / "sacid", SEQUENCES, 3, size=(48, 64), without_reference=1)
    (root / "weights").mkdir()
    return root


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("PAPERLIB_RESULTS", str(tmp_path / "results"))


def profile_of(root, methods=PLAIN, **values):
    options = {"scored_methods": methods, "weighting_model": "", "sequence_shard": 2, "crops": 0} | values
    profile = profiles.load("rehearsal", data_root=str(root), weights_root=str(root / "weights"))
    return replace(profile, compression=replace(profile.compression, **options))


def rows_of(profile):
    regenerate.forget()
    return regenerate.rows("compression", profile)


@pytest.fixture(scope="module")
def rows(data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(tmp_path_factory.mktemp("results")))
        patch.setenv("PAPERLIB_WORKERS", "1")
        patch.setattr(regenerate, "make_ready", lambda profile: None)
        patch.setattr(plan, "describe", describe)
        patch.setattr(scoring, "describe", describe)
        patch.setattr(scoring, "open_method", open_method)
        return rows_of(profile_of(data, (*PLAIN, "sharpness", "damage"), weighting_model="edge_energy"))


def sequences(data):
    return [list(records) for _, records in open_sacid(data / "sacid", partial=True).by_sequence()]


def pair_order(scores, truth, bpps):
    """Fraction of concordant pairs inside a bit-rate, by hand."""
    pairs = [(i, j) for i, j in combinations(range(len(bpps)), 2) if bpps[i] == bpps[j]]
    return np.mean([(scores[i] - scores[j]) * (truth[i] - truth[j]) > 0 for i, j in pairs])


def test_agreement_is_that_of_the_pictures_as_scipy_measures_it(rows, data):
    expected = {metric: {} for metric in METRICS}
    for records in sequences(data):
        if records[0].reference is None:
            continue
        scores = [weighted.ew_psnr(one.load_image(), one.load_reference(), one.load_saliency()) for one in records]
        truth, bpps = [one.mos for one in records], [one.bpp for one in records]
        expected["SROCC"][records[0].sequence] = abs(stats.spearmanr(scores, truth).statistic)
        expected["PLCC"][records[0].sequence] = abs(stats.pearsonr(scores, truth).statistic)
        expected["FracCP"][records[0].sequence] = pair_order(scores, truth, bpps)
    for metric, values in expected.items():
        found = results.per_photograph(rows, metric).loc["ew_psnr"].dropna()
        assert len(found) == SEQUENCES - 1
        pd.testing.assert_series_equal(found, pd.Series(values), check_names=False, check_index_type=False)


def test_lower_is_better_is_turned_before_pairs_are_counted(rows, data):
    found = results.per_photograph(rows, "FracCP").loc["damage"].dropna()
    for records in sequences(data)[1:]:
        scores = [-np.abs(one.load_image().astype(float) - one.load_reference()).mean() for one in records]
        expected = pair_order(scores, [one.mos for one in records], [one.bpp for one in records])
        assert found[records[0].sequence] == pytest.approx(expected)


@pytest.mark.parametrize("metric", METRICS)
def test_even_weights_are_the_plain_metric_and_others_are_not(rows, metric):
    values = results.per_photograph(rows, metric)
    for name in ("PSNR", "SSIM"):
        plain = values.loc[name.lower()].to_numpy()
        np.testing.assert_allclose(values.loc[f"EW-{name}, uniform"], plain, rtol=1e-6)
        for other in (f"ew_{name.lower()}", f"ew_{name.lower()}_center", f"EW-{name}, Edge energy"):
            assert not np.allclose(values.loc[other], plain, equal_nan=True), other


def test_a_shuffled_map_is_that_of_the_next_picture_of_the_same_format(data):
    sacid = open_sacid(data / "sacid", partial=True)
    found = scoring.lenders([list(records) for _, records in sacid.by_sequence()])
    formats = {records[0].sequence: records[0].size for records in sequences(data)}
    upright = [name for name, size in formats.items() if size[0] > size[1]]
    assert len(upright) == 1 and found.keys() == formats.keys()
    for name, lender in found.items():
        assert lender.sequence != name
        assert (formats[name] == lender.size) is (name not in upright)
    assert len({lender.sequence for name, lender in found.items() if name not in upright}) == SEQUENCES - 1


def test_real_scores_give_the_known_controls(shared):
    scores = read_scores(shared("sacid", "moses.csv"))
    params = {
        "told_as": "sacid", "poll": "poll", "poll_seed": 0, "shards": (), "absent": (("musiq", "no file"),),
        "bpps": scores.bpps.tolist(), "presets": scores.presets.tolist(), "sequences": scores.sequences,
    }  # fmt: skip
    rows = agree(params, {"poll": Result(arrays={"scores": scores.subjective})}, None).rows
    means = {metric: results.per_photograph(rows, metric).mean(axis=1) for metric in METRICS}
    assert means["SROCC"]["bitrate_only"] == pytest.approx(0.9003, abs=5e-5)
    assert means["PLCC"]["bitrate_only"] == pytest.approx(0.8996, abs=5e-5)
    assert means["FracCP"]["preset_order"] == pytest.approx(0.7167, abs=5e-5) and "bitrate_only" not in means["FracCP"]
    assert results.per_photograph(rows, "SROCC").shape == (2, 60)


def test_the_table_holds_the_papers_rows_in_order_then_controls(rows, data):
    profile = profile_of(data, (*PLAIN, "sharpness", "damage"), weighting_model="edge_energy")
    table = results.table(rows, profile)
    order = list(dict.fromkeys(table.cells["method"]))
    assert order[:25] == [row.method for row in paper.TABLE3] and order[25:27] == ["sharpness", "damage"]
    assert order[27:29] == ["bitrate_only", "preset_order"] and len(order) == 29 + 8
    cells = table.cells.set_index(["method", "metric"])
    for row in paper.TABLE3:
        for metric in METRICS:
            assert cells.loc[(row.method, metric), "published"] == row.values["sacid", metric]
    for method in (*PLAIN, "sharpness", "ew_ssim_shuffled", "EW-PSNR, Edge energy"):
        one = cells.loc[method, "SROCC"]
        assert one["low"] <= one["value"] <= one["high"] and one["n"] == SEQUENCES - (method != "sharpness")
        assert math.isnan(one["sd"])
    assert set(table.cells[~table.cells["ranked"]]["section"]) == {"Control"}
    assert math.isnan(cells.loc[("bitrate_only", "FracCP"), "value"])
    assert "mean nothing" in table.caption and "5 photographs, 60 coded pictures, 4 references" in table.caption
    (fewer,) = [note for note in table.notes if "speak of 4 of the 5 photographs" in note]
    assert "EW-PSNR, shuffled map" in fewer and "sharpness" not in fewer
    against = results.comparisons(rows, "SROCC").set_index("method")["p_holm"]
    assert cells.loc[("psnr", "SROCC"), "p_holm"] == against["psnr"]
    assert cells.loc[("psnr", "SROCC"), "alike"] and against["psnr"] > 0.05
    assert not cells.loc[("bitrate_only", "SROCC"), "alike"] and not cells.loc[("musiq", "SROCC"), "alike"]
    assert "EW-PSNR, centre prior" in tables.to_text(table)


def test_comparisons_ranks_and_the_claim_speak_of_common_photographs(rows):
    values = results.per_photograph(rows, "FracCP")
    against = results.comparisons(rows, "FracCP").set_index("method")
    assert set(against["reference"]) == {"preset_order"} and len(against) == len(values) - 1
    difference = values.loc["psnr"] - values.loc["preset_order"]
    assert against.loc["psnr", "difference"] == pytest.approx(difference.mean()) and against.loc["psnr", "images"] == 4
    assert against.loc["psnr", "p"] >= stats.ttest_1samp(difference.dropna(), 0).pvalue > 0.05
    assert (against["p_holm"] >= against["p"]).all()
    best = results.comparisons(rows, "FracCP", "best")
    assert best["reference"].nunique() == 1 and best["reference"][0] in results.subjects(values.index)
    pairs = results.weightings(rows)
    assert list(pairs[pairs["method"] == "ew_psnr"]["reference"]) == [
        "psnr",
        "ew_psnr_center",
        "ew_psnr_shuffled",
        "EW-PSNR, uniform",
        "EW-PSNR, Edge energy",
    ]
    ranked = results.ranks(rows)
    assert set(ranked["method"]) == {*PLAIN, "sharpness", "damage"} and set(ranked["images"]) == {4}
    parts = results.claim_parts(rows, profiles.load("own"))
    assert parts.subject[0].value == pytest.approx((values.loc["ew_psnr"] - values.loc["psnr"]).mean())
    assert parts.subject[0].over == "pictures"
    labels = ["centre-prior weights", "another photograph's weights", "even weights", "Fixed preset order"]
    assert [one.label for one in parts.controls] == labels
    assert parts.controls[1].parts[1].n == 4 and parts.controls[2].parts[0].outcome == "does not hold"


def test_rows_without_any_method_give_empty_tests(data):
    empty = pd.DataFrame(columns=["method", "metric", "variant", "seed", "value"])
    assert results.comparisons(empty, "FracCP", "best").empty
    assert results.weightings(empty).empty and results.ranks(empty).empty


# ---- what is computed again, and what is not ------------------------------------------------------------------------
def test_a_kill_costs_the_shard_at_hand(data, place, monkeypatch):
    profile = profile_of(data, ("broken",))
    original, seen = compute("broken", "cpu"), []

    def interrupted(*pictures):
        seen.append(len(seen))
        if len(seen) == 30:
            raise KeyboardInterrupt
        return original(*pictures)

    monkeypatch.setattr(scoring, "open_method", lambda *_: Method(**vars(TRAITS["broken"]), compute=interrupted))
    with pytest.raises(KeyboardInterrupt):
        rows_of(profile)
    assert len(seen) == 30
    found = rows_of(profile)
    assert 30 + 12 * SEQUENCES - 24 <= len(seen) <= 30 + 12 * SEQUENCES - 12, "the shard before is kept"
    assert results.per_photograph(found, "SROCC").loc["broken"].notna().all()


def test_another_method_costs_itself_alone(data, place):
    rows_of(profile_of(data, ("sharpness",)))
    assert SCORED == [("sharpness", "cpu")] * 60
    SCORED.clear()
    rows_of(profile_of(data, ("sharpness", "damage")))
    assert SCORED == [("damage", "cpu")] * 48
    SCORED.clear()
    rows_of(profile_of(data, ("sharpness",), size_mode="resize_384"))
    assert SCORED == [("sharpness", "cpu")] * 60


def test_size_modes_reach_picture_reference_and_weights(data, place):
    profile = profile_of(data, ("ew_psnr",), size_mode="resize_384_512_or_512_384_horizontal", n_sequences=2)
    found = results.per_photograph(rows_of(profile), "PLCC").loc["ew_psnr"].dropna()
    for records in [records for records in sequences(data) if records[0].sequence in found.index]:
        made = [
            [
                iqa_methods.resized(one, profile.compression.size_mode)
                for one in (
                    record.load_image(),
                    record.load_reference(),
                    record.load_saliency() / record.load_saliency().max(),
                )
            ]
            for record in records
        ]
        assert {one.shape[:2] for pictures in made for one in pictures} == {(384, 512)}
        expected = stats.pearsonr([weighted.ew_psnr(*pictures) for pictures in made], [one.mos for one in records])
        assert found[records[0].sequence] == pytest.approx(abs(expected.statistic), rel=1e-6)


# ---- what fails -----------------------------------------------------------------------------------------------------
def test_a_failing_method_leaves_its_row_and_is_tried_again(data, place):
    profile = profile_of(data, ("sharpness", "broken"))
    BROKEN.append(RuntimeError("no kernel image\nmore"))
    first = rows_of(profile)
    shown = results.table(first, profile)
    assert any(note.startswith("broken: not available: ") and note.endswith("no kernel image") for note in shown.notes)
    values = results.per_photograph(first, "SROCC")
    assert "broken" not in values.index and values.loc["sharpness"].notna().all()
    cells = shown.cells.set_index(["method", "metric"])
    assert math.isnan(cells.loc[("broken", "SROCC"), "value"]) and cells.loc[("broken", "SROCC"), "n"] == 0
    BROKEN.clear()
    SCORED.clear()
    assert results.per_photograph(rows_of(profile), "SROCC").loc["broken"].notna().all()
    assert set(SCORED) == {("broken", "cpu")}
    SCORED.clear()
    assert results.per_photograph(rows_of(profile), "SROCC").loc["broken"].notna().all() and not SCORED


def test_a_method_that_cannot_be_loaded_leaves_its_row(data, place, monkeypatch):
    def damaged(name, *options):
        if name == "broken":
            raise PaperlibError("the checkpoint is damaged")
        return open_method(name, *options)

    monkeypatch.setattr(scoring, "open_method", damaged)
    profile = profile_of(data, ("broken", "sharpness"), sequence_shard=5)
    found = rows_of(profile)
    assert "broken: not available: the checkpoint is damaged" in results.table(found, profile).notes
    assert results.per_photograph(found, "SROCC").loc["sharpness"].notna().all()


def test_a_method_is_computed_once_its_weights_are_there(data, place, tmp_path):
    profile = replace(profile_of(data, ("sharpness", "musiq")), weights_root=str(tmp_path))
    notes = results.table(rows_of(profile), profile).notes
    hint = "`python -m paperlib data fetch sharpness` gets them or says how"
    assert f"MUSIQ: not available: weights are missing: sharpness.pth (nowhere); {hint}" in notes
    (tmp_path / FILE.name).write_bytes(b"some weights")
    found = rows_of(profile)
    assert results.per_photograph(found, "SROCC").loc["musiq"].notna().all() and "failure" not in set(found["metric"])
    SCORED.clear()
    (tmp_path / FILE.name).write_bytes(b"other weights")
    rows_of(profile)
    assert SCORED == [("musiq", "cpu")] * 60


def test_pictures_that_the_gpu_does_not_hold_are_scored_on_the_cpu(data, place, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    found = rows_of(profile_of(data, ("hungry", "sharpness"), n_sequences=2))
    assert SCORED.count(("hungry", "cuda")) == SCORED.count(("hungry", "cpu")) == 24
    assert ("sharpness", "cpu") not in SCORED
    values = results.per_photograph(found, "SROCC")
    np.testing.assert_array_equal(values.loc["hungry"], values.loc["sharpness"])


def test_bad_pictures_are_all_named_before_a_method_is_loaded(tmp_path, place):
    write_sacid(tmp_path / "sacid", 3, 0, size=(48, 64))
    bad = sorted((tmp_path / "sacid" / "compressed").glob("*/*12_preset=p132.jpg"))[:2]
    for path in bad:
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ComputationError, match="2 of 42 SACID files") as caught:
        rows_of(profile_of(tmp_path, ("sharpness",)))
    assert all(path.parent.name in str(caught.value) for path in bad) and not SCORED


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"compression_set": "clic"}, "Table III knows 'sacid'"),
        ({"size_mode": "half"}, "choose from: full_res"),
        ({"n_sequences": 1}, "at least 2 sequences"),
        ({"weighting_model": "nobody"}, "weighting_model='nobody'"),
        ({"scored_methods": ("sharpnes",)}, "there is no IQA method"),
    ],
)
def test_unfit_profiles_are_refused_at_once(data, place, values, complaint):
    with pytest.raises(PaperlibError, match=complaint):
        plan.units(profile_of(data, **values))


def test_a_profile_without_data_says_what_to_give(data):
    with pytest.raises(PaperlibError, match="give --data-root DIR, with SACID in it"):
        plan.coded_set(replace(profile_of(data), data_root=""))


# ---- the Baselines --------------------------------------------------------------------------------------------------
def stored_training(params: dict, inputs: Inputs, scratch) -> Result:
    torch.manual_seed(params["seed"])
    network = Baseline(create_backbone(BACKBONE), decoder=params["variant"] == "sal_loss")
    return Result(arrays={f"weights.{name}": value.numpy() for name, value in network.state_dict().items()})


def trainings_of(profile):
    found = []
    for seed in (0, 1):
        for method, variant in (("baseline", "baseline"), ("baseline_sal_loss", "sal_loss")):
            name, compute = f"train/{method}/seed{seed}", f"{__name__}:stored_training"
            unit = Unit.of("dual_task", name, compute, seed=seed, variant=variant)
            recipe = (("backbone", BACKBONE), ("variant", variant))
            found.append(Training(Network(BACKBONE, variant, "", method, BACKBONE), seed, unit, recipe))
    return found


def test_baselines_are_table_twos_networks_and_means_over_their_seeds(data, place, monkeypatch):
    monkeypatch.setattr(plan, "trainings", trainings_of)
    profile = profile_of(data, ("baseline", "baseline_sal_loss", "baseline_gradcam_loss"))
    rows = rows_of(profile)
    chosen = rows[(rows["method"] == "baseline_sal_loss") & (rows["metric"] == "PLCC")]
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = Baseline(create_backbone(BACKBONE), decoder=True).eval()
        for records in sequences(data)[:2]:
            with torch.no_grad():
                scores = [network(to_unit_range(one.load_image()[None])).item() for one in records]
            expected = abs(stats.pearsonr(scores, [one.mos for one in records]).statistic)
            own = chosen[(chosen["seed"] == seed) & (chosen["variant"] == records[0].sequence)]["value"].item()
            assert own == pytest.approx(expected, abs=1e-4)
    cell = results.table(rows, profile).cells.set_index(["method", "metric"]).loc["baseline_sal_loss", "PLCC"]
    by_seed = [group["value"].mean() for _, group in chosen.groupby("seed")]
    assert cell["value"] == pytest.approx(np.mean(by_seed)) and cell["sd"] == pytest.approx(np.std(by_seed, ddof=1))
    assert cell["n"] == SEQUENCES
    notes = results.table(rows, profile).notes
    assert "Baseline-GradCAM-Loss: not available: Table II of this profile does not train it" in notes


def test_baselines_that_cannot_be_trained_leave_their_rows(data, place, monkeypatch):
    def refuse(profile):
        raise PaperlibError("KonIQ-10k is missing")

    monkeypatch.setattr(plan, "trainings", refuse)
    profile = profile_of(data, ("baseline", "sharpness"))
    found = rows_of(profile)
    assert "Baseline: not available: it cannot be trained: KonIQ-10k is missing" in results.table(found, profile).notes
    assert results.per_photograph(found, "SROCC").loc["sharpness"].notna().all()


def test_the_sections_door_leads_here_and_the_claim_speaks_of_photographs(data, place):
    profile = profile_of(data)
    cells = regenerate.table(3, profile).cells.set_index(["method", "metric"])
    assert cells.loc[("ew_psnr", "FracCP"), "n"] == SEQUENCES - 1
    (claim,) = regenerate.claims(profile, ["C4"])
    assert claim.n == SEQUENCES - 1 and claim.verdict == "not testable"
