"""SGDNet: its parts against torchvision and by hand, batches, pictures of any size, and files that are not right."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from paperlib.errors import PaperlibError
from paperlib.models import sgdnet
from paperlib.models.folding import prepare as prepare_for_inference
from paperlib.models.sgdnet import SGDNet, load_sgdnet, sgdnet_from_weights, weight_shapes
from paperlib.models.stand_ins import random_files, random_sgdnet

SIGNATURE = b"\x89HDF\r\n\x1a\n"


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return random_sgdnet("output", seed=1)


@pytest.fixture(scope="module")
def network(weights: dict[str, np.ndarray]) -> SGDNet:
    return sgdnet_from_weights(weights)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(3, 3, 70, 100, generator=torch.Generator().manual_seed(0))


def empty(variant: sgdnet.Variant = "output") -> dict[str, np.ndarray]:
    """Weights of the right names and shapes without memory behind them."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in weight_shapes(variant).items()}


def without(weights: dict[str, np.ndarray], *names: str) -> dict[str, np.ndarray]:
    return {name: array for name, array in weights.items() if name not in names}


# ---- the network ----------------------------------------------------------------------------------------------------
def test_the_backbone_is_torchvisions_with_the_stride_on_the_first_convolution(
    network: SGDNet, images: Tensor, weights: dict[str, np.ndarray]
) -> None:
    """torchvision's ResNet-50 with strides moved, biases and the epsilon of Keras, filled from the arrays of Keras."""
    from torchvision.models import resnet50

    peer = resnet50(weights=None).eval()

    def fill(convolution: nn.Conv2d, norm: nn.BatchNorm2d, layer: str, norm_layer: str) -> None:
        convolution.weight.data = torch.from_numpy(weights[f"{layer}/kernel"]).permute(3, 2, 0, 1).contiguous()
        convolution.bias = nn.Parameter(torch.from_numpy(weights[f"{layer}/bias"]))
        for mine, theirs in (
            (norm.weight, "gamma"),
            (norm.bias, "beta"),
            (norm.running_mean, "moving_mean"),
            (norm.running_var, "moving_variance"),
        ):
            mine.data.copy_(torch.from_numpy(weights[f"{norm_layer}/{theirs}"]))
        norm.eps = 1e-3

    fill(peer.conv1, peer.bn1, "conv1", "bn_conv1")
    for stage in range(2, 6):
        for number, block in enumerate(getattr(peer, f"layer{stage - 1}")):
            name = f"{stage}{'abcdef'[number]}"
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
            for branch, layer in enumerate("abc", 1):
                fill(
                    getattr(block, f"conv{branch}"),
                    getattr(block, f"bn{branch}"),
                    f"res{name}_branch2{layer}",
                    f"bn{name}_branch2{layer}",
                )
            if block.downsample is not None:
                fill(*block.downsample, f"res{name}_branch1", f"bn{name}_branch1")
    peer.avgpool, peer.fc = nn.Identity(), nn.Identity()
    bgr = images.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    seen: list[Tensor] = []
    handle = network.get_submodule(sgdnet.LAST_FEATURES).register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.inference_mode():
        network(images)
        expected = peer(bgr).reshape(3, 2048, 3, 4)
    handle.remove()
    (features,) = seen
    assert expected.std() > 0.1
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4 * expected.std().item())


def head_by_hand(features: np.ndarray, weights: dict[str, np.ndarray], saliency: bool) -> tuple[float, np.ndarray]:
    """Score and map of one picture's features (2048, h, w), in double precision."""
    array = {name: value.astype(float) for name, value in weights.items() if name.split("/")[0] in HEAD}
    raw = np.maximum(np.einsum("ihw,io->ohw", features.astype(float), array["conv2d_1/kernel"][0, 0]), 0)
    squeezed = np.maximum(raw.mean((1, 2)) @ array["dense_1/kernel"] + array["dense_1/bias"], 0)
    gate = 1 / (1 + np.exp(-(squeezed @ array["dense_2/kernel"] + array["dense_2/bias"])))
    map_ = np.maximum(np.einsum("ihw,i->hw", raw, array["saliency/kernel"][0, 0, :, 0]), 0)
    hidden = (raw * gate[:, None, None] * (map_ if saliency else 1)).mean((1, 2))
    for layer in ("fc1", "fc2"):
        hidden = np.maximum(hidden @ array[f"{layer}/kernel"] + array[f"{layer}/bias"], 0)
    return (hidden @ array["predictions/kernel"] + array["predictions/bias"]).item(), map_


def lowered(weights: dict[str, np.ndarray], images: Tensor) -> np.ndarray:
    network, raw = sgdnet_from_weights(weights), []
    network.conv2d_1.register_forward_hook(lambda *call: raw.append(call[2].relu()))
    with torch.inference_mode():
        map_ = network.score_and_saliency(images).saliency[:, 0]
    return weights["saliency/kernel"] - (map_ / raw[0].sum(1)).median().item()


HEAD = {"conv2d_1", "dense_1", "dense_2", "saliency", "fc1", "fc2", "predictions"}


@pytest.mark.parametrize("variant", ["output", "none"])
def test_the_head_by_hand(variant: sgdnet.Variant, weights: dict[str, np.ndarray], images: Tensor) -> None:
    """With a map that the ReLU cuts: its kernel is lowered until half of the values would be negative."""
    given = {**weights, "saliency/kernel": lowered(weights, images)}
    network = sgdnet_from_weights(given if variant == "output" else without(given, "saliency/kernel"))
    seen: list[Tensor] = []
    network.res5c.register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.inference_mode():
        score, saliency = network.score_and_saliency(images)
    assert score.shape == (3, 1) and (saliency is None) == (variant == "none")
    cut = []
    for index in range(3):
        expected, map_ = head_by_hand(seen[0][index].numpy(), given, variant == "output")
        assert score[index].item() == pytest.approx(expected, rel=1e-4, abs=1e-4)
        if saliency is not None:
            assert saliency.shape == (3, 1, 3, 4)
            np.testing.assert_allclose(saliency[index, 0], map_, rtol=0, atol=1e-4 * map_.max())
            cut.append(map_ == 0)
    assert variant == "none" or 0.3 < np.mean(cut) < 0.7


def test_batches_are_pictures_one_by_one(network: SGDNet, images: Tensor) -> None:
    with torch.inference_mode():
        together = network.score_and_saliency(images)
        apart = [network.score_and_saliency(image[None]) for image in images]
    assert together.score.std() > 1e-3, "the scores must differ for this to tell something"
    torch.testing.assert_close(together.score, torch.cat([one.score for one in apart]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.saliency, torch.cat([one.saliency for one in apart]), rtol=1e-4, atol=1e-5)
    assert together.score.dtype == together.saliency.dtype == torch.float32


def test_forward_is_the_score_alone_and_always_the_same(network: SGDNet, images: Tensor) -> None:
    with torch.inference_mode():
        score = network(images)
        assert torch.equal(score, network.score_and_saliency(images).score)
        assert torch.equal(score, network(images)), "dropout must not act"
    assert score.shape == (3, 1) and not network.training
    assert SGDNet.higher_is_better


def test_gradients_reach_the_last_features_and_the_picture(network: SGDNet, images: Tensor) -> None:
    """What the extraction of saliency maps needs: a layer by name with (n, c, h, w) and the score's gradient there."""
    given = images[:1].clone().requires_grad_()
    seen: list[Tensor] = []
    handle = network.get_submodule(sgdnet.LAST_FEATURES).register_forward_hook(lambda *call: seen.append(call[2]))
    score = network(given)
    handle.remove()
    gradients = torch.autograd.grad(score.sum(), [seen[0], given])
    assert seen[0].shape == (1, 2048, 3, 4)
    assert all(gradient.isfinite().all() and gradient.abs().max() > 0 for gradient in gradients)
    assert not any(getattr(module, "inplace", False) for module in network.modules())


@pytest.mark.parametrize("shape", [(1, 3, 31, 64), (1, 3, 64, 31), (1, 1, 64, 64), (3, 64, 64)], ids=str)
def test_other_shapes_are_refused(shape: tuple[int, ...], network: SGDNet) -> None:
    with pytest.raises(ValueError, match=r"expected \(n, 3, h, w\) with h and w of at least 32"):
        network(torch.zeros(shape))


def test_the_faster_copy_computes_the_same(network: SGDNet, images: Tensor) -> None:
    fast = prepare_for_inference(network, images)
    with torch.inference_mode():
        expected, got = network.score_and_saliency(images), fast.score_and_saliency(images)
    torch.testing.assert_close(got.score, expected.score, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(got.saliency, expected.saliency, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())


# ---- pictures -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(384, 512), (100, 37), (900, 700), (1, 1)], ids=str)
def test_preparation_is_bilinear_and_keeps_fractions(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    untouched = image.copy()
    got = sgdnet.prepare(image)
    given = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    expected = functional.interpolate(given, (384, 512), mode="bilinear", antialias=False)[0].permute(1, 2, 0)
    assert got.shape == (384, 512, 3) and got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    assert size == (1, 1) or size == (384, 512) or np.abs(got * 255 - np.rint(got * 255)).max() > 0.4
    np.testing.assert_array_equal(image, untouched)


def test_one_picture_of_any_size(network: SGDNet) -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 70, 3), np.uint8)
    score, saliency = network.predict(image)
    with torch.inference_mode():
        pixels = torch.from_numpy(sgdnet.prepare(image)).permute(2, 0, 1)[None]
        expected = network.score_and_saliency(pixels)
    assert score == expected.score.item() and isinstance(score, float)
    assert saliency.shape == (12, 16) and saliency.dtype == np.float32
    np.testing.assert_array_equal(saliency, expected.saliency[0, 0])
    assert network.predict(np.ascontiguousarray(image[..., ::-1]))[0] != pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_a_picture_must_be_rgb_of_8_bits(image: np.ndarray, network: SGDNet) -> None:
    with pytest.raises(ValueError, match=r"image must be \(h, w, 3\) uint8 RGB, got"):
        network.predict(image)


def test_another_variant_is_refused(tmp_path: Path) -> None:
    for call in (
        lambda: SGDNet("input"),
        lambda: weight_shapes("input"),
        lambda: sgdnet_from_weights(empty(), "input"),
        lambda: load_sgdnet(tmp_path / "absent", "input"),
    ):
        with pytest.raises(ValueError, match="variant must be one of none, output, got 'input'"):
            call()


# ---- weights by name ------------------------------------------------------------------------------------------------
def refused(load: Callable[[], SGDNet], source: str) -> str:
    with pytest.raises(PaperlibError) as error:
        load()
    told = str(error.value)
    assert "\n" not in told and told.startswith(source) and "SGDNet" in told
    return told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda good: without(good, "fc2/bias"), "1 missing, first fc2/bias (of 330 tensors); give the authors' sal"),
        (lambda good: {**good, "fc3/bias": np.zeros(1, np.float32)}, "1 not of this network, first fc3/bias"),
        (
            lambda good: {**good, "fc2/kernel": np.broadcast_to(np.float32(0), (1024, 512))},
            "1 of another shape, first fc2/kernel (1024, 512) for (1024, 1024)",
        ),
        (lambda good: {**good, "conv1/bias": np.zeros(64, int)}, "expected floating point, but conv1/bias is int64"),
        (lambda good: {**good, "conv1/bias": np.full(64, None)}, "expected floating point, but conv1/bias is object"),
        (lambda good: {}, "(none): 329 missing, first bn2a_branch1/beta"),
        (
            lambda good: without(good, *(f"dense_{number}/{leaf}" for number in (1, 2) for leaf in ("kernel", "bias"))),
            "4 missing, first dense_1/bias",
        ),
        (lambda good: without(good, "dense_1/kernel", "dense_1/bias"), "2 missing, first dense_1/bias"),
    ],
)
def test_weights_that_are_not_right_are_one_sentence(change: Callable, told: str) -> None:
    assert told in refused(lambda: sgdnet_from_weights(change(empty())), "weights")


def test_weights_of_the_other_variant_are_told() -> None:
    told = refused(lambda: sgdnet_from_weights(empty(), "none"), "weights")
    assert "(none): 1 not of this network, first saliency/kernel" in told and "give the authors' saliencynone-" in told
    told = refused(lambda: sgdnet_from_weights(empty("none"), "output"), "weights")
    assert "(output): 1 missing, first saliency/kernel" in told


def renamed(weights: dict[str, np.ndarray], names: dict[str, str]) -> dict[str, np.ndarray]:
    pairs = ((name.partition("/"), array) for name, array in weights.items())
    return {f"{names.get(layer, layer)}/{leaf}": array for (layer, _, leaf), array in pairs}


@pytest.mark.parametrize(
    "names",
    [
        {"conv2d_1": "conv2d", "dense_1": "dense", "dense_2": "dense_1"},
        {"conv2d_1": "conv2d_7", "dense_1": "dense_9", "dense_2": "dense_10"},
    ],
    ids=["TensorFlow 2", "after other networks"],
)
def test_layers_that_keras_numbers_itself_count_by_their_order(
    names: dict[str, str], weights: dict[str, np.ndarray], network: SGDNet
) -> None:
    shuffled = dict(reversed(renamed(weights, names).items()))
    state, expected = sgdnet_from_weights(shuffled).state_dict(), network.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)


def test_half_and_double_precision_become_single(weights: dict[str, np.ndarray]) -> None:
    mixed = {name: array.astype(np.float64 if name.endswith("kernel") else np.float16) for name, array in weights.items()}
    network = sgdnet_from_weights(mixed)
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}
    assert not any(value.is_meta for value in [*network.state_dict().values(), network.means])
    assert all(value.is_contiguous() for value in network.state_dict().values())
    assert network.fc1.weight[3, 5] == weights["fc1/kernel"][5, 3]


def test_the_loaded_network_does_not_share_memory_with_the_arrays(weights: dict[str, np.ndarray]) -> None:
    given = {**weights, "predictions/bias": np.zeros(1, np.float32)}
    network = sgdnet_from_weights(given)
    given["predictions/bias"][:] = 5
    assert network.predictions.bias.item() == 0


# ---- files ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html>", b"\x80\x04\x95", SIGNATURE[:-1], b"PK\x03\x04" * 9])
def test_files_that_are_no_hdf5_are_one_sentence(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "mine.pkl"
    assert "there is no such file" in refused(lambda: load_sgdnet(file), "mine.pkl")
    file.write_bytes(content)
    assert "something else, damaged or unfinished" in refused(lambda: load_sgdnet(file), "mine.pkl")


def test_a_folder_as_tensorflow_2_saves_is_told(tmp_path: Path) -> None:
    assert "got a folder (TensorFlow 2" in refused(lambda: load_sgdnet(tmp_path), tmp_path.name)


@pytest.fixture
def shaped(tmp_path: Path) -> Callable[..., Path]:
    """Writes a file of Keras whose arrays have shapes but take no room; all values are zero."""

    def write(shapes: dict[str, tuple[int, ...]]) -> Path:
        with h5py.File(tmp_path / "a.h5", "w") as opened:
            for path, shape in shapes.items():
                opened.create_dataset(f"model_weights/{path.split('/')[0]}/{path}:0", shape, "f4")
        return tmp_path / "a.h5"

    return write


@pytest.mark.parametrize("variant", ["none", "output"])
def test_a_random_checkpoint_is_read_again(variant: sgdnet.Variant, tmp_path: Path) -> None:
    (file,) = random_files(f"sgdnet_{variant}", tmp_path / "weights", seed=1)
    assert file.name == sgdnet.OFFICIAL_FILES[variant] and file.read_bytes()[:8] == SIGNATURE
    with h5py.File(file, "r") as opened:
        layers = [name.decode() for name in opened["model_weights"].attrs["layer_names"]]
        assert layers[:3] == ["conv1", "bn_conv1", "res2a_branch2a"]
        group = opened["model_weights/fc1"]
        assert [name.decode() for name in group.attrs["weight_names"]] == ["fc1/kernel:0", "fc1/bias:0"]
        assert group["fc1/kernel:0"].shape == (512, 1024)
    network = load_sgdnet(file, variant)
    file.unlink()
    expected = sgdnet_from_weights(random_sgdnet(variant, 1)).state_dict()
    state = network.state_dict()
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert network.variant == variant and not network.training


@pytest.mark.parametrize(
    ("path", "content", "told"),
    [
        ("fc1/fc1/bias:0", h5py.Empty("f4"), "1 of another shape, first fc1/bias () for (1024,)"),
        ("fc1/fc1/bias:0", ["text"] * 1024, "expected floating point, but fc1/bias is object"),
        ("fc2/again/bias:0", np.zeros(1024, np.float32), "but fc2/bias is in it twice;"),
    ],
)
def test_arrays_of_another_kind_are_one_sentence(path: str, content: object, told: str, shaped: Callable[..., Path]) -> None:
    file = shaped(without(weight_shapes("output"), "fc1/bias"))
    with h5py.File(file, "a") as opened:
        opened[f"model_weights/{path}"] = content
    assert told in refused(lambda: load_sgdnet(file, "output"), "a.h5")


def test_hdf5_files_of_something_else_are_one_sentence(shaped: Callable[..., Path], tmp_path: Path) -> None:
    with h5py.File(tmp_path / "array.h5", "w") as opened:
        opened["model_weights"] = np.zeros(3)
    for file in (shaped({"conv2d_1/kernel": (3, 3, 3, 64)}), shaped({}), tmp_path / "array.h5"):
        assert "missing, first bn2a_branch1/beta" in refused(lambda file=file: load_sgdnet(file), file.name)


def test_damaged_hdf5_files_are_one_sentence(shaped: Callable[..., Path]) -> None:
    whole = shaped(weight_shapes("none"))
    content = whole.read_bytes()
    damaged = [content[:part] for part in (8, 9, 100, 1000, len(content) // 2, len(content) - 1)]
    for part in (*damaged, SIGNATURE + np.random.default_rng(0).bytes(5000)):
        whole.write_bytes(part)
        assert "damaged or unfinished" in refused(lambda: load_sgdnet(whole), "a.h5")
