"""Weak defenses that look strong, to be caught by gates that know nothing of them."""

import torch
from torch import Tensor, nn


class Wrapped(nn.Module):
    """A network behind something."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def see(self, images: Tensor) -> Tensor:
        return images

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.network(self.see(images))
        return features


class LargeLastLayer(Wrapped):
    """Features times ``factor``: codes are equal bit for bit, tanh saturates."""

    factor = 60.0

    def forward(self, images: Tensor) -> Tensor:
        return self.factor * super().forward(images)


class DeadZone(Wrapped):
    """Rectifiers that are off for all but very bright and very dark pixels: no gradient there."""

    width = 0.05

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.bright, self.dark = nn.ReLU(), nn.ReLU()

    def see(self, images: Tensor) -> Tensor:
        far: Tensor = self.bright(images - 0.5 - self.width) - self.dark(0.5 - self.width - images)
        return 0.5 + far


class Rounded(Wrapped):
    """Images at 8 levels: the gradient is exactly zero."""

    levels = 8

    def see(self, images: Tensor) -> Tensor:
        return (images * (self.levels - 1)).round() / (self.levels - 1)


class RoundedWithSurrogate(Rounded):
    def surrogate(self) -> nn.Module:
        return self.network


class Detached(Wrapped):
    """Images that leave the graph: there is no gradient at all."""

    def see(self, images: Tensor) -> Tensor:
        return images.detach()


class Sawtooth(Wrapped):
    """Within each of 32 cells the slope is −1: the right values, the wrong gradient."""

    cells = 32

    def see(self, images: Tensor) -> Tensor:
        inside = images * self.cells % 1
        return images + (1 - 2 * inside) / self.cells


class Ripple(Wrapped):
    """A tiny, steep wave on every pixel: the gradient is that of the wave."""

    def see(self, images: Tensor) -> Tensor:
        return images + 0.02 * torch.sin(400 * images)


class NoisyInput(Wrapped):
    """Fresh Gaussian noise in every pass, in evaluation mode too."""

    deviation = 0.1

    def see(self, images: Tensor) -> Tensor:
        return images + self.deviation * torch.randn_like(images)


class RandomResize(Wrapped):
    """Shrunk to a random size and padded back, in evaluation mode too."""

    def see(self, images: Tensor) -> Tensor:
        size = images.shape[-1]
        smaller = int(torch.randint(3 * size // 4, size, ()))
        shrunk = nn.functional.interpolate(images, size=(smaller, smaller), mode="bilinear")
        left = int(torch.randint(0, size - smaller + 1, ()))
        return nn.functional.pad(shrunk, (left, size - smaller - left, left, size - smaller - left))
