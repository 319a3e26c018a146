"""The losses of the attacks that learn, in their plainest form: pair by pair, bit by bit.

Nothing here imports ``saat``.
"""

import math

import numpy as np

from tests.reference import Array, expected_average_precision, hamming, relevant
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


# The all-points generator


def contrast_loss(relaxed: Array, goal: Array, codes: Array, labels: Array) -> float:
    """Mean over wanted codes of −log(e^.2c / (e^.2c + Σ over the others)), c the cosine."""
    total = 0.0
    for u, y in zip(relaxed, goal, strict=True):
        cosine = [
            float(np.dot(u, c)) / math.sqrt(float(np.dot(u, u)) * float(np.dot(c, c)))
            for c in codes
        ]
        wanted = [bool(relevant(y, other)) for other in labels]
        others = sum(math.exp(0.2 * c) for c, on in zip(cosine, wanted, strict=True) if not on)
        terms = [
            -math.log(math.exp(0.2 * c) / (math.exp(0.2 * c) + others))
            for c, on in zip(cosine, wanted, strict=True)
            if on
        ]
        total += sum(terms) / len(terms) if terms else 0.0
    return total / len(relaxed)


# TTA-GAN


def anchor_loss(
    anchor: Array, label: Array, codes: Array, labels: Array, weighing: Array | None = None
) -> float:
    """log Σ_pos exp(−a_p s) + log Σ_neg exp(a_n s) of one anchor code; an empty sum is left out."""
    s = similarities(anchor[None], codes)[0]
    fixed = s if weighing is None else similarities(weighing[None], codes)[0]
    pulled, pushed = [], []
    for value, weight, other in zip(s, fixed, labels, strict=True):
        if relevant(label, other):
            pulled.append(math.exp(-max(2 - weight, 0) * value))
        else:
            pushed.append(math.exp(max(weight + 2, 0) * value))
    return sum(math.log(sum(terms)) for terms in (pulled, pushed) if terms)


def turned(image: Array, degrees: float) -> Array:
    """A square image (3, S, S) turned counterclockwise: nearest pixels, zeros outside."""
    side, angle = image.shape[1], math.radians(degrees)
    centre, out = (side - 1) / 2, np.zeros_like(image)
    for row, column in np.ndindex(side, side):
        right, up = column - centre, centre - row
        # Turned back, to where the pixel comes from.
        from_right = right * math.cos(angle) + up * math.sin(angle)
        from_up = up * math.cos(angle) - right * math.sin(angle)
        y, x = round(centre - from_up), round(centre + from_right)
        if 0 <= y < side and 0 <= x < side:
            out[:, row, column] = image[:, y, x]
    return out


def views_loss(features: list[Array], codes: Array) -> float:
    """Mean over views of 1 − mean(u·a)."""
    losses = [1 - float((np.tanh(f) * codes).mean()) for f in features]
    return sum(losses) / len(losses)


# SS-TUAA


def masked_distance(relaxed: Array, anchor: Array) -> float:
    """1 − Σ m·a·u / Σ m over bits with |a − u| > 0.3, mean over images."""
    losses = []
    for u in relaxed:
        left = [float(a * v) for a, v in zip(anchor, u, strict=True) if abs(a - v) > 0.3]
        losses.append(1 - (sum(left) / len(left) if left else 0.0))
    return sum(losses) / len(losses)


def layer_distance(perturbed: list[Array], alone: list[Array]) -> float:
    """Mean over layers and images of 1 − cos; a layer holds (B, n) and (n,) values."""
    losses = []
    for images, only in zip(perturbed, alone, strict=True):
        for one in images:
            length = math.sqrt(float(np.dot(one, one)) * float(np.dot(only, only)))
            losses.append(1 - float(np.dot(one, only)) / length)
    return sum(losses) / len(losses)


def best_code(
    label: Array, codes: Array, labels: Array, train_codes: Array, train_labels: Array
) -> list[list[int]]:
    """The codes of items with the label that rank the training set best; there may be several."""
    found = []
    for code, other in zip(codes, labels, strict=True):
        if relevant(label, other):
            distances = [hamming(code, c) for c in train_codes]
            hits = [bool(relevant(label, y)) for y in train_labels]
            ap = expected_average_precision(distances, hits, len(hits))
            found.append((ap, [int(bit) for bit in code]))
    highest = max(ap for ap, _ in found)
    return [code for ap, code in found if ap > highest - 1e-12]
