"""CSQ: central similarity quantisation (Yuan et al., CVPR 2020)."""

from torch import Tensor
from torch.nn.functional import binary_cross_entropy

from saat.hashing.objective import HashingObjective
from saat.hashing.targets import class_centres, label_targets, labelled_mean

QUANTISATION_WEIGHT = 0.05


class CSQ(HashingObjective):
    """L = BCE((u+1)/2, (h+1)/2) + 0.05·mean(|u| − 1)², h the code of the image's classes.

    Any K and C: Hadamard centres where they exist, balanced random ones elsewhere.
    """

    centres: Tensor

    def __init__(self, labels: Tensor, bits: int, seed: int) -> None:
        super().__init__(labels, bits, seed)
        self._seed = seed
        self.register_buffer("centres", class_centres(labels.shape[1], bits, seed))

    def forward(self, features: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Loss of a batch; see :meth:`HashingObjective.forward`."""
        del index
        relaxed = self.codes(features)
        target = label_targets(labels, self.centres, self._seed)
        central = binary_cross_entropy((relaxed + 1) / 2, (target + 1) / 2, reduction="none")
        quantisation = (relaxed.abs() - 1).square().mean()
        return labelled_mean(central.mean(1), labels) + QUANTISATION_WEIGHT * quantisation
