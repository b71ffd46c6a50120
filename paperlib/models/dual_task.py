"""Section III-C: a Baseline that is trained on quality alone, on quality and saliency, or on saliency alone.

    task = DualTask(Baseline(create_backbone("efficientnet_b0", pretrained=True)), "gradcam_loss")
    loss = task(images, mos, saliency)          # what an optimiser of `task.groups(...)` makes smaller
    task.network(images)                        # the trained network is a plain Baseline

Variants: `"baseline"`, quality alone; `"sal_loss"`, a 1x1 convolution predicts saliency from the last features;
`"gradcam_loss"`, the GradCAM map of the score itself is compared with proxy saliency, without parameters of its own;
`"saliency"`, the decoder alone, which makes a supervised saliency network to compare with.

Only the backbone ever runs in reduced precision: head, map and losses are computed in float32 under autocast too, since
the gradients that weigh GradCAM's channels are too small for float16.
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paperlib.models.baseline import ACTIVATIONS, CHANNELS, Baseline, gradcam_map, to_unit_range
from paperlib.models.saliency_losses import SALIENCY_LOSSES

if TYPE_CHECKING:
    from paperlib.datasets.training_pairs import PairBatch

VARIANTS = ("baseline", "sal_loss", "gradcam_loss", "saliency")
WITH_DECODER = ("sal_loss", "saliency")
_WEIGHED = ("sal_loss", "gradcam_loss")
WEIGHTINGS = ("fixed", "uncertainty")


class DualTask(nn.Module):
    """A network with the loss that it is trained on.

    Args:
        network: with a decoder for variants in `WITH_DECODER`, without one else.
        variant: one of `VARIANTS`.
        saliency_loss: one of `paperlib.models.saliency_losses.SALIENCY_LOSSES`.
        weighting: `"fixed"` adds `saliency_weight` times the saliency loss; `"uncertainty"` learns both weights.
        saliency_weight: of fixed weighting.
        activation: of the decoder, one of `paperlib.models.baseline.ACTIVATIONS`.
        channels: of GradCAM, one of `CHANNELS`; see `paperlib.models.baseline.gradcam_map`.

    Raises:
        ValueError: unknown names; a decoder that is missing or not needed; a loss for maps in [0, 1] on ReLU's maps.
    """

    def __init__(
        self,
        network: Baseline,
        variant: str = "baseline",
        *,
        saliency_loss: str = "mse",
        weighting: str = "fixed",
        saliency_weight: float = 0.3,
        activation: str = "sigmoid",
        channels: str = "sum",
    ):
        super().__init__()
        for what, name, known in (
            ("variant", variant, VARIANTS),
            ("saliency_loss", saliency_loss, SALIENCY_LOSSES),
            ("weighting", weighting, WEIGHTINGS),
            ("activation", activation, ACTIVATIONS),
            ("channels", channels, CHANNELS),
        ):
            if name not in known:
                raise ValueError(f"{what}: expected one of {', '.join(known)}, got {name!r}")
        if (network.decoder is not None) != (variant in WITH_DECODER):
            raise ValueError(f"variant {variant!r}: expected decoder={variant in WITH_DECODER} in Baseline")
        if variant in WITH_DECODER and activation == "relu" and saliency_loss == "bce":
            raise ValueError("saliency_loss 'bce' needs maps in [0, 1]: take activation='sigmoid' or another loss")
        self.network, self.variant, self.activation, self.channels = network, variant, activation, channels
        self._compare = SALIENCY_LOSSES[saliency_loss]
        learned = weighting == "uncertainty" and variant in _WEIGHED
        self.weighting: nn.Module = UncertaintyWeighting() if learned else FixedWeighting(saliency_weight)

    def forward(self, images: Tensor, mos: Tensor, saliency: Tensor | None = None) -> Tensor:
        """Loss of a batch, a scalar.

        Args:
            images: (n, h, w, 3) uint8 RGB.
            mos: (n,) mean opinion scores on the scale that the network learns, usually 0 to 1.
            saliency: (n, h', w') proxy saliency >= 0, uint8 or float; not looked at by `"baseline"`.

        Raises:
            ValueError: `saliency` is missing; images of another shape or type.
        """
        return self.loss_of_features(self.network.features(to_unit_range(images)), mos, saliency)

    def loss_of_features(self, features: Tensor, mos: Tensor, saliency: Tensor | None = None) -> Tensor:
        """As `forward`, from the last features (n, c, h, w)."""
        with torch.autocast(features.device.type, enabled=False):
            return self._loss(features.to(torch.promote_types(features.dtype, torch.float32)), mos, saliency)

    def _loss(self, features: Tensor, mos: Tensor, saliency: Tensor | None) -> Tensor:
        if self.variant == "saliency":
            return self._saliency_loss(self.network.decode(features, self.activation), saliency)
        scores = self.network.score_features(features)
        quality = F.mse_loss(scores, mos)
        if self.variant == "baseline":
            return quality
        return self.weighting(quality, self._saliency_loss(self.saliency_maps(features, scores), saliency))

    def _saliency_loss(self, maps: Tensor, saliency: Tensor | None) -> Tensor:
        if saliency is None:
            raise ValueError(f"variant {self.variant!r} needs proxy saliency beside images and scores, got None")
        target = F.adaptive_avg_pool2d(saliency[:, None].to(maps.dtype), (maps.shape[1], maps.shape[2]))[:, 0]
        return self._compare(maps, target)

    def saliency_maps(self, features: Tensor, scores: Tensor) -> Tensor:
        """The maps (n, h, w) that the variant is trained on, at the resolution of the features (n, c, h, w).

        Args:
            features: last features.
            scores: (n,) of these features, with their graph.

        Raises:
            ValueError: `"baseline"` has none.
        """
        if self.variant == "baseline":
            raise ValueError("variant 'baseline' is not trained on maps; extract them with paperlib.maps.hirescam")
        if self.variant == "gradcam_loss":
            return gradcam_map(features, scores, self.channels)
        return self.network.decode(features, self.activation)

    def batch_loss(self, batch: "PairBatch", rest: nn.Module | None = None) -> Tensor:
        """Loss of a batch of `paperlib.datasets.training_pairs`, brought to the network's device; `rest` makes the last
        features of a batch that holds stored ones (see `paperlib.models.stages.cut`)."""
        device = self.network.mean.device
        images, mos = (torch.from_numpy(array).to(device) for array in (batch.images, batch.mos))
        saliency = None if batch.saliency is None else torch.from_numpy(batch.saliency).to(device)
        return self(images, mos, saliency) if rest is None else self.loss_of_features(rest(images.float()), mos, saliency)

    def groups(self, head_lr: float, backbone_lr: float) -> list[dict]:
        """Parameter groups for an optimiser: head (with decoder), backbone, and learned weights without decay; parameters
        that need no gradient are left out."""
        network = self.network
        head = [*network.head.parameters(), *(network.decoder.parameters() if network.decoder else ())]
        trained = [parameter for parameter in network.backbone.parameters() if parameter.requires_grad]
        learned = list(self.weighting.parameters())
        groups: list[dict] = [
            {"params": head, "lr": head_lr},
            {"params": trained, "lr": backbone_lr},
            {"params": learned, "lr": head_lr, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


class FixedWeighting(nn.Module):
    """quality + weight * saliency; no parameters."""

    def __init__(self, weight: float):
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"saliency_weight: expected 0 or more, got {weight}")
        self.weight = weight

    def forward(self, quality: Tensor, saliency: Tensor) -> Tensor:
        return quality + self.weight * saliency


class UncertaintyWeighting(nn.Module):
    """Sum over both losses of loss / (2 exp s) + s / 2 with learned s = log sigma^2, 0 at first.

    Kendall, Gal & Cipolla, CVPR 2018, equation 7, with the logarithm of the variance learned as they advise. At first
    this is half the sum of both losses; where a loss stays the same, its exp s goes to the loss itself.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log_variances = nn.Parameter(torch.zeros(2))

    def forward(self, quality: Tensor, saliency: Tensor) -> Tensor:
        losses = torch.stack([quality, saliency])
        return 0.5 * (losses * torch.exp(-self.log_variances) + self.log_variances).sum()
