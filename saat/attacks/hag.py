"""HAG: the Hamming-distance attack of Yang et al. (TCYB 2020), on the query's own code."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Perturbed, Queries
from saat.attacks.pgd import PUBLISHED_BATCH, alpha_at, descend, input_gradient
from saat.codes import sign
from saat.settings import option
from saat.threat_model import ThreatModel

# Published: 100 on the mean over a batch. Losses here are sums.
LEARNING_RATE = 100 / PUBLISHED_BATCH
MOMENTUM = 0.9
MASK_DISTANCE = 1.5


@dataclass(frozen=True)
class HAG(Attack):
    """SGD with momentum on the perturbation, from the benign image.

    With u = tanh(α f(x')), the benign image's relaxed code h = tanh f(x), and the mask of bits not
    yet flipped (|u − sign h| < 1.5, m of them): L = (Σ mask·u·h / m + 1)² + (mean(mask·u))².

    Constants are those of the reference implementation (xandery-geek/SAAT). Its rate of 100 acts
    on the mean over a batch of 128, so a query moves by 100/128 of its own gradient, here in
    batches of any size. ``step_size`` is the learning rate of one query. Deterministic.
    """

    steps: int = option(2000, ge=1, le=100_000, help="iterations T")

    version: ClassVar[int] = 2

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """The benign codes sign h themselves."""
        return query_codes.float()

    def restart_passes(self, threat: ThreatModel) -> float:
        """A gradient a step, and the benign features."""
        return 1 + super().restart_passes(threat)

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`."""
        images, rate = queries.images, self.step_size or LEARNING_RATE
        with torch.no_grad():
            benign = torch.tanh(network(images))

        def loss(features: Tensor, step: int) -> Tensor:
            relaxed = torch.tanh(alpha_at(step, self.steps) * features)
            mask = ((relaxed - sign(benign)).abs() < MASK_DISTANCE).to(relaxed.dtype)
            agreement = (mask * relaxed * benign).sum(1) / mask.sum(1).clamp_min(1)
            return (agreement + 1).square() + (mask * relaxed).mean(1).square()

        velocity = torch.zeros_like(images)

        def update(point: Tensor, slope: Tensor) -> Tensor:
            nonlocal velocity
            velocity = MOMENTUM * velocity + slope
            return point - rate * velocity

        gradient = partial(input_gradient, network, loss)
        return descend(images, gradient, update, threat, self.steps)
