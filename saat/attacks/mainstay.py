"""The mainstay attack of SAAT, untargeted (Eq. 13) and targeted (Eq. 14)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Perturbed, Queries
from saat.attacks.pgd import QueryLoss, alpha_at, default_step_size, pgd
from saat.mainstay import MainstayWeights, mainstay_codes
from saat.rectifiers import LeakyBackward
from saat.settings import option
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class MainstayGuided(Attack):
    """An attack that is aimed by mainstay codes."""

    weights: MainstayWeights = option("saat", help="weighting of the mainstay codes")

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Mainstay codes of ``labels`` (Eq. 10)."""
        return mainstay_codes(labels, knowledge.train_codes, knowledge.train_labels, self.weights)


@dataclass(frozen=True)
class MainstayAttack(MainstayGuided):
    """PGD on (1/K) b_mᵀ tanh(α f(x')) from a random start: minimised, so the code leaves b_m.

    ``rescale`` and ``leaky`` (:mod:`saat.rectifiers`) are off in the published attack. They are on
    where the number steers a search, which would otherwise be rewarded for hiding its gradients
    behind a large last layer, or behind rectifiers that are off.
    """

    rescale: bool = option(False, help="divide features by their median magnitude")
    leaky: bool = option(False, help="gradients pass rectifiers that are off")

    version: ClassVar[int] = 2

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """−(1/K) goalᵀ tanh(α f), minimised under the α schedule."""
        goal = self.goal(queries.representatives)
        scale = knowledge.feature_scale.to(goal.device) if self.rescale else 1.0

        def loss(features: Tensor, step: int) -> Tensor:
            relaxed = torch.tanh(alpha_at(step, self.steps) * features / scale)
            return -(relaxed * goal).mean(1)

        return loss

    def gradient_network(self, network: nn.Module) -> nn.Module:
        """The network that gradients are taken of."""
        return LeakyBackward(network) if self.leaky else network

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`."""
        loss, seen = self.loss(queries, knowledge), self.gradient_network(network)
        step_size = self.step_size or default_step_size(threat.eps, self.steps)
        start = threat.random_start(queries.images, queries.seeds)
        return pgd(seen, queries.images, loss, threat, self.steps, step_size, start)


@dataclass(frozen=True)
class TargetedMainstayAttack(MainstayAttack):
    """The mainstay attack towards the mainstay code of a target label (Eq. 14)."""

    targeted = True
