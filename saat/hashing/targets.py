"""Fixed target codes: Hadamard or balanced random centres of classes, and codes of label sets."""

import torch
from torch import Tensor

from saat.codes import sign
from saat.seeding import generator


def class_centres(classes: int, bits: int, seed: int) -> Tensor:
    """One ±1 centre per class, float32 (C, K).

    The first C rows of [H; −H] with H the Hadamard matrix of order K (Yuan et al., CVPR 2020),
    where K is a power of two and C ≤ 2K; elsewhere balanced random centres.
    """
    if bits & (bits - 1) == 0 and classes <= 2 * bits:
        hadamard = torch.ones(1, 1)
        while len(hadamard) < bits:
            hadamard = torch.cat(
                [torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)]
            )
        return torch.cat([hadamard, -hadamard])[:classes]
    return balanced_codes(classes, bits, seed)


def balanced_codes(count: int, bits: int, seed: int) -> Tensor:
    """Random ±1 codes with ⌈K/2⌉ positive bits each: float32 (count, K)."""
    order = torch.rand(count, bits, generator=generator("balanced codes", seed)).argsort(dim=1)
    return torch.where(order < (bits + 1) // 2, 1.0, -1.0)


def label_targets(labels: Tensor, centres: Tensor, seed: int) -> Tensor:
    """Target code of every label vector: the sign of the sum of its classes' centres.

    Bits where the sum is 0 take those of one fixed random code, for all images alike.

    Args:
        labels: float 0/1 (B, C).
        centres: ±1 (C, K).
        seed: of the code that breaks ties.

    Returns:
        float ±1 (B, K); rows without a label are that fixed code and mean nothing.
    """
    total = labels @ centres
    draw = torch.rand(centres.shape[1], generator=generator("ties of centres", seed))
    ties = sign(draw - 0.5).to(total.device)
    return torch.where(total == 0, ties.expand_as(total), sign(total))


def labelled_mean(losses: Tensor, labels: Tensor) -> Tensor:
    """Mean of ``losses`` (B,) over the rows that have a label; 0, with gradient, without any.

    A row without a label has no target to be drawn to.
    """
    has_label = (labels.sum(1) > 0).to(losses.dtype)
    return (losses * has_label).sum() / has_label.sum().clamp_min(1)
