"""DPN: deep polarised network (Fan et al., IJCAI 2020)."""

from torch import Tensor

from saat.hashing.objective import HashingObjective
from saat.hashing.targets import balanced_codes, label_targets, labelled_mean, tie_breaker


class DPN(HashingObjective):
    """L = mean (1 − u·t)₊ per bit, t balanced random class codes, combined for label sets."""

    keeps_codes_upstream = True  # though the loss never reads them

    centres: Tensor
    ties: Tensor

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        super().__init__(labels, bits, seed)
        self.register_buffer("centres", balanced_codes(labels.shape[1], bits, seed))
        self.register_buffer("ties", tie_breaker(bits, seed))

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        del index
        target = label_targets(labels, self.centres, self.ties)
        hinge = (1 - self.codes(features) * target).clamp_min(0).mean(1)
        return labelled_mean(hinge, labels)
