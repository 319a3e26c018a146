"""Attacks as their papers print them: one query, float64, differentiated by differences.

The network is one linear layer f = W x + c on the flattened image, features per bit. Nothing here
imports ``saat``.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

Array = np.ndarray
Loss = Callable[[Array], float]
Gradient = Callable[[Array], Array]


def alpha(step: int, steps: int) -> float:
    """α of tanh(α f): a value per tenth of the iterations."""
    values = [0.1] * 5 + [0.2, 0.3, 0.5, 0.7, 1.0]
    return values[int(10 * step / steps)]


def numerical_gradient(loss: Loss, x: Array, width: float = 1e-5) -> Array:
    """Central differences."""
    gradient = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        moved = np.zeros_like(x)
        moved[place] = width
        gradient[place] = (loss(x + moved) - loss(x - moved)) / (2 * width)
    return gradient


def code_loss(weight: Array, offset: Array, code: Array, a: float) -> Loss:
    """(1/K) bᵀ tanh(α f(x)), which an untargeted attack descends."""

    def loss(x: Array) -> float:
        features = weight @ x.reshape(-1) + offset
        terms = [float(b) * math.tanh(a * f) for b, f in zip(code, features, strict=True)]
        return sum(terms) / len(terms)

    return loss


def clip(x: Array, image: Array, eps: float, norm: str = "linf") -> Array:
    """Nearest point of the ball, then the image range."""
    if norm == "linf":
        nearest = np.clip(x, image - eps, image + eps)
    else:
        length = math.sqrt(float(((x - image) ** 2).sum()))
        nearest = image + (x - image) * min(1.0, eps / max(length, 1e-300))
    inside: Array = np.clip(nearest, 0, 1)
    return inside


# BIM, DI, NI, SI-NI, VMI in L∞ and L2

# Sees (x, g, step).
Sight = Callable[[Array, Array, int], Array]


def momentum_descent(
    image: Array,
    gradient: Sight,
    decay: float,
    step_size: float,
    eps: float,
    steps: int,
    norm: str = "linf",
) -> Array:
    """g ← μ g + ∇/mean|∇|, then a step of size η in the norm against g, and the projection."""
    x, g = image.copy(), np.zeros_like(image)
    for step in range(steps):
        slope = gradient(x, g, step)
        g = decay * g + slope / np.abs(slope).mean()
        direction = np.sign(g) if norm == "linf" else g / math.sqrt(float((g**2).sum()))
        x = clip(x - step_size * direction, image, eps, norm)
    return x


def looking_ahead(
    at: Callable[[Array, int], Array],
    decay: float,
    step_size: float,
    norm: str,
    project: Callable[[Array], Array] = lambda x: x,
) -> Sight:
    """NI: the gradient at x − μ η g (in L2 divided by √n, the length of n ones)."""

    def gradient(x: Array, g: Array, step: int) -> Array:
        length = 1.0 if norm == "linf" else math.sqrt(x.size)
        return at(project(x - decay * step_size * g / length), step)

    return gradient


def variance_tuned(
    at: Callable[[Array, int], Array], noise: Callable[[int, int], Array], count: int
) -> Sight:
    """VMI: ∇(x) + v, and v ← mean ∇(x + r_i) − ∇(x) for the next step."""
    variance: list[Array | float] = [0.0]

    def gradient(x: Array, g: Array, step: int) -> Array:
        here = at(x, step)
        tuned = here + variance[-1]
        nearby = [at(x + noise(step, number), step) for number in range(count)]
        variance.append(sum(nearby) / count - here)
        return tuned

    return gradient


def scaled_gradient(losses: Loss, x: Array, scales: int) -> Array:
    """SI: gradient of (1/m) Σ_i L(x/2ⁱ)."""
    return numerical_gradient(lambda p: sum(losses(p / 2**i) for i in range(scales)) / scales, x)


def cumulative_gradient(losses: Loss, x: Array, scales: int) -> Array:
    """The reference implementation's: the image is divided again and again, by 1, 2, 4, 8, …"""
    total, scaled = np.zeros_like(x), x
    for i in range(scales):
        scaled = scaled / 2**i
        total += numerical_gradient(losses, scaled)
    return total / scales


def resized_and_padded(image: Array, size: int, top: int, left: int) -> Array:
    """DI: a square image (3, S, S) → ``size``² pixels by bilinear interpolation, in zeros.

    Pixel centres at ½, 1½, …; the border's own value beyond the outermost centres.
    """
    full = image.shape[1]
    out = np.zeros_like(image)
    for channel, row, column in itertools.product(range(3), range(size), range(size)):
        y = min(max((row + 0.5) * full / size - 0.5, 0), full - 1)
        x = min(max((column + 0.5) * full / size - 0.5, 0), full - 1)
        upper, lower = math.floor(y), min(math.floor(y) + 1, full - 1)
        near, far = math.floor(x), min(math.floor(x) + 1, full - 1)
        v, h = y - upper, x - near
        plane = image[channel]
        above = (1 - h) * plane[upper, near] + h * plane[upper, far]
        below = (1 - h) * plane[lower, near] + h * plane[lower, far]
        out[channel, top + row, left + column] = (1 - v) * above + v * below
    return out


# HAG


def hag_mask(u: Array, h: Array) -> list[bool]:
    """Bits that still have their old side: |u − sign h| < 1.5, h the benign relaxed code."""
    return [abs(a - (1.0 if b >= 0 else -1.0)) < 1.5 for a, b in zip(u, h, strict=True)]


def hag_loss(u: Array, h: Array) -> float:
    """(Σ mask·u·h / m + 1)² + (mean(mask·u))² of one query; without a bit left, 1."""
    left = [(float(a), float(b)) for a, b, on in zip(u, h, hag_mask(u, h), strict=True) if on]
    agreement = sum(a * b for a, b in left) / len(left) if left else 0.0
    return (agreement + 1) ** 2 + (sum(a for a, _ in left) / len(u)) ** 2


def hag_slope(u: Array, h: Array) -> Array:
    """Its derivative with respect to every bit of u; the mask is a constant."""
    mask = hag_mask(u, h)
    left = [(float(a), float(b)) for a, b, on in zip(u, h, mask, strict=True) if on]
    slope = np.zeros(len(u))
    for k, on in enumerate(mask):
        if on:
            agreement = sum(a * b for a, b in left) / len(left)
            mean = sum(a for a, _ in left) / len(u)
            slope[k] = 2 * (agreement + 1) * float(h[k]) / len(left) + 2 * mean / len(u)
    return slope


def hag_descent(
    images: Array, weight: Array, offset: Array, eps: float, steps: int, rate: float = 100.0
) -> Array:
    """SGD with momentum 0.9 on the mean of the loss over a batch of images (B, pixels).

    One layer, u = tanh(α (W x + c)); h is taken at the images themselves, with α = 1.
    """
    benign = np.tanh(images @ weight.T + offset)
    x, velocity = images.copy(), np.zeros_like(images)
    for step in range(steps):
        slope = np.zeros_like(images)
        for row, point in enumerate(x):
            u = np.tanh(alpha(step, steps) * (weight @ point + offset))
            inner = hag_slope(u, benign[row]) * (1 - u**2) * alpha(step, steps)
            slope[row] = inner @ weight / len(images)
        velocity = 0.9 * velocity + slope
        x = clip(x - rate * velocity, images, eps)
    return x


# SDHA


def sdha_loss(
    x: Array,
    image: Array,
    features: Array,
    code: Array,
    codes: Sequence[Array],
    sign_of: Array,
    targeted: bool,
) -> float:
    """Mean squared error plus (25/K) times the surrogate, over the relevant codes one by one.

    Of one query; the reference implementation descends its mean over a batch.

    ``sign_of`` are the signs of q, constants in the weights. Without relevant codes the query's
    own ``code`` is the only one.
    """
    sigma, z = (10.0, -0.3) if targeted else (5.0, 0.5)
    bits = len(features)
    found = 0.0
    relevant = list(codes) or [code]
    for r in relevant:
        distance = 0.0
        for q, bit in zip(features, r, strict=True):
            gate = 1 / (1 + math.exp(-sigma * q * bit))
            if targeted:
                distance += 0.5 * abs(q - bit) * (1 - gate)
            else:
                distance += 0.5 * abs(q - bit) * gate + 1 - gate
        hamming = sum(int(a != b) for a, b in zip(sign_of, r, strict=True))
        found += distance * (hamming + 1e-8) ** -z
    surrogate = found / len(relevant) if targeted else -found / len(relevant)
    return float(((x - image) ** 2).mean()) + 25 / bits * surrogate


def adam_descent(
    image: Array, gradient: Callable[[Array, int], Array], rate: float, eps: float, steps: int
) -> Array:
    """Adam with β = (0.9, 0.999), then the L∞ ball and [0, 1]."""
    x, m, v = image.copy(), np.zeros_like(image), np.zeros_like(image)
    for step in range(steps):
        slope = gradient(x, step)
        m = 0.9 * m + 0.1 * slope
        v = 0.999 * v + 0.001 * slope**2
        m_hat, v_hat = m / (1 - 0.9 ** (step + 1)), v / (1 - 0.999 ** (step + 1))
        x = clip(x - rate * m_hat / (np.sqrt(v_hat) + 1e-8), image, eps)
    return x


def mean_relevant_code(label: Array, code: Array, codes: Array, labels: Array) -> Array:
    """Sign of the sum of the codes that share a label; the own code where none does."""
    shared = [c for c, y in zip(codes, labels, strict=True) if (np.asarray(label) * y).sum() > 0]
    if not shared:
        return np.asarray(code, dtype=np.float64)
    return np.where(np.sum(shared, axis=0, dtype=np.int64) >= 0, 1.0, -1.0)


# P2P, DHTA


def anchor_code(label: Array, code: Array, codes: Array, labels: Array, count: int) -> Array:
    """Votes of the first ``count`` codes with exactly this label, bit by bit."""
    voters = [c for c, y in zip(codes, labels, strict=True) if list(y) == list(label)][:count]
    if not voters or not any(label):
        return np.asarray(code, dtype=np.float64)
    return np.array(
        [1.0 if sum(int(c[k]) for c in voters) >= 0 else -1.0 for k in range(len(code))]
    )


# PTA


def pta_items(
    target: Array, own: Array, labels: Array, positives: int
) -> tuple[list[int], list[int], int]:
    """What positives and negatives are drawn from, and how many negatives are drawn."""

    def share(a: Array, b: Array) -> bool:
        return any(x and y for x, y in zip(a, b, strict=True))

    wanted = [i for i, y in enumerate(labels) if share(target, y)]
    count = 4 * positives * max(int(sum(own)), 1)
    others = [i for i, y in enumerate(labels) if share(own, y) and not share(target, y)]
    if len(others) < count:
        others = [i for i, y in enumerate(labels) if not share(target, y)]
    return wanted, others, count


def pta_loss(features: Array, positives: Sequence[Array], negatives: Sequence[Array]) -> float:
    """1 − mean over positives i of rank among positives / rank among all.

    A rank is 1 + Σ_j σ((d_i − d_j)/0.1) over the others, d the distance in bits of tanh f.
    """
    u = [math.tanh(f) for f in features]

    def distance(code: Array) -> float:
        return (len(u) - sum(a * float(b) for a, b in zip(u, code, strict=True))) / 2

    wanted, every = map(distance, positives), list(map(distance, [*positives, *negatives]))
    total = 0.0
    for i, d in enumerate(wanted):
        closer = [1 / (1 + math.exp((e - d) / 0.1)) for j, e in enumerate(every) if j != i]
        total += (1 + sum(closer[: len(positives) - 1])) / (1 + sum(closer))
    return 1 - total / len(positives)


# NAG


def nag_loss(features: Array, code: Array) -> float:
    """Mean |tanh f − a| over the bits of one image."""
    return sum(abs(math.tanh(f) - float(a)) for f, a in zip(features, code, strict=True)) / len(
        code
    )


# RankOnly


def returned_list(code: Array, codes: Array) -> list[int]:
    """Positions of a database by Hamming distance, equal distances by position."""
    distance = [sum(int(a != b) for a, b in zip(code, other, strict=True)) for other in codes]
    return sorted(range(len(codes)), key=lambda i: (distance[i], i))


def discounted_gain(items: Sequence[int], label: Array, labels: Array) -> float:
    """Σ 1/log₂(1 + rank) over the items of a list that share a label."""
    return sum(
        1 / math.log2(1 + rank)
        for rank, item in enumerate(items, start=1)
        if any(x and y for x, y in zip(label, labels[item], strict=True))
    )
