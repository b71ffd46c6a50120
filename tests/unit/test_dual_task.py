"""The variants of section III-C: parameters, losses by hand, and gradients beside references made another way."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from paperlib.datasets.training_pairs import PairBatch
from paperlib.experiments.training.plan import SALIENCY_SETTINGS
from paperlib.models.backbones import IMAGENET_MEAN, IMAGENET_SD, MICROWORLD, create_backbone
from paperlib.models.baseline import ACTIVATIONS, Baseline, gradcam_map, to_unit_range
from paperlib.models.dual_task import WITH_DECODER, DualTask, UncertaintyWeighting
from paperlib.models.saliency_losses import SALIENCY_LOSSES


class TinyBackbone(nn.Module):
    """Two convolutions, smooth enough for finite differences."""

    channels, mean, sd = 5, IMAGENET_MEAN, IMAGENET_SD

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.Tanh(), nn.Conv2d(4, 5, 3))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


def tiny(variant: str, seed: int = 0, **options) -> DualTask:
    torch.manual_seed(seed)
    return DualTask(Baseline(TinyBackbone(), (6,), dropout=0.0, decoder=variant in WITH_DECODER), variant, **options)


def batch_of(n: int = 3, seed: int = 0) -> PairBatch:
    rng = np.random.default_rng(seed)
    images, saliency = rng.integers(0, 256, (n, 15, 19, 3), np.uint8), rng.integers(0, 256, (n, 15, 19), np.uint8)
    return PairBatch(tuple("abc"[:n]), images, saliency, rng.random(n).astype(np.float32))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_gradcam_loss_adds_no_parameters_and_sal_loss_one_per_channel() -> None:
    plain, gradcam, decoded = (tiny(variant) for variant in ("baseline", "gradcam_loss", "sal_loss"))
    assert count(gradcam) == count(gradcam.network) == count(plain.network)
    assert list(gradcam.network.state_dict()) == list(plain.network.state_dict())
    assert count(decoded) == count(plain) + TinyBackbone.channels + 1
    assert count(tiny("gradcam_loss", weighting="uncertainty")) == count(plain) + 2
    assert count(tiny("baseline", weighting="uncertainty")) == count(plain)


@pytest.mark.parametrize("name", sorted(SALIENCY_LOSSES))
@pytest.mark.parametrize("variant", ["sal_loss", "gradcam_loss"])
def test_the_loss_is_quality_plus_weighted_saliency(variant: str, name: str) -> None:
    task, batch = tiny(variant, saliency_loss=name, saliency_weight=0.7), batch_of()
    network = task.network
    features = network.features(to_unit_range(batch.images))
    scores = network.score_features(features)
    maps = network.decode(features) if variant == "sal_loss" else gradcam_map(features, scores)
    target = F.adaptive_avg_pool2d(torch.from_numpy(batch.saliency).float(), maps.shape[1:])
    expected = F.mse_loss(scores, torch.from_numpy(batch.mos)) + 0.7 * SALIENCY_LOSSES[name](maps, target)
    assert task.batch_loss(batch).item() == pytest.approx(expected.item(), rel=1e-6)


def test_baseline_looks_at_quality_alone() -> None:
    batch = batch_of()
    task = tiny("baseline")
    without = PairBatch(batch.keys, batch.images, None, batch.mos)
    scores = task.network(to_unit_range(batch.images))
    assert task.batch_loss(without).item() == F.mse_loss(scores, torch.from_numpy(batch.mos)).item()
    with pytest.raises(ValueError, match="needs proxy saliency"):
        tiny("gradcam_loss").batch_loss(without)
    with pytest.raises(ValueError, match="hirescam"):
        task.saliency_maps(torch.zeros(1, 5, 2, 2), scores)


OTHERWISE = {
    "saliency_loss": "cc",
    "weighting": "uncertainty",
    "saliency_weight": 2.0,
    "activation": "relu",
    "channels": "mean",
}


@pytest.mark.parametrize("variant", sorted(SALIENCY_SETTINGS))
@pytest.mark.parametrize("setting", sorted(OTHERWISE))
def test_a_variant_reads_the_settings_that_its_training_hangs_on(variant: str, setting: str) -> None:
    standard, other = (tiny(variant, **options).batch_loss(batch_of()) for options in ({}, {setting: OTHERWISE[setting]}))
    assert torch.equal(standard, other) == (setting not in SALIENCY_SETTINGS[variant])


# ------------------------------------------------------------------------------------------------ gradient of GradCAM


def test_a_saliency_network_learns_from_maps_alone() -> None:
    both, alone = tiny("sal_loss", saliency_weight=1.0), tiny("saliency", weighting="uncertainty", saliency_weight=9.0)
    batch = batch_of()
    quality = tiny("baseline").batch_loss(batch)
    assert torch.isclose(alone.batch_loss(batch), both.batch_loss(batch) - quality, atol=1e-6)
    alone.batch_loss(batch).backward()
    assert all(parameter.grad is None for parameter in alone.network.head.parameters())
    assert sum(parameter.grad.abs().sum() for parameter in alone.network.decoder.parameters()) > 0


@pytest.mark.parametrize("channels", ["sum", "mean"])
def test_the_gradcam_gradient_equals_finite_differences_with_alpha_held(channels: str) -> None:
    """alpha is frozen at the present weights, as "detached" says; everything else is differentiated numerically."""
    task = tiny("gradcam_loss", channels=channels, saliency_weight=1.0).double()
    network, generator = task.network, torch.Generator().manual_seed(5)
    images = torch.rand(2, 3, 15, 19, generator=generator, dtype=torch.float64)
    target = torch.rand(2, 5, 7, generator=generator, dtype=torch.float64)
    mos = torch.rand(2, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        pooled = network.features(images).mean((2, 3))
        first, _, last = network.head[0], network.head[1], network.head[-1]
        active = (pooled @ first.weight.T + first.bias > 0).double()
        alpha = (active * last.weight) @ first.weight / (5 * 7)
    assert network.features(images).shape[2:] == (5, 7)

    def reference() -> float:
        with torch.no_grad():
            features = network.features(images)
            scores = network.score_features(features)
            cam = torch.einsum("nc,nchw->nhw", alpha, features).clamp_min(0)
            if channels == "mean":
                cam = cam / TinyBackbone.channels
            low, high = cam.flatten(1).min(1).values, cam.flatten(1).max(1).values
            maps = (cam - low[:, None, None]) / (high - low + 1e-8)[:, None, None]
            truth = target / target.flatten(1).max(1).values[:, None, None]
            return float(((scores - mos) ** 2).mean() + ((maps - truth) ** 2).mean())

    value = task.loss_of_features(network.features(images), mos, target)
    assert value.item() == pytest.approx(reference(), rel=1e-12)
    value.backward()
    step = 1e-6
    for name, parameter in network.named_parameters():
        flat = parameter.data.view(-1)
        for place in range(0, flat.numel(), max(1, flat.numel() // 4)):
            kept = flat[place].item()
            flat[place] = kept + step
            above = reference()
            flat[place] = kept - step
            below = reference()
            flat[place] = kept
            got = parameter.grad.view(-1)[place].item()
            assert got == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-8), f"{name}[{place}]"


def test_the_saliency_loss_of_gradcam_reaches_the_backbone_and_never_the_head() -> None:
    task, batch = tiny("gradcam_loss"), batch_of()
    features = task.network.features(to_unit_range(batch.images))
    maps = task.saliency_maps(features, task.network.score_features(features))
    maps.square().mean().backward()
    assert all(parameter.grad is None for parameter in task.network.head.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.network.backbone.parameters())


def test_gradcam_maps_fill_the_unit_range_at_the_features_resolution() -> None:
    torch.manual_seed(2)
    network = Baseline(create_backbone(MICROWORLD, pretrained=True), (16,)).eval()
    features = network.features(torch.rand(4, 3, 64, 96))
    for channels in ("sum", "mean"):
        maps = gradcam_map(features, network.score_features(features), channels)
        assert maps.shape == (4, 8, 12)
        assert maps.amin((1, 2)).abs().max() == 0 and (maps.amax((1, 2)) - 1).abs().max() < 0.01
    summed, averaged = (gradcam_map(features, network.score_features(features), channels) for channels in ("sum", "mean"))
    assert torch.equal(summed, gradcam_map(features, network.score_features(features)))
    assert (summed - averaged).abs().max() < 1e-3


# --------------------------------------------------------------------------------------------- activation, weighting


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_the_decoders_activation(activation: str) -> None:
    task, batch = tiny("sal_loss", activation=activation), batch_of()
    features = task.network.features(to_unit_range(batch.images))
    maps = task.saliency_maps(features, task.network.score_features(features))
    weight, bias = (parameter.detach().numpy() for parameter in task.network.decoder.parameters())
    linear = np.einsum("c,nchw->nhw", weight[0, :, 0, 0], features.detach().numpy()) + bias
    expected = np.maximum(linear, 0) if activation == "relu" else 1 / (1 + np.exp(-linear))
    np.testing.assert_allclose(maps.detach().numpy(), expected, atol=1e-6)


def test_uncertainty_weights_settle_where_kendall_says() -> None:
    """With constant losses L the minimum over s = log sigma^2 lies at exp s = L, where each adds (1 + log L) / 2."""
    weighting, losses = UncertaintyWeighting(), (torch.tensor(0.04), torch.tensor(2.0))
    assert weighting(*losses).item() == pytest.approx(0.5 * 2.04)
    optimiser = torch.optim.LBFGS(weighting.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        value = weighting(*losses)
        value.backward()
        return value

    optimiser.step(closure)
    assert weighting.log_variances.detach().exp().tolist() == pytest.approx([0.04, 2.0], rel=1e-3)
    assert weighting(*losses).item() == pytest.approx(sum(0.5 * (1 + np.log(one)) for one in (0.04, 2.0)), rel=1e-4)


def test_groups_hold_every_parameter_once_and_learned_weights_without_decay() -> None:
    for variant in ("baseline", "sal_loss", "gradcam_loss"):
        task = tiny(variant, weighting="uncertainty")
        groups = task.groups(1e-3, 1e-4)
        held = [id(parameter) for group in groups for parameter in group["params"]]
        assert sorted(held) == sorted(id(parameter) for parameter in task.parameters())
        assert [group["lr"] for group in groups[:2]] == [1e-3, 1e-4]
        assert [group.get("weight_decay") for group in groups[2:]] == ([] if variant == "baseline" else [0.0])


@pytest.mark.parametrize("variant", ["baseline", "sal_loss", "gradcam_loss"])
def test_under_bfloat16_only_the_backbone_loses_precision(variant: str) -> None:
    task, batch = tiny(variant), batch_of()
    expected = task.batch_loss(batch)
    seen = []
    task.network.backbone.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    task.network.head.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        value = task.batch_loss(batch)
    value.backward()
    assert seen == [torch.bfloat16, torch.float32] and value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=0.1)
    assert all(parameter.grad.dtype == torch.float32 for parameter in task.network.parameters())


@pytest.mark.parametrize("variant", ["baseline", "sal_loss", "gradcam_loss"])
def test_a_compiled_backbone_keeps_names_and_loss(variant: str) -> None:
    task, batch = tiny(variant), batch_of()
    names, expected = list(task.state_dict()), task.batch_loss(batch).item()
    task.network.backbone.compile(backend="eager")
    assert list(task.state_dict()) == names
    assert task.batch_loss(batch).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("variant", "decoder", "options"),
    [
        ("gradcam", False, {}),
        ("sal_loss", False, {}),
        ("baseline", True, {}),
        ("gradcam_loss", True, {}),
        ("gradcam_loss", False, {"saliency_loss": "nss"}),
        ("gradcam_loss", False, {"channels": "max"}),
        ("gradcam_loss", False, {"weighting": "none"}),
        ("sal_loss", True, {"activation": "tanh"}),
        ("sal_loss", True, {"activation": "relu", "saliency_loss": "bce"}),
        ("gradcam_loss", False, {"saliency_weight": -1.0}),
    ],
)
def test_refusals(variant: str, decoder: bool, options: dict) -> None:
    with pytest.raises(ValueError, match="expected|needs maps"):
        DualTask(Baseline(TinyBackbone(), (6,), decoder=decoder), variant, **options)
