"""Profiles: every number that decides how large a run is and what it does, in one frozen object.

A profile holds no data and computes nothing. `load("demo", observers="uniform")` gives the profile with one value changed;
field names are unique over all parts of a profile, so that one flat name is enough.
"""

from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from paperlib import paths
from paperlib.errors import PaperlibError
from paperlib.vocabulary import OBSERVERS, SMOOTHINGS


@dataclass(frozen=True)
class WorldSettings:
    """The micro-world: how many images of which size, and who looks at them (see `paperlib.datasets.microworld`)."""

    n_train: int = 3000
    n_test: int = 500
    height: int = 64
    width: int = 96
    center_bias: float = 0.12
    families: tuple[str, ...] = ("blur", "noise")
    shifted_families: tuple[str, ...] = ("jpeg", "contrast")
    two_subjects: float = 0.0


@dataclass(frozen=True)
class TrainingSettings:
    """Fine-tuning of the shipped backbone on mean opinion scores (the paper's Baseline and its dual-task variants)."""

    epochs: int = 5
    batch_size: int = 32
    head_lr: float = 2e-3
    backbone_lr_factor: float = 0.3
    weight_decay: float = 1e-4
    center_mos: bool = False
    hidden: tuple[int, ...] = (1024, 128)
    saliency_loss: str = "mse"
    saliency_weight: float = 0.3


@dataclass(frozen=True)
class ExtractionSettings:
    """Saliency maps from IQA networks (section III-A)."""

    smoothing: str = "rotations"
    n_passes: int = 6
    max_angle: float = 10.0
    principal_component: bool = True
    n_fit: int = 500


@dataclass(frozen=True)
class MaskingSettings:
    """Masking by quantile (section III-B)."""

    fractions: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    n_masked: int = 300
    blur_sigma: float = 2.0


@dataclass(frozen=True)
class CompressionSettings:
    """Saliency-aware coding, votes and agreement (section III-D).

    `bpps` are higher than the paper's .08, .12 and .16, in the same ratios: at the size of the demo's photographs QP 51
    lies above those; .2 is the lowest round bit-rate that every photograph and preset reaches. `presets` are names with
    the encoder's (saliency_s0, saliency_bitrate) in per cent; which of the authors' names belongs to which pair is a
    guess. `assessors` gives about 9 votes per pair, like the paper. `assessor_noise` and `tie_threshold` are in units
    of log2(1 + damage); with them the best version of a photograph scores about as high as in SACID (median 4.4).
    """

    n_photographs: int = 10
    bpps: tuple[float, ...] = (0.2, 0.3, 0.4)
    presets: tuple[tuple[str, tuple[int, int] | None], ...] = (
        ("none", None), ("p132", (60, 40)), ("p220", (60, 80)), ("p310", (75, 80)),
    )  # fmt: skip
    encoder_preset: str = "medium"
    assessors: int = 240
    random_pairs: int = 25
    verification_pairs: int = 3
    fixations_per_pair: int = 6
    assessor_noise: float = 0.2
    tie_threshold: float = 0.1
    inattentive: float = 0.05
    network_scale: float = 0.5
    n_bootstrap: int = 1000


@dataclass(frozen=True)
class Profile:
    """Everything that a run needs to know.

    `seeds` are the repeats: each has its own training and test world and its own random start. The costlier controls
    run for the first `n_control_seeds` of them. `observers` is who the
    mean opinion scores come from: `"saliency"` (people look at the subject) or `"uniform"` (the control).
    """

    name: str
    seeds: tuple[int, ...] = (0, 1, 2)
    n_control_seeds: int = 1
    observers: str = "saliency"
    world: WorldSettings = field(default_factory=WorldSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    extraction: ExtractionSettings = field(default_factory=ExtractionSettings)
    masking: MaskingSettings = field(default_factory=MaskingSettings)
    compression: CompressionSettings = field(default_factory=CompressionSettings)

    @property
    def store_root(self) -> Path:
        """Folder of this profile's results. Overrides share it: results are found by what went into them."""
        return paths.results_root() / self.name


PROFILES = {"demo": Profile("demo")}


def names(profile: Profile) -> dict[str, Any]:
    """All values that `load` can change: flat name -> present value."""
    flat: dict[str, Any] = {}
    for entry in fields(profile):
        value = getattr(profile, entry.name)
        if is_dataclass(value):
            flat |= {inner.name: getattr(value, inner.name) for inner in fields(value)}
        elif entry.name != "name":
            flat[entry.name] = value
    return flat


def load(name: str = "demo", **overrides: Any) -> Profile:
    """The profile `name` with single values changed.

    Args:
        name: one of `PROFILES`.
        overrides: flat field names of the profile or of one of its parts, for example `observers="uniform"`. A list is
            taken as a tuple; `seeds` may be a count.

    Raises:
        PaperlibError: unknown profile or field, or a value of another type than the present one.
    """
    if name not in PROFILES:
        raise PaperlibError(f"there is no profile {name!r}; choose one of: {', '.join(PROFILES)}")
    profile = PROFILES[name]
    known = names(profile)
    for key, value in overrides.items():
        if key not in known:
            raise PaperlibError(f"profile {name!r} has no value {key!r}; it has: {', '.join(sorted(known))}")
        profile = _with(profile, key, _checked(key, value, known[key]))
    return profile


def _with(profile: Profile, key: str, value: Any) -> Profile:
    if key in {entry.name for entry in fields(profile)}:
        return replace(profile, **{key: value})
    for entry in fields(profile):
        part = getattr(profile, entry.name)
        if is_dataclass(part) and key in {inner.name for inner in fields(part)}:
            return replace(profile, **{entry.name: replace(part, **{key: value})})
    raise KeyError(key)


def _checked(key: str, value: Any, present: Any) -> Any:
    if key == "seeds" and isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise PaperlibError(f"seeds={value}: at least one repeat is needed")
        value = tuple(range(value))
    if isinstance(present, tuple) and isinstance(value, list | tuple):
        value = tuple(value)
        if not value:
            raise PaperlibError(f"{key} is empty; give at least one value, like {present!r}")
    elif isinstance(present, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    elif type(value) is not type(present):
        raise PaperlibError(f"{key}={value!r} is a {type(value).__name__}; expected a {type(present).__name__} like {present!r}")
    allowed = {"observers": OBSERVERS, "smoothing": SMOOTHINGS}.get(key)
    if allowed and value not in allowed:
        raise PaperlibError(f"{key}={value!r} is not known; choose one of: {', '.join(allowed)}")
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        raise PaperlibError(f"{key}={value!r} is negative; expected a value of 0 or more")
    return value
