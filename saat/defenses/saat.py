"""SAAT: semantic-aware adversarial training as a minimax game around mainstay codes (Eq. 17-20)."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from saat.codes import sign
from saat.defenses.mainstay_guided import GuidedSettings, GuidedTraining
from saat.mainstay import MainstayWeights
from saat.settings import option


@dataclass(frozen=True)
class SaatSettings(GuidedSettings):
    """The published settings.

    μ weighs the *mean* over the K bits as in the reference implementation; Eq. 19 has the sum, so
    the paper's μ is this one divided by K.
    """

    epochs: int = option(20, ge=1, le=100_000, help="passes over the training set")
    lr: float = option(0.05, ge=1e-9, le=100, help="learning rate of SGD")
    momentum: float = option(0.0, ge=0, le=1, help="momentum of SGD")
    weight_decay: float = option(1e-5, ge=0, le=10, help="weight decay of SGD")
    mu: float = option(1e-4, ge=0, le=1e6, help="weight μ of the quantisation term")
    weights: MainstayWeights = option("saat", help="weighting of the mainstay codes")

    published: ClassVar[tuple[str, ...]] = ("lambda", "mu", "eps", "steps", "step_size")

    @property
    def weighting(self) -> MainstayWeights:
        """See :class:`GuidedSettings`."""
        return self.weights


class SaatTraining(GuidedTraining):
    """min_θ λ·L_adv + μ·L_qua + L_ori; see :class:`GuidedTraining`."""

    stage = "saat"
    settings: SaatSettings

    def adversarial_loss(self, relaxed: Tensor, mainstay: Tensor) -> Tensor:
        """λ·L_adv + μ·mean((u' − sign u')²) (Eq. 18, 19)."""
        quantisation = (relaxed - sign(relaxed.detach())).square().mean()
        return super().adversarial_loss(relaxed, mainstay) + self.settings.mu * quantisation
