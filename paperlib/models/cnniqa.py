"""CNNIQA as published (Kang, Ye, Li & Doermann, CVPR 2014): grey patches, one convolution, max and min pooling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

PATCH = 32
GREY = (0.299, 0.587, 0.114)


class PatchCNNIQA(nn.Module):
    """Score of an image: the mean over its 32x32 patches, with one feature map per image to take saliency from.

    The original network sees locally normalised patches, so the batch of `conv1` is patches, not images. Between
    `conv1` and the pooling the features of an image's patches are therefore laid out as one mosaic, pass through the
    layer `mosaic`, which does nothing, and are cut again: hook **that** layer for features (n, 50, rows * 26,
    columns * 26) and their gradients. Each tile of 26 stands for the 32 pixels of its patch (no padding in `conv1`), so
    a mosaic stretched to the image is off by 3 pixels at most. What is left over at the right and lower edge, less than
    one patch, is not seen.

    Architecture and normalisation as in the public implementation lidq92/CNNIQA @fb36830 and its file
    `models/CNNIQA-LIVE` (trained on LIVE, DMOS: lower is better, about 15 for pristine photographs). That
    implementation also leaves out the last row and column of patches where the size is a multiple of 32; here they
    count.
    """

    grey: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 50, 7)
        self.mosaic = nn.Identity()
        self.fc1 = nn.Linear(100, 800)
        self.fc2 = nn.Linear(800, 800)
        self.fc3 = nn.Linear(800, 1)
        self.register_buffer("grey", torch.tensor(GREY).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Scores (n, 1) of images (n, 3, H, W), RGB in [0, 1].

        Raises:
            ValueError: images smaller than one patch.
        """
        if min(images.shape[-2:]) < PATCH:
            raise ValueError(f"images {tuple(images.shape)}: expected at least {PATCH}x{PATCH} pixels")
        n, rows, columns = len(images), images.shape[2] // PATCH, images.shape[3] // PATCH
        pixels = _in_eight_bits((images * self.grey).sum(1, keepdim=True))[:, :, : rows * PATCH, : columns * PATCH]
        features = self.conv1(_locally_normalised(_cut(pixels, rows, columns)))
        features = _cut(self.mosaic(_lay_out(features, n, rows, columns)), rows, columns)
        pooled = torch.cat((features.amax((2, 3)), features.amin((2, 3))), 1)
        scores = self.fc3(F.relu(self.fc2(F.relu(self.fc1(pooled)))))
        return scores.view(n, -1).mean(1, keepdim=True)


def _in_eight_bits(grey: Tensor) -> Tensor:
    """Rounded to 256 levels, as the grey pictures of the training; gradients pass as if it were not.

    Unrounded, the score of a smooth photograph is a point higher.
    """
    return grey + ((grey * 255).round() / 255 - grey).detach()


def _cut(images: Tensor, rows: int, columns: int) -> Tensor:
    """Tiles (n * rows * columns, c, h, w) of images (n, c, rows * h, columns * w), row by row."""
    n, channels, height, width = images.shape
    tiles = images.reshape(n, channels, rows, height // rows, columns, width // columns)
    return tiles.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // rows, width // columns)


def _lay_out(tiles: Tensor, n: int, rows: int, columns: int) -> Tensor:
    """The inverse of `_cut`."""
    _, channels, height, width = tiles.shape
    grid = tiles.view(n, rows, columns, channels, height, width)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(n, channels, rows * height, columns * width)


def _locally_normalised(patches: Tensor) -> Tensor:
    """(p - mean) / (standard deviation + 1) with both taken over 3x3 pixels; the patch is mirrored at its border."""
    padded = F.pad(patches, (1, 1, 1, 1), mode="replicate")
    mean = F.avg_pool2d(padded, 3, 1)
    variance = F.avg_pool2d(padded.square(), 3, 1) - mean.square()
    return (patches - mean) / (variance.clamp_min(0).sqrt() + 1)
