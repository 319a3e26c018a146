"""Generator and discriminator of ProS-GAN (Wang et al., CVPR 2021); images in [−1, 1].

TTA-GAN and the all-points attack use the same networks. They are published for 224 pixels. Other
sizes keep the architecture, and depart where it cannot hold: the generator works on the next
multiple of 16, into which images are padded by repeating their border and from which the result is
cropped; the discriminator magnifies what is smaller than its field of 32 pixels. At 224 nothing
differs.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad
from torch.nn.utils.parametrizations import spectral_norm

# Side of the label map before it is doubled four times, in image pixels.
GRAIN = 16
# Five convolutions of stride 2 turn this side into one pixel.
FIELD = 32
DISCRIMINATOR_LAYERS = 5
RESIDUAL_BLOCKS = 3


def label_map(size: int, width: int, inputs: int) -> nn.Sequential:
    """What tells a target (B, inputs) → 3 channels (B, 3, S, S): one layer, four doublings."""
    start = size // GRAIN
    channels = 2 * width
    layers: list[nn.Module] = [
        nn.Linear(inputs, channels * start * start),
        nn.ReLU(inplace=True),
        nn.Unflatten(1, (channels, start, start)),
    ]
    for _ in range(4):
        layers += _up(channels, channels // 2)
        channels //= 2
    return nn.Sequential(*layers, nn.Conv2d(channels, 3, 3, padding=1, bias=False))


class Generator(nn.Module):
    """Images (B, 3, H, H) and what tells their targets (B, inputs) → images in (−1, 1).

    The label map beside the image → 7×7 convolution, two halvings, 3 residual blocks (encoder) →
    3 residual blocks, two doublings (decoder) → beside the image again, one convolution, tanh.
    ``size`` is H, at least 16, and ``width`` the channels of the first convolution (published: 64).
    """

    def __init__(self, size: int, width: int, inputs: int) -> None:
        super().__init__()
        self.padding = -size % GRAIN
        self.label_map = label_map(size + self.padding, width, inputs)
        self.encoder = nn.Sequential(
            *_normalised(nn.Conv2d(6, width, 7, padding=3)),
            *_normalised(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            *_normalised(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
            *(ResidualBlock(4 * width) for _ in range(RESIDUAL_BLOCKS)),
        )
        self.decoder = nn.Sequential(
            *(ResidualBlock(4 * width) for _ in range(RESIDUAL_BLOCKS)),
            *_up(4 * width, 2 * width),
            *_up(2 * width, width),
        )
        self.last = nn.Conv2d(width + 3, 3, 3, padding=1, bias=False)

    def forward(self, images: Tensor, described: Tensor) -> Tensor:
        """See the class."""
        side = images.shape[-1]
        padded = pad(images, (0, self.padding, 0, self.padding), mode="replicate")
        mixed = torch.cat([self.label_map(described), padded], dim=1)
        decoded = self.decoder(self.encoder(mixed))
        out = torch.tanh(self.last(torch.cat([decoded, padded], dim=1)))
        return out[..., :side, :side]


class Discriminator(nn.Sequential):
    """Images (B, 3, H, H) → (B, C + 1): which labels, and 0 for a real image, 1 for another.

    Five spectrally normalised convolutions of stride 2 and one over all that is left; ``width`` is
    the channels of the first one (published: 64).
    """

    def __init__(self, size: int, classes: int, width: int) -> None:
        self.size = max(size, FIELD)
        channels = [3, *(width * 2**layer for layer in range(DISCRIMINATOR_LAYERS))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [
                spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)),
                nn.LeakyReLU(0.01),
            ]
        last = nn.Conv2d(channels[-1], classes + 1, self.size // FIELD, bias=False)
        super().__init__(*layers, last, nn.Flatten())

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        if images.shape[-1] < self.size:
            images = interpolate(images, size=self.size, mode="bilinear")
        out: Tensor = super().forward(images)  # type: ignore[no-untyped-call]
        return out


class ResidualBlock(nn.Sequential):
    """x + two 3×3 convolutions of it, each with instance norm."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            *_normalised(nn.Conv2d(channels, channels, 3, padding=1, bias=False)),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, channels, H, W) → the same shape."""
        out: Tensor = inputs + super().forward(inputs)  # type: ignore[no-untyped-call]
        return out


def _up(inputs: int, outputs: int) -> list[nn.Module]:
    """Twice the side."""
    return _normalised(nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=False))


def _normalised(convolution: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True)]
