"""The mainstay attack's loss under other descents: BIM; for transfer DI, NI, SI-NI and VMI.

All share PGD's loop. A variant replaces the gradient there by a combination of gradients at other
points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from saat.attacks.input_diversity import input_diversity
from saat.attacks.interface import Knowledge, Perturbed, Queries
from saat.attacks.mainstay import MainstayAttack
from saat.attacks.pgd import GradientSource, descend, input_gradient
from saat.attacks.pgd_attack import PGDAttack
from saat.seeding import derive_seed
from saat.settings import option
from saat.threat_model import ThreatModel


@dataclass
class Descent:
    """What a variant makes its gradient of, in the descent of one batch."""

    plain: GradientSource  # of the loss at a point
    queries: Queries  # randomness comes from their seeds
    threat: ThreatModel
    momentum: Tensor | float = 0.0  # g, as it is before the gradient is added
    variance: Tensor | float = 0.0  # v of VMI

    def seeds(self, *parts: int | str) -> Sequence[int]:
        """One seed per query for the draws that ``parts`` name."""
        return [derive_seed(*parts, seed) for seed in self.queries.seeds]


def with_momentum(momentum: Tensor | float, gradient: Tensor, decay: float) -> Tensor:
    """μ·g + ∇/‖∇‖₁ per query (Dong et al., CVPR 2018); a zero gradient adds nothing.

    ‖·‖₁ is averaged over the pixels, as in the published implementations: one gradient then has
    entries of about 1.
    """
    size = gradient.abs().flatten(1).mean(1).clamp_min(1e-30).view(-1, 1, 1, 1)
    return decay * momentum + gradient / size


class MomentumAttack(PGDAttack):
    """Descent from the benign image along the momentum of gradients that a variant makes."""

    decay: float

    def gradient(self, descent: Descent, point: Tensor, step: int) -> Tensor:
        """The gradient at ``point`` that this variant descends."""
        return descent.plain(point, step)

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """See :meth:`Attack.perturb`."""
        loss, step_size = self.loss(queries, knowledge), self.resolved_step_size(threat)
        plain = partial(input_gradient, self.gradient_network(network), loss)
        descent = Descent(plain, queries, threat)

        def update(point: Tensor, slope: Tensor) -> Tensor:
            descent.momentum = with_momentum(descent.momentum, slope, self.decay)
            return point - step_size * threat.steepest(descent.momentum)

        return descend(queries.images, partial(self.gradient, descent), update, threat, self.steps)


@dataclass(frozen=True)
class BIM(MainstayAttack, MomentumAttack):
    """Projected descent from the benign image, without a random start (Kurakin et al., 2017).

    ``step_size`` null is 1/255 as published, or 2.5·ε/T where that is larger. A ``decay`` of 1
    makes MI-FGSM of it. Deterministic.
    """

    decay: float = option(0.0, ge=0, le=10, help="decay μ of the momentum")

    version: ClassVar[int] = 1
    random_start: ClassVar[bool] = False


@dataclass(frozen=True)
class DI(BIM):
    """BIM through randomly resized and padded images (DI²-FGSM, Xie et al., CVPR 2019).

    Every query draws for itself in every step; see :func:`input_diversity`.
    """

    probability: float = option(0.5, ge=0, le=1, help="probability of a transformed input")
    resize: float = option(
        0.9, ge=0.01, le=1, help="smallest side after resizing, share of the side"
    )

    def gradient(self, descent: Descent, point: Tensor, step: int) -> Tensor:
        """∇_x L(T(x)): T is linear, so its transpose takes the gradient back to the image."""
        seeds = descent.seeds("di", step)
        rows, columns = input_diversity(seeds, point, self.probability, self.resize)
        return rows.mT @ descent.plain(rows @ point @ columns.mT, step) @ columns


@dataclass(frozen=True)
class NI(BIM):
    """Momentum that looks ahead: Nesterov's gradient (NI-FGSM, Lin et al., ICLR 2020).

    The gradient is taken at Π(x − μ·η·g/‖1‖_p) with the momentum g and the projection Π into the
    ball; ‖1‖_p, the norm of an image of ones, is 1 in the published L∞ and gives the look-ahead
    the length of steps in L2 and L1. ``look_ahead="free"`` leaves out Π as the paper does. Its T·η
    is ε; where T is larger, the undamped momentum looks far out of the ball, and 100 steps reach
    less than one.
    """

    decay: float = option(1.0, ge=0, le=10, help="decay μ of the momentum")
    look_ahead: Literal["ball", "free"] = option("ball", help="whether it stays in the ball")

    def gradient(self, descent: Descent, point: Tensor, step: int) -> Tensor:
        """∇L at the point that the momentum leads to."""
        threat, pixels = descent.threat, point.shape[1:].numel()
        ones = {"linf": 1.0, "l2": pixels**0.5, "l1": float(pixels)}[threat.norm]
        reach = self.decay * self.resolved_step_size(threat) / ones
        ahead = point - reach * descent.momentum
        if self.look_ahead == "ball":
            ahead = threat.project(ahead, descent.queries.images)
        return descent.plain(ahead, step)


@dataclass(frozen=True)
class SINI(NI):
    """NI on the mean loss of m scaled images x/2ⁱ (SI-NI-FGSM, Lin et al., ICLR 2020).

    ``scaling="powers"`` is the paper's gradient of (1/m) Σ L(x/2ⁱ) in x. ``"cumulative"`` is what
    the reference implementation of SAAT computes: it divides the scaled image again (1, ½, ⅛, 1/64,
    1/1024) and adds gradients in the scaled images, without the factor of the chain rule.
    """

    scales: int = option(5, ge=1, le=100, help="scaled copies m")
    scaling: Literal["powers", "cumulative"] = option("powers", help="scales of the copies")

    def restart_passes(self, threat: ThreatModel) -> float:
        """A gradient a step and scale."""
        return self.scales * super().restart_passes(threat)

    def gradient(self, descent: Descent, point: Tensor, step: int) -> Tensor:
        """Mean over the scales, at the point that the momentum leads to."""
        cumulative = self.scaling == "cumulative"

        def scaled(point: Tensor, step: int) -> Tensor:
            total = torch.zeros_like(point)
            for i in range(self.scales):
                scale = 0.5 ** (i * (i + 1) // 2 if cumulative else i)
                total += (1.0 if cumulative else scale) * descent.plain(point * scale, step)
            return total / self.scales

        return super().gradient(replace(descent, plain=scaled), point, step)


@dataclass(frozen=True)
class VMI(BIM):
    """Momentum tuned by the variance of gradients nearby (VMI-FGSM, Wang & He, CVPR 2021).

    The gradient ∇L(x_t) + v_t is descended, v_{t+1} = (1/N) Σ ∇L(x_t + rᵢ) − ∇L(x_t), and rᵢ is
    uniform in the ball of β times the radius, drawn per query, step and neighbour. (In L2 and L1
    drawn as a random start is.) Costs 1 + N gradients a step.
    """

    decay: float = option(1.0, ge=0, le=10, help="decay μ of the momentum")
    neighbours: int = option(5, ge=1, le=1000, help="neighbours N")
    beta: float = option(
        1.5, ge=0, le=100, help="radius β of the neighbourhood, in radii of the ball"
    )

    version: ClassVar[int] = 2

    def restart_passes(self, threat: ThreatModel) -> float:
        """A gradient a step at the point and at each of its neighbours."""
        return (1 + self.neighbours) * super().restart_passes(threat)

    def gradient(self, descent: Descent, point: Tensor, step: int) -> Tensor:
        """The gradient and the variance found in the step before."""
        around = ThreatModel(self.beta * descent.threat.eps, descent.threat.norm)
        own = descent.plain(point, step)
        tuned, nearby = own + descent.variance, torch.zeros_like(own)
        for number in range(self.neighbours):
            start = around.random_start(point, descent.seeds("vmi", step, number))
            nearby += descent.plain(start, step)
        descent.variance = nearby / self.neighbours - own
        return tuned
