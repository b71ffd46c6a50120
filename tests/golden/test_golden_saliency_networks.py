"""TranSalNet and MSI-Net against the outputs of the authors' own code, with weights made by the same recipe."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from paperlib.models import msinet, transalnet
from paperlib.models.msinet import MSINet, load_msinet
from paperlib.models.tf_graph import write_constants
from paperlib.models.transalnet import load_transalnet

TOLERANCE = {  # of the recipe that came with the golden outputs
    "TranSalNet output": 1e-5,
    "MSI-Net output": 2e-5,
    "activation": 1e-4,  # times the standard deviation of the activation
    "8-bit level": 1,
    "MSI-Net picture and map": 2e-4,  # of 255; 5e-5 was measured, single precision summed in another order
}
SIZES = [(200, 333), (480, 500), (640, 427)]


# ---- weights and pictures by recipe ---------------------------------------------------------------------------------
def noise(name: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.Generator(np.random.PCG64(zlib.crc32(name.encode()))).standard_normal(shape)


def transalnet_values(key: str, shapes: dict[str, tuple[int, ...]]) -> np.ndarray:
    shape = shapes[key]
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    z = noise(key, shape)
    if key.endswith(".weight"):
        if len(shape) >= 2:
            values = z * np.sqrt(2 / np.prod(shape[1:]))
        else:
            values = (1 + 0.1 * z) * (0.25 if key.endswith(".bn3.weight") else 1)
    elif key.endswith(".bias"):
        values = (0.1 if len(shapes[key.removesuffix("bias") + "weight"]) == 1 else 0.01) * z
    elif key.endswith(".running_mean"):
        values = 0.1 * z
    elif key.endswith(".running_var"):
        values = 1 + 0.1 * np.abs(z)
    else:
        values = 0.02 * z
    return values.astype(np.float32)


def msinet_values(name: str, shape: tuple[int, ...]) -> np.ndarray:
    scale = 0.1 if name.endswith("bias") else np.sqrt(2 / np.prod(shape[:-1]))
    values = noise(name, shape) * scale
    return (values / 64 if name == "conv1/conv1_1/kernel" else values).astype(np.float32)


def enlarged(low: np.ndarray, height: int, width: int) -> np.ndarray:
    rows, columns = low.shape[:2]
    y, x = np.linspace(0, rows - 1, height), np.linspace(0, columns - 1, width)
    y0, x0 = np.minimum(np.floor(y), rows - 2).astype(int), np.minimum(np.floor(x), columns - 2).astype(int)
    fy, fx = (y - y0)[:, None, None], (x - x0)[None, :, None]
    top = low[y0][:, x0] * (1 - fx) + low[y0][:, x0 + 1] * fx
    bottom = low[y0 + 1][:, x0] * (1 - fx) + low[y0 + 1][:, x0 + 1] * fx
    return top * (1 - fy) + bottom * fy


def base_image(height: int, width: int) -> np.ndarray:
    rng = np.random.Generator(np.random.PCG64(7))
    coarse, fine = rng.random((12, 16, 3)), rng.random((48, 64, 3))
    mixed = 0.6 * enlarged(coarse, height, width) + 0.4 * enlarged(fine, height, width)
    return np.floor(mixed * 255 + 0.5).astype(np.uint8)


def check_weights(weights: dict[str, np.ndarray], facts: dict) -> None:
    """The recipe is followed to the bit, or to the sums where the mathematics library differs in the last one."""
    floats = {name: array for name, array in weights.items() if array.dtype == np.float32}
    digest = hashlib.sha256(b"".join(floats[name].tobytes() for name in sorted(floats))).hexdigest()
    if digest != facts["sha256_of_float32_bytes_in_sorted_key_order"]:
        total = sum(array.sum(dtype=np.float64) for array in floats.values())
        size = sum(np.abs(array).sum(dtype=np.float64) for array in floats.values())
        assert total == pytest.approx(facts["float64_sum"], abs=1e-9 * size)
        assert size == pytest.approx(facts["float64_abs_sum"], rel=1e-9)


# ---- the walk -------------------------------------------------------------------------------------------------------
@dataclass
class Activation:
    shape: tuple[int, ...]
    mean: float
    sd: float
    low: float
    high: float
    probe: np.ndarray

    @classmethod
    def of(cls, tensor: Tensor) -> "Activation":
        flat = tensor.detach().double().flatten().numpy()
        places = np.linspace(0, flat.size - 1, 16).astype(np.int64)
        return cls(tuple(tensor.shape), flat.mean(), flat.std(), flat.min(), flat.max(), flat[places])


@contextmanager
def recording(places: dict[str, tuple[nn.Module, Callable[[Tensor, Tensor], Tensor]]]) -> Iterator[dict[str, Activation]]:
    """Summaries of activations while a network runs; each place picks one from a module's input and output."""
    seen: dict[str, Activation] = {}

    def hook(name: str, pick: Callable) -> Callable:
        def summarise(module: nn.Module, inputs: tuple, output: Tensor) -> None:
            seen[name] = Activation.of(pick(inputs[0], output))

        return summarise

    handles = [module.register_forward_hook(hook(name, pick)) for name, (module, pick) in places.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def walk(seen: dict[str, Activation], golden: dict[str, np.ndarray], shapes: str, probes: str) -> None:
    """Stop at the first activation that differs."""
    assert set(seen) == set(golden["act_name"])
    for index, name in enumerate(golden["act_name"]):
        got, sd = seen[name], golden["act_std"][index]
        limit = TOLERANCE["activation"] * sd
        assert "x".join(map(str, got.shape)) == golden[shapes][index], name
        for value, expected in (
            (got.probe, golden[probes][index]),
            (got.mean, golden["act_mean"][index]),
            (got.sd, sd),
            (got.low, golden["act_min"][index]),
            (got.high, golden["act_max"][index]),
        ):
            np.testing.assert_allclose(value, expected, rtol=0, atol=limit, err_msg=f"first mismatch: {name}")


# ---- TranSalNet -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module", params=["dense", "res"])
def transalnet_run(
    request: pytest.FixtureRequest, shared: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """A checkpoint by recipe in the authors' format, loaded by its file, and one pass over the golden picture."""
    facts = json.loads(shared("golden", f"transalnet_{request.param}.json").read_text())
    with np.load(shared("golden", f"transalnet_{request.param}.npz")) as stored:
        golden = dict(stored)
    shapes = {row["key"]: tuple(row["shape"]) for row in facts["state_dict"]}
    weights = {key: transalnet_values(key, shapes) for key in shapes}
    check_weights(weights, facts["golden"]["weights_checksum"])
    file = tmp_path_factory.mktemp("checkpoints") / facts["official_checkpoint"]["file"]
    torch.save({key: torch.from_numpy(array) for key, array in weights.items()}, file)
    network = load_transalnet(file)
    file.unlink()
    modules = dict(network.named_modules())
    places = {
        name: (modules[name.removesuffix(".input")], _input if name.endswith(".input") else _output)
        for name in golden["act_name"].tolist()
    }
    image = torch.from_numpy((base_image(288, 384) / 255).astype(np.float32)).permute(2, 0, 1)[None]
    with torch.inference_mode(), recording(places) as seen:
        output = network(image)
    return SimpleNamespace(facts=facts, golden=golden, network=network, output=output, seen=seen)


def _input(given: Tensor, output: Tensor) -> Tensor:
    return given


def _output(given: Tensor, output: Tensor) -> Tensor:
    return output


def test_the_picture_of_the_recipe_is_the_golden_one(transalnet_run: SimpleNamespace) -> None:
    np.testing.assert_array_equal(base_image(288, 384), transalnet_run.golden["image_u8"])
    digest = hashlib.sha256(base_image(288, 384).tobytes()).hexdigest()
    assert digest == transalnet_run.facts["golden"]["image_sha256"]


def test_transalnet_has_the_keys_shapes_and_sizes_of_the_authors(transalnet_run: SimpleNamespace) -> None:
    facts, network = transalnet_run.facts, transalnet_run.network
    expected = {row["key"]: (tuple(row["shape"]), row["dtype"]) for row in facts["state_dict"]}
    got = {key: (tuple(value.shape), str(value.dtype).removeprefix("torch.")) for key, value in network.state_dict().items()}
    assert got == expected
    assert len(got) == facts["n_state_dict_entries"]
    assert sum(parameter.numel() for parameter in network.parameters()) == facts["n_parameters"]
    assert sum(parameter.numel() for parameter in network.encoder.parameters()) == facts["n_parameters_encoder"]
    assert transalnet.OFFICIAL_FILES[network.variant] == facts["official_checkpoint"]["file"]


def test_transalnet_activations_are_the_golden_ones(transalnet_run: SimpleNamespace) -> None:
    walk(transalnet_run.seen, transalnet_run.golden, "act_shape", "act_probe_f64")


def test_transalnet_output_is_the_golden_one(transalnet_run: SimpleNamespace) -> None:
    output = transalnet_run.output[0, 0].numpy()
    tolerance = TOLERANCE["TranSalNet output"]
    np.testing.assert_allclose(output, transalnet_run.golden["output"], rtol=0, atol=tolerance)
    np.testing.assert_allclose(output[::4, ::4], transalnet_run.golden["output_f64_s4"], rtol=0, atol=tolerance)


def test_what_the_golden_output_cannot_show(transalnet_run: SimpleNamespace) -> None:
    """A LayerNorm eps of 1e-5 would move the output by 1e-6 only; dropout and modes do not show at all."""
    network, facts = transalnet_run.network, transalnet_run.facts
    norms = [module for module in network.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) == 3 * (2 * 2 + 1)
    assert {norm.eps for norm in norms} == {facts["transformer"]["layernorm_eps"]}
    batch_norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in batch_norms} == {
        (facts["decoder"]["bn_eps"], facts["decoder"]["bn_momentum"])
    }
    assert not any(isinstance(module, nn.Dropout) and module.p for module in network.modules())
    assert not network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_transalnet_preparation_is_the_authors(size: tuple[int, int], transalnet_run: SimpleNamespace) -> None:
    golden = transalnet_run.golden[f"pre_bgr_u8_{size[0]}x{size[1]}_s4"].astype(int)
    got = transalnet.prepare(base_image(*size))[::4, ::4].astype(int)
    assert np.abs(got - golden).max() <= TOLERANCE["8-bit level"]
    np.testing.assert_array_equal(got == 1, golden == 1)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_transalnet_restoration_is_the_authors(size: tuple[int, int], transalnet_run: SimpleNamespace) -> None:
    golden = transalnet_run.golden[f"post_u8_{size[0]}x{size[1]}_s4"].astype(float)
    map_ = transalnet_run.golden["output"]
    got = transalnet.restore(map_, size)
    assert got.shape == size and got.dtype == np.float32
    difference = got[::4, ::4] * 255 - golden
    assert np.abs(difference).max() <= TOLERANCE["8-bit level"] + 1e-4
    assert abs(difference.mean()) < 0.1, "rounding instead of cutting would add half a level"
    exact = transalnet.restore(map_, size, quantise=False)
    height, width = max(size[0], 288 * size[1] // 384), max(size[1], 384 * size[0] // 288)
    covering = nn.functional.interpolate(torch.from_numpy(map_)[None, None], (height, width), mode="bilinear")[0, 0]
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    expected = covering[top : top + size[0], left : left + size[1]].numpy()
    np.testing.assert_allclose(exact, expected, rtol=0, atol=1e-5)


# ---- MSI-Net --------------------------------------------------------------------------------------------------------
MSINET_INPUTS = {
    "input_minus_mean": "conv1.conv1_1",
    "pool1": "conv2.conv2_1",
    "pool2": "conv3.conv3_1",
    "pool3 (layer10)": "conv4.conv4_1",
    "pool4 stride1 (layer14)": "conv5.conv5_1",
    "encoder_output": "aspp.conv1_1",
    "global mean": "aspp.conv1_5",
    "aspp concat": "aspp.conv2",
    "decoder upsample 1": "decoder.conv1",
    "decoder upsample 2": "decoder.conv2",
    "decoder upsample 3": "decoder.conv3",
}


def msinet_places(network: MSINet, names: list[str]) -> dict[str, tuple[nn.Module, Callable]]:
    """Where each golden activation can be seen: at the input or the output of a convolution, or of the network."""
    modules = dict(network.named_modules())
    special = {
        "pool5 stride1 (layer18)": (modules["aspp.conv1_1"], lambda given, output: given[:, 768:]),
        "global branch upsampled": (modules["aspp.conv2"], lambda given, output: given[:, 1024:]),
        "raw map before normalisation": (modules["decoder.conv4"], _output),
        "output": (network, _output),
    }
    inputs = {name: (modules[place], _input) for name, place in MSINET_INPUTS.items()}
    layers = {
        name: (modules[name.replace("/", ".")], lambda given, output: output.relu())
        for name in names
        if name not in special and name not in inputs
    }
    return {**special, **inputs, **layers}


@pytest.fixture(scope="module")
def msinet_run(shared: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A frozen graph by recipe with the authors' node names, loaded by its file, and one pass over the picture."""
    facts = json.loads(shared("golden", "msinet.json").read_text())
    with np.load(shared("golden", "msinet.npz")) as stored:
        golden = dict(stored)
    weights = {row["name"]: msinet_values(row["name"], tuple(row["shape"])) for row in facts["variables"]}
    check_weights(weights, facts["golden"]["weights_checksum"])
    file = tmp_path_factory.mktemp("checkpoints") / msinet.OFFICIAL_FILE
    write_constants(weights, file)
    network = load_msinet(file)
    file.unlink()
    np.testing.assert_array_equal(base_image(240, 320), golden["image_u8"])
    places = msinet_places(network, golden["act_name"].tolist())
    with torch.inference_mode(), recording(places) as seen:
        output = network(rgb(base_image(240, 320)))
    return SimpleNamespace(facts=facts, golden=golden, network=network, output=output, seen=seen)


def rgb(image: np.ndarray) -> Tensor:
    return torch.from_numpy(image.astype(np.float32)).permute(2, 0, 1)[None]


def test_msinet_has_the_names_shapes_and_sizes_of_the_authors(msinet_run: SimpleNamespace) -> None:
    facts = msinet_run.facts
    assert msinet.constant_shapes() == {row["name"]: tuple(row["shape"]) for row in facts["variables"]}
    assert list(msinet.constant_shapes()) == [row["name"] for row in facts["variables"]]
    assert sum(parameter.numel() for parameter in msinet_run.network.parameters()) == facts["n_parameters"]
    assert msinet.OFFICIAL_FILE.removesuffix(".pb") in facts["official_checkpoints"]["google_drive"]["ids"]
    assert not msinet_run.network.training


def test_msinet_activations_are_the_golden_ones(msinet_run: SimpleNamespace) -> None:
    walk(msinet_run.seen, msinet_run.golden, "act_shape_nchw", "act_probe_f32")


def test_msinet_output_is_the_golden_one(msinet_run: SimpleNamespace) -> None:
    output = msinet_run.output[0, 0].numpy()
    np.testing.assert_allclose(output, msinet_run.golden["output"], rtol=0, atol=TOLERANCE["MSI-Net output"])
    assert output.min() == 0


@pytest.mark.parametrize("size", [(320, 320), (320, 240), (232, 312)], ids=str)
def test_msinet_at_other_sizes(size: tuple[int, int], msinet_run: SimpleNamespace) -> None:
    with torch.inference_mode():
        output = msinet_run.network(rgb(base_image(*size)))[0, 0, ::4, ::4].numpy()
    golden = msinet_run.golden[f"output_{size[0]}x{size[1]}_s4"]
    np.testing.assert_allclose(output, golden, rtol=0, atol=TOLERANCE["MSI-Net output"])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_msinet_preparation_is_the_repositorys(size: tuple[int, int], msinet_run: SimpleNamespace) -> None:
    golden = msinet_run.golden[f"orig_pre_{size[0]}x{size[1]}_s8"]
    got = msinet.prepare(base_image(*size))
    assert got.shape == (240, 320, 3) and got.dtype == np.float32
    np.testing.assert_allclose(got[::8, ::8], golden, rtol=0, atol=TOLERANCE["MSI-Net picture and map"])


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_msinet_restoration_is_the_repositorys(size: tuple[int, int], msinet_run: SimpleNamespace) -> None:
    map_, tolerance = msinet_run.golden["output"], TOLERANCE["MSI-Net picture and map"]
    exact = msinet.restore(map_, size, quantise=False)
    rounded = msinet.restore(map_, size)
    assert exact.shape == rounded.shape == size and exact.dtype == rounded.dtype == np.float32
    name = f"{size[0]}x{size[1]}_s8"
    golden = msinet_run.golden[f"orig_post_{name}"]
    np.testing.assert_allclose(exact[::8, ::8] * 255, golden, rtol=0, atol=tolerance)
    levels = rounded[::8, ::8] * 255
    np.testing.assert_allclose(levels, np.rint(levels), rtol=0, atol=1e-4)
    difference = levels - msinet_run.golden[f"orig_post_u8_{name}"]
    assert np.abs(difference).max() <= TOLERANCE["8-bit level"] + 1e-4
    assert abs(difference.mean()) < 0.1, "cutting instead of rounding would take half a level"
