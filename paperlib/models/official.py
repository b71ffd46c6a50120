"""Official files of weights: their names, and where they are found.

The user's folder of weights comes first, then the place where the library that publishes a file keeps it: torch's hub
cache (`$TORCH_HOME/hub/pyiqa`, `/checkpoints`, `/clip`), for backbones of timm the cache of Hugging Face. Nothing is
downloaded here; `python -m paperlib data fetch` does that.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import torch

from paperlib.errors import PaperlibError

TIMM = "timm"
HUB_FILE = "model.safetensors"
"""Name of timm's weights in their repositories."""
PYIQA = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights"

_HASH = re.compile(r"-[0-9a-f]{8}$")


@dataclass(frozen=True)
class OfficialFile:
    """A file of weights.

    Attributes:
        name: the official one, under which a folder of weights holds it.
        cache: folder of torch's hub cache that it belongs in; `TIMM` for the cache of Hugging Face; empty where no
            library keeps it.
        where: where to get it, for people.
        item: its short name where that does not follow from `name`.
    """

    name: str
    cache: str
    where: str
    item: str = ""

    @property
    def short(self) -> str:
        """What `python -m paperlib data fetch` calls it: without the hash in its name, and without its ending."""
        return self.item or _HASH.sub("", self.name.removesuffix(".safetensors").removesuffix(".pth").removesuffix(".pt"))


def of_timm(stem: str) -> OfficialFile:
    """The weights `<architecture>.<tag>` of timm."""
    return OfficialFile(f"{stem}.safetensors", TIMM, f"{HUB_FILE} of timm/{stem} on the Hugging Face hub")


def of_torchvision(name: str) -> OfficialFile:
    """A file of weights of torchvision."""
    return OfficialFile(name, "checkpoints", f"https://download.pytorch.org/models/{name}")


def of_pyiqa(name: str) -> OfficialFile:
    """A file of weights of pyiqa."""
    return OfficialFile(name, "pyiqa", PYIQA)


def places(file: OfficialFile, root: Path | None = None, beside: Path | None = None) -> list[Path]:
    """The folders in which a file is looked for, in their order: `root`, its library's cache, `beside`."""
    cache = [cache_folder(file)] if file.cache else []
    return [folder for folder in (root, *cache, beside) if folder is not None]


def cache_folder(file: OfficialFile) -> Path:
    """Where the library that publishes a file keeps it; it need not exist.

    Raises:
        ValueError: no library keeps it.
    """
    if not file.cache:
        raise ValueError(f"{file.name} belongs in no library's cache, only in a folder of weights")
    if file.cache == TIMM:
        from huggingface_hub import constants

        return Path(constants.HF_HUB_CACHE, f"models--timm--{file.name.removesuffix('.safetensors')}")
    return Path(torch.hub.get_dir()) / file.cache


def find_official(file: OfficialFile, root: Path | None = None, beside: Path | None = None) -> Path | None:
    """The file where it lies, or None.

    pyiqa keeps a name as it stands in the address, so that a + becomes %2B: either is taken.

    Args:
        file: the official file.
        root: folder of weights, looked in first; None looks in the caches alone.
        beside: a last folder to look in.
    """
    names = dict.fromkeys((file.name, quote(file.name)))
    for folder in places(file, root, beside):
        if file.cache == TIMM and folder == cache_folder(file):
            found = _of_the_hub(folder)
        else:
            found = _first_existing(folder / name for name in names)
        if found is not None:
            return found
    return None


def located(files: Iterable[OfficialFile], root: Path | None, name: str, beside: Path | None = None) -> list[Path]:
    """Where all of the files lie that `name` is loaded from.

    Raises:
        PaperlibError: some lie nowhere; they are named together.
    """
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


def official_path(file: OfficialFile, root: Path) -> Path:
    """The file where it lies; its place in `root` where it is nowhere."""
    return find_official(file, root) or root / file.name


def _of_the_hub(repository: Path) -> Path | None:
    """A backbone in the cache of Hugging Face: of the branch main, else of the commit that is there."""
    branch = repository / "refs" / "main"
    commits = [branch.read_text().strip()] if branch.is_file() else []
    others = sorted(folder.name for folder in repository.glob("snapshots/*"))
    return _first_existing(repository / "snapshots" / commit / HUB_FILE for commit in [*commits, *others])


def _first_existing(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)
