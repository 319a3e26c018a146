"""AWP: adversarial weight perturbation on top of SAAT (Wu, Xia and Wang, NeurIPS 2020).

"Adversarial Weight Perturbation Helps Robust Generalization", arXiv:2004.05884: the loss is
minimised at the weights that make it worst nearby, so that the minimum is flat.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from saat.defenses.saat import SaatSettings, SaatTraining
from saat.settings import option
from saat.work import TRAINING_STEP, Work


@dataclass(frozen=True)
class AwpSettings(SaatSettings):
    """SAAT's settings, the paper's γ, and a start after half of the training."""

    gamma: float = option(5e-3, ge=0, le=1, help="radius γ of a weight, fraction of its norm")
    perturb_from: float = option(0.5, ge=0, le=1, help="share of the epochs before the first AWP")

    published = ("lambda", "mu", "eps", "steps", "step_size", "gamma", "perturb_from")

    @property
    def first_epoch(self) -> int:
        """The first epoch (from 0) with perturbed weights."""
        return math.ceil(self.perturb_from * self.epochs)

    @property
    def epoch_work(self) -> Work:
        """That of SAAT, and in the later epochs one step more on the attacked image."""
        share = 1 - self.first_epoch / self.epochs
        return super().epoch_work + Work(training=share * TRAINING_STEP)


class AwpTraining(SaatTraining):
    """SAAT whose gradient is taken at θ + v instead of θ.

        v_l = γ·‖θ_l‖·g_l/‖g_l‖,  g = ∇_θ of λ·L_adv + μ·L_qua on the attacked images

    for every matrix or kernel θ_l; biases and batch norm stay. The codes of the batch that the
    training keeps are those of the network at θ + v.
    """

    stage = "awp"
    settings: AwpSettings
    _unperturbed: tuple[tuple[Tensor, Tensor], ...] = ()

    def outer_loss(self, images: Tensor, attacked: Tensor, labels: Tensor, index: Tensor) -> Tensor:
        """The loss at the perturbed weights."""
        if self.epoch >= self.settings.first_epoch:
            self._perturb(attacked, index)
        return super().outer_loss(images, attacked, labels, index)

    def update(self) -> None:
        """The step from the weights as they were."""
        with torch.no_grad():
            for weight, before in self._unperturbed:
                weight.copy_(before)
        self._unperturbed = ()
        super().update()

    def _perturb(self, attacked: Tensor, index: Tensor) -> None:
        weights = [part for part in self.network.parameters() if part.dim() > 1]
        relaxed = torch.tanh(self.in_parts(self.network, attacked))
        loss = self.adversarial_loss(relaxed, self.mainstay.of_rows(index))
        slopes = torch.autograd.grad(loss, weights)
        self._unperturbed = tuple((part, part.detach().clone()) for part in weights)
        with torch.no_grad():
            for weight, slope in zip(weights, slopes, strict=True):
                # A zero gradient leaves its weight alone.
                length = slope.norm().clamp(min=torch.finfo(slope.dtype).tiny)
                weight.add_(slope * (self.settings.gamma * weight.norm() / length))
