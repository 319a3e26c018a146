"""Mainstay sums in integer arithmetic, for the few that float64 cannot tell from 0.

Code sums are integers, and the cosine of two 0/1 label vectors is ⟨y, d⟩/(√|y| √|d|), |d| the
number of labels of d. Times a positive factor, a mainstay sum is therefore Σ_m c_m/√m with integers
c_m, m running over numbers of labels. With m = a²r, r without a square factor, it is
Σ_r (Σ_a c_m/a)/√r. Square roots of different such r are independent over the rationals, so the
whole is 0 exactly where all inner sums are.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from saat.labels import LabelGroups


def exact_mainstay_sums(labels: Tensor, groups: LabelGroups, sums: Tensor, weights: str) -> Tensor:
    """Mainstay sums times a positive factor a row, float64 (Q, K); 0.0 where the real one is 0.

    With N_p positives and N_n negatives, P = Σ s_g Σ_g and S = Σ s_g n_g over positive groups, and
    Q = Σ Σ_g over negative ones, a mainstay sum is P/S − Q/N_n (``"saat"``), P/N_p − Q/N_n
    (``"eq11"``), or that with all s_g = 1 (``"cgat"``); a term without members is dropped. The
    factor is √|y| times the two denominators.

    Args:
        labels: 0/1 labels (Q, C).
        groups: groups of the training labels.
        sums: float64 (G, K), code sums Σ_g of the groups, integers. Exact for a million training
            rows of up to a hundred labels each.
        weights: one of the three weightings.
    """
    y, d, counts = labels.double(), groups.vectors, groups.counts[:, None]
    shared = y @ d.T
    positive = (shared > 0.5).double()
    away = sums.sum(0) - positive @ sums
    n_positive = positive @ counts
    n_negative = (counts.sum() - n_positive).clamp_min(1)
    if weights == "cgat":
        return n_negative * (positive @ sums) - n_positive.clamp_min(1) * away
    sizes = d.sum(1)
    kinds = sizes[sizes > 0].unique()
    of_size = (sizes[:, None] == kinds).double()  # (G, M)
    # c_m of every m that a training label has, (Q, M, K).
    numerators = sums.new_empty(len(y), len(kinds), sums.shape[1])
    for numerator, size in zip(numerators.unbind(1), kinds, strict=True):
        numerator.copy_(n_negative * (shared[:, sizes == size] @ sums[sizes == size]))
    if weights == "saat":
        similar = shared @ (of_size * counts)
        numerators -= similar[:, :, None] * away[:, None, :]
        # Without a positive the other denominator is 0, and the whole was multiplied by it.
        more = {1: torch.where(n_positive > 0, 0.0, -away)}
    else:
        own = y.sum(1, keepdim=True).clamp_min(1)
        rest = -own * n_positive.clamp_min(1) * away
        more = {int(size): rest * (own == size) for size in own.unique().tolist()}
    pairs = zip(map(int, kinds.tolist()), numerators.unbind(1), strict=True)
    return _over_roots([*pairs, *more.items()])


def _over_roots(terms: Iterable[tuple[int, Tensor]]) -> Tensor:
    """Σ_m c_m/√m of integers c_m (Q, K), float64: 0.0 wherever the real number is 0."""
    by_root: dict[int, list[tuple[int, Tensor]]] = {}
    for size, numerator in terms:
        square, root = _square_part(size)
        by_root.setdefault(root, []).append((square, numerator.long()))
    totals = []
    for root, parts in by_root.items():
        common = math.lcm(*(square for square, _ in parts))
        inner = torch.stack([common // square * part for square, part in parts]).sum(0)
        totals.append(inner.double() / (common * math.sqrt(root)))
    return torch.stack(totals).sum(0)


def _square_part(number: int) -> tuple[int, int]:
    """(a, r) with number = a²·r and r without a square factor."""
    square = max(a for a in range(1, math.isqrt(number) + 1) if number % (a * a) == 0)
    return square, number // square**2
