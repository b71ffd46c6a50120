"""Where the maps of Table I come from on photographs: IQA networks, saliency networks, folders of maps, and controls."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from paperlib.datasets.gaze import GazeRecord
from paperlib.datasets.own import load_map, map_folders
from paperlib.errors import PaperlibError
from paperlib.experiments.user_modules import find_module
from paperlib.maps.controls import center_only, edge_energy_maps
from paperlib.maps.hirescam import extract
from paperlib.models.backbones import create_backbone, imagenet_file, load_weights
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.folding import prepare
from paperlib.models.layers import find_layer
from paperlib.models.official import OfficialFile, find_official, of_timm, official_path
from paperlib.models.quality.model import expected_files, load_quality_model
from paperlib.models.saliency import OFFICIAL_FILES, load_saliency_network

if TYPE_CHECKING:
    from paperlib.profiles import Profile

RANDOM_HEAD_SEED = 0
SCORE_KINDS = ("baseline", "quality", "random_head")


@dataclass(frozen=True)
class Origin:
    """Where one method's maps come from.

    Attributes:
        kind: `"baseline"` (the paper's, on a timm backbone), `"quality"` (`paperlib.models.quality`), `"random_head"` and
            `"activation"` (a backbone of timm before quality training), `"network"` (`paperlib.models.saliency`),
            `"folder"` (maps beside the user's pictures), or `"noise"`, `"center_only"`, `"edges"`.
        model: name of the backbone, network or folder.
        layer: dotted name of the feature layer; empty for the model's own.
        weights: the user's file; empty where files have official names in the folder of weights.
    """

    kind: str
    model: str = ""
    layer: str = ""
    weights: str = ""


ORIGINS = {
    "baseline": Origin("baseline", "efficientnet_b0"),
    "baseline_resnet50": Origin("baseline", "resnet50"),
    "topiq": Origin("quality", "topiq"),
    "dbcnn": Origin("quality", "dbcnn"),
    "clipiqa_plus": Origin("quality", "clipiqa_plus"),
    "msinet": Origin("network", "msinet"),
    "transalnet": Origin("network", "transalnet_dense"),
    "transalnet_res": Origin("network", "transalnet_res"),
    "pretrained_activation": Origin("activation", "efficientnet_b0"),
    "random_head": Origin("random_head", "efficientnet_b0"),
    "center_only": Origin("center_only"),
    "edge_energy": Origin("edges"),
    "noise_map": Origin("noise"),
}
"""The rows of Table I that have maps of their own, and their controls."""


def own_origins(models: Sequence[str]) -> dict[str, Origin]:
    """The user's models from texts like `cnniqa@conv1=weights.pth`: method -> origin.

    `NAME[@LAYER][=WEIGHTS]`, where NAME is an IQA network of `paperlib.models.quality` (`package.module:factory` among
    them), or `timm:MODEL` for a backbone before quality training, which gives two controls.

    Raises:
        PaperlibError: a text of another form, two models of one name, or a module that cannot be found.
    """
    origins: dict[str, Origin] = {}
    for text in models:
        spec, _, weights = text.partition("=")
        name, _, layer = spec.partition("@")
        if not name:
            raise PaperlibError(
                f"{text!r} names no model; write NAME[@LAYER][=WEIGHTS], for example cnniqa@conv1=weights.pth"
            )
        if weights and not Path(weights).is_file():
            raise PaperlibError(f"there is no file of weights {weights} (model {name})")
        if name.startswith("timm:"):
            backbone = name.removeprefix("timm:")
            new = {
                f"{backbone}, {what}": Origin(kind, backbone, layer, weights)
                for what, kind in (("activations", "activation"), ("random head", "random_head"))
            }
        else:
            new = {name: Origin("quality", name, layer, weights)}
            _source_files(new[name])
        if known := origins.keys() & new.keys():
            raise PaperlibError(f"two models are called {', '.join(sorted(known))}; give each once")
        origins |= new
    return origins


def folder_origins(root: Path, keys: Sequence[str]) -> dict[str, Origin]:
    """Maps that lie beside the user's pictures in folders `saliency_<name>`: method -> origin."""
    return {name: Origin("folder", name) for name in map_folders(root, keys)}


# ------------------------------------------------------------------------------------------------------------- weights


def official_files(origin: Origin) -> tuple[OfficialFile, ...]:
    """The files of weights that `origin` needs; none where the user gives a file, or no network is run."""
    if origin.weights or origin.kind in ("folder", "noise", "center_only", "edges"):
        return ()
    if origin.kind == "baseline":
        return (OfficialFile(baseline_file(origin.model), "", "trained for Table II, written by the verb export"),)
    if origin.kind in ("activation", "random_head"):
        return (of_timm(imagenet_file(origin.model).removesuffix(".safetensors")),)
    if origin.kind == "network":
        where = "the authors of the network, see paperlib.models.saliency"
        return (OfficialFile(OFFICIAL_FILES[origin.model], "", where, origin.model),)
    return expected_files(origin.model)


def needed_files(origin: Origin) -> tuple[tuple[str, str], ...]:
    """(official file name, where it comes from) of `official_files`."""
    return tuple((file.name, file.where) for file in official_files(origin))


def baseline_file(backbone: str) -> str:
    """Name of the file that holds a trained Baseline."""
    return f"baseline_{backbone}.safetensors"


def require_weights(origins: dict[str, Origin], root: Path) -> None:
    """Raises PaperlibError, once, when files of weights are missing: how many, which, where from."""
    needed = dict.fromkeys(file for origin in origins.values() for file in official_files(origin))
    missing = [file for file in needed if find_official(file, root) is None]
    if missing:
        listed = "; ".join(f"{file.name} ({file.where})" for file in missing)
        names = " ".join(file.short for file in missing)
        raise PaperlibError(
            f"{len(missing)} file(s) of weights are missing in {root}: {listed}. "
            f"`python -m paperlib data fetch {names}` gets them or says how; or give another folder with "
            "--weights DIR"
        )


def weights_file(origin: Origin, root: Path) -> Path:
    """The one file of weights of `origin`, where it lies; its place in `root` where it is nowhere."""
    (file,) = official_files(origin)
    return official_path(file, root)


def weights_fingerprint(origin: Origin, root: Path) -> str:
    """Hash of the files that `origin` needs, the source of the user's own code among them: of their sizes, and of samples
    spread over their contents."""
    import hashlib

    files = [Path(origin.weights)] if origin.weights else [official_path(file, root) for file in official_files(origin)]
    files += _source_files(origin)
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{size}".encode())
        with file.open("rb") as stream:
            for position in np.linspace(0, max(0, size - 65536), 32).astype(int).tolist():
                stream.seek(position)
                digest.update(stream.read(65536))
    return digest.hexdigest()[:16] if files else "none"


def _source_files(origin: Origin) -> list[Path]:
    """The module of a network that is named `package.module:factory`; empty for the others.

    Raises:
        PaperlibError: it cannot be found.
    """
    module, colon, _ = origin.model.partition(":")
    if not colon or origin.kind != "quality":
        return []
    return [file for file in [find_module(module)] if file]


# ---------------------------------------------------------------------------------------------------------------- maps

Maker = Callable[[Sequence[GazeRecord]], dict[str, list[np.ndarray]]]
"""From records to named lists of maps, one per record, (h, w) float32 of the record's size: `maps`, and for scores also
`plain`, the maps of one pass without principal component."""


def maker(params: dict[str, Any], keys: Sequence[str]) -> Maker:
    """The function that makes the maps of a unit (`paperlib.experiments.photo_sets.maps_units`) with pictures `keys`."""
    kind = params["kind"]
    if kind == "noise":
        return lambda records: {"maps": [_noise(record, params["seed"]) for record in records]}
    if kind == "center_only":
        return lambda records: {"maps": [center_only(*record.size) for record in records]}
    if kind == "edges":
        return lambda records: {"maps": [edge_energy_maps(record.load_image()[None])[0] for record in records]}
    if kind == "folder":
        return _from_folder(params, keys)
    if kind == "network":
        file = weights_file(Origin("network", params["model"]), Path(params["weights_root"]))
        network = load_saliency_network(params["model"], file, device())
        return lambda records: {"maps": [network.predict(record.load_image()) for record in records]}
    return _from_network(params)


def device() -> torch.device:
    """The first GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _noise(record: GazeRecord, seed: int) -> np.ndarray:
    import zlib

    return np.random.default_rng([seed, zlib.crc32(record.key.encode())]).random(record.size, dtype=np.float32)


def _from_folder(params: dict[str, Any], keys: Sequence[str]) -> Maker:
    files = map_folders(params["root"], keys)[params["model"]]
    return lambda records: {"maps": [sized(load_map(files[record.key]), record.size) for record in records]}


def _from_network(params: dict[str, Any]) -> Maker:
    """Maps out of a network by `paperlib.maps.hirescam.extract`."""
    network, layer = load_network(params)
    options = {name: params[name] for name in ("n_passes", "max_angle", "precision")} | {"layer": layer}
    if params["kind"] == "activation":
        ways = {"maps": {"method": "activation", "smoothing": "none", "principal_component": False}}
    else:
        ways = {
            "maps": {"smoothing": params["smoothing"], "principal_component": params["principal_component"]},
            "plain": {"smoothing": "none", "principal_component": False},
        }

    def make(records: Sequence[GazeRecord]) -> dict[str, list[np.ndarray]]:
        found: dict[str, list[np.ndarray]] = {name: [] for name in ways}
        for group, pictures in _same_size(records, (params["input_height"], params["input_width"])):
            for name, way in ways.items():
                maps = extract(network, pictures, **options, **way)
                found[name] += [sized(one, record.size) for one, record in zip(maps, group, strict=True)]
        return found

    return make


def scoring_network(origin: Origin, profile: "Profile") -> tuple[nn.Module, nn.Module]:
    """The IQA network of an origin, not optimised, on the CPU or GPU, and its feature layer."""
    return load_network(
        {
            "kind": origin.kind,
            "model": origin.model,
            "layer": origin.layer,
            "weights": origin.weights,
            "weights_root": profile.weights_root,
            "optimise": False,
        }
    )


def load_network(params: Mapping[str, Any]) -> tuple[nn.Module, nn.Module]:
    """The network of a unit on the device, in evaluation mode, and its feature layer."""
    root, weights = Path(params["weights_root"]), params["weights"]
    if params["kind"] == "quality":
        model = load_quality_model(
            params["model"],
            layer=params["layer"] or None,
            weights=Path(weights) if weights else None,
            weights_root=root if root.is_dir() else None,
        ).to(device())
        network = _optimised(model.network, params)
        return network, find_layer(network, model.layer_name)
    network = _baseline(params["kind"], params["model"], Path(weights) if weights else None, root).to(device())
    network = _optimised(network, params)
    return network, find_layer(network, params["layer"]) if params["layer"] else network.last_features


def _baseline(kind: str, backbone: str, weights: Path | None, root: Path) -> Baseline:
    if kind == "baseline":
        network = Baseline(create_backbone(backbone))
        load_weights(network, weights or root / baseline_file(backbone))
        return network.eval()
    torch.manual_seed(RANDOM_HEAD_SEED)
    imagenet = weights or weights_file(Origin("activation", backbone), root)
    return Baseline(create_backbone(backbone, imagenet=imagenet)).eval()


def _optimised(network: nn.Module, params: Mapping[str, Any]) -> nn.Module:
    """The same network with folded batch normalisations, channels last; as it is where folding would change it."""
    if not params["optimise"]:
        return network
    height, width = params["input_height"] or 192, params["input_width"] or 256
    probe = np.random.default_rng(0).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    try:
        return prepare(network, to_unit_range(probe).to(device()))
    except (ValueError, RuntimeError, TypeError):
        return network


def _same_size(records: Sequence[GazeRecord], size: tuple[int, int]) -> Iterator[tuple[list[GazeRecord], np.ndarray]]:
    """Neighbouring records whose pictures have one size, with the pictures (n, h, w, 3); resized to `size` if it is set."""
    loaded = ((record, picture(record, size)) for record in records)
    for _, group in groupby(loaded, key=lambda pair: pair[1].shape):
        members, pictures = zip(*group, strict=True)
        yield list(members), np.stack(pictures)


def picture(record: GazeRecord, size: tuple[int, int]) -> np.ndarray:
    """The picture of a record, resized to `size` unless that holds a zero; (h, w, 3) uint8."""
    image = record.load_image()
    if not all(size) or image.shape[:2] == size:
        return image
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))


def sized(saliency: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A map (h, w) at `size`, bilinear; as it is where it has that size."""
    if saliency.shape == tuple(size):
        return saliency
    return cv2.resize(saliency, size[::-1], interpolation=cv2.INTER_LINEAR)
