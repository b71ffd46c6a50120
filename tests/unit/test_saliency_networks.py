"""The saliency networks without reference material: names, files good and bad, resizing, pictures of any size."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from paperlib.errors import PaperlibError
from paperlib.models import msinet, resizing, saliency, transalnet
from paperlib.models.msinet import MSINet, load_msinet
from paperlib.models.saliency import SaliencyNetwork, load_saliency_network
from paperlib.models.stand_ins import random_files, random_msinet
from paperlib.models.tf_graph import write_constants
from paperlib.models.transalnet import TranSalNet, load_transalnet

ODD_SIZES = [(480, 640), (97, 41), (17, 31), (31, 300), (5, 640), (1, 1)]


@pytest.fixture(scope="module", autouse=True)
def no_fsync() -> Iterator[None]:
    """Checkpoints of 300 MB need not reach the disk."""
    with patch("os.fsync"):
        yield


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# ---- names, shapes, sizes -------------------------------------------------------------------------------------------
def test_wrong_calls_say_what_was_expected() -> None:
    with pytest.raises(ValueError, match="dense, res, got 'vgg'"):
        TranSalNet("vgg")
    with torch.device("meta"):
        transalnet_network, msinet_network = TranSalNet("res"), MSINet()
    with pytest.raises(ValueError, match=r"expected \(n, 3, 288, 384\)"):
        transalnet_network(torch.zeros(1, 3, 384, 288))
    with pytest.raises(ValueError, match=r"\(n, 3, h, w\) with h and w of at least 8"):
        msinet_network(torch.zeros(1, 1, 64, 64))
    with pytest.raises(ValueError, match="transalnet_res, transalnet_dense, msinet, fastgaze; got 'unisal'"):
        load_saliency_network("unisal", Path("x"))


# ---- TensorFlow's resizing ------------------------------------------------------------------------------------------
def test_upsampling_of_tensorflow_1_by_hand() -> None:
    got = resizing.upsample_twice(torch.tensor([[[[0.0, 2.0], [4.0, 8.0]]]]))[0, 0]
    expected = [[0, 1, 2, 2], [2, 3.5, 5, 5], [4, 6, 8, 8], [4, 6, 8, 8]]
    np.testing.assert_array_equal(got, expected)


def test_bicubic_is_that_of_torch_but_for_the_table_of_1024_steps() -> None:
    image = np.random.default_rng(0).random((7, 20)).astype(np.float32)
    expected = functional.interpolate(torch.from_numpy(image)[None, None], (23, 41), mode="bicubic", align_corners=True)[
        0, 0
    ].numpy()
    got = resizing.resize_area_or_bicubic(image, (23, 41))
    difference = np.abs(got - expected).max()
    assert 1e-6 < difference < 2e-3


def test_area_by_hand() -> None:
    """Four pixels to two with aligned corners: steps of 3 input pixels, the last of which lies beyond the border."""
    image = np.array([[1.0, 2.0, 6.0, 10.0]])
    np.testing.assert_allclose(resizing.resize_area_or_bicubic(image, (1, 2)), [[3.0, 10.0]], rtol=1e-6)
    constant = np.full((30, 40, 2), 5.0)
    np.testing.assert_allclose(resizing.resize_area_or_bicubic(constant, (7, 9)), 5.0, rtol=1e-5)


def test_pools_of_stride_1_look_down_and_right() -> None:
    """What enters conv5_1 is the largest of each output of conv4_3 and its neighbours below and to the right."""
    torch.manual_seed(0)
    network = MSINet().eval()
    seen = {}
    network.conv4["conv4_3"].register_forward_hook(lambda module, given, output: seen.update(before=output.relu()))
    network.conv5["conv5_1"].register_forward_pre_hook(lambda module, given: seen.update(after=given[0]))
    with torch.inference_mode():
        network(torch.rand(1, 3, 40, 48) * 255)
    before, after = seen["before"].numpy(), seen["after"].numpy()
    assert before.shape == after.shape == (1, 512, 5, 6)
    for row in range(5):
        for column in range(6):
            expected = before[:, :, row : row + 2, column : column + 2].max((2, 3))
            np.testing.assert_array_equal(after[:, :, row, column], expected)


# ---- files ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["transalnet_res", "transalnet_dense", "msinet", "fastgaze"])
def rehearsed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SaliencyNetwork:
    """Each network from a random checkpoint in the official format."""
    (file,) = random_files(request.param, tmp_path_factory.mktemp("rehearsal") / "weights", seed=1)
    assert file.name == saliency.OFFICIAL_FILES[request.param]
    network = load_saliency_network(request.param, file)
    if request.param == "transalnet_dense":
        with pytest.raises(PaperlibError, match="expected the weights of transalnet_res, got those of transalnet_dense"):
            load_saliency_network("transalnet_res", file)
    file.unlink()
    return network


def test_a_random_checkpoint_gives_maps_that_tell_something(rehearsed: SaliencyNetwork) -> None:
    image = np.repeat(picture(333, 200)[..., :1], 3, 2)
    untouched = image.copy()
    first, second = rehearsed.predict(image), rehearsed.predict(image, quantise=False)
    assert first.shape == second.shape == (333, 200) and first.dtype == second.dtype == np.float32
    assert 0 <= first.min() < first.max() <= 1 and first.std() > 0.01
    np.testing.assert_allclose(first * 255, np.rint(first * 255), atol=1e-4)
    assert 0 < np.abs(first - second).max() <= 2 / 255
    assert len(np.unique(second)) > 1000 > len(np.unique(first))
    np.testing.assert_array_equal(image, untouched)
    np.testing.assert_array_equal(rehearsed.predict(untouched), first)
    assert not rehearsed.network.training


def test_a_gpu_gives_the_map_of_the_cpu(rehearsed: SaliencyNetwork) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    image = picture(240, 320)
    expected = rehearsed.predict(image, quantise=False)
    rehearsed.network.to("cuda")
    try:
        np.testing.assert_allclose(rehearsed.predict(image, quantise=False), expected, atol=5e-3)
    finally:
        rehearsed.network.to("cpu")


@pytest.fixture
def small_transalnet() -> dict[str, Tensor]:
    """A state dict of the names of TranSalNet-Res, without memory behind it."""
    with torch.device("meta"):
        shapes = TranSalNet("res").state_dict()
    return {key: torch.zeros((), dtype=value.dtype).expand(value.shape) for key, value in shapes.items()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (None, "there is no file of weights"),
        (
            lambda good: {key: value for key, value in good.items() if not key.startswith("decoder.conv7")},
            "2 missing, first decoder.conv7.bias (of 473 tensors); give the authors' TranSalNet_Res.pth",
        ),
        (lambda good: {**good, "decoder.conv8.weight": torch.zeros(1)}, "1 not of this network, first decoder.conv8.weight"),
        (
            lambda good: {**good, "decoder.conv7.bias": torch.zeros(2)},
            "1 of another shape, first decoder.conv7.bias (2,) for (1,)",
        ),
        (lambda good: {f"wrapped.{key}": value for key, value in good.items()}, "got those of another network"),
        (lambda good: {"of the training": {"state_dict": good}}, "holds no state dict"),
        (lambda good: [1, 2], "holds no state dict"),
    ],
    ids=["absent", "missing", "unknown", "shape", "another network", "deeper", "list"],
)
def test_transalnet_files_that_are_not_right_are_one_sentence(
    change: Callable | None, told: str, tmp_path: Path, small_transalnet: dict[str, Tensor]
) -> None:
    file = tmp_path / "mine.pth"
    if change is not None:
        torch.save(change(small_transalnet), file)
    with pytest.raises(PaperlibError, match=rf"mine\.pth.*{re.escape(told)}|{re.escape(told)}.*mine\.pth") as error:
        load_transalnet(file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("damage", ["cut", b"", b"<!DOCTYPE html>", b"\x80\x02" + bytes(50), bytes(1000)])
def test_transalnet_files_that_are_damaged_are_one_sentence(damage: bytes | str, tmp_path: Path) -> None:
    file = tmp_path / "mine.pth"
    torch.save({"encoder.encoder.0.weight": torch.zeros(64, 3, 7, 7)}, file)
    file.write_bytes(file.read_bytes()[:-1] if isinstance(damage, str) else damage)
    with pytest.raises(PaperlibError, match="^mine.pth .* cannot be read as a PyTorch file of tensors"):
        load_transalnet(file)


def test_half_precision_weights_become_single(tmp_path: Path, small_transalnet: dict[str, Tensor]) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in small_transalnet.items()}
    torch.save(state, tmp_path / "half.pth")
    network = load_transalnet(tmp_path / "half.pth")
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}
    assert not any(value.is_meta for value in network.state_dict().values())


@pytest.fixture(scope="module")
def constants() -> dict[str, np.ndarray]:
    return random_msinet(3)


@pytest.fixture
def graph(tmp_path: Path) -> Callable[[dict[str, np.ndarray]], Path]:
    def write(constants: dict[str, np.ndarray]) -> Path:
        write_constants(constants, tmp_path / "graph.pb")
        return tmp_path / "graph.pb"

    return write


def holds(network: MSINet, constants: dict[str, np.ndarray]) -> bool:
    state = network.state_dict()
    return len(state) == len(constants) and all(
        np.array_equal(state[key].numpy(), msinet_layout(constants[key_to_name(key)])) for key in state
    )


def key_to_name(key: str) -> str:
    return key.replace(".", "/").replace("/weight", "/kernel")


def msinet_layout(array: np.ndarray) -> np.ndarray:
    """Kernels of TensorFlow to those of PyTorch, axis by axis."""
    return np.moveaxis(array, (3, 2, 0, 1), (0, 1, 2, 3)) if array.ndim == 4 else array


def test_msinet_from_a_graph_in_any_order(constants: dict[str, np.ndarray], graph: Callable) -> None:
    shuffled = {name: constants[name] for name in sorted(constants)}
    clutter = {"mean": np.zeros((1, 3, 1, 1), np.float32), "ones": np.ones((256,), np.float32), "eps": np.float64(1e-7)}
    network = load_msinet(graph({**clutter, **shuffled}))
    assert holds(network, constants)
    assert not network.training and network.decoder["conv1"].weight.is_contiguous()


def test_renamed_nodes_are_matched_by_shape_and_order_aloud(constants: dict[str, np.ndarray], graph: Callable) -> None:
    renamed = {
        f"Const_{number}" if name.startswith(("conv4", "aspp")) else name: array
        for number, (name, array) in enumerate(constants.items())
    }
    with pytest.warns(UserWarning, match=r"18 of 46 weights .* shape and order: conv4/conv4_1/kernel, .* and 15 more"):
        network = load_msinet(graph(renamed))
    assert holds(network, constants)


def test_missing_and_ambiguous_nodes_are_named(constants: dict[str, np.ndarray], graph: Callable) -> None:
    few = {name: array for name, array in constants.items() if name.startswith("conv1")}
    with pytest.raises(PaperlibError, match=r"^graph.pb: .* missing conv2/conv2_1/kernel \(3, 3, 64, 128\), .* and 39 more"):
        load_msinet(graph(few))
    wrong_shape = {**constants, "conv1/conv1_1/kernel": np.zeros((3, 3, 64, 3), np.float32)}
    with pytest.raises(PaperlibError, match=r"^graph.pb: .* missing conv1/conv1_1/kernel \(3, 3, 3, 64\)"):
        load_msinet(graph(wrong_shape))
    shared_shape = {**constants, "another": np.zeros(256, np.float32), "one more": np.ones(256, np.float32)}
    del shared_shape["aspp/conv1_5/bias"]
    with pytest.raises(PaperlibError, match=r"^graph.pb: aspp/conv1_5/bias cannot be told .* 2 unknown .*\(256,\)"):
        load_msinet(graph(shared_shape))


@pytest.mark.parametrize("content", [None, b"", b"junk of some length", b"\xff" * 100])
def test_msinet_files_that_cannot_be_read_are_one_sentence(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.pb").write_bytes(content)
    with pytest.raises(PaperlibError, match="^a.pb: expected") as error:
        load_msinet(tmp_path / "a.pb")
    assert "\n" not in str(error.value)


# ---- pictures of any size -------------------------------------------------------------------------------------------
class Channel(nn.Module):
    """Gives back one channel of its input, as a network that finds its picture salient."""

    def __init__(self, channel: int, full: float) -> None:
        super().__init__()
        self.channel, self.full = channel, nn.Parameter(torch.tensor(full))

    def forward(self, images: Tensor) -> Tensor:
        return images[:, self.channel : self.channel + 1] / self.full


def mirror(name: str, channel: int = 1) -> SaliencyNetwork:
    """A saliency network whose network is `Channel`, with the real preparation and restoration."""
    return SaliencyNetwork(Channel(channel, 255.0 if name == "msinet" else 1.0), *saliency.RECIPES[name])


NAMES = ["transalnet_res", "msinet"]


@pytest.mark.parametrize("quantise", [True, False])
@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_map_has_the_size_of_the_picture(name: str, size: tuple[int, int], quantise: bool) -> None:
    got = mirror(name).predict(picture(*size), quantise)
    assert got.shape == size and got.dtype == np.float32
    assert 0 <= got.min() <= got.max() <= 1


@pytest.mark.parametrize("size", [(480, 640), (600, 300), (300, 900), (90, 70), (288, 384)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_the_map_lies_on_the_picture(name: str, size: tuple[int, int]) -> None:
    """A blob that the network gives back must come back where it was; at the border the frame shines through."""
    y, x = np.mgrid[: size[0], : size[1]]
    centre, spread = (0.3 * size[0], 0.65 * size[1]), 0.1 * min(size)
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * spread**2))
    image = np.rint(np.repeat(blob[..., None] * 255, 3, 2)).astype(np.uint8)
    got = mirror(name).predict(image, quantise=False)
    pixel = max(max(size) / 320, 1)
    border = int(3 * pixel)
    inside = np.s_[border:-border, border:-border]
    np.testing.assert_allclose(got[inside], blob[inside], atol=0.08)
    for axis in (y, x):
        middle, expected = (np.average(axis[inside], weights=weights[inside] + 1e-9) for weights in (got, blob))
        assert middle == pytest.approx(expected, abs=0.8 * pixel)


def test_transalnet_sees_blue_first_and_msinet_red_first() -> None:
    image = np.zeros((288, 384, 3), np.uint8)
    image[..., 0], image[..., 2] = 51, 204  # red, blue
    assert mirror("transalnet_res", 0).predict(image).mean() == pytest.approx(204 / 255)
    assert mirror("msinet", 0).predict(image).mean() == pytest.approx(51 / 255, abs=1e-6)


def test_the_frames_around_a_picture() -> None:
    white = np.full((100, 400, 3), 255, np.uint8)
    for prepared, value in ((transalnet.prepare(white), 1), (msinet.prepare(white), 126)):
        assert (prepared[0] == value).all() and (prepared[-1] == value).all()
        assert prepared[len(prepared) // 2].min() == pytest.approx(255, abs=0.01)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_a_picture_must_be_rgb_of_8_bits(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image must be \(h, w, 3\) uint8 RGB, got"):
        mirror("msinet").predict(image)
