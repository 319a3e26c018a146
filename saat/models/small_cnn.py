"""A small convolutional backbone for 32×32-like images: at most 1 ms a batch of 32 on one core."""

from torch import Tensor, nn
from torch.nn import functional as F

# Rows and columns of the grid that the hidden layer sees.
_GRID = 4


class SmallCNN(nn.Module):
    """A 4×4 patch convolution, one 3×3 convolution and a hidden layer, all with batch norm.

    The patch convolution comes first because large feature maps with few channels are slow on a
    CPU. Images of any size from 16 on are average-pooled to the same grid.
    """

    features_out = 128
    mean = (0.5, 0.5, 0.5)
    std = (0.25, 0.25, 0.25)
    from_scratch = True
    folds = True

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *_block(PatchConv(3, 40, 4)),
            *_block(nn.Conv2d(40, 80, 3, stride=2, padding=1, bias=False)),
        )
        self.pool = nn.AdaptiveAvgPool2d(_GRID)
        self.head = nn.Sequential(
            nn.Flatten(),
            nn.Linear(80 * 16, self.features_out, bias=False),
            nn.BatchNorm1d(self.features_out),
            nn.ReLU(inplace=True),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images (B, 3, H, W) → features (B, 128)."""
        grid = self.body(images)
        if grid.shape[2:] != (_GRID, _GRID):  # it is at image_size 32
            grid = self.pool(grid)
        out: Tensor = self.head(grid)
        return out


class PatchConv(nn.Conv2d):
    """Convolution by kernels that do not overlap, without padding: a product of patches.

    As a convolution its gradient in the input takes a CPU 4 to 9 times as long.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, stride=kernel, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, inputs, H, W) → (B, outputs, ⌊H/kernel⌋, ⌊W/kernel⌋), channels-last."""
        (size, _), (batch, channels, height, width) = self.kernel_size, images.shape
        rows, columns = height // size, width // size
        pixels = images[:, :, : rows * size, : columns * size].permute(0, 2, 3, 1)
        patches = pixels.reshape(batch, rows, size, columns, size, channels).transpose(2, 3)
        kernels = self.weight.permute(0, 2, 3, 1).flatten(1)
        out = F.linear(patches.reshape(batch * rows * columns, -1), kernels, self.bias)
        return out.view(batch, rows, columns, -1).permute(0, 3, 1, 2)


def _block(convolution: nn.Conv2d) -> list[nn.Module]:
    # Out of place: autograd would copy the view that a patch convolution returns.
    return [convolution, nn.BatchNorm2d(convolution.out_channels), nn.ReLU()]
