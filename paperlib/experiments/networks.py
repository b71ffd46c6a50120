"""The worlds and the networks that the sections share: made once per seed, stored, loaded by whoever needs them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from paperlib.datasets import microworld
from paperlib.datasets.records import ImageSet
from paperlib.engine.training import BatchLoss, fit
from paperlib.engine.units import Inputs, Result, Unit
from paperlib.models.backbones import TINY_WEIGHTS, create_tiny_backbone
from paperlib.models.baseline import Baseline, to_unit_range
from paperlib.models.dual_task import WITH_DECODER, DualTask

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


def world_unit(profile: "Profile", part: str, seed: int) -> Unit:
    """The images of one part of repeat `seed`: `"world/train"`, `"world/test"` or `"world_shifted/test"`.

    A test part holds `n_test` images to evaluate on, followed by `n_fit` images to fit map transforms on. The shifted
    world has other distortions and other subjects.
    """
    world = profile.world
    name = part.split("/")[0]
    shifted = name == "world_shifted"
    return Unit.of(
        "worlds",
        f"{part}/seed{seed}",
        "paperlib.experiments.networks:make_world",
        cost=5.0,
        name=name,
        n=world.n_train if part.endswith("train") else world.n_test + profile.extraction.n_fit,
        seed=SEEDS[part] + seed,
        height=world.height,
        width=world.width,
        center_bias=world.center_bias,
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
        "task": "baseline",
        "observers": profile.observers,
        "center_mos": training.center_mos,
        "pretrained": True,
        "train_backbone": True,
        "epochs": training.epochs,
    } | VARIANTS[variant]
    params |= _saliency_params(profile, params["task"])
    return Unit.of(
        "networks",
        f"{variant}/seed{seed}",
        "paperlib.experiments.networks:train",
        needs=[world_unit(profile, "world/train", seed)],
        cost=25.0 if params["epochs"] else 1.0,
        seed=seed,
        hidden=training.hidden,
        batch_size=training.batch_size,
        head_lr=training.head_lr,
        backbone_lr=training.head_lr * training.backbone_lr_factor,
        weight_decay=training.weight_decay,
        weights=_fingerprint(TINY_WEIGHTS) if params["pretrained"] else "none",
        **params,
    )


def _saliency_params(profile: "Profile", task: str) -> dict[str, Any]:
    """How a task learns saliency; a network is not trained anew for what it does not learn from."""
    if task == "baseline":
        return {}
    loss = {"saliency_loss": profile.training.saliency_loss}
    if task == "saliency":
        return loss
    settings = profile.dual_task
    return loss | {
        "saliency_weight": profile.training.saliency_weight,
        "weighting": settings.weighting,
        "channels": settings.channels,
    }


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
    seed, variant = params["seed"], params["task"]
    torch.manual_seed(seed)
    network = Baseline(create_tiny_backbone(params["pretrained"]), params["hidden"], decoder=variant in WITH_DECODER)
    options = ("saliency_loss", "saliency_weight", "weighting", "channels")
    task = DualTask(network, variant, **{name: params[name] for name in options if name in params})
    history: list[float] = []
    if params["epochs"]:
        history = fit(
            task,
            _groups(task, params),
            _loss(task, world, params),
            len(world),
            epochs=params["epochs"],
            batch_size=params["batch_size"],
            weight_decay=params["weight_decay"],
            seed=seed,
            checkpoint=scratch / "checkpoint.pt",
            title=variant,
        )
    arrays = {key: value.numpy() for key, value in network.state_dict().items()}
    return Result(arrays=arrays | {"history": np.array(history)})


def _groups(task: DualTask, params: dict[str, Any]) -> list[dict]:
    groups = task.groups(params["head_lr"], params["backbone_lr"])
    if params["train_backbone"]:
        return groups
    task.network.backbone.requires_grad_(False)
    return [group for group in groups if all(parameter.requires_grad for parameter in group["params"])]


def _loss(task: DualTask, world: ImageSet, params: dict[str, Any]) -> BatchLoss:
    images, density = torch.from_numpy(world.images), torch.from_numpy(world.density)
    mos = torch.from_numpy(world.mos[params["observers"]])
    target = mos - mos.mean() if params["center_mos"] else mos

    def loss(index: Tensor, mirrored: bool) -> Tensor:
        seen, truth = images[index], density[index]
        if mirrored:
            seen, truth = seen.flip(2), truth.flip(2)
        if not params["train_backbone"]:
            task.network.backbone.eval()
        return task(seen, target[index], truth)

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
        chunks = [network(to_unit_range(images[start : start + batch])) for start in range(0, len(images), batch)]
    return torch.cat(chunks).numpy()
