"""Claims judged on made rows, by hand and beside scipy; controls that show the effect, that do not, and that are missing."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from paperlib import profiles
from paperlib.experiments import claims
from paperlib.experiments.claims import FAILS, HOLDS, UNDECIDED, UNTESTED, ClaimParts, Control, Part
from paperlib.experiments.dual_task import results as dual_task
from paperlib.experiments.extracting import results as extraction
from paperlib.experiments.masking import results as masking

DEMO = profiles.load("demo")


def part(*values, needed=0.0, **ends):
    return Part.of("a", pd.DataFrame({"value": np.array(values, float)}).assign(**ends), needed)


def control(label, *values, lacks="the picture"):
    return Control(label, lacks, (part(*values),))


SURE, FALSE, UNSURE = (0.2, 0.21, 0.22), (-0.2, -0.21), (0.2, -0.1)


def test_intervals_over_repeats_are_those_of_t_and_a_single_one_has_its_own_over_pictures():
    values = [0.3, 0.5, 0.1, 0.4]
    found = part(*values, math.nan)
    expected = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)
    assert (found.n, found.over) == (4, "repeats"), "a repeat without a value does not count"
    found = part(0.3, low=0.1, high=0.6, n=700)
    assert (found.value, found.low, found.high, found.n, found.over) == (0.3, 0.1, 0.6, 700, "pictures")
    assert (part(0.3).n, part(0.3).over, math.isnan(part(0.3).low)) == (1, "repeats", True)


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (part(*SURE), HOLDS),
        (part(*UNSURE), UNDECIDED),
        (part(0.2), UNDECIDED),
        (part(0.3, low=0.1, high=0.6, n=9), HOLDS),
        (part(0.3, low=-0.1, high=0.6, n=9), UNDECIDED),
        (part(*FALSE), FAILS),
        (part(-0.2), FAILS),
        (part(0.0, 0.0), FAILS),
        (part(1e-17, 1e-17), FAILS),
        (part(), UNTESTED),
        (part(math.nan), UNTESTED),
        (part(-0.01, -0.011, needed=-0.02), HOLDS),
        (part(0.09, 0.091, needed=0.1), FAILS),
    ],
)
def test_a_part_holds_when_mean_and_interval_exceed_what_is_needed(one, outcome):
    assert one.outcome == outcome


def test_all_parts_must_hold_and_the_headline_is_the_first_that_decides():
    good, bad, open_ = part(*SURE), part(*FALSE), part(*UNSURE)
    assert claims.judge([good, open_]) == UNDECIDED and claims.headline([good, open_]) is open_
    assert claims.judge([good, open_, bad]) == FAILS and claims.headline([good, open_, bad]) is bad
    assert claims.judge([good, bad, part()]) == UNTESTED
    assert claims.judge([]) == UNTESTED and claims.headline([]) is None
    assert claims.headline([good, part(*SURE)]) is good


@pytest.mark.parametrize(
    ("subject", "controls", "words"),
    [
        (SURE, [], "holds; no control was measured"),
        (SURE, [control("A", math.nan)], "holds; no control was measured"),
        (SURE, [control("A", *FALSE)], "holds; no control does"),
        (SURE, [control("A", *FALSE), control("B", *SURE)], "holds; so does the control without the picture (B)"),
        (
            SURE,
            [control("A", *SURE), control("B", *SURE, lacks="gaze"), control("C", *SURE)],
            "holds; so do the controls without the picture (A; C), without gaze (B)",
        ),
        (SURE, [control("A", 0.2)], "holds; not decided for the control without the picture (A)"),
        (
            SURE,
            [control("A", *SURE), control("B", *UNSURE)],
            "holds; so does the control without the picture (A); not decided for the control without the picture (B)",
        ),
        (FALSE, [control("A", *FALSE)], "does not hold"),
        (FALSE, [control("A", *SURE)], "does not hold; the control without the picture (A) holds"),
        (UNSURE, [control("A", *SURE), control("B", *SURE)], "not decided; the controls without the picture (A; B) hold"),
        ((math.nan,), [control("A", *SURE)], "not testable"),
    ],
)
def test_a_verdict_names_the_controls_that_meet_the_criterion(subject, controls, words):
    assert claims.verdict(ClaimParts((part(*subject),), tuple(controls))) == words


def test_a_verdict_tells_of_further_sets_and_lets_the_first_decide():
    parts = ClaimParts((part(*SURE),), (control("A", *SURE),), (), "OSIE", {"EyeCrowd": (part(*UNSURE),)})
    assert claims.verdict(parts) == "holds (OSIE), not decided (EyeCrowd); so does the control without the picture (A)"
    found = claims.frame(parts)
    assert found["role"].to_list() == ["claim", "control", "beside"]
    assert found["quantity"].iloc[2].startswith("EyeCrowd, ") and claims.judge(parts.subject) == HOLDS


def test_stand_ins_test_nothing():
    parts = {"C1": ClaimParts((part(*SURE),), (control("A", *SURE),))}
    (found,) = claims.results(parts, profiles.load("rehearsal"))
    assert (found.outcome, found.verdict, set(found.parts["outcome"])) == (UNTESTED, UNTESTED, {UNTESTED})
    (found,) = claims.results(parts, DEMO)
    assert found.verdict == "holds; so does the control without the picture (A)"
    assert found.parts["role"].to_list() == ["claim", "control"]


# ------------------------------------------------------------------------------------------------------------------- C1


def row(method, metric, value, seed=0, variant="fitted", dataset="world", **ends):
    names = {"method": method, "metric": metric, "variant": variant, "dataset": dataset, "seed": seed}
    return names | {"value": value} | ends


def maps(method, cc, kld, seeds=(0, 1, 2), dataset="world"):
    """Rows of repeats that differ a little."""
    return [
        row(method, metric, value + 0.001 * seed, seed, dataset=dataset)
        for seed in seeds
        for metric, value in (("CC", cc), ("KLD", kld))
    ]


WORLD = [
    *maps("center_prior", 0.5, 0.6),
    *maps("baseline", 0.7, 0.4),
    *maps("saliency_net", 0.9, 0.1),
    *maps("pretrained_norm", 0.69, 0.45),
    *maps("edge_energy", 0.6, 0.8),
    *maps("noise_map", 0.499, 0.601),
]


def by_label(parts):
    return {one.label: one for one in parts}


def test_c1_by_hand_its_controls_alike_and_those_that_were_not_run_left_out():
    rows = [*WORLD, row("baseline", "CC", 0.55, variant="plain"), row("center_prior", "CC", 0.5, variant="raw")]
    found = extraction.claim_parts(pd.DataFrame(rows), DEMO)
    assert [round(one.value, 6) for one in found.subject] == [0.2, 0.2, 0.2, 0.3]
    assert {one.label: one.outcome for one in found.controls} == {
        "Pretrained, norm of features": HOLDS,
        "Noise map": FAILS,
        "Edge energy": FAILS,
    }, "edge energy beats the prior in CC alone"
    assert [one.label for one in by_label(found.controls)["Edge energy"].parts] == [
        "CC: Edge energy − Center Prior",
        "KLD: Center Prior − Edge energy",
    ]
    assert claims.verdict(found) == "holds; so does the control without quality training (Pretrained, norm of features)"
    (raw,) = found.beside
    assert (raw.label, round(raw.value, 6)) == ("raw maps, CC: Baseline − Center Prior", 0.05)


def test_c1_without_a_supervised_network_or_with_a_nan_is_not_testable():
    without = pd.DataFrame([one for one in WORLD if one["method"] != "saliency_net"])
    assert claims.verdict(extraction.claim_parts(without, DEMO)) == UNTESTED
    broken = [one | {"value": math.nan} if one["method"] == "pretrained_norm" else one for one in WORLD]
    assert claims.verdict(extraction.claim_parts(pd.DataFrame(broken), DEMO)) == "holds; no control does"


def test_a_control_of_one_repeat_is_paired_with_its_own_world_and_takes_the_interval_over_pictures():
    pooled = {"seed": -1, "n": 500}
    rows = [
        *WORLD,
        *maps("frozen_backbone", 0.65, 0.5, seeds=(1,)),
        row("frozen_backbone", "CC", 0.15, variant="difference/fitted", low=0.1, high=0.2, **pooled),
        row("frozen_backbone", "KLD", 0.1, variant="difference/fitted", low=-0.02, high=0.2, **pooled),
        row("baseline", "CC", 0.2, variant="difference/fitted", low=0.19, high=0.21, **pooled),
    ]
    found = extraction.claim_parts(pd.DataFrame(rows), DEMO)
    cc, kld = by_label(found.controls)["Frozen backbone + head"].parts
    assert (cc.value, cc.low, cc.high, cc.n, cc.over) == (0.15, 0.1, 0.2, 500, "pictures")
    assert (cc.outcome, kld.outcome) == (HOLDS, UNDECIDED)
    assert found.subject[0].over == "repeats"


def test_on_shared_pictures_what_is_not_trained_stands_beside_every_repeat():
    profile = profiles.load("paper")
    rows = [
        *maps("center_prior", 0.5, 0.6, (0,), "salicon"),
        *maps("baseline", 0.7, 0.4, (0, 1, 2), "salicon"),
        *maps("transalnet", 0.9, 0.1, (0,), "salicon"),
        *maps("center_prior", 0.5, 0.6, (0,), "cat2000"),
        *maps("baseline", 0.4, 0.7, (0, 1, 2), "cat2000"),
    ]
    found = extraction.claim_parts(pd.DataFrame(rows), profile)
    assert [one.n for one in found.subject] == [3, 3, 3, 3]
    assert found.subject[0].values.to_list() == pytest.approx([0.2, 0.201, 0.202])
    assert found.subject[2].values.to_list() == pytest.approx([0.2, 0.199, 0.198])
    assert [(one.label, one.outcome) for one in found.elsewhere["CAT2000"]] == [
        ("CC: Baseline − Center Prior", FAILS),
        ("KLD: Center Prior − Baseline", FAILS),
    ]


def test_one_repeat_of_two_methods_has_the_interval_that_both_allow():
    spans = {"saliency_net": (0.9, 0.85, 0.95), "baseline": (0.7, 0.6, 0.8)}
    rows = [*maps("center_prior", 0.5, 0.6, (0,))]
    for method, (value, low, high) in spans.items():
        rows += maps(method, value, 0.1, (0,))
        rows.append(row(method, "CC", value, -1, "interval/fitted", low=low, high=high, n=500))
    found = by_label(extraction.claim_parts(pd.DataFrame(rows), DEMO).subject)["CC: Saliency net − Baseline"]
    assert (found.value, found.low, found.high, found.n) == pytest.approx((0.2, 0.05, 0.35, 500))
    assert found.outcome == HOLDS


# ------------------------------------------------------------------------------------------------------------ C2 and C3


def curve(network, method, lerf, morf, seed, half=0.01):
    """Two fractions of one fill; the second half as far apart."""
    gap = lerf - morf
    points = [
        row(
            method,
            "SROCC",
            value,
            seed,
            f"{network}/black/{strategy}/{fraction}",
            low=value - half,
            high=value + half,
            n=300,
        )
        for strategy, values in (("LeRF", (lerf, lerf)), ("MoRF", (morf, lerf - gap / 2)))
        for fraction, value in zip((0.3, 0.7), values, strict=True)
    ]
    area = row(method, "area", gap * 0.7, seed, f"{network}/black/LeRF-MoRF/all", low=gap * 0.6, high=gap * 0.8, n=300)
    return [*points, area]


def test_c2_judges_other_maps_and_control_networks_by_the_gaps_of_the_claim():
    drawn = {
        ("baseline", "saliency"): 0.3,
        ("baseline", "gradcam"): 0.4,
        ("baseline", "center"): 0.2,
        ("baseline", "random"): -0.1,
        ("baseline", "saliency_grid"): 0.5,
        ("uniform_observers", "saliency"): -0.2,
        ("uniform_observers", "gradcam"): 0.2,
    }
    rows = [
        one
        for seed in range(3)
        for (network, name), gap in drawn.items()
        for one in curve(network, name, 0.9 + 0.001 * seed, 0.9 - gap, seed)
    ]
    rows += curve("unpretrained", "saliency", 0.9, 0.8, 0) + curve("unpretrained", "gradcam", 0.9, 0.8, 0, half=0.04)
    found = masking.claim_parts(pd.DataFrame(rows), DEMO)
    assert [round(one.value, 3) for one in found.subject] == [0.211, 0.281, 0.15, 0.201]
    assert {one.label: one.outcome for one in found.controls} == {
        "centre map": HOLDS,
        "random map": FAILS,
        "Baseline, uniform observers": FAILS,
        "Baseline, not pretrained": UNDECIDED,
    }
    worst = by_label(by_label(found.controls)["Baseline, not pretrained"].parts)["LeRF − MoRF, worst fraction, GradCAM"]
    assert (worst.value, worst.low, worst.n, worst.over) == pytest.approx((0.05, -0.03, 300, "pictures"))
    assert [one.label for one in found.beside] == [
        "LeRF − MoRF, area, saliency_grid",
        "LeRF − MoRF, worst fraction, saliency_grid",
    ]
    assert claims.verdict(found) == (
        "holds; so does the control without the picture (centre map); "
        "not decided for the control without pretraining (Baseline, not pretrained)"
    )


def trained(method, srocc, cc, seeds):
    return [
        one
        for seed in seeds
        for one in (
            row(
                method, "SROCC", srocc + 0.001 * seed, seed, "quality", "koniq10k", low=srocc - 0.03, high=srocc + 0.03, n=99
            ),
            row(method, "CC", cc + 0.001 * seed, seed, "fitted", "salicon"),
        )
    ]


def test_c3_has_a_margin_for_srocc_and_a_threshold_for_cc_also_for_other_targets():
    rows = [*trained("baseline", 0.9, 0.6, range(3)), *trained("baseline_sal_loss", 0.89, 0.75, range(3))]
    rows += trained("baseline_gradcam_loss", 0.895, 0.8, range(3))
    rows += trained("Baseline-Sal-Loss, efficientnet_b0, target center_only", 0.91, 0.73, (0, 1))
    rows += trained("Baseline-GradCAM-Loss, efficientnet_b0, target center_only", 0.91, 0.74, (0, 1))
    found = dual_task.claim_parts(pd.DataFrame(rows), profiles.load("paper"))
    assert [(one.label, round(one.value, 6), one.needed) for one in found.subject] == [
        ("SROCC: Sal-Loss − Baseline", -0.01, -0.02),
        ("CC: Sal-Loss − Baseline", 0.15, 0.1),
        ("SROCC: GradCAM-Loss − Baseline", -0.005, -0.02),
        ("CC: GradCAM-Loss − Baseline", 0.2, 0.1),
    ]
    assert claims.verdict(found) == "holds; so does the control without the picture (Centre only as target)"
    single = pd.DataFrame([one for one in rows if "target" not in one["method"] or one["seed"] == 0])
    (only,) = dual_task.claim_parts(single, profiles.load("paper")).controls
    assert [one.outcome for one in only.parts] == [UNDECIDED] * 4, "one repeat: wide over pictures, or no interval"
    none = pd.DataFrame([one for one in rows if "target" not in one["method"]])
    assert claims.verdict(dual_task.claim_parts(none, profiles.load("paper"))) == "holds; no control was measured"
