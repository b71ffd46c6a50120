"""pyiqa's networks, and CNNIQA as published, with every tensor from local files."""

import difflib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import fill, read_checkpoint
from paperlib.models.cnniqa import PatchCNNIQA
from paperlib.models.official import OfficialFile, located, of_pyiqa, of_timm, of_torchvision
from paperlib.models.quality.offline import assembled, isolated, settings_of_pyiqa, survey

CLIPIQA = "clipiqa+"
CNNIQA_LIVE = "cnniqa_live"
PAPER_MODELS = {"topiq": "topiq_nr", "dbcnn": "dbcnn", "clipiqa_plus": CLIPIQA}
"""The paper's name of a model -> pyiqa's."""

VGG16 = of_torchvision("vgg16-397923af.pth")
ALEXNET = of_torchvision("alexnet-owt-7be5be79.pth")
RESNET50 = of_timm("resnet50.a1_in1k")
VIT = of_timm("vit_base_patch8_224.augreg2_in21k_ft_in1k")
_CLIP_RN50 = OfficialFile("RN50.pt", "clip", "OpenAI's CLIP, model RN50, as listed in pyiqa/archs/clip_model.py")

FILES: dict[str, tuple[OfficialFile, ...]] = {
    CNNIQA_LIVE: (OfficialFile("CNNIQA-LIVE", "cnniqa", "https://github.com/lidq92/CNNIQA, folder models"),),
    "topiq_nr": (of_pyiqa("cfanet_nr_koniq_res50-9a73138b.pth"),),
    "dbcnn": (of_pyiqa("DBCNN_KonIQ10k-2de81c0a.pth"),),
    CLIPIQA: (of_pyiqa("CLIP-IQA+_learned_prompts-603f3273.pth"), _CLIP_RN50),
    "ms_ssim": (),
    "vif": (),
    "brisque": (of_pyiqa("brisque_svm_weights.pth"),),
    "ahiq": (RESNET50, VIT, of_pyiqa("AHIQ_vit_p8_epoch33-da3ea303.pth")),
    "lpips": (ALEXNET, of_pyiqa("LPIPS_v0.1_alex-df73285e.pth")),
    "pieapp": (of_pyiqa("PieAPPv0.1-0937b014.pth"),),
    "topiq_fr": (of_pyiqa("cfanet_fr_kadid_res50-2c4cc61d.pth"),),
    "dists": (VGG16, of_pyiqa("DISTS_weights-f5e65c96.pth")),
    "maniqa": (of_pyiqa("ckpt_koniq10k.pt"),),
    "tres": (of_pyiqa("tres_koniq-f0502926.pth"),),
    "hyperiqa": (of_pyiqa("HyperIQA-resnet50-koniq10k-c96c41b1.pth"),),
    "paq2piq": (of_pyiqa("P2P_RoIPoolModel-fit.10.bs.120-ca69882e.pth"),),
    "musiq": (of_pyiqa("musiq_koniq_ckpt-e95806b9.pth"),),
}
"""By pyiqa's name of a metric; others are asked what they want (`paperlib.models.quality.offline.survey`)."""

PROMPTS = (16, 512)
"""Shape of the context vectors that CLIP-IQA+ learned."""

CROPS = {"ahiq": ("crops", 2), "maniqa": ("test_sample", 1), "tres": ("test_sample", 1), "hyperiqa": ("num_crop", 1)}
"""The attribute that holds how many crops of a picture the network scores, and the fewest: AHIQ takes 1 for a picture of
224x224 that needs no cropping."""

_BLOCKS_READ = {"ahiq": 5, "maniqa": 10}  # of the 12 of ViT-B/8
_PATCHES_AT_ONCE = 256


def higher_is_better(metric: str) -> bool:
    """False where a high score of pyiqa's metric, or of `cnniqa_live`, means a bad picture."""
    return metric != CNNIQA_LIVE and not settings_of_pyiqa()[metric].get("lower_better", False)


def pyiqas_name(name: str, kind: str, others: Iterable[str], expected: str) -> str:
    """pyiqa's name of a metric.

    Raises:
        PaperlibError: it has none; names like it are told, `others` among them, and what was `expected`.
    """
    metric = PAPER_MODELS.get(name, name)
    if metric not in settings_of_pyiqa():
        known = list(dict.fromkeys([*PAPER_MODELS, *others, *settings_of_pyiqa()]))
        near = difflib.get_close_matches(name, known, 3) or list(PAPER_MODELS)
        raise PaperlibError(f"there is no IQA {kind} {name!r}; names like it: {', '.join(near)}; expected {expected}")
    return metric


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
        return fill(cnniqa(), weights or located(FILES[metric], root, metric)[0])
    asked = survey(metric, root)
    if weights is not None:
        return fill(asked.network or assembled(metric, root), weights)
    paths = located(asked.files, root, metric)
    return fill(asked.network, paths[-1]) if asked.network and asked.whole else assembled(metric, root)


def cnniqa(seed: int | None = None) -> PatchCNNIQA:
    """CNNIQA with random weights, which a seed determines."""
    with isolated(seed):
        return PatchCNNIQA()


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
