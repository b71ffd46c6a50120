"""Saliency-driven H.264 still coding: the rule of the authors' lab, restated on PyAV and libx264 (Section III-D, [41]).

The rule of github.com/msu-video-group/x264_saliency_mod (options `--saliency-s0`, `--saliency-bitrate`), restated from
its behaviour, none of its code: every 16x16 macroblock has one saliency value s and the QP that plain x264 would use.
Its predicted bits are c = g^(-QP) with g = 2.24^(1/6). The new QP is round(QP - k (s - s0)), with one slope k above the
level s0 and another below, so chosen that the macroblocks above s0 get the asked share of the predicted bits while the
predicted total stays as it was. The differences reach libx264 as regions of interest (FFmpeg's filter `addroi`).

x264 ignores regions of interest without a word while adaptive quantisation (AQ) is off, so AQ off cannot be asked for
here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import cast

import av
import numpy as np
from av.sidedata.encparams import VideoEncParams

MACROBLOCK = 16
QP_MIN, QP_MAX = 0, 51
BITS_PER_QP = 2.24 ** (1 / 6)
CRF_RANGE = (1.0, 51.0)
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower")
_COUNTED_NAL_TYPES = (1, 5, 7, 8)
_BISECTION_STEPS = 60
_READING_CRF = 18.0
_TIME_BASE = Fraction(1, 25)


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of libx264 that stay fixed over an experiment.

    Attributes:
        preset: one of `PRESETS`. `veryslow` and `placebo` are refused: their rate-distortion optimised choice of QP
            wanders up to 10 QP away from what the regions of interest ask for.
        aq_mode: adaptive quantisation 1, 2 or 3; 0 is refused because x264 would ignore the regions.
        aq_strength: > 0 for the same reason.

    Raises:
        ValueError: a value outside these.
    """

    preset: str = "medium"
    aq_mode: int = 1
    aq_strength: float = 1.0

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.aq_mode not in (1, 2, 3):
            raise ValueError(f"aq_mode must be 1, 2 or 3 (x264 ignores regions of interest without AQ), got {self.aq_mode}")
        if not 0.0 < self.aq_strength <= 3.0:
            raise ValueError(
                f"aq_strength must lie in (0, 3] (x264 ignores regions of interest without AQ), got {self.aq_strength}"
            )


@dataclass(frozen=True, eq=False)
class CodedPicture:
    """One coded picture.

    Attributes:
        picture: (H, W, 3) uint8 RGB, decoded.
        stream: the H.264 Annex B bit-stream, all NAL units.
        qp: (H/16, W/16) int32, the QP of every macroblock as the decoder read it. A macroblock without coefficients
            carries no QP of its own and shows its predecessor's.
        bpp: bits per pixel of slices and parameter sets (`count_bytes`); x264's 600-byte SEI text is left out.
    """

    picture: np.ndarray
    stream: bytes
    qp: np.ndarray
    bpp: float


@dataclass(frozen=True, eq=False)
class Allocation:
    """The lab's rule, solved for one picture.

    Attributes:
        offsets: (h, w) int32 QP offset per macroblock, new QP minus plain QP.
        s0: the saliency level that parts the two groups.
        share_before, share_after: share of the predicted bits that macroblocks above s0 have, in [0, 1].
        reached: both groups are within 1 % of the predicted bits they should have. False where QP 0 or 51 stands in
            the way, or where few distinct saliency values make the rounding too coarse.
    """

    offsets: np.ndarray
    s0: float
    share_before: float
    share_after: float
    reached: bool


def macroblock_mean(values: np.ndarray) -> np.ndarray:
    """Mean of a map (H, W) of finite numbers over 16x16 macroblocks: (H/16, W/16) float64; H and W multiples of 16.

    Raises:
        ValueError: another shape, or numbers that are not finite.
    """
    values = np.asarray(values)
    if values.ndim != 2 or any(side == 0 or side % MACROBLOCK for side in values.shape):
        raise ValueError(f"map must be (H, W) with sides that are multiples of {MACROBLOCK}, got {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("map must hold finite numbers only")
    height, width = values.shape
    blocks = values.reshape(height // MACROBLOCK, MACROBLOCK, width // MACROBLOCK, MACROBLOCK)
    return blocks.mean(axis=(1, 3), dtype=np.float64)


def predicted_bits(qp: np.ndarray) -> np.ndarray:
    """Bits that the rule expects of a macroblock, up to a constant: 2.24^(-QP/6), texture plays no part."""
    return BITS_PER_QP ** -np.asarray(qp, dtype=np.float64)


def allocate(saliency: np.ndarray, qp: np.ndarray, s0_percent: float, share_percent: float) -> Allocation:
    """QP offsets that give the most salient macroblocks an asked share of the predicted bits.

    Args:
        saliency: (h, w) mean saliency per macroblock; only its shape matters, scale and offset do not.
        qp: (h, w) QP that plain x264 uses, in [0, 51].
        s0_percent: `saliency_s0`, in (0, 100): the level s0 is this quantile of `saliency`, so 75 means that the 25 %
            most salient macroblocks form the upper group.
        share_percent: `saliency_bitrate`, in (0, 100): per cent of the predicted bits that go to the upper group.

    Returns:
        The offsets and what they achieve. Macroblocks exactly at s0 keep their QP.

    Raises:
        ValueError: shapes differ, numbers out of range, or a flat saliency, which has no upper group.
    """
    saliency, qp = np.asarray(saliency, dtype=np.float64), np.asarray(qp, dtype=np.float64)
    if saliency.shape != qp.shape or saliency.ndim != 2:
        raise ValueError(f"saliency and qp must both be (h, w), got {saliency.shape} and {qp.shape}")
    if not (np.isfinite(saliency).all() and np.isfinite(qp).all()):
        raise ValueError("saliency and qp must hold finite numbers only")
    if qp.min() < QP_MIN or qp.max() > QP_MAX:
        raise ValueError(f"qp must lie in [{QP_MIN}, {QP_MAX}], got {qp.min()} to {qp.max()}")
    for name, percent in (("s0_percent", s0_percent), ("share_percent", share_percent)):
        if not 0.0 < percent < 100.0:
            raise ValueError(f"{name} must lie in (0, 100), got {percent}")
    s0 = float(np.quantile(saliency, s0_percent / 100))
    upper, lower = saliency > s0, saliency < s0
    if not (upper.any() and lower.any()):
        raise ValueError("saliency needs values above and below its quantile s0; this map is (nearly) flat")

    bits = predicted_bits(qp)
    bits_up, bits_down = bits[upper].sum(), bits[lower].sum()
    total = bits_up + bits_down
    distance = saliency - s0
    goal_up = share_percent / 100 * total
    slope_up = _slope(qp[upper], distance[upper], goal_up)
    slope_down = _slope(qp[lower], distance[lower], total - goal_up)
    new_qp = _new_qp(qp, distance, np.where(upper, slope_up, slope_down))
    after = predicted_bits(new_qp)
    after_up, after_down = after[upper].sum(), after[lower].sum()
    return Allocation(
        offsets=(new_qp - qp).round().astype(np.int32),
        s0=s0,
        share_before=float(bits_up / total),
        share_after=float(after_up / (after_up + after_down)),
        reached=bool(max(abs(after_up / goal_up - 1), abs(after_down / (total - goal_up) - 1)) <= 0.01),
    )


def _new_qp(qp: np.ndarray, distance: np.ndarray, slope: float | np.ndarray) -> np.ndarray:
    return np.clip(np.round(qp - slope * distance), QP_MIN, QP_MAX)


def _slope(qp: np.ndarray, distance: np.ndarray, goal: float) -> float:
    """The slope k at which the predicted bits of a group meet `goal`, by bisection; `distance` has one sign.

    Bits grow with k above s0 and shrink below it. A goal out of reach ends at a slope that saturates every QP.
    """
    steepest = (QP_MAX - QP_MIN + 1) / np.abs(distance).min()
    growing = distance[0] > 0
    low, high = -steepest, steepest
    for _ in range(_BISECTION_STEPS):
        middle = 0.5 * (low + high)
        if (predicted_bits(_new_qp(qp, distance, middle)).sum() < goal) == growing:
            low = middle
        else:
            high = middle
    return min((low, high), key=lambda k: abs(predicted_bits(_new_qp(qp, distance, k)).sum() - goal))


class StillEncoder:
    """Codes one picture at any CRF, with or without QP offsets.

    The picture is converted to YUV 4:2:0 and the regions of interest are attached once, so that a search for a
    bit-rate pays for encoding alone.

    Args:
        image: (H, W, 3) uint8 RGB; H and W multiples of 16.
        offsets: (H/16, W/16) integer QP offsets in [-51, 51], added to what x264 would use; None for plain coding.
        settings: the encoder's fixed settings.

    Raises:
        ValueError: wrong shape, type or range.
    """

    def __init__(
        self, image: np.ndarray, offsets: np.ndarray | None = None, settings: EncoderSettings = EncoderSettings()
    ) -> None:
        image = np.asarray(image)
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}")
        if any(side == 0 or side % MACROBLOCK for side in image.shape[:2]):
            raise ValueError(f"both sides of the image must be multiples of {MACROBLOCK}, got {image.shape[:2]}")
        self._settings = settings
        self._shape = image.shape[:2]
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format="yuv420p")
        self._frame = frame if offsets is None else _attach_offsets(frame, _checked_offsets(offsets, self._shape))

    def encode(self, crf: float) -> CodedPicture:
        """Code the picture at `crf` and decode it again; arguments and errors as for `stream`."""
        return self.coded(self.stream(crf))

    def coded(self, stream: bytes) -> CodedPicture:
        """Decode a stream of this picture."""
        picture, qp = decode(stream)
        return CodedPicture(picture, stream, qp, self.bpp(stream))

    def bpp(self, stream: bytes) -> float:
        """Bits per pixel of a stream of this picture, slices and parameter sets alone."""
        return 8 * count_bytes(stream) / (self._shape[0] * self._shape[1])

    def stream(self, crf: float) -> bytes:
        """Code the picture as one intra frame.

        Deterministic: one thread, and no look-ahead or macroblock tree, which have no meaning for a single picture.

        Args:
            crf: x264's constant rate factor in [1, 51]; higher means fewer bits. Fractions count.

        Returns:
            The H.264 Annex B bit-stream.

        Raises:
            ValueError: `crf` outside its range.
        """
        if not CRF_RANGE[0] <= crf <= CRF_RANGE[1]:
            raise ValueError(f"crf must lie in {list(CRF_RANGE)}, got {crf}")
        codec = av.CodecContext.create("libx264", "w")
        codec.height, codec.width = self._shape
        codec.pix_fmt = "yuv420p"
        codec.time_base = _TIME_BASE
        codec.thread_count = 1
        codec.options = {
            "preset": self._settings.preset,
            "crf": f"{crf:.6f}",
            "aq-mode": str(self._settings.aq_mode),
            "aq-strength": f"{self._settings.aq_strength:.6f}",
            "g": "1",
            "mbtree": "0",
            "rc-lookahead": "0",
        }
        self._frame.pts = 0
        return b"".join(bytes(packet) for frame in (self._frame, None) for packet in codec.encode(frame))


def plain_qp(image: np.ndarray, crf: float, settings: EncoderSettings = EncoderSettings()) -> np.ndarray:
    """QP that plain x264 gives to every macroblock at `crf`: rate factor plus adaptive quantisation.

    A macroblock without coefficients does not transmit its QP, and at low bit-rates that is a third of them. The QP is
    therefore read where nearly all macroblocks have coefficients, at CRF 18, and shifted: for a single picture it
    moves with the CRF, step for step, until it is clipped.

    Args:
        image, settings: as for `StillEncoder`, which also says what is refused.
        crf: in [1, 51].

    Returns:
        (H/16, W/16) int32 in [0, 51].
    """
    if not CRF_RANGE[0] <= crf <= CRF_RANGE[1]:
        raise ValueError(f"crf must lie in {list(CRF_RANGE)}, got {crf}")
    read = StillEncoder(image, settings=settings).encode(_READING_CRF).qp
    return np.clip(np.round(read + (crf - _READING_CRF)), QP_MIN, QP_MAX).astype(np.int32)


def _checked_offsets(offsets: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    offsets = np.asarray(offsets)
    expected = shape[0] // MACROBLOCK, shape[1] // MACROBLOCK
    if offsets.shape != expected:
        raise ValueError(f"offsets must be {expected}, one per macroblock, got {offsets.shape}")
    if not np.issubdtype(offsets.dtype, np.integer):
        raise ValueError(f"offsets must be integers (QP steps), got {offsets.dtype}")
    if np.abs(offsets).max() > QP_MAX:
        raise ValueError(f"offsets must lie in [-{QP_MAX}, {QP_MAX}], got {offsets.min()} to {offsets.max()}")
    return offsets


def _attach_offsets(frame: av.VideoFrame, offsets: np.ndarray) -> av.VideoFrame:
    graph = av.filter.Graph()
    node = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=_TIME_BASE)
    for top, left, height, width, value in rectangles(offsets):
        box = f"x={left * MACROBLOCK}:y={top * MACROBLOCK}:w={width * MACROBLOCK}:h={height * MACROBLOCK}"
        region = graph.add("addroi", f"{box}:qoffset={value}/{QP_MAX}")
        node.link_to(region)
        node = region
    node.link_to(graph.add("buffersink"))
    graph.configure()
    frame.pts = 0
    graph.vpush(frame)
    marked = graph.vpull()
    if np.any(offsets) and marked.side_data.get("REGIONS_OF_INTEREST") is None:
        raise RuntimeError("FFmpeg's filter addroi attached no regions of interest; this PyAV build cannot be used")
    return marked


def rectangles(values: np.ndarray) -> Iterator[tuple[int, int, int, int, int]]:
    """Cover the non-zero entries of an integer map (h, w) with disjoint rectangles of equal value.

    Runs of equal values along a row are merged downwards while the next row repeats them. Yields (top, left, height,
    width, value).
    """
    open_runs: dict[tuple[int, int, int], int] = {}
    for row in range(len(values) + 1):
        runs = set(_runs(values[row])) if row < len(values) else set()
        for run in [run for run in open_runs if run not in runs]:
            left, width, value = run
            top = open_runs.pop(run)
            yield top, left, row - top, width, value
        for run in runs:
            open_runs.setdefault(run, row)


def _runs(row: np.ndarray) -> Iterator[tuple[int, int, int]]:
    edges = np.flatnonzero(np.diff(row)) + 1
    starts = np.concatenate(([0], edges))
    ends = np.concatenate((edges, [len(row)]))
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if row[start] != 0:
            yield start, end - start, int(row[start])


def decode(stream: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Decode the one picture of an H.264 Annex B bit-stream: (H, W, 3) uint8 RGB and the (H/16, W/16) int32 QP of every
    macroblock.

    Raises:
        ValueError: the stream holds no whole picture.
    """
    codec = av.CodecContext.create("h264", "r")
    codec.thread_count = 1
    codec.options = {"export_side_data": "venc_params"}
    try:
        frames = [f for packet in (*codec.parse(stream), *codec.parse(None), None) for f in codec.decode(packet)]
    except av.error.InvalidDataError:
        frames = []
    if not frames:
        raise ValueError(f"expected an H.264 Annex B stream with one picture, got {len(stream)} bytes that hold none")
    frame = frames[0]
    parameters = cast(VideoEncParams, frame.side_data.get("VIDEO_ENC_PARAMS"))
    return frame.to_ndarray(format="rgb24"), np.asarray(parameters.qp_map(), dtype=np.int32)


def count_bytes(stream: bytes) -> int:
    """Bytes of slices and parameter sets (NAL types 1, 5, 7, 8) of an Annex B stream, start codes included."""
    return sum(size for kind, size in nal_units(stream) if kind in _COUNTED_NAL_TYPES)


def nal_units(stream: bytes) -> list[tuple[int, int]]:
    """(NAL type, bytes with start code) of each NAL unit of an Annex B stream, in order."""
    starts = []
    position = stream.find(b"\0\0\1")
    while 0 <= position < len(stream) - 3:
        starts.append(position - 1 if position > 0 and stream[position - 1] == 0 else position)
        position = stream.find(b"\0\0\1", position + 3)
    return [(stream[stream.index(b"\1", start) + 1] & 0x1F, end - start) for start, end in pairwise([*starts, len(stream)])]
