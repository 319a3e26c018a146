"""TRADES for hashing (after Zhang et al., ICML 2019, arXiv:1901.08573).

The paper weighs the loss on benign images against a divergence between the outputs for benign and
attacked ones. Of codes the divergence here is their cosine distance; the paper's is that of class
probabilities.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from saat.defenses.minimax import MinimaxTraining, SaatSchedule
from saat.settings import option


@dataclass(frozen=True)
class TradesSettings(SaatSchedule):
    """The paper's β; attack, optimiser and schedule are SAAT's, so that both can be compared."""

    beta: float = option(6.0, ge=0, le=1e6, help="weight β of the distance of attacked codes")

    published = ("beta", "eps", "steps", "step_size")


class TradesTraining(MinimaxTraining):
    """min_θ L_ori + β·mean(1 − cos(u, u')), over max_{‖x'−x‖≤ε} of the same distance.

    u = tanh(f(x)) and u' = tanh(f(x')) are relaxed codes. The gradient passes through both.
    """

    stage = "trades"
    settings: TradesSettings

    @staticmethod
    def inner_loss(features: Tensor, codes: Tensor) -> Tensor:
        """cos(u', u) of attacked features and benign relaxed codes, both (B, K)."""
        return cosine_similarity(torch.tanh(features), codes, dim=1)

    def batch_loss(self, images: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """Attack away from the relaxed code of the image itself, then both terms."""
        features = self.in_parts(self.network, images)
        relaxed = torch.tanh(features)
        attacked = self.inner_maximisation(images, relaxed.detach())
        moved = torch.tanh(self.in_parts(self.network, attacked))
        distance = (1 - cosine_similarity(moved, relaxed, dim=1)).mean()
        original: Tensor = self.objective(features, labels, index)
        return original + self.settings.beta * distance
