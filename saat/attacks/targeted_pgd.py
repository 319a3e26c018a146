"""The descent that P2P, DHTA and THA share: from the benign image towards a code."""

from dataclasses import dataclass

from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Perturbed, Queries
from saat.attacks.objectives import agreement
from saat.attacks.pgd import alpha_at, pgd, published_step_size
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class TargetedPGD(Attack):
    """PGD on −(1/K) bᵀ tanh(α f(x')) under the α schedule, b the representative code.

    It begins at the benign image and draws nothing; attacks differ in whose code b is.
    ``step_size`` null is 1/255, or more where so few steps would not fill the ball.
    """

    targeted = True

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`."""

        def loss(features: Tensor, step: int) -> Tensor:
            return agreement(features, queries.representatives, alpha_at(step, self.steps))

        step_size = self.step_size or published_step_size(threat.eps, self.steps)
        return pgd(network, queries.images, loss, threat, self.steps, step_size)
