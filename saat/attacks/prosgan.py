"""ProS-GAN: a generator instead of an optimisation per query (Wang et al., CVPR 2021)."""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, softplus

from saat.attacks.interface import Knowledge, Perturbed, Progress, Queries, TrainingImages
from saat.attacks.prosgan_networks import Generator, LabelledPrototypeNet
from saat.attacks.prosgan_training import GeneratorSettings, GeneratorTraining
from saat.attacks.prototype_attack import PrototypeAttack
from saat.labels import unchecked_relevance
from saat.prototype import quantisation_loss
from saat.settings import option
from saat.threat_model import ThreatModel


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


def _loss(net: LabelledPrototypeNet, wanted: Tensor, codes: Tensor, labels: Tensor) -> Tensor:
    return prototype_loss(*net.codes_and_labels(wanted), wanted, codes, labels)


@dataclass(frozen=True)
class ProsGAN(GeneratorSettings, PrototypeAttack):
    """A generator that repaints an image so that its code is the prototype of a target label.

    :meth:`fit` trains the prototype network, then generator against discriminator on the training
    images (:class:`saat.attacks.prosgan_training.GeneratorTraining`). At attack time nothing is
    optimised and no gradient taken: ``zero_gradient`` is 0, and T, η and restarts, which every
    protocol passes, have no meaning and are no options here.

    The published attack has no ball: its images (:meth:`generate`) resemble the original by a
    mean squared error alone. :meth:`perturb` projects them into the protocol's ball, which the
    generator knew nothing of; report both.
    """

    steps: int = 0
    step_size: float | None = None
    restarts: int = 1
    prototype_batch: int = option(
        64, ge=1, le=65_536, help="label vectors per update of that network"
    )
    prototypes: LabelledPrototypeNet | None = field(default=None, repr=False, compare=False)
    generator: Generator | None = field(default=None, repr=False, compare=False)

    def fit(
        self,
        network: nn.Module,
        train: TrainingImages,
        knowledge: Knowledge,
        threat: ThreatModel,
        seed: int,
        progress: Progress | None = None,
    ) -> "ProsGAN":
        """Train prototype network and generator.

        Raises:
            TrainingFailed: the generator's loss is not finite.
        """
        batches = -(-len(train.labels) // self.batch_size)
        total = self.prototype_steps + self.epochs * batches
        report = (lambda done: progress(done, total)) if progress else None
        prototypes = self._fit_prototypes(
            LabelledPrototypeNet, _loss, "prosgan prototypes", knowledge, seed, report
        )
        training = GeneratorTraining(network, prototypes, train, knowledge, self, seed)
        for epoch in range(self.epochs):
            training.run_epoch(epoch)
            if report:
                report(self.prototype_steps + (epoch + 1) * batches)
        generator = training.generator.eval().requires_grad_(False)
        return replace(self, prototypes=prototypes, generator=generator)

    @torch.no_grad()
    def generate(self, images: Tensor, labels: Tensor) -> Tensor:
        """The published attack, in no ball: float images (B, 3, H, H) in [0, 1].

        Args:
            images: float (B, 3, H, H) in [0, 1], H as in training.
            labels: target labels, float 0/1 (B, C).

        Raises:
            RuntimeError: before :meth:`fit`.
        """
        features = self._fitted(self.prototypes).features(labels)
        adversarial: Tensor = self._fitted(self.generator)(2 * images - 1, features)
        return (adversarial + 1) / 2

    def restart_passes(self, threat: ThreatModel) -> float:
        """The network is not asked, only the generator."""
        return 0.0

    def perturb(
        self, network: nn.Module, queries: Queries, knowledge: Knowledge, threat: ThreatModel
    ) -> Perturbed:
        """:meth:`generate`, projected into the ball; see :meth:`Attack.perturb`."""
        images = queries.images
        adversarial = threat.project(self.generate(images, queries.labels), images)
        return Perturbed(adversarial, torch.zeros(len(images), device=images.device))
