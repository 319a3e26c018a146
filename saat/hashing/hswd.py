"""HSWD: HashNet with a sliced-Wasserstein distance to balanced codes (Doan et al., CVPR 2022)."""

import torch
from torch import Tensor

from saat.hashing.hashnet import HashNet

DISTRIBUTION_WEIGHT = 0.1


class HSWD(HashNet):
    """Loss L = HashNet + 0.1·Σ_k ‖sort u_k − sort r_k‖²/(B·K), r random ±1 codes.

    The second term is, for each bit, the one-dimensional Wasserstein distance between the batch's
    relaxed codes and as many random signs. It makes bits balanced and binary.
    """

    def loss_of_codes(self, relaxed: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """See :meth:`HashNet.loss_of_codes`; the signs come from torch's global generator."""
        loss = super().loss_of_codes(relaxed, labels, index)
        flips = torch.where(torch.rand_like(relaxed) < 0.5, -1.0, 1.0)
        distance = (relaxed.sort(dim=0).values - flips.sort(dim=0).values).square().mean()
        return loss + DISTRIBUTION_WEIGHT * distance
