"""The formulas in their plainest form: one query at a time, item by item, float64.

Slow on purpose and free of tricks; the fast code in ``saat`` must equal it. Codes are ±1 and labels
0/1, as numpy arrays; nothing here imports ``saat``.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

Array = np.ndarray


def sign(values: Array) -> Array:
    return np.where(np.asarray(values, dtype=np.float64) >= 0, 1.0, -1.0)


def relevant(a: Array, b: Array) -> bool:
    """Two items are relevant to each other when they share a label."""
    return any(x == 1 and y == 1 for x, y in zip(a, b, strict=True))


def hamming(a: Array, b: Array) -> int:
    return sum(int(x != y) for x, y in zip(a, b, strict=True))


# Mainstay codes (Theorem 1, Eq. 10)


def mainstay_sum(label: Array, train_codes: Array, train_labels: Array, weights: str) -> Array:
    """Σ_positives w_i b_i − Σ_negatives w_j b_j of one label; its sign is the mainstay code.

    Rows without members drop out: no positives, no first sum; no negatives, no second sum.
    """
    y = np.asarray(label, dtype=np.float64)
    items = np.asarray(train_labels, dtype=np.float64)
    codes = np.asarray(train_codes, dtype=np.float64)
    shared = (items * y).sum(1)
    positive = np.flatnonzero(shared > 0)
    negative = np.flatnonzero(shared == 0)
    total = np.zeros(codes.shape[1])
    if len(positive):
        lengths = np.sqrt((items[positive] ** 2).sum(1)) * math.sqrt((y**2).sum())
        cosine = shared[positive] / lengths
        if weights == "saat":
            w = cosine / cosine.sum()
        elif weights == "eq11":
            w = cosine / len(positive)
        elif weights == "cgat":
            w = np.ones(len(positive)) / len(positive)
        else:
            raise ValueError(weights)
        total += (w[:, None] * codes[positive]).sum(0)
    if len(negative):
        total -= codes[negative].sum(0) / len(negative)
    return total


def mainstay_code(label: Array, train_codes: Array, train_labels: Array, weights: str) -> Array:
    """The sign of :func:`mainstay_sum` without rounding: a sum that is exactly 0 gives +1.

    Codes are ±1. The sum is multiplied by both denominators.
    """
    y = [int(v) for v in label]
    items = [[int(v) for v in row] for row in train_labels]
    shared = [sum(a * b for a, b in zip(y, d, strict=True)) for d in items]
    positive = [i for i, s in enumerate(shared) if s > 0]
    negative = [i for i, s in enumerate(shared) if s == 0]
    code = []
    for bit in range(np.shape(train_codes)[1]):
        b = [int(row[bit]) for row in train_codes]
        away, others = sum(b[j] for j in negative), max(len(negative), 1)
        terms: list[tuple[Fraction, int]] = []  # Σ factor/√integer
        for i in positive:
            if weights == "saat":  # whose denominator is Σ of these cosines
                terms.append((Fraction(shared[i] * (others * b[i] - away)), sum(items[i])))
            elif weights == "eq11":
                terms.append((Fraction(shared[i] * others * b[i]), sum(y) * sum(items[i])))
            else:
                terms.append((Fraction(others * b[i]), 1))
        if weights != "saat" or not positive:
            terms.append((Fraction(-max(len(positive), 1) * away), 1))
        code.append(sign_over_roots(terms))
    return np.array(code)


def sign_over_roots(terms: Iterable[tuple[Fraction, int]]) -> float:
    """The sign of Σ f/√m; +1 where the multiples of every irreducible root cancel."""
    factors: dict[int, Fraction] = {}  # of √r, r without a square factor
    for factor, m in terms:
        square = max(a for a in range(1, m + 1) if m % (a * a) == 0)
        root = m // square**2
        factors[root] = factors.get(root, Fraction(0)) + factor * Fraction(square, m)
    with localcontext() as context:
        context.prec = 60
        total = sum(
            Decimal(factor.numerator) / Decimal(factor.denominator) * Decimal(root).sqrt()
            for root, factor in factors.items()
        )
    return -1.0 if total < 0 else 1.0


# Average precision


def average_precision_of_order(hits: Sequence[bool]) -> tuple[float, int]:
    """(Σ precision(i)·rel(i), number of relevant items) of a ranking already cut."""
    gain, found = 0.0, 0
    for rank, hit in enumerate(hits, start=1):
        if hit:
            found += 1
            gain += found / rank
    return gain, found


def stable_average_precision(
    distances: Sequence[int], relevance: Sequence[bool], top_k: int
) -> float:
    order = sorted(range(len(distances)), key=lambda item: (distances[item], item))
    gain, found = average_precision_of_order([relevance[item] for item in order[:top_k]])
    return gain / found if found else 0.0


def expected_average_precision(
    distances: Sequence[int], relevance: Sequence[bool], top_k: int
) -> float:
    """Per block of n items at equal distance, r relevant, after N₀ items with R₀ relevant.

    Σ_i (r/n)(R₀ + 1 + (i−1)(r−1)/(n−1))/(N₀+i) cut at top_k, over E[relevant within top_k].
    """
    gain, found = 0.0, 0.0
    before, relevant_before = 0, 0
    for distance in sorted(set(distances)):
        block = [rel for d, rel in zip(distances, relevance, strict=True) if d == distance]
        n, r = len(block), sum(block)
        for i in range(1, n + 1):
            if before + i > top_k:
                break
            slope = (i - 1) * (r - 1) / (n - 1) if n > 1 else 0.0
            gain += r / n * (relevant_before + 1 + slope) / (before + i)
            found += r / n
        before += n
        relevant_before += r
    return gain / found if found > 0 else 0.0


def average_precision_over_orders(
    orders: Iterable[Sequence[int]], relevance: Sequence[bool], top_k: int
) -> float:
    """E[Σ precision·rel] / E[relevant within top_k] over the given equally likely orders."""
    gain, found = 0.0, 0
    for order in orders:
        one_gain, one_found = average_precision_of_order([relevance[i] for i in order[:top_k]])
        gain += one_gain
        found += one_found
    return gain / found if found else 0.0


def orders_of_ties(distances: Sequence[int]) -> Iterable[Sequence[int]]:
    """Every order that sorts by distance: all permutations within each block of ties."""
    blocks = [
        itertools.permutations([i for i, d in enumerate(distances) if d == distance])
        for distance in sorted(set(distances))
    ]
    for parts in itertools.product(*(list(block) for block in blocks)):
        yield [item for part in parts for item in part]


def expected_precision_at(distances: Sequence[int], relevance: Sequence[bool], n: int) -> float:
    """Mean over all orders of the share of relevant items among the first ``n``."""
    orders = list(orders_of_ties(distances))
    return sum(relevance[i] for order in orders for i in order[:n]) / (n * len(orders))


# Training losses


def dph_loss(
    features: Array, labels: Array, index: Array, state: Mapping[str, Array], train_labels: Array
) -> float:
    """Σ (u·U_j/K − (2s−1))² / (N·B); the batch's rows of U are refreshed first."""
    relaxed = np.tanh(np.asarray(features, dtype=np.float64))
    memory = np.array(state["memory"], dtype=np.float64)
    for row, position in enumerate(index):
        memory[position] = relaxed[row]
    total = 0.0
    for u, y in zip(relaxed, labels, strict=True):
        for other, label in zip(memory, train_labels, strict=True):
            target = 1.0 if relevant(y, label) else -1.0
            total += (float(np.dot(u, other)) / len(u) - target) ** 2
    return total / (len(relaxed) * len(memory))


def saat_loss(
    attacked_features: Array, mainstay: Array, original: float, lambda_: float, mu: float
) -> float:
    """Eq. 20: −λ·mean(u'·b) + μ·mean((u' − sign u')²) + L_ori, means over batch and bits."""
    adversarial, quantisation = 0.0, 0.0
    relaxed = np.tanh(np.asarray(attacked_features, dtype=np.float64))
    for u, b in zip(relaxed, mainstay, strict=True):
        for value, bit in zip(u, b, strict=True):
            adversarial -= value * bit
            quantisation += (value - (1.0 if value >= 0 else -1.0)) ** 2
    return lambda_ * adversarial / relaxed.size + mu * quantisation / relaxed.size + original


# Perceptibility


def perceptibility(images: Array, adversarial: Array) -> dict[str, float]:
    """Pixel norms, and the matrix norms of every channel as the papers report them."""
    out = dict.fromkeys(("linf", "l2", "l1", "matrix_linf", "matrix_l2", "mse"), 0.0)
    for image, moved in zip(images, adversarial, strict=True):
        change = (moved.astype(np.float64) - image.astype(np.float64)) / 255
        out["linf"] = max(out["linf"], float(np.abs(change).max()))
        out["l2"] += math.sqrt(float((change**2).sum())) / len(images)
        out["l1"] += float(np.abs(change).sum()) / len(images)
        out["mse"] += float((change**2).mean()) / len(images)
        for channel in change:
            rows = [sum(abs(float(value)) for value in row) for row in channel]
            out["matrix_linf"] += max(rows) / (3 * len(images))
            out["matrix_l2"] += float(np.linalg.svd(channel)[1].max()) / (3 * len(images))
    return out


def pigeonhole_interval(
    table: Array, confidence: float, seed: int, resamples: int
) -> tuple[float, float]:
    """Percentile bootstrap of a mean over seeds (rows) and queries (columns), both drawn."""
    rng = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        seeds = rng.integers(len(table), size=len(table))
        queries = rng.integers(len(table[0]), size=len(table[0]))
        means.append(math.fsum(table[s][q] for s in seeds for q in queries) / table.size)
    tail = (1 - confidence) / 2
    return float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))
