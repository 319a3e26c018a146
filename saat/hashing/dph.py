"""DPH: deep pairwise hashing, the default objective of the SAAT paper."""

from torch import Tensor

from saat.hashing.objective import CodeMemory


class DPH(CodeMemory):
    """L = Σ (u Uᵀ/K − (2s − 1))² / (N·B), s_ij = 1 where i and j share a label.

    U holds the relaxed codes of all N training items; the batch's own rows are refreshed first.
    """

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        relaxed = self.codes(features)
        self.remember(relaxed, index)
        similar = self.similarity(labels).to(relaxed.dtype)
        products = relaxed @ self.memory.T / relaxed.shape[1]
        return (products - (2 * similar - 1)).square().mean()
