"""The worlds and the networks that the sections share: made once per seed, stored, loaded by whoever needs them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from paperlib.datasets import microworld
from paperlib.datasets.records import ImageSet
from paperlib.engine.training import fit
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.models.backbones import TINY_WEIGHTS, create_tiny_backbone
from paperlib.models.baseline import Baseline, gradcam_map, to_unit_range
from paperlib.models.saliency_losses import SALIENCY_LOSSES

if TYPE_CHECKING:
    from paperlib.profiles import Profile

SEEDS = {"world/train": 100, "world/test": 200, "world_shifted/test": 300}
"""First random seed of each part of the data; repeat s takes the next ones, so no two parts share an image."""

VARIANTS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "baseline_sal_loss": {"task": "sal_loss"},
    "baseline_gradcam_loss": {"task": "gradcam_loss"},
    "saliency_net": {"task": "saliency"},
    "uniform_observers": {"observers": "uniform"},
    "baseline_centered": {"center_mos": True},
    "frozen_backbone": {"train_backbone": False},
    "unpretrained": {"pretrained": False},
    "pretrained_activation": {"epochs": 0},
}
"""How each network departs from the Baseline of the profile."""

NEEDS_DECODER = ("sal_loss", "saliency")


def world_unit(profile: "Profile", part: str, seed: int) -> Unit:
    """The images of one part of repeat `seed`: `"world/train"`, `"world/test"` or `"world_shifted/test"`.

    A test part holds `n_test` images to evaluate on, followed by `n_fit` images to fit map transforms on. The shifted
    world has other distortions and other subjects.
    """
    world = profile.world
    name = part.split("/")[0]
    shifted = name == "world_shifted"
    return Unit.of(
        "worlds", f"{part}/seed{seed}", "paperlib.experiments.networks:make_world", cost=5.0,
        name=name, n=world.n_train if part.endswith("train") else world.n_test + profile.extraction.n_fit,
        seed=SEEDS[part] + seed, height=world.height, width=world.width, center_bias=world.center_bias,
        families=world.shifted_families if shifted else world.families,
        categories=microworld.UNFAMILIAR if shifted else microworld.FAMILIAR,
        two_subjects=world.two_subjects,
    )


def make_world(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `world_unit`."""
    return Result(arrays=microworld.generate(**params).to_arrays())


def load_world(result: Result, name: str = "world") -> ImageSet:
    """The images of a `world_unit`."""
    return ImageSet.from_arrays(name, result.arrays)


def network_unit(profile: "Profile", variant: str, seed: int) -> Unit:
    """Training of one of `VARIANTS` in repeat `seed`."""
    training = profile.training
    params = {
        "task": "quality", "observers": profile.observers, "center_mos": training.center_mos, "pretrained": True,
        "train_backbone": True, "epochs": training.epochs,
    } | VARIANTS[variant]
    return Unit.of(
        "networks", f"{variant}/seed{seed}", "paperlib.experiments.networks:train",
        needs=[world_unit(profile, "world/train", seed)], cost=25.0 if params["epochs"] else 1.0,
        seed=seed, hidden=training.hidden, batch_size=training.batch_size, head_lr=training.head_lr,
        backbone_lr=training.head_lr * training.backbone_lr_factor, weight_decay=training.weight_decay,
        saliency_loss=training.saliency_loss, saliency_weight=training.saliency_weight,
        weights=_fingerprint(TINY_WEIGHTS) if params["pretrained"] else "none", **params,
    )


def baseline_units(profile: "Profile", seed: int) -> dict[str, Unit]:
    """The three networks of section III-C in repeat `seed`."""
    variants = ("baseline", "baseline_sal_loss", "baseline_gradcam_loss")
    return {variant: network_unit(profile, variant, seed) for variant in variants}


def _fingerprint(file: Path) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def train(params: dict[str, Any], inputs: Inputs, scratch: Path) -> Result:
    """Compute of `network_unit`: fine-tune on mean opinion scores, on gaze densities, or on both (section III-C)."""
    (world,) = (load_world(result) for result in inputs.values())
    seed, task = params["seed"], params["task"]
    torch.manual_seed(seed)
    backbone = create_tiny_backbone(params["pretrained"])
    network = Baseline(backbone, params["hidden"], decoder=task in NEEDS_DECODER)
    history: list[float] = []
    if params["epochs"]:
        history = fit(
            network, _groups(network, params), _loss(network, world, params), len(world), epochs=params["epochs"],
            batch_size=params["batch_size"], weight_decay=params["weight_decay"], seed=seed,
            checkpoint=scratch / "checkpoint.pt", title=task,
        )
    arrays = {key: value.numpy() for key, value in network.state_dict().items()}
    return Result(arrays=arrays | {"history": np.array(history)})


def _groups(network: Baseline, params: dict[str, Any]) -> list[dict]:
    head = [*network.head.parameters(), *(network.decoder.parameters() if network.decoder else ())]
    groups = [{"params": head, "lr": params["head_lr"]}]
    if params["train_backbone"]:
        groups.append({"params": list(network.backbone.parameters()), "lr": params["backbone_lr"]})
    else:
        network.backbone.requires_grad_(False)
    return groups


def _loss(network: Baseline, world: ImageSet, params: dict[str, Any]):
    task, weight = params["task"], params["saliency_weight"]
    pixels = torch.from_numpy(world.images)
    mos = torch.from_numpy(world.mos[params["observers"]])
    target = mos - mos.mean() if params["center_mos"] else mos
    compare = SALIENCY_LOSSES[params["saliency_loss"]]
    with torch.no_grad():
        grid = network.eval().features(to_unit_range(pixels[:1])).shape[2:]
    density = F.adaptive_avg_pool2d(torch.from_numpy(world.density)[:, None], grid)[:, 0]

    def loss(index: Tensor, mirrored: bool) -> Tensor:
        images, truth = to_unit_range(pixels[index]), density[index]
        if mirrored:
            images, truth = images.flip(3), truth.flip(2)
        if not params["train_backbone"]:
            network.backbone.eval()
        features = network.features(images)
        if task == "saliency":
            return compare(network.decode(features), truth)
        scores = network.score_features(features)
        value = F.mse_loss(scores, target[index])
        if task == "sal_loss":
            value = value + weight * compare(network.decode(features), truth)
        if task == "gradcam_loss":
            value = value + weight * compare(gradcam_map(features, scores), truth)
        return value

    return loss


def load_network(result: Result) -> Baseline:
    """The trained network of a `network_unit`, in evaluation mode."""
    arrays = {key: value for key, value in result.arrays.items() if key != "history"}
    linear = [value for key, value in arrays.items() if key.startswith("head.") and key.endswith(".weight")]
    hidden = tuple(len(weight) for weight in linear[:-1])
    network = Baseline(create_tiny_backbone(pretrained=False), hidden, decoder="decoder.weight" in arrays)
    network.load_state_dict({key: torch.from_numpy(np.array(value)) for key, value in arrays.items()})
    return network.eval()


def scores(network: nn.Module, images: np.ndarray, batch: int = 100) -> np.ndarray:
    """Scores (n,) of uint8 images (n, h, w, 3)."""
    with torch.no_grad():
        chunks = [network(to_unit_range(images[start:start + batch])) for start in range(0, len(images), batch)]
    return torch.cat(chunks).numpy()
