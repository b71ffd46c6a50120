"""Words with a fixed meaning that several rooms share."""

OBSERVERS = ("saliency", "uniform")
"""Who the mean opinion scores come from: people who look at the subject, or people who look everywhere alike."""

SMOOTHINGS = ("none", "rotations", "flip_multiply")
"""Augmentation smoothing of a saliency map (`paperlib.maps.hirescam.extract`)."""

STRATEGIES = ("LeRF", "MoRF")
"""Least or most relevant first: which end of a map is masked first."""

FILLS = ("black", "mean", "image_mean", "blur", "telea", "navier_stokes")
"""What takes the place of masked pixels, see `paperlib.maps.fills`."""

CODEC_PRESETS: tuple[tuple[str, tuple[int, int] | None], ...] = (
    ("none", None),
    ("p132", (60, 40)),
    ("p220", (60, 80)),
    ("p310", (75, 80)),
)
"""SACID's presets with the encoder's (saliency_s0, saliency_bitrate) in per cent. Which of the authors' names belongs to
which pair is a guess."""
