"""A small convolutional backbone for 32×32-like images: at most 1 ms a batch of 32 on one core."""

from torch import Tensor, nn


class SmallCNN(nn.Module):
    """A 4×4 patch convolution, one 3×3 convolution and a hidden layer, all with batch norm.

    The patch convolution comes first because large feature maps with few channels are slow on a
    CPU. Images of any size from 16 on are average-pooled to the same grid.
    """

    features_out = 128
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    from_scratch = True

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(3, 40, kernel=4, stride=4, padding=0),
            *_block(40, 80, kernel=3, stride=2, padding=1),
        )
        self.pool = nn.AdaptiveAvgPool2d(4)  # the identity at image_size 32
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(80 * 16, self.features_out, bias=False),
            nn.BatchNorm1d(self.features_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → features (B, 128)."""
        out: Tensor = self.head(self.pool(self.body(images)))
        return out


def _block(inputs: int, outputs: int, kernel: int, stride: int, padding: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
