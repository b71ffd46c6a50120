"""Losses between predicted maps and proxy saliency, all with one signature: `loss(maps, density) -> scalar`.

Both arguments are (n, h, w) with n >= 1, finite and not negative; `maps` should lie in [0, 1], `density` may have any
scale. The result is the mean over the n maps, 0 at best. A density without any mass (a crop beside all that is salient)
gives a finite value and finite gradients.

Which loss the paper used is unknown; its authors' public repositories hold mean squared error and a total variation
distance for this purpose.
"""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

EPS = 1e-4
"""Added to each pixel of the maps before they become distributions; limits of probabilities; added to norms."""

_TINY = 1e-12

SaliencyLoss = Callable[[Tensor, Tensor], Tensor]


def mse_loss(maps: Tensor, density: Tensor) -> Tensor:
    """Mean squared error of maps (n, h, w) to densities stretched to a maximum of 1."""
    return F.mse_loss(maps, _stretched(density))


def bce_loss(maps: Tensor, density: Tensor) -> Tensor:
    """Binary cross-entropy of maps (n, h, w) in [0, 1] to densities stretched to a maximum of 1, less its own minimum.

    Maps count as no closer than `EPS` to 0 and 1, where the gradient would be without bounds; beyond it is 0. The
    entropy of the densities is taken off, so that equal maps have 0, but for what `EPS` keeps away.
    """
    truth = _stretched(density)
    entropy = F.binary_cross_entropy(truth, truth)
    return F.binary_cross_entropy(maps.clamp(EPS, 1 - EPS), truth) - entropy


def kld_loss(maps: Tensor, density: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the densities from the maps (n, h, w), both as distributions."""
    truth = _distribution(density)
    return (truth * (truth.clamp_min(EPS * EPS).log() - _smoothed(maps).log())).sum((1, 2)).mean()


def cc_loss(maps: Tensor, density: Tensor) -> Tensor:
    """One minus the linear correlation of maps and densities (n, h, w)."""
    a, b = maps.flatten(1), _stretched(density).flatten(1)
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return 1 - ((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + EPS)).mean()


def total_variation_loss(maps: Tensor, density: Tensor) -> Tensor:
    """Total variation distance, half the sum of |p - q|, of maps and densities (n, h, w) as distributions; 0 to 1.

    As SGDNet (Yang et al., ACM MM 2019) and the authors' earlier experiments have it.
    """
    return 0.5 * (_smoothed(maps) - _distribution(density)).abs().sum((1, 2)).mean()


SALIENCY_LOSSES: dict[str, SaliencyLoss] = {
    "mse": mse_loss,
    "kld": kld_loss,
    "cc": cc_loss,
    "bce": bce_loss,
    "total_variation": total_variation_loss,
}


def _stretched(density: Tensor) -> Tensor:
    return density / density.amax((1, 2), keepdim=True).clamp_min(_TINY)


def _distribution(density: Tensor) -> Tensor:
    return density / density.sum((1, 2), keepdim=True).clamp_min(_TINY)


def _smoothed(maps: Tensor) -> Tensor:
    return (maps + EPS) / (maps + EPS).sum((1, 2), keepdim=True)
