"""What ProS-GAN, TTA-GAN and the all-points attack share: a generator, trained in ``fit``."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

from saat.attacks.generator_networks import Generator
from saat.attacks.generator_training import GeneratorTraining
from saat.attacks.interface import Knowledge, Progress, TrainingImages
from saat.attacks.learned_images import LearnedImages
from saat.settings import option
from saat.threat_model import ThreatModel


@dataclass(frozen=True)
class GeneratorAttack(LearnedImages):
    """A generator that repaints an image so that its code is one of a target label.

    The published attacks have no ball: their images (:meth:`generate`) resemble the original by a
    mean squared error alone. :meth:`perturb` projects them into the protocol's ball, which the
    generator knew nothing of; report both.

    Attributes:
        name: of the attack; it names random streams, and stands in messages.
        fooling: weight of the discriminator's terms; without one there is no discriminator.
        tells_labels: whether the discriminator also has to tell labels.
    """

    reconstruction: float = option(
        50.0, ge=0, le=1e6, help="weight of the squared error of pixels in [-1, 1]"
    )
    epochs: int = option(100, ge=1, le=100_000, help="passes over the training images")
    batch_size: int = option(24, ge=1, le=65_536, help="training images per step")
    width: int = option(64, ge=8, le=1024, help="channels of the networks' first convolutions")
    generator: Generator | None = field(default=None, repr=False, compare=False)

    name: ClassVar[str]
    fooling: ClassVar[float] = 0.0
    tells_labels: ClassVar[bool] = True

    @property
    def steps_before(self) -> int:
        """Steps that :meth:`aimed` reports."""
        return 0

    def aimed(self, knowledge: Knowledge, seed: int, progress: Progress) -> Self:
        """The attack with the codes that its generator is trained towards.

        ``progress`` is called with its steps done and in all.
        """
        return self

    def describe(self, labels: Tensor) -> Tensor:
        """What tells the generator target labels, float 0/1 (B, C): float (B, inputs)."""
        return labels

    def views(self, images: Tensor, draws: torch.Generator) -> Sequence[Tensor]:
        """Forms of adversarial images (B, 3, H, H) whose codes count, drawn by ``draws``."""
        return [images]

    @abstractmethod
    def code_loss(self, features: Tensor, goal: Tensor, knowledge: Knowledge) -> Tensor:
        """How far the codes of a view are from their targets: scalar.

        ``features`` are pre-tanh (B, K), ``goal`` the target labels, float 0/1 (B, C).
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
        """Train the generator, before it what it is aimed by; see :class:`GeneratorTraining`."""
        per_epoch = -(-len(train.labels) // self.batch_size)
        total = self.steps_before + self.epochs * per_epoch

        def report(done: int, _: int = 0) -> None:
            if progress:
                progress(done, total)

        aimed = self.aimed(knowledge, seed, report)
        training = GeneratorTraining(network, aimed, train, knowledge, seed)
        for epoch in range(self.epochs):
            training.run_epoch(epoch)
            report(self.steps_before + (epoch + 1) * per_epoch)
        return replace(aimed, generator=training.generator.eval().requires_grad_(False))

    @torch.no_grad()
    def generate(self, images: Tensor, labels: Tensor) -> Tensor:
        """The published attack, in no ball; see :meth:`LearnedImages.generate`."""
        painter, described = self._fitted(self.generator), self.describe(labels)
        adversarial: Tensor = painter(2 * images - 1, described)
        return (adversarial + 1) / 2
