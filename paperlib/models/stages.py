"""A backbone in two parts: what comes before a module, which is left as it is, and what is trained behind it."""

import torch
from torch import nn

from paperlib.errors import PaperlibError
from paperlib.models.backbones import Backbone

PROBE = (64, 64)
"""Size of the picture on which both parts are compared with the whole."""


def cut(backbone: Backbone, until: str) -> tuple[nn.Sequential, nn.Sequential]:
    """The first modules of a backbone up to `until`, and the rest; both share the backbone's parameters.

    The features of all pictures before the rest can be stored once and used by every training of the rest.

    Args:
        backbone: whose modules run one after another, as those of ResNets and EfficientNets do.
        until: dotted name of the last module of the first part, for example `"blocks.5"` or `"layer3"`.

    Returns:
        Images (n, 3, h, w), normalised -> stored features; stored features -> the backbone's features.

    Raises:
        PaperlibError: no such module, or modules that do not run one after another.
    """
    chain = _chain(backbone.network, until.split("."))
    if until not in chain:
        raise PaperlibError(f"the backbone has no module {until!r} to be cut behind; it has {', '.join(chain)}")
    place = list(chain).index(until) + 1
    first, rest = nn.Sequential(*list(chain.values())[:place]), nn.Sequential(*list(chain.values())[place:])
    if not _is_whole(backbone, first, rest):
        raise PaperlibError(
            f"the backbone's modules do not run one after another, so that it cannot be cut behind {until!r}; train all of "
            "it (frozen_until='')"
        )
    return first, rest


def _chain(network: nn.Module, path: list[str]) -> dict[str, nn.Module]:
    """Modules of `network` by dotted name, in the order of definition; one on the way to `path` is opened."""
    found: dict[str, nn.Module] = {}
    for name, module in network.named_children():
        if len(path) > 1 and name == path[0]:
            found |= {f"{name}.{inner}": one for inner, one in _chain(module, path[1:]).items()}
        else:
            found[name] = module
    return found


def _is_whole(backbone: Backbone, first: nn.Module, rest: nn.Module) -> bool:
    training, probe = backbone.training, torch.rand(1, 3, *PROBE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            expected, got = backbone.eval()(probe), rest(first(probe))
        except (RuntimeError, TypeError, AttributeError):
            return False
        finally:
            backbone.train(training)
    return expected.shape == got.shape and bool(torch.allclose(expected, got, rtol=1e-4, atol=1e-5))
