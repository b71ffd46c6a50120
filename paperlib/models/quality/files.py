"""Names of IQA metrics and the official files of those that the paper uses."""

from typing import Any

from paperlib.models.official import OfficialFile, of_pyiqa, of_timm, of_torchvision

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


def settings_of_pyiqa() -> dict[str, dict[str, Any]]:
    """Every metric of pyiqa: `metric_opts` of its constructor, `metric_mode` "FR" or "NR", `lower_better`."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return DEFAULT_CONFIGS


def higher_is_better(metric: str) -> bool:
    """False where a high score of pyiqa's metric, or of `cnniqa_live`, means a bad picture."""
    return metric != CNNIQA_LIVE and not settings_of_pyiqa()[metric].get("lower_better", False)
