"""CSQ: central similarity quantisation (Yuan et al., CVPR 2020)."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from saat.hashing.targets import TargetObjective, class_centres

QUANTISATION_WEIGHT = 0.05


class CSQ(TargetObjective):
    """Loss L = BCE((u+1)/2, (h+1)/2) + 0.05·mean(|u| − 1)², h the code of the image's classes.

    For any K and C: the centres are Hadamard codes if they exist, else balanced random codes.
    """

    centres_of = staticmethod(class_centres)

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        # (tanh f + 1)/2 is the sigmoid of 2f. Computed from logits, a bit that is saturated on the
        # wrong side keeps its gradient. Float32 probabilities of 0 and 1 would have none.
        likely = (targets + 1) / 2
        central = binary_cross_entropy_with_logits(2 * features, likely, reduction="none")
        quantisation = (self.codes(features).abs() - 1).square()
        return (central + QUANTISATION_WEIGHT * quantisation).mean(1)
