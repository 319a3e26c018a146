"""THA (Wang et al., SIGIR 2021), and the prototype network that it shares with ProS-GAN."""

from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

from torch import Tensor, nn

from saat.attacks.interface import Attack, Knowledge, Progress, TrainingImages
from saat.attacks.pgd_attack import PGDAttack
from saat.prototype import PrototypeNet, prototype_codes, target_vectors, train_prototypes
from saat.seeding import drawing_from
from saat.settings import option
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class PrototypeAttack(Attack):
    """A targeted attack towards the sign of a prototype network of the target label.

    Published are 100 epochs of 300 updates. ``prototypes`` is the trained network.
    """

    prototype_steps: int = option(
        30_000, ge=1, le=10_000_000, help="updates of the prototype network"
    )
    prototype_batch: int = option(
        128, ge=1, le=65_536, help="label vectors per update of that network"
    )
    prototypes: PrototypeNet | None = field(default=None, repr=False, compare=False)

    targeted = True
    network_kind: ClassVar[type[PrototypeNet]] = PrototypeNet
    stream: ClassVar[str]  # names the draws of its first weights

    def _with_prototypes(self, knowledge: Knowledge, seed: int, progress: Progress | None) -> Self:
        """The attack with its network, trained on the database's label vectors."""
        codes, labels = knowledge.train_codes.float(), knowledge.train_labels.float()
        with drawing_from(self.stream, seed):
            net = self.network_kind(labels.shape[1], codes.shape[1]).to(codes.device)
        train_prototypes(
            net,
            target_vectors(knowledge.database_labels),
            lambda wanted: net.loss(wanted, codes, labels),
            self.prototype_steps,
            self.prototype_batch,
            seed,
            progress,
        )
        return replace(self, prototypes=net)

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Prototype codes of the target labels; a ``RuntimeError`` before :meth:`fit`."""
        return prototype_codes(self._fitted(self.prototypes), labels)


@dataclass(frozen=True)
class THA(PrototypeAttack, PGDAttack):
    """PGD on −(1/K) b_pᵀ tanh(α f(x')) from the benign image, towards the prototype code b_p.

    b_p is drawn to and pushed from the codes of the training set, under
    :meth:`saat.prototype.PrototypeNet.loss`.

    ``step_size`` null is 1/255, or more where so few steps would not fill the ball.
    """

    stream = "tha"

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
        return self._with_prototypes(knowledge, seed, progress)
