"""The methods of Table III from random official files: against pyiqa itself, and what happens where something lacks."""

import csv
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms.v2 import functional as transforms

from paperlib.errors import PaperlibError
from paperlib.metrics import weighted
from paperlib.models import sgdnet
from paperlib.models.checkpoints import read_tensors
from paperlib.models.quality.methods import SIZE_MODES, describe, method_of_network, metric_of, open_method, resized
from paperlib.models.quality.networks import ALEXNET, CROPS, VGG16, pieapp_by_parts
from paperlib.models.quality.offline import survey
from paperlib.models.stand_ins import random_files
from paperlib.paper import TABLE3

TABLE_NAMES = [row.method for row in TABLE3 if not row.method.startswith("baseline")]
FORMULAS = ("psnr", "ssim", "ms_ssim", "vif", "ew_psnr", "ew_ssim")
SGDNETS = ("sgdnet_none", "sgdnet_output")
NETWORKS = [name for name in TABLE_NAMES if name not in (*FORMULAS, *SGDNETS)]
LOWER_IS_BETTER = {"brisque", "lpips", "pieapp", "dists"}
WITH_REFERENCE = {"psnr", "ssim", "ms_ssim", "vif", "ew_psnr", "ew_ssim", "ahiq", "lpips", "pieapp", "topiq_fr", "dists"}


def pair(height: int, width: int, noise: float = 12.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random picture with noise, and without."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8))
    reference = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    distorted = np.clip(reference + rng.normal(0, noise, reference.shape), 0, 255).astype(np.uint8)
    return distorted, reference


def tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every attempt to reach a network fails the test; the libraries' caches are empty."""

    def attempt(*address: object, **_: object) -> None:
        pytest.fail(f"an attempt to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", attempt)
    monkeypatch.setattr(socket, "getaddrinfo", attempt)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))


@pytest.fixture
def weights(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """`weights(name)` is a folder with the random official files of a method; removed after the test."""
    folder = tmp_path / "weights"
    folder.mkdir()
    written: list[Path] = []

    def write(name: str) -> Path:
        written.extend(random_files(name, folder, seed=1))
        return folder

    yield write
    for file in written:
        file.unlink()


# ------------------------------------------------------------------------------------------ against pyiqa itself
@pytest.fixture
def pyiqa_metric(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], nn.Module]:
    """pyiqa's own metric, its files and torchvision's where these look for them, timm's loaded afterwards."""
    import pyiqa
    from pyiqa.archs import clip_model, dbcnn_arch
    from pyiqa.utils import download_util
    from safetensors.torch import load_file

    def make(name: str, root: Path) -> nn.Module:
        cache = root.with_name("pyiqa's cache")
        checkpoints = Path(torch.hub.get_dir()) / "checkpoints"
        for folder in (cache, checkpoints):
            folder.mkdir(parents=True)
            for file in describe(name).files:
                for stored in {file.name, quote(file.name)}:  # which of the two depends on the version of huggingface_hub
                    (folder / stored).symlink_to(root / file.name)
        monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(cache))
        monkeypatch.setattr(clip_model, "_download", lambda *_: str(root / "RN50.pt"))
        torch.save(dbcnn_arch.SCNN().state_dict(), cache / "scnn.pth")
        monkeypatch.setitem(dbcnn_arch.default_model_urls, "scnn", str(cache / "scnn.pth"))
        whole = name not in ("lpips", "dists")
        with monkeypatch.context() as patch:
            import timm.models._builder
            from torchvision.models import WeightsEnum

            patch.setattr(timm.models._builder, "load_pretrained", lambda *_, **__: None)
            if whole:
                patch.setattr(WeightsEnum, "verify", classmethod(lambda *_: None))
            metric = pyiqa.create_metric(metric_of(name), device=torch.device("cpu"))
        if name == "ahiq":
            resnet, vit, _ = describe(name).files
            metric.net.resnet50.load_state_dict(load_file(root / resnet.name))
            metric.net.vit.load_state_dict(load_file(root / vit.name))
        return metric

    return make


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NETWORKS)
def test_networks_load_from_official_files_and_score_as_pyiqa(
    name: str, weights: Callable[[str], Path], pyiqa_metric: Callable[[str, Path], nn.Module]
) -> None:
    root = weights(name)
    assert sorted(path.name for path in root.iterdir()) == sorted(file.name for file in describe(name).files)
    method = open_method(name, root)
    assert not any(module.training for module in method.network.modules())
    distorted, reference = pair(224, 224) if name in ("ahiq", "maniqa") else pair(104, 128)
    crops = CROPS.get(name)
    peer = pyiqa_metric(name, root)
    for network in (method.network, peer.net) if crops else ():
        setattr(network, crops[0], 1)
    score = method.score(distorted, reference)
    with torch.no_grad():
        expected = peer(tensor(distorted), *([tensor(reference)] if method.needs_reference else [])).item()
    assert score == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert method.higher_is_better is not peer.lower_better
    if name == "pieapp":
        with torch.no_grad():
            by_parts = pieapp_by_parts(method.network, patches_at_once=4)(tensor(distorted), tensor(reference)).item()
        assert by_parts == pytest.approx(score, rel=1e-5)
    if not crops:
        assert method.score(distorted, reference) == score
        assert method.score(pair(104, 128, noise=40.0)[0], reference) != score


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "metric", "options"),
    [
        ("psnr", "psnr", {"test_y_channel": True, "color_space": "ycbcr"}),
        ("ssim", "ssim", {"test_y_channel": True, "color_space": "ycbcr"}),
        ("ms_ssim", "ms_ssim", {}),
        ("vif", "vif", {}),
        ("gmsd", "gmsd", {}),
        ("piqe", "piqe", {}),
    ],
)
def test_formulas_are_those_of_pyiqa_with_the_authors_settings(name: str, metric: str, options: dict) -> None:
    import pyiqa

    reference, distorted = pair(192, 208)  # in this order: VIF of pyiqa is NaN where the reference is too smooth
    method = open_method(name)
    peer = pyiqa.create_metric(metric, device="cpu", **options)
    pictures = [tensor(distorted), tensor(reference)][: 2 if method.needs_reference else 1]
    assert method.score(distorted, reference) == pytest.approx(peer(*pictures).item(), rel=1e-5)
    assert method.files == ()
    small = resized(distorted, "resize_384"), resized(reference, "resize_384")
    assert small[0].dtype == np.float32 and small[0].shape == (384, 416, 3)
    if name in ("psnr", "ssim"):
        floats = [torch.from_numpy(image).permute(2, 0, 1)[None] for image in small]
        assert method.score(*small) == pytest.approx(peer(*floats).item(), rel=1e-4)


def test_eye_tracking_weighted_methods_weigh_with_the_map() -> None:
    distorted, reference = pair(64, 80)
    saliency = np.random.default_rng(3).random((64, 80), dtype=np.float32)
    for name, plain in (("ew_psnr", weighted.psnr), ("ew_ssim", weighted.ssim)):
        method = open_method(name)
        assert method.score(distorted, reference, saliency) == plain(distorted, reference, saliency)
        uniform = method.score(distorted, reference, np.ones((64, 80)))
        assert uniform == pytest.approx(plain(distorted, reference))
        assert uniform != method.score(distorted, reference, saliency)


def test_official_values_of_the_original_authors(shared) -> None:
    """TID2013 pictures, BRISQUE with its real support vectors.

    The README beside the pictures tells that pyiqa's BRISQUE of I08 is off by 0.22, and the official MS-SSIM of I03.
    """
    with shared("iqa_calibration", "official_scores.csv").open() as file:
        official = {row["Method"]: row for row in csv.DictReader(file)}
    folder = shared("iqa_calibration", "ref").parent
    root = shared("weights", "pyiqa_cache")
    cases = {"vif": (1e-4, ("I03", "I04", "I08")), "ms_ssim": (5e-3, ("I04", "I08")), "brisque": (1e-2, ("I03", "I04"))}
    for name, (tolerance, stems) in cases.items():
        method = open_method(name, root)
        for stem in stems:
            pictures = [Image.open(folder / kind / f"{stem}.bmp").convert("RGB") for kind in ("dist", "ref")]
            expected = float(official[name][f"{stem}.bmp"])
            assert method.score(*map(np.asarray, pictures)) == pytest.approx(expected, abs=tolerance), (name, stem)


@pytest.mark.parametrize(("name", "backbone"), [("lpips", ALEXNET), ("dists", VGG16)])
def test_real_heads_fit_their_networks(name: str, backbone, shared, weights: Callable[[str], Path]) -> None:
    """The official files of LPIPS and DISTS hold tensors that then are in the network."""
    root = weights(name)
    head = next(file.name for file in describe(name).files if file != backbone)
    real = shared("weights", "pyiqa_cache", head)
    (root / head).write_bytes(real.read_bytes())
    state = open_method(name, root).network.state_dict()
    held = torch.load(real, map_location="cpu", weights_only=True)
    assert held and all(torch.equal(state[key], value) for key, value in held.items())


# ------------------------------------------------------------------------------------------ SGDNet, any network
@pytest.mark.parametrize("name", SGDNETS)
def test_sgdnet_scores_as_its_own_module(name: str, weights: Callable[[str], Path]) -> None:
    root = weights(name)
    (file,) = describe(name).files
    method = open_method(name, root)
    distorted, _ = pair(96, 120)
    expected, _ = sgdnet.load_sgdnet(root / file.name).predict(distorted)
    assert method.score(distorted) == expected
    assert method.score(distorted / np.float32(255)) == pytest.approx(expected, rel=1e-4)


def test_any_network_enters_as_a_method() -> None:
    class Darkness(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 1 - images.mean((1, 2, 3)) + self.training

    method = method_of_network("darkness", Darkness(), higher_is_better=False)
    image = np.full((8, 12, 3), 51, np.uint8)
    assert method.score(image) == pytest.approx(0.8)
    assert (method.needs_reference, method.needs_saliency, method.files) == (False, False, ())
    assert method.higher_is_better is False


# ------------------------------------------------------------------------------------------ names and files
def test_every_row_of_table_3_is_described() -> None:
    traits = {name: describe(name) for name in TABLE_NAMES}
    assert len(traits) == 22
    assert {name for name, told in traits.items() if not told.higher_is_better} == LOWER_IS_BETTER
    assert {name for name, told in traits.items() if told.needs_reference} == WITH_REFERENCE
    assert {name for name, told in traits.items() if told.needs_saliency} == {"ew_psnr", "ew_ssim"}
    assert {name for name, told in traits.items() if not told.files} == set(FORMULAS)


@pytest.mark.parametrize("name", ["brisque", "lpips", "ahiq", "musiq"])
def test_listed_files_are_those_that_pyiqa_asks_for(name: str) -> None:
    assert set(survey(name).files) == set(describe(name).files)


@pytest.mark.parametrize("name", [name for name in TABLE_NAMES if name not in FORMULAS])
def test_missing_files_are_named_at_once_with_their_folder(name: str, tmp_path: Path) -> None:
    for root, where in ((tmp_path, tmp_path), (None, tmp_path / "torch_home" / "hub")):
        with pytest.raises(PaperlibError) as told:
            open_method(name, root)
        assert str(where) in str(told.value) and "\n" not in str(told.value)
        assert all(file.name in str(told.value) for file in describe(name).files)


def test_the_seed_alone_determines_random_files(tmp_path: Path) -> None:
    contents = []
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        torch.rand(3)
        (path,) = random_files("hyperiqa", tmp_path / folder, seed)
        contents.append(torch.load(path, weights_only=True)["params"])
        path.unlink()
    first, again, other = contents
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)
    with pytest.raises(PaperlibError, match="one file of its own"):
        random_files("niqe", tmp_path, 0)
    assert random_files("psnr", tmp_path, 0) == random_files("gmsd", tmp_path, 0) == []


@pytest.mark.parametrize("name", ["lpips", "brisque", "paq2piq"])
def test_damaged_and_foreign_files_are_told(name: str, weights: Callable[[str], Path], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "sprung",))

    root = weights(name)
    own = describe(name).files[-1].name
    for content in (b"", b"no weights", b"PK\x03\x04" + bytes(100)):
        (root / own).write_bytes(content)
        with pytest.raises(PaperlibError, match=name if name == "brisque" else own):
            open_method(name, root)
    for foreign in ({"strange": torch.zeros(2)}, (torch.zeros(3), Trap())):
        torch.save(foreign, root / own)
        with pytest.raises(PaperlibError, match="brisque|is not a checkpoint of|cannot be read"):
            open_method(name, root)
    assert not (tmp_path / "sprung").exists(), "files are read as tensors and never run"


def test_numbers_of_numpy_beside_the_tensors_are_allowed(tmp_path: Path) -> None:
    """Training scripts leave their loss in a checkpoint; PyTorch refuses such a file by default."""
    file = tmp_path / "with_loss.pth"
    torch.save({"loss": np.float64(0.5), "weights": torch.ones(2)}, file)
    assert read_tensors(file)["loss"] == 0.5


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("pnsr", "names like it: psnr"),
        ("zzzzzz", "expected a key of Table III"),
        ("baseline_sal_loss", "trained here"),
        ("fid", "sets of pictures"),
    ],
)
def test_wrong_names(name: str, told: str) -> None:
    for ask in (describe, open_method, lambda name: random_files(name, Path(), 0)):
        with pytest.raises(PaperlibError, match=told):
            ask(name)


def test_another_metric_of_pyiqa_lists_its_files() -> None:
    assert [file.name for file in describe("niqe").files] == ["niqe_modelparameters.mat"]
    of_vgg = [VGG16.name, "LPIPS_v0.1_vgg-a78928a0.pth"]
    assert [file.name for file in describe("lpips-vgg").files] == of_vgg
    assert describe("topiq_fr-pipal").needs_reference and not describe("topiq_nr-spaq").needs_reference


def test_wrong_settings(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        open_method("psnr", crops=0)
    with pytest.raises(PaperlibError, match="no folder of weights"):
        open_method("psnr", tmp_path / "absent")


# ------------------------------------------------------------------------------------------ pictures that do not fit
PICTURE, MAP = np.full((64, 80, 3), 100, np.uint8), np.ones((64, 80))


@pytest.mark.parametrize(
    ("name", "images", "told"),
    [
        ("ew_psnr", (PICTURE, None, MAP), "needs the reference of a picture"),
        ("ew_psnr", (PICTURE, PICTURE, None), "needs the saliency map of a picture"),
        ("ew_psnr", (PICTURE, PICTURE[:, :72], MAP), "reference of the picture's size 80x64, got 72x64"),
        ("ew_psnr", (PICTURE, PICTURE, MAP[:60]), "saliency map of the picture's size 80x64, got 80x60"),
        ("ew_psnr", (PICTURE, PICTURE, 0 * MAP), "ew_psnr cannot score.*not all zero"),
        ("ms_ssim", (PICTURE, PICTURE), "ms_ssim cannot score a picture of 80x64"),
    ],
)
def test_what_is_missing_or_of_another_size_is_one_sentence(name: str, images: tuple, told: str) -> None:
    with pytest.raises(PaperlibError, match=told) as raised:
        open_method(name).score(*images)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("images", "what"),
    [
        ((PICTURE[..., 0], PICTURE[..., 0], MAP), "distorted"),
        ((np.zeros((64, 80, 4), np.uint8), PICTURE, MAP), "distorted"),
        ((PICTURE.astype(np.uint16), PICTURE, MAP), "distorted"),
        ((np.full((64, 80, 3), 2.0), PICTURE, MAP), "distorted"),
        ((PICTURE, np.full((64, 80, 3), np.nan), MAP), "reference"),
        ((PICTURE, PICTURE, np.ones((64, 80, 3))), "saliency map"),
        ((PICTURE, PICTURE, np.full((64, 80), 200, np.uint8)), "saliency map"),
        ((PICTURE, PICTURE, 1.5 * MAP), "saliency map"),
    ],
)
def test_wrong_types_and_shapes(images: tuple[np.ndarray, ...], what: str) -> None:
    with pytest.raises(ValueError, match=f"{what}: expected"):
        open_method("ew_ssim").score(*images)


def test_failures_of_a_network_are_told_with_the_size() -> None:
    class Failing(nn.Module):
        def __init__(self, answer: Exception | float):
            super().__init__()
            self.answer = answer

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if isinstance(self.answer, Exception):
                raise self.answer
            return torch.full((1,), self.answer) if self.answer else torch.zeros(2)

    image = np.zeros((8, 12, 3), np.uint8)
    for answer, told in {
        RuntimeError("DefaultCPUAllocator: can't allocate memory"): "the memory does not suffice",
        torch.OutOfMemoryError("CUDA out of memory."): "the memory does not suffice",
        RuntimeError("kernel too large"): "12x8 pixels: RuntimeError: kernel too large",
        float("nan"): "gives nan",
        0.0: "expected one score",
    }.items():
        with pytest.raises(PaperlibError, match=told):
            method_of_network("net", Failing(answer)).score(image)


# ------------------------------------------------------------------------------------------ sizes
@pytest.mark.parametrize("shape", [(300, 451, 3), (451, 300, 3), (300, 300, 3), (500, 401)])
@pytest.mark.parametrize("mode", SIZE_MODES)
def test_sizes_are_those_of_torchvision_without_antialiasing(shape: tuple[int, ...], mode: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    made = resized(image, mode)
    if mode == "full_res":
        assert made is image
        return
    pixels = torch.from_numpy(image).float() / 255
    pixels = pixels[None] if image.ndim == 2 else pixels.permute(2, 0, 1)
    upright = shape[0] > shape[1]
    size = [384] if mode == "resize_384" else [512, 384] if upright else [384, 512]
    expected = transforms.resize(pixels, size, antialias=False)
    if mode.endswith("horizontal") and upright:
        expected = expected.transpose(1, 2)
    expected = expected[0] if image.ndim == 2 else expected.permute(1, 2, 0)
    assert made.dtype == np.float32 and made.flags.c_contiguous
    np.testing.assert_allclose(made, expected.numpy(), atol=1e-6)
    np.testing.assert_array_equal(resized(image / np.float32(255), mode), made)


def test_size_modes_are_the_authors_and_others_are_told() -> None:
    assert SIZE_MODES[0] == "full_res" and len(SIZE_MODES) == 4
    with pytest.raises(ValueError, match="size mode must be one of full_res"):
        resized(np.zeros((4, 4, 3), np.uint8), "half")
    with pytest.raises(ValueError, match="uint8 or floating point"):
        resized(np.zeros((4, 4, 3), np.int32), "resize_384")
