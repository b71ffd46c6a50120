"""Other class activation maps by name, from pytorch-grad-cam (Gildenblat et al.), behind `paperlib.maps.hirescam.extract`.

What the library prints is swallowed, and what it leaves in a network (gradients, modes) is put back.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import torch
from torch import Tensor, nn

from paperlib.maps.evidence import Reshape, evaluation_mode, last_features

METHODS = {
    "gradcam++": "GradCAMPlusPlus",
    "xgradcam": "XGradCAM",
    "layercam": "LayerCAM",
    "gradcam_elementwise": "GradCAMElementWise",
    "scorecam": "ScoreCAM",
    "ablationcam": "AblationCAM",
    "eigencam": "EigenCAM",
    "eigengradcam": "EigenGradCAM",
    "kpcacam": "KPCA_CAM",
    "randomcam": "RandomCAM",
}
"""Our name -> class of pytorch-grad-cam."""


def mapper(
    network: nn.Module, layer: nn.Module | None, method: str, reshape: Reshape | None = None
) -> Callable[[Tensor], Tensor]:
    """A function from float images (n, 3, h, w) in [0, 1] to maps (n, h, w) in [0, 1], on the network's device.

    Args:
        network, layer, reshape: as for `paperlib.maps.evidence.score_evidence`.
        method: a name in `METHODS`.

    Raises:
        ValueError: unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}; expected one of: {', '.join(METHODS)}")
    layer = last_features(network) if layer is None else layer

    def maps(images: Tensor) -> Tensor:
        import pytorch_grad_cam

        bring = None if reshape is None else lambda output: reshape(output, len(images))
        with torch.inference_mode(False), torch.enable_grad(), _as_found(network), _silent():
            kind = getattr(pytorch_grad_cam, METHODS[method])
            cam = kind(network, [layer], reshape_transform=bring)
            try:
                cam.compute_input_gradient = cam.uses_gradients
                found = cam(images, [_score] * len(images))
            finally:
                cam.activations_and_grads.release()
        return torch.from_numpy(found).to(images.device, torch.float32)

    return maps


def _score(output: Tensor) -> Tensor:
    return output.sum()


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing that the library prints, progress bars among it, is seen."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def _as_found(network: nn.Module) -> Iterator[None]:
    """Modes, gradients and submodules (Ablation-CAM puts its own layer in) are restored at the end."""
    children = {module: dict(module.named_children()) for module in network.modules()}
    gradients: dict[nn.Parameter, Any] = {parameter: parameter.grad for parameter in network.parameters()}
    for parameter in gradients:
        parameter.grad = None
    try:
        with evaluation_mode(network):
            yield
    finally:
        for module, named in children.items():
            for name, child in named.items():
                setattr(module, name, child)
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
