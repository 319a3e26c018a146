"""DPH: deep pairwise hashing, the default objective of the SAAT paper."""

from torch import Tensor

from saat.hashing.interface import CodeMemory


class DPH(CodeMemory):
    """Loss L = Σ (u Uᵀ/K − (2s − 1))² / (N·B), s_ij = 1 if i and j share a label, else 0."""

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        products, similar = self.compared(self.codes(features), labels, index)
        return (products / features.shape[1] - (2 * similar - 1)).square().mean()
