"""THA: targeted attack by a prototype network (Wang et al., SIGIR 2021)."""

from dataclasses import dataclass
from typing import Self

from torch import Tensor, nn

from saat.attacks.interface import Knowledge, Progress, TrainingImages
from saat.attacks.pgd_attack import PGDAttack
from saat.attacks.prototype_attack import PrototypeAttack
from saat.prototype import PrototypeNet, circle_loss, quantisation_loss
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class THA(PrototypeAttack, PGDAttack):
    """PGD on −(1/K) b_pᵀ tanh(α f(x')) from the benign image, towards the prototype code b_p.

    b_p is drawn to and pushed from the codes of the training set, under
    :func:`saat.prototype.circle_loss` + :func:`saat.prototype.quantisation_loss`.

    ``step_size`` null is 1/255, or more where so few steps would not fill the ball.
    """

    def fit(
        self,
        network: nn.Module,
        train: TrainingImages,
        knowledge: Knowledge,
        threat: ThreatModel,
        seed: int,
        progress: Progress | None = None,
    ) -> Self:
        """Train the prototype network; images are not looked at."""

        def report(done: int) -> None:
            if progress:
                progress(done, self.prototype_steps)

        return self._with_prototypes(PrototypeNet, _loss, "tha", knowledge, seed, report)


def _loss(net: PrototypeNet, wanted: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    found = net(wanted)
    return circle_loss(found, wanted, codes, labels) + quantisation_loss(found)
