"""The saliency networks without reference material: names, files good and bad, resizing, pictures of any size."""

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from paperlib.errors import PaperlibError
from paperlib.models import msinet, saliency, tf_resize, transalnet
from paperlib.models.msinet import MSINet, load_msinet
from paperlib.models.saliency import SaliencyNetwork, load_saliency_network
from paperlib.models.stand_ins.saliency import random_checkpoint, random_constants
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
    with pytest.raises(ValueError, match="transalnet_res, transalnet_dense, msinet; got 'unisal'"):
        load_saliency_network("unisal", Path("x"))
    with pytest.raises(ValueError, match="got 'unisal'"):
        random_checkpoint("unisal", Path("x"), 0)
    with pytest.raises(ValueError, match="hugging_face for msinet; got 'hugging_face' for transalnet_res"):
        load_saliency_network("transalnet_res", Path("x"), recipe="hugging_face")


# ---- TensorFlow's resizing ------------------------------------------------------------------------------------------
def test_upsampling_of_tensorflow_1_by_hand() -> None:
    got = tf_resize.upsample_twice(torch.tensor([[[[0.0, 2.0], [4.0, 8.0]]]]))[0, 0]
    expected = [[0, 1, 2, 2], [2, 3.5, 5, 5], [4, 6, 8, 8], [4, 6, 8, 8]]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("size", [(13, 29), (5, 40), (3, 3), (1, 1)], ids=str)
def test_bilinear_is_that_of_torch(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((7, 20, 3)).astype(np.float32)
    expected = functional.interpolate(torch.from_numpy(image).permute(2, 0, 1)[None], size, mode="bilinear")
    np.testing.assert_allclose(tf_resize.resize_bilinear(image, size), expected[0].permute(1, 2, 0), atol=1e-6)
    np.testing.assert_allclose(tf_resize.resize_bilinear(image[..., 0], size), expected[0, 0], atol=1e-6)


def test_bicubic_is_that_of_torch_but_for_the_table_of_1024_steps() -> None:
    image = np.random.default_rng(0).random((7, 20)).astype(np.float32)
    expected = functional.interpolate(torch.from_numpy(image)[None, None], (23, 41), mode="bicubic", align_corners=True)[
        0, 0
    ].numpy()
    got = tf_resize.resize_area_or_bicubic(image, (23, 41))
    difference = np.abs(got - expected).max()
    assert 1e-6 < difference < 2e-3


def test_area_by_hand() -> None:
    """Four pixels to two with aligned corners: steps of 3 input pixels, the last of which lies beyond the border."""
    image = np.array([[1.0, 2.0, 6.0, 10.0]])
    np.testing.assert_allclose(tf_resize.resize_area_or_bicubic(image, (1, 2)), [[3.0, 10.0]], rtol=1e-6)
    constant = np.full((30, 40, 2), 5.0)
    np.testing.assert_allclose(tf_resize.resize_area_or_bicubic(constant, (7, 9)), 5.0, rtol=1e-5)


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
@pytest.fixture(scope="module", params=["transalnet_res", "transalnet_dense", "msinet"])
def rehearsed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SaliencyNetwork:
    """Each network from a random checkpoint in the official format."""
    file = random_checkpoint(request.param, tmp_path_factory.mktemp("rehearsal") / "weights", seed=1)
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
    assert rehearsed.device == torch.device("cpu")


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


def saved(state: object, file: Path) -> Path:
    torch.save(state, file)
    return file


def test_transalnet_files_that_are_not_right_are_one_sentence(tmp_path: Path, small_transalnet: dict[str, Tensor]) -> None:
    def refused(file: Path) -> str:
        with pytest.raises(PaperlibError) as error:
            load_transalnet(file)
        assert "\n" not in str(error.value) and str(error.value).startswith(f"{file.name}: expected")
        return str(error.value)

    good = small_transalnet
    assert "no such file" in refused(tmp_path / "absent.pth")
    without = {key: value for key, value in good.items() if not key.startswith("decoder.conv7")}
    assert "decoder.conv7.weight is missing, decoder.conv7.bias is missing; give" in refused(
        saved(without, tmp_path / "a.pth")
    )
    extra = {**good, "decoder.conv8.weight": torch.zeros(1)}
    assert "decoder.conv8.weight is unknown" in refused(saved(extra, tmp_path / "b.pth"))
    reshaped = {**good, "decoder.conv7.bias": torch.zeros(2)}
    assert "decoder.conv7.bias has the shape (2,) instead of (1,)" in refused(saved(reshaped, tmp_path / "c.pth"))
    renamed = {f"module.{key}": value for key, value in good.items()}
    assert "another network" in refused(saved(renamed, tmp_path / "d.pth"))
    many = {key: value for key, value in good.items() if "TransEncoder" not in key}
    assert "and 108 more" in refused(saved(many, tmp_path / "e.pth"))
    assert "state dict of tensors" in refused(saved({"state_dict": good}, tmp_path / "f.pth"))
    assert "state dict of tensors" in refused(saved([1, 2], tmp_path / "g.pth"))


def test_transalnet_files_that_are_damaged_are_one_sentence(tmp_path: Path) -> None:
    whole = io.BytesIO()
    torch.save({"encoder.encoder.0.weight": torch.zeros(64, 3, 7, 7)}, whole)
    content = whole.getvalue()
    damaged = [content[:length] for length in (0, 1, 100, len(content) // 2, len(content) - 1)]
    damaged += [b"<!DOCTYPE html>", pickle.dumps(Path("x")), b"\x80\x02" + bytes(50), bytes(1000)]
    for number, content in enumerate(damaged):
        file = tmp_path / f"{number}.pth"
        file.write_bytes(content)
        with pytest.raises(PaperlibError, match=f"^{number}.pth: expected .* no PyTorch checkpoint or damaged"):
            load_transalnet(file)


def test_half_precision_weights_become_single(tmp_path: Path, small_transalnet: dict[str, Tensor]) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in small_transalnet.items()}
    network = load_transalnet(saved(state, tmp_path / "half.pth"))
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}
    assert not any(value.is_meta for value in network.state_dict().values())


@pytest.fixture(scope="module")
def constants() -> dict[str, np.ndarray]:
    return random_constants(3)


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


def test_msinet_from_safetensors_and_from_a_graph_in_any_order(
    constants: dict[str, np.ndarray], graph: Callable, tmp_path: Path
) -> None:
    from safetensors.numpy import save_file

    save_file(constants, tmp_path / "msinet.safetensors")
    assert holds(load_msinet(tmp_path / "msinet.safetensors"), constants)
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


def test_missing_and_ambiguous_nodes_are_named(constants: dict[str, np.ndarray], graph: Callable, tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    few = {name: array for name, array in constants.items() if name.startswith("conv1")}
    with pytest.raises(PaperlibError, match=r"^graph.pb: .* missing conv2/conv2_1/kernel \(3, 3, 64, 128\), .* and 39 more"):
        load_msinet(graph(few))
    shared_shape = {**constants, "another": np.zeros(256, np.float32), "one more": np.ones(256, np.float32)}
    del shared_shape["aspp/conv1_5/bias"]
    with pytest.raises(PaperlibError, match=r"^graph.pb: aspp/conv1_5/bias cannot be told .* 2 unknown .*\(256,\)"):
        load_msinet(graph(shared_shape))
    wrong_shape = {**few, "conv1/conv1_1/kernel": np.zeros((3, 3, 64, 3), np.float32)}
    save_file(wrong_shape, tmp_path / "w.safetensors")
    with pytest.raises(PaperlibError, match=r"^w.safetensors: .* missing conv1/conv1_1/kernel \(3, 3, 3, 64\)"):
        load_msinet(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["a.pb", "a.safetensors", "a.ckpt"])
def test_msinet_files_that_cannot_be_read_are_one_sentence(name: str, tmp_path: Path) -> None:
    for content in (None, b"", b"junk of some length", b"\xff" * 100):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(PaperlibError, match=f"^{name}: expected") as error:
            load_msinet(tmp_path / name)
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
    if name == "transalnet":
        return SaliencyNetwork("transalnet_res", Channel(channel, 1.0), *saliency.RECIPES["transalnet_res", "github"])
    return SaliencyNetwork("msinet", Channel(channel, 255.0), *saliency.RECIPES["msinet", name])


RECIPES = ["transalnet", "github", "hugging_face"]


@pytest.mark.parametrize("quantise", [True, False])
@pytest.mark.parametrize("size", ODD_SIZES, ids=str)
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_map_has_the_size_of_the_picture(recipe: str, size: tuple[int, int], quantise: bool) -> None:
    got = mirror(recipe).predict(picture(*size), quantise)
    assert got.shape == size and got.dtype == np.float32
    assert 0 <= got.min() <= got.max() <= 1


@pytest.mark.parametrize("size", [(480, 640), (600, 300), (300, 900), (90, 70), (288, 384)], ids=str)
@pytest.mark.parametrize("recipe", RECIPES)
def test_the_map_lies_on_the_picture(recipe: str, size: tuple[int, int]) -> None:
    """A blob that the network gives back must come back where it was; at the border the frame shines through."""
    y, x = np.mgrid[: size[0], : size[1]]
    centre, spread = (0.3 * size[0], 0.65 * size[1]), 0.1 * min(size)
    blob = np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * spread**2))
    image = np.rint(np.repeat(blob[..., None] * 255, 3, 2)).astype(np.uint8)
    got = mirror(recipe).predict(image, quantise=False)
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
    assert mirror("transalnet", 0).predict(image).mean() == pytest.approx(204 / 255)
    assert mirror("github", 0).predict(image).mean() == pytest.approx(51 / 255, abs=1e-6)
    assert mirror("hugging_face", 0).predict(image).mean() == pytest.approx(51 / 255, abs=1e-6)


def test_the_frames_around_a_picture() -> None:
    white = np.full((100, 400, 3), 255, np.uint8)
    for prepared, value in (
        (transalnet.prepare(white), 1),
        (msinet.prepare_github(white), 126),
        (msinet.prepare_hugging_face(white), 0),
    ):
        assert (prepared[0] == value).all() and (prepared[-1] == value).all()
        assert prepared[len(prepared) // 2].min() == pytest.approx(255, abs=0.01)


@pytest.mark.parametrize(
    "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
)
def test_a_picture_must_be_rgb_of_8_bits(image: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"image must be \(h, w, 3\) uint8 RGB, got"):
        mirror("github").predict(image)
