"""DPN: deep polarised network (Fan et al., IJCAI 2020)."""

from torch import Tensor

from saat.hashing.targets import TargetObjective, balanced_codes


class DPN(TargetObjective):
    """Loss L = mean (1 − u·t)₊ over bits, t balanced random class codes or their combination."""

    keeps_codes_upstream = True  # although the loss does not use them
    centres_of = staticmethod(balanced_codes)

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        return (1 - self.codes(features) * targets).clamp_min(0).mean(1)
