"""The photographs: really inside the wheels, of the right size, with gaze where the subject is."""

import socket
from dataclasses import replace
from importlib.metadata import files

import numpy as np
import pytest

from paperlib.datasets import photographs as module
from paperlib.datasets.photographs import (
    PHOTOGRAPHS,
    centre_bias,
    fingerprint,
    open_photographs,
    predicted_saliency,
    spectral_residual,
)
from paperlib.errors import PaperlibError

DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}

# (left, top, right, bottom) of the main subject relative to width and height, read off the pictures by eye
SUBJECTS = {
    "astronaut": (0.30, 0.03, 0.60, 0.40),
    "chelsea": (0.25, 0.20, 0.82, 0.95),
    "coffee": (0.25, 0.05, 0.70, 0.80),
    "rocket": (0.42, 0.28, 0.58, 1.00),
    "flower": (0.26, 0.20, 0.70, 0.84),
    "grace_hopper": (0.30, 0.03, 0.74, 0.60),
    "motorcycle": (0.12, 0.20, 0.93, 0.92),
    "china": (0.13, 0.05, 0.55, 0.95),
}


@pytest.fixture(scope="module")
def photographs():
    return open_photographs()


def test_the_pictures_are_part_of_the_wheels():
    for package, inside in module._FILES.values():
        assert f"{package}/{inside}" in {str(file) for file in files(DISTRIBUTIONS[package])}


def test_nothing_is_fetched(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a photograph asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert len(open_photographs()) == len(PHOTOGRAPHS) >= 8


def test_size_type_and_gaze(photographs):
    for photograph in photographs:
        height, width = photograph.image.shape[:2]
        assert photograph.image.dtype == np.uint8 and photograph.image.shape[2] == 3
        assert height % 16 == width % 16 == 0 and 0.1e6 < height * width <= 384 * 512
        assert photograph.gaze.shape == (height, width) and photograph.gaze.dtype == np.float32
        assert photograph.gaze.min() > 0 and photograph.gaze.sum(dtype=np.float64) == pytest.approx(1, abs=1e-5)
        assert np.ptp(photograph.image.astype(int) - photograph.image[..., :1]) > 20, "expected colour"


@pytest.mark.parametrize("name", SUBJECTS)
def test_most_gaze_lies_on_the_subject(name):
    (photograph,) = open_photographs([name])
    height, width = photograph.gaze.shape
    edges = zip(SUBJECTS[name], (width, height, width, height), strict=True)
    left, top, right, bottom = (round(edge * side) for edge, side in edges)
    inside = photograph.gaze[top:bottom, left:right]
    share, area = inside.sum(), inside.size / photograph.gaze.size
    assert share > 0.4 and share > 1.4 * area
    peak = np.unravel_index(photograph.gaze.argmax(), photograph.gaze.shape)
    assert top <= peak[0] < bottom and left <= peak[1] < right


def test_downsizing_averages_areas():
    halved = open_photographs(["astronaut"], (256, 256))[0].image
    full = module._read("skimage", "data/astronaut.png").astype(float)
    expected = full.reshape(256, 2, 256, 2, 3).mean((1, 3))
    np.testing.assert_allclose(halved, expected, atol=1.01)  # two passes, each rounded


def test_a_small_picture_is_not_enlarged():
    assert open_photographs(["chelsea"], (2000, 2000))[0].image.shape == (288, 448, 3)


def test_predicted_saliency_is_related_to_gaze_but_not_equal(photographs):
    cc = [np.corrcoef(predicted_saliency(one).ravel(), one.gaze.ravel())[0, 1] for one in photographs]
    assert 0.70 < np.mean(cc) < 0.85 and 0.55 < min(cc) < max(cc) < 0.95
    for one in photographs:
        predicted = predicted_saliency(one)
        assert predicted.shape == one.gaze.shape and predicted.dtype == np.float32
        assert predicted.min() == 0 and predicted.max() == 1


def test_knowledge_sets_the_relation(photographs):
    def cc(share):
        maps = [(predicted_saliency(one, share).ravel(), one.gaze.ravel()) for one in photographs]
        return np.mean([np.corrcoef(*pair)[0, 1] for pair in maps])

    assert cc(0.0) < 0.4 < cc(0.5) < cc(1.0)
    with pytest.raises(ValueError, match="knowledge"):
        predicted_saliency(photographs[0], 1.5)


def test_spectral_residual_finds_the_odd_one_out():
    y, x = np.mgrid[0:128, 0:192]
    stripes = (128 + 60 * np.sin(x / 3)).astype(np.uint8)
    odd = stripes.copy()
    odd[40:60, 100:120] = (128 + 60 * np.sin(y / 3)).astype(np.uint8)[40:60, 100:120]
    found = spectral_residual(np.stack([odd] * 3, axis=2))
    assert found.shape == (128, 192) and found.min() == 0 and found.max() == 1
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert 30 <= row <= 70 and 90 <= column <= 130


def test_spectral_residual_of_a_flat_picture_is_finite():
    assert np.isfinite(spectral_residual(np.full((64, 64, 3), 9, np.uint8))).all()
    with pytest.raises(ValueError, match="uint8"):
        spectral_residual(np.zeros((64, 64)))


def test_centre_bias_is_centred():
    density = centre_bias(40, 60)
    assert density.sum() == pytest.approx(1)
    np.testing.assert_allclose(density, density[::-1, ::-1], atol=1e-18)
    assert density[19:21, 29:31].sum() == density[19:21, 29:31].max() * 4 == pytest.approx(4 * density.max())


def test_fingerprint_sees_every_pixel(photographs):
    first = fingerprint(photographs)
    assert first == fingerprint(open_photographs()) and len(first) == 64
    changed = photographs[0].image.copy()
    changed[0, 0, 0] ^= 1
    assert fingerprint([replace(photographs[0], image=changed), *photographs[1:]]) != first
    assert fingerprint(photographs[::-1]) != first


def test_bad_arguments(monkeypatch):
    with pytest.raises(ValueError, match="photographs must be among astronaut.*got nobody"):
        open_photographs(["nobody"])
    with pytest.raises(ValueError, match="size"):
        open_photographs(size=(32, 512))
    monkeypatch.setitem(module._FILES, "gone", ("skimage", "data/gone.png"))
    monkeypatch.setitem(module._FILES, "homeless", ("no_such_package_here", "gone.png"))
    for name in ("gone", "homeless"):
        with pytest.raises(PaperlibError, match="reinstall"):
            open_photographs([name])
