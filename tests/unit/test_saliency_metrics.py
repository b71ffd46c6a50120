"""NSS, SIM, CC and KLD: hand-computed values, the differences between conventions, and every degenerate input."""

import math

import numpy as np
import pytest

from paperlib.metrics import saliency
from paperlib.metrics.saliency import cc, evaluate, kld, nss, nss_positive_density, sim

RAMP = np.array([[0.0, 1.0], [2.0, 3.0]])
NAMES = ["NSS", "NSS_fix", "SIM", "CC", "KLD"]


def maps(count: int = 3, shape: tuple[int, int] = (20, 30), seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    prediction, density = rng.random((count, *shape)), rng.random((count, *shape)) ** 6
    return prediction, density, rng.poisson(0.05, (count, *shape))


def assert_same_fast(prediction, density, fixations, sim_convention="unit_sum", kld_convention="mit") -> None:
    """`evaluate` gives what the single functions give for each map."""
    got = evaluate(prediction, density, fixations, sim_convention=sim_convention, kld_convention=kld_convention)
    rows = [
        (nss_positive_density(s, d), nss(s, f), sim(s, d, sim_convention), cc(s, d), kld(s, d, kld_convention))
        for s, d, f in zip(prediction, density, fixations, strict=True)
    ]
    for name, expected in zip(NAMES, zip(*rows, strict=True), strict=True):
        np.testing.assert_allclose(got[name], expected, rtol=0, atol=1e-6, err_msg=name)


# ---- values by hand -------------------------------------------------------------------------------------------------
def test_nss_by_hand() -> None:
    deviation = math.sqrt(1.25)
    assert nss(RAMP, [[0, 0], [0, 1]]) == pytest.approx(1.5 / deviation, abs=1e-12)
    assert nss(RAMP, [[1, 0], [0, 1]]) == pytest.approx(0.0, abs=1e-12)
    assert nss(RAMP, [[1, 0], [0, 3]]) == pytest.approx((3 * 1.5 - 1.5) / 4 / deviation, abs=1e-12)
    density = np.array([[0.0, 0.0], [0.2, 1.0]])
    assert nss_positive_density(RAMP, density) == pytest.approx(1.0 / deviation, abs=1e-12)
    assert nss_positive_density(RAMP, density, threshold=0.5) == pytest.approx(1.5 / deviation, abs=1e-12)
    assert nss_positive_density(RAMP**3, 0.2 + RAMP) == pytest.approx(0.0, abs=1e-12), "every pixel counts"


def test_positive_density_reads_a_float_map_as_its_8_bit_file_would_be() -> None:
    rng = np.random.default_rng(3)
    prediction, density = rng.random((40, 50)), rng.random((40, 50)) ** 12
    density /= density.max()
    file = np.round(255 * density).astype(np.uint8)
    assert 0.2 < (file > 0).mean() < 0.9
    assert nss_positive_density(prediction, density) == nss_positive_density(prediction, file)
    assert nss_positive_density(prediction, density) == nss_positive_density(prediction, file > 0, threshold=0)
    assert nss_positive_density(prediction, density) == pytest.approx(nss_positive_density(prediction, 7.5 * density))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("peak", [51.0, 5.1, 0.7, 3.3])
def test_half_a_quantum_rounds_to_zero_as_in_an_8_bit_file(dtype: type, peak: float) -> None:
    density = np.array([[peak, peak / 510, peak / 500], [peak / 510, peak / 520, 0]], dtype)
    prediction = np.array([[3, 1, 4], [1, 5, 9]], dtype)
    expected = ((prediction - prediction.mean()) / prediction.std())[[0, 0], [0, 2]].mean()
    assert nss_positive_density(prediction, density) == pytest.approx(expected, abs=1e-6)
    assert evaluate(prediction[None], density[None])["NSS"][0] == pytest.approx(expected, abs=1e-6)


def test_sim_and_cc_by_hand() -> None:
    assert sim([[1, 1], [1, 1]], [[0, 0], [0, 5]]) == pytest.approx(0.25, abs=1e-12)
    assert sim([[1, 0], [0, 0]], [[0, 0], [0, 5]]) == 0
    assert sim([[1, 2], [3, 4]], [[2, 4], [6, 8]]) == pytest.approx(1, abs=1e-12)
    assert cc(RAMP, RAMP * 4 + 1) == pytest.approx(1)
    assert cc(-RAMP, RAMP) == pytest.approx(-1)
    assert cc([[0, 1], [1, 0]], [[0, 0], [1, 1]]) == pytest.approx(0, abs=1e-12)


def test_kld_by_hand() -> None:
    uniform, half = np.ones((2, 2)), np.array([[1.0, 1.0], [0.0, 0.0]])
    assert kld(uniform, half) == pytest.approx(math.log(2), abs=1e-12)
    assert kld(half, uniform) == pytest.approx(0.5 * math.log(0.5) + 0.5 * math.log(0.25 / 2.2204e-16), abs=1e-9)
    assert kld(half, uniform, "msinet") == pytest.approx(0.5 * math.log(0.5) + 0.5 * math.log(0.25 / 1e-7), abs=1e-5)
    p, q = np.array([[1.0, 1.0], [1.0, 7.0]]), np.array([[4.0, 3.0], [2.0, 1.0]])
    assert kld(p, q) == pytest.approx((q / 10 * np.log(q / p)).sum(), abs=1e-12), "of the truth from the prediction"


# ---- conventions ----------------------------------------------------------------------------------------------------
def test_a_pedestal_moves_sim_in_the_way_of_its_convention() -> None:
    prediction, density = maps(1)[0][0] + 1, maps(1)[1][0]
    plain, mit, pysaliency = (sim(prediction, density, name) for name in ("unit_sum", "mit", "pysaliency"))
    assert plain == pysaliency
    assert mit == pytest.approx(sim(prediction - prediction.min(), density - density.min()), abs=1e-12)
    assert abs(mit - plain) > 0.01


def test_conventions_on_negative_predictions() -> None:
    prediction, density = RAMP - 1, RAMP
    with pytest.raises(ValueError, match="unit_sum.*values >= 0.*-1.*normalise"):
        sim(prediction, density)
    assert sim(prediction, density, "pysaliency") == sim(prediction, density, "mit") == 1
    with pytest.raises(ValueError, match="KLD convention 'mit'.*values >= 0"):
        kld(prediction, density)
    assert kld(prediction, density, "pysaliency") == pytest.approx(0, abs=1e-12)
    assert cc(prediction, density) == pytest.approx(1)
    assert nss(prediction, [[0, 0], [0, 1]]) == pytest.approx(nss(RAMP, [[0, 0], [0, 1]]))


@pytest.mark.parametrize("sim_convention", ["unit_sum", "mit", "pysaliency"])
@pytest.mark.parametrize("kld_convention", ["mit", "pysaliency", "msinet"])
def test_the_fast_way_follows_every_convention(sim_convention: str, kld_convention: str) -> None:
    prediction, density, fixations = maps(4)
    prediction += 0.3
    prediction[1, 3:9] = 0
    density[2] += 0.5
    if sim_convention != "unit_sum" and kld_convention == "pysaliency":
        prediction -= 0.5
    assert_same_fast(prediction, density, fixations, sim_convention, kld_convention)


# ---- the fast way equals the plain way ------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, np.int64, bool])
def test_dtypes(dtype: type) -> None:
    prediction, density, fixations = maps(2)
    if dtype is not bool:
        scale = 1 if np.issubdtype(dtype, np.floating) else 255
        prediction, density = (scale * prediction + 0.01).astype(dtype), np.ceil(scale * density).astype(dtype)
    else:
        prediction, density = prediction > 0.3, density > 0.1
    for stack in (fixations, fixations.astype(np.uint8), fixations.astype(np.float32)):
        assert_same_fast(prediction, density, stack)


@pytest.mark.parametrize("kld_convention", ["mit", "pysaliency", "msinet"])
def test_published_8_bit_densities_with_predictions_that_touch_zero(kld_convention: str) -> None:
    """Buffers are used again from map to map, and P's guard is shared with SIM where SIM cannot see it.

    The maps are larger than a block of the fast way and no multiple of it.
    """
    prediction, density, _ = maps(4, (300, 331))
    prediction = (prediction - 0.1).clip(0).astype(np.float32)
    density = np.rint(255 * np.where(prediction > 0.2, density, 0)).astype(np.uint8)
    fixations = (density > 200).astype(np.uint8)
    assert (prediction == 0).any() and (density == 0).any()
    assert_same_fast(prediction, density, fixations, kld_convention=kld_convention)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_ordinary_maps_take_the_fast_way(dtype: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions and densities with zeros, as published maps have them, are not handed to the plain equations."""
    rows, columns = np.mgrid[:60, :80]
    near = np.exp(-((rows - 30) ** 2 + (columns - 40) ** 2) / 400) - 0.02
    prediction = near.clip(0)[None].astype(np.float32)
    density = (255 * np.roll(near, 3, axis=1).clip(0))[None].astype(dtype)
    assert (prediction == 0).any() and (density == 0).any() and ((prediction == 0) & (density > 0)).any()
    monkeypatch.setattr(saliency, "_measure_exactly", lambda *_: pytest.fail("the slow way was taken"))
    evaluate(prediction, density)


def test_strided_and_broadcast_stacks() -> None:
    prediction, density, fixations = maps(3, (24, 32))
    prior = np.broadcast_to(prediction[0], prediction.shape)
    assert_same_fast(prior, density[::-1], fixations[:, ::-1])


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: 1 + 1e-4 * s,
        lambda s: 1e6 + s,
        lambda s: 1e30 * s,
        lambda s: 1e-30 * s,
        lambda s: np.where(s > 0.9, s, 0),
        lambda s: np.where(s == s.max(), 1.0, 0.0),
        lambda s: s * 0 + 3,
        lambda s: s * 0,
    ],
    ids=["nearly constant", "pedestal", "huge", "tiny", "sparse", "one pixel", "constant", "zero"],
)
def test_maps_that_float32_cannot_carry_keep_six_decimals(spoil) -> None:
    prediction, density, fixations = maps(2)
    assert_same_fast(spoil(prediction), density, fixations)


def test_a_density_of_one_pixel() -> None:
    prediction, density = maps(1)[0], np.zeros((1, 20, 30))
    density[0, 4, 5] = 0.3
    got = evaluate(prediction, density, density > 0)
    assert got["KLD"][0] == pytest.approx(-math.log(prediction[0, 4, 5] / prediction[0].sum()), abs=1e-6)
    assert got["NSS"][0] == pytest.approx(got["NSS_fix"][0], abs=1e-12)
    assert got["SIM"][0] == pytest.approx(prediction[0, 4, 5] / prediction[0].sum(), abs=1e-6)


# ---- degenerate input -----------------------------------------------------------------------------------------------
def test_constant_and_all_zero_predictions_have_defined_values() -> None:
    density, fixations = maps(1)[1], maps(1)[2]
    uniform = density.size * (density / density.sum())
    divergence = (density / density.sum() * np.log(np.where(uniform > 0, uniform, 1))).sum()
    for constant in (0.0, 0.1, 7.0):
        got = evaluate(np.full_like(density, constant), density, fixations)
        assert got["NSS"][0] == got["NSS_fix"][0] == got["CC"][0] == 0
        assert got["KLD"][0] == pytest.approx(divergence, abs=1e-9)
        assert got["SIM"][0] == pytest.approx(np.minimum(uniform, 1).mean(), abs=1e-9)


def test_a_constant_density_leaves_the_correlation_undefined() -> None:
    assert math.isnan(cc(RAMP, np.ones((2, 2))))
    got = evaluate(RAMP[None], np.ones((1, 2, 2)))
    assert math.isnan(got["CC"][0])
    assert got["NSS"][0] == pytest.approx(0, abs=1e-12)
    assert got["KLD"][0] == pytest.approx(kld(RAMP, np.ones((2, 2))))


def test_no_fixation_is_nan_and_the_key_is_absent_without_fixations() -> None:
    prediction, density, fixations = maps(2)
    fixations[1] = 0
    got = evaluate(prediction, density, fixations)
    assert math.isfinite(got["NSS_fix"][0]) and math.isnan(got["NSS_fix"][1])
    assert math.isnan(nss(RAMP, np.zeros((2, 2))))
    assert list(evaluate(prediction, density)) == ["NSS", "SIM", "CC", "KLD"]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("role", ["saliency", "density", "fixations"])
def test_values_that_are_not_finite_are_refused_with_the_map_named(role: str, bad: float) -> None:
    stacks = dict(zip(("saliency", "density", "fixations"), maps(3), strict=True))
    stacks[role] = stacks[role].astype(float)
    stacks[role][2, 1, 1] = bad
    with pytest.raises(ValueError, match=f"map 2: {role}: expected finite values"):
        evaluate(**stacks)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"density": np.zeros((2, 4, 5))}, "map 0: density: expected some mass"),
        ({"density": -np.ones((2, 4, 5))}, "map 0: density: expected values >= 0, got a minimum of -1"),
        ({"saliency": -np.ones((2, 4, 5))}, "map 0: saliency: .* expects values >= 0"),
        ({"fixations": -np.ones((2, 4, 5))}, "map 0: fixations: expected counts >= 0"),
        ({"density": np.ones((2, 5, 4))}, r"density: expected the shape of saliency \(2, 4, 5\), got \(2, 5, 4\)"),
        ({"fixations": np.ones((1, 4, 5))}, r"fixations: expected the shape of saliency"),
        ({"saliency": np.ones((4, 5))}, r"saliency: expected maps of shape \(N, H, W\), got shape \(4, 5\)"),
        ({"saliency": np.ones((0, 4, 5)), "density": np.ones((0, 4, 5))}, "saliency: expected maps of shape"),
        ({"saliency": np.ones((2, 4, 5), complex)}, "saliency: expected real numbers, got dtype complex128"),
        ({"threshold": 1.0}, "threshold: expected a share"),
        ({"threshold": math.nan}, "threshold: expected a share"),
        ({"sim_convention": "own"}, "convention: expected one of unit_sum, mit, pysaliency, got 'own'"),
        ({"kld_convention": "own"}, "convention: expected one of mit, pysaliency, msinet, got 'own'"),
    ],
)
def test_bad_input_is_refused_in_one_clear_sentence(change: dict, message: str) -> None:
    rng = np.random.default_rng(0)
    arguments = {"saliency": rng.random((2, 4, 5)), "density": rng.random((2, 4, 5))} | change
    with pytest.raises(ValueError, match=message):
        evaluate(**arguments)


@pytest.mark.parametrize("metric", [nss, nss_positive_density, sim, cc, kld])
def test_single_functions_refuse_what_the_batch_refuses(metric) -> None:
    for first, second in [
        (np.ones((2, 3)), np.ones((3, 2))),
        (np.ones(6), np.ones(6)),
        (np.full((2, 3), np.nan), np.ones((2, 3))),
        (np.ones((2, 3)), np.full((2, 3), np.inf)),
        (np.ones((2, 3)), -np.ones((2, 3))),
        (np.array([["a"]]), np.ones((1, 1))),
    ]:
        with pytest.raises(ValueError, match="expected"):
            metric(first, second)


def test_inputs_stay_as_they_were() -> None:
    stacks = [stack.astype(np.float32) for stack in maps(2)]
    copies = [stack.copy() for stack in stacks]
    evaluate(*stacks, sim_convention="mit")
    for stack, copy in zip(stacks, copies, strict=True):
        np.testing.assert_array_equal(stack, copy)
