"""The IQA methods of Table III behind one face: a picture, its reference and its saliency map in, one raw score out.

Names are the keys of `paperlib.paper.TABLE3`. PSNR, SSIM, EW-PSNR and EW-SSIM are `paperlib.metrics.weighted` (luma, as
in the authors' run), SGDNet is `paperlib.models.sgdnet`, all others are pyiqa's with its defaults, which the authors'
run took; so does every further metric of pyiqa, by its name there. The three Baselines are trained networks and enter
through `method_of_network`.

Nothing is downloaded: weights come from local files under their official names. Where pyiqa's checkpoint fills the
whole network, that file suffices; LPIPS, DISTS and AHIQ hold only what they learned on top of an ImageNet backbone,
whose official file of torchvision or timm is then needed too.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.metrics import weighted
from paperlib.models import sgdnet
from paperlib.models.layers import hidden_modules
from paperlib.models.official import TIMM, OfficialFile, of_timm
from paperlib.models.quality import _FILES as _NR_FILES
from paperlib.models.quality import _PYIQA_WEIGHTS as _PYIQA
from paperlib.models.quality import (
    CLIPIQA,
    PAPER_MODELS,
    _clipiqa,
    _construct,
    _file_name,
    _fill,
    _first_line,
    _higher_is_better,
    _import_architecture,
    _isolated,
    _local_files_only,
    _located,
    _random_backbones,
    _read,
    _replaced,
    _replaced_in_architectures,
    random_checkpoints,
)
from paperlib.paths import atomic_write

SizeMode = Literal["full_res", "resize_384", "resize_384_512_or_512_384", "resize_384_512_or_512_384_horizontal"]
SIZE_MODES: tuple[SizeMode, ...] = get_args(SizeMode)
"""The four sizes at which the authors scored SACID; Table III is `full_res`."""

_SHORT, _LONG = 384, 512
_PATCHES_AT_ONCE = 256
_SUPPORT_VECTORS = (774, 36)
_SGDNET_SOURCE = "https://github.com/ysyscool/SGDNet, as named in paperlib.models.sgdnet"
_BASELINES = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
_CROPS = {"ahiq": ("crops", 2), "maniqa": ("test_sample", 1), "tres": ("test_sample", 1), "hyperiqa": ("num_crop", 1)}
"""The attribute that holds how many crops of a picture the network scores, and the fewest: AHIQ takes 1 for a picture of
224x224 that needs no cropping."""
_BLOCKS_READ = {"ahiq": 5, "maniqa": 10}  # of the 12 of ViT-B/8


def _of_pyiqa(name: str) -> OfficialFile:
    return OfficialFile(name, "pyiqa", _PYIQA)


def _of_torchvision(name: str) -> OfficialFile:
    return OfficialFile(name, "checkpoints", f"https://download.pytorch.org/models/{name}")


_VGG16 = _of_torchvision("vgg16-397923af.pth")
_ALEXNET = _of_torchvision("alexnet-owt-7be5be79.pth")
_RESNET50 = of_timm("resnet50.a1_in1k")
_VIT = of_timm("vit_base_patch8_224.augreg2_in21k_ft_in1k")
_PYIQA_FILES: dict[str, tuple[OfficialFile, ...]] = {
    **{name: _NR_FILES[name] for name in ("topiq_nr", "dbcnn", CLIPIQA)},
    "ms_ssim": (),
    "vif": (),
    "brisque": (_of_pyiqa("brisque_svm_weights.pth"),),
    "ahiq": (_RESNET50, _VIT, _of_pyiqa("AHIQ_vit_p8_epoch33-da3ea303.pth")),
    "lpips": (_ALEXNET, _of_pyiqa("LPIPS_v0.1_alex-df73285e.pth")),
    "pieapp": (_of_pyiqa("PieAPPv0.1-0937b014.pth"),),
    "topiq_fr": (_of_pyiqa("cfanet_fr_kadid_res50-2c4cc61d.pth"),),
    "dists": (_VGG16, _of_pyiqa("DISTS_weights-f5e65c96.pth")),
    "maniqa": (_of_pyiqa("ckpt_koniq10k.pt"),),
    "tres": (_of_pyiqa("tres_koniq-f0502926.pth"),),
    "hyperiqa": (_of_pyiqa("HyperIQA-resnet50-koniq10k-c96c41b1.pth"),),
    "paq2piq": (_of_pyiqa("P2P_RoIPoolModel-fit.10.bs.120-ca69882e.pth"),),
    "musiq": (_of_pyiqa("musiq_koniq_ckpt-e95806b9.pth"),),
}

Image = NDArray[Any]
Scorer = Callable[[Image, Image | None, Image | None], float]


class _OfWeighted(NamedTuple):
    compute: Callable[..., float]
    needs_saliency: bool


_WEIGHTED = {
    "psnr": _OfWeighted(weighted.psnr, False),
    "ssim": _OfWeighted(weighted.ssim, False),
    "ew_psnr": _OfWeighted(weighted.ew_psnr, True),
    "ew_ssim": _OfWeighted(weighted.ew_ssim, True),
}
_SGDNET: dict[str, sgdnet.Variant] = {"sgdnet_none": "none", "sgdnet_output": "output"}


@dataclass(frozen=True)
class Traits:
    """What is known of a method before it is loaded.

    Attributes:
        name: as given.
        needs_reference: it compares a picture with the undistorted one (full reference).
        needs_saliency: it weighs with a saliency map.
        higher_is_better: False where a high score means a bad picture.
        files: the official files that it is loaded from.
    """

    name: str
    needs_reference: bool
    needs_saliency: bool
    higher_is_better: bool
    files: tuple[OfficialFile, ...]


@dataclass(frozen=True)
class Method(Traits):
    """A loaded method.

    Attributes:
        compute: of checked pictures, with None for what is not needed; use `score`.
        network: what computes it, in eval mode; None where that is a formula.
    """

    compute: Scorer
    network: nn.Module | None = None

    def score(self, distorted: Image, reference: Image | None = None, saliency: Image | None = None) -> float:
        """The score of one picture, on the method's own scale and in its own direction (see `oriented`).

        Args:
            distorted: (h, w, 3) RGB, uint8 or floating point in [0, 1].
            reference: the undistorted picture, the same shape; left unused by methods without `needs_reference`.
            saliency: (h, w) floating point in [0, 1]; left unused by methods without `needs_saliency`.

        Raises:
            PaperlibError: reference or saliency is missing or of another size, the picture is too small for the method
                or too large for the memory, or the score is no finite number.
            ValueError: another shape, type or range.
        """
        _check_picture(distorted, "distorted")
        reference = self._companion(reference, "reference", distorted) if self.needs_reference else None
        saliency = self._companion(saliency, "saliency map", distorted) if self.needs_saliency else None
        height, width = distorted.shape[:2]
        try:
            score = self.compute(distorted, reference, saliency)
        except PaperlibError:
            raise
        except Exception as error:  # networks that are given a picture that does not suit them fail in many ways
            short = _is_lack_of_memory(error)
            raise PaperlibError(
                f"{self.name} cannot score a picture of {width}x{height} pixels: "
                + ("the memory does not suffice; choose a smaller size mode" if short else _first_line(error))
            ) from error
        if not math.isfinite(score):
            raise PaperlibError(f"{self.name} gives {score} for a picture of {width}x{height} pixels: no score")
        return score

    def _companion(self, image: Image | None, what: str, distorted: Image) -> Image:
        """The reference or the saliency map, checked."""
        if image is None:
            raise PaperlibError(f"{self.name} needs the {what} of a picture, and none was given")
        (_check_map if what == "saliency map" else _check_picture)(image, what)
        (height, width), (own_height, own_width) = image.shape[:2], distorted.shape[:2]
        if (height, width) != (own_height, own_width):
            raise PaperlibError(
                f"{self.name} needs a {what} of the picture's size {own_width}x{own_height}, got {width}x{height}; "
                f"resize it first"
            )
        return image


# ---- names ----------------------------------------------------------------------------------------------------------
def describe(name: str) -> Traits:
    """What a method needs and how its scores point, without loading it.

    At once for the methods of Table III; for another metric of pyiqa a skeleton of it is built to see its files.

    Raises:
        PaperlibError: there is no such method.
    """
    if name in _WEIGHTED:
        return Traits(name, True, _WEIGHTED[name].needs_saliency, True, ())
    if name in _SGDNET:
        file = OfficialFile(sgdnet.OFFICIAL_FILES[_SGDNET[name]], "sgdnet", _SGDNET_SOURCE, name)
        return Traits(name, False, False, sgdnet.SGDNet.higher_is_better, (file,))
    metric = _metric(name)
    files = _PYIQA_FILES[metric] if metric in _PYIQA_FILES else _survey(metric).files
    return Traits(name, _mode(metric) == "FR", False, _higher_is_better(metric), files)


def _metric(name: str) -> str:
    """pyiqa's name of a method.

    Raises:
        PaperlibError: it has none, or none that scores single pictures.
    """
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if name in _BASELINES:
        raise PaperlibError(f"{name} is trained here and has no official file; load it and give the network instead")
    metric = PAPER_MODELS.get(name, name)
    if metric not in DEFAULT_CONFIGS:
        known = [*_WEIGHTED, *_SGDNET, *PAPER_MODELS, *DEFAULT_CONFIGS]
        near = difflib.get_close_matches(name, known, 3)
        raise PaperlibError(
            f"there is no IQA method {name!r}; "
            + (f"names like it: {', '.join(near)}" if near else "expected a key of Table III or a metric of pyiqa")
        )
    if _mode(metric) not in ("FR", "NR") or metric in ("fid", "inception_score"):
        raise PaperlibError(f"{name} scores sets of pictures, not single ones; choose another metric")
    return metric


def _mode(metric: str) -> str | None:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return DEFAULT_CONFIGS[metric].get("metric_mode")


# ---- opening --------------------------------------------------------------------------------------------------------
def open_method(
    name: str, weights_root: Path | None = None, device: torch.device | str = "cpu", crops: int | None = None
) -> Method:
    """A method with its weights, from local files alone.

    Args:
        name: a key of `paperlib.paper.TABLE3` but the Baselines', or a metric of pyiqa by its name there.
        weights_root: folder that holds the files under their official names (`describe(name).files`); what is not in it,
            or all with None, is looked for where the libraries keep it: torch's hub cache and, for backbones of timm,
            Hugging Face's.
        device: where networks compute; pictures are given and scores returned on the CPU all the same.
        crops: how many crops of a picture AHIQ (20), MANIQA (20), TReS (50) and HyperIQA (25) score; other methods
            look at the whole picture. None is the official number; fewer, at least 1 (AHIQ: 2), are for rehearsals alone.

    Raises:
        PaperlibError: no such method, a missing, damaged or unfit file.
        ValueError: `crops` below 1.
    """
    if crops is not None and crops < 1:
        raise ValueError(f"crops must be at least 1, got {crops}")
    if weights_root is not None and not weights_root.is_dir():
        raise PaperlibError(f"{name}: there is no folder of weights {weights_root}; check its path")
    traits = describe(name)
    paths = _located(traits.files, weights_root, name)
    if name in _WEIGHTED:
        return Method(**vars(traits), compute=_weighted_scorer(_WEIGHTED[name]))
    if name in _SGDNET:
        network = sgdnet.load_sgdnet(paths[0], _SGDNET[name]).to(device)
        return Method(**vars(traits), compute=lambda image, *_: _sgdnet_score(network, image, device), network=network)
    metric = _metric(name)
    network = _ready(_trimmed(metric, _network(metric, weights_root)), device)
    if crops is not None and metric in _CROPS:
        attribute, fewest = _CROPS[metric]
        setattr(network, attribute, max(crops, fewest))
    forward = _pieapp(network) if metric == "pieapp" else network
    return Method(**vars(traits), compute=_network_scorer(forward, device), network=network)


def method_of_network(
    name: str, network: nn.Module, higher_is_better: bool = True, device: torch.device | str = "cpu"
) -> Method:
    """A no-reference method of a loaded network, such as a Baseline.

    Args:
        name: of the method.
        network: float images (n, 3, h, w), RGB in [0, 1], to (n,) or (n, 1); switched to eval mode and moved.
        higher_is_better: False where a high score means a bad picture.
        device: where it computes.
    """
    compute = _network_scorer(_ready(network, device), device)
    return Method(name, False, False, higher_is_better, (), compute, network)


def oriented(method: Traits, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores turned so that higher is better."""
    return scores if method.higher_is_better else -scores


def _ready(network: nn.Module, device: torch.device | str) -> nn.Module:
    """In eval mode and on the device, with what it hides in plain lists."""
    for module in (network, *hidden_modules(network)):
        module.eval().to(device)
    return network


# ---- sizes ----------------------------------------------------------------------------------------------------------
def resized(image: Image, mode: SizeMode) -> Image:
    """A picture, reference or saliency map at one of the authors' sizes: bilinear, without antialiasing, not rounded.

    Args:
        image: (h, w, 3) or (h, w), uint8 or floating point in [0, 1].
        mode: `full_res` leaves it as it is; `resize_384` makes the shorter side 384; `resize_384_512_or_512_384` is 384
            high and 512 wide, upright pictures (higher than wide) 512 high and 384 wide; with `_horizontal` those are
            then transposed, so that all are 384 x 512.

    Returns:
        The image itself for `full_res`, else float32 in [0, 1].

    Raises:
        ValueError: another mode, shape or type.
    """
    if mode not in SIZE_MODES:
        raise ValueError(f"size mode must be one of {', '.join(SIZE_MODES)}, got {mode!r}")
    if mode == "full_res":
        return image
    if image.ndim not in (2, 3) or image.size == 0:
        raise ValueError(f"image must be (h, w, 3) or (h, w), got {image.shape}")
    pixels = torch.from_numpy(_unit_range(image))
    channels_first = pixels[None] if image.ndim == 2 else pixels.permute(2, 0, 1)
    height, width = image.shape[:2]
    size = _target(height, width, mode)
    made = nn.functional.interpolate(channels_first[None], size, mode="bilinear", align_corners=False)[0]
    if mode.endswith("horizontal") and height > width:
        made = made.transpose(1, 2)
    return np.ascontiguousarray((made[0] if image.ndim == 2 else made.permute(1, 2, 0)).numpy())


def _target(height: int, width: int, mode: SizeMode) -> tuple[int, int]:
    if mode == "resize_384":
        longer = int(_SHORT * max(height, width) / min(height, width))
        return (_SHORT, longer) if height <= width else (longer, _SHORT)
    return (_SHORT, _LONG) if height <= width else (_LONG, _SHORT)


def _unit_range(image: Image) -> NDArray[np.float32]:
    """float32 in [0, 1]."""
    if image.dtype == np.uint8:
        return image.astype(np.float32) / np.float32(255)
    if image.dtype.kind != "f":
        raise ValueError(f"expected uint8 or floating point in [0, 1], got {image.dtype}")
    return np.ascontiguousarray(image, np.float32)


# ---- scoring --------------------------------------------------------------------------------------------------------
def _weighted_scorer(method: _OfWeighted) -> Scorer:
    def score(distorted: Image, reference: Image | None, saliency: Image | None) -> float:
        return method.compute(distorted, reference, *([saliency] if method.needs_saliency else []))

    return score


def _sgdnet_score(network: sgdnet.SGDNet, image: Image, device: torch.device | str) -> float:
    """`SGDNet.predict`, also of pictures that were resized and are no longer 8-bit."""
    if image.dtype == np.uint8:
        return network.predict(image)[0]
    prepared = cv2.resize(_unit_range(image), sgdnet.INPUT_SIZE[::-1])
    with torch.inference_mode():
        return network(_tensor(prepared, device)).item()


def _network_scorer(network: Callable[..., Tensor], device: torch.device | str) -> Scorer:
    def score(distorted: Image, reference: Image | None, _: Image | None) -> float:
        images = [_tensor(image, device) for image in (distorted, reference) if image is not None]
        with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            scores = network(*images)
        if scores.numel() != 1:
            raise ValueError(f"expected one score for one picture, got {tuple(scores.shape)}")
        return float(scores)

    return score


def _tensor(image: Image, device: torch.device | str) -> Tensor:
    """(1, 3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(_unit_range(image)).permute(2, 0, 1)[None].contiguous().to(device)


def _pieapp(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """PieAPP over some patches at a time: pyiqa takes all at once, over 10 GB for 2.6 Mpixel."""
    from pyiqa.archs.func_util import extract_2d_patches

    def patches(image: Tensor) -> tuple[Tensor, ...]:
        cut = extract_2d_patches(network.preprocess(image), network.patch_size, network.stride, padding="none")
        return cut[0].split(_PATCHES_AT_ONCE)

    def score(distorted: Tensor, reference: Tensor) -> Tensor:
        total = weight = torch.zeros((), dtype=torch.float64)
        for x, y in zip(patches(distorted), patches(reference), strict=True):
            (x_all, x_coarse), (y_all, y_coarse) = network.compute_features(x), network.compute_features(y)
            errors = network.fc2_score(network.fc1_score(y_all - x_all).relu())
            weights = network.fc2_weight(network.fc1_weight(y_coarse - x_coarse).relu()).double() + 1e-6
            total = total + (weights * network.ref_score_subtract(0.01 * errors)).sum().cpu()
            weight = weight + weights.sum().cpu()
        return total / weight

    return score


def _check_picture(image: Image, what: str) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise ValueError(f"{what}: expected an RGB picture (h, w, 3), got {image.shape}")
    if image.dtype != np.uint8:
        _check_range(image, what)


def _check_map(image: Image, what: str) -> None:
    if image.ndim != 2 or image.size == 0:
        raise ValueError(f"{what}: expected (h, w), got {image.shape}")
    _check_range(image, what)


def _check_range(image: Image, what: str) -> None:
    if image.dtype.kind != "f" or not (image.min() >= 0 and image.max() <= 1):
        values = f"{image.dtype}, {image.min():g} to {image.max():g}"
        raise ValueError(f"{what}: expected floating point in [0, 1], got {values}")


def _is_lack_of_memory(error: Exception) -> bool:
    told = str(error).lower()
    return isinstance(error, MemoryError) or "can't allocate" in told or "out of memory" in told


# ---- networks of pyiqa ----------------------------------------------------------------------------------------------
class _ReadDirectly(PaperlibError):
    """A constructor reads a file itself instead of having pyiqa load it."""


class _Survey(NamedTuple):
    """What a constructor of pyiqa asks for.

    Attributes:
        network: random weights in it; None where the constructor needs a file to come to its end.
        files: those that the network is loaded from.
        whole: `files` is one checkpoint that fills all of `network`.
        key: of the dictionary in that checkpoint, or None.
    """

    network: nn.Module | None
    files: tuple[OfficialFile, ...]
    whole: bool
    key: str | None


def _network(metric: str, root: Path | None) -> nn.Module:
    """A network of pyiqa with every tensor from local files."""
    if metric == CLIPIQA:
        return _clipiqa(None, root)
    survey = _survey(metric)
    if survey.network is not None and survey.whole:
        _fill(survey.network, *_located(survey.files, root, metric))
        return survey.network
    return _assembled(metric, root)


def _trimmed(metric: str, network: nn.Module) -> nn.Module:
    """Without the last layers of its backbones where it reads earlier ones alone; the scores stay what they were."""
    if metric in _BLOCKS_READ:
        network.vit.blocks = network.vit.blocks[: _BLOCKS_READ[metric]]
    if metric == "ahiq":
        for name in ("layer2", "layer3", "layer4", "fc"):
            setattr(network.resnet50, name, nn.Identity())
    return network


def _survey(metric: str, seed: int | None = None) -> _Survey:
    """Build the network with random weights and note what it wanted."""
    fetches: list[tuple[nn.Module, OfficialFile, bool, str | None]] = []
    backbones: list[OfficialFile] = []

    def note(net: nn.Module, model_path: str, strict: bool = True, weight_keys: str | None = None) -> None:
        fetches.append((net, _of_pyiqa(_file_name(model_path)), strict, weight_keys))

    def stop(address: str, *_: Any, **__: Any) -> None:
        raise _ReadDirectly(_file_name(address))

    network, direct = None, []
    with _isolated(seed):
        _import_architecture(metric)
        try:
            with (
                _local_files_only(metric, None),
                _noted_backbones(backbones),
                _replaced_in_architectures("load_pretrained_network", note),
                _replaced_in_architectures("load_file_from_url", stop),
            ):
                network = _construct(metric, {})
        except _ReadDirectly as wanted:
            direct = [_of_pyiqa(str(wanted))]
    for module, file, strict, key in reversed(fetches):
        if module is network and strict:
            return _Survey(network, (file,), True, key)
    files = [*backbones, *(file for _, file, _, _ in fetches), *direct]
    return _Survey(network, tuple(dict.fromkeys(files)), False, None)


@contextmanager
def _noted_backbones(backbones: list[OfficialFile]) -> Iterator[None]:
    """timm and torchvision give networks with random weights, and what they were asked for is noted."""
    import timm.models._builder
    from torchvision.models import WeightsEnum

    verify = vars(WeightsEnum)["verify"].__func__

    def note_torchvision(cls: type, wanted: Any) -> None:
        weights = verify(cls, wanted)
        if weights is not None:
            backbones.append(_of_torchvision(_file_name(weights.url)))

    def note_timm(*_: Any, pretrained_cfg: dict[str, Any], **__: Any) -> None:
        backbones.append(of_timm(_timm_stem(pretrained_cfg)))

    with (
        _random_backbones(),
        _replaced(timm.models._builder, "load_pretrained", note_timm),
        _replaced(WeightsEnum, "verify", classmethod(note_torchvision)),
    ):
        yield


def _timm_stem(config: dict[str, Any]) -> str:
    return f"{config['architecture']}.{config['tag']}"


def _assembled(metric: str, root: Path | None) -> nn.Module:
    """What pyiqa's constructor gives when each of the files that it asks for is a local one."""
    with _isolated():
        _import_architecture(metric)
        with _local_files_only(metric, root), _local_parts(metric, root):
            return _construct(metric, {})


@contextmanager
def _local_parts(metric: str, root: Path | None) -> Iterator[None]:
    """Backbones and checkpoints come from local files, and files are read as tensors, never as programs."""
    import timm.models._builder
    from torchvision.models import WeightsEnum

    load, load_backbone = torch.load, timm.models._builder.load_pretrained

    def path_of(file: OfficialFile) -> Path:
        return _located((file,), root, metric)[0]

    def of_torchvision(weights: Any, *_: Any, **__: Any) -> Any:
        return _read(path_of(_of_torchvision(_file_name(weights.url))))

    def load_timm(model: nn.Module, pretrained_cfg: dict[str, Any], **options: Any) -> None:
        path = path_of(of_timm(_timm_stem(pretrained_cfg)))
        load_backbone(model, pretrained_cfg={**pretrained_cfg, "file": str(path)}, **options)

    def part(net: nn.Module, model_path: str, strict: bool = True, weight_keys: str | None = None) -> None:
        path = path_of(_of_pyiqa(_file_name(model_path)))
        (_fill if strict else _fill_part)(net, path)

    def tensors_alone(file: Any, *_: Any, **__: Any) -> Any:
        with torch.serialization.safe_globals(_numpy_scalars()):
            return load(file, map_location="cpu", weights_only=True)

    with ExitStack() as stack:
        stack.enter_context(_replaced(WeightsEnum, "get_state_dict", of_torchvision))
        stack.enter_context(_replaced(timm.models._builder, "load_pretrained", load_timm))
        stack.enter_context(_replaced_in_architectures("load_pretrained_network", part))
        stack.enter_context(_replaced(torch, "load", tensors_alone))
        yield


def _numpy_scalars() -> list[Any]:
    """What a loss or an epoch beside the tensors may be: NumPy's numbers, by their names before and since NumPy 2."""
    from numpy._core.multiarray import scalar

    return [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, *{type(np.dtype(code)) for code in "fdilq"}]


def _fill_part(network: nn.Module, path: Path) -> None:
    """Load what a checkpoint holds into a network whose other tensors have other files.

    Raises:
        PaperlibError: the file is damaged, or holds a tensor that does not belong there.
    """
    held = _read(path)
    own = network.state_dict()
    fits = (
        isinstance(held, dict)
        and bool(held)
        and all(isinstance(value, Tensor) and key in own and own[key].shape == value.shape for key, value in held.items())
    )
    if not fits:
        raise PaperlibError(
            f"{path.name} is not a checkpoint of {type(network).__name__}: it holds other tensors than the network; "
            f"give the file that belongs to it"
        )
    network.load_state_dict(held, strict=False)


# ---- rehearsal ------------------------------------------------------------------------------------------------------
def random_files(name: str, folder: Path, seed: int) -> list[Path]:
    """Write the files that a method needs, in the official formats and under the official names, with random weights.

    The classifiers of torchvision's backbones, which no method uses, are written as zeros that take no space.

    Args:
        name: as in `open_method`.
        folder: made when missing; files of these names in it are replaced.
        seed: the same seed gives the same weights.

    Returns:
        The files, in the order of `describe(name).files`.

    Raises:
        PaperlibError: no such method, or pyiqa does not load it from one file of its own (LPIPS, DISTS, AHIQ and
            BRISQUE are made all the same).
        OSError: the folder cannot be written or the disk is full.
    """
    if name in _WEIGHTED:
        return []
    if name in _SGDNET:
        return [sgdnet.random_checkpoint(_SGDNET[name], folder, seed)]
    metric = _metric(name)
    if metric == CLIPIQA:
        return random_checkpoints(metric, folder, seed)
    if metric in _RANDOM:
        return [_write(file, folder, held) for file, held in _RANDOM[metric](seed)]
    survey = _survey(metric, seed)
    if not survey.files:
        return []
    if survey.network is None or not survey.whole:
        raise PaperlibError(f"{name}: pyiqa does not load it from one file of its own, so none can be made up")
    state = survey.network.state_dict()
    return [_write(survey.files[0], folder, {survey.key: state} if survey.key else state)]


def _write(file: OfficialFile, folder: Path, held: Any) -> Path:
    path = folder / file.name
    with atomic_write(path) as stream:
        if file.cache == TIMM:
            from safetensors.torch import save

            stream.write(save({key: tensor.contiguous() for key, tensor in held.items()}))
        else:
            torch.save(held, stream)
    return path


Made = list[tuple[OfficialFile, Any]]


def _random_brisque(seed: int) -> Made:
    """Support vectors in [-1, 1] and coefficients that sum to 0."""
    generator = torch.Generator().manual_seed(seed)
    vectors = 2 * torch.rand(_SUPPORT_VECTORS, generator=generator) - 1
    coefficients = 100 * torch.randn(_SUPPORT_VECTORS[:1], generator=generator)
    return [(_PYIQA_FILES["brisque"][0], (coefficients - coefficients.mean(), vectors))]


def _random_lpips(seed: int) -> Made:
    """Heads that are not negative, as the trained ones."""
    network, backbone = _random_parts("lpips", "alexnet", seed)
    heads = {key: value.abs() for key, value in network.state_dict().items() if re.match(r"lin\d", key)}
    return [(_ALEXNET, backbone), (_PYIQA_FILES["lpips"][1], heads)]


def _random_dists(seed: int) -> Made:
    network, backbone = _random_parts("dists", "vgg16", seed)
    own = {key: value for key, value in network.state_dict().items() if key in ("alpha", "beta")}
    return [(_VGG16, backbone), (_PYIQA_FILES["dists"][1], own)]


def _random_ahiq(seed: int) -> Made:
    with _isolated(seed):
        _import_architecture("ahiq")
        with _local_files_only("ahiq", None), _random_backbones():
            network = _construct("ahiq", {"pretrained": False})
    own = {f"{part}_model_state_dict": getattr(network, part).state_dict() for part in ("regressor", "deform_net")}
    backbones = [(_RESNET50, network.resnet50.state_dict()), (_VIT, network.vit.state_dict())]
    return [*backbones, (_PYIQA_FILES["ahiq"][2], own)]


_RANDOM: dict[str, Callable[[int], Made]] = {
    "brisque": _random_brisque,
    "lpips": _random_lpips,
    "dists": _random_dists,
    "ahiq": _random_ahiq,
}


def _random_parts(metric: str, backbone: str, seed: int) -> tuple[nn.Module, dict[str, Tensor]]:
    """A network of pyiqa with random weights, and a state dict of its backbone in torchvision."""
    from torchvision.models import get_model

    survey = _survey(metric, seed)
    if survey.network is None:
        raise PaperlibError(f"{metric}: pyiqa cannot build it without its files, so none can be made up")
    with torch.device("meta"):
        shapes = {key: value.shape for key, value in get_model(backbone).state_dict().items()}
    classifier = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items() if key.startswith("classifier.")}
    return survey.network, {**_features(survey.network), **classifier}


def _features(network: nn.Module) -> dict[str, Tensor]:
    """Convolutions of LPIPS (`net.slice1.0.weight`) and DISTS (`stage1.0.weight`) by torchvision's names."""
    features = {}
    for key, value in network.state_dict().items():
        match = re.search(r"(?:slice|stage)\d\.(\d+\.(?:weight|bias))$", key)
        if match:
            features[f"features.{match[1]}"] = value
    return features
