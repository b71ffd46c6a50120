"""A backbone in two parts gives what the whole gives, and says where it cannot be cut."""

import pytest
import torch

from paperlib.errors import PaperlibError
from paperlib.models.backbones import create_backbone
from paperlib.models.stages import cut


@pytest.mark.parametrize(
    ("name", "until"), [("tf_efficientnet_lite0", "blocks.5"), ("resnet18", "layer3"), ("resnet18", "layer3.0")]
)
def test_both_parts_give_the_features_of_the_whole(name: str, until: str) -> None:
    backbone = create_backbone(name).eval()
    first, rest = cut(backbone, until)
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(rest(first(images)), backbone(images))


def test_parts_share_the_parameters_and_leave_the_mode_alone() -> None:
    backbone = create_backbone("resnet18").train()
    first, rest = cut(backbone, "layer2")
    assert backbone.training
    own = {id(one) for part in (first, rest) for one in part.parameters()}
    assert own == {id(one) for one in backbone.parameters()}


@pytest.mark.parametrize("until", ["blocks.99", "layer9", ""])
def test_a_module_that_is_not_there_is_told_with_those_that_are(until: str) -> None:
    with pytest.raises(PaperlibError, match="no module .* to be cut behind; it has .*layer4"):
        cut(create_backbone("resnet18"), until)


def test_modules_that_run_side_by_side_are_not_cut() -> None:
    with pytest.raises(PaperlibError, match="do not run one after another"):
        cut(create_backbone("resnet18"), "layer1.0.conv1")
