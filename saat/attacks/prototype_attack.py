"""What THA and ProS-GAN share: a prototype network, fitted to a victim, names the target codes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from torch import Tensor, nn

from saat.attacks.attack import Attack, Knowledge
from saat.prototype import PrototypeNet, prototype_codes, target_vectors, train_prototypes
from saat.seeding import drawing_from
from saat.settings import option

Net = TypeVar("Net", bound=PrototypeNet)
Network = TypeVar("Network", bound=nn.Module)
# Network, float 0/1 labels (B, C), codes and labels of the training set → scalar.
PrototypeLoss = Callable[[Net, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class PrototypeAttack(Attack):
    """A targeted attack towards the sign of a prototype network of the target label.

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

    targeted = True

    def fitted_prototypes(
        self,
        kind: type[Net],
        loss: PrototypeLoss[Net],
        stream: str,
        knowledge: Knowledge,
        seed: int,
        progress: Callable[[int], None] | None,
    ) -> Net:
        """A network of ``kind`` on the device of the codes, trained and frozen.

        It learns the distinct label vectors of the database, from which targets are drawn.

        Args:
            kind: its class.
            loss: see :data:`PrototypeLoss`.
            stream: names the draws of its first weights.
            knowledge: codes and labels of the training set, labels of the database.
            seed: of these weights and of the label vectors of every step.
            progress: called with the steps done.
        """
        codes, labels = knowledge.train_codes.float(), knowledge.train_labels.float()
        with drawing_from(stream, seed):
            net = kind(labels.shape[1], codes.shape[1]).to(codes.device)
        train_prototypes(
            net,
            target_vectors(knowledge.database_labels),
            lambda wanted: loss(net, wanted, codes, labels),
            self.prototype_steps,
            self.prototype_batch,
            seed,
            progress,
        )
        return net

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Prototype codes of the target labels; see :meth:`Attack.representatives`.

        Raises:
            RuntimeError: before :meth:`fit`.
        """
        return prototype_codes(self.fitted(self.prototypes), labels)

    def fitted(self, network: Network | None) -> Network:
        """A network that :meth:`fit` has trained.

        Raises:
            RuntimeError: before that.
        """
        if network is None:
            raise RuntimeError(f"{type(self).__name__.lower()}: fit comes before the attack")
        return network
