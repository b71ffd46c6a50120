"""One training loop for every network of the companion: seeded, resumable, one line per epoch if wanted."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from paperlib.engine import checkpoints
from paperlib.engine.progress import progress

WARM_UP = 0.15

BatchLoss = Callable[[Tensor, bool], Tensor]
"""Loss of the images with the given indices, mirrored or not."""


class NotFinite(ArithmeticError):
    """The loss became NaN or infinite."""


def fit(
    network: nn.Module,
    groups: list[dict],
    loss: BatchLoss,
    n: int,
    *,
    epochs: int,
    batch_size: int,
    weight_decay: float,
    seed: int,
    checkpoint: Path | None = None,
    title: str = "training",
) -> list[float]:
    """Train `network` in place with AdamW and a one-cycle learning rate; leaves it in evaluation mode.

    Every epoch draws its order, its mirrorings and its dropout from `seed` and its own number. So a run that was killed
    and resumed from `checkpoint` ends with the same weights as one that was not.

    Args:
        network: what to put into training mode and to store.
        groups: parameter groups with `params` and `lr`.
        loss: see `BatchLoss`; half of the batches are mirrored.
        n: number of training images; the last incomplete batch of an epoch is left out.
        epochs, batch_size, weight_decay: as usual.
        seed: of order, mirroring and dropout.
        checkpoint: file to continue from and to write after each epoch.
        title: shown beside the progress bar.

    Returns:
        Mean loss of each epoch.

    Raises:
        ValueError: fewer images than one batch.
        NotFinite: the loss is NaN or infinite; the message names epoch and batch, the last checkpoint stays.
    """
    steps = n // batch_size
    if steps < 1 or epochs < 1:
        raise ValueError(f"{n} images in batches of {batch_size} for {epochs} epochs: expected at least one whole batch")
    optimiser = torch.optim.AdamW(groups, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, [group["lr"] for group in optimiser.param_groups], total_steps=epochs * steps, pct_start=WARM_UP
    )
    history = _resume(checkpoint, network, optimiser, schedule)
    network.train()
    for epoch in progress(range(len(history), epochs), desc=title):
        history.append(_epoch(epoch, loss, optimiser, schedule, n, batch_size, seed))
        if checkpoint is not None and epoch + 1 < epochs:
            _save(checkpoint, network, optimiser, schedule, history)
    network.eval()
    return history


def _epoch(epoch: int, loss: BatchLoss, optimiser, schedule, n: int, batch_size: int, seed: int) -> float:
    random = torch.Generator().manual_seed(seed * 1000 + epoch)
    order = torch.randperm(n, generator=random)
    torch.manual_seed(seed * 1000 + epoch)
    total, steps = 0.0, n // batch_size
    for step in range(steps):
        mirrored = bool(torch.rand(1, generator=random) < 0.5)
        value = loss(order[step * batch_size : (step + 1) * batch_size], mirrored)
        if not torch.isfinite(value):
            raise NotFinite(f"the loss is {value.item()} in epoch {epoch + 1}, batch {step + 1}; try a lower learning rate")
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        total += value.item()
    return total / steps


def _save(file: Path, network: nn.Module, optimiser, schedule, history: list[float]) -> None:
    checkpoints.save(
        file,
        {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "history": history,
        },
    )


def _resume(file: Path | None, network: nn.Module, optimiser, schedule) -> list[float]:
    _, state = next(checkpoints.usable(file), (None, None)) if file else (None, None)
    if state is None:
        return []
    for name, target in (("network", network), ("optimiser", optimiser), ("schedule", schedule)):
        target.load_state_dict(state[name])
    return list(state["history"])
