"""A source of maps as a value: what it is, which files it needs, and the names of the functions that make and open it.

    source = KNOWN["msinet"]
    require_weights([source], root)                    # PaperlibError names what is missing
    make = function(source.maker)(params, keys, inputs)  # in a unit that lists `source.maker` among its calls

Nothing here loads a network: plans may hold sources of networks that this machine cannot run.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paperlib.datasets.contents import digests, made_of
from paperlib.errors import PaperlibError
from paperlib.models.backbones import bundled_weights, imagenet_file
from paperlib.models.official import OfficialFile, find_official, of_timm, official_path
from paperlib.models.quality.model import expected_files
from paperlib.models.saliency import OFFICIAL_FILES
from paperlib.models.shipped import VARIANTS, shipped_files
from paperlib.sources.watching import files_behind


@dataclass(frozen=True)
class Source:
    """Where one method's maps come from.

    Attributes:
        kind: a key of `KINDS`.
        model: name of the backbone, network or folder.
        layer: dotted name of the feature layer; empty for the model's own.
        weights: the user's file; empty where files have official names in the folder of weights.
    """

    kind: str
    model: str = ""
    layer: str = ""
    weights: str = ""

    @property
    def maker(self) -> str:
        """`"module:function"` that makes its maps, see `paperlib.sources.maps.Maker`."""
        return KINDS[self.kind].maker

    @property
    def opener(self) -> str:
        """`"module:function"` that opens its network, see `paperlib.sources.networks`; empty for what has no network
        to ask."""
        return KINDS[self.kind].opener

    @property
    def calls(self) -> list[str]:
        """Functions that a unit which makes its maps calls by name."""
        return [name for name in (self.maker, self.opener) if name]

    @property
    def scores(self) -> bool:
        """Whether it judges quality by a trained score: its maps are asked of that score, and pictures can be scored."""
        return self.kind in ("baseline", "quality", "trained", "shipped")

    @property
    def asks_score(self) -> bool:
        """Whether its maps are made by asking a score, trained or not, for its reasons."""
        return self.scores or self.kind == "random_head"

    @property
    def sees_features(self) -> bool:
        """Whether its maps are made of an IQA network's features, so that size and precision of that network matter."""
        return self.asks_score or self.shows_pretraining

    @property
    def shows_pretraining(self) -> bool:
        """Whether it is a backbone as it is before quality training."""
        return self.kind in ("activation", "norm", "random_head")

    @property
    def runs_network(self) -> bool:
        """Whether a network is run for it."""
        return self.sees_features or self.kind in ("network", "decoder")

    @property
    def says_where_people_look(self) -> bool:
        """Whether its maps stand for gaze: of a saliency network, of the user's folder, or gaze itself."""
        return self.kind in ("network", "folder", "gaze", "decoder")


@dataclass(frozen=True)
class Kind:
    """What all sources of one kind have in common: names of functions, see `Source`."""

    maker: str
    opener: str = ""


_CAM = "paperlib.sources.cam:make"
_BASELINE = "paperlib.sources.networks:open_network"

KINDS = {
    "baseline": Kind(_CAM, _BASELINE),
    "random_head": Kind(_CAM, _BASELINE),
    "activation": Kind("paperlib.sources.cam:make_activations", _BASELINE),
    "norm": Kind("paperlib.sources.cam:make_norms", _BASELINE),
    "quality": Kind(_CAM, "paperlib.sources.quality:open_network"),
    "trained": Kind(_CAM, "paperlib.sources.networks:open_trained"),
    "shipped": Kind(_CAM, "paperlib.sources.shipped_network:open_network"),
    "decoder": Kind("paperlib.sources.networks:make_decoded"),
    "network": Kind("paperlib.sources.saliency_network:make"),
    "folder": Kind("paperlib.sources.folders:make"),
    "gaze": Kind("paperlib.sources.gaze:make"),
    "noise": Kind("paperlib.sources.controls:make_noise"),
    "center_only": Kind("paperlib.sources.controls:make_center"),
    "edges": Kind("paperlib.sources.controls:make_edges"),
}
"""Of sources: `baseline`, a Baseline in a file; `random_head`, `activation` and `norm`, a backbone before quality training;
`quality`, an IQA network of pyiqa or of the user; `trained` and `decoder`, score and decoder of a network that a needed unit
trained; `shipped`, a variant that ships; `network`, a saliency network; `folder`, the user's maps; `gaze`, the set's own
density; and three controls."""

KNOWN = {
    "baseline": Source("baseline", "efficientnet_b0"),
    "baseline_resnet50": Source("baseline", "resnet50"),
    "topiq": Source("quality", "topiq"),
    "dbcnn": Source("quality", "dbcnn"),
    "clipiqa_plus": Source("quality", "clipiqa_plus"),
    "msinet": Source("network", "msinet"),
    "transalnet": Source("network", "transalnet_dense"),
    "transalnet_res": Source("network", "transalnet_res"),
    "fastgaze": Source("network", "fastgaze"),
    "pretrained_activation": Source("activation", "efficientnet_b0"),
    "pretrained_norm": Source("norm", "efficientnet_b0"),
    "random_head": Source("random_head", "efficientnet_b0"),
    "center_only": Source("center_only"),
    "edge_energy": Source("edges"),
    "noise_map": Source("noise"),
    "gaze": Source("gaze"),
}
"""The rows of Table I that have maps of their own, their controls, and gaze itself."""


def of_user(models: Sequence[str], folders: Sequence[str] = ()) -> dict[str, Source]:
    """The user's models from texts like `cnniqa@conv1=weights.pth`: method -> source.

    `NAME[@LAYER][=WEIGHTS]`, where NAME is an IQA network of `paperlib.models.quality` (`package.module:factory` among
    them), `timm:MODEL` for a backbone before quality training, which gives two controls, or `shipped:VARIANT` for a quality
    network that ships with the companion.

    Args:
        models: the texts.
        folders: where modules of the user are looked for besides Python's own places.

    Raises:
        PaperlibError: a text of another form, two models of one name, or a module that cannot be found.
    """
    sources: dict[str, Source] = {}
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
                f"{backbone}, {what}": Source(kind, backbone, layer, weights)
                for what, kind in (("activations", "activation"), ("random head", "random_head"))
            }
        elif name.startswith("shipped:"):
            new = {name: _shipped(name.removeprefix("shipped:"), layer, weights)}
        else:
            new = {name: Source("quality", name, layer, weights)}
            _module_of(new[name], folders)
        if known := sources.keys() & new.keys():
            raise PaperlibError(f"two models are called {', '.join(sorted(known))}; give each once")
        sources |= new
    return sources


def _shipped(variant: str, layer: str, weights: str) -> Source:
    if variant not in VARIANTS:
        raise PaperlibError(f"no network {variant!r} ships; those that do: {', '.join(VARIANTS)}")
    if weights:
        raise PaperlibError(f"shipped:{variant} brings its weights; leave out ={weights}")
    return Source("shipped", variant, layer)


# ------------------------------------------------------------------------------------------------------------- weights


def official_files(source: Source) -> tuple[OfficialFile, ...]:
    """The files of weights that `source` needs; none where the user gives a file, or nothing is loaded from files."""
    if source.weights or _bundled(source):
        return ()
    if source.kind == "baseline":
        return (OfficialFile(baseline_file(source.model), "", "trained for Table II, written by the verb export"),)
    if source.shows_pretraining:
        return (of_timm(imagenet_file(source.model).removesuffix(".safetensors")),)
    if source.kind == "network":
        where = "the authors of the network, see paperlib.models.saliency"
        return (OfficialFile(OFFICIAL_FILES[source.model], "", where, source.model),)
    return expected_files(source.model) if source.kind == "quality" else ()


def baseline_file(backbone: str) -> str:
    """Name of the file that holds a trained Baseline."""
    return f"baseline_{backbone}.safetensors"


def require_weights(sources: Iterable[Source], root: Path) -> None:
    """Raises PaperlibError, once, when files of weights are missing: how many, which, where from."""
    missing = missing_files((file for source in sources for file in official_files(source)), root)
    if missing:
        raise PaperlibError(
            f"{len(missing)} file(s) of weights are missing in {root}: {files_and_command(missing)}; or give another folder "
            "with --weights DIR"
        )


def files_and_command(missing: Sequence[OfficialFile]) -> str:
    """Names of missing files with where they come from, and the command that gets them."""
    listed = "; ".join(f"{file.name} ({file.where})" for file in missing)
    return f"{listed}; `python -m paperlib data fetch {' '.join(file.short for file in missing)}` gets them or says how"


def missing_files(files: Iterable[OfficialFile], root: Path) -> list[OfficialFile]:
    """Those of `files`, each once, that lie neither in `root` nor in a library's cache."""
    return [file for file in dict.fromkeys(files) if find_official(file, root) is None]


def weights_fingerprint(source: Source, root: Path, folders: Sequence[str] = ()) -> str:
    """Hash of the files that `source` needs, the source of the user's own code among them."""
    files = [Path(source.weights)] if source.weights else [official_path(file, root) for file in official_files(source)]
    files += [file for file in [_bundled(source)] if file]
    files += shipped_files(source.model) if source.kind == "shipped" else ()
    if module := _module_of(source, folders):
        files += [module, *made_of(source.model, lambda: files_behind(source.model, folders))]
    return file_fingerprint(files) if files else "none"


def file_fingerprint(files: Iterable[Path]) -> str:
    """16 hexadecimal digits over the contents of `files`."""
    return hashlib.sha256(" ".join(digests(files)).encode()).hexdigest()[:16]


def _bundled(source: Source) -> Path | None:
    """The file of weights that needs no fetching, where `source` begins with it."""
    return bundled_weights(source.model) if source.shows_pretraining and not source.weights else None


def _module_of(source: Source, folders: Sequence[str]) -> Path | None:
    """The module of a network that is named `package.module:factory`; None for the others.

    Raises:
        PaperlibError: it cannot be found.
    """
    module, colon, _ = source.model.partition(":")
    if not colon or source.kind != "quality":
        return None
    return find_module(module, folders)


def find_module(name: str, places: Sequence[str | Path] = ()) -> Path | None:
    """The file of a module of the user; from then on this process, and workers that it starts, can import it.

    It is looked for where Python looks, and in `places` last: no file in them takes the place of an installed package.

    Args:
        name: dotted name.
        places: folders, such as the one in which the command was started and that of the data.

    Returns:
        Its file; None for a module that has none, such as a folder without `__init__.py`.

    Raises:
        PaperlibError: there is no such module, or importing the package that it lies in fails.
    """
    folders = [str(folder) for folder in places if folder and Path(folder).is_dir()]
    sys.path += [folder for folder in folders if folder not in sys.path]
    try:
        found = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        found = None
    except Exception as error:  # whatever the package of a user raises
        raise PaperlibError(f"--model: the package of {name} cannot be imported: {type(error).__name__}: {error}") from error
    if found is None:
        also = f" nor in {' or '.join(folders)}" if folders else ""
        raise PaperlibError(
            f"--model: there is no module {name} where Python looks{also}; write MODULE:FUNCTION and start in "
            "the folder of the module, put it into the folder of the data, or set PYTHONPATH"
        )
    return Path(found.origin) if found.has_location and found.origin else None
