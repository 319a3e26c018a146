"""CSQ: central similarity quantisation (Yuan et al., CVPR 2020)."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from saat.hashing.objective import HashingObjective
from saat.hashing.targets import class_centres, label_targets, labelled_mean, tie_breaker

QUANTISATION_WEIGHT = 0.05


class CSQ(HashingObjective):
    """L = BCE((u+1)/2, (h+1)/2) + 0.05·mean(|u| − 1)², h the code of the image's classes.

    Any K and C: Hadamard centres where they exist, balanced random ones elsewhere.
    """

    centres: Tensor
    ties: Tensor

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        super().__init__(labels, bits, seed)
        self.register_buffer("centres", class_centres(labels.shape[1], bits, seed))
        self.register_buffer("ties", tie_breaker(bits, seed))

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        del index
        target = label_targets(labels, self.centres, self.ties)
        # (tanh f + 1)/2 is the sigmoid of 2f. From the logits, a bit saturated on the wrong side
        # keeps its gradient; from float32 probabilities of 0 and 1 it would have none.
        central = binary_cross_entropy_with_logits(2 * features, (target + 1) / 2, reduction="none")
        quantisation = (self.codes(features).abs() - 1).square()
        return labelled_mean((central + QUANTISATION_WEIGHT * quantisation).mean(1), labels)
