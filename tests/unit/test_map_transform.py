"""The map transform against a general solver of the same problem, pictures of any size, and the controls beside it."""

import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from paperlib.maps.center_prior import GaussianPrior, gaussian_center_prior
from paperlib.maps.transform import MapTransform, TransformStatistics, normalise, to_levels
from paperlib.metrics.saliency import evaluate

SIZES = [(24, 32), (30, 20), (24, 32), (17, 41), (30, 20), (25, 25)]
ROWS, COLUMNS = np.mgrid[:24, :32]


def world(count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Densities of two blobs each near the centre, and their Gaussian centre prior."""
    rng = np.random.default_rng(0)
    densities = np.zeros((count, 24, 32))
    for density in densities:
        for _ in range(2):
            y, x = 24 * rng.normal(0.5, 0.15), 32 * rng.normal(0.5, 0.15)
            density += np.exp(-((ROWS - y) ** 2 + (COLUMNS - x) ** 2) / (2 * rng.uniform(1.5, 4) ** 2))
    densities /= densities.max(axis=(1, 2), keepdims=True)
    return densities, gaussian_center_prior(densities)


def picture(height: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A raw map with some signal, and the density, of one picture."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    y, x = height * rng.normal(0.5, 0.15), width * rng.normal(0.5, 0.15)
    density = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (height * width / 40))
    return density + gaussian_filter(rng.random((height, width)), 1), 5 * density


def data(sizes: list[tuple[int, int]] = SIZES) -> tuple[list[np.ndarray], list[np.ndarray], GaussianPrior]:
    maps, densities = zip(*(picture(*size, seed) for seed, size in enumerate(sizes)), strict=True)
    return list(maps), list(densities), sum(map(GaussianPrior.of, densities), GaussianPrior())


def fitted_to(maps, densities, prior: GaussianPrior) -> MapTransform:
    statistics = TransformStatistics()
    for image, density in zip(maps, densities, strict=True):
        statistics.add(image, density, prior.render(*image.shape))
    assert statistics.images == len(maps)
    return MapTransform(*statistics.solve(), prior.render)


def assert_same(one: MapTransform, other: MapTransform) -> None:
    np.testing.assert_array_equal(one.curve, other.curve)
    assert one.beta == other.beta


def normal_equations(maps, densities, prior: GaussianPrior) -> tuple[np.ndarray, np.ndarray]:
    """Of 256 levels and beta, from the design matrix as it is written down in [37]."""
    rows, targets = [], []
    for image, density in zip(maps, densities, strict=True):
        levels = np.rint(255 * normalise(image)).astype(int).reshape(-1)
        rows.append(np.c_[np.eye(256)[levels], prior.render(*image.shape).reshape(-1)])
        targets.append((density / density.max()).reshape(-1))
    design, target = np.concatenate(rows), np.concatenate(targets)
    return design.T @ design, design.T @ target


@pytest.fixture(scope="module")
def by_quadprog() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    pytest.importorskip("quadprog", reason="quadprog is not installed")
    from tests.benchmarks import bench_map_transform

    return bench_map_transform.by_quadprog


# ---- the fit --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["signal", "noise", "inverted", "biased", "sparse"])
def test_the_fit_is_that_of_a_quadratic_programme(kind: str, by_quadprog) -> None:
    """At the best curve for beta, the error's derivative by beta is 0 as well."""
    maps, densities, prior = data()
    change = {
        "signal": lambda image: image,
        "noise": lambda image: np.random.default_rng(1).random(image.shape),
        "inverted": lambda image: -image,
        "biased": lambda image: image + 4 * prior.render(*image.shape),
        "sparse": lambda image: np.where(image > 1, image, 0),
    }[kind]
    maps = [change(image) for image in maps]
    gram, moment = normal_equations(maps, densities, prior)
    fitted = fitted_to(maps, densities, prior)
    theirs = by_quadprog(gram, moment)
    assert fitted.beta == pytest.approx(theirs[256], abs=1e-6)
    used = np.diag(gram)[:256] > 0
    np.testing.assert_allclose(fitted.curve[used], theirs[:256][used], rtol=0, atol=1e-5)
    slope = gram[256] @ np.r_[fitted.curve, fitted.beta] - moment[256]
    assert slope == pytest.approx(0, abs=1e-9 * gram[256, 256])
    assert (np.diff(fitted.curve) >= 0).all() and -0.5 <= fitted.curve[0] and fitted.curve[-1] <= 1
    assert fitted.beta < 0 or kind != "biased", "a built-in centre bias: the prior is subtracted"


def test_a_known_transform_is_recovered() -> None:
    prior = world()[1]
    maps = np.random.default_rng(0).integers(0, 256, (40, 24, 32)) / 255
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
    maps = np.random.default_rng(5).random(densities.shape) if control == "noise" else np.roll(densities, 1, axis=0)
    fitted = MapTransform.fit(maps, densities, prior).transform(maps)
    floor, raw, after = (
        evaluate(some, densities)["CC"].mean() for some in (np.broadcast_to(prior, densities.shape), normalise(maps), fitted)
    )
    assert raw < floor - 0.05
    assert after == pytest.approx(floor, abs=0.02)
    assert ((densities - fitted) ** 2).mean() < ((densities - densities.mean()) ** 2).mean()


def test_neither_brightness_nor_the_scale_of_the_prior_matters() -> None:
    densities, prior = world()
    maps = np.rint(15 * normalise(densities)) / 15  # the 16 values stay apart
    plain = MapTransform.fit(maps, densities, prior)
    bent = MapTransform.fit(maps**2, densities, prior)
    np.testing.assert_allclose(bent.transform(maps**2), plain.transform(maps), rtol=0, atol=1e-6)
    for factor in (1e-6, 1e6):
        scaled = MapTransform.fit(maps, densities, factor * prior)
        assert factor * scaled.beta == pytest.approx(plain.beta, rel=1e-6)
        np.testing.assert_allclose(scaled.curve, plain.curve, rtol=0, atol=1e-6)


def test_levels_that_the_fit_never_saw_lie_between_their_neighbours() -> None:
    densities, prior = world(4)
    fitted = MapTransform.fit(np.where(densities > 0.5, 1.0, 0.0), densities, prior)
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


# ---- image after image ----------------------------------------------------------------------------------------------
def test_pictures_of_one_size_give_the_fit_of_the_stack() -> None:
    maps, densities, prior = data([(24, 32)] * 5)
    by_function, by_array = fitted_to(maps, densities, prior), MapTransform.fit(maps, densities, prior.render(24, 32))
    assert_same(by_function, by_array)
    np.testing.assert_array_equal(by_function.transform(maps), by_array.transform(maps))


def test_pictures_of_several_sizes() -> None:
    maps, densities, prior = data()
    fitted = fitted_to(maps, densities, prior)
    for image in maps:
        expected = fitted.curve[to_levels(image)] + fitted.beta * prior.render(*image.shape)
        np.testing.assert_allclose(fitted.transform(image), np.clip(expected, 0, 1), rtol=0, atol=1e-6)


def test_an_image_that_is_refused_changes_nothing() -> None:
    maps, densities, prior = data([(24, 32)] * 3)
    image, statistics = prior.render(24, 32), TransformStatistics()
    statistics.add(maps[0], densities[0], image)
    statistics.add(maps[1], densities[1], image)
    before = statistics.solve()
    spoiled = np.where(maps[0] > np.median(maps[0]), np.nan, maps[0])
    for arguments, message in [
        ((spoiled, densities[0], image), "maps: expected finite"),
        ((maps[2], np.zeros((24, 32)), image), "density 2: .*not all zero"),
        ((maps[2], -densities[2], image), "density 2: .*>= 0"),
        ((maps[2], densities[2], 0 * image), "center_prior"),
        ((maps[2], densities[2], np.nan * image), "center_prior"),
        ((maps[2], densities[2].T, image), "one shape"),
        ((maps[2], densities[2], prior.render(5, 5)), "one shape"),
        ((maps[2][None], densities[2][None], image[None]), "one shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            statistics.add(*arguments)
        np.testing.assert_array_equal(statistics.solve()[0], before[0])
        assert statistics.solve()[1] == before[1] and statistics.images == 2


def test_memory_does_not_grow_with_the_number_of_maps() -> None:
    prior = GaussianPrior.of(picture(60, 80, 0)[1]).render(60, 80)

    def peak(count: int) -> int:
        tracemalloc.start()
        statistics = TransformStatistics()
        for seed in range(count):
            statistics.add(*picture(60, 80, seed % 3), prior)
        statistics.solve()
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)  # first use imports the solver and makes the buffers
    assert peak(300) < 1.1 * peak(5)


def test_threads_do_not_disturb_each_other() -> None:
    maps, densities, prior = data([(120, 160)] * 4)
    expected = fitted_to(maps, densities, prior)
    with ThreadPoolExecutor(4) as pool:
        for run in [pool.submit(fitted_to, maps, densities, prior) for _ in range(8)]:
            assert_same(run.result(), expected)


# ---- 8-bit maps -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_storing_8_bit_maps_loses_nothing(dtype: type) -> None:
    maps, densities, prior = data()
    maps = [(1000 * image).astype(dtype) for image in maps]
    stored = [to_levels(image) for image in maps]
    assert all(image.dtype == np.uint8 and image.max() == 255 and image.min() == 0 for image in stored)
    fitted = fitted_to(maps, densities, prior)
    assert_same(fitted_to(stored, densities, prior), fitted)
    for image, levels in zip(maps, stored, strict=True):
        np.testing.assert_array_equal(fitted.transform(levels), fitted.transform(image))


def test_8_bit_maps_are_levels_not_scaled_again() -> None:
    maps, densities, prior = data([(24, 32)])
    dim = to_levels(maps[0]) // 4
    assert dim.max() == 63
    np.testing.assert_array_equal(to_levels(dim), dim)
    curve = fitted_to([dim], densities, prior).curve
    assert curve[62] < curve[63] == curve[255], "no pixel is brighter"
    linear = MapTransform(np.linspace(0, 1, 256), 0.0, prior.render)
    np.testing.assert_allclose(linear.transform(dim), dim / 255, atol=1e-6)


def test_8_bit_densities_are_scaled_like_any_other() -> None:
    maps, densities, prior = data([(24, 32)] * 2)
    published = [np.rint(200 * density / density.max()).astype(np.uint8) for density in densities]
    expected, got = (fitted_to(maps, some, prior) for some in ([image / 200 for image in published], published))
    np.testing.assert_allclose(got.curve, expected.curve, rtol=1e-9, atol=1e-12)
    assert got.beta == pytest.approx(expected.beta, rel=1e-9)


# ---- refusals -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": np.ones((2, 3, 4))}, "one shape"),
        ({"maps": np.ones((4, 3, 3)), "densities": np.ones((4, 3, 3))}, "the prior's size"),
        ({"maps": np.full((4, 24, 32), np.nan)}, "finite"),
        ({"maps": np.ones((0, 24, 32)), "densities": np.ones((0, 24, 32))}, "at least one map"),
        ({"densities": np.zeros((4, 24, 32))}, "density 0: .*not all zero"),
        ({"densities": -np.ones((4, 24, 32))}, "density 0: .*>= 0"),
        ({"densities": np.full((4, 24, 32), np.nan)}, "density 0: expected finite"),
        ({"center_prior": np.zeros((24, 32))}, "center_prior"),
        ({"center_prior": np.ones(24)}, "the prior's size"),
    ],
)
def test_bad_input_of_a_fit_is_refused(change: dict, message: str) -> None:
    densities, prior = world(4)
    with pytest.raises(ValueError, match=message):
        MapTransform.fit(**{"maps": densities, "densities": densities, "center_prior": prior} | change)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TransformStatistics().solve(), "at least one map"),
        (lambda: MapTransform(np.ones(256), 1, np.ones((24, 32))).transform(np.ones((3, 4))), "the prior's size"),
        (lambda: MapTransform(np.ones(256), 1, lambda h, w: np.ones((w, h))).transform(np.ones((3, 4))), "prior's size"),
        (lambda: normalise(np.ones(4)), "shape"),
    ],
)
def test_bad_input_of_a_transform_is_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
