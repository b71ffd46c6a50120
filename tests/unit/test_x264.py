"""The encoder against what the decoder reads back, and the lab's rule against hand-computed values."""

import numpy as np
import pytest
from scipy import ndimage

from paperlib.coding import x264
from paperlib.coding.x264 import (
    EncoderSettings,
    StillEncoder,
    allocate,
    count_bytes,
    decode,
    macroblock_mean,
    nal_units,
    plain_qp,
    predicted_bits,
    rectangles,
)


def encode(image, crf, offsets=None, settings=EncoderSettings()):
    return StillEncoder(image, offsets, settings).encode(crf)


@pytest.fixture(scope="module")
def textured() -> np.ndarray:
    """(192, 256, 3) uint8 in which every macroblock has texture, so that every one transmits its QP."""
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=(192, 256, 3)), (3, 3, 0))
    values = 128 + 60 * smooth / smooth.std() + rng.normal(0, 12, size=(192, 256, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def saliency() -> np.ndarray:
    """(192, 256) with a bump left of the middle."""
    y, x = np.mgrid[0:192, 0:256]
    return np.exp(-((y - 80) ** 2 + (x - 90) ** 2) / (2 * 45**2))


# ------------------------------------------------------------------------------------------------------- bit-stream


def test_nal_units_of_a_hand_made_stream():
    stream = b"\0\0\0\1\x67ab" + b"\0\0\1\x68c" + b"\0\0\1\x06" + b"s" * 20 + b"\0\0\0\1\x65defg"
    assert nal_units(stream) == [(7, 7), (8, 5), (6, 24), (5, 9)]
    assert count_bytes(stream) == 7 + 5 + 9
    assert nal_units(b"no start code") == []


def test_the_sei_text_of_x264_is_not_counted(textured):
    coded = encode(textured, 30)
    sizes = nal_units(coded.stream)
    assert [kind for kind, _ in sizes] == [7, 8, 6, 5]
    assert sum(size for _, size in sizes) == len(coded.stream)
    assert count_bytes(coded.stream) == len(coded.stream) - dict(sizes)[6]
    assert coded.bpp == pytest.approx(8 * count_bytes(coded.stream) / (192 * 256))


def test_same_input_same_bytes(textured):
    offsets = np.arange(192).reshape(12, 16) % 7 - 3
    assert encode(textured, 33.3, offsets).stream == encode(textured, 33.3, offsets).stream


def test_decode_gives_back_the_picture(textured):
    coded = encode(textured, 5)
    picture, qp = decode(coded.stream)
    assert picture.shape == textured.shape and picture.dtype == np.uint8 and qp.shape == (12, 16)
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs((picture.astype(float) - textured) @ luma).mean() < 2.5
    np.testing.assert_array_equal(picture, coded.picture)


@pytest.mark.parametrize("stream", [b"", b"not a stream", b"\0\0\0\1\x67ab"])
def test_decode_refuses_what_holds_no_picture(stream):
    with pytest.raises(ValueError, match="Annex B"):
        decode(stream)


def test_higher_crf_means_fewer_bits(textured):
    encoder = StillEncoder(textured)
    sizes = [encoder.bpp(encoder.stream(crf)) for crf in (10, 20, 30, 40, 51)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 5 * sizes[-1]


# ------------------------------------------------------------------------------------------------- regions of interest


@pytest.mark.parametrize("settings", [{"aq_mode": 0}, {"aq_strength": 0.0}, {"aq_strength": -1.0}])
def test_aq_off_cannot_be_asked_for(settings):
    with pytest.raises(ValueError, match="ignores regions of interest"):
        EncoderSettings(**settings)


def test_x264_really_ignores_regions_without_aq(textured):
    """The trap that the check above closes: forced past it, offsets change nothing."""
    settings = EncoderSettings()
    object.__setattr__(settings, "aq_mode", 0)
    offsets = np.full((12, 16), -8)
    assert encode(textured, 30, offsets, settings).stream == encode(textured, 30, None, settings).stream
    assert encode(textured, 30, offsets).stream != encode(textured, 30).stream


@pytest.mark.parametrize("preset", ["veryslow", "placebo", "quick"])
def test_presets_that_wander_are_refused(preset):
    with pytest.raises(ValueError, match="preset"):
        EncoderSettings(preset)


@pytest.mark.parametrize("rule", [(75, 80), (60, 80), (60, 40)])
def test_the_asked_qp_is_the_real_qp(textured, saliency, rule):
    """With AQ so weak that plain coding has one QP, the asked map is known exactly."""
    settings = EncoderSettings("medium", aq_strength=1e-4)
    plain = encode(textured, 24.0, None, settings).qp
    assert np.ptp(plain) == 0
    offsets = allocate(macroblock_mean(saliency), plain, *rule).offsets
    real = encode(textured, 24.0, offsets, settings).qp
    assert offsets.any() and np.mean(np.abs(real - (plain + offsets)) <= 1) >= 0.95


@pytest.mark.parametrize("rule", [(75, 80), (60, 80), (60, 40)])
def test_offsets_add_to_adaptive_quantisation(textured, saliency, rule):
    """At full strength the plain QP is itself known to one step only, since x264 reuses a QP that is one step away."""
    plain = plain_qp(textured, 24.0)
    offsets = allocate(macroblock_mean(saliency), plain, *rule).offsets
    real = encode(textured, 24.0, offsets).qp
    assert np.mean(np.abs(real - (plain + offsets)) <= 2) >= 0.95
    assert abs(np.mean(real - (plain + offsets))) < 0.5


def test_on_a_photograph_the_rest_are_macroblocks_that_transmit_no_qp():
    from paperlib.datasets.photographs import open_photographs, predicted_saliency

    (photograph,) = open_photographs(["coffee"])
    asked = plain_qp(photograph.image, 30.0)
    offsets = allocate(macroblock_mean(predicted_saliency(photograph)), asked, 60, 80).offsets
    real = encode(photograph.image, 30.0, offsets).qp
    close = np.abs(real - (asked + offsets)) <= 1
    inherited = real == np.roll(real, 1)
    assert np.mean(close) >= 0.85
    assert np.mean(close | inherited) >= 0.95


def test_plain_qp_moves_with_the_crf(textured):
    for crf in (22.0, 30.0, 36.0):
        real = encode(textured, crf).qp
        assert np.mean(np.abs(plain_qp(textured, crf) - real) <= 1) >= 0.95


def test_merging_of_rectangles_leaves_the_stream_as_it_is(textured, monkeypatch):
    offsets = np.random.default_rng(1).integers(-2, 3, size=(6, 4)).repeat(2, axis=0).repeat(4, axis=1)
    merged = encode(textured, 30, offsets).stream
    single = [(r, c, 1, 1, int(v)) for (r, c), v in np.ndenumerate(offsets) if v]
    assert len(list(rectangles(offsets))) < len(single)
    monkeypatch.setattr(x264, "rectangles", lambda values: iter(single))
    assert encode(textured, 30, offsets).stream == merged


def test_rectangles_cover_every_cell_once():
    values = np.random.default_rng(2).integers(-1, 2, size=(9, 11))
    rebuilt, covered = np.zeros_like(values), np.zeros_like(values)
    for top, left, height, width, value in rectangles(values):
        rebuilt[top : top + height, left : left + width] = value
        covered[top : top + height, left : left + width] += 1
    np.testing.assert_array_equal(rebuilt, values)
    np.testing.assert_array_equal(covered, values != 0)
    assert list(rectangles(np.full((3, 4), 5))) == [(0, 0, 3, 4, 5)]
    assert list(rectangles(np.zeros((3, 4), dtype=int))) == []


# ----------------------------------------------------------------------------------------------------------- the rule


def test_predicted_bits_grow_by_2_24_for_six_qp():
    assert predicted_bits(20) / predicted_bits(26) == pytest.approx(2.24)


def test_the_rule_on_a_case_solved_by_hand():
    """Two equal groups at QP 30 and a share of 2.24^2 / (1 + 2.24^2) for the upper one.

    With the total kept, upper bits are multiplied by 2 share = 1.6676 and lower ones by 2 (1 - share) = .3324: that is
    -3.80 and +8.19 QP, rounded to -4 and +8.
    """
    saliency = np.array([[0.2] * 8, [0.6] * 8])
    share = 100 * 2.24**2 / (1 + 2.24**2)
    found = allocate(saliency, np.full((2, 8), 30), 50, share)
    np.testing.assert_array_equal(found.offsets, [[8] * 8, [-4] * 8])
    assert found.s0 == pytest.approx(0.4)
    assert found.share_before == pytest.approx(0.5)
    up, down = 2.24 ** (4 / 6), 2.24 ** (-8 / 6)
    assert found.share_after == pytest.approx(up / (up + down))
    assert not found.reached  # equal saliency everywhere in a group leaves whole steps only


@pytest.mark.parametrize("rule", [(75, 80), (60, 80), (60, 40), (75, 15)])
def test_share_is_met_and_predicted_total_preserved(rule):
    rng = np.random.default_rng(3)
    saliency, qp = rng.random((30, 40)), rng.integers(25, 36, size=(30, 40))
    found = allocate(saliency, qp, *rule)
    upper, lower = saliency > found.s0, saliency < found.s0
    after = predicted_bits(qp + found.offsets)
    assert np.mean(upper) == pytest.approx(1 - rule[0] / 100, abs=0.001)
    assert after[upper].sum() / after.sum() == pytest.approx(rule[1] / 100, abs=0.005)
    assert after.sum() / predicted_bits(qp).sum() == pytest.approx(1, abs=0.01)
    assert found.reached and found.share_after == pytest.approx(after[upper].sum() / after.sum())
    gain = 1 if rule[1] / 100 > found.share_before else -1
    inside = (qp + found.offsets > 0) & (qp + found.offsets < 51)
    for group, sign in ((upper & inside, -gain), (lower & inside, gain)):
        by_distance = np.argsort(np.abs(saliency[group] - found.s0))
        steps = sign * found.offsets[group][by_distance]
        assert steps[0] == 0 and (np.diff(steps) >= 0).all(), "in proportion to the distance from s0"


def test_scale_and_offset_of_saliency_do_not_matter():
    rng = np.random.default_rng(4)
    saliency, qp = rng.random((10, 10)), np.full((10, 10), 30)
    first, second = allocate(saliency, qp, 75, 80), allocate(255 * saliency + 7, qp, 75, 80)
    np.testing.assert_array_equal(first.offsets, second.offsets)


def test_a_share_out_of_reach_is_told():
    rng = np.random.default_rng(5)
    found = allocate(rng.random((10, 10)), np.full((10, 10), 51), 75, 99)
    assert not found.reached and found.share_after < 0.99
    assert found.offsets.max() == 0


@pytest.mark.parametrize(
    ("saliency", "qp", "rule", "message"),
    [
        (np.zeros((3, 3)), np.full((3, 3), 30), (75, 80), "flat"),
        (np.zeros((3, 3)), np.full((3, 4), 30), (75, 80), r"\(3, 3\) and \(3, 4\)"),
        (np.full((3, 3), np.nan), np.full((3, 3), 30), (75, 80), "finite"),
        (np.eye(3), np.full((3, 3), 60), (75, 80), r"\[0, 51\]"),
        (np.eye(3), np.full((3, 3), 30), (100, 80), "s0_percent"),
        (np.eye(3), np.full((3, 3), 30), (75, 0), "share_percent"),
    ],
)
def test_bad_input_of_the_rule(saliency, qp, rule, message):
    with pytest.raises(ValueError, match=message):
        allocate(saliency, qp, *rule)


def test_macroblock_mean_by_hand():
    values = np.zeros((32, 48))
    values[:16, 16:32] = 8
    values[16, 0] = 256
    np.testing.assert_allclose(macroblock_mean(values), [[0, 8, 0], [1, 0, 0]])


@pytest.mark.parametrize("shape", [(16,), (16, 17), (0, 16), (16, 16, 3)])
def test_macroblock_mean_refuses_other_shapes(shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        macroblock_mean(np.zeros(shape))


@pytest.mark.parametrize(
    ("image", "offsets", "crf", "message"),
    [
        (np.zeros((32, 32), np.uint8), None, 30, r"\(H, W, 3\) uint8"),
        (np.zeros((32, 32, 3)), None, 30, "float64"),
        (np.zeros((32, 40, 3), np.uint8), None, 30, "multiples of 16"),
        (np.zeros((32, 32, 3), np.uint8), np.zeros((3, 2), int), 30, r"\(2, 2\)"),
        (np.zeros((32, 32, 3), np.uint8), np.zeros((2, 2)), 30, "integers"),
        (np.zeros((32, 32, 3), np.uint8), np.full((2, 2), 52), 30, r"\[-51, 51\]"),
        (np.zeros((32, 32, 3), np.uint8), None, 0, "crf"),
        (np.zeros((32, 32, 3), np.uint8), None, 52, "crf"),
        (np.zeros((32, 32, 3), np.uint8), None, float("nan"), "crf"),
    ],
)
def test_bad_input_of_the_encoder(image, offsets, crf, message):
    with pytest.raises(ValueError, match=message):
        encode(image, crf, offsets)
