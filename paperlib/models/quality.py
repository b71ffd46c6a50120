"""No-reference IQA networks from which saliency can be taken: a network, its feature layer, and where its weights lie.

Names (section III-A): `topiq` [TOPIQ-NR], `dbcnn` and `clipiqa_plus` are the paper's, with the KonIQ-10k weights of
pyiqa; `cnniqa_live` is the small network of Kang et al.; every other no-reference metric of pyiqa goes by its pyiqa
name with an explicit layer, and `package.module:factory` is anybody's own code.

Nothing is downloaded here. pyiqa's constructors fetch ImageNet or CLIP weights although the official checkpoint then
replaces every one of them (DBCNN always, whatever it is told), and wait long for a network that is not there. So a
network is built as a skeleton first, its fetches set aside, and then filled from local files, every tensor of it.
"""

import difflib
import importlib
import io
import random
import sys
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

import torch
from torch import Tensor, nn

from paperlib.errors import PaperlibError
from paperlib.models.cnniqa import PatchCNNIQA
from paperlib.models.layers import find_layer, hidden_modules, layer_names, named_layers, shortened
from paperlib.models.official import OfficialFile, find_official, places
from paperlib.paths import atomic_write

CLIPIQA = "clipiqa+"
CNNIQA_LIVE = "cnniqa_live"
PAPER_MODELS = {"topiq": "topiq_nr", "dbcnn": "dbcnn", "clipiqa_plus": CLIPIQA}

_LAST_FEATURES = {
    "topiq_nr": "semantic_model.layer4",
    "dbcnn": "features1.29",
    CLIPIQA: "clip_model.0.visual.layer4",
    CNNIQA_LIVE: "mosaic",
}
_PYIQA_WEIGHTS = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights"
_PROMPTS = (16, 512)
_BUILDING = threading.RLock()


_CLIP_RN50 = OfficialFile("RN50.pt", "clip", "OpenAI's CLIP, model RN50, as listed in pyiqa/archs/clip_model.py")
_FILES: dict[str, tuple[OfficialFile, ...]] = {
    "topiq_nr": (OfficialFile("cfanet_nr_koniq_res50-9a73138b.pth", "pyiqa", _PYIQA_WEIGHTS),),
    "dbcnn": (OfficialFile("DBCNN_KonIQ10k-2de81c0a.pth", "pyiqa", _PYIQA_WEIGHTS),),
    CLIPIQA: (OfficialFile("CLIP-IQA+_learned_prompts-603f3273.pth", "pyiqa", _PYIQA_WEIGHTS), _CLIP_RN50),
    CNNIQA_LIVE: (OfficialFile("CNNIQA-LIVE", "cnniqa", "https://github.com/lidq92/CNNIQA, folder models"),),
}


@dataclass(frozen=True)
class QualityModel:
    """What the extraction of saliency maps needs of an IQA network.

    Attributes:
        name: as given to `load_quality_model`.
        network: in eval mode; float images (n, 3, H, W), RGB in [0, 1], to one score per image, (n,) or (n, 1). It
            normalises its input itself. Parts of it may be frozen: the output of `layer` then has no gradient unless
            it is asked for.
        layer: a module of `network` whose output (n, c, h, w) are the features. Networks that score crops of an image
            (HyperIQA, MUSIQ, WaDIQaM) have other batches inside than n.
        layer_name: its dotted name.
        higher_is_better: False where a high score means a bad image.
    """

    name: str
    network: nn.Module
    layer: nn.Module
    layer_name: str
    higher_is_better: bool

    def to(self, device: torch.device | str) -> "QualityModel":
        """Move the network in place, with what it hides in plain lists, and return this object."""
        self.network.to(device)
        for module in hidden_modules(self.network):
            module.to(device)
        return self


def load_quality_model(
    name: str, *, layer: str | None = None, weights: Path | None = None, weights_root: Path | None = None
) -> QualityModel:
    """An IQA network with its weights, from local files alone.

    Args:
        name: one of `PAPER_MODELS`, `"cnniqa_live"`, a no-reference metric of pyiqa, or `"package.module:factory"`,
            where `factory()` returns an `nn.Module` as described in `QualityModel`, or that and a layer name; its
            attribute `higher_is_better` counts where it has one.
        layer: dotted name of the feature layer (`paperlib.models.layers`); None is the last feature layer, which is
            known for the paper's models and `cnniqa_live`.
        weights: the model's file, under any name. For `clipiqa_plus` that of the prompts; `RN50.pt` lies beside it or
            in `weights_root`.
        weights_root: folder that holds the files under their official names (`expected_files`); what is not in it, or
            all with None, is looked for in torch's hub cache, where pyiqa keeps them.

    Returns:
        The model on the CPU in eval mode. In-place activations are switched to out-of-place ones, which changes no
        value, so that any layer's output may be replaced by a hook.

    Raises:
        PaperlibError: unknown or full-reference model, missing, damaged or unfit file, unknown layer.
    """
    if weights is not None and not weights.is_file():
        raise PaperlibError(f"{name}: there is no file of weights {weights}; check its path")
    if ":" in name:
        network, default_layer, higher_is_better = _from_user_code(name, weights)
    else:
        metric = _metric(name)
        network = _filled(metric, weights, weights_root)
        default_layer, higher_is_better = _LAST_FEATURES.get(metric), _higher_is_better(metric)
    chosen = layer or default_layer
    if chosen is None:
        raise PaperlibError(
            f"{name}: its last feature layer is not known here; name one of its layers: {shortened(layer_names(network))}"
        )
    found = find_layer(network, chosen)
    for module in [network, *hidden_modules(network)]:
        module.eval()
    for module in named_layers(network).values():
        if getattr(module, "inplace", False):
            module.inplace = False
    return QualityModel(name, network, found, chosen, higher_is_better)


def expected_files(name: str) -> tuple[OfficialFile, ...]:
    """The official files that `name` is loaded from; none for a user's own code.

    At once for the paper's models; for another metric of pyiqa its skeleton is built to see what it asks for.

    Raises:
        PaperlibError: as `load_quality_model`, for the name.
    """
    if ":" in name:
        return ()
    metric = _metric(name)
    return _FILES[metric] if metric in _FILES else _official_files(_skeleton(metric, None))


def random_checkpoints(name: str, folder: Path, seed: int) -> list[Path]:
    """Write the files that `name` needs, in the official formats and under the official names, with random weights.

    Args:
        name: as in `load_quality_model`, without a user's own code.
        folder: made when missing; files of these names in it are replaced.
        seed: the same seed gives the same weights.

    Returns:
        The files, in the order of `expected_files`.

    Raises:
        PaperlibError: the model is not loaded from one file of its own.
    """
    metric = _metric(name)
    if metric == CLIPIQA:
        return _random_clipiqa(folder, seed)
    skeleton = _skeleton(metric, None, seed)
    if skeleton.whole is None:
        raise PaperlibError(f"{name}: pyiqa does not load it from one file of its own, so none can be made up")
    state = skeleton.network.state_dict()
    path = folder / skeleton.whole.file.name
    with atomic_write(path) as file:
        torch.save(state if metric == CNNIQA_LIVE else {"params": state}, file)
    return [path]


# ------------------------------------------------------------------------------------------------ names
def _metric(name: str) -> str:
    """pyiqa's name of a model, or `cnniqa_live`."""
    metric = PAPER_MODELS.get(name, name)
    if metric in _FILES:
        return metric
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if metric not in DEFAULT_CONFIGS:
        known = list(dict.fromkeys([*PAPER_MODELS, CNNIQA_LIVE, *DEFAULT_CONFIGS]))
        near = difflib.get_close_matches(metric, known, 3) or list(PAPER_MODELS)
        raise PaperlibError(
            f"there is no IQA model {name!r}; names like it: {', '.join(near)}; "
            f"expected one of the paper's ({', '.join(PAPER_MODELS)}), {CNNIQA_LIVE}, a no-reference metric of pyiqa "
            f"or 'package.module:factory'"
        )
    if DEFAULT_CONFIGS[metric]["metric_mode"] != "NR":
        raise PaperlibError(
            f"{name} is a full-reference metric: it compares two images and has no map of one; "
            f"choose a no-reference metric such as {', '.join(PAPER_MODELS)}"
        )
    return metric


def _higher_is_better(metric: str) -> bool:
    if metric == CNNIQA_LIVE:
        return False
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return not DEFAULT_CONFIGS[metric].get("lower_better", False)


def _from_user_code(name: str, weights: Path | None) -> tuple[nn.Module, str | None, bool]:
    module_name, _, attribute = name.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), attribute)()
    except Exception as error:  # whatever a user's code raises
        raise PaperlibError(f"{name}: it cannot be imported and called: {_first_line(error)}") from error
    network, layer = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(network, nn.Module) or not (layer is None or isinstance(layer, str)):
        raise PaperlibError(f"{name}: expected an nn.Module, or an nn.Module and a layer name, got {type(made).__name__}")
    if weights is not None:
        _fill(network, weights)
    return network, layer, bool(getattr(network, "higher_is_better", True))


# ------------------------------------------------------------------------------------------------ files
def _located(files: tuple[OfficialFile, ...], root: Path | None, name: str, beside: Path | None = None) -> list[Path]:
    """Where the files lie, see `paperlib.models.official`; those that are missing are named together."""
    found = {file: find_official(file, root, beside) for file in files}
    missing = [file for file, path in found.items() if path is None]
    if missing:
        wanted = "; ".join(f"{file.name} (from {file.where})" for file in missing)
        looked = dict.fromkeys(str(folder) for file in missing for folder in places(file, root, beside))
        raise PaperlibError(
            f"{name}: {len(missing)} file{'s' if len(missing) > 1 else ''} of weights missing in {', '.join(looked)}: "
            f"{wanted}; `python -m paperlib data fetch {' '.join(file.short for file in missing)}` gets it or says how, "
            f"or put it there under this name, or give the folder or file that you have"
        )
    return [path for path in found.values() if path is not None]


def _file_name(address: str) -> str:
    return unquote(Path(urlparse(address).path).name)


def _read(path: Path) -> Any:
    """What a PyTorch file holds, tensors alone: nothing in it is executed."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        raise PaperlibError(
            f"{path.name} ({path.stat().st_size} bytes) cannot be read as a PyTorch file of tensors: it is damaged, "
            f"unfinished or something else; get it again ({_first_line(error)})"
        ) from error


def _fill(network: nn.Module, path: Path, *, more_allowed: bool = False) -> None:
    """Load a state dict into the network: every tensor of it, and no other unless `more_allowed`.

    Raises:
        PaperlibError: the file is damaged or belongs to another network.
    """
    held = _read(path)
    if isinstance(held, dict):
        held = held.get("params", held)
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise PaperlibError(f"{path.name} holds no state dict (tensors by name, alone or under 'params')")
    given = {key.removeprefix("module."): value for key, value in held.items()}
    own = network.state_dict()
    faults = {
        "missing": sorted(own.keys() - given.keys()),
        "not of this network": [] if more_allowed else sorted(given.keys() - own.keys()),
        "of another shape": [
            f"{key} {tuple(given[key].shape)} for {tuple(own[key].shape)}"
            for key in sorted(own.keys() & given.keys())
            if own[key].shape != given[key].shape
        ],
    }
    told = [f"{len(keys)} {what}, first {keys[0]}" for what, keys in faults.items() if keys]
    if told:
        raise PaperlibError(
            f"{path.name} is not a checkpoint of {type(network).__name__}: {'; '.join(told)} "
            f"(of {len(own)} tensors); give the file that belongs to it"
        )
    network.load_state_dict(given, strict=not more_allowed)


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


# ------------------------------------------------------------------------------------------------ building
@dataclass(frozen=True)
class _Fetch:
    """A checkpoint that a constructor of pyiqa wanted to load into `module`."""

    module: nn.Module
    file: OfficialFile
    strict: bool


@dataclass(frozen=True)
class _Skeleton:
    network: nn.Module
    fetches: tuple[_Fetch, ...]

    @property
    def whole(self) -> _Fetch | None:
        """The checkpoint that fills the whole network, if pyiqa has one; it overwrites what came before."""
        return next((fetch for fetch in reversed(self.fetches) if fetch.module is self.network), None)


def _official_files(skeleton: _Skeleton) -> tuple[OfficialFile, ...]:
    return (skeleton.whole.file,) if skeleton.whole else ()


def _filled(metric: str, weights: Path | None, root: Path | None) -> nn.Module:
    """The network of a metric with every tensor from local files."""
    if root is not None and not root.is_dir():
        raise PaperlibError(f"{metric}: there is no folder of weights {root}; check its path")
    if metric == CLIPIQA:
        return _clipiqa(weights, root)
    if weights is None and metric in _FILES:  # told before any work
        (weights,) = _located(_FILES[metric], root, metric)
    skeleton = _skeleton(metric, root)
    if weights is None and skeleton.whole is None:
        return _built(metric, root)
    if weights is None:
        (weights,) = _located(_official_files(skeleton), root, metric)
    _fill(skeleton.network, weights, more_allowed=skeleton.whole is not None and not skeleton.whole.strict)
    return skeleton.network


def _clipiqa(weights: Path | None, root: Path | None) -> nn.Module:
    """CLIP-IQA+: CLIP's RN50, which pyiqa loads, and 16 learned context vectors (16, 512), which it would not check."""
    prompts_file, clip_file = _FILES[CLIPIQA]
    if weights is None:
        prompts_path, clip_path = _located((prompts_file, clip_file), root, CLIPIQA)
    else:
        prompts_path, (clip_path,) = weights, _located((clip_file,), root, CLIPIQA, weights.parent)
    prompts = _read(prompts_path)
    if not isinstance(prompts, Tensor) or tuple(prompts.shape[-2:]) != _PROMPTS or prompts.ndim not in (2, 3):
        raise PaperlibError(
            f"{prompts_path.name} holds no learned prompts of CLIP-IQA+: expected one tensor {_PROMPTS}, "
            f"alone or for each of two prompts, got {_described(prompts)}"
        )
    network = _built(CLIPIQA, root, pretrained=False, backbone=str(clip_path))
    network.prompt_learner.ctx.data = prompts.detach().to(network.prompt_learner.ctx)
    with torch.no_grad():
        network.prompt_learner = _FixedPrompts(network.prompt_learner(network.clip_model[0]))
    return network


class _FixedPrompts(nn.Module):
    """Text features (2, 1024) of the learned prompts, computed once: pyiqa's CLIP-IQA+ does it for every batch."""

    def __init__(self, features: Tensor):
        super().__init__()
        self.register_buffer("features", features)

    def forward(self, clip_model: nn.Module) -> Tensor:
        return self.features.to(clip_model.dtype)


def _described(held: Any) -> str:
    return str(tuple(held.shape)) if isinstance(held, Tensor) else type(held).__name__


def _built(metric: str, root: Path | None, **options: Any) -> nn.Module:
    """What pyiqa's constructor gives, with local files alone."""
    with _isolated():
        _import_architecture(metric)
        with _local_files_only(metric, root):
            return _construct(metric, options)


def _skeleton(metric: str, root: Path | None, seed: int | None = None) -> _Skeleton:
    """The network of a metric with random weights, and the checkpoints that pyiqa wanted to load into it."""
    if metric == CNNIQA_LIVE:
        with _isolated(seed):
            own = PatchCNNIQA()
        return _Skeleton(own, (_Fetch(own, _FILES[metric][0], True),))
    fetches: list[_Fetch] = []

    def note(net: nn.Module, model_path: str, strict: bool = True, weight_keys: str | None = None) -> None:
        fetches.append(_Fetch(net, OfficialFile(_file_name(model_path), "pyiqa", _PYIQA_WEIGHTS), strict))

    with _isolated(seed):
        _import_architecture(metric)
        with ExitStack() as stack:
            stack.enter_context(_local_files_only(metric, root))
            stack.enter_context(_random_backbones())
            stack.enter_context(_replaced_in_architectures("load_pretrained_network", note))
            network = _construct(metric, {})
    return _Skeleton(network, tuple(fetches))


def _construct(metric: str, options: dict[str, Any]) -> nn.Module:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS
    from pyiqa.utils.registry import ARCH_REGISTRY

    settings = {**DEFAULT_CONFIGS[metric]["metric_opts"], **options}
    architecture = ARCH_REGISTRY.get(settings.pop("type"))
    try:
        return architecture(**settings)
    except PaperlibError:
        raise
    except Exception as error:  # files of the wrong kind fail in many ways inside pyiqa
        files = ", ".join(Path(value).name for value in options.values() if isinstance(value, str))
        raise PaperlibError(
            f"pyiqa cannot build {metric}{f' from {files}' if files else ''} from local files; one may be missing, "
            f"damaged or of another model ({_first_line(error)})"
        ) from error


def _import_architecture(metric: str) -> None:
    """Import pyiqa's module of a metric.

    Raises:
        PaperlibError: a package that it needs is not installed.
    """
    from pyiqa import archs
    from pyiqa.default_model_configs import DEFAULT_CONFIGS
    from pyiqa.utils.registry import ARCH_REGISTRY

    kind = DEFAULT_CONFIGS[metric]["metric_opts"]["type"]
    try:
        if kind not in ARCH_REGISTRY:
            archs._lazy_import_arch(kind)
    except ModuleNotFoundError as error:
        advice = "install 'setuptools<82': later ones have no pkg_resources, which CLIP needs"
        raise PaperlibError(
            f"{metric} cannot be imported: {error}; "
            + (advice if error.name == "pkg_resources" else f"install {error.name}, or choose another model")
        ) from error


@contextmanager
def _isolated(seed: int | None = None) -> Iterator[None]:
    """Random numbers, warnings filters and printed lines stay as they were; one building at a time.

    With a seed the random numbers inside are determined by it.
    """
    with _BUILDING, ExitStack() as stack:
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(redirect_stderr(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(torch.random.fork_rng(devices=[]))
        stack.callback(random.setstate, random.getstate())
        if seed is not None:
            torch.manual_seed(seed)
            random.seed(seed)
        yield


@contextmanager
def _local_files_only(metric: str, root: Path | None) -> Iterator[None]:
    """Files that a constructor of pyiqa asks for come from `root`, or from torch's cache; none is fetched.

    Replaced for the duration: pyiqa's and CLIP's look-up of a file, the opening of addresses by torch.hub and urllib,
    and the switch that keeps huggingface_hub offline. Each tells at once which file it wanted instead of waiting for a
    network.
    """
    import huggingface_hub.constants

    def find(address: str, *_: Any, cache: str = "pyiqa", **__: Any) -> str:
        file = OfficialFile(_file_name(address), cache, address)
        return str(_located((file,), root, metric)[0])

    def find_clip(address: str, *_: Any, **__: Any) -> str:
        return find(address, cache="clip")

    def refuse(address: Any, *_: Any, **__: Any) -> None:
        address = getattr(address, "full_url", address)
        raise PaperlibError(
            f"{metric}: pyiqa looked in vain for {_file_name(address)} of {address}; nothing is "
            f"downloaded here: let pyiqa.create_metric({metric!r}) fetch its files once, then repeat"
        )

    with ExitStack() as stack:
        stack.enter_context(_replaced(huggingface_hub.constants, "HF_HUB_OFFLINE", True))
        stack.enter_context(_replaced(torch.hub, "urlopen", refuse))
        stack.enter_context(_replaced(urllib.request, "urlopen", refuse))
        stack.enter_context(_replaced_in_architectures("load_file_from_url", find))
        stack.enter_context(_replaced_in_architectures("_download", find_clip))
        yield


@contextmanager
def _random_backbones() -> Iterator[None]:
    """timm and torchvision give networks with random weights, whatever weights they are asked for."""
    import timm.models._builder
    from torchvision.models import WeightsEnum

    with (
        _replaced(timm.models._builder, "load_pretrained", lambda *_, **__: None),
        _replaced(WeightsEnum, "verify", classmethod(lambda *_: None)),
    ):
        yield


@contextmanager
def _replaced_in_architectures(name: str, value: Any) -> Iterator[None]:
    """`name` replaced in every loaded module of pyiqa's architectures (they import it by name)."""
    with ExitStack() as stack:
        for module_name, module in list(sys.modules.items()):
            if module_name.startswith("pyiqa.archs.") and name in vars(module):
                stack.enter_context(_replaced(module, name, value))
        yield


@contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute replaced for the duration of the block, also where the block fails."""
    original = vars(owner)[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


# ------------------------------------------------------------------------------------------------ rehearsal
def _random_clipiqa(folder: Path, seed: int) -> list[Path]:
    """Random prompts and a random CLIP RN50, the latter in half precision in a TorchScript archive as OpenAI's file."""
    paths = [folder / file.name for file in _FILES[CLIPIQA]]
    with _isolated(seed):
        from pyiqa.archs.clip_model import CLIP, convert_weights

        prompts = (0.02 * torch.randn(_PROMPTS)).half()
        clip = CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12)
        for layer in clip.visual.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.ones_(layer.weight)
        convert_weights(clip)
        sizes = {"input_resolution": 224, "context_length": 77, "vocab_size": 49408}
        state = {**clip.state_dict(), **{name: torch.tensor(size) for name, size in sizes.items()}}
        archive = torch.jit.script(_holder(state))
        with atomic_write(paths[1]) as file:
            torch.jit.save(archive, file)
    with atomic_write(paths[0]) as file:
        torch.save(prompts, file)
    return paths


def _holder(state: dict[str, Tensor]) -> nn.Module:
    """A module without a forward whose state dict is `state`."""
    root = nn.Module()
    for name, tensor in state.items():
        *parents, last = name.split(".")
        owner = root
        for parent in parents:
            if parent not in owner._modules:
                owner.add_module(parent, nn.Module())
            owner = owner._modules[parent]
        owner.register_buffer(last, tensor)
    return root
