"""What an attack may do: the ball around an image, and the pixel grid.

The attacker is white-box: it knows the network, the codes and labels of the training set and of
the database, and the label of the query. It changes the query only, never the database.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from saat.errors import InputError, check_known
from saat.protocol_options import LARGEST_EPS, NORMS, Norm
from saat.seeding import numpy_generator

# eps = 8/255 read from a file as a float may lie a rounding error below the grid point.
_GRID_SLACK = 1e-6
# Images whose perturbations are measured at once: differences need many times the bytes' memory.
_BLOCK = 128
# Halvings of the share of a perturbation that is left after rounding.
_BISECTIONS = 12
# Share of the coordinates that one step in the L1 ball moves (SLIDE, Tramèr & Boneh 2019).
_L1_SHARE = 0.01


@dataclass(frozen=True)
class ThreatModel:
    """The ball ‖x' − x‖_p ≤ ``eps`` (Eq. 12) within the image range [0, 1].

    Attributes:
        eps: radius. L∞: fraction of the pixel range. L2, L1: the norm of the whole perturbation
            (3·H·W values, each a fraction of the pixel range).
        norm: p.
    """

    eps: float
    norm: Norm = "linf"

    def __str__(self) -> str:
        eps = f"{255 * self.eps:g}/255" if self.norm == "linf" else f"{self.eps:g}"
        return f"{self.norm} eps {eps}"

    def check(self) -> None:
        """Raise an InputError for an unknown norm, or a radius that no perturbation needs."""
        check_known("norm", self.norm, NORMS)
        most = 1 if self.norm == "linf" else LARGEST_EPS
        if not 0 <= self.eps <= most:  # NaN is neither
            raise InputError(
                f"eps {self.eps:g}: 0 to {most} in {self.norm}; pixels lie in [0, 1], so 8 of 255 "
                "levels are 8 / 255"
            )

    def project(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """A point of the ball around ``images`` and of [0, 1]; both float (B, 3, H, W).

        In L∞ the nearest one. In L2 and L1 the nearest of the ball, then clamped to [0, 1]: values
        only move towards ``images``.
        """
        return self.projection(images)(adversarial)

    def projection(self, images: Tensor) -> Callable[[Tensor], Tensor]:
        """:meth:`project` around these images, for loops: L∞ computes its bounds only once.

        What it returns is a new tensor, which a caller may write into.
        """
        if self.norm == "linf":
            # Both within [0, 1], so one clamp does what a clamp to the ball and one to [0, 1] do.
            low, high = (images - self.eps).clamp_(0, 1), (images + self.eps).clamp_(0, 1)
            return partial(torch.clamp, min=low, max=high)

        def project(adversarial: Tensor) -> Tensor:
            return (images + self.nearest(adversarial - images)).clamp_(0, 1)

        return project

    def nearest(self, change: Tensor) -> Tensor:
        """The nearest change within the ball, float (B, 3, H, W), whatever the image range."""
        if self.norm == "linf":
            return change.clamp(-self.eps, self.eps)
        nearest = _project_l2 if self.norm == "l2" else _project_l1
        return nearest(change.flatten(1), self.eps).view_as(change)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The direction of unit norm in which a function of this gradient rises fastest.

        L1: the largest 1 % of the coordinates share the step; a single one would need thousands.
        """
        if self.norm == "linf":
            return gradient.sign()
        flat = gradient.flatten(1)
        if self.norm == "l2":
            unit: Tensor = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-30)
            return unit.view_as(gradient)
        count = max(1, int(_L1_SHARE * flat.shape[1]))
        largest = flat.abs().topk(count, dim=1).indices
        chosen = torch.zeros_like(flat).scatter_(1, largest, 1.0)
        return (chosen * flat.sign() / count).view_as(gradient)

    def random_start(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """``images`` plus noise within the ball, drawn per query from its own seed.

        L∞: uniform, on a grid of 2¹⁶ levels. L2 and L1: uniform direction (Gaussian, Laplace), at
        a uniform radius. Drawn on the CPU, so that every device starts at the same point.
        """
        count, channels, *sides = images.shape
        pixels = images[0].numel() if count else 0
        drawn = np.empty((count, pixels), np.int16 if self.norm == "linf" else np.float32)
        for row, seed in zip(drawn, seeds, strict=True):
            generator = numpy_generator(seed)
            if self.norm == "linf":
                # Four values a draw, sent to the device in half of the memory of floats.
                bits = generator.bit_generator.random_raw(-(-pixels // 4))
                row[:] = bits.astype("<u8", copy=False).view("<i2")[:pixels]
            else:
                row[:] = self._spread(generator, pixels)
        noise = torch.from_numpy(drawn).to(images.device).to(images.dtype)
        noise = noise.view(count, *sides, channels).movedim(-1, 1)
        return torch.add(images, noise, alpha=self.eps / 2**15 if self.norm == "linf" else 1)

    def _spread(self, generator: np.random.Generator, pixels: int) -> np.ndarray:
        if self.norm == "l2":
            direction = generator.standard_normal(pixels, np.float32)
        else:
            direction = generator.standard_exponential(pixels, np.float32)
            direction *= generator.choice(np.array([-1, 1], np.float32), pixels)
        length = np.linalg.norm(direction, 2 if self.norm == "l2" else 1)
        return direction * np.float32(self.eps * generator.random() / max(float(length), 1e-30))

    def size(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """Norm of the perturbation per image, float64 (B,); both uint8 (B, 3, H, W)."""
        pairs = zip(adversarial.split(_BLOCK), images.split(_BLOCK), strict=True)
        return torch.cat([self._length(a.to(torch.int16) - b.to(torch.int16)) for a, b in pairs])

    def _length(self, change: Tensor) -> Tensor:
        """Norm per image, float64 (B,), of a change in levels of a byte (B, 3, H, W)."""
        flat = change.flatten(1)
        if self.norm == "linf":
            return flat.abs().amax(1).double() / 255
        if self.norm == "l1":
            return flat.abs().sum(1, dtype=torch.int64).double() / 255
        length: Tensor = flat.double().norm(dim=1) / 255
        return length

    def to_uint8(self, adversarial: Tensor, images: Tensor) -> Tensor:
        """Bytes of adversarial images within the ball: what a victim would receive.

        In L∞ the nearest byte within ⌊255·eps⌋ of the original. In L2 and L1 the nearest byte;
        where that leaves the ball, the perturbation is shrunk first, by just as much as it takes.
        Images within the ball are float (B, 3, H, W) in [0, 1], the originals uint8 (B, 3, H, W).
        """
        original = images.to(torch.int16)
        levels = (adversarial * 255).to(original.device)
        if self.norm == "linf":
            radius = int(255 * self.eps + _GRID_SLACK)
            inside = levels.round().to(torch.int16).clamp(original - radius, original + radius)
            return inside.clamp(0, 255).to(torch.uint8)
        change = levels.clamp(0, 255) - original
        return (original + self._rounded(change)).to(torch.uint8)

    def _rounded(self, change: Tensor) -> Tensor:
        """A change in levels (B, 3, H, W) times the largest share that stays inside, as int16."""
        # Bisection finds it: a rounded change never gets longer when its share falls.

        def at(share: Tensor) -> Tensor:
            return (change * share.view(-1, 1, 1, 1)).round().to(torch.int16)

        def inside(share: Tensor) -> Tensor:
            return self._length(at(share)) <= self.eps * (1 + _GRID_SLACK)

        high = torch.ones(len(change))
        low = inside(high).float()
        if low.all():
            return at(high)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            fits = inside(middle)
            low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
        return at(low)


def _project_l2(change: Tensor, eps: float) -> Tensor:
    length = change.norm(dim=1, keepdim=True)
    projected: Tensor = change * (eps / length.clamp_min(1e-30)).clamp(max=1.0)
    return projected


def _project_l1(change: Tensor, eps: float) -> Tensor:
    """Soft thresholding at the level where the norm is ``eps`` (Duchi et al., ICML 2008)."""
    magnitude = change.abs()
    ordered = magnitude.sort(dim=1, descending=True).values
    excess = ordered.cumsum(1) - eps
    ranks = torch.arange(1, change.shape[1] + 1, device=change.device)
    kept = (ordered * ranks > excess).sum(1, keepdim=True).clamp_min(1)
    level = (excess.gather(1, kept - 1) / kept).clamp_min(0.0)
    inside = magnitude.sum(1, keepdim=True) <= eps
    return torch.where(inside, change, change.sign() * (magnitude - level).clamp_min(0.0))
