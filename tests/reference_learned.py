"""The losses of the attacks that learn, in their plainest form: pair by pair, bit by bit.

Nothing here imports ``saat``.
"""

import math

import numpy as np

from tests.reference import Array, relevant
from tests.reference_objectives import softplus


def similarities(prototypes: Array, codes: Array) -> Array:
    return np.array([[float(np.dot(h, c)) / len(h) for c in codes] for h in prototypes])


def circle_loss(
    prototypes: Array,
    labels: Array,
    codes: Array,
    code_labels: Array,
    weighing: Array | None = None,
) -> float:
    """softplus(log Σ_neg exp(a_n s) + log Σ_pos exp(−a_p s)) / B; an empty sum is left out.

    The weights a belong to the prototypes ``weighing``: a loss whose slope leaves them alone.
    """
    s = similarities(prototypes, codes)
    fixed = s if weighing is None else similarities(weighing, codes)
    negative, positive = [], []
    for i, y in enumerate(labels):
        for j, other in enumerate(code_labels):
            if relevant(y, other):
                positive.append(math.exp(-max(2 - fixed[i, j], 0) * s[i, j]))
            else:
                negative.append(math.exp(max(fixed[i, j] + 2, 0) * s[i, j]))
    exponent = sum(math.log(sum(terms)) for terms in (negative, positive) if terms)
    return softplus(exponent) / len(prototypes)


def quantisation(prototypes: Array) -> float:
    total = sum((v - (1.0 if v >= 0 else -1.0)) ** 2 for row in prototypes for v in row)
    return float(total) / (1e4 * len(prototypes))


def mean_square(a: Array, b: Array) -> float:
    pairs = list(zip(np.ravel(a), np.ravel(b), strict=True))
    return sum((float(x) - float(y)) ** 2 for x, y in pairs) / len(pairs)


def prototype_loss(
    prototypes: Array, told: Array, wanted: Array, codes: Array, labels: Array
) -> float:
    """ProS-GAN's: mean(softplus θ − s θ), θ = h·c/2, + squared error of labels + quantisation."""
    likelihood = 0.0
    for h, y in zip(prototypes, wanted, strict=True):
        for c, other in zip(codes, labels, strict=True):
            theta = float(np.dot(h, c)) / 2
            likelihood += softplus(theta) - (theta if relevant(y, other) else 0.0)
    likelihood /= len(prototypes) * len(codes)
    return likelihood + mean_square(told, wanted) + quantisation(prototypes)


def generator_loss(
    painted: Array,
    images: Array,
    features: Array,
    codes: Array,
    verdict: Array,
    goal: Array,
    reconstruction: float,
) -> float:
    """w·MSE + 5·(1 − mean(u·b)) + MSE(D(x'), [target, 0])."""
    agreement = [
        math.tanh(float(f)) * float(b)
        for f, b in zip(np.ravel(features), np.ravel(codes), strict=True)
    ]
    wished = [[*row, 0.0] for row in goal]
    return (
        reconstruction * mean_square(painted, images)
        + 5 * (1 - sum(agreement) / len(agreement))
        + mean_square(verdict, np.array(wished))
    )


def discriminator_loss(real: Array, labels: Array, painted: Array, goal: Array) -> float:
    """Half of each: real images are [label, 0], painted ones [target, 1]."""
    true = np.array([[*row, 0.0] for row in labels])
    false = np.array([[*row, 1.0] for row in goal])
    return (mean_square(real, true) + mean_square(painted, false)) / 2
