"""Maps against pytorch-grad-cam on the same passes, and the identities that the notebook tells."""

import contextlib
import io

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM, HiResCAM
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection

from paperlib.maps import hirescam
from paperlib.models.backbones import create_backbone
from paperlib.models.baseline import Baseline, to_unit_range


class Score:
    """Target of a regression: the output itself."""

    def __call__(self, output):
        return output.sum()


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Baseline(create_backbone("test_resnet", out_index=2), hidden=(16, 8)).eval()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), dtype=np.uint8)


def peer(method, network, images, **options):
    """pytorch-grad-cam's map of each image; its own hooks, its own backward pass through the whole network."""
    with method(network, [network.backbone]) as cam, contextlib.redirect_stdout(io.StringIO()):
        return np.stack([
            cam(to_unit_range(images[i:i + 1]), [Score()], **options)[0] for i in range(len(images))
        ])


@pytest.mark.parametrize(("ours", "theirs"), [("hirescam", HiResCAM), ("gradcam", GradCAM)])
def test_plain_maps_equal_the_peer(network, images, ours, theirs):
    got = hirescam.extract(network, images, method=ours, smoothing="none", principal_component=False)
    np.testing.assert_allclose(got, peer(theirs, network, images), atol=1e-5)


def test_six_default_passes_equal_the_peer(network, images):
    got = hirescam.extract(network, images, smoothing="flip_multiply", principal_component=False)
    np.testing.assert_allclose(got, peer(HiResCAM, network, images, aug_smooth=True), atol=1e-5)


def test_principal_component_equals_the_peers_svd_up_to_its_arbitrary_sign():
    for shape in ((2, 48, 6, 8), (2, 20, 8, 12), (1, 3, 5, 5)):
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


def test_hirescam_equals_gradcam_for_any_head_after_global_average_pooling(network, images):
    pixels = to_unit_range(images)
    ours, _ = hirescam.score_evidence(network, pixels, "hirescam")
    theirs, _ = hirescam.score_evidence(network, pixels, "gradcam")
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-9)


def test_hirescam_differs_from_gradcam_where_gradients_vary():
    features = torch.rand(1, 4, 3, 3, generator=torch.Generator().manual_seed(3))
    gradients = torch.rand(1, 4, 3, 3, generator=torch.Generator().manual_seed(4))
    assert not torch.allclose(hirescam.hirescam(features, gradients), hirescam.gradcam(features, gradients))


def test_evidence_sums_to_the_change_of_a_linear_score():
    """For a linear head without bias, completeness: the evidence adds up to the score itself."""
    torch.manual_seed(0)
    network = Baseline(create_backbone("test_resnet", out_index=2), hidden=()).eval()
    torch.nn.init.zeros_(network.head[-1].bias)
    pixels = torch.rand(2, 3, 32, 32)
    evidence, scores = hirescam.score_evidence(network, pixels)
    np.testing.assert_allclose(evidence.sum((1, 2, 3)), scores, rtol=1e-4)


def test_rotation_there_and_back_keeps_the_middle():
    picture = torch.rand(1, 1, 7, 9, generator=torch.Generator().manual_seed(5))
    smooth = torch.nn.functional.interpolate(picture, (64, 96), mode="bicubic")
    for angle in (-10.0, 4.0, 10.0):
        again = hirescam.rotate(hirescam.rotate(smooth, angle), -angle)
        assert (again - smooth)[..., 16:48, 24:72].abs().max() < 0.02
    assert torch.equal(hirescam.rotate(smooth, 0.0), smooth)


def test_rotation_agrees_with_torchvision_in_direction_and_geometry():
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import rotate

    picture = torch.nn.functional.interpolate(torch.rand(1, 1, 8, 8), (64, 96), mode="bicubic")
    expected = rotate(picture, 10.0, InterpolationMode.BILINEAR)
    assert (hirescam.rotate(picture, 10.0) - expected)[..., 20:44, 30:66].abs().max() < 1e-4


def test_one_rotation_pass_is_no_smoothing(network, images):
    plain = hirescam.extract(network, images, smoothing="none")
    one = hirescam.extract(network, images, smoothing="rotations", n_passes=1)
    np.testing.assert_allclose(one, plain, atol=1e-6)


def test_maps_are_in_range_batched_alike_and_silent(network, images, capsys):
    together = hirescam.extract(network, images)
    alone = np.concatenate([hirescam.extract(network, images[i:i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert together.shape == (3, 48, 64) and together.min() >= 0 and together.max() <= 1
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == ""


def test_mode_is_left_as_found_even_after_an_error(network, images):
    network.train()
    with pytest.raises(ValueError, match="uint8"):
        hirescam.extract(network, images.astype(float))
    hirescam.extract(network, images, smoothing="none")
    assert network.training
    network.eval()


def test_a_map_without_evidence_is_zero_not_nan():
    assert torch.equal(hirescam.unit_range(torch.zeros(1, 3, 3)), torch.zeros(1, 3, 3))
    assert torch.equal(hirescam.unit_range(-torch.ones(1, 3, 3)), torch.zeros(1, 3, 3))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [({"method": "magic"}, "magic"), ({"smoothing": "wavelets"}, "wavelets"), ({"n_passes": 0}, "n_passes=0"),
     ({"max_angle": 95.0}, "max_angle")],
)
def test_bad_options_are_named(network, images, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        hirescam.extract(network, images, **options)


def test_unfit_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(n, c, h, w\)"):
        hirescam.hirescam(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))
    with pytest.raises(ValueError, match=r"\(n, c, h, w\)"):
        hirescam.first_principal_component(torch.zeros(2, 3, 3))
