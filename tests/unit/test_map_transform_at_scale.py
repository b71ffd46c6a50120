"""The map transform over a data set that does not fit in memory: sums that add up, pictures of any size, 8-bit maps."""

import pickle
import tracemalloc
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import brentq

from paperlib.maps import transform
from paperlib.maps.center_prior import GaussianPrior
from paperlib.maps.transform import MapTransform, TransformStatistics, normalise, to_levels

SIZES = [(24, 32), (30, 20), (24, 32), (17, 41), (30, 20), (25, 25)]


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


def normal_equations(maps, densities, prior: GaussianPrior) -> tuple[np.ndarray, np.ndarray]:
    """Of 256 levels and beta, from the design matrix as it is written down."""
    rows, targets = [], []
    for image, density in zip(maps, densities, strict=True):
        levels = np.rint(255 * normalise(image)).astype(int).reshape(-1)
        rows.append(np.c_[np.eye(256)[levels], prior.render(*image.shape).reshape(-1)])
        targets.append((density / density.max()).reshape(-1))
    design, target = np.concatenate(rows), np.concatenate(targets)
    return design.T @ design, design.T @ target


def statistics_of(maps, densities, prior: GaussianPrior) -> TransformStatistics:
    statistics = TransformStatistics()
    for image, density in zip(maps, densities, strict=True):
        statistics.add(image, density, prior.render(*image.shape))
    return statistics


@pytest.fixture(scope="module")
def by_quadprog() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    pytest.importorskip("quadprog", reason="quadprog is not installed")
    from tests.benchmarks import bench_map_transform

    return bench_map_transform.by_quadprog


# ---- the fit --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["signal", "noise", "inverted", "biased"])
def test_all_256_levels_equal_a_quadratic_programme(kind: str, by_quadprog) -> None:
    maps, densities, prior = data()
    if kind == "noise":
        maps = [np.random.default_rng(1).random(image.shape) for image in maps]
    elif kind == "inverted":
        maps = [-image for image in maps]
    elif kind == "biased":
        maps = [image + 4 * prior.render(*image.shape) for image in maps]
    gram, moment = normal_equations(maps, densities, prior)
    fitted = MapTransform.fit_chunks(zip(maps, densities, strict=True), prior.render)
    theirs = by_quadprog(gram, moment)
    assert fitted.beta == pytest.approx(theirs[256], abs=1e-6)
    used = np.diag(gram)[:256] > 0
    np.testing.assert_allclose(fitted.curve[used], theirs[:256][used], rtol=0, atol=1e-5)


@pytest.mark.parametrize("bounds", ["python", "matlab"])
def test_the_slope_of_the_error_vanishes(bounds: str) -> None:
    """At the best curve for beta, the error's derivative by beta is 0 or beta lies at its bound."""
    maps, densities, prior = data()
    fitted = MapTransform.fit_chunks(zip(maps, densities, strict=True), prior.render, bounds=bounds)
    gram, moment = normal_equations(maps, densities, prior)
    slope = gram[256] @ np.r_[fitted.curve, fitted.beta] - moment[256]
    assert slope == pytest.approx(0, abs=1e-9 * gram[256, 256]) or fitted.beta == 0 and slope > 0


@pytest.mark.parametrize("bounds", ["python", "matlab"])
def test_few_isotonic_fits_are_enough(bounds: str, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, densities, prior = data()
    biased = [image + 4 * prior.render(*image.shape) for image in maps]
    isotonic, calls = transform._isotonic, []
    monkeypatch.setattr(transform, "_isotonic", lambda *arguments: calls.append(0) or isotonic(*arguments))
    for stack in (maps, biased):
        calls.clear()
        statistics_of(stack, densities, prior).solve(bounds)
        assert len(calls) <= 15  # halving alone takes about 50


def test_the_scale_of_the_prior_goes_into_beta() -> None:
    maps, densities, prior = data([(24, 32)] * 4)
    image = prior.render(24, 32)
    plain = MapTransform.fit(maps, densities, image)
    for factor in (1e-6, 1e6):
        scaled = MapTransform.fit(maps, densities, factor * image)
        assert factor * scaled.beta == pytest.approx(plain.beta, rel=1e-6)
        np.testing.assert_allclose(scaled.curve, plain.curve, rtol=0, atol=1e-6)


def test_the_root_search_agrees_with_brents() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        kinks, slopes = np.sort(rng.normal(size=9)), rng.random(10) ** 4 * (rng.random(10) > 0.3)
        slopes[rng.integers(10)] += 0.1
        offset = rng.normal()

        def function(x: float, kinks=kinks, slopes=slopes, offset=offset) -> tuple[float, float]:
            ends = np.r_[kinks[0] - 50, kinks, kinks[-1] + 50]
            value = (np.clip(x - ends[:-1], 0, np.diff(ends)) * slopes).sum() + offset - 5 * slopes[0]
            return float(value), float(slopes[np.searchsorted(kinks, x)])

        root = transform._root_of_rising(function, -40.0, 40.0)
        low, high = function(-40.0)[0], function(40.0)[0]
        if low < 0 < high:
            expected = brentq(lambda x, f=function: f(x)[0], -40, 40, xtol=1e-13)
            assert function(root)[0] == pytest.approx(0, abs=1e-12)
            if function(expected)[1] > 0:
                assert root == pytest.approx(expected, abs=1e-9)
        else:
            assert root == (-40.0 if low >= 0 else 40.0)


# ---- pictures of several sizes --------------------------------------------------------------------------------------
def test_one_size_by_function_equals_the_array() -> None:
    maps, densities, prior = data([(24, 32)] * 5)
    by_array = MapTransform.fit(maps, densities, prior.render(24, 32))
    by_function = MapTransform.fit(maps, densities, prior.render)
    np.testing.assert_array_equal(by_function.curve, by_array.curve)
    assert by_function.beta == by_array.beta
    np.testing.assert_array_equal(by_function.transform(maps), by_array.transform(maps))


def test_several_sizes_and_their_transform() -> None:
    maps, densities, prior = data()
    fitted = MapTransform.fit_chunks(zip(maps, densities, strict=True), prior.render)
    for image in maps:
        rendered = prior.render(*image.shape)
        expected = fitted.curve[np.rint(255 * normalise(image)).astype(int)] + fitted.beta * rendered
        np.testing.assert_allclose(fitted.transform(image), np.clip(expected, 0, 1), rtol=0, atol=1e-6)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.transform(maps[0]), fitted.transform(maps[0]))


def test_the_prior_is_rendered_once_per_size_and_few_sizes_are_kept() -> None:
    maps, densities, prior = data([(24, 32), (20, 20)] * 10)
    asked = []

    def render(height: int, width: int) -> np.ndarray:
        asked.append((height, width))
        return prior.render(height, width)

    fitted = MapTransform.fit_chunks(zip(maps, densities, strict=True), render)
    assert asked == [(24, 32), (20, 20)]
    asked.clear()
    for image in maps:
        fitted.transform(image)
    assert asked == [(24, 32), (20, 20)]
    for width in range(10, 60):
        fitted.transform(np.ones((12, width)))
    assert len(fitted._priors.rendered) <= 8
    assert len(pickle.dumps(MapTransform(fitted.curve, 0.0, prior.render))) < 4000


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda height, width: np.ones((width, height)), "for this size"),
        (lambda height, width: np.zeros((height, width)), "center_prior"),
        (lambda height, width: np.full((height, width), np.nan), "center_prior"),
    ],
)
def test_a_bad_function_is_refused(function, message: str) -> None:
    maps, densities, _ = data([(24, 32)])
    with pytest.raises(ValueError, match=message):
        MapTransform.fit_chunks(zip(maps, densities, strict=True), function)


# ---- sums that add up -----------------------------------------------------------------------------------------------
def test_folds_add_up_to_the_whole_and_leave_one_out() -> None:
    maps, densities, prior = data()
    folds = [statistics_of(maps[k::3], densities[k::3], prior) for k in range(3)]
    whole = sum(folds, TransformStatistics())
    direct = statistics_of(maps, densities, prior)
    np.testing.assert_allclose(whole.to_array(), direct.to_array(), rtol=1e-12)
    assert whole.images == len(maps)
    for k in range(3):
        kept = [index for index in range(len(maps)) if index % 3 != k]
        chunks = ((maps[index], densities[index]) for index in kept)
        expected = MapTransform.fit_chunks(chunks, prior.render)
        curve, beta = sum(folds[:k] + folds[k + 1 :], TransformStatistics()).solve()
        np.testing.assert_allclose(curve, expected.curve, rtol=0, atol=1e-12)
        assert beta == pytest.approx(expected.beta, abs=1e-12)


def test_addition_leaves_its_terms_alone() -> None:
    maps, densities, prior = data()
    first, second = (statistics_of(maps[k::2], densities[k::2], prior) for k in range(2))
    before = first.to_array(), second.to_array()
    total = first + second
    total.add(maps[0], densities[0], prior.render(*maps[0].shape))
    np.testing.assert_array_equal(first.to_array(), before[0])
    np.testing.assert_array_equal(second.to_array(), before[1])


def test_storage_keeps_every_digit() -> None:
    maps, densities, prior = data()
    statistics = statistics_of(maps, densities, prior)
    numbers = statistics.to_array()
    assert numbers.shape == (3 + 3 * 256,) and numbers.dtype == np.float64
    for copy in (TransformStatistics.from_array(numbers), pickle.loads(pickle.dumps(statistics))):
        np.testing.assert_array_equal(copy.to_array(), numbers)
        assert (copy.images, copy.bins) == (len(maps), 256)
        np.testing.assert_array_equal(copy.solve()[0], statistics.solve()[0])
    pixels = numbers[3:259]
    assert pixels.sum() == sum(image.size for image in maps)


def test_an_image_that_is_refused_changes_nothing() -> None:
    maps, densities, prior = data()
    statistics = statistics_of(maps[:2], densities[:2], prior)
    before, image = statistics.to_array(), prior.render(24, 32)
    spoiled = np.where(maps[0] > np.median(maps[0]), np.nan, maps[0])
    for arguments, message in [
        ((spoiled, densities[0], image), "maps: expected finite"),
        ((maps[0], np.zeros((24, 32)), image), "density 2: .*not all zero"),
        ((maps[0], -densities[0], image), "density 2: .*>= 0"),
        ((maps[0], densities[0], 0 * image), "center_prior"),
        ((maps[0], densities[0], np.nan * image), "center_prior"),
        ((maps[0], densities[1], image), "one shape"),
        ((maps[0], densities[0], prior.render(5, 5)), "one shape"),
        ((maps[0][None], densities[0][None], image[None]), "one shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            statistics.add(*arguments)
        np.testing.assert_array_equal(statistics.to_array(), before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: TransformStatistics(1), "bins"),
        (lambda: TransformStatistics(256) + TransformStatistics(16), "256 and 16"),
        (lambda: TransformStatistics.from_array(np.zeros(10)), "3 \\+ 3 bins"),
        (lambda: TransformStatistics.from_array(np.zeros((3, 9))), "3 \\+ 3 bins"),
        (lambda: TransformStatistics().solve(), "at least one map"),
        (lambda: TransformStatistics().solve("own"), "bounds"),
    ],
)
def test_bad_statistics_are_refused(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


# ---- 8-bit maps -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_storing_8_bit_maps_loses_nothing(dtype: type) -> None:
    maps, densities, prior = data()
    maps = [(1000 * image).astype(dtype) for image in maps]
    stored = [to_levels(image) for image in maps]
    assert all(image.dtype == np.uint8 and image.max() == 255 and image.min() == 0 for image in stored)
    raw = statistics_of(maps, densities, prior)
    np.testing.assert_array_equal(statistics_of(stored, densities, prior).to_array(), raw.to_array())
    fitted = MapTransform(*raw.solve(), prior.render)
    for image, levels in zip(maps, stored, strict=True):
        np.testing.assert_array_equal(fitted.transform(levels), fitted.transform(image))


def test_8_bit_maps_are_levels_not_scaled_again() -> None:
    maps, densities, prior = data([(24, 32)])
    dim = to_levels(maps[0]) // 4
    assert dim.max() == 63
    pixels = statistics_of([dim], densities, prior).to_array()[3:259]
    np.testing.assert_array_equal(pixels, np.bincount(dim.reshape(-1), minlength=256))
    np.testing.assert_array_equal(to_levels(dim), dim)
    curve = np.linspace(0, 1, 256)
    np.testing.assert_allclose(MapTransform(curve, 0.0, prior.render).transform(dim), dim / 255, atol=1e-6)


def test_8_bit_maps_with_other_numbers_of_bins() -> None:
    levels = np.arange(40, 200, dtype=np.uint8).reshape(16, 10)
    statistics = TransformStatistics(16)
    statistics.add(levels, levels, np.ones((16, 10)))
    expected = np.bincount(np.rint(levels.reshape(-1) / 17).astype(int), minlength=16)
    np.testing.assert_array_equal(statistics.to_array()[3:19], expected)


def test_8_bit_densities_are_scaled_like_any_other() -> None:
    maps, densities, prior = data([(24, 32)] * 2)
    published = [np.rint(200 * density / density.max()).astype(np.uint8) for density in densities]
    expected = statistics_of(maps, [image / 200 for image in published], prior)
    np.testing.assert_allclose(statistics_of(maps, published, prior).to_array(), expected.to_array(), rtol=1e-12)


# ---- memory ---------------------------------------------------------------------------------------------------------
def test_memory_does_not_grow_with_the_number_of_maps() -> None:
    prior = GaussianPrior.of(picture(60, 80, 0)[1])

    def peak(count: int) -> int:
        tracemalloc.start()
        MapTransform.fit_chunks((picture(60, 80, seed % 3) for seed in range(count)), prior.render)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2)  # first use imports the solver and makes the buffers
    assert peak(300) < 1.1 * peak(5)


def test_threads_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    maps, densities, prior = data([(120, 160)] * 4)
    image = prior.render(120, 160)
    expected = statistics_of(maps, densities, prior).to_array()
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(partial(statistics_of, maps, densities, prior)) for _ in range(8)]
        for run in runs:
            np.testing.assert_array_equal(run.result().to_array(), expected)
    assert image.max() == 1
