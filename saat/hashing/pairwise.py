"""DPH and DPSH: objectives on the products of a batch's codes with those of all training items."""

from torch import Tensor
from torch.nn.functional import softplus

from saat.codes import sign
from saat.hashing.interface import CodeMemory

QUANTISATION_WEIGHT = 50.0  # of DPSH


class DPH(CodeMemory):
    """Loss L = Σ (u Uᵀ/K − (2s − 1))² / (N·B), s_ij = 1 if i and j share a label, else 0.

    Deep pairwise hashing, the default objective of the SAAT paper.
    """

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        products, similar = self.compared(self.codes(features), labels, index)
        return (products / features.shape[1] - (2 * similar - 1)).square().mean()


class DPSH(CodeMemory):
    """Loss L = Σ (softplus θ − s θ)/(N·B) + 50·‖sign u − u‖²/(N·B), θ = u Uᵀ/2.

    The negative log-likelihood of pairwise similarity, and the quantisation error of the batch (Li
    et al., IJCAI 2016).
    """

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        relaxed = self.codes(features)
        products, similar = self.compared(relaxed, labels, index)
        theta = products / 2
        likelihood = (softplus(theta) - similar * theta).mean()
        error = (sign(relaxed.detach()) - relaxed).square().sum()
        return likelihood + QUANTISATION_WEIGHT * error / similar.numel()
