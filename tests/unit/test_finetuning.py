"""The training loop of full scale: equal to a bare loop, resumed to the same bits after a kill, clear when it fails."""

import math
import os
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paperlib.datasets.training_pairs import PairBatch, batch_plan
from paperlib.engine.finetuning import FinetuneSettings, NotFinite, Training, finetune, learning_rate_factor
from paperlib.errors import ComputationError, PaperlibError
from paperlib.models.backbones import MICROWORLD, create_backbone
from paperlib.models.baseline import Baseline
from paperlib.models.dual_task import DualTask

N = 40


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@dataclass
class Points:
    keys: list[str]
    inputs: Tensor
    target: Tensor


INPUTS = torch.randn(N, 3, 4, 4, generator=torch.Generator().manual_seed(1))
TARGET = INPUTS.mean((1, 2, 3)) + 0.5


def points(size: int):
    """`batches` for `finetune`, of `size` points each."""

    def batches(first: int) -> Generator[Points]:
        for _, indices in batch_plan(N, size, 0, first):
            yield Points([f"point{index}" for index in indices], INPUTS[indices], TARGET[indices])

    return batches


def tiny(norm: bool = True, dropout: float = 0.2) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6) if norm else nn.Identity(), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(96, 1))


def mse(network: nn.Module):
    return lambda batch: nn.functional.mse_loss(network(batch.inputs)[:, 0], batch.target)


def train(network: nn.Module, size: int = 8, seed: int = 5, lr: float = 0.02, eps: float = 1e-8, **options) -> Training:
    checkpoint, loss = options.pop("checkpoint", None), options.pop("loss", mse(network))
    batches = options.pop("batches", points(size))
    settings = FinetuneSettings(**{"steps": 12} | options)
    groups = [{"params": list(network.parameters()), "lr": lr, "eps": eps}]
    return finetune(network, groups, loss, batches, settings, seed=seed, checkpoint=checkpoint)


def bare(network: nn.Module, size: int = 8, steps: int = 12, clip: float = 0.0, warm_up: int = 0) -> list[float]:
    """The same training as a reader would write it with PyTorch alone."""
    torch.manual_seed(5)
    network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.02, weight_decay=1e-4)
    rises = [torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: (step + 1) / (warm_up + 1))] if warm_up else []
    falls = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps - warm_up)
    schedule = torch.optim.lr_scheduler.SequentialLR(optimiser, [*rises, falls], [warm_up] * len(rises))
    source, losses = points(size)(0), []
    network.train()
    for _ in range(steps):
        batch = next(source)
        loss = nn.functional.mse_loss(network(batch.inputs)[:, 0], batch.target)
        optimiser.zero_grad()
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def weights(network: nn.Module) -> Tensor:
    return torch.cat([value.double().flatten() for value in network.state_dict().values()])


def equal(one: nn.Module, two: nn.Module) -> bool:
    return torch.equal(weights(one), weights(two))


# ------------------------------------------------------------------------------------------------------- what it does


@pytest.mark.parametrize(("clip", "warm_up"), [(0.0, 0), (0.3, 0), (0.0, 4)])
def test_it_is_a_bare_loop(clip: float, warm_up: int) -> None:
    ours, theirs = tiny(), tiny()
    training = train(ours, clip_norm=clip, warm_up=warm_up)
    losses = bare(theirs, clip=clip, warm_up=warm_up)
    np.testing.assert_allclose(training.losses, losses, rtol=1e-6)
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=0, atol=1e-7)
    assert not ours.training
    if clip or warm_up:
        bare(plain := tiny())
        assert not torch.allclose(weights(plain), weights(ours), atol=1e-4), "it matters here"


def test_the_learning_rate_is_pytorchs_cosine_after_a_linear_warm_up() -> None:
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 10)
    for step in range(10):
        assert 3 * learning_rate_factor(step, 10) == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        assert learning_rate_factor(step + 4, 14, 4) == pytest.approx(learning_rate_factor(step, 10))
        optimiser.step()
        schedule.step()
    assert [learning_rate_factor(step, 14, 4) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_small_batches_are_one_large_batch(parts: int) -> None:
    """With AdamW's usual eps the size of the gradient would not matter at all; with eps = 1 it does."""
    large, small = tiny(norm=False, dropout=0.0), tiny(norm=False, dropout=0.0)
    expected = train(large, size=8, eps=1.0)
    training = train(small, size=8 // parts, accumulate=parts, eps=1.0)
    np.testing.assert_allclose(training.losses, expected.losses, rtol=1e-5)
    torch.testing.assert_close(weights(small), weights(large), rtol=0, atol=2e-6)


def test_the_average_is_what_remains() -> None:
    network, seen = tiny(), []
    loss = mse(network)

    def watching(batch: Points) -> Tensor:
        seen.append([parameter.detach().clone() for parameter in network.parameters()])
        return loss(batch)

    raw = tiny()
    train(raw, steps=5)
    train(network, steps=5, ema_decay=0.7, loss=watching)
    after = [*seen[1:], list(raw.parameters())]
    expected = after[0]
    for step in after[1:]:
        expected = [0.7 * old + 0.3 * new for old, new in zip(expected, step, strict=True)]
    for got, wanted in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-7)
    assert torch.equal(network[1].running_mean, raw[1].running_mean)


def test_bfloat16_trains_float32_weights_nearly_the_same() -> None:
    ours, theirs = tiny(), tiny()
    seen = []
    ours[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    training = train(ours, precision="bfloat16")
    assert set(seen) == {torch.bfloat16} and ours[0].weight.dtype == torch.float32
    np.testing.assert_allclose(training.losses, train(theirs).losses, rtol=0.1, atol=0.02)


def test_modes_and_random_states_outside_are_left_alone() -> None:
    before, modes = torch.get_rng_state(), []
    network = tiny()
    loss = mse(network)

    def watching(batch: Points) -> Tensor:
        modes.append(torch.are_deterministic_algorithms_enabled())
        return loss(batch)

    torch.manual_seed(7)
    state = torch.get_rng_state()
    train(network, steps=2, deterministic=True, loss=watching)
    assert modes == [True, True] and not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), state)
    torch.set_rng_state(before)


def test_waiting_for_data_is_measured_and_the_source_is_closed() -> None:
    closed = []

    def slow(first: int) -> Generator[Points]:
        try:
            for batch in points(8)(first):
                time.sleep(0.05)
                yield batch
        finally:
            closed.append(True)

    training = train(tiny(), steps=4, batches=slow)
    assert 0.5 < training.waiting <= 1 and closed == [True]
    assert train(tiny(), steps=4).waiting < 0.5


# ------------------------------------------------------------------------------------------------------- being killed


class Killed(Exception):
    pass


def dying(network: nn.Module, after: int):
    """A loss that raises in call `after`, counted from 0."""
    loss, calls = mse(network), iter(range(10**6))

    def value(batch: Points) -> Tensor:
        if next(calls) == after:
            raise Killed
        return loss(batch)

    return value


EVERYTHING = {
    "accumulate": 2,
    "warm_up": 2,
    "clip_norm": 0.5,
    "ema_decay": 0.9,
    "deterministic": True,
    "checkpoint_every": 3,
}


@pytest.mark.parametrize("after", [1, 6, 7, 13, 23])
def test_killed_in_any_step_it_ends_with_the_same_bits(tmp_path: Path, after: int) -> None:
    whole = tiny()
    expected = train(whole, **EVERYTHING)
    network, file = tiny(), tmp_path / "state.pt"
    with pytest.raises(Killed):
        train(network, checkpoint=file, loss=dying(network, after), **EVERYTHING)
    again = tiny()
    training = train(again, checkpoint=file, **EVERYTHING)
    assert training.first == after // 2 // 3 * 3
    assert equal(again, whole) and np.array_equal(training.losses, expected.losses)
    finished = tiny()
    training = train(finished, checkpoint=file, **EVERYTHING)
    assert training.first == 12 and equal(finished, whole) and np.array_equal(training.losses, expected.losses)


def dual_task(variant: str) -> DualTask:
    torch.manual_seed(0)
    network = Baseline(create_backbone(MICROWORLD, pretrained=True), (16,), decoder=variant == "sal_loss")
    return DualTask(network, variant, weighting="uncertainty")


def finetune_task(task: DualTask, file: Path | None, loss) -> Training:
    rng = np.random.default_rng(0)
    images, mos = rng.integers(0, 256, (12, 32, 32, 3), np.uint8), rng.random(12).astype(np.float32)

    def batches(first: int) -> Generator[PairBatch]:
        for _, chosen in batch_plan(12, 4, 0, first):
            yield PairBatch(tuple(map(str, chosen)), images[chosen], images[chosen, ..., 0], mos[chosen])

    settings = FinetuneSettings(10, deterministic=True, checkpoint_every=7, ema_decay=0.9)
    return finetune(task, task.groups(1e-3, 3e-4), loss, batches, settings, seed=1, checkpoint=file)


@pytest.mark.parametrize("variant", ["baseline", "sal_loss", "gradcam_loss"])
def test_every_variant_resumes_to_the_same_bits(tmp_path: Path, variant: str) -> None:
    whole, killed, again = (dual_task(variant) for _ in range(3))
    expected = finetune_task(whole, None, whole.batch_loss)
    calls = iter(range(100))

    def loss(batch: PairBatch) -> Tensor:
        if next(calls) == 9:
            raise Killed
        return killed.batch_loss(batch)

    with pytest.raises(Killed):
        finetune_task(killed, tmp_path / "state.pt", loss)
    training = finetune_task(again, tmp_path / "state.pt", again.batch_loss)
    assert training.first == 7 and equal(again, whole) and np.array_equal(training.losses, expected.losses)


# -------------------------------------------------------------------------------------------------------- checkpoints


def test_a_kill_while_a_checkpoint_is_written_loses_the_steps_since_the_last(tmp_path: Path, monkeypatch) -> None:
    whole, network, file = tiny(), tiny(), tmp_path / "state.pt"
    train(whole, checkpoint_every=4)
    replace, calls = os.replace, iter(range(100))

    def dies(source, target) -> None:
        if next(calls) == 2:  # the first checkpoint, the first set aside, and now the second
            raise Killed
        replace(source, target)

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(Killed):
        train(network, checkpoint=file, checkpoint_every=4)
    monkeypatch.setattr(os, "replace", replace)
    assert not file.exists()
    again = tiny()
    assert train(again, checkpoint=file, checkpoint_every=4).first == 4
    assert equal(again, whole)


def test_a_checkpoint_loads_with_weights_only_and_holds_everything(tmp_path: Path) -> None:
    network = tiny()
    train(network, checkpoint=tmp_path / "state.pt", ema_decay=0.5)
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert set(state) == {"network", "optimiser", "scaler", "average", "random", "losses", "step", "identity"}
    assert state["step"] == 12 and len(state["losses"]) == 12


@pytest.mark.parametrize("change", [{"steps": 13}, {"seed": 6}, {"lr": 0.01}, {"accumulate": 2}])
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path, change: dict) -> None:
    train(tiny(), checkpoint=tmp_path / "state.pt")
    with pytest.raises(PaperlibError, match="of another run"):
        train(tiny(), checkpoint=tmp_path / "state.pt", **change)
    assert train(tiny(), checkpoint=tmp_path / "state.pt", checkpoint_every=2).first == 12


# ----------------------------------------------------------------------------------------------------------- failures


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_loss_that_is_not_finite_names_step_and_records(tmp_path: Path, value: float, accumulate: int) -> None:
    network, file = tiny(), tmp_path / "state.pt"
    loss, calls = mse(network), iter(range(100))
    bad = 7 * accumulate + accumulate - 1

    def poisoned(batch: Points) -> Tensor:
        return loss(batch) * (value if next(calls) == bad else 1.0)

    with pytest.raises(NotFinite) as caught:
        train(network, checkpoint=file, checkpoint_every=3, loss=poisoned, accumulate=accumulate)
    source = points(8)(bad)
    assert f"the loss is {value} in step 8 of 12, on the batch {', '.join(next(source).keys)};" in str(caught.value)
    again, whole = tiny(), tiny()
    assert train(again, checkpoint=file, checkpoint_every=3, accumulate=accumulate).first == 6
    train(whole, accumulate=accumulate)
    assert equal(again, whole)


def test_weights_that_are_not_finite_never_reach_a_checkpoint(tmp_path: Path) -> None:
    network, file = tiny(), tmp_path / "state.pt"
    calls, loss = iter(range(100)), mse(network)

    def poisoned(batch: Points) -> Tensor:
        value = loss(batch)
        if next(calls) == 5:
            network[5].bias.register_hook(lambda gradient: gradient * math.nan)
        return loss(batch) if value.isfinite() else value

    with pytest.raises(NotFinite, match=r"5\.bias"):
        train(network, checkpoint=file, checkpoint_every=3, steps=6, loss=poisoned)
    assert torch.load(file, weights_only=True)["step"] == 3


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        MemoryError(),
    ],
)
@pytest.mark.parametrize(("size", "advice"), [(8, "size of 4 with accumulate=4"), (5, "size of 1 with accumulate=10")])
def test_out_of_memory_says_which_batch_size_to_try(error: Exception, size: int, advice: str) -> None:
    def full(batch: Points) -> Tensor:
        raise error

    with pytest.raises(ComputationError, match=f"out of memory with a batch size of {size}: try a batch {advice}"):
        train(tiny(), size=size, accumulate=2, loss=full)


def test_out_of_memory_with_one_picture_and_other_errors() -> None:
    def failing(error: Exception):
        def loss(batch: Points) -> Tensor:
            raise error

        return loss

    with pytest.raises(ComputationError, match="smaller pictures"):
        train(tiny(), size=1, loss=failing(MemoryError()))
    with pytest.raises(RuntimeError, match="shapes"):
        train(tiny(), loss=failing(RuntimeError("shapes do not match")))


def test_batches_that_end_are_told() -> None:
    def short(first: int) -> Generator[Points]:
        for _, batch in zip(range(3), points(8)(first), strict=False):
            yield batch

    with pytest.raises(ValueError, match="ended in step 4 of 12"):
        train(tiny(), batches=short)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps": 0},
        {"steps": 5, "accumulate": 0},
        {"steps": 5, "warm_up": 6},
        {"steps": 5, "precision": "half"},
        {"steps": 5, "ema_decay": 1.0},
        {"steps": 5, "clip_norm": -1.0},
        {"steps": 5, "checkpoint_every": 0},
    ],
)
def test_settings_out_of_range_are_refused(settings: dict) -> None:
    with pytest.raises(ValueError, match="expected"):
        FinetuneSettings(**settings)


def test_float16_needs_cuda() -> None:
    with pytest.raises(ValueError, match="needs a CUDA device"):
        train(tiny(), precision="float16")
