"""pyiqa's networks, and CNNIQA as published, with every tensor from local files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models.cnniqa import PatchCNNIQA
from paperlib.models.official import OfficialFile, located
from paperlib.models.quality.checkpoints import fill, read_checkpoint
from paperlib.models.quality.files import CLIPIQA, CNNIQA_LIVE, FILES
from paperlib.models.quality.offline import assembled, isolated, survey

PROMPTS = (16, 512)
"""Shape of the context vectors that CLIP-IQA+ learned."""

CROPS = {"ahiq": ("crops", 2), "maniqa": ("test_sample", 1), "tres": ("test_sample", 1), "hyperiqa": ("num_crop", 1)}
"""The attribute that holds how many crops of a picture the network scores, and the fewest: AHIQ takes 1 for a picture of
224x224 that needs no cropping."""

_BLOCKS_READ = {"ahiq": 5, "maniqa": 10}  # of the 12 of ViT-B/8
_PATCHES_AT_ONCE = 256


def official_files(metric: str) -> tuple[OfficialFile, ...]:
    """The files that a metric is loaded from; asks pyiqa's constructor where they are not known here.

    Raises:
        PaperlibError: pyiqa cannot build it without more.
    """
    return FILES[metric] if metric in FILES else survey(metric).files


def build(metric: str, root: Path | None = None, weights: Path | None = None) -> nn.Module:
    """The network of a metric.

    Args:
        metric: `cnniqa_live`, or pyiqa's name.
        root: folder that holds the files under their official names; what is not in it, or all with None, is looked for
            in the libraries' caches.
        weights: the checkpoint that fills the network, of CLIP-IQA+ the prompts; instead of the official file.

    Raises:
        PaperlibError: a folder, file or package is missing, or a file is damaged or of another network.
    """
    if root is not None and not root.is_dir():
        raise PaperlibError(f"{metric}: there is no folder of weights {root}; check its path")
    if metric == CLIPIQA:
        return _clipiqa(root, weights)
    if weights is None:  # told before any work
        located(FILES.get(metric, ()), root, metric)
    if metric == CNNIQA_LIVE:
        return _filled(cnniqa(), weights or located(FILES[metric], root, metric)[0])
    asked = survey(metric, root)
    if weights is not None:
        return _filled(asked.network or assembled(metric, root), weights)
    paths = located(asked.files, root, metric)
    return _filled(asked.network, paths[-1]) if asked.network and asked.whole else assembled(metric, root)


def cnniqa(seed: int | None = None) -> PatchCNNIQA:
    """CNNIQA with random weights, which a seed determines."""
    with isolated(seed):
        return PatchCNNIQA()


def _filled(network: nn.Module, path: Path) -> nn.Module:
    fill(network, path)
    return network


# ---- CLIP-IQA+ ------------------------------------------------------------------------------------------------------
def _clipiqa(root: Path | None, weights: Path | None) -> nn.Module:
    """CLIP's RN50, which pyiqa loads, and 16 learned context vectors (16, 512), which it would not check."""
    prompts_file, clip_file = FILES[CLIPIQA]
    if weights is None:
        prompts_path, clip_path = located((prompts_file, clip_file), root, CLIPIQA)
    else:
        prompts_path, (clip_path,) = weights, located((clip_file,), root, CLIPIQA, weights.parent)
    prompts = read_checkpoint(prompts_path)
    if not isinstance(prompts, Tensor) or tuple(prompts.shape[-2:]) != PROMPTS or prompts.ndim not in (2, 3):
        held = str(tuple(prompts.shape)) if isinstance(prompts, Tensor) else type(prompts).__name__
        raise PaperlibError(
            f"{prompts_path.name} holds no learned prompts of CLIP-IQA+: expected one tensor {PROMPTS}, "
            f"alone or for each of two prompts, got {held}"
        )
    network: Any = assembled(CLIPIQA, root, pretrained=False, backbone=str(clip_path))
    network.prompt_learner.ctx.data = prompts.detach().to(network.prompt_learner.ctx)
    with torch.no_grad():
        network.prompt_learner = _FixedPrompts(network.prompt_learner(network.clip_model[0]))
    return network


class _FixedPrompts(nn.Module):
    """Text features (2, 1024) of the learned prompts, computed once: pyiqa's CLIP-IQA+ does it for every batch."""

    features: Tensor

    def __init__(self, features: Tensor):
        super().__init__()
        self.register_buffer("features", features)

    def forward(self, clip_model: Any) -> Tensor:
        return self.features.to(clip_model.dtype)


# ---- the same scores with less work ---------------------------------------------------------------------------------
def trimmed(metric: str, network: Any) -> nn.Module:
    """Without the last layers of its backbones where it reads earlier ones alone; the scores stay what they were."""
    if metric in _BLOCKS_READ:
        network.vit.blocks = network.vit.blocks[: _BLOCKS_READ[metric]]
    if metric == "ahiq":
        for name in ("layer2", "layer3", "layer4", "fc"):
            setattr(network.resnet50, name, nn.Identity())
    return network


def pieapp_by_parts(network: Any, patches_at_once: int = _PATCHES_AT_ONCE) -> Callable[[Tensor, Tensor], Tensor]:
    """PieAPP's score of a picture over some patches at a time: pyiqa takes all at once, over 10 GB for 2.6 Mpixel."""
    from pyiqa.archs.func_util import extract_2d_patches

    def patches(image: Tensor) -> tuple[Tensor, ...]:
        cut = extract_2d_patches(network.preprocess(image), network.patch_size, network.stride, padding="none")
        return cut[0].split(patches_at_once)

    def score(distorted: Tensor, reference: Tensor) -> Tensor:
        total = weight = torch.zeros((), dtype=torch.float64)
        for x, y in zip(patches(distorted), patches(reference), strict=True):
            (x_all, x_coarse), (y_all, y_coarse) = network.compute_features(x), network.compute_features(y)
            errors = network.fc2_score(network.fc1_score(y_all - x_all).relu())
            weights = network.fc2_weight(network.fc1_weight(y_coarse - x_coarse).relu()).double() + 1e-6
            total = total + (weights * network.ref_score_subtract(0.01 * errors)).sum().cpu()
            weight = weight + weights.sum().cpu()
        return total / weight

    return score
