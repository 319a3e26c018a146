"""The mainstay attack of SAAT, untargeted (Eq. 13) and targeted (Eq. 14), and PgA."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Queries
from saat.attacks.objectives import agreement
from saat.attacks.pgd import QueryLoss, alpha_at
from saat.attacks.pgd_attack import PGDAttack
from saat.mainstay import MainstayWeights, mainstay_codes
from saat.rectifiers import LeakyBackward
from saat.settings import option


@dataclass(frozen=True)
class MainstayGuided(Attack):
    """An attack that is aimed by mainstay codes."""

    weights: MainstayWeights = option("saat", help="weighting of the mainstay codes")

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Mainstay codes of ``labels`` (Eq. 10)."""
        return mainstay_codes(labels, knowledge.train_codes, knowledge.train_labels, self.weights)


@dataclass(frozen=True)
class MainstayAttack(PGDAttack, MainstayGuided):
    """PGD on (1/K) b_mᵀ tanh(α f(x')) from a random start: minimised, so the code leaves b_m.

    ``rescale`` and ``leaky`` (:mod:`saat.rectifiers`) are off in the published attack. They are on
    where the number steers a search, which would otherwise be rewarded for hiding its gradients
    behind a large last layer, or behind rectifiers that are off.
    """

    rescale: bool = option(False, help="divide features by their median magnitude")
    leaky: bool = option(False, help="gradients pass rectifiers that are off")

    version: ClassVar[int] = 2
    random_start: ClassVar[bool] = True

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """See :func:`saat.attacks.objectives.agreement`; α as scheduled."""
        goal = self.goal(queries.representatives)
        scale = knowledge.feature_scale.to(goal.device) if self.rescale else 1.0
        return lambda features, step: agreement(features, goal, alpha_at(step, self.steps), scale)

    def gradient_network(self, network: nn.Module) -> nn.Module:
        """Without ``leaky`` the network itself."""
        return LeakyBackward(network) if self.leaky else network


@dataclass(frozen=True)
class TargetedMainstayAttack(MainstayAttack):
    """The mainstay attack towards the mainstay code of a target label (Eq. 14)."""

    targeted = True


@dataclass(frozen=True)
class PgA(MainstayAttack):
    """The mainstay attack away from the pharos code: relevant and other items weigh alike.

    The pharos code is the sign of the mean relevant code minus the mean of the others; CgAT trains
    with it as the center code (Wang et al., arXiv 2303.12658).
    """

    weights: MainstayWeights = option("cgat", help="weighting of the mainstay codes")
