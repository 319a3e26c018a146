"""The defenses' losses in their plainest form: item by item, float64; nothing imports ``saat``."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tests import reference

Array = np.ndarray


class AliasedBatch(NamedTuple):
    """What one batch of the reference implementation's loop computes.

    ``guide``, ``target``: mainstay sums (B, K) of the inner maximisation and of the loss; their
    signs are the codes. ``shared``: the storage after the batch.
    """

    guide: Array
    target: Array
    original: float
    shared: Array


def aliased_epoch(
    sign_codes: Array,
    labels: Array,
    batches: Sequence[Array],
    features: Sequence[Array],
    weights: str,
) -> list[AliasedBatch]:
    """One epoch of the reference implementations, where two tensors are one by accident.

    ``U_ben.data = train_code.data; model.U.data = train_code.data``: mainstay codes and the
    objective (DPH) read and write the same (N, K) tensor, first filled with sign codes. SAAT writes
    the batch's relaxed codes with the objective, after the mainstay codes of the loss; CgAT
    (``weights`` "cgat") in its loop, before them.
    """
    shared = np.array(sign_codes, dtype=np.float64)
    out = []
    for index, f in zip(batches, features, strict=True):
        relaxed = np.tanh(np.asarray(f, dtype=np.float64))
        guide = mainstay_sums(index, shared, labels, weights)
        shared[index] = reference.sign(f)
        if weights == "cgat":
            shared[index] = relaxed
        target = mainstay_sums(index, shared, labels, weights)
        original = reference.dph_loss(f, labels[index], index, {"memory": shared}, labels)
        shared[index] = relaxed
        out.append(AliasedBatch(guide, target, original, shared.copy()))
    return out


def mainstay_sums(index: Array, codes: Array, labels: Array, weights: str) -> Array:
    """Of the training rows ``index`` under their own labels."""
    return np.stack([reference.mainstay_sum(labels[i], codes, labels, weights) for i in index])


def rates(lr: float, epochs: int, batches: int) -> list[float]:
    """The learning rate of every iteration of SAAT's, CgAT's and ATRDH's reference implementations.

    Milestones are half and three quarters of the iterations as floating-point numbers. The count of
    finished steps is looked up among them, so one that is no whole number never comes.
    """
    milestones = [epochs * batches / 2, epochs * batches * 3 / 4]
    rate, out = lr, []
    for finished in range(1, epochs * batches + 1):
        out.append(rate)
        if finished in milestones:
            rate *= 0.1
    return out


def atrdh_adversarial(attacked: Array, labels: Array, memory: Array, train_labels: Array) -> float:
    """Σ (u'·U_j/K − S)² / (N·B)."""
    total = 0.0
    for u, y in zip(np.tanh(np.asarray(attacked, dtype=np.float64)), labels, strict=True):
        for other, label in zip(memory, train_labels, strict=True):
            target = 1.0 if reference.relevant(y, label) else -1.0
            total += (float(np.dot(u, other)) / len(u) - target) ** 2
    return total / (len(attacked) * len(memory))


def crdat_loss(
    attacked: Array,
    attacked_hidden: Array,
    clean: Array,
    clean_hidden: Array,
    weights: Sequence[float],
) -> float:
    """−w₀·mean(tanh f(x')·sign f_T(x)) + w₁·mean(1 − cos(φ(x'), φ_T(x)))."""
    code, feature = 0.0, 0.0
    for f, teacher in zip(attacked, clean, strict=True):
        for value, bit in zip(f, reference.sign(teacher), strict=True):
            code -= math.tanh(value) * bit / attacked.size
    for a, b in zip(attacked_hidden, clean_hidden, strict=True):
        cosine = float(np.dot(a, b)) / math.sqrt(float(np.dot(a, a)) * float(np.dot(b, b)))
        feature += (1 - cosine) / len(attacked)
    return weights[0] * code + weights[1] * feature


def direction(f: Array) -> Array:
    """tanh f, divided by its length."""
    relaxed = np.tanh(np.asarray(f, dtype=np.float64))
    return relaxed / math.sqrt(float(np.dot(relaxed, relaxed)))


def distance(f: Array, g: Array) -> float:
    """Between the directions of the relaxed codes of pre-tanh features (K,)."""
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(direction(f), direction(g), strict=True)))


def all_distances(a: Array, b: Array) -> list[float]:
    """Row by row."""
    return [distance(*pair) for pair in zip(a, b, strict=True)]


def triplet_loss(near: Sequence[float], far: Sequence[float], margin: float) -> float:
    """Mean of max(0, d_ap − d_an + γ)."""
    terms = [max(0.0, p - n + margin) for p, n in zip(near, far, strict=True)]
    return sum(terms) / len(terms)


def hm_term(
    benign: tuple[Array, Array], attacked: tuple[Array, Array, Array], margin: float, ics: float
) -> tuple[float, float]:
    """L_T(a', p', n'; γ), and the same + ics·L_T(a, a', p; 0)."""
    anchors, positives, negatives = attacked
    loss = triplet_loss(
        all_distances(anchors, positives), all_distances(anchors, negatives), margin
    )
    moved, partners = all_distances(benign[0], anchors), all_distances(*benign)
    return loss, loss + ics * triplet_loss(moved, partners, 0.0)


def hm_inner(attacked: tuple[Array, Array, Array], previous: float, margin: float) -> float:
    """Σ max(0, H_D − H)², H_D = −γ·min(u, l)/u with u = γ."""
    wanted, total = -margin * min(margin, previous) / margin, 0.0
    for a, p, n in zip(*attacked, strict=True):
        total += max(0.0, wanted - (distance(a, p) - distance(a, n))) ** 2
    return total


def collapseness(away: Sequence[float], sharpness: float) -> float:
    """Σ w·d/Σ w, w = e^{κ(d − max d)}."""
    weights = [math.exp(sharpness * (d - max(away))) for d in away]
    return sum(w * d for w, d in zip(weights, away, strict=True)) / sum(weights)


def nearer_half(away: Sequence[float]) -> float:
    """Mean of the smaller half."""
    half = sorted(away)[: max(1, len(away) // 2)]
    return sum(half) / len(half)


def ca_tride_candidates(near: Sequence[float], far: Sequence[float], sharpness: float) -> float:
    """What the attack on candidates makes small."""
    return max(0.0, collapseness(far, sharpness) - collapseness(near, sharpness))


def ca_tride_anchors(
    near: Sequence[float], far: Sequence[float], moved: Sequence[float], sharpness: float
) -> float:
    """What the attack on anchors makes small; ``moved`` are distances to where they were."""
    gap = collapseness(far, sharpness) - collapseness(near, sharpness)
    left = max(0.0, nearer_half(far) - sum(moved) / len(moved))
    return max(0.0, -gap) + math.exp(-max(0.0, gap)) * left


def ca_tride_term(near: Sequence[float], far: Sequence[float], margin: float) -> float:
    """L_T + ½·max(0, N(d_ap) − N(d_an) + 0.04)."""
    halves = max(0.0, nearer_half(near) - nearer_half(far) + 0.04)
    return triplet_loss(near, far, margin) + halves / 2


def shifted(image: Array, top: int, left: int, shift: int, mirrored: bool) -> Array:
    """A crop of an image (3, H, W) out of itself mirrored at its borders, pixel by pixel."""
    _, height, width = image.shape

    def inside(position: int, size: int) -> int:
        position = abs(position)
        return 2 * (size - 1) - position if position >= size else position

    out = np.empty_like(image)
    for row in range(height):
        for column in range(width):
            source = width - 1 - column if mirrored else column
            y = inside(top - shift + row, height)
            x = inside(left - shift + source, width)
            out[:, row, column] = image[:, y, x]
    return out
