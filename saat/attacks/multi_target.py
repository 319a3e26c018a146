"""Multi-target: towards each of the nine mainstay codes that lie farthest from the query's code."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saat.attacks.apgd_attacks import ApgdMainstay
from saat.attacks.interface import Knowledge, Perturbed, Queries
from saat.blocks import rows_at_once
from saat.codes import hamming_distance, sign
from saat.labels import LabelGroups
from saat.mainstay import mainstay_codes
from saat.retrieval import average_precision
from saat.settings import option
from saat.threat_model import ThreatModel

# Depth at which targets are compared; the protocol's own depth decides what is reported.
_TOP_K = 5000


@dataclass(frozen=True)
class MultiTarget(ApgdMainstay):
    """APGD towards each of the 9 mainstay codes farthest from the query; the lowest AP counts.

    Candidates are the mainstay codes of all distinct label vectors of the training set. The
    theoretical result is that of the farthest one.
    """

    targets: int = option(9, ge=1, le=10_000, help="targets tried per query")

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """The negated farthest code, so that leaving it means reaching that code."""
        return -self.farthest(knowledge, query_codes)[:, 0]

    def farthest(self, knowledge: Knowledge, query_codes: Tensor) -> Tensor:
        """Candidates by falling distance from ±1 ``query_codes`` (Q, K): (Q, targets or fewer, K).

        Equal distances are in the order of the label vectors.
        """
        labels = LabelGroups.of(knowledge.train_labels).vectors
        codes = mainstay_codes(labels, knowledge.train_codes, knowledge.train_labels, self.weights)
        own, size = query_codes.to(codes.device), rows_at_once(len(codes))
        out = codes.new_empty(len(own), min(self.targets, len(codes)), codes.shape[1])
        for part, block in zip(out.split(size), own.split(size), strict=True):
            distance = hamming_distance(block, codes)
            order = distance.sort(dim=1, descending=True, stable=True).indices
            part.copy_(codes[order[:, : self.targets]])
        return out

    def restart_passes(self, threat: ThreatModel) -> float:
        """Those of every target and its comparison; less where there are fewer label vectors."""
        return self.targets * (super().restart_passes(threat) + 1)

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`."""
        goals = self.farthest(knowledge, queries.codes)
        database = knowledge.database_codes, knowledge.database_labels
        depth = min(_TOP_K, len(database[0]))
        best, lowest = queries.images, torch.full((len(goals),), torch.inf, dtype=torch.float64)
        zero = torch.zeros(len(goals), device=queries.images.device)
        for goal in goals.unbind(1):
            one = queries._replace(representatives=-goal)
            found = super().perturb(network, one, knowledge, threat)
            with torch.no_grad():  # after rounding to bytes
                codes = sign(network((found.images * 255).round() / 255))
            ap = average_precision(codes, queries.labels, *database, top_k=depth).cpu()
            better = ap < lowest
            best = torch.where(better.to(best.device).view(-1, 1, 1, 1), found.images, best)
            lowest = torch.where(better, ap, lowest)
            zero += found.zero_gradient
        return Perturbed(best, zero / goals.shape[1])
