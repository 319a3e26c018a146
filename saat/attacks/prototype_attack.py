"""What THA and ProS-GAN share: a prototype network, fitted to a victim, names the target codes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

from torch import Tensor

from saat.attacks.interface import Attack, Knowledge
from saat.prototype import PrototypeNet, prototype_codes, target_vectors, train_prototypes
from saat.seeding import drawing_from
from saat.settings import option

Net = TypeVar("Net", bound=PrototypeNet)
# Network, float 0/1 labels (B, C), codes and labels of the training set → scalar.
PrototypeLoss = Callable[[Net, Tensor, Tensor, Tensor], Tensor]


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

    def _with_prototypes(
        self,
        kind: type[Net],
        loss: PrototypeLoss[Net],
        stream: str,
        knowledge: Knowledge,
        seed: int,
        progress: Callable[[int], None],
    ) -> Self:
        """The attack with a network of ``kind``, trained on the database's label vectors.

        ``stream`` names the draws of its first weights; ``progress`` is called with updates done.
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
        return replace(self, prototypes=net)

    def representatives(self, knowledge: Knowledge, labels: Tensor, query_codes: Tensor) -> Tensor:
        """Prototype codes of the target labels.

        Raises:
            RuntimeError: before :meth:`fit`.
        """
        return prototype_codes(self._fitted(self.prototypes), labels)
