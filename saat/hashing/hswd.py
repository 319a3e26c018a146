"""HSWD: HashNet with a sliced-Wasserstein distance to balanced codes (Doan et al., CVPR 2022)."""

import torch
from torch import Tensor

from saat.hashing.hashnet import HashNet

DISTRIBUTION_WEIGHT = 0.1


class HSWD(HashNet):
    """HashNet + 0.1·Σ_k ‖sort u_k − sort r_k‖²/(B·K), r random ±1 codes.

    Per bit the one-dimensional Wasserstein distance between the batch's relaxed codes and as many
    fair coin flips: bits become balanced and binary.
    """

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        loss = super().forward(features, labels, index)
        relaxed = self.codes(features)
        flips = torch.where(torch.rand_like(relaxed) < 0.5, -1.0, 1.0)
        distance = (relaxed.sort(dim=0).values - flips.sort(dim=0).values).square().mean()
        return loss + DISTRIBUTION_WEIGHT * distance
