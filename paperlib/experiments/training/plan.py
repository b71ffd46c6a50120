"""What is trained: every network of a profile as a value, and the units that train it.

    pictures ──> proxy maps of a shard ──> training

Every training is a unit of its own, known by its network and its seed. A target is the source whose maps stand for gaze. The
first backbone with the first target makes the paper's rows; the other targets are controls, trained for the first
`n_control_seeds` seeds. MSI-Net has seen SALICON's gaze, so that what a network learned from its maps may be the test set's
own; the centre prior as a target has seen none.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from paperlib import paper
from paperlib.datasets.files import listing
from paperlib.engine.units import Unit
from paperlib.errors import PaperlibError
from paperlib.experiments.maps.plan import (
    Made,
    content_of,
    maps_units,
    network_places,
    network_resources,
    require_weights_of,
    shard_length,
)
from paperlib.experiments.sets.plan import WORLDS, Pictures, opinion_pictures, repeats
from paperlib.models.dual_task import WITH_DECODER
from paperlib.sources.source import KNOWN, Source

if TYPE_CHECKING:
    from paperlib.profiles import Profile

EXPERIMENT = "dual_task"
METHODS = {"baseline": "baseline", "sal_loss": "baseline_sal_loss", "gradcam_loss": "baseline_gradcam_loss"}
"""Variant -> key of `paperlib.paper.METHODS`; with another backbone than the first `<key>_<backbone>`, if there is one."""

DEPARTURES: dict[str, dict[str, Any]] = {
    "saliency_net": {"variant": "saliency"},
    "uniform_observers": {"observers": "uniform"},
    "baseline_centered": {"center_mos": True},
    "frozen_backbone": {"train_backbone": False},
    "unpretrained": {"pretrained": False},
}
"""Further networks, and how each departs from the Baseline."""

SALIENCY_SETTINGS: dict[str, tuple[str, ...]] = {
    "baseline": (),
    "sal_loss": ("saliency_loss", "weighting", "saliency_weight", "activation"),
    "gradcam_loss": ("saliency_loss", "weighting", "saliency_weight", "channels"),
    "saliency": ("saliency_loss", "activation"),
}
"""Variant -> settings of `paperlib.models.dual_task.DualTask` that its training reads; it hangs on no others."""

_SETTINGS = (
    "steps", "accumulate", "batch_size", "head_lr", "weight_decay", "warm_up", "clip_norm", "ema_decay", "deterministic",
    "training_precision", "training_height", "training_width", "crop_height", "crop_width",
)  # fmt: skip
"""What every training reads."""

_COMPUTE = "paperlib.experiments.training.compute"


@dataclass(frozen=True)
class Network:
    """What is trained.

    Attributes:
        backbone: of timm, or `MICROWORLD`.
        variant: of `paperlib.models.dual_task.VARIANTS`.
        target: key of `paperlib.sources.source.KNOWN`; empty for networks that see no saliency.
        method: its key in rows.
        section: of Table II.
        departs: whether it is one of `DEPARTURES`.
        few: whether it is trained for the first `n_control_seeds` repeats only.
        observers: whose scores it learns.
        center_mos: learn scores minus their mean.
        pretrained, train_backbone: start from the backbone's weights; change them.
    """

    backbone: str
    variant: str
    target: str
    method: str
    section: str = ""
    departs: bool = False
    few: bool = False
    observers: str = ""
    center_mos: bool = False
    pretrained: bool = True
    train_backbone: bool = True

    @property
    def name(self) -> str:
        """Unique among the networks of a profile."""
        return "/".join((self.backbone, self.method if self.departs else self.variant, self.target or "none"))


def networks(profile: "Profile") -> list[Network]:
    """The networks of a profile in the order of Table II's rows; those of section "Control" have another target.

    Raises:
        PaperlibError: a variant, a target or a departure that there is not.
    """
    settings = profile.dual_task
    unknown = [f"variant {one}" for one in settings.variants if one not in METHODS]
    unknown += [f"target {one}" for one in settings.targets if one not in KNOWN]
    if unknown:
        raise PaperlibError(
            f"Table II knows no {listing(unknown)}; variants are {', '.join(METHODS)}, targets are {', '.join(KNOWN)}"
        )
    found = [
        _network(profile, backbone, variant, "" if variant == "baseline" else target)
        for target in settings.targets
        for backbone in settings.backbones
        for variant in settings.variants
        if variant != "baseline" or target == settings.targets[0]
    ]
    return found + [_departing(profile, method) for method in settings.departures]


def _network(profile: "Profile", backbone: str, variant: str, target: str) -> Network:
    settings = profile.dual_task
    is_control = target not in ("", settings.targets[0])
    method = METHODS[variant] if backbone == settings.backbones[0] else f"{METHODS[variant]}_{backbone}"
    if is_control or method not in paper.METHODS:
        parts = [paper.look(METHODS[variant]).label, backbone, *([f"target {target}"] if is_control else [])]
        method = ", ".join(parts)
    section, center = "Control" if is_control else backbone, profile.training.center_mos
    return Network(backbone, variant, target, method, section, False, is_control, profile.observers, center)


def _departing(profile: "Profile", method: str) -> Network:
    settings = profile.dual_task
    if method not in DEPARTURES:
        raise PaperlibError(f"no network {method!r} is known that departs from the Baseline; known: {', '.join(DEPARTURES)}")
    baseline, departure = _network(profile, settings.backbones[0], "baseline", ""), DEPARTURES[method]
    target = settings.targets[0] if departure.get("variant") == "saliency" else ""
    few = method in profile.photographs.slow_methods
    return replace(baseline, method=method, section="Control", departs=True, few=few, target=target, **departure)


@dataclass(frozen=True)
class Training:
    """One repeat of a network, and the unit that trains it."""

    network: Network
    seed: int
    unit: Unit
    recipe: tuple[tuple[str, Any], ...]

    @property
    def name(self) -> str:
        """Unique among the trainings of a profile."""
        return f"{self.network.name}/seed{self.seed}"


def made(training: Training) -> Made:
    """The trained network as a source: its decoder where it has one, else its score."""
    kind = "decoder" if training.network.variant in WITH_DECODER else "trained"
    source = Source(kind, training.network.backbone)
    return Made(source, training.unit, training.recipe, training.network.name, training.seed)


@lru_cache(maxsize=4)
def trainings(profile: "Profile") -> tuple[Training, ...]:
    """Every training, repeat by repeat.

    Raises:
        PaperlibError: data or weights are missing or unfit; fewer pictures than one batch.
    """
    wanted, settings = networks(profile), profile.dual_task
    targets = list(dict.fromkeys(network.target for network in wanted if network.target))
    require_weights_of(profile, [KNOWN[name] for name in settings.targets] + [imagenet(name) for name in settings.backbones])
    data = {seed: _data(profile, seed, targets) for seed in repeats(profile, settings.training_set)}
    return tuple(
        _training(profile, network, seed, data.get(seed) or data[profile.seeds[0]])
        for position, seed in enumerate(profile.seeds)
        for network in wanted
        if not network.few or position < profile.n_control_seeds
    )


def imagenet(backbone: str) -> Source:
    """A backbone as training begins with it."""
    return Source("activation", backbone)


@dataclass(frozen=True)
class _Data:
    """What the trainings of a repeat learn from: the pictures, and part by part the units of their maps, by target, and of
    their features, by backbone, where its first modules are not trained."""

    pictures: Pictures
    parts: tuple[str, ...]
    checked: list[Unit]
    proxies: dict[str, list[list[Unit]]]
    features: dict[str, list[list[Unit]]]


def _data(profile: "Profile", seed: int, targets: Sequence[str]) -> _Data:
    name, batch_size = profile.dual_task.training_set, profile.training.batch_size
    pictures = opinion_pictures(profile, name, "train" if name in WORLDS else "", seed=seed)
    parts: tuple[str, ...] = () if pictures.generated else profile.dual_task.training_parts
    checked = [] if pictures.generated else [check_unit(profile, pictures)]
    sources = [opinion_pictures(profile, name, part) for part in parts] or [pictures]
    if (n := sum(one.n for one in sources)) < batch_size and not profile.assumed:
        raise PaperlibError(
            f"{name} has {n} pictures to train on, fewer than one batch of {batch_size}; give more, or a lower batch_size"
        )
    proxies = {
        target: [
            maps_units(profile, one, checked, f"proxy {target}, {one.part or 'all'}", Made(KNOWN[target])) for one in sources
        ]
        for target in targets
    }
    features = {
        backbone: [features_units(profile, one, checked, backbone) for one in sources]
        if profile.dual_task.frozen_until
        else []
        for backbone in profile.dual_task.backbones
    }
    return _Data(pictures, parts, checked, proxies, features)


def features_units(profile: "Profile", pictures: Pictures, after: Sequence[Unit], backbone: str) -> list[Unit]:
    """What the part of a backbone that is not trained makes of pictures, one unit per shard."""
    settings, shard = profile.dual_task, shard_length(profile, pictures)
    return [
        pictures.unit(
            EXPERIMENT,
            f"features/{backbone}/{pictures.label}/{pictures.part or 'all'}/{first}",
            "paperlib.experiments.training.features:store_features",
            needs=after,
            places=network_places(profile, imagenet(backbone)),
            cost=100.0,
            resources=network_resources(imagenet(backbone)),
            first=first,
            last=min(first + shard, pictures.n),
            backbone=backbone,
            content=content_of(profile, imagenet(backbone)),
            frozen_until=settings.frozen_until,
            training_height=settings.training_height,
            training_width=settings.training_width,
        )
        for first in range(0, pictures.n, shard)
    ]


def check_unit(profile: "Profile", pictures: Pictures) -> Unit:
    """Reads every picture once, and looks for those that are trained on and tested on."""
    tests = [opinion_pictures(profile, name, profile.dual_task.quality_part) for name in profile.dual_task.quality_sets]
    return pictures.unit(
        EXPERIMENT,
        f"leaks/{pictures.name}",
        "paperlib.experiments.training.checking:check_leaks",
        needs=[],
        places={f"root_{number}": test.root for number, test in enumerate(tests)},
        calls=[test.opener for test in tests],
        cost=60.0,
        parts=profile.dual_task.training_parts,
        tests=[tuple(test.params.items()) for test in tests],
    )


def _training(profile: "Profile", network: Network, seed: int, data: _Data) -> Training:
    settings, pictures = vars(profile.dual_task) | vars(profile.training), data.pictures
    if pictures.generated:
        options = dict(pictures.options) | {"observers": network.observers}
        pictures = replace(pictures, options=tuple(options.items()))
    proxies = data.proxies.get(network.target, [])
    features = data.features[network.backbone] if network.pretrained else []
    shards = [unit for units in proxies for unit in units]
    stored = [unit for units in features for unit in units]
    maps = hashlib.sha256(" ".join(unit.key for unit in shards).encode()).hexdigest()[:16]
    unread = ("saliency_weight",) if settings["weighting"] == "uncertainty" else ()
    read = [name for name in SALIENCY_SETTINGS[network.variant] if name not in unread]
    backbone_lr = settings["head_lr"] * settings["backbone_lr_factor"] if network.train_backbone else 0.0
    built = {"backbone": network.backbone, "variant": network.variant}
    unit = pictures.unit(
        EXPERIMENT,
        f"train/{network.name}/seed{seed}",
        f"{_COMPUTE}:train",
        needs=[*data.checked, *shards, *stored],
        places=network_places(profile, imagenet(network.backbone))
        | {"cache": "" if pictures.generated else profile.store_root / "scores" / "pairs", "maps": maps},
        cost=25.0 if pictures.generated else 10_000.0,
        resources={"gpus": settings["training_gpus"]} if settings["training_gpus"] else {},
        seed=seed,
        shard=shard_length(profile, pictures) if proxies or features else 0,
        parts=data.parts,
        proxies=[tuple(unit.name for unit in units) for units in proxies],
        stored=[tuple(unit.name for unit in units) for units in features],
        frozen_until=settings["frozen_until"] if features else "",
        method=network.method,
        target=network.target,
        backbone_lr=backbone_lr,
        content=content_of(profile, imagenet(network.backbone)) if network.pretrained else "none",
        center_mos=network.center_mos,
        pretrained=network.pretrained,
        train_backbone=network.train_backbone,
        **built,
        **{name: settings[name] for name in (*_SETTINGS, *read)},
    )
    told = {name: settings[name] for name in read if name == "activation"}
    told["observers"] = network.observers if network.observers != profile.observers else ""
    return Training(network, seed, unit, tuple((built | told).items()))


def losses_unit(training: Training) -> Unit:
    """What a training has to tell besides its network."""
    return Unit.of(EXPERIMENT, f"losses/{training.name}", f"{_COMPUTE}:losses", needs=[training.unit])
