"""Maps against pytorch-grad-cam on the same passes, and the identities that the notebook tells."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, HiResCAM
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

from paperlib.maps import hirescam, smoothing
from paperlib.maps.evidence import score_evidence
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range


def baseline(seed=1, **options):
    torch.manual_seed(seed)
    return Baseline(create_backbone("test_resnet", out_index=2), **{"hidden": (16, 8)} | options).eval()


@pytest.fixture(scope="module")
def network(images):
    network = baseline()
    plain = hirescam.extract(network, images, smoothing="none", principal_component=False)
    if plain.std() < 0.1:
        pytest.fail("this random network has no positive evidence: every comparison of its maps would be empty")
    return network


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)


def peer(method, network, images, **options):
    """pytorch-grad-cam's map of each image; its own hooks, its own backward pass through the whole network."""
    with method(network, [network.backbone]) as cam, contextlib.redirect_stdout(io.StringIO()):
        return np.stack([cam(to_unit_range(images[i : i + 1]), [torch.sum], **options)[0] for i in range(len(images))])


@pytest.mark.parametrize(
    ("ours", "theirs", "smoothing"),
    [("hirescam", HiResCAM, "none"), ("gradcam", GradCAM, "none"), ("hirescam", HiResCAM, "flip_multiply")],
)
def test_maps_equal_the_peers_on_the_same_passes(network, images, ours, theirs, smoothing):
    got = hirescam.extract(network, images, method=ours, smoothing=smoothing, principal_component=False)
    expected = peer(theirs, network, images, aug_smooth=smoothing == "flip_multiply")
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_principal_component_equals_the_peers_svd_up_to_its_arbitrary_sign():
    for shape in ((2, 48, 6, 8), (2, 20, 8, 12), (1, 3, 5, 5), (3, 1, 2, 3), (2, 2, 4, 4), (1, 9, 1, 2)):
        evidence = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        got = hirescam.first_principal_component(evidence).numpy()
        expected = get_2d_projection(evidence.numpy())
        sign = np.sign((got * expected).sum((1, 2), keepdims=True))
        np.testing.assert_allclose(got, sign * expected, atol=1e-5)


def test_principal_component_sign_follows_the_channel_sum():
    evidence = torch.randn(20, 30, 6, 8, generator=torch.Generator().manual_seed(2))
    for flip in (1, -1):
        component = hirescam.first_principal_component(flip * evidence)
        total = hirescam.channel_sum(flip * evidence)
        total = total - total.mean((1, 2), keepdim=True)
        assert ((component * total).sum((1, 2)) >= 0).all()


def test_principal_component_in_any_memory_order_and_of_constant_evidence():
    evidence = torch.randn(3, 40, 5, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    last = evidence.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(hirescam.first_principal_component(last), hirescam.first_principal_component(evidence))
    assert not hirescam.first_principal_component(torch.ones(2, 6, 3, 4)).any()


def test_principal_component_gives_blas_its_threads_back():
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        hirescam.first_principal_component(torch.rand(1, 4, 3, 3))
        assert {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"} == {2}


@pytest.mark.parametrize("part", ["", "head.2"], ids=["whole", "dropout only"])
def test_a_network_in_training_mode_is_evaluated_and_left_in_training_mode(part):
    network = baseline(2, dropout=0.5)
    pixels = torch.rand(2, 3, 48, 64)
    expected = score_evidence(network, pixels)
    network.get_submodule(part).train()
    modes = [module.training for module in network.modules()]
    found = score_evidence(network, pixels)
    assert torch.equal(found.gradients, expected.gradients) and torch.equal(found.scores, expected.scores)
    assert [module.training for module in network.modules()] == modes


def test_hirescam_equals_gradcam_for_any_head_after_global_average_pooling(network, images):
    pixels = to_unit_range(images)
    found = score_evidence(network, pixels)
    ours = hirescam.hirescam(found.features, found.gradients)
    theirs = hirescam.gradcam(found.features, found.gradients)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9)


def test_evidence_sums_to_the_change_of_a_linear_score():
    """For a linear head without bias, completeness: the evidence adds up to the score itself."""
    network = baseline(0, hidden=())
    torch.nn.init.zeros_(network.head[-1].bias)
    pixels = torch.rand(2, 3, 32, 32)
    found = score_evidence(network, pixels)
    evidence = hirescam.hirescam(found.features, found.gradients)
    np.testing.assert_allclose(evidence.sum((1, 2, 3)), found.scores, rtol=1e-4)


def test_rotation_agrees_with_torchvision_in_direction_and_geometry():
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import rotate

    picture = torch.nn.functional.interpolate(torch.rand(1, 1, 8, 8), (64, 96), mode="bicubic")
    expected = rotate(picture, 10.0, InterpolationMode.BILINEAR)
    assert (smoothing.rotate(picture, 10.0) - expected)[..., 20:44, 30:66].abs().max() < 1e-4


def test_one_rotation_pass_is_no_smoothing(network, images):
    plain = hirescam.extract(network, images, smoothing="none")
    one = hirescam.extract(network, images, smoothing="rotations", n_passes=1)
    np.testing.assert_allclose(one, plain, atol=1e-6)


def test_maps_are_in_range_batched_alike_and_silent(network, images, capsys):
    together = hirescam.extract(network, images)
    alone = np.concatenate([hirescam.extract(network, images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (3, 48, 64) and together.min() >= 0 and together.max() <= 1
    assert capsys.readouterr() == ("", "")


def test_a_map_without_evidence_is_zero_not_nan():
    assert torch.equal(smoothing.unit_range(torch.zeros(1, 3, 3)), torch.zeros(1, 3, 3))
    assert torch.equal(smoothing.unit_range(-torch.ones(1, 3, 3)), torch.zeros(1, 3, 3))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"method": "magic"}, "magic"),
        ({"smoothing": "wavelets"}, "wavelets"),
        ({"n_passes": 0}, "n_passes=0"),
        ({"max_angle": 95.0}, "max_angle"),
        ({"images": np.zeros((1, 48, 64, 3))}, "uint8"),
        ({"layer": torch.nn.Conv2d(1, 1, 1)}, "0 times"),
        ({"network": torch.nn.Conv2d(3, 1, 1)}, "pass layer="),
    ],
)
def test_bad_input_is_named(network, images, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        hirescam.extract(**{"network": network, "images": images} | options)


def test_unfit_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(n, c, h, w\)"):
        hirescam.hirescam(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))
    with pytest.raises(ValueError, match=r"\(n, c, h, w\)"):
        hirescam.first_principal_component(torch.zeros(2, 3, 3))


# ------------------------------------------------------------------------------------------------------- any network


class Tail(torch.nn.Module):
    """A frozen network whose head sees places, with an in-place activation right after the feature layer."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.features = torch.nn.Conv2d(3, 5, 3, stride=4, padding=1)
        self.activation = torch.nn.ReLU(inplace=True)
        self.head = torch.nn.Conv2d(5, 1, 3, padding=1)
        self.requires_grad_(False)

    def forward(self, images):
        grid = self.head(self.activation(self.features(images)))
        return (grid**2).mean((1, 2, 3))


def by_full_autograd(network, pixels):
    """Features and gradients with the graph of the whole network, no hook of ours."""
    pixels = pixels.clone().requires_grad_()
    features = network.features(pixels)
    features.retain_grad()
    (network.head(features.relu()) ** 2).mean((1, 2, 3)).sum().backward()
    return features.detach(), features.grad


def test_evidence_of_a_frozen_network_equals_full_autograd():
    network, pixels = Tail().eval(), torch.rand(2, 3, 32, 48)
    found = score_evidence(network, pixels, network.features)
    features, gradients = by_full_autograd(network, pixels)
    torch.testing.assert_close(found.features, features)
    torch.testing.assert_close(found.gradients, gradients)
    torch.testing.assert_close(found.scores, network(pixels))


def test_hirescam_and_gradcam_differ_where_the_head_sees_places(images):
    network = Tail().eval()
    maps = [
        hirescam.extract(network, images, layer=network.features, method=method, smoothing="none", principal_component=False)
        for method in ("hirescam", "gradcam")
    ]
    assert np.abs(maps[0] - maps[1]).max() > 0.1


@pytest.mark.parametrize("method", ["hirescam", "gradcam++", "scorecam", "ablationcam"])
def test_modes_gradients_and_hooks_are_left_as_found(network, images, method, capsys):
    network.zero_grad()
    network.train()
    network.head[0].eval()
    parameter = network.head[0].weight
    parameter.grad = torch.full_like(parameter, 3.0)
    before = {module: module.training for module in network.modules()}
    hirescam.extract(network, images[:1], method=method, smoothing="none")
    assert {module: module.training for module in network.modules()} == before
    assert torch.equal(parameter.grad, torch.full_like(parameter, 3.0))
    assert all(other.grad is None for other in network.parameters() if other is not parameter)
    assert not any(module._forward_hooks for module in network.modules())
    assert torch.is_grad_enabled()
    assert capsys.readouterr() == ("", "")
    parameter.grad = None
    network.eval()


@pytest.mark.parametrize("method", [method for method in hirescam.OTHER_METHODS if method != "randomcam"])
def test_other_methods_equal_the_library_called_directly(network, images, method):
    import pytorch_grad_cam

    kind = getattr(pytorch_grad_cam, hirescam.OTHER_METHODS[method])
    expected = peer(kind, network, images[:1])
    got = hirescam.extract(network, images[:1], method=method, smoothing="none")
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_bfloat16_gives_nearly_the_same_maps(network, images):
    precise = hirescam.extract(network, images, smoothing="none", principal_component=False)
    narrow = hirescam.extract(network, images, smoothing="none", principal_component=False, precision="bfloat16")
    assert np.corrcoef(precise.ravel(), narrow.ravel())[0, 1] > 0.98
    assert not np.array_equal(precise, narrow)


class Twice(Tail):
    def forward(self, images):
        return super().forward(images) + self.features(images).mean((1, 2, 3))


class Blocked(Tail):
    def forward(self, images):
        return super().forward(images).detach()


class ManyScores(Tail):
    def forward(self, images):
        return self.features(images).mean((2, 3))


class Flat(Tail):
    def __init__(self):
        super().__init__()
        self.pool = torch.nn.Flatten()

    def forward(self, images):
        return self.pool(self.features(images)).mean(1)


class Broken(Tail):
    def forward(self, images):
        super().forward(images)
        raise OSError("the head fell off")


@pytest.mark.parametrize(
    ("network_type", "layer", "complaint"),
    [
        (Twice, "features", "2 times"),
        (Blocked, "features", "detach"),
        (ManyScores, "features", "one score per image"),
        (ManyScores, "head", "one score per image"),
        (Flat, "pool", r"expected \(n, c, h, w\)"),
        (Broken, "features", "the head fell off"),
    ],
)
def test_networks_that_cannot_be_read_are_told_why_and_left_as_found(images, network_type, layer, complaint):
    network = network_type().train()
    with pytest.raises((ValueError, OSError), match=complaint):
        hirescam.extract(network, images, layer=getattr(network, layer))
    assert not any(module._forward_hooks for module in network.modules())
    assert network.training and torch.is_grad_enabled()


def test_inverse_rotation_is_exact():
    """A linear ramp survives bilinear sampling, so there and back gives it again wherever both views see it."""
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(60.0), indexing="ij")
    ramp = (2 * rows + 3 * columns)[None]
    for one in smoothing.passes("rotations", 6, 10.0):
        back = one.back(one.view(ramp[None].expand(1, 3, -1, -1))[:, 0], (40, 60))
        inner = torch.zeros(40, 60, dtype=torch.bool)
        inner[10:30, 12:48] = True
        assert one.seen((40, 60), ramp.device)[inner].all()
        torch.testing.assert_close(back[0][inner], ramp[0][inner], atol=1e-3, rtol=0)


def test_every_place_has_a_value_also_where_no_view_sees_it(network, images):
    """Six rotations without 0 degrees all miss the very corners."""
    views = smoothing.passes("rotations", 6, 10.0)
    seen = torch.stack([one.seen((48, 64), torch.device("cpu")) for one in views])
    assert not seen[:, 0, 0].any() and seen[:, 24, 32].all()
    average = smoothing.Average((48, 64))
    middle = torch.zeros(1, 6, 8)
    middle[:, 2:4, 3:5] = 1
    for one in views:
        average.add(one, 1 - middle)
    assert (average.maps()[0, [0, 0, -1, -1], [0, -1, 0, -1]] > 0.99).all()


def test_sum_and_norm_of_features_by_hand():
    """Channels (3, 4), (1, 1), (0, -2), (0, 0): sums of what is positive 7, 2, 0, 0, norms 5, sqrt(2), 2, 0."""
    grid = torch.tensor([[[[3.0, 1.0], [0.0, 0.0]], [[4.0, 1.0], [-2.0, 0.0]]]])
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Flatten(), torch.nn.LazyLinear(1))
    network[0].register_forward_hook(lambda module, inputs, output: grid + 0 * output)
    black, options = np.zeros((1, 2, 2, 3), np.uint8), {"smoothing": "none", "principal_component": False}
    for method, expected in (("activation", [7, 2, 0, 0]), ("norm", [5, 2**0.5, 2, 0])):
        got = hirescam.extract(network, black, layer=network[0], method=method, **options)
        np.testing.assert_allclose(got.ravel(), np.array(expected) / max(expected), atol=1e-6)


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_050"])
def test_folded_networks_give_the_same_maps(name, images):
    from paperlib.models.folding import prepare

    torch.manual_seed(0)
    network = Baseline(create_backbone(name), hidden=(8,)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    fast = prepare(network, to_unit_range(images))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in fast.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    options = {"smoothing": "none", "principal_component": False}
    np.testing.assert_allclose(
        hirescam.extract(network, images, **options), hirescam.extract(fast, images, **options), atol=1e-3
    )


def test_prepared_pointwise_convolutions_give_the_same_scores_gradients_and_keys(images):
    from paperlib.models.folding import PointwiseConvolution, prepare

    torch.manual_seed(0)
    network = Baseline(create_backbone("test_resnet"), hidden=(8,)).eval()
    pixels = to_unit_range(images[:1])
    fast = prepare(network, pixels, fold=False, channels_last=False)
    kinds = [(type(module), module.kernel_size) for module in fast.modules() if isinstance(module, torch.nn.Conv2d)]
    assert (PointwiseConvolution, (1, 1)) in kinds and (torch.nn.Conv2d, (3, 3)) in kinds
    assert not any(isinstance(module, PointwiseConvolution) for module in network.modules())
    assert fast.state_dict().keys() == network.state_dict().keys()
    expected, got = pixels.clone().requires_grad_(), pixels.clone().requires_grad_()
    network(expected).sum().backward()
    fast(got).sum().backward()
    torch.testing.assert_close(got.grad, expected.grad)
    with torch.no_grad():
        torch.testing.assert_close(fast(pixels), network(pixels))


def test_pointwise_convolution_leaves_other_types_and_gradients_to_torch(monkeypatch):
    from paperlib.models.folding import PointwiseConvolution

    asked = []
    plain = torch.mkldnn_convolution
    monkeypatch.setattr(torch, "mkldnn_convolution", lambda *given: (asked.append(given), plain(*given))[1])
    convolution = PointwiseConvolution(5, 7, 1, stride=2)
    images = torch.rand(2, 5, 6, 4, generator=torch.Generator().manual_seed(1))
    expected = torch.nn.functional.conv2d(images, convolution.weight, convolution.bias, stride=2)
    assert torch.equal(convolution(images), expected) and not asked
    with torch.no_grad():
        torch.testing.assert_close(convolution(images), expected)
        assert len(asked) == torch.backends.mkldnn.is_available()
        with torch.autocast("cpu", torch.bfloat16):
            assert convolution(images).dtype == torch.bfloat16
        assert convolution.double()(images.double()).dtype == torch.float64
    assert len(asked) == torch.backends.mkldnn.is_available()


def test_folding_that_would_change_the_output_is_refused():
    from paperlib.models.folding import fold_batch_norms

    class Shared(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4)
            self.norm.running_var.fill_(4.0)

        def forward(self, images):
            found = self.convolution(images)
            return found + self.norm(found)

    with pytest.raises(ValueError, match="folding changed"):
        fold_batch_norms(Shared(), torch.rand(1, 3, 8, 8))
