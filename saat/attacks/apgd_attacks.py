"""The battery's gradient attacks: one objective each, on features rescaled per bit."""

from abc import abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from saat.attacks.apgd import apgd
from saat.attacks.interface import Knowledge, Perturbed, Queries, gradient_passes
from saat.attacks.mainstay import MainstayGuided
from saat.attacks.objectives import SmoothAP, agreement, capped_margin, masked_agreement
from saat.attacks.pgd import QueryLoss, alpha_at, default_step_size
from saat.attacks.pgd_attack import PGDAttack
from saat.threat_model import ThreatModel

# Multiplies the α schedule, as features have median magnitude 1 here: in the end only bits near
# their threshold have a gradient, and the budget is not spent on those that cannot be turned.
SHARPNESS = 6.0
# α of the SmoothAP objective.
SMOOTH_AP_ALPHA = 4.0


@dataclass(frozen=True)
class ApgdAttack(MainstayGuided):
    """APGD from a random start on a loss that a rescaled network does not change.

    ``step_size`` is the first step η. Null is 2ε as published, and in L1, where few values carry a
    step and [0, 1] would cut it, that of PGD.
    """

    version: ClassVar[int] = 2

    @abstractmethod
    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """What is minimised, on features that are already divided by their median magnitude."""

    def changes(self) -> Collection[int]:
        """Iterations at which :meth:`loss` becomes another function."""
        return ()

    def restart_passes(self, threat: ThreatModel) -> float:
        """A gradient at the start and after every step."""
        return gradient_passes(self.steps + 1)

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`; the best iterate by the loss."""
        eps = threat.eps
        published = default_step_size(eps, self.steps) if threat.norm == "l1" else 2 * eps
        return apgd(
            network,
            queries.images,
            rescaled(self.loss(queries, knowledge), knowledge),
            threat,
            self.steps,
            threat.random_start(queries.images, queries.seeds),
            self.step_size or published,
            self.changes(),
        )


def rescaled(loss: QueryLoss, knowledge: Knowledge) -> QueryLoss:
    """``loss`` of features divided by every bit's median magnitude."""
    scale = knowledge.feature_scale
    return lambda features, step: loss(features / scale.to(features.device), step)


@dataclass(frozen=True)
class ApgdMainstay(ApgdAttack):
    """APGD on −(1/K) goalᵀ tanh(α f) under the α schedule, on features rescaled per bit."""

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """See :func:`saat.attacks.objectives.agreement`."""
        goal = self.goal(queries.representatives)
        return lambda features, step: agreement(features, goal, self._alpha(step))

    def _alpha(self, step: int) -> float:
        return SHARPNESS * alpha_at(step, self.steps)

    def changes(self) -> Collection[int]:
        """Where α grows."""
        return {s for s in range(1, self.steps) if self._alpha(s) != self._alpha(s - 1)}


@dataclass(frozen=True)
class TargetedApgdMainstay(ApgdMainstay):
    """APGD towards the mainstay code of a target label."""

    targeted = True


@dataclass(frozen=True)
class MaskedMainstay(PGDAttack, MainstayGuided):
    """PGD on the mainstay loss from which bits that are there already drop out.

    No APGD, which judges steps by the loss: with few bits left it is no measure. ``step_size`` is
    η of every step; null is :func:`saat.attacks.pgd.default_step_size`.
    """

    version: ClassVar[int] = 2
    random_start: ClassVar[bool] = True

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """See :func:`saat.attacks.objectives.masked_agreement`; α as scheduled."""
        goal = self.goal(queries.representatives)

        def loss(features: Tensor, step: int) -> Tensor:
            return masked_agreement(torch.tanh(alpha_at(step, self.steps) * features), goal)

        return rescaled(loss, knowledge)


@dataclass(frozen=True)
class ApgdMargin(ApgdAttack):
    """APGD on the margin −(1/K) Σ min(goal·f, κ), features rescaled per bit."""

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """See :func:`saat.attacks.objectives.capped_margin`."""
        goal = self.goal(queries.representatives)
        return lambda features, step: capped_margin(features, goal)


@dataclass(frozen=True)
class TargetedApgdMargin(ApgdMargin):
    """APGD on the margin towards the mainstay code of a target label."""

    targeted = True


@dataclass(frozen=True)
class ApgdSmoothAP(ApgdAttack):
    """APGD on the metric itself, smoothed (SmoothAP), against the real database codes.

    Its theoretical result is that of the mainstay code: the objective names no code of its own.
    """

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """±AP of :class:`saat.attacks.objectives.SmoothAP`; minus that of the target's label."""
        smooth_ap = SmoothAP.estimated(queries.labels, knowledge, queries.seeds)
        way = -1.0 if self.targeted else 1.0
        return lambda features, step: way * smooth_ap(torch.tanh(SMOOTH_AP_ALPHA * features))


@dataclass(frozen=True)
class TargetedApgdSmoothAP(ApgdSmoothAP):
    """APGD on the smoothed t-AP of a target label, against the real database codes."""

    targeted = True
