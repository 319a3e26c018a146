"""The all-points-guided generator: towards all training codes with the target label (2024)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from saat.attacks.generator_attack import GeneratorAttack
from saat.attacks.interface import Knowledge
from saat.attacks.mainstay import MainstayGuided
from saat.labels import unchecked_relevance
from saat.mainstay import MainstayWeights
from saat.settings import option

# Factor γ of the cosines.
SHARPNESS = 0.2


def contrast_loss(relaxed: Tensor, goal: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    """Softmax contrast of relaxed codes u with every training code, at γ = 0.2: scalar.

    With cosines c_j of u and training code j, P the codes that share a label with the target and N
    the others: −mean over j ∈ P of log(e^(γ c_j) / (e^(γ c_j) + Σ_{i∈N} e^(γ c_i))), and its mean
    over the batch. A row without P has 0.

    Arguments are those of :func:`saat.prototype.circle_loss`.
    """
    wanted = unchecked_relevance(goal, labels)
    cosines = SHARPNESS * normalize(relaxed) @ normalize(codes).T
    others = (cosines.exp() * ~wanted).sum(1, keepdim=True)
    # −log(p / (p + n)) = log(1 + n / p); cosines are bounded, so nothing overflows.
    losses = torch.log1p(others * (-cosines).exp())
    return ((losses * wanted).sum(1) / wanted.sum(1).clamp_min(1)).mean()


@dataclass(frozen=True)
class AllPoints(GeneratorAttack, MainstayGuided):
    """A generator guided by all training codes that share a label with the target.

    It minimises w·MSE(x', x) + :func:`contrast_loss`. There is neither a prototype network nor a
    discriminator, and the generator gets the target's labels themselves.

    At so small a γ all codes weigh nearly alike, and the slope of the loss is almost that towards
    the pharos code, the mean of the wanted codes minus that of the others, whose sign is the
    theoretical result.
    """

    weights: MainstayWeights = option("cgat", help="weighting of the mainstay codes")
    reconstruction: float = option(
        70.0, ge=0, le=1e6, help="weight of the squared error of pixels in [-1, 1]"
    )
    batch_size: int = option(32, ge=1, le=65_536, help="training images per step")

    name = "all_points"

    def code_loss(self, features: Tensor, goal: Tensor, knowledge: Knowledge) -> Tensor:
        """See :func:`contrast_loss`."""
        relaxed = torch.tanh(features)
        codes = knowledge.train_codes.to(relaxed.dtype)
        return contrast_loss(relaxed, goal, codes, knowledge.train_labels)
