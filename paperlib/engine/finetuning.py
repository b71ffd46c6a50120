"""Fine-tuning at full scale, step by step: one training that can be killed at any moment and goes on where it was.

    training = finetune(task, task.groups(1e-4, 3e-5), task.batch_loss, lambda first: pairs.batches(16, first),
                        FinetuneSettings(steps=20_000, precision="bfloat16"), seed=0, checkpoint=folder / "state.pt")

With `deterministic`, on the same machine with the same number of threads, the killed and resumed run ends with the very
weights of the run that was not killed. To compile a part, call PyTorch's own `module.compile()` before: names of
parameters stay the same, and so do checkpoints.
"""

import math
import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from paperlib.engine import checkpoints
from paperlib.engine.progress import progress
from paperlib.errors import ComputationError, PaperlibError


class NotFinite(ArithmeticError):
    """The loss became NaN or infinite."""


PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_LAG = 20
"""Steps of a GPU between two looks at the loss; each look makes the processor wait for it."""
_FULL = ("out of memory", "can't allocate memory", "_STATUS_ALLOC_FAILED")


@dataclass(frozen=True)
class FinetuneSettings:
    """How to train.

    Attributes:
        steps: updates of the weights.
        accumulate: batches whose gradients are averaged for one update. Batch normalisation still sees each by itself.
        warm_up: first steps in which the learning rate rises in a line.
        weight_decay: AdamW's, where a group has none of its own.
        precision: of autocast: `"float32"` (none), `"bfloat16"`, or on CUDA `"float16"` with scaled losses.
        clip_norm: largest norm of the gradient; 0 for no limit.
        ema_decay: of an exponential moving average of the weights, which then is the result; 0 for none.
        deterministic: let PyTorch take no algorithm whose result varies between runs.
        checkpoint_every: steps between two checkpoints.

    Raises:
        ValueError: values outside their range.
    """

    steps: int
    accumulate: int = 1
    warm_up: int = 0
    weight_decay: float = 1e-4
    precision: str = "float32"
    clip_norm: float = 0.0
    ema_decay: float = 0.0
    deterministic: bool = False
    checkpoint_every: int = 500

    def __post_init__(self) -> None:
        if min(self.steps, self.accumulate, self.checkpoint_every) < 1 or not 0 <= self.warm_up <= self.steps:
            raise ValueError(f"expected counts of 1 or more, and a warm_up inside the steps: {self}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        if self.weight_decay < 0 or self.clip_norm < 0 or not 0 <= self.ema_decay < 1:
            raise ValueError(f"expected weight_decay and clip_norm of 0 or more, ema_decay in [0, 1): {self}")


@dataclass(frozen=True)
class Training:
    """What happened.

    Attributes:
        losses: (steps,) loss of each step, the mean over its batches.
        first: the step that this process began with; 0 unless a checkpoint was there.
        waiting: share of this process's time that was spent waiting for data.
    """

    losses: NDArray[np.float64]
    first: int
    waiting: float


def finetune(
    network: nn.Module,
    groups: list[dict],
    loss: Callable[[Any], Tensor],
    batches: Callable[[int], Generator[Any]],
    settings: FinetuneSettings,
    *,
    seed: int,
    checkpoint: Path | None = None,
    identity: str = "",
    title: str = "fine-tuning",
    before_step: Callable[[int], None] | None = None,
) -> Training:
    """Train `network` in place with AdamW; leaves it in evaluation mode, with the averaged weights where asked for.

    Args:
        network: what to put into training mode and to store; it lies on the device that it is to be trained on, and its
            convolutions get their weights with channels last in memory.
        groups: parameter groups of AdamW with `params` and `lr`, the highest learning rate.
        loss: mean loss of a batch, a scalar; called with gradients on and under autocast.
        batches: `batches(k)` generates batch k, k + 1, ... of the training (step s takes `accumulate` of them from
            `s * accumulate`), the same ones in every run, each with the names of its records as `keys`; it is closed at the
            end.
        settings: see there.
        seed: of dropout; the random state outside is left as it was.
        checkpoint: file to go on from and to write; the one before is kept as `<name>.previous`.
        identity: what else decides the result (data, variant), so that no other run's checkpoint is taken.
        title: shown beside the progress bar.
        before_step: called with the number of each step before it is taken; it must change nothing.

    Raises:
        ValueError: float16 without CUDA, or batches that end.
        PaperlibError: the checkpoint belongs to another run.
        NotFinite: the loss or a weight became NaN or infinite; the message names step and records, the last checkpoint
            is from before.
        ComputationError: out of memory; the message says which batch size to try.
    """
    device = next(network.parameters()).device
    if settings.precision == "float16" and device.type != "cuda":
        raise ValueError(f"precision 'float16' needs a CUDA device, got {device}: take 'bfloat16' or 'float32'")
    network.to(memory_format=torch.channels_last)
    with _algorithms(settings, device), torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        run = _Run(network, groups, settings, device, f"{identity} seed {seed}")
        if checkpoint is not None:
            run.resume(checkpoint)
        network.train()
        first, waited, begin = run.step, 0.0, time.perf_counter()
        with closing(batches(first * settings.accumulate)) as source, progress(total=settings.steps, desc=title) as bar:
            bar.update(first)
            while run.step < settings.steps:
                if before_step is not None:
                    before_step(run.step)
                for _ in range(settings.accumulate):
                    asked = time.perf_counter()
                    batch = next(source, None)
                    waited += time.perf_counter() - asked
                    if batch is None:
                        raise ValueError(f"the batches ended in step {run.step + 1} of {settings.steps}, expected more")
                    size = len(batch.keys)
                    with _telling_memory(size, settings):
                        run.backward(loss, batch)
                with _telling_memory(size, settings):
                    run.update()
                bar.update()
                due = run.step % settings.checkpoint_every == 0 or run.step == settings.steps
                if due or device.type != "cuda" or run.step % _LAG == 0:
                    run.look()
                if due and checkpoint is not None:
                    run.save(checkpoint)
        seconds = time.perf_counter() - begin
    if run.average is not None:
        network.load_state_dict(run.average.module.state_dict())
    network.eval()
    return Training(np.array(run.losses), first, waited / seconds if seconds else 0.0)


def learning_rate_factor(step: int, steps: int, warm_up: int = 0) -> float:
    """Share of the highest learning rate in step `step` of `steps`, counted from 0.

    It rises in a line over `warm_up` steps, then falls along half a cosine that would reach 0 after the last step
    (Loshchilov & Hutter, ICLR 2017, without restarts).
    """
    if step < warm_up:
        return (step + 1) / (warm_up + 1)
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


@contextmanager
def _telling_memory(batch_size: int, settings: FinetuneSettings) -> Iterator[None]:
    """Turn running out of memory into advice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        named = any(sign in str(error) for sign in _FULL)
        if not (named or isinstance(error, torch.OutOfMemoryError | MemoryError)):
            raise
        smaller = max((size for size in range(1, batch_size // 2 + 1) if batch_size % size == 0), default=0)
        advice = "try smaller pictures or another device"
        if smaller:
            parts = settings.accumulate * batch_size // smaller
            advice = f"try a batch size of {smaller} with accumulate={parts}, so that each step sees as many pictures"
        half = ", or precision='bfloat16'" if settings.precision == "float32" else ""
        raise ComputationError(f"out of memory with a batch size of {batch_size}: {advice}{half}") from error


@contextmanager
def _algorithms(settings: FinetuneSettings, device: torch.device) -> Iterator[None]:
    """Choose PyTorch's algorithms inside the block."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )
    if settings.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(settings.deterministic)
    torch.backends.cudnn.benchmark = not settings.deterministic
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = before[2]


class _Run:
    """Network, optimiser, scaler, average, random states and history: everything that a checkpoint holds."""

    def __init__(
        self, network: nn.Module, groups: list[dict], settings: FinetuneSettings, device: torch.device, identity: str
    ):
        self.network, self.settings, self.device = network, settings, device
        self.rates = [float(group["lr"]) for group in groups]
        fused = True if device.type == "cuda" else None
        self.optimiser = torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=fused)
        self.parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        self.scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "float16")
        decay = settings.ema_decay
        self.average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None
        self.losses: list[float] = []
        self.unseen: list[tuple[Tensor, Sequence[str]]] = []
        self.step = 0
        self.identity = f"{identity}, {replace(settings, checkpoint_every=1)}, learning rates {self.rates}"

    def backward(self, loss: Callable[[Any], Tensor], batch: Any) -> None:
        """Add the gradients of one batch; its loss waits to be looked at, without a graph, on the device."""
        low = self.settings.precision != "float32"
        with torch.autocast(self.device.type, PRECISIONS[self.settings.precision], enabled=low):
            value = loss(batch)
        self.scaler.scale(value / self.settings.accumulate if self.settings.accumulate > 1 else value).backward()
        self.unseen.append((value.detach(), batch.keys))

    def look(self) -> None:
        """Write the losses of whole steps into the history.

        Raises:
            NotFinite: one is NaN or infinite.
        """
        values = torch.stack([loss for loss, _ in self.unseen]).double().cpu().numpy()
        wrong = np.flatnonzero(~np.isfinite(values))
        if wrong.size:
            value, keys = values[wrong[0]], self.unseen[wrong[0]][1]
            step = len(self.losses) + wrong[0] // self.settings.accumulate + 1
            raise NotFinite(
                f"the loss is {value} in step {step} of {self.settings.steps}, on the batch {', '.join(keys)}; look at "
                "these records, or try a lower learning rate, a limit for the gradient (clip_norm) or float32"
            )
        self.losses += values.reshape(-1, self.settings.accumulate).mean(axis=1).tolist()
        self.unseen.clear()

    def update(self) -> None:
        """One step of the optimiser with the gradients that are there, and away with them."""
        factor = learning_rate_factor(self.step, self.settings.steps, self.settings.warm_up)
        for group, rate in zip(self.optimiser.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor
        if self.settings.clip_norm:
            self.scaler.unscale_(self.optimiser)
            nn.utils.clip_grad_norm_(self.parameters, self.settings.clip_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.network)
        self.step += 1

    def _parts(self) -> dict[str, Any]:
        average = {} if self.average is None else {"average": self.average}
        return {"network": self.network, "optimiser": self.optimiser, "scaler": self.scaler} | average

    def save(self, file: Path) -> None:
        """Write a checkpoint; the last one becomes the one before.

        Raises:
            NotFinite: a weight is NaN or infinite.
        """
        wrong = [name for name, value in self.network.state_dict().items() if not torch.isfinite(value).all()]
        if wrong:
            raise NotFinite(
                f"{len(wrong)} tensors of the network, first {wrong[0]}, hold NaN or infinity after step {self.step} "
                f"of {self.settings.steps}; try a lower learning rate or a limit for the gradient (clip_norm)"
            )
        state = {name: part.state_dict() for name, part in self._parts().items()}
        random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random["cuda"] = torch.cuda.get_rng_state(self.device)
        state |= {"random": random, "losses": self.losses, "step": self.step, "identity": self.identity}
        checkpoints.save(file, state)

    def resume(self, file: Path) -> None:
        """Go on from the last checkpoint that can be read.

        Raises:
            PaperlibError: it belongs to another run.
        """
        for candidate, state in checkpoints.usable(file):
            if state["identity"] != self.identity:
                raise PaperlibError(
                    f"the checkpoint {candidate} is of another run ({state['identity']}), expected {self.identity}; "
                    "give another file or remove this one"
                )
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            torch.set_rng_state(state["random"]["cpu"])
            if self.device.type == "cuda":
                torch.cuda.set_rng_state(state["random"]["cuda"], self.device)
            self.step, self.losses = state["step"], state["losses"]
            return
