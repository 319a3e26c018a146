"""APGD: projected gradient descent that chooses its own steps (Croce & Hein, ICML 2020)."""

from collections.abc import Collection
from typing import NamedTuple

import torch
from torch import Tensor, nn

from saat.attacks.interface import Perturbed
from saat.attacks.pgd import QueryLoss, finite_gradient, zero_share
from saat.threat_model import ThreatModel

MOMENTUM = 0.75
# A step survives a checkpoint if at least this share of the iterations since the last improved.
SUCCESS_SHARE = 0.75


def checkpoints(steps: int) -> list[int]:
    """Iterations after which steps are judged, w_j = ⌈p_j T⌉ for 0 < p_j ≤ 1.

    p₀ = 0, p₁ = 0.22, p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06).
    """
    # In hundredths: sums of 0.06 would miss the integers that ⌈·⌉ asks for.
    shares = [0, 22]
    while (last := shares[-1]) <= 100:
        shares.append(last + max(last - shares[-2] - 3, 6))
    return sorted({-(-share * steps // 100) for share in shares[1:-1]})


class Iterate(NamedTuple):
    """Images (B, 3, H, W), and what one pass through the network computed there."""

    images: Tensor
    features: Tensor
    loss: Tensor
    gradient: Tensor

    def where(self, chosen: Tensor, other: "Iterate") -> "Iterate":
        """Rows of this iterate where ``chosen`` (B,), of ``other`` elsewhere."""

        def pick(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.where(chosen.view(-1, *[1] * (mine.dim() - 1)), mine, theirs)

        return Iterate(*map(pick, self, other))


def _evaluate(network: nn.Module, images: Tensor, loss: QueryLoss, step: int) -> Iterate:
    point = images.detach().requires_grad_(True)
    features = network(point)
    losses = loss(features, step)
    (gradient,) = torch.autograd.grad(losses.sum(), point)
    return Iterate(point.detach(), features.detach(), losses.detach(), finite_gradient(gradient))


def apgd(
    network: nn.Module,
    images: Tensor,
    loss: QueryLoss,
    threat: ThreatModel,
    steps: int,
    start: Tensor,
    first_step: float,
    changes: Collection[int] = (),
) -> Perturbed:
    """The best point of ``steps`` iterations from ``start``, per query.

    z = P(x_k − η s(∇L)), x_{k+1} = P(x_k + ¾ (z − x_k) + ¼ (x_k − x_{k−1})), where s is the
    steepest direction of the ball. At a checkpoint a query whose loss fell in less than ¾ of the
    iterations since the last, or whose step was kept and whose best loss has not fallen since,
    halves η and goes on from its best point.

    Args:
        network: float images → pre-tanh features (B, K).
        images: float (B, 3, H, W) in [0, 1].
        loss: descended. Per query, so a batch changes nothing.
        threat: the ball.
        steps: iterations T; the network is visited T + 1 times.
        start: first iterate (projected first).
        first_step: η at first, in the norm of the ball; published: 2ε.
        changes: iterations at which ``loss`` becomes another function (the α schedule). Losses
            found before are then computed anew from their features, so that only losses of one
            function are ever compared.
    """
    project = threat.projection(images)
    current = _evaluate(network, project(start), loss, 0)
    best, previous = current, current.images
    zero = zero_share(current.gradient)
    eta = torch.full((len(images), 1, 1, 1), first_step, device=images.device)
    improved = torch.zeros(len(images), device=images.device)
    kept = torch.ones(len(images), dtype=torch.bool, device=images.device)
    improved_best = ~kept
    judged_at, last = set(checkpoints(steps)), 0
    for step in range(steps):
        if step in changes:
            current = current._replace(loss=loss(current.features, step))
            best = best._replace(loss=loss(best.features, step))
        moved = project(current.images - eta * threat.steepest(current.gradient))
        if step:
            drift = MOMENTUM * (moved - current.images)
            drift = drift + (1 - MOMENTUM) * (current.images - previous)
            moved = project(current.images + drift)
        previous = current.images
        candidate = _evaluate(network, moved, loss, step)
        zero += zero_share(candidate.gradient)
        improved += (candidate.loss < current.loss).float()
        better = candidate.loss < best.loss
        best, current = candidate.where(better, best), candidate
        improved_best = improved_best | better
        if step + 1 in judged_at:
            slow = improved < SUCCESS_SHARE * (step + 1 - last)
            stuck = slow | (kept & ~improved_best)
            eta = torch.where(stuck.view(-1, 1, 1, 1), eta / 2, eta)
            current = best.where(stuck, current)
            kept, improved_best, last = ~stuck, torch.zeros_like(kept), step + 1
            improved.zero_()
    return Perturbed(best.images, zero / (steps + 1))
