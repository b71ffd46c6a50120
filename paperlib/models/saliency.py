"""The supervised saliency networks behind one face: a picture in, a map of the same size out.

Preparation of the picture and restoration of the map are those of each network's authors; what they are stands in
`paperlib.models.transalnet` and `paperlib.models.msinet`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from paperlib.errors import PaperlibError
from paperlib.models import msinet, transalnet

SaliencyName = Literal["transalnet_res", "transalnet_dense", "msinet"]
Recipe = Literal["github", "hugging_face"]
Prepare = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Restore = Callable[[NDArray[np.float32], tuple[int, int], bool], NDArray[np.float32]]

OFFICIAL_FILES: dict[SaliencyName, str] = {
    "transalnet_res": transalnet.OFFICIAL_FILES["res"],
    "transalnet_dense": transalnet.OFFICIAL_FILES["dense"],
    "msinet": msinet.OFFICIAL_FILE,
}


@dataclass(frozen=True, eq=False)
class SaliencyNetwork:
    """A saliency network with its authors' pre- and post-processing.

    Attributes:
        name: "transalnet_res", "transalnet_dense" or "msinet".
        network: (n, 3, height, width) -> (n, 1, height, width); `predict` computes on the device where it lies.
        prepare: picture (h, w, 3) uint8 RGB -> input (height, width, 3) float32.
        restore: (map (height, width) float32, size (h, w) of the picture, quantise) -> (h, w) float32 in [0, 1].
    """

    name: SaliencyName
    network: nn.Module
    prepare: Prepare
    restore: Restore

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @torch.inference_mode()
    def predict(self, image: NDArray[np.uint8], quantise: bool = True) -> NDArray[np.float32]:
        """The saliency map of one picture; the network is left in the mode in which it is.

        Args:
            image: (h, w, 3) uint8 RGB, any size.
            quantise: reduce the map to 8 bits where the authors do: TranSalNet cuts before resizing, MSI-Net's
                repository rounds at the end, MSI-Net's Hugging Face card does neither. False keeps single precision.

        Returns:
            (h, w) float32 in [0, 1].

        Raises:
            ValueError: another shape or type.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ValueError(f"image must be (h, w, 3) uint8 RGB, got {image.shape} {image.dtype}")
        pixels = torch.from_numpy(self.prepare(image)).permute(2, 0, 1)[None].to(self.device)
        saliency = self.network(pixels)[0, 0].float().cpu().numpy()
        return self.restore(saliency, image.shape[:2], quantise)


def load_saliency_network(
    name: SaliencyName, file: Path, device: str | torch.device = "cpu", recipe: Recipe = "github"
) -> SaliencyNetwork:
    """A saliency network with the weights of an official file, in eval mode.

    Args:
        name: "transalnet_res", "transalnet_dense" or "msinet".
        file: `TranSalNet_Res.pth`, `TranSalNet_Dense.pth`; for MSI-Net a frozen graph `.pb` or `.safetensors`.
        device: where to compute.
        recipe: pre- and post-processing of the authors' repository, or of the Hugging Face card (MSI-Net only).

    Raises:
        PaperlibError: no such file, a damaged one, or weights of another network.
        ValueError: unknown name, or a recipe that this network has not.
    """
    if name not in OFFICIAL_FILES:
        raise ValueError(f"saliency networks are {', '.join(OFFICIAL_FILES)}; got {name!r}")
    if (name, recipe) not in RECIPES:
        raise ValueError(f"recipe must be github, or hugging_face for msinet; got {recipe!r} for {name}")
    network = msinet.load_msinet(file) if name == "msinet" else _load_transalnet(name, Path(file))
    return SaliencyNetwork(name, network.to(device), *RECIPES[name, recipe])


def _variant(name: SaliencyName) -> transalnet.Variant:
    return "res" if name == "transalnet_res" else "dense"


def _load_transalnet(name: SaliencyName, file: Path) -> transalnet.TranSalNet:
    network = transalnet.load_transalnet(file)
    if network.variant != _variant(name):
        raise PaperlibError(
            f"{file.name}: expected the weights of {name}, got those of transalnet_{network.variant}; "
            f"give {OFFICIAL_FILES[name]}"
        )
    return network


def _prepare_transalnet(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.divide(transalnet.prepare(image), np.float32(255), dtype=np.float32)


def _restore_card(saliency: NDArray[np.float32], size: tuple[int, int], quantise: bool) -> NDArray[np.float32]:
    return msinet.restore_hugging_face(saliency, size)


RECIPES: dict[tuple[SaliencyName, Recipe], tuple[Prepare, Restore]] = {
    ("transalnet_res", "github"): (_prepare_transalnet, transalnet.restore),
    ("transalnet_dense", "github"): (_prepare_transalnet, transalnet.restore),
    ("msinet", "github"): (msinet.prepare_github, msinet.restore_github),
    ("msinet", "hugging_face"): (msinet.prepare_hugging_face, _restore_card),
}
"""What comes before and after a network, see `SaliencyNetwork`."""
