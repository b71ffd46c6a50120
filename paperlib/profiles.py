"""Profiles: every number that decides how large a run is and what it does, in one frozen object.

A profile holds no data and computes nothing. `load("demo", observers="uniform")` gives the profile with one value changed;
field names are unique over all parts of a profile, so that one flat name is enough.
"""

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, cast

from paperlib import paths
from paperlib.errors import PaperlibError
from paperlib.paper import TABLE3
from paperlib.settings import WHOLE, current
from paperlib.vocabulary import CODEC_PRESETS, FILLS, OBSERVERS, SMOOTHINGS


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

    batch_size: int = 32
    head_lr: float = 2e-3
    backbone_lr_factor: float = 0.3
    weight_decay: float = 1e-4
    center_mos: bool = False
    saliency_loss: str = "mse"
    saliency_weight: float = 0.3


@dataclass(frozen=True)
class ExtractionSettings:
    """Saliency maps from IQA networks (section III-A).

    `n_fit` images of the micro-world serve to fit map transforms; `n_resamples` are those of bootstrap intervals and
    paired tests over images.
    """

    smoothing: str = "rotations"
    n_passes: int = 6
    max_angle: float = 10.0
    principal_component: bool = True
    n_fit: int = 500
    n_resamples: int = 10_000


@dataclass(frozen=True)
class PhotographSettings:
    """Section III-A: whose maps are measured on which pictures with gaze (`paperlib.experiments.extracting`).

    Attributes:
        datasets: `"salicon"`, `"cat2000"`, `"own"`, or the micro-world `"world"`.
        methods: rows of Table I that are computed, besides centre prior and shuffled map.
        slow_methods: those of them that run for the first `n_control_seeds` repeats only.
        networks: where IQA networks come from that are trained for Table II: `"trained"` here, `"files"` that `export`
        wrote, or those that `"shipped"` with the companion.
        n_images: pictures of each data set, drawn at random; 0 for all.
        shard: pictures whose maps are made and stored together.
        n_folds: transform and centre prior of a picture come from the other folds.
        input_height, input_width: size at which IQA networks see the pictures (the authors': 384x512); 0 for their own.
        large_whole: whether networks see own pictures of many megapixels at their own size, too.
        edition: of SALICON, `"2015"` or `"2017"`; empty for whichever is there.
        sigma_px, px_per_degree: blur of the fixations of own pictures (`paperlib.datasets.own`); 0 for its default.
        optimise: fold batch normalisations and keep channels last in memory.
        precision: `"float32"` or `"bfloat16"`.
    """

    datasets: tuple[str, ...] = ("salicon", "cat2000")
    methods: tuple[str, ...] = ()
    slow_methods: tuple[str, ...] = ()
    networks: str = "files"
    n_images: int = 0
    shard: int = 250
    n_folds: int = 5
    input_height: int = 384
    input_width: int = 512
    large_whole: bool = False
    edition: str = ""
    sigma_px: float = 0.0
    px_per_degree: float = 0.0
    optimise: bool = True
    precision: str = "float32"


@dataclass(frozen=True)
class MaskingSettings:
    """Masking by maps (section III-B).

    Attributes:
        opinions: sets with opinion scores whose pictures are masked.
        masked_networks: those of the profile's IQA networks that score them; all where none are named.
        fractions: shares of the pixels that are masked.
        cell_counts: how many of the 12 cells of HalfImage are masked.
        fills: names of `paperlib.vocabulary.FILLS`.
        n_masked: pictures that are masked, 0 for all of the test part.
        n_halves: pictures on which all 924 halves are tried.
        blur_sigma, kernel_size: of the blur of the maps, in pixels.
        score_batch: masked pictures that are scored together.
    """

    opinions: tuple[str, ...] = ("koniq10k",)
    masked_networks: tuple[str, ...] = ()
    fractions: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    cell_counts: tuple[int, ...] = (2, 4, 6, 8, 10)
    fills: tuple[str, ...] = ("black", "mean", "blur")
    n_masked: int = 300
    n_halves: int = 10
    blur_sigma: float = 2.0
    kernel_size: int = 101
    score_batch: int = 32


@dataclass(frozen=True)
class CompressionSettings:
    """Saliency-aware coding, votes and agreement (section III-D).

    `bpps` are higher than the paper's .08, .12 and .16, in the same ratios: at the size of the demo's photographs QP 51
    lies above those; .2 is the lowest round bit-rate that every photograph and preset reaches. `presets` are names with
    the encoder's (saliency_s0, saliency_bitrate) in per cent; which of the authors' names belongs to which pair is a
    guess. `assessors` gives about 9 votes per pair, like the paper. `assessor_noise` and `tie_threshold` are in units
    of log2(1 + damage); with them the best version of a photograph scores about as high as in SACID (median 4.4).

    Attributes:
        compression_set: `"sacid"`, `"own"`, or `"photographs"` that are coded here and judged by simulated assessors.
        network_scale: share of height and width at which the Baselines see a picture.
        weightings: further maps that EW metrics weigh with, as controls (`paperlib.experiments.compression.scoring`).
        scored_methods: rows of Table III that are computed, besides its controls; further metrics of pyiqa by name.
        size_mode: one of `paperlib.models.quality.methods.SIZE_MODES`.
        n_sequences: photographs, drawn at random; 0 for all.
        sequence_shard: photographs whose pictures are scored together.
        crops: of each picture, for methods that look at crops; 0 for their official numbers.
        weighting_model: method of `paperlib.sources.source.KNOWN` whose maps of the references EW metrics
            weigh with, as a further control; empty for none.
    """

    n_photographs: int = 10
    bpps: tuple[float, ...] = (0.2, 0.3, 0.4)
    presets: tuple[tuple[str, tuple[int, int] | None], ...] = CODEC_PRESETS
    encoder_preset: str = "medium"
    assessors: int = 240
    random_pairs: int = 25
    verification_pairs: int = 3
    fixations_per_pair: int = 6
    assessor_noise: float = 0.2
    tie_threshold: float = 0.1
    inattentive: float = 0.05
    network_scale: float = 1.0
    compression_set: str = "sacid"
    weightings: tuple[str, ...] = ("center", "shuffled", "uniform")
    scored_methods: tuple[str, ...] = tuple(row.method for row in TABLE3)
    size_mode: str = "full_res"
    n_sequences: int = 0
    sequence_shard: int = 20
    crops: int = 0
    weighting_model: str = ""


@dataclass(frozen=True)
class DualTaskSettings:
    """Section III-C on photographs; batch size, learning rates, decay and saliency loss stand in `TrainingSettings`.

    Attributes:
        training_set: opinion set whose training and validation parts are trained on, or `"world"`.
        quality_sets: opinion sets that the scores are tested on, their test parts where they have parts.
        gaze_sets: eye-tracking sets that the maps are tested on.
        backbones: of timm; the first one's rows stand beside the paper's.
        variants: of `paperlib.models.dual_task.VARIANTS`.
        targets: methods of `paperlib.sources.source.KNOWN` whose maps are the proxy saliency; the first is
            the paper's, the others are controls.
        departures: further networks, of `paperlib.experiments.training.plan.DEPARTURES`.
        steps, accumulate, warm_up, clip_norm, ema_decay, deterministic: as in `paperlib.engine.finetuning.FinetuneSettings`.
        training_precision: its `precision`.
        training_height, training_width: size that pictures and maps are brought to.
        crop_height, crop_width: of the random window; 0 for the whole picture.
        weighting, activation, channels: as in `paperlib.models.dual_task.DualTask`.
        training_gpus: graphics processors that a training takes on a cluster.
        training_parts, quality_part: of opinion sets with parts, what is trained on and what scores are tested on. There is
            no early stopping, so that validation pictures are free to be trained on, or to choose settings by.
        frozen_until: dotted name of the last of the backbones' modules that are not trained, whose features are stored once
            for all trainings (`paperlib.models.stages`); empty to train all.
    """

    training_set: str = "koniq10k"
    quality_sets: tuple[str, ...] = ("koniq10k", "clive")
    gaze_sets: tuple[str, ...] = ("salicon", "cat2000")
    backbones: tuple[str, ...] = ("efficientnet_b0", "resnet50")
    variants: tuple[str, ...] = ("baseline", "sal_loss", "gradcam_loss")
    targets: tuple[str, ...] = ("msinet", "center_only")
    departures: tuple[str, ...] = ()
    steps: int = 20_000
    accumulate: int = 1
    warm_up: int = 0
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    deterministic: bool = False
    training_precision: str = "float32"
    training_height: int = 384
    training_width: int = 512
    crop_height: int = 384
    crop_width: int = 384
    weighting: str = "fixed"
    activation: str = "sigmoid"
    channels: str = "sum"
    training_gpus: float = 0.0
    training_parts: tuple[str, ...] = ("training", "validation")
    quality_part: str = "test"
    frozen_until: str = ""


@dataclass(frozen=True)
class Profile:
    """Everything that a run needs to know.

    `seeds` are the repeats: each has its own training and test world and its own random start. The costlier controls
    run for the first `n_control_seeds` of them. `observers` is who the
    mean opinion scores come from: `"saliency"` (people look at the subject) or `"uniform"` (the control).

    `data_root`, `weights_root` and `models` (the user's networks, see
    `paperlib.sources.source.of_user`) are empty where the profile brings its own data. `home` is the folder below
    `store_root` in which data lie where nobody says otherwise; empty where that must be said. `kept` is the folder below
    figures/ whose tables and figures are the plain profile's; None where every run writes beside its own results. `rows` are
    `"computed"`, or `"kept"`: those that lie there beside them, for real data.
    `assumed` holds numbers of pictures as (set, part, number) that plans take for granted instead of opening the sets.
    `extent` is how much of SACID, BIQ2021, OSIE and EyeCrowd is opened, one of `paperlib.datasets.listed_files.EXTENTS`.
    `sections` are the notebooks that it can fill so far; those of `optional` are left out, with a sentence, where their data
    are missing. `evidence` is what the numbers rest on: a `"simulation"`,
    `"stand-ins"` for data and weights, or `"data"`.
    """

    name: str
    sections: tuple[str, ...] = ("03a", "03b", "03c", "03d")
    optional: tuple[str, ...] = ()
    evidence: str = "data"
    home: str = ""
    kept: str | None = None
    rows: str = "computed"
    data_root: str = ""
    weights_root: str = ""
    models: tuple[str, ...] = ()
    model_folders: tuple[str, ...] = ()
    assumed: tuple[tuple[str, str, int], ...] = ()
    extent: str = "sample"
    seeds: tuple[int, ...] = (0, 1, 2)
    n_control_seeds: int = 1
    observers: str = "saliency"
    world: WorldSettings = field(default_factory=WorldSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    extraction: ExtractionSettings = field(default_factory=ExtractionSettings)
    photographs: PhotographSettings = field(default_factory=PhotographSettings)
    masking: MaskingSettings = field(default_factory=MaskingSettings)
    compression: CompressionSettings = field(default_factory=CompressionSettings)
    dual_task: DualTaskSettings = field(default_factory=DualTaskSettings)

    @property
    def keeps_rows(self) -> bool:
        """Whether the repository holds its rows for those who have not its data."""
        return self.evidence == "data" and self.kept is not None

    @property
    def store_root(self) -> Path:
        """Folder of this profile's results. Overrides share it: results are found by what went into them."""
        return paths.results_root() / self.name


_WHERE = {"rows", "data_root", "weights_root", "model_folders"}
"""Values of a profile that change no row."""

_IQA = ("baseline", "baseline_resnet50", "topiq", "dbcnn", "clipiqa_plus")
_SALIENCY = ("msinet", "transalnet", "transalnet_res")
_TRAINING = TrainingSettings(batch_size=16, head_lr=3e-4, backbone_lr_factor=0.1, weight_decay=1e-5)
"""Batch size and learning rates of the authors' public experiments; which of them made the paper is not known."""

_WORLD_SLOW = ("frozen_backbone", "unpretrained", "baseline_centered")
_WORLD_METHODS = (
    "baseline", "saliency_net", "noise_map", "center_only", "edge_energy", "pretrained_activation", "random_head",
    *_WORLD_SLOW, "uniform_observers",
)  # fmt: skip

_LITE = "tf_efficientnet_lite0"
"""ImageNet's weights of this backbone come with the environment."""

_CONTROLS = ("pretrained_activation", "random_head", "center_only", "edge_energy", "noise_map")

_WITHOUT_WEIGHTS = (
    "ms_ssim", "psnr", "ssim", "vif", "ew_ssim", "ew_psnr", "gmsd", "vsi", "nlpd", "baseline",
    "baseline_sal_loss", "baseline_gradcam_loss", "piqe",
)  # fmt: skip
"""Methods of Table III that need no official weights."""

_DEMO = Profile(
    "demo",
    evidence="simulation",
    kept="",
    photographs=PhotographSettings(("world",), _WORLD_METHODS, _WORLD_SLOW, "trained", input_height=0, input_width=0),
    masking=MaskingSettings(("world",), ("baseline", "uniform_observers", "unpretrained"), score_batch=100),
    dual_task=DualTaskSettings(
        "world",
        quality_sets=("world", "world_shifted"),
        gaze_sets=("world", "world_shifted"),
        backbones=("microworld",),
        targets=("gaze",),
        departures=("saliency_net", "uniform_observers", *_WORLD_SLOW),
        steps=465,
        warm_up=70,
        training_height=0,
        training_width=0,
        crop_height=0,
        crop_width=0,
    ),
    compression=CompressionSettings(
        compression_set="photographs",
        network_scale=0.5,
        weightings=("center", "shuffled", "gaze"),
        scored_methods=_WITHOUT_WEIGHTS,
    ),
)

PROFILES = {
    profile.name: profile
    for profile in (
        _DEMO,
        replace(
            _DEMO,
            name="lecture",
            kept=None,
            seeds=(0,),
            world=WorldSettings(n_train=1000, n_test=150),
            extraction=ExtractionSettings(n_fit=200),
            dual_task=replace(_DEMO.dual_task, steps=155, warm_up=25),
            compression=replace(_DEMO.compression, n_photographs=4),
        ),
        Profile(
            "rehearsal",
            evidence="stand-ins",
            home="standins",
            seeds=(0,),
            training=replace(_TRAINING, batch_size=2),
            extraction=ExtractionSettings(n_passes=2),
            dual_task=DualTaskSettings(
                "koniq10k", steps=2, training_height=192, training_width=256, crop_height=192, crop_width=192
            ),
            photographs=PhotographSettings(
                ("salicon", "cat2000"), _IQA + _SALIENCY + _CONTROLS, n_folds=2, shard=3, input_height=192, input_width=256
            ),
            masking=MaskingSettings(("koniq10k",), (), (0.5,), (6,), ("black", "mean"), n_masked=0, n_halves=0),
            compression=CompressionSettings(compression_set="sacid", sequence_shard=1, crops=1, weighting_model="msinet"),
        ),
        Profile(
            "open",
            optional=("03d",),
            home="data",
            kept="open",
            training=TrainingSettings(head_lr=1e-3, backbone_lr_factor=0.3),
            extraction=ExtractionSettings(n_passes=2),
            dual_task=DualTaskSettings(
                "biq2021",
                quality_sets=("biq2021",),
                gaze_sets=("osie", "eyecrowd"),
                backbones=(_LITE,),
                targets=("fastgaze", "center_only"),
                departures=("frozen_backbone",),
                steps=234,
                warm_up=30,
                training_height=256,
                training_width=256,
                crop_height=0,
                crop_width=0,
                frozen_until="blocks.5",
            ),
            photographs=PhotographSettings(
                ("osie", "eyecrowd"),
                ("baseline", "fastgaze", "pretrained_norm", *_CONTROLS, "frozen_backbone"),
                ("frozen_backbone",),
                "trained",
                shard=100,
                input_height=256,
                input_width=256,
            ),
            masking=MaskingSettings(("biq2021",), ("baseline",), (0.3, 0.5, 0.7), (4, 6, 8), ("black", "mean"), n_halves=0),
            compression=CompressionSettings(
                scored_methods=_WITHOUT_WEIGHTS, network_scale=0.25, sequence_shard=4, weighting_model="fastgaze"
            ),
        ),
        Profile(
            "paper",
            extent="all",
            seeds=tuple(range(10)),
            n_control_seeds=3,
            training=_TRAINING,
            dual_task=DualTaskSettings("koniq10k", training_precision="bfloat16", training_gpus=1.0),
            photographs=PhotographSettings(("salicon", "cat2000"), _IQA + _SALIENCY + _CONTROLS),
            masking=MaskingSettings(
                ("koniq10k",),
                (),
                tuple(tenths / 10 for tenths in range(1, 10)),
                tuple(range(1, 12)),
                ("black", "mean", "image_mean", "blur"),
                n_masked=0,
                n_halves=200,
                score_batch=128,
            ),
            compression=CompressionSettings(compression_set="sacid", weighting_model="msinet"),
        ),
        Profile(
            "own",
            ("03a", "03b", "03d"),
            optional=("03a", "03b", "03d"),
            seeds=(0,),
            photographs=PhotographSettings(
                ("own",), ("center_only", "edge_energy", "noise_map"), shard=50, input_height=0, input_width=0
            ),
            masking=MaskingSettings(("own",), n_masked=0, n_halves=0),
            compression=CompressionSettings(compression_set="own", scored_methods=("psnr", "ssim", "ew_psnr", "ew_ssim")),
        ),
    )
}


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
    return _located(profile)


def changed(profile: Profile, plain: Profile | None = None) -> dict[str, Any]:
    """Values that change rows and are not those of the `plain` profile, by default as it is loaded here, with what the
    settings say of models and extent: flat name -> value."""
    before = names(plain or load(profile.name))
    return {name: value for name, value in names(profile).items() if name not in _WHERE and value != before[name]}


def read_values(settings: Sequence[str]) -> dict[str, Any]:
    """Overrides for `load` from texts like `"n_passes=1"`, read as Python literals; text needs no quotation marks.

    Raises:
        PaperlibError: a text of another form.
    """
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not key.isidentifier():
            raise PaperlibError(f"{setting!r} is no setting; write --set name=value")
        values[key] = literal(text)
    return values


def literal(text: str) -> Any:
    """The Python value that `text` stands for (`true` and `false` among them), or the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _located(profile: Profile) -> Profile:
    """The profile with the folders and models that the settings name, where it needs some and has none."""
    if profile.evidence == "simulation":
        return profile
    home = str(profile.store_root / profile.home) if profile.home else ""
    is_written_here, settings = profile.evidence == "stand-ins", current()
    told_root = "" if is_written_here else str(settings.data_root or "")
    data_root = profile.data_root or told_root or home
    told = None if is_written_here else settings.weights_root
    weights_root = profile.weights_root or str(told or Path(data_root, "weights"))
    models = profile.models or settings.models
    folders = profile.model_folders or tuple(map(str, settings.model_path))
    extent = settings.extent or profile.extent
    if settings.input_size:
        profile = replace(profile, photographs=_seen(profile.photographs, settings.input_size))
    return replace(
        profile, data_root=data_root, weights_root=weights_root, models=models, model_folders=folders, extent=extent
    )


def _seen(photographs: PhotographSettings, size: str) -> PhotographSettings:
    """With the size at which networks see pictures, as the settings spell it."""
    if size == WHOLE:
        return replace(photographs, input_height=0, input_width=0, large_whole=True)
    width, height = map(int, size.split("x"))
    return replace(photographs, input_height=height, input_width=width)


def _with(profile: Profile, key: str, value: Any) -> Profile:
    """The profile with one of its values, or of the values of its parts, changed."""
    for entry in fields(profile):
        part = getattr(profile, entry.name)
        if is_dataclass(part) and key in {inner.name for inner in fields(part)}:
            key, value = entry.name, replace(cast("Any", part), **{key: value})
    changed: dict[str, Any] = {key: value}
    return replace(profile, **changed)


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
        raise PaperlibError(
            f"{key}={value!r} is a {type(value).__name__}; expected a {type(present).__name__} like {present!r}"
        )
    allowed = {"observers": OBSERVERS, "smoothing": SMOOTHINGS, "fills": FILLS}.get(key)
    if allowed and not set(value if isinstance(value, tuple) else [value]) <= set(allowed):
        raise PaperlibError(f"{key}={value!r} is not known; choose from: {', '.join(allowed)}")
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        raise PaperlibError(f"{key}={value!r} is negative; expected a value of 0 or more")
    for name, (fits, expected) in _RULES.items():
        if key == name and not fits(value):
            raise PaperlibError(f"{key}={value!r}: expected {expected}")
    return value


_RULES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n_passes": (lambda passes: passes >= 1, "at least 1"),
    "networks": (lambda source: source in ("trained", "files", "shipped"), "trained, files, or shipped"),
    "rows": (lambda source: source in ("computed", "kept"), "computed, or kept"),
    "fractions": (lambda shares: all(0 < share < 1 for share in shares), "shares between 0 and 1"),
    "cell_counts": (lambda counts: all(0 < count < 12 for count in counts), "numbers of cells from 1 to 11"),
    "kernel_size": (lambda size: size % 2 == 1, "an odd number of pixels"),
}
