"""What ProS-GAN, TTA-GAN and the all-points attack share: a generator, trained in ``fit``."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from saat.attacks.generator_networks import Generator
from saat.attacks.generator_training import GeneratorObjective, GeneratorTraining
from saat.attacks.interface import Knowledge, TrainingImages
from saat.attacks.learned_images import LearnedImages


@dataclass(frozen=True)
class GeneratorAttack(GeneratorObjective, LearnedImages):
    """A generator that repaints an image so that its code is one of a target label.

    The published attacks have no ball: their images (:meth:`generate`) resemble the original by a
    mean squared error alone. :meth:`perturb` projects them into the protocol's ball, which the
    generator knew nothing of; report both.
    """

    generator: Generator | None = field(default=None, repr=False, compare=False)

    def _batches(self, train: TrainingImages) -> int:
        """Steps of an epoch."""
        return -(-len(train.labels) // self.batch_size)

    def _trained(
        self,
        network: nn.Module,
        train: TrainingImages,
        knowledge: Knowledge,
        seed: int,
        progress: Callable[[int], None] | None,
    ) -> Generator:
        """A generator, trained and frozen; ``progress`` is called with the steps done.

        Raises:
            TrainingFailed: its loss is not finite.
        """
        training = GeneratorTraining(network, self, train, knowledge, seed)
        for epoch in range(self.epochs):
            training.run_epoch(epoch)
            if progress:
                progress((epoch + 1) * self._batches(train))
        return training.generator.eval().requires_grad_(False)

    @torch.no_grad()
    def generate(self, images: Tensor, labels: Tensor) -> Tensor:
        """The published attack, in no ball; see :meth:`LearnedImages.generate`."""
        painter, described = self._fitted(self.generator), self.describe(labels)
        adversarial: Tensor = painter(2 * images - 1, described)
        return (adversarial + 1) / 2
