"""The map transform against a general solver of the same problem, and the controls that put it in its place."""

import tracemalloc

import numpy as np
import pytest
from scipy.optimize import minimize

from paperlib.maps.center_prior import gaussian_center_prior
from paperlib.maps.transform import MapTransform, normalise
from paperlib.metrics.saliency import evaluate

ROWS, COLUMNS = np.mgrid[:24, :32]


def world(count: int = 30, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Densities of two blobs each near the centre, and their Gaussian centre prior."""
    rng = np.random.default_rng(seed)
    densities = np.zeros((count, 24, 32))
    for density in densities:
        for _ in range(2):
            y, x = 24 * rng.normal(0.5, 0.15), 32 * rng.normal(0.5, 0.15)
            density += np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / (2 * rng.uniform(1.5, 4) ** 2))
    densities /= densities.max(axis=(1, 2), keepdims=True)
    return densities, gaussian_center_prior(densities)


def levels_of(maps: np.ndarray, bins: int) -> np.ndarray:
    return np.rint(normalise(maps) * (bins - 1)).astype(int)


def squared_error(curve, beta, levels, densities, prior) -> float:
    return float(((densities - np.asarray(curve)[levels] - beta * prior) ** 2).sum())


def solver(levels, densities, prior, bins: int, bounds: str) -> float:
    """Least squared error by a general constrained solver, on the problem as it is written down in [37]."""
    indicator = (levels.reshape(-1, 1) == np.arange(bins)).astype(float)
    design = np.c_[indicator, np.broadcast_to(prior, densities.shape).reshape(-1, 1)]
    target = densities.reshape(-1)
    gram, moment, square = design.T @ design, design.T @ target, target @ target
    rises = np.c_[np.diff(np.eye(bins), axis=0), np.zeros(bins - 1)]
    low, high = (-0.5, 1.0) if bounds == "python" else (0.0, 1.0)
    limits = [(low, high)] * bins + [(None, None) if bounds == "python" else (0.0, 1.0)]
    scale = 1 / square
    result = minimize(
        lambda x: scale * (square - 2 * moment @ x + x @ gram @ x),
        np.r_[np.linspace(0.01, 0.9, bins), 0.1],
        jac=lambda x: scale * 2 * (gram @ x - moment),
        bounds=limits,
        constraints={"type": "ineq", "fun": lambda x: rises @ x, "jac": lambda x: rises},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-14},
    )
    assert result.success, result.message
    return result.fun / scale


def cases() -> dict[str, np.ndarray]:
    densities, prior = world()
    rng = np.random.default_rng(1)
    noise = rng.random(densities.shape)
    return {
        "good": np.sqrt(densities) + 0.1 * noise,
        "weak": densities + 2 * noise,
        "noise": noise,
        "inverted": 1 - densities + 0.1 * noise,
        "biased": densities + 3 * prior,
        "sparse": np.where(densities > 0.8, densities, 0),
    }


@pytest.mark.parametrize("bounds", ["python", "matlab"])
@pytest.mark.parametrize("name", list(cases()))
def test_the_fit_is_as_good_as_a_general_solver(name: str, bounds: str) -> None:
    (densities, prior), maps = world(), cases()[name]
    fitted = MapTransform.fit(maps, densities, prior, bins=16, bounds=bounds)
    levels = levels_of(maps, 16)
    ours = squared_error(fitted.curve, fitted.beta, levels, densities, prior)
    theirs = solver(levels, densities, prior, 16, bounds)
    assert ours == pytest.approx(theirs, rel=1e-4)
    assert ours <= theirs * (1 + 1e-6)
    low, high = (-0.5, 1.0) if bounds == "python" else (0.0, 1.0)
    assert (np.diff(fitted.curve) >= 0).all()
    assert low <= fitted.curve[0] and fitted.curve[-1] <= high
    if bounds == "matlab":
        assert 0 <= fitted.beta <= 1


def test_bounds_that_bind() -> None:
    densities, prior = world()
    maps = densities + 3 * prior  # a built-in centre bias: the free version subtracts the prior
    assert MapTransform.fit(maps, densities, prior, bounds="python").beta < 0
    bounded = MapTransform.fit(maps, densities, prior, bounds="matlab")
    assert bounded.beta == 0
    assert bounded.curve.min() >= 0
    far = MapTransform.fit(maps, densities, 1e-3 * prior, bounds="matlab")
    assert 0 <= far.beta <= 1


def test_256_bins_satisfy_the_optimality_conditions() -> None:
    densities, prior = world()
    maps = cases()["weak"]
    fitted = MapTransform.fit(maps, densities, prior)
    levels = levels_of(maps, 256)
    best = squared_error(fitted.curve, fitted.beta, levels, densities, prior)
    rng = np.random.default_rng(0)
    for _ in range(200):
        curve = np.sort(fitted.curve + 10 ** rng.uniform(-6, -1) * rng.normal(size=256)).clip(-0.5, 1)
        beta = fitted.beta + 10 ** rng.uniform(-6, -1) * rng.normal()
        assert squared_error(curve, beta, levels, densities, prior) >= best * (1 - 1e-12)


def test_a_known_transform_is_recovered() -> None:
    rng = np.random.default_rng(0)
    prior = world()[1]
    maps = rng.integers(0, 256, (40, 24, 32)) / 255
    maps[:, 0, 0], maps[:, 0, 1] = 0, 1
    curve = 0.6 * np.linspace(0, 1, 256) ** 2
    target = curve[np.rint(255 * maps).astype(int)] + 0.3 * prior
    target[:, 0, 0] = 1  # every density has a maximum of 1, so the scaling changes nothing
    fitted = MapTransform.fit(maps, target, prior)
    assert fitted.beta == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(fitted.curve[20:], curve[20:], rtol=0, atol=0.02)


@pytest.mark.parametrize("control", ["noise", "shuffled"])
def test_any_map_ends_at_the_centre_prior(control: str) -> None:
    """The control of the method: what knows nothing of the images scores like the prior after the fit."""
    densities, prior = world(60)
    rng = np.random.default_rng(5)
    maps = rng.random(densities.shape) if control == "noise" else np.roll(densities, 1, axis=0)
    fitted = MapTransform.fit(maps, densities, prior).transform(maps)
    floor = evaluate(np.broadcast_to(prior, densities.shape), densities)["CC"].mean()
    raw = evaluate(normalise(maps), densities)["CC"].mean()
    after = evaluate(fitted, densities)["CC"].mean()
    assert raw < floor - 0.05
    assert after == pytest.approx(floor, abs=0.02)
    assert ((densities - fitted) ** 2).mean() < ((densities - densities.mean()) ** 2).mean()


def test_brightness_curves_do_not_matter_after_the_fit() -> None:
    densities, prior = world()
    maps = np.rint(255 * normalise(densities)) / 255
    first = MapTransform.fit(maps, densities, prior).transform(maps)
    inverse = np.linspace(0, 1, 256) * 0.25 + np.arange(256) // 128 * 0.7
    second_maps = inverse[np.rint(255 * maps).astype(int)]
    bins = 4001  # enough to keep apart what the curve put close together
    second = MapTransform.fit(second_maps, densities, prior, bins=bins).transform(second_maps)
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-4)


def test_chunks_equal_the_whole_and_memory_does_not_grow() -> None:
    densities, prior = world(40)
    maps = densities + 0.2 * np.random.default_rng(0).random(densities.shape)
    whole = MapTransform.fit(maps, densities, prior)
    halves = MapTransform.fit_chunks([(maps[:7], densities[:7]), (maps[7:], densities[7:])], prior)
    single = MapTransform.fit_chunks(zip(maps, densities, strict=True), prior)
    for other in (halves, single):
        np.testing.assert_allclose(other.curve, whole.curve, rtol=0, atol=1e-9)
        assert other.beta == pytest.approx(whole.beta, abs=1e-9)

    def peak(repeats: int) -> int:
        tracemalloc.start()
        MapTransform.fit_chunks(((maps[0], densities[0]) for _ in range(repeats)), prior)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(1)  # first use imports the solver
    assert peak(50) < 1.5 * peak(2)


def test_levels_that_the_fit_never_saw_lie_between_their_neighbours() -> None:
    densities, prior = world(4)
    maps = np.where(densities > 0.5, 1.0, 0.0)
    fitted = MapTransform.fit(maps, densities, prior)
    np.testing.assert_allclose(fitted.curve, np.linspace(fitted.curve[0], fitted.curve[-1], 256), rtol=0, atol=1e-12)


def test_transform_of_one_map_of_many_and_of_a_constant() -> None:
    densities, prior = world(5)
    fitted = MapTransform.fit(densities, densities, prior)
    many = fitted.transform(densities)
    assert many.shape == densities.shape and many.dtype == np.float32
    assert many.min() >= 0 and many.max() <= 1
    np.testing.assert_array_equal(fitted.transform(densities[2]), many[2])
    flat = fitted.transform(np.full((24, 32), 7.0))
    np.testing.assert_allclose(flat, np.clip(fitted.curve[0] + fitted.beta * prior, 0, 1), rtol=0, atol=1e-6)


def test_normalise() -> None:
    maps = np.array([[[2.0, 4.0], [3.0, 6.0]], [[-5.0, -5.0], [-5.0, -5.0]], [[-1e308, 0.0], [0.0, 1e308]]])
    expected = [[[0, 0.5], [0.25, 1]], [[0, 0], [0, 0]], [[0, 0.5], [0.5, 1]]]
    np.testing.assert_allclose(normalise(maps), expected, rtol=1e-7)
    np.testing.assert_array_equal(normalise(maps[0]), normalise(maps)[0])
    np.testing.assert_allclose(normalise(np.array([[0, 128, 255]], np.uint8)), [[0, 128 / 255, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.ones((2, 3, 4))}, "one shape"),
        ({"maps": np.ones((4, 3, 3)), "densities": np.ones((4, 3, 3))}, "the prior's size"),
        ({"maps": np.full((4, 24, 32), np.nan)}, "finite"),
        ({"densities": np.zeros((4, 24, 32))}, "density 0: .*not all zero"),
        ({"densities": -np.ones((4, 24, 32))}, "density 0: .*>= 0"),
        ({"densities": np.full((4, 24, 32), np.nan)}, "density 0: expected finite"),
        ({"center_prior": np.zeros((24, 32))}, "center_prior"),
        ({"center_prior": np.ones(24)}, "center_prior"),
        ({"bins": 1}, "bins"),
        ({"bounds": "own"}, "bounds: expected one of python, matlab"),
    ],
)
def test_bad_input_is_refused(change: dict, message: str) -> None:
    densities, prior = world(4)
    arguments = {"maps": densities, "densities": densities, "center_prior": prior} | change
    with pytest.raises(ValueError, match=message):
        MapTransform.fit(**arguments)


def test_other_sizes_and_no_data_are_refused() -> None:
    densities, prior = world(2)
    fitted = MapTransform.fit(densities, densities, prior)
    with pytest.raises(ValueError, match="the prior's size"):
        fitted.transform(np.ones((3, 4)))
    with pytest.raises(ValueError, match="shape"):
        normalise(np.ones(4))
    with pytest.raises(ValueError, match="at least one map"):
        MapTransform.fit_chunks([], prior)
