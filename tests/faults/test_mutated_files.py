"""Thousands of files with altered, missing or added bytes: each is read, or ends in one error of ours that names it."""

import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from paperlib.datasets.files import has_rotation, picture_size, read_grey, read_mat, read_rgb
from paperlib.datasets.own import read_fixations
from paperlib.datasets.own_opinions import read_opinions
from paperlib.datasets.votes_table import read_votes
from paperlib.errors import PaperlibError
from paperlib.models.backbones import load_weights
from paperlib.models.checkpoints import read_state

SECONDS = 10.0
"""That reading one damaged file may take, on a busy machine."""


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes altered, most of them near the start, where headers are; cut off; or put in."""
    held = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        kind, place = rng.random(), int(rng.integers(max(1, min(len(held), rng.choice([64, len(held) or 1])))))
        if kind < 0.6:
            held[place : place + 1] = rng.bytes(1)
        elif kind < 0.8:
            del held[int(rng.integers(1, len(held) + 1)) :]
        else:
            held[place:place] = rng.bytes(int(rng.integers(1, 20)))
    return bytes(held)


def picture(kind: str, **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    image = (
        Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if options.pop("deep", False) else Image.fromarray(pixels)
    )
    memory = io.BytesIO()
    image.save(memory, kind, **options)
    return memory.getvalue()


def weights(as_safetensors: bool) -> bytes:
    state = torch.nn.Linear(3, 2).state_dict()
    if as_safetensors:
        return save(state)
    memory = io.BytesIO()
    torch.save({"state_dict": state, "epoch": 3}, memory)
    return memory.getvalue()


def matlab() -> bytes:
    from scipy.io import savemat

    memory = io.BytesIO()
    savemat(memory, {"fixations": np.arange(12.0).reshape(6, 2), "name": "x"}, do_compression=True)
    return memory.getvalue()


def into_linear(file: Path) -> None:
    load_weights(torch.nn.Linear(3, 2), file)


OF_PICTURES: tuple[Callable[[Path], object], ...] = (picture_size, has_rotation, read_rgb, read_grey)
CASES: dict[str, tuple[bytes, tuple[Callable[[Path], object], ...], int]] = {
    "png": (picture("PNG"), OF_PICTURES, 1500),
    "png, 16 bits": (picture("PNG", deep=True), OF_PICTURES, 1000),
    "jpeg": (picture("JPEG"), OF_PICTURES, 1500),
    "avif": (picture("AVIF"), OF_PICTURES, 1500),
    "jpeg 2000": (picture("JPEG2000"), OF_PICTURES, 1000),
    "tiff": (picture("TIFF", compression="tiff_lzw"), OF_PICTURES, 1000),
    "gif": (picture("GIF"), OF_PICTURES, 1000),
    "webp": (picture("WEBP"), OF_PICTURES, 1000),
    "bmp": (picture("BMP"), OF_PICTURES, 500),
    "ppm": (picture("PPM"), OF_PICTURES, 500),
    "safetensors": (weights(True), (into_linear,), 1000),
    "checkpoint": (weights(False), (read_state,), 500),
    "matlab": (matlab(), (read_mat,), 1000),
    "fixations": (b"image,subject,x,y\na.png,1,3,4.5\nb.png,2,1e2,7\n", (read_fixations,), 1000),
    "opinions": (b"image,mos,split\na.png,1.5,test\nb.png,3,training\n", (read_opinions,), 500),
    "votes": (b"image,left,right,choice,assessor\nk,a,b,left,x\nk,b,c,tie,y\n", (read_votes,), 500),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_read_or_end_in_an_error_that_names_them(kind: str, tmp_path: Path) -> None:
    content, readers, number = CASES[kind]
    rng, file = np.random.default_rng(list(kind.encode())), tmp_path / "held"
    refused = 0
    for _ in range(number):
        file.write_bytes(mutated(content, rng))
        for read in readers:
            start = time.perf_counter()
            try:
                with warnings.catch_warnings(action="ignore"):
                    read(file)
            except PaperlibError as error:
                refused += 1
                assert file.name in str(error) and "\n" not in str(error)
            assert time.perf_counter() - start < SECONDS
    assert 0 < refused


def test_there_are_ten_thousand() -> None:
    assert sum(number for _, _, number in CASES.values()) >= 10_000
