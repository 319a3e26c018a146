"""ProS-GAN: a generator instead of an optimisation per query (Wang et al., CVPR 2021)."""

from dataclasses import dataclass, field
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from saat.attacks.generator_attack import GeneratorAttack
from saat.attacks.interface import Knowledge, Progress
from saat.attacks.tha import PrototypeAttack
from saat.codes import sign
from saat.labels import unchecked_relevance
from saat.prototype import PrototypeNet, quantisation_loss
from saat.settings import option

CODE_WEIGHT = 5.0


class LabelledPrototypeNet(PrototypeNet):
    """A prototype network whose 512 features also have to tell the labels."""

    def __init__(self, classes: int, bits: int) -> None:
        super().__init__(classes, bits)
        self.classifier = nn.Linear(self.features_out, classes)

    def codes_and_labels(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Float 0/1 labels (B, C) → codes in (−1, 1) (B, K), probabilities of labels (B, C)."""
        features = self.features(labels)
        return torch.tanh(self.hashing(features)), torch.sigmoid(self.classifier(features))

    def loss(self, labels: Tensor, codes: Tensor, code_labels: Tensor) -> Tensor:
        """See :func:`prototype_loss`."""
        return prototype_loss(*self.codes_and_labels(labels), labels, codes, code_labels)


def prototype_loss(
    prototypes: Tensor, predicted: Tensor, wanted: Tensor, codes: Tensor, labels: Tensor
) -> Tensor:
    """DPSH likelihood + squared error of the labels + quantisation.

    With θ_ij = h_i·c_j/2 and s_ij = 1 where the two share a label:
    mean(softplus θ − s θ) + MSE(predicted, wanted) + ‖sign h − h‖²/(10⁴·B).

    ``prototypes`` are the relaxed codes h (B, K) and ``predicted`` the probabilities of labels
    (B, C) that the network has for ``wanted``, float 0/1 (B, C); ``codes`` c (N, K) and ``labels``
    (N, C), floats too, are the training set's.
    """
    theta = prototypes @ codes.T / 2
    similar = unchecked_relevance(wanted, labels).to(theta.dtype)
    likelihood = (softplus(theta) - similar * theta).mean()
    return likelihood + mse_loss(predicted, wanted) + quantisation_loss(prototypes)


def prosgan_code_loss(features: Tensor, codes: Tensor) -> Tensor:
    """5·(1 − mean(tanh(f)·b)) of features f and prototype codes b (B, K): scalar."""
    return CODE_WEIGHT * (1 - (torch.tanh(features) * codes).mean())


@dataclass(frozen=True)
class ProsGAN(GeneratorAttack, PrototypeAttack):
    """A generator that repaints an image so that its code is the prototype of a target label.

    :meth:`fit` trains the prototype network, then generator against discriminator on the training
    images; the discriminator also tells all labels. The published weight of the squared error is
    100 on FLICKR-25K and 50 elsewhere.
    """

    prototype_batch: int = option(
        64, ge=1, le=65_536, help="label vectors per update of that network"
    )
    prototypes: LabelledPrototypeNet | None = field(default=None, repr=False, compare=False)

    name = "prosgan"
    fooling = 1.0
    network_kind = LabelledPrototypeNet
    stream = "prosgan prototypes"

    @property
    def steps_before(self) -> int:
        """Updates of the prototype network."""
        return self.prototype_steps

    def aimed(self, knowledge: Knowledge, seed: int, progress: Progress) -> Self:
        """The attack with its prototype network."""
        return self._with_prototypes(knowledge, seed, progress)

    def describe(self, labels: Tensor) -> Tensor:
        """The 512 features of the prototype network."""
        features: Tensor = self._fitted(self.prototypes).features(labels)
        return features

    def code_loss(self, features: Tensor, goal: Tensor, knowledge: Knowledge) -> Tensor:
        """:func:`prosgan_code_loss` towards the prototype codes."""
        with torch.no_grad():
            codes = sign(self._fitted(self.prototypes).hashing(self.describe(goal)))
        return prosgan_code_loss(features, codes)
