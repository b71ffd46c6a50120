"""The supervised saliency networks behind one face: a picture in, a map of the same size out.

Preparation of the picture and restoration of the map are those of each network's authors; what they are stands in
`paperlib.models.transalnet`, `paperlib.models.msinet` and `paperlib.models.fastgaze`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from paperlib.errors import PaperlibError
from paperlib.models import fastgaze, msinet, transalnet
from paperlib.models.resizing import check_rgb

Prepare = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Restore = Callable[[NDArray[np.float32], tuple[int, int], bool], NDArray[np.float32]]

TRANSALNETS: dict[str, transalnet.Variant] = {"transalnet_res": "res", "transalnet_dense": "dense"}
OFFICIAL_FILES = {
    **{name: transalnet.OFFICIAL_FILES[variant] for name, variant in TRANSALNETS.items()},
    "msinet": msinet.OFFICIAL_FILE,
    "fastgaze": fastgaze.OFFICIAL_FILE,
}


@dataclass(frozen=True, eq=False)
class SaliencyNetwork:
    """A saliency network with its authors' pre- and post-processing.

    Attributes:
        network: (n, 3, height, width) -> (n, 1, height, width); `predict` computes on the device where it lies.
        prepare: picture (h, w, 3) uint8 RGB -> input (height, width, 3) float32.
        restore: (map (height, width) float32, size (h, w) of the picture, quantise) -> (h, w) float32 in [0, 1].
    """

    network: nn.Module
    prepare: Prepare
    restore: Restore

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8], quantise: bool = True) -> NDArray[np.float32]:
        """The saliency map of one picture; the network is left in the mode in which it is.

        Args:
            image: (h, w, 3) uint8 RGB, any size.
            quantise: reduce the map to 8 bits where the authors do: TranSalNet cuts before resizing, MSI-Net rounds at
                the end, and so does FastGaze here. False keeps single precision.

        Returns:
            (h, w) float32 in [0, 1].

        Raises:
            ValueError: another shape or type.
        """
        check_rgb(image)
        pixels = torch.from_numpy(self.prepare(image)).permute(2, 0, 1)[None].to(next(self.network.parameters()).device)
        saliency = self.network(pixels)[0, 0].float().cpu().numpy()
        return self.restore(saliency, image.shape[:2], quantise)


def load_saliency_network(name: str, file: Path, device: str | torch.device = "cpu") -> SaliencyNetwork:
    """A saliency network with the weights of an official file, in eval mode.

    Args:
        name: a key of `OFFICIAL_FILES`.
        file: its official one, under any name.
        device: where to compute.

    Raises:
        PaperlibError: no such file, a damaged one, or weights of another network.
        ValueError: unknown name.
    """
    if name not in OFFICIAL_FILES:
        raise ValueError(f"saliency networks are {', '.join(OFFICIAL_FILES)}; got {name!r}")
    return SaliencyNetwork(LOADERS[name](file).to(device), *RECIPES[name])


def _load_transalnet(name: str, file: Path) -> nn.Module:
    network = transalnet.load_transalnet(file)
    if network.variant != TRANSALNETS[name]:
        raise PaperlibError(
            f"{file.name}: expected the weights of {name}, got those of transalnet_{network.variant}; "
            f"give {OFFICIAL_FILES[name]}"
        )
    return network


def _prepare_transalnet(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(transalnet.prepare(image), np.float32(255), dtype=np.float32)


LOADERS: dict[str, Callable[[Path], nn.Module]] = {
    **{name: partial(_load_transalnet, name) for name in TRANSALNETS},
    "msinet": msinet.load_msinet,
    "fastgaze": fastgaze.load_fastgaze,
}

RECIPES: dict[str, tuple[Prepare, Restore]] = {
    "transalnet_res": (_prepare_transalnet, transalnet.restore),
    "transalnet_dense": (_prepare_transalnet, transalnet.restore),
    "msinet": (msinet.prepare, msinet.restore),
    "fastgaze": (fastgaze.prepare, fastgaze.restore),
}
"""What comes before and after a network, see `SaliencyNetwork`."""
