"""The training loop: seeded, resumable to the same weights, and it stops at a loss that is not finite."""

import pytest
import torch
from torch import nn

from paperlib.engine import checkpoints, training


def problem():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1))
    inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    target = inputs @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]])

    def loss(index, mirrored):
        sign = -1.0 if mirrored else 1.0
        return nn.functional.mse_loss(network(sign * inputs[index]), sign * target[index])

    return network, loss


def fit(network, loss, **changes):
    options = {"epochs": 6, "batch_size": 8, "weight_decay": 0.0, "seed": 3} | changes
    return training.fit(network, [{"params": list(network.parameters()), "lr": 0.05}], loss, 64, **options)


def test_it_learns_and_ends_in_evaluation_mode():
    network, loss = problem()
    history = fit(network, loss, epochs=30)
    assert history[-1] < 0.2 * history[0] and not network.training


def test_a_killed_run_resumes_to_the_very_same_weights(tmp_path):
    whole, loss = problem()
    expected = fit(whole, loss)

    class Killed(Exception):
        pass

    network, loss = problem()
    calls = 0

    def dying(index, mirrored):
        nonlocal calls
        calls += 1
        if calls > 3 * 8 + 2:
            raise Killed
        return loss(index, mirrored)

    with pytest.raises(Killed):
        fit(network, dying, checkpoint=tmp_path / "state.pt")
    again, loss = problem()
    steps = []

    def counting(index, mirrored):
        steps.append(1)
        return loss(index, mirrored)

    history = fit(again, counting, checkpoint=tmp_path / "state.pt")
    assert len(steps) == 3 * 8, "three finished epochs are not trained again"
    assert history == expected
    for a, b in zip(again.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: b"junk" + data[4:],
        lambda data: data[:5000] + bytes([data[5000] ^ 4]) + data[5001:],
    ],
)
def test_a_damaged_checkpoint_is_named_and_training_starts_anew(tmp_path, damage, monkeypatch):
    said = []
    monkeypatch.setattr(checkpoints, "say", said.append)
    file = tmp_path / "state.pt"
    network, loss = problem()
    expected = fit(network, loss, checkpoint=file)
    file.write_bytes(damage(file.read_bytes()))
    network, loss = problem()
    assert fit(network, loss, checkpoint=file) == expected
    assert "state.pt is damaged" in said[0]


def test_a_loss_that_is_not_finite_stops_with_epoch_and_batch():
    network, _ = problem()
    with pytest.raises(training.NotFinite, match="epoch 1, batch 1"):
        fit(network, lambda index, mirrored: network[0].weight.sum() * float("nan"))


def test_too_few_images_are_refused():
    network, loss = problem()
    with pytest.raises(ValueError, match="one whole batch"):
        fit(network, loss, batch_size=65)
