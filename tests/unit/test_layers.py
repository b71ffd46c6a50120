"""Layers by dotted name, also those that PyTorch does not list."""

from collections import OrderedDict

import pytest
import torch
from torch import nn

from paperlib.errors import PaperlibError
from paperlib.models.layers import LISTED, find_layer, hidden_modules, layer_names, named_layers, shortened


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer3 = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
        self.layer4 = nn.Sequential(OrderedDict([("-1", nn.AvgPool2d(1)), ("0", nn.Linear(1, 1))]))


class Hiding(nn.Module):
    """Keeps modules in a plain list, a dict of tuples and under an underscore, as published networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 2, 1))
        self.blocks = nn.ModuleDict({"first": nn.Linear(1, 1)})
        self.clip_model = [Visual()]
        self.heads = {"koniq": (nn.Linear(1, 3), nn.Linear(1, 4))}
        self.sizes = [1, 2, 3]
        self._unlisted = [nn.Linear(1, 9)]


@pytest.fixture
def model() -> Hiding:
    return Hiding()


@pytest.mark.parametrize("path", ["features", "features.1", "blocks.first"])
def test_registered_layers_are_those_of_pytorch(model: Hiding, path: str) -> None:
    assert find_layer(model, path) is model.get_submodule(path)


def test_every_way_to_write_a_position(model: Hiding) -> None:
    last = model.features[2]
    assert all(find_layer(model, path) is last for path in ("features.2", "features[2]", "features[-1]", "features.-1"))
    assert find_layer(model, "features[-3]") is model.features[0]


def test_a_name_goes_before_a_position(model: Hiding) -> None:
    """CLIP has a child that is called -1 and is the first."""
    layer4 = model.clip_model[0].layer4
    assert find_layer(model, "clip_model.0.layer4.-1") is layer4._modules["-1"]
    assert find_layer(model, "clip_model.0.layer4.1") is layer4._modules["0"]


def test_plain_lists_dicts_and_tuples_are_gone_through(model: Hiding) -> None:
    assert find_layer(model, "clip_model.0.layer3.1") is model.clip_model[0].layer3[1]
    assert find_layer(model, "clip_model[-1].layer3[-1]") is model.clip_model[0].layer3[1]
    assert find_layer(model, "heads.koniq.1") is model.heads["koniq"][1]


def test_names_lead_to_their_layers_and_hold_all_that_pytorch_lists(model: Hiding) -> None:
    names = layer_names(model)
    assert all(find_layer(model, name) is layer for name, layer in named_layers(model).items())
    assert {name for name, _ in model.named_modules() if name} <= set(names)
    assert "clip_model.0.layer4.-1" in names and "heads.koniq.0" in names
    assert len(names) == len(set(names))
    assert not any("sizes" in name or "unlisted" in name for name in names)


def test_hidden_modules_are_those_that_pytorch_misses(model: Hiding) -> None:
    hidden = hidden_modules(model)
    visual = model.clip_model[0]
    assert set(hidden) == {*visual.modules(), *model.heads["koniq"]}
    assert hidden_modules(nn.Sequential(nn.Linear(1, 1))) == []


def test_shared_layers_stand_once_and_circles_end() -> None:
    shared = nn.ReLU()
    network = nn.Sequential(shared, nn.Linear(1, 1), shared)
    network.family = [network]
    assert layer_names(network) == ["0", "1"]
    assert find_layer(network, "2") is shared


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("clip_model.0.layer9", ["'layer9'", "clip_model.0 has no", "clip_model.0.layer4", "layer3, layer4"]),
        ("net.features", ["the network has no 'net'", "nearest names: ", "there: features, blocks, clip_model, heads;"]),
        ("features.3", ["features has no '3'", "there: 0, 1, 2"]),
        ("features[-4]", ["features has no '-4'"]),
        ("features.1.weight", ["features.1 has no 'weight'", "there: nothing"]),
        ("clip_model", ["'clip_model' is a list, not a layer", "there: 0"]),
        ("sizes.0", ["the network has no 'sizes'"]),
        ("", ["the name is empty"]),
    ],
)
def test_a_wrong_name_tells_where_it_broke_and_what_is_there(model: Hiding, path: str, told: list[str]) -> None:
    with pytest.raises(PaperlibError) as caught:
        find_layer(model, path)
    message = str(caught.value)
    assert all(part in message for part in [*told, f"Hiding has no layer {path!r}", f"{len(layer_names(model))} layers"])


def test_long_lists_are_cut() -> None:
    network = nn.Sequential(*(nn.ReLU() for _ in range(LISTED + 7)))
    with pytest.raises(PaperlibError, match="and 7 more"):
        find_layer(network, "layer4")
    assert shortened(["a", "b"]) == "a, b" and shortened([]) == "nothing"


def test_timm_feature_network() -> None:
    import timm

    network = timm.create_model("test_resnet", features_only=True).eval()
    with torch.no_grad():
        outputs: list[torch.Tensor] = []
        hook = find_layer(network, "layer4[-1]").register_forward_hook(lambda *call: outputs.append(call[2]))
        features = network(torch.zeros(1, 3, 32, 32))
        hook.remove()
    assert torch.equal(outputs[0], features[-1])
