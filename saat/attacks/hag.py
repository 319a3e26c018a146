"""HAG: the Hamming-distance attack of Yang et al. (TCYB 2020), on the query's own code."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saat.attacks.attack import Attack, Knowledge, Perturbed, Queries
from saat.attacks.pgd import alpha_at, descend, input_gradient
from saat.settings import option
from saat.threat_model import ThreatModel

# Published for the mean over a batch of 32; losses here are sums, so that the batch size does
# not change a result, and the rate of one query is the 32nd part.
LEARNING_RATE = 100 / 32
MOMENTUM = 0.9
MASK_DISTANCE = 1.5


@dataclass(frozen=True)
class HAG(Attack):
    """SGD with momentum on the perturbation, from the benign image.

    With u = tanh(α f), the benign code h, and the mask of bits not yet flipped
    (|u − h| < 1.5, m of them): L = (Σ mask·u·h / m + 1)² + (mean(mask·u))².

    ``step_size`` is the learning rate of one query (published: 100 over a batch of 32).
    """

    steps: int = option(2000, ge=1, le=100_000, help="iterations T")

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """The benign codes themselves."""
        del knowledge, labels
        return query_codes.float()

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`; deterministic, seeds are not used."""
        del knowledge
        rate = self.step_size or LEARNING_RATE
        images, benign = queries.images, queries.codes

        def loss(features: Tensor, step: int) -> Tensor:
            relaxed = torch.tanh(alpha_at(step, self.steps) * features)
            mask = ((relaxed - benign).abs() < MASK_DISTANCE).float()
            agreement = (mask * relaxed * benign).sum(1) / mask.sum(1).clamp_min(1)
            return (agreement + 1).square() + (mask * relaxed).mean(1).square()

        velocity = torch.zeros_like(images)

        def update(point: Tensor, slope: Tensor) -> Tensor:
            nonlocal velocity
            velocity = MOMENTUM * velocity + slope
            return point - rate * velocity

        def gradient(point: Tensor, step: int) -> Tensor:
            return input_gradient(network, point, loss, step)

        return descend(images, gradient, update, threat, self.steps)
