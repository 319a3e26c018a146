"""Projected gradient descent on the input, shared by the attacks and by adversarial training."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from saat.attacks.attack import Perturbed
from saat.threat_model import ThreatModel

# α of tanh(α f), one value per tenth of the iterations (HAG; section IV-A of the SAAT paper).
ALPHA_SCHEDULE = (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)

# Features and iteration → loss per query (B,), to be minimised.
QueryLoss = Callable[[Tensor, int], Tensor]


def alpha_at(step: int, steps: int) -> float:
    """α in iteration ``step`` of ``steps`` (from 0)."""
    return ALPHA_SCHEDULE[min(len(ALPHA_SCHEDULE) * step // steps, len(ALPHA_SCHEDULE) - 1)]


def default_step_size(eps: float, steps: int) -> float:
    """max(ε/4, 2.5·ε/T): any point of the ball can be reached from any other within T steps."""
    return max(eps / 4, 2.5 * eps / max(steps, 1))


def input_gradient(network: nn.Module, images: Tensor, loss: QueryLoss, step: int) -> Tensor:
    """Gradient of the summed loss with respect to ``images`` alone."""
    point = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(network(point), step).sum(), point)
    return gradient


def pgd(
    network: nn.Module,
    images: Tensor,
    loss: QueryLoss,
    threat: ThreatModel,
    steps: int,
    step_size: float,
    start: Tensor | None = None,
) -> Perturbed:
    """Projected steepest descent in the ball (Eq. 15; Madry et al., ICLR 2018).

    Args:
        network: float images → pre-tanh features (B, K), used in the mode it is in.
        images: float (B, 3, H, W) in [0, 1].
        loss: see :data:`QueryLoss`; descended.
        threat: the ball.
        steps: iterations T ≥ 0.
        step_size: η, in the norm of the ball.
        start: first iterate; ``images`` by default.
    """
    point = threat.project(images if start is None else start, images)
    zero = torch.zeros(len(images), device=images.device)
    for step in range(steps):
        gradient = input_gradient(network, point, loss, step)
        zero += (gradient == 0).flatten(1).float().mean(1)
        point = threat.project(point - step_size * threat.steepest(gradient), images)
    return Perturbed(point.detach(), zero / max(steps, 1))
