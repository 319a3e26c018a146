"""How ProS-GAN, TTA-GAN and the all-points attack train a generator on a frozen hashing network."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from saat.attacks.generator_networks import Discriminator, Generator
from saat.attacks.interface import Knowledge, TrainingImages
from saat.models import to_float
from saat.optimisers import Adam
from saat.prototype import BETAS, LEARNING_RATE, target_vectors
from saat.seeding import drawing_from, generator
from saat.settings import option
from saat.training import TrainingFailed

# The generator moves in every step, the discriminator in the first of every so many.
DISCRIMINATOR_EVERY = 3


@dataclass(frozen=True)
class GeneratorObjective(ABC):
    """Options of the training, and what the attacks by a generator differ in.

    Attributes:
        name: of the attack; it names random streams, and stands in messages.
        fooling: weight of the discriminator's terms.
    """

    reconstruction: float = option(
        50.0, ge=0, le=1e6, help="weight of the squared error of pixels in [-1, 1]"
    )
    epochs: int = option(100, ge=1, le=100_000, help="passes over the training images")
    batch_size: int = option(24, ge=1, le=65_536, help="training images per step")
    width: int = option(64, ge=8, le=1024, help="channels of the networks' first convolutions")

    name: ClassVar[str]
    fooling: ClassVar[float] = 1.0

    def describe(self, labels: Tensor) -> Tensor:
        """What tells the generator target labels, float 0/1 (B, C): float (B, inputs)."""
        return labels

    def new_discriminator(self, size: int, classes: int) -> Discriminator | None:
        """For images of so many pixels a side; most attacks have none."""
        return None

    def judged(self, labels: Tensor) -> Tensor:
        """The labels that the discriminator has to tell, among 0/1 ``labels`` (B, C)."""
        return labels

    @abstractmethod
    def code_loss(
        self,
        victim: nn.Module,
        adversarial: Tensor,
        goal: Tensor,
        knowledge: Knowledge,
        draws: torch.Generator,
    ) -> Tensor:
        """How far the codes of adversarial images (B, 3, H, H) in [0, 1] are from their targets.

        Scalar; ``goal`` are the target labels, float 0/1 (B, C). What is random comes from
        ``draws``.
        """


def fooling_loss(judged: Tensor, goal: Tensor) -> Tensor:
    """MSE(D(x'), [target, 0]): the discriminator is to see a real image of the target label.

    ``judged`` is D(x') (B, C + 1), ``goal`` the target labels, float 0/1 (B, C).
    """
    return mse_loss(judged, _with_last(goal, 0.0))


def discriminator_loss(real: Tensor, labels: Tensor, adversarial: Tensor, goal: Tensor) -> Tensor:
    """½ MSE(D(x), [label, 0]) + ½ MSE(D(x'), [target, 1]) (LSGAN).

    ``real`` is D(x) and ``adversarial`` D(x') (B, C + 1); labels are float 0/1 (B, C).
    """
    fooled = mse_loss(adversarial, _with_last(goal, 1.0))
    return (mse_loss(real, _with_last(labels, 0.0)) + fooled) / 2


def _with_last(labels: Tensor, value: float) -> Tensor:
    return torch.cat([labels, labels.new_full((len(labels), 1), value)], dim=1)


def rate_at(epoch: int, epochs: int) -> float:
    """Share of the learning rate in ``epoch`` (from 0): 1 in the first half, then a line to 0."""
    constant = -(-epochs // 2)
    return 1 - max(0, epoch + 1 - constant) / (epochs - constant + 1)


class GeneratorTraining:
    """Adam 1e-4 (.5, .999) on w·MSE(x', x) + the code's loss + what fools the discriminator.

    Targets are drawn from the label vectors of the database. The victim gives the gradient of its
    input and keeps everything else: only the parameters of generator and discriminator receive
    gradients. ``seed`` is that of weights, order and targets.
    """

    def __init__(
        self,
        victim: nn.Module,
        objective: GeneratorObjective,
        train: TrainingImages,
        knowledge: Knowledge,
        seed: int,
    ) -> None:
        self.victim, self.objective, self.train = victim, objective, train
        self.knowledge, self.seed = knowledge, seed
        self.device = knowledge.train_codes.device
        self.targets = target_vectors(knowledge.database_labels)
        size, classes = train.images(torch.tensor([0])).shape[-1], self.targets.shape[1]
        with torch.no_grad():
            inputs = objective.describe(self.targets[:1]).shape[1]
        with drawing_from(objective.name, seed):
            self.generator = Generator(size, objective.width, inputs).to(self.device)
            self.discriminator = objective.new_discriminator(size, classes)
        self._generator_optimiser = self._adam(self.generator)
        if self.discriminator is not None:
            self._discriminator_optimiser = self._adam(self.discriminator.to(self.device))

    def _adam(self, network: nn.Module) -> Adam:
        return Adam(network.parameters(), lr=LEARNING_RATE, betas=BETAS)

    def run_epoch(self, epoch: int) -> float:
        """One pass in a seeded order; the mean loss of the generator.

        Raises:
            TrainingFailed: it is not finite.
        """
        name, rate = self.objective.name, LEARNING_RATE * rate_at(epoch, self.objective.epochs)
        _set_rate(self._generator_optimiser, rate)
        if self.discriminator is not None:
            _set_rate(self._discriminator_optimiser, rate)
        draws = generator(f"{name} epoch", self.seed, epoch)
        order = torch.randperm(len(self.train.labels), generator=draws)
        total = torch.zeros((), device=self.device)
        batches = order.split(self.objective.batch_size)
        for step, index in enumerate(batches):
            chosen = torch.randint(len(self.targets), (len(index),), generator=draws)
            goal = self.targets[chosen.to(self.device)]
            total += self.step(index, goal, step % DISCRIMINATOR_EVERY == 0, draws)
        if not math.isfinite(float(total)):
            raise TrainingFailed(f"{name}: the loss is {float(total)} in epoch {epoch + 1}")
        return float(total) / len(batches)

    def step(self, index: Tensor, goal: Tensor, both: bool, draws: torch.Generator) -> Tensor:
        """One update of the generator, and before it of the discriminator if ``both``.

        Args:
            index: int64 (B,) numbers of training images.
            goal: (B, C) labels of their targets.
            both: whether the discriminator learns too.
            draws: random numbers of the objective.

        Returns:
            The generator's loss, a scalar.
        """
        images = 2 * to_float(self.train.images(index), self.device) - 1
        with torch.no_grad():
            described = self.objective.describe(goal)
        adversarial = self.generator(images, described)
        if self.discriminator is not None and both:
            self._improve(self.discriminator, images, adversarial.detach(), index, goal)
        close = mse_loss(adversarial, images)
        painted = (adversarial + 1) / 2
        code = self.objective.code_loss(self.victim, painted, goal, self.knowledge, draws)
        loss = self.objective.reconstruction * close + code
        if self.discriminator is not None:
            judged = self.discriminator(adversarial)
            fooled = fooling_loss(judged, self.objective.judged(goal))
            loss = loss + self.objective.fooling * fooled
        update(self._generator_optimiser, loss)
        return loss.detach()

    def _improve(
        self,
        critic: Discriminator,
        images: Tensor,
        adversarial: Tensor,
        index: Tensor,
        goal: Tensor,
    ) -> None:
        """A step of the discriminator."""
        labels = self.objective.judged(self.train.labels[index].float().to(self.device))
        real, fake = critic(images), critic(adversarial)
        loss = discriminator_loss(real, labels, fake, self.objective.judged(goal))
        update(self._discriminator_optimiser, self.objective.fooling * loss)


def _set_rate(optimiser: Adam, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def update(optimiser: Adam, loss: Tensor) -> None:
    """One step of ``optimiser``; no other parameter receives a gradient."""
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    optimiser.zero_grad(set_to_none=True)
    loss.backward(inputs=parameters)
    optimiser.step()
