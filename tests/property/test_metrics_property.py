"""What must hold for every input: invariances, ranges, identities, and the fast way beside the plain one."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.stats import rankdata

from paperlib.maps.transform import MapTransform, normalise
from paperlib.metrics.correlation import fraccp, plcc, ranks, srocc
from paperlib.metrics.equivalence import tost
from paperlib.metrics.resampling import bootstrap_mean, holm, paired_p
from paperlib.metrics.saliency import cc, evaluate, kld, nss, nss_positive_density, sim
from paperlib.metrics.weighted import psnr, ssim

SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=9)
TENTHS = st.integers(0, 1000).map(lambda value: value / 10)


@st.composite
def map_pairs(draw: st.DrawFn, count: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, densities with some mass, and fixation counts, (count, H, W) each."""
    shape = (count, *draw(SHAPES))
    prediction, density = (
        draw(arrays(np.float64, shape, elements=TENTHS)),
        draw(arrays(np.float64, shape, elements=TENTHS)),
    )
    density[:, 0, 0] += 0.5
    return prediction, density, draw(arrays(np.int64, shape, elements=st.integers(0, 3)))


FACTORS = st.floats(0.01, 100)
SHIFTS = st.floats(-50, 50)


@settings(deadline=None)
@given(map_pairs(), FACTORS, SHIFTS)
def test_nss_and_cc_do_not_see_affine_changes(pair, factor: float, shift: float) -> None:
    prediction, density, fixations = (stack[0] for stack in pair)
    assume(fixations.any())
    changed = factor * prediction + shift
    assume((np.ptp(prediction) > 0) == (np.ptp(changed) > 0))
    assert nss(changed, fixations) == pytest.approx(nss(prediction, fixations), abs=1e-7)
    assert nss_positive_density(changed, density) == pytest.approx(nss_positive_density(prediction, density), abs=1e-7)
    assert cc(changed, density) == pytest.approx(cc(prediction, density), abs=1e-7, nan_ok=True)
    assert cc(-prediction, density) == pytest.approx(-cc(prediction, density), abs=1e-12, nan_ok=True)


@settings(deadline=None)
@given(map_pairs(), FACTORS)
def test_ranges_symmetry_and_scale(pair, factor: float) -> None:
    prediction, density, _ = (stack[0] for stack in pair)
    for convention in ("unit_sum", "mit", "pysaliency"):
        value = sim(prediction, density, convention)
        assert -1e-12 <= value <= 1 + 1e-12
        assert sim(factor * prediction, density, convention) == pytest.approx(value, abs=1e-9)
    for convention in ("mit", "pysaliency", "msinet"):
        value = kld(prediction, density, convention)
        assert value >= -1e-4 if convention == "msinet" else value >= -1e-9
        if convention != "pysaliency":  # its floor of 1e-20 is absolute: maps with zeros see their scale
            assert kld(factor * prediction, density, convention) == pytest.approx(value, rel=1e-6, abs=1e-6)
    if prediction.any():
        assert sim(prediction, density) == pytest.approx(sim(density, prediction), abs=1e-12)
    correlation = cc(prediction, density)
    assert np.isnan(correlation) or -1 <= correlation <= 1


@settings(deadline=None)
@given(map_pairs(), FACTORS)
def test_a_map_agrees_with_itself(pair, factor: float) -> None:
    density = pair[1][0]
    assert sim(factor * density, density) == pytest.approx(1, abs=1e-9)
    assert kld(factor * density, density) == pytest.approx(0, abs=1e-9)
    if np.ptp(density) > 0:
        assert cc(factor * density, density) == pytest.approx(1, abs=1e-9)
        assert nss(density, density == density.max()) > 0


@settings(deadline=None)
@given(map_pairs(count=3), st.sampled_from([np.float32, np.float64]))
def test_the_batch_equals_the_single_functions(stacks, dtype: type) -> None:
    prediction, density, fixations = stacks
    prediction, density = prediction.astype(dtype), density.astype(dtype)
    got = evaluate(prediction, density, fixations)
    for index, (s, d, f) in enumerate(zip(prediction, density, fixations, strict=True)):
        expected = {
            "NSS": nss_positive_density(s, d),
            "NSS_fix": nss(s, f),
            "SIM": sim(s, d),
            "CC": cc(s, d),
            "KLD": kld(s, d),
        }
        for name, value in expected.items():
            assert got[name][index] == pytest.approx(value, abs=1e-6, nan_ok=True), name


SCORES = arrays(np.float64, st.integers(3, 20), elements=st.integers(-30, 30).map(float))


@settings(deadline=None)
@given(SCORES, st.randoms(use_true_random=False))
def test_srocc_and_fraccp_see_order_only(scores: np.ndarray, random) -> None:
    subjective = np.array(random.sample(range(100), scores.size), float)
    stretched = np.exp(scores / 10) + 3
    assert srocc(stretched, subjective) == pytest.approx(srocc(scores, subjective), abs=1e-12, nan_ok=True)
    assert fraccp(stretched, subjective) == fraccp(scores, subjective)


@settings(deadline=None)
@given(SCORES)
def test_ranks_equal_scipy(scores: np.ndarray) -> None:
    np.testing.assert_array_equal(ranks(scores), rankdata(scores))


@settings(deadline=None)
@given(SCORES, FACTORS, SHIFTS, st.randoms(use_true_random=False))
def test_plcc_is_affine_invariant_and_antisymmetric(scores: np.ndarray, factor: float, shift: float, random) -> None:
    other = np.array([random.gauss(0, 1) for _ in scores])
    value = plcc(scores, other)
    assert plcc(factor * scores + shift, other) == pytest.approx(value, abs=1e-9, nan_ok=True)
    assert plcc(-scores, other) == pytest.approx(-value, abs=1e-12, nan_ok=True)
    assert np.isnan(value) or -1 <= value <= 1


PIXELS = arrays(np.uint8, st.tuples(st.integers(11, 16), st.integers(11, 16)))


@settings(max_examples=50, deadline=None)
@given(PIXELS, st.integers(0, 2**32 - 1))
def test_psnr_and_ssim_are_symmetric_and_bounded(image: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    other, weights = rng.integers(0, 256, image.shape, dtype=np.uint8), rng.random(image.shape)
    for measure, highest in ((psnr, 80), (ssim, 1)):
        value = measure(image, other, weights)
        assert value == pytest.approx(measure(other, image, weights), abs=1e-6)
        assert -1e-6 <= value <= highest + 1e-6
        assert measure(image, image, weights) == pytest.approx(highest, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(map_pairs(count=4))
def test_a_fitted_transform_keeps_order_bounds_and_never_does_worse_than_the_prior(stacks) -> None:
    maps, densities, _ = stacks
    densities = densities / densities.max(axis=(1, 2), keepdims=True)
    prior = densities.mean(axis=0)
    fitted = MapTransform.fit(maps, densities, prior)
    assert (np.diff(fitted.curve) >= 0).all()
    levels = np.rint(normalise(maps) * 255).astype(int)
    error = ((densities - fitted.curve[levels] - fitted.beta * fitted.center_prior) ** 2).sum()
    assert error <= ((densities - prior) ** 2).sum() * (1 + 1e-6) + 1e-9
    result = fitted.transform(maps)
    assert result.min() >= 0 and result.max() <= 1


@settings(deadline=None)
@given(map_pairs(count=2), FACTORS, SHIFTS)
def test_normalised_maps_span_zero_to_one(stacks, factor: float, shift: float) -> None:
    scaled = normalise(factor * stacks[0] + shift)
    for raw, result in zip(stacks[0], scaled, strict=True):
        assert result.min() == 0
        assert result.max() == (1 if np.ptp(raw) > 0 else 0) or np.ptp(factor * raw + shift) > 0


# ---- tests over images and over repeats -----------------------------------------------------------------------------
SIGNED_TENTHS = st.integers(-100, 100).map(lambda value: value / 10)
SAMPLES = st.integers(2, 20).flatmap(lambda count: arrays(np.float64, count, elements=SIGNED_TENTHS))
P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.just(np.nan)), min_size=1, max_size=12).map(np.array)


@given(P_VALUES, st.randoms())
def test_holm(p: np.ndarray, random) -> None:
    adjusted, missing = holm(p), np.isnan(p)
    np.testing.assert_array_equal(np.isnan(adjusted), missing)
    kept, raised = p[~missing], adjusted[~missing]
    assert (raised >= kept).all() and (raised <= 1).all()
    assert (raised <= np.minimum(1, kept * kept.size)).all()  # never harsher than Bonferroni
    order = np.argsort(kept, kind="stable")
    assert (np.diff(raised[order]) >= 0).all()
    shuffled = random.sample(range(p.size), p.size)
    np.testing.assert_array_equal(holm(p[shuffled]), adjusted[shuffled])


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([-4.0, -1.0, 0.5, 8.0]))
def test_p_sees_neither_sign_nor_scale(sample: np.ndarray, factor: float) -> None:
    p = paired_p(sample, 200)
    assert 0 < p <= 1
    assert paired_p(factor * sample, 200) == p
    assert paired_p(np.r_[sample, np.nan], 200) == p


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([0.25, 3.0]), SIGNED_TENTHS)
def test_the_interval_moves_with_the_values(sample: np.ndarray, factor: float, shift: float) -> None:
    low, high = bootstrap_mean(sample, 200)
    assert low - 1e-9 <= sample.mean() <= high + 1e-9
    assert bootstrap_mean(factor * sample + shift, 200) == pytest.approx(
        (factor * low + shift, factor * high + shift), abs=1e-9
    )
    assert bootstrap_mean(-sample, 200) == pytest.approx((-high, -low), abs=1e-9)
    narrow = bootstrap_mean(sample, 200, confidence=0.5)
    assert low <= narrow[0] <= narrow[1] <= high


THOUSANDTHS = st.integers(-60, 60).map(lambda value: value / 1000)
PAIRS = st.integers(2, 12).flatmap(lambda n: arrays(np.float64, (2, n), elements=THOUSANDTHS))
MARGINS = st.sampled_from([0.0005, 0.01, 0.03])


@settings(deadline=None)
@given(PAIRS, MARGINS)
def test_both_sides_mirror_each_other(pair: np.ndarray, margin: float) -> None:
    one, two = tost(*pair, margin), tost(*pair[::-1], margin)
    assert (one["p_lower"], one["p_upper"]) == pytest.approx((two["p_upper"], two["p_lower"]), rel=1e-6, abs=1e-12)
    assert (one["low"], one["high"]) == pytest.approx((-two["high"], -two["low"]), abs=1e-9)
    mirror = {"lower": "higher", "higher": "lower"}
    assert two["verdict"] == mirror.get(one["verdict"], one["verdict"])


@settings(deadline=None)
@given(PAIRS, MARGINS)
def test_the_interval_and_p_agree(pair: np.ndarray, margin: float) -> None:
    found = tost(*pair, margin)
    assert 0 <= found["p"] <= 1 and found["low"] <= found["difference"] <= found["high"]
    room = margin - max(abs(found["low"]), abs(found["high"]))
    if abs(room) > 1e-9:
        assert (room > 0) == (found["p"] < 0.05) == (found["verdict"] == "equivalent")
    assert found["p"] == max(found["p_lower"], found["p_upper"])


@settings(deadline=None)
@given(PAIRS)
def test_a_wider_margin_is_easier(pair: np.ndarray) -> None:
    p = [tost(*pair, margin)["p"] for margin in (0.001, 0.01, 0.1)]
    assert p[0] >= p[1] >= p[2]


@settings(deadline=None)
@given(PAIRS, MARGINS, st.sampled_from([0.5, 4.0]))
def test_units_do_not_matter(pair: np.ndarray, margin: float, factor: float) -> None:
    found, scaled = tost(*pair, margin), tost(*(factor * pair), factor * margin)
    assert scaled["p"] == pytest.approx(found["p"], abs=1e-12)
    assert scaled["low"] == pytest.approx(factor * found["low"], abs=1e-12)
