"""Gates on the direction of the gradient: does a step along it lower the loss enough?"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from saat.attacks.objectives import agreement
from saat.attacks.pgd import input_gradient
from saat.attacks.query_batches import BATCH_GRAIN, frozen
from saat.models import device_of, evaluating, to_float
from saat.reliability.context import GateContext, GateResult
from saat.seeding import derive_seed, generator
from saat.threat_model import ThreatModel
from saat.thresholds import DIRECTION_SHARE, SMOOTH_SHARE
from saat.wording import counted

# Number of random directions; each is tried in both senses.
_DIRECTIONS = 4
# Steps tried, as a share of the radius.
_STEPS = (0.125, 0.5)
# Number of points of the ball whose gradients are averaged.
_NEIGHBOURS = 8
# Gate → input gradients, and further forward passes, of one query.
GATE_PASSES = {
    "direction": (1, len(_STEPS) * (2 * _DIRECTIONS + 1)),
    "smooth": (1 + _NEIGHBOURS, 3),
}


@dataclass(frozen=True)
class _Batch:
    """Some of the drawn queries, and a loss that is lower the nearer they are to the goal."""

    network: nn.Module  # frozen and in evaluation mode
    threat: ThreatModel
    images: Tensor  # float (B, 3, H, W)
    goal: Tensor  # ±1 (B, K)
    scale: Tensor  # median magnitudes (K,)
    rows: list[int]  # of the data set, for seeds

    def loss(self, features: Tensor, _: int = 0) -> Tensor:
        """Loss (B,) of features (B, K)."""
        return agreement(features, self.goal, 1.0, self.scale)

    def descent_direction(self, images: Tensor) -> Tensor:
        """Minus the gradient at ``images``."""
        return -input_gradient(self.network, self.loss, images, 0)

    def neighbour(self, number: int) -> Tensor:
        """A random point of the ball, float (B, 3, H, W)."""
        seeds = [derive_seed("smooth", row, number) for row in self.rows]
        return self.threat.project(self.threat.random_start(self.images, seeds), self.images)

    @torch.no_grad()
    def loss_after_step(self, direction: Tensor, length: float) -> Tensor:
        """Loss (B,) after a step in the steepest sense of ``direction``."""
        moved = self.images + length * self.threat.steepest(direction)
        return self.loss(self.network(moved.clamp(0, 1)))


def _batches(context: GateContext) -> Iterator[_Batch]:
    sample, network = context.sample, context.gradient_network
    knowledge, attack = sample.knowledge, context.gate_attack
    device = knowledge.train_codes.device
    labels, codes = sample.labels.to(device), sample.query_codes.to(device)
    goals = attack.goal(attack.representatives(knowledge, labels, codes))
    for part in torch.arange(len(sample.rows)).split(2 * BATCH_GRAIN):
        yield _Batch(
            network,
            context.runner.threat,
            to_float(sample.images[part], device_of(network)),
            goals[part.to(device)],
            knowledge.feature_scale,
            sample.rows[part.numpy()].tolist(),
        )


def direction(context: GateContext) -> GateResult:
    """A step along the gradient lowers the loss by more than random steps of equal length."""
    lengths = {f"{share:g} ε": share * context.runner.threat.eps for share in _STEPS}
    won = dict.fromkeys(lengths, 0)
    with evaluating(context.gradient_network), frozen(context.gradient_network):
        for batch in _batches(context):
            descent, randoms = batch.descent_direction(batch.images), _random(batch)
            for name, length in lengths.items():
                tried = [
                    batch.loss_after_step(way * draw, length) for draw in randoms for way in (1, -1)
                ]
                led = batch.loss_after_step(descent, length)
                won[name] += int((led < torch.stack(tried).amin(0)).sum())
    count = max(len(context.positions), 1)
    shares = {name: number / count for name, number in won.items()}
    worst = min(shares.values())
    detail = (
        f"a gradient step beats {2 * _DIRECTIONS} random ones on {100 * worst:.0f} % of "
        f"{counted(count, 'query', 'queries')}"
    )
    return GateResult("direction", worst >= DIRECTION_SHARE, detail, shares)


def _random(batch: _Batch) -> list[Tensor]:
    """Gaussian directions (B, 3, H, W), drawn per query."""
    shape = (_DIRECTIONS, *batch.images.shape[1:])
    drawn = [torch.randn(shape, generator=generator("direction", row)) for row in batch.rows]
    return list(torch.stack(drawn, 1).to(batch.images.device))


def smooth(context: GateContext) -> GateResult:
    """A step ε along the gradient gains about as much as one along the mean gradient around it.

    The mean of the gradients at random points of the ball is the gradient of a smoothed network,
    which has no fine structure and otherwise computes the same.
    """
    own, smoothed = 0.0, 0.0
    with evaluating(context.gradient_network), frozen(context.gradient_network):
        for batch in _batches(context):
            eps = batch.threat.eps
            before = batch.loss_after_step(torch.zeros_like(batch.images), 0.0)
            along = batch.descent_direction(batch.images)
            around = [
                batch.descent_direction(batch.neighbour(number)) for number in range(_NEIGHBOURS)
            ]
            own += float((before - batch.loss_after_step(along, eps)).sum())
            mean = torch.stack(around).mean(0)
            smoothed += float((before - batch.loss_after_step(mean, eps)).sum())
    share = own / smoothed if smoothed > 0 else 1.0
    detail = (
        f"a step along the gradient gains {100 * share:.0f} % of one along the mean gradient "
        "around it"
    )
    return GateResult("smooth", share >= SMOOTH_SHARE, detail, {"share": share})
