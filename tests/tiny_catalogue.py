"""A catalogue of small stand-ins in the official layouts, served on loopback, in place of the real one."""

import hashlib
import io
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save

from paperlib.models.official import OfficialFile, of_timm
from paperlib.rehearsal.koniq_clive import write_koniq
from paperlib.rehearsal.sacid import write_sacid
from paperlib.rehearsal.salicon_cat2000 import write_salicon
from paperlib.rehearsal.scenes import MANIFEST
from paperlib.supply import catalogue, state
from paperlib.supply.catalogue import MAIN, Item
from paperlib.supply.hub import HubFile
from paperlib.supply.transfer import WebFile
from tests.loopback import Loopback

MIRROR, SACID, PYIQA, BACKBONE = "mirror/sets", "lab/SACID", "mirror/weights", "timm/tiny.one"
COMMIT = "c0ffee" + "0" * 34
SALICON, KONIQ, VERSIONS = 6, 15, 24

Patch = Callable[[Any, str, Any], None]


@dataclass(frozen=True)
class Contents:
    """What is served, or put into folders: paths -> bytes."""

    salicon: dict[str, bytes]
    koniq: bytes
    table: bytes
    sacid: dict[str, bytes]
    clic: bytes
    network: bytes
    backbone: bytes


@lru_cache(maxsize=1)
def contents() -> Contents:
    """The same in every process."""
    with TemporaryDirectory() as folder:
        home = Path(folder)
        salicon = _files(write_salicon(home / "salicon", SALICON, 0))
        koniq = _files(write_koniq(home / "koniq10k", KONIQ, 0))
        sacid = _files(write_sacid(home / "sacid", 2, 0, (64, 96)))
    archives = {
        "images.zip": zipped({name: held for name, held in salicon.items() if name.startswith("images/")}),
        **{
            f"{part}.zip": zipped(
                {name.removeprefix(f"{part}/"): held for name, held in salicon.items() if name.startswith(f"{part}/")}
            )
            for part in ("fixations", "maps")
        },
    }
    table = koniq["koniq10k_distributions_sets.csv"]
    pictures = {f"koniq10k/{name}": held for name, held in koniq.items() if name.startswith("512x384/")}
    rng = np.random.default_rng(0)
    photographs = {f"{name}.png": _png(rng.integers(0, 256, (160, 200, 3), np.uint8)) for name in "ab"}
    stream = io.BytesIO()
    torch.save({"params": {"weight": torch.arange(20_000.0)}}, stream)
    backbone = save({"weight": torch.arange(1000.0)})
    return Contents(archives, _tarred(pictures), table, sacid, zipped(photographs), stream.getvalue(), backbone)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, held in files.items():
            archive.writestr(zipfile.ZipInfo(name), held)
    return stream.getvalue()


def _tarred(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as archive:
        for name, held in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(held)
            archive.addfile(entry, io.BytesIO(held))
    return stream.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def serve(server: Loopback) -> None:
    """Everything that may be fetched."""
    held = contents()
    server.add_repo(MIRROR, {"koniq10k.tgz": held.koniq}, repo_type="dataset", large=(".tgz",))
    server.add_repo(SACID, held.sacid, repo_type="dataset")
    server.add_repo(PYIQA, {_network_name(): held.network})
    server.add_repo(BACKBONE, {"model.safetensors": held.backbone})
    server.serve("/professional_test_2021.zip", held.clic)
    server.serve("/table.csv", held.table)
    server.serve("/koniq10k_distributions_sets.csv", held.table)
    server.serve(f"/{_vision_name()}", held.network)


def _network_name() -> str:
    return f"net_koniq-{sha(contents().network)[:8]}.pth"


def _vision_name() -> str:
    return f"vision-{sha(contents().network)[:8]}.pth"


def install(url: str, patch: Patch) -> tuple[Item, ...]:
    """Put the small catalogue, with what is to be fetched at `url`, in place of the real one; its items in order."""
    held = contents()
    real = {item.name: item for item in catalogue.DATA_SETS}
    names = {"pictures": "images.zip", "fixations": "fixations.zip"}  # as in the real catalogue, maps have no known hash
    salicon = tuple(
        replace(part, hashes=((f"sha256:{sha(held.salicon[names[part.what]])}", "stand-in"),) if part.hashes else ())
        for part in real["salicon"].parts
    )
    pictures, table = real["koniq10k"].parts
    (sacid,), (clic,) = real["sacid"].parts, real["clic2021"].parts
    sets = (
        _small(real["salicon"], parts=salicon),
        _small(
            real["koniq10k"],
            parts=(
                replace(pictures, source=HubFile(MIRROR, "koniq10k.tgz", "dataset", COMMIT)),
                replace(table, source=WebFile(f"{url}/koniq10k_distributions_sets.csv", f"sha256:{sha(held.table)}")),
            ),
        ),
        _small(real["sacid"], parts=(replace(sacid, source=HubFile(SACID, "", "dataset", MAIN)),)),
        _small(
            real["clic2021"],
            parts=(replace(clic, source=WebFile(f"{url}/professional_test_2021.zip", f"sha256:{sha(held.clic)}")),),
        ),
    )
    network, vision = (
        OfficialFile(_network_name(), "pyiqa", "the mirror"),
        OfficialFile(_vision_name(), "checkpoints", "a site"),
    )
    backbone, by_hand = of_timm("tiny.one"), OfficialFile("Net_By_Hand.pth", "", "its authors", "by_hand")
    prefix = f"sha256-prefix:{sha(held.network)[:8]}"
    weights = (
        _file(network, HubFile(PYIQA, network.name, "model", MAIN, prefix)),
        _file(vision, WebFile(f"{url}/{vision.name}", prefix)),
        _file(backbone, HubFile(BACKBONE, "model.safetensors", "model", MAIN)),
        _file(by_hand, None),
    )
    patch(catalogue, "DATA_SETS", sets)
    patch(catalogue, "weights", lambda: weights)
    patch(catalogue, "_of_methods", dict)
    needed = {item.name: ("Table I",) for item in (*sets, *weights) if not item.optional}
    patch(state, "needed_by", lambda profile: {} if profile.name == "own" else needed)
    patch(catalogue, "needed_by", state.needed_by)
    doors = state._DOORS
    part = {"options": lambda profile: {"partial": True}}
    patch(
        state,
        "_DOORS",
        {
            "salicon": replace(doors["salicon"], pictures=SALICON),
            "koniq10k": replace(doors["koniq10k"], pictures=KONIQ, **part),
            "sacid": replace(doors["sacid"], pictures=VERSIONS, **part),
        },
    )
    return (*sets, *weights)


def _small(item: Item, **changed: Any) -> Item:
    return replace(item, download=2_000_000, on_disk=2_000_000, **changed)


def _file(file: OfficialFile, source: WebFile | HubFile | None) -> Item:
    steps = ("Ask its authors.", f"Put {file.name} into {{weights}}.")
    return Item(
        file.short,
        "a small file",
        "weights",
        100_000,
        100_000,
        "made up",
        "Made up.",
        "https://example.org",
        steps,
        file.name,
        file=file,
        source=source,
    )
