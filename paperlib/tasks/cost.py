"""What the tables of a profile on photographs cost here: short measurements of each kind of work, times how often.

    cost = estimate(profiles.load("paper"))      # on this device: seconds, operations and, on a GPU, memory
    cost.tables[0].hours, cost.total.petaflop

Neither data nor weights are needed: pictures are stand-ins, weights are random, and each network is loaded, optimised and
run by the code of the real units. Floating-point operations are those of matrix products and convolutions, a
multiplication and an addition each (`torch.utils.flop_counter`).
"""

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from paperlib.datasets.training_pairs import PairBatch
from paperlib.engine.finetuning import FinetuneSettings, finetune
from paperlib.engine.plan import one_thread, usable_cores
from paperlib.engine.progress import progress, say
from paperlib.engine.units import Unit, function
from paperlib.errors import PaperlibError
from paperlib.experiments.extracting.plan import measured_unit
from paperlib.experiments.maps.compute import CHUNK
from paperlib.experiments.maps.plan import Made, maps_units
from paperlib.experiments.masking.compute import masked_scores, network_score
from paperlib.experiments.sets.plan import Pictures, gaze_pictures, gaze_unit
from paperlib.maps.masking import quantile_masks
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline
from paperlib.models.dual_task import DualTask
from paperlib.models.quality.methods import Method, SizeMode, describe, method_of_network, open_method, resized
from paperlib.models.quality.model import load_quality_model
from paperlib.models.stand_ins import random_files
from paperlib.paths import temporary_folder
from paperlib.rehearsal.salicon_cat2000 import write_salicon
from paperlib.rehearsal.write import write_checkpoint
from paperlib.settings import current
from paperlib.sources.maps import device, picture
from paperlib.sources.source import KNOWN, official_files
from paperlib.tasks import workload
from paperlib.tasks.workload import METHOD, Kind, Work

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SEED = 0
CROPS = {"ahiq": 20, "maniqa": 20, "tres": 50, "hyperiqa": 25}
"""How many crops these methods of Table III score of a picture, whatever its size."""
RESIZING = ("sgdnet_none", "sgdnet_output")
"""Methods of Table III that bring every picture to one size."""

_SET = "salicon"


@dataclass(frozen=True)
class Sample:
    """How much is measured at once; the rest follows in proportion.

    Attributes:
        pictures: whose maps are made together.
        passes: views that are averaged.
        batch: pictures of a training step.
        masked: pictures that are scored together.
        coded: largest height and width of a coded picture that a network sees as a whole; None for the whole picture.
        crops: of a coded picture, for methods that score crops; 0 for as many as the profile has.
        steps: of training in one measurement.
        repetitions: of a measurement; its median counts.
        seconds: after which there are no more repetitions.
    """

    pictures: int
    passes: int
    batch: int
    masked: int
    coded: tuple[int, int] | None
    crops: int
    steps: int
    repetitions: int
    seconds: float


def sample_of(profile: "Profile", processor: bool) -> Sample:
    """The profile's own sizes on a GPU, less on a processor."""
    views, batch = profile.extraction.n_passes, profile.training.batch_size
    if processor:
        return Sample(1, min(views, 2), min(batch, 2), 2, (384, 512), crops=2, steps=1, repetitions=3, seconds=2.0)
    masked = profile.masking.score_batch
    return Sample(CHUNK, views, batch, masked, None, crops=0, steps=5, repetitions=5, seconds=10.0)


@dataclass(frozen=True)
class Rate:
    """One kind of work, measured.

    Attributes:
        kind: its label.
        per: what it is counted in.
        seconds: for one.
        gigaflop: floating-point operations of one, in 1e9.
        memory: largest number of bytes on a GPU while it was measured; 0 on a processor.
        measured: how many were done in one measurement.
        repetitions: of that measurement.
    """

    kind: str
    per: str
    seconds: float
    gigaflop: float
    memory: int
    measured: float
    repetitions: int


@dataclass(frozen=True)
class TableCost:
    """One table or figure, estimated.

    Attributes:
        name: "Table I".
        units: pieces of work that are stored one by one.
        forward_passes: of networks, outside training.
        training_steps: of all its trainings.
        hours: of networks on the device.
        processor_hours: of measuring maps, and of maps and scores without a network, which stay on the processor.
        petaflop: floating-point operations of the networks, in 1e15.
        memory: largest number of bytes on a GPU; 0 on a processor.
        amounts: label of a kind of work -> how often it is done.
    """

    name: str
    units: int
    forward_passes: float
    training_steps: float
    hours: float
    processor_hours: float
    petaflop: float
    memory: int
    amounts: dict[str, float]


@dataclass(frozen=True)
class Cost:
    """All that a profile costs on one device.

    Attributes:
        profile: its name.
        device: in words.
        precision: of training, and of everything else.
        workers: units that are taken to run side by side, each with one thread; 1 on a GPU.
        batch: pictures of a training step in the profile.
        sample: what was measured at once.
        rates: every kind of work.
        tables: one by one; what two share is counted in both.
        total: all of them, what they share once.
    """

    profile: str
    device: str
    precision: str
    workers: int
    batch: int
    sample: Sample
    rates: list[Rate]
    tables: list[TableCost]
    total: TableCost


def hours_at(petaflop: float, tflops: float) -> float:
    """Hours for `petaflop` (1e15 operations) at a sustained speed of `tflops` (1e12 operations per second)."""
    return petaflop / (3.6 * tflops)


def estimate(profile: "Profile", sample: Sample | None = None) -> Cost:
    """Measure on the first GPU, else on the processor, and extrapolate.

    Args:
        profile: whose tables; no data of it are read.
        sample: how much to measure; by default what `sample_of` says.

    Raises:
        PaperlibError: as `paperlib.tasks.workload.tables`; a rehearsal.
    """
    if profile.evidence == "stand-ins":
        raise PaperlibError(f"profile {profile.name!r} runs on a few generated pictures, in minutes; give --profile paper")
    works = workload.tables(profile)
    on_gpu = device().type == "cuda"
    sample, workers = sample or sample_of(profile, not on_gpu), 1 if on_gpu else current().workers or usable_cores()
    kinds = list(dict.fromkeys(work.kind for some in works.values() for work in some if work.kind))
    with one_thread():
        rates = measure(kinds, profile, sample)
    table = partial(_table, rates=rates, workers=workers, profile=profile)
    return Cost(
        profile.name,
        f"{torch.cuda.get_device_name() if on_gpu else _processor()}, PyTorch {torch.__version__}",
        f"training {profile.dual_task.training_precision}, other networks {profile.photographs.precision}",
        workers,
        profile.training.batch_size,
        sample,
        list(rates.values()),
        [table(*one) for one in works.items()],
        table("all", workload.together(works)),
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _table(name: str, works: Sequence[Work], rates: Mapping[Kind, Rate], workers: int, profile: "Profile") -> TableCost:
    amounts: dict[Kind, float] = {}
    for work in works:
        if work.kind:
            amounts[work.kind] = amounts.get(work.kind, 0.0) + work.amount
    hours = {kind: amount * rates[kind].seconds / 3600 / workers for kind, amount in amounts.items()}
    return TableCost(
        name,
        len(works),
        sum(amount * workload.forward_passes(kind, profile) for kind, amount in amounts.items()),
        sum(amount for kind, amount in amounts.items() if kind.what == "step"),
        sum(value for kind, value in hours.items() if kind.on_device),
        sum(value for kind, value in hours.items() if not kind.on_device),
        sum(amount * rates[kind].gigaflop for kind, amount in amounts.items()) / 1e6,
        max(rates[kind].memory for kind in amounts),
        {kind.label: amount for kind, amount in amounts.items()},
    )


# ------------------------------------------------------------------------------------------------------------- measures


_Probe = tuple[Callable[[], Any], float]
"""Work that can be repeated, and how often it does what its kind is counted in."""


def measure(kinds: Sequence[Kind], profile: "Profile", sample: Sample) -> dict[Kind, Rate]:
    """Rates of `kinds` on the device, one line on stderr for each."""
    rates = {}
    with temporary_folder() as home:
        write_salicon(home / _SET, max(sample.pictures, profile.photographs.n_folds + 1), SEED)
        for kind in progress(kinds):
            with _weights(kind, home / "weights"):
                rates[kind] = _rate(kind, _PROBES[kind.what](kind, _moved(profile, home), sample), sample)
            say(f"{kind.label}: {rates[kind].seconds:.3g} s per {kind.per}")
    return rates


def _moved(profile: "Profile", home: Path) -> "Profile":
    """The profile with the stand-ins below `home`: all of them, in whatever edition they are."""
    return replace(
        profile,
        data_root=str(home),
        weights_root=str(home / "weights"),
        photographs=replace(profile.photographs, n_images=0, edition=""),
    )


@contextmanager
def _weights(kind: Kind, folder: Path) -> Iterator[None]:
    """Random weights in the official files of a network, as long as it is measured; one that is trained here has none."""
    trained_here = kind.what == "step" or (kind.what, kind.source.kind) == ("judge", "baseline")
    files: list[Path] = []
    if kind.source.kind == METHOD:
        files = random_files(kind.source.model, folder, SEED)
    elif kind.on_device and not trained_here and (official := official_files(kind.source)):
        files = [folder / file.name for file in official]
        write_checkpoint(kind.source, folder)
    yield
    for file in files:
        file.unlink()


def _rate(kind: Kind, probe: _Probe, sample: Sample) -> Rate:
    """The first run warms up and is counted for its operations; the median of the others is timed."""
    run, amount = probe
    flops = operations(run)
    on_gpu = device().type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    times: list[float] = []
    while len(times) < sample.repetitions and sum(times) < sample.seconds:
        begin = time.perf_counter()
        run()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    memory = torch.cuda.max_memory_allocated() if on_gpu and kind.on_device else 0
    return Rate(kind.label, kind.per, median(times) / amount, flops / amount / 1e9, memory, amount, len(times))


def operations(run: Callable[[], Any]) -> int:
    """Floating-point operations of `run`.

    PyTorch's own count knows no oneDNN convolution, and takes the gradients of a grouped convolution for those of a full
    one; either gradient takes as many operations as the convolution itself.
    """
    from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

    def forward(image: Sequence[int], weight: Sequence[int], *rest: Any, out_shape: Sequence[int]) -> int:
        return conv_flop_count(list(image), list(weight), list(out_shape))

    def backward(above: Sequence[int], image: Sequence[int], weight: Sequence[int], *rest: Any, out_shape: Any) -> int:
        *_, transposed, _, _, wanted = rest
        return sum(wanted[:2]) * conv_flop_count(list(image), list(weight), list(above), transposed)

    aten = torch.ops.aten
    counter = FlopCounterMode(
        display=False, custom_mapping={aten.mkldnn_convolution: forward, aten.convolution_backward: backward}
    )
    with counter:
        run()
    return counter.get_total_flops()


def _map_probe(kind: Kind, profile: "Profile", sample: Sample) -> _Probe:
    """Maps as units make them (`paperlib.experiments.maps.compute.make_maps`); passes are scaled in proportion."""
    passes = workload.forward_passes(kind, profile)
    fewer = replace(profile, extraction=replace(profile.extraction, n_passes=sample.passes))
    source, unit = _map_unit(kind, fewer)
    records = source.open().records[: sample.pictures]
    make = function(kind.source.maker)(unit.arguments, [record.key for record in records], {})
    share = workload.forward_passes(kind, fewer) / passes if passes else 1.0
    size = 1.0 if kind.on_device else _megapixels(source)
    return (lambda: make(records)), len(records) * share * size


def _map_unit(kind: Kind, profile: "Profile") -> tuple[Pictures, Unit]:
    """The stand-ins, and a unit of maps on them: its parameters are those of the real ones."""
    source = gaze_pictures(profile, _SET)
    return source, maps_units(profile, source, [gaze_unit(source)], kind.label, Made(kind.source))[0]


def _megapixels(source: Pictures) -> float:
    height, width = source.open().records[0].size
    return height * width / 1e6


def _score_probe(kind: Kind, profile: "Profile", sample: Sample) -> _Probe:
    """Scores of masked pictures, with the making of masks and pictures, as Figure 2 has them."""
    source, unit = _map_unit(kind, profile)
    arguments, settings = unit.arguments, profile.masking
    size = (arguments["input_height"], arguments["input_width"])
    records = source.open().records[: sample.pictures]
    images = np.stack([picture(record, size) for record in records])
    shares = max(1, sample.masked // (2 * len(records)))
    maps = np.random.default_rng(SEED).random(images.shape[:3], np.float32)
    masks = {"map": quantile_masks(maps, [(place + 1) / (shares + 1) for place in range(shares)])}
    score = network_score(function(kind.source.opener)(arguments, {})[0], sample.masked)

    def run() -> None:
        for _ in masked_scores(score, images, masks, settings.fills[:1], device(), sample.masked):
            pass

    return run, 2 * shares * len(images)


def _step_probe(kind: Kind, profile: "Profile", sample: Sample) -> _Probe:
    """Steps of `paperlib.engine.finetuning.finetune` on one batch in memory; its pictures are scaled in proportion."""
    settings, training = profile.dual_task, profile.training
    torch.manual_seed(SEED)
    network = Baseline(create_backbone(kind.source.model), decoder=kind.variant == "sal_loss").to(device())
    task = DualTask(
        network,
        kind.variant,
        saliency_loss=training.saliency_loss,
        weighting=settings.weighting,
        saliency_weight=training.saliency_weight,
        activation=settings.activation,
        channels=settings.channels,
    ).to(device())
    how = FinetuneSettings(
        sample.steps,
        settings.accumulate,
        weight_decay=training.weight_decay,
        precision=settings.training_precision,
        clip_norm=settings.clip_norm,
        ema_decay=settings.ema_decay,
        deterministic=settings.deterministic,
    )
    batch = _batch(profile, sample.batch, kind.variant != "baseline")
    groups = partial(task.groups, training.head_lr, training.head_lr * training.backbone_lr_factor)

    def run() -> None:
        finetune(task, groups(), task.batch_loss, lambda first: (one for one in repeat(batch)), how, seed=SEED)

    return run, sample.steps * sample.batch / training.batch_size


def _batch(profile: "Profile", n: int, saliency: bool) -> PairBatch:
    """Random pictures of the size that a training sees."""
    settings, rng = profile.dual_task, np.random.default_rng(SEED)
    crop = (settings.crop_height, settings.crop_width)
    size = crop if all(crop) else (settings.training_height, settings.training_width)
    images = rng.integers(0, 256, (n, *size, 3), dtype=np.uint8)
    maps = rng.integers(0, 256, (n, *size), dtype=np.uint8) if saliency else None
    return PairBatch(tuple(map(str, range(n))), images, maps, rng.random(n, np.float32))


def _measuring_probe(kind: Kind, profile: "Profile", sample: Sample) -> _Probe:
    """Held-out transforms and all metrics of the maps of noise of a few stand-ins."""
    source = gaze_pictures(profile, _SET)
    unit = measured_unit(profile, source, "noise_map", Made(KNOWN["noise_map"]))
    scratch = Path(profile.data_root)
    inputs = {need.name: function(need.compute)(need.arguments, {}, scratch) for need in unit.needs}
    run = partial(function(unit.compute), unit.arguments, inputs, scratch)
    return run, source.n * _megapixels(source)


def _judge_probe(kind: Kind, profile: "Profile", sample: Sample) -> _Probe:
    """Scores of a coded picture: of a part of it in proportion to pixels, of a few crops in proportion to crops."""
    pictures, crops, share = _coded_pictures(profile), 0, 1.0
    name = kind.source.model if kind.source.kind == METHOD else ""
    if name in CROPS:
        wanted = profile.compression.crops or CROPS[name]
        crops = min(sample.crops or wanted, wanted)
        share = crops / wanted
    elif sample.coded and kind.on_device and name not in RESIZING:
        height, width = sample.coded
        parts = [one[:height, :width] for one in pictures]
        pictures, share = parts, parts[-1].size / pictures[-1].size
    method = _judge(kind, Path(profile.weights_root), crops, pictures)
    return (lambda: method.score(*pictures)), share


def _coded_pictures(profile: "Profile") -> list[np.ndarray]:
    """A coded picture, its reference and a saliency map, all of noise, at the size at which the profile scores SACID."""
    size, rng = workload.OFFICIAL["sacid"], np.random.default_rng(SEED)
    shape, mode = (size.height, size.width), cast(SizeMode, profile.compression.size_mode)
    pictures: list[np.ndarray] = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for _ in range(2)]
    return [resized(one, mode) for one in (*pictures, rng.random(shape, np.float32))]


def _judge(kind: Kind, folder: Path, crops: int, pictures: Sequence[np.ndarray]) -> Method:
    """The method on the device; on the processor where a GPU's memory does not hold the pictures, as when they are
    scored."""
    method = _opened(kind, folder, crops, device())
    if device().type == "cuda":
        try:
            method.score(*pictures)
        except PaperlibError as error:
            if not isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
            torch.cuda.empty_cache()
            say(f"{kind.label}: the GPU's memory does not hold a picture, which is scored on the CPU")
            return _opened(kind, folder, crops, torch.device("cpu"))
    return method


def _opened(kind: Kind, folder: Path, crops: int, where: torch.device) -> Method:
    name = kind.source.model
    if kind.source.kind == METHOD:
        return open_method(name, folder if describe(name).files else None, where, crops or None)
    if kind.source.kind == "baseline":
        return method_of_network(name, Baseline(create_backbone(name)), device=where)
    weights = Path(kind.source.weights) if kind.source.weights else None
    network = load_quality_model(name, weights=weights, weights_root=folder if folder.is_dir() else None).network
    return method_of_network(name, network, device=where)


_PROBES: dict[str, Callable[[Kind, "Profile", Sample], _Probe]] = {
    "map": _map_probe,
    "score": _score_probe,
    "step": _step_probe,
    "measuring": _measuring_probe,
    "judge": _judge_probe,
}
