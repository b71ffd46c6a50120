"""One picture of any size, coded at an asked bit-rate with an asked share of the bits where people look.

The lab's rule (`paperlib.coding.x264.allocate`) needs the QP that plain x264 would use. A macroblock without
coefficients does not transmit its QP, so reading it back tells a third of them wrongly at low bit-rates. Here it is
computed instead: in CRF mode, without look-ahead and macroblock tree, x264 gives a single picture the QP
CRF - 6 log2(1.4) (its `ip_factor`) plus, per macroblock, 1.0397 `aq-strength` (log2 E - 14.427), where E is the energy
of the macroblock around its mean, luma and chroma together (`aq-mode` 1; encoder/ratecontrol.c of x264). The tests
hold this against the QP read back. The rule is solved anew at every CRF that the search for the bit-rate tries, as the
lab's encoder solves it at whatever QP its rate control has come to.
"""

import math
import re
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import ArrayLike, NDArray

from paperlib.coding.rate import CrfSearch, search_crf
from paperlib.coding.x264 import (
    MACROBLOCK,
    QP_MAX,
    QP_MIN,
    Allocation,
    CodedPicture,
    EncoderSettings,
    StillEncoder,
    allocate,
    macroblock_mean,
    predicted_bits,
)
from paperlib.errors import ComputationError, PaperlibError

TOLERANCE = 0.01
"""Relative error of the bit-rate within which a target counts as reached."""

LIMITS = (3.0, 51.0)
"""CRF below 3 would ask for a picture QP below 0, which x264 clips before it adds what belongs to a macroblock."""

FOLLOWED = 0.95
"""Share of the macroblocks that transmit their QP that must be within one step of the asked QP."""

_INTRA_FACTOR = 1.4
_AQ_SCALE, _AQ_MIDDLE = 1.0397, 14.427


@dataclass(frozen=True, eq=False)
class CodedStill:
    """A coded picture and what became of the wishes.

    Attributes:
        picture: (H, W, 3) uint8 RGB, decoded and cropped to the size of the input.
        stream: H.264 Annex B bit-stream of the padded picture.
        padding: rows below and columns on the right that were added, by repeating the edge, and cut off again.
        asked_bpp: the target.
        bpp: achieved: bits of slices and parameter sets per pixel of the picture without padding.
        reached: whether `bpp` is within 1 % of `asked_bpp`; if not, it is the nearest that QP 0 to 51 allow.
        crf: x264's rate factor.
        encodes: encodes that the search took.
        settings: the encoder's fixed settings.
        part: (h, w) int8, 1 for macroblocks above s0, -1 below, 0 exactly at s0; None for plain coding.
        allocation: the rule as solved at `crf`; None for plain coding.
        plain_qp: (h, w) int32, QP that x264 would use without saliency at `crf`.
        asked_qp: (h, w) int32, QP asked of x264.
        qp: (h, w) int32, QP read back from the stream.
    """

    picture: NDArray[np.uint8]
    stream: bytes
    padding: tuple[int, int]
    asked_bpp: float
    bpp: float
    reached: bool
    crf: float
    encodes: int
    settings: EncoderSettings
    part: NDArray[np.int8] | None
    allocation: Allocation | None
    plain_qp: NDArray[np.int32]
    asked_qp: NDArray[np.int32]
    qp: NDArray[np.int32]

    @property
    def transmitted(self) -> NDArray[np.bool_]:
        """(h, w) macroblocks that transmit their QP for certain, since it differs from their predecessor's.

        x264 writes differences of QP, and none for a macroblock without coefficients, which then shows the QP of its
        predecessor whatever was asked.
        """
        changed = np.diff(self.qp.ravel(), prepend=self.qp.flat[0]) != 0
        return changed.reshape(self.qp.shape)

    @property
    def close(self) -> NDArray[np.bool_]:
        """(h, w) macroblocks whose QP as read back is within one step of the asked QP."""
        return np.abs(self.qp - self.asked_qp) <= 1

    @property
    def encoder(self) -> str:
        """Version of x264 as it signs the stream, such as "x264 core 165"."""
        found = re.search(rb"x264 - core (\d+)", self.stream)
        return f"x264 core {found[1].decode()}" if found else "x264"


def code_picture(
    image: ArrayLike,
    saliency: ArrayLike | None,
    bpp: float,
    s0: float = 75.0,
    share: float = 80.0,
    settings: EncoderSettings = EncoderSettings(),
) -> CodedStill:
    """Code a picture at an asked bit-rate, with saliency or without.

    Args:
        image: (H, W, 3) uint8 RGB of any size.
        saliency: (H, W) finite numbers, not all alike; scale and offset do not matter. None codes plainly.
        bpp: bits per pixel of the picture, > 0.
        s0: in (0, 100): macroblocks above this quantile of the saliency are the salient part. The paper's presets
            have 75 or 60.
        share: in (0, 100): per cent of the predicted bits that the salient part is to get; 80 or 40 in the paper.
        settings: the encoder's; `aq_mode` must be 1.

    Returns:
        The picture nearest to the target. `reached` tells about the bit-rate, `allocation.reached` about the share:
        both cannot always be had, since no QP is higher than 51.

    Raises:
        ValueError: wrong shape, type or range.
        PaperlibError: a saliency map that has nothing above or nothing below its quantile.
        ComputationError: x264 did not code with the QPs that it was asked for, or wrote the same bytes as without
            saliency.
    """
    pixels = np.asarray(image)
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or 0 in pixels.shape:
        raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {pixels.shape} {pixels.dtype}")
    if settings.aq_mode != 1:
        raise ValueError(f"aq_mode must be 1, whose QPs are known beforehand, got {settings.aq_mode}")
    if not 0.0 < bpp < math.inf:
        raise ValueError(f"bpp must be a positive number of bits per pixel, got {bpp}")
    for name, percent in (("s0", s0), ("share", share)):
        if not 0.0 < percent < 100.0:
            raise ValueError(f"{name} must lie in (0, 100) per cent, got {percent}")
    padded = _padded(pixels)
    padding = (padded.shape[0] - pixels.shape[0], padded.shape[1] - pixels.shape[1])
    stretch = padded.size / pixels.size
    raw = raw_qp(padded, settings)
    blocks = part = None
    if saliency is not None:
        relevance = np.asarray(saliency)
        if relevance.shape != pixels.shape[:2]:
            wanted, got = pixels.shape[:2], relevance.shape
            raise ValueError(f"saliency must have the size of the picture, {wanted}, got {got}; resize it")
        blocks = macroblock_mean(_padded(relevance))
        part = np.sign(blocks - _parting_level(blocks, s0)).astype(np.int8)
    search, coded, allocation = _search(padded, blocks, raw, bpp / stretch, (s0, share), settings)
    plain = _clipped(raw, search.crf)
    still = CodedStill(
        picture=coded.picture[: pixels.shape[0], : pixels.shape[1]],
        stream=coded.stream,
        padding=padding,
        asked_bpp=float(bpp),
        bpp=search.bpp * stretch,
        reached=search.reached,
        crf=search.crf,
        encodes=search.encodes,
        settings=settings,
        part=part,
        allocation=allocation,
        plain_qp=plain,
        asked_qp=plain if allocation is None else plain + allocation.offsets,
        qp=coded.qp,
    )
    _require_followed(still, padded)
    return still


def raw_qp(image: NDArray[np.uint8], settings: EncoderSettings = EncoderSettings()) -> NDArray[np.float64]:
    """QP that plain x264 gives to every macroblock at CRF 0, before it is rounded and clipped; add the CRF.

    Args:
        image: (H, W, 3) uint8 RGB; H and W multiples of 16.
        settings: `aq_mode` 1.

    Returns:
        (H/16, W/16) float64. x264 keeps the QP of the macroblock before where the new one is one step away.
    """
    height, width = image.shape[:2]
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    planes = np.asarray(frame.to_ndarray(format="yuv420p"), np.uint8)
    blue, red = planes[height:].reshape(2, height // 2, width // 2)
    energy = _energy(planes[:height], MACROBLOCK) + _energy(blue, MACROBLOCK // 2) + _energy(red, MACROBLOCK // 2)
    adaptive = settings.aq_strength * _AQ_SCALE * (np.log2(np.maximum(energy, 1)) - _AQ_MIDDLE)
    return adaptive - 6 * math.log2(_INTRA_FACTOR)


def _energy(plane: NDArray[np.uint8], side: int) -> NDArray[np.int64]:
    """Sum of squares around the mean, in whole numbers as x264 has it, of each block of a plane."""
    height, width = plane.shape
    blocks = plane.astype(np.int64).reshape(height // side, side, width // side, side)
    return (blocks**2).sum(axis=(1, 3)) - blocks.sum(axis=(1, 3)) ** 2 // side**2


def predicted_share(qp: NDArray[np.integer], part: NDArray[np.int8]) -> float:
    """Share of the predicted bits (`predicted_bits`) in the salient part, in [0, 1]; `part` as in `CodedStill`."""
    bits = predicted_bits(qp)
    return float(bits[part > 0].sum() / bits[part != 0].sum())


def _clipped(raw: NDArray[np.float64], crf: float) -> NDArray[np.int32]:
    return np.clip(np.round(raw + crf), QP_MIN, QP_MAX).astype(np.int32)


def _search(
    padded: NDArray[np.uint8],
    blocks: NDArray[np.float64] | None,
    raw: NDArray[np.float64],
    bpp: float,
    rule: tuple[float, float],
    settings: EncoderSettings,
) -> tuple[CrfSearch, CodedPicture, Allocation | None]:
    """Search the CRF, with the rule solved at each. What x264 clips is its own QP plus the offset, so the offset is
    counted from the QP before clipping."""
    tried: dict[float, tuple[StillEncoder, bytes, Allocation | None]] = {}
    plainly = StillEncoder(padded, settings=settings)

    def bpp_at(crf: float) -> float:
        encoder, allocation = plainly, None
        if blocks is not None:
            plain = _clipped(raw, crf)
            allocation = allocate(blocks, plain, *rule)
            offsets = plain + allocation.offsets - np.round(raw + crf).astype(np.int32)
            encoder = StillEncoder(padded, np.clip(offsets, -QP_MAX, QP_MAX), settings)
        stream = encoder.stream(crf)
        tried[crf] = encoder, stream, allocation
        return encoder.bpp(stream)

    search = search_crf(bpp_at, bpp, TOLERANCE, LIMITS)
    encoder, stream, allocation = tried[search.crf]
    return search, encoder.coded(stream), allocation


def _padded(values: NDArray) -> NDArray:
    """Repeat the last row and column until both sides are multiples of 16."""
    below, right = (-side % MACROBLOCK for side in values.shape[:2])
    return np.pad(values, ((0, below), (0, right), *[(0, 0)] * (values.ndim - 2)), mode="edge")


def _parting_level(blocks: NDArray[np.float64], s0: float) -> float:
    if blocks.min() == blocks.max():
        raise PaperlibError(
            f"the saliency map is {blocks.flat[0]:g} in all {blocks.size} macroblocks of 16x16 pixels, expected some "
            "more salient than others; give another map, or code without one"
        )
    level = float(np.quantile(blocks, s0 / 100))
    for side, empty in (("above", not (blocks > level).any()), ("below", not (blocks < level).any())):
        if empty:
            raise PaperlibError(
                f"{np.mean(blocks == level):.0%} of the saliency map's macroblocks share the value at its {s0:g} % "
                f"quantile and none lies {side} it, so it has no two parts; choose another --s0, or smooth the map"
            )
    return level


def _require_followed(still: CodedStill, padded: NDArray[np.uint8]) -> None:
    """x264 ignores regions of interest without a word in several situations; here that is an error.

    Where no macroblock transmits its QP, as without AQ, the QPs tell nothing and the bytes have to.
    """
    sure = still.transmitted
    if sure.any():
        share = still.close[sure].mean()
        if share < FOLLOWED:
            raise ComputationError(
                f"x264 did not code with the QPs asked for: {share:.0%} of the macroblocks that tell theirs are within "
                f"one step, expected {FOLLOWED:.0%}; install PyAV as requirements.lock has it"
            )
        return
    steered = still.allocation is not None and still.allocation.offsets.any()
    if steered and still.stream == StillEncoder(padded, settings=still.settings).stream(still.crf):
        raise ComputationError(
            "the saliency had no effect: x264 wrote the same bytes as without; install PyAV as requirements.lock has it"
        )
