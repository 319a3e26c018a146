"""Random resizing and padding as two matrices per image (Xie et al., CVPR 2019)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def placement(full: int, size: Tensor, first: Tensor) -> Tensor:
    """Bilinear interpolation and zero padding along one axis of ``full`` pixels.

    Output pixel i of the resized image lies at (i + ½)·full/size − ½ of the original, which is
    within it as size ≤ full, and interpolates between its two neighbours there.

    Float64 (B, full, full) for ``size``, int64 (B,), the pixels that an image is resized to, of
    which ``first`` is the first one.
    """
    pixels = torch.arange(full, dtype=torch.float64)
    inner = pixels - first[:, None]
    at = (inner + 0.5) * full / size[:, None] - 0.5
    drawn = (inner >= 0) & (inner < size[:, None])
    return (1 - (at[:, :, None] - pixels).abs()).clamp_min(0) * drawn[:, :, None]


def input_diversity(
    seeds: Sequence[int], images: Tensor, probability: float, resize: float
) -> tuple[Tensor, Tensor]:
    """Matrices R, C such that R·x·Cᵀ is every channel resized and padded with zeros.

    With ``probability`` an image shrinks to a side uniform in [⌊resize·W⌋, W) at a uniform place;
    otherwise R and C are the identity. Draws depend on the image's own seed alone. Matrices
    instead of an interpolation kernel: their transposes are the gradient, summed in a fixed order
    on every device, and a batch needs no loop.

    Args:
        seeds: one per image.
        images: (B, 3, H, W), for their shape, dtype and device.
        probability: of being transformed.
        resize: smallest width, share of W; the height shrinks by the same share.

    Returns:
        (B, 1, H, H) and (B, 1, W, W).
    """
    height, width = images.shape[-2:]
    placed = [_draw(seed, height, width, probability, resize) for seed in seeds]
    heights, tops, widths, lefts = torch.tensor(placed, dtype=torch.int64).view(-1, 4).T
    rows, columns = placement(height, heights, tops), placement(width, widths, lefts)
    return rows[:, None].to(images), columns[:, None].to(images)


def _draw(
    seed: int, height: int, width: int, probability: float, resize: float
) -> tuple[int, int, int, int]:
    """(height, top, width, left) of one image."""
    generator = torch.Generator().manual_seed(seed)
    applied, share, top, left = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
    if applied >= probability:
        return height, 0, width, 0
    smallest = max(1, int(resize * width))
    new_width = smallest + int(share * (width - smallest))
    new_height = max(1, height * new_width // width)
    return new_height, int(top * (height - new_height)), new_width, int(left * (width - new_width))
