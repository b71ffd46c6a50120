"""Saliency losses: their definitions in NumPy, and finite gradients everywhere."""

import numpy as np
import pytest
import torch
from scipy import stats

from paperlib.models.saliency_losses import EPS, SALIENCY_LOSSES


@pytest.fixture
def maps_and_density() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 5, 7, generator=generator), 40 * torch.rand(3, 5, 7, generator=generator) ** 3


def by_definition(name: str, p: np.ndarray, q: np.ndarray) -> float:
    stretched = q / q.max()
    p1, q1 = (p + EPS) / (p + EPS).sum(), q / q.sum()
    if name == "mse":
        return ((p - stretched) ** 2).mean()
    if name == "kld":
        return stats.entropy(q1.ravel(), p1.ravel())
    if name == "cc":
        return 1 - stats.pearsonr(p.ravel(), q.ravel())[0]
    if name == "total_variation":
        return np.abs(p1 - q1).sum() / 2
    inner = np.clip(p, EPS, 1 - EPS)
    return stats.entropy(np.stack([stretched, 1 - stretched]), np.stack([inner, 1 - inner])).mean()


@pytest.mark.parametrize("name", sorted(SALIENCY_LOSSES))
def test_equal_their_definitions(name: str, maps_and_density) -> None:
    maps, density = maps_and_density
    expected = np.mean(
        [by_definition(name, *pair) for pair in zip(maps.double().numpy(), density.double().numpy(), strict=True)]
    )
    assert SALIENCY_LOSSES[name](maps, density).item() == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("name", sorted(SALIENCY_LOSSES))
def test_the_scale_of_the_density_does_not_matter_and_equal_maps_are_best(name: str, maps_and_density) -> None:
    maps, density = maps_and_density
    loss = SALIENCY_LOSSES[name]
    assert loss(maps, 255 * density).item() == pytest.approx(loss(maps, density).item(), abs=1e-6)
    stretched = density / density.amax((1, 2), keepdim=True)
    assert abs(loss(stretched, density).item()) < 2e-3 < loss(maps, density).item()


@pytest.mark.parametrize("name", sorted(SALIENCY_LOSSES))
@pytest.mark.parametrize("density", [torch.zeros(2, 4, 4), torch.eye(4).repeat(2, 1, 1)], ids=["empty", "mostly zero"])
@pytest.mark.parametrize("maps", [torch.zeros(2, 4, 4), torch.eye(4).repeat(2, 1, 1).flip(1)], ids=["flat", "binary"])
def test_zeros_on_either_side_give_finite_losses_and_gradients(name: str, density, maps) -> None:
    maps = maps.clone().requires_grad_()
    value = SALIENCY_LOSSES[name](maps, density)
    value.backward()
    assert torch.isfinite(value) and torch.isfinite(maps.grad).all()
    assert maps.grad.abs().max() < 1 / EPS


@pytest.mark.parametrize("name", sorted(SALIENCY_LOSSES))
def test_gradients_equal_finite_differences(name: str) -> None:
    generator = torch.Generator().manual_seed(1)
    maps = (0.1 + 0.8 * torch.rand(2, 3, 4, generator=generator, dtype=torch.float64)).requires_grad_()
    density = torch.rand(2, 3, 4, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda value: SALIENCY_LOSSES[name](value, density), (maps,))
