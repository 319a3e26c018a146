"""What the attacks of the battery minimise: losses per query on pre-tanh features.

Features arrive divided by every bit's median magnitude (:attr:`Knowledge.feature_scale`), so a
rescaled last layer changes nothing. ``goal`` is the code the attack wants, ±1: the negated
representative of an untargeted attack, that of the target for a targeted one; one formula serves
both.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from saat.attacks.interface import Knowledge
from saat.labels import unchecked_relevance
from saat.seeding import derive_seed, numpy_generator

# A bit this far on the wanted side (in median magnitudes of its feature) earns nothing more, and
# the gradient belongs to the bits that are not there yet.
MARGIN_CAP = 0.5
# PTA (ACM MM 2023).
TEMPERATURE = 0.1
# Relevant and irrelevant database items that SmoothAP is estimated on, of each query's own draw.
SAMPLED_RELEVANT = 48
SAMPLED_IRRELEVANT = 80


def agreement(features: Tensor, goal: Tensor, alpha: float) -> Tensor:
    """−(1/K) goalᵀ tanh(α f) per query: (B,); features and goal (B, K)."""
    return -(torch.tanh(alpha * features) * goal).mean(1)


def masked_agreement(relaxed: Tensor, goal: Tensor) -> Tensor:
    """−Σ w (2 − s) s / Σ w with s = goal·u and w = [s < ½]: bits that are there drop out.

    The untargeted form of the reference implementation, Σ w (s + 2) s / Σ w for s = u·b, is this
    with goal = −b; its targeted form is mirrored wrongly (gradient 0 at s = −1). (B,) for relaxed
    codes u and goal (B, K); 0 where every bit has dropped out.
    """
    s = relaxed * goal
    unreached = (s < 0.5).float()
    return -(unreached * (2 - s) * s).sum(1) / unreached.sum(1).clamp_min(1)


def capped_margin(features: Tensor, goal: Tensor) -> Tensor:
    """−(1/K) Σ min(goal·f, κ) per query (B,): no saturation on the side that matters.

    The analogue of the difference-of-logits ratio (Croce & Hein, ICML 2020).
    """
    return -(goal * features).clamp_max(MARGIN_CAP).mean(1)


class SmoothAP:
    """SmoothAP against database codes (Brown et al., ECCV 2020; as an attack PTA, ACM MM 2023).

    With similarities s_i = uᵀ r_i / K, σ the logistic function of temperature τ, and P the
    relevant items: AP ≈ mean over i ∈ P of (1 + Σ_{j∈P} σ(s_j − s_i)) / (1 + Σ_j σ(s_j − s_i)),
    sums without j = i. The sums run over a sample of the database drawn per query,
    :data:`SAMPLED_RELEVANT` relevant and :data:`SAMPLED_IRRELEVANT` others, each weighted by the
    number of items it stands for; memory is B × P × (P + N) floats.

    A query without relevant items scores 0. ``labels`` (B, C) are the queries' own, or the target
    labels; every query has a seed of its sample.
    """

    def __init__(self, labels: Tensor, knowledge: Knowledge, seeds: Sequence[int]) -> None:
        codes = knowledge.database_codes
        related = unchecked_relevance(labels.to(codes.device), knowledge.database_labels)
        draws = [numpy_generator(derive_seed("smooth_ap", seed)) for seed in seeds]
        self._relevant, self._weight = _sample(related, codes, SAMPLED_RELEVANT, draws)
        self._others, self._others_weight = _sample(~related, codes, SAMPLED_IRRELEVANT, draws)

    def __call__(self, relaxed: Tensor) -> Tensor:
        """Estimated AP per query (B,) of relaxed codes u (B, K) in [−1, 1]."""
        bits = relaxed.shape[1]
        relevant = torch.einsum("bpk,bk->bp", self._relevant, relaxed) / bits
        others = torch.einsum("bnk,bk->bn", self._others, relaxed) / bits
        above = _ranked_above(relevant, relevant) * self._weight[:, None, :]
        # An item does not rank above itself, but stands for others at its distance.
        itself = torch.diag_embed(torch.full_like(relevant, 0.5))
        found = 1 + (above - itself).sum(2)
        wrong = (_ranked_above(relevant, others) * self._others_weight[:, None, :]).sum(2)
        weight = self._weight
        score: Tensor = (weight * found / (found + wrong)).sum(1)
        return score / weight.sum(1).clamp_min(1)


def _ranked_above(items: Tensor, others: Tensor) -> Tensor:
    """σ((s_j − s_i)/τ): items i (B, P), others j (B, N) → (B, P, N)."""
    return torch.sigmoid((others[:, None, :] - items[:, :, None]) / TEMPERATURE)


def _sample(
    allowed: Tensor, codes: Tensor, count: int, generators: Iterable[np.random.Generator]
) -> tuple[Tensor, Tensor]:
    """Codes float (B, count, K) drawn among ``allowed`` (B, M), and how many each stands for.

    Rows with fewer than ``count`` allowed items have members that stand for none.
    """
    count = min(count, allowed.shape[1])
    found = allowed.cumsum(1, dtype=torch.int32)  # how many are allowed up to every item
    totals = found[:, -1:]
    ranks = np.full((len(allowed), count), allowed.shape[1], np.int32)
    for row, total, generator in zip(ranks, totals.flatten().tolist(), generators, strict=True):
        row[:total] = generator.choice(total, min(count, total), replace=False, shuffle=False)
    drawn = torch.from_numpy(ranks).to(allowed.device)
    members = (drawn < totals).float()
    # The item of rank r is the first up to which r + 1 are allowed.
    chosen = torch.searchsorted(found, drawn + 1).clamp_max(allowed.shape[1] - 1)
    share = totals / members.sum(1, keepdim=True).clamp_min(1)
    return codes[chosen].float(), members * share
