"""The search for a bit-rate, on curves with a known answer and on a real picture."""

import math

import numpy as np
import pytest

from paperlib.coding.rate import encode_at_rate, search_crf
from paperlib.coding.x264 import EncoderSettings, StillEncoder
from paperlib.datasets.photographs import open_photographs


def curve(crf: float) -> float:
    """An ideal coder: 2.24 times the bits for six steps, 1 bpp at 25."""
    return 2.24 ** ((25 - crf) / 6)


@pytest.mark.parametrize("target", [0.1, 0.3, 1.0, 3.0])
def test_finds_the_crf_of_a_known_curve(target):
    found = search_crf(curve, target, tolerance=0.001)
    assert found.reached and found.encodes <= 6
    assert found.bpp == pytest.approx(target, rel=0.001) and found.bpp == curve(found.crf)
    assert found.crf == pytest.approx(25 - 6 * math.log(target) / math.log(2.24), abs=0.02)


@pytest.mark.parametrize(("target", "crf"), [(1e-4, 51.0), (1e4, 1.0)])
def test_out_of_reach_gives_the_nearest_and_says_so(target, crf):
    found = search_crf(curve, target)
    assert not found.reached and found.crf == crf and found.bpp == curve(crf)


def test_a_bent_curve_needs_only_a_few_encodes():
    found = search_crf(lambda crf: 0.08 + 5 * math.exp(-(crf**1.3) / 20), 0.1, tolerance=0.005)
    assert found.reached and found.encodes <= 12


def test_a_coder_that_jumps_over_the_target():
    found = search_crf(lambda crf: 1.0 if crf < 30.0 else 0.5, 0.9)
    assert not found.reached and found.bpp == 1.0 and found.crf == pytest.approx(30, abs=8) and found.encodes <= 20


@pytest.mark.parametrize(
    "arguments", [{"target": 0}, {"target": math.nan}, {"target": 1, "tolerance": 0}, {"target": 1, "limits": (5, 5)}]
)
def test_bad_input(arguments):
    with pytest.raises(ValueError, match="target bpp|tolerance"):
        search_crf(curve, **arguments)


def test_a_photograph_at_three_rates():
    encoder = StillEncoder(open_photographs(["chelsea"])[0].image, settings=EncoderSettings("veryfast"))
    for target in (0.2, 0.3, 0.4):
        found = encode_at_rate(encoder, target)
        assert found.search.reached and found.coded.bpp == pytest.approx(target, rel=0.01)
        assert found.coded.bpp == found.search.bpp
        assert encoder.stream(found.search.crf) == found.coded.stream


def test_a_rate_below_the_floor_of_a_small_noisy_picture():
    noise = np.random.default_rng(0).integers(0, 256, size=(64, 64, 3), dtype=np.uint8)
    found = encode_at_rate(StillEncoder(noise), 0.01)
    assert not found.search.reached and found.search.crf == 51.0 and found.coded.bpp > 0.1
