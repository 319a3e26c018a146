"""The losses of the hashing objectives in their plainest form, pair by pair and bit by bit.

``state`` is the objective's state before the batch. Nothing here imports ``saat``.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from tests.reference import Array, dph_loss, relevant

State = Mapping[str, Array]


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def refreshed_memory(relaxed: Array, index: Array, state: State) -> Array:
    memory = np.array(state["memory"], dtype=np.float64)
    for row, position in enumerate(index):
        memory[position] = relaxed[row]
    return memory


def labelled_rows(labels: Array) -> list[int]:
    return [row for row, y in enumerate(labels) if any(value == 1 for value in y)]


def mean(values: list[float]) -> float:
    """0 of nothing."""
    return sum(values) / len(values) if values else 0.0


# Pairwise objectives


def dpsh_loss(
    features: Array, labels: Array, index: Array, state: State, train_labels: Array
) -> float:
    """θ = u·U_j/2; Σ (softplus θ − s θ)/(N·B) + 50·‖sign u − u‖²/(N·B)."""
    relaxed = np.tanh(np.asarray(features, dtype=np.float64))
    memory = refreshed_memory(relaxed, index, state)
    likelihood, error = 0.0, 0.0
    for u, y in zip(relaxed, labels, strict=True):
        for other, label in zip(memory, train_labels, strict=True):
            theta = sum(float(a) * float(b) for a, b in zip(u, other, strict=True)) / 2
            likelihood += softplus(theta) - (theta if relevant(y, label) else 0.0)
        for value in u:
            error += ((1.0 if value >= 0 else -1.0) - float(value)) ** 2
    return (likelihood + 50 * error) / (len(memory) * len(relaxed))


def hashnet_scale(iteration: int) -> float:
    """√(1 + 0.005·it) of the last iteration that is a multiple of 200."""
    while iteration % 200:
        iteration -= 1
    return math.sqrt(1 + 0.005 * iteration)


def hashnet_codes(features: Array, state: State) -> Array:
    scale = hashnet_scale(int(state["iterations"]))
    return np.tanh(scale * np.asarray(features, dtype=np.float64))


def hashnet_loss(
    features: Array, labels: Array, index: Array, state: State, train_labels: Array
) -> float:
    """θ = (10/K) u·U_j; softplus θ − s θ, mean over positive pairs + mean over negative pairs."""
    relaxed = hashnet_codes(features, state)
    memory = refreshed_memory(relaxed, index, state)
    positive: list[float] = []
    negative: list[float] = []
    for u, y in zip(relaxed, labels, strict=True):
        for other, label in zip(memory, train_labels, strict=True):
            theta = 10 / len(u) * sum(float(a) * float(b) for a, b in zip(u, other, strict=True))
            if relevant(y, label):
                positive.append(softplus(theta) - theta)
            else:
                negative.append(softplus(theta))
    return mean(positive) + mean(negative)


def hswd_loss(
    features: Array, labels: Array, index: Array, state: State, train_labels: Array
) -> float:
    """HashNet + 0.1·Σ_k ‖sort u_k − sort r_k‖²/(B·K); ``state["flips"]`` are the ±1 codes r."""
    relaxed = hashnet_codes(features, state)
    distance = 0.0
    for bit in range(relaxed.shape[1]):
        ours, theirs = sorted(relaxed[:, bit]), sorted(state["flips"][:, bit])
        distance += sum((float(a) - float(b)) ** 2 for a, b in zip(ours, theirs, strict=True))
    pairwise = hashnet_loss(features, labels, index, state, train_labels)
    return pairwise + 0.1 * distance / relaxed.size


def hswd_mean_distance(relaxed: Array) -> float:
    """Σ_k E‖sort u_k − sort r_k‖²/(B·K) over fair flips r: of B bits, a binomial number is −1."""
    rows, bits = relaxed.shape
    total = 0.0
    for bit in range(bits):
        ours = sorted(relaxed[:, bit])
        for negatives in range(rows + 1):
            chance = math.comb(rows, negatives) / 2**rows
            for rank, value in enumerate(ours):
                total += chance * (float(value) - (-1.0 if rank < negatives else 1.0)) ** 2
    return total / relaxed.size


# Objectives with a target per class; rows without a label do not count


def label_target(y: Array, centres: Array, ties: Array) -> list[float]:
    """Per bit the majority of the label's centres; ties as in one fixed code."""
    target = []
    for bit, tie in enumerate(ties):
        votes = sum(float(centre[bit]) for centre, has in zip(centres, y, strict=True) if has == 1)
        target.append(float(tie) if votes == 0 else math.copysign(1.0, votes))
    return target


def csq_loss(
    features: Array, labels: Array, index: Array, state: State, train_labels: Array
) -> float:
    """BCE((u+1)/2, (h+1)/2) + 0.05·mean(|u|−1)²."""
    del index, train_labels
    terms: list[float] = []
    for row in labelled_rows(labels):
        target = label_target(labels[row], state["centres"], state["ties"])
        for value, bit in zip(np.asarray(features[row], dtype=np.float64), target, strict=True):
            u = math.tanh(value)
            p, h = (u + 1) / 2, (bit + 1) / 2
            entropy = -(h * math.log(p) + (1 - h) * math.log(1 - p))
            terms.append(entropy + 0.05 * (abs(u) - 1) ** 2)
    return mean(terms)


def dpn_loss(
    features: Array, labels: Array, index: Array, state: State, train_labels: Array
) -> float:
    """Mean of (1 − u·t)₊."""
    del index, train_labels
    terms: list[float] = []
    for row in labelled_rows(labels):
        target = label_target(labels[row], state["centres"], state["ties"])
        for value, bit in zip(np.asarray(features[row], dtype=np.float64), target, strict=True):
            terms.append(max(1 - math.tanh(value) * bit, 0.0))
    return mean(terms)


def ortho_loss(
    features: Array, labels: Array, index: Array, state: State, train_labels: Array
) -> float:
    """Logits 8(cos(BN(u), codebook) − 0.2 y), cross-entropy with y/|y|₁; a lone row takes the
    running statistics."""
    del index, train_labels
    rows = labelled_rows(labels)
    relaxed = np.tanh(np.asarray(features, dtype=np.float64))[rows]
    if len(rows) > 1:
        centre, spread = relaxed.mean(0), relaxed.var(0)
    else:
        centre, spread = state["norm.running_mean"], state["norm.running_var"]
    normed = (relaxed - centre) / np.sqrt(spread + 1e-5)
    normed = normed * state["norm.weight"] + state["norm.bias"]
    terms: list[float] = []
    for v, y in zip(normed, labels[rows], strict=True):
        logits = []
        for codeword, has in zip(state["codebook"], y, strict=True):
            lengths = math.sqrt(float(v @ v)) * math.sqrt(float(codeword @ codeword))
            logits.append(8 * (float(v @ codeword) / lengths - 0.2 * float(has)))
        log_total = math.log(sum(math.exp(logit) for logit in logits))
        share = 1 / sum(int(has) for has in y)
        terms.append(
            -sum(share * (z - log_total) for z, has in zip(logits, y, strict=True) if has == 1)
        )
    return mean(terms)


# objective → loss(features, labels, index, state before the batch, train_labels)
OBJECTIVE_LOSSES: dict[str, Callable[[Array, Array, Array, State, Array], float]] = {
    "dph": dph_loss,
    "dpsh": dpsh_loss,
    "hashnet": hashnet_loss,
    "csq": csq_loss,
    "dpn": dpn_loss,
    "ortho": ortho_loss,
    "hswd": hswd_loss,
}
