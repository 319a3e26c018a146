"""SDHA: a differentiable Hamming distance to every relevant code (Lu et al., ICMR 2021)."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Perturbed, Queries
from saat.attacks.pgd import PUBLISHED_BATCH, QueryLoss, alpha_at, descend, input_gradient
from saat.blocks import rows_at_once
from saat.codes import sign, unchecked_hamming_distance
from saat.labels import LabelGroups, relevance
from saat.settings import option
from saat.threat_model import ThreatModel

LEARNING_RATE = 0.01
# Weight of the surrogate beside the mean squared error of the pixels, times 1/K.
TRADE_OFF = 25.0
# Keeps the weight of a code at distance 0 finite.
DISTANCE_OFFSET = 1e-8


class Adam:
    """Adam (Kingma & Ba, 2015) pixel by pixel, so a batch changes nothing."""

    def __init__(self, rate: float) -> None:
        self.rate, self.count = rate, 0
        self.mean: Tensor | float = 0.0
        self.square: Tensor | float = 0.0

    def step(self, gradient: Tensor) -> Tensor:
        """What to subtract after another ``gradient``."""
        first, second = 0.9, 0.999
        self.count += 1
        self.mean = first * self.mean + (1 - first) * gradient
        self.square = second * self.square + (1 - second) * gradient.square()
        mean = self.mean / (1 - first**self.count)
        square = self.square / (1 - second**self.count)
        return self.rate * mean / (square.sqrt() + 1e-8)


class RelevantCodes:
    """The training codes relevant to every query of a batch; its own code where there are none."""

    def __init__(self, queries: Queries, knowledge: Knowledge) -> None:
        self._own = queries.codes
        self._codes = knowledge.train_codes.to(self._own.device)
        self._related = relevance(queries.labels, knowledge.train_labels.to(self._own.device))

    def weighted(self, signs: Tensor, power: float) -> tuple[Tensor, Tensor]:
        """(1/n) Σ w and (1/n) Σ w·r over relevant codes r, w = (D_H(signs, r) + 1e-8)^power.

        (B,) and (B, K) for ``signs`` ±1 (B, K). Memory is B × N, whatever K is; sums in float64.
        """
        bits = signs.shape[1]
        distances = torch.arange(bits + 1, dtype=torch.float64, device=signs.device)
        table = (distances + DISTANCE_OFFSET) ** power
        weights = table[unchecked_hamming_distance(signs, self._codes)] * self._related
        own = (bits - (signs * self._own).sum(1)).div(2).round().long()
        own_weight = table[own] * ~self._related.any(1)
        total = weights.sum(1) + own_weight
        towards = weights @ self._codes.double() + own_weight[:, None] * self._own.double()
        counts = self._related.sum(1).clamp_min(1)
        return (total / counts).to(signs.dtype), (towards / counts[:, None]).to(signs.dtype)


@dataclass(frozen=True)
class SDHA(Attack):
    """Adam on the mean squared pixel error and a surrogate distance to all relevant train codes.

    With q = tanh(α f) and relevant codes r of the training set, per query
    L = mean((x' − x)²) − (25/K)·(1/n) Σ_r w_r d_r, where w_r = (D_H(sign q, r) + 1e-8)^−z is a
    constant and d_r = Σ_k φ(q_k r_k), φ(s) = ½ (1 − s) g(s) + 1 − g(s), g(s) = 1/(1 + e^−σs),
    σ = 5, z = ½.

    d_r is linear in r: φ has an even part e and an odd part o in s, so Σ_r w_r d_r =
    (Σ_r w_r)·Σ_k e(q_k) + Σ_k o(q_k)·(Σ_r w_r r)_k needs two products with the code matrix and
    never B × N × K values.

    ``step_size`` is Adam's learning rate (0.01). Adam gets a 128th of the gradient of L, as in the
    reference implementation, whose loss is the mean over a batch of 128: beside the 1e-8 in Adam's
    denominator the scale counts. Where nothing is relevant, the query's own code is. Deterministic.
    """

    steps: int = option(1500, ge=1, le=100_000, help="iterations T")

    version: ClassVar[int] = 2
    sigma: ClassVar[float] = 5.0
    z: ClassVar[float] = 0.5

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Sign of the mean relevant train code, whose negative is farthest from them on average."""
        groups = LabelGroups.of(knowledge.train_labels)
        vectors, sums = groups.vectors, groups.sums(knowledge.train_codes)
        out = query_codes.to(vectors.device).float().clone()  # where nothing is relevant
        size = rows_at_once(len(vectors))
        for part, own_labels in zip(out.split(size), labels.split(size), strict=True):
            related = relevance(own_labels.to(vectors.device), vectors)
            total = sign(related.double() @ sums).float()
            part.copy_(torch.where(related.any(1, keepdim=True), total, part))
        return out

    def distance(self, agreement: Tensor) -> Tensor:
        """φ(s) of one bit, s = q·r."""
        gate = torch.sigmoid(self.sigma * agreement)
        return 0.5 * (1 - agreement) * gate + 1 - gate

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """The surrogate's part of L."""
        relevant = RelevantCodes(queries, knowledge)
        weight = (1.0 if self.targeted else -1.0) * TRADE_OFF

        def loss(features: Tensor, step: int) -> Tensor:
            relaxed = torch.tanh(alpha_at(step, self.steps) * features)
            total, towards = relevant.weighted(sign(relaxed.detach()), -self.z)
            near, far = self.distance(relaxed), self.distance(-relaxed)
            even, odd = (near + far) / 2, (near - far) / 2
            surrogate = total * even.sum(1) + (odd * towards).sum(1)
            return weight / features.shape[1] * surrogate

        return loss

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`."""
        loss, images = self.loss(queries, knowledge), queries.images
        adam = Adam(self.step_size or LEARNING_RATE)
        pixels = images.shape[1:].numel()

        def update(point: Tensor, slope: Tensor) -> Tensor:
            # The error's own gradient joins here: it would hide a network that gives none.
            whole = slope + 2 * (point - images) / pixels
            return point - adam.step(whole / PUBLISHED_BATCH)

        gradient = partial(input_gradient, network, loss)
        return descend(images, gradient, update, threat, self.steps)


@dataclass(frozen=True)
class TargetedSDHA(SDHA):
    """SDHA towards the train codes that share a label with the target.

    L = mean((x' − x)²) + (25/K)·(1/n) Σ_r w_r d_r with φ(s) = ½ (1 − s) g(−s), σ = 10, z = −0.3.
    """

    targeted = True
    sigma: ClassVar[float] = 10.0
    z: ClassVar[float] = -0.3

    def distance(self, agreement: Tensor) -> Tensor:
        """φ(s) of one bit, s = q·r."""
        return 0.5 * (1 - agreement) * torch.sigmoid(-self.sigma * agreement)
