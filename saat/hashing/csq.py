"""CSQ: central similarity quantisation (Yuan et al., CVPR 2020)."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from saat.hashing.targets import TargetObjective, class_centres

QUANTISATION_WEIGHT = 0.05


class CSQ(TargetObjective):
    """L = BCE((u+1)/2, (h+1)/2) + 0.05·mean(|u| − 1)², h the code of the image's classes.

    Any K and C: Hadamard centres where they exist, balanced random ones elsewhere.
    """

    centres_of = staticmethod(class_centres)

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        # (tanh f + 1)/2 is the sigmoid of 2f. From the logits, a bit saturated on the wrong side
        # keeps its gradient; from float32 probabilities of 0 and 1 it would have none.
        likely = (targets + 1) / 2
        central = binary_cross_entropy_with_logits(2 * features, likely, reduction="none")
        quantisation = (self.codes(features).abs() - 1).square()
        return (central + QUANTISATION_WEIGHT * quantisation).mean(1)
