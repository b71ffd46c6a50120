"""No-reference IQA networks from which saliency can be taken: a network, its feature layer, and where its weights lie.

Names (section III-A): `topiq` [TOPIQ-NR], `dbcnn` and `clipiqa_plus` are the paper's, with the KonIQ-10k weights of
pyiqa; `cnniqa_live` is the small network of Kang et al.; every other no-reference metric of pyiqa goes by its pyiqa
name with an explicit layer, and `package.module:factory` is anybody's own code.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from paperlib.errors import PaperlibError
from paperlib.models.checkpoints import fill, first_line
from paperlib.models.layers import find_layer, hidden_modules, layer_names, named_layers, shortened
from paperlib.models.official import OfficialFile
from paperlib.models.quality.networks import (
    CLIPIQA,
    CNNIQA_LIVE,
    PAPER_MODELS,
    build,
    higher_is_better,
    official_files,
    pyiqas_name,
)
from paperlib.models.quality.offline import settings_of_pyiqa

_LAST_FEATURES = {
    "topiq_nr": "semantic_model.layer4",
    "dbcnn": "features1.29",
    CLIPIQA: "clip_model.0.visual.layer4",
    CNNIQA_LIVE: "mosaic",
}


@dataclass(frozen=True)
class QualityModel:
    """What the extraction of saliency maps needs of an IQA network.

    Attributes:
        name: as given to `load_quality_model`.
        network: in eval mode; float images (n, 3, H, W), RGB in [0, 1], to one score per image, (n,) or (n, 1). It
            normalises its input itself. Parts of it may be frozen: the output of `layer` then has no gradient unless
            it is asked for.
        layer: a module of `network` whose output (n, c, h, w) are the features. Networks that score crops of an image
            (HyperIQA, MUSIQ, WaDIQaM) have other batches inside than n.
        layer_name: its dotted name.
        higher_is_better: False where a high score means a bad image.
    """

    name: str
    network: nn.Module
    layer: nn.Module
    layer_name: str
    higher_is_better: bool

    def to(self, device: torch.device | str) -> "QualityModel":
        """Move the network in place, with what it hides in plain lists, and return this object."""
        self.network.to(device)
        for module in hidden_modules(self.network):
            module.to(device)
        return self


def load_quality_model(
    name: str, *, layer: str | None = None, weights: Path | None = None, weights_root: Path | None = None
) -> QualityModel:
    """An IQA network with its weights, from local files alone.

    Args:
        name: one of `PAPER_MODELS`, `"cnniqa_live"`, a no-reference metric of pyiqa, or `"package.module:factory"`,
            where `factory()` returns an `nn.Module` as described in `QualityModel`, or that and a layer name; its
            attribute `higher_is_better` counts where it has one.
        layer: dotted name of the feature layer (`paperlib.models.layers`); None is the last feature layer, which is
            known for the paper's models and `cnniqa_live`.
        weights: the model's file, under any name. For `clipiqa_plus` that of the prompts; `RN50.pt` lies beside it or
            in `weights_root`.
        weights_root: folder that holds the files under their official names (`expected_files`); what is not in it, or
            all with None, is looked for in torch's hub cache, where pyiqa keeps them.

    Returns:
        The model on the CPU in eval mode. In-place activations are switched to out-of-place ones, which changes no
        value, so that any layer's output may be replaced by a hook.

    Raises:
        PaperlibError: unknown or full-reference model, missing, damaged or unfit file, unknown layer.
    """
    if weights is not None and not weights.is_file():
        raise PaperlibError(f"{name}: there is no file of weights {weights}; check its path")
    if ":" in name:
        network, default_layer, upwards = _from_user_code(name, weights)
    else:
        metric = _metric(name)
        network = build(metric, weights_root, weights)
        default_layer, upwards = _LAST_FEATURES.get(metric), higher_is_better(metric)
    chosen = layer or default_layer
    if chosen is None:
        raise PaperlibError(
            f"{name}: its last feature layer is not known here; name one of its layers: {shortened(layer_names(network))}"
        )
    found = find_layer(network, chosen)
    for module in [network, *hidden_modules(network)]:
        module.eval()
    layers: dict[str, Any] = named_layers(network)
    for inner in layers.values():
        if getattr(inner, "inplace", False):
            inner.inplace = False
    return QualityModel(name, network, found, chosen, upwards)


def expected_files(name: str) -> tuple[OfficialFile, ...]:
    """The official files that `name` is loaded from; none for a user's own code.

    At once for the paper's models; another metric of pyiqa is built with random weights to see what it asks for.

    Raises:
        PaperlibError: as `load_quality_model`, for the name.
    """
    return () if ":" in name else official_files(_metric(name))


def _metric(name: str) -> str:
    """pyiqa's name of a no-reference model, or `cnniqa_live`."""
    if (metric := PAPER_MODELS.get(name, name)) in _LAST_FEATURES:
        return metric
    metric = pyiqas_name(
        name,
        "model",
        [CNNIQA_LIVE],
        f"one of the paper's ({', '.join(PAPER_MODELS)}), {CNNIQA_LIVE}, a no-reference metric of pyiqa or "
        "'package.module:factory'",
    )
    if settings_of_pyiqa()[metric]["metric_mode"] != "NR":
        raise PaperlibError(
            f"{name} is a full-reference metric: it compares two images and has no map of one; "
            f"choose a no-reference metric such as {', '.join(PAPER_MODELS)}"
        )
    return metric


def _from_user_code(name: str, weights: Path | None) -> tuple[nn.Module, str | None, bool]:
    module_name, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), attribute)()
    except Exception as error:  # whatever a user's code raises
        raise PaperlibError(f"{name}: it cannot be imported and called: {first_line(error)}") from error
    network, layer = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(network, nn.Module) or not (layer is None or isinstance(layer, str)):
        raise PaperlibError(f"{name}: expected an nn.Module, or an nn.Module and a layer name, got {type(made).__name__}")
    if weights is not None:
        fill(network, weights)
    return network, layer, bool(getattr(network, "higher_is_better", True))
