"""Fixed target codes: Hadamard or balanced random centres of classes, and codes of label sets."""

from abc import abstractmethod
from math import comb

import torch
from torch import Tensor

from saat.codes import sign
from saat.hashing.interface import HashingObjective
from saat.seeding import generator


def class_centres(classes: int, bits: int, seed: int) -> Tensor:
    """One ±1 centre per class, float32 (C, K).

    If K is a power of two and C ≤ 2K, they are the first C rows of [H; −H] with H the Hadamard
    matrix of order K (Yuan et al., CVPR 2020). Otherwise they are balanced random codes.
    """
    if bits & (bits - 1) == 0 and classes <= 2 * bits:
        hadamard = torch.ones(1, 1)
        while len(hadamard) < bits:
            hadamard = torch.cat(
                [torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)]
            )
        return torch.cat([hadamard, -hadamard])[:classes]
    return balanced_codes(classes, bits, seed)


def balanced_codes(classes: int, bits: int, seed: int) -> Tensor:
    """Random ±1 codes with ⌈K/2⌉ positive bits each: float32 (C, K).

    They all differ as long as there are enough codes. Independent draws would not: of 80 codes of
    16 bits, two would be equal in one case of four.
    """
    draws = generator("balanced codes", seed)
    positive = (bits + 1) // 2
    seen: set[tuple[int, ...]] = set()
    codes = -torch.ones(classes, bits)
    for code in codes:
        while True:
            chosen = torch.randperm(bits, generator=draws)[:positive].sort().values.tolist()
            if tuple(chosen) not in seen or len(seen) == comb(bits, positive):
                break
        seen.add(tuple(chosen))
        code[chosen] = 1.0
    return codes


class TargetObjective(HashingObjective):
    """An objective that pulls every image to a fixed code, made of the centres of its classes."""

    centres: Tensor
    ties: Tensor

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        super().__init__(labels, bits, seed)
        self.register_buffer("centres", self.centres_of(labels.shape[1], bits, seed))
        draw = torch.rand(bits, generator=generator("ties of centres", seed))
        self.register_buffer("ties", sign(draw - 0.5))

    @staticmethod
    @abstractmethod
    def centres_of(classes: int, bits: int, seed: int) -> Tensor:
        """One ±1 centre per class, float32 (C, K)."""

    def targets(self, labels: Tensor) -> Tensor:
        """Target codes of float 0/1 labels (B, C): float ±1 (B, K).

        A target is the sign of the sum of the classes' centres, with the bit of ``ties`` where the
        sum is 0. Rows without a label get ``ties``, which means nothing.
        """
        total = labels @ self.centres
        return torch.where(total == 0, self.ties, sign(total))

    @abstractmethod
    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """Loss per image (B,) of pre-tanh features (B, K) and ±1 targets (B, K)."""

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Mean of :meth:`distance` over the rows with a label; 0 if there are none.

        See :meth:`HashingObjective.forward`.
        """
        has_label = (labels.sum(1) > 0).to(features.dtype)
        losses = self.distance(features, self.targets(labels))
        return (losses * has_label).sum() / has_label.sum().clamp_min(1)
