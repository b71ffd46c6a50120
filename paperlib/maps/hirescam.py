"""Saliency maps from a trained IQA network: HiResCAM and GradCAM, augmentation smoothing, first principal component.

With features A (c channels on a grid) and gradients g = dy/dA of the score y:

- HiResCAM (Draelos & Carin 2020, arXiv 2011.08891): sum_k g_k * A_k, element by element;
- GradCAM (Selvaraju et al. 2017): sum_k mean(g_k) A_k.

After global average pooling g_k is the same at every place, so for the paper's Baseline the two are one map up to the
number of grid cells, whatever the head (`tests/unit/test_hirescam.py` proves it). The paper smooths the maps over six
slightly rotated copies of the image and keeps the first principal component of g * A (section III-A, after [36]).
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from paperlib.maps.evidence import evaluation_mode, last_features, score_evidence
from paperlib.maps.smoothing import Average, passes, unit_range
from paperlib.models.baseline import to_unit_range

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

BATCH_PIXELS = {"cpu": 2 * 384 * 512, "cuda": 128 * 384 * 512}
"""Pixels that go through a network at once; on a CPU small batches stay in cache and are faster."""

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def hirescam(features: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM evidence g * A before the sum over channels: (n, c, h, w) from two tensors (n, c, h, w)."""
    _check_pair(features, gradients)
    return gradients * features


def gradcam(features: Tensor, gradients: Tensor) -> Tensor:
    """GradCAM evidence alpha_k A_k before the sum over channels, alpha_k = mean over places of g_k; (n, c, h, w)."""
    _check_pair(features, gradients)
    return gradients.mean((2, 3), keepdim=True) * features


def activation(features: Tensor, gradients: Tensor) -> Tensor:
    """The positive part of the features, (n, c, h, w): no score is asked. A control."""
    _check_pair(features, gradients)
    return features.clamp_min(0)


def norm(features: Tensor, gradients: Tensor) -> Tensor:
    """The Euclidean norm of the features over channels, (n, 1, h, w): no score is asked. A control."""
    _check_pair(features, gradients)
    return torch.linalg.vector_norm(features, dim=1, keepdim=True)


METHODS = {"hirescam": hirescam, "gradcam": gradcam, "activation": activation, "norm": norm}
"""Methods of our own."""

OTHER_METHODS = {
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
"""Methods of pytorch-grad-cam (Gildenblat et al.): our name -> its class."""

SIGNS: dict[str, Callable[[Tensor], Tensor]] = {
    "positive": lambda evidence: evidence,
    "negative": lambda evidence: -evidence,
    "absolute": lambda evidence: evidence.abs(),
}
"""What of the evidence makes the map, after the reduction to one channel and before the cut below zero: what speaks for
a high score (the standard, in the paper and in Table I), what speaks against it, or both."""


def _check_pair(features: Tensor, gradients: Tensor) -> None:
    if features.ndim != 4 or features.shape != gradients.shape:
        raise ValueError(
            f"features {tuple(features.shape)} and gradients {tuple(gradients.shape)}: expected one shape (n, c, h, w)"
        )


def channel_sum(evidence: Tensor) -> Tensor:
    """Sum over channels: (n, h, w) from evidence (n, c, h, w)."""
    return evidence.sum(1)


def first_principal_component(evidence: Tensor) -> Tensor:
    """Projection of the evidence on its first principal component over channels: (n, h, w) from (n, c, h, w).

    The evidence is centred per channel over places; the projection comes from the smaller of the two Gram matrices and
    its largest eigenpair, which equals a full SVD at a fraction of its cost. The sign of a singular vector is arbitrary;
    here it is fixed by rule: the map correlates positively with the plain channel sum.

    A processor takes image after image: beside the evidence there is room for one centred copy of one image.
    """
    if evidence.ndim != 4:
        raise ValueError(f"evidence {tuple(evidence.shape)}: expected (n, c, h, w)")
    if evidence.is_cuda:
        return _components(evidence)
    with _blas().limit(limits=1):
        return torch.cat([_components(one) for one in evidence.split(1)])


def _components(evidence: Tensor) -> Tensor:
    """`first_principal_component` of all images at once."""
    n, _, height, width = evidence.shape
    places = evidence.permute(0, 2, 3, 1).flatten(1, 2)  # no copy, be channels first or last in memory
    centred = places - places.mean(1, keepdim=True)
    total = centred.sum(2)
    if evidence.is_cuda:
        projection = _principal_projection(centred)
    else:
        projection = torch.from_numpy(_principal_projection(centred.numpy()))
    agreement = (projection * total).sum(1, keepdim=True)
    return (projection * torch.where(agreement < 0, -1.0, 1.0)).view(n, height, width)


def _principal_projection(centred: Any) -> Any:
    """Projections (n, places), of either sign, of centred (n, places, channels); arrays or tensors."""
    places, channels = centred.shape[1:]
    turned = centred.swapaxes(1, 2)
    if places <= channels:
        values, vectors = _largest_eigenpairs(centred @ turned)
        return vectors * values.clip(0) ** 0.5
    _, vectors = _largest_eigenpairs(turned @ centred)
    return (centred @ vectors[:, :, None])[:, :, 0]


def _largest_eigenpairs(matrices: Any) -> tuple[Any, Any]:
    """Largest eigenvalues (n, 1) and their unit vectors (n, k) of symmetric (n, k, k); arrays are overwritten."""
    if isinstance(matrices, Tensor):
        values, vectors = torch.linalg.eigh(matrices)
        return values[:, -1:], vectors[:, :, -1]
    pairs = [_largest_eigenpair(matrix) for matrix in matrices]
    return np.stack([value for value, _ in pairs]), np.stack([vector for _, vector in pairs])


def _largest_eigenpair(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest eigenvalue (1,) and its unit vector (k,) of a symmetric matrix (k, k), which is overwritten.

    LAPACK's own three steps for a few eigenpairs: tridiagonal form, eigenpair by bisection and inverse iteration, and
    the reflections back. Its driver for all three (`scipy.linalg.eigh`) takes 1.3 times as long at k = 192.
    """
    from scipy.linalg import eigh_tridiagonal
    from scipy.linalg.lapack import get_lapack_funcs

    last = len(matrix) - 1
    if last == 0:
        return matrix[0], np.ones(1, matrix.dtype)
    tridiagonal, workspace, reflect = get_lapack_funcs(("sytrd", "sytrd_lwork", "ormqr"), (matrix,))
    size = int(workspace(last + 1, lower=1)[0])
    reflectors, diagonal, beside, factors, _ = tridiagonal(matrix.T, lower=1, lwork=size, overwrite_a=1)
    value, vector = eigh_tridiagonal(diagonal, beside, select="i", select_range=(last, last), check_finite=False)
    vector = vector.astype(matrix.dtype)
    vector[1:] = reflect("L", "N", reflectors[1:, :-1], factors, vector[1:], lwork=size)[0]
    return value.astype(matrix.dtype), vector[:, 0]


@lru_cache(maxsize=1)
def _blas() -> "ThreadpoolController":
    """NumPy's and SciPy's BLAS. Two threads gain nothing on matrices this small, and while they wait for more work they
    spin on the cores that torch's threads need next."""
    import scipy.linalg  # noqa: F401  loads the library, so that it is found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def extract(
    network: nn.Module,
    images: np.ndarray,
    *,
    layer: nn.Module | None = None,
    method: str = "hirescam",
    smoothing: str = "rotations",
    n_passes: int = 6,
    max_angle: float = 10.0,
    principal_component: bool | None = None,
    sign: str = "positive",
    precision: str = "float32",
) -> np.ndarray:
    """Saliency maps of a network with one score per image, at image size, on the device where the network lies.

    Each pass gives one map: evidence, reduced to one channel, cut below zero, brought back to the image's size and
    geometry, and stretched to [0, 1]. The passes are averaged; a rotated pass counts only where it saw the image.

    Args:
        network: gives (n,) or (n, 1) scores of float images (n, 3, h, w) in [0, 1]; modes, gradients and hooks are left
            as found.
        images: (n, h, w, 3) uint8.
        layer: the module whose output carries the map; what the network names as its last features when None.
        method: `"hirescam"`, `"gradcam"`, `"activation"` or `"norm"` (no score at all), or a name in `OTHER_METHODS`.
        smoothing, n_passes, max_angle: see `paperlib.maps.smoothing.passes`.
        principal_component: keep the first principal component instead of the channel sum; the default of our own
            methods. The others reduce channels in their own ways.
        sign: a key of `SIGNS`; only our own methods take another than `"positive"`.
        precision: `"float32"`, or `"bfloat16"` for autocast.

    Returns:
        (n, h, w) float32 in [0, 1].

    Raises:
        ValueError: unknown method, smoothing, sign or precision, images of another shape, or as `score_evidence`.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}; expected one of: {', '.join(PRECISIONS)}")
    views = passes(smoothing, n_passes, max_angle)
    one_pass = _one_pass(network, layer, method, principal_component, sign)
    device = next(chain(network.parameters(), network.buffers(), (torch.empty(0),))).device
    size = images.shape[1:3]
    step = max(1, BATCH_PIXELS[device.type] // max(1, size[0] * size[1]))
    narrow = torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()
    maps = np.empty(images.shape[:3], np.float32)
    for start in range(0, len(images), step):
        chunk = to_unit_range(images[start : start + step]).to(device)
        mean = Average(size)
        for view in views:
            with narrow:
                found = one_pass(view.view(chunk))
            mean.add(view, found)
        maps[start : start + step] = mean.maps().cpu().numpy()
    return maps


def _one_pass(
    network: nn.Module, layer: nn.Module | None, method: str, principal_component: bool | None, sign: str
) -> Callable[[Tensor], Tensor]:
    """From views (n, 3, h, w) to maps (n, h', w') in [0, 1]."""
    if sign not in SIGNS:
        raise ValueError(f"sign={sign!r}; expected one of: {', '.join(SIGNS)}")
    if method in OTHER_METHODS:
        if principal_component or sign != "positive":
            raise ValueError(
                f"principal_component=True and sign={sign!r} go with {', '.join(METHODS)}; {method} makes its map itself"
            )
        return _by_library(network, layer, method)
    if method not in METHODS:
        raise ValueError(f"method={method!r}; expected one of: {', '.join([*METHODS, *OTHER_METHODS])}")
    reduce = channel_sum if principal_component is False else first_principal_component

    def one_pass(views: Tensor) -> Tensor:
        found = score_evidence(network, views, layer)
        return unit_range(SIGNS[sign](reduce(METHODS[method](found.features, found.gradients))))

    return one_pass


def _by_library(network: nn.Module, layer: nn.Module | None, method: str) -> Callable[[Tensor], Tensor]:
    """As `_one_pass`, by pytorch-grad-cam; what it prints is swallowed, what it leaves in the network is put back."""
    layer = last_features(network) if layer is None else layer

    def one_pass(views: Tensor) -> Tensor:
        import pytorch_grad_cam

        silent = redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO())
        with torch.inference_mode(False), torch.enable_grad(), _as_found(network), silent[0], silent[1]:
            cam = getattr(pytorch_grad_cam, OTHER_METHODS[method])(network, [layer])
            try:
                cam.compute_input_gradient = cam.uses_gradients
                found = cam(views, [torch.sum] * len(views))
            finally:
                cam.activations_and_grads.release()
        return torch.from_numpy(found).to(views.device, torch.float32)

    return one_pass


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
