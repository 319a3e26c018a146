"""THA: targeted attack by a prototype network (Wang et al., SIGIR 2021)."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from saat.attacks.interface import Knowledge, Progress, TrainingImages
from saat.attacks.prototype_attack import PrototypeAttack
from saat.attacks.targeted_pgd import TargetedPGD
from saat.prototype import PrototypeNet, circle_loss, quantisation_loss
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class THA(PrototypeAttack, TargetedPGD):
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
    ) -> "THA":
        """Train the prototype network; images are not looked at."""
        steps = self.prototype_steps
        report = (lambda done: progress(done, steps)) if progress else None
        net = self._fit_prototypes(PrototypeNet, _loss, "tha", knowledge, seed, report)
        return replace(self, prototypes=net)


def _loss(net: PrototypeNet, wanted: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    found = net(wanted)
    return circle_loss(found, wanted, codes, labels) + quantisation_loss(found)
