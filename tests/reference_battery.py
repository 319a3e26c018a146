"""APGD and the battery's objectives in their plainest form: one query, numpy, float64.

Nothing here imports ``saat``.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from tests.reference import Array, relevant

# Value and gradient of a loss at a point, in an iteration.
Loss = Callable[[Array, int], tuple[float, Array]]


def checkpoints(steps: int) -> list[int]:
    """Croce & Hein 2020, section 3.1, in exact fractions of 1/100."""
    shares = [0, 22]
    while True:
        following = shares[-1] + max(shares[-1] - shares[-2] - 3, 6)
        if following > 100:
            break
        shares.append(following)
    return sorted({math.ceil(share * steps / 100) for share in shares[1:]})


def apgd(
    start: Array,
    loss: Loss,
    project: Callable[[Array], Array],
    steepest: Callable[[Array], Array],
    steps: int,
    first_step: float,
) -> Array:
    """Algorithm 1 of Croce & Hein 2020, minimising, the loss in iteration k being loss(·, k)."""
    eta = first_step
    current = project(start)
    previous = current
    best = current
    current_gradient = best_gradient = loss(current, 0)[1]
    since, successes, best_changed, eta_kept = 0, 0, False, True
    for k in range(steps):
        z = project(current - eta * steepest(current_gradient))
        if k == 0:
            following = z
        else:
            following = project(current + 0.75 * (z - current) + 0.25 * (current - previous))
        value, gradient = loss(following, k)
        successes += value < loss(current, k)[0]
        if value < loss(best, k)[0]:
            best, best_gradient, best_changed = following, gradient, True
        previous, current, current_gradient = current, following, gradient
        if k + 1 in checkpoints(steps):
            first = successes < 0.75 * (k + 1 - since)
            second = eta_kept and not best_changed
            if first or second:
                eta /= 2
                current, current_gradient = best, best_gradient
            eta_kept = not (first or second)
            since, successes, best_changed = k + 1, 0, False
    return best


def agreement(features: Array, goal: Array, alpha: float) -> float:
    total = 0.0
    for value, wanted in zip(features, goal, strict=True):
        total -= float(wanted) * math.tanh(alpha * value)
    return total / len(goal)


def masked_agreement_untargeted(relaxed: Array, mainstay: Array) -> float:
    """The reference implementation's untargeted loss: Σ w (s + 2) s / Σ w, w = [s > −½]."""
    total, count = 0.0, 0
    for u, b in zip(relaxed, mainstay, strict=True):
        s = u * b
        if s > -0.5:
            total += float((s + 2) * s)
            count += 1
    return total / count if count else 0.0


def capped_margin(features: Array, goal: Array, cap: float) -> float:
    kept = [min(float(value * wanted), cap) for value, wanted in zip(features, goal, strict=True)]
    return -sum(kept) / len(kept)


def smooth_average_precision(
    relaxed: Array, label: Array, codes: Sequence[Array], labels: Sequence[Array], tau: float
) -> float:
    """Brown et al. 2020 with similarities uᵀr/K; 0 without relevant items."""
    similarity = [float(np.dot(relaxed, code)) / len(code) for code in codes]
    positives = [i for i, other in enumerate(labels) if relevant(label, other)]

    def above(i: int, j: int) -> float:
        return 1 / (1 + math.exp(-(similarity[j] - similarity[i]) / tau))

    total = 0.0
    for i in positives:
        among = 1 + sum(above(i, j) for j in positives if j != i)
        all_ = 1 + sum(above(i, j) for j in range(len(codes)) if j != i)
        total += among / all_
    return total / len(positives) if positives else 0.0


def farthest(query: Array, candidates: Sequence[Array], count: int) -> list[Array]:
    """Candidates by falling Hamming distance, equal ones in their order."""
    distance = [int((np.asarray(c) != np.asarray(query)).sum()) for c in candidates]
    order = sorted(range(len(candidates)), key=lambda i: (-distance[i], i))
    return [candidates[i] for i in order[:count]]
