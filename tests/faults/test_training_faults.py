"""A training of Table II, the whole unit on stand-ins, under accidents: kills, damage, NaN, too little memory."""

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from paperlib import profiles
from paperlib.engine import checkpoints
from paperlib.engine.finetuning import FinetuneSettings
from paperlib.engine.local import run
from paperlib.engine.store import ResultStore
from paperlib.engine.units import Result, Unit
from paperlib.errors import ComputationError
from paperlib.experiments.training.plan import trainings
from paperlib.models.backbones import imagenet_file
from paperlib.models.dual_task import DualTask
from paperlib.rehearsal.koniq_clive import write_koniq
from tests.damage import empty, overwrite, truncate

REPOSITORY = Path(__file__).resolve().parents[2]
BACKBONE = "test_resnet"
STEPS, EVERY, BATCH = 14, 3, 4
SETTINGS = profiles.DualTaskSettings(
    "koniq10k", quality_sets=("koniq10k",), gaze_sets=(), backbones=(BACKBONE,), targets=("edge_energy",), steps=STEPS,
    training_height=48, training_width=64, crop_height=32, crop_width=48, deterministic=True, ema_decay=0.9,
)  # fmt: skip


@contextmanager
def surroundings(root: Path) -> Iterator[None]:
    """Results and caches below `root`; checkpoints so often that a short training has some."""
    check = FinetuneSettings.__post_init__

    def often(settings: FinetuneSettings) -> None:
        object.__setattr__(settings, "checkpoint_every", EVERY)
        check(settings)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAPERLIB_RESULTS", str(root / "results"))
        patch.delenv("PAPERLIB_QUIET", raising=False)
        patch.setattr(FinetuneSettings, "__post_init__", often)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stand-ins, weights, and a store with all that a training needs."""
    import timm
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("data")
    write_koniq(root / "koniq10k", 20, 0)
    torch.manual_seed(0)
    (root / "weights").mkdir()
    save_file(timm.create_model(BACKBONE).state_dict(), root / "weights" / imagenet_file(BACKBONE))
    with surroundings(root):
        run(training(root).needs, ResultStore(root / "needs"), workers=1, title="needs")
        yield root


@pytest.fixture
def store(data: Path, tmp_path: Path) -> ResultStore:
    """A store of this test's own, with what a training needs."""
    return ResultStore(shutil.copytree(data / "needs", tmp_path / "store"))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    root = shutil.copytree(data / "needs", tmp_path_factory.mktemp("undisturbed") / "store")
    return trained(training(data), ResultStore(root))


def training(data: Path, variant: str = "gradcam_loss", accumulate: int = 1, **values: object) -> Unit:
    """The unit as Table II asks for it."""
    options = {
        "seeds": [0],
        "weights_root": str(data / "weights"),
        "batch_size": BATCH,
        "shard": 9,
        "methods": ["center_only"],
    } | values
    profile = profiles.load("rehearsal", data_root=str(data), **options)
    planned = trainings(replace(profile, dual_task=replace(SETTINGS, accumulate=accumulate)))
    (unit,) = [one.unit for one in planned if one.network.variant == variant]
    return unit


def trained(unit: Unit, store: ResultStore) -> Result:
    return run([unit], store, workers=1, title="t")[unit.name]


def checkpoint(unit: Unit, store: ResultStore) -> Path:
    return store.scratch(unit) / "state.pt"


@contextmanager
def in_each_step(happen: Callable[[int, object], torch.Tensor | None]) -> Iterator[list[int]]:
    """`happen(k, batch)` before the k-th batch of this process; what it returns is the loss instead. The list grows
    with the steps."""
    loss, steps = DualTask.batch_loss, []

    def watched(task: DualTask, batch: object, rest: torch.nn.Module | None) -> torch.Tensor:
        steps.append(len(steps))
        instead = happen(steps[-1], batch)
        return loss(task, batch) if instead is None else instead

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DualTask, "batch_loss", watched)
        yield steps


class Killed(BaseException):
    """Ends a training as a kill does."""


def killed(unit: Unit, store: ResultStore, before: int) -> None:
    def happen(step: int, batch: object) -> None:
        if step == before:
            raise Killed

    with in_each_step(happen), pytest.raises(Killed):
        trained(unit, store)


def assert_gone_on_with(unit: Unit, store: ResultStore, first: int, expected: Result) -> None:
    """The same command again begins with step `first` and ends with the bits of a training without accidents."""
    with in_each_step(lambda step, batch: None) as steps:
        result = trained(unit, store)
    assert len(steps) == STEPS - first
    assert_same(result, expected)
    assert not (store.root / "scratch" / unit.key).exists(), "checkpoints go once the result is stored"


def assert_same(got: Result, expected: Result) -> None:
    """Equal to the last bit, but for times."""
    rows, others = (some.rows.drop(columns="seconds").query("metric != 'waiting'") for some in (got, expected))
    pd.testing.assert_frame_equal(rows, others, check_exact=True)
    assert got.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        assert got.arrays[name].dtype == array.dtype
        assert got.arrays[name].tobytes() == array.tobytes(), name


# ------------------------------------------------------------------------------------------------------------- kills


def child(root: str, store: str) -> None:
    """The command, in a process to be killed: says each step as it begins, and takes its time over it."""

    def tell(step: int, batch: object) -> None:
        os.write(1, f"{step}\n".encode())
        time.sleep(0.1)

    with surroundings(Path(root)), in_each_step(tell):
        trained(training(Path(root)), ResultStore(store))


def test_a_killed_training_ends_with_the_bits_of_an_undisturbed_one(
    data: Path, store: ResultStore, undisturbed: Result
) -> None:
    last = random.randrange(EVERY, STEPS - 2)
    script = f"from tests.faults.test_training_faults import child; child({str(data)!r}, {str(store.root)!r})"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if int(line) == last:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    unit = training(data)
    assert store.load(unit) is None
    with in_each_step(lambda step, batch: None) as steps:
        result = trained(unit, store)
    first = STEPS - len(steps)
    assert first % EVERY == 0 and 0 < last - EVERY < first < STEPS, f"killed in step {last}, gone on with from {first}"
    assert_same(result, undisturbed)


def test_a_training_killed_twice_and_right_after_a_checkpoint(data: Path, store: ResultStore, undisturbed: Result) -> None:
    unit = training(data)
    killed(unit, store, before=5)
    killed(unit, store, before=3)
    assert_gone_on_with(unit, store, 6, undisturbed)


# -------------------------------------------------------------------------------------------------------- checkpoints


def flip(path: Path) -> None:
    """One bit in the middle of a weight, where PyTorch itself sees nothing wrong."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def append(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"0")


@pytest.mark.parametrize("damage", [flip, truncate, empty, overwrite, append])
def test_a_damaged_checkpoint_is_named_and_gives_way_to_the_one_before(
    damage: Callable[[Path], None], data: Path, store: ResultStore, undisturbed: Result, capfd: pytest.CaptureFixture
) -> None:
    unit = training(data)
    killed(unit, store, before=10)
    file = checkpoint(unit, store)
    damage(file)
    capfd.readouterr()
    killed(unit, store, before=1)
    assert_gone_on_with(unit, store, 6, undisturbed)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("the checkpoint")]
    assert len(said) == 1 and said[0].startswith(f"the checkpoint {file} is damaged")


def test_with_both_checkpoints_damaged_it_starts_again(
    data: Path, store: ResultStore, undisturbed: Result, capfd: pytest.CaptureFixture
) -> None:
    unit = training(data)
    killed(unit, store, before=7)
    file = checkpoint(unit, store)
    flip(file)
    truncate(file.with_name("state.pt.previous"))
    assert_gone_on_with(unit, store, 0, undisturbed)
    assert capfd.readouterr().err.count(" is damaged, now state.pt") == 2


@pytest.mark.parametrize("change", [{"variant": "sal_loss"}, {"seeds": [1]}, {"head_lr": 3e-3}])
def test_a_checkpoint_of_another_training_is_not_taken(change: dict, data: Path, store: ResultStore) -> None:
    other, unit = training(data, **change), training(data)
    killed(other, store, before=4)
    shutil.copyfile(checkpoint(other, store), checkpoint(unit, store))
    with pytest.raises(ComputationError, match=r"state.pt is of another run .* remove this one"):
        trained(unit, store)
    assert store.load(unit) is None


# ----------------------------------------------------------------------------------------------------- failing steps


def test_a_loss_that_is_nan_names_step_and_pictures_and_the_last_good_checkpoint_stays(
    data: Path, store: ResultStore, undisturbed: Result
) -> None:
    unit, keys = training(data), []

    def poison(step: int, batch: object) -> torch.Tensor | None:
        if step == 7:
            keys.extend(batch.keys)
            return torch.tensor(math.nan, requires_grad=True)
        return None

    with in_each_step(poison), pytest.raises(ComputationError) as caught:
        trained(unit, store)
    words = f"the loss is nan in step 8 of {STEPS}, on the batch {', '.join(keys)};"
    assert len(keys) == BATCH and words in str(caught.value) and unit.name in str(caught.value)
    assert words in store.log(unit).read_text()
    ((file, state), _) = checkpoints.usable(checkpoint(unit, store))
    assert (file.name, state["step"]) == ("state.pt", 6)
    assert all(value.isfinite().all() for value in state["network"].values())
    assert_gone_on_with(unit, store, 6, undisturbed)


def in_forward(step: int, batch: object) -> None:
    if step == 5:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def in_backward(step: int, batch: object) -> torch.Tensor | None:
    if step != 5:
        return None
    loss = torch.ones((), requires_grad=True) * 2
    loss.register_hook(lambda gradient: in_forward(5, batch))
    return loss


@pytest.mark.parametrize("happen", [in_forward, in_backward])
def test_out_of_memory_says_which_batch_size_to_try(
    happen: Callable[[int, object], None], data: Path, store: ResultStore, undisturbed: Result
) -> None:
    unit = training(data)
    with in_each_step(happen), pytest.raises(ComputationError) as caught:
        trained(unit, store)
    assert "out of memory with a batch size of 4: try a batch size of 2 with accumulate=2, so" in str(caught.value)
    assert "OutOfMemoryError" in store.log(unit).read_text()
    assert_gone_on_with(unit, store, 3, undisturbed)


def test_the_batch_size_to_try_can_be_tried(data: Path, store: ResultStore) -> None:
    sizes = []
    with in_each_step(lambda step, batch: sizes.append(len(batch.keys))):
        result = trained(training(data, batch_size=2, accumulate=2), store)
    assert sizes == [2] * 2 * STEPS and result.arrays["losses"].shape == (STEPS,)
