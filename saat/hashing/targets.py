"""CSQ (Yuan et al., CVPR 2020) and DPN (Fan et al., IJCAI 2020): objectives with fixed targets.

Targets are Hadamard or balanced random centres of classes, and codes of label sets.
"""

from abc import abstractmethod
from math import comb

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from saat.codes import sign
from saat.hashing.interface import HashingObjective
from saat.seeding import generator

QUANTISATION_WEIGHT = 0.05  # of CSQ


def class_centres(classes: int, bits: int, seed: int) -> Tensor:
    """One ±1 centre per class, float32 (C, K).

    If K is a power of two and C ≤ 2K, they are the first C rows of [H; −H] with H the Hadamard
    matrix of order K (Yuan et al., CVPR 2020). Otherwise they are balanced random codes.
    """
    if bits & (bits - 1) == 0 and classes <= 2 * bits:
        hadamard = torch.ones(1, 1)
        while len(hadamard) < bits:
            hadamard = torch.kron(torch.tensor([[1.0, 1.0], [1.0, -1.0]]), hadamard)
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


class CSQ(TargetObjective):
    """Loss L = BCE((u+1)/2, (h+1)/2) + 0.05·mean(|u| − 1)², h the code of the image's classes.

    For any K and C: the centres are Hadamard codes if they exist, else balanced random codes.
    """

    centres_of = staticmethod(class_centres)

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        # (tanh f + 1)/2 is the sigmoid of 2f. Computed from logits, a bit that is saturated on the
        # wrong side keeps its gradient. Float32 probabilities of 0 and 1 would have none.
        likely = (targets + 1) / 2
        central = binary_cross_entropy_with_logits(2 * features, likely, reduction="none")
        quantisation = (self.codes(features).abs() - 1).square()
        return (central + QUANTISATION_WEIGHT * quantisation).mean(1)


class DPN(TargetObjective):
    """Loss L = mean (1 − u·t)₊ over bits, t balanced random class codes or their combination."""

    keeps_codes_upstream = True  # although the loss does not use them
    centres_of = staticmethod(balanced_codes)

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        return (1 - self.codes(features) * targets).clamp_min(0).mean(1)
