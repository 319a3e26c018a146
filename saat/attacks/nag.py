"""NAG: towards a database code that also a noisy image has (Xiao & Wang, CVPR 2021)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from saat.attacks.input_diversity import input_diversity
from saat.attacks.interface import Knowledge, Queries
from saat.attacks.p2p import P2P
from saat.attacks.pgd import QueryLoss
from saat.attacks.pgd_variants import Descent, MomentumAttack
from saat.settings import option
from saat.threat_model import ThreatModel

# Half the width of the noise: 32 grey levels.
NOISE = 32 / 255


@dataclass(frozen=True)
class NAG(P2P, MomentumAttack):
    """Descent on ‖u(x′) − a‖₁/K + λ‖u(x′ + n) − a‖₁/K, a the anchor code of P2P, u = tanh f.

    A code that survives noise n, uniform within ±32 grey levels, is meant to survive another
    network. The noise is drawn anew per query and step, and not cut to the image range. With a
    ``probability`` above 0 both images are resized and padded (DI), one draw for both.

    ``step_size`` null is 1/255, or more where so few steps would not fill the ball.
    """

    steps: int = option(32, ge=1, le=100_000, help="iterations T")
    noise_weight: float = option(1.0, ge=0, le=1000, help="weight λ of the loss under noise")
    decay: float = option(0.0, ge=0, le=10, help="decay μ of the momentum")
    probability: float = option(0.0, ge=0, le=1, help="probability of a transformed input")
    resize: float = option(
        0.9, ge=0.01, le=1, help="smallest side after resizing, share of the side"
    )

    def restart_passes(self, threat: ThreatModel) -> float:
        """Two gradients a step."""
        return 2 * super().restart_passes(threat)

    def loss(self, queries: Queries, knowledge: Knowledge) -> QueryLoss:
        """‖u − a‖₁/K."""
        return lambda features, _: (torch.tanh(features) - queries.representatives).abs().mean(1)

    def gradient(self, descent: Descent, point: Tensor, step: int) -> Tensor:
        """Of both losses, taken back to the image as in :class:`DI`."""
        seeds = descent.seeds("nag", step)
        rows, columns = input_diversity(seeds, point, self.probability, self.resize)
        seen = rows @ point @ columns.mT
        noisy = ThreatModel(NOISE).random_start(seen, seeds)
        slope = descent.plain(seen, step) + self.noise_weight * descent.plain(noisy, step)
        return rows.mT @ slope @ columns
