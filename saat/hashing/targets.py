"""Fixed target codes: Hadamard or balanced random centres of classes, and codes of label sets."""

from math import comb

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
    """Random ±1 codes with ⌈K/2⌉ positive bits each: float32 (count, K).

    All different, for as long as there are others: independent draws would give two of 80 classes
    the same 16 bits in one of four cases, and no hash could tell them apart.
    """
    draws = generator("balanced codes", seed)
    positive = (bits + 1) // 2
    seen: set[tuple[int, ...]] = set()
    codes = -torch.ones(count, bits)
    for code in codes:
        chosen = torch.randperm(bits, generator=draws)[:positive].sort().values
        while tuple(chosen.tolist()) in seen and len(seen) < comb(bits, positive):
            chosen = torch.randperm(bits, generator=draws)[:positive].sort().values
        seen.add(tuple(chosen.tolist()))
        code[chosen] = 1.0
    return codes


def tie_breaker(bits: int, seed: int) -> Tensor:
    """The fixed random ±1 code, float32 (K,), for :func:`label_targets`."""
    return sign(torch.rand(bits, generator=generator("ties of centres", seed)) - 0.5)


def label_targets(labels: Tensor, centres: Tensor, ties: Tensor) -> Tensor:
    """Target code of every label vector: the sign of the sum of its classes' centres.

    Args:
        labels: float 0/1 (B, C).
        centres: ±1 (C, K).
        ties: ±1 (K,), the bits where that sum is 0, for all images alike.

    Returns:
        float ±1 (B, K); rows without a label are ``ties`` and mean nothing.
    """
    total = labels @ centres
    return torch.where(total == 0, ties, sign(total))


def labelled_mean(losses: Tensor, labels: Tensor) -> Tensor:
    """Mean of ``losses`` (B,) over the rows that have a label; 0, with gradient, without any.

    A row without a label has no target to be drawn to.
    """
    has_label = (labels.sum(1) > 0).to(losses.dtype)
    return (losses * has_label).sum() / has_label.sum().clamp_min(1)
