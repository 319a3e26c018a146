"""How visible a perturbation is: true pixel norms, and the figures as the papers publish them."""

import torch
from torch import Tensor

_BLOCK = 256  # images at a time: differences need four times the memory of the bytes


def perceptibility(
    images: Tensor, adversarial: Tensor, positions: Tensor | None = None
) -> dict[str, float]:
    """Norms of the perturbation, in fractions of the pixel range.

    The papers (Table VII of SAAT) report *matrix* norms of every colour channel, averaged over
    images and channels: ∞ is the largest row sum of absolute values and 2 the largest singular
    value. Neither is what the threat model bounds, so the pixel norms stand beside them.

    Args:
        images: uint8 (Q, 3, H, W), the originals.
        adversarial: uint8 (Q, 3, H, W).
        positions: int64, the images that are measured; all where None.

    Returns:
        ``linf`` (largest over all images), ``l2`` and ``l1`` (mean over images, of all 3·H·W
        values), ``matrix_linf``, ``matrix_l2``, ``mse``. Zeros without images.
    """
    if positions is not None:
        images, adversarial = images[positions], adversarial[positions]
    sums = dict.fromkeys(("l2", "l1", "matrix_linf", "matrix_l2", "mse"), 0.0)
    largest = 0.0
    for original, attacked in zip(images.split(_BLOCK), adversarial.split(_BLOCK), strict=True):
        change = (attacked.to(torch.int16) - original.to(torch.int16)).double() / 255
        if not len(change):
            continue
        flat = change.flatten(1)
        # Singular values by eigenvalues: a tenth of the work of an SVD.
        squares = torch.linalg.eigvalsh(change @ change.mT)[..., -1].clamp_min(0)
        largest = max(largest, float(flat.abs().max()))
        sums["l2"] += float(flat.norm(dim=1).sum())
        sums["l1"] += float(flat.abs().sum())
        sums["matrix_linf"] += float(change.abs().sum(3).amax(2).mean(1).sum())
        sums["matrix_l2"] += float(squares.sqrt().mean(1).sum())
        sums["mse"] += float(flat.square().mean(1).sum())
    return {"linf": largest, **{name: total / max(len(images), 1) for name, total in sums.items()}}
