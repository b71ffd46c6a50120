"""IQA networks with random weights in the official formats: layers, gradients, files and names."""

import io
import random
import shutil
import socket
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.signal import convolve2d
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models.cnniqa import PATCH
from paperlib.models.layers import hidden_modules, named_layers
from paperlib.models.quality.model import QualityModel, expected_files, load_quality_model
from paperlib.models.stand_ins import random_files

PAPER = ("topiq", "dbcnn", "clipiqa_plus")
SHAPES = {"topiq": (2048, 12, 16), "dbcnn": (512, 24, 32), "clipiqa_plus": (2048, 12, 16)}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the official files of the paper's models and of CNNIQA, random weights (500 MB, removed after)."""
    folder = tmp_path_factory.mktemp("weights")
    for name in (*PAPER, "cnniqa_live"):
        random_files(name, folder, seed=1)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def models(root: Path) -> dict[str, QualityModel]:
    return {name: load_quality_model(name, weights_root=root) for name in (*PAPER, "cnniqa_live")}


def pictures(n: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def features_of(model: QualityModel, images: Tensor) -> Tensor:
    outputs: list[Tensor] = []
    hook = model.layer.register_forward_hook(lambda *call: outputs.append(call[2]))
    with torch.no_grad():
        model.network(images)
    hook.remove()
    return outputs[0]


def test_names_of_the_files_are_those_in_pyiqa() -> None:
    from pyiqa.archs import clip_model, clipiqa_arch, dbcnn_arch, topiq_arch

    addresses = {
        "topiq": [topiq_arch.default_model_urls["cfanet_nr_koniq_res50"]],
        "dbcnn": [dbcnn_arch.default_model_urls["koniq"]],
        "clipiqa_plus": [clipiqa_arch.default_model_urls["clipiqa+"], clip_model._MODELS["RN50"]],
    }
    for name, listed in addresses.items():
        names = [Path(unquote(urlparse(address).path)).name for address in listed]
        assert [file.name for file in expected_files(name)] == names
    assert expected_files("some.module:factory") == ()


# ------------------------------------------------------------------------------------------ layers and gradients
@pytest.mark.parametrize("name", PAPER)
def test_last_features_have_the_known_shapes(models: dict[str, QualityModel], name: str) -> None:
    assert features_of(models[name], pictures(1, 384, 512)).shape == (1, *SHAPES[name])


@pytest.mark.parametrize("name", [*PAPER, "cnniqa_live", "dbcnn before ReLU"])
def test_gradient_at_the_layer_is_the_finite_difference(root: Path, name: str) -> None:
    """In double precision, batch of 2, with the layer's output cut loose as the extraction does it."""
    first, *inner = name.split(" ", 1)
    model = load_quality_model(first, weights_root=root, layer="features1.28" if inner else None)
    for module in (model.network, *hidden_modules(model.network)):
        module.double()
    images = pictures(2, 96, 128).double()
    features = features_of(model, images)
    direction = torch.randn(features.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    direction *= features.abs().mean() / direction.abs().mean()

    def scores_at(values: Tensor) -> Tensor:
        hook = model.layer.register_forward_hook(lambda *_: values)
        try:
            return model.network(images)
        finally:
            hook.remove()

    leaf = features.clone().requires_grad_()
    scores = scores_at(leaf)
    assert scores.numel() == 2
    (gradient,) = torch.autograd.grad(scores.sum(), leaf)
    slope = (gradient * direction).sum((1, 2, 3))
    step = 1e-7
    with torch.no_grad():
        change = (scores_at(features + step * direction) - scores_at(features - step * direction)).reshape(2) / (2 * step)
    assert (slope != 0).all()
    torch.testing.assert_close(slope, change, rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", [*PAPER, "cnniqa_live"])
def test_networks_score_alone_as_in_a_batch_and_in_eval_mode(models: dict[str, QualityModel], name: str) -> None:
    network = models[name].network
    images = pictures(2, 96, 128)
    with torch.no_grad():
        together, alone = network(images), torch.cat([network(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
    assert not any(module.training for module in named_layers(network).values())
    assert not any(getattr(module, "inplace", False) for module in named_layers(network).values())


def test_another_layer_by_name_and_a_wrong_one(root: Path) -> None:
    model = load_quality_model("cnniqa_live", weights_root=root, layer="conv1")
    assert model.layer is model.network.conv1 and model.layer_name == "conv1"
    with pytest.raises(PaperlibError, match=r"no layer 'conv2'.*conv1, mosaic"):
        load_quality_model("cnniqa_live", weights_root=root, layer="conv2")


# ------------------------------------------------------------------------------------------ what a call leaves behind
def test_a_call_is_silent_offline_and_leaves_no_trace(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import huggingface_hub.constants
    import timm.models._builder
    from pyiqa.archs import arch_util, dbcnn_arch
    from torchvision.models import VGG16_Weights, WeightsEnum

    attempts: list[object] = []

    def no_network(*address: object, **_: object) -> None:
        attempts.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)

    def state() -> list[object]:
        return [
            huggingface_hub.constants.HF_HUB_OFFLINE,
            timm.models._builder.load_pretrained,
            dbcnn_arch.load_pretrained_network is arch_util.load_pretrained_network,
            VGG16_Weights.verify("IMAGENET1K_V1"),
            vars(WeightsEnum)["verify"],
            vars(WeightsEnum)["get_state_dict"],
            torch.load,
            urllib.request.urlopen,
            torch.hub.urlopen,
            list(warnings.filters),
            torch.get_rng_state().tolist(),
            random.getstate(),
        ]

    before = state()
    load_quality_model("dbcnn", weights_root=root)
    load_quality_model("clipiqa_plus", weights_root=root)
    for failing in ("arniqa", "brisque"):
        with pytest.raises(PaperlibError):
            load_quality_model(failing, layer="x", weights_root=root)
    assert state() == before
    assert capfd.readouterr() == ("", "")
    assert attempts == []


def test_random_clip_is_an_archive_in_half_precision_as_the_official_one(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        state = torch.jit.load(root / "RN50.pt").state_dict()
    assert state["visual.layer4.2.conv3.weight"].dtype == torch.float16
    assert state["visual.layer4.2.bn3.weight"].dtype == torch.float32
    assert [int(state[key]) for key in ("input_resolution", "context_length", "vocab_size")] == [224, 77, 49408]
    prompts = torch.load(root / expected_files("clipiqa_plus")[0].name, weights_only=True)
    assert (prompts.shape, prompts.dtype) == ((16, 512), torch.float16)


def test_moving_takes_along_what_plain_lists_hide() -> None:
    network = nn.Sequential(nn.Linear(1, 1))
    network.clip_model = [nn.Linear(1, 1)]
    model = QualityModel("any", network, network[0], "0", True)
    assert model.to("meta") is model
    assert network[0].weight.is_meta and network.clip_model[0].weight.is_meta


# ------------------------------------------------------------------------------------------ files and other names
def test_a_file_under_any_name_and_the_cache_of_torch_hub(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: dict[str, QualityModel]
) -> None:
    images = pictures(1, 64, 64)
    (official,) = (root / file.name for file in expected_files("cnniqa_live"))
    renamed = tmp_path / "mine.pth"
    renamed.symlink_to(official)
    cache = tmp_path / "hub" / "cnniqa"
    cache.mkdir(parents=True)
    (cache / official.name).symlink_to(official)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with torch.no_grad():
        expected = models["cnniqa_live"].network(images)
        for options in ({"weights": renamed}, {}):
            assert torch.equal(load_quality_model("cnniqa_live", **options).network(images), expected)


def test_a_plus_may_stand_as_in_the_address(root: Path, tmp_path: Path) -> None:
    """pyiqa 0.1.16 stores CLIP-IQA+_learned_prompts under the quoted name of its address."""
    prompts, clip = expected_files("clipiqa_plus")
    shutil.copy(root / prompts.name, tmp_path / prompts.name.replace("+", "%2B"))
    (tmp_path / clip.name).symlink_to(root / clip.name)
    assert load_quality_model("clipiqa_plus", weights_root=tmp_path).layer_name == "clip_model.0.visual.layer4"


def test_prompts_given_as_a_file_find_clip_beside_them(root: Path, models: dict[str, QualityModel], tmp_path: Path) -> None:
    prompts = root / expected_files("clipiqa_plus")[0].name
    model = load_quality_model("clipiqa_plus", weights=prompts, weights_root=tmp_path)
    images = pictures(1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model.network(images), models["clipiqa_plus"].network(images))


@pytest.mark.parametrize(("name", "layer"), [("cnniqa", "conv1"), ("paq2piq", "body")])
def test_any_other_metric_of_pyiqa_with_a_layer(tmp_path: Path, name: str, layer: str) -> None:
    (path,) = random_files(name, tmp_path, seed=3)
    assert [file.name for file in expected_files(name)] == [path.name]
    images = pictures(2, 96, 128)
    by_name = load_quality_model(name, layer=layer, weights_root=tmp_path)
    by_file = load_quality_model(name, layer=layer, weights=path)
    with torch.no_grad():
        assert torch.equal(by_name.network(images), by_file.network(images))
    with pytest.raises(PaperlibError, match=f"last feature layer is not known.*{layer}"):
        load_quality_model(name, weights_root=tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("topik", "names like it: topiq"),
        ("zzz", "names like it: topiq, dbcnn, clipiqa_plus"),
        ("lpips", "lpips is a full-reference metric"),
    ],
)
def test_wrong_names_are_told_before_any_work(name: str, told: str) -> None:
    for ask in (load_quality_model, expected_files):
        with pytest.raises(PaperlibError, match=told):
            ask(name)


USER_CODE = """
from torch import nn

class Mean(nn.Module):
    higher_is_better = False
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 2, 3)
    def forward(self, images):
        return self.features(images).mean((1, 2, 3))

def network():
    return Mean()

def pair():
    return Mean(), "features"

def wrong():
    return 7
"""


def test_anybodys_own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_quality_code.py").write_text(USER_CODE)
    monkeypatch.syspath_prepend(tmp_path)
    model = load_quality_model("my_quality_code:pair")
    assert (model.layer_name, model.higher_is_better, model.network.training) == ("features", False, False)
    weights = tmp_path / "mine.pth"
    state = {"features.weight": torch.ones(2, 3, 3, 3), "features.bias": torch.zeros(2)}
    torch.save(state, weights)
    filled = load_quality_model("my_quality_code:network", layer="features", weights=weights)
    assert filled.network(torch.ones(1, 3, 8, 8)).item() == 27
    for name, told in {
        "my_quality_code:network": "last feature layer is not known",
        "my_quality_code:wrong": "expected an nn.Module.*got int",
        "my_quality_code:absent": "AttributeError",
        "no_such_package:network": "ModuleNotFoundError",
    }.items():
        with pytest.raises(PaperlibError, match=told):
            load_quality_model(name)


# ------------------------------------------------------------------------------------------ CNNIQA
def test_the_mosaic_has_a_cell_for_each_place_and_the_rest_of_the_image_is_not_seen(models: dict[str, QualityModel]) -> None:
    model = models["cnniqa_live"]
    images = pictures(2, 2 * PATCH + 5, 3 * PATCH + 31)
    assert features_of(model, images).shape == (2, 50, 2 * 26, 3 * 26)
    with torch.no_grad():
        cropped = model.network(images[:, :, : 2 * PATCH, : 3 * PATCH])
        torch.testing.assert_close(model.network(images), cropped)
        with pytest.raises(ValueError, match="32x32"):
            model.network(pictures(1, 31, 64))


def score_by_scipy(state: dict[str, Tensor], image: Image.Image) -> float:
    """CNNIQA written again from its description, patch by patch: Pillow's grey, scipy's symmetric border, numpy."""
    weights = {key: value.numpy().astype(float) for key, value in state.items()}
    grey = np.asarray(image.convert("L"), float) / 255
    box = np.full((3, 3), 1 / 9)
    scores = []
    for top in range(0, grey.shape[0] - 31, 32):
        for left in range(0, grey.shape[1] - 31, 32):
            patch = grey[top : top + 32, left : left + 32]
            mean = convolve2d(patch, box, "same", "symm")
            spread = np.sqrt(np.maximum(convolve2d(patch**2, box, "same", "symm") - mean**2, 0))
            windows = np.lib.stride_tricks.sliding_window_view((patch - mean) / (spread + 1), (7, 7))
            maps = np.einsum("ijkl,ckl->cij", windows, weights["conv1.weight"][:, 0]).reshape(50, -1)
            maps = maps + weights["conv1.bias"][:, None]
            values = np.concatenate([maps.max(1), maps.min(1)])
            for layer in ("fc1", "fc2"):
                values = np.maximum(weights[f"{layer}.weight"] @ values + weights[f"{layer}.bias"], 0)
            scores.append(weights["fc3.weight"] @ values + weights["fc3.bias"])
    return float(np.mean(scores))


def test_cnniqa_with_its_real_weights(shared) -> None:
    """Scores on photographs as the README of the weights tells them, within the 3 points that it allows."""
    file = shared("weights", "cnniqa_live.pth")
    model = load_quality_model("cnniqa_live", weights=file)
    paths = [shared("kodak", name) for name in ("kodim03.png", "kodim15.png", "kodim23.png")]
    originals = [Image.open(path).convert("RGB").resize((512, 384), Image.Resampling.BICUBIC) for path in paths]

    def compressed(image: Image.Image, level: int) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "jpeg", quality=level)
        return Image.open(buffer).convert("RGB")

    def scores(images: list[Image.Image]) -> np.ndarray:
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in images])).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            return model.network(pixels)[:, 0].numpy()

    assert abs(scores(originals) - 16.5).max() < 3
    for level, told in {50: 22.7, 20: 38.5, 10: 57.4, 5: 78.2}.items():
        assert abs(scores([compressed(image, level) for image in originals]) - told).max() < 3
    state = torch.load(file, weights_only=True)
    assert scores(originals[:1])[0] == pytest.approx(score_by_scipy(state, originals[0]), abs=0.02)


def test_cnniqa_is_the_same_network_as_by_scipy(models: dict[str, QualityModel]) -> None:
    network = models["cnniqa_live"].network
    assert models["cnniqa_live"].higher_is_better is False
    grey = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    image = np.stack([grey] * 3, 2)
    with torch.no_grad():
        ours = network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255).item()
    assert ours == pytest.approx(score_by_scipy(network.state_dict(), Image.fromarray(image)), rel=1e-4)
