"""THA: targeted attack by a prototype network (Wang et al., SIGIR 2021)."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from saat.attacks.attack import Knowledge, TrainingImages
from saat.attacks.targeted_pgd import TargetedPGD
from saat.prototype import (
    PrototypeNet,
    circle_loss,
    prototype_codes,
    quantisation_loss,
    target_vectors,
    train_prototypes,
)
from saat.seeding import drawing_from
from saat.settings import option
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class THA(TargetedPGD):
    """PGD on −(1/K) b_pᵀ tanh(α f(x')) from the benign image, towards the prototype code b_p.

    b_p is the sign of a :class:`saat.prototype.PrototypeNet` of the target label. :meth:`fit`
    trains it: the label vectors are those of the database, from which targets are drawn, and the
    codes it is drawn to and pushed from are the training set's, under
    :func:`saat.prototype.circle_loss` + :func:`saat.prototype.quantisation_loss`.

    ``step_size`` null is 1/255, or more where so few steps would not fill the ball.

    Attributes:
        prototype_steps: updates of the prototype network (published: 100 epochs of 300).
        prototype_batch: label vectors per update.
        prototypes: the trained network; no option of a user.
    """

    prototype_steps: int = option(
        30_000, ge=1, le=10_000_000, help="updates of the prototype network"
    )
    prototype_batch: int = option(
        128, ge=1, le=65_536, help="label vectors per update of that network"
    )
    prototypes: PrototypeNet | None = field(default=None, repr=False, compare=False)

    def fit(
        self,
        network: nn.Module,
        train: TrainingImages,
        knowledge: Knowledge,
        threat: ThreatModel,
        seed: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> "THA":
        """Train the prototype network; see :meth:`Attack.fit`. Images are not looked at."""
        del network, train, threat
        codes, labels = knowledge.train_codes.float(), knowledge.train_labels.float()
        with drawing_from("tha", seed):
            net = PrototypeNet(labels.shape[1], codes.shape[1]).to(codes.device)

        def loss(wanted: Tensor) -> Tensor:
            found = net(wanted)
            return circle_loss(found, wanted, codes, labels) + quantisation_loss(found)

        steps = self.prototype_steps
        report = (lambda done: progress(done, steps)) if progress else None
        vectors = target_vectors(knowledge.database_labels)
        train_prototypes(net, vectors, loss, steps, self.prototype_batch, seed, report)
        return replace(self, prototypes=net)

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Prototype codes of the target labels; see :meth:`Attack.representatives`.

        Raises:
            RuntimeError: before :meth:`fit`.
        """
        del knowledge, query_codes
        if self.prototypes is None:
            raise RuntimeError("tha: fit comes before the attack")
        return prototype_codes(self.prototypes, labels)
