"""FastGaze: its file against a state dict, its maps against fixations, the last layers against SciPy, and damaged files."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.special import softmax
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models import fastgaze
from paperlib.models.fastgaze import load_fastgaze, read_vxm, write_fastgaze
from paperlib.models.saliency import RECIPES, SaliencyNetwork, load_saliency_network
from paperlib.models.stand_ins import random_fastgaze

HEAD = b"\x01tPM"


# ---- against what we did not write ----------------------------------------------------------------------------------
def test_the_authors_file_is_the_state_dict(shared: Callable[..., Path]) -> None:
    expected = torch.load(shared("weights", "fastgaze_twitter.pth"), weights_only=True)
    network = load_fastgaze(shared("open", "fastgaze", "fastgaze.vxm"))
    state = network.state_dict()
    assert list(state) == list(expected) and sum(value.numel() for value in state.values()) == 121_064
    assert all(torch.equal(state[key], expected[key]) for key in expected)
    assert not network.training


def test_maps_are_those_whose_agreement_with_fixations_is_known(shared: Callable[..., Path]) -> None:
    """The stored maps of 40 pictures of OSIE have NSS 1.600, a centre prior .871 (`tests/golden/test_own_gaze.py`)."""
    network = load_saliency_network("fastgaze", shared("open", "fastgaze", "fastgaze.vxm"))
    for picture in sorted(shared("real_gaze", "images").iterdir())[:5]:
        expected = Image.open(shared("real_gaze", "saliency_fastgaze", f"{picture.stem}.png"))
        got = 255 * network.predict(np.asarray(Image.open(picture)))
        np.testing.assert_allclose(got, np.asarray(expected, float), atol=1.01)


def test_blur_and_softmax_are_scipys() -> None:
    logits = np.random.default_rng(0).normal(0, 5, (37, 50)).astype(np.float32)
    density = softmax(gaussian_filter(logits.astype(float), 3, mode="nearest", radius=9))
    expected = (density - density.min()) / np.ptp(density)
    np.testing.assert_allclose(fastgaze.restore(logits, logits.shape, quantise=False), expected, atol=1e-5)
    np.testing.assert_allclose(fastgaze.restore(logits, logits.shape), np.rint(255 * expected) / 255, atol=1 / 255)
    assert not fastgaze.restore(np.zeros((3, 4), np.float32), (30, 40)).any()


# ---- pictures of any size -------------------------------------------------------------------------------------------
def test_the_input_is_the_picture_itself_or_one_of_as_many_pixels_as_the_authors() -> None:
    image = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    np.testing.assert_allclose(fastgaze.prepare(image), image - np.array([123.68, 116.779, 103.939]), atol=1e-4)
    for size, expected in {
        (768, 1024): (600, 800),
        (512, 512): (512, 512),
        (1, 1): (693, 693),
        (1, 10**4): (16, 69282),
    }.items():
        assert fastgaze.prepare(np.zeros((*size, 3), np.uint8)).shape == (*expected, 3)


class Brightness(nn.Module):
    """Logits on the grid of the network that are the brightness of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.05))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.avg_pool2d(images.mean(1, keepdim=True), fastgaze.STRIDE) * self.gain


@pytest.mark.parametrize("size", [(480, 640), (97, 41), (31, 300), (1, 1), (768, 1024)], ids=str)
def test_the_map_lies_on_the_picture(size: tuple[int, int]) -> None:
    y, x = np.mgrid[: size[0], : size[1]]
    blob = np.exp(-(((y / size[0] - 0.3) / 0.1) ** 2 + ((x / size[1] - 0.65) / 0.1) ** 2) / 2)
    image = np.rint(np.repeat(blob[..., None] * 255, 3, 2)).astype(np.uint8)
    got = SaliencyNetwork(Brightness(), *RECIPES["fastgaze"]).predict(image)
    assert got.shape == size and got.dtype == np.float32 and 0 <= got.min() <= got.max() <= 1
    if got.any():
        top, left = np.unravel_index(got.argmax(), size)
        assert abs(top / size[0] - 0.3) < 0.05 and abs(left / size[1] - 0.65) < 0.05


# ---- files ----------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = tmp_path_factory.mktemp("fastgaze") / "fastgaze.vxm"
    state = random_fastgaze(3)
    write_fastgaze(state, file)
    read = load_fastgaze(file).state_dict()
    assert all(torch.equal(read[key], state[key]) for key in state)
    return file.read_bytes()


def refusal(content: bytes, file: Path) -> str | None:
    """What loading says; None where it does not refuse. Anything but a `PaperlibError` of one line fails the test."""
    file.write_bytes(content)
    try:
        load_fastgaze(file)
    except PaperlibError as error:
        assert "\n" not in str(error) and len(str(error)) < 400 and file.name in str(error)
        return str(error)
    return None


def record(name: str, content: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(part)) + part for part in (name.encode() + b"\0", content))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "does not begin as a .vxm file"),
        (b"\x89PNG\r\n\x1a\n" + bytes(99), "does not begin as a .vxm file"),
        (HEAD, "ends within a record"),
        (HEAD + struct.pack("<I", 2**32 - 1), "ends within a record"),
        (HEAD + struct.pack("<II", 1, 2**32 - 1), "ends within a record"),
        (HEAD + struct.pack("<I", 0), "32 missing, first 0b"),
        (HEAD + struct.pack("<I", 0) + b"more", "4 bytes follow the last record"),
        (HEAD + struct.pack("<I", 1) + record("0w.shape", b"\xff" * 16), "'0w' is no float32 array"),
        (
            HEAD + struct.pack("<I", 2) + record("0w.dtype", b"float32") + record("0w.shape", b"\xff" * 16),
            "'0w' does not hold finite numbers",
        ),
        (HEAD + struct.pack("<I", 1) + record("0w.shape", bytes(10**6)), "'0w' is no float32 array of 1 or 4 dimensions"),
    ],
    ids=["empty", "png", "head", "count", "length", "no records", "more", "no type", "no values", "many dimensions"],
)
def test_foreign_files_are_one_sentence(content: bytes, told: str, tmp_path: Path) -> None:
    assert told in str(refusal(content, tmp_path / "mine.vxm"))


def test_weights_of_another_network_and_no_numbers_are_one_sentence(written: bytes, tmp_path: Path) -> None:
    file = tmp_path / "mine.vxm"
    shape = record("0w.shape", struct.pack("<4I", 43, 3, 3, 3))
    missing = written.replace(shape, record("0w.other", bytes(16)))
    assert "1 missing, first 0w (of 32 tensors); give the authors' fastgaze.vxm" in str(refusal(missing, file))
    turned = written.replace(shape, record("0w.shape", struct.pack("<4I", 3, 43, 3, 3)))
    assert "1 of another shape, first 0w (3, 43, 3, 3) for (43, 3, 3, 3)" in str(refusal(turned, file))
    values = written.index(b"0w\0") + 7
    nan = written[:values] + struct.pack("<f", np.nan) + written[values + 4 :]
    assert "'0w' does not hold finite numbers" in str(refusal(nan, file))
    with pytest.raises(PaperlibError, match=r"^none\.vxm: expected .* cannot be read \(No such file"):
        load_fastgaze(tmp_path / "none.vxm")
    with pytest.raises(PaperlibError, match=r"cannot be read \(Is a directory"):
        load_fastgaze(tmp_path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge.vxm"
    with file.open("wb") as stream:
        stream.truncate(10**10)
    with pytest.raises(PaperlibError, match="does not begin as"):
        read_vxm(file)


def test_damage_of_any_kind_is_refused_or_changes_numbers_only(written: bytes, tmp_path: Path) -> None:
    """Cuts, and bytes that are changed, lost or added, mostly near names; memory stays within some copies of the file."""
    rng, file, refused = np.random.default_rng(0), tmp_path / "mine.vxm", 0
    names = [match for key in ("0w", "14alpha", "9b", "17w") for match in (key, f"{key}.dtype", f"{key}.shape")]
    tracemalloc.start()
    for trial in range(300):
        near = written.index(str(rng.choice(names)).encode() + b"\0") + int(rng.integers(-8, 40))
        at = near if trial % 4 else int(rng.integers(len(written)))
        junk = rng.integers(0, 256, rng.integers(0, 6), np.uint8).tobytes()
        damaged = {
            0: written[:at],
            1: written[:at] + junk + written[at + len(junk) :],
            2: written[:at] + junk + written[at:],
            3: written[:at] + written[at + int(rng.integers(1, 9)) :],
        }[int(rng.integers(4))]
        told = refusal(damaged, file)
        refused += told is not None
        assert len(damaged) == len(written) or told
    assert refused > 150
    assert tracemalloc.get_traced_memory()[1] < 20 * len(written)
    tracemalloc.stop()
