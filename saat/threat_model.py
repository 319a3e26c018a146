"""What an attack may do: the ball around an image, and the pixel grid."""

from dataclasses import dataclass

import torch
from torch import Tensor

# eps = 8/255 read from a file as a float may lie a rounding error below the grid point.
_GRID_SLACK = 1e-6


@dataclass(frozen=True)
class ThreatModel:
    """An L∞ ball of radius ``eps`` (fraction of the pixel range) within the image range [0, 1].

    The attacker is white-box: it knows the network, the training codes and labels, and the label
    of the query. It changes the query only, never the database.
    """

    eps: float
    targeted: bool = False

    def project(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """The nearest point to ``adversarial`` within the ball around ``images`` and [0, 1]."""
        nearest = adversarial.clamp(images - self.eps, images + self.eps)
        return nearest.clamp(0.0, 1.0)

    def to_uint8(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """Round adversarial float images to bytes without leaving the ball.

        Args:
            adversarial: float (B, 3, H, W) in [0, 1].
            images: uint8 (B, 3, H, W), the originals.

        Returns:
            uint8 (B, 3, H, W) with |result − images| ≤ ⌊255·eps⌋: what a victim would receive.
        """
        radius = int(255 * self.eps + _GRID_SLACK)
        original = images.to(torch.int16)
        rounded = (adversarial * 255).round().to(torch.int16).to(original.device)
        inside = rounded.clamp(original - radius, original + radius)
        return inside.clamp(0, 255).to(torch.uint8)
