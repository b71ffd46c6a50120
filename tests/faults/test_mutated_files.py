"""Thousands of files with altered bytes, and bombs: each is read, or ends in one error of ours that names it, in little time
and memory."""

import io
import json
import pickle
import re
import resource
import shutil
import struct
import tarfile
import time
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save

from paperlib.datasets import cat2000, nus_vip, salicon
from paperlib.datasets.files import has_rotation, picture_size, read_grey, read_mat, read_rgb
from paperlib.datasets.own import read_fixations
from paperlib.datasets.own_opinions import read_opinions
from paperlib.datasets.sacid import read_scores
from paperlib.datasets.votes_table import read_votes
from paperlib.errors import PaperlibError
from paperlib.models.backbones import load_weights
from paperlib.models.checkpoints import read_state
from paperlib.models.fastgaze import read_vxm
from paperlib.models.sgdnet import load_sgdnet
from paperlib.models.tf_graph import read_constants, write_constants
from paperlib.study.files import record_by
from paperlib.supply.fetch import NOTES, trusted
from paperlib.supply.unpack import names, unpack
from paperlib.tasks.export import origin_of

SECONDS = 10.0
"""That reading one damaged file may take, on a busy machine."""
MEMORY = 2 << 30
"""Bytes that reading may take."""


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


def gaze_of_salicon() -> bytes:
    gaze = np.zeros(2, [("fixations", object)])
    gaze["fixations"] = [np.array([[3, 4], [640, 480]], np.uint16), np.empty((0, 0))]
    return saved(image="a", resolution=[480, 640], gaze=gaze)


def gaze_of_nus_vip() -> bytes:
    seen = {"fix_x": [1.0, 2.0], "fix_y": [3.0, 4.0]}
    pictures = [{"img": "a.jpg", "subjects": np.array([seen, seen])}, {"img": "b.jpg", "subjects": seen}]
    return saved(fixations=np.array(pictures))


def saved(**variables: object) -> bytes:
    from scipy.io import savemat

    memory = io.BytesIO()
    savemat(memory, variables, do_compression=False)
    return memory.getvalue()


def graph() -> bytes:
    arrays = {"conv/kernel": np.arange(12, dtype=np.float32).reshape(3, 4), "conv/bias": np.array([1.0, 2.0])}
    with TemporaryDirectory() as folder:
        write_constants(arrays, Path(folder, "graph.pb"))
        return Path(folder, "graph.pb").read_bytes()


def vxm() -> bytes:
    records = {"0w": np.ones(2, "<f4").tobytes(), "0w.dtype": b"float32", "0w.shape": struct.pack("<I", 2)}
    parts = [part for name, content in records.items() for part in (name.encode() + b"\0", content)]
    return b"\x01tPM" + struct.pack("<I", 3) + b"".join(struct.pack("<I", len(part)) + part for part in parts)


def hdf5(**options: object) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w") as opened:
        opened.create_dataset("model_weights/conv/conv/kernel:0", data=np.zeros((3, 4), np.float32), **options)
    return memory.getvalue()


PACKED = {"images/a.txt": b"abc" * 30, "images/b.txt": b"", "c.txt": b"abc"}


def zipped(files: dict[str, bytes]) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in files.items():
            out.writestr(zipfile.ZipInfo("a"), b"") if not name else out.writestr(name, content)
    return memory.getvalue()


def tarred(mode: str, files: dict[str, bytes], end: bytes = b"") -> bytes:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode=mode) as out:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
        out.fileobj.write(end)
    return memory.getvalue()


def list_names(file: Path) -> None:
    list(names(file))


def unpack_beside(file: Path) -> None:
    shutil.rmtree(file.with_name("unpacked"), ignore_errors=True)
    unpack(file, file.with_name("unpacked"), max_bytes=10**12, max_files=10**6)


def as_sources(file: Path) -> None:
    (file.parent / NOTES).parent.mkdir(exist_ok=True)
    shutil.copy(file, file.parent / NOTES)
    trusted(file.parent)


def into_linear(file: Path) -> None:
    load_weights(torch.nn.Linear(3, 2), file)


SCORES = "sequence,test_case,subjective_score\na,h264v@targetbbp100=10_preset=0,1.5\na,h264v@targetbbp100=20_preset=0,2\n"
OF_ARCHIVES: tuple[Callable[[Path], object], ...] = (list_names, unpack_beside)
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
    "safetensors": (weights(True), (into_linear, origin_of), 1000),
    "checkpoint": (weights(False), (read_state,), 500),
    "matlab": (matlab(), (read_mat,), 1000),
    "salicon": (gaze_of_salicon(), (lambda file: salicon.read_fixations(file, salicon.SIZE),), 1000),
    "cat2000": (saved(fixLocs=np.eye(3, 4, dtype=np.uint8)), (lambda file: cat2000.read_fixations(file, (3, 4)),), 500),
    "nus-vip": (gaze_of_nus_vip(), (nus_vip.read_fixations,), 500),
    "graph": (graph(), (read_constants,), 1000),
    "vxm": (vxm(), (read_vxm,), 500),
    "hdf5": (hdf5(), (load_sgdnet,), 300),
    "archive.zip": (zipped(PACKED), OF_ARCHIVES, 700),
    "archive.tar": (tarred("w", PACKED), OF_ARCHIVES, 500),
    "archive.tgz": (tarred("w:gz", PACKED), OF_ARCHIVES, 500),
    "archive.tar.xz": (tarred("w:xz", PACKED), OF_ARCHIVES, 300),
    "sources.json": (
        json.dumps({"a": {"repo": "b/c", "revision": "0" * 40}}).encode(),
        (as_sources, partial(record_by, "python -m paperlib code")),
        500,
    ),
    "scores": (SCORES.encode(), (read_scores,), 500),
    "fixations": (b"image,subject,x,y\na.png,1,3,4.5\nb.png,2,1e2,7\n", (read_fixations,), 1000),
    "opinions": (b"image,mos,split\na.png,1.5,test\nb.png,3,training\n", (read_opinions,), 500),
    "votes": (b"image,left,right,choice,assessor\nk,a,b,left,x\nk,b,c,tie,y\n", (read_votes,), 500),
}


@pytest.mark.parametrize("kind", CASES)
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_read_or_end_in_an_error_that_names_them(kind: str, tmp_path: Path) -> None:
    content, readers, number = CASES[kind]
    rng, file = np.random.default_rng(list(kind.encode())), tmp_path / kind
    refused = 0
    with in_little_memory():
        for _ in range(number):
            file.write_bytes(mutated(content, rng))
            refused += sum(is_refused(read, file) for read in readers)
    assert 0 < refused


def is_refused(read: Callable[[Path], object], file: Path) -> bool:
    start = time.perf_counter()
    try:
        with warnings.catch_warnings(action="ignore"):
            read(file)
    except PaperlibError as error:
        assert file.name in str(error) and "\n" not in str(error)
        return True
    finally:
        assert time.perf_counter() - start < SECONDS
    return False


@contextmanager
def in_little_memory() -> Iterator[None]:
    """The process has reached `MEMORY` more than ever before in no moment of the block."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    assert 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < MEMORY


def test_there_are_ten_thousand() -> None:
    assert sum(number for _, _, number in CASES.values()) >= 10_000


# ---- small files that ask for much ----------------------------------------------------------------------------------
def cells(rows: int, columns: int) -> bytes:
    """A MATLAB file that announces a cell array and holds none of its cells."""
    parts = ((6, struct.pack("<II", 1, 0)), (5, struct.pack("<ii", rows, columns)), (1, b"a".ljust(8)))
    matrix = b"".join(struct.pack("<II", kind, len(content)) + content for kind, content in parts)
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 14, len(matrix)) + matrix


def zeros_of_matlab() -> bytes:
    from scipy.io import savemat

    memory = io.BytesIO()
    savemat(memory, {"a": np.zeros(100_000_000, np.uint8)}, do_compression=True)
    return memory.getvalue()


def large_png(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(9))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def many_scans() -> bytes:
    content = picture("JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return content[:last] + 200 * content[last:-2] + content[-2:]


def short_list() -> bytes:
    """A graph with a constant of 2**31 numbers, of which it lists two: the last stands for all that follow."""
    tensor = b"\x08\x01" + b"\x12\x08\x12\x06\x08\x80\x80\x80\x80\x08" + b"\x2a\x08" + np.ones(2, "<f4").tobytes()
    attribute = b"\x0a\x05value\x12" + bytes([len(tensor) + 2]) + b"\x42" + bytes([len(tensor)]) + tensor
    node = b"\x0a\x01a\x12\x05Const\x2a" + bytes([len(attribute)]) + attribute
    return b"\x0a" + bytes([len(node)]) + node


def deflated_checkpoint() -> bytes:
    memory, packed = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(1_000_000)}, memory)
    with zipfile.ZipFile(memory) as held, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as out:
        for record in held.infolist():
            out.writestr(record.filename, held.read(record))
    return packed.getvalue()


class Endless:
    def __reduce__(self) -> tuple[type, tuple[int]]:
        return bytearray, (4 << 30,)


EMPTY = dict.fromkeys(map(str, range(5000)), b"")
BOMBS: dict[str, tuple[Callable[[], bytes], Callable[[Path], object]]] = {
    "cells.mat": (lambda: cells(30_000, 30_000), read_mat),
    "zeros.mat": (zeros_of_matlab, read_mat),
    "large.png": (lambda: large_png(13_000), picture_size),
    "scans.jpg": (many_scans, read_rgb),
    "short list.pb": (short_list, read_constants),
    "crumbs.zip": (lambda: zipped(EMPTY), unpack_beside),
    "crumbs.tgz": (lambda: tarred("w:gz", EMPTY), list_names),
    "nameless.zip": (lambda: zipped({"b": b""}).replace(b"b", b"\0"), unpack_beside),
    "deep.zip": (lambda: zipped({"a/" * 20_000 + "b": b""}), unpack_beside),
    "end.tar.xz": (lambda: tarred("w:xz", PACKED, bytes(40_000_000)), unpack_beside),
    "chunk.h5": (lambda: hdf5(chunks=(8192, 8192), maxshape=(None, None), compression="gzip"), load_sgdnet),
    "elsewhere.h5": (lambda: hdf5(external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]), load_sgdnet),
    "deflated.pth": (deflated_checkpoint, read_state),
    "bytes.pth": (lambda: pickle.dumps({"a": Endless()}, 2), read_state),
    "sources.json": (lambda: b"[" * 100_000, as_sources),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_asks_for_much_is_refused(name: str, tmp_path: Path) -> None:
    make, read = BOMBS[name]
    file = tmp_path / name
    file.write_bytes(make())
    with in_little_memory():
        assert is_refused(read, file)


# ---- every reader ---------------------------------------------------------------------------------------------------
OURS = "files of ours or of an installed package"
READERS: dict[str, dict[str, str]] = {
    r"Image\.open\(": {"alike": OURS, "datasets/files": "png", "datasets/photographs": OURS, "show/report": OURS},
    r"\bloadmat\(": {"datasets/files": "matlab"},
    r"csv\.reader\(|DictReader\(|read_csv\(": {
        "datasets/tables": "fixations", "datasets/listed_files": OURS, "experiments/kept_rows": OURS,
        "show/sensitivity": OURS, "show/summary": OURS, "study/example": OURS, "study/folder": OURS,
    },
    r"\bjson\.loads?\(": {
        "json_files": "sources.json", "engine/local": OURS, "sources/watching": OURS, "study/compute": OURS,
        "show/summary": OURS,
    },
    r"ZipFile\(|tarfile\.open\(": {
        "supply/unpack": "archive.zip", "models/checkpoints": "checkpoint", "engine/store": OURS, "supply/state": OURS,
    },
    r"h5py\.File\(": {"models/sgdnet": "hdf5", "models/stand_ins": OURS},
    r"\bload_file\(|safe_open\(": {
        "models/backbones": "safetensors", "models/shipped": OURS, "supply/state": OURS, "tasks/export": "safetensors",
    },
    r"torch\.load\b(?!`)|np\.load\(": {
        "models/checkpoints": "checkpoint", "engine/checkpoints": OURS, "datasets/training_pairs": OURS,
    },
    r"FromString\(": {"models/tf_graph": "graph"},
}  # fmt: skip
"""Call -> module of paperlib that makes it -> the kind in `CASES` that tries it, or why none does."""


@pytest.mark.parametrize("call", READERS)
def test_every_reader_is_tried(call: str) -> None:
    package = Path(salicon.__file__).parents[1]
    found = {
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        if re.search(call, path.read_text("utf-8"))
    }
    assert found == READERS[call].keys(), "a new reader needs a kind in CASES"
    assert set(READERS[call].values()) <= {*CASES, OURS}
