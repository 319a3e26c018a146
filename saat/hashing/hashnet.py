"""HashNet: hashing by continuation (Cao et al., ICCV 2017); HSWD: HashNet with balanced codes."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from saat.hashing.interface import CodeMemory

SCALE_EVERY = 200  # iterations between two refreshes of the scale
SCALE_RATE = 0.005
DISTRIBUTION_WEIGHT = 0.1  # of HSWD


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


class HSWD(HashNet):
    """Loss L = HashNet + 0.1·Σ_k ‖sort u_k − sort r_k‖²/(B·K), r random ±1 codes.

    The second term (Doan et al., CVPR 2022) is, for each bit, the one-dimensional Wasserstein
    distance between the batch's relaxed codes and as many random signs. It makes bits balanced and
    binary.
    """

    def loss_of_codes(self, relaxed: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """See :meth:`HashNet.loss_of_codes`; the signs come from torch's global generator."""
        loss = super().loss_of_codes(relaxed, labels, index)
        flips = torch.where(torch.rand_like(relaxed) < 0.5, -1.0, 1.0)
        distance = (relaxed.sort(dim=0).values - flips.sort(dim=0).values).square().mean()
        return loss + DISTRIBUTION_WEIGHT * distance
