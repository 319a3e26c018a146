"""DPSH: deep pairwise-supervised hashing (Li et al., IJCAI 2016)."""

from torch import Tensor
from torch.nn.functional import softplus

from saat.codes import sign
from saat.hashing.interface import CodeMemory

QUANTISATION_WEIGHT = 50.0


class DPSH(CodeMemory):
    """Loss L = Σ (softplus θ − s θ)/(N·B) + 50·‖sign u − u‖²/(N·B), θ = u Uᵀ/2.

    The negative log-likelihood of pairwise similarity, and the quantisation error of the batch.
    """

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        relaxed = self.codes(features)
        products, similar = self.compared(relaxed, labels, index)
        theta = products / 2
        likelihood = (softplus(theta) - similar * theta).mean()
        error = (sign(relaxed.detach()) - relaxed).square().sum()
        return likelihood + QUANTISATION_WEIGHT * error / similar.numel()
