"""Faster forward passes of a trained network: batch normalisation folded into convolutions, channels last in memory,
and pointwise convolutions by oneDNN on a processor."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

TOLERANCE = 1e-3
"""Largest change of the output, relative to its spread over the probe or to its size, that folding may bring."""


def prepare(network: nn.Module, probe: Tensor, *, fold: bool = True, channels_last: bool = True) -> nn.Module:
    """A copy of `network` in evaluation mode that computes the same, faster; the original is left alone.

    Names of modules and keys of parameters stay, except for folded normalisations.

    Args:
        network: any module.
        probe: an input for it, to see which layers follow each other and to compare the outputs.
        fold: fold batch normalisations into the convolutions before them.
        channels_last: keep convolutions with channels last in memory.

    Raises:
        ValueError: as `fold_batch_norms`.
    """
    prepared = fold_batch_norms(network, probe) if fold else copy.deepcopy(network).eval()
    _take_onednn_for_pointwise(prepared)
    return prepared.to(memory_format=torch.channels_last) if channels_last else prepared


def fold_batch_norms(network: nn.Module, probe: Tensor) -> nn.Module:
    """A copy of `network` in evaluation mode, with every batch normalisation that follows a convolution folded into it.

    Which normalisation follows which convolution is read off a forward pass of `probe`: its input must be the very
    tensor that the convolution returned. timm's normalisations with an activation keep the activation.

    Raises:
        ValueError: the folded copy gives another output, as when a convolution's output is used elsewhere too.
    """
    folded = copy.deepcopy(network).eval()
    expected = _forward(folded, probe)
    for convolution, norm in _pairs(folded, probe):
        fused = torch.nn.utils.fusion.fuse_conv_bn_eval(convolution, norm)
        convolution.weight, convolution.bias = fused.weight, fused.bias
        _replace(folded, norm, _without_normalisation(norm))
    got = _forward(folded, probe)
    size = expected.abs().max().clamp_min(1e-12)
    if not (got - expected).abs().max() <= TOLERANCE * size:
        raise ValueError("folding changed the output: a convolution's output is used by more than its batch normalisation")
    return folded


class PointwiseConvolution(nn.Conv2d):
    """A 1x1 convolution that asks oneDNN itself where it may: one thread, float32, no gradients.

    With one thread and fewer than 16 images torch takes a general matrix product instead, which is slower.
    """

    def forward(self, images: Tensor) -> Tensor:
        plain = images.dtype == self.weight.dtype == torch.float32 and images.device.type == "cpu"
        if not plain or torch.is_grad_enabled() or torch.is_autocast_enabled("cpu") or not _has_onednn():
            return super().forward(images)
        return torch.mkldnn_convolution(images, self.weight, self.bias, (0, 0), self.stride, (1, 1), 1)


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)


def _take_onednn_for_pointwise(network: nn.Module) -> None:
    """Turn every plain 1x1 convolution of `network` into a `PointwiseConvolution`; names, parameters and hooks stay."""
    for module in network.modules():
        plain = type(module) is nn.Conv2d and module.groups == 1
        if plain and module.kernel_size == (1, 1) and module.padding == (0, 0):
            module.__class__ = PointwiseConvolution


def _forward(network: nn.Module, probe: Tensor) -> Tensor:
    with torch.no_grad():
        return network(probe)


def _pairs(network: nn.Module, probe: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions with the batch normalisation that reads their output, each run once."""
    producers: dict[int, tuple[nn.Conv2d, Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def remember(module: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        producers[id(output)] = (module, output)  # the tensor is kept, so that no other takes its id

    def match(module: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        if id(inputs[0]) in producers:
            pairs.append((producers[id(inputs[0])][0], module))

    hooks: list[tuple[type[nn.Module], Callable]] = [
        (nn.Conv2d, lambda module: module.register_forward_hook(remember)),
        (nn.BatchNorm2d, lambda module: module.register_forward_pre_hook(match)),
    ]
    handles = [hook(module) for kind, hook in hooks for module in network.modules() if isinstance(module, kind)]
    try:
        _forward(network, probe)
    finally:
        for handle in handles:
            handle.remove()
    runs = [module for pair in pairs for module in pair]
    return [(convolution, norm) for convolution, norm in pairs if runs.count(convolution) == runs.count(norm) == 1]


def _without_normalisation(norm: nn.BatchNorm2d) -> nn.Module:
    """What is left of a normalisation: nothing, or the dropout and activation of timm's combined layer."""
    rest = [getattr(norm, name) for name in ("drop", "act") if isinstance(getattr(norm, name, None), nn.Module)]
    return nn.Sequential(*rest) if rest else nn.Identity()


def _replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    for parent in network.modules():
        for name, child in parent.named_children():
            if child is old:
                setattr(parent, name, new)
