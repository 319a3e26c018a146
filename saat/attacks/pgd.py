"""Projected gradient descent on the input, shared by the attacks and by adversarial training."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from saat.attacks.interface import Perturbed
from saat.threat_model import ThreatModel

# α of tanh(α f), one value per tenth of the iterations (HAG; section IV-A of the SAAT paper).
ALPHA_SCHEDULE = (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)

# η of BIM, of the transfer attacks and of THA, P2P and DHTA in L∞.
PUBLISHED_STEP_SIZE = 1 / 255

# Queries that the reference implementation (xandery-geek/SAAT) attacks at once. Its losses are
# means over them, which matters to an optimiser whose steps depend on the gradient's length.
PUBLISHED_BATCH = 128

# Features and iteration → loss per query (B,), to be minimised.
QueryLoss = Callable[[Tensor, int], Tensor]
# Iterate (B, 3, H, W) and iteration → gradient of the summed loss there.
GradientSource = Callable[[Tensor, int], Tensor]
# Iterate and gradient → next iterate, before it is projected.
Update = Callable[[Tensor, Tensor], Tensor]


def alpha_at(step: int, steps: int) -> float:
    """α in iteration ``step`` of ``steps`` (from 0)."""
    return ALPHA_SCHEDULE[min(len(ALPHA_SCHEDULE) * step // steps, len(ALPHA_SCHEDULE) - 1)]


def default_step_size(eps: float, steps: int) -> float:
    """max(ε/4, 2.5·ε/T): any point of the ball can be reached from any other within T steps."""
    return max(eps / 4, 2.5 * eps / max(steps, 1))


def published_step_size(eps: float, steps: int) -> float:
    """1/255, or 2.5·ε/T where that is larger, so that few steps or another norm fill the ball."""
    return max(PUBLISHED_STEP_SIZE, 2.5 * eps / max(steps, 1))


def input_gradient(
    network: Callable[[Tensor], Tensor], loss: QueryLoss, images: Tensor, step: int
) -> Tensor:
    """Gradient of the summed loss with respect to ``images`` alone, :func:`finite_gradient`."""
    point = images.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(loss(network(point), step).sum(), point)
    return finite_gradient(gradient)


def finite_gradient(gradient: Tensor) -> Tensor:
    """A gradient with 0 where it is no number, and ±1 where it is infinite.

    One NaN, as of 0 times the slope of √0, would make its whole image NaN, and with it all later
    gradients there: the attack would end without a sign of it, and the model would look robust.
    """
    return gradient.nan_to_num(nan=0.0, posinf=1.0, neginf=-1.0)


def zero_share(gradient: Tensor) -> Tensor:
    """Fraction of exactly zero values per image, (B,), of a :func:`finite_gradient`."""
    # A sum of the ones of a sign is exact, and a fraction of the time of a comparison's mean.
    values = gradient[0].numel()
    others = gradient.sign().abs_().sum(tuple(range(1, gradient.dim())))
    return (values - others) / values


def descend(
    images: Tensor,
    gradient: GradientSource,
    update: Update,
    threat: ThreatModel,
    steps: int,
    start: Tensor | None = None,
    count_zeros: bool = True,
) -> Perturbed:
    """The loop of every attack by gradients: gradient, step, projection into the ball.

    Args:
        images: float (B, 3, H, W) in [0, 1].
        gradient: where it is exactly zero, the attack is blind.
        update: makes a step of it. It may write into the iterate that it gets.
        threat: the ball.
        steps: iterations T ≥ 0.
        start: first iterate; ``images`` by default.
        count_zeros: without it ``zero_gradient`` is NaN, and its count is saved.
    """
    project = threat.projection(images)
    point = project(images if start is None else start).detach()
    zero = images.new_full((len(images),), 0.0 if count_zeros else torch.nan)
    for step in range(steps):
        slope = gradient(point, step)
        if count_zeros:
            zero += zero_share(slope)
        point = project(update(point, slope))
    return Perturbed(point.detach(), zero / max(steps, 1))


def pgd(
    network: Callable[[Tensor], Tensor],
    images: Tensor,
    loss: QueryLoss,
    threat: ThreatModel,
    steps: int,
    step_size: float,
    start: Tensor | None = None,
    count_zeros: bool = True,
) -> Perturbed:
    """Projected steepest descent in the ball (Eq. 15; Madry et al., ICLR 2018).

    Like :func:`descend`, along the gradient of ``loss`` under ``network`` (float images → pre-tanh
    features (B, K), in the mode it is in) by steps of length ``step_size`` η in the ball's norm.
    """
    return descend(
        images,
        partial(input_gradient, network, loss),
        lambda point, slope: point.sub_(threat.steepest(slope), alpha=step_size),
        threat,
        steps,
        start,
        count_zeros,
    )
