"""What the attacks of the battery minimise: losses per query on pre-tanh features.

Features arrive divided by every bit's median magnitude (:attr:`Knowledge.feature_scale`), so a
rescaled last layer changes nothing. ``goal`` is the code the attack wants, ±1: the negated
representative of an untargeted attack, that of the target for a targeted one; one formula serves
both.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

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


def agreement(features: Tensor, goal: Tensor, alpha: float, scale: Tensor | float = 1.0) -> Tensor:
    """−(1/K) goalᵀ tanh(α f/scale) per query: (B,); features and goal (B, K), scale (K,)."""
    return -(torch.tanh(alpha * features / scale) * goal).mean(1)


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


class Sample(NamedTuple):
    """Items of the database drawn for every query of a batch."""

    codes: Tensor  # float ±1 (B, n, K)
    weight: Tensor  # float (B, n), how many items of the database each stands for; 0 fills up rows


class SmoothAP:
    """SmoothAP against database codes (Brown et al., ECCV 2020; as an attack PTA, ACM MM 2023).

    With similarities s_i = uᵀ r_i / K, σ the logistic function of ``temperature``, and P the
    relevant items: AP ≈ mean over i ∈ P of (1 + Σ_{j∈P} σ(s_j − s_i)) / (1 + Σ_j σ(s_j − s_i)),
    sums without j = i. The sums run over the items of two samples, each item weighted by the
    number that it stands for; memory is B × P × (P + N) floats.

    A query without relevant items scores 0.
    """

    def __init__(self, relevant: Sample, others: Sample, temperature: float = TEMPERATURE) -> None:
        self.relevant, self.others, self._temperature = relevant, others, temperature

    @classmethod
    def estimated(cls, labels: Tensor, knowledge: Knowledge, seeds: Sequence[int]) -> "SmoothAP":
        """That of the whole database, from a sample drawn per query.

        It has :data:`SAMPLED_RELEVANT` relevant and :data:`SAMPLED_IRRELEVANT` other items.
        ``labels`` (B, C) are the queries' own, or the target labels; every query has a seed.
        """
        codes = knowledge.database_codes
        related = unchecked_relevance(labels.to(codes.device), knowledge.database_labels)
        draws = [numpy_generator(derive_seed("smooth_ap", seed)) for seed in seeds]
        return cls(
            draw_sample(related, codes, SAMPLED_RELEVANT, draws),
            draw_sample(~related, codes, SAMPLED_IRRELEVANT, draws),
        )

    def __call__(self, relaxed: Tensor) -> Tensor:
        """Estimated AP per query (B,) of relaxed codes u (B, K) in [−1, 1]."""
        bits, weight = relaxed.shape[1], self.relevant.weight
        relevant = torch.einsum("bpk,bk->bp", self.relevant.codes, relaxed) / bits
        others = torch.einsum("bnk,bk->bn", self.others.codes, relaxed) / bits
        above = self._ranked_above(relevant, relevant) * weight[:, None, :]
        # An item does not rank above itself, but stands for others at its distance.
        itself = torch.diag_embed(torch.full_like(relevant, 0.5))
        found = 1 + (above - itself).sum(2)
        wrong = (self._ranked_above(relevant, others) * self.others.weight[:, None, :]).sum(2)
        score: Tensor = (weight * found / (found + wrong)).sum(1)
        return score / weight.sum(1).clamp_min(1)

    def _ranked_above(self, items: Tensor, others: Tensor) -> Tensor:
        """σ((s_j − s_i)/τ): items i (B, P), others j (B, N) → (B, P, N)."""
        return torch.sigmoid((others[:, None, :] - items[:, :, None]) / self._temperature)


def draw_sample(
    allowed: Tensor,
    codes: Tensor,
    most: int,
    generators: Iterable[np.random.Generator],
    counts: Sequence[int] | None = None,
) -> Sample:
    """Items of the database drawn without repetition among ``allowed`` (B, M), for every query.

    Args:
        allowed: bool (B, M), what may be drawn.
        codes: ±1 (M, K), of the database.
        most: items of a row, fewer where the database has fewer. A row in which fewer are allowed
            is filled up.
        generators: one per query.
        counts: items drawn for every query, at most ``most``; ``most`` where None.
    """
    width = min(most, allowed.shape[1])
    found = allowed.cumsum(1, dtype=torch.int32)  # how many are allowed up to every item
    totals = found[:, -1:]
    ranks = np.full((len(allowed), width), allowed.shape[1], np.int32)
    wanted = [width] * len(ranks) if counts is None else counts
    rows = zip(ranks, totals.flatten().tolist(), wanted, generators, strict=True)
    for row, total, count, generator in rows:
        drawn_here = min(count, width, total)
        row[:drawn_here] = generator.choice(total, drawn_here, replace=False, shuffle=False)
    drawn = torch.from_numpy(ranks).to(allowed.device)
    members = (drawn < totals).float()
    # The item of rank r is the first up to which r + 1 are allowed.
    chosen = torch.searchsorted(found, drawn + 1).clamp_max(allowed.shape[1] - 1)
    share = totals / members.sum(1, keepdim=True).clamp_min(1)
    return Sample(codes[chosen].float(), members * share)
