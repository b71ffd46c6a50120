"""What a score rests on: features A of one layer of any network, and the gradients dy/dA of its score.

The network runs without a graph up to the layer. There a hook cuts the features loose, makes them the start of a new
graph and switches gradients on, so that the backward pass ends at the layer: for a head after global average pooling it
costs next to nothing, and frozen networks need no gradient at their input. The hook is removed, modes and gradients are
left as they were found, also after an error.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Evidence:
    """Features A and gradients dy/dA of one layer, both (n, c, h, w) float32, and the scores y (n,)."""

    features: Tensor
    gradients: Tensor
    scores: Tensor


def score_evidence(network: nn.Module, images: Tensor, layer: nn.Module | None = None) -> Evidence:
    """Features and gradients of `layer` for float images (n, 3, H, W) in [0, 1].

    Args:
        network: gives one score per image, (n,) or (n, 1); run in evaluation mode.
        layer: a module of the network that runs once and returns one tensor; `last_features(network)` when None.

    Raises:
        ValueError: the layer does not run, runs more than once, returns no tensor or none of shape (n, c, h, w); the
            scores are not one per image; the score does not depend on the layer by a way that gradients can follow.
    """
    layer = last_features(network) if layer is None else layer
    leaves: list[Tensor] = []

    def tap(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor:
        """Forward hook that makes the output of its layer the start of the graph."""
        if not isinstance(output, Tensor):
            raise ValueError(
                f"the layer {type(module).__name__} returns a {type(output).__name__}: expected one tensor; "
                "choose a module inside it"
            )
        torch.set_grad_enabled(True)
        leaves.append(output.detach().requires_grad_())
        return leaves[-1].clone()  # what follows may write in place

    with torch.inference_mode(False), evaluation_mode(network):
        handle = layer.register_forward_hook(tap)
        try:
            with torch.no_grad():
                scores = _scores(network(images), len(images))
        finally:
            handle.remove()
        if len(leaves) != 1:
            raise ValueError(f"the layer ran {len(leaves)} times in one forward pass: expected once; choose another")
        if not scores.requires_grad:
            raise ValueError(
                "the score does not follow from the layer with gradients: a no_grad block or a detach() lies "
                "between them; choose a later layer, or lift the block"
            )
        try:
            gradients = torch.autograd.grad(scores.sum(), leaves[0])[0]
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"the score has no gradient at the layer ({reason}); choose another") from None
    features = leaves[0].detach()
    if features.ndim != 4 or len(features) != len(images):
        raise ValueError(
            f"the layer gives {tuple(features.shape)} for {len(images)} images: expected (n, c, h, w); choose "
            "a convolutional layer, or a module of yours that brings tokens to that shape"
        )
    return Evidence(features.float(), gradients.float(), scores.detach().float())


def last_features(network: nn.Module) -> nn.Module:
    """The layer that a network itself names as its last features, like `paperlib.models.baseline.Baseline` (ValueError
    where it names none)."""
    layer = getattr(network, "last_features", None)
    if not isinstance(layer, nn.Module):
        raise ValueError(
            f"{type(network).__name__} names no last feature layer: pass layer=, for example "
            "paperlib.models.layers.find_layer(network, 'layer4')"
        )
    return layer


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards every module is in the mode in which it came."""
    modes = {module: module.training for module in network.modules()}
    if any(modes.values()):
        network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            if module.training != training:
                module.training = training


def _scores(output: Any, n: int) -> Tensor:
    if not isinstance(output, Tensor) or output.numel() != n:
        got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(f"the network returns {got} for {n} images: expected one score per image, (n,) or (n, 1)")
    return output.reshape(n)
