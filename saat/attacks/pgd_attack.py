"""What the attacks by projected gradient descent share; each has its loss, its start, its step."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from saat.attacks.interface import Attack, Knowledge, Perturbed, Queries
from saat.attacks.objectives import agreement
from saat.attacks.pgd import QueryLoss, alpha_at, default_step_size, pgd, published_step_size
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class PGDAttack(Attack):
    """PGD on −(1/K) goalᵀ tanh(α f(x')) under the α schedule.

    Attributes:
        random_start: whether it begins at a drawn point of the ball, with
            :func:`saat.attacks.pgd.default_step_size`. Otherwise it begins at the benign image,
            with :func:`saat.attacks.pgd.published_step_size`, and draws nothing.
    """

    random_start: ClassVar[bool] = False

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """What is minimised."""
        goal = self.goal(queries.representatives)
        return lambda features, step: agreement(features, goal, alpha_at(step, self.steps))

    def resolved_step_size(self, threat: ThreatModel) -> float:
        """η in numbers."""
        rule = default_step_size if self.random_start else published_step_size
        return self.step_size or rule(threat.eps, self.steps)

    def gradient_network(self, network: nn.Module) -> nn.Module:
        """The network that gradients are taken of."""
        return network

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`."""
        images, start = queries.images, None
        if self.random_start:
            start = threat.random_start(images, queries.seeds)
        loss, seen = self.loss(queries, knowledge), self.gradient_network(network)
        step_size = self.resolved_step_size(threat)
        return pgd(seen, images, loss, threat, self.steps, step_size, start)
