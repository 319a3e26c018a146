"""DPN: deep polarised network (Fan et al., IJCAI 2020)."""

from torch import Tensor

from saat.hashing.targets import TargetObjective, balanced_codes


class DPN(TargetObjective):
    """L = mean (1 − u·t)₊ per bit, t balanced random class codes, combined for label sets."""

    keeps_codes_upstream = True  # though the loss never reads them
    centres_of = staticmethod(balanced_codes)

    def distance(self, features: Tensor, targets: Tensor) -> Tensor:
        """See the class."""
        return (1 - self.codes(features) * targets).clamp_min(0).mean(1)
