"""Layers of a network by dotted name, also those that PyTorch does not list.

`nn.Module.get_submodule` knows registered modules only. Published IQA networks keep some of theirs elsewhere: pyiqa's
CLIP-IQA holds its whole CLIP in a plain list, "to avoid saving its weights", so that `named_modules()`, `.to()` and
`.eval()` pass it by. The functions here walk registered modules, and lists, tuples and dicts of modules among the
public attributes.
"""

import difflib
import re
from typing import Any

from torch import nn

from paperlib.errors import PaperlibError

NEAREST = 3
LISTED = 20
_CONTAINERS = (list, tuple, dict)


def find_layer(model: nn.Module, path: str) -> nn.Module:
    """The layer of `model` at a dotted path.

    Args:
        model: any network.
        path: names and indices: `"layer4"`, `"features1.29"`, `"clip_model.0.visual.layer4"`, `"features[-1]"`. A
            name goes before a position; negative positions count from the end.

    Raises:
        PaperlibError: there is no such layer; it says where the path broke, what is there and which names are near.
    """
    here: Any = model
    walked: list[str] = []
    for step in re.findall(r"[^.\[\]]+", path):
        following = _step(here, step)
        if following is None:
            raise _no_layer(model, path, f"{'.'.join(walked) or 'the network'} has no {step!r}", here)
        here = following
        walked.append(step)
    if not walked or not isinstance(here, nn.Module):
        reason = f"{path!r} is a {type(here).__name__}, not a layer" if walked else "the name is empty"
        raise _no_layer(model, path, reason, here)
    return here


def layer_names(model: nn.Module) -> list[str]:
    """Dotted names of all layers, in the order of definition; a layer with several names stands under its first."""
    return list(named_layers(model))


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """All layers of `model` by dotted name, those behind plain lists, tuples and dicts too; not `model` itself."""
    found: dict[str, nn.Module] = {}
    _collect(model, "", {id(model)}, found)
    return found


def hidden_modules(model: nn.Module) -> list[nn.Module]:
    """The layers that `model.modules()` does not reach: `.to()` and `.eval()` of the network miss them."""
    registered = set(model.modules())
    return [layer for layer in named_layers(model).values() if layer not in registered]


def shortened(names: list[str]) -> str:
    """The first names in one line, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED] or ["nothing"]) + (f" and {more} more" if more > 0 else "")


def _collect(here: Any, prefix: str, seen: set[int], found: dict[str, nn.Module]) -> None:
    for name, child in _children(here).items():
        if id(child) in seen:
            continue
        seen.add(id(child))
        if isinstance(child, nn.Module):
            found[prefix + name] = child
        _collect(child, f"{prefix}{name}.", seen, found)


def _children(here: Any) -> dict[str, Any]:
    """What a path may step to from here: modules, and containers that hold some."""
    if isinstance(here, nn.Module):
        attributes = {name: value for name, value in vars(here).items() if not name.startswith("_")}
        candidates = {**here._modules, **attributes}
    elif isinstance(here, dict):
        candidates = {str(key): value for key, value in here.items()}
    else:
        candidates = {str(index): value for index, value in enumerate(here)}
    return {name: value for name, value in candidates.items() if _holds_modules(value)}


def _holds_modules(value: Any, depth: int = 3) -> bool:
    if isinstance(value, nn.Module) or depth == 0:
        return isinstance(value, nn.Module)
    if not isinstance(value, _CONTAINERS):
        return False
    return any(_holds_modules(item, depth - 1) for item in (value.values() if isinstance(value, dict) else value))


def _step(here: Any, step: str) -> Any:
    children = _children(here)
    if step in children:
        return children[step]
    ordered = isinstance(here, nn.Sequential | nn.ModuleList | list | tuple)
    if ordered and re.fullmatch(r"-?\d+", step) and -len(children) <= int(step) < len(children):
        return list(children.values())[int(step)]
    return None


def _no_layer(model: nn.Module, path: str, reason: str, here: Any) -> PaperlibError:
    names = layer_names(model)
    near = difflib.get_close_matches(path, names, NEAREST, cutoff=0.5)
    return PaperlibError(
        f"{type(model).__name__} has no layer {path!r}: {reason}; "
        + (f"nearest names: {', '.join(near)}; " if near else "")
        + f"there: {shortened(list(_children(here)))}; give one of the {len(names)} layers that it has"
    )
