"""PTA: targeted descent on the smoothed metric (precise target-oriented attack, ACM MM 2023)."""

from dataclasses import dataclass

import torch

from saat.attacks.interface import Knowledge, Queries
from saat.attacks.mainstay import MainstayGuided
from saat.attacks.objectives import TEMPERATURE, Sample, SmoothAP, draw_sample
from saat.attacks.pgd import QueryLoss
from saat.attacks.pgd_attack import PGDAttack
from saat.labels import unchecked_relevance
from saat.seeding import derive_seed, numpy_generator
from saat.settings import option
from saat.threat_model import ThreatModel

# Database items without the target label, for every one with it and every label of the query.
NEGATIVES_PER_POSITIVE = 4


@dataclass(frozen=True)
class PTA(PGDAttack, MainstayGuided):
    """Sign descent from the benign image on 1 − SmoothAP of database items of the target label.

    Positives are drawn among the items that share a label with the target, negatives among the
    others that share one with the query: four times as many for each label of the query. Where
    there are not that many, negatives are drawn among all items without the target label, and a
    query without labels has as many as one with a single label.

    Ranks are smoothed by σ((d_i − d_j)/0.1) with distances d = (K − uᵀr)/2 in bits, u = tanh f.
    ``step_size`` null is ε/T. ``restarts`` draw other items. The theoretical result is that of the
    mainstay code: the objective names no code of its own.
    """

    steps: int = option(20, ge=1, le=100_000, help="iterations T")
    positives: int = option(75, ge=1, le=100_000, help="database items of the target label")

    targeted = True

    def smooth_ap(self, queries: Queries, knowledge: Knowledge) -> SmoothAP:
        """The objective on the items drawn for a batch; memory as in :class:`SmoothAP`."""
        codes = knowledge.database_codes
        labels, device = knowledge.database_labels, codes.device
        wanted = unchecked_relevance(queries.labels.to(device), labels)
        own = queries.labels.new_zeros(queries.labels.shape)
        if queries.own_labels is not None:
            own = queries.own_labels
        per_label = NEGATIVES_PER_POSITIVE * self.positives
        # As wide for every batch, so that sums over a query's items never depend on the others.
        largest = max(1, int(labels.sum(1).max()))
        counts = [per_label * min(max(int(n), 1), largest) for n in own.sum(1)]
        others = unchecked_relevance(own.to(device), labels) & ~wanted
        enough = others.sum(1) >= torch.tensor(counts, device=device)
        others = torch.where(enough[:, None], others, ~wanted)
        draws = [numpy_generator(derive_seed("pta", seed)) for seed in queries.seeds]
        return SmoothAP(
            _each_once(draw_sample(wanted, codes, self.positives, draws)),
            _each_once(draw_sample(others, codes, per_label * largest, draws, counts)),
            2 * TEMPERATURE / codes.shape[1],
        )

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """1 − SmoothAP of u."""
        smooth_ap = self.smooth_ap(queries, knowledge)
        return lambda features, _: 1 - smooth_ap(torch.tanh(features))

    def resolved_step_size(self, threat: ThreatModel) -> float:
        """ε/T by default."""
        return self.step_size or threat.eps / self.steps


def _each_once(sample: Sample) -> Sample:
    """Items that stand for themselves alone."""
    return sample._replace(weight=(sample.weight > 0).float())
