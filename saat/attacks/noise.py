"""Random noise within the ball: the control that every attack has to beat."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Perturbed, Queries
from saat.mainstay import mainstay_codes
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class Noise(Attack):
    """A random start and nothing else. Not registered: it is a control, not an attack."""

    by_gradient = False

    version: ClassVar[int] = 2

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Mainstay codes of ``labels``, for the theoretical result beside other attacks'."""
        return mainstay_codes(labels, knowledge.train_codes, knowledge.train_labels)

    def restart_passes(self, threat: ThreatModel) -> float:
        """The network is not asked."""
        return 0.0

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`; the network is not asked."""
        start = threat.random_start(queries.images, queries.seeds)
        zero = torch.zeros(len(start), device=start.device)
        return Perturbed(threat.project(start, queries.images), zero)
