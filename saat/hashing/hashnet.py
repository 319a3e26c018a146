"""HashNet: hashing by continuation (Cao et al., ICCV 2017)."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from saat.hashing.interface import CodeMemory

SCALE_EVERY = 200  # iterations between two refreshes of the scale
SCALE_RATE = 0.005


class HashNet(CodeMemory):
    """Loss L: mean of softplus θ − s θ over similar pairs, plus its mean over dissimilar pairs.

    θ = (10/K) u Uᵀ with u = tanh(β f). The scale β = √(1 + 0.005·iteration) makes tanh approach
    sign. It is refreshed every 200 iterations, and is 1 in evaluation mode. The iterations are
    counted here, not by the network. So β keeps growing through adversarial training, and forward
    passes of attacks do not change it. A batch without similar (or dissimilar) pairs drops that
    mean.
    """

    iterations: Tensor

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        super().__init__(labels, bits, seed)
        self.register_buffer("iterations", torch.zeros((), dtype=torch.int64))

    @property
    def scale(self) -> float:
        """The present scale β."""
        if not self.training:
            return 1.0
        counted = int(self.iterations) // SCALE_EVERY * SCALE_EVERY
        return float((1 + SCALE_RATE * counted) ** 0.5)

    def codes(self, features: Tensor) -> Tensor:
        """Relaxed codes u = tanh(β f)."""
        return torch.tanh(self.scale * features)

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        relaxed = self.codes(features)
        loss = self.loss_of_codes(relaxed, labels, index)
        if self.training:
            self.iterations += 1
        return loss

    def loss_of_codes(self, relaxed: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch of relaxed codes (B, K); the rest as in :meth:`forward`."""
        products, similar = self.compared(relaxed, labels, index)
        theta = products * (10 / relaxed.shape[1])
        loss = softplus(theta) - similar * theta
        positives = (loss * similar).sum() / similar.sum().clamp_min(1)
        negatives = (loss * (1 - similar)).sum() / (1 - similar).sum().clamp_min(1)
        return positives + negatives
